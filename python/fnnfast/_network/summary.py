"""A network as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers import Layer
from ..layers._shape import Shape
from .structure import Structure
from .tensors import stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._cpu import Network
    from .._device.cuda_network import CudaNetwork


def table(structure: Structure, dtype: str, kept: str, compute_dtype: str, device: str) -> str:
    """One line per layer, and the sums; dtype is that of the parameters, kept the format of narrow weights.

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
    ends = f"{_counted(first.size, 'input')}, {_counted(structure.outputs, 'output')}"
    title = f"{depth}-layer network, {ends}, {compute_dtype}"
    if device != "cpu":
        title = f"{title} on {device}"
    tensors = stored(structure.parameter_shapes, dtype, kept).values()
    nbytes = sum(np.dtype(kind).itemsize * math.prod(shape) for kind, shape in tensors)
    total = (
        f"{_counted(neurons, 'neuron')}, {_counted(parameters, 'parameter')} ({nbytes:,} bytes), "
        f"{_counted(operations, 'multiply-add')} per sample"
    )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([*map(str.ljust, row[:3], widths[:3]), *map(str.rjust, row[3:], widths[3:])]).rstrip() for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join((title, rule, lines[0], rule, *lines[1:], rule, total))


class Summary(str):
    """A table as text, which notebooks show as it is."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self)}</pre>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def html(structure: Structure, text: str) -> str:
    """A network for notebooks: a box for each layer of the chain, and its table below."""
    from html import escape

    shapes = [("input", structure.sample_shape)]
    shapes += [(name, structure.output_shapes[name]) for name in structure.named if "." not in name]
    boxes = "".join(
        _box(index, escape(name), shape, structure.named[name].has_units if index else False)
        for index, (name, shape) in enumerate(shapes)
    )
    width = len(shapes) * _STEP
    drawing = (
        f'<svg width="{width}" height="{_HEIGHT + 34}" viewBox="0 0 {width} {_HEIGHT + 34}" font-family="sans-serif" '
        f'font-size="10" text-anchor="middle" fill="currentColor" role="img">'
        f"<title>{escape(text.splitlines()[0])}</title>{boxes}</svg>"
    )
    table = f"<details><summary>{escape(text.splitlines()[0])}</summary><pre>{escape(text)}</pre></details>"
    return f'<div style="overflow-x: auto">{drawing}</div>{table}'


_STEP, _HEIGHT = 86, 90  # pixels from box to box, and of the highest


def _box(index: int, name: str, shape: Shape, has_units: bool) -> str:
    """One layer: as high as the logarithm of its pixels, or units, and as wide as that of its channels."""
    size = math.prod(shape[:-1]) if len(shape) > 1 else shape[0]
    high = min(_HEIGHT, 12 + 6 * math.log2(1 + size))
    wide = min(_STEP - 26, 8 + 4 * math.log2(1 + shape[-1])) if len(shape) > 1 else 14
    x, y = index * _STEP + (_STEP - wide) / 2, (_HEIGHT - high) / 2
    fill = "#1f77b4" if has_units else "#999999"
    middle = index * _STEP + _STEP / 2
    arrow = ""
    if index:
        start, end = middle - _STEP + _STEP / 2 - 6, middle - _STEP / 2 + 6
        line = f'x1="{start:.0f}" x2="{end:.0f}" y1="{_HEIGHT / 2}" y2="{_HEIGHT / 2}"'
        arrow = f'<line {line} stroke="currentColor" stroke-opacity="0.5"/>'
    text = " x ".join(map(str, shape))
    return (
        f'{arrow}<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="2" fill="{fill}" '
        f'fill-opacity="0.75"/><text x="{middle}" y="{_HEIGHT + 13}">{name}</text>'
        f'<text x="{middle}" y="{_HEIGHT + 27}" fill-opacity="0.7">{text}</text>'
    )


def _depth(layers: Iterable[Layer]) -> int:
    """Layers with units on the longest way through; of a block the longest of its branches."""
    return sum(
        max(map(_depth, layer.children().values())) if layer.children() else int(layer.has_units) for layer in layers
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
