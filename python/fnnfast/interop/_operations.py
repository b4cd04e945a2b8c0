"""What a model is made of, whatever framework made it: operations on vectors and images.

Shapes are those of the network: (I,) of a vector, (height, width, channels) of an image. Each operation answers for
itself: which shape its output has, which operation beside it it can become one with, and which layer it is. Products
are in _products.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .._checks import FLOAT64, Array
from .._windows import Windows, windows
from ..activations import Activation, Identity
from ..layers import Activation as ActivationLayer
from ..layers import BatchNorm, Layer, MaxPool2D
from ..layers._shape import Shape, described, is_image
from ._errors import refusal

IDENTITY = Identity()

_EPS = 2.0**-17  # of a batch normalization: 1 - eps is exact in float32
_NOT_NEGATIVE = ("relu", "relu6", "sigmoid", "hard_sigmoid", "softplus", "exponential", "softmax", "step")


class Made(NamedTuple):
    """A layer, the values of its own parameters, and the layers inside it in the order of their names."""

    layer: Layer
    parameters: dict[str, Array]
    inner: tuple[Made, ...] = ()


class Operation(ABC):
    """Base of all operations."""

    # Changes no answer, so that what is folded may pass it.
    passive = False
    # Whether an output depends on a whole row.
    rowwise = False
    # Whether no output is less than 0.
    not_negative = False

    @abstractmethod
    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        """The shape of the output; ConversionError for inputs that do not fit."""

    @abstractmethod
    def make(self, place: str) -> Made:
        """The layer that it is, once nothing beside it takes it."""

    def joined(self, before: Operation) -> Operation | None:
        """The one operation that ``before``, followed by this, is; None where there is none."""
        return before.leading(self)

    def leading(self, after: Operation) -> Operation | None:
        """The one operation that this, followed by ``after``, is."""
        return None

    def scaled(self, scale: Scale) -> Operation | None:
        """The one operation that this, followed by a scale, is."""
        return None

    def of_scaled(self, scale: Scale) -> Operation | None:
        """The one operation that a scale, followed by this, is."""
        return None

    def activated(self, apply: Apply) -> Operation | None:
        """The one operation that this, followed by an activation, is."""
        return None

    def in_pieces(self, pieces: MaxPieces) -> Operation | None:
        """The one operation that this, followed by a maximum over pieces, is."""
        return None

    def padded(self, border: Border) -> Operation | None:
        """The one operation that a border of zeros, followed by this, is."""
        return None

    def of_pixel(self) -> Operation | None:
        """That on vectors which this is on images of one pixel."""
        return None

    def with_complement(self) -> Operation | None:
        """The one operation that this, followed by ``Complement``, is."""
        return None

    def settled(self, shape: Shape, place: str) -> Operation:
        """What it becomes, for inputs of a shape, where nothing beside it takes it."""
        return self


@dataclass(frozen=True, eq=False)
class Scale(Operation):
    """``x * scale + shift``, each (I,), or (C,) for an image, or (1,), or None: batch normalization and its like."""

    scale: Array | None = None
    shift: Array | None = None

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        for values in (self.scale, self.shift):
            _require_fit(place, values, shapes[0])
        return shapes[0]

    def joined(self, before: Operation) -> Operation | None:
        return before.scaled(self)

    def leading(self, after: Operation) -> Operation | None:
        return after.of_scaled(self)

    def scaled(self, scale: Scale) -> Operation:
        factors = [values.astype(FLOAT64) for values in (self.scale, scale.scale) if values is not None]
        shifts = [] if scale.shift is None else [scale.shift.astype(FLOAT64)]
        if self.shift is not None:
            shifts.append(self.shift.astype(FLOAT64) * (1.0 if scale.scale is None else scale.scale))
        product = factors[0] * factors[-1] if len(factors) == 2 else factors[0] if factors else None
        return Scale(product, sum(shifts[1:], shifts[0]) if shifts else None)

    def settled(self, shape: Shape, place: str) -> Operation:
        channels = shape[-1]
        scale, shift = (
            np.full(channels, default) if values is None else np.broadcast_to(values, channels)
            for values, default in ((self.scale, 1.0), (self.shift, 0.0))
        )
        return Scale(scale, shift)

    def make(self, place: str) -> Made:
        """A batch normalization whose mean is 0 and whose variance is 1, exactly, with its eps."""
        assert self.scale is not None
        assert self.shift is not None
        values = {"gamma": self.scale, "beta": self.shift}
        statistics = {"mean": np.zeros_like(self.scale), "variance": np.full_like(self.scale, 1 - _EPS)}
        return Made(BatchNorm(eps=_EPS), {**values, **statistics})


@dataclass(frozen=True, eq=False)
class Apply(Operation):
    """An activation; alpha (I,), or (C,) for an image, or (1,): the slopes of one that learns them."""

    activation: Activation
    alpha: Array | None = None

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        _require_fit(place, self.alpha, shapes[0])
        return shapes[0]

    @property
    def rowwise(self) -> bool:  # type: ignore[override]
        return self.activation.rowwise

    @property
    def not_negative(self) -> bool:  # type: ignore[override]
        return self.activation.name in _NOT_NEGATIVE

    def joined(self, before: Operation) -> Operation | None:
        return before.activated(self)

    def parameters(self, channels: int) -> dict[str, Array]:
        return {} if self.alpha is None else {"alpha": np.broadcast_to(self.alpha, channels)}

    def settled(self, shape: Shape, place: str) -> Operation:
        return self if self.alpha is None else replace(self, alpha=np.broadcast_to(self.alpha, shape[-1]))

    def make(self, place: str) -> Made:
        return Made(ActivationLayer(self.activation), {} if self.alpha is None else {"alpha": self.alpha})


@dataclass(frozen=True, eq=False)
class Plain(Operation):
    """A layer without parameters: a pool, a local response norm, Flatten."""

    layer: Layer

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        try:
            return self.layer.output_shape(shapes[0])
        except ValueError as error:
            raise refusal(place, str(error), "images that the windows fit") from None

    def padded(self, border: Border) -> Operation | None:
        """Minus infinity changes no maximum, nor do zeros one of numbers that are not negative."""
        if not isinstance(self.layer, MaxPool2D) or not (border.after_not_negative or border.is_least):
            return None
        pool = self.layer
        found = border.around(windows(pool.pool_size, pool.strides or pool.pool_size, pool.padding, 1))
        assert not isinstance(found.padding, str)
        if any(max(sides) >= size for sides, size in zip(found.padding, pool.pool_size, strict=True)):
            return None  # a window of the border alone
        return replace(self, layer=MaxPool2D(pool.pool_size, pool.strides, found.padding))

    def make(self, place: str) -> Made:
        return Made(self.layer, {})


class Keep(Plain):
    """A layer that changes no answers: Dropout, GaussianNoise."""

    passive = True


@dataclass(frozen=True, eq=False)
class Border(Operation):
    """Zeros around an image, or minus infinity (is_least), which the layer after it reads."""

    above_below: tuple[int, int]
    left_right: tuple[int, int]
    is_least: bool = False
    after_not_negative: bool = False

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        if not is_image(shapes[0]):
            raise refusal(place, f"zeros around {described(shapes[0])}", "zeros around images")
        height, width, channels = shapes[0]
        return (height + sum(self.above_below), width + sum(self.left_right), channels)

    def around(self, inner: Windows) -> Windows:
        """Windows over the image, of those over the image with its border."""
        assert not isinstance(inner.padding, str)
        rows, columns = (
            (before + outer[0], after + outer[1])
            for (before, after), outer in zip(inner.padding, (self.above_below, self.left_right), strict=True)
        )
        return inner._replace(padding=(rows, columns))

    def joined(self, before: Operation) -> Operation | None:
        if isinstance(before, Border) and before.is_least == self.is_least:
            (above, below), (left, right) = before.above_below, before.left_right
            rows = (above + self.above_below[0], below + self.above_below[1])
            return replace(before, above_below=rows, left_right=(left + self.left_right[0], right + self.left_right[1]))
        return None

    def leading(self, after: Operation) -> Operation | None:
        return after.padded(self)

    def make(self, place: str) -> Made:
        raise refusal(
            place,
            "zeros around an image that no convolution reads",
            "zeros before a convolution, or before a maximum of numbers that are not negative, fewer than its window",
            "give the layer after it the padding",
        )


@dataclass(frozen=True, eq=False)
class MaxPieces(Operation):
    """The maximum over pieces of a value of pieces times units numbers; ``first``: a piece's units are adjacent."""

    pieces: int
    first: bool

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if is_image(shape) or shape[0] % self.pieces:
            raise refusal(place, f"a maximum over {self.pieces} pieces of {described(shape)}", "a multiple of them")
        return (shape[0] // self.pieces,)

    def split(self, values: Array) -> Array:
        """(I, P O) as (P, I, O)."""
        rows = len(values)
        if self.first:
            return values.reshape(rows, self.pieces, -1).swapaxes(0, 1)
        return np.moveaxis(values.reshape(rows, -1, self.pieces), 2, 0)

    def joined(self, before: Operation) -> Operation | None:
        return before.in_pieces(self)

    def make(self, place: str) -> Made:
        raise refusal(
            place, "a maximum over pieces of what no dense layer gives", "one right after a dense layer (maxout)"
        )


class Complement(Operation):
    """The probability p of one of two classes as (1 - p, p): of sigmoid(z), softmax of (0, z)."""

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        return (2,)

    def joined(self, before: Operation) -> Operation | None:
        return before.with_complement()

    def make(self, place: str) -> Made:
        raise refusal(place, "1 - p beside p", "that of a p from a dense layer with a sigmoid, at the end of the model")


class Placed(NamedTuple):
    """An operation, the place in the source that it came from, and the shape of its input."""

    operation: Operation
    place: str
    inputs: Shape


def _require_fit(place: str, values: Array | None, shape: Shape) -> None:
    """ConversionError for numbers that are not one for each channel of a shape, or one for all."""
    if values is not None and values.shape not in ((1,), shape[-1:]):
        raise refusal(place, f"its input is {described(shape)}", f"values for so many channels: {len(values)}")
