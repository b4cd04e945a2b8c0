"""Networks for inference only, most of them with weights of one or two bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _cpu
from .._checks import FLOAT32, Array, message
from .._device.cpu import CPU
from .._network import layerwise
from .._network.network import Network
from .._network.parameters import Buffers, Parameters, State
from .._network.structure import Structure
from .._network.tensors import BFLOAT16_PRODUCTS, is_weight, pieces_axes, refusal
from ..layers import Input, Layer
from .folding import folded

# Methods of Sequential that an InferenceNetwork does not have.
_VERBS = ("fit", "to", "astype", "quantize", "freeze", "unfreeze", "replace_head")


class Quantization(NamedTuple):
    """The scales of an int8 layer.

    Parameters
    ----------
    input_scale : float
        An input is x = input_scale (q - zero_point), q from 0 to 255.
    zero_point : int
        The integer that stands for an input of 0.
    weight_scale : ndarray of shape (O,), or (P, O) for maxout
        A weight is weight_scale q, q from -127 to 127.
    """

    input_scale: float
    zero_point: int
    weight_scale: Array


class InferenceNetwork(Network):
    """A network for inference only, with weights in bfloat16 or int8, or as they were.

    ``Sequential.astype("bfloat16")``, ``Sequential.quantize(calibration_x)`` and ``Sequential.freeze()`` return one. It
    is called, copied and saved like a Sequential, but cannot be trained, and its parameters cannot be assigned.
    ``compute_dtype`` is the format of the weights. With weights in bfloat16 or int8, activations, biases, slopes and
    outputs are float32, which is the ``dtype`` of the network, and ``parameters`` contains the rounded weights in
    float32. If x or ``out`` is an array of bfloat16 (the type of ml_dtypes), the outputs are rounded to bfloat16.

    Notes
    -----
    bfloat16, ``weights_only``: the outputs have the bits of the float32 network whose weights were rounded to bfloat16,
    to nearest, ties to even, on every CPU.

    bfloat16, else: where the CPU multiplies bfloat16 faster than float32 (AMX of Intel Sapphire Rapids and later,
    AVX-512 BF16 of AMD Zen 4 and later, see ``python -m fnnfast info``), the inputs of each product are rounded to
    bfloat16 as well, and their products are added to sums in float32 by instructions with roundings of their own. An
    output has the same bits for any batch, row and number of threads on all CPUs whose instruction is the same, and
    those of ``weights_only`` on others.

    float32 and float64: the same bits as the Sequential. A file of one is loaded as a Sequential.

    A ``BatchNorm`` that directly follows a dense layer or a convolution without activation is folded into the weights
    of that layer first, and is no layer of the InferenceNetwork. That rounds these weights anew.

    int8: a layer rounds its input x to ``q = clip(rint(x / input_scale) + zero_point, 0, 255)``, sums the products of q
    and its int8 weights exactly, and continues in float32. A row that contains NaN gives NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x = np.random.default_rng(0).random((100, 4))
    >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dense(3, "softmax")], seed=0)
    >>> low = net.quantize(x)
    >>> low.compute_dtype, low.dtype.name
    ('int8', 'float32')
    >>> np.allclose(low(x), net(x), atol=0.05)
    True
    """

    trainable = False
    _weights_only = True

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError(
            "InferenceNetwork: expected to be made by Sequential's astype('bfloat16'), quantize(x) or freeze()"
        )

    @classmethod
    def _of(cls, source: Network, network: _cpu.Network) -> InferenceNetwork:
        """The layers of a network, with a compiled network of its weights, or of smaller ones."""
        net = cls.__new__(cls)
        net._structure, net._device, net._dtype = source._structure, source._device, source._dtype
        net._network = network
        net._attach(network)
        of = (network, net._device, net._dtype)
        net._parameters = _FixedParameters(*of, net._structure.parameter_shapes)
        net._buffers = _FixedBuffers(*of, net._structure.buffer_shapes)
        net._state = State(*of, net._structure.state_shapes)
        return net

    @classmethod
    def _of_bfloat16(cls, source: Network, weights_only: bool) -> InferenceNetwork:
        """A network with its weights rounded, and with products of bfloat16 where they are faster."""
        pairs = not weights_only and _cpu.multiplies_pairs()
        net = cls._of(source, source._on_cpu("network").bfloat16(pairs))
        net._weights_only = weights_only
        return net

    @classmethod
    def _restored(
        cls, layers: Sequence[Input | Layer], dtype: Any, tensors: Mapping[str, Array], device: str = CPU.name
    ) -> InferenceNetwork:
        shapes = Structure(layers).state_shapes
        parameters = {f"{layer}.{key}": tensors[f"{layer}.{key}"] for layer, keys in shapes.items() for key in keys}
        if dtype in ("bfloat16", BFLOAT16_PRODUCTS):
            for name in filter(is_weight, parameters):
                parameters[name] = (parameters[name].astype(np.uint32) << 16).view(np.float32)
            source = Network._restored(layers, FLOAT32.name, parameters)
            return cls._of_bfloat16(source, dtype == "bfloat16")
        if dtype != "int8":
            source = Network._restored(layers, dtype, parameters)
            return cls._of(source, source._on_cpu("network"))
        quantizations = []
        for layer in (name for name, of_layer in shapes.items() if "weight" in of_layer):
            input_scale, zero_point, weight_scale = (tensors[f"{layer}.{field}"] for field in Quantization._fields)
            if not np.finfo(np.float32).tiny <= input_scale < np.inf:
                raise ValueError(message(f"{layer}.input_scale", "a normal number > 0", input_scale))
            valid = (weight_scale > 0) & (weight_scale < np.inf)
            _checks.require_all(f"{layer}.weight_scale", weight_scale, valid, "finite numbers > 0")
            weight = parameters[f"{layer}.weight"]
            parameters[f"{layer}.weight"] = weight * _for_weight(weight_scale, weight)
            quantizations.append(Quantization(float(input_scale), int(zero_point), weight_scale))
        source = Network._restored(layers, FLOAT32.name, parameters)
        return cls._of(source, source._on_cpu("network").quantized(quantizations))

    @property
    def weights_only(self) -> bool:
        """Whether it is in bfloat16 and nothing but its weights may be rounded."""
        return self.compute_dtype == "bfloat16" and self._weights_only

    @property
    def _format(self) -> str:
        return self.compute_dtype if self._weights_only else BFLOAT16_PRODUCTS

    @property
    def quantization(self) -> Mapping[str, Quantization]:
        """The scales of each layer with weights by name, read-only; empty unless the weights are int8."""
        if self.compute_dtype != "int8":
            return MappingProxyType({})
        shapes = enumerate(self._structure.parameter_shapes.items())
        network = self._on_cpu("network")
        found = {name: Quantization(*network.quantization(i)) for i, (name, of_layer) in shapes if "weight" in of_layer}
        return MappingProxyType(found)

    # Answers ---------------------------------------------------------------------------------------------------------
    def _prepare_and_forward(self, x: ArrayLike, out: Array | None, logits: bool) -> Array:
        CPU.require(x=x, out=out)
        dtype = _dtype_of(x) if out is None else getattr(out, "dtype", None)
        if not _checks.is_bfloat16(dtype):
            return super()._prepare_and_forward(x, out, logits)
        y = _checks.fit(super()._prepare_and_forward(x, None, logits), np.dtype(dtype))
        _checks.output(out, y.shape, y.dtype, x=np.asarray(x))  # to check out
        return _checks.deliver(y, out)

    def predict(self, x: ArrayLike) -> Array:
        return self._rounded_last(super().predict, x)

    def sample(self, x: ArrayLike, n: int = 1, rng: np.random.Generator | int | None = None) -> Array:
        return self._rounded_last(lambda x: super(InferenceNetwork, self).sample(x, n, rng), x)

    def _rounded_last(self, method: Callable[[ArrayLike], Array], x: ArrayLike) -> Array:
        """Call the method in float32, so that rounding the outputs changes no class; then round reals as x is."""
        CPU.require(x=x)
        dtype = _dtype_of(x)
        if not _checks.is_bfloat16(dtype):
            return method(x)
        y = method(_checks.real_array("x", x))
        return _checks.fit(y, dtype) if y.dtype == FLOAT32 else y

    # What it is not for ----------------------------------------------------------------------------------------------
    if not TYPE_CHECKING:  # a type checker reports it by itself

        def __getattr__(self, name: str) -> NoReturn:
            if name in _VERBS:
                raise _NotSupportedError(refusal(name, self.compute_dtype))
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # On paper and on disk --------------------------------------------------------------------------------------------
    def _tensors(self) -> dict[str, Array]:
        tensors = dict(self._state)
        if self.compute_dtype == "bfloat16":
            for name in filter(is_weight, self.parameters):
                tensors[name] = (tensors[name].view(np.uint32) >> 16).astype(np.uint16)
        for layer, (input_scale, zero_point, weight_scale) in self.quantization.items():
            # Exact: the weights are integer multiples of the scale, except for one rounding.
            weight = tensors[f"{layer}.weight"]
            q = np.rint(weight / _for_weight(weight_scale, weight))
            tensors[f"{layer}.weight"] = np.clip(q, -127, 127).astype(np.int8)
            tensors[f"{layer}.input_scale"] = np.array(input_scale, np.float32)
            tensors[f"{layer}.zero_point"] = np.array(zero_point, np.uint8)
            tensors[f"{layer}.weight_scale"] = weight_scale
        return tensors

    def __repr__(self) -> str:
        lines = (f"    {layer!r}," for layer in self.layers)
        only = ", weights_only=True" if self.weights_only else ""
        return "\n".join((f"{type(self).__name__}([", *lines, f"], compute_dtype={self.compute_dtype!r}{only})"))

    def __reduce__(self) -> tuple[Any, ...]:
        return self._restored, (self.layers, self._format, self._tensors()), self._attributes()


class _Fixed(State):
    """What is read-only."""

    def __setitem__(self, name: str, values: ArrayLike) -> NoReturn:
        self._place(name)
        raise TypeError(refusal(name, self._network.compute_dtype))


class _FixedParameters(_Fixed, Parameters):
    """Parameters that are read-only."""


class _FixedBuffers(_Fixed, Buffers):
    """Buffers that are read-only."""


def _dtype_of(x: Any) -> Any:
    """The dtype of an array, or of the one that numbers make; None for a table."""
    return _checks.any_array("x", x).dtype if isinstance(x, (list, tuple)) else getattr(x, "dtype", None)


class _NotSupportedError(AttributeError, TypeError):
    """For a method of networks that can be trained; a TypeError in fnnfast 0.1.0."""


# Making one ----------------------------------------------------------------------------------------------------------
def frozen(source: Network) -> InferenceNetwork:
    """A copy of a network, for inference only, with batch normalization folded into the weights."""
    source = folded(source)
    return InferenceNetwork._restored(source.layers, source.compute_dtype, source._tensors())


def bfloat16(source: Network, weights_only: bool) -> InferenceNetwork:
    """A float32 network with its weights rounded to bfloat16, after batch normalization was folded into them."""
    return InferenceNetwork._of_bfloat16(folded(source), weights_only)


def _for_weight(weight_scale: Array, weight: Array) -> Array:
    """The scales of a weight's outputs, and pieces, in a shape to be broadcast with it."""
    *pieces, units = weight_scale.shape
    return weight_scale.reshape(*pieces, *[1] * (weight.ndim - weight_scale.ndim), units)


def int8(source: Network, x: Array) -> InferenceNetwork:
    """A float32 network with int8 weights and 8-bit inputs of each layer, for the ranges of the inputs of rows."""
    if not len(x):
        raise ValueError(message("calibration_x", "at least one row", "none"))
    _checks.require_all("calibration_x", x, np.isfinite(x), "finite values in float32")
    source = folded(source)
    return InferenceNetwork._of(source, source._on_cpu("network").quantized(_calibrate(source, x)))


def _calibrate(source: Network, x: Array) -> list[Quantization]:
    """The scales of each layer, from its weights and the range of its inputs for the rows of x."""
    ranges: dict[str, tuple[float, float]] = {}
    zero = (0.0, 0.0)  # always in the range: padding, relu
    for seen in layerwise.trace(source._on_cpu("network"), source._structure, x):
        if seen.layer is not None:
            low, high = ranges.get(seen.layer, zero)
            ranges[seen.layer] = float(np.minimum(low, seen.inputs.min())), float(np.maximum(high, seen.inputs.max()))
    weighted = [name.removesuffix(".weight") for name in filter(is_weight, source.parameters)]
    return [_quantization(name, source.parameters[f"{name}.weight"], *ranges[name]) for name in weighted]


def _quantization(name: str, weight: Array, low: float, high: float) -> Quantization:
    if not np.isfinite((low, high)).all():
        raise ValueError(message("calibration_x", f"finite inputs of {name}", f"{low} to {high}"))
    _checks.require_all(f"{name}.weight", weight, np.isfinite(weight), "finite values to quantize")
    input_scale = np.float32((float(high) - float(low)) / 255)
    if input_scale < np.finfo(np.float32).tiny:  # only zeros, or 1 / input_scale would be infinite
        input_scale = np.float32(1)
    over = tuple(range(pieces_axes(weight.shape), weight.ndim - 1))
    weight_scale = np.abs(weight).max(axis=over) / np.float32(127)
    weight_scale[weight_scale == 0] = 1
    return Quantization(float(input_scale), min(255, round(-float(low) / float(input_scale))), weight_scale)
