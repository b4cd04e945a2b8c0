"""Maxout pieces
=============

One maxout unit learns its own activation: two linear pieces make ReLU or ``|x|``, five come close to x^2.

Each panel shows the pieces (grey lines) and their maximum, which is the whole network; any convex function can be
approximated so. The last one shows by how much x^2 is missed: with P pieces on [-1, 1] nobody can be closer in the mean
square than lines that fit P equal parts, 4 / (P^2 sqrt 180). A piece that wins nowhere gets no gradient, and from six
pieces on training leaves one behind.
"""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

X = np.linspace(-1, 1, 257)[:, None]
EPOCHS = 1500
TARGETS: list[tuple[str, int, Callable[[np.ndarray], np.ndarray]]] = [
    ("ReLU", 2, lambda x: np.maximum(x, 0)),
    ("|x|", 2, np.abs),
    ("$x^2$", 5, np.square),
]


def learned(pieces: int, target: np.ndarray) -> tuple[fnn.Sequential, float]:
    """The best of six starts, and its root mean square error."""
    best, least = None, np.inf
    for seed in range(6):
        net = fnn.Sequential([fnn.Input(1), fnn.Maxout(1, pieces=pieces)], dtype="float64", seed=seed)
        schedule = fnn.CosineDecay(EPOCHS)
        net.fit(X, target, None, fnn.Adam(0.01), EPOCHS, 64, schedule=schedule, seed=seed, progress=False)
        error = float(np.sqrt(np.mean((net(X) - target) ** 2)))
        if error < least:
            best, least = net, error
    assert best is not None
    return best, least


def main() -> None:
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.2))
    for (name, pieces, f), ax in zip(TARGETS, axes, strict=False):
        net, error = learned(pieces, f(X))
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
    errors = np.array([learned(pieces, X**2)[1] for pieces in counts])
    limits = 4 / counts**2 / np.sqrt(180)
    axes[3].semilogy(counts, errors, "C0o", label="learned")
    axes[3].semilogy(counts, limits, "k--", lw=1, label="the best there is")
    axes[3].set(title="error on $x^2$", xlabel="pieces", xticks=counts)
    axes[3].legend()
    save(figure, __file__)

    for pieces, error, limit in zip(counts, errors, limits, strict=True):
        print(f"{pieces} pieces on x^2: error {error:.5f}, at best {limit:.5f}")
    assert (errors > 0.98 * limits).all(), "nothing is better than the best"  # 0.98: at 257 points, not all reals
    assert (errors[:5] < 1.25 * limits[:5]).all(), "up to five pieces should come close to the best"


if __name__ == "__main__":
    main()
