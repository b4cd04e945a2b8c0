"""The parameters and buffers of a network by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from numpy.typing import ArrayLike

from .. import _checks
from .._checks import Array, message
from .._device.base import Device
from .structure import Shapes


class Compiled(Protocol):
    """A compiled network, on the CPU or a GPU."""

    @property
    def compute_dtype(self) -> str: ...
    def get(self, layer: int, name: str) -> Array: ...
    def set(self, layer: int, name: str, value: Array) -> None: ...


class State(Mapping[str, Array]):
    """Arrays of a network by name, in the order of the layers.

    Reading returns a read-only array. Assigning copies the values into the network.
    """

    _noun = "value"

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
        """The shapes by name, without a copy of the values."""
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
        return "\n".join((f"{self._noun.capitalize()}s(", *lines, ")"))

    def _place(self, name: str) -> tuple[int, str, tuple[int, ...]]:
        if name not in self._places:
            raise KeyError(message(self._noun, f"one of {_checks.listed(self._places, 100)}", repr(name)))
        return self._places[name]


class Parameters(State):
    """The parameters of a network by name, in the order of the layers: dense_1.weight, dense_1.bias, ...

    A weight has the shape (inputs, units): it is the transpose, ``.T``, of PyTorch's.
    Reading returns a read-only array. Assigning copies the values into the network.
    """

    _noun = "parameter"


class Buffers(State):
    """The buffers of a network by name, in the order of the layers: batch_norm_1.mean, batch_norm_1.variance, ...

    Training moves them without a gradient. Reading returns a read-only array. Assigning copies the values into the
    network.
    """

    _noun = "buffer"
