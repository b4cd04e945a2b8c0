"""The dense layer y = f(x W + b), forward and backward, unfused, in float64."""

from typing import NamedTuple

from ._xp import Array, as_float64, flat, namespace
from .activations import ACTIVATIONS, Activation


class DenseGradients(NamedTuple):
    """Gradients of a dense layer.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Gradient of the input.
    weight : ndarray of shape (I, O)
        Gradient of the weight.
    bias : ndarray of shape (O,)
        Gradient of the bias.
    alpha : ndarray of shape (O,) or None
        Gradient of the learned parameter; None for an activation without learned parameter.
    """

    x: Array
    weight: Array
    bias: Array
    alpha: Array | None


def _activation(activation: str | Activation) -> Activation:
    return activation if isinstance(activation, Activation) else ACTIVATIONS[activation]


def pre_activation(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return the pre-activations z_o = sum_i x_i W_io + b_o.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (I, O)
        Weights.
    bias : ndarray of shape (O,), optional
        Biases. Zero by default.

    Returns
    -------
    ndarray of shape (..., O)
        The pre-activations.
    """
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
    """Return f(z) and z, where z = x W + b.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (I, O)
        Weights.
    bias : ndarray of shape (O,), optional
        Biases. Zero by default.
    activation : str or Activation
        A name of the registry, or a reference activation.
    parameter : number or ndarray of shape (O,), optional
        Parameter of the activation. By default that of the activation.

    Returns
    -------
    y : ndarray of shape (..., O)
        The outputs f(z).
    z : ndarray of shape (..., O)
        The pre-activations, for ``dense_backward``.
    """
    z = pre_activation(x, weight, bias)
    return _activation(activation).forward(z, parameter), z


def dense(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str | Activation = "identity",
    parameter: Array = None,
) -> Array:
    """Return f(x W + b).

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (I, O)
        Weights.
    bias : ndarray of shape (O,), optional
        Biases. Zero by default.
    activation : str or Activation
        A name of the registry, or a reference activation.
    parameter : number or ndarray of shape (O,), optional
        Parameter of the activation. By default that of the activation.

    Returns
    -------
    ndarray of shape (..., O)
        The outputs.
    """
    return dense_forward(x, weight, bias, activation, parameter)[0]


def dense_backward(
    dy: Array,
    x: Array,
    weight: Array,
    z: Array,
    activation: str | Activation = "identity",
    parameter: Array = None,
) -> DenseGradients:
    """Return the gradients of a dense layer by the chain rule.

    With dz = dy f'(z), or for softmax its Jacobian-vector product: dx = dz W^T, dW = x^T dz, db = sum of dz over the
    rows, and for a learned parameter dalpha = sum over the rows of dy df/dalpha. Rumelhart, Hinton and Williams,
    "Learning representations by back-propagating errors", 1986.

    Parameters
    ----------
    dy : ndarray of shape (..., O)
        Gradient of the loss with respect to the output.
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (I, O)
        Weights.
    z : ndarray of shape (..., O)
        Pre-activations, the second result of ``dense_forward``.
    activation : str or Activation
        A name of the registry, or a reference activation.
    parameter : number or ndarray of shape (O,), optional
        Parameter of the activation. By default that of the activation.

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
