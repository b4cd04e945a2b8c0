"""Indicator bumps
===============

Universal approximation by hand: g(x) = sum_i c_i 1(a_i < x < b_i), CS231n's approximator that nobody would train.

Two steep sigmoids make a bump: one climbs at a, the other, subtracted, at b. Side by side and as high as the function
in the middle of each, bumps add up to any continuous function: a 2-layer network whose weights are written down, not
learned. The last panel shows the price: the error only halves when the number of neurons doubles.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

X = np.linspace(0, 1, 4001)
SLOPE = 4 * np.pi  # a bound on |f'|: 2 pi of the sine, 0.5 * 4 pi of the cosine


def f(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x) + 0.5 * np.cos(4 * np.pi * x) + 1


def bumps(left: np.ndarray, right: np.ndarray, height: np.ndarray, steepness: float) -> fnn.Sequential:
    """A network of len(height) bumps: sigmoid(k (x - left)) - sigmoid(k (x - right)), times height."""
    edges = np.concatenate([left, right])
    layers = [fnn.Dense(len(edges), "sigmoid"), fnn.Dense(1, bias=False)]
    net = fnn.Sequential([fnn.Input(1), *layers], dtype="float64")
    net.parameters["dense_1.weight"] = np.full((1, len(edges)), steepness)
    net.parameters["dense_1.bias"] = -steepness * edges
    net.parameters["dense_2.weight"] = np.concatenate([height, -height])[:, None]
    return net


def approximation(n: int) -> fnn.Sequential:
    """n bumps on [0, 1]; the outermost reach beyond, so that they do not fall where the interval ends."""
    edges = np.linspace(0, 1, n + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    edges[[0, -1]] += (-1, 1)
    return bumps(edges[:-1], edges[1:], f(middle), steepness=100 * n)


def main() -> None:
    figure, (one, many, errors) = plt.subplots(1, 3, figsize=(11, 3.6))
    for steepness, shade in ((20, "C1"), (60, "0.55"), (1000, "C0")):
        net = bumps(np.array([0.4]), np.array([0.6]), np.array([1.0]), steepness)
        one.plot(X, net(X[:, None]), color=shade, label=f"steepness {steepness}")
    one.set(title="one bump: the difference of two sigmoids", xlabel="x", ylim=(-0.05, 1.45))
    one.legend(loc="upper left")

    middle = np.arange(0.025, 1, 0.05)
    many.bar(middle, f(middle), width=0.05, color="C0", alpha=0.25, edgecolor="white")
    many.plot(X, f(X), "C1", lw=2.5, label="f")
    many.plot(X, approximation(20)(X[:, None]), "C0", lw=1.2, label="20 bumps, 40 sigmoids")
    many.set(title="bumps side by side", xlabel="x", ylim=(-0.7, 2.9))
    many.legend(loc="upper right")

    counts = np.array([5, 10, 20, 40, 80, 160, 320])
    worst = np.array([np.abs(approximation(n)(X[:, None])[:, 0] - f(X)).max() for n in counts])
    errors.loglog(counts, worst, "C0o-", label="largest error")
    errors.loglog(counts, SLOPE / counts / 2, "k--", lw=1, label="bound: slope x half a width")
    errors.set(title="the error halves as the bumps double", xlabel="bumps")
    errors.legend()
    save(figure, __file__)

    for n, error in zip(counts, worst, strict=True):
        print(f"{n:4d} bumps: largest error {error:.4f}")
    # Within half a width of a bump's middle f is that close; where two bumps meet, g lies between their heights.
    assert (worst < 1.1 * SLOPE / counts / 2).all(), "the bumps are further off than the slope of f allows"
    assert worst[0] > 40 * worst[-1], f"64 times the bumps only went from {worst[0]:.3f} to {worst[-1]:.3f}"


if __name__ == "__main__":
    main()
