"""Dense layers."""

from __future__ import annotations

from typing import overload

from numpy.typing import ArrayLike, NDArray

from .. import _checks, activations
from .._checks import Array, Float, matrix
from .._device import select
from ..activations import Activation
from ..typing import ActivationName
from ._operands import Grads, fit_operands


@overload
def dense(
    x: NDArray[Float],
    weight: NDArray[Float],
    bias: NDArray[Float] | None = None,
    activation: ActivationName | Activation | None = "identity",
    *,
    out: NDArray[Float] | None = None,
) -> NDArray[Float]: ...
@overload
def dense(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    activation: ActivationName | Activation | None = "identity",
    *,
    out: Array | None = None,
) -> Array: ...
def dense(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    activation: ActivationName | Activation | None = "identity",
    *,
    out: Array | None = None,
) -> Array:
    """Compute a dense layer, ``activation(x @ weight + bias)``, in one kernel.

    Parameters
    ----------
    x : array_like of shape (..., I)
        Inputs.
    weight : array_like of shape (I, O)
        Weights.
    bias : array_like of shape (O,), optional
        Biases. Zero by default.
    activation : str, Activation or None
        The activation function; None is identity.
    out : ndarray of shape (..., O), optional
        Array that receives the result. It has the dtype that the operands promote to, and shares no memory with them.

    Returns
    -------
    ndarray of shape (..., O)
        The outputs of the layer; ``out`` if it is given.

    Raises
    ------
    ValueError
        If the shapes do not match, the activation is unknown, or ``out`` has another shape or shares memory with an
        operand.
    TypeError
        If an array does not contain real numbers, or ``out`` has another dtype.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> x = [[1.0, 2.0]]
    >>> weight = [[1.0, -1.0], [0.5, 0.5]]
    >>> fnn.dense(x, weight, [0.0, -1.0], "relu")
    array([[2., 0.]])
    """
    act = activations.get(activation)
    device = select.of(x=x, weight=weight, bias=bias, out=out)
    x, weight, bias = device.affine(x, weight, bias, pieces=False)
    dtype = device.promote_affine(x, weight, bias)
    y = device.output(out, (*x.shape[:-1], weight.shape[1]), dtype, x=x, weight=weight, bias=bias)
    parameter = act.parameter_array(weight.shape[1], dtype)
    if y.size:
        device.dense_forward(*fit_operands(device, x, weight, bias, dtype), act.kernel, parameter, matrix(y), None)
    return device.deliver(y, out)


def dense_forward(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    activation: ActivationName | Activation | None = "identity",
) -> tuple[Array, Array]:
    """Compute a dense layer and what ``dense_backward`` reads.

    Parameters
    ----------
    x : array_like of shape (..., I)
        Inputs.
    weight : array_like of shape (I, O)
        Weights.
    bias : array_like of shape (O,), optional
        Biases. Zero by default.
    activation : str, Activation or None
        The activation function; None is identity.

    Returns
    -------
    y : ndarray of shape (..., O)
        The outputs of the layer, as of ``dense``.
    saved : ndarray of shape (..., O)
        ``x @ weight + bias`` if the derivative of the activation needs it, else y itself.

    Raises
    ------
    ValueError
        As ``dense``; also for step and sign, which are not differentiable.
    TypeError
        As ``dense``.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> y, saved = fnn.dense_forward([[1.0, 2.0]], [[1.0], [-1.0]], activation="softplus")
    >>> saved
    array([[0.31326169]])
    """
    act = activations.get(activation)
    act.require_differentiable()
    device = select.of(x=x, weight=weight, bias=bias)
    x, weight, bias = device.affine(x, weight, bias, pieces=False)
    dtype = device.promote_affine(x, weight, bias)
    y = device.empty((*x.shape[:-1], weight.shape[1]), dtype)
    z = device.empty(y.shape, dtype) if act.saves == "input" else None
    parameter = act.parameter_array(weight.shape[1], dtype)
    if y.size:
        device.dense_forward(
            *fit_operands(device, x, weight, bias, dtype),
            act.kernel,
            parameter,
            matrix(y),
            None if z is None else matrix(z),
        )
    return y, y if z is None else z


def dense_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    saved: ArrayLike,
    activation: ActivationName | Activation | None = "identity",
) -> Grads:
    """Compute the gradients of a dense layer from the gradient of its output.

    Parameters
    ----------
    dy : array_like of shape (..., O)
        Gradient of the loss with respect to the output.
    x : array_like of shape (..., I)
        Inputs, as passed to ``dense_forward``.
    weight : array_like of shape (I, O)
        Weights, as passed to ``dense_forward``.
    saved : array_like of shape (..., O)
        The second result of ``dense_forward``.
    activation : str, Activation or None
        The activation function, as passed to ``dense_forward``.

    Returns
    -------
    Grads
        ``.x`` (..., I), ``.weight`` (I, O), ``.bias`` (O,), and ``.alpha`` (O,) for prelu and a learned elu.

    Raises
    ------
    ValueError
        If the shapes do not match, or for step and sign, which are not differentiable.
    TypeError
        If an array does not contain real numbers.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> x, weight = [[1.0, 2.0]], [[1.0], [-1.0]]
    >>> y, saved = fnn.dense_forward(x, weight, activation="sigmoid")
    >>> grads = fnn.dense_backward([[1.0]], x, weight, saved, "sigmoid")
    >>> grads.x.round(4)
    array([[ 0.1966, -0.1966]])
    """
    act = activations.get(activation)
    act.require_differentiable()
    device = select.of(dy=dy, x=x, weight=weight, saved=saved)
    x, weight, _ = device.affine(x, weight, None, pieces=False)
    shape = (*x.shape[:-1], weight.shape[1])
    dy = _checks.same_shape("dy", device.array("dy", dy), shape)
    saved = _checks.same_shape("saved", device.array("saved", saved), shape)
    dtype = device.promote(dy, x, weight, saved)
    parameter = act.parameter_array(weight.shape[1], dtype)
    grads = Grads(
        device.empty(x.shape, dtype),
        device.empty(weight.shape, dtype),
        device.empty(weight.shape[1], dtype),
        device.empty(weight.shape[1], dtype) if act.learned else None,
    )
    dy, x, weight, saved = (device.fit(array, dtype) for array in (dy, x, weight, saved))
    device.dense_backward(
        matrix(dy), matrix(x), weight, matrix(saved), act.kernel, parameter, matrix(grads.x), *grads[1:]
    )
    return grads
