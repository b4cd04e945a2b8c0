"""The fused kernels as functions: NumPy in, NumPy out; CuPy in, CuPy out, on CuPy's current stream.

Every function takes arrays of any stride, alignment and byte order. float32 and float64 are computed in as they are
(mixed: float64, as NumPy promotes); integers and other floats are converted once, ml_dtypes' bfloat16 to float32.

On a GPU float16 and bfloat16 are kept as well where all floats are of that dtype, with sums in float32, and beside them
a bias in float32, which is added to those sums as it is; mixed with others they are promoted to the larger, or both to
float32. Other libraries' arrays on a GPU are taken through DLPack
or ``__cuda_array_interface__``, and lists of numbers are copied there. Nothing waits for the GPU, so a call can be
captured in a CUDA graph after a first one outside.
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

# maxout's saved argmax is one byte an output.
MAX_SAVED_PIECES = _cpu.MAX_SAVED_PIECES


class Grads(NamedTuple):
    """Gradients of a layer, each of the shape of what it belongs to.

    ``alpha`` is (O,) for an activation with learned parameters (one a neuron, even if it was given as one number), else
    None.
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
    """One dense layer in one kernel: ``activation(x @ weight + bias)``.

    Parameters
    ----------
    x : array_like (..., I)
    weight : array_like (I, O)
    bias : array_like (O,), optional
        Zero if not given.
    activation : str or Activation
    out : ndarray (..., O), optional
        Receives the result; of the dtype that the operands promote to, sharing no memory with them.

    Returns
    -------
    ndarray (..., O)

    Raises
    ------
    ValueError, TypeError
        Shapes that do not go together, an unknown activation, an unfit ``out``, arrays of anything but real numbers.
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
    """``dense`` that also returns what ``dense_backward`` reads.

    Returns
    -------
    y : ndarray (..., O)
    saved : ndarray (..., O)
        ``x @ weight + bias`` for an activation whose derivative needs it, else y itself.

    Raises
    ------
    ValueError, TypeError
        As ``dense``; also for step and sign, which are not differentiable.
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
    """Gradients of a dense layer from the gradient of its output.

    Parameters
    ----------
    dy : array_like (..., O)
        dLoss/dy.
    x, weight, activation
        As given to ``dense_forward``.
    saved : array_like (..., O)
        What it returned.

    Returns
    -------
    Grads
        ``.x`` (..., I), ``.weight`` (I, O), ``.bias`` (O,), and ``.alpha`` (O,) for prelu and a learned elu.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not go together; step and sign, which are not differentiable.
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
    """One maxout layer in one kernel: ``max over p of x @ weight[p] + bias[p]``; of equal pieces the first wins.

    Goodfellow et al., "Maxout networks", 2013. The pieces are never stored, only their maximum.

    Parameters
    ----------
    x : array_like (..., I)
    weight : array_like (P, I, O)
    bias : array_like (P, O), optional
        Zero if not given.
    out : ndarray (..., O), optional
        Receives the result; of the dtype that the operands promote to, sharing no memory with them.

    Returns
    -------
    ndarray (..., O)

    Raises
    ------
    ValueError, TypeError
        As ``dense``; also for no pieces.
    """
    device = select.of(x=x, weight=weight, bias=bias, out=out)
    x, weight, bias = device.affine(x, weight, bias, pieces=True)
    dtype = device.promote_affine(x, weight, bias)
    y = device.output(out, (*x.shape[:-1], weight.shape[2]), dtype, x=x, weight=weight, bias=bias)
    if y.size:
        device.maxout_forward(*_fit_operands(device, x, weight, bias, dtype), matrix(y), None)
    return device.deliver(y, out)


def maxout_forward(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> tuple[Array, NDArray[np.uint8]]:
    """``maxout`` that also returns what ``maxout_backward`` reads.

    Returns
    -------
    y : ndarray (..., O)
    saved : ndarray of uint8 (..., O)
        The winning piece.

    Raises
    ------
    ValueError, TypeError
        As ``maxout``; also for more than 256 pieces.
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
    """Gradients of a maxout layer: only the winning piece of each output has any.

    Parameters
    ----------
    dy : array_like (..., O)
        dLoss/dy.
    x, weight
        As given to ``maxout_forward``.
    saved : array_like of uint8 (..., O)
        What it returned.

    Returns
    -------
    Grads
        ``.x`` (..., I), ``.weight`` (P, I, O), ``.bias`` (P, O).

    Raises
    ------
    ValueError, TypeError
        Shapes that do not go together, or a ``saved`` that ``maxout_forward`` cannot have returned (on a GPU, where
        looking would mean waiting, by its shape and dtype alone).
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
