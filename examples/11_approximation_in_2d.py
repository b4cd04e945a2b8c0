"""Universal approximation in two dimensions
=========================================

A surface over the plane, and what 1, 4, 16, 64 and 256 hidden neurons make of it.

The slides on feedforward networks state the theorem for R^n: one hidden layer, with enough neurons, comes as close to a
continuous function on a compact set as one likes, under mild assumptions on the activation. On a line that is example
``10_universal_approximation``. In the plane each sigmoid neuron is a step along a straight edge of any direction, and
of such steps the network has to make hills and valleys::

    g(x) = sum_i c_i sigmoid(w_i x + b_i) + c

Barron ("Universal approximation bounds for superpositions of a sigmoidal function", 1993) adds how fast: for functions
that are smooth in a certain sense the root mean square error of the best n neurons falls at least as 1 / sqrt(n), in
any dimension.

Top: the surface, and what the first of eight starts learned of it at each width; below, what is left to learn. Right:
the root mean square error on a grid of new points, mean of the starts with its standard error. The steps start spread
over the square, in random directions. That matters: the theorem says that good weights exist, not that training finds
them. From the usual start, where weights are so small that most neurons are nearly linear over the square, training of
the same length gets no lower than 0.12, with 16 neurons. Look for: single edges in the fits of 1 and 4 neurons. Try:
``tanh``, or a continuous surface with a sharp ridge.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import mean_and_error

import fnnfast as fnn

WIDTHS = (1, 4, 16, 64, 256)
SEEDS = range(8)
POINTS, EPOCHS = 2000, 200
GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, 81)] * 2), axis=-1)


def f(x: np.ndarray) -> np.ndarray:
    """Waves, a hill and a hole, over points (..., 2)."""
    across, up = np.moveaxis(x, -1, 0)
    hill = np.exp(-10 * ((across - 0.4) ** 2 + (up + 0.5) ** 2))
    hole = np.exp(-10 * ((across + 0.5) ** 2 + (up - 0.4) ** 2))
    return np.sin(4 * across) * np.cos(3 * up) + hill - hole


def network(width: int, seed: int, spread: bool) -> fnn.Sequential:
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(width, "sigmoid"), fnn.Dense(1)], seed=seed)
    if spread:  # each edge passes through a random point in a random direction; steeper where there are more
        rng = np.random.default_rng(seed)
        angles, through = rng.uniform(0, 2 * np.pi, width), rng.uniform(-1, 1, (width, 2))
        weight = min(3 + width**0.5, 8) * np.stack([np.cos(angles), np.sin(angles)])
        net.parameters["dense_1.weight"] = weight
        net.parameters["dense_1.bias"] = -np.sum(through.T * weight, axis=0)
    return net


def fits(width: int, spread: bool) -> np.ndarray:
    """What networks of that width answer on the grid after training, (seeds, 81, 81)."""
    x = np.random.default_rng(0).uniform(-1, 1, (POINTS, 2))
    nets = [network(width, seed, spread) for seed in SEEDS]
    settings = {"schedule": fnn.CosineDecay(EPOCHS), "seed": list(SEEDS), "progress": False}
    fnn.fit_many(nets, x, f(x), "mse", fnn.Adam(0.02), EPOCHS, 50, **settings)
    return np.array([net(GRID.reshape(-1, 2)).reshape(GRID.shape[:2]) for net in nets])


def main() -> None:
    target = f(GRID)
    shown, errors = {}, {}
    for spread in (True, False):
        for width in WIDTHS:
            found = fits(width, spread)
            rms = np.sqrt(np.mean((found - target) ** 2, axis=(1, 2)))
            shown[spread, width], errors[spread, width] = found[0], mean_and_error(rms)
            print(f"{width} neurons, {'spread' if spread else 'usual'} start: error", end=" ")
            print(f"{errors[spread, width][0]:.4f} +- {errors[spread, width][1]:.4f}, best {rms.min():.4f}")

    figure = plt.figure(figsize=(11, 3.4))
    left, right = figure.subfigures(1, 2, width_ratios=[2.3, 1])
    axes, error = left.subplots(2, 6), right.subplots()
    style = {"cmap": "RdBu_r", "vmin": -1.5, "vmax": 1.5, "origin": "lower", "extent": (-1, 1, -1, 1)}
    image = axes[0, 0].imshow(target, **style)
    axes[0, 0].set_title("target")
    for width, (top, bottom) in zip(WIDTHS, axes.T[1:], strict=True):
        top.imshow(shown[True, width], **style)
        top.set_title(f"{width} neuron{'s' * (width > 1)}")
        bottom.imshow(target - shown[True, width], **style)
        bottom.set_xlabel(f"rms {np.sqrt(np.mean((target - shown[True, width]) ** 2)):.4f}", fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
    axes[1, 1].set_ylabel("what is left")
    axes[1, 0].set_axis_off()
    left.colorbar(image, ax=axes[1, 0], location="left", fraction=0.4, ticks=[-1, 0, 1])

    for spread, colour in ((False, "0.5"), (True, "C0")):
        means, bars = zip(*(errors[spread, width] for width in WIDTHS), strict=True)
        error.errorbar(WIDTHS, means, bars, fmt="o-", color=colour, capsize=3)
    error.loglog(WIDTHS, 0.5 / np.sqrt(WIDTHS), "k--", lw=1)
    error.text(85, 0.2, "usual start", color="0.5")
    error.text(9, 0.012, "steps spread\nat the start", color="C0", ha="center")
    error.text(110, 0.06, r"$1 / \sqrt{n}$")
    error.set(title="root mean square error", xlabel="hidden neurons", xscale="log", yscale="log", ylim=(0.002, 1))
    error.set_xticks(WIDTHS, WIDTHS)
    error.minorticks_off()
    save(figure, __file__)

    means = np.array([errors[True, width][0] for width in WIDTHS])
    assert (means[1:] < 0.9 * means[:-1]).all(), f"expected a lower error at each width, got {means}"
    assert means[-1] < 0.01 < 0.4 < means[0], f"expected 256 neurons to come close, and one not to, got {means}"
    rate = np.polyfit(np.log(WIDTHS), np.log(means), 1)[0]
    print(f"the error falls as n to the power of {rate:.2f}")
    assert rate < -0.5, f"expected a fall faster than 1 / sqrt(n), got a power of {rate:.2f}"
    usual = min(errors[False, width][0] for width in WIDTHS)
    assert usual > 0.05, f"usual start: expected an error > 0.05 at every width, got {usual:.3f}"


if __name__ == "__main__":
    main()
