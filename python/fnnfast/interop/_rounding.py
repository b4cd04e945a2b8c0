"""Pools whose number of windows is rounded up: ceil_mode of PyTorch and ONNX."""

from __future__ import annotations

import math

from .._windows import Borders, Pair, Windows


def rounded_up(found: Windows, image: Pair) -> Borders:
    """The padding with which as many windows fit as if their number were rounded up: the last begins in the image."""
    assert not isinstance(found.padding, str)
    borders = []
    for axis, (before, after) in enumerate(found.padding):
        length, stride, extent = image[axis], found.strides[axis], found.extent(axis)
        count = math.ceil((length + before + after - extent) / stride) + 1
        if (count - 1) * stride >= length + before:
            count -= 1
        borders.append((before, max(after, (count - 1) * stride + extent - length - before)))
    rows, columns = borders
    return rows, columns
