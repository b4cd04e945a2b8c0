"""The maxout layer: the maximum of P linear pieces, in float64, with each piece computed.

Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout networks", 2013, arXiv:1302.4389, section 3.
"""

from typing import NamedTuple

from ._xp import Array, as_float64, flat, namespace


class MaxoutGradients(NamedTuple):
    """Gradients of a maxout layer.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Gradient of the input.
    weight : ndarray of shape (P, I, O)
        Gradient of the weight.
    bias : ndarray of shape (P, O)
        Gradient of the bias.
    """

    x: Array
    weight: Array
    bias: Array


def pieces(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return the pieces z_po = sum_i x_i W_pio + b_po.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (P, I, O)
        Weights of the pieces.
    bias : ndarray of shape (P, O), optional
        Biases of the pieces. Zero by default.

    Returns
    -------
    ndarray of shape (P, ..., O)
        The pieces.
    """
    xp = namespace(x, weight)
    x, weight = as_float64(xp, x), as_float64(xp, weight)
    z = xp.stack([x @ piece for piece in weight])
    if bias is None:
        return z
    ones = (1,) * (x.ndim - 1)
    return z + as_float64(xp, bias).reshape(weight.shape[0], *ones, weight.shape[2])


def maxout_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Array]:
    """Return max_p z_p and argmax_p z_p.

    Of equal pieces the lowest index wins. The first NaN wins over all other pieces.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (P, I, O)
        Weights of the pieces.
    bias : ndarray of shape (P, O), optional
        Biases of the pieces. Zero by default.

    Returns
    -------
    y : ndarray of shape (..., O)
        The maximum.
    argmax : ndarray of int, shape (..., O)
        The index of the winning piece.
    """
    xp = namespace(x, weight)
    z = pieces(x, weight, bias)
    # Not xp.argmax(z), so that the result for NaN is defined here and not by NumPy.
    winner = xp.argmax(xp.where(xp.isnan(z), xp.inf, z), axis=0)
    nan = xp.isnan(z)
    winner = xp.where(nan.any(axis=0), xp.argmax(nan, axis=0), winner)
    return xp.take_along_axis(z, winner[None], axis=0)[0], winner


def maxout(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Return max_p (x W_p + b_p).

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (P, I, O)
        Weights of the pieces.
    bias : ndarray of shape (P, O), optional
        Biases of the pieces. Zero by default.

    Returns
    -------
    ndarray of shape (..., O)
        The outputs.
    """
    return maxout_forward(x, weight, bias)[0]


def maxout_backward(dy: Array, x: Array, weight: Array, argmax: Array) -> MaxoutGradients:
    """Return the gradients of a maxout layer: the whole gradient goes to the winning piece.

    dz_p = dy where argmax = p, else 0; dx = sum_p dz_p W_p^T, dW_p = x^T dz_p, db_p = sum of dz_p over the rows.

    Parameters
    ----------
    dy : ndarray of shape (..., O)
        Gradient of the loss with respect to the output.
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (P, I, O)
        Weights of the pieces.
    argmax : ndarray of int, shape (..., O)
        The second result of ``maxout_forward``.

    Returns
    -------
    MaxoutGradients
        x (..., I), weight (P, I, O), bias (P, O).
    """
    xp = namespace(dy, x, weight)
    dy, x, weight = (as_float64(xp, array) for array in (dy, x, weight))
    flat_x = flat(x)
    dz = [xp.where(argmax == p, dy, 0.0) for p in range(weight.shape[0])]
    flat_dz = [flat(d) for d in dz]
    dx = xp.zeros_like(x)
    for d, piece in zip(dz, weight, strict=True):
        dx = dx + d @ piece.T
    return MaxoutGradients(dx, xp.stack([flat_x.T @ d for d in flat_dz]), xp.stack([d.sum(axis=0) for d in flat_dz]))
