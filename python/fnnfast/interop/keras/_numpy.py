"""The layers of Keras in NumPy, in float64: what a file is compared with, since Keras need not be there.

It takes the layers from the configuration, as the reader does, but shares no folding and no kernel with the network.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import reference
from ..._checks import FLOAT64, Array
from ...activations import Activation
from .._build import Run
from . import _activations, _arithmetic, _images
from ._config import Layer, Model, walk
from ._shapes import channels_last


def evaluation(model: Model) -> Run:
    """The model as a function of rows."""

    def run(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return walk(model, x.astype(FLOAT64), _call)

    return run


def _call(layer: Layer, arguments: Sequence[Any]) -> Array:
    found: Array = LAYERS.get(layer.kind, _same)(layer, *arguments)
    return found


def _same(layer: Layer, x: Array) -> Array:
    return x


def _apply(activation: Activation, x: Array) -> Array:
    found: Array = reference.ACTIVATIONS[activation.formula].forward(x, activation.parameter)
    return found


def _activated(layer: Layer, x: Array) -> Array:
    found = _activations.inside(layer)
    return _call(found, [x]) if isinstance(found, Layer) else _apply(found, x)


def _dense(layer: Layer, x: Array) -> Array:
    kernel, *bias = layer.variables
    return _activated(layer, sum(bias, x @ kernel.astype(FLOAT64)))


def _prelu(layer: Layer, x: Array) -> Array:
    return np.where(x > 0, x, layer.variables[0] * x)


def _batch_normalization(layer: Layer, x: Array) -> Array:
    gamma, beta, mean, deviation = _arithmetic.batch_normalization(layer)
    (axis,) = layer.integers("axis", -1)
    turned = np.moveaxis(x, axis, -1)
    return np.moveaxis((turned - mean) / deviation * gamma + beta, -1, axis)


def _normalization(layer: Layer, x: Array) -> Array:
    axes = [] if layer.config.get("axis", -1) is None else sorted(a % x.ndim for a in layer.integers("axis", -1))
    found = _arithmetic.normalization(layer, tuple(x.shape[axis] for axis in axes))
    lengths = [n if axis in axes else 1 for axis, n in enumerate(x.shape)]
    mean, deviation = (values.reshape(lengths) for values in found)
    return x * deviation + mean if layer.flag("invert", False) else (x - mean) / deviation


def _rescaling(layer: Layer, x: Array) -> Array:
    scale, offset = (layer.array(key, layer.config.get(key, default)) for key, default in (("scale", 1), ("offset", 0)))
    return x * scale + offset


def _flatten(layer: Layer, x: Array) -> Array:
    if layer.config.get("data_format") == "channels_first" and x.ndim > 2:
        x = x.transpose(0, *(1 + axis for axis in channels_last(x.ndim - 1)))
    return x.reshape(len(x), -1)


def _permute(layer: Layer, x: Array) -> Array:
    return x.transpose(0, *layer.integers("dims", None))


def _reshape(layer: Layer, x: Array) -> Array:
    return x.reshape(len(x), *layer.integers("target_shape", None))


# Images, by the windows of fnnfast.reference -------------------------------------------------------------------------
def _convolution(layer: Layer, x: Array) -> Array:
    kernel, *bias = (variable.astype(FLOAT64) for variable in layer.variables)
    return _activated(layer, _windows_of(layer, x, kernel, *layer.integers("groups", 1)) + sum(bias))


def _depthwise(layer: Layer, x: Array) -> Array:
    kernel, *bias = (variable.astype(FLOAT64) for variable in layer.variables)
    return _activated(layer, _of_channels(layer, x, kernel) + sum(bias))


def _separable(layer: Layer, x: Array) -> Array:
    kernel, pixels, *bias = (variable.astype(FLOAT64) for variable in layer.variables)
    return _activated(layer, sum(bias, _of_channels(layer, x, kernel) @ pixels[0, 0]))


def _of_channels(layer: Layer, x: Array, kernel: Array) -> Array:
    height, width, channels, each = kernel.shape
    return _windows_of(layer, x, kernel.reshape(height, width, 1, channels * each), channels)


def _windows_of(layer: Layer, x: Array, kernel: Array, groups: int) -> Array:
    y: Array = reference.conv2d(
        x,
        kernel,
        None,
        strides=_images.strides(layer),
        padding=layer.config.get("padding", "valid"),
        dilation=_images.dilation(layer),
        groups=groups,
    )
    return y


def _max_pool(layer: Layer, x: Array) -> Array:
    found = _images.pool_windows(layer, x.shape[1:3])
    y: Array = reference.max_pool2d_forward(x, found.kernel, found.strides, found.padding)[0]
    return y


def _average_pool(layer: Layer, x: Array) -> Array:
    found = _images.pool_windows(layer, x.shape[1:3])
    y: Array = reference.average_pool2d(x, found.kernel, found.strides, found.padding)
    return y


def _global_pool(function: Callable[..., Array]) -> Callable[[Layer, Array], Array]:
    return lambda layer, x: function(x, axis=(1, 2), keepdims=layer.flag("keepdims", False))


def _zero_padding(layer: Layer, x: Array) -> Array:
    return np.pad(x, ((0, 0), *_images.borders(layer), (0, 0)))


def _operator(function: Callable[..., Array]) -> Callable[..., Array]:
    def run(layer: Layer, *arguments: Any) -> Array:
        values = (item if isinstance(item, np.ndarray) else layer.array("a constant", item) for item in arguments)
        return function(*values)

    return run


def _activation_layer(layer: Layer, x: Array) -> Array:
    return _apply(_activations.LAYERS[layer.kind](layer), x)


LAYERS: dict[str, Callable[..., Array]] = {
    **dict.fromkeys(_activations.LAYERS, _activation_layer),
    "Activation": _activated,
    "Add": lambda layer, *values: sum(values[1:], values[0]),
    "AveragePooling2D": _average_pool,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "GlobalAveragePooling2D": _global_pool(np.mean),
    "GlobalMaxPooling2D": _global_pool(np.max),
    "MaxPooling2D": _max_pool,
    "SeparableConv2D": _separable,
    "ZeroPadding2D": _zero_padding,
    "Average": lambda layer, *values: sum(values[1:], values[0]) / len(values),
    "BatchNormalization": _batch_normalization,
    "Concatenate": lambda layer, *values: np.concatenate(values, axis=-1),
    "Dense": _dense,
    "Flatten": _flatten,
    "Maximum": lambda layer, *values: np.maximum.reduce(values),
    "Normalization": _normalization,
    "PReLU": _prelu,
    "Permute": _permute,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "ops.Add": _operator(operator.add),
    "ops.Divide": _operator(operator.truediv),
    "ops.Maximum": _operator(np.maximum),
    "ops.Multiply": _operator(operator.mul),
    "ops.Negative": _operator(operator.neg),
    "ops.Subtract": _operator(operator.sub),
    "ops.TrueDivide": _operator(operator.truediv),
}
"""By kind; the others change no number outside training."""
