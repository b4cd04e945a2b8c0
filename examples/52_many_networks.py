"""Many networks at once
=====================

A random search of 64 small networks, trained side by side.

Lectures end with what has to be searched for: the size of a network and its learning rate. A small network's step is
too short to share between cores, so that a search one after the other leaves most of a machine idle. ``fnn.fit_many``
trains as many networks at a time as there are threads, each with the same bits as if it were alone, which is asserted
here.

Left: the accuracy on held-out digits of 64 networks 64-w-10, each with a random width w and learning rate. Right: how
long eight of them take with scikit-learn's ``MLPClassifier``, with ``fit`` one after the other, and with ``fit_many``.
All three run the same number of epochs with Adam and batches of 32, on numbers in float32. Times are the best of
several turns, for the first two of each network, and those of the machine that drew the figure. scikit-learn could
train its networks in several processes, which it does not do here.

To try: wider networks, or more of them.
"""

from __future__ import annotations

import timeit
import warnings
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import fnnfast as fnn

NETWORKS, EPOCHS = 64, 20
TIMED = 8  # networks, since those of scikit-learn take their time


def networks(widths: list[int]) -> list[fnn.Sequential]:
    layers = [[fnn.Input(64), fnn.Dense(width, "relu"), fnn.Dense(10, "softmax")] for width in widths]
    return [fnn.Sequential(of_one, seed=seed) for seed, of_one in enumerate(layers)]


def best_time(call: Callable[[], None], repeats: int) -> float:
    """The shortest of several turns, since what else a machine does can only make them longer."""
    return min(timeit.repeat(call, number=1, repeat=repeats))


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

    alone, together = networks(widths), networks(widths)
    for net, optimizer, seed in zip(alone, optimizers, seeds, strict=True):
        net.fit(*train, optimizer=optimizer, epochs=EPOCHS, seed=seed, progress=False)
    fnn.fit_many(together, *train, optimizer=optimizers, epochs=EPOCHS, seed=seeds, progress=False)

    def with_sklearn(i: int) -> None:
        settings = {"batch_size": 32, "learning_rate_init": rates[i], "max_iter": EPOCHS, "n_iter_no_change": EPOCHS}
        MLPClassifier((widths[i],), **settings).fit(*train)

    def with_fit(i: int) -> None:
        [net] = networks(widths[i : i + 1])
        net.fit(*train, optimizer=optimizers[i], epochs=EPOCHS, seed=0, progress=False)

    def side_by_side() -> None:
        some = networks(widths[:TIMED])
        fnn.fit_many(some, *train, optimizer=optimizers[:TIMED], epochs=EPOCHS, seed=0, progress=False)

    seconds = {
        "scikit-learn": sum(best_time(lambda i=i: with_sklearn(i), 2) for i in range(TIMED)),
        "fit, one by one": sum(best_time(lambda i=i: with_fit(i), 20) for i in range(TIMED)),
        "fit_many": best_time(side_by_side, 40),
    }

    accuracy = np.array([net.evaluate(*held_out)["accuracy"] for net in together])
    best = int(accuracy.argmax())
    print(f"best of {NETWORKS}: {accuracy[best]:.1%}, width {widths[best]}, learning rate {rates[best]:.2g}")
    print(f"{TIMED} networks, {fnn.get_num_threads()} threads:", end=" ")
    print(", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4), width_ratios=[1.6, 1])
    points = left.scatter(rates, widths, c=100 * accuracy, cmap="viridis", vmin=80, s=40)
    left.plot(rates[best], widths[best], "o", ms=12, mfc="none", mec="C3", mew=2)
    left.set(xscale="log", xlabel="learning rate", ylabel="width", title=f"{NETWORKS} networks, the best ringed")
    figure.colorbar(points, label="accuracy on held-out digits, %", extend="min")
    bars = right.barh(list(seconds)[::-1], list(seconds.values())[::-1], color=["C0", "C0", "0.6"], height=0.6)
    right.bar_label(bars, fmt=" %.2g s")
    right.set(title=f"Time of {TIMED} networks, {fnn.get_num_threads()} threads", xlabel="seconds")
    right.set(xlim=(0, 1.2 * max(seconds.values())))
    right.grid(visible=False, axis="y")
    save(figure, __file__)

    for one, other in zip(alone, together, strict=True):
        for name, values in one.parameters.items():
            assert np.array_equal(values, other.parameters[name]), f"{name}: expected the same bits side by side"
    assert accuracy[best] > 0.95, f"expected the best above 95%, got {accuracy[best]:.1%}"


if __name__ == "__main__":
    main()
