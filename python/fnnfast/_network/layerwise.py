"""What happens inside a network: the inputs and pre-activations of every layer, for calibration and diagnosis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .. import _cpu
from .._checks import Array
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


def diagnose(network: _cpu.Network, structure: Structure, x: Array) -> dict[str, dict[str, float]]:
    """``Network.diagnose`` of rows as for ``trace``, at least one."""
    steepest: dict[str, Array] = {}
    saturated: dict[str, float] = {}
    named = structure.named
    for seen in trace(network, structure, x):
        watch = named[seen.activated].activation.watch if seen.activated else None
        if not watch or not seen.activated:
            continue
        name = seen.activated
        derivative = np.empty_like(seen.z)
        _cpu.activation_derivative(seen.activation, seen.parameter, seen.z, derivative)
        np.abs(derivative, out=derivative)
        if watch == "dead":
            largest = derivative.max(axis=0)
            steepest[name] = np.maximum(steepest[name], largest) if name in steepest else largest
        else:
            values = len(x) * math.prod(structure.output_shapes[name][:-1])  # pixels are rows
            share = float((derivative < named[name].activation.small).mean()) * len(seen.z) / values
            saturated[name] = saturated.get(name, 0.0) + share
    dead = {name: float((values < named[name].activation.small).mean()) for name, values in steepest.items()}
    return {"dead": dead, "saturated": saturated}
