"""Bounding boxes
==============

Regression with four outputs: where on a sheet is the digit, and how large is it?

The slides on feedforward networks name the box around an object as a problem of regression, beside the pose of a body:
several numbers at once, for which the output layer leaves its net inputs as they are (identity), so that they can have
any value. The loss is the squared error of the four, as for one output.

The sheets have 28 x 28 pixels, with a digit of MNIST somewhere, 12 to 24 pixels large before its margins are cut away.
The digits of the test sheets occur on no other. The network, 784-256-64-4, predicts left, top, right and bottom. How
good a box is says the intersection over union, the area that it shares with the true box over the area of both
together::

    IoU = |predicted and true| / |predicted or true|

It is 1 for the same box and 0 for one that misses it; detectors usually count a box above 0.5 as found. Left: the first
test sheets, and those with the lowest IoU; true boxes green, predicted ones orange. Right: the IoU of 2,000 test
sheets, beside that of a single linear layer and of one box for all, the mean. Look for: the worst boxes are of small or
thin digits. The loss counts an error of a pixel alike everywhere, but it is a larger share of a small box. Try: centre,
width and height as outputs.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import mean_and_error, mnist
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

import fnnfast as fnn

SIDE, TRAIN, TEST, EPOCHS = 28, 15_000, 2000, 12
SEEDS = range(3)
STYLES = {"784-256-64-4": ("C1", (0.3, 300)), "linear": ("C4", (0.3, 200)), "a fixed box": ("0.5", (0.1, 250))}


def sheets(digits: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sheets (count, SIDE, SIDE), and their boxes: left, top, right, bottom as shares of the side."""
    pixels, boxes = np.zeros((count, SIDE, SIDE), np.float32), np.empty((count, 4), np.float32)
    for sheet, box in zip(pixels, boxes, strict=True):
        size = rng.integers(12, 25)
        small = Image.fromarray(digits[rng.integers(len(digits))]).resize((size, size), Image.Resampling.BOX)
        digit = np.asarray(small)
        rows, columns = np.nonzero(digit > 0.2)
        digit = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        top, left = rng.integers(0, SIDE + 1 - np.array(digit.shape))
        bottom, right = top + digit.shape[0], left + digit.shape[1]
        sheet[top:bottom, left:right] = digit
        box[:] = left, top, right, bottom
    return pixels, boxes / SIDE


def area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    corners = [np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])]
    both = area(np.concatenate(corners, axis=1))
    return both / (area(one) + area(other) - both)


def network(hidden: tuple[int, ...], seed: int) -> fnn.Sequential:
    layers = [fnn.Dense(units, "relu") for units in hidden]
    return fnn.Sequential([fnn.Input(SIDE, SIDE), *layers, fnn.Dense(4)], seed=seed)


def draw(ax: Axes, sheet: np.ndarray, true: np.ndarray, predicted: np.ndarray, title: str) -> None:
    ax.imshow(sheet, cmap="gray_r", extent=(0, SIDE, SIDE, 0))
    for (left, top, right, bottom), colour in ((true * SIDE, "C2"), (predicted * SIDE, "C1")):
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, lw=2))
    ax.set_title(title, fontsize=9, pad=2)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set(visible=True, color="0.8")


def main() -> None:
    rng = np.random.default_rng(0)
    digits = mnist()[0][..., 0]
    x, y = sheets(digits[:4000], TRAIN, rng)
    x_test, y_test = sheets(digits[4000:], TEST, rng)

    nets = [network((256, 64), seed) for seed in SEEDS] + [network((), 0)]
    settings = {"schedule": fnn.CosineDecay(EPOCHS), "seed": [*SEEDS, 0], "progress": False}
    fnn.fit_many(nets, x, y, "mse", fnn.Adam(0.002), EPOCHS, 50, **settings)
    *predicted, linear = (net(x_test) for net in nets)
    overlap = {
        "784-256-64-4": np.array([iou(boxes, y_test) for boxes in predicted]),
        "linear": iou(linear, y_test)[None],
        "a fixed box": iou(np.tile(y.mean(axis=0), (TEST, 1)), y_test)[None],
    }

    figure = plt.figure(figsize=(11, 4.3))
    left, right = figure.subfigures(1, 2, width_ratios=[1.75, 1])
    axes, histogram = left.subplots(3, 6), right.subplots()
    order = np.argsort(overlap["784-256-64-4"][0])
    for ax, row in zip(axes.flat, [*range(12), *order[:6]], strict=True):
        draw(ax, x_test[row], y_test[row], predicted[0][row], f"{overlap['784-256-64-4'][0, row]:.2f}")
    for ax, name in zip(axes[:, 0], ("unseen sheets", "unseen sheets", "lowest IoU"), strict=True):
        ax.set_ylabel(name)

    left.suptitle("True boxes green, predicted orange; above, their IoU", fontsize="medium")

    found = {}
    for (name, values), (colour, place) in zip(overlap.items(), STYLES.values(), strict=True):
        found[name] = float(np.mean(values > 0.5))
        print(f"{name}: mean IoU {values.mean():.3f}, above 0.5: {found[name]:.1%}")
        histogram.hist(values[0], np.linspace(0, 1, 26), color=colour, histtype="step", lw=2)
        histogram.text(*place, f"{name}\n{found[name]:.0%} above 0.5", color=colour)
    histogram.set(title=f"{TEST:,} test sheets", xlabel="intersection over union", ylabel="sheets", xlim=(0, 1))
    save(figure, __file__)

    mean, error = mean_and_error(overlap["784-256-64-4"].mean(axis=1))
    small = np.median(area(y_test)[order[: TEST // 20]]) / np.median(area(y_test))
    print(f"mean IoU over {len(SEEDS)} starts: {mean:.3f} +- {error:.3f}")
    print(f"mean error of an edge: {np.abs(predicted[0] - y_test).mean() * SIDE:.2f} pixels")
    print(f"median area of the worst twentieth: {small:.2f} of that of all")
    assert mean > 0.74, f"mean IoU: expected > 0.74, got {mean:.3f}"
    assert found["784-256-64-4"] > 0.95, f"expected > 95% above 0.5, got {found}"
    assert found["a fixed box"] < found["linear"] < 0.65, f"expected the simple ones to find fewer, got {found}"
    assert small < 0.7, f"expected the worst to be smaller, got {small:.2f} of the median area"


if __name__ == "__main__":
    main()
