"""What happens inside a network: the inputs and pre-activations of every layer, for calibration and diagnosis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import _cpu
from ._checks import Array, message
from ._device import CPU
from .sequential import Sequential

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


def trace(net: Sequential, x: Array) -> Iterator[Seen]:
    """Every step, in order, for all rows, a block at a time.

    x is prepared, (B, I) in the network's dtype.
    """
    names = list(net.named_layers)
    widths = sum(shape[-1] for name, shape in net.parameters.shapes.items() if name.endswith(".weight"))
    rows = max(1, _BLOCK // (net.input.size + 2 * widths))
    for first in range(0, len(x), rows):
        for seen in net._on_cpu("network").trace(x[first : first + rows]):
            layer, activated = (names[index] if index >= 0 else None for index in seen[:2])
            yield Seen(layer, activated, *seen[2:])


def diagnose(net: Sequential, x: ArrayLike) -> dict[str, dict[str, float]]:
    """See ``Sequential.diagnose``."""
    net._device.require(x=x)
    if net._device is not CPU:
        return diagnose(net.to(CPU.name), net._device.host(net._device.array("x", x)))
    rows = CPU.network_input(x, net.input.shape, net.dtype)
    if not len(rows):
        raise ValueError(message("x", "at least one row", "none"))
    steepest: dict[str, Array] = {}
    saturated: dict[str, float] = {}
    named = net.named_layers
    for seen in trace(net, rows):
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
            share = float((derivative < named[name].activation.small).mean()) * len(seen.z) / len(rows)
            saturated[name] = saturated.get(name, 0.0) + share
    dead = {name: float((values < named[name].activation.small).mean()) for name, values in steepest.items()}
    return {"dead": dead, "saturated": saturated}
