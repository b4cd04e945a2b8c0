"""Two 3 x 3 convolutions
======================

Two 3 x 3 convolutions in place of one of 5 x 5: the same window, 18 weights instead of 25, and one more ReLU.

Two 3 x 3 convolutions in a row see as much of the image as one of 5 x 5, with fewer parameters, and a nonlinearity
between them (Saito, "Deep Learning from Scratch", chapter 8). Without it they are a 5 x 5 convolution: its kernel is
the convolution of theirs, to the last digits. Networks of both kinds learn 1,000 digits of MNIST, of 14 x 14 pixels,
where they differ in two places only: a 5 x 5 convolution, or two of 3 x 3, each with ReLU and with as many filters.

Left: on how many ways each pixel reaches one output of two 3 x 3 convolutions. Right: the error on 3,000 test digits
over the number of parameters, the mean of four seeds with its standard error; the numbers are the filters. With 24
filters, where the pair has a quarter fewer parameters, it errs on 5.4% and the 5 x 5 convolution on 5.0%, which is 1.3
standard errors apart. With 6 and 12 filters the pair is clearly worse.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import errors, mean_and_error, mnist, train
from scipy.signal import convolve2d

import fnnfast as fnn

SIDE, TRAIN, TEST, EPOCHS, RATE = 14, 1000, 3000, 10, 0.003
FILTERS = (6, 12, 24)
SEEDS = range(4)
STYLES = {"one of 5 x 5": "C1s--", "two of 3 x 3": "C0o-"}


def network(kind: str, filters: int, seed: int) -> fnn.Sequential:
    sizes = (5,) if kind == "one of 5 x 5" else (3, 3)
    body = [fnn.Conv2D(filters, size, "relu", padding="same") for size in sizes]
    first, pool = fnn.Conv2D(filters, 3, "relu", padding="same"), fnn.MaxPool2D(2)
    head = fnn.Dense(10, "softmax")
    return fnn.Sequential([fnn.Input(SIDE, SIDE, 1), first, *body, pool, *body, pool, head], seed=seed)


def difference() -> float:
    """Between two linear 3 x 3 convolutions and the 5 x 5 one with the convolution of their kernels."""
    rng = np.random.default_rng(0)
    x, one, other = rng.normal(size=(1, 12, 12, 1)), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    twice = fnn.conv2d(fnn.conv2d(x, one[..., None, None]), other[..., None, None])
    return float(np.abs(twice - fnn.conv2d(x, convolve2d(one, other)[..., None, None])).max())


def main() -> None:
    images, labels = mnist(SIDE)
    x, y, x_test, y_test = images[:TRAIN], labels[:TRAIN], images[-TEST:], labels[-TEST:]

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), width_ratios=[1, 1.5])
    ways = np.zeros((1, 7, 7, 1))
    ways[0, 3, 3] = 1
    for _ in range(2):
        ways = fnn.conv2d(ways, np.ones((3, 3, 1, 1)), padding="same")
    left.imshow(ways[0, ..., 0], cmap="Blues", vmax=14)
    for (row, column), count in np.ndenumerate(ways[0, ..., 0]):
        left.text(column, row, f"{count:.0f}" if count else "", ha="center", va="center")
    left.set(title="Two windows of 3 x 3 read 5 x 5 pixels", xticks=[], yticks=[])
    left.grid(visible=False)

    weights = {"one of 5 x 5": 5 * 5, "two of 3 x 3": 2 * 3 * 3}
    mean, error, size = {}, {}, {}
    for kind, style in STYLES.items():
        for filters in FILTERS:
            nets = [network(kind, filters, seed) for seed in SEEDS]
            train(nets, x, y, fnn.Adam(RATE), EPOCHS)
            size[kind, filters] = sum(values.size for values in nets[0].parameters.values())
            mean[kind, filters], error[kind, filters] = mean_and_error(errors(nets, x_test, y_test))
            print(f"{kind}, {filters} filters: {size[kind, filters]:,} parameters", end=", ")
            print(f"error {mean[kind, filters]:.2%} +- {error[kind, filters]:.2%}")
        places, values, spread = ([of[kind, filters] for filters in FILTERS] for of in (size, mean, error))
        label = f"{kind}, {weights[kind]} weights a channel pair"
        right.errorbar(places, values, spread, fmt=style, capsize=3, label=label)
        for filters, place, value in zip(FILTERS, places, values, strict=True):
            above = kind == "one of 5 x 5"
            right.annotate(
                f"{filters}", (place, value), (8, 8) if above else (-8, -12), textcoords="offset points", ha="center"
            )
    right.set(
        title="Error on test digits",
        xlabel="parameters of the network",
        xscale="log",
        xlim=(1500, 42000),
        ylim=(0, None),
    )
    right.set_xticks([2000, 5000, 10000, 20000, 40000], ["2,000", "5,000", "10,000", "20,000", "40,000"])
    right.minorticks_off()
    right.yaxis.set_major_formatter("{x:.0%}")
    right.legend()
    save(figure, __file__)

    print(f"largest difference of linear ones: {difference():.1e}")
    assert difference() < 1e-13, f"linear ones: expected the same but for rounding, got {difference():.1e}"
    five, three = ("one of 5 x 5", FILTERS[-1]), ("two of 3 x 3", FILTERS[-1])
    assert size[three] < 0.77 * size[five], f"parameters: expected < 0.77 of {size[five]}, got {size[three]}"
    apart, noise = abs(mean[three] - mean[five]), np.hypot(error[three], error[five])
    assert apart < 2 * noise, f"expected errors within two standard errors, {2 * noise:.2%}, got {apart:.2%} apart"


if __name__ == "__main__":
    main()
