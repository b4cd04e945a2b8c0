"""The maxout layer: the largest of P linear pieces, in float64, with every piece written out.

Goodfellow, Warde-Farley, Mirza, Courville, Bengio 2013, "Maxout Networks", arXiv:1302.4389, section 3.
"""

from typing import NamedTuple

from ._xp import Array, as_float64, flat, namespace


class MaxoutGradients(NamedTuple):
    """Gradients of a maxout layer: x (..., I), weight (P, I, O), bias (P, O)."""

    x: Array
    weight: Array
    bias: Array


def pieces(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """z_po = sum_i x_i W_pio + b_po. x (..., I), weight (P, I, O), bias (P, O) or None -> (P, ..., O)."""
    xp = namespace(x, weight)
    x, weight = as_float64(xp, x), as_float64(xp, weight)
    z = xp.stack([x @ piece for piece in weight])
    if bias is None:
        return z
    ones = (1,) * (x.ndim - 1)
    return z + as_float64(xp, bias).reshape(weight.shape[0], *ones, weight.shape[2])


def maxout_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Array]:
    """(max_p z_p, argmax_p z_p), both (..., O). Of equal pieces the lowest index wins; the first NaN wins over all."""
    xp = namespace(x, weight)
    z = pieces(x, weight, bias)
    # Spelled out rather than xp.argmax(z): what that does with NaN is NumPy's choice, here it is ours.
    winner = xp.argmax(xp.where(xp.isnan(z), xp.inf, z), axis=0)
    nan = xp.isnan(z)
    winner = xp.where(nan.any(axis=0), xp.argmax(nan, axis=0), winner)
    return xp.take_along_axis(z, winner[None], axis=0)[0], winner


def maxout(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """max_p (x W_p + b_p). x (..., I), weight (P, I, O), bias (P, O) or None -> (..., O)."""
    return maxout_forward(x, weight, bias)[0]


def maxout_backward(dy: Array, x: Array, weight: Array, argmax: Array) -> MaxoutGradients:
    """The whole gradient goes to the winning piece; argmax is what `maxout_forward` returned second.

    dz_p = dy where argmax = p, else 0; dx = sum_p dz_p W_p^T, dW_p = x^T dz_p, db_p = sum dz_p over the rows.
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
