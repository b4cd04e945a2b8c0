"""Layers as frozen specifications: what a network is made of, before it is built."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _checks, activations
from ._checks import Array
from ._frozen import Frozen
from .activations import Activation

if TYPE_CHECKING:
    from numpy.random import Generator


class Input(Frozen):
    """The shape of one input row; more than one dimension is flattened.

    Parameters
    ----------
    *shape : int >= 1
        ``Input(784)`` or ``Input(28, 28)``; less than 2**31 values.

    Attributes
    ----------
    size : int
        I, the number of inputs.
    """

    kind: ClassVar[str] = "input"
    shape: tuple[int, ...]

    def __init__(self, *shape: int) -> None:
        if not shape:
            raise ValueError(_checks.message("Input", "at least one dimension", "none"))
        lengths = tuple(_checks.integer("Input", length, 1) for length in shape)
        if math.prod(lengths) > _checks.MAX_SIZE:
            raise ValueError(_checks.message("Input", f"at most {_checks.MAX_SIZE} values", f"shape {lengths}"))
        self._store(shape=lengths)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"Input({', '.join(map(str, self.shape))})"


class Layer(Frozen, ABC):
    """Base of the layers that follow the input.

    Attributes
    ----------
    kind : str
        Names the layers of a network: dense_1, maxout_1, dense_2, ...
    activation : Activation
        What comes out last; identity where the layer has no activation function.
    """

    kind: ClassVar[str]
    activation: Activation = activations.Identity()

    @abstractmethod
    def plan(self) -> tuple[Any, ...]:
        """The layer as the compiled network takes it."""

    def outputs(self, inputs: int) -> int:
        """O, the width of the layer's output."""
        return inputs

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Name to shape of the layer's parameters."""
        return {}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        """Parameters to start training from, in float64."""
        return {}


class Dense(Layer):
    """``activation(x @ weight + bias)``.

    Weights start as fits the activation: He normal for the ReLU family (relu, leaky_relu, prelu, elu, gelu, softplus,
    swish), LeCun normal for selu, else Glorot uniform. Biases start at zero, learned slopes at the activation's alpha.

    He et al., "Delving deep into rectifiers", 2015; Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010; Klambauer et al., "Self-normalizing neural networks", 2017.

    Parameters
    ----------
    units : int >= 1
        O, the number of neurons.
    activation : str or Activation
    """

    kind = "dense"
    units: int

    def __init__(self, units: int, activation: str | Activation = "identity") -> None:
        self._store(units=_checks.integer("units", units, 1), activation=activations.get(activation))
        self.activation.parameter_array(self.units, _checks.FLOAT64)  # refuses a number of slopes that does not fit

    def plan(self) -> tuple[Any, ...]:
        fixed = None if self.activation.learned else self.activation.parameter
        return ("dense", self.units, self.activation.kernel, fixed)

    def outputs(self, inputs: int) -> int:
        return self.units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (inputs, self.units), "bias": (self.units,)}
        return {**shapes, "alpha": (self.units,)} if self.activation.learned else shapes

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        shape = (inputs, self.units)
        if self.activation.name in _HE_NORMAL:
            weight = rng.standard_normal(shape) * math.sqrt(2 / inputs)
        elif self.activation.name == "selu":
            weight = rng.standard_normal(shape) * math.sqrt(1 / inputs)
        else:
            weight = rng.uniform(-1, 1, shape) * math.sqrt(6 / (inputs + self.units))
        values = {"weight": weight, "bias": np.zeros(self.units)}
        if self.activation.learned:
            values["alpha"] = np.full(self.units, self.activation.parameter)
        return values


class Maxout(Layer):
    """``max over p of x @ weight[p] + bias[p]``: a learned convex, piecewise linear activation.

    Goodfellow et al., "Maxout networks", 2013. Weights start normal with variance 1/I: of two independent standard
    normal pieces, the larger has a mean square of 1, so that the scale of the signal is kept.

    Parameters
    ----------
    units : int >= 1
        O, the number of neurons.
    pieces : int >= 1
        P, the number of linear pieces a neuron takes the maximum of.
    """

    kind = "maxout"
    units: int
    pieces: int

    def __init__(self, units: int, pieces: int = 2) -> None:
        self._store(units=_checks.integer("units", units, 1), pieces=_checks.integer("pieces", pieces, 1))

    def plan(self) -> tuple[Any, ...]:
        return ("maxout", self.units, self.pieces)

    def outputs(self, inputs: int) -> int:
        return self.units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.pieces, inputs, self.units), "bias": (self.pieces, self.units)}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        weight = rng.standard_normal((self.pieces, inputs, self.units)) * math.sqrt(1 / inputs)
        return {"weight": weight, "bias": np.zeros((self.pieces, self.units))}


class Dropout(Layer):
    """In training, zero a share ``rate`` of the values and scale the others by 1 / (1 - rate); else nothing.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014. It may follow the
    input and any layer but the last.

    Parameters
    ----------
    rate : float in [0, 1)
    """

    kind = "dropout"
    rate: float

    def __init__(self, rate: float) -> None:
        self._store(rate=_checks.share("rate", rate))

    def plan(self) -> tuple[Any, ...]:
        return ("dropout", self.rate)


BY_KIND: dict[str, type[Layer]] = {cls.kind: cls for cls in (Dense, Maxout, Dropout)}

_HE_NORMAL = frozenset(("relu", "leaky_relu", "prelu", "elu", "gelu", "softplus", "swish"))
