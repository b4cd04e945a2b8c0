"""A network one layer at a time, for what wants to look in between: calibration and diagnosis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import _cpu, sequential
from ._checks import Array, message
from ._device import CPU
from .layers import Dense, Input, Layer, Residual
from .sequential import Sequential

# Values of the widest layer that are kept at a time.
_BLOCK = 2**20


class _Step(NamedTuple):
    """A layer with weights as a network of its own, and how it stands in the whole."""

    name: str
    layer: Layer
    network: Sequential
    adds: str | None  # the residual block whose input is added to the outputs
    starts: str | None  # the residual block whose input is this layer's


class Seen(NamedTuple):
    """What one layer did with a block of rows."""

    name: str
    layer: Layer
    network: Sequential
    inputs: Array


def walk(net: Sequential, x: Array) -> Iterator[Seen]:
    """Every layer with weights, in the order of the parameters, with its inputs: for all rows, a block at a time.

    x is prepared, (B, I) in the network's dtype.
    """
    steps = list(_steps(net))
    rows = max(1, _BLOCK // max(max(step.network.input.size, step.network.outputs) for step in steps))
    for first in range(0, len(x), rows):
        h = x[first : first + rows]
        skips: dict[str, Array] = {}
        for step in steps:
            if step.starts is not None:
                skips.setdefault(step.starts, h)
            yield Seen(step.name, step.layer, step.network, h)
            y = step.network(h)
            if isinstance(step.layer, Residual):  # the projection: what is read next is the block's input
                skips[step.name] = y
            else:
                h = y if step.adds is None else y + skips.pop(step.adds)


def _steps(net: Sequential) -> Iterator[_Step]:
    inputs = net.input.size
    ends: dict[str, str] = {}
    starts: str | None = None
    for name, layer in net.named_layers.items():
        if isinstance(layer, Residual):
            weighted = [inner for inner in net.named_layers if inner.startswith(f"{name}.")]
            ends[weighted[-1]] = starts = name
        if shapes := layer.shapes(inputs):
            values = {key: net.parameters[f"{name}.{key}"] for key in shapes}
            yield _Step(name, layer, _alone(net, layer, inputs, values), ends.get(name), starts)
            starts = None
        inputs = layer.outputs(inputs)


def _alone(net: Sequential, layer: Layer, inputs: int, values: dict[str, Array]) -> Sequential:
    if isinstance(layer, Residual):
        layer = Dense(len(values["bias"]))
    named = {f"{layer.kind}_1.{key}": value for key, value in values.items()}
    return sequential.restore(Sequential, (Input(inputs), layer), net.dtype.name, named)


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
    for name, layer, network, inputs in walk(net, rows):
        watch = layer.activation.watch
        if not watch:
            continue
        derivative = np.abs(_derivative(network, inputs))
        if watch == "dead":
            largest = derivative.max(axis=0)
            steepest[name] = np.maximum(steepest[name], largest) if name in steepest else largest
        else:
            share = float((derivative < layer.activation.small).mean()) * len(inputs) / len(rows)
            saturated[name] = saturated.get(name, 0.0) + share
    named = net.named_layers
    dead = {name: float((values < named[name].activation.small).mean()) for name, values in steepest.items()}
    return {"dead": dead, "saturated": saturated}


def _derivative(network: Sequential, inputs: Array) -> Array:
    """f'(z) of a network of one layer, with the slopes that it has learned."""
    activation, (name,) = network.head, network.named_layers
    z = network.logits(inputs)
    learned = activation.learned
    parameter = network.parameters[f"{name}.alpha"] if learned else activation.parameter_array(z.shape[1], z.dtype)
    derivative = np.empty_like(z)
    _cpu.activation_derivative(activation.kernel, parameter, z, derivative)
    return derivative
