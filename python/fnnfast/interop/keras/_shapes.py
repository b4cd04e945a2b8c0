"""Values with shapes: rows as Keras has them, and where the network has the same numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..._checks import Array
from .._layout import VECTOR, Layout


class Value(NamedTuple):
    """A value of the graph, the shape of its rows in Keras, and where their numbers are in the network."""

    step: int
    shape: tuple[int, ...]
    layout: Layout = VECTOR

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def spread(self, values: Array) -> Array | None:
        """Numbers that are broadcast to a row: one, or one for each channel of images, or each number of vectors.

        None where they differ from pixel to pixel.
        """
        return self.layout.constants(np.broadcast_to(values, self.shape), self.shape)

    def transposed(self, order: tuple[int, ...]) -> Value:
        """With the axes of a row in another order."""
        shape = tuple(self.shape[axis] for axis in order)
        return self._replace(shape=shape, layout=self.layout.transposed(self.shape, order))


def channels_last(rank: int) -> tuple[int, ...]:
    """The order of the axes of a row that Flatten gives to data with channels first."""
    return (*range(1, rank), 0)
