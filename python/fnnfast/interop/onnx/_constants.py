"""What a graph computes from constants alone, with a bound on how much that may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..._checks import Array
from .._errors import ConversionError
from ._files import read_tensor
from ._package import onnx

# Stands for the number of rows in what Shape gives: no file has a length like it.
BATCH = -(2**62)

Attributes = Mapping[str, Any]
_CAST = {1: "f4", 2: "u1", 3: "i1", 6: "i4", 7: "i8", 9: "?", 10: "f4", 11: "f8", 16: "f4"}


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes by name; text as str."""
    found = {}
    for attribute in node.attribute:
        try:
            value = onnx().helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ConversionError(f"{node.op_type} {node.name!r}: attribute {attribute.name!r}: {error}") from error
        if value is None:
            raise ConversionError(f"{node.op_type} {node.name!r}: attribute {attribute.name!r}: no value")
        found[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return found


class Constants:
    """Constants by name: the initializers, read when they are asked for, and what is computed from them.

    Parameters
    ----------
    initializers : mapping of str to TensorProto
    folder : str or None
        Where external data are.
    size : int
        Of the file. What is computed may take some times as much, so that a file cannot ask for memory that it does not
        take itself. Only what ConstantOfShape makes may be more, up to 2**28 numbers, which take no memory by
        themselves: the package onnx has models without numbers of their own.
    """

    def __init__(self, initializers: Mapping[str, Any], folder: str | None, size: int) -> None:
        self._initializers = initializers
        self._folder = folder
        self._values: dict[str, Array] = {}
        self._left = 8 * size + 2**20
        self._uniform_left = 8 * 2**28

    def __contains__(self, name: str) -> bool:
        return name in self._values or name in self._initializers

    def __getitem__(self, name: str) -> Array:
        if name not in self._values:
            values = read_tensor(self._initializers[name], self._folder)
            self._left += 8 * values.nbytes  # external data are bytes of the model, too
            self._values[name] = values
        return self._values[name]

    def put(self, name: str, values: Array) -> None:
        self._values[name] = values

    def fold(self, node: Any, place: str) -> bool:
        """Compute a node whose inputs are all constants; False where it is none of those that are computed."""
        if node.op_type not in _OPERATORS or node.domain not in ("", "ai.onnx"):
            return False
        inputs = [self[name] for name in node.input if name]
        given = attributes(node)
        if node.op_type in ("Add", "Sub", "Mul", "Div") and "axis" in given:
            return False  # before opset 7: not NumPy's rules
        try:
            size, operator = _OPERATORS[node.op_type]
            nbytes = 8 * size(inputs, given)
            if node.op_type == "ConstantOfShape":
                self._uniform_left = _taken(self._uniform_left, nbytes, place)
            elif node.op_type not in _VIEWS:
                self._left = _taken(self._left, nbytes, place)
            with np.errstate(all="ignore"):
                values = np.asarray(operator(inputs, given, self._folder))
            if node.op_type in _VIEWS and not np.may_share_memory(values, inputs[0]):
                self._left = _taken(self._left, nbytes, place)
        except ConversionError:
            raise
        except (AttributeError, ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            raise ConversionError(f"{place}: invalid constants ({error})") from error
        self._values[node.output[0]] = values
        return True


def _taken(left: int, nbytes: int, place: str) -> int:
    """What is left of a number of bytes; ConversionError where it is too little."""
    if nbytes > left:
        raise ConversionError(f"{place}: a constant of {nbytes} bytes, more than a file of this size may make")
    return left - nbytes


# Sizes, before anything is made --------------------------------------------------------------------------------------
def _given(inputs: Sequence[Array], given: Attributes) -> int:
    return sum(values.size for values in inputs)


def _broadcast(inputs: Sequence[Array], given: Attributes) -> int:
    return math.prod(np.broadcast_shapes(*(values.shape for values in inputs)))


def _filled(inputs: Sequence[Array], given: Attributes) -> int:
    return math.prod(_lengths(inputs[0]))


def _expanded(inputs: Sequence[Array], given: Attributes) -> int:
    return math.prod(np.broadcast_shapes(inputs[0].shape, tuple(_lengths(inputs[1]))))


def _gathered(inputs: Sequence[Array], given: Attributes) -> int:
    length: int = inputs[0].shape[given.get("axis", 0)]
    return inputs[1].size * max(1, inputs[0].size // max(1, length))


# Operators -----------------------------------------------------------------------------------------------------------
def _lengths(values: Array) -> list[int]:
    lengths: list[int] = values.reshape(-1).tolist()
    if len(lengths) > 64 or min(lengths, default=0) < 0:
        raise ValueError(f"lengths {lengths[:65]}")
    return lengths


def _constant(inputs: Sequence[Array], given: Attributes, folder: str | None) -> Array:
    for key, dtype in (("value_float", "f4"), ("value_floats", "f4"), ("value_int", "i8"), ("value_ints", "i8")):
        if key in given:
            return np.array(given[key], dtype)
    return read_tensor(given["value"], folder)


def _constant_of_shape(inputs: Sequence[Array], given: Attributes, folder: str | None) -> Array:
    value = read_tensor(given["value"], folder) if "value" in given else np.zeros(1, np.float32)
    return np.broadcast_to(value.reshape(()), _lengths(inputs[0]))


def _axes(inputs: Sequence[Array], given: Attributes) -> tuple[int, ...]:
    """Of Squeeze and Unsqueeze: an input since opset 13, before that an attribute."""
    axes = inputs[1].reshape(-1).tolist() if len(inputs) > 1 else given.get("axes", ())
    return tuple(int(axis) for axis in axes)


def _unsqueeze(inputs: Sequence[Array], given: Attributes, folder: str | None) -> Array:
    return np.expand_dims(inputs[0], _axes(inputs, given))


def _squeeze(inputs: Sequence[Array], given: Attributes, folder: str | None) -> Array:
    return np.squeeze(inputs[0], _axes(inputs, given) or None)


def _reshape(inputs: Sequence[Array], given: Attributes, folder: str | None) -> Array:
    lengths = inputs[1].reshape(-1).tolist()
    if not given.get("allowzero", 0):
        lengths = [inputs[0].shape[i] if length == 0 else length for i, length in enumerate(lengths)]
    return inputs[0].reshape(lengths)


def _flatten(inputs: Sequence[Array], given: Attributes, folder: str | None) -> Array:
    axis = given.get("axis", 1)
    return inputs[0].reshape(math.prod(inputs[0].shape[:axis]), -1)


def _slice(inputs: Sequence[Array], given: Attributes, folder: str | None) -> Array:
    values, starts, ends, *rest = inputs
    axes = rest[0].tolist() if rest else range(len(starts))
    steps = rest[1].tolist() if len(rest) > 1 else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        values = np.moveaxis(np.moveaxis(values, axis, 0)[start:end:step], 0, axis)
    return values


def _divide(x: Array, y: Array) -> Array:
    return np.trunc(x / y).astype(x.dtype) if x.dtype.kind in "iu" else x / y


def _elementwise(function: Callable[..., Array]) -> Any:
    return _broadcast, lambda inputs, given, folder: function(*inputs)


def _first(function: Callable[[Array, Attributes], Array]) -> Any:
    return _given, lambda inputs, given, folder: function(inputs[0], given)


_OPERATORS: dict[str, tuple[Callable[..., int], Callable[..., Array]]] = {
    "Constant": (_given, _constant),
    "ConstantOfShape": (_filled, _constant_of_shape),
    "Expand": (_expanded, lambda inputs, given, folder: inputs[0] * np.ones(_lengths(inputs[1]), inputs[0].dtype)),
    "Gather": (_gathered, lambda inputs, given, folder: np.take(inputs[0], inputs[1], given.get("axis", 0))),
    "Concat": (_given, lambda inputs, given, folder: np.concatenate([np.atleast_1d(x) for x in inputs], given["axis"])),
    "Unsqueeze": (_given, _unsqueeze),
    "Squeeze": (_given, _squeeze),
    "Reshape": (_given, _reshape),
    "Flatten": (_given, _flatten),
    "Slice": (_given, _slice),
    "Identity": _first(lambda x, given: x),
    "Cast": _first(lambda x, given: x.astype(_CAST[given["to"]])),
    "Transpose": _first(lambda x, given: np.transpose(x, given.get("perm"))),
    "Shape": _first(lambda x, given: np.array(x.shape, np.int64)),
    "Neg": _first(lambda x, given: -x),
    "Sqrt": _first(lambda x, given: np.sqrt(x)),
    "Reciprocal": _first(lambda x, given: 1 / x),
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(_divide),
}
"""By name: how many numbers it makes at most, and how."""

_VIEWS = {"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
"""What mostly gives the same numbers in another shape, and never more of them."""
