"""Layers without weights: an activation of its own, and Flatten."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import activations
from .._checks import Array
from ..typing import ActivationName
from ._base import Layer
from ._shape import Shape

if TYPE_CHECKING:
    from numpy.random import Generator


class Activation(Layer):
    """An activation function as a layer of its own.

    It is merged with the layer before it if that has no activation, so that nothing is computed twice or stored in
    between.

    Parameters
    ----------
    activation : str or fnnfast.activations.Activation
        The activation function. Its alpha is the initial value of a learned parameter, which has one slope per channel.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(3), fnn.Activation("relu"), fnn.Dense(1)], seed=0)
    >>> list(net.named_layers)
    ['dense_1', 'activation_1', 'dense_2']
    """

    kind = "activation"
    format_version = 2

    def __init__(self, activation: ActivationName | activations.Activation) -> None:
        self._store(activation=activations.get(activation))

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        fixed = None if self.activation.learned else self.activation.parameter
        return ("activation", self.activation.kernel, fixed)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"alpha": shape[-1:]} if self.activation.learned else {}

    def initial(self, shape: Shape, rng: Generator) -> dict[str, Array]:
        return {"alpha": np.full(shape[-1], self.activation.parameter)} if self.activation.learned else {}


class Flatten(Layer):
    """Flatten each sample to a vector.

    It is optional: a Dense layer reads all values of its input, whatever the shape.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(28, 28), fnn.Flatten(), fnn.Dense(10, "softmax")], seed=0)
    >>> net.parameters.shapes
    {'dense_1.weight': (784, 10), 'dense_1.bias': (10,)}
    """

    kind = "flatten"
    format_version = 2

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("flatten",)

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)
