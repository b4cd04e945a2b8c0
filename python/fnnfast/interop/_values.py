"""What readers know of a value of a model: its shape there, and where its numbers are in the network.

Readers of single packages add what they need to it. What is the same in all of them is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from ._errors import ConversionError, refusal
from ._layout import CHANNELS_FIRST, VECTOR, Layout, vector
from ._operations import Operation


class Value(Protocol):
    """A value of a reader: the shape of a row in the model, and its layout in the network."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def size(self) -> int: ...

    @property
    def layout(self) -> Layout: ...


V = TypeVar("V", bound=Value)


def alike(values: Sequence[V], place: str) -> V:
    """The first of values of one shape, whose numbers lie in the same order; ConversionError for others."""
    first = values[0]
    if any(other.shape != first.shape for other in values):
        shapes = " and ".join(str(other.shape) for other in values)
        raise refusal(place, f"rows of shapes {shapes}", "rows of one shape")
    if any(other.layout != first.layout for other in values):
        raise refusal(place, "images that were flattened, and other vectors", "values in one order")
    return first


# Images --------------------------------------------------------------------------------------------------------------
def image(value: V, images: Layout, place: str, or_pixel: bool = False) -> V:
    """The value, which must be images in the layout that the package has for them; ConversionError for others.

    or_pixel: or the one pixel that a pool over whole images gives, a vector in the network. ``of_images`` takes it.
    """
    if value.layout != images and not (or_pixel and images.is_pixel(value.shape) and value.layout == VECTOR):
        raise _no_images(value, images, place)
    return value


def of_images(operation: Operation, value: Value, images: Layout, place: str) -> tuple[Operation, tuple[int, ...]]:
    """An operation on what ``image`` let pass, and the shape in the model of the images that it gives.

    A convolution of one pixel is a dense layer.
    """
    shape = images.model_shape(operation.shape(place, [images.network_shape(value.shape)]))
    dense = operation if value.layout == images else operation.of_pixel()
    if dense is None:
        raise _no_images(value, images, place)
    return dense, shape


def _no_images(value: Value, images: Layout, place: str) -> ConversionError:
    expected = "images (B, C, H, W)" if images == CHANNELS_FIRST else "images (B, H, W, C)"
    advice = "let it be the input, or what convolutions and pools give"
    return refusal(place, f"rows of shape {value.shape} as images", expected, advice)


# Beside each other ---------------------------------------------------------------------------------------------------
def are_vectors(values: Sequence[Value]) -> bool:
    """Whether they are vectors along the first axis of a row, which may have more of length 1, the same in each.

    Such are the vectors (C, 1, 1) of one pixel that pools over whole images give, where channels are first.
    """
    after = values[0].shape[1:]
    return not set(after) - {1} and all(not value.layout.is_image and value.shape[1:] == after for value in values)


def joined(values: Sequence[Value]) -> tuple[Layout, int]:
    """The layout and the size of vectors beside each other."""
    size, places = 0, []
    for value in values:
        own = np.arange(value.size) if value.layout.places is None else value.layout.places
        places.append(size + own)
        size += value.size
    return vector(np.concatenate(places)), size
