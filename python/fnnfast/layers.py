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
    can_end : bool
        Whether a network may end with it.
    is_head : bool
        Whether it may stand nowhere else.
    format_version : int
        Of the files that can hold it: 1 for what fnnfast 0.1.0 reads.
    """

    kind: ClassVar[str]
    activation: activations.Activation = activations.Identity()
    can_end: ClassVar[bool] = True

    @property
    def is_head(self) -> bool:
        return self.activation.rowwise

    @property
    def format_version(self) -> int:
        return 1

    @abstractmethod
    def plan(self, inputs: int) -> tuple[Any, ...]:
        """The layer as the compiled network takes it, with the layers inside it."""

    def outputs(self, inputs: int) -> int:
        """The width of its outputs."""
        return inputs

    def children(self) -> dict[str, tuple[Layer, ...]]:
        """The layers inside it, one after the other, by what comes before their names."""
        return {}

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
    bias : bool
        Whether there is one; without, ``activation(x @ weight)``.

    Notes
    -----
    With I inputs and O units the variances are 2/I (He et al., "Delving deep into rectifiers", 2015), 1/I (LeCun et
    al., "Efficient backprop", 1998) and 2/(I + O) (Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010).
    """

    kind = "dense"
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
            self._store(init=_initialisation(init))
        _store_bias(self, bias)
        self.activation.parameter_array(self.units, _checks.FLOAT64)  # refuses a number of slopes that does not fit

    @property
    def format_version(self) -> int:
        return 1 if self.bias else 2

    def plan(self, inputs: int) -> tuple[Any, ...]:
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
    units: int
    pieces: int
    bias: bool = True

    def __init__(self, units: int, pieces: int = 2, *, bias: bool = True) -> None:
        self._store(units=_checks.integer("units", units, 1), pieces=_checks.integer("pieces", pieces, 1))
        _store_bias(self, bias)

    @property
    def format_version(self) -> int:
        return 1 if self.bias else 2

    def plan(self, inputs: int) -> tuple[Any, ...]:
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


class Dropout(Layer):
    """In training, zero a share ``rate`` of the values and scale the others by 1 / (1 - rate); else nothing.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014. It may follow the
    input and any layer but the last.

    Parameters
    ----------
    rate : float in [0, 1)
    """

    kind = "dropout"
    can_end = False
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
    can_end = False
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
    is_head = True
    units: int

    def __init__(self, units: int) -> None:
        self._store(units=_checks.integer("units", units, 1, _checks.MAX_SIZE // 2))

    def plan(self, inputs: int) -> tuple[Any, ...]:
        return ("dense", 2 * self.units, "identity", None, True)

    def outputs(self, inputs: int) -> int:
        return 2 * self.units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (inputs, 2 * self.units), "bias": (2 * self.units,)}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        means = initial_weight("xavier", inputs, self.units, rng)
        return {"weight": np.concatenate([means, np.zeros_like(means)], axis=1), "bias": np.zeros(2 * self.units)}


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

    def plan(self, inputs: int) -> tuple[Any, ...]:
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

    def plan(self, inputs: int) -> tuple[Any, ...]:
        return ("flatten",)


class Residual(Layer):
    """``activation(F(x) + x)``: layers in a row, and their input added to what the last of them gives.

    Where the widths of x and F(x) differ, x goes through a projection: a dense layer of its own, whose parameters are
    the block's ``weight`` and ``bias``; or through the layers of ``shortcut``. The layers inside are called
    ``residual_1.dense_1`` and so on, those of the shortcut ``residual_1.shortcut.dense_1``. Blocks nest.

    He et al., "Deep residual learning for image recognition", 2016. Every block about doubles the variance of what
    passes; a deep stack of them starts better with ``init=0.0`` in the last Dense of each, so that the blocks begin as
    the identity (Goyal et al., "Accurate, large minibatch SGD", 2017).

    Parameters
    ----------
    layers : sequence
        Any layers but output heads.
    shortcut : sequence, optional
        Layers that x passes before it is added.
    activation : str or Activation
        Of the sum; not one with learned parameters.
    """

    kind = "residual"
    layers: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] | None = None

    def __init__(
        self,
        layers: Sequence[Layer],
        shortcut: Sequence[Layer] | None = None,
        activation: str | activations.Activation | None = "identity",
    ) -> None:
        self._store(layers=_inside("Residual", layers))
        if shortcut is not None:
            self._store(shortcut=_inside("shortcut", shortcut))
        after = activations.get(activation)
        if after.learned or after.rowwise:
            raise ValueError(_checks.message("activation", "one that is elementwise and not learned", after.name))
        if after.name != "identity":
            self._store(activation=after)

    @property
    def format_version(self) -> int:
        ends = (self.layers[0], self.layers[-1])
        simple = all(isinstance(layer, (Dense, Maxout)) for layer in ends)
        simple = simple and not any(isinstance(layer, Residual) for layer in self.layers)
        if not simple or self.shortcut is not None or self.activation.name != "identity":
            return 2
        return max(layer.format_version for layer in self.layers)

    def children(self) -> dict[str, tuple[Layer, ...]]:
        inside = {"": self.layers}
        return inside if self.shortcut is None else {**inside, "shortcut.": self.shortcut}

    def plan(self, inputs: int) -> tuple[Any, ...]:
        shortcut = None if self.shortcut is None else plans(self.shortcut, inputs)
        units = self.outputs(inputs) if self._projects(inputs) else 0
        return (
            "residual",
            plans(self.layers, inputs),
            units,
            shortcut,
            self.activation.kernel,
            self.activation.parameter,
        )

    def outputs(self, inputs: int) -> int:
        units = outputs_of(self.layers, inputs)
        if self.shortcut is not None and (other := outputs_of(self.shortcut, inputs)) != units:
            raise ValueError(f"its layers have {units} outputs, its shortcut {other}")
        return units

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        width = self.outputs(inputs)
        return {"weight": (inputs, width), "bias": (width,)} if self._projects(inputs) else {}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        width = self.outputs(inputs)
        if not self._projects(inputs):
            return {}
        return {"weight": initial_weight("lecun", inputs, width, rng), "bias": np.zeros(width)}

    def _projects(self, inputs: int) -> bool:
        return self.shortcut is None and self.outputs(inputs) != inputs


def plans(layers: Sequence[Layer], inputs: int) -> list[tuple[Any, ...]]:
    """Layers in a row as the compiled network takes them."""
    found = []
    for layer in layers:
        found.append(layer.plan(inputs))
        inputs = layer.outputs(inputs)
    return found


def outputs_of(layers: Sequence[Layer], inputs: int) -> int:
    """The width of what layers in a row give."""
    for layer in layers:
        inputs = layer.outputs(inputs)
    return inputs


def _inside(name: str, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Layers that may stand inside another one."""
    inner = tuple(layers) if isinstance(layers, Sequence) else (layers,)
    if not inner:
        raise ValueError(_checks.message(name, "at least one layer", "none"))
    for layer in inner:
        if not isinstance(layer, Layer):
            raise TypeError(_checks.message(name, "layers such as Dense, Maxout, Activation or Dropout", repr(layer)))
        if layer.is_head:
            raise ValueError(f"{name}: {layer!r} is an output head, for the last layer of a network only")
    return inner


def _store_bias(layer: Layer, bias: bool) -> None:
    """Kept where it is not the default, so that files of networks with biases stay as they were."""
    if not isinstance(bias, (bool, np.bool_)):
        raise TypeError(_checks.message("bias", "a bool", repr(bias)))
    if not bias:
        layer._store(bias=False)


BY_KIND: dict[str, type[Layer]] = {
    cls.kind: cls for cls in (Dense, Maxout, Dropout, GaussianNoise, Gaussian, Activation, Flatten, Residual)
}

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
