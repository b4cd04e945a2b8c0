"""The text of ``Sequential.summary``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .inference import stored
from .layers import Residual, outputs_of
from .parameters import inputs_of, outermost, parameter_shapes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._cpu import Network
    from ._device_network import DeviceNetwork
    from .layers import Input, Layer


def table(first: Input, named: dict[str, Layer], dtype: str, precision: str, device: str) -> str:
    """One line a layer, and the sums; dtype is that of the parameters, weights of an InferenceNetwork aside.

    Sizes are counted as in CS231n's notes on architectures: neurons without the inputs, weights and biases as
    parameters.
    """
    rows = [("layer", "", "outputs", "neurons", "parameters"), ("input", repr(first), f"(B, {first.size})", "", "")]
    depth, neurons, parameters = 0, 0, 0
    sizes = inputs_of(first, named)
    for name, layer in named.items():
        outputs = layer.outputs(sizes[name])
        shapes = layer.shapes(sizes[name])
        own = sum(map(math.prod, shapes.values()))
        block = isinstance(layer, Residual)  # its parameters are those of a projection, beside its layers
        units = outputs if "weight" in shapes and not block else 0
        kind = "Residual" if block else repr(layer)
        rows.append((name, kind, f"(B, {outputs})", f"{units:,}" if units else "", f"{own:,}" if own else ""))
        depth, neurons, parameters = depth + bool(units), neurons + units, parameters + own
    width = outputs_of(outermost(named), first.size)
    title = f"{depth}-layer network, {first.size} inputs, {width} outputs, {precision}"
    if device != "cpu":
        title, precision = f"{title} on {device}", dtype
    tensors = stored(parameter_shapes(first, named), dtype, precision).values()
    nbytes = sum(np.dtype(kind).itemsize * math.prod(shape) for kind, shape in tensors)
    total = f"{neurons:,} neurons, {parameters:,} parameters ({nbytes:,} bytes)"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([*map(str.ljust, row[:3], widths[:3]), *map(str.rjust, row[3:], widths[3:])]).rstrip() for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join((title, rule, lines[0], rule, *lines[1:], rule, total))


def plans(network: Network | DeviceNetwork, batches: Iterable[int]) -> str:
    """How a batch of each size is run, as lines to follow the table."""
    parts = []
    for batch in batches:
        parts += [f"\nbatch {batch}:", *(f"\n  {stage}" for stage in network.plan(batch))]
    return "".join(parts)
