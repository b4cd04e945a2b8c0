"""The network of an estimator, with its initial values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks, activations
from .._checks import Array, message
from .._models.sequential import Sequential
from .._network.structure import Structure
from ..activations import Activation
from ..layers import Dense, Dropout, Gaussian, Input, Layer, Maxout
from ..typing import DTypeLike

# scikit-learn's names that differ from ours.
ALIASES = {"logistic": "sigmoid"}

# The activations that MLPClassifier and MLPRegressor have.
_GLOROT = frozenset(("identity", "sigmoid", "tanh", "relu", "softmax"))


def make_layers(estimator: Any, inputs: int, outputs: int, head: str) -> list[Input | Layer]:
    """The layers that the parameters of an estimator describe.

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid; the message has its name.
    """
    sizes = estimator.hidden_layer_sizes
    sizes = list(sizes) if np.iterable(sizes) else [sizes]
    units = [_checks.integer("hidden_layer_sizes", size, 1) for size in sizes]
    functions = _per_layer("activation", estimator.activation, len(units))
    rates = [_checks.share("dropout", rate) for rate in _per_layer("dropout", estimator.dropout, len(units))]
    pieces = estimator.maxout_pieces
    if pieces is not None:
        pieces = _checks.integer("maxout_pieces", pieces, 1)

    layers: list[Input | Layer] = [Input(inputs)]
    for size, function, rate in zip(units, functions, rates, strict=True):
        layers.append(Dense(size, _activation(function)) if pieces is None else Maxout(size, pieces))
        if rate:
            layers.append(Dropout(rate))
    return [*layers, Gaussian(outputs) if head == "gaussian" else Dense(outputs, activations.get(head))]


def build(layers: Sequence[Input | Layer], dtype: DTypeLike, random: np.random.RandomState) -> Sequential:
    """The network, with the initial parameters of ``MLPClassifier`` where that has such a network.

    Those are uniform within sqrt(6 / (fan_in + fan_out)), or sqrt(2 / ...) for the logistic function, also for biases
    (Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010). Both
    therefore start from the same network for the same ``random_state``. Other networks are initialized as their
    activations need it, see ``Dense``.
    """
    structure = Structure(layers)
    trained = {name: layer for name, layer in structure.named.items() if layer.has_units}
    if not all(isinstance(layer, Dense) and layer.activation.name in _GLOROT for layer in trained.values()):
        return Sequential(layers, dtype=dtype, seed=int(random.randint(2**31 - 1)))
    parameters: dict[str, Array] = {}
    numerator = 6.0
    for name, layer in trained.items():
        if name != structure.last_name:  # the bound of the head depends on the activation before it
            numerator = 2.0 if layer.activation.name == "sigmoid" else 6.0
        inputs, units = (math.prod(shapes[name]) for shapes in (structure.input_shapes, structure.output_shapes))
        bound = math.sqrt(numerator / (inputs + units))
        for key, shape in structure.parameter_shapes[name].items():
            parameters[f"{name}.{key}"] = random.uniform(-bound, bound, shape)
    return Sequential._restored(layers, dtype, parameters)


def _per_layer(name: str, value: Any, layers: int) -> list[Any]:
    """One value per hidden layer, from one for all or a list."""
    if isinstance(value, (str, Activation)) or not np.iterable(value):
        return [value] * layers
    values = list(value)
    if len(values) != layers:
        raise ValueError(message(name, f"one value, or one for each of {layers} hidden layers", repr(value)))
    return values


def _activation(function: Any) -> Activation:
    return activations.get(ALIASES.get(function, function) if isinstance(function, str) else function)
