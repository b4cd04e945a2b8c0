"""The activations, elementwise and unfused, in float64: the reference for the kernels.

All formulas avoid overflow and cancellation. NaN gives NaN, and an infinity gives the limit. The derivative at a kink
is the one of the side that extends to an infinity, and if both do, of the left side: 0 for relu and at the start of
clipping, alpha for leaky_relu, prelu and elu.
"""

import math
from abc import ABC, abstractmethod
from types import ModuleType
from typing import ClassVar

import numpy as np

from ._xp import Array, as_float64, erfc, namespace

SELU_LAMBDA = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717

_MAX = float(np.finfo(np.float64).max)
_FLAT = 1e4  # beyond +-1e4 every smooth derivative of this file equals its limit in float64


class Activation(ABC):
    """Base class of the reference activations: a name and formulas.

    Subclasses have the formulas for finite or infinite z in float64; NaN, conversions and warnings are handled here.
    Objects have no state and cannot be changed.

    Attributes
    ----------
    name : str
        The name in the registry of the compiled kernels.
    default : float or None
        The default value of the parameter; None for an activation without parameter.
    learned : bool
        Whether the parameter is learned, with one value per neuron.
    differentiable : bool
        Whether gradients can pass through.
    rowwise : bool
        Whether an output depends on its whole row (softmax). There is then no elementwise derivative, only
        ``backward``.
    kinks : tuple of float
        Where the derivative jumps, at least for some parameter.
    """

    __slots__ = ()

    name: ClassVar[str]
    default: ClassVar[float | None] = None
    learned: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    rowwise: ClassVar[bool] = False
    kinks: ClassVar[tuple[float, ...]] = ()

    def forward(self, z: Array, parameter: Array = None) -> Array:
        """Apply the activation.

        Parameters
        ----------
        z : ndarray of shape (..., O)
            Pre-activations.
        parameter : number or ndarray of shape (O,), optional
            Alpha or beta. By default ``default``.

        Returns
        -------
        ndarray of shape (..., O)
            The activation of z.
        """
        return self._apply("_value", z, parameter)

    def derivative(self, z: Array, parameter: Array = None) -> Array:
        """Return the derivative of ``forward`` with respect to z, elementwise.

        Parameters
        ----------
        z : ndarray of shape (..., O)
            Pre-activations.
        parameter : number or ndarray of shape (O,), optional
            Alpha or beta. By default ``default``.

        Returns
        -------
        ndarray of shape (..., O)
            The derivative.

        Raises
        ------
        TypeError
            If the activation is not differentiable or not elementwise.
        """
        return self._apply("_slope", z, parameter)

    def parameter_gradient(self, z: Array, parameter: Array = None) -> Array:
        """Return the derivative of ``forward`` with respect to the parameter, elementwise.

        The gradient is its product with dL/dy, summed over the rows.

        Parameters
        ----------
        z : ndarray of shape (..., O)
            Pre-activations.
        parameter : number or ndarray of shape (O,), optional
            Alpha or beta. By default ``default``.

        Returns
        -------
        ndarray of shape (..., O)
            The derivative.

        Raises
        ------
        TypeError
            If the parameter is not learned.
        """
        return self._apply("_parameter_slope", z, parameter)

    def backward(self, dy: Array, z: Array, parameter: Array = None) -> Array:
        """Return dL/dz from dL/dy: dy times the derivative.

        Parameters
        ----------
        dy : ndarray of shape (..., O)
            Gradient of the loss with respect to the output.
        z : ndarray of shape (..., O)
            Pre-activations.
        parameter : number or ndarray of shape (O,), optional
            Alpha or beta. By default ``default``.

        Returns
        -------
        ndarray of shape (..., O)
            Gradient of the loss with respect to z.
        """
        xp = namespace(dy, z)
        return as_float64(xp, dy) * self.derivative(as_float64(xp, z), parameter)

    def _apply(self, formula: str, z: Array, parameter: Array) -> Array:
        xp = namespace(z, parameter)
        z = as_float64(xp, z)
        a = None if self.default is None else as_float64(xp, self.default if parameter is None else parameter)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            y = getattr(self, formula)(xp, z, a)
        return y if self.rowwise else xp.where(xp.isnan(z), xp.nan, y)

    @abstractmethod
    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array: ...

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        raise TypeError(f"{self.name} has no elementwise derivative")

    def _parameter_slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        raise TypeError(f"{self.name} has no learned parameter")


def _sigmoid(xp: ModuleType, z: Array) -> Array:
    """1/(1+exp(-z)) as exp(min(z, 0)) / (1+exp(-|z|)): the exponential never overflows, small results keep all bits."""
    e = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, 1.0, e) / (1.0 + e)


def _finite(xp: ModuleType, z: Array) -> Array:
    """z with the infinities replaced by the largest number, for products with a factor that vanishes at infinity."""
    return xp.clip(z, -_MAX, _MAX)


def _times(xp: ModuleType, a: Array, z: Array) -> Array:
    """a z, where zero times infinity is the limit of 0 z: zero."""
    return xp.where(a == 0, a * _finite(xp, z), a * z)


def _below(xp: ModuleType, z: Array) -> Array:
    """min(z, 0) that keeps -0.0 and NaN: what an exponential may see of the negative side."""
    return xp.where(z > 0, 0.0, z)


class Identity(Activation):
    """z. The mean of a Gaussian output."""

    __slots__ = ()
    name = "identity"

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return z.copy()

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.ones_like(z)


class Step(Activation):
    """1 if z >= 0 else 0. Rosenblatt's perceptron (1958); derivative zero almost everywhere: not trainable."""

    __slots__ = ()
    name = "step"
    differentiable = False

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z >= 0, 1.0, 0.0)


class Sign(Activation):
    """1 if z >= 0 else -1. The symmetric hard limit; not trainable."""

    __slots__ = ()
    name = "sign"
    differentiable = False

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z >= 0, 1.0, -1.0)


class Sigmoid(Activation):
    """sigma(z) = 1/(1+exp(-z)); derivative sigma(z) sigma(-z). The inverse of the logit log(p/(1-p))."""

    __slots__ = ()
    name = "sigmoid"

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return _sigmoid(xp, z)

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return _sigmoid(xp, z) * _sigmoid(xp, -z)


class Tanh(Activation):
    """tanh z = 2 sigma(2z) - 1; derivative 1/cosh(z)^2 = 4 sigma(2z) sigma(-2z), which does not cancel."""

    __slots__ = ()
    name = "tanh"

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.tanh(z)

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return 4.0 * _sigmoid(xp, 2.0 * z) * _sigmoid(xp, -2.0 * z)


class ReLU(Activation):
    """max(0, z); derivative 1 if z > 0 else 0. Nair and Hinton 2010."""

    __slots__ = ()
    name = "relu"
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, z, 0.0)

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, 1.0, 0.0)


class LeakyReLU(Activation):
    """z if z > 0 else alpha z; derivative 1 or alpha. Maas, Hannun and Ng 2013."""

    __slots__ = ()
    name = "leaky_relu"
    kinks: ClassVar[tuple[float, ...]] = (0.0,)
    default: ClassVar[float | None] = 0.01

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, z, _times(xp, a, z))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, 1.0, a)


class PReLU(LeakyReLU):
    """z if z > 0 else a_j z with a_j learned; d/da_j is 0 or z. He et al. 2015, arXiv:1502.01852, equations 1 and 7."""

    __slots__ = ()
    name = "prelu"
    default: ClassVar[float | None] = 0.25
    learned = True

    def _parameter_slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, 0.0, z)


class ELU(Activation):
    """z if z > 0 else alpha (exp(z) - 1); derivative 1 or alpha exp(z). Clevert et al. 2016, arXiv:1511.07289."""

    __slots__ = ()
    name = "elu"
    kinks: ClassVar[tuple[float, ...]] = (0.0,)
    default: ClassVar[float | None] = 1.0

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, z, a * xp.expm1(_below(xp, z)))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, 1.0, a * xp.exp(_below(xp, z)))


class LearnedELU(ELU):
    """elu with alpha_j learned; d/dalpha_j is 0 or exp(z) - 1. Trottier et al. 2017, arXiv:1605.09332 (with b = 1)."""

    __slots__ = ()
    name = "elu_learned"
    learned = True

    def _parameter_slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, 0.0, xp.expm1(_below(xp, z)))


class SELU(Activation):
    """lambda elu(z, alpha) with the constants of Klambauer et al. 2017, arXiv:1706.02515, equation 14."""

    __slots__ = ()
    name = "selu"
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return SELU_LAMBDA * xp.where(z > 0, z, SELU_ALPHA * xp.expm1(_below(xp, z)))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return SELU_LAMBDA * xp.where(z > 0, 1.0, SELU_ALPHA * xp.exp(_below(xp, z)))


class GELU(Activation):
    """z Phi(z), Phi(z) = erfc(-z / sqrt 2) / 2; derivative Phi(z) + z phi(z). Hendrycks and Gimpel, arXiv:1606.08415.

    Rounding z / sqrt 2 costs about z^2 / 2 eps of relative error in the left tail, nothing in float32's measure.
    """

    __slots__ = ()
    name = "gelu"

    def _phi(self, xp: ModuleType, z: Array) -> Array:
        return 0.5 * erfc(xp, -z * math.sqrt(0.5))

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(xp.isposinf(z), z, _finite(xp, z) * self._phi(xp, z))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        z = xp.clip(z, -_FLAT, _FLAT)
        return self._phi(xp, z) + z * xp.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


class TanhGELU(Activation):
    """z (1 + tanh u)/2 with u = sqrt(2/pi) (z + 0.044715 z^3), written z sigma(2u), which does not cancel for z < 0.

    Derivative sigma(2u) + 2 z u' sigma(2u) sigma(-2u). Hendrycks and Gimpel, arXiv:1606.08415, section 2.
    """

    __slots__ = ()
    name = "gelu_tanh"

    def _twice_u(self, z: Array) -> Array:
        return 2.0 * math.sqrt(2.0 / math.pi) * (z + 0.044715 * z * z * z)

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(xp.isposinf(z), z, _finite(xp, z) * _sigmoid(xp, self._twice_u(z)))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        z = xp.clip(z, -_FLAT, _FLAT)
        v = self._twice_u(z)
        dv = 2.0 * math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * 0.044715 * z * z)
        return _sigmoid(xp, v) + z * dv * _sigmoid(xp, v) * _sigmoid(xp, -v)


class Softplus(Activation):
    """log(1 + exp z) = max(z, 0) + log1p(exp(-|z|)) = -log sigma(-z); derivative sigma(z). Dugas et al. 2001."""

    __slots__ = ()
    name = "softplus"

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return _sigmoid(xp, z)


class Swish(Activation):
    """z sigma(beta z); derivative sigma(t) (1 + t sigma(-t)) with t = beta z. Ramachandran et al., arXiv:1710.05941."""

    __slots__ = ()
    name = "swish"
    default: ClassVar[float | None] = 1.0

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        # If the sigmoid is 0 at an infinity, the product is 0, too; else it is infinite.
        s = _sigmoid(xp, _times(xp, a, z))
        return xp.where(s == 0, _finite(xp, z) * s, z * s)

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        t = xp.clip(_times(xp, a, z), -_FLAT, _FLAT)
        return _sigmoid(xp, t) * (1.0 + t * _sigmoid(xp, -t))


class Softmax(Activation):
    """exp(z_i - m) / sum_j exp(z_j - m), m = max z, along the last axis; equal infinities differ by zero.

    Backward is the Jacobian-vector product dz_i = y_i (dy_i - sum_j dy_j y_j). Bridle 1990.
    """

    __slots__ = ()
    name = "softmax"
    rowwise = True

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        m = xp.max(z, axis=-1, keepdims=True)
        e = xp.exp(xp.where(z == m, 0.0, z - m))
        return e / xp.sum(e, axis=-1, keepdims=True)

    def backward(self, dy: Array, z: Array, parameter: Array = None) -> Array:
        """Return dL/dz from dL/dy, row by row.

        Parameters
        ----------
        dy : ndarray of shape (..., O)
            Gradient of the loss with respect to the output.
        z : ndarray of shape (..., O)
            Pre-activations.
        parameter : number or ndarray of shape (O,), optional
            Alpha or beta. By default ``default``.

        Returns
        -------
        ndarray of shape (..., O)
            Gradient of the loss with respect to z.
        """
        xp = namespace(dy, z)
        dy, y = as_float64(xp, dy), self.forward(as_float64(xp, z))
        return y * (dy - xp.sum(dy * y, axis=-1, keepdims=True))


class ReLU6(Activation):
    """min(max(0, z), 6); derivative 1 if 0 < z < 6 else 0. Krizhevsky 2010."""

    __slots__ = ()
    name = "relu6"
    kinks: ClassVar[tuple[float, ...]] = (0.0, 6.0)

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, xp.minimum(z, 6.0), 0.0)

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, xp.where(z < 6, 1.0, 0.0), 0.0)


class HardTanh(Activation):
    """max(-1, min(z, 1)); derivative 1 if -1 < z < 1 else 0. Collobert 2004."""

    __slots__ = ()
    name = "hard_tanh"
    kinks: ClassVar[tuple[float, ...]] = (-1.0, 1.0)

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.clip(z, -1.0, 1.0)

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(xp.abs(z) < 1, 1.0, 0.0)


class HardSigmoid(Activation):
    """max(0, min(z / 6 + 1/2, 1)), as (z + 3) / 6, which does not cancel at -3; derivative 1/6 if -3 < z < 3 else 0."""

    __slots__ = ()
    name = "hard_sigmoid"
    kinks: ClassVar[tuple[float, ...]] = (-3.0, 3.0)

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.clip((z + 3.0) / 6.0, 0.0, 1.0)

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(xp.abs(z) < 3, 1.0 / 6.0, 0.0)


class HardSwish(Activation):
    """z max(0, min((z + 3) / 6, 1)); derivative 0, (z + 3/2) / 3 or 1. Howard et al. 2019, arXiv:1905.02244."""

    __slots__ = ()
    name = "hard_swish"
    kinks: ClassVar[tuple[float, ...]] = (-3.0, 3.0)

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z >= 3, z, _finite(xp, z) * xp.clip((z + 3.0) / 6.0, 0.0, 1.0))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z <= -3, 0.0, xp.where(z >= 3, 1.0, (z + 1.5) / 3.0))


class Mish(Activation):
    """z tanh u with u = log(1 + exp z); derivative tanh u + z sigma(z) / cosh(u)^2. Misra 2020, arXiv:1908.08681.

    1 / cosh(u)^2 = 4 sigma(2u) sigma(-2u) does not cancel.
    """

    __slots__ = ()
    name = "mish"

    def _u(self, xp: ModuleType, z: Array) -> Array:
        return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(xp.isposinf(z), z, _finite(xp, z) * xp.tanh(self._u(xp, z)))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        z = xp.clip(z, -_FLAT, _FLAT)
        u = self._u(xp, z)
        return xp.tanh(u) + z * _sigmoid(xp, z) * 4.0 * _sigmoid(xp, 2.0 * u) * _sigmoid(xp, -2.0 * u)


class Softsign(Activation):
    """z / (1 + |z|); derivative 1 / (1 + |z|)^2. Glorot and Bengio 2010."""

    __slots__ = ()
    name = "softsign"

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(xp.isinf(z), xp.sign(z), z / (1.0 + xp.abs(z)))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return (1.0 / (1.0 + xp.abs(z))) ** 2


class CELU(Activation):
    """z if z > 0 else alpha (exp(z / alpha) - 1); derivative 1 or exp(z / alpha). Barron 2017, arXiv:1704.07483."""

    __slots__ = ()
    name = "celu"
    default: ClassVar[float | None] = 1.0

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.where(z > 0, z, a * xp.expm1(_below(xp, z) / a))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.exp(_below(xp, z) / a)


class Exponential(Activation):
    """exp z, which is its derivative, too."""

    __slots__ = ()
    name = "exponential"

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.exp(z)

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return xp.exp(z)


class LogSigmoid(Activation):
    """log sigma(z) = min(z, 0) - log1p(exp(-|z|)) = -softplus(-z); derivative sigma(-z)."""

    __slots__ = ()
    name = "log_sigmoid"

    def _value(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return -(xp.maximum(-z, 0.0) + xp.log1p(xp.exp(-xp.abs(z))))

    def _slope(self, xp: ModuleType, z: Array, a: Array) -> Array:
        return _sigmoid(xp, -z)


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Identity(), Step(), Sign(), Sigmoid(), Tanh(), ReLU(), LeakyReLU(), PReLU(),
        ELU(), LearnedELU(), SELU(), GELU(), TanhGELU(), Softplus(), Swish(), Softmax(),
        ReLU6(), HardTanh(), HardSigmoid(), HardSwish(), Mish(), Softsign(), CELU(), Exponential(), LogSigmoid(),
    )
}  # fmt: skip
