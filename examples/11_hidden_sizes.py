"""Hidden sizes and regularisation
===============================

CS231n's two figures on the size of a network: hidden sizes, and regularisation instead of a small size.

Eighty points of two interleaved arcs, six of them with the wrong label, and the regions into which trained networks
divide the plane. Top: 3, 6 and 20 hidden neurons. The largest gets every point right, with fingers that reach for the
wrong ones, and is for that worse on points it has not seen, which are labelled right. Bottom: the largest again with L2
regularisation, from weak to strong. The regions get smoother, and in between the large network is the best of all.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.colors import ListedColormap

import fnnfast as fnn

EPOCHS = 3000
SETTINGS = [(3, 0.0), (6, 0.0), (20, 0.0), (20, 1e-4), (20, 1e-3), (20, 1e-2)]  # hidden neurons, L2
WRONG = 6


def arcs(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n points of two half circles, the second upside down and shifted, with noise."""
    angle, label = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    up = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(label[:, None] == 0, up, [1, 0.5] - up)
    return x + 0.2 * rng.standard_normal((n, 2)), label


def main() -> None:
    rng = np.random.default_rng(0)
    x, y = arcs(80, rng)
    y[:WRONG] = 1 - y[:WRONG]
    x_new, y_new = arcs(4000, rng)
    x1, x2 = np.meshgrid(np.linspace(-1.8, 2.8, 231), np.linspace(-1.2, 1.7, 146))
    plane = np.stack([x1.ravel(), x2.ravel()], axis=1)

    figure, axes = plt.subplots(2, 3, figsize=(9.6, 5.2), sharex=True, sharey=True)
    seen, unseen = {}, {}
    for (units, l2), ax in zip(SETTINGS, axes.flat, strict=True):
        net = fnn.Sequential([fnn.Input(2), fnn.Dense(units, "tanh"), fnn.Dense(1, "sigmoid")], seed=0)
        schedule = fnn.CosineDecay(EPOCHS)
        net.fit(x, y, None, fnn.Adam(0.03), EPOCHS, 20, schedule=schedule, l2=l2, seed=0, progress=False)
        seen[units, l2] = net.evaluate(x, y)["accuracy"]
        unseen[units, l2] = net.evaluate(x_new, y_new)["accuracy"]

        regions = net.predict(plane).reshape(x1.shape)
        ax.contourf(x1, x2, regions, levels=[-0.5, 0.5, 1.5], colors=["#C9DFEF", "#FFDDBF"])
        ax.scatter(*x.T, c=y, cmap=ListedColormap(["C0", "C1"]), s=14)
        ax.scatter(*x[:WRONG].T, facecolors="none", edgecolors="k", s=45, label="wrong label")
        name = f"{units} hidden neurons" + (f", L2 {l2:g}" if l2 else "")
        ax.set_title(f"{name}\nseen {seen[units, l2]:.0%}, unseen {unseen[units, l2]:.1%}")
        ax.set(xticks=[], yticks=[])
        print(f"{name}: right on {seen[units, l2]:.1%} of the points seen, {unseen[units, l2]:.1%} of others")
    axes[0, 0].legend(loc="lower left", handletextpad=0)
    save(figure, __file__)

    assert seen[20, 0] == 1 > seen[3, 0], "twenty neurons should get every point right, and three should not"
    assert unseen[20, 1e-3] > max(unseen[units, 0] for units in (3, 6, 20)), "some regularisation should be the best"
    assert unseen[20, 1e-3] > unseen[20, 1e-2], "and too much of it should not"


if __name__ == "__main__":
    main()
