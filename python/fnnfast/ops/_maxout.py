"""Maxout layers."""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks, _cpu
from .._checks import Array, Float, matrix
from .._device import select
from ._operands import Grads, fit_operands

# The saved argmax of maxout is one byte per output.
MAX_SAVED_PIECES = _cpu.MAX_SAVED_PIECES


@overload
def maxout(
    x: NDArray[Float], weight: NDArray[Float], bias: NDArray[Float] | None = None, *, out: NDArray[Float] | None = None
) -> NDArray[Float]: ...
@overload
def maxout(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, out: Array | None = None) -> Array: ...
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
        device.maxout_forward(*fit_operands(device, x, weight, bias, dtype), matrix(y), None)
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
        device.maxout_forward(*fit_operands(device, x, weight, bias, dtype), matrix(y), matrix(saved))
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
