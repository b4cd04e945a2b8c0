"""A model of any framework as a graph of operations, and the chain of layers and residual blocks that it is.

A reader adds operations as it meets them; ``chain`` then finds where the graph forks and joins. Value 0 is the input,
value k the output of the k-th operation that was added.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .._checks import FLOAT64, Array
from .._network.structure import MOST_NESTED
from ..layers._shape import Shape, as_image, described, is_image
from ._blocks import Block, Branches
from ._errors import refusal
from ._fold import fold
from ._operations import Complement, Made, Operation, Placed, Scale
from ._products import Pieces, is_linear, is_projection


class Node(NamedTuple):
    operation: Operation
    inputs: tuple[int, ...]
    place: str


class Graph:
    """Operations in an order in which they can be computed.

    Parameters
    ----------
    inputs : tuple of int
        The shape of the input in the network: a vector or an image.
    """

    def __init__(self, inputs: Shape) -> None:
        self._nodes: list[Node] = []
        self._shapes = [inputs]
        self.folded: list[str] = []

    def add(self, operation: Operation, inputs: Iterable[int], place: str) -> int:
        """The value that an operation makes of others; ConversionError where these do not fit it."""
        inputs = tuple(inputs)
        self._shapes.append(operation.shape(place, [self._shapes[value] for value in inputs]))
        self._nodes.append(Node(operation, inputs, place))
        return len(self._nodes)

    @property
    def inputs(self) -> Shape:
        """The shape of the input."""
        return self._shapes[0]

    def around(self) -> tuple[Array, Array] | None:
        """Mean and standard deviation of rows that a scale before all else makes standard normal; None without one."""
        first = next((node.operation for node in self._nodes if node.inputs == (0,)), None)
        if not isinstance(first, Scale):
            return None
        scale = np.broadcast_to(np.ones(1) if first.scale is None else first.scale, self.inputs).astype(FLOAT64)
        scale = np.where(scale == 0, 1.0, scale).reshape(-1)
        shift = np.broadcast_to(np.zeros(1) if first.shift is None else first.shift, self.inputs).reshape(-1)
        return -shift / scale, 1 / np.abs(scale)

    def chain(self, output: int) -> list[Placed]:
        """The operations from the input to a value, in a row: what forks and joins is a Block, and scales are folded.

        Raises
        ------
        ConversionError
            The graph is not made of chains and of blocks within each other.
        """
        nearest = dominators([node.inputs for node in self._nodes])
        seen: set[int] = set()

        def walk(value: int, start: int, depth: int) -> list[Placed]:
            backwards: list[Placed] = []
            while value != start:
                operation, inputs, place = self._nodes[value - 1]
                if value in seen:
                    raise refusal(
                        place,
                        "its output is used by branches that do not join before others do",
                        "residual blocks beside and within each other",
                    )
                seen.add(value)
                if not isinstance(operation, Join):
                    backwards.append(Placed(operation, place, self._shapes[inputs[0]]))
                    value = inputs[0]
                    continue
                if depth == MOST_NESTED:
                    raise refusal(place, "it is nested too deep", f"{MOST_NESTED} blocks inside each other")
                fork, before = nearest[value], len(self.folded)
                branches = [self._folded(walk(branch, fork, depth + 1), place) for branch in inputs]
                combined = operation.combine(branches, self._shapes[fork], place)
                if any(isinstance(item.operation, Complement) for item in combined):
                    del self.folded[before:]  # nothing is left of its branches
                backwards += reversed(combined)
                value = fork
            return backwards[::-1]

        return self._folded(walk(output, 0, 0))

    def _folded(self, chain: list[Placed], place: str = "") -> list[Placed]:
        for item in chain if place else chain[:-1]:
            if item.operation.rowwise:
                raise refusal(item.place, "softmax before the end of the model", "as the last operation of all")
        chain, folded = fold(chain)
        self.folded += folded
        return chain


def dominators(inputs: Sequence[Sequence[int]]) -> list[int]:
    """For each value the last one that all paths to it pass, by the values that the k-th one (from 1) is made of."""
    nearest, depth = [0], [0]
    for values in inputs:
        common = values[0] if values else 0
        for value in values[1:]:
            other = value
            while common != other:
                if depth[common] < depth[other]:
                    common, other = other, common
                common = nearest[common]
        nearest.append(common)
        depth.append(depth[common] + 1)
    return nearest


# Where branches meet -------------------------------------------------------------------------------------------------
class Join(Operation):
    """An operation on more than one value."""

    @abstractmethod
    def combine(self, branches: Sequence[Sequence[Placed]], inputs: Shape, place: str) -> list[Placed]:
        """Branches from one value, of that shape, as operations in a row."""

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        if len(set(shapes)) != 1:
            raise refusal(place, " and ".join(map(described, shapes)), "values of one shape")
        return shapes[0]

    def make(self, place: str) -> Made:
        raise AssertionError("branches are combined first")


class Add(Join):
    """The sum of its inputs."""

    def combine(self, branches: Sequence[Sequence[Placed]], inputs: Shape, place: str) -> list[Placed]:
        layered = [tuple(branch) for branch in branches if branch]
        skips = len(branches) - len(layered)
        if not layered:
            return [Placed(Scale(np.full(1, float(skips))), place, inputs)]
        layered.sort(key=is_projection)
        total, *others = layered
        if skips:
            doubled = Placed(Scale(np.full(1, float(skips))).settled(inputs, place), place, inputs)
            others.append(() if skips == 1 else (doubled,))
        for other in others:
            total = (Placed(Block(total, other, _outputs(total, inputs)), place, inputs),)
        return list(total)


class Maximum(Join):
    """The largest of its inputs: maxout, where they are dense layers of one value."""

    def combine(self, branches: Sequence[Sequence[Placed]], inputs: Shape, place: str) -> list[Placed]:
        only = [branch[0].operation for branch in branches if len(branch) == 1]
        layers = [layer for layer in only if is_linear(layer) or isinstance(layer, Pieces)]
        if len(layers) != len(branches) or any(layer.filters != layers[0].filters for layer in layers):
            raise refusal(place, "a maximum of what are not dense layers of one value", "one of such (maxout)")
        if layers[0].filters is not None and layers[0].filters.groups > 1:
            raise refusal(place, "a maximum of convolutions with groups", "one of convolutions without (maxout)")
        weights = [layer.weight.reshape(-1, *layer.weight.shape[-2:]) for layer in layers]  # of maxout: its pieces
        bias = None
        if any(layer.bias is not None for layer in layers):
            shapes = [(len(weight), weight.shape[-1]) for weight in weights]
            bias = np.concatenate(
                [
                    np.zeros(shape) if layer.bias is None else layer.bias.reshape(shape)
                    for layer, shape in zip(layers, shapes, strict=True)
                ]
            )
        return [Placed(Pieces(np.concatenate(weights), bias, layers[0].filters), place, inputs)]


class Concat(Join):
    """Its inputs side by side: vectors, or the channels of images."""

    def shape(self, place: str, shapes: Sequence[Shape]) -> Shape:
        sizes = {as_image(shape)[:2] for shape in shapes}
        if len(sizes) != 1 or len(set(map(is_image, shapes))) != 1:
            raise refusal(place, " beside ".join(map(described, shapes)), "vectors, or images of one height and width")
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def combine(self, branches: Sequence[Sequence[Placed]], inputs: Shape, place: str) -> list[Placed]:
        if inputs == (1,) and len(branches) == 2 and _is_complement(branches[0]) and not branches[1]:
            return [Placed(Complement(), place, inputs)]
        outputs = self.shape(place, [_outputs(branch, inputs) for branch in branches])
        return [Placed(Branches(tuple(map(tuple, branches)), outputs), place, inputs)]


def _outputs(branch: Sequence[Placed], inputs: Shape) -> Shape:
    """The shape of what a branch gives, of a value of that shape."""
    if not branch:
        return inputs
    last = branch[-1]
    return last.operation.shape(last.place, [last.inputs])


def _is_complement(branch: Sequence[Placed]) -> bool:
    """Whether it is 1 - x of one number."""
    only = branch[0].operation if len(branch) == 1 else None
    if not isinstance(only, Scale) or only.scale is None or only.shift is None:
        return False
    return bool((only.scale == -1).all() and (only.shift == 1).all())
