"""The sign classifier
===================

A 3-layer classifier of hard limits with printed weights: eleven lines, four AND neurons, one OR neuron.

Lectures on feedforward networks print this network, 2-11-4-1, as an example of classification. Its notation is that of
Hagan et al., "Neural Network Design". Every neuron is a symmetric hard limit::

    a = +1 if w x + b >= 0, else -1

Left, the first layer: each neuron answers +1 on one side of a line, the side of the ticks. Its number is that of its
column in (W1)^T, and its colours are those of the AND neurons that use it: seven lines belong to one of them, 5, 8 and
11 to two, 9 to three. Middle, the second layer: an AND neuron adds four answers and subtracts 3, which is at least 0
only if all four are +1. Each is a rectangle, with the numbers of its sides. Right, the third: the OR neuron adds the
four and 3, which is below 0 only if all are -1, and so joins the rectangles into one region that no single line could
bound. Its area follows from the weights: rectangles of 0.5, 0.375, 0.5 and 0.375, less two overlaps of 0.125, are 1.5.

fnnfast answers as the same layers written in NumPy at each of 122,880 points. To try: turn an AND neuron into an OR by
a bias of +3, or leave out line 9 by a zero in W2.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

# As printed in the lecture: the transpose of W1, then b1, W2, b2, W3, b3.
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

COLOURS = ("#0072B2", "#D98200", "#009E73", "#C0508F")  # of the AND neurons
LABELS = ((1.25, 0.05), (2.2, 2.0), (4.6, 2.6), (4.3, -0.35))
LOW, HIGH = -1, 4
BEHIND = {"boxstyle": "circle,pad=0.12", "fc": "white", "ec": "none"}


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


def draw_line(ax: plt.Axes, number: int) -> None:
    """Where the net input is 0, in the colours of the AND neurons that use it by turns, with ticks towards +1."""
    normal = W1_T[:, number] / np.sqrt(2)
    foot, along = -B1[number] / np.sqrt(2) * normal, np.array([1, -normal[0] / normal[1]]) / np.sqrt(2)
    path = foot + np.arange(-8, 8, 0.01)[:, None] * along
    path = path[(path[:, 0] > 0) & (path[:, 0] < 6) & (path[:, 1] > LOW) & (path[:, 1] < HIGH)]
    users = np.flatnonzero(W2[:, number])
    for turn, neuron in enumerate(users):
        dashes = "-" if len(users) == 1 else (8 * turn, (8, 8 * (len(users) - 1)))
        ax.plot(*path[[0, -1]].T, color=COLOURS[neuron], lw=2, ls=dashes)
    for at in path[90:-60:110]:
        ax.plot(*np.transpose([at, at + 0.14 * normal]), color="0.25", lw=1.2)
    end = path[25]  # on the left
    ax.text(*end, f"{number + 1}", ha="center", va="center", fontsize="small", weight="bold").set_bbox(BEHIND)


def main() -> None:
    net = network()
    # Weights and grid are fractions of a power of two: every sum is exact, and so is every answer. The grid is half a
    # step off every line, so that counting its points measures areas.
    step = 1 / 64
    x1, x2 = np.meshgrid(np.arange(step / 2, 6, step), np.arange(-1, 4, step))
    grid = np.stack([x1.ravel(), x2.ravel()], axis=1)
    hidden = net.hidden(grid)
    answer = hidden["dense_3"][:, 0]
    different = int((answer != by_hand(grid)).sum())
    area = (answer > 0).sum() * step**2

    figure, (lines, rectangles, region) = plt.subplots(1, 3, figsize=(9.6, 3.2), sharex=True, sharey=True)
    titles = ("layer 1: eleven lines", "layer 2: four AND neurons", "layer 3: their OR")
    for ax, title in zip((lines, rectangles, region), titles, strict=True):
        ax.set(title=title, xlabel="$x_1$", aspect="equal")
        ax.grid(False)
    lines.set(ylabel="$x_2$", xlim=(0, 6), ylim=(LOW, HIGH))

    for number in range(len(B1)):
        draw_line(lines, number)
    for neuron, (colour, place) in enumerate(zip(COLOURS, LABELS, strict=True)):
        inside = hidden["dense_2"][:, neuron].reshape(x1.shape)
        rectangles.contourf(x1, x2, inside, levels=[0, 2], colors=[colour], alpha=0.45)
        rectangles.contour(x1, x2, inside, levels=[0], colors=[colour], linewidths=2)
        used = ", ".join(str(number + 1) for number in np.flatnonzero(W2[neuron]))
        rectangles.text(*place, f"AND {neuron + 1}\nlines {used}", color=colour, fontsize="small", ha="center")
    region.contourf(x1, x2, answer.reshape(x1.shape), levels=[-2, 0, 2], colors=["#D6E6F2", COLOURS[0]])
    region.text(1.25, 1.25, "+1", ha="center", va="center", color="white", weight="bold")
    region.text(4.7, 1.25, "+1", ha="center", va="center", color="white", weight="bold", fontsize="x-small")
    region.text(3, 3, "-1 outside", ha="center", color="0.3")
    region.text(3, 0, f"area {area:g}", ha="center", color=COLOURS[0])
    save(figure, __file__)

    print(f"{len(grid)} points, {different} answered otherwise than by hand; the region's area is {area:.3f}")
    assert different == 0, f"{different} points differ from the printed network"
    # Four rectangles of 0.5, 0.375, 0.5 and 0.375, less two overlaps of 0.125.
    assert area == 1.5, f"the region should have an area of 1.5, not {area}"


if __name__ == "__main__":
    main()
