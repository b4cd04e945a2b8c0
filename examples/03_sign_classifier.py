"""The sign classifier
===================

The notes' 3-layer classifier with the symmetric hard limit, 2-11-4-1, with the weights printed there.

Left, the first layer: eleven neurons, eleven lines, a tick on the side where the neuron answers +1. Middle, the second:
four AND neurons, each +1 where all of its lines say so, which makes four rectangles. Right, the third: an OR neuron
that joins them into one region, which no single line could bound.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

# As printed: the transpose of W1, then b1, W2, b2, W3, b3.
W1_T = np.array([[1, -1, 1, -1, 1, -1, 1, -1, -1, 1, 1], [1, -1, -1, 1, -1, 1, -1, 1, -1, 1, 1]])
B1 = np.array([-2, 3, 0.5, 0.5, -1.75, 2.25, -3.25, 3.75, 6.25, -5.75, -4.75])
W2 = np.array(
    [
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 1],
        [0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1],
    ]
)
B2 = np.full(4, -3)
W3, B3 = np.ones((1, 4)), np.array([3])

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


def network() -> fnn.Sequential:
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(11, "sign"), fnn.Dense(4, "sign"), fnn.Dense(1, "sign")])
    for layer, (weight, bias) in enumerate(((W1_T, B1), (W2.T, B2), (W3.T, B3)), start=1):
        net.parameters[f"dense_{layer}.weight"] = weight
        net.parameters[f"dense_{layer}.bias"] = bias
    return net


def by_hand(x: np.ndarray) -> np.ndarray:
    """The same three layers in NumPy."""
    for weight, bias in ((W1_T, B1), (W2.T, B2), (W3.T, B3)):
        x = np.where(x @ weight + bias >= 0, 1, -1)
    return x[:, 0]


def draw_line(ax: plt.Axes, weight: np.ndarray, bias: float) -> None:
    """Where the net input is 0, with ticks towards +1."""
    normal = weight / np.linalg.norm(weight)
    foot, along = -bias / np.linalg.norm(weight) * normal, np.array([-normal[1], normal[0]])
    line = foot + np.array([[-8], [8]]) * along
    ax.plot(*line.T, "0.35", lw=1)
    for at in np.arange(-7.5, 8):
        ax.plot(*np.transpose([foot + at * along, foot + at * along + 0.12 * normal]), "0.35", lw=1)


def main() -> None:
    net = network()
    # Weights and grid are fractions of a power of two: every sum is exact, and so is every answer. The grid is half a
    # step off every line, so that counting its points measures areas.
    step = 1 / 64
    x1, x2 = np.meshgrid(np.arange(step / 2, 6, step), np.arange(-1, 4, step))
    grid = np.stack([x1.ravel(), x2.ravel()], axis=1)
    answer = net(grid)[:, 0]
    different = int((answer != by_hand(grid)).sum())
    area = (answer > 0).sum() * step**2

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), sharex=True, sharey=True)
    titles = ("layer 1: eleven lines", "layer 2: four AND neurons", "layer 3: their OR")
    for ax, title in zip(axes, titles, strict=True):
        ax.set(title=title, xlabel="$x_1$", aspect="equal")
        ax.grid(False)
    axes[0].set(ylabel="$x_2$", xlim=(0, 6), ylim=(-1, 4))

    for weight, bias in zip(W1_T.T, B1, strict=True):
        draw_line(axes[0], weight, bias)
    hidden = fnn.dense(fnn.dense(grid, W1_T, B1, "sign"), W2.T, B2, "sign")
    for neuron, colour in enumerate(COLOURS):
        region = hidden[:, neuron].reshape(x1.shape)
        axes[1].contourf(x1, x2, region, levels=[0, 2], colors=[colour], alpha=0.45)
        axes[1].contour(x1, x2, region, levels=[0], colors=[colour], linewidths=2)
        axes[1].plot([], [], color=colour, lw=6, alpha=0.6, label=f"neuron {neuron + 1}")
    axes[1].legend(loc="upper left")
    axes[2].contourf(x1, x2, answer.reshape(x1.shape), levels=[-2, 0, 2], colors=["#D6E6F2", COLOURS[0]])
    axes[2].text(1.25, 2.15, "+1", ha="center", color=COLOURS[0], fontsize="x-large")
    axes[2].text(1, -0.4, "-1", ha="center", color="0.4", fontsize="x-large")
    save(figure, __file__)

    print(f"{len(grid)} points, {different} answered otherwise than by hand; the region's area is {area:.3f}")
    assert different == 0, f"{different} points differ from the notes' network"
    # Four rectangles of 0.5, 0.375, 0.5 and 0.375, less two overlaps of 0.125.
    assert area == 1.5, f"the region should have an area of 1.5, not {area}"


if __name__ == "__main__":
    main()
