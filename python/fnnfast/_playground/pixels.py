"""A drawn digit as the images of a data set are: as large, as thick, in the same place."""

from __future__ import annotations

import numpy as np

from .._checks import Array


def as_data(drawn: Array, side: int) -> Array:
    """A drawing (S, S) from 0 to 1 as an image (side, side, 1).

    MNIST's digits are scaled to 20 x 20 pixels and put with their centre of mass in the middle of 28 x 28; those of
    scikit-learn fill their 8 x 8 pixels from top to bottom. A drawing is cropped and scaled to the same, each new pixel
    being the mean of what it covers.
    """
    rows, columns = np.flatnonzero(drawn.max(axis=1) > 0.1), np.flatnonzero(drawn.max(axis=0) > 0.1)
    image = np.zeros((side, side), np.float32)
    if not len(rows):
        return image[:, :, np.newaxis]
    box = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inner = side if side <= 8 else round(side * 20 / 28)
    scale = inner / max(box.shape)
    small = _shrunk(box, max(1, round(box.shape[0] * scale)), max(1, round(box.shape[1] * scale)))
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    if side > 8:
        image = _centred(image)
    return image[:, :, np.newaxis]


def _shrunk(box: Array, rows: int, columns: int) -> Array:
    """The means over as many equal parts, in both directions."""
    small: Array = _weights(box.shape[0], rows) @ box @ _weights(box.shape[1], columns).T
    return small


def _weights(old: int, new: int) -> Array:
    """How much of each old pixel a new one covers, (new, old), each row with the sum 1."""
    edges = np.linspace(0, old, new + 1)
    left, right = edges[:-1, np.newaxis], edges[1:, np.newaxis]
    covered = np.clip(np.minimum(right, np.arange(1, old + 1)) - np.maximum(left, np.arange(old)), 0, None)
    shares: Array = covered / covered.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def _centred(image: Array) -> Array:
    """Moved by whole pixels, so that the centre of mass is in the middle; nothing leaves the image."""
    moved = image
    for axis in (0, 1):
        ink = image.sum(axis=1 - axis)
        shift = round((len(ink) - 1) / 2 - float((np.arange(len(ink)) * ink).sum() / ink.sum()))
        used = np.flatnonzero(ink)
        moved = np.roll(moved, int(np.clip(shift, -used[0], len(ink) - 1 - used[-1])), axis=axis)
    return moved
