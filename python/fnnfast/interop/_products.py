"""Products with constant weights: dense layers and maxout, and convolutions, which are the same over windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from .._checks import FLOAT64, Array
from .._windows import Windows
from ..activations import Softmax
from ..layers import Conv2D, Dense, Layer, Maxout, MaxoutConv2D
from ..layers._shape import Shape, described, is_image
from ._errors import refusal
from ._operations import IDENTITY, Apply, Border, Made, MaxPieces, Operation, Placed, Scale


class Filters(NamedTuple):
    """What makes a convolution of a product: the windows that it reads, and the groups of its channels.

    The rows of its weight are taps times channels, the channels of a group changing fastest.
    """

    windows: Windows
    groups: int = 1

    @property
    def taps(self) -> int:
        return math.prod(self.windows.kernel)

    @property
    def is_padded(self) -> bool:
        return self.windows.padding != ((0, 0), (0, 0))

    def settings(self) -> dict[str, Any]:
        """The arguments of a layer."""
        windows = self.windows
        return {"strides": windows.strides, "padding": windows.padding, "dilation": windows.dilation}


@dataclass(frozen=True, eq=False)
class Product(Operation):
    """What dense layers and maxout have in common: weight (..., I, O), bias (..., O) or None, and perhaps windows."""

    weight: Array
    bias: Array | None = None
    filters: Filters | None = None

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        rows, units = self.weight.shape[-2:]
        (shape, *_) = shapes
        if self.filters is None:
            if math.prod(shape) != rows or is_image(shape):
                raise refusal(place, f"its input is {described(shape)}", f"a weight for so many inputs: {rows}")
            return (int(units),)
        windows, groups = self.filters
        if not is_image(shape):
            raise refusal(place, f"a convolution of {described(shape)}", "convolutions of images")
        if shape[2] != rows // self.filters.taps * groups:
            expected = f"filters for so many channels: {rows // self.filters.taps * groups}"
            raise refusal(place, f"its input is {described(shape)}", expected)
        if units % groups:
            raise refusal(place, f"{groups} groups of {units} filters", "groups that divide the filters")
        try:
            return (*windows.outputs((shape[0], shape[1])), int(units))
        except ValueError as error:
            raise refusal(place, str(error), "windows that fit the image") from None

    def of_scaled(self, scale: Scale) -> Operation | None:
        shift = scale.shift is not None and (scale.shift != 0).any()
        if self.filters is not None and self.filters.is_padded and shift:
            return None  # the zeros around the image are not shifted
        weight, bias = self.weight.astype(FLOAT64), self.bias
        if scale.shift is not None:
            more = (weight * self._by_input(scale.shift)).sum(axis=-2)
            bias = more if bias is None else bias + more
        return replace(self, weight=weight if scale.scale is None else weight * self._by_input(scale.scale), bias=bias)

    def padded(self, border: Border) -> Operation | None:
        if self.filters is None or border.is_least:
            return None
        windows = self.filters.windows
        return replace(self, filters=self.filters._replace(windows=border.around(windows)))

    def of_pixel(self) -> Operation | None:
        if self.filters is None or self.filters.windows.kernel != (1, 1) or self.filters.is_padded:
            return None
        return replace(self, weight=_without_groups(self.weight, self.filters.groups), filters=None)

    def _by_input(self, values: Array) -> Array:
        """Numbers of the inputs, or of an image's channels, as an array that a weight is multiplied with."""
        values = values.astype(FLOAT64)
        if values.shape == (1,):
            return values
        if self.filters is None:
            return values[:, np.newaxis]
        rows = np.tile(values.reshape(self.filters.groups, -1).T, (self.filters.taps, 1))
        return np.repeat(rows, self.weight.shape[-1] // self.filters.groups, axis=1)

    def _scaled(self, scale: Scale) -> Product:
        """After a scale of its outputs; in float64, since a fold rounds once more."""
        weight, bias = self.weight, self.bias
        if scale.scale is not None:
            weight = weight.astype(FLOAT64) * scale.scale
            bias = None if bias is None else bias * scale.scale.astype(FLOAT64)
        if scale.shift is not None:
            outputs = (*weight.shape[:-2], weight.shape[-1])
            bias = np.broadcast_to(scale.shift.astype(FLOAT64) if bias is None else bias + scale.shift, outputs)
        return replace(self, weight=weight, bias=bias)

    def _made(self, layer: Layer, more: dict[str, Array]) -> Made:
        weight = self.weight
        if self.filters is not None:
            *pieces, _, units = weight.shape
            weight = weight.reshape(*pieces, *self.filters.windows.kernel, -1, units)
        bias = {} if self.bias is None else {"bias": self.bias}
        return Made(layer, {"weight": weight, **bias, **more})


@dataclass(frozen=True, eq=False)
class Affine(Product):
    """``activation(x @ weight + bias)``, weight (I, O), bias (O,) or None; over each window, with filters."""

    activation: Apply | None = None

    def scaled(self, scale: Scale) -> Operation | None:
        return self._scaled(scale) if self.activation is None else None

    def activated(self, apply: Apply) -> Operation | None:
        return replace(self, activation=apply) if self.activation is None else None

    def in_pieces(self, pieces: MaxPieces) -> Operation | None:
        if self.activation is not None or self.filters is not None:
            return None
        parts = [pieces.split(self.weight)] + ([] if self.bias is None else [pieces.split(self.bias[np.newaxis])])
        return Pieces(parts[0], None if self.bias is None else parts[1][:, 0])

    def with_complement(self) -> Operation | None:
        if self.filters is not None or self.activation is None or self.activation.activation.name != "sigmoid":
            return None
        weight = np.concatenate([np.zeros_like(self.weight), self.weight], axis=1)
        bias = None if self.bias is None else np.concatenate([np.zeros_like(self.bias), self.bias])
        return Affine(weight, bias, activation=Apply(Softmax()))

    @property
    def rowwise(self) -> bool:  # type: ignore[override]
        return self.activation is not None and self.activation.rowwise

    @property
    def not_negative(self) -> bool:  # type: ignore[override]
        return self.activation is not None and self.activation.not_negative

    def make(self, place: str) -> Made:
        units = self.weight.shape[-1]
        apply, has_bias = self.activation or Apply(IDENTITY), self.bias is not None
        if self.filters is None:
            return self._made(Dense(units, apply.activation, bias=has_bias), apply.parameters(units))
        kernel, groups, settings = self.filters.windows.kernel, self.filters.groups, self.filters.settings()
        layer = Conv2D(units, kernel, apply.activation, groups=groups, bias=has_bias, **settings)
        return self._made(layer, apply.parameters(units))


@dataclass(frozen=True, eq=False)
class Pieces(Product):
    """``max over p of x @ weight[p] + bias[p]``, weight (P, I, O), bias (P, O) or None; over windows, with filters."""

    def scaled(self, scale: Scale) -> Operation | None:
        if scale.scale is not None and not (scale.scale >= 0).all():
            return None  # a negative factor makes a minimum of the maximum
        return self._scaled(scale)

    def make(self, place: str) -> Made:
        pieces, _, units = self.weight.shape
        has_bias = self.bias is not None
        if self.filters is None:
            return self._made(Maxout(units, pieces, bias=has_bias), {})
        kernel, settings = self.filters.windows.kernel, self.filters.settings()
        return self._made(MaxoutConv2D(units, kernel, pieces, bias=has_bias, **settings), {})


def _without_groups(rows: Array, groups: int) -> Array:
    """The weight (I / groups, O) of groups of inputs and outputs as one of all of them, (I, O): 0 between groups."""
    each, units = rows.shape
    whole = np.zeros((groups * each, units), rows.dtype)
    for group in range(groups):
        own = slice(group * units // groups, (group + 1) * units // groups)
        whole[group * each : (group + 1) * each, own] = rows[:, own]
    return whole


def is_projection(branch: Sequence[Placed]) -> bool:
    """Whether it is one dense layer with a bias and no activation, as a block may have of its own."""
    only = branch[0].operation if len(branch) == 1 else None
    return is_linear(only) and only.filters is None and only.bias is not None


def is_linear(operation: Operation | None) -> TypeGuard[Affine]:
    """Whether it is a product without an activation."""
    return isinstance(operation, Affine) and operation.activation is None
