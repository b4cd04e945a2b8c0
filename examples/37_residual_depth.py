"""Residual networks and depth
===========================

Residual against plain convolutional networks of 20 and 56 layers: the deeper plain one trains worse.

With depth, learning fails, and ResNet's F(x) + x repairs it. He et al. ("Deep residual learning for image recognition",
2015) showed it on CIFAR-10: their plain network of 56 layers had a higher training error than the one of 20, so
overfitting was not the cause, and their deepest residual network was the best. These are their networks, three groups
of 3 x 3 convolutions with batch normalization, but with half the channels (8, 16 and 32), for 1,000 digits of MNIST of
14 x 14 pixels.

Left and middle: the training loss of plain and of residual networks, from three seeds. Right: the error after the last
epoch, on the training digits and on 2,000 others, as the mean of the seeds with its standard error. Of the training
digits the plain network of 20 layers gets 1% wrong and that of 56 layers 80%; with shortcuts 56 layers get 2% wrong.
That the deepest residual network is the best is not reproduced: for so few and easy digits 20 layers are enough, with
5.2% of the test digits wrong beside 9.1%.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import errors, mean_and_error, mnist, train

import fnnfast as fnn

DEPTHS = {20: "C0", 56: "C1"}
SIDE, CHANNELS, TRAIN, EPOCHS = 14, 8, 1000, 10
SEEDS = range(3)


def normalized(filters: int, stride: int = 1, relu: bool = True, kernel: int = 3) -> list[fnn.layers.Layer]:
    """A convolution and batch normalization."""
    convolution = fnn.Conv2D(filters, kernel, strides=stride, padding=kernel // 2, bias=False, init="he")
    return [convolution, fnn.BatchNorm(), *([fnn.Activation("relu")] if relu else [])]


def network(depth: int, residual: bool, seed: int) -> fnn.Sequential:
    """He et al.'s network of 6 n + 2 layers, with or without its shortcuts."""
    layers, channels = normalized(CHANNELS), CHANNELS
    for filters in (CHANNELS, 2 * CHANNELS, 4 * CHANNELS):
        for _ in range((depth - 2) // 6):
            stride = 1 if filters == channels else 2
            block = [*normalized(filters, stride), *normalized(filters, relu=not residual)]
            shortcut = None if stride == 1 else normalized(filters, stride, relu=False, kernel=1)
            layers += [fnn.Residual(block, shortcut, activation="relu")] if residual else block
            channels = filters
    head = [fnn.GlobalAveragePool2D(), fnn.Dense(10, "softmax")]
    return fnn.Sequential([fnn.Input(SIDE, SIDE, 1), *layers, *head], seed=seed)


def main() -> None:
    images, labels = mnist(SIDE)
    x, y, x_test, y_test = images[:TRAIN], labels[:TRAIN], images[3000:], labels[3000:]

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.9), width_ratios=[1, 1, 1.1])
    loss, seen, unseen = {}, {}, {}
    for kind, ax in (("plain", left), ("residual", middle)):
        for depth, colour in DEPTHS.items():
            nets = [network(depth, kind == "residual", seed) for seed in SEEDS]
            histories = train(nets, x, y, fnn.SGD(0.1, momentum=0.9), EPOCHS, 50)
            for seed, history in zip(SEEDS, histories, strict=True):
                label = None if seed else f"{depth} layers"
                ax.plot(range(1, EPOCHS + 1), history.loss, color=colour, lw=1.2, label=label)
            loss[kind, depth] = np.array([history.loss[-1] for history in histories])
            seen[kind, depth] = errors(nets, x, y)
            unseen[kind, depth] = errors(nets, x_test, y_test)
            print(f"{kind}, {depth} layers: training loss {loss[kind, depth].mean():.3f}", end=", ")
            print(f"error {seen[kind, depth].mean():.1%}, on test digits {unseen[kind, depth].mean():.1%}")
        ax.set(title=f"Training loss, {kind}", xlabel="epoch", yscale="log", ylim=(0.005, 5))
        ax.legend(loc="lower left")
    for kind, colour in (("plain", "C1"), ("residual", "C0")):
        for found, line, name in ((seen, "o-", "training"), (unseen, "s--", "test")):
            mean, error = mean_and_error([found[kind, depth] for depth in DEPTHS])
            right.errorbar(list(DEPTHS), mean, error, fmt=colour + line, capsize=3, label=f"{kind}, {name}")
    right.set(title="Error after the last epoch", xlabel="layers", xticks=list(DEPTHS), ylim=(-0.03, 1))
    right.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    right.legend(loc="upper left")
    save(figure, __file__)

    assert loss["plain", 56].min() > 5 * loss["plain", 20].max(), f"expected 56 plain layers far higher, got {loss}"
    assert loss["residual", 56].max() < loss["plain", 56].min() / 5, f"expected 56 residual ones far lower, got {loss}"
    assert seen["residual", 56].mean() < 0.05, f"56 residual layers: expected < 5%, got {seen['residual', 56]}"


if __name__ == "__main__":
    main()
