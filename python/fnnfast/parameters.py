"""The layers of a network by name, and their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, message
from ._device import Device
from .layers import Gaussian, Input, Layer

MOST_NESTED = 64  # as kDeepest in csrc/core/lower.hpp

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
    named = _numbered(layers[1:])
    last = layers[-1]
    if not isinstance(last, Layer) or not last.can_end:
        raise ValueError(message("layers", "a Dense, Maxout, Activation or Residual last", repr(last)))
    end = next((name for name in reversed(named) if "." not in name), "")
    for name, layer in named.items():
        if layer.is_head and name != end:
            head = "Gaussian" if isinstance(layer, Gaussian) else layer.activation.name
            raise ValueError(f"{name}: {head} is an output head, for the last layer only")
    return first, named


def _numbered(layers: Sequence[Input | Layer], prefix: str = "", depth: int = 1) -> dict[str, Layer]:
    """The layers by kind and number; those of a residual block after it, under its name."""
    if depth > MOST_NESTED:
        raise ValueError(message("layers", f"at most {MOST_NESTED} layers inside each other", "more"))
    named: dict[str, Layer] = {}
    counts: dict[str, int] = {}
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(message("layers", "Dense, Maxout and other layers after the Input", repr(layer)))
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        name = f"{prefix}{layer.kind}_{counts[layer.kind]}"
        named[name] = layer
        for before, inner in layer.children().items():
            named |= _numbered(inner, f"{name}.{before}", depth + 1)
    return named


def parameter_shapes(first: Input, named: dict[str, Layer]) -> dict[str, Shapes]:
    """Layer name to the names and shapes of its parameters."""
    inputs = inputs_of(first, named)
    return {name: layer.shapes(inputs[name]) for name, layer in named.items()}


def outermost(named: Mapping[str, Layer]) -> list[Layer]:
    """The layers that are not inside another one."""
    return [layer for name, layer in named.items() if "." not in name]


def inputs_of(first: Input, named: Mapping[str, Layer]) -> dict[str, int]:
    """Layer name to the width of what it reads."""
    sizes: dict[str, int] = {}
    names = iter(named)

    def walk(layers: Sequence[Layer], inputs: int) -> None:
        for layer in layers:
            name = next(names)
            sizes[name] = inputs
            for inner in layer.children().values():
                walk(inner, inputs)
            try:
                inputs = layer.outputs(inputs)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    walk(outermost(named), first.size)
    return sizes
