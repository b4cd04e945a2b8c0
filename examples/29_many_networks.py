"""Many networks at once
=====================

Many networks at once: a random search of 64 small networks trained side by side.

The notes end with the size of the network and its learning rate as things to search for. A small network's step is too
short to share between cores, so a search one after the other leaves most of a machine idle: `fnn.fit_many` trains as
many at a time as there are threads, each with the same bits as if it were alone.

Left: the accuracy on held-out digits of 64 networks, each a random width and learning rate. Right: how long the search
takes with scikit-learn's `MLPClassifier` (timed on eight of them), with `fit` one after the other, and with `fit_many`.
"""

from __future__ import annotations

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import fnnfast as fnn

NETWORKS, EPOCHS = 64, 20
SAMPLE = 8  # of scikit-learn's, which takes its time


def networks(widths: list[int]) -> list[fnn.Sequential]:
    layers = [[fnn.Input(64), fnn.Dense(width, "relu"), fnn.Dense(10, "softmax")] for width in widths]
    return [fnn.Sequential(of_one, seed=seed) for seed, of_one in enumerate(layers)]


def main() -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs, and no more, for all
    warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # pixels that are always 0 and high rates: part of the search
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    train, held_out = (x[:1400], y[:1400]), (x[1400:], y[1400:])

    rng = np.random.default_rng(1)
    widths = rng.integers(8, 65, NETWORKS).tolist()
    rates = 10 ** rng.uniform(-4, -1, NETWORKS)
    optimizers = [fnn.Adam(rate) for rate in rates.tolist()]
    seeds = list(range(NETWORKS))

    seconds = {}
    begun = time.perf_counter()
    for width, rate in list(zip(widths, rates, strict=True))[:SAMPLE]:
        MLPClassifier((width,), batch_size=32, learning_rate_init=rate, max_iter=EPOCHS, tol=0).fit(*train)
    seconds["scikit-learn"] = (time.perf_counter() - begun) * NETWORKS / SAMPLE
    alone, together = networks(widths), networks(widths)
    begun = time.perf_counter()
    for net, optimizer, seed in zip(alone, optimizers, seeds, strict=True):
        net.fit(*train, optimizer=optimizer, epochs=EPOCHS, seed=seed, progress=False)
    seconds["fit, one by one"] = time.perf_counter() - begun
    begun = time.perf_counter()
    fnn.fit_many(together, *train, optimizer=optimizers, epochs=EPOCHS, seed=seeds, progress=False)
    seconds["fit_many"] = time.perf_counter() - begun

    accuracy = np.array([net.evaluate(*held_out)["accuracy"] for net in together])
    best = int(accuracy.argmax())
    print(f"best of {NETWORKS}: {accuracy[best]:.1%}, width {widths[best]}, learning rate {rates[best]:.2g}")
    print(", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=[1.6, 1])
    points = left.scatter(rates, widths, c=100 * accuracy, cmap="viridis", vmin=80, s=40)
    left.plot(rates[best], widths[best], "o", ms=12, mfc="none", mec="C3", mew=2)
    left.set(xscale="log", xlabel="learning rate", ylabel="width", title=f"{NETWORKS} networks, the best ringed")
    figure.colorbar(points, label="accuracy on held-out digits, %", extend="min")
    bars = right.barh(list(seconds), list(seconds.values()), color=["0.6", "C0", "C2"])
    right.bar_label(bars, fmt=" %.2g s")
    right.set(xscale="log", xlabel="seconds for the whole search", title="Time", xlim=(None, 4 * max(seconds.values())))
    save(figure, __file__)

    for one, other in zip(alone, together, strict=True):
        for name, values in one.parameters.items():
            assert np.array_equal(values, other.parameters[name]), f"{name}: expected the same bits side by side"
    assert accuracy[best] > 0.95, f"expected the best above 95%, got {accuracy[best]:.1%}"


if __name__ == "__main__":
    main()
