"""Ensembles
=========

Ensembles: networks that differ only by their seed answer together, better than one, and aware of what is new.

Ensembles raise accuracy (Saito, "Deep Learning from Scratch", chapter 8). `fnn.Ensemble` averages what its networks
predict. Their seeds gave them other first weights and another order of the data, so each errs in its own way, and many
errors are outvoted.

Left: ten networks (thin lines) learn a curve from points with a gap. The line is the ensemble's mean, the band holds
90% of its predictive distribution, whose variance is that of the noise plus that of the members' means. It widens where
nothing was seen: in three ensembles it is 1.4 to 1.5 times as wide in the middle of the gap as among the points. That
is not enough here: about half of the curve (dotted) in the gap lies outside the band, as networks that differ by their
seed alone agree too much. Right: the error on test digits over the number of members, the mean of 50 choices out of
twenty networks with its spread; the dots on the left are the members alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.axes import Axes
from sklearn.datasets import load_digits

import fnnfast as fnn

NOISE, GAP = 0.1, (-1, 1)
SIZES = np.array([1, 2, 3, 5, 8, 12, 20])


def regression(ax: Axes) -> np.ndarray:
    """Of three ensembles the intervals' widths, on the left and in the gap, and their share of the curve in the gap.

    The first ensemble is drawn.
    """
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-3, GAP[0], 60), rng.uniform(GAP[1], 3, 40)])[:, None]
    y = np.sin(2 * x) + rng.normal(0, NOISE, x.shape)
    layers = [fnn.Dense(64, "tanh"), fnn.Dense(64, "tanh"), fnn.Dense(1)]
    nets = [fnn.Sequential([fnn.Input(1), *layers], seed=seed) for seed in range(30)]
    settings = {"schedule": fnn.CosineDecay(500), "seed": list(range(30)), "progress": False}
    fnn.fit_many(nets, x, y, None, fnn.Adam(0.01), 500, **settings)

    grid = np.linspace(-4, 4, 321)
    curve, within = np.sin(2 * grid), (grid > GAP[0]) & (grid < GAP[1])
    parts = (grid > -3) & (grid < GAP[0]), np.abs(grid) < 0.5
    found = []
    for first in (0, 10, 20):
        members = nets[first : first + 10]
        predicted = fnn.Ensemble(members).distribution(grid[:, None], precision=1 / NOISE**2)
        low, high = (bound[:, 0] for bound in predicted.interval(0.9))
        held = (low < curve) & (curve < high)
        found.append([*((high - low)[part].mean() for part in parts), held[within].mean()])
        if not first:
            ax.fill_between(grid, low, high, color="C0", alpha=0.2, lw=0, label="90% interval")
            ax.plot(grid, np.hstack([net(grid[:, None]) for net in members]), color="0.6", lw=0.6)
            ax.plot(grid, predicted.mean, "C0", lw=2, label="ensemble of 10")
    ax.plot(grid, curve, "k:", lw=1, label="sin 2x")
    ax.plot(x, y, "k.", ms=4, label="points")
    ax.set(title="One curve, ten networks", xlabel="x", ylabel="y", ylim=(-1.5, 2.6))
    ax.legend(loc="upper left", ncols=2, columnspacing=1)
    return np.array(found)


def digits(ax: Axes) -> tuple[np.ndarray, float]:
    """The errors of the members and of all of them together."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    layers = [fnn.Dense(64, "leaky_relu"), fnn.Dense(64, "leaky_relu"), fnn.Dense(10, "softmax")]
    nets = [fnn.Sequential([fnn.Input(64), *layers], seed=seed) for seed in range(int(SIZES[-1]))]
    for seed, net in enumerate(nets):
        net.fit(x[:600], y[:600], epochs=40, seed=seed, progress=False)

    def error(members: Iterable[int]) -> float:
        return float(np.mean(fnn.Ensemble([nets[i] for i in members]).predict(x[600:]) != y[600:]))

    rng = np.random.default_rng(0)
    errors = np.array([[error(rng.permutation(len(nets))[:size]) for _ in range(50)] for size in SIZES])
    alone = np.array([error([i]) for i in range(len(nets))])
    ax.plot(np.ones_like(alone), alone, "o", color="0.7", ms=4, label="members alone")
    ax.errorbar(SIZES, errors.mean(axis=1), errors.std(axis=1), fmt="C0o-", capsize=3, label="ensemble")
    ax.set(title="Error on 1,197 test digits", xlabel="members", xticks=SIZES)
    ax.set(ylim=(0, 0.041), yticks=np.arange(5) / 100)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend()
    return alone, float(errors[-1, 0])


def main() -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    found = regression(left)
    for seen, gap, held in found:
        print(f"width of the 90% interval: {seen:.2f} among points, {gap:.2f} in the gap, with {held:.0%} of the curve")
    wider, held = found[:, 1] / found[:, 0], found[:, 2]
    alone, together = digits(right)
    print(f"error of a member {alone.mean():.2%} (from {alone.min():.2%} to {alone.max():.2%}), ", end="")
    print(f"of {len(alone)} together {together:.2%}")
    save(figure, __file__)

    assert wider.min() > 1.2, f"expected intervals in the gap > 1.2 times as wide, got {wider}"
    assert held.max() < 0.8, f"expected a part of the curve outside of the intervals in the gap, got {held}"
    assert together < 0.9 * alone.mean(), f"error: expected < 0.9 of a member's {alone.mean():.2%}, got {together:.2%}"


if __name__ == "__main__":
    main()
