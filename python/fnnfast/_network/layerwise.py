"""What happens inside a network: the inputs and pre-activations of every layer, for calibration and diagnosis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import _cpu
from .._checks import Array
from ..activations import Activation
from ..layers import Maxout, MaxoutConv2D
from ..layers._shape import Shape
from ..ops import MAX_SAVED_PIECES, maxout_conv2d_forward, maxout_forward
from .structure import Structure

# Values of all layers together that are kept at a time.
_BLOCK = 2**21


class Seen(NamedTuple):
    """What one step did with a block of rows."""

    layer: str | None  # of the product, None where there is none
    activated: str | None  # the layer that the activation comes from
    activation: str
    parameter: Array | None
    inputs: Array  # of the product
    z: Array  # what the activation reads


def trace(network: _cpu.Network, structure: Structure, x: Array) -> Iterator[Seen]:
    """Every step, in order, for all rows, a block at a time.

    x is prepared, (B, I) in the network's dtype.
    """
    names = list(structure.named)
    widths = sum(
        shape[-1] * math.prod(structure.output_shapes[name][:-1])
        for name, shapes in structure.parameter_shapes.items()
        for shape in shapes.values()
    )
    rows = max(1, _BLOCK // (structure.input.size + 2 * widths))
    for first in range(0, len(x), rows):
        for seen in network.trace(x[first : first + rows]):
            layer, activated = (names[index] if index >= 0 else None for index in seen[:2])
            yield Seen(layer, activated, *seen[2:])


class _Activated:
    """What the derivatives of an activation were for some rows; pixels are rows to it."""

    def __init__(self, activation: Activation, units: int) -> None:
        self._watch, self._small = activation.watch, activation.small
        self._steepest = np.zeros(units)
        self._small_values = np.zeros(units, np.int64)
        self._rows = 0

    def see(self, seen: Seen) -> None:
        derivative = np.empty_like(seen.z)
        _cpu.activation_derivative(seen.activation, seen.parameter, seen.z, derivative)
        np.abs(derivative, out=derivative)
        self._steepest = np.maximum(self._steepest, derivative.max(axis=0))
        self._small_values += (derivative < self._small).sum(axis=0)
        self._rows += len(derivative)

    def shares(self) -> dict[str, float]:
        if self._watch == "dead":
            return {"dead": float(self.units()["dead"].mean())}
        return {"saturated": float(self._small_values.sum() / (self._rows * len(self._small_values)))}

    def units(self) -> dict[str, Array]:
        if self._watch == "dead":
            return {"dead": self._steepest < self._small}
        return {"saturated": self._small_values / self._rows}


class _Pieces:
    """Which pieces of a maxout layer have won for some rows."""

    def __init__(self, layer: Maxout | MaxoutConv2D, shape: Shape, weight: Array, bias: Array | None) -> None:
        self._layer, self._shape, self._weight, self._bias = layer, shape, weight, bias
        self._won = np.zeros((layer.pieces, weight.shape[-1]), bool)

    def see(self, seen: Seen) -> None:
        x, layer = seen.inputs.reshape(-1, *self._shape), self._layer
        if isinstance(layer, MaxoutConv2D):
            _, argmax = maxout_conv2d_forward(
                x, self._weight, self._bias, strides=layer.strides, padding=layer.padding, dilation=layer.dilation
            )
        else:
            _, argmax = maxout_forward(x.reshape(len(x), -1), self._weight, self._bias)
        rows = argmax.reshape(-1, argmax.shape[-1])
        for piece, won in enumerate(self._won):
            won |= (rows == piece).any(axis=0)

    def shares(self) -> dict[str, float]:
        return {name: float(values.mean()) for name, values in self.units().items()}

    def units(self) -> dict[str, Array]:
        return {"dead": ~self._won, "linear": self._won.sum(axis=0) == 1}


def diagnose(
    network: _cpu.Network, structure: Structure, parameters: Mapping[str, Array], x: Array, *, units: bool
) -> dict[str, dict[str, Any]]:
    """``Network.diagnose`` of rows as for ``trace``, at least one."""
    watched: dict[str, _Activated | _Pieces] = {}
    for name, layer in structure.named.items():
        if isinstance(layer, (Maxout, MaxoutConv2D)) and 1 < layer.pieces <= MAX_SAVED_PIECES:
            weight, bias = parameters[f"{name}.weight"], parameters.get(f"{name}.bias")
            watched[name] = _Pieces(layer, structure.input_shapes[name], weight, bias)
        elif layer.activation.watch:
            watched[name] = _Activated(layer.activation, structure.output_shapes[name][-1])
    for seen in trace(network, structure, x):
        for which in {seen.layer, seen.activated}:
            if which in watched:
                watched[which].see(seen)
    found: dict[str, dict[str, Any]] = {"dead": {}, "saturated": {}, "linear": {}}
    for name, layer_watched in watched.items():
        for kind, value in (layer_watched.units() if units else layer_watched.shares()).items():
            found[kind][name] = value
    return found
