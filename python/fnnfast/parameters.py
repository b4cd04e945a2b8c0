"""The layers of a network by name, and their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, message
from ._device import Device
from .layers import Dense, Gaussian, Input, Layer, Maxout, Residual

Shapes = dict[str, tuple[int, ...]]


class Compiled(Protocol):
    """A compiled network, on the CPU or a GPU."""

    @property
    def precision(self) -> str: ...
    def get(self, layer: int, name: str) -> Array: ...
    def set(self, layer: int, name: str, value: Array) -> None: ...


class Parameters(Mapping[str, Array]):
    """A network's parameters by name, in layer order: dense_1.weight, dense_1.bias, ...

    Reading gives a read-only array. Assigning copies values in, and the network answers with them from then on.
    """

    def __init__(self, network: Compiled, device: Device, dtype: _checks.DType, shapes: dict[str, Shapes]) -> None:
        self._network = network
        self._device = device
        self._dtype = dtype
        self._places = {
            f"{layer}.{key}": (index, key, shape)
            for index, (layer, of_layer) in enumerate(shapes.items())
            for key, shape in of_layer.items()
        }

    @property
    def shapes(self) -> Shapes:
        """Name to shape, without a copy of the values."""
        return {name: shape for name, (_, _, shape) in self._places.items()}

    def __getitem__(self, name: str) -> Array:
        index, key, _ = self._place(name)
        return self._device.read_only(self._network.get(index, key))

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        index, key, shape = self._place(name)
        array = _checks.same_shape(name, self._device.array(name, values), shape)
        self._network.set(index, key, self._device.fit(array, self._dtype))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        lines = (f"    {name}: {self._dtype} {shape}" for name, shape in self.shapes.items())
        return "\n".join(("Parameters(", *lines, ")"))

    def _place(self, name: str) -> tuple[int, str, tuple[int, ...]]:
        if name not in self._places:
            raise KeyError(message("parameter", f"one of {', '.join(self._places)}", repr(name)))
        return self._places[name]


def name_layers(layers: Sequence[Input | Layer]) -> tuple[Input, dict[str, Layer]]:
    """Split off the input and name the layers after it; ValueError or TypeError where they make no network."""
    if isinstance(layers, (Input, Layer)) or not isinstance(layers, Sequence):
        raise TypeError(message("layers", "a sequence of layers", repr(layers)))
    first = layers[0] if layers else None
    if not isinstance(first, Input):
        raise ValueError(message("layers", "an Input first", "no layers" if first is None else repr(first)))
    named = _numbered(layers[1:], "")
    if not named or not isinstance(layers[-1], (Dense, Maxout, Gaussian)):
        raise ValueError(message("layers", "a Dense, Maxout or Gaussian last", repr(layers[-1])))
    for name, layer in list(named.items())[:-1]:
        if layer.activation.rowwise or isinstance(layer, Gaussian):
            head = "Gaussian" if isinstance(layer, Gaussian) else layer.activation.name
            raise ValueError(f"{name}: {head} is an output head, for the last layer only")
    return first, named


def _numbered(layers: Sequence[Input | Layer], prefix: str) -> dict[str, Layer]:
    """The layers by kind and number; those of a residual block after it, under its name."""
    named: dict[str, Layer] = {}
    counts: dict[str, int] = {}
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(message("layers", "Dense, Maxout and other layers after the Input", repr(layer)))
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        name = f"{prefix}{layer.kind}_{counts[layer.kind]}"
        named[name] = layer
        if isinstance(layer, Residual):
            named |= _numbered(layer.layers, f"{name}.")
    return named


def parameter_shapes(first: Input, named: dict[str, Layer]) -> dict[str, Shapes]:
    """Layer name to the names and shapes of its parameters."""
    shapes, inputs = {}, first.size
    for name, layer in named.items():
        shapes[name] = layer.shapes(inputs)
        inputs = layer.outputs(inputs)
    return shapes
