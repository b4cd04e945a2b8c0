"""A network as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..layers import Layer
from ..layers._shape import Shape
from .structure import Structure
from .tensors import stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._cpu import Network
    from .._device.cuda_network import CudaNetwork


def table(structure: Structure, dtype: str, compute_dtype: str, device: str) -> str:
    """One line per layer, and the sums; dtype is that of the parameters, narrow weights aside.

    Sizes are counted as in CS231n's notes on architectures: neurons without the inputs, weights and biases as
    parameters. Multiply-adds are those of the products for one sample: each weight once for each pixel of the output.
    """
    first = structure.input
    rows = [
        ("layer", "", "outputs", "neurons", "parameters", "multiply-adds"),
        ("input", repr(first), _batch(structure.sample_shape), "", "", ""),
    ]
    neurons, parameters, operations = 0, 0, 0
    for name, layer in structure.named.items():
        shape, shapes = structure.output_shapes[name], structure.parameter_shapes[name]
        own = sum(map(math.prod, shapes.values()))
        units = math.prod(shape) if layer.has_units and not layer.children() else 0  # those of a block are its layers'
        products = structure.multiply_adds(name)
        rows.append((name, layer.title, _batch(shape), _count(units), _count(own), _count(products)))
        neurons, parameters = neurons + units, parameters + own
        operations += products
    depth = _depth(structure.chain)
    title = f"{depth}-layer network, {first.size} inputs, {structure.outputs} outputs, {compute_dtype}"
    if device != "cpu":
        title, compute_dtype = f"{title} on {device}", dtype
    tensors = stored(structure.parameter_shapes, dtype, compute_dtype).values()
    nbytes = sum(np.dtype(kind).itemsize * math.prod(shape) for kind, shape in tensors)
    total = (
        f"{neurons:,} neurons, {parameters:,} parameters ({nbytes:,} bytes), {operations:,} multiply-adds per sample"
    )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([*map(str.ljust, row[:3], widths[:3]), *map(str.rjust, row[3:], widths[3:])]).rstrip() for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join((title, rule, lines[0], rule, *lines[1:], rule, total))


def _depth(layers: Iterable[Layer]) -> int:
    """Layers with units on the longest way through; of a block the longest of its branches."""
    return sum(
        max(map(_depth, layer.children().values())) if layer.children() else int(layer.has_units) for layer in layers
    )


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _batch(shape: Shape) -> str:
    return f"(B, {', '.join(map(str, shape))})"


def plans(network: Network | CudaNetwork, batches: Iterable[int]) -> str:
    """How a batch of each size is run, as lines to follow the table."""
    parts = []
    for batch in batches:
        parts += [f"\nbatch {batch}:", *(f"\n  {stage}" for stage in network.plan(batch))]
    return "".join(parts)
