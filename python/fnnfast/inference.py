"""Networks in low precision: weights of two bytes or one, for answers and not for training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, _cpu, _layerwise, sequential
from ._checks import FLOAT32, Array, message
from ._device import CPU
from .layers import Input, Layer
from .parameters import Parameters, Shapes, name_layers, parameter_shapes
from .sequential import Sequential

PRECISIONS = ("bfloat16", "int8")

# What holds a weight: of a bfloat16, which NumPy does not have, the bits.
_WEIGHTS = {"bfloat16": "uint16", "int8": "int8"}


class Quantization(NamedTuple):
    """How an int8 layer stands for real numbers.

    An input x is input_scale (q - zero_point), q from 0 to 255; a weight is weight_scale q, q from -127 to 127.
    weight_scale has one value for each output: (O,), or (P, O) for the pieces of maxout.
    """

    input_scale: float
    zero_point: int
    weight_scale: Array


class InferenceNetwork(Sequential):
    """A network with weights in bfloat16 or int8: answers, copies and saves as a Sequential does, but is not trained.

    ``Sequential.astype("bfloat16")`` and ``Sequential.quantize(calibration_x)`` make one. Activations, biases and
    slopes, and so the outputs, are float32, which ``dtype`` says; ``precision`` is that of the weights. ``parameters``
    reads them in float32, as rounded, and takes no assignment. Where x is an array of bfloat16 (the type of ml_dtypes),
    the outputs are rounded to that; so are they for an ``out`` of bfloat16.

    Notes
    -----
    bfloat16: to the bit the float32 network whose weights were rounded to bfloat16, to nearest, ties to even.

    int8: a layer rounds its input x to ``q = clip(rint(x / input_scale) + zero_point, 0, 255)``, sums q times its int8
    weights exactly, and goes on in float32. A row that holds NaN answers NaN.
    """

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("InferenceNetwork: expected to be made by Sequential's astype('bfloat16') or quantize(x)")

    @classmethod
    def _of(cls, source: Sequential, network: _cpu.Network) -> InferenceNetwork:
        """The layers of a float32 network, answered by a compiled one of lower precision."""
        net = cls.__new__(cls)
        net._input, net._named, net._layers = source._input, source._named, source._layers
        net._device, net._dtype, net._frozen = source._device, source._dtype, frozenset()
        net._network = network
        net._attach(network)
        shapes = parameter_shapes(net._input, net._named)
        net._parameters = _FixedParameters(network, net._device, net._dtype, shapes)
        return net

    @property
    def quantization(self) -> dict[str, Quantization]:
        """By name, how each layer with weights is quantised; empty for bfloat16."""
        if self.precision != "int8":
            return {}
        shapes = enumerate(parameter_shapes(self._input, self._named).items())
        network = self._on_cpu("network")
        return {name: Quantization(*network.quantization(i)) for i, (name, of_layer) in shapes if "weight" in of_layer}

    # Answers ---------------------------------------------------------------------------------------------------------
    def _prepare_and_forward(self, x: ArrayLike, out: Array | None, logits: bool) -> Array:
        CPU.require(x=x, out=out)
        x = np.asarray(x)
        dtype = x.dtype if out is None else getattr(out, "dtype", None)
        if not _checks.is_bfloat16(dtype):
            return super()._prepare_and_forward(x, out, logits)
        y = _checks.fit(super()._prepare_and_forward(x, None, logits), np.dtype(dtype))
        _checks.output(out, y.shape, y.dtype, x=x)  # for what it refuses
        return _checks.deliver(y, out)

    def predict(self, x: ArrayLike) -> Array:
        return self._rounded_last(super().predict, x)

    def sample(self, x: ArrayLike, n: int = 1, rng: np.random.Generator | int | None = None) -> Array:
        return self._rounded_last(lambda x: Sequential.sample(self, x, n, rng), x)

    def _rounded_last(self, method: Callable[[ArrayLike], Array], x: ArrayLike) -> Array:
        """The method in float32, so that rounding the outputs changes no class; reals are then rounded as x is."""
        CPU.require(x=x)
        x = np.asarray(x)
        if not _checks.is_bfloat16(x.dtype):
            return method(x)
        y = method(x.astype(FLOAT32))
        return _checks.fit(y, x.dtype) if y.dtype == FLOAT32 else y

    # What it is not for ----------------------------------------------------------------------------------------------
    def to(self, device: str, dtype: Any = None) -> NoReturn:
        """TypeError: the float32 network is to be taken elsewhere."""
        raise refusal("to", self.precision)

    def replace_head(self, head: Layer, *, seed: int | None = None) -> NoReturn:
        """TypeError: the float32 network is to be changed."""
        raise refusal("replace_head", self.precision)

    def astype(self, dtype: Any) -> NoReturn:
        """TypeError: the float32 network is to be converted."""
        raise refusal("astype", self.precision)

    def quantize(self, calibration_x: ArrayLike) -> NoReturn:
        """TypeError: the float32 network is to be quantised."""
        raise refusal("quantize", self.precision)

    # On paper and on disk --------------------------------------------------------------------------------------------
    def _tensors(self) -> dict[str, Array]:
        tensors = dict(self.parameters)
        if self.precision == "bfloat16":
            for name in filter(_is_weight, self.parameters):
                tensors[name] = (tensors[name].view(np.uint32) >> 16).astype(np.uint16)
        for layer, (input_scale, zero_point, weight_scale) in self.quantization.items():
            # Exact: the weights are whole multiples of the scale but for one rounding.
            q = np.rint(tensors[f"{layer}.weight"] / weight_scale[..., np.newaxis, :])
            tensors[f"{layer}.weight"] = np.clip(q, -127, 127).astype(np.int8)
            tensors[f"{layer}.input_scale"] = np.array(input_scale, np.float32)
            tensors[f"{layer}.zero_point"] = np.array(zero_point, np.uint8)
            tensors[f"{layer}.weight_scale"] = weight_scale
        return tensors

    def __repr__(self) -> str:
        lines = (f"    {layer!r}," for layer in self.layers)
        return "\n".join((f"{type(self).__name__}([", *lines, f"], precision={self.precision!r})"))

    def __reduce__(self) -> tuple[Any, ...]:
        return restore, (type(self), self.layers, self.precision, self._tensors())


class _FixedParameters(Parameters):
    """Parameters that are read only: what was rounded is not set again."""

    def __setitem__(self, name: str, values: ArrayLike) -> NoReturn:
        self._place(name)
        raise refusal(name, self._network.precision)


def refusal(what: str, precision: str) -> TypeError:
    """The error for anything but answers."""
    got = f"one in {precision}, for inference only: train or change the float32 network and convert it again"
    return TypeError(message(what, "a float32 or float64 network", got))


# Making one ----------------------------------------------------------------------------------------------------------
def bfloat16(net: Sequential) -> InferenceNetwork:
    """The network with its weights rounded to bfloat16."""
    source = _in_float32(net)
    return InferenceNetwork._of(source, source._on_cpu("network").bfloat16())


def int8(net: Sequential, calibration_x: ArrayLike) -> InferenceNetwork:
    """The network with weights in int8 and inputs of every layer in 8 bits, over the ranges that the data shows."""
    net._on_cpu("quantize")
    CPU.require(calibration_x=calibration_x)
    x = CPU.network_input(calibration_x, net.input.shape, FLOAT32, "calibration_x")
    if not len(x):
        raise ValueError(message("calibration_x", "at least one row", "none"))
    if not np.isfinite(x).all():
        raise ValueError(message("calibration_x", "finite values", "NaN or infinity, or what is so in float32"))
    source = _in_float32(net)
    return InferenceNetwork._of(source, source._on_cpu("network").quantized(_calibrate(source, x)))


def _in_float32(net: Sequential) -> Sequential:
    return net if net.dtype == FLOAT32 else net.astype(FLOAT32)


def _calibrate(net: Sequential, x: Array) -> list[Quantization]:
    """How to quantise each layer, from its weights and the range of its inputs over the rows of x."""
    ranges: dict[str, tuple[float, float]] = {}
    zero = (0.0, 0.0)  # always a part of it: padding, relu
    for seen in _layerwise.trace(net, x):
        if seen.layer is not None:
            low, high = ranges.get(seen.layer, zero)
            ranges[seen.layer] = float(np.minimum(low, seen.inputs.min())), float(np.maximum(high, seen.inputs.max()))
    weighted = [name.removesuffix(".weight") for name in filter(_is_weight, net.parameters)]
    return [_quantization(name, net.parameters[f"{name}.weight"], *ranges[name]) for name in weighted]


def _quantization(name: str, weight: Array, low: float, high: float) -> Quantization:
    if not np.isfinite((low, high)).all():
        raise ValueError(message("calibration_x", f"finite inputs of {name}", f"{low} to {high}"))
    if not np.isfinite(weight).all():
        raise ValueError(message(f"{name}.weight", "finite values to quantize", "NaN or infinity"))
    input_scale = np.float32((float(high) - float(low)) / 255)
    if input_scale < np.finfo(np.float32).tiny:  # nothing but zeros, or so small that 1 / input_scale were infinite
        input_scale = np.float32(1)
    weight_scale = np.abs(weight).max(axis=-2) / np.float32(127)
    weight_scale[weight_scale == 0] = 1
    return Quantization(float(input_scale), min(255, round(-float(low) / float(input_scale))), weight_scale)


# Keeping one ---------------------------------------------------------------------------------------------------------
def stored(shapes: Mapping[str, Shapes], dtype: str, precision: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name to dtype and shape of all that makes up a network, of any precision."""
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer, of_layer in shapes.items():
        for key, shape in of_layer.items():
            name = f"{layer}.{key}"
            tensors[name] = (_WEIGHTS.get(precision, dtype) if _is_weight(name) else dtype, shape)
        if "weight" in of_layer and precision == "int8":
            tensors[f"{layer}.input_scale"] = (dtype, ())
            tensors[f"{layer}.zero_point"] = ("uint8", ())
            tensors[f"{layer}.weight_scale"] = (dtype, (*of_layer["weight"][:-2], of_layer["weight"][-1]))
    return tensors


def restore(
    cls: type[InferenceNetwork], layers: Sequence[Input | Layer], precision: str, tensors: Mapping[str, Array]
) -> InferenceNetwork:
    """A network from its layers and what ``stored`` lists (unpickling, copying, loading)."""
    shapes = parameter_shapes(*name_layers(layers))
    parameters = {f"{layer}.{key}": tensors[f"{layer}.{key}"] for layer, keys in shapes.items() for key in keys}
    if precision == "bfloat16":
        for name in filter(_is_weight, parameters):
            parameters[name] = (parameters[name].astype(np.uint32) << 16).view(np.float32)
        source = sequential.restore(Sequential, layers, FLOAT32.name, parameters)
        return cls._of(source, source._on_cpu("network").bfloat16())
    quantizations = []
    for layer in (name for name, of_layer in shapes.items() if "weight" in of_layer):
        input_scale, zero_point, weight_scale = (tensors[f"{layer}.{field}"] for field in Quantization._fields)
        if not np.finfo(np.float32).tiny <= input_scale < np.inf:
            raise ValueError(message(f"{layer}.input_scale", "a normal number > 0", input_scale))
        if not ((weight_scale > 0) & (weight_scale < np.inf)).all():
            raise ValueError(message(f"{layer}.weight_scale", "finite numbers > 0", "others"))
        parameters[f"{layer}.weight"] = parameters[f"{layer}.weight"] * weight_scale[..., np.newaxis, :]
        quantizations.append(Quantization(float(input_scale), int(zero_point), weight_scale))
    source = sequential.restore(Sequential, layers, FLOAT32.name, parameters)
    return cls._of(source, source._on_cpu("network").quantized(quantizations))


def _is_weight(name: str) -> bool:
    return name.endswith(".weight")
