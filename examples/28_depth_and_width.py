"""Depth and width
===============

Why deeper: at equal parameters, depth multiplies what width only adds.

By hand: two ReLU neurons fold the interval [0, 1] in the middle, and each further layer of two folds it once more, so
that L layers make 2^L linear pieces; the same 2 L neurons in one layer, with as many parameters, make 2 L + 1
(Telgarsky, "Representation benefits of deep feedforward networks", 2015). Left, four folds; middle, pieces counted.
Learned: networks of about 600 parameters and one to sixteen hidden layers, on rings in the plane. Right, their errors
on new points from nine starts: the median is 0.21 for one layer and 0.06 for four. Ten layers and more are hard to
optimise: most starts end at 0.70, the error of answering 0 everywhere.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

X = np.arange(2**12 + 1) / 2**12
BUDGET, DEPTHS, SEEDS = 600, (1, 2, 3, 4, 6, 10, 16), 9


def by_hand(weights: list[np.ndarray], biases: list[np.ndarray]) -> fnn.Sequential:
    layers = [fnn.Input(1), *(fnn.Dense(len(bias), "relu") for bias in biases), fnn.Dense(1)]
    net = fnn.Sequential(layers, dtype="float64")
    for layer, (weight, bias) in enumerate(zip(weights, [*biases, np.zeros(1)], strict=True), start=1):
        net.parameters[f"dense_{layer}.weight"] = weight
        net.parameters[f"dense_{layer}.bias"] = bias
    return net


def folded(layers: int) -> fnn.Sequential:
    """2 relu(t) - 4 relu(t - 1/2) is a triangle over [0, 1]; of it again, and again."""
    triangle, both = np.array([[2.0], [-4.0]]), np.ones((1, 2))
    return by_hand([both, *[triangle @ both] * (layers - 1), triangle], [np.array([0, -0.5])] * layers)


def side_by_side(neurons: int) -> fnn.Sequential:
    """A kink for each neuron, spread over the interval, up and down by turns."""
    kinks = X[np.arange(1, neurons + 1) * (len(X) - 1) // (neurons + 1)]
    turns = neurons * np.array([1.0, *np.resize([-2.0, 2.0], neurons - 1)])
    return by_hand([np.ones((1, neurons)), turns[:, None]], [-kinks])


def size(net: fnn.Sequential) -> int:
    return sum(values.size for values in net.parameters.values())


def pieces(net: fnn.Sequential) -> int:
    """How often the slope changes, and one more; exact, as all numbers are fractions of a power of two."""
    return int(np.count_nonzero(np.diff(net(X[:, None])[:, 0], n=2))) + 1


def rings(x: np.ndarray) -> np.ndarray:
    return np.sin(8 * np.hypot(*x.T))


def learned(depth: int) -> tuple[int, list[float]]:
    """The width that keeps to the budget, and the root mean square error on new points from every start."""
    width = min(range(1, BUDGET), key=lambda w: abs(4 * w + 1 + (depth - 1) * w * (w + 1) - BUDGET))
    x, x_new = np.random.default_rng(0).uniform(-1, 1, (2, 2000, 2))
    errors = []
    for seed in range(SEEDS):
        net = fnn.Sequential([fnn.Input(2), *[fnn.Dense(width, "relu")] * depth, fnn.Dense(1)], seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # how the deepest fail
            net.fit(x, rings(x), None, fnn.Adam(0.01), 60, 32, schedule=fnn.CosineDecay(60), seed=seed, progress=False)
        errors.append(float(np.sqrt(np.mean((net(x_new)[:, 0] - rings(x_new)) ** 2))))
    return width, errors


def main() -> None:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.4), width_ratios=[1.1, 1, 1.2])
    for net, style, name in ((side_by_side(8), "C1", "one layer of 8"), (folded(4), "C0", "four layers of 2")):
        left.plot(X, net(X[:, None]), style, lw=2, label=f"{name}: {pieces(net)} pieces")
    left.set(title=f"by hand: 8 neurons, {size(folded(4))} parameters", xlabel="x", ylim=(-0.05, 1.4))

    layers = np.arange(1, 9)
    assert [size(folded(n)) for n in layers] == [size(side_by_side(2 * n)) for n in layers], "sizes should be equal"
    deep, wide = [pieces(folded(n)) for n in layers], [pieces(side_by_side(2 * n)) for n in layers]
    middle.semilogy(2 * layers, deep, "C0o-", label="two a layer", base=2)
    middle.semilogy(2 * layers, wide, "C1s-", label="one layer", base=2)
    middle.set(title="by hand: linear pieces", xlabel="neurons", xticks=2 * layers)

    widths, errors = zip(*map(learned, DEPTHS), strict=True)
    medians = np.median(errors, axis=1)
    right.plot(range(len(DEPTHS)), errors, "C0o", alpha=0.35, mew=0)
    right.plot(medians, "k_", ms=18, mew=2, label="median")
    right.set(title=f"learned: about {BUDGET} parameters, error", xlabel="hidden layers x width")
    right.set_xticks(range(len(DEPTHS)), [f"{depth}x{width}" for depth, width in zip(DEPTHS, widths, strict=True)])
    for ax in (left, middle, right):
        ax.legend(loc="upper left")
    save(figure, __file__)

    print(f"pieces of {2 * layers[-1]} neurons: {deep[-1]} folded, {wide[-1]} side by side")
    for depth, width, median, found in zip(DEPTHS, widths, medians, errors, strict=True):
        print(f"{depth} x {width}: median error {median:.3f}, from {min(found):.3f} to {max(found):.3f}")
    assert deep == [2**n for n in layers], f"each layer should double the pieces: {deep}"
    assert wide == [2 * n + 1 for n in layers], f"each neuron should add one piece: {wide}"
    assert medians.min() < medians[0] / 2, f"a few layers should be far better than one: {medians}"
    assert medians.min() < medians[-1] / 4, f"a few layers should be far better than sixteen: {medians}"


if __name__ == "__main__":
    main()
