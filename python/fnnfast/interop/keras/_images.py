"""The layers of Keras for images, channels last: convolutions, pools and zeros around them."""

from __future__ import annotations

from ..._checks import Array
from ..._windows import Borders, Pair, Windows, windows
from ...layers import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from .._layout import CHANNELS_LAST, VECTOR
from .._operations import Border, Operation, Plain
from .._products import Affine, Filters
from .._values import of_images
from ._config import Layer
from ._reader import Call
from ._shapes import Value

ON_IMAGES = (
    "AveragePooling2D",
    "Conv2D",
    "DepthwiseConv2D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "MaxPooling2D",
    "SeparableConv2D",
)
"""The layers that read images."""


def convolution(call: Call) -> Value:
    """Kernel (KH, KW, I / groups, O); without the activation."""
    layer = call.layer
    bias = layer.flag("use_bias", True)
    weights = layer.weights("kernel", *(["bias"] if bias else []))
    kernel = weights["kernel"]
    value = _image(call, or_pixel=True)
    if kernel.ndim != 4 or 0 in kernel.shape or (bias and weights["bias"].shape != kernel.shape[3:]):
        raise call.refused(f"variables of shapes {[w.shape for w in weights.values()]}", "(KH, KW, I, O), (O,)")
    height, width, _, units = kernel.shape
    found = with_padding(layer, windows((height, width), strides(layer), "same", dilation(layer)), _size(value))
    (groups,) = layer.integers("groups", 1)
    affine = Affine(kernel.reshape(-1, units), weights.get("bias"), Filters(found, groups))
    return _of_image(call, affine, value)


def depthwise(call: Call) -> Value:
    """Kernel (KH, KW, C, M), the M filters of each channel; without the activation."""
    bias = call.layer.flag("use_bias", True)
    weights = call.layer.weights("kernel", *(["bias"] if bias else []))
    return _of_channels(call, weights["kernel"], weights.get("bias"))


def separable(call: Call) -> Value:
    """A depthwise convolution, and one of each pixel; without the activation."""
    bias = call.layer.flag("use_bias", True)
    names = ["depthwise_kernel", "pointwise_kernel", *(["bias"] if bias else [])]
    weights = call.layer.weights(*names)
    value, kernel = _of_channels(call, weights["depthwise_kernel"], None), weights["pointwise_kernel"]
    if kernel.shape[:3] != (1, 1, value.shape[2]) or kernel.ndim != 4:
        raise call.refused(f"a pointwise kernel of shape {kernel.shape}", f"(1, 1, {value.shape[2]}, O)")
    pixels = Filters(windows((1, 1), 1, "valid", 1))
    affine = Affine(kernel[0, 0], weights.get("bias"), pixels)
    return _of_image(call, affine, value)


def _of_channels(call: Call, kernel: Array, bias: Array | None) -> Value:
    """A convolution whose channels have filters of their own."""
    layer, value = call.layer, _image(call)
    if kernel.ndim != 4 or 0 in kernel.shape or kernel.shape[2] != value.shape[2]:
        raise call.refused(f"a kernel of shape {kernel.shape}", f"(KH, KW, {value.shape[2]}, M)")
    height, width, channels, each = kernel.shape
    found = with_padding(layer, windows((height, width), strides(layer), "same", dilation(layer)), _size(value))
    affine = Affine(kernel.reshape(-1, channels * each), bias, Filters(found, channels))
    return _of_image(call, affine, value)


def _image(call: Call, or_pixel: bool = False) -> Value:
    """The argument, once it is known that the layer takes its channels last; or the one pixel that a pool gave."""
    if call.layer.config.get("data_format") not in ("channels_last", None):
        raise call.refused("channels first", "data_format='channels_last'")
    return call.image(or_pixel)


def strides(layer: Layer) -> Pair:
    return _pair(layer, "strides", 1)


def dilation(layer: Layer) -> Pair:
    return _pair(layer, "dilation_rate", 1)


def pool_size(layer: Layer) -> Pair:
    return _pair(layer, "pool_size", 2)


def _pair(layer: Layer, key: str, default: int) -> Pair:
    found = layer.integers(key, default)
    if len(found) not in (1, 2) or min(found) < 1:
        raise layer.refused(f"{key} {layer.config.get(key)}", "two integers >= 1")
    return found[0], found[-1]


def _size(value: Value) -> Pair:
    return value.shape[0], value.shape[1]


def with_padding(layer: Layer, same: Windows, image: Pair) -> Windows:
    """The windows with their padding in numbers, from those with "same"."""
    padding = layer.config.get("padding", "valid")
    if padding not in ("same", "valid"):
        raise layer.refused(f"padding {padding!r}", "'same' and 'valid'")
    return same._replace(padding=same.borders(image) if padding == "same" else ((0, 0), (0, 0)))


def _of_image(call: Call, operation: Operation, value: Value) -> Value:
    """The image that an operation on one gives."""
    operation, shape = of_images(operation, value, CHANNELS_LAST, call.layer.place)
    return call.step(operation, value, shape=shape)


# Pools ---------------------------------------------------------------------------------------------------------------
def pool_windows(layer: Layer, image: Pair) -> Windows:
    """The windows of a pool."""
    size = pool_size(layer)
    apart = size if layer.config.get("strides") is None else strides(layer)
    return with_padding(layer, windows(size, apart, "same", 1), image)


def max_pool(call: Call) -> Value:
    value = _image(call)
    found = pool_windows(call.layer, _size(value))
    return _of_image(call, Plain(MaxPool2D(found.kernel, found.strides, found.padding)), value)


def average_pool(call: Call) -> Value:
    value = _image(call)
    found = pool_windows(call.layer, _size(value))
    return _of_image(call, Plain(AveragePool2D(found.kernel, found.strides, found.padding)), value)


def global_average_pool(call: Call) -> Value:
    value = _image(call)
    shape = (1, 1, value.shape[2]) if call.layer.flag("keepdims", False) else value.shape[2:]
    return call.step(Plain(GlobalAveragePool2D()), value, shape=shape, layout=VECTOR)


def global_max_pool(call: Call) -> Value:
    value = _image(call)
    pooled = _of_image(call, Plain(MaxPool2D(_size(value))), value)
    return pooled if call.layer.flag("keepdims", False) else call.reshaped(pooled, value.shape[2:])


# Borders -------------------------------------------------------------------------------------------------------------
def borders(layer: Layer) -> Borders:
    """Zeros (above, below), (left, right)."""
    given = layer.config.get("padding", 1)
    sides = given if isinstance(given, list) else [given, given]
    pairs = [side if isinstance(side, list) else [side, side] for side in sides]
    if len(pairs) != 2 or any(len(side) != 2 or any(type(n) is not int or n < 0 for n in side) for side in pairs):
        raise layer.refused(f"padding {given}", "numbers of rows and columns")
    (above, below), (left, right) = pairs
    return (above, below), (left, right)


def zero_padding(call: Call) -> Value:
    value = _image(call)
    return _of_image(call, Border(*borders(call.layer)), value)
