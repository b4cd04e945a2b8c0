"""What the calls in a forward give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .._layout import VECTOR, Layout


class Rows:
    """The number of rows, which a network leaves open."""

    def __repr__(self) -> str:
        return "B"


ROWS = Rows()


@dataclass(eq=False)
class Memory:
    """What several values may be views of: one that is written to in place changes them all.

    flattened: whether there are views of it as images and as vectors, which are different values in a network.
    """

    step: int = 0
    writes: int = 0
    flattened: bool = False


@dataclass(frozen=True, eq=False)
class Value:
    """What depends on the input.

    written: the step that gave it, 0 for the input.
    shape: of a row.
    memory: where it is.
    writes: how many there had been when it was made.
    layout: where the numbers of a row are in the network.
    permuted: whether its axes are in another order than in memory, so that another shape of it is a copy.
    """

    written: int
    shape: tuple[int, ...]
    memory: Memory
    writes: int = 0
    layout: Layout = VECTOR
    permuted: bool = False

    @property
    def step(self) -> int:
        """The step that it is the value of now."""
        return self.written if self.memory.writes == self.writes else self.memory.step

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def view(self, shape: tuple[int, ...], step: int | None = None) -> Value:
        """The same memory in another shape, or after a step that changes no number."""
        return Value(self.step if step is None else step, shape, self.memory, self.memory.writes, self.layout)

    def copied(self) -> Value:
        """The same numbers in memory of their own."""
        return Value(self.step, self.shape, Memory(), 0, self.layout)

    def flattened(self, step: int) -> Value:
        """An image as a vector of the same shape in the model, after the step that flattens it."""
        self.memory.flattened = True
        return Value(step, self.shape, self.memory, self.memory.writes, self.layout.flattened(self.shape))

    def write(self, step: int) -> Value:
        """The value after a step in place."""
        self.memory.step = step
        self.memory.writes += 1
        return self.view(self.shape)


@dataclass(frozen=True, eq=False)
class Stacked:
    """Values beside each other along an axis of their own, until a maximum is taken over it."""

    values: tuple[Value, ...]
    axis: int


@dataclass(frozen=True, eq=False)
class Largest:
    """What max over an axis gives: the values, and their places, which no network has."""

    values: Any


def depends(arguments: Any) -> bool:
    """Whether something is, or contains, what depends on the input."""
    if isinstance(arguments, dict):
        return any(map(depends, arguments.values()))
    if isinstance(arguments, (tuple, list)):
        return any(map(depends, arguments))
    if isinstance(arguments, slice):
        return depends((arguments.start, arguments.stop, arguments.step))
    return isinstance(arguments, (Value, Stacked, Largest, Rows))
