"""Values with shapes: rows as Keras has them, and where the network has the same numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..._checks import Array


class Turned(NamedTuple):
    """Axes in another order: the shape that a row has with them, and the transpose back to the network's order."""

    shape: tuple[int, ...]
    back: tuple[int, ...]


class Value(NamedTuple):
    """A value of the graph, and the shape of its rows in Keras.

    turned: None if the numbers of a row are in the same order as in the network, where each row is a vector.
    """

    step: int
    shape: tuple[int, ...]
    turned: Turned | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def spread(self, values: Array) -> Array:
        """Numbers that are broadcast to a row, as a vector in the network's order."""
        return self.rows(np.broadcast_to(values, self.shape).reshape(-1))

    def rows(self, values: Array) -> Array:
        """An array with a first axis in the order of Keras, in the network's."""
        if self.turned is None:
            return values
        shape, back = self.turned
        rest = values.shape[1:]
        axes = (*back, *range(len(back), len(back) + len(rest)))
        return values.reshape(*shape, *rest).transpose(axes).reshape(values.shape)

    def transposed(self, order: tuple[int, ...]) -> Value:
        """With the axes of a row in another order; only of one that is not turned yet."""
        shape = tuple(self.shape[axis] for axis in order)
        if [axis for axis in order if self.shape[axis] != 1] == [i for i, n in enumerate(self.shape) if n != 1]:
            return self._replace(shape=shape)
        return Value(self.step, shape, Turned(shape, tuple(int(i) for i in np.argsort(order))))


def channels_last(rank: int) -> tuple[int, ...]:
    """The order of the axes of a row that Flatten gives to data with channels first."""
    return (*range(1, rank), 0)
