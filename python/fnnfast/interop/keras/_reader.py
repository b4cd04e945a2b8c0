"""Calls of layers: what they are called on, and what they add to the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..._checks import Array, short
from ...layers import Flatten
from .._errors import ConversionError
from .._graph import Graph
from .._layout import CHANNELS_LAST, VECTOR, Layout
from .._operations import Operation, Plain, Scale
from .._values import alike, image
from ._config import Layer
from ._shapes import Value

_ADVICE = {
    "Lambda": ("layers without code of their own", "replace it by layers, such as Rescaling and Activation"),
    "Subtract": ("Add, Average and Maximum", "let a Dense before it give the negative"),
    "Multiply": ("Add, Average and Maximum",),
    "ops.Concatenate": ("keras.layers.Concatenate of vectors, where it is supported",),
}
_MOST_COPIES = 16  # of all weights, by layers that are called more than once
_FREE = 2**27  # numbers that any model may ask for


class Reader:
    """What turns calls of layers into operations of a graph.

    held is how many numbers the source has: what a small file says it has is not allocated. image is the shape of the
    images that the model reads, also where its input are vectors that it reshapes to them. rounding is the epsilon of
    the roughest numbers so far.
    """

    def __init__(
        self,
        graph: Graph,
        held: int,
        layers: Mapping[str, Callable[[Call], Value]],
        image: tuple[int, int, int] | None = None,
    ) -> None:
        self.graph = graph
        self.image = image
        self._layers = layers
        self.rounding = 0.0
        self._left = _MOST_COPIES * held + _FREE

    def call(self, layer: Layer, arguments: Sequence[Any]) -> Value:
        """The value of a call; ConversionError for what no network has."""
        function = self._layers.get(layer.kind)
        if function is None:
            name = short(layer.kind.removeprefix("ops."), 60)
            problem = f"a layer {name} that is not supported"
            if layer.kind in _ADVICE:
                raise layer.refused(problem, *_ADVICE[layer.kind])
            raise layer.refused(problem, ", ".join(kind for kind in self._layers if not kind.startswith("ops.")))
        self.rounding = max(self.rounding, layer.rounding)
        return function(Call(self, layer, arguments))

    def add(
        self, layer: Layer, operation: Operation, inputs: Sequence[Value], shape: tuple[int, ...], layout: Layout
    ) -> Value:
        """A new value of the graph."""
        arrays = [value for value in vars(operation).values() if isinstance(value, np.ndarray)]
        self._left -= sum(array.size for array in arrays)
        if self._left < 0:
            raise layer.refused(
                "the layers up to here need far more numbers than the model holds", "models without so many calls of "
                "one layer"
            )  # fmt: skip
        step = self.graph.add(operation, [value.step for value in inputs], layer.place)
        return Value(step, shape, layout)


class Call:
    """One call of a layer on values."""

    def __init__(self, reader: Reader, layer: Layer, arguments: Sequence[Any]) -> None:
        self.reader, self.layer, self.arguments = reader, layer, arguments

    @property
    def values(self) -> list[Value]:
        """The arguments, all of them values in the same order of the same shape."""
        found = [item for item in self.arguments if isinstance(item, Value)]
        if not found or len(found) != len(self.arguments):
            raise self.refused("a call on what is no output of a layer", "calls on outputs of layers")
        return found

    @property
    def value(self) -> Value:
        """The only argument."""
        if len(self.arguments) != 1:
            raise self.refused(f"a call on {len(self.arguments)} values", "a call on one")
        return self.values[0]

    def refused(self, problem: str, supported: str, advice: str = "") -> ConversionError:
        return self.layer.refused(problem, supported, advice)

    def image(self, or_pixel: bool = False) -> Value:
        """The only argument, which must be images; or the one pixel that a pool gave."""
        return image(self.value, CHANNELS_LAST, self.layer.place, or_pixel)

    def step(
        self,
        operation: Operation,
        *inputs: Value,
        shape: tuple[int, ...] | None = None,
        layout: Layout | None = None,
    ) -> Value:
        """The value of an operation, of the shape and layout of its first input unless others are given."""
        first, *_ = inputs = inputs or (self.value,)
        shape = first.shape if shape is None else shape
        return self.reader.add(self.layer, operation, inputs, shape, first.layout if layout is None else layout)

    def reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        """The numbers of a row in another shape, in the same order."""
        if value.step == 0 and shape == self.reader.image and value.layout in (VECTOR, CHANNELS_LAST):
            return Value(0, shape, CHANNELS_LAST)
        if not value.layout.is_image or shape == value.shape:
            return value._replace(shape=shape)
        return self.step(Plain(Flatten()), value, shape=shape, layout=value.layout.flattened(value.shape))

    def join(self, operation: Operation) -> Value:
        """An operation on several values of one shape."""
        values = self.values
        if len(values) == 1:
            return values[0]
        alike(values, self.layer.place)
        return self.step(operation, *values)

    def scale(self, scale: Array | None, shift: Array | None) -> Value:
        """x * scale + shift, each of numbers that are broadcast to a row."""
        value = self.value
        spread = [None if array is None else value.spread(array) for array in (scale, shift)]
        if any(given is not None and found is None for given, found in zip((scale, shift), spread, strict=True)):
            raise self.refused("numbers that differ from pixel to pixel", "one for each channel of an image")
        return self.step(Scale(*spread))

    def broadcast(self, key: str, array: Array) -> Array:
        """The array, once it is known that it can be broadcast to a row."""
        shape = self.value.shape
        fits = len(array.shape) <= len(shape) and all(
            got in (1, length) for got, length in zip(array.shape[::-1], shape[::-1], strict=False)
        )
        if not fits:
            raise self.refused(f"{key} of shape {array.shape} for rows of shape {shape}", "one that fits the rows")
        return array

    def axes(self, key: str, default: Any) -> list[int]:
        """Axes of a row from those of a batch of rows, in which the first is that of the rows."""
        rank = 1 + len(self.value.shape)
        axes = sorted(axis + rank if axis < 0 else axis for axis in self.layer.integers(key, default))
        if not axes or axes[0] < 1 or axes[-1] >= rank or len(set(axes)) < len(axes):
            raise self.refused(f"{key} {self.layer.config.get(key)}", f"axes 1 to {rank - 1}, not that of the rows")
        return [axis - 1 for axis in axes]

    def along(self, axes: Sequence[int], key: str, array: Array) -> Array:
        """An array with one axis for each of these, as one that is broadcast to a row."""
        row = self.value.shape
        lengths = [row[axis] if axis in axes else 1 for axis in range(len(row))]
        if array.shape != tuple(row[axis] for axis in axes):
            raise self.refused(f"{key} of shape {array.shape} for rows of shape {row}", "one that fits the rows")
        return array.reshape(lengths)
