"""Functions of whole rows: products, normalization, softmax, maxout, and what changes no number."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ... import activations, layers
from ..._checks import FLOAT64
from .._graph import Concat
from .._layout import VECTOR
from .._operations import Apply, Keep, MaxPieces, Scale
from .._products import Affine, Pieces
from .._values import are_vectors, joined
from . import _images
from ._reader import Call, Rule
from ._values import Largest, Stacked, Value


# Products ------------------------------------------------------------------------------------------------------------
def _linear(call: Call, input: Any, weight: Any, bias: Any = None) -> Value:
    matrix = call.array(weight)
    if matrix.ndim != 2:
        raise call.refused(f"a weight of shape {matrix.shape}", "a weight (O, I)")
    return _product(call, input, matrix.T, bias)


def _matmul(call: Call, input: Any, other: Any) -> Value:
    if not isinstance(input, Value):
        raise call.refused("a product over the rows", "x @ W, with the rows of x first")
    if isinstance(other, Value):
        raise call.refused("a product of two values", "products with constant weights")
    matrix = call.array(other)
    if matrix.ndim != 2:
        raise call.refused(f"a weight of shape {matrix.shape}", "a weight (I, O)")
    return _product(call, input, matrix, None)


def _addmm(call: Call, input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Value:
    """beta input + alpha mat1 @ mat2."""
    if isinstance(input, Value) or isinstance(mat2, Value):
        raise call.refused("a sum with a value, or a product of two", "constant weights and biases")
    return _product(call, mat1, call.array(mat2 * alpha), input * beta)


def _product(call: Call, input: Any, weight: Any, bias: Any) -> Value:
    value, shape = call.vectors(input), (weight.shape[1],)
    if bias is not None:
        bias = np.broadcast_to(call.constant(bias, shape), shape)
    return call.apply(Affine(value.layout.rows(weight), bias), [value], shape, VECTOR)


def _maxout(call: Call, input: Any, weight: Any, bias: Any = None) -> Value:
    """fnnfast's own: max over p of x @ weight[p] + bias[p]."""
    value, weights = call.vectors(input), call.array(weight)
    ordered = np.stack([value.layout.rows(piece) for piece in weights])
    return call.apply(Pieces(ordered, None if bias is None else call.array(bias)), [value], weights.shape[2:], VECTOR)


# Normalization and probabilities -------------------------------------------------------------------------------------
def _batch_norm(
    call: Call,
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    if training or running_mean is None or running_var is None:
        raise call.refused(
            "statistics of the batch, so that a row's answer depends on the others",
            "running statistics: track_running_stats=True",
        )
    value = call.value(input)
    mean, variance = (_channels(call, part, value) for part in (running_mean, running_var))
    scale = 1 / np.sqrt(variance + eps)
    if weight is not None:
        scale = scale * _channels(call, weight, value)
    shift = -mean * scale
    return call.apply(Scale(scale, shift if bias is None else shift + _channels(call, bias, value)), [value])


def _channels(call: Call, constant: Any, value: Value) -> Any:
    """One number for each channel, the first axis of a row; of vectors one for each value."""
    array = call.array(constant).astype(FLOAT64)
    if array.shape != value.shape[:1]:
        raise call.refused(f"{array.size} channels", f"{value.shape[0]} channels, as its input has")
    return value.layout.constants(array.reshape(-1, *[1] * (len(value.shape) - 1)), value.shape)


def _softmax(call: Call, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
    value = call.vectors(input)
    _last_axis(call, 1 if dim is None else dim)  # None: 1, of a matrix
    _require_wide(call, dtype)
    return call.apply(Apply(activations.Softmax()), [value])


def _softmin(call: Call, input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
    return _softmax(call, call.elementwise("Neg", input), dim, dtype=dtype)


def _log_softmax(call: Call, input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
    raise call.refused(
        "logarithms of probabilities",
        "softmax",
        "replace it by softmax, or end with no activation, and take net.distribution(x) for logarithms",
    )


def _last_axis(call: Call, dim: int) -> None:
    if dim not in (1, -1):
        raise call.refused(f"dim={dim}", "dim=-1, of rows that are vectors")


# Maxout --------------------------------------------------------------------------------------------------------------
def _max(call: Call, input: Any, *arguments: Any, **keywords: Any) -> Any:
    """Of two values, or over an axis."""
    others = (*arguments, *keywords.values())
    if others and isinstance(others[0], (Value, torch.Tensor)):
        return call.elementwise("Max", input, *others)
    return Largest(_amax(call, input, *arguments, **keywords))


def _amax(call: Call, input: Any, dim: Any = (), keepdim: bool = False) -> Value:
    axis = dim[0] if isinstance(dim, (tuple, list)) and len(dim) == 1 else dim
    if not isinstance(axis, int):
        raise call.refused(f"a maximum over the axes {dim}", "one axis, of the pieces of maxout")
    if isinstance(input, Stacked):
        return _of_stacked(call, input, axis, keepdim)
    value = call.value(input)
    axis += 1 + len(value.shape) if axis < 0 else 0
    if value.layout != VECTOR:
        raise call.refused("a maximum over the pixels or the channels of images", "max_pool2d")
    long = [i for i, n in enumerate(value.shape, 1) if n != 1]
    if axis not in long or len(long) > 2:
        raise call.refused(f"a maximum over axis {axis} of rows of shape {value.shape}", "the axis of maxout's pieces")
    shape = list(value.shape)
    pieces = shape[axis - 1]
    shape[axis - 1 : axis] = [1] if keepdim else []
    return call.apply(MaxPieces(pieces, axis == long[0] and len(long) == 2), [value], tuple(shape))


def _of_stacked(call: Call, stacked: Stacked, axis: int, keepdim: bool) -> Value:
    rank = 2 + len(stacked.values[0].shape)
    if keepdim or axis % rank != stacked.axis % rank:
        raise call.refused(f"a maximum over axis {axis} of what was stacked along {stacked.axis}", "the stacked axis")
    return call.elementwise("Max", *stacked.values)


def _stack(call: Call, tensors: Any, dim: int = 0) -> Stacked:
    return Stacked(tuple(call.value(tensor) for tensor in tensors), dim)


def _cat(call: Call, tensors: Any, dim: int = 0) -> Value:
    if call.value(tensors[0]).layout.is_image:
        return _images.cat(call, tensors, dim)
    values = [call.value(tensor) for tensor in tensors]
    if dim != 1 or not are_vectors(values):
        values = [call.vectors(tensor) for tensor in tensors]
        _last_axis(call, dim)
    if len(values) == 1:
        return values[0].copied()
    layout, size = joined(values)
    return call.apply(Concat(), values, (size, *values[0].shape[1:]), layout)


# What changes no number ----------------------------------------------------------------------------------------------
def _identity(call: Call, input: Any, *_: Any, **__: Any) -> Value:
    value = call.value(input)
    return value.view(value.shape)


def _contiguous(call: Call, input: Any, **__: Any) -> Value:
    """The value itself, or a copy where its axes were permuted."""
    value = call.value(input)
    return value.copied() if value.permuted else value.view(value.shape)


def _clone(call: Call, input: Any, *, memory_format: Any = None) -> Value:
    return call.value(input).copied()


def _dropout(call: Call, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    _require_inference(call, training)
    if p == 1:
        return _left_out(call, input, p, False)
    return call.keep(Keep(layers.Dropout(p)), call.value(input))


def _left_out(call: Call, input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Value:
    """What only training does, and no layer of a network."""
    _require_inference(call, training)
    call.note("left out, since it acts only in training and no layer is like it")
    return _identity(call, input)


def _require_inference(call: Call, training: bool) -> None:
    if training:
        raise call.refused("training=True, so that it acts in inference", "training=self.training")


def _gaussian_noise(call: Call, input: Any, stddev: float) -> Value:
    return call.keep(Keep(layers.GaussianNoise(stddev)), call.value(input))


def _to(call: Call, input: Any, *targets: Any, **keywords: Any) -> Value:
    """Conversions between float32 and float64, and to devices."""
    for target in (*targets, *keywords.values()):
        _require_wide(call, target)
    return _identity(call, input)


def _require_wide(call: Call, target: Any) -> None:
    if isinstance(target, torch.dtype) and target not in (torch.float32, torch.float64):
        raise call.refused(f"a conversion to {target}", "conversions to float32 and float64")


FUNCTIONS: dict[str, Rule] = {
    **_images.FUNCTIONS,
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "addmm": _addmm,
    "maxout": _maxout,
    "batch_norm": _batch_norm,
    "softmax": _softmax,
    "softmin": _softmin,
    "log_softmax": _log_softmax,
    "max": _max,
    "maximum": _max,
    "amax": _amax,
    "stack": _stack,
    "cat": _cat,
    "concat": _cat,
    "concatenate": _cat,
    "hstack": lambda call, tensors: _cat(call, tensors, 1),
    "dropout": _dropout,
    "dropout1d": lambda call, input, p=0.5, training=True, inplace=False: _left_out(call, input, p, training),
    "dropout2d": lambda call, input, p=0.5, training=True, inplace=False: _left_out(call, input, p, training),
    "alpha_dropout": _left_out,
    "feature_alpha_dropout": _left_out,
    "gaussian_noise": _gaussian_noise,
    **dict.fromkeys(["identity", "detach", "float", "double", "cpu", "requires_grad"], _identity),
    "clone": _clone,
    "contiguous": _contiguous,
    "to": _to,
    "type": _to,
}
"""By the names of functions and methods; maxout, learned_elu and gaussian_noise are fnnfast's own."""
