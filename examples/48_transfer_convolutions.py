"""Transfer learning with convolutions
===================================

Transfer learning with convolutions: filters for the digits 0 to 4 help with the digits 5 to 9.

Weights from one data set serve another task, above all where there is little data for it (Saito, "Deep Learning from
Scratch", chapter 8). A network of three convolutions learns MNIST's digits 0 to 4 from 2,500 images and two variants of
each, turned and shifted. Then `replace_head` gives it a new last layer for 5 to 9, and it learns these from 1 to 50
images of each: with all its convolutions frozen, or with none. Beside them a new network of that shape learns the same
images from nothing. All take about 200 steps.

Left: the error on 1,250 test digits from 5 to 9, the mean of four draws of the images with its standard error. Right:
the errors of transfer, with all convolutions frozen and with none, as a share of that from nothing with the same
images. Below 1, transfer helps: without frozen layers for all numbers of images, with frozen ones from 1 to 10 and no
longer for 50. From 1 to 10 images it takes away about a fifth of the error. (It depends on the network: from one of
fewer filters and without dropout, in an earlier trial, it did not help.)
"""

from __future__ import annotations

from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import mnist

import fnnfast as fnn

augment = import_module("43_digits").augment

VARIANTS, EPOCHS, DRAWS, STEPS, BATCH = 2, 6, 4, 200, 32
SAMPLES = (1, 3, 10, 50)
WAYS = {
    "from nothing": (None, "C1s--"),
    "all convolutions frozen": (("conv2d_1", "conv2d_2", "conv2d_3"), "C2^-."),
    "none frozen": ((), "C0o-"),
}


def network(seed: int) -> fnn.Sequential:
    layers = []
    for filters, size in ((8, 5), (32, 3), (64, 3)):
        layers += [fnn.Conv2D(filters, size, "relu", padding="same"), fnn.MaxPool2D(2)]
    return fnn.Sequential([fnn.Input(28, 28, 1), *layers, fnn.Dropout(0.5), fnn.Dense(5, "softmax")], seed=seed)


def pretrained(images: np.ndarray, labels: np.ndarray) -> fnn.Sequential:
    rng = np.random.default_rng(0)
    variants = [augment(images[..., 0], rng)[..., None] for _ in range(VARIANTS)]
    net, schedule = network(seed=0), fnn.CosineDecay(EPOCHS)
    x, y = np.concatenate([images, *variants]), np.tile(labels, 1 + VARIANTS)
    net.fit(x, y, epochs=EPOCHS, batch_size=50, schedule=schedule, seed=0, progress=False)
    return net


def main() -> None:
    images, labels = mnist()
    low = labels < 5
    source = pretrained(images[low], labels[low])

    images, y = images[~low], labels[~low] - 5
    half = len(images) // 2
    errors = {way: np.empty((len(SAMPLES), DRAWS)) for way in WAYS}
    for i, samples in enumerate(SAMPLES):
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            few = np.concatenate([rng.choice(np.flatnonzero(y[:half] == digit), samples, False) for digit in range(5)])
            for way, (frozen, _) in WAYS.items():
                net = network(draw) if frozen is None else source.replace_head(source.layers[-1], seed=draw)
                if frozen:
                    net.freeze(*frozen)
                batch = min(BATCH, len(few))
                epochs = STEPS // -(-len(few) // batch)
                net.fit(images[few], y[few], epochs=epochs, batch_size=batch, seed=draw, progress=False)
                errors[way][i, draw] = 1 - net.evaluate(images[half:], y[half:])["accuracy"]

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=[1.4, 1])
    mean, ratio = {}, {}
    for way, (_, style) in WAYS.items():
        mean[way] = errors[way].mean(axis=1)
        left.errorbar(SAMPLES, mean[way], errors[way].std(axis=1, ddof=1) / DRAWS**0.5, fmt=style, capsize=3, label=way)
        print(f"{way}: " + ", ".join(f"{share:.1%} from {n}" for n, share in zip(SAMPLES, mean[way], strict=True)))
        shares = errors[way] / errors["from nothing"]
        ratio[way] = shares.mean(axis=1)
        if way != "from nothing":
            right.errorbar(SAMPLES, ratio[way], shares.std(axis=1, ddof=1) / DRAWS**0.5, fmt=style, capsize=3)
    right.axhline(1, color="C1", ls="--")
    left.set(title="Test error, digits 5 to 9", ylim=(0, None))
    left.yaxis.set_major_formatter("{x:.0%}")
    left.legend()
    right.set(title="As a share of the error from nothing", ylim=(0, None))
    for ax in (left, right):
        ax.set(xlabel="images of each digit", xscale="log")
        ax.set_xticks(SAMPLES, SAMPLES)
        ax.minorticks_off()
    save(figure, __file__)

    for way in ("all convolutions frozen", "none frozen"):
        few = float(ratio[way][:3].mean())
        print(f"{way}, 1 to 10 images of each digit: {few:.2f} of the error from nothing")
        assert few < 0.9, f"{way}: expected < 0.9 of the error from nothing, got {few:.2f}"


if __name__ == "__main__":
    main()
