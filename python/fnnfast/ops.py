"""The fused kernels as functions: NumPy in, NumPy out; CuPy in, CuPy out, on CuPy's current stream.

All functions accept arrays of any stride, alignment and byte order. float32 and float64 are kept; mixed, they are
promoted to float64, as NumPy does. Integers and other floats are converted once, bfloat16 of ml_dtypes to float32.

On a GPU, float16 and bfloat16 are kept as well if all floats have this dtype. Sums are in float32, and a bias in
float32 is added to them without a conversion. Mixed with other floats they are promoted to the larger dtype, or both to
float32. Arrays of other libraries on a GPU are read through DLPack or ``__cuda_array_interface__``; lists of numbers
are copied to the GPU. No function waits for the GPU, so a call can be captured in a CUDA graph after a first call
outside of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks, _cpu, activations
from ._checks import Array, matrix
from ._device import select
from ._device.base import Device
from .activations import Activation

# The saved argmax of maxout is one byte per output.
MAX_SAVED_PIECES = _cpu.MAX_SAVED_PIECES


class Grads(NamedTuple):
    """Gradients of a layer, each of the shape of the array that it belongs to.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Gradient of the input.
    weight : ndarray of shape (I, O), or (P, I, O) for maxout
        Gradient of the weight.
    bias : ndarray of shape (O,), or (P, O) for maxout
        Gradient of the bias.
    alpha : ndarray of shape (O,) or None
        Gradient of the learned parameter of the activation, with one value per neuron even if the parameter was given
        as one number. None for an activation without learned parameter.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> y, saved = fnn.dense_forward([[1.0, 2.0]], [[1.0], [1.0]])
    >>> grads = fnn.dense_backward([[1.0]], [[1.0, 2.0]], [[1.0], [1.0]], saved)
    >>> grads.weight
    array([[1.],
           [2.]])
    """

    x: Array
    weight: Array
    bias: Array
    alpha: Array | None = None


def dense(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    activation: str | Activation | None = "identity",
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
        device.dense_forward(*_fit_operands(device, x, weight, bias, dtype), act.kernel, parameter, matrix(y), None)
    return device.deliver(y, out)


def dense_forward(
    x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, activation: str | Activation | None = "identity"
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
            *_fit_operands(device, x, weight, bias, dtype),
            act.kernel,
            parameter,
            matrix(y),
            None if z is None else matrix(z),
        )
    return y, y if z is None else z


def dense_backward(
    dy: ArrayLike, x: ArrayLike, weight: ArrayLike, saved: ArrayLike, activation: str | Activation | None = "identity"
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


def maxout(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, out: Array | None = None) -> Array:
    """Compute a maxout layer, ``max over p of x @ weight[p] + bias[p]``, in one kernel.

    Of equal pieces the first one wins. The pieces are never stored, only their maximum. Goodfellow et al., "Maxout
    networks", 2013.

    Parameters
    ----------
    x : array_like of shape (..., I)
        Inputs.
    weight : array_like of shape (P, I, O)
        Weights of the P pieces.
    bias : array_like of shape (P, O), optional
        Biases of the pieces. Zero by default.
    out : ndarray of shape (..., O), optional
        Array that receives the result. It has the dtype that the operands promote to, and shares no memory with them.

    Returns
    -------
    ndarray of shape (..., O)
        The outputs of the layer; ``out`` if it is given.

    Raises
    ------
    ValueError
        If the shapes do not match, there are no pieces, or ``out`` has another shape or shares memory with an operand.
    TypeError
        If an array does not contain real numbers, or ``out`` has another dtype.

    Examples
    --------
    The absolute value is the maximum of two linear pieces.

    >>> import fnnfast as fnn
    >>> fnn.maxout([[-2.0], [3.0]], [[[1.0]], [[-1.0]]])
    array([[2.],
           [3.]])
    """
    device = select.of(x=x, weight=weight, bias=bias, out=out)
    x, weight, bias = device.affine(x, weight, bias, pieces=True)
    dtype = device.promote_affine(x, weight, bias)
    y = device.output(out, (*x.shape[:-1], weight.shape[2]), dtype, x=x, weight=weight, bias=bias)
    if y.size:
        device.maxout_forward(*_fit_operands(device, x, weight, bias, dtype), matrix(y), None)
    return device.deliver(y, out)


def maxout_forward(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> tuple[Array, NDArray[np.uint8]]:
    """Compute a maxout layer and what ``maxout_backward`` reads.

    Parameters
    ----------
    x : array_like of shape (..., I)
        Inputs.
    weight : array_like of shape (P, I, O)
        Weights of the P pieces.
    bias : array_like of shape (P, O), optional
        Biases of the pieces. Zero by default.

    Returns
    -------
    y : ndarray of shape (..., O)
        The outputs of the layer, as of ``maxout``.
    saved : ndarray of uint8, shape (..., O)
        The index of the winning piece.

    Raises
    ------
    ValueError
        As ``maxout``; also for more than 256 pieces.
    TypeError
        As ``maxout``.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> y, argmax = fnn.maxout_forward([[-2.0], [3.0]], [[[1.0]], [[-1.0]]])
    >>> argmax
    array([[1],
           [0]], dtype=uint8)
    """
    device = select.of(x=x, weight=weight, bias=bias)
    x, weight, bias = device.affine(x, weight, bias, pieces=True)
    if len(weight) > MAX_SAVED_PIECES:
        raise ValueError(_checks.message("weight", f"at most {MAX_SAVED_PIECES} pieces for training", len(weight)))
    dtype = device.promote_affine(x, weight, bias)
    y = device.empty((*x.shape[:-1], weight.shape[2]), dtype)
    saved = device.empty(y.shape, np.uint8)
    if y.size:
        device.maxout_forward(*_fit_operands(device, x, weight, bias, dtype), matrix(y), matrix(saved))
    return y, saved


def maxout_backward(dy: ArrayLike, x: ArrayLike, weight: ArrayLike, saved: ArrayLike) -> Grads:
    """Compute the gradients of a maxout layer from the gradient of its output.

    Only the winning piece of each output has a gradient.

    Parameters
    ----------
    dy : array_like of shape (..., O)
        Gradient of the loss with respect to the output.
    x : array_like of shape (..., I)
        Inputs, as passed to ``maxout_forward``.
    weight : array_like of shape (P, I, O)
        Weights, as passed to ``maxout_forward``.
    saved : array_like of uint8, shape (..., O)
        The second result of ``maxout_forward``.

    Returns
    -------
    Grads
        ``.x`` (..., I), ``.weight`` (P, I, O), ``.bias`` (P, O).

    Raises
    ------
    ValueError
        If the shapes do not match, or ``saved`` contains an index that is not a piece. On a GPU the values of ``saved``
        are not checked, since that would wait for the GPU.
    TypeError
        If ``saved`` is not uint8, or another array does not contain real numbers.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> x, weight = [[-2.0], [3.0]], [[[1.0]], [[-1.0]]]
    >>> y, argmax = fnn.maxout_forward(x, weight)
    >>> fnn.maxout_backward([[1.0], [1.0]], x, weight, argmax).x
    array([[-1.],
           [ 1.]])
    """
    device = select.of(dy=dy, x=x, weight=weight, saved=saved)
    x, weight, _ = device.affine(x, weight, None, pieces=True)
    shape = (*x.shape[:-1], weight.shape[2])
    dy = _checks.same_shape("dy", device.array("dy", dy), shape)
    winners = _checks.same_shape("saved", device.array("saved", saved), shape)
    if winners.dtype != np.uint8:
        raise TypeError(_checks.message("saved", "dtype uint8", winners.dtype))
    device.check_winners(winners, len(weight))
    dtype = device.promote(dy, x, weight)
    grads = Grads(
        device.empty(x.shape, dtype),
        device.empty(weight.shape, dtype),
        device.empty((len(weight), weight.shape[2]), dtype),
    )
    device.maxout_backward(
        matrix(device.fit(dy, dtype)),
        matrix(device.fit(x, dtype)),
        device.fit(weight, dtype),
        matrix(device.fit(winners, winners.dtype)),
        matrix(grads.x),
        grads.weight,
        grads.bias,
    )
    return grads


def _fit_operands(
    device: Device, x: Array, weight: Array, bias: Array | None, dtype: _checks.DType
) -> tuple[Array, Array, Array | None]:
    return (
        matrix(device.fit(x, dtype)),
        device.fit(weight, dtype),
        None if bias is None else device.fit_bias(bias, dtype),
    )
