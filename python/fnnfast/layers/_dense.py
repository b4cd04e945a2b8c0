"""Layers with weights: Dense, Maxout and the Gaussian head."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, activations, distributions
from .._checks import Array
from ..ops import MAX_SAVED_PIECES
from ..typing import ActivationName, BiasInitName, InitName
from ._base import Layer, scaled_units
from ._initial import initial_bias, initial_weight, initialisation, store_bias_init
from ._shape import Shape

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike


class Dense(Layer):
    """Dense layer, ``activation(x @ weight + bias)``.

    It reads all values of its input, whatever the shape.

    The initial weights depend on the activation (see ``activation.init``): He normal for the ReLU family (relu, elu,
    gelu, swish and similar ones), LeCun normal for selu, else Xavier (Glorot) uniform. Biases are uniform within
    1/sqrt(I) of zero, as those of PyTorch, so that the neurons do not all change at the origin. Learned slopes start at
    the alpha of the activation.

    Parameters
    ----------
    units : int >= 1
        O, the number of neurons.
    activation : str, Activation or None
        The activation function; None is identity.
    init : str or float >= 0, optional
        The distribution of the initial weights: "he", "lecun" (both normal) or "xavier" (uniform), or one of these with
        "_normal" or "_uniform" appended. A number is the standard deviation of a normal distribution.
    bias : bool
        Whether the layer has a bias.
    bias_init : str or float >= 0, optional
        The distribution of the initial biases: "torch" (the default: uniform within 1/sqrt(I)), "zeros", or a name or a
        number as for ``init``.

    Notes
    -----
    With I inputs and O units the variances are 2/I (He et al., "Delving deep into rectifiers", 2015), 1/I (LeCun et
    al., "Efficient backprop", 1998) and 2/(I + O) (Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010).

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dense(1, bias=False)], seed=0)
    >>> net.parameters.shapes
    {'dense_1.weight': (4, 8), 'dense_1.bias': (8,), 'dense_2.weight': (8, 1)}
    """

    kind = "dense"
    has_units = True
    units: int
    init: InitName | float | None = None
    bias: bool = True
    bias_init: BiasInitName | float | None = None

    @_checks.advised("Dense")
    def __init__(
        self,
        units: int,
        activation: ActivationName | activations.Activation | None = "identity",
        init: InitName | float | None = None,
        *,
        bias: bool = True,
        bias_init: BiasInitName | float | None = None,
    ) -> None:
        self._store(units=_checks.integer("units", units, 1), activation=activations.get(activation))
        if init is not None:
            self._store(init=initialisation(init))
        store_bias(self, bias)
        store_bias_init(self, bias_init)
        self.activation.parameter_array(self.units, _checks.FLOAT64)  # raises an error for a wrong number of slopes

    @property
    def format_version(self) -> int:
        return 1 if self.bias and self.bias_init is None and not self.activation.accurate else 2

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        fixed = None if self.activation.learned else self.activation.parameter
        return ("dense", self.units, self.activation.kernel, fixed, self.bias)

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"weight": (math.prod(shape), self.units)}
        if self.bias:
            shapes["bias"] = (self.units,)
        if self.activation.learned:
            shapes["alpha"] = (self.units,)
        return shapes

    def initial(self, shape: Shape, rng: Generator) -> dict[str, Array]:
        init = self.activation.init if self.init is None else self.init
        inputs = math.prod(shape)
        values = {"weight": initial_weight(init, inputs, self.units, rng)}
        if self.bias:
            values["bias"] = initial_bias(self.bias_init, inputs, self.units, rng, (self.units,))
        if self.activation.learned:
            values["alpha"] = np.full(self.units, self.activation.parameter)
        return values

    def scaled(self, factor: float) -> Dense:
        units = scaled_units(self.units, factor)
        return Dense(units, self.activation, self.init, bias=self.bias, bias_init=self.bias_init)


class Maxout(Layer):
    """Maxout layer, ``max over p of x @ weight[p] + bias[p]``, a learned convex, piecewise linear activation.

    Goodfellow et al., "Maxout networks", 2013. Initial weights are normal with variance 1/I: the maximum of two
    independent standard normal pieces has a mean square of 1, so the scale of the signal is kept. Biases start as those
    of ``Dense``.

    Parameters
    ----------
    units : int >= 1
        O, the number of neurons.
    pieces : int >= 1
        P, the number of linear pieces per neuron.
    bias : bool
        Whether each piece has a bias.
    bias_init : str or float >= 0, optional
        The distribution of the initial biases, as for ``Dense``.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(2), fnn.Maxout(8, pieces=3), fnn.Dense(1)], seed=0)
    >>> net.parameters.shapes["maxout_1.weight"]
    (3, 2, 8)
    """

    kind = "maxout"
    has_units = True
    units: int
    pieces: int
    bias: bool = True
    bias_init: BiasInitName | float | None = None

    @_checks.advised("Dense")
    def __init__(
        self,
        units: int,
        pieces: int = 2,
        *,
        bias: bool = True,
        bias_init: BiasInitName | float | None = None,
    ) -> None:
        self._store(units=_checks.integer("units", units, 1), pieces=_checks.integer("pieces", pieces, 1))
        store_bias(self, bias)
        store_bias_init(self, bias_init)

    @property
    def format_version(self) -> int:
        return 1 if self.bias and self.bias_init is None else 2

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("maxout", self.units, self.pieces, self.bias)

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"weight": (self.pieces, math.prod(shape), self.units)}
        if self.bias:
            shapes["bias"] = (self.pieces, self.units)
        return shapes

    def initial(self, shape: Shape, rng: Generator) -> dict[str, Array]:
        inputs = math.prod(shape)
        values = {"weight": rng.standard_normal((self.pieces, inputs, self.units)) * math.sqrt(1 / inputs)}
        if self.bias:
            values["bias"] = initial_bias(self.bias_init, inputs, self.units, rng, (self.pieces, self.units))
        return values

    def scaled(self, factor: float) -> Maxout:
        units = scaled_units(self.units, factor)
        return Maxout(units, self.pieces, bias=self.bias, bias_init=self.bias_init)

    def require_trainable(self, name: str) -> None:
        if self.pieces > MAX_SAVED_PIECES:
            raise ValueError(_checks.message(name, f"at most {MAX_SAVED_PIECES} pieces for training", self.pieces))


class Gaussian(Layer):
    """Output head with a normal distribution per target: its mean and the logarithm of its precision.

    The outputs (B, 2 O) of the network are the means, followed by the logarithms of the precisions beta = 1 / sigma^2,
    so that every output is valid. The initial weights of the means are Xavier uniform, those of the precisions are
    zero, which is a variance of 1.

    Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994; Goodfellow et al.,
    "Deep learning", 2016, section 6.2.2.

    Parameters
    ----------
    units : int >= 1
        O, the number of targets.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(16, "tanh"), fnn.Gaussian(1)], seed=0)
    >>> net.distribution([[0.0], [1.0]]).variance
    array([[1.],
           [1.]])
    """

    kind = "gaussian"
    has_units = True
    predicts_precision = True
    is_head = True
    units: int

    def __init__(self, units: int) -> None:
        self._store(units=_checks.integer("units", units, 1, _checks.MAX_SIZE // 2))

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("dense", 2 * self.units, "identity", None, True)

    def output_shape(self, shape: Shape) -> Shape:
        return (2 * self.units,)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (math.prod(shape), 2 * self.units), "bias": (2 * self.units,)}

    def initial(self, shape: Shape, rng: Generator) -> dict[str, Array]:
        means = initial_weight("xavier", math.prod(shape), self.units, rng)
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
    """Store ``bias`` only if it is not the default, so that files of networks with biases do not change."""
    if not isinstance(bias, (bool, np.bool_)):
        raise TypeError(_checks.message("bias", "a bool", repr(bias)))
    if not bias:
        layer._store(bias=False)
