"""Maxout pieces
=============

One maxout unit learns its own activation: two linear pieces make ReLU or ``|x|``, five come close to x^2.

A maxout unit is ``max_i (w_i x + b_i)``. Each panel shows the pieces (grey lines) and their maximum, which is the whole
network; any convex function can be approximated so (Goodfellow et al., "Maxout networks", 2013). The last panel shows
by how much x^2 is missed: with P pieces on [-1, 1] nobody can be closer in the mean square than lines that fit P equal
parts, ``4 / (P^2 sqrt 180)``.

A piece that wins nowhere gets no gradient. Biases start at 0 here, so that all pieces begin in one point and none lies
below the others everywhere. Even so only 9 of 20 starts end with all of five pieces in use, and none of them with all
of six. From random biases, which are the default, none ends with all of five. The best of the 20 starts is drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

X = np.linspace(-1, 1, 257)[:, None]
EPOCHS, STARTS = 1000, 20
TARGETS: list[tuple[str, int, Callable[[np.ndarray], np.ndarray]]] = [
    ("ReLU", 2, lambda x: np.maximum(x, 0)),
    ("|x|", 2, np.abs),
    ("$x^2$", 5, np.square),
]


def learned(pieces: int, target: np.ndarray, bias_init: str = "zeros") -> tuple[fnn.Sequential, float, np.ndarray]:
    """The best of the starts, its root mean square error, and how many pieces every start has in use at the end."""
    best, least, used = None, np.inf, []
    for seed in range(STARTS):
        unit = fnn.Maxout(1, pieces, bias_init=bias_init)
        net = fnn.Sequential([fnn.Input(1), unit], dtype="float64", seed=seed)
        schedule = fnn.CosineDecay(EPOCHS)
        net.fit(X, target, None, fnn.Adam(0.01), EPOCHS, 64, schedule=schedule, seed=seed, progress=False)
        _, winners = fnn.maxout_forward(X, *net.parameters.values())
        used.append(len(np.unique(winners)))
        error = float(np.sqrt(np.mean((net(X) - target) ** 2)))
        if error < least:
            best, least = net, error
    assert best is not None
    return best, least, np.array(used)


def main() -> None:
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.2))
    for (name, pieces, f), ax in zip(TARGETS, axes, strict=False):
        net, error, _ = learned(pieces, f(X))
        slopes, offsets = (net.parameters[f"maxout_1.{kind}"].ravel() for kind in ("weight", "bias"))
        ax.plot(X, X * slopes + offsets, "0.65", lw=1)
        ax.plot(X, f(X), "C1", lw=4, alpha=0.6, label=name)
        ax.plot(X, net(X), "C0", lw=1.8, label="maximum")
        ax.set(
            title=f"{name}, {pieces} pieces: error {error:.4f}",
            xlabel="x",
            xticks=(-1, 0, 1),
            ylim=(-0.6, 1.3),
            yticks=(0, 1),
        )
        ax.legend(loc="upper center", handlelength=1.5)
        print(f"{name} with {pieces} pieces: error {error:.5f}")
        assert error < 0.02, f"{pieces} pieces missed {name} by {error:.3f}"

    counts = np.arange(1, 7)
    _, errors, used = zip(*(learned(pieces, X**2) for pieces in counts), strict=True)
    all_used = [int(np.sum(use == pieces)) for pieces, use in zip(counts, used, strict=True)]
    *_, by_default = learned(5, X**2, bias_init="torch")
    limits = 4 / counts**2 / np.sqrt(180)
    axes[3].semilogy(counts, errors, "C0o", label="learned")
    axes[3].semilogy(counts, limits, "k--", lw=1, label="the best there is")
    axes[3].set(title="error on $x^2$", xlabel="pieces", xticks=counts)
    axes[3].legend()
    save(figure, __file__)

    for pieces, error, limit, count in zip(counts, errors, limits, all_used, strict=True):
        print(f"{pieces} pieces on x^2: error {error:.5f}, at best {limit:.5f}; all in use: {count} of {STARTS} starts")
    print(f"5 pieces from random biases: all in use in {np.sum(by_default == 5)} of {STARTS} starts")
    ratio = errors / limits
    assert (ratio > 0.98).all(), "nothing is better than the best"  # 0.98: at 257 points, not all reals
    assert (ratio[:5] < 1.1).all(), f"up to five pieces should come close to the best, got {ratio} times its error"
    assert all_used[4] > np.sum(by_default == 5) + 3, f"biases of 0 should keep more pieces: {all_used}, {by_default}"


if __name__ == "__main__":
    main()
