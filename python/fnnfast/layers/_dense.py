"""Layers of weights: Dense, Maxout and the Gaussian head."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, activations, distributions
from .._checks import Array
from ..ops import MAX_SAVED_PIECES
from ._base import Layer, scaled_units
from ._initial import initial_weight, initialisation

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike


class Dense(Layer):
    """``activation(x @ weight + bias)``.

    Weights start as fits the activation, which says so in ``activation.init``: He normal for the ReLU family (relu,
    elu, gelu, swish and their like), LeCun normal for selu, else Xavier (Glorot) uniform. Biases start at zero, learned
    slopes at the activation's alpha.

    Parameters
    ----------
    units : int >= 1
        O, the number of neurons.
    activation : str, Activation or None
        None is identity.
    init : str or float >= 0, optional
        How the weights start instead: "he", "lecun" (both normal) or "xavier" (uniform), or one of them with "_normal"
        or "_uniform"; a number is the standard deviation of a normal distribution.
    bias : bool
        Whether there is one; without, ``activation(x @ weight)``.

    Notes
    -----
    With I inputs and O units the variances are 2/I (He et al., "Delving deep into rectifiers", 2015), 1/I (LeCun et
    al., "Efficient backprop", 1998) and 2/(I + O) (Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010).
    """

    kind = "dense"
    has_units = True
    units: int
    init: str | float | None = None
    bias: bool = True

    def __init__(
        self,
        units: int,
        activation: str | activations.Activation | None = "identity",
        init: str | float | None = None,
        *,
        bias: bool = True,
    ) -> None:
        self._store(units=_checks.integer("units", units, 1), activation=activations.get(activation))
        if init is not None:
            self._store(init=initialisation(init))
        store_bias(self, bias)
        self.activation.parameter_array(self.units, _checks.FLOAT64)  # refuses a number of slopes that does not fit

    @property
    def format_version(self) -> int:
        return 1 if self.bias else 2

    def spec(self, inputs: int) -> tuple[Any, ...]:
        fixed = None if self.activation.learned else self.activation.parameter
        return ("dense", self.units, self.activation.kernel, fixed, self.bias)

    def outputs(self, inputs: int) -> int:
        return self.units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (inputs, self.units)}
        if self.bias:
            shapes["bias"] = (self.units,)
        if self.activation.learned:
            shapes["alpha"] = (self.units,)
        return shapes

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        init = self.activation.init if self.init is None else self.init
        values = {"weight": initial_weight(init, inputs, self.units, rng)}
        if self.bias:
            values["bias"] = np.zeros(self.units)
        if self.activation.learned:
            values["alpha"] = np.full(self.units, self.activation.parameter)
        return values

    def scaled(self, factor: float) -> Dense:
        return Dense(scaled_units(self.units, factor), self.activation, self.init, bias=self.bias)


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
    bias : bool
        Whether the pieces have one each.
    """

    kind = "maxout"
    has_units = True
    units: int
    pieces: int
    bias: bool = True

    def __init__(self, units: int, pieces: int = 2, *, bias: bool = True) -> None:
        self._store(units=_checks.integer("units", units, 1), pieces=_checks.integer("pieces", pieces, 1))
        store_bias(self, bias)

    @property
    def format_version(self) -> int:
        return 1 if self.bias else 2

    def spec(self, inputs: int) -> tuple[Any, ...]:
        return ("maxout", self.units, self.pieces, self.bias)

    def outputs(self, inputs: int) -> int:
        return self.units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.pieces, inputs, self.units)}
        if self.bias:
            shapes["bias"] = (self.pieces, self.units)
        return shapes

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        weight = rng.standard_normal((self.pieces, inputs, self.units)) * math.sqrt(1 / inputs)
        return {"weight": weight, "bias": np.zeros((self.pieces, self.units))} if self.bias else {"weight": weight}

    def scaled(self, factor: float) -> Maxout:
        return Maxout(scaled_units(self.units, factor), self.pieces, bias=self.bias)

    def require_trainable(self, name: str) -> None:
        if self.pieces > MAX_SAVED_PIECES:
            raise ValueError(_checks.message(name, f"at most {MAX_SAVED_PIECES} pieces for training", self.pieces))


class Gaussian(Layer):
    """An output head with a normal distribution for each target: its mean and the logarithm of its precision.

    The network's outputs (B, 2 O) are the means and then the logarithms of beta = 1 / sigma^2, so that any output is a
    valid one. Weights of the means start Xavier uniform, those of the precisions at zero: with variance 1.

    Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994; Goodfellow et al.,
    "Deep learning", 2016, section 6.2.2.

    Parameters
    ----------
    units : int >= 1
        O, the number of targets.
    """

    kind = "gaussian"
    has_units = True
    predicts_precision = True
    is_head = True
    units: int

    def __init__(self, units: int) -> None:
        self._store(units=_checks.integer("units", units, 1, _checks.MAX_SIZE // 2))

    def spec(self, inputs: int) -> tuple[Any, ...]:
        return ("dense", 2 * self.units, "identity", None, True)

    def outputs(self, inputs: int) -> int:
        return 2 * self.units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (inputs, 2 * self.units), "bias": (2 * self.units,)}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        means = initial_weight("xavier", inputs, self.units, rng)
        return {"weight": np.concatenate([means, np.zeros_like(means)], axis=1), "bias": np.zeros(2 * self.units)}

    @property
    def head(self) -> str:
        return "Gaussian"

    def predict(self, outputs: Array) -> Array:
        return outputs[:, : self.units].copy()

    def distribution(self, answer: Callable[[bool], Array], precision: ArrayLike | None) -> distributions.Distribution:
        if precision is not None:
            expected = "None for a Gaussian head, which predicts it"
            raise ValueError(_checks.message("precision", expected, repr(precision)))
        return distributions.Gaussian.of_log_precision(*np.split(answer(False), 2, axis=1))


def store_bias(layer: Layer, bias: bool) -> None:
    """Keep it where it is not the default, so that files of networks with biases stay as they were."""
    if not isinstance(bias, (bool, np.bool_)):
        raise TypeError(_checks.message("bias", "a bool", repr(bias)))
    if not bias:
        layer._store(bias=False)
