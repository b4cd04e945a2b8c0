"""Inception
=========

An inception block against plain convolutions of the same work.

GoogLeNet is deep in two directions (Saito, "Deep Learning from Scratch", chapter 8; Szegedy et al., "Going deeper with
convolutions", 2014). Its block applies filters of several sizes side by side and joins what they give; convolutions of
1 x 1 make the channels fewer before the large ones, which saves parameters and time. Here `fnn.Parallel` makes that
block with the shares of GoogLeNet's first: of the outputs a quarter come from 1 x 1, half from 3 x 3, an eighth from 5
x 5, and an eighth from a pool with 1 x 1. Networks of a first convolution, two blocks and two pools learn 1,000 digits
of MNIST, of 14 x 14 pixels; each block is an inception block, or one plain convolution of 3 x 3 or 5 x 5 with as many
filters as give the same multiply-adds.

Left: the outputs of an inception block by branch, and the multiply-adds. Right: the error on 3,000 test digits over the
multiply-adds, the mean of four seeds with its standard error; the numbers are the outputs of a block. Where there is
little work, inception is better, as a plain block then has few filters: 8.8% beside 14.8% with 3 x 3, which differs
much from seed to seed, and 24.8% with 5 x 5. At the most work inception and 3 x 3 err alike, on 4.7%.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import errors, mean_and_error, mnist, multiply_adds, train

import fnnfast as fnn

SIDE, TRAIN, TEST, EPOCHS, RATE = 14, 1000, 3000, 10, 0.003
OUTPUTS = (16, 32, 64)
SEEDS = range(4)
STYLES = {"inception": "C0o-", "plain 3 x 3": "C1s--", "plain 5 x 5": "C2^-."}


def convolution(filters: int, size: int) -> fnn.Conv2D:
    return fnn.Conv2D(filters, size, "relu", padding="same")


def branches(outputs: int) -> dict[str, list[fnn.layers.Layer]]:
    """Those of an inception block."""
    one, before_three, three, before_five, five, after_pool = (
        max(1, outputs * share // 256) for share in (64, 96, 128, 16, 32, 32)
    )
    return {
        "1 x 1": [convolution(one, 1)],
        "1 x 1, 3 x 3": [convolution(before_three, 1), convolution(three, 3)],
        "1 x 1, 5 x 5": [convolution(before_five, 1), convolution(five, 5)],
        "pool, 1 x 1": [fnn.MaxPool2D(3, 1, padding="same"), convolution(after_pool, 1)],
    }


def network(kind: str, outputs: int, seed: int | None = None) -> fnn.Sequential:
    if kind == "inception":
        block: fnn.layers.Layer = fnn.Parallel(list(branches(outputs).values()))
    else:
        block = convolution(outputs, int(kind[-1]))
    pool = fnn.MaxPool2D(2)
    layers = [convolution(16, 3), block, pool, block, pool, fnn.Dense(10, "softmax")]
    return fnn.Sequential([fnn.Input(SIDE, SIDE, 1), *layers], seed=seed)


def as_much_work(kind: str, work: int) -> int:
    """The outputs of a plain block for which the network's multiply-adds are nearest to that number."""
    return min(range(1, 2 * max(OUTPUTS)), key=lambda outputs: abs(multiply_adds(network(kind, outputs)) - work))


def main() -> None:
    images, labels = mnist(SIDE)
    x, y, x_test, y_test = images[:TRAIN], labels[:TRAIN], images[-TEST:], labels[-TEST:]

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.2), width_ratios=[1, 1.5])
    shares: dict[str, list[float]] = {}
    for name, layers in branches(64).items():
        work = multiply_adds(fnn.Sequential([fnn.Input(SIDE, SIDE, 64), *layers, fnn.GlobalAveragePool2D()]))
        shares[name] = [layers[-1].filters / 64, work]
    total = sum(work for _, work in shares.values())
    base = np.zeros(2)
    for (name, (outputs, work)), colour in zip(shares.items(), ("C7", "C0", "C9", "C8"), strict=True):
        values = np.array([outputs, work / total])
        left.bar([0, 1], values, 0.6, base, color=colour, label=name)
        base += values
    left.set(title="Branches of a block of 64 channels", xlim=(-0.5, 3), xticks=[0, 1])
    left.set_xticklabels(["outputs", "multiply-adds"])
    left.yaxis.set_major_formatter("{x:.0%}")
    left.legend(loc="center right", reverse=True)

    mean, error = {}, {}
    works = [multiply_adds(network("inception", outputs)) for outputs in OUTPUTS]
    for kind, style in STYLES.items():
        widths = OUTPUTS if kind == "inception" else [as_much_work(kind, work) for work in works]
        found, places = [], []
        for outputs in widths:
            nets = [network(kind, outputs, seed) for seed in SEEDS]
            train(nets, x, y, fnn.Adam(RATE), EPOCHS)
            found.append(errors(nets, x_test, y_test))
            places.append(multiply_adds(nets[0]))
            print(f"{kind}, {outputs} outputs: {places[-1]:,} multiply-adds,", end=" ")
            print("error {:.2%} +- {:.2%}".format(*mean_and_error(found[-1])))
        mean[kind], error[kind] = mean_and_error(found)
        right.errorbar(places, mean[kind], error[kind], fmt=style, capsize=3, label=kind)
        for outputs, place, value in zip(widths, places, mean[kind], strict=True):
            offset = {"inception": (-10, -12), "plain 3 x 3": (14, 6), "plain 5 x 5": (9, 8)}[kind]
            right.annotate(
                str(outputs), (place, value), offset, textcoords="offset points", ha="center", color=style[:2]
            )
    right.set(
        title="Error on test digits",
        xlabel="multiply-adds of an image",
        xscale="log",
        xlim=(1.6e5, 3e6),
        ylim=(0, None),
    )
    right.set_xticks([2e5, 5e5, 1e6, 2e6], ["200,000", "500,000", "1,000,000", "2,000,000"])
    right.minorticks_off()
    right.yaxis.set_major_formatter("{x:.0%}")
    right.legend()
    save(figure, __file__)

    least, plain = mean["inception"][0], min(mean[kind][0] for kind in STYLES if kind != "inception")
    assert least < 0.9 * plain, (
        f"least work: expected inception < 0.9 of the plain blocks' {plain:.1%}, got {least:.1%}"
    )


if __name__ == "__main__":
    main()
