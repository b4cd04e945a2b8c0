"""Where the numbers of a row lie: models have axes in any order, networks have vectors, and images channels last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._checks import Array
from ..layers import Input
from ..layers._shape import Shape


@dataclass(frozen=True, eq=False)
class Layout:
    """How a value of a model, of some shape, lies in the network.

    Attributes
    ----------
    axes : (int, int, int) or None
        Of an image: which of the model's axes are its height, its width and its channels. None: a vector.
    places : ndarray or None
        Of a vector: where each number of the model's row is. None: in the same order.
    """

    axes: tuple[int, int, int] | None = None
    places: Array | None = None

    @property
    def is_image(self) -> bool:
        return self.axes is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layout) or self.axes != other.axes:
            return False
        if self.places is None or other.places is None:
            return self.places is other.places
        return np.array_equal(self.places, other.places)

    def __hash__(self) -> int:
        return hash(self.axes)

    def network_shape(self, shape: Sequence[int]) -> Shape:
        """The shape in the network of a value that has that shape in the model."""
        if self.axes is None:
            return (math.prod(shape),)
        return tuple(shape[axis] for axis in self.axes)

    def model_shape(self, shape: Shape) -> tuple[int, ...]:
        """The opposite, of images: the shape in the model of one that has that shape in the network."""
        assert self.axes is not None
        return tuple(shape[self.axes.index(axis)] for axis in range(3))

    def is_pixel(self, shape: Sequence[int]) -> bool:
        """Whether images of that shape in the model have one pixel."""
        return len(shape) == 3 and self.network_shape(shape)[:2] == (1, 1)

    def constants(self, values: Array, shape: Sequence[int]) -> Array | None:
        """Numbers that are broadcast to a value: one, (1,), or one for each channel of an image or each of a vector.

        None: they are not the same for all pixels. ValueError: they cannot be broadcast.
        """
        if values.size == 1:
            return values.reshape(1)
        whole = np.broadcast_to(values, tuple(shape))
        if self.axes is None:
            return self.rows(whole.reshape(-1))
        pixels = np.transpose(whole, self.axes).reshape(-1, shape[self.axes[2]])
        return pixels[0] if (pixels == pixels[0]).all() else None

    def rows(self, values: Array) -> Array:
        """An array whose first axis has the numbers of a vector in the model's order, in the network's."""
        if self.places is None:
            return values
        ordered = np.empty_like(values)
        ordered[self.places] = values
        return ordered

    def flattened(self, shape: Sequence[int]) -> Layout:
        """That of an image once a Flatten has made a vector of it."""
        if self.axes is None:
            return self
        places = np.moveaxis(np.arange(math.prod(shape)).reshape(self.network_shape(shape)), (0, 1, 2), self.axes)
        return vector(places.reshape(-1))

    def transposed(self, shape: Sequence[int], order: Sequence[int]) -> Layout:
        """That of a value whose axes are in another order: new axis i was axis order[i]."""
        if self.axes is not None:
            height, width, channels = (list(order).index(axis) for axis in self.axes)
            return Layout((height, width, channels))
        places = np.arange(math.prod(shape)) if self.places is None else self.places
        return vector(np.transpose(places.reshape(tuple(shape)), order).reshape(-1))


def vector(places: Array) -> Layout:
    """That of a vector whose numbers are at these places of the model's row."""
    return Layout(None, None if np.array_equal(places, np.arange(len(places))) else places)


def input_layer(shape: Sequence[int], layout: Layout) -> Input:
    """The input of a network that takes rows of a shape as the model does."""
    return Input(*shape, channels="first") if layout == CHANNELS_FIRST else Input(*shape)


VECTOR = Layout()
CHANNELS_FIRST = Layout((1, 2, 0))
CHANNELS_LAST = Layout((0, 1, 2))
