"""The filters of a first layer
============================

What the filters of a first layer become: edges and lines, and a few blobs.

A first layer extracts edges and blobs (Saito, "Deep Learning from Scratch", chapter 8). Sixteen filters of 7 x 7
pixels, with ReLU and a pool, begin a network for MNIST's digits with a test error of about 4.6%. The filters start as
noise so small that what is seen afterwards was learned, and with biases of 0: random ones, the default, would be larger
than what such filters answer, and those below 0 would leave a filter dead and noise for ever. After training each is
then compared with patterns of three kinds, at 45 sizes and places and, but for blobs, in 12 directions: the Gaussian
bell (a blob) and its first (an edge) and second derivative (a line). The share of a filter that a pattern explains is
the squared cosine between the two.

Top: the filters of one network in the order of that share, the best pattern for each, and the shares of all filters of
three networks: before training, after it, and after training on images whose pixels are in a random order, the same for
all, where neighbours mean nothing. An edge alone explains more than half of 90% of the filters after training, and of
none before it or of those from shuffled pixels. Bottom: a digit, and what eight of the filters answer to it.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import errors, mnist, train

import fnnfast as fnn

SIZE, FILTERS, TRAIN, EPOCHS = 7, 16, 4000, 6
SEEDS = range(3)
KINDS = ("edge", "line", "blob")


def network(seed: int) -> fnn.Sequential:
    first, second = fnn.Conv2D(FILTERS, SIZE, "relu", init=0.01, bias_init="zeros"), fnn.Conv2D(32, 5, "relu")
    body = [first, fnn.MaxPool2D(2), second, fnn.MaxPool2D(2), fnn.Dense(64, "relu"), fnn.Dense(10, "softmax")]
    return fnn.Sequential([fnn.Input(28, 28, 1), *body], seed=seed)


def patterns() -> tuple[np.ndarray, np.ndarray]:
    """Patterns of length 1, (patterns, SIZE, SIZE), and the kind of each as an index."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    found, kinds = [], []
    for width in (1, 1.5, 2, 2.5, 3.5):
        for row, column in np.ndindex(3, 3):
            y, x = (axis - 1.5 * (row - 1))[:, None], axis - 1.5 * (column - 1)
            bell = np.exp(-(x**2 + y**2) / (2 * width**2))
            found.append(bell)
            kinds.append(2)
            for angle in np.arange(12) * np.pi / 12:
                across = x * np.cos(angle) + y * np.sin(angle)
                found += [across * bell, (1 - (across / width) ** 2) * bell]
                kinds += [0, 1]
    lengths = np.linalg.norm(found, axis=(1, 2), keepdims=True)
    return found / lengths, np.array(kinds)


def filters(nets: list[fnn.Sequential]) -> np.ndarray:
    return np.concatenate([net.parameters["conv2d_1.weight"][:, :, 0].transpose(2, 0, 1) for net in nets])


def cosines(of: np.ndarray, with_: np.ndarray) -> np.ndarray:
    flat = of.reshape(len(of), -1)
    return flat @ with_.reshape(len(with_), -1).T / np.linalg.norm(flat, axis=1, keepdims=True)


def sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Images side by side, with a white frame."""
    framed = np.pad(images, ((0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    return np.block([[*framed[start : start + columns]] for start in range(0, len(images), columns)])


def main() -> None:
    images, labels = mnist()
    shuffled = images.reshape(len(images), -1)[:, np.random.default_rng(0).permutation(784)].reshape(images.shape)
    pattern, kinds = patterns()

    cases, error = {"before training": filters([network(seed) for seed in SEEDS])}, {}
    for case, x in (("shuffled pixels", shuffled), ("after training", images)):
        nets = [network(seed) for seed in SEEDS]
        train(nets, x[:TRAIN], labels[:TRAIN], fnn.Adam(0.002), EPOCHS, 50)
        cases[case] = filters(nets)
        error[case] = errors(nets, x[TRAIN:], labels[TRAIN:]).mean()

    figure = plt.figure(figsize=(10, 6.4))
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.75, 1])
    left, middle, right = top.subplots(1, 3, width_ratios=[1, 1, 1.4])
    share, edges = {}, {}
    for (case, found), colour in zip(cases.items(), ("0.6", "C1", "C0"), strict=True):
        cosine = cosines(found, pattern) ** 2
        share[case], edges[case] = cosine.max(axis=1), cosine[:, kinds == 0].max(axis=1)
        right.hist(share[case], np.linspace(0, 1, 21), color=colour, alpha=0.75, label=case)
        best = np.bincount(kinds[cosine.argmax(axis=1)], minlength=3)
        print(f"{case}: explained {np.median(share[case]):.0%} (median); more than half, by an edge alone:", end=" ")
        print(f"{np.mean(edges[case] > 0.5):.0%}; best: {', '.join(map('{} {}'.format, best, KINDS))}")
    print(f"test errors: {error['after training']:.1%}, with shuffled pixels {error['shuffled pixels']:.1%}")
    right.set(title="Filters, by what the best pattern explains", xlabel="share explained", ylabel="filters")
    right.legend()

    first = cases["after training"][:FILTERS]
    order = share["after training"][:FILTERS].argsort()[::-1]
    first = first[order] / np.abs(first[order]).max(axis=(1, 2), keepdims=True)
    cosine = cosines(first, pattern)
    best = (cosine**2).argmax(axis=1)
    fits = pattern[best] * np.sign(cosine[np.arange(FILTERS), best])[:, None, None]
    fits /= np.abs(fits).max(axis=(1, 2), keepdims=True)
    for ax, shown, title in ((left, first, "Filters of one network"), (middle, fits, "The best pattern for each")):
        ax.imshow(sheet(shown, 4), cmap="gray", vmin=-1, vmax=1)
        ax.set_title(title)

    digit = images[np.flatnonzero(labels == 5)[1]][None].astype(np.float64)
    axes = bottom.subplots(2, 9, height_ratios=[1, 3])
    answers = fnn.conv2d(digit, first.transpose(1, 2, 0)[:, :, None], activation="relu")[0]
    for column, ax in enumerate(axes[:, 1:].T):
        ax[0].imshow(first[column], cmap="gray", vmin=-1, vmax=1)
        ax[1].imshow(answers[..., column], cmap="gray_r")
    axes[1, 0].imshow(digit[0, ..., 0], cmap="gray_r")
    axes[0, 0].set_visible(False)
    bottom.suptitle("A digit, and where eight of the filters answer to it", fontsize="medium")
    for ax in (left, middle, *axes.flat):
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
    save(figure, __file__)

    well = {case: float(np.mean(values > 0.5)) for case, values in edges.items()}
    assert well["after training"] > 0.7, f"expected most filters to be edges for more than half, got {well}"
    assert max(well["before training"], well["shuffled pixels"]) < 0.1, f"expected hardly any of the others, got {well}"


if __name__ == "__main__":
    main()
