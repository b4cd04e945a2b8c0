"""CS231n's forward passes
=======================

CS231n's forward passes, written by hand in NumPy and given to fnnfast: the same numbers, and the time of both.

The 3-layer example of the course is three inputs, twice four sigmoid neurons, one output; its 2-layer one is
s = W2 max(0, W1 x), 3072 pixels to 100 to 10 scores. The course stands inputs and outputs in columns, so its matrices
are the transposes of the weights here. Left, the ten scores of an image by both; right, the time of a forward pass.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

BATCHES = (1, 4, 16, 64, 256)


def network(sizes: tuple[int, ...], hidden: str, rng: np.random.Generator) -> tuple[fnn.Sequential, list[np.ndarray]]:
    """A network of these sizes, and W1, b1, W2, b2, ... as the course writes them, columns and all."""
    layers = [fnn.Dense(units, hidden) for units in sizes[1:-1]]
    net = fnn.Sequential([fnn.Input(sizes[0]), *layers, fnn.Dense(sizes[-1])])
    by_hand = []
    for layer, (inputs, units) in enumerate(pairwise(sizes), start=1):
        w = (rng.standard_normal((units, inputs)) / np.sqrt(inputs)).astype(np.float32)
        b = rng.standard_normal((units, 1)).astype(np.float32)
        net.parameters[f"dense_{layer}.weight"] = w.T
        net.parameters[f"dense_{layer}.bias"] = b[:, 0]
        by_hand += [w, b]
    return net, by_hand


def microseconds(contenders: dict[str, Callable[[np.ndarray], object]], x: np.ndarray) -> dict[str, float]:
    """The best of many calls, taking turns, since what disturbs a process can only make it slower."""
    best = dict.fromkeys(contenders, np.inf)
    for _ in range(15):
        for name, call in contenders.items():
            best[name] = min(best[name], *timeit.repeat(lambda call=call: call(x), number=1, repeat=5))
    return {name: seconds * 1e6 for name, seconds in best.items()}


def main() -> None:
    rng = np.random.default_rng(0)

    # f = lambda x: 1.0 / (1.0 + np.exp(-x)), and the rest of the example
    net, (w1, b1, w2, b2, w3, b3) = network((3, 4, 4, 1), "sigmoid", rng)

    def f(x: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-x))

    x = rng.standard_normal((3, 1)).astype(np.float32)
    h1 = f(np.dot(w1, x) + b1)
    h2 = f(np.dot(w2, h1) + b2)
    out = np.dot(w3, h2) + b3
    small = float(np.abs(net(x.T).T - out).max())
    print(f"3-4-4-1: by hand {out.item():.7f}, fnnfast {net(x.T).item():.7f}")

    net, (w1, b1, w2, b2) = network((3072, 100, 10), "relu", rng)
    images = rng.uniform(-1, 1, (max(BATCHES), 3072)).astype(np.float32)

    def scores(columns: np.ndarray) -> np.ndarray:
        return np.dot(w2, np.maximum(0, np.dot(w1, columns) + b1)) + b2

    large = float(np.abs(net(images).T - scores(images.T)).max())
    print(f"3072-100-10: {len(images)} images, largest difference {large:.1e}")

    contenders = {"NumPy by hand": lambda rows: scores(rows.T), "fnnfast": net}
    times = [microseconds(contenders, images[:batch]) for batch in BATCHES]
    for batch, spent in zip(BATCHES, times, strict=True):
        print(f"batch {batch}: " + ", ".join(f"{name} {time:.1f} us" for name, time in spent.items()))

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
    left.bar(np.arange(10), scores(images[:1].T)[:, 0], color="#9CC6E3", label="NumPy by hand")
    left.plot(np.arange(10), net(images[:1])[0], "x", color="k", ms=8, mew=2, label="fnnfast")
    left.set(title="scores of one image, 3072-100-10", xlabel="class", xticks=np.arange(10))
    left.legend()
    for name, style in zip(contenders, ("C1s--", "C0o-"), strict=True):
        right.loglog(BATCHES, [spent[name] for spent in times], style, label=name)
    right.set(title="time of a forward pass", xlabel="batch", ylabel="microseconds")
    right.set_xticks(BATCHES, BATCHES)
    right.minorticks_off()
    right.legend()
    save(figure, __file__)

    # A sum of 3072 products in float32, in another order: sqrt(3072) roundings of numbers around 1, generously.
    tolerance = 16 * np.sqrt(3072) * np.finfo(np.float32).eps
    assert small < 1e-6, f"3-4-4-1 differs by {small:.1e}"
    assert large < tolerance, f"3072-100-10 differs by {large:.1e}, more than rounding explains ({tolerance:.1e})"


if __name__ == "__main__":
    main()
