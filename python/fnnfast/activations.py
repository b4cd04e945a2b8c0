"""Activation functions as objects: a name, parameters, a call and a derivative.

The kernels compute the activations. Their registry says which ones exist, what the backward pass reads, how weights are
initialized and which activations are differentiable. The classes here give them public names and check their
parameters. An activation of the registry without a class of its own is a ``Registered``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks, _cpu
from ._checks import Array, Float
from ._device import select
from ._frozen import Frozen

_REGISTRY = {info["name"]: info for info in _cpu.activations()}


class Activation(Frozen):
    """Base class of all activations.

    Activations are immutable. They are equal if their class and their parameters are.

    Attributes
    ----------
    name : str
        The public name, which ``get`` and the layers accept.
    accurate : bool
        Whether float32 is computed in float64 and rounded once, see ``get``.
    """

    name: str
    accurate: bool = False

    @property
    def formula(self) -> str:
        """The name of the activation in the registry of the kernels."""
        return self.name

    @property
    def kernel(self) -> str:
        """The name of the kernel: that of the formula, or of its accurate form."""
        return f"accurate {self.formula}" if self.accurate else self.formula

    @property
    def parameter(self) -> float | Array | None:
        """The parameter alpha or beta.

        One number, or an array with one number per neuron; None for an activation without parameter.
        """
        return None

    @property
    def learned(self) -> bool:
        """Whether training adapts the parameter, with one value per neuron."""
        return False

    @property
    def differentiable(self) -> bool:
        """Whether gradients can pass through: True for all but step and sign."""
        return _REGISTRY[self.formula]["differentiable"]

    @property
    def rowwise(self) -> bool:
        """Whether an output depends on its whole row, as in softmax."""
        return _REGISTRY[self.formula]["rowwise"]

    @property
    def saves(self) -> str:
        """What the backward pass reads: "input" (z), "output" (y) or "nothing"."""
        return _REGISTRY[self.formula]["saves"]

    @property
    def init(self) -> str:
        """How the weights of a dense layer with this activation are initialized: "he", "lecun" or "xavier"."""
        return _REGISTRY[self.formula]["init"]

    @property
    def watch(self) -> str:
        """What small derivatives are counted as: "dead" units, "saturated" values, or "" if they are not counted."""
        return _REGISTRY[self.formula]["watch"]

    @property
    def small(self) -> float:
        """The limit below which ``watch`` counts a derivative as small."""
        return _REGISTRY[self.formula]["small"]

    def _store_accuracy(self, accurate: bool) -> None:
        """Set the field if it is not the default: a file holds it only then."""
        if _checks.flag("accurate", accurate):
            self._store(accurate=True)

    def parameter_array(self, units: int, dtype: _checks.DType) -> Array | None:
        """Return the parameter as an array for the kernels.

        Parameters
        ----------
        units : int
            O, the number of neurons.
        dtype : dtype
            The dtype of the arrays that the activation is applied to.

        Returns
        -------
        ndarray of shape (1,) or (units,), or None
            The parameter, on the host; None for an activation without parameter.

        Raises
        ------
        ValueError
            If the number of values is neither 1 nor ``units``, or if a value is not finite in this dtype.
        """
        parameter = self.parameter
        if parameter is None:
            return None
        dtype = _checks.sum_type(dtype)
        values = _checks.fit(np.array(parameter, ndmin=1), dtype)
        if not np.isfinite(values).all():
            raise ValueError(_checks.message(self.name, f"a parameter in {dtype}'s range", parameter))
        if len(values) not in (1, units):
            raise ValueError(_checks.message(f"{self.name} alpha", f"1 or {units} values, one per neuron", len(values)))
        return values

    def require_differentiable(self) -> None:
        """Check that gradients can pass through.

        Raises
        ------
        ValueError
            If the activation is not differentiable.
        """
        if not self.differentiable:
            raise ValueError(f"{self.name} is not differentiable: it can be used forward only")

    @overload
    def __call__(self, z: NDArray[Float], out: NDArray[Float] | None = None) -> NDArray[Float]: ...
    @overload
    def __call__(self, z: ArrayLike, out: Array | None = None) -> Array: ...
    def __call__(self, z: ArrayLike, out: Array | None = None) -> Array:
        """Apply the activation to every element of z, or, for softmax, to every row along the last axis.

        Parameters
        ----------
        z : array_like of shape (..., O)
            Real numbers. float32 and float64 are kept, bfloat16 is converted to float32, everything else to float64. On
            a GPU, float16 and bfloat16 are kept, too.
        out : ndarray of shape (..., O), optional
            Array of the dtype of the result that receives it. It may be z itself.

        Returns
        -------
        ndarray of shape (..., O)
            The activation of z; ``out`` if it is given.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> fnn.ReLU()([-1.0, 0.0, 2.0])
        array([0., 0., 2.])
        """
        return self._elementwise("activation_forward", z, out)

    @overload
    def derivative(self, z: NDArray[Float]) -> NDArray[Float]: ...
    @overload
    def derivative(self, z: ArrayLike) -> Array: ...
    def derivative(self, z: ArrayLike) -> Array:
        """Return the derivative dy/dz at every element of z.

        Parameters
        ----------
        z : array_like of shape (..., O)
            Real numbers, converted as in a call.

        Returns
        -------
        ndarray of shape (..., O)
            The derivative.

        Raises
        ------
        ValueError
            For step and sign, which are not differentiable, and for softmax, which has no elementwise derivative.

        Examples
        --------
        >>> import fnnfast as fnn
        >>> fnn.Sigmoid().derivative([0.0])
        array([0.25])
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


class _Rounded(Activation):
    """Base class of activations without parameter that round more than once, so that an accurate form is a gain."""

    def __init__(self, *, accurate: bool = False) -> None:
        self._store_accuracy(accurate)


class Identity(Activation):
    """Identity, y = z.

    This is the output head of a regression: the mean of a Gaussian.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Identity()([-1.0, 2.0])
    array([-1.,  2.])
    """

    name = "identity"


class Step(Activation):
    """Unit step, y = 1 if z >= 0 else 0.

    It is not differentiable, so it can be used in the forward pass only.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Step()([-1.0, 0.0, 2.0])
    array([0., 1., 1.])
    """

    name = "step"


class Sign(Activation):
    """Symmetric hard limit, y = 1 if z >= 0 else -1.

    It is not differentiable, so it can be used in the forward pass only.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Sign()([-1.0, 0.0, 2.0])
    array([-1.,  1.,  1.])
    """

    name = "sign"


class Sigmoid(_Rounded):
    """Logistic sigmoid, y = 1 / (1 + exp(-z)).

    This is the output head of a binary classification: the probability of a Bernoulli distribution.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Sigmoid()([-2.0, 0.0, 2.0]).round(4)
    array([0.1192, 0.5   , 0.8808])
    """

    name = "sigmoid"


class Tanh(_Rounded):
    """Hyperbolic tangent, y = tanh z.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Tanh()([-1.0, 0.0, 1.0]).round(4)
    array([-0.7616,  0.    ,  0.7616])
    """

    name = "tanh"


class ReLU(Activation):
    """Rectified linear unit, y = max(0, z).

    The derivative at 0 is 0.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.ReLU()([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """

    name = "relu"


class LeakyReLU(Activation):
    """Leaky rectified linear unit, y = z if z > 0 else alpha z.

    Maas et al., "Rectifier nonlinearities improve neural network acoustic models", 2013.

    Parameters
    ----------
    alpha : float >= 0
        Slope for z <= 0.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.LeakyReLU(alpha=0.1)([-1.0, 2.0])
    array([-0.1,  2. ])
    """

    name = "leaky_relu"
    alpha: float

    @_checks.advised("alpha")
    def __init__(self, alpha: float = 0.01) -> None:
        self._store(alpha=_checks.not_negative("alpha", alpha))

    @property
    def parameter(self) -> float:
        return self.alpha


class _PerNeuron(Activation):
    """Base class of activations whose alpha may be one number per neuron."""

    alpha: float | tuple[float, ...]

    @property
    def parameter(self) -> float | Array:
        return self.alpha if isinstance(self.alpha, float) else np.array(self.alpha)


class PReLU(_PerNeuron):
    """Parametric rectified linear unit, y_j = z_j if z_j > 0 else alpha_j z_j.

    Training adapts alpha_j, the slope of neuron j. He et al., "Delving deep into rectifiers", 2015.

    Parameters
    ----------
    alpha : float or sequence of O floats
        Initial slopes: one for all neurons, or one per neuron.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.PReLU(alpha=[0.1, 0.5])([[-1.0, -1.0], [2.0, 2.0]])
    array([[-0.1, -0.5],
           [ 2. ,  2. ]])
    """

    name = "prelu"

    def __init__(self, alpha: float | Sequence[float] | Array = 0.25) -> None:
        self._store(alpha=_learned_alpha(alpha))

    @property
    def learned(self) -> bool:
        return True


class ELU(_PerNeuron):
    """Exponential linear unit, y = z if z > 0 else alpha (exp(z) - 1).

    Clevert et al., "Fast and accurate deep network learning by exponential linear units", 2016.

    Parameters
    ----------
    alpha : float > 0, or, with ``learn``, any float or a sequence of O floats
        -alpha is the limit for z to minus infinity. With ``learn`` it is the initial value.
    learn : bool
        Whether training adapts alpha, with one value per neuron.
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.ELU(alpha=1.0)([-1.0, 2.0]).round(4)
    array([-0.6321,  2.    ])
    """

    name = "elu"
    learn: bool

    @_checks.advised("alpha")
    def __init__(
        self, alpha: float | Sequence[float] | Array = 1.0, learn: bool = False, *, accurate: bool = False
    ) -> None:
        learn = _checks.flag("learn", learn)
        self._store(alpha=_learned_alpha(alpha) if learn else _checks.positive("alpha", alpha), learn=learn)
        self._store_accuracy(accurate)

    @property
    def formula(self) -> str:
        return "elu_learned" if self.learn else "elu"

    @property
    def learned(self) -> bool:
        return self.learn


class SELU(_Rounded):
    """Scaled exponential linear unit, y = lambda (z if z > 0 else alpha (exp(z) - 1)).

    lambda = 1.0507 and alpha = 1.6733 make networks self-normalizing. Klambauer et al., "Self-normalizing neural
    networks", 2017.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.SELU()([-1.0, 1.0]).round(4)
    array([-1.1113,  1.0507])
    """

    name = "selu"


class GELU(Activation):
    """Gaussian error linear unit, y = z Phi(z).

    Phi is the standard normal distribution function. Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "none" uses the exact erf, "tanh" the approximation of the paper.
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.GELU()([-1.0, 1.0]).round(4)
    array([-0.1587,  0.8413])
    >>> fnn.GELU(approximate="tanh")([-1.0, 1.0]).round(4)
    array([-0.1588,  0.8412])
    """

    name = "gelu"
    approximate: Literal["none", "tanh"]

    def __init__(self, approximate: Literal["none", "tanh"] = "none", *, accurate: bool = False) -> None:
        if not isinstance(approximate, str) or approximate not in ("none", "tanh"):
            raise _checks.unknown("approximate", approximate, ("none", "tanh"))
        self._store(approximate=approximate)
        self._store_accuracy(accurate)

    @property
    def formula(self) -> str:
        return "gelu_tanh" if self.approximate == "tanh" else "gelu"


class Softplus(_Rounded):
    """Softplus, y = log(1 + exp z).

    Dugas et al., "Incorporating second-order functional knowledge for better option pricing", 2001.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Softplus()([-1.0, 0.0, 1.0]).round(4)
    array([0.3133, 0.6931, 1.3133])
    """

    name = "softplus"


class Swish(Activation):
    """Swish, y = z sigmoid(beta z), also called SiLU for beta = 1.

    Ramachandran et al., "Searching for activation functions", 2017.

    Parameters
    ----------
    beta : float
        Factor of z in the sigmoid.
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Swish()([-1.0, 0.0, 1.0]).round(4)
    array([-0.2689,  0.    ,  0.7311])
    >>> fnn.activations.get("silu") == fnn.Swish()
    True
    """

    name = "swish"
    beta: float

    def __init__(self, beta: float = 1.0, *, accurate: bool = False) -> None:
        self._store(beta=_checks.finite("beta", beta))
        self._store_accuracy(accurate)

    @property
    def parameter(self) -> float:
        return self.beta


class Softmax(_Rounded):
    """Softmax, y_i = exp(z_i - max z) / sum_j exp(z_j - max z), along the last axis.

    This is the output head of a classification: the probabilities of a Categorical distribution.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Softmax()([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]).round(4)
    array([[0.09  , 0.2447, 0.6652],
           [0.3333, 0.3333, 0.3333]])
    """

    name = "softmax"


class ReLU6(Activation):
    """Rectified linear unit with a maximum of 6, y = min(max(0, z), 6).

    The derivative is 0 at 0 and at 6.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.ReLU6()([-1.0, 2.0, 8.0])
    array([0., 2., 6.])
    """

    name = "relu6"


class HardTanh(Activation):
    """Piecewise linear approximation of tanh, y = max(-1, min(z, 1)).

    The derivative is 0 at -1 and at 1.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.HardTanh()([-2.0, 0.5, 3.0])
    array([-1. ,  0.5,  1. ])
    """

    name = "hard_tanh"


class HardSigmoid(_Rounded):
    """Piecewise linear approximation of the sigmoid, y = max(0, min(z / 6 + 1/2, 1)).

    The derivative is 0 at -3 and at 3.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.HardSigmoid()([-4.0, 0.0, 1.5])
    array([0.  , 0.5 , 0.75])
    """

    name = "hard_sigmoid"


class HardSwish(_Rounded):
    """Approximation of swish with a hard sigmoid, y = z max(0, min(z / 6 + 1/2, 1)).

    The derivative is 0 at -3 and 1 at 3. Howard et al., "Searching for MobileNetV3", 2019.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.HardSwish()([-1.5, 1.5, 4.0])
    array([-0.375,  1.125,  4.   ])
    """

    name = "hard_swish"


class Mish(_Rounded):
    """Mish, y = z tanh(log(1 + exp z)).

    Misra, "Mish: a self regularized non-monotonic activation function", 2020.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Mish()([-1.0, 0.0, 1.0]).round(4)
    array([-0.3034,  0.    ,  0.8651])
    """

    name = "mish"


class Softsign(_Rounded):
    """Softsign, y = z / (1 + abs(z)).

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Softsign()([-1.0, 0.0, 3.0])
    array([-0.5 ,  0.  ,  0.75])
    """

    name = "softsign"


class CELU(Activation):
    """Continuously differentiable exponential linear unit, y = z if z > 0 else alpha (exp(z / alpha) - 1).

    Barron, "Continuously differentiable exponential linear units", 2017.

    Parameters
    ----------
    alpha : float > 0
        -alpha is the limit for z to minus infinity.
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.CELU(alpha=2.0)([-2.0, 0.0, 1.0]).round(4)
    array([-1.2642,  0.    ,  1.    ])
    """

    name = "celu"
    alpha: float

    def __init__(self, alpha: float = 1.0, *, accurate: bool = False) -> None:
        self._store(alpha=_checks.positive("alpha", alpha))
        self._store_accuracy(accurate)

    @property
    def parameter(self) -> float:
        return self.alpha


class Exponential(_Rounded):
    """Exponential function, y = exp z.

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Exponential()([0.0, 1.0]).round(4)
    array([1.    , 2.7183])
    """

    name = "exponential"


class LogSigmoid(_Rounded):
    """Logarithm of the sigmoid, y = log(1 / (1 + exp(-z))) = -log(1 + exp(-z)).

    Parameters
    ----------
    accurate : bool
        Whether float32 is computed in float64 and rounded once.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.LogSigmoid()([-1.0, 0.0, 1.0]).round(4)
    array([-1.3133, -0.6931, -0.3133])
    """

    name = "log_sigmoid"


class Registered(Activation):
    """An activation of the registry that has no class of its own.

    Parameters
    ----------
    name : str
        The name in the registry of the kernels.
    accurate : bool
        Whether float32 is computed in float64 and rounded once.
    **parameters : float or sequence of O floats
        ``alpha``, if the activation has a parameter. It must be > 0 if the backward pass reads the output, which
        otherwise does not determine the sign of the input. A learned alpha may be a sequence with one value per neuron.

    Raises
    ------
    TypeError
        If the activation does not have this parameter.
    """

    alpha: float | tuple[float, ...]

    def __init__(self, name: str, *, accurate: bool = False, **parameters: Any) -> None:
        info = _REGISTRY[name]
        unknown = [key for key in parameters if key != "alpha" or not info["parameter"]]
        if unknown:
            raise TypeError(f"{name} got an unexpected keyword argument {unknown[0]!r}")
        self._store(name=name)
        if info["parameter"]:
            alpha = parameters.get("alpha", info["default"])
            check = _checks.positive if info["saves"] == "output" else _checks.finite
            self._store(alpha=_learned_alpha(alpha) if info["learned"] else check("alpha", alpha))
        self._store_accuracy(accurate)

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
    "hard_silu": HardSwish,
    "logistic": Sigmoid,
    "silu": Swish,
    # The names in the kernels for variants of a class:
    "gelu_tanh": lambda **parameters: GELU(approximate="tanh", **parameters),
    "elu_learned": lambda **parameters: ELU(learn=True, **parameters),
}


_KEYS = {_checks.key(name): name for name in (*_REGISTRY, *_BY_NAME)}


def get(name: str | Activation | None, **parameters: Any) -> Activation:
    """Return the activation of a name.

    Parameters
    ----------
    name : str, Activation or None
        A name of the registry or of a class, in upper or lower case, with or without underscores. "linear" and None
        are identity, "silu" is swish, "hard_silu" is hard_swish, "logistic" is sigmoid. An activation object is
        returned as it is.
    **parameters : float, str or bool
        The parameters of its class, instead of the defaults. With ``accurate=True``, which every activation takes here,
        float32 is computed in float64 and rounded once, forward and in ``derivative``: the error is then half an ulp,
        at several times the cost. The backward pass, float64 and activations that are exact as they are, such as ReLU,
        do not change. It runs on the CPU only.

    Returns
    -------
    Activation
        The activation.

    Raises
    ------
    ValueError
        If there is no activation of this name.
    TypeError
        If ``name`` is neither a name nor an activation object, or if the activation does not have a parameter.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.activations.get("leaky_relu", alpha=0.1)
    LeakyReLU(alpha=0.1)
    >>> fnn.activations.get("ReLU").name
    'relu'
    >>> fnn.activations.get("tanh", accurate=True)
    Tanh(accurate=True)
    """
    if isinstance(name, Activation) and not parameters:
        return name
    accurate = _checks.flag("accurate", parameters.pop("accurate", False))
    if name is None:
        name = Identity.name
    if not isinstance(name, str):
        raise TypeError(_checks.message("activation", "a name or an activation object", repr(name)) + _meant(name))
    known = name.lower()
    if known not in _REGISTRY:
        known = _KEYS.get(_checks.key(name), known)
    make = _BY_NAME.get(known) or (partial(Registered, known) if known in _REGISTRY else None)
    if make is None:
        raise _checks.unknown("activation", name, list(dict.fromkeys([*_REGISTRY, *_BY_NAME])))
    found = make(**parameters)
    return make(**parameters, accurate=True) if accurate and not _REGISTRY[found.formula]["exact"] else found


def _meant(value: object) -> str:
    """What to write for a class, or for a function or an object of another library."""
    if isinstance(value, type) and issubclass(value, Activation):
        return f"; write {value.__name__}()"
    known = _KEYS.get(_checks.key(getattr(value, "__name__", type(value).__name__)))
    return f"; write {known!r}" if known else ""


def _learned_alpha(alpha: Any) -> float | tuple[float, ...]:
    if isinstance(alpha, int):
        alpha = _checks.finite("alpha", alpha)  # NumPy would make an object array of a huge one
    values = _checks.fit(_checks.real_array("alpha", alpha), _checks.FLOAT64)
    if values.ndim > 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(_checks.message("alpha", "a finite number, or one per neuron, shape (O,)", repr(alpha)))
    numbers: float | list[float] = values.tolist()
    return tuple(numbers) if isinstance(numbers, list) else numbers
