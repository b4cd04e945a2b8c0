"""The dense layer y = f(x W + b), forward and backward, unfused, in float64."""

from typing import NamedTuple

from ._xp import Array, as_float64, flat, namespace
from .activations import ACTIVATIONS, Activation


class DenseGradients(NamedTuple):
    """Gradients of a dense layer; alpha is None unless the activation's parameter is learned."""

    x: Array
    weight: Array
    bias: Array
    alpha: Array | None


def _activation(activation: str | Activation) -> Activation:
    return activation if isinstance(activation, Activation) else ACTIVATIONS[activation]


def pre_activation(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """z_o = sum_i x_i W_io + b_o. x (..., I), weight (I, O), bias (O,) or None -> (..., O)."""
    xp = namespace(x, weight)
    z = as_float64(xp, x) @ as_float64(xp, weight)
    return z if bias is None else z + as_float64(xp, bias)


def dense_forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str | Activation = "identity",
    parameter: Array = None,
) -> tuple[Array, Array]:
    """(f(z), z) with z = x W + b. x (..., I), weight (I, O), bias (O,) or None -> two of (..., O)."""
    z = pre_activation(x, weight, bias)
    return _activation(activation).forward(z, parameter), z


def dense(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str | Activation = "identity",
    parameter: Array = None,
) -> Array:
    """f(x W + b). x (..., I), weight (I, O), bias (O,) or None -> (..., O)."""
    return dense_forward(x, weight, bias, activation, parameter)[0]


def dense_backward(
    dy: Array,
    x: Array,
    weight: Array,
    z: Array,
    activation: str | Activation = "identity",
    parameter: Array = None,
) -> DenseGradients:
    """The chain rule through f and x W + b; z is what `dense_forward` returned second.

    With dz = dy f'(z) (softmax: its Jacobian-vector product): dx = dz W^T, dW = x^T dz, db = sum dz over the rows, and
    for a learned parameter dalpha = sum over the rows of dy df/dalpha. Rumelhart, Hinton and Williams 1986.

    Parameters
    ----------
    dy : (..., O)
    x : (..., I)
    weight : (I, O)
    z : (..., O)
    activation : registry name or Activation
    parameter : number or (O,), the activation's default if None

    Returns
    -------
    DenseGradients
        x (..., I), weight (I, O), bias (O,), alpha (O,) or None.
    """
    xp = namespace(dy, x, weight)
    dy, x, weight, z = (as_float64(xp, array) for array in (dy, x, weight, z))
    f = _activation(activation)
    dz = f.backward(dy, z, parameter)
    rows = tuple(range(dy.ndim - 1))
    alpha = xp.sum(dy * f.parameter_gradient(z, parameter), axis=rows) if f.learned else None
    dweight = flat(x).T @ flat(dz)
    return DenseGradients(dz @ weight.T, dweight, xp.sum(dz, axis=rows), alpha)
