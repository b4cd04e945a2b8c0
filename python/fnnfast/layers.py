"""Layers as frozen specifications: what a network is made of, before it is built."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Sequence
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
    def plan(self, inputs: int) -> tuple[Any, ...]:
        """The layer as the compiled network takes it."""

    def outputs(self, inputs: int) -> int:
        """The width of what the next of a network's named layers reads."""
        return inputs

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Name to shape of the layer's parameters."""
        return {}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        """Parameters to start training from, in float64."""
        return {}


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

    Notes
    -----
    With I inputs and O units the variances are 2/I (He et al., "Delving deep into rectifiers", 2015), 1/I (LeCun et
    al., "Efficient backprop", 1998) and 2/(I + O) (Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010).
    """

    kind = "dense"
    units: int
    init: str | float | None = None

    def __init__(
        self, units: int, activation: str | Activation | None = "identity", init: str | float | None = None
    ) -> None:
        self._store(units=_checks.integer("units", units, 1), activation=activations.get(activation))
        if init is not None:
            self._store(init=_initialisation(init))
        self.activation.parameter_array(self.units, _checks.FLOAT64)  # refuses a number of slopes that does not fit

    def plan(self, inputs: int) -> tuple[Any, ...]:
        fixed = None if self.activation.learned else self.activation.parameter
        return ("dense", self.units, self.activation.kernel, fixed)

    def outputs(self, inputs: int) -> int:
        return self.units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (inputs, self.units), "bias": (self.units,)}
        return {**shapes, "alpha": (self.units,)} if self.activation.learned else shapes

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        init = self.activation.init if self.init is None else self.init
        values = {"weight": initial_weight(init, inputs, self.units, rng), "bias": np.zeros(self.units)}
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

    def plan(self, inputs: int) -> tuple[Any, ...]:
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

    def plan(self, inputs: int) -> tuple[Any, ...]:
        return ("dropout", self.rate)


class GaussianNoise(Layer):
    """In training, add to every value a draw from the normal distribution with mean 0; else nothing.

    Sietsma and Dow, "Creating artificial neural networks that generalize", 1991. It may follow the input and any layer
    but the last.

    Parameters
    ----------
    stddev : float >= 0
    """

    kind = "gaussian_noise"
    stddev: float

    def __init__(self, stddev: float) -> None:
        self._store(stddev=_checks.not_negative("stddev", stddev))

    def plan(self, inputs: int) -> tuple[Any, ...]:
        return ("gaussian_noise", self.stddev)


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
    units: int

    def __init__(self, units: int) -> None:
        self._store(units=_checks.integer("units", units, 1, _checks.MAX_SIZE // 2))

    def plan(self, inputs: int) -> tuple[Any, ...]:
        return ("dense", 2 * self.units, "identity", None)

    def outputs(self, inputs: int) -> int:
        return 2 * self.units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (inputs, 2 * self.units), "bias": (2 * self.units,)}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        means = initial_weight("xavier", inputs, self.units, rng)
        return {"weight": np.concatenate([means, np.zeros_like(means)], axis=1), "bias": np.zeros(2 * self.units)}


class Residual(Layer):
    """``F(x) + x``: layers in a row, and their input added to what the last of them gives.

    Where the widths of x and F(x) differ, x goes through a projection: a dense layer of its own, whose parameters are
    the block's ``weight`` and ``bias``. The layers inside are called ``residual_1.dense_1`` and so on.

    He et al., "Deep residual learning for image recognition", 2016. Every block about doubles the variance of what
    passes; a deep stack of them starts better with ``init=0.0`` in the last Dense of each, so that the blocks begin as
    the identity (Goyal et al., "Accurate, large minibatch SGD", 2017).

    Parameters
    ----------
    layers : sequence
        Dense, Maxout, Dropout and GaussianNoise; the first and the last are Dense or Maxout.
    """

    kind = "residual"
    layers: tuple[Layer, ...]

    def __init__(self, layers: Sequence[Layer]) -> None:
        inner = tuple(layers) if isinstance(layers, Sequence) else (layers,)
        expected = "Dense, Maxout, Dropout and GaussianNoise layers"
        for layer in inner:
            if not isinstance(layer, (Dense, Maxout, Dropout, GaussianNoise)):
                raise TypeError(_checks.message("Residual", expected, repr(layer)))
            if layer.activation.rowwise:
                raise ValueError(f"Residual: {layer.activation.name} is an output head, for the last layer only")
        if not inner or not all(isinstance(layer, (Dense, Maxout)) for layer in (inner[0], inner[-1])):
            raise ValueError(_checks.message("Residual", "a Dense or Maxout first and last", list(inner)))
        self._store(layers=inner)

    def plan(self, inputs: int) -> tuple[Any, ...]:
        width = self._width(inputs)
        return ("residual", len(self.layers), 0 if width == inputs else width)

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        width = self._width(inputs)
        return {} if width == inputs else {"weight": (inputs, width), "bias": (width,)}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        width = self._width(inputs)
        if width == inputs:
            return {}
        return {"weight": initial_weight("lecun", inputs, width, rng), "bias": np.zeros(width)}

    def _width(self, inputs: int) -> int:
        for layer in self.layers:
            inputs = layer.outputs(inputs)
        return inputs


BY_KIND: dict[str, type[Layer]] = {cls.kind: cls for cls in (Dense, Maxout, Dropout, GaussianNoise, Gaussian, Residual)}

_VARIANCES = {
    "he": lambda inputs, units: 2 / inputs,
    "lecun": lambda inputs, units: 1 / inputs,
    "xavier": lambda inputs, units: 2 / (inputs + units),
}
_DEFAULT_FORMS = {"he": "normal", "lecun": "normal", "xavier": "uniform"}


def initial_weight(init: str | float, inputs: int, units: int, rng: Generator) -> Array:
    """Weights (I, O) as ``Dense`` describes them, in float64."""
    shape = (inputs, units)
    if not isinstance(init, str):
        return rng.standard_normal(shape) * init
    name, _, form = init.partition("_")
    variance = _VARIANCES[name](inputs, units)
    if (form or _DEFAULT_FORMS[name]) == "normal":
        return rng.standard_normal(shape) * math.sqrt(variance)
    return rng.uniform(-1, 1, shape) * math.sqrt(3 * variance)


def _initialisation(init: str | float) -> str | float:
    if not isinstance(init, str):
        if isinstance(init, bool) or not isinstance(init, numbers.Real):
            raise TypeError(_checks.message("init", "a name or a number >= 0", repr(init)))
        return _checks.not_negative("init", init)
    known = [name + form for name in _VARIANCES for form in ("", "_normal", "_uniform")]
    if init not in known:
        raise _checks.unknown("init", init, known)
    return init
