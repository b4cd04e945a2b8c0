"""What is set on a page: one frozen object, which a permalink contains as its query."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from .. import activations
from .._checks import listed, message

PARTS = ("classification", "regression", "digits")
DATA = {
    "classification": ("circle", "xor", "spiral", "moons", "blobs", "sign", "drawn"),
    "regression": ("sine", "square", "absolute", "steps", "bump", "drawn"),
    "digits": ("8x8", "28x28"),
}
HEADS = {
    "classification": ("cross_entropy", "hinge", "squared_error"),
    "regression": ("squared_error", "gaussian"),
    "digits": ("cross_entropy", "multiclass_hinge"),
}
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw")
INITS = ("default", "he", "xavier", "lecun", "0.01", "0.1", "1", "3")
BIAS_INITS = ("torch", "zeros", "0.1", "1")
MAXOUT = "maxout"
EDGE = 3.0  # points are within this distance of 0, in both directions
_MOST_POINTS = 1000
_LAYERS = 6
_UNITS = {"classification": 16, "regression": 128, "digits": 256}


def hidden_kinds() -> list[str]:
    """What a hidden layer can be: every activation that passes gradients to each unit by itself, and maxout."""
    names = [cls.name for cls in vars(activations).values() if _is_named(cls)]
    usable = [name for name in names if (f := activations.get(name)).differentiable and not f.rowwise]
    return [*usable, MAXOUT]


def _is_named(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, activations.Activation) and isinstance(vars(cls).get("name"), str)


@dataclass(frozen=True)
class Hidden:
    """A hidden layer: an activation of that many units, or maxout with its pieces."""

    kind: str = "tanh"
    units: int = 8
    pieces: int = 2


@dataclass(frozen=True)
class Point:
    """A point drawn by hand, in hundredths: x, and in a plane y and its class, of a curve the value."""

    x: int
    y: int
    label: int = 0


@dataclass(frozen=True)
class Settings:
    """All that determines data, network and training, and so every bit of them.

    ``rows`` is the number of rows of the data set, a half of which is for testing. ``noise`` is that of the data,
    ``input_noise`` that of every training step. ``filters`` are those of a convolution before the layers, 0 for none.
    """

    part: str = "classification"
    data: str = "spiral"
    rows: int = 400
    noise: float = 0.1
    points: tuple[Point, ...] = ()
    layers: tuple[Hidden, ...] = (Hidden("swish"), Hidden("swish"))
    filters: int = 0
    head: str = "cross_entropy"
    optimizer: str = "adam"
    learning_rate: float = 0.01
    batch: int = 10
    l2: float = 0.0
    dropout: float = 0.0
    input_noise: float = 0.0
    init: str = "default"
    bias_init: str = "torch"
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("part", self.part, PARTS)
        _one_of("data", self.data, DATA[self.part])
        _one_of("head", self.head, HEADS[self.part])
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("init", self.init, INITS)
        _one_of("bias_init", self.bias_init, BIAS_INITS)
        _within("rows", self.rows, 20, 2000)
        _within("noise", self.noise, 0, 1)
        _within("learning_rate", self.learning_rate, 1e-6, 100)
        _within("batch", self.batch, 1, 512)
        _within("l2", self.l2, 0, 1)
        _within("dropout", self.dropout, 0, 0.9)
        _within("input_noise", self.input_noise, 0, 2)
        _within("filters", self.filters, 0, 32 if self.part == "digits" else 0)
        _within("seed", self.seed, 0, 2**31 - 1)
        _within("number of layers", len(self.layers), 0, _LAYERS)
        _within("number of points", len(self.points), 0, _MOST_POINTS)
        for layer in self.layers:
            _one_of("kind", layer.kind, hidden_kinds())
            _within("units", layer.units, 1, _UNITS[self.part])
            _within("pieces", layer.pieces, 2, 8)
        for point in self.points:
            _within("points", max(abs(point.x), abs(point.y)), 0, round(100 * EDGE))
            _within("label", point.label, 0, 1)

    @property
    def most_units(self) -> int:
        """The most units of a layer."""
        return _UNITS[self.part]

    def query(self) -> str:
        """The query of a permalink."""
        pairs: list[tuple[str, str]] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "layers":
                pairs += [] if value else [("layers", "")]
                for layer in value:
                    pairs += [("kind", layer.kind), ("units", str(layer.units)), ("pieces", str(layer.pieces))]
            elif field.name == "points":
                pairs += [("points", points_text(value))] if value else []
            elif field.name != "part":
                pairs.append((field.name, f"{value:g}" if isinstance(value, float) else str(value)))
        return urlencode(pairs)

    def only_rates_differ(self, other: Settings) -> bool:
        """Whether a training can go on with the other settings: all but learning rate and l2 are the same."""
        return replace(self, learning_rate=other.learning_rate, l2=other.l2) == other


def from_query(part: str, query: str) -> Settings:
    """The settings of a permalink; those that it does not mention are the defaults. ValueError for an invalid one."""
    given = parse_qs(query, keep_blank_values=True)
    values: dict[str, Any] = {"part": part}
    for field in fields(Settings):
        if field.name in given and field.name not in ("part", "layers", "points"):
            values[field.name] = _parsed(field.name, str(field.type), given[field.name][-1])
    if "kind" in given or "layers" in given:
        values["layers"] = _layers(given)
    if "points" in given:
        values["points"] = _points(given["points"][-1])
    return replace(DEFAULTS[part], **values)


def points_text(points: Sequence[Point]) -> str:
    """Points as a permalink has them: ``x.y.label``, in hundredths, separated by underscores."""
    return "_".join(f"{point.x}.{point.y}.{point.label}" for point in points)


def _points(text: str) -> tuple[Point, ...]:
    if not text:
        return ()
    found = []
    for item in text.split("_"):
        numbers = item.split(".")
        if len(numbers) != 3:
            raise ValueError(message("points", "x.y.label of each", repr(item)))
        found.append(Point(*(_parsed("points", "int", number) for number in numbers)))
    return tuple(found)


def _layers(given: Mapping[str, list[str]]) -> tuple[Hidden, ...]:
    kinds, units, pieces = (given.get(name, []) for name in ("kind", "units", "pieces"))
    if not len(kinds) == len(units) == len(pieces):
        raise ValueError(message("kind, units and pieces", "one of each per layer", [*kinds, *units, *pieces]))
    return tuple(
        Hidden(kind, _parsed("units", "int", unit), _parsed("pieces", "int", piece))
        for kind, unit, piece in zip(kinds, units, pieces, strict=True)
    )


def _parsed(name: str, kind: str, text: str) -> Any:
    if kind == "str":
        return text
    try:
        return {"int": int, "float": float}[kind](text)
    except ValueError:
        raise ValueError(message(name, "a whole number" if kind == "int" else "a number", repr(text))) from None


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(message(name, f"one of {listed(known, 40)}", repr(value)))


def _within(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(message(name, f"a number from {low} to {high}", value))


DEFAULTS = {
    "classification": Settings(),
    "regression": Settings(
        part="regression", data="sine", rows=100, noise=0.1, layers=(Hidden("tanh", 16),), head="squared_error"
    ),
    "digits": Settings(part="digits", data="8x8", layers=(Hidden("relu", 32),), learning_rate=0.003, batch=32),
}
