"""The layers of Keras as operations, one function each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...activations import Activation, PReLU
from ...layers import Dropout, GaussianNoise
from .._graph import Add, Concat, Maximum
from .._layout import VECTOR
from .._operations import Apply, Keep
from .._products import Affine
from .._values import joined
from . import _activations, _arithmetic, _images
from ._config import Layer
from ._reader import Call
from ._shapes import Value, channels_last


# Layers with weights -------------------------------------------------------------------------------------------------
def _dense(call: Call) -> Value:
    layer, value = call.layer, call.value
    if layer.config.get("quantization_config") is not None or layer.config.get("lora_rank") is not None:
        raise call.refused("a kernel that is quantized or has LoRA weights", "plain kernels", "save the merged model")
    bias = layer.flag("use_bias", True)
    weights = layer.weights("kernel", *(["bias"] if bias else []))
    kernel = weights["kernel"]
    if kernel.ndim != 2 or 0 in kernel.shape or (bias and weights["bias"].shape != kernel.shape[1:]):
        raise call.refused(f"variables of shapes {[w.shape for w in weights.values()]}", "kernel (I, O), bias (O,)")
    if not value.shape or math.prod(value.shape[:-1]) != 1:
        raise call.refused(
            f"rows of shape {value.shape}, of which it would read the last axis", "rows that are vectors", "put a "
            "Flatten before it"
        )  # fmt: skip
    if len(kernel) != value.size:
        raise call.refused(f"a kernel of shape {kernel.shape} for {value.size} values", "a row for each value")
    shape = (*value.shape[:-1], kernel.shape[1])
    value = call.reshaped(value, (value.size,))
    made = call.step(Affine(value.layout.rows(kernel), weights.get("bias")), value, shape=shape, layout=VECTOR)
    return _activated(call, made)


def _activated(call: Call, value: Value) -> Value:
    """A value after the activation of the layer."""
    found = _activations.inside(call.layer)
    if isinstance(found, Layer):
        return call.reader.call(found, [value])
    return _apply(Call(call.reader, call.layer, [value]), found)


def _apply(call: Call, activation: Activation) -> Value:
    value = call.value
    if activation.name == "identity":
        return value
    if activation.rowwise and (math.prod(value.shape[:-1]) != 1 or not value.shape):
        raise call.refused(f"softmax of rows of shape {value.shape}", "rows that are vectors")
    if activation.rowwise and value.layout.is_image:
        value = call.reshaped(value, (value.size,))._replace(shape=value.shape)
    return call.step(Apply(activation), value)


def _softmax(call: Call) -> Value:
    if call.axes("axis", -1) != [len(call.value.shape) - 1]:
        raise call.refused(f"axis {call.layer.config.get('axis')}", "the last axis")
    return _apply(call, _activations.LAYERS[call.layer.kind](call.layer))


def _prelu(call: Call) -> Value:
    alpha = call.value.spread(call.broadcast("alpha", call.layer.weights("alpha")["alpha"]))
    if alpha is None:
        raise call.refused("slopes that differ from pixel to pixel", "shared_axes=[1, 2]: one for each channel")
    return call.step(Apply(PReLU(), alpha))


# Normalization -------------------------------------------------------------------------------------------------------
def _batch_normalization(call: Call) -> Value:
    if call.layer.flag("renorm", False):
        raise call.refused("renorm=True", "renorm=False")
    axes = call.axes("axis", -1)
    if len(axes) != 1:
        raise call.refused(f"axis {call.layer.config.get('axis')}", "one axis")
    variables = _arithmetic.batch_normalization(call.layer)
    return call.scale(*(call.along(axes, "a variable", array) for array in _arithmetic.as_scale(*variables)))


def _normalization(call: Call) -> Value:
    rank = len(call.value.shape)
    whole = call.layer.config.get("axis", -1) is None or call.layer.config.get("axis") == []
    axes = [] if whole else call.axes("axis", -1)
    lengths = tuple(call.value.shape[axis] for axis in axes)
    mean, deviation = _arithmetic.normalization(call.layer, lengths)
    if call.layer.flag("invert", False):
        scale, shift = deviation, mean
    else:
        scale, shift = 1 / deviation, -mean / deviation
    if not axes:
        return call.scale(scale.reshape((1,) * rank), shift.reshape((1,) * rank))
    return call.scale(call.along(axes, "mean", scale), call.along(axes, "mean", shift))


def _rescaling(call: Call) -> Value:
    scale, offset = (
        call.broadcast(key, call.layer.array(key, call.layer.config.get(key, default)))
        for key, default in (("scale", 1.0), ("offset", 0.0))
    )
    return call.scale(scale, offset)


# What changes no number ----------------------------------------------------------------------------------------------
def _same(call: Call) -> Value:
    return call.value


def _only_in_training(call: Call) -> Value:
    call.reader.graph.folded.append(f"{call.layer.place}: left out, since it acts in training only")
    return call.value


def _dropout(call: Call) -> Value:
    rate = call.layer.number("rate", 0.0)
    if call.layer.config.get("noise_shape") is not None or not 0 < rate < 1:
        return _only_in_training(call)
    return call.step(Keep(Dropout(rate)))


def _gaussian_noise(call: Call) -> Value:
    stddev = call.layer.number("stddev", 0.0)
    return call.step(Keep(GaussianNoise(stddev))) if stddev > 0 else _only_in_training(call)


def _flatten(call: Call) -> Value:
    value = call.value
    first = call.layer.config.get("data_format", "channels_last")
    if first not in ("channels_first", "channels_last", None):
        raise call.refused("a data_format that is not known", "channels_first and channels_last")
    if first == "channels_first" and len(value.shape) > 1:
        value = value.transposed(channels_last(len(value.shape)))
    return call.reshaped(value, (value.size,))


def _permute(call: Call) -> Value:
    order = [axis - 1 for axis in call.layer.integers("dims", None)]
    if sorted(order) != list(range(len(call.value.shape))):
        raise call.refused(f"dims {call.layer.config.get('dims')}", "each axis of the rows once")
    return call.value.transposed(tuple(order))


def _reshape(call: Call) -> Value:
    value, target = call.value, call.layer.integers("target_shape", None)
    if target.count(-1) == 1:
        known = -math.prod(target)
        target = [value.size // known if n == -1 and known > 0 else n for n in target]
    if not target or min(target) < 1 or math.prod(target) != value.size:
        got = call.layer.config.get("target_shape")
        raise call.refused(f"rows of shape {value.shape} as {got}", "a shape of as many numbers")
    return call.reshaped(value, tuple(target))


# Branches ------------------------------------------------------------------------------------------------------------
def _average(call: Call) -> Value:
    count = len(call.values)
    total = call.join(Add())
    return Call(call.reader, call.layer, [total]).scale(np.full(1, 1 / count), None)


def _concatenate(call: Call) -> Value:
    values = call.values
    first, rank = values[0].shape, len(values[0].shape)
    axes = call.layer.integers("axis", -1)
    images = all(value.layout.is_image and value.shape[:-1] == first[:-1] for value in values)
    vectors = all(len(value.shape) == 1 for value in values)
    if not (images or vectors) or axes not in ([-1], [rank]):
        raise call.refused(f"axis {axes} of rows of shape {first}", "the last axis, of vectors or of images")
    layout = values[0].layout if images else joined(values)[0]
    return call.step(Concat(), *values, shape=(*first[:-1], sum(value.shape[-1] for value in values)), layout=layout)


def _operator(call: Call) -> Value:
    """Arithmetic of keras.ops: of two values, or of a value and constants."""
    if call.layer.kind == "ops.Add" and all(isinstance(item, Value) for item in call.arguments):
        return call.join(Add())
    places = [index for index, item in enumerate(call.arguments) if isinstance(item, Value)]
    if len(places) != 1 or len(call.arguments) > 2:
        raise call.refused(
            "arithmetic with several values", "sums of values, and sums, products and quotients of a value and a number"
        )
    (place,) = places
    alone = Call(call.reader, call.layer, [call.arguments[place]])
    constants = [item for index, item in enumerate(call.arguments) if index != place]
    numbers = [alone.broadcast("a constant", call.layer.array("a constant", item)) for item in constants]
    scaling = _arithmetic.scaling(call.layer, place, *numbers)
    return alone.scale(*scaling)


def _activation_layer(call: Call) -> Value:
    return _apply(call, _activations.LAYERS[call.layer.kind](call.layer))


LAYERS: dict[str, Callable[[Call], Value]] = {
    "AveragePooling2D": _images.average_pool,
    "Conv2D": lambda call: _activated(call, _images.convolution(call)),
    "DepthwiseConv2D": lambda call: _activated(call, _images.depthwise(call)),
    "GlobalAveragePooling2D": _images.global_average_pool,
    "GlobalMaxPooling2D": _images.global_max_pool,
    "MaxPooling2D": _images.max_pool,
    "SeparableConv2D": lambda call: _activated(call, _images.separable(call)),
    "ZeroPadding2D": _images.zero_padding,
    **dict.fromkeys(_activations.LAYERS, _activation_layer),
    "Activation": lambda call: _activated(call, call.value),
    "ActivityRegularization": _only_in_training,
    "Add": lambda call: call.join(Add()),
    "AlphaDropout": _only_in_training,
    "Average": _average,
    "BatchNormalization": _batch_normalization,
    "Concatenate": _concatenate,
    "Dense": _dense,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "GaussianDropout": _only_in_training,
    "GaussianNoise": _gaussian_noise,
    "Identity": _same,
    "Maximum": lambda call: call.join(Maximum()),
    "Normalization": _normalization,
    "PReLU": _prelu,
    "Permute": _permute,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "SpatialDropout1D": _only_in_training,
    "SpatialDropout2D": _only_in_training,
    "ops.Add": _operator,
    "ops.Divide": _operator,
    "ops.Maximum": lambda call: call.join(Maximum()),
    "ops.Multiply": _operator,
    "ops.Negative": _operator,
    "ops.Softmax": _softmax,
    "ops.Subtract": _operator,
    "ops.TrueDivide": _operator,
}
"""By kind."""
