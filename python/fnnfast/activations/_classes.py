"""The activations by class: public names, formulas, checked parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .. import _checks
from .._checks import Array
from ._base import Activation, PerNeuron, Rounded, learned_alpha


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


class Sigmoid(Rounded):
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


class Tanh(Rounded):
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


class PReLU(PerNeuron):
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
        self._store(alpha=learned_alpha(alpha))

    @property
    def learned(self) -> bool:
        return True


class ELU(PerNeuron):
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
        self._store(alpha=learned_alpha(alpha) if learn else _checks.positive("alpha", alpha), learn=learn)
        self._store_accuracy(accurate)

    @property
    def formula(self) -> str:
        return "elu_learned" if self.learn else "elu"

    @property
    def learned(self) -> bool:
        return self.learn


class SELU(Rounded):
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


class Softplus(Rounded):
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


class Softmax(Rounded):
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


class HardSigmoid(Rounded):
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


class HardSwish(Rounded):
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


class Mish(Rounded):
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


class Softsign(Rounded):
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


class Exponential(Rounded):
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


class LogSigmoid(Rounded):
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
