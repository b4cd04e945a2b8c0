"""The same as a convolution
=========================

A 1 x 1 convolution is a dense layer on every pixel, and two 3 x 3 convolutions without activation are one of 5 x 5.

Two remarks of "Deep Learning from Scratch" (chapter 8, on depth). GoogLeNet uses 1 x 1
convolutions to reduce the channels of an image. Such a convolution sees one pixel at a time: it is a dense layer that
reads the channels of each pixel, ``fnn.dense`` on an array (batch, height, width, channels). And two 3 x 3 convolutions
in a row see the window of one of 5 x 5, with 2 x 9 = 18 weights in place of 25. If nothing is between them they are a
5 x 5 convolution, whose kernel is the convolution of theirs::

    k[i, j] = sum_ab k1[a, b] k2[i - a, j - b]

Top: a digit in three colours, its channels, reduced to two by ``conv2d``, and the difference to ``dense``. Middle: a
digit through two 3 x 3 kernels, and through the 5 x 5 one that they make. Bottom: the other direction. The saving is a
restriction: two kernels of 3 x 3 are fitted by gradient descent to ten random ones of 5 x 5, from four starts each, and
the best of them get about nine tenths of the 25 weights right, measured by squares. With two channels between the
convolutions, 36 weights, they get all. Example ``36_two_3x3`` trains networks of both kinds, with ReLU between. Try:
three of 3 x 3 against 7 x 7.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import mean_and_error, mnist
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from scipy.signal import convolve2d

import fnnfast as fnn

KERNELS, STARTS, EPOCHS = 10, 4, 1500
POINT = np.zeros((1, 9, 9, 1))  # what two convolutions make of one bright pixel is the kernel of both together
POINT[0, 4, 4, 0] = 1


def explained(kernel: np.ndarray, channels: int) -> float:
    """The share of the squares of a 5 x 5 kernel that two 3 x 3 convolutions with so many channels between explain."""
    layers = [fnn.Conv2D(channels, 3, bias=False), fnn.Conv2D(1, 3, bias=False), fnn.Flatten()]
    nets = [fnn.Sequential([fnn.Input(9, 9, 1), *layers], dtype="float64", seed=seed) for seed in range(STARTS)]
    settings = {"schedule": fnn.CosineDecay(EPOCHS), "progress": False}
    fnn.fit_many(nets, POINT, kernel.reshape(1, 25), "mse", fnn.Adam(0.03), EPOCHS, 1, **settings)
    left = min(np.sum((net(POINT) - kernel.reshape(1, 25)) ** 2) for net in nets)
    return 1 - float(left) / np.sum(kernel**2)


def show(ax: Axes, image: np.ndarray, title: str, **style: object) -> None:
    ax.imshow(image, **style)
    ax.set_title(title, fontsize=9)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set(visible=True, color="0.8")


def kernel(ax: Axes, values: np.ndarray, title: str) -> None:
    """Weights as colours, and as numbers."""
    show(ax, values, title, cmap="RdBu_r", vmin=-6, vmax=6)
    for (row, column), value in np.ndenumerate(values):
        colour, size = "w" if abs(value) > 3 else "k", 7 if len(values) > 3 else 9
        ax.text(column, row, f"${value:.0f}$", ha="center", va="center", fontsize=size, color=colour)


def main() -> None:
    images, labels = mnist()
    digit = images[labels == 3][2:3].astype(np.float64)
    figure = plt.figure(figsize=(9.6, 6.4))
    pictures, bottom = figure.subfigures(2, 1, height_ratios=[2.5, 1])
    (top, middle), shares = pictures.subplots(2, 5), bottom.subplots()

    colours = np.concatenate([np.roll(digit, shift, axis=2) for shift in (-3, 0, 3)], axis=3)
    weight = np.array([[1.0, -1.0], [0.0, 2.0], [-1.0, -1.0]])
    reduced = fnn.conv2d(colours, weight[None, None], activation="relu")
    difference = np.abs(reduced - fnn.dense(colours, weight, activation="relu"))
    show(top[0], 1 - colours[0], "3 channels, as colours")
    kernel(top[1], weight, "1 x 1 x 3 x 2 weights")
    for channel in range(2):
        show(top[2 + channel], reduced[0, ..., channel], f"channel {channel + 1} by conv2d", cmap="gray_r")
    show(
        top[4],
        difference[0].max(axis=-1),
        f"difference to dense: {difference.max():.0f}",
        cmap="gray_r",
        vmin=0,
        vmax=1,
    )

    k1, k2 = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]), np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
    k = convolve2d(k1, k2)
    twice = fnn.conv2d(fnn.conv2d(digit, k1[..., None, None]), k2[..., None, None])
    once = fnn.conv2d(digit, k[..., None, None])
    kernel(middle[0], k1, "3 x 3")
    kernel(middle[1], k2, "then 3 x 3")
    kernel(middle[2], k, "5 x 5, their convolution")
    show(middle[3], twice[0, ..., 0], "the digit through both", cmap="gray")
    show(middle[4], once[0, ..., 0], "through the 5 x 5", cmap="gray")

    rng = np.random.default_rng(0)
    random = rng.standard_normal((KERNELS, 5, 5))
    products = [convolve2d(*rng.standard_normal((2, 3, 3))) for _ in range(KERNELS)]
    found = {
        "products, 18 weights": [explained(k, 1) for k in products],
        "random, 18 weights": [explained(k, 1) for k in random],
        "random, 36 weights": [explained(k, 2) for k in random],
    }
    for place, (values, colour) in enumerate(zip(found.values(), ("C2", "C1", "C0"), strict=True)):
        shares.plot(values, np.full(KERNELS, -place), "o", color=colour, alpha=0.6)
        shares.text(np.mean(values) - 0.004, 0.25 - place, f"{np.mean(values):.1%}", color=colour, ha="right")
    shares.set(
        title=f"How much of a 5 x 5 kernel two of 3 x 3 can be, {KERNELS} each", ylim=(-2.5, 0.7), xlim=(0.78, 1.005)
    )
    shares.set_xticks([0.8, 0.85, 0.9, 0.95, 1])
    shares.set_yticks(-np.arange(3), found)
    shares.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    save(figure, __file__)

    many, wide = rng.standard_normal((8, 14, 14, 64)), rng.standard_normal((64, 16))
    for dtype in (np.float32, np.float64):
        x, w = many.astype(dtype), wide.astype(dtype)
        same = np.array_equal(fnn.conv2d(x, w[None, None], activation="relu"), fnn.dense(x, w, activation="relu"))
        print(f"1 x 1 x 64 x 16, {np.dtype(dtype)}: {'the same bits' if same else 'different'}")
        assert same, f"a 1 x 1 convolution and a dense layer differ in {np.dtype(dtype)}"
    apart = float(np.abs(twice - once).max())
    one, other = rng.standard_normal((2, 3, 3))
    x = rng.standard_normal((100, 28, 28, 1))
    both = fnn.conv2d(fnn.conv2d(x, one[..., None, None]), other[..., None, None])
    rounding = float(np.abs(both - fnn.conv2d(x, convolve2d(one, other)[..., None, None])).max())
    print(f"two of 3 x 3 and one of 5 x 5: {apart:.1e} apart for the digit, {rounding:.1e} for random numbers")
    for name, values in found.items():
        mean, error = mean_and_error(values)
        print(f"{name}: {mean:.2%} +- {error:.2%} explained, from {min(values):.2%} to {max(values):.2%}")
    assert max(apart, rounding) < 1e-12, f"expected rounding apart, got {apart:.1e} and {rounding:.1e}"
    assert min(found["products, 18 weights"]) > 0.999, f"expected products to be found, got {found}"
    assert max(found["random, 18 weights"]) < 0.99, f"expected random kernels to be out of reach, got {found}"
    assert min(found["random, 36 weights"]) > 0.999, f"expected 36 weights to find any kernel, got {found}"


if __name__ == "__main__":
    main()
