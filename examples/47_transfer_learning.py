"""Transfer learning
=================

Transfer learning: what a network learned about the digits 0 to 4 helps it to learn 5 to 9 from a few of them.

A trained network can learn another task, above all where there is little data for it (Saito, "Deep Learning from
Scratch", chapter 8). A network of 160-96-64 leaky ReLUs learns the digits 0 to 4 from many images. `replace_head` gives
it a new last layer for the digits 5 to 9, which it learns from 2 to 50 images of each: with all other layers frozen,
with the first two frozen, or with none. Beside them a new network of that shape learns the same images from nothing.

Left: digits of 8 x 8 pixels at random places on sheets of 12 x 12. To know a shape wherever it lies is hard to learn,
and it transfers. With few images, frozen layers help most, as there is less to fit wrongly; with many, they are in the
way, made for other digits. Right: the digits in the middle, which is learned so easily that nothing is gained. Errors
on test digits, the mean of four draws of the images with its standard error.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits

import fnnfast as fnn

SIDE, DRAWS, STEPS = 12, 4, 200
SAMPLES = (2, 5, 10, 20, 50)
FROZEN = {
    "from nothing": (None, "C1s--"),
    "all but the head frozen": (("dense_1", "dense_2", "dense_3"), "C2^-."),
    "two layers frozen": (("dense_1", "dense_2"), "C0o-"),
    "none frozen": ((), "0.6"),
}


def network(seed: int) -> fnn.Sequential:
    hidden = [fnn.Dense(units, "leaky_relu") for units in (160, 96, 64)]
    return fnn.Sequential([fnn.Input(SIDE, SIDE), *hidden, fnn.Dense(5, "softmax")], seed=seed)


def place(images: np.ndarray, anywhere: bool, rng: np.random.Generator) -> np.ndarray:
    """Images of 8 x 8 on sheets, each at a random place or in the middle."""
    sheets = np.zeros((len(images), SIDE, SIDE), np.float32)
    corners = rng.integers(0, SIDE - 7, (len(images), 2)) if anywhere else np.full((len(images), 2), (SIDE - 8) // 2)
    for sheet, image, (row, column) in zip(sheets, images, corners, strict=True):
        sheet[row : row + 8, column : column + 8] = image
    return sheets


def errors(images: np.ndarray, y: np.ndarray, anywhere: bool) -> dict[str, np.ndarray]:
    """For each way to learn the digits 5 to 9 the errors on test digits, (sizes, draws)."""
    rng = np.random.default_rng(0)
    low, copies = y < 5, 20 if anywhere else 1
    many, labels = np.repeat(images[low], copies, axis=0), np.repeat(y[low], copies)
    source = network(seed=0)
    source.fit(place(many, anywhere, rng), labels, epochs=20, batch_size=64, seed=0, progress=False)

    images, y = images[~low], y[~low] - 5
    half = len(images) // 2
    x_test, y_test = place(np.repeat(images[half:], 2, axis=0), anywhere, rng), np.repeat(y[half:], 2)
    found = {way: np.empty((len(SAMPLES), DRAWS)) for way in FROZEN}
    for i, samples in enumerate(SAMPLES):
        for draw in range(DRAWS):
            few = np.concatenate([rng.choice(np.flatnonzero(y[:half] == digit), samples, False) for digit in range(5)])
            x = place(images[few], anywhere, rng)
            for way, (frozen, _) in FROZEN.items():
                net = network(draw) if frozen is None else source.replace_head(source.layers[-1], seed=draw)
                if frozen:
                    net.freeze(*frozen)
                batch = min(32, len(x))
                epochs = STEPS * batch // len(x)
                net.fit(x, y[few], None, fnn.Adam(0.002), epochs, batch, seed=draw, progress=False)
                found[way][i, draw] = 1 - net.evaluate(x_test, y_test)["accuracy"]
    return found


def main() -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images, y = (digits.images[order] / 16).astype(np.float32), digits.target[order]

    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
    means = {}
    for title, ax in zip(("anywhere on a sheet", "in the middle"), axes, strict=True):
        found = errors(images, y, anywhere=title != "in the middle")
        for way, (_, style) in FROZEN.items():
            mean, error = found[way].mean(axis=1), found[way].std(axis=1, ddof=1) / np.sqrt(DRAWS)
            ax.errorbar(SAMPLES, mean, error, fmt=style, capsize=3, label=way)
            means[title, way] = dict(zip(SAMPLES, mean, strict=True))
            print(f"{title}, {way}: " + ", ".join(f"{share:.1%} from {n}" for n, share in means[title, way].items()))
        examples = place(images[y > 4][:4], title != "in the middle", np.random.default_rng(1))
        inset = ax.inset_axes((0.62, 0.85, 0.38, 0.15))
        inset.imshow(np.hstack(examples), cmap="gray_r")
        inset.vlines(np.arange(1, 4) * SIDE - 0.5, -0.5, SIDE - 0.5, color="0.7", lw=0.8)
        inset.set(xticks=[], yticks=[])
        ax.set(title=f"Test error, digits {title}", xlabel="images of each digit", xscale="log", ylim=(0, 0.9))
        ax.set_xticks(SAMPLES, SAMPLES)
        ax.minorticks_off()
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes[0].legend(loc="lower left")
    save(figure, __file__)

    sheet = {way: means["anywhere on a sheet", way] for way in FROZEN}
    few = sheet["all but the head frozen"][5], sheet["from nothing"][5]
    many = sheet["all but the head frozen"][50], sheet["none frozen"][50]
    assert few[0] < 0.85 * few[1], f"5 images each: expected frozen layers to be < 0.85 of new ones, got {few}"
    assert many[0] > 1.2 * many[1], f"50 images each: expected frozen layers to be in the way, got {many}"


if __name__ == "__main__":
    main()
