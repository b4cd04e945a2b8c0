"""Layers of a network of fnnfast.sklearn as operations: Dense, Maxout, Gaussian, and Dropout between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._models.sequential import Sequential
from ...layers import Dropout
from ...layers._shape import Shape
from .._operations import Keep, Made, Operation, Scale
from .._products import Affine, Pieces


@dataclass(frozen=True, eq=False)
class Whole(Operation):
    """A layer as it is, with all of its settings; only a scale before it changes its weights."""

    made: Made

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        return self.made.layer.output_shape(shapes[0])

    @property
    def rowwise(self) -> bool:  # type: ignore[override]
        return self.made.layer.activation.rowwise

    def of_scaled(self, scale: Scale) -> Operation:
        layer, values, _ = self.made
        kind = {2: Affine, 3: Pieces}[values["weight"].ndim]
        changed = kind(values["weight"], values["bias"]).of_scaled(scale)
        assert isinstance(changed, (Affine, Pieces))
        assert changed.bias is not None
        return Whole(Made(layer, {**values, "weight": changed.weight, "bias": changed.bias}))

    def make(self, place: str) -> Made:
        return self.made


def operations(network: Sequential) -> list[Operation]:
    """The layers after the input."""
    found: list[Operation] = []
    for name, layer in network.named_layers.items():
        parameters = {key: values for key, values in network.parameters.items() if key.startswith(f"{name}.")}
        own = {key.removeprefix(f"{name}."): values for key, values in parameters.items()}
        found.append(Keep(layer) if isinstance(layer, Dropout) else Whole(Made(layer, own)))
    return found
