"""Layers without weights: an activation of its own, and Flatten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import activations
from .._checks import Array
from ._base import Layer

if TYPE_CHECKING:
    from numpy.random import Generator


class Activation(Layer):
    """An activation function of its own, for where none of a layer's can stand.

    It joins the layer before it where that has none, so that nothing is computed twice or stored in between.

    Parameters
    ----------
    activation : str or fnnfast.activations.Activation
        Slopes that are learned start at its alpha.
    """

    kind = "activation"
    format_version = 2

    def __init__(self, activation: str | activations.Activation) -> None:
        self._store(activation=activations.get(activation))

    def spec(self, inputs: int) -> tuple[Any, ...]:
        fixed = None if self.activation.learned else self.activation.parameter
        return ("activation", self.activation.kernel, fixed)

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return {"alpha": (inputs,)} if self.activation.learned else {}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        return {"alpha": np.full(inputs, self.activation.parameter)} if self.activation.learned else {}


class Flatten(Layer):
    """The same numbers as a vector: for readability, since a Dense reads all of its input whatever its shape."""

    kind = "flatten"
    format_version = 2

    def spec(self, inputs: int) -> tuple[Any, ...]:
        return ("flatten",)
