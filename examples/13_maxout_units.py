"""Maxout units
============

A maxout network of two maxout units with three linear nodes each, and an output neuron that weighs them.

A maximum of lines is convex, so one unit alone can only be convex or, with a negative weight, concave; a difference of
two is as close to any continuous function as its pieces allow (Goodfellow et al., "Maxout networks", 2013, section 4,
which lecture slides draw as this network). The figure shows the two learned units with their nodes (grey), each times
its weight in the output neuron, then their sum beside the function to learn, and beside what a single unit with all six
nodes learns.

The best of 24 starts is drawn. The biases start at 0, for the reason that "Maxout pieces" gives: then 4 of the starts
end with an error of about 0.03, as the one drawn. From random biases, the default, none of the same 24 came below
0.057, as one of the six nodes or more was never in use.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

X = np.linspace(-1, 1, 257)[:, None]
EPOCHS, STARTS = 1500, 24


def f(x: np.ndarray) -> np.ndarray:
    return np.sin(np.pi * x)


def rms(net: fnn.Sequential) -> float:
    return float(np.sqrt(np.mean((net(X) - f(X)) ** 2)))


def learned(units: int, pieces: int) -> list[fnn.Sequential]:
    """Networks from all starts, the best first; by gradient descent, which keeps more pieces in use than Adam."""
    layers = [fnn.Input(1), fnn.Maxout(units, pieces, bias_init="zeros"), fnn.Dense(1, bias_init="zeros")]
    nets = []
    for seed in range(STARTS):
        net = fnn.Sequential(layers, dtype="float64", seed=seed)
        schedule = fnn.CosineDecay(EPOCHS)
        net.fit(X, f(X), None, fnn.SGD(0.2), EPOCHS, 64, schedule=schedule, seed=seed, progress=False)
        nets.append(net)
    return sorted(nets, key=rms)


def in_use(net: fnn.Sequential) -> list[int]:
    """How many pieces of each unit win somewhere."""
    weight, bias, *_ = net.parameters.values()
    _, winners = fnn.maxout_forward(X, weight, bias)
    return [len(np.unique(unit)) for unit in winners.T]


def main() -> None:
    several, (one, *_) = learned(units=2, pieces=3), learned(units=1, pieces=6)
    two, used = several[0], [in_use(net) for net in several]
    weight, bias, scale, _ = two.parameters.values()

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.5))
    for unit, ax in enumerate(axes[:2]):
        ax.plot(X, scale[unit] * (X * weight[:, 0, unit] + bias[:, unit]), "0.65", lw=1)
        ax.plot(X, scale[unit] * fnn.maxout(X, weight, bias)[:, [unit]], "C0", lw=2.2)
        shape = "convex" if scale[unit, 0] > 0 else "concave"
        ax.set(title=f"unit {unit + 1} times {scale[unit, 0]:.2f}: {shape}", xlabel="x", ylim=(-3, 3))
    ax = axes[2]
    ax.plot(X, f(X), "C1", lw=4, alpha=0.6, label="sin $\\pi$x")
    ax.plot(X, two(X), "C0", lw=2, label=f"both units: error {rms(two):.3f}")
    ax.plot(X, one(X), "0.3", ls="--", label=f"one unit of six: {rms(one):.3f}")
    ax.set(title="their sum", xlabel="x", ylim=(-1.3, 2.4))
    ax.legend(loc="upper left")
    save(figure, __file__)

    print(f"two units of three pieces: error {rms(two):.4f}, pieces in use {used[0]}; one unit of six: {rms(one):.4f}")
    close = sum(rms(net) < 0.04 for net in several)
    print(f"all six pieces in use in {used.count([3, 3])} of {STARTS} starts, error < 0.04 in {close}")
    assert sorted(np.sign(scale[:, 0])) == [-1, 1], "one unit should be subtracted from the other"
    assert rms(two) < 0.05 < 0.3 < rms(one), "two units should come close, and one convex unit cannot"


if __name__ == "__main__":
    main()
