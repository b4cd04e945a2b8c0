"""Functions of images, channels first: convolutions, pools and what goes with them."""

from __future__ import annotations

import math
from typing import Any

from ..._windows import Pair, Windows, pair, windows
from ...layers import AveragePool2D, GlobalAveragePool2D, LocalResponseNorm, MaxPool2D
from .._graph import Concat
from .._layout import CHANNELS_FIRST, VECTOR
from .._operations import Border, Operation, Plain
from .._products import Affine, Filters, Pieces
from .._rounding import rounded_up
from .._values import of_images
from ._reader import Call, Rule
from ._values import Value


def _conv2d(
    call: Call,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Value:
    array, value = call.array(weight), call.image(input, or_pixel=True)
    if padding_mode != "zeros":
        raise call.refused(f"padding_mode {padding_mode!r}", "zeros")
    rows, kernel = array.transpose(2, 3, 1, 0).reshape(-1, len(array)), (array.shape[2], array.shape[3])
    found = windows(kernel, stride, _padding(padding, kernel, dilation), dilation)
    affine = Affine(rows, None if bias is None else call.array(bias), Filters(found, groups))
    return _image(call, affine, value)


def _padding(padding: Any, kernel: Pair, dilation: Any) -> Any:
    """In numbers; "same" has the odd zero after the image, as there is no stride with it."""
    return windows(kernel, 1, padding, dilation).borders((1 << 20, 1 << 20)) if isinstance(padding, str) else padding


def _image(call: Call, operation: Operation, value: Value) -> Value:
    """The image that an operation on one gives."""
    operation, shape = of_images(operation, value, CHANNELS_FIRST, call.place)
    return call.apply(operation, [value], shape)


# Pools ---------------------------------------------------------------------------------------------------------------
def _max_pool2d(
    call: Call,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    if return_indices:
        raise call.refused("return_indices=True", "the maxima alone")
    found = _pool(call, kernel_size, stride, padding, dilation)
    value = call.image(input)
    borders = rounded_up(found, _size(value)) if ceil_mode else found.padding
    return _image(call, Plain(MaxPool2D(found.kernel, found.strides, borders)), value)


def _avg_pool2d(
    call: Call,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    if divisor_override is not None:
        raise call.refused(f"divisor_override={divisor_override}", "means")
    found = _pool(call, kernel_size, stride, padding, 1)
    value = call.image(input)
    borders = rounded_up(found, _size(value)) if ceil_mode else found.padding
    counts = count_include_pad and found.padding != ((0, 0), (0, 0))
    if counts and borders != found.padding:
        problem = "ceil_mode with count_include_pad, where windows end beyond the padding"
        raise call.refused(problem, "one of them")
    return _image(call, Plain(AveragePool2D(found.kernel, found.strides, borders, counts)), value)


def _pool(call: Call, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Windows:
    kernel = pair("kernel_size", kernel_size)
    found = windows(kernel, kernel_size if stride is None or stride == [] else stride, padding, dilation)
    if found.dilation != (1, 1):
        raise call.refused(f"dilation {found.dilation} of a pool", "pools without dilation")
    return found


def _size(value: Value) -> Pair:
    return value.shape[1], value.shape[2]


def _adaptive_avg_pool2d(call: Call, input: Any, output_size: Any) -> Value:
    value = call.image(input)
    kernel = _even_windows(call, value, output_size)
    if kernel == _size(value):
        return call.apply(Plain(GlobalAveragePool2D()), [value], (value.shape[0], 1, 1), VECTOR)
    return value.copied() if kernel == (1, 1) else _image(call, Plain(AveragePool2D(kernel)), value)


def _adaptive_max_pool2d(call: Call, input: Any, output_size: Any, return_indices: bool = False) -> Value:
    if return_indices:
        raise call.refused("return_indices=True", "the maxima alone")
    value = call.image(input)
    kernel = _even_windows(call, value, output_size)
    if kernel == (1, 1):
        return value.copied()
    pooled = _image(call, Plain(MaxPool2D(kernel)), value)
    return call.reshaped(pooled, value.shape[:1]).view((value.shape[0], 1, 1)) if kernel == _size(value) else pooled


def _even_windows(call: Call, value: Value, output_size: Any) -> Pair:
    """The windows that divide an image into so many."""
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    height, width = (given or length for given, length in zip(sizes, _size(value), strict=True))
    if value.shape[1] % height or value.shape[2] % width:
        raise call.refused(
            f"{height} x {width} windows of {value.shape[1]} x {value.shape[2]} pixels", "a size that divides the image"
        )
    return value.shape[1] // height, value.shape[2] // width


def _mean(call: Call, input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
    """Over the pixels of images."""
    axes = sorted(axis % 4 for axis in (dim if isinstance(dim, (tuple, list)) else (dim,)) if axis is not None)
    if axes != [2, 3]:
        raise call.refused(f"a mean over the axes {dim}", "one over the height and the width of images")
    value = call.image(input)
    shape = (value.shape[0], 1, 1) if keepdim else value.shape[:1]
    return call.apply(Plain(GlobalAveragePool2D()), [value], shape, VECTOR)


# Others --------------------------------------------------------------------------------------------------------------
def _local_response_norm(
    call: Call, input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Value:
    return call.apply(Plain(LocalResponseNorm(size, alpha, beta, k)), [call.image(input)])


def _pad(call: Call, input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Value:
    """A border of an image: (left, right, above, below)."""
    image, borders = call.image(input), (*pad, 0, 0, 0, 0)[:4]
    if mode != "constant" or value not in (None, 0, -math.inf) or len(pad) > 4 or min(borders) < 0:
        raise call.refused(f"a border {tuple(pad)} of mode {mode!r} and value {value}", "zeros around the image")
    border = Border((borders[2], borders[3]), (borders[0], borders[1]), value == -math.inf)
    return _image(call, border, image)


def _constant_pad2d(call: Call, input: Any, padding: Any, value: float = 0.0) -> Value:
    return _pad(call, input, padding, value=value)


def cat(call: Call, tensors: Any, dim: int) -> Value:
    """Images, joined along their channels."""
    values = [call.image(tensor) for tensor in tensors]
    if dim not in (1, -3):
        raise call.refused(f"dim={dim} of images", "dim=1, their channels")
    channels = sum(value.shape[0] for value in values)
    if len(values) == 1:
        return values[0].copied()
    return call.apply(Concat(), values, (channels, *values[0].shape[1:]))


def _maxout_conv2d(call: Call, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any) -> Value:
    """fnnfast's own."""
    array, value = call.array(weight), call.image(input)
    pieces, units, _, height, width = array.shape
    rows = array.transpose(0, 3, 4, 2, 1).reshape(pieces, -1, units)
    filters = Filters(windows((height, width), stride, padding, dilation))
    return _image(call, Pieces(rows, None if bias is None else call.array(bias), filters), value)


def _average_pool2d(
    call: Call, input: Any, kernel_size: Any, stride: Any, padding: Any, count_include_pad: bool
) -> Value:
    """fnnfast's own."""
    left, right, above, below = padding
    value = call.image(input)
    layer = AveragePool2D(kernel_size, stride, ((above, below), (left, right)), count_include_pad)
    return _image(call, Plain(layer), value)


FUNCTIONS: dict[str, Rule] = {
    "average_pool2d": _average_pool2d,
    "maxout_conv2d": _maxout_conv2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "adaptive_max_pool2d": _adaptive_max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "conv2d": _conv2d,
    "local_response_norm": _local_response_norm,
    "max_pool2d": _max_pool2d,
    "mean": _mean,
    "pad": _pad,
    "constant_pad2d": _constant_pad2d,
}
"""By the names of functions and methods; average_pool2d, constant_pad2d and maxout_conv2d are those of modules."""
