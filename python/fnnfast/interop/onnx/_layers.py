"""Layers as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..._checks import Array
from ..._network.network import Network
from ..._network.structure import Shapes
from ...activations import Identity
from .._errors import layer_of, require_vector_slopes
from . import _activations
from ._writer import Writer

_IDENTITY = Identity()


class LayerWriter:
    """Writes the layers of one network.

    Parameters
    ----------
    writer : Writer
    net : Network
    plain : bool
        Leave out the activation of the last layer.
    """

    def __init__(self, writer: Writer, net: Network, plain: bool) -> None:
        self.writer = writer
        self.shapes = net._structure.input_shapes
        self._parameters = {name: net._device.host(values) for name, values in net.parameters.items()}
        self._quantization: Mapping[str, Any] = getattr(net, "quantization", {})
        self._stored = net._tensors() if self._quantization else {}
        self._names: Iterator[tuple[str, Any]] = iter(net.named_layers.items())
        self._plain = net._structure.last_name if plain else ""

    def chain(self, x: str, layers: Any) -> str:
        """The value of layers in a row."""
        for _ in layers:
            name, layer = next(self._names)
            x = layer_of(_KINDS, name, layer)(self, x, name, layer)
        return x

    def activated(self, x: str, name: str, layer: Any) -> str:
        activation = _IDENTITY if name == self._plain else layer.activation
        alpha = self.parameter(f"{name}.alpha") if activation.learned else ""
        return _activations.write(self.writer, x, activation, alpha, name)

    def parameter(self, name: str) -> str:
        return self.writer.tensor(name, self._parameters[name])

    def product(self, x: str, name: str, piece: int | None = None) -> str:
        """x W + b of a layer, or of a piece of one."""
        part = "" if piece is None else f".{piece}"
        weight = self._weight(name, piece, part)
        if f"{name}.bias" not in self._parameters:
            return self.writer.node("MatMul", x, weight, layer=name)
        bias = self.writer.tensor(f"{name}.bias{part}", self._of(f"{name}.bias", piece))
        return self.writer.node("Gemm", x, weight, bias, layer=name)

    def _of(self, name: str, piece: int | None, stored: bool = False) -> Array:
        values = (self._stored if stored else self._parameters)[name]
        return values if piece is None else values[piece]

    def _weight(self, name: str, piece: int | None, part: str) -> str:
        quantization = self._quantization.get(name)
        if quantization is None:
            return self.writer.tensor(f"{name}.weight{part}", self._of(f"{name}.weight", piece))
        weight = self.writer.tensor(f"{name}.weight{part}", self._of(f"{name}.weight", piece, stored=True))
        scales = quantization.weight_scale if piece is None else quantization.weight_scale[piece]
        scale = self.writer.tensor(f"{name}.weight_scale{part}", scales)
        return self.writer.node("DequantizeLinear", weight, scale, layer=name, axis=1)

    def rounded(self, x: str, name: str) -> str:
        """A layer's input in 8 bits, where it is quantized."""
        quantization = self._quantization.get(name)
        if quantization is None:
            return x
        scale = self.writer.tensor(f"{name}.input_scale", np.array(quantization.input_scale))
        zero = self.writer.tensor(f"{name}.zero_point", np.array(quantization.zero_point, np.uint8))
        q = self.writer.node("QuantizeLinear", x, scale, zero, layer=name)
        return self.writer.node("DequantizeLinear", q, scale, zero, layer=name)


def _dense(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    return w.activated(w.product(w.rounded(x, name), name), name, layer)


def _maxout(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    x = w.rounded(x, name)
    return w.writer.node("Max", *(w.product(x, name, piece) for piece in range(layer.pieces)), layer=name)


def _activation(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    require_vector_slopes(name, layer, w.shapes[name])
    return w.activated(x, name, layer)


def _residual(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    other = w.product(w.rounded(x, name), name) if f"{name}.weight" in w._parameters else x
    main = w.chain(x, layer.layers)
    if layer.shortcut is not None:
        other = w.chain(x, layer.shortcut)
    return w.activated(w.writer.node("Add", main, other, layer=name), name, layer)


def _nothing(w: LayerWriter, x: str, name: str, layer: Any) -> str:
    return x


_KINDS: dict[str, Callable[[LayerWriter, str, str, Any], str]] = {
    "dense": _dense,
    "gaussian": _dense,
    "maxout": _maxout,
    "activation": _activation,
    "residual": _residual,
    "flatten": _nothing,
    "dropout": _nothing,
    "gaussian_noise": _nothing,
}


def parameter_of(name: str, shape: tuple[int, ...], read: Callable[[str], Array | None]) -> Array | None:
    """A parameter from the initializers that a LayerWriter made of it, None where one is missing or has another shape.

    Those of maxout are one for each piece.
    """
    whole = read(name)
    if whole is None and len(shape) > 1:
        pieces = [read(f"{name}.{piece}") for piece in range(shape[0])]
        if not pieces or any(piece is None or piece.shape != shape[1:] for piece in pieces):
            return None
        whole = np.stack([piece for piece in pieces if piece is not None])
    return whole if whole is not None and whole.shape == shape else None


def places(shapes: Mapping[str, Shapes]) -> dict[str, tuple[int, ...]]:
    """Name to shape of all parameters of a network."""
    return {f"{layer}.{key}": shape for layer, of_layer in shapes.items() for key, shape in of_layer.items()}
