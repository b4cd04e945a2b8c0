"""Low precision: numbers rounded to bfloat16, and layers in 8-bit integers.

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", 2018,
arXiv:1712.05877, sections 2.1 to 2.3, with unsigned inputs over an affine range and signed weights over a symmetric
range per output. The integers are discontinuous, so they are computed in float32 as in the kernels; the sums are exact.
"""

from typing import NamedTuple

import numpy as np

from ._xp import Array, as_float64, namespace
from .activations import ACTIVATIONS, Activation


class Scales(NamedTuple):
    """The scales of a quantized layer: x = input_scale (q - zero_point), w = weight_scale p.

    Parameters
    ----------
    input_scale : float
        Scale of the inputs.
    zero_point : int
        The integer that stands for an input of 0.
    weight_scale : ndarray of shape (O,), or (P, O) for maxout
        Scale of the weights of each output.
    """

    input_scale: float
    zero_point: int
    weight_scale: Array


def to_bfloat16(x: Array) -> Array:
    """Round to bfloat16, to nearest, ties to even.

    bfloat16 has 8 significant bits and the exponents of float32.

    Parameters
    ----------
    x : ndarray
        Numbers.

    Returns
    -------
    ndarray of float64
        The rounded numbers.
    """
    xp = namespace(x)
    x = as_float64(xp, x)
    _, exponent = xp.frexp(x)
    quantum = xp.ldexp(xp.ones_like(x), xp.maximum(exponent, -125) - 8)  # below 2^-126 numbers are subnormal
    y = xp.rint(x / quantum) * quantum
    return xp.where(xp.abs(y) >= 2.0**128, xp.copysign(xp.inf, x), y)


def without_subnormals(x: Array) -> Array:
    """Return the numbers with zeros of their sign for the subnormal ones of float32.

    Parameters
    ----------
    x : ndarray of float32
        Numbers.

    Returns
    -------
    ndarray of float32
        The numbers.
    """
    xp = namespace(x)
    return xp.where(xp.abs(x) < xp.float32(2.0**-126), xp.copysign(xp.float32(0), x), x)


def _sum_to_odd(a: Array, b: Array) -> Array:
    """a + b in float64; where it is not exact, cut off and with an odd last bit, so that it is never a tie."""
    xp = namespace(a, b)
    total = a + b
    rest = total - a
    error = (a - (total - rest)) + (b - rest)
    even = (total.view(xp.int64) & 1) == 0
    inexact = xp.isfinite(total) & (error != 0) & even
    return xp.where(inexact, xp.nextafter(total, xp.copysign(xp.inf, error)), total)


def _add_products(z: Array, x: Array, weight: Array) -> Array:
    """z + x w in float32, rounded once."""
    xp = namespace(z, x)
    total = _sum_to_odd(as_float64(xp, z), as_float64(xp, x) * as_float64(xp, weight))
    y = xp.asarray(total, dtype=xp.float32)
    return xp.where(xp.abs(total) < 2.0**-126 - 2.0**-151, xp.copysign(xp.float32(0), y), y)


def _float_to_odd(x: Array) -> Array:
    """Float64 in float32, cut off and with an odd last bit where it is not exact; zeros below the normal numbers."""
    xp = namespace(x)
    lost = 2**29 - 1  # the bits that a float32 does not have
    bits = x.view(xp.int64)
    odd = xp.where((bits & lost) != 0, bits & ~lost | (lost + 1), bits).view(xp.float64)
    with np.errstate(over="ignore"):
        y = xp.asarray(xp.where(xp.isfinite(x), odd, x), dtype=xp.float32)
    return xp.where(xp.abs(x) < 2.0**-126, xp.copysign(xp.float32(0), y), y)


def _pairs(x: Array, weight: Array, block: int) -> tuple[Array, Array]:
    """Inputs and weights rounded to bfloat16, with zeros up to a whole number of blocks of inputs."""
    xp = namespace(x, weight)

    def rounded(values: Array) -> Array:
        values = without_subnormals(xp.asarray(values, dtype=xp.float32))
        return xp.asarray(to_bfloat16(values), dtype=xp.float32)

    more = -len(weight) % block
    x = xp.concatenate([rounded(x), xp.zeros((*x.shape[:-1], more), dtype=xp.float32)], axis=-1)
    return x, xp.concatenate([rounded(weight), xp.zeros((more, weight.shape[1]), dtype=xp.float32)])


def pairs_pre_activation(x: Array, weight: Array, bias: Array) -> Array:
    """Return z = x W + b with inputs and weights in bfloat16 and the sums of AVX-512 BF16.

    Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, VDPBF16PS: for the pairs of inputs in order,
    z = z + x_(i+1) w_(i+1), then z = z + x_i w_i, each rounded once to float32, with zeros for subnormal numbers.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs, which are rounded to bfloat16.
    weight : ndarray of shape (I, O)
        Weights, which are rounded likewise.
    bias : ndarray of shape (O,)
        Biases in float32, where the sums begin.

    Returns
    -------
    ndarray of float32, shape (..., O)
        The pre-activations.
    """
    xp = namespace(x, weight)
    x, weight = _pairs(x, weight, 2)
    z = without_subnormals(xp.asarray(bias, dtype=xp.float32) + xp.zeros((*x.shape[:-1], 1), dtype=xp.float32))
    for first in range(0, len(weight), 2):
        for i in (first + 1, first):
            z = _add_products(z, x[..., i : i + 1], weight[i])
    return z


def odd_pairs_pre_activation(x: Array, weight: Array, bias: Array) -> Array:
    """Return z = x W + b with inputs and weights in bfloat16 and the sums of BFDOT.

    Arm Architecture Reference Manual for A-profile, BFDotAdd (without FEAT_EBF16): for the pairs of inputs in order,
    z = z + (x_i w_i + x_(i+1) w_(i+1)). Both sums are rounded to odd: what a float32 cannot hold is cut off, and the
    last bit is then set. Zeros stand for subnormal numbers.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs, which are rounded to bfloat16.
    weight : ndarray of shape (I, O)
        Weights, which are rounded likewise.
    bias : ndarray of shape (O,)
        Biases in float32, where the sums begin.

    Returns
    -------
    ndarray of float32, shape (..., O)
        The pre-activations.
    """
    xp = namespace(x, weight)
    x, weight = _pairs(x, weight, 2)
    z = xp.asarray(bias, dtype=xp.float32) + xp.zeros((*x.shape[:-1], 1), dtype=xp.float32)
    for i in range(0, len(weight), 2):
        products = as_float64(xp, x[..., i : i + 2, None]) * as_float64(xp, weight[i : i + 2])
        low, high = (
            as_float64(xp, _float_to_odd(products[..., 0, :])),
            as_float64(xp, _float_to_odd(products[..., 1, :])),
        )
        both = _float_to_odd(_sum_to_odd(low, high))
        z = _float_to_odd(_sum_to_odd(as_float64(xp, without_subnormals(z)), as_float64(xp, both)))
    return z


def matrix_pre_activation(x: Array, weight: Array, bias: Array) -> Array:
    """Return z = x W + b with inputs and weights in bfloat16 and the sums of AMX-BF16.

    The same manual, TDPBF16PS: of 32 inputs at a time, the products of the even ones are summed from zero, and those of
    the odd ones; then the two sums are added to each other, and their sum to that of the inputs before. Each step is
    rounded once to float32, with zeros for subnormal numbers. The bias is added last.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs, which are rounded to bfloat16.
    weight : ndarray of shape (I, O)
        Weights, which are rounded likewise.
    bias : ndarray of shape (O,)
        Biases in float32.

    Returns
    -------
    ndarray of float32, shape (..., O)
        The pre-activations.
    """
    xp = namespace(x, weight)
    x, weight = _pairs(x, weight, 32)
    bias = xp.asarray(bias, dtype=xp.float32)
    z = xp.zeros((*x.shape[:-1], len(bias)), dtype=xp.float32)
    one = xp.ones_like(z)
    for block in range(0, len(weight), 32):
        sums = [xp.zeros_like(z), xp.zeros_like(z)]
        for i in range(block, block + 32):
            sums[i % 2] = _add_products(sums[i % 2], x[..., i : i + 1], weight[i])
        z = _add_products(z, _add_products(sums[0], sums[1], one), one)
    return z + bias


def scales(low: float, high: float, weight: Array) -> Scales:
    """Return the scales for a range of inputs and for weights.

    Parameters
    ----------
    low : float <= 0
        The minimum of the inputs.
    high : float >= 0
        The maximum of the inputs.
    weight : ndarray of shape (I, O) or (P, I, O)
        Weights.

    Returns
    -------
    Scales
        The scales.
    """
    xp = namespace(weight)
    input_scale = xp.float32((high - low) / 255) if high > low else xp.float32(1)
    largest = xp.max(xp.abs(xp.asarray(weight, dtype=xp.float32)), axis=-2)
    weight_scale = xp.where(largest > 0, largest / xp.float32(127), xp.float32(1))
    return Scales(float(input_scale), min(255, round(-low / float(input_scale))), weight_scale)


def input_codes(x: Array, scales: Scales) -> Array:
    """Return the integers q = clip(rint(x / input_scale) + zero_point, 0, 255).

    The quotient is computed with the reciprocal. NaN gives NaN.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs.
    scales : Scales
        The scales of the layer.

    Returns
    -------
    ndarray of float32, shape (..., I)
        The integers.
    """
    xp = namespace(x)
    inverse = xp.float32(1) / xp.float32(scales.input_scale)
    return xp.clip(xp.rint(xp.asarray(x, dtype=xp.float32) * inverse) + xp.float32(scales.zero_point), 0, 255)


def weight_codes(weight: Array, weight_scale: Array) -> Array:
    """Return the integers p = clip(rint(w / weight_scale), -127, 127).

    Parameters
    ----------
    weight : ndarray of shape (I, O) or (P, I, O)
        Weights.
    weight_scale : ndarray of shape (O,) or (P, O)
        Scale of the weights of each output.

    Returns
    -------
    ndarray of float32, of the shape of weight
        The integers.
    """
    xp = namespace(weight)
    return xp.clip(xp.rint(xp.asarray(weight, dtype=xp.float32) / weight_scale[..., None, :]), -127, 127)


def quantized_pre_activation(x: Array, weight: Array, bias: Array, scales: Scales) -> Array:
    """Return z_o = s_o sum_i (q_i - zero_point) p_io + b_o with s = input_scale weight_scale.

    The scale s is computed in float32, everything else in float64.

    Parameters
    ----------
    x : ndarray of shape (..., I), or (B, I) for maxout
        Inputs.
    weight : ndarray of shape (I, O) or (P, I, O)
        Weights.
    bias : ndarray of shape (O,) or (P, O)
        Biases.
    scales : Scales
        The scales of the layer.

    Returns
    -------
    ndarray of shape (..., O) or (P, B, O)
        The pre-activations.
    """
    xp = namespace(x, weight)
    total = (as_float64(xp, input_codes(x, scales)) - scales.zero_point) @ as_float64(
        xp, weight_codes(weight, scales.weight_scale)
    )
    scale = xp.asarray(scales.weight_scale * xp.float32(scales.input_scale), dtype=xp.float32)
    if weight.ndim == 3:
        scale, bias = scale[:, None], bias[:, None]
    return total * as_float64(xp, scale) + as_float64(xp, bias)


def quantized_dense(
    x: Array, weight: Array, bias: Array, scales: Scales, activation: str | Activation, parameter: Array = None
) -> Array:
    """Return f(z), where z is computed from integers.

    Parameters
    ----------
    x : ndarray of shape (..., I)
        Inputs.
    weight : ndarray of shape (I, O)
        Weights.
    bias : ndarray of shape (O,)
        Biases.
    scales : Scales
        The scales of the layer.
    activation : str or Activation
        A name of the registry, or a reference activation.
    parameter : number or ndarray of shape (O,), optional
        Parameter of the activation. By default that of the activation.

    Returns
    -------
    ndarray of shape (..., O)
        The outputs.
    """
    f = activation if isinstance(activation, Activation) else ACTIVATIONS[activation]
    return f.forward(quantized_pre_activation(x, weight, bias, scales), parameter)


def quantized_maxout(x: Array, weight: Array, bias: Array, scales: Scales) -> Array:
    """Return max_p z_p, where z is computed from integers; NaN wins.

    Parameters
    ----------
    x : ndarray of shape (B, I)
        Inputs.
    weight : ndarray of shape (P, I, O)
        Weights of the pieces.
    bias : ndarray of shape (P, O)
        Biases of the pieces.
    scales : Scales
        The scales of the layer.

    Returns
    -------
    ndarray of shape (B, O)
        The outputs.
    """
    return namespace(x, weight).max(quantized_pre_activation(x, weight, bias, scales), axis=0)
