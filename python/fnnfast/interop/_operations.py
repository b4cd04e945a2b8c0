"""What a model is made of, whatever framework made it: operations on rows of numbers.

Each operation answers for itself: how wide its output is, which operation beside it it can become one with, and which
layer it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .._checks import FLOAT64, Array
from ..activations import Activation, Identity, Softmax
from ..layers import Activation as ActivationLayer
from ..layers import Dense, Layer, Maxout, Residual
from ._errors import refusal

_IDENTITY = Identity()

# A scale that no layer takes becomes a diagonal weight: as many numbers as its square, which no file pays for.
WIDEST_DIAGONAL = 4096


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

    @abstractmethod
    def width(self, place: str, widths: Sequence[int]) -> int:
        """The width of the output; ConversionError for inputs that do not fit."""

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

    def with_complement(self) -> Operation | None:
        """The one operation that this, followed by ``Complement``, is."""
        return None

    def settled(self, width: int, place: str) -> Operation:
        """What it becomes where nothing beside it takes it."""
        return self


@dataclass(frozen=True, eq=False)
class Affine(Operation):
    """``activation(x @ weight + bias)``, weight (I, O), bias (O,) or None."""

    weight: Array
    bias: Array | None = None
    activation: Apply | None = None

    def width(self, place: str, widths: Sequence[int]) -> int:
        _same(place, "a weight for so many inputs", self.weight.shape[0], widths)
        return int(self.weight.shape[1])

    def scaled(self, scale: Scale) -> Operation | None:
        if self.activation is not None:
            return None
        weight, bias = _scaled(self.weight, self.bias, scale)
        return Affine(weight, bias)

    def of_scaled(self, scale: Scale) -> Operation:
        weight, bias = _of_scaled(self.weight, self.bias, scale)
        return replace(self, weight=weight, bias=bias)

    def activated(self, apply: Apply) -> Operation | None:
        return replace(self, activation=apply) if self.activation is None else None

    def in_pieces(self, pieces: MaxPieces) -> Operation | None:
        if self.activation is not None:
            return None
        parts = [pieces.split(self.weight)] + ([] if self.bias is None else [pieces.split(self.bias[np.newaxis])])
        return Pieces(parts[0], None if self.bias is None else parts[1][:, 0])

    def with_complement(self) -> Operation | None:
        if self.activation is None or self.activation.activation.name != "sigmoid":
            return None
        weight = np.concatenate([np.zeros_like(self.weight), self.weight], axis=1)
        bias = None if self.bias is None else np.concatenate([np.zeros_like(self.bias), self.bias])
        return Affine(weight, bias, Apply(Softmax()))

    @property
    def rowwise(self) -> bool:  # type: ignore[override]
        return self.activation is not None and self.activation.rowwise

    def make(self, place: str) -> Made:
        units = self.weight.shape[1]
        apply = self.activation or Apply(_IDENTITY)
        layer = Dense(units, apply.activation, bias=self.bias is not None)
        return Made(layer, {**_weights(self.weight, self.bias), **apply.parameters(units)})


@dataclass(frozen=True, eq=False)
class Pieces(Operation):
    """``max over p of x @ weight[p] + bias[p]``, weight (P, I, O), bias (P, O) or None."""

    weight: Array
    bias: Array | None = None

    def width(self, place: str, widths: Sequence[int]) -> int:
        _same(place, "weights for so many inputs", self.weight.shape[1], widths)
        return int(self.weight.shape[2])

    def scaled(self, scale: Scale) -> Operation | None:
        if scale.scale is not None and not (scale.scale >= 0).all():
            return None  # a negative factor makes a minimum of the maximum
        weight, bias = _scaled(self.weight, self.bias, scale)
        return Pieces(weight, bias)

    def of_scaled(self, scale: Scale) -> Operation:
        weight, bias = _of_scaled(self.weight, self.bias, scale)
        return Pieces(weight, bias)

    def make(self, place: str) -> Made:
        pieces, _, units = self.weight.shape
        return Made(Maxout(units, pieces, bias=self.bias is not None), _weights(self.weight, self.bias))


@dataclass(frozen=True, eq=False)
class Scale(Operation):
    """``x * scale + shift``, each (W,), (1,) or None: batch normalisation in inference, and its like."""

    scale: Array | None = None
    shift: Array | None = None

    def width(self, place: str, widths: Sequence[int]) -> int:
        for values in (self.scale, self.shift):
            if values is not None and values.shape != (1,):
                _same(place, "values for so many inputs", len(values), widths)
        return widths[0]

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

    def settled(self, width: int, place: str) -> Operation:
        if width > WIDEST_DIAGONAL:
            raise refusal(
                place,
                f"a scale of {width} values that no layer before or after it can take",
                f"at most {WIDEST_DIAGONAL} of them, as a Dense with a diagonal weight, or any number beside a dense "
                "layer without an activation between",
            )
        scale = np.ones(1) if self.scale is None else self.scale
        shift = None if self.shift is None else np.broadcast_to(self.shift, width).copy()
        return Affine(np.diag(np.broadcast_to(scale, width)), shift)

    def make(self, place: str) -> Made:
        raise AssertionError("a scale is settled first")


@dataclass(frozen=True, eq=False)
class Apply(Operation):
    """An activation; alpha (W,) or (1,): the slopes of one that learns them."""

    activation: Activation
    alpha: Array | None = None

    def width(self, place: str, widths: Sequence[int]) -> int:
        if self.alpha is not None and self.alpha.shape != (1,):
            _same(place, "slopes for so many inputs", len(self.alpha), widths)
        return widths[0]

    @property
    def rowwise(self) -> bool:  # type: ignore[override]
        return self.activation.rowwise

    def joined(self, before: Operation) -> Operation | None:
        return before.activated(self)

    def parameters(self, width: int) -> dict[str, Array]:
        return {} if self.alpha is None else {"alpha": np.broadcast_to(self.alpha, width)}

    def settled(self, width: int, place: str) -> Operation:
        return self if self.alpha is None else replace(self, alpha=np.broadcast_to(self.alpha, width))

    def make(self, place: str) -> Made:
        return Made(ActivationLayer(self.activation), {} if self.alpha is None else {"alpha": self.alpha})


@dataclass(frozen=True, eq=False)
class Keep(Operation):
    """A layer that changes no answers: Dropout, Flatten."""

    layer: Layer
    passive = True

    def width(self, place: str, widths: Sequence[int]) -> int:
        return widths[0]

    def make(self, place: str) -> Made:
        return Made(self.layer, {})


@dataclass(frozen=True, eq=False)
class MaxPieces(Operation):
    """The maximum over pieces of a value of pieces times units numbers; ``first``: a piece's units are adjacent."""

    pieces: int
    first: bool

    def width(self, place: str, widths: Sequence[int]) -> int:
        if widths[0] % self.pieces:
            raise refusal(place, f"a maximum over {self.pieces} pieces of {widths[0]} values", "a multiple of them")
        return widths[0] // self.pieces

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

    def width(self, place: str, widths: Sequence[int]) -> int:
        return 2

    def joined(self, before: Operation) -> Operation | None:
        return before.with_complement()

    def make(self, place: str) -> Made:
        raise refusal(place, "1 - p beside p", "that of a p from a dense layer with a sigmoid, at the end of the model")


class Placed(NamedTuple):
    """An operation, the place in the source that it came from, and the width of its input."""

    operation: Operation
    place: str
    inputs: int


@dataclass(frozen=True, eq=False)
class Block(Operation):
    """``activation(main(x) + shortcut(x))``; an empty shortcut is x itself."""

    main: tuple[Placed, ...]
    shortcut: tuple[Placed, ...]
    outputs: int
    activation: Activation = _IDENTITY

    def width(self, place: str, widths: Sequence[int]) -> int:
        return self.outputs

    def activated(self, apply: Apply) -> Operation | None:
        if apply.alpha is not None or apply.rowwise or self.activation.name != "identity":
            return None
        return replace(self, activation=apply.activation)

    def make(self, place: str) -> Made:
        main = make_all(self.main)
        parameters: dict[str, Array] = {}
        other = make_all(self.shortcut)
        if self._projects:  # the block's own
            (made,), other = other, ()
            parameters = made.parameters
        shortcut = [made.layer for made in other] or None
        layer = Residual([made.layer for made in main], shortcut, self.activation)
        return Made(layer, parameters, main + other)

    @property
    def _projects(self) -> bool:
        """Whether the shortcut is one dense layer between different widths, as Residual itself has it."""
        return is_projection(self.shortcut) and self.shortcut[0].inputs != self.outputs


def is_projection(branch: Sequence[Placed]) -> bool:
    """Whether it is one dense layer with a bias and no activation, as a block may have of its own."""
    only = branch[0].operation if len(branch) == 1 else None
    return isinstance(only, Affine) and only.activation is None and only.bias is not None


def make_all(chain: Sequence[Placed]) -> tuple[Made, ...]:
    """The layers of operations in a row."""
    return tuple(operation.make(place) for operation, place, _ in chain)


# Arithmetic, in float64, since a fold rounds once more ---------------------------------------------------------------
def _scaled(weight: Array, bias: Array | None, scale: Scale) -> tuple[Array, Array | None]:
    """(weight * scale, bias * scale + shift), the outputs last."""
    if scale.scale is not None:
        weight = weight.astype(FLOAT64) * scale.scale
        bias = None if bias is None else bias * scale.scale.astype(FLOAT64)
    if scale.shift is not None:
        outputs = (*weight.shape[:-2], weight.shape[-1])
        bias = np.broadcast_to(scale.shift.astype(FLOAT64) if bias is None else bias + scale.shift, outputs)
    return weight, bias


def _of_scaled(weight: Array, bias: Array | None, scale: Scale) -> tuple[Array, Array | None]:
    """((scale * x + shift) @ weight + bias) by its weight and bias, the inputs last but one."""
    weight = weight.astype(FLOAT64)
    if scale.shift is not None:
        shift = np.broadcast_to(scale.shift.astype(FLOAT64), weight.shape[-2]) @ weight
        bias = shift if bias is None else bias + shift
    return weight if scale.scale is None else weight * np.broadcast_to(scale.scale, weight.shape[-2])[:, None], bias


def _weights(weight: Array, bias: Array | None) -> dict[str, Array]:
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}


def _same(place: str, what: str, expected: int, widths: Sequence[int]) -> None:
    if expected != widths[0]:
        raise refusal(place, f"its input has {widths[0]} values", f"{what}: {expected}")
