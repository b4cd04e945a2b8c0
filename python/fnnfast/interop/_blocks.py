"""What forks and joins: residual blocks and parallel branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .._checks import Array
from ..activations import Activation
from ..layers import Parallel, Residual
from ..layers._shape import Shape
from ._operations import IDENTITY, Apply, Made, Operation, Placed
from ._products import is_projection


def make_all(chain: Sequence[Placed]) -> tuple[Made, ...]:
    """The layers of operations in a row."""
    return tuple(operation.make(place) for operation, place, _ in chain)


@dataclass(frozen=True, eq=False)
class Block(Operation):
    """``activation(main(x) + shortcut(x))``; an empty shortcut is x itself."""

    main: tuple[Placed, ...]
    shortcut: tuple[Placed, ...]
    outputs: Shape
    activation: Activation = IDENTITY

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        return self.outputs

    @property
    def not_negative(self) -> bool:  # type: ignore[override]
        return Apply(self.activation).not_negative

    def activated(self, apply: Apply) -> Operation | None:
        if apply.alpha is not None or apply.rowwise or self.activation.name != "identity":
            return None
        return replace(self, activation=apply.activation)

    def make(self, place: str) -> Made:
        main = make_all(self.main)
        parameters: dict[str, Array] = {}
        other = make_all(self.shortcut)
        if self._projects:  # the block's own
            (made,), other = other, ()
            parameters = made.parameters
        shortcut = [made.layer for made in other] or None
        layer = Residual([made.layer for made in main], shortcut, self.activation)
        return Made(layer, parameters, main + other)

    @property
    def _projects(self) -> bool:
        """Whether the shortcut is one dense layer between different widths, as Residual itself has it."""
        return is_projection(self.shortcut) and self.shortcut[0].inputs != self.outputs


@dataclass(frozen=True, eq=False)
class Branches(Operation):
    """Branches on one value, joined along the channels; an empty one is the value itself."""

    branches: tuple[tuple[Placed, ...], ...]
    outputs: Shape

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        return self.outputs

    @property
    def not_negative(self) -> bool:  # type: ignore[override]
        return all(branch and branch[-1].operation.not_negative for branch in self.branches)

    def make(self, place: str) -> Made:
        made = [make_all(branch) for branch in self.branches]
        layer = Parallel([[one.layer for one in branch] for branch in made])
        return Made(layer, {}, tuple(one for branch in made for one in branch))
