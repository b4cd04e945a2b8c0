"""The operators of ONNX on images, channels first: convolutions, pools and what goes with them."""

from __future__ import annotations

import numpy as np

from ..._windows import Borders, Pair, Windows, windows
from ...layers import AveragePool2D, GlobalAveragePool2D, LocalResponseNorm, MaxPool2D
from .._graph import Concat
from .._layout import CHANNELS_FIRST, VECTOR
from .._operations import Border, Operation, Plain
from .._products import Affine, Filters
from .._rounding import rounded_up
from .._values import of_images
from ._reader import Node, Operator, Value


def _conv(node: Node) -> Value:
    """Weights (O, I / groups, KH, KW)."""
    weight = node.constant(1)
    if weight is None or weight.ndim != 4:
        shape = None if weight is None else weight.shape
        raise node.refused(f"a weight of shape {shape}", "convolutions of images, with weights of four axes")
    value = node.image(or_pixel=True)
    filters = Filters(_windows(node, weight.shape[2:], value), int(node.given.get("group", 1)))
    rows = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))
    return _image(node, Affine(rows, node.constant(2), filters), value)


def _image(node: Node, operation: Operation, value: Value) -> Value:
    """The image that an operation on one gives."""
    operation, shape = of_images(operation, value, CHANNELS_FIRST, node.place)
    return node.step(operation, [value], shape)


def _windows(node: Node, kernel: Pair, value: Value) -> Windows:
    """The windows of a convolution or a pool, with their padding in numbers."""
    if len(node.given.get("kernel_shape", kernel)) != 2:
        raise node.refused(f"kernel_shape {node.given['kernel_shape']}", "windows of two axes")
    strides, dilations = (list(node.given.get(key, (1, 1))) for key in ("strides", "dilations"))
    plain = windows(kernel, strides, "same", dilations)
    return windows(kernel, strides, _padding(node, plain, (value.shape[1], value.shape[2])), dilations)


def _padding(node: Node, same: Windows, image: Pair) -> Borders:
    mode = node.given.get("auto_pad", "NOTSET")
    if mode == "SAME_UPPER":
        return same.borders(image)
    if mode == "SAME_LOWER":
        (above, below), (left, right) = same.borders(image)
        return (below, above), (right, left)
    if mode not in ("NOTSET", "VALID", ""):
        raise node.refused(f"auto_pad {mode!r}", "NOTSET, VALID, SAME_UPPER and SAME_LOWER")
    top, left, bottom, right = node.given.get("pads", (0, 0, 0, 0)) if mode != "VALID" else (0, 0, 0, 0)
    return (top, bottom), (left, right)


# Pools ---------------------------------------------------------------------------------------------------------------
def _pool(node: Node) -> Value:
    value = node.image()
    kernel = node.given["kernel_shape"]
    found = _windows(node, (kernel[0], kernel[1]), value)
    if found.dilation != (1, 1):
        raise node.refused(f"dilations {found.dilation} of a pool", "pools without dilation")
    if node.given.get("storage_order", 0):
        raise node.refused("storage_order 1", "storage_order 0")
    padding = rounded_up(found, (value.shape[1], value.shape[2])) if node.given.get("ceil_mode", 0) else found.padding
    counts = bool(node.given.get("count_include_pad", 0))
    if counts and padding != found.padding:
        raise node.refused("ceil_mode with count_include_pad, where windows end beyond the padding", "one of them")
    layer = (
        MaxPool2D(found.kernel, found.strides, padding)
        if node.kind == "MaxPool"
        else AveragePool2D(found.kernel, found.strides, padding, counts)
    )
    return _image(node, Plain(layer), value)


def _global_average_pool(node: Node) -> Value:
    value = node.image()
    return node.step(Plain(GlobalAveragePool2D()), [value], (value.shape[0], 1, 1), layout=VECTOR)


def _global_max_pool(node: Node) -> Value:
    value = node.image()
    return node.vector(_image(node, Plain(MaxPool2D((value.shape[1], value.shape[2]))), value))


def _reduce_mean(node: Node) -> Value:
    """Over the pixels of an image."""
    value = node.image()
    constant = node.constant(1)
    axes = node.given.get("axes", ()) if constant is None else constant.reshape(-1).tolist()
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise node.refused(f"a mean over axes {list(axes)}", "one over the height and the width of an image")
    pooled = _global_average_pool(node)
    return pooled if node.given.get("keepdims", 1) else pooled._replace(shape=value.shape[:1])


# Others --------------------------------------------------------------------------------------------------------------
def _local_response_norm(node: Node) -> Value:
    value, size = node.image(), int(node.given["size"])
    if size % 2 == 0:
        raise node.refused(f"size {size}, whose window ONNX puts one channel further on", "odd sizes")
    # An attribute is float32: 1e-4 is meant by 9.99999974738e-05.
    alpha, beta, k = (float(str(np.float32(node.given.get(key, default)))) for key, default in _LRN.items())
    return node.step(Plain(LocalResponseNorm(size, alpha, beta, k)), [value], value.shape)


_LRN = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}


def _pad(node: Node) -> Value:
    """Zeros around an image."""
    value, mode = node.image(), node.given.get("mode", "constant")
    constant = node.constant(1)
    pads = list(node.given.get("pads", ())) if constant is None else constant.reshape(-1).tolist()
    if len(pads) != 8 or min(pads) < 0 or any(pads[i] for i in (0, 1, 4, 5)) or len(node.names) > 3:
        raise node.refused(f"pads {pads}", "pads of the height and the width of images")
    if mode != "constant" or node.scalar(2, "value", 0.0) != 0:
        raise node.refused(f"mode {mode!r}, or another value than 0", "zeros")
    return _image(node, Border((pads[2], pads[6]), (pads[3], pads[7])), value)


def concat(node: Node) -> Value:
    """Images, joined along their channels."""
    found = [node.image(index) for index in range(len(node.names))]
    if node.given.get("axis", 1) not in (1, -3):
        raise node.refused(f"axis {node.given['axis']} of images", "axis 1, their channels")
    channels = sum(value.shape[0] for value in found)
    return found[0] if len(found) == 1 else node.step(Concat(), found, (channels, *found[0].shape[1:]))


OPERATORS: dict[str, Operator] = {
    "AveragePool": _pool,
    "Conv": _conv,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "LRN": _local_response_norm,
    "MaxPool": _pool,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
}
"""By name."""
