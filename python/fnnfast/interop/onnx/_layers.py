"""Layers as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..._checks import Array
from ..._network.network import Network
from ..._network.structure import Shapes
from ...activations import Identity
from ...layers._shape import Shape, as_image, is_image
from .._errors import layer_of, refusal
from . import _activations
from ._writer import Writer

_IDENTITY = Identity()
_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # the channels of images
_FILTERS = (3, 2, 0, 1)  # of weights: (O, I, KH, KW)


class LayerWriter:
    """Writes the layers of one network. Images have their channels first in ONNX.

    Parameters
    ----------
    writer : Writer
    net : Network
    plain : bool
        Leave out the activation of the last layer.
    """

    def __init__(self, writer: Writer, net: Network, plain: bool) -> None:
        self.writer = writer
        self._structure = net._structure
        self._state = {name: net._device.host(values) for name, values in net._state.items()}
        self._quantization: Mapping[str, Any] = getattr(net, "quantization", {})
        self._stored = net._tensors() if self._quantization else {}
        self._names: Iterator[tuple[str, Any]] = iter(net.named_layers.items())
        self._plain = net._structure.last_name if plain else ""
        self._has_images = net._structure.has_images

    def network(self, x: str) -> str:
        """The outputs, vectors, for an input as the network takes it."""
        structure = self._structure
        if not self._has_images:
            if len(structure.input.shape) > 1:
                x = self.writer.node("Flatten", x, axis=1)
        elif not structure.input.channels_first:
            x = self.writer.node("Transpose", x, perm=_TO_FIRST)
        x = self.chain(x, structure.chain)
        return self.flattened(x, structure.output_shapes[structure.last_name])

    def chain(self, x: str, layers: Any) -> str:
        """The value of layers in a row."""
        for _ in layers:
            name, layer = next(self._names)
            x = layer_of(_KINDS, name, layer)(self, x, name, layer)
        return x

    # Shapes ----------------------------------------------------------------------------------------------------------
    def input_shape(self, name: str) -> Shape:
        return self._structure.input_shapes[name]

    def is_image(self, shape: Shape) -> bool:
        """Whether a value of that shape has its channels on an axis before others."""
        return self._has_images and is_image(shape)

    def flattened(self, x: str, shape: Shape, name: str = "") -> str:
        """A value as vectors."""
        if not self.is_image(shape):
            return x
        height, width, channels = as_image(shape)
        if channels > 1 and height * width > 1:
            x = self.writer.node("Transpose", x, layer=name, perm=_TO_LAST)
        return self.writer.node("Flatten", x, layer=name, axis=1)

    # Parts of layers -------------------------------------------------------------------------------------------------
    def activated(self, x: str, name: str, layer: Any) -> str:
        activation = _IDENTITY if name == self._plain else layer.activation
        shape = self._structure.output_shapes[name]
        if activation.rowwise:
            x = self.flattened(x, shape, name)
        alpha = self.of_channels(f"{name}.alpha", shape) if activation.learned else ""
        return _activations.write(self.writer, x, activation, alpha, name)

    def state(self, name: str) -> str:
        return self.writer.tensor(name, self._state[name])

    def of_channels(self, name: str, shape: Shape) -> str:
        """A parameter that is one number for each channel, to be broadcast."""
        values = self._state[name]
        return self.writer.tensor(name, values.reshape(-1, 1, 1) if self.is_image(shape) else values)

    def product(self, x: str, name: str, piece: int | None = None) -> str:
        """x W + b of a layer, or of a piece of one; over each pixel of images."""
        part = "" if piece is None else f".{piece}"
        weight = self._weight(name, piece, part)
        bias = self._bias(name, piece, part)
        return self.writer.node("Gemm" if bias else "MatMul", x, weight, *bias, layer=name)

    def convolution(self, x: str, name: str, piece: int | None = None, **settings: Any) -> str:
        """The same over windows, with weights (O, I, KH, KW)."""
        part = "" if piece is None else f".{piece}"
        weight = self._weight(name, piece, part, axes=_FILTERS)
        return self.writer.node("Conv", x, weight, *self._bias(name, piece, part), layer=name, **settings)

    def _bias(self, name: str, piece: int | None, part: str) -> list[str]:
        if f"{name}.bias" not in self._state:
            return []
        return [self.writer.tensor(f"{name}.bias{part}", self._of(f"{name}.bias", piece))]

    def has(self, name: str) -> bool:
        return name in self._state

    def _of(self, name: str, piece: int | None, stored: bool = False) -> Array:
        values = (self._stored if stored else self._state)[name]
        return values if piece is None else values[piece]

    def _weight(self, name: str, piece: int | None, part: str, axes: tuple[int, ...] | None = None) -> str:
        """A weight, of a convolution with its axes in that order; from its integers where it is quantized."""
        quantization = self._quantization.get(name)
        values = self._of(f"{name}.weight", piece, stored=quantization is not None)
        if axes is not None:
            values = (values if values.ndim == 4 else values[np.newaxis, np.newaxis]).transpose(axes)
        weight = self.writer.tensor(f"{name}.weight{part}", values)
        if quantization is None:
            return weight
        scales = quantization.weight_scale if piece is None else quantization.weight_scale[piece]
        scale = self.writer.tensor(f"{name}.weight_scale{part}", scales)
        return self.writer.node("DequantizeLinear", weight, scale, layer=name, axis=1 if axes is None else 0)

    def rounded(self, x: str, name: str) -> str:
        """A layer's input in 8 bits, where it is quantized."""
        quantization = self._quantization.get(name)
        if quantization is None:
            return x
        scale = self.writer.tensor(f"{name}.input_scale", np.array(quantization.input_scale))
        zero = self.writer.tensor(f"{name}.zero_point", np.array(quantization.zero_point, np.uint8))
        q = self.writer.node("QuantizeLinear", x, scale, zero, layer=name)
        return self.writer.node("DequantizeLinear", q, scale, zero, layer=name)


# Kinds of layers -----------------------------------------------------------------------------------------------------
def _dense(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    x = w.flattened(x, w.input_shape(name), name)
    return w.activated(w.product(w.rounded(x, name), name), name, layer)


def _maxout(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    x = w.rounded(w.flattened(x, w.input_shape(name), name), name)
    return w.writer.node("Max", *(w.product(x, name, piece) for piece in range(layer.pieces)), layer=name)


def _activation(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    return w.activated(x, name, layer)


def _residual(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    other = x
    if w.has(f"{name}.weight"):
        other = w.rounded(x, name)
        other = w.convolution(other, name) if w.is_image(w.input_shape(name)) else w.product(other, name)
    main = w.chain(x, layer.layers)
    if layer.shortcut is not None:
        other = w.chain(x, layer.shortcut)
    return w.activated(w.writer.node("Add", main, other, layer=name), name, layer)


def _parallel(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    return w.writer.node("Concat", *(w.chain(x, branch) for branch in layer.branches), layer=name, axis=1)


def _flatten(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    return w.flattened(x, w.input_shape(name), name)


def _nothing(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    return x


def _windows(w: LayerWriter, name: str, layer: Any) -> dict[str, Any]:
    """The attributes of a convolution or a pool, for images of that size."""
    height, width, _ = as_image(w.input_shape(name))
    found = layer._windows
    (above, below), (left, right) = found.borders((height, width))
    return {
        "kernel_shape": found.kernel,
        "strides": found.strides,
        "pads": (above, left, below, right),
        **({} if found.dilation == (1, 1) else {"dilations": found.dilation}),
    }


def _conv2d(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    groups = {} if layer.groups == 1 else {"group": layer.groups}
    return w.activated(w.convolution(w.rounded(x, name), name, **_windows(w, name, layer), **groups), name, layer)


def _maxout_conv2d(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    settings, x = _windows(w, name, layer), w.rounded(x, name)
    pieces = (w.convolution(x, name, piece, **settings) for piece in range(layer.pieces))
    return w.writer.node("Max", *pieces, layer=name)


def _max_pool2d(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    return w.writer.node("MaxPool", x, layer=name, **_windows(w, name, layer))


def _average_pool2d(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    settings = _windows(w, name, layer)
    return w.writer.node("AveragePool", x, layer=name, count_include_pad=int(layer.count_padding), **settings)


def _global_average_pool2d(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    pooled = w.writer.node("GlobalAveragePool", x, layer=name)
    return w.writer.node("Flatten", pooled, layer=name, axis=1)


def _local_response_norm(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    """The operator, of odd sizes."""
    settings = {"alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}
    if layer.size % 2 == 1:
        return w.writer.node("LRN", x, layer=name, size=layer.size, **settings)
    raise refusal(f"layer {name!r}", f"size {layer.size}, whose window ONNX puts one channel further on", "odd sizes")


def _batch_norm(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    keys = ("gamma", "beta", "mean", "variance")
    if w.writer.exact:
        parts = (w.state(f"{name}.{key}") for key in keys)
        return w.writer.node("BatchNormalization", x, *parts, layer=name, epsilon=layer.eps)
    shape = w.input_shape(name)
    gamma, beta, mean, variance = (w.of_channels(f"{name}.{key}", shape) for key in keys)
    deviation = w.writer.node(
        "Sqrt", w.writer.node("Add", variance, w.writer.number(layer.eps), layer=name), layer=name
    )
    x = w.writer.node("Div", w.writer.node("Sub", x, mean, layer=name), deviation, layer=name)
    return w.writer.node("Add", w.writer.node("Mul", x, gamma, layer=name), beta, layer=name)


_KINDS: dict[str, Callable[[LayerWriter, str, str, Any], str]] = {
    "dense": _dense,
    "gaussian": _dense,
    "maxout": _maxout,
    "conv2d": _conv2d,
    "maxout_conv2d": _maxout_conv2d,
    "max_pool2d": _max_pool2d,
    "average_pool2d": _average_pool2d,
    "global_average_pool2d": _global_average_pool2d,
    "local_response_norm": _local_response_norm,
    "batch_norm": _batch_norm,
    "activation": _activation,
    "residual": _residual,
    "parallel": _parallel,
    "flatten": _flatten,
    "dropout": _nothing,
    "gaussian_noise": _nothing,
}


# Back ----------------------------------------------------------------------------------------------------------------
def parameter_of(name: str, shape: tuple[int, ...], read: Callable[[str], Array | None]) -> Array | None:
    """A parameter or buffer from the initializers that a LayerWriter made of it, None where one is missing or unfit.

    Those of maxout are one for each piece.
    """
    whole = read(name)
    if whole is None and len(shape) > 1:
        pieces: list[Array] = []
        while len(pieces) < shape[0]:
            piece = parameter_of(f"{name}.{len(pieces)}", shape[1:], read)
            if piece is None:
                return None
            pieces.append(piece)
        return np.stack(pieces)
    if whole is None:
        return None
    if whole.ndim == 4:  # of a convolution, or of a product over pixels
        whole = whole.transpose(2, 3, 1, 0)
        whole = whole[0, 0] if len(shape) == 2 and whole.shape[:2] == (1, 1) else whole
    elif len(shape) == 1 and whole.shape == (*shape, 1, 1):  # of channels
        whole = whole.reshape(shape)
    return whole if whole.shape == shape else None


def places(shapes: Mapping[str, Shapes]) -> dict[str, tuple[int, ...]]:
    """Name to shape of all parameters and buffers of a network."""
    return {f"{layer}.{key}": shape for layer, of_layer in shapes.items() for key, shape in of_layer.items()}
