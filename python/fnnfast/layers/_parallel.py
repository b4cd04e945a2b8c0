"""Branches on one input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _checks
from ._base import Layer, shape_after, specs
from ._residual import inside
from ._shape import Shape, as_image, described, is_image


class Parallel(Layer):
    """Branches of layers on one input, joined along the channels.

    Each branch writes its channels of the output, so nothing is copied. The layers of the branches are named
    ``parallel_1.branch_1.conv2d_1`` and so on. A branch without layers passes its input on. Blocks can be nested.
    Szegedy et al., "Going deeper with convolutions", 2014.

    Parameters
    ----------
    branches : sequence of sequences of Layer
        The branches: images of the same height and width, or vectors.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> block = fnn.Parallel([[fnn.Conv2D(8, 1, "relu")], [fnn.Conv2D(4, 1, "relu"), fnn.Conv2D(8, 3, padding="same")]])
    >>> block.output_shape((28, 28, 3))
    (28, 28, 16)
    """

    kind = "parallel"
    cpu_only = True
    has_units = True
    format_version = 2
    branches: tuple[tuple[Layer, ...], ...]

    @_checks.advised("Parallel")
    def __init__(self, branches: Sequence[Sequence[Layer]]) -> None:
        if not _checks.is_sequence(branches) or isinstance(branches, str) or not branches:
            raise ValueError(_checks.message("branches", "at least one sequence of layers", repr(branches)))
        self._store(branches=tuple(inside("branches", branch, empty=True) for branch in branches))

    def children(self) -> dict[str, tuple[Layer, ...]]:
        return {f"branch_{number}.": branch for number, branch in enumerate(self.branches, start=1)}

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("parallel", [specs(branch, shape) for branch in self.branches])

    def output_shape(self, shape: Shape) -> Shape:
        results = [shape_after(branch, shape) for branch in self.branches]
        first = results[0]
        for number, result in enumerate(results, start=1):
            if as_image(result)[:2] != as_image(first)[:2]:
                raise ValueError(f"branch_1 gives {described(first)}, branch_{number} {described(result)}")
        channels = sum(as_image(result)[2] for result in results)
        return (*as_image(first)[:2], channels) if any(map(is_image, results)) else (channels,)

    def scaled(self, factor: float) -> Parallel:
        return Parallel([[inner.scaled(factor) for inner in branch] for branch in self.branches])

    @property
    def title(self) -> str:
        return "Parallel"
