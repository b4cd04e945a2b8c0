"""Hidden sizes and regularisation
===============================

CS231n's two figures on the size of a network, measured over sixteen data sets: with L2 the size no longer matters.

The course shows what networks of 3, 6 and 20 hidden neurons make of a few points in the plane: the larger, the more
complicated the regions, and 20 neurons reach for each stray point. One could take a small network, then. The notes
advise against it: control overfitting by regularisation, not by the number of neurons, as their second figure does
with 20 neurons and three strengths of L2. L2 adds to the loss half the sum of the squared weights, times its strength::

    loss + l2 / 2 * sum of w^2

The data here are eighty points of two interleaved arcs, six of them with the wrong label (ringed). The nine panels show
the predicted probability of the orange class for one data set, its line of 1/2, and how many of other points, with
right labels, the network gets right. From left to right the network grows, from top to bottom L2 does. The curves show
that share over the strength of L2 for sixteen data sets, the mean with twice its standard error; the set in the panels
is the one whose shares are nearest to the means.

Look at the left end first: without L2 the largest network is the worst on points that it has not seen. With L2 of 0.001
to 0.003 all three are better than they were, and the three sizes differ by less than the error bars: the network
may be large. Too much of it, 0.01, takes the bend out of the line. That the large network with L2 is better than the
small ones with as much is not so here: the task is too simple for that.

To try: 100 hidden neurons, or twice as many points.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.colors import LinearSegmentedColormap, ListedColormap

import fnnfast as fnn

EPOCHS, SETS, POINTS, WRONG = 1000, 16, 80, 6
SIZES = {3: ("C2", "^"), 6: ("C4", "s"), 20: ("k", "o")}
STRENGTHS = (0.0, 0.0003, 0.001, 0.003, 0.01)
SHOWN = (0.0, 0.001, 0.01)
SHADES = LinearSegmentedColormap.from_list("probability", ["#7FB2D9", "white", "#FFB873"])


def arcs(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n points of two half circles, the second upside down and shifted, with noise."""
    angle, label = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    up = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(label[:, None] == 0, up, [1, 0.5] - up)
    return x + 0.2 * rng.standard_normal((n, 2)), label


def data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points with some wrong labels, the first ones, and others with the right ones."""
    rng = np.random.default_rng(seed)
    x, y = arcs(POINTS, rng)
    y[:WRONG] = 1 - y[:WRONG]
    return x, y, *arcs(1000, rng)


def trained(seed: int) -> dict[tuple[int, float], fnn.Sequential]:
    """Networks of all sizes and strengths of L2, from the same seed."""
    settings = [(units, l2) for units in SIZES for l2 in STRENGTHS]
    nets = [
        fnn.Sequential([fnn.Input(2), fnn.Dense(units, "tanh"), fnn.Dense(1, "sigmoid")], seed=seed)
        for units, _ in settings
    ]
    x, y, _, _ = data(seed)
    options = {"schedule": fnn.CosineDecay(EPOCHS), "seed": seed, "progress": False}
    fnn.fit_many(nets, x, y, None, fnn.Adam(0.1), EPOCHS, 20, l2=[l2 for _, l2 in settings], **options)
    return dict(zip(settings, nets, strict=True))


def main() -> None:
    figure, axes = plt.subplot_mosaic(
        [[f"{l2:g} {units}" for units in SIZES] + ["curves"] for l2 in SHOWN],
        figsize=(9.6, 5),
        width_ratios=[1, 1, 1, 1.7],
    )
    networks = [trained(seed) for seed in range(SETS)]

    right = {}
    for settings in networks[0]:
        found = [net[settings].evaluate(*data(seed)[2:])["accuracy"] for seed, net in enumerate(networks)]
        right[settings] = 100 * np.array(found)
    table = np.stack(list(right.values()))
    typical = int(np.argmin(((table - table.mean(axis=1, keepdims=True)) ** 2).sum(axis=0)))
    x, y, _, _ = data(typical)
    x1, x2 = np.meshgrid(np.linspace(-1.7, 2.7, 111), np.linspace(-1.2, 1.7, 74))
    plane = np.stack([x1.ravel(), x2.ravel()], axis=1)
    for l2 in SHOWN:
        for units in SIZES:
            net, ax = networks[typical][units, l2], axes[f"{l2:g} {units}"]
            p = net(plane).reshape(x1.shape)
            ax.imshow(p, cmap=SHADES, vmin=0, vmax=1, origin="lower", extent=(-1.7, 2.7, -1.2, 1.7), aspect="auto")
            ax.contour(x1, x2, p, levels=[0.5], colors="k", linewidths=1)
            ax.scatter(*x.T, c=y, cmap=ListedColormap(["C0", "#D95F02"]), s=7)
            ax.scatter(*x[:WRONG].T, facecolors="none", edgecolors="k", s=28, lw=0.8)
            ax.set(xticks=[], yticks=[])
            share = f"{right[units, l2][typical]:.0f}% right"
            ax.set_title(f"{units} neurons\n{share}" if l2 == SHOWN[0] else share, fontsize="small")
            if units == 3:
                ax.set_ylabel(f"L2 {l2:g}" if l2 else "no L2")

    places = np.arange(len(STRENGTHS))
    for shift, (units, (colour, marker)) in zip((-0.06, 0, 0.06), SIZES.items(), strict=True):
        mean = np.array([right[units, l2].mean() for l2 in STRENGTHS])
        error = np.array([right[units, l2].std(ddof=1) for l2 in STRENGTHS]) / np.sqrt(SETS)
        style = {"color": colour, "marker": marker, "capsize": 3, "label": f"{units} neurons"}
        axes["curves"].errorbar(places + shift, mean, 2 * error, **style)
        print(f"{units} neurons:", ", ".join(f"{m:.1f}% +- {e:.1f}" for m, e in zip(mean, error, strict=True)))
    axes["curves"].set(title=f"{SETS} data sets: points not seen", ylabel="right, %", xlabel="L2")
    axes["curves"].set_xticks(places, [f"{l2:g}" for l2 in STRENGTHS])
    axes["curves"].legend(loc="lower left")
    save(figure, __file__)

    mean = {settings: found.mean() for settings, found in right.items()}
    spread = {l2: np.ptp([mean[units, l2] for units in SIZES]) for l2 in STRENGTHS}
    won = int(np.sum(right[20, 0.001] > right[20, 0.0]))
    print("largest difference between sizes:", ", ".join(f"{s:.1f} with {l2:g}" for l2, s in spread.items()))
    print(f"20 neurons: L2 of 0.001 better than none on {won} of {SETS} data sets")
    assert mean[20, 0.0] < min(mean[3, 0.0], mean[6, 0.0]) - 1, f"without L2 the largest should be the worst: {mean}"
    assert mean[20, 0.001] > mean[20, 0.0] + 3, f"expected L2 to help the largest network, got {mean}"
    assert spread[0.001] < spread[0.0], f"expected L2 to bring the sizes together, got {spread}"
    assert max(mean[units, 0.01] for units in SIZES) < mean[20, 0.001] - 3, f"0.01 should be too much, got {mean}"


if __name__ == "__main__":
    main()
