"""The scatter of losses
=====================

Small networks end in bad minima, and where depends on luck; large networks all end about equally well.

CS231n gives this as the reason for large networks with regularisation instead of small ones: a small network has few
local minima, but easily ends in one with a high loss, so the losses of several starts scatter widely. A large network
has many more minima, and nearly all are about equally good (Choromanska et al., "The loss surfaces of multilayer
networks", 2015). Here networks with one hidden layer of ReLUs learn two moons by gradient descent, and 40 starts of
each width differ only in their first weights and the order of the points.

Left: the loss of each start after training, with the median; below, the standard deviation of the 40. Two units never
do well. Three to six can do nearly as well as twenty, but a part of the starts does not; from ten on all do. Are the
high losses minima, or only slow? The gradient is small there, and after as many epochs again most of these networks are
where they were. Right: the best and the worst of four units. Some of the bad ones have lost units that died.

To try: ``"tanh"`` for ``"relu"``, and a rate of 0.5. Fewer of the starts of three units end badly then.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from sklearn.datasets import make_moons

import fnnfast as fnn

WIDTHS, STARTS, EPOCHS = (2, 3, 4, 6, 10, 20, 50), 40, 500
SHOWN, BAD = 4, 0.1  # the width on the right, and the loss from which a network is called bad


def network(width: int, seed: int) -> fnn.Sequential:
    return fnn.Sequential([fnn.Input(2), fnn.Dense(width, "relu"), fnn.Dense(1, "sigmoid")], seed=seed)


def train(nets: list[fnn.Sequential], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The losses after training."""
    settings = {"schedule": fnn.CosineDecay(EPOCHS), "seed": list(range(len(nets))), "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # one of the ways to a bad minimum
        fnn.fit_many(nets, x, y, None, fnn.SGD(1), EPOCHS, 50, **settings)
    return np.array([net.evaluate(x, y)["loss"] for net in nets])


def slope(net: fnn.Sequential, x: np.ndarray, y: np.ndarray) -> float:
    """The norm of the gradient of the loss."""
    gradients = fnn.Trainer(net).gradients(x, y)
    return float(np.sqrt(sum(np.sum(np.square(values)) for values in gradients.values())))


def draw(ax: Axes, net: fnn.Sequential, x: np.ndarray, y: np.ndarray) -> None:
    x1, x2 = np.meshgrid(np.linspace(-2.4, 2.4, 161), np.linspace(-2.6, 2.6, 161))
    regions = net.predict(np.stack([x1.ravel(), x2.ravel()], axis=1)).reshape(x1.shape)
    ax.contourf(x1, x2, regions, levels=[-0.5, 0.5, 1.5], colors=["#C9DFEF", "#FFDDBF"])
    ax.scatter(*x.T, c=y, cmap=ListedColormap(["C0", "C1"]), s=6)
    ax.set(xticks=[], yticks=[])


def main() -> None:
    x, y = make_moons(200, noise=0.15, random_state=0)
    x = (x - x.mean(axis=0)) / x.std(axis=0)

    figure = plt.figure(figsize=(9.6, 4.4))
    left, best, worst = figure.subplot_mosaic([["losses", "best"], ["losses", "worst"]], width_ratios=[3, 1]).values()
    deviations, bad, shifts = {}, [], np.random.default_rng(0).uniform(-0.25, 0.25, STARTS)
    for place, width in enumerate(WIDTHS):
        nets = [network(width, seed) for seed in range(STARTS)]
        losses = train(nets, x, y)
        deviations[width] = losses.std(ddof=1)
        bad += [net for net, loss in zip(nets, losses, strict=True) if loss > BAD]
        print(f"{width} units: loss {losses.min():.3f} to {losses.max():.3f}, median {np.median(losses):.3f}", end=", ")
        print(f"standard deviation {deviations[width]:.4f}, {np.mean(losses > BAD):.0%} above {BAD}")
        left.plot(place + shifts, losses, "C0o", ms=4, alpha=0.5, mew=0)
        left.plot(place, np.median(losses), "k_", ms=26, mew=2)
        left.text(place, 0.0115, f"{deviations[width]:.1g}", ha="center", color="C3")
        if width == SHOWN:
            for ax, index, name in ((best, losses.argmin(), "best"), (worst, losses.argmax(), "worst")):
                draw(ax, nets[index], x, y)
                ax.set_title(f"{name} of {SHOWN} units: loss {losses[index]:.3f}")
    left.axhline(np.log(2), color="0.5", ls="--", lw=1)
    left.text(len(WIDTHS) - 0.5, np.log(2) * 0.94, "log 2: guessing", ha="right", va="top", color="0.4")
    left.text(-0.35, 0.0142, "standard deviation:", color="C3")
    title = f"Training loss of {STARTS} starts, and the median"
    left.set(title=title, xlabel="hidden units", ylabel="loss", yscale="log")
    left.set(ylim=(0.01, 0.9), xticks=range(len(WIDTHS)), yticks=[0.02, 0.05, 0.1, 0.2, 0.5])
    left.set_xticklabels(map(str, WIDTHS))
    left.yaxis.set_major_formatter("{x:g}")
    left.minorticks_off()
    save(figure, __file__)

    slopes = [slope(net, x, y) for net in bad]
    stay = np.mean(train(bad, x, y) > BAD)
    print(f"{len(bad)} networks above {BAD}: median norm of the gradient {np.median(slopes):.4f}", end=", ")
    print(f"after as many epochs again {stay:.0%} are still there")
    assert deviations[3] > 0.05, f"3 units: expected losses to scatter, got a deviation of {deviations[3]:.3f}"
    assert deviations[50] < 0.002, f"50 units: expected nearly equal losses, got {deviations[50]:.4f}"
    assert all(deviations[width] < 0.01 < deviations[other] for width in (10, 20, 50) for other in (2, 3, 4, 6))
    assert np.median(slopes) < 0.02, f"expected bad networks to be in minima, got slopes of {np.median(slopes):.3f}"
    assert stay > 0.7, f"expected most bad networks to stay so with more training, got {stay:.0%}"


if __name__ == "__main__":
    main()
