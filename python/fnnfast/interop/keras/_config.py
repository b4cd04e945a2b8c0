"""The layers of a Keras model, and what each call of one reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from ..._checks import FLOAT32, FLOAT64, Array, listed, short
from .._errors import ConversionError, refusal

V = TypeVar("V")

MOST_CALLS = 4096
SEQUENTIAL, FUNCTIONAL = "Sequential", "Functional"
# Epsilon of the numbers that a layer of each dtype policy computes with.
ROUNDING = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "mixed_float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "mixed_bfloat16": 2.0**-7,
}


class Store(Protocol):
    """Where the variables of a layer are: in a live layer, or in a group of a file."""

    def variables(self, place: str) -> list[Array]:
        """Those of the layer itself, in the order of Keras."""

    def inside(self, key: str, name: str) -> Store:
        """The store of a layer in a model, by its key in files and its name."""

    def activation(self) -> Store:
        """The store of the layer that is the activation of this one."""


class Ref(NamedTuple):
    """The output of a call: the name of the layer, and which of its calls."""

    name: str
    call: int


@dataclass(eq=False)
class Layer:
    """A layer, or an operation of keras.ops, whose kind then starts with "ops.".

    calls are the arguments of each call, references or constants.
    """

    kind: str
    name: str
    place: str
    config: dict[str, Any]
    store: Store
    calls: tuple[tuple[Any, ...], ...] = ()

    @cached_property
    def variables(self) -> list[Array]:
        """Its variables, float32 or float64; read once, however often the layer is called."""
        return [as_float(values, self.place) for values in self.store.variables(self.place)]

    def weights(self, *names: str) -> dict[str, Array]:
        """Its variables by their names."""
        if len(self.variables) != len(names):
            raise self.refused(
                f"{len(self.variables)} variables",
                f"{len(names)} ({listed(names)})",
                "a model has its weights once it is built, by keras.Input or by a call on data",
            )
        return dict(zip(names, self.variables, strict=True))

    def refused(self, problem: str, supported: str, advice: str = "") -> ConversionError:
        return refusal(self.place, problem, supported, advice)

    def number(self, key: str, default: float) -> float:
        """A finite number of the configuration."""
        array = self.array(key, self.config.get(key, default))
        if array.ndim:
            raise self.refused(f"{key} of shape {array.shape}", "one number")
        return float(array)

    def flag(self, key: str, default: bool) -> bool:
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            raise self.refused(f"{key} {short(repr(value))}", "true or false")
        return value

    def integers(self, key: str, default: Any) -> list[int]:
        """One or more integers."""
        value = self.config.get(key, default)
        values = value if isinstance(value, list) else [value]
        if len(values) > 32 or any(type(one) is not int or abs(one) >= 2**31 for one in values):
            raise self.refused(f"{key} {short(repr(value))}", "integers")
        return values

    def array(self, key: str, value: Any) -> Array:
        """Numbers of a configuration, which has them as lists, or as lists within a description of an array."""
        if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
            value = value["config"].get("value") if isinstance(value.get("config"), dict) else None
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise self.refused(f"{key} that is no array", "numbers") from error
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise self.refused(f"{key} {short(repr(value))}", "finite numbers")
        return array.astype(FLOAT64)

    @property
    def rounding(self) -> float:
        """Epsilon of the numbers that it computes with; ConversionError for a quantized layer."""
        value = self.config.get("dtype")
        if isinstance(value, dict):
            settings = value.get("config")
            plain = value.get("class_name") == "DTypePolicy" and isinstance(settings, dict)
            value = settings.get("name") if plain else value.get("class_name")  # type: ignore[union-attr]
        if value is None:  # operations have none
            return 0.0
        if not isinstance(value, str) or value not in ROUNDING:
            advice = "save the model without quantization"
            raise self.refused(f"the dtype policy {short(repr(value))}", listed(ROUNDING), advice)
        return ROUNDING[value]


@dataclass(eq=False)
class Model(Layer):
    """Layers; inputs and outputs as the configuration has them, and the calls in an order that can be computed."""

    layers: tuple[Layer, ...] = ()
    inputs: Any = None
    output: Ref | None = None
    order: tuple[tuple[Layer, Ref], ...] = ()

    def all_layers(self) -> Iterator[Layer]:
        """Those that are no models, of nested models too."""
        for layer in self.layers:
            yield from layer.all_layers() if isinstance(layer, Model) else (layer,)

    def feed(self, x: Any) -> Any:
        """Its one input in the structure that the model takes: an array, a list or a dict of it."""
        if isinstance(self.inputs, dict):
            return dict.fromkeys(self.inputs, x)
        return [x] if isinstance(self.inputs, list) and isinstance(self.inputs[0], list) else x


def walk(model: Model, value: V, call: Callable[[Layer, Sequence[Any]], V], calls: list[int] | None = None) -> V:
    """What a model makes of its input, by what ``call`` makes of a layer and its arguments.

    Raises
    ------
    ConversionError
        More calls than any network needs, as of models that call each other twice.
    """
    calls = [0] if calls is None else calls
    values: dict[Ref, V] = {}
    if model.kind == SEQUENTIAL:
        for layer in model.layers:
            value = value if layer.kind == "InputLayer" else _entered(layer, (value,), call, calls)
        return value
    for layer, ref in model.order:
        if layer.kind == "InputLayer":
            values[ref] = value
            continue
        arguments = [values[item] if isinstance(item, Ref) else item for item in layer.calls[ref.call]]
        values[ref] = _entered(layer, arguments, call, calls)
    assert model.output is not None
    return values[model.output]


def _entered(layer: Layer, arguments: Sequence[Any], call: Callable[[Layer, Sequence[Any]], V], calls: list[int]) -> V:
    calls[0] += 1
    if calls[0] > MOST_CALLS:
        raise layer.refused(f"more than {MOST_CALLS} calls of layers up to here", f"models of at most {MOST_CALLS}")
    if not isinstance(layer, Model):
        return call(layer, arguments)
    if len(arguments) != 1:
        raise layer.refused(f"a model that is called on {len(arguments)} values", "models of one input")
    result: V = walk(layer, arguments[0], call, calls)
    return result


def as_float(values: Array, place: str) -> Array:
    """A variable in float32 or float64; ConversionError for what is no float."""
    if values.dtype.name in ("float16", "bfloat16"):
        return values.astype(FLOAT32)
    if values.dtype.kind == "f" and values.dtype.itemsize in (4, 8):
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind in "iu" and not values.ndim:
        return values.astype(FLOAT64)  # a counter, as Normalization has one
    raise refusal(place, f"a variable of dtype {values.dtype}", "float16, bfloat16, float32 and float64")
