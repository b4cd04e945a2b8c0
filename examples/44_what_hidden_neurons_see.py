"""What hidden neurons see
=======================

The first layer of a dense network becomes pictures of strokes, and deeper layers answer more and more to the label.

The chapter on depth in "Deep Learning from Scratch" says that a first layer extracts edges and blobs, and later layers
something higher. It means convolutions, whose filters ``40_first_filters`` shows. A dense layer has one weight for each
pixel, so that the weights of a neuron are an image, of what excites it (red) and what silences it (blue). But a dense
layer does not know which pixels are neighbours: nothing changes for it if the pixels of all images are shuffled alike.
Networks of 784-64-32-10 learn 4,000 digits of MNIST, as they are and shuffled, from five starts each. They start with
noise so small that what is seen was learned; a few neurons die early, answer nothing any more, and keep the noise.

Top left: first-layer weights, learned from images, from shuffled images, and the latter with the pixels put back. One
number says whether there is a picture: the correlation of the weights of neighbouring pixels, 0 for noise. Top right:
how much of what a neuron does is explained by the label of the digit, the variance of its mean outputs for the ten
labels over the variance of its outputs (eta squared in statistics)::

    share = variance between the labels / variance of all

Shown is the median over the neurons of a layer, on 1,000 test digits. Bottom: for the first six neurons of the second
layer that answer at all, the ten test digits that excite them most, from ``net.hidden``. Look for: neurons that like
two labels, or one stroke that several labels share. Try: ``init="he"``, where the noise of the start remains in the
pictures.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import mean_and_error, mnist, train
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

import fnnfast as fnn

TRAIN, EPOCHS = 4000, 20
SEEDS = range(5)
LAYERS = {"dense_1": "layer 1", "dense_2": "layer 2", "dense_3": "output"}


def network(seed: int) -> fnn.Sequential:
    hidden = [fnn.Dense(64, "relu", init=0.02), fnn.Dense(32, "relu")]
    return fnn.Sequential([fnn.Input(28, 28, 1), fnn.Flatten(), *hidden, fnn.Dense(10, "softmax")], seed=seed)


def neighbours(weights: np.ndarray, inked: np.ndarray) -> float:
    """The correlation of weights (units, 28, 28) of neighbouring pixels that have ink; median over the units."""
    below, beside = inked[1:] & inked[:-1], inked[:, 1:] & inked[:, :-1]
    pairs = (
        np.stack([np.concatenate([w[1:][below], w[:, 1:][beside]]), np.concatenate([w[:-1][below], w[:, :-1][beside]])])
        for w in weights
    )
    return float(np.median([np.corrcoef(pair)[0, 1] for pair in pairs]))


def explained(outputs: np.ndarray, labels: np.ndarray) -> float:
    """The share of the variance of each unit that the label explains; median over the units that vary."""
    outputs = outputs[:, outputs.std(axis=0) > 0]
    means = np.array([outputs[labels == label].mean(axis=0) for label in labels])
    return float(np.median(means.var(axis=0) / outputs.var(axis=0)))


def sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Images side by side, with a white frame."""
    framed = np.pad(images, ((0, 0), (0, 2), (0, 2)), constant_values=np.nan)
    return np.block([[*framed[start : start + columns]] for start in range(0, len(images), columns)])


def show(ax: Axes, images: np.ndarray, columns: int, title: str, **style: object) -> None:
    ax.imshow(sheet(images, columns), interpolation="nearest", **style)
    ax.set_title(title, fontsize="medium")
    ax.set_axis_off()


def main() -> None:
    images, labels = mnist()
    order = np.random.default_rng(0).permutation(784)
    shuffled = images.reshape(-1, 784)[:, order].reshape(images.shape)
    inked = (images[:TRAIN, ..., 0] > 0.1).mean(axis=0) > 0.02
    x_test, y_test = images[TRAIN:], labels[TRAIN:]

    nets, error = {"untrained": [network(seed) for seed in SEEDS]}, {}
    for case, x in (("images", images), ("shuffled images", shuffled)):
        nets[case] = [network(seed) for seed in SEEDS]
        train(nets[case], x[:TRAIN], labels[:TRAIN], fnn.Adam(0.001), EPOCHS, 50)
        error[case] = mean_and_error([1 - net.evaluate(x[TRAIN:], y_test)["accuracy"] for net in nets[case]])
        print(f"{case}: test error {error[case][0]:.1%} +- {error[case][1]:.1%}")

    weights = {case: [net.parameters["dense_1.weight"].T for net in of] for case, of in nets.items()}
    weights["shuffled, put back"] = [w[:, np.argsort(order)] for w in weights["shuffled images"]]
    ink = dict.fromkeys(weights, inked) | {"shuffled images": inked.ravel()[order].reshape(28, 28)}
    pictures = {case: [w.reshape(-1, 28, 28) for w in of] for case, of in weights.items()}
    correlation = {case: mean_and_error([neighbours(w, ink[case]) for w in of]) for case, of in pictures.items()}
    for case, (mean, spread) in correlation.items():
        print(f"{case}: correlation of neighbouring weights {mean:.3f} +- {spread:.3f}")

    figure = plt.figure(figsize=(11, 5.8))
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    *sheets, bars = top.subplots(1, 4, width_ratios=[1, 1, 1, 1.1])
    titles = {
        "images": "learned from images",
        "shuffled images": "learned from shuffled images",
        "shuffled, put back": "the same, put back",
    }
    for (case, title), ax in zip(titles.items(), sheets, strict=True):
        some = pictures[case][0][:16]
        some = some / np.abs(some).max(axis=(1, 2), keepdims=True)
        show(
            ax,
            some,
            4,
            f"{title}\ncorrelation of neighbours {correlation[case][0]:.2f}",
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
        )

    share = {"pixels": explained(x_test[:, inked][..., 0], y_test)}
    for case, colour, offset in (("untrained", "0.7", -0.2), ("images", "C0", 0.2)):
        answers = [net.hidden(x_test) for net in nets[case]]
        for place, layer in enumerate(LAYERS, start=1):
            share[case, layer], spread = mean_and_error([explained(of[layer], y_test) for of in answers])
            bars.bar(place + offset, share[case, layer], 0.38, yerr=spread, color=colour, capsize=3)
            print(f"{case}, {LAYERS[layer]}: the label explains {share[case, layer]:.0%} +- {spread:.0%}")
    bars.bar(0, share["pixels"], 0.38, color="0.4")
    bars.text(1.75, 0.72, "trained", color="C0", ha="right")
    bars.text(1.75, 0.64, "untrained", color="0.5", ha="right")
    bars.set(title="Explained by the label", ylim=(0, 1))
    bars.set_xticks(range(4), ["pixels", *LAYERS.values()])
    bars.yaxis.set_major_formatter(PercentFormatter(1))
    bars.grid(visible=False, axis="x")

    second = nets["images"][0].hidden(x_test)["dense_2"]
    units = np.flatnonzero(second.max(axis=0) > 0)[:6]
    for ax, unit in zip(bottom.subplots(3, 2).T.flat, units, strict=True):
        best = np.argsort(-second[:, unit], kind="stable")[:10]
        show(ax, x_test[best, ..., 0], 10, f"neuron {unit + 1} of layer 2", cmap="gray_r")
    save(figure, __file__)

    assert correlation["images"][0] > 0.5, f"expected pictures, a correlation > 0.5, got {correlation['images']}"
    assert correlation["shuffled, put back"][0] > 0.5, f"expected pictures again, got {correlation}"
    noise = max(abs(correlation[case][0]) for case in ("untrained", "shuffled images"))
    assert noise < 0.05, f"expected noise, a correlation below 0.05, got {correlation}"
    apart = abs(error["images"][0] - error["shuffled images"][0])
    assert apart < 0.015, f"expected the same error with shuffled pixels, got {error}"
    trained = [share["pixels"], *(share["images", layer] for layer in LAYERS)]
    assert (np.diff(trained) > 0.05).all(), f"expected the label to explain more in each layer, got {trained}"
    assert max(share["untrained", layer] for layer in LAYERS) < 0.3, f"untrained: expected < 30%, got {share}"


if __name__ == "__main__":
    main()
