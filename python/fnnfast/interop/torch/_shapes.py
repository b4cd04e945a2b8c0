"""Functions that give the numbers of a row another shape, or tell the shape."""

from __future__ import annotations

import math
from typing import Any

from ._reader import Call, Rule
from ._values import ROWS, Largest, Value

_SUPPORTED = "shapes that keep the rows apart, as (B, -1)"


def _reshape(call: Call, input: Any, *lengths: Any, shape: Any = None) -> Value:
    value = call.value(input)
    target = shape if shape is not None else lengths[0] if isinstance(lengths[0], (tuple, list)) else lengths
    first, rest = (target[0], list(target[1:])) if target else (0, [])
    known = math.prod(n for n in rest if n != -1) if all(isinstance(n, int) for n in rest) else 0
    if rest.count(-1) == 1 and first != -1 and known > 0:
        rest[rest.index(-1)] = value.size // known
    if first not in (ROWS, -1) or not rest or math.prod(rest) != value.size or min(rest) < 1:
        raise call.refused(f"rows of shape {value.shape} as {tuple(target)}", _SUPPORTED)
    return call.reshaped(value, tuple(rest))


def _flatten(call: Call, input: Any, start_dim: int = 0, end_dim: int = -1) -> Value:
    value = call.value(input)
    rank = 1 + len(value.shape)
    start, end = _axis(call, start_dim, rank), _axis(call, end_dim, rank)
    if start < 1 or end < start:
        raise call.refused(f"start_dim={start_dim}, end_dim={end_dim}", "flatten(1), which keeps the rows apart")
    shape = value.shape
    return call.reshaped(value, (*shape[: start - 1], math.prod(shape[start - 1 : end]), *shape[end:]))


def _unflatten(call: Call, input: Any, dim: int, sizes: Any = None, unflattened_size: Any = None) -> Value:
    value = call.value(input)
    axis = _axis(call, dim, 1 + len(value.shape)) - 1
    lengths = list(sizes if unflattened_size is None else unflattened_size)
    if axis < 0:
        raise call.refused(f"dim={dim}", _SUPPORTED)
    return _reshape(call, value, (ROWS, *value.shape[:axis], *lengths, *value.shape[axis + 1 :]))


def _squeeze(call: Call, input: Any, dim: int | None = None) -> Value:
    value = call.value(input)
    axis = 0 if dim is None else _axis(call, dim, 1 + len(value.shape))
    if axis < 1:
        raise call.refused(f"dim={dim}", "an axis after that of the rows")
    shape = value.shape
    return call.reshaped(value, shape[: axis - 1] + shape[axis:] if shape[axis - 1] == 1 else shape)


def _unsqueeze(call: Call, input: Any, dim: int) -> Value:
    value = call.value(input)
    axis = _axis(call, dim, 2 + len(value.shape))
    if axis < 1:
        raise call.refused(f"dim={dim}", "an axis after that of the rows")
    return call.reshaped(value, (*value.shape[: axis - 1], 1, *value.shape[axis - 1 :]))


def _axis(call: Call, dim: Any, rank: int) -> int:
    if not isinstance(dim, int) or not -rank <= dim < rank:
        raise call.refused(f"dim={dim}", f"{-rank} to {rank - 1}")
    return dim % rank


def _permute(call: Call, input: Any, *dims: Any) -> Value:
    value = call.value(input)
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    rank = 1 + len(value.shape)
    axes = [_axis(call, dim, rank) for dim in order]
    if sorted(axes) != list(range(rank)) or axes[0] != 0:
        raise call.refused(f"dims {tuple(order)}", "each axis once, that of the rows first")
    order = [axis - 1 for axis in axes[1:]]
    turned = tuple(value.shape[axis] for axis in order)
    layout = value.layout.transposed(value.shape, order)
    return Value(value.step, turned, value.memory, value.memory.writes, layout, permuted=True)


def _transpose(call: Call, input: Any, dim0: int, dim1: int) -> Value:
    rank = 1 + len(call.value(input).shape)
    order = list(range(rank))
    first, second = _axis(call, dim0, rank), _axis(call, dim1, rank)
    order[first], order[second] = second, first
    return _permute(call, input, order)


# The number of rows, and parts of what is no value ------------------------------------------------------------------
def _size(call: Call, input: Any, dim: int) -> Any:
    """Of the rows: all other lengths are known while forward is traced."""
    return ROWS


def _getattr(call: Call, input: Any, name: str) -> Any:
    if isinstance(input, Largest) and name == "values":
        return input.values
    raise call.refused(f"the attribute {name!r}", "shape, ndim, dtype, and values of a maximum")


def _getitem(call: Call, input: Any, index: Any) -> Any:
    if isinstance(input, Largest) and index == 0:
        return input.values
    raise call.refused(f"parts of a value ({index!r})", "whole rows")


FUNCTIONS: dict[str, Rule] = {
    "view": _reshape,
    "reshape": _reshape,
    "flatten": _flatten,
    "permute": _permute,
    "transpose": _transpose,
    "unflatten": _unflatten,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "size": _size,
    "getattr": _getattr,
    "getitem": _getitem,
}
"""By the names of functions and methods."""
