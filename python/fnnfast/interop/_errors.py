"""What a model holds that a network cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ..layers import Layer

V = TypeVar("V")


class ConversionError(ValueError):
    """A model that cannot be converted; the message names the place, what is supported and what to do."""


def refusal(place: str, problem: str, supported: str, advice: str = "") -> ConversionError:
    """The one form of a refusal: where, what, what would do instead, and what to do about it."""
    return ConversionError(f"{place}: {problem}; supported: {supported}" + (f"; {advice}" if advice else ""))


def layer_of(known: Mapping[str, V], name: str, layer: Layer) -> V:
    """What a format has for a layer of a network; ConversionError where it has nothing."""
    if layer.kind not in known:
        raise refusal(f"layer {name!r}", f"a layer {type(layer).__name__} that has no counterpart", ", ".join(known))
    return known[layer.kind]
