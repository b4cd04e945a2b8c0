"""Activations as objects: a name, parameters, a call and a derivative.

What an activation computes is written in the kernels; their registry says which exist, what backward needs, how weights
start and which are differentiable. The classes here give them public names and check their parameters. One without a
class is a ``Registered``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, _cpu
from ._checks import Array
from ._device import select
from ._frozen import Frozen

_REGISTRY = {info["name"]: info for info in _cpu.activations()}


class Activation(Frozen):
    """Base of all activations.

    Attributes
    ----------
    name : str
        The public name, which ``get`` and the layers take.
    """

    name: str

    @property
    def kernel(self) -> str:
        """The name under which the kernels know it."""
        return self.name

    @property
    def parameter(self) -> float | Array | None:
        """Its alpha or beta: one number, or one a neuron; None for an activation without."""
        return None

    @property
    def learned(self) -> bool:
        """Whether training adapts the parameter, one a neuron."""
        return False

    @property
    def differentiable(self) -> bool:
        """Whether gradients pass through it: all but step and sign."""
        return _REGISTRY[self.kernel]["differentiable"]

    @property
    def rowwise(self) -> bool:
        """Whether an output depends on its whole row, as softmax's do."""
        return _REGISTRY[self.kernel]["rowwise"]

    @property
    def saves(self) -> str:
        """What backward reads: "input" (z), "output" (y) or "nothing"."""
        return _REGISTRY[self.kernel]["saves"]

    @property
    def init(self) -> str:
        """How the weights of a dense layer with it start: "he", "lecun" or "xavier"."""
        return _REGISTRY[self.kernel]["init"]

    @property
    def watch(self) -> str:
        """What small derivatives are counted as: "dead" units, "saturated" values, or "" for not at all."""
        return _REGISTRY[self.kernel]["watch"]

    @property
    def small(self) -> float:
        """The derivative under which ``watch`` counts."""
        return _REGISTRY[self.kernel]["small"]

    def parameter_array(self, units: int, dtype: _checks.DType) -> Array | None:
        """The parameter as the kernels take it for arrays of that dtype, on the host: (1,), (units,) or None.

        ValueError where it fits not units or the dtype.
        """
        parameter = self.parameter
        if parameter is None:
            return None
        dtype = _checks.sum_type(dtype)
        values = _checks.fit(np.array(parameter, ndmin=1), dtype)
        if not np.isfinite(values).all():
            raise ValueError(_checks.message(self.name, f"a parameter in {dtype}'s range", parameter))
        if len(values) not in (1, units):
            raise ValueError(_checks.message(f"{self.name} alpha", f"1 or {units} values, one a neuron", len(values)))
        return values

    def require_differentiable(self) -> None:
        """Raise ValueError unless gradients pass through."""
        if not self.differentiable:
            raise ValueError(f"{self.name} is not differentiable: it can be used forward only")

    def __call__(self, z: ArrayLike, out: Array | None = None) -> Array:
        """Apply to every element of z (softmax: to every row along the last axis).

        Parameters
        ----------
        z : array_like (..., O) of real numbers
            float32 and float64 are kept, bfloat16 becomes float32, all else is computed in float64. On a GPU float16
            and bfloat16 are kept, too.
        out : ndarray of z's shape and dtype, optional
            Receives the result; z itself is allowed.

        Returns
        -------
        ndarray (..., O)
        """
        return self._elementwise("activation_forward", z, out)

    def derivative(self, z: ArrayLike) -> Array:
        """dy/dz at every element of z (..., O).

        Raises
        ------
        ValueError
            For step and sign, which are not differentiable, and for softmax, which has no elementwise derivative.
        """
        self.require_differentiable()
        if self.rowwise:
            raise ValueError(
                f"{self.name} has no elementwise derivative; its backward, a Jacobian-vector product, is dense_backward"
            )
        return self._elementwise("activation_derivative", z, None)

    def _elementwise(self, kernel: str, z: ArrayLike, out: Array | None) -> Array:
        device = select.of(z=z, out=out)
        array = device.array("z", z)
        if self.rowwise and array.ndim == 0:
            raise ValueError(_checks.message("z", "rows, shape (..., O)", array.shape))
        dtype = device.promote(array)
        inputs = {} if device.same_memory(array, out) else {"z": array}
        result = device.output(out, array.shape, dtype, **inputs)
        rows = _checks.matrix(result)
        parameter = self.parameter_array(rows.shape[1], dtype)
        if array.size:
            getattr(device, kernel)(self.kernel, parameter, _checks.matrix(device.fit(array, dtype)), rows)
        return device.deliver(result, out)


class Identity(Activation):
    """y = z: the Gaussian output head."""

    name = "identity"


class Step(Activation):
    """y = 1 if z >= 0 else 0. Forward only."""

    name = "step"


class Sign(Activation):
    """y = 1 if z >= 0 else -1, the symmetric hard limit. Forward only."""

    name = "sign"


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-z)): the Bernoulli output head."""

    name = "sigmoid"


class Tanh(Activation):
    """y = tanh z."""

    name = "tanh"


class ReLU(Activation):
    """y = max(0, z), with derivative 0 at 0."""

    name = "relu"


class LeakyReLU(Activation):
    """y = z if z > 0 else alpha z.

    Parameters
    ----------
    alpha : float >= 0
    """

    name = "leaky_relu"
    alpha: float

    def __init__(self, alpha: float = 0.01) -> None:
        self._store(alpha=_checks.not_negative("alpha", alpha))

    @property
    def parameter(self) -> float:
        return self.alpha


class _PerNeuron(Activation):
    """An activation whose alpha may be one number for each neuron."""

    alpha: float | tuple[float, ...]

    @property
    def parameter(self) -> float | Array:
        return self.alpha if isinstance(self.alpha, float) else np.array(self.alpha)


class PReLU(_PerNeuron):
    """y = z if z > 0 else alpha_j z, with a slope for each neuron j that training adapts.

    He et al., "Delving deep into rectifiers", 2015.

    Parameters
    ----------
    alpha : float or sequence of O floats
        The slopes to start from.
    """

    name = "prelu"

    def __init__(self, alpha: float | Sequence[float] | Array = 0.25) -> None:
        self._store(alpha=_learned_alpha(alpha))

    @property
    def learned(self) -> bool:
        return True


class ELU(_PerNeuron):
    """y = z if z > 0 else alpha (exp(z) - 1).

    Clevert et al., "Fast and accurate deep network learning by exponential linear units", 2016.

    Parameters
    ----------
    alpha : float > 0; with ``learn``, any float or a sequence of O floats
    learn : bool
        Let training adapt alpha, one for each neuron.
    """

    name = "elu"
    learn: bool

    def __init__(self, alpha: float | Sequence[float] | Array = 1.0, learn: bool = False) -> None:
        learn = _checks.flag("learn", learn)
        self._store(alpha=_learned_alpha(alpha) if learn else _checks.positive("alpha", alpha), learn=learn)

    @property
    def kernel(self) -> str:
        return "elu_learned" if self.learn else "elu"

    @property
    def learned(self) -> bool:
        return self.learn


class SELU(Activation):
    """y = lambda (z if z > 0 else alpha (exp(z) - 1)), self-normalising.

    lambda and alpha are those of Klambauer et al., "Self-normalizing neural networks", 2017.
    """

    name = "selu"


class GELU(Activation):
    """y = z Phi(z), Phi the standard normal distribution function.

    Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "none" takes the exact erf, "tanh" the paper's approximation.
    """

    name = "gelu"
    approximate: str

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise _checks.unknown("approximate", approximate, ("none", "tanh"))
        self._store(approximate=approximate)

    @property
    def kernel(self) -> str:
        return "gelu_tanh" if self.approximate == "tanh" else "gelu"


class Softplus(Activation):
    """y = log(1 + exp z)."""

    name = "softplus"


class Swish(Activation):
    """y = z sigmoid(beta z); ``silu`` is another name for it.

    Ramachandran et al., "Searching for activation functions", 2017.

    Parameters
    ----------
    beta : float
    """

    name = "swish"
    beta: float

    def __init__(self, beta: float = 1.0) -> None:
        self._store(beta=_checks.finite("beta", beta))

    @property
    def parameter(self) -> float:
        return self.beta


class Softmax(Activation):
    """y_i = exp(z_i - max z) / sum_j exp(z_j - max z) along the last axis: the Categorical output head."""

    name = "softmax"


class ReLU6(Activation):
    """y = min(max(0, z), 6), with derivative 0 at 0 and at 6.

    Examples
    --------
    >>> ReLU6()([-1, 2, 8])
    array([0., 2., 6.])
    """

    name = "relu6"


class HardTanh(Activation):
    """y = max(-1, min(z, 1)), with derivative 0 at -1 and at 1.

    Examples
    --------
    >>> HardTanh()([-2, 0.5, 3])
    array([-1. ,  0.5,  1. ])
    """

    name = "hard_tanh"


class HardSigmoid(Activation):
    """y = max(0, min(z / 6 + 1/2, 1)), with derivative 0 at -3 and at 3.

    Examples
    --------
    >>> HardSigmoid()([-4, 0, 1.5])
    array([0.  , 0.5 , 0.75])
    """

    name = "hard_sigmoid"


class HardSwish(Activation):
    """y = z max(0, min(z / 6 + 1/2, 1)), with derivative 0 at -3 and 1 at 3.

    Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> HardSwish()([-1.5, 1.5, 4])
    array([-0.375,  1.125,  4.   ])
    """

    name = "hard_swish"


class Mish(Activation):
    """y = z tanh(log(1 + exp z)).

    Misra, "Mish: a self regularized non-monotonic activation function", 2020.

    Examples
    --------
    >>> Mish()([-1, 0, 1]).round(4)
    array([-0.3034,  0.    ,  0.8651])
    """

    name = "mish"


class Softsign(Activation):
    """y = z / (1 + abs(z)).

    Examples
    --------
    >>> Softsign()([-1, 0, 3])
    array([-0.5 ,  0.  ,  0.75])
    """

    name = "softsign"


class CELU(Activation):
    """y = z if z > 0 else alpha (exp(z / alpha) - 1).

    Barron, "Continuously differentiable exponential linear units", 2017.

    Parameters
    ----------
    alpha : float > 0

    Examples
    --------
    >>> CELU(alpha=2.0)([-2, 0, 1]).round(4)
    array([-1.2642,  0.    ,  1.    ])
    """

    name = "celu"
    alpha: float

    def __init__(self, alpha: float = 1.0) -> None:
        self._store(alpha=_checks.positive("alpha", alpha))

    @property
    def parameter(self) -> float:
        return self.alpha


class Exponential(Activation):
    """y = exp z.

    Examples
    --------
    >>> Exponential()([0, 1]).round(4)
    array([1.    , 2.7183])
    """

    name = "exponential"


class LogSigmoid(Activation):
    """y = log(1 / (1 + exp(-z))) = -log(1 + exp(-z)).

    Examples
    --------
    >>> LogSigmoid()([-1, 0, 1]).round(4)
    array([-1.3133, -0.6931, -0.3133])
    """

    name = "log_sigmoid"


class Registered(Activation):
    """An activation that the kernels know and that has no class of its own.

    Parameters
    ----------
    name : str
        Its name in the registry of the kernels.
    alpha : float, optional
        Its parameter, if it has one: > 0 where backward reads the output, which else would not tell the input's side. A
        learned one may be a sequence of O floats.
    """

    alpha: float | tuple[float, ...]

    def __init__(self, name: str, **parameters: Any) -> None:
        info = _REGISTRY[name]
        unknown = [key for key in parameters if key != "alpha" or not info["parameter"]]
        if unknown:
            raise TypeError(f"{name} got an unexpected keyword argument {unknown[0]!r}")
        self._store(name=name)
        if info["parameter"]:
            alpha = parameters.get("alpha", info["default"])
            check = _checks.positive if info["saves"] == "output" else _checks.finite
            self._store(alpha=_learned_alpha(alpha) if info["learned"] else check("alpha", alpha))

    @property
    def learned(self) -> bool:
        return _REGISTRY[self.name]["learned"]

    @property
    def parameter(self) -> float | Array | None:
        alpha = vars(self).get("alpha")
        return np.array(alpha) if isinstance(alpha, tuple) else alpha


_PUBLIC: tuple[type[Activation], ...] = tuple(
    cls for cls in list(globals().values()) if isinstance(cls, type) and "name" in vars(cls)
)
_BY_NAME: dict[str, Callable[..., Activation]] = {
    **{cls.__name__.lower(): cls for cls in _PUBLIC},
    **{cls.name: cls for cls in _PUBLIC},
    "linear": Identity,
    "silu": Swish,
    # The kernels' names for variants of one class:
    "gelu_tanh": lambda: GELU(approximate="tanh"),
    "elu_learned": lambda **parameters: ELU(learn=True, **parameters),
}


def get(name: str | Activation | None, **parameters: Any) -> Activation:
    """The activation of that name; an activation object comes back as it is.

    Parameters
    ----------
    name : str, Activation or None
        A name of the registry or of a class, in upper or lower case; "linear" is identity, "silu" is swish. None is
        identity, too.
    **parameters
        For a name: those of its class, instead of the defaults.

    Raises
    ------
    ValueError
        No activation has that name.
    TypeError
        Neither a name nor an activation object, or a parameter that it does not have.
    """
    if isinstance(name, Activation) and not parameters:
        return name
    if name is None:
        name = Identity.name
    if not isinstance(name, str):
        raise TypeError(_checks.message("activation", "a name or an activation object", repr(name)))
    known = name.lower()
    if known in _BY_NAME:
        return _BY_NAME[known](**parameters)
    if known in _REGISTRY:
        return Registered(known, **parameters)
    raise _checks.unknown("activation", name, list(dict.fromkeys([*_REGISTRY, *_BY_NAME])))


def _learned_alpha(alpha: Any) -> float | tuple[float, ...]:
    if isinstance(alpha, int):
        alpha = _checks.finite("alpha", alpha)  # NumPy would make an object of a huge one
    values = _checks.fit(_checks.real_array("alpha", alpha), _checks.FLOAT64)
    if values.ndim > 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(_checks.message("alpha", "a finite number, or one a neuron, shape (O,)", repr(alpha)))
    numbers: float | list[float] = values.tolist()
    return tuple(numbers) if isinstance(numbers, list) else numbers
