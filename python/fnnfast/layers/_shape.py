"""The shape of one sample: (c,) for a vector, (h, w, c) for an image, channels last."""

from __future__ import annotations

import math

Shape = tuple[int, ...]


def is_image(shape: Shape) -> bool:
    """Whether it has a height and a width."""
    return len(shape) == 3


def as_image(shape: Shape) -> tuple[int, int, int]:
    """Height, width and channels; a vector is one pixel."""
    height, width, channels = shape if is_image(shape) else (1, 1, math.prod(shape))
    return height, width, channels


def compiled(shape: Shape) -> int | tuple[int, int, int]:
    """The shape as ``_cpu.Network`` takes it: a number for a vector."""
    return as_image(shape) if is_image(shape) else math.prod(shape)


def described(shape: Shape) -> str:
    """The shape in words, for errors."""
    return f"an image {shape}" if is_image(shape) else f"a vector of {math.prod(shape)} values"


def image(shape: Shape) -> tuple[int, int, int]:
    """The shape of an image; ValueError for a vector."""
    if not is_image(shape):
        raise ValueError(f"expected an image (height, width, channels), got {described(shape)}")
    return as_image(shape)
