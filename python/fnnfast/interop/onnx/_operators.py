"""The operators of ONNX that are no functions of single numbers, one function each."""

from __future__ import annotations

import math

import numpy as np

from ... import activations
from ..._checks import FLOAT64, Array
from .._graph import Add, Concat
from .._layout import VECTOR
from .._operations import Apply, MaxPieces, Scale
from .._products import Affine
from .._values import are_vectors, joined
from . import _images
from ._constants import BATCH
from ._reader import Node, Operator, Value


# Products ------------------------------------------------------------------------------------------------------------
def _gemm(node: Node) -> Value:
    """alpha A B + beta C: x W + b with rows first, or W x + b with rows last."""
    a, b = node.value(0), node.value(1)
    if a is not None and b is not None:
        raise node.refused("a product of two values", "products with a constant weight")
    alpha, beta = float(node.given.get("alpha", 1.0)), float(node.given.get("beta", 1.0))
    index = 0 if b is None else 1
    flip = bool(node.given.get("transA" if index == 0 else "transB", 0))
    weight_flip = bool(node.given.get("transB" if index == 0 else "transA", 0))
    weight = _matrix(node, 1 - index)
    weight = weight.T if weight_flip else weight
    bias = node.constant(2) if len(node.names) > 2 and node.value(2) is None else None
    if bias is not None and beta != 1:
        bias = bias.astype(FLOAT64) * beta
    found = _product(node, index, flip, weight if alpha == 1 else weight.astype(FLOAT64) * alpha, bias)
    other = node.value(2)
    if other is None:
        return found
    if beta != 1:
        other = node.step(Scale(np.full(1, beta)), [other], other.shape, other.turned)
    node.alike([found, other])
    return node.step(Add(), [found, other], found.shape, found.turned)


def _matmul(node: Node) -> Value:
    if node.value(0) is not None and node.value(1) is not None:
        raise node.refused("a product of two values", "products with a constant weight")
    index = 0 if node.value(1) is None else 1
    return _product(node, index, False, _matrix(node, 1 - index), None)


def _matrix(node: Node, index: int) -> Array:
    weight = node.constant(index)
    if weight is None or weight.ndim != 2:
        shape = None if weight is None else weight.shape
        raise node.refused(f"a weight of shape {shape}", "a weight with two axes")
    return weight


def _product(node: Node, index: int, flip: bool, weight: Array, bias: Array | None) -> Value:
    """The product of the value at an index and a weight at the other."""
    value = node.data(index)
    if len(value.shape) != 1:
        raise node.refused(f"rows of shape {value.shape}", "rows that are vectors: a Flatten or Reshape before it")
    rows_last = value.turned != flip
    if rows_last != (index == 1):
        raise node.refused("a product over the rows", "x W with rows first, or W x with rows last")
    weight = weight.T if rows_last else weight
    shape = (weight.shape[1],)
    if bias is not None:
        bias = np.broadcast_to(node.per_value(bias, Value(0, shape, rows_last)), shape)
    return node.step(Affine(value.layout.rows(weight), bias), [value], shape, rows_last, VECTOR)


# Normalisation and slopes --------------------------------------------------------------------------------------------
def _batch_normalization(node: Node) -> Value:
    training = "training_mode" if node.opset > 6 else "is_test"
    if node.given.get(training, 0) != (training == "is_test"):
        raise node.refused(f"{training}={node.given.get(training, 0)}", "inference", "export it after model.eval()")
    value = _rows_first(node)
    gamma, beta, mean, variance = (_channels(node, index, value) for index in range(1, 5))
    scale = gamma / np.sqrt(variance + node.given.get("epsilon", 1e-5))
    return node.step(Scale(scale, beta - mean * scale), [value], value.shape)


def _channels(node: Node, index: int, value: Value) -> Array:
    """One number for each channel, the first axis of a row; of vectors one for each value."""
    constant = node.constant(index)
    if constant is None or constant.shape != value.shape[:1]:
        shape = None if constant is None else constant.shape
        raise node.refused(f"input {index} of shape {shape}", f"one number for each of {value.shape[0]} channels")
    return node.per_value(constant.astype(FLOAT64).reshape(-1, *[1] * (len(value.shape) - 1)), value)


def _scaler(node: Node) -> Value:
    """(x - offset) scale, of scikit-learn's scalers."""
    value = node.rows()
    offset, scale = (
        node.per_value(np.array(node.given.get(key, [default]), FLOAT64), value)
        for key, default in (("offset", 0.0), ("scale", 1.0))
    )
    return node.step(Scale(scale, -offset * scale), [value], value.shape)


def _prelu(node: Node) -> Value:
    value = node.data()
    slope = node.constant(1)
    if slope is None:
        raise node.refused("no slope", "a constant slope")
    if node.opset < 7 and slope.ndim == 1 and len(slope) > 1:
        slope = node.from_axis(slope, 1, value.shape)
    alpha = node.per_value(slope, value)
    before = node.before(value)
    if before is not None and before.kind == "Elu" and before.settings.get("alpha", 1.0) == 1:
        inner = value._replace(step=before.inputs[0])  # alpha_j (exp z - 1): how to_onnx writes learned slopes of ELU
        return node.step(Apply(activations.ELU(learn=True), alpha), [inner], value.shape, value.turned)
    return node.step(Apply(activations.PReLU(), alpha), [value], value.shape, value.turned)


def _softmax(node: Node) -> Value:
    value, axis = node.data(), node.given.get("axis", 1 if node.opset < 13 else -1)
    if not value.turned and len(value.shape) > 1 and axis == 1 and (node.opset < 13 or value.size == value.shape[0]):
        value = node.vector(value)  # before opset 13 over all axes from that one on
    else:
        value = node.rows()
        _last_axis(node, axis)
    return node.step(Apply(activations.Softmax()), [value], value.shape)


def _log_softmax(node: Node) -> Value:
    raise node.refused(
        "logarithms of probabilities",
        "Softmax",
        "export the model with Softmax, or with no activation last, and take net.distribution(x) for logarithms",
    )


def _last_axis(node: Node, axis: int) -> None:
    if axis not in (1, -1):
        raise node.refused(f"axis {axis}", "the last axis, of rows that are vectors")


# Elementwise operators with inputs of their own ----------------------------------------------------------------------
def _clip(node: Node) -> Value:
    low, high = node.scalar(1, "min", -math.inf), node.scalar(2, "max", math.inf)
    return node.elementwise({"low": _open(low, -1), "high": _open(high, 1)}, inputs=1)


def _open(limit: float, sign: int) -> float:
    """Infinity for the largest float, which older exporters write for no limit."""
    return sign * math.inf if sign * limit >= float(np.finfo(np.float32).max) else limit


def _sum(node: Node) -> Value:
    found = [node.data(index) for index in range(len(node.names))]
    node.alike(found)
    return found[0] if len(found) == 1 else node.step(Add(), found, found[0].shape, found[0].turned)


def _max(node: Node) -> Value:
    return node.data() if len(node.names) == 1 else node.elementwise()


# What changes no number ----------------------------------------------------------------------------------------------
def _same(node: Node) -> Value:
    return node.data()


def _dropout(node: Node) -> Value:
    training = node.constant(2)
    if training is not None and training.any():
        raise node.refused("training_mode", "inference", "export the model after model.eval()")
    return node.data()


def _cast(node: Node) -> Value:
    if node.given["to"] not in (1, 10, 11, 16):
        raise node.refused("a conversion to a type that is not float", "conversions between floats")
    return node.data()


def _rows_first(node: Node) -> Value:
    value = node.data()
    if value.turned:
        raise node.refused("rows along the last axis", "rows along the first")
    return value


def _flatten(node: Node) -> Value:
    value = _rows_first(node)
    if node.given.get("axis", 1) not in (1, -len(value.shape)):
        raise node.refused(f"axis {node.given['axis']}", "axis 1, which keeps the rows apart")
    return node.reshaped(value, (value.size,))


def _reshape(node: Node) -> Value:
    value = _rows_first(node)
    target = node.constant(1)
    lengths = [] if target is None else target.reshape(-1).tolist()
    if not node.given.get("allowzero", 0):
        lengths = [(BATCH, *value.shape)[i] if n == 0 and i <= len(value.shape) else n for i, n in enumerate(lengths)]
    first, rest = (lengths[0], lengths[1:]) if lengths else (0, [])
    if rest.count(-1) == 1 and first != -1:
        known = -math.prod(rest)
        rest = [value.size // known if n == -1 and known > 0 else n for n in rest]
    keeps_rows = first in (BATCH, -1) or first == node.batch
    if not keeps_rows or not rest or min(rest) < 1 or math.prod(rest) != value.size:
        shape = [node.batch or "B" if n == BATCH else n for n in lengths]
        raise node.refused(f"rows of shape {value.shape} as {shape}", "shapes that keep the rows apart, as (B, -1)")
    return node.reshaped(value, tuple(rest))


def _axes(node: Node, value: Value) -> list[int]:
    """Axes of Squeeze, Unsqueeze and reductions, an input or, in older opsets, an attribute; the rows' is 0."""
    constant = node.constant(1)
    axes = node.given.get("axes", ()) if constant is None else constant.reshape(-1).tolist()
    rank = 1 + len(value.shape) + (len(axes) if node.kind == "Unsqueeze" else 0)
    axes = sorted(int(axis) + (rank if axis < 0 else 0) for axis in axes)
    if not axes or axes[0] < 1 or axes[-1] >= rank:
        raise node.refused(f"axes {axes}", f"axes 1 to {rank - 1}, not that of the rows")
    return axes


def _squeeze(node: Node) -> Value:
    value = _rows_first(node)
    axes = _axes(node, value)
    if any(value.shape[axis - 1] != 1 for axis in axes) or len(axes) == len(value.shape):
        raise node.refused(f"axes {axes} of rows of shape {value.shape}", "axes of length 1, and not all")
    return node.reshaped(value, tuple(n for axis, n in enumerate(value.shape, 1) if axis not in axes))


def _unsqueeze(node: Node) -> Value:
    value = _rows_first(node)
    shape = list(value.shape)
    for axis in _axes(node, value):
        shape.insert(axis - 1, 1)
    return node.reshaped(value, tuple(shape))


def _transpose(node: Node) -> Value:
    value = node.data()
    rank = 1 + len(value.shape)
    order = list(node.given.get("perm", range(rank)[::-1]))
    if order == list(range(rank)):
        return value
    if order == [1, 0]:
        return value._replace(turned=not value.turned)
    if not value.turned and order[0] == 0 and sorted(order) == list(range(rank)):
        axes = [axis - 1 for axis in order[1:]]
        shape = tuple(value.shape[axis] for axis in axes)
        return value._replace(shape=shape, layout=value.layout.transposed(value.shape, axes))
    raise node.refused(f"perm {order} of rows of shape {value.shape}", "axes of a row, or the transpose of a matrix")


# Branches ------------------------------------------------------------------------------------------------------------
def _reduce_max(node: Node) -> Value:
    value = node.vector(_rows_first(node))
    if value.layout != VECTOR:
        raise node.refused("a maximum over the pixels or the channels of an image", "MaxPool and GlobalMaxPool")
    (axis, *more) = _axes(node, value)
    long = [i for i, n in enumerate(value.shape, 1) if n != 1]
    if more or axis not in long or len(long) > 2:
        raise node.refused(f"a maximum over axes of rows of shape {value.shape}", "one over the pieces of maxout")
    shape = list(value.shape)
    pieces = shape[axis - 1]
    first = axis == long[0] and len(long) == 2
    shape[axis - 1 : axis] = [1] if node.given.get("keepdims", 1) or len(shape) == 1 else []
    return node.step(MaxPieces(pieces, first), [value], shape)


def _concat(node: Node) -> Value:
    if node.data().layout.is_image:
        return _images.concat(node)
    found = [node.data(index) for index in range(len(node.names))]
    axis = node.given.get("axis", 1)
    if axis != 1 or not are_vectors(found) or any(value.turned for value in found):
        found = [node.rows(index) for index in range(len(node.names))]
        _last_axis(node, axis)
    layout, size = joined(found)
    return found[0] if len(found) == 1 else node.step(Concat(), found, (size, *found[0].shape[1:]), layout=layout)


OPERATORS: dict[tuple[str, str], Operator] = {
    **{("", name): operator for name, operator in _images.OPERATORS.items()},
    ("", "BatchNormalization"): _batch_normalization,
    ("", "Cast"): _cast,
    ("", "Clip"): _clip,
    ("", "Concat"): _concat,
    ("", "Dropout"): _dropout,
    ("", "Flatten"): _flatten,
    ("", "Gemm"): _gemm,
    ("", "Identity"): _same,
    ("", "LogSoftmax"): _log_softmax,
    ("", "MatMul"): _matmul,
    ("", "Max"): _max,
    ("", "PRelu"): _prelu,
    ("", "ReduceMax"): _reduce_max,
    ("", "Reshape"): _reshape,
    ("", "Shape"): _same,
    ("", "Softmax"): _softmax,
    ("", "Squeeze"): _squeeze,
    ("", "Sum"): _sum,
    ("", "Transpose"): _transpose,
    ("", "Unsqueeze"): _unsqueeze,
    ("ai.onnx.ml", "Scaler"): _scaler,
}
"""By domain and name."""
