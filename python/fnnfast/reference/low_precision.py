"""Low precision: numbers rounded to bfloat16, and layers that count in 8-bit integers.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
arXiv:1712.05877, sections 2.1 to 2.3, with unsigned inputs over an affine range and signed weights over a symmetric one
for each output. The integers jump, so what leads to them is computed in float32, like the kernels; the sums are exact.
"""

from typing import NamedTuple

from ._xp import Array, as_float64, namespace
from .activations import ACTIVATIONS, Activation


class Scales(NamedTuple):
    """x = input_scale (q - zero_point), w = weight_scale p; weight_scale (O,), or (P, O) for maxout."""

    input_scale: float
    zero_point: int
    weight_scale: Array


def to_bfloat16(x: Array) -> Array:
    """The nearest numbers of 8 significant bits and float32's exponents, ties to even, in float64."""
    xp = namespace(x)
    x = as_float64(xp, x)
    _, exponent = xp.frexp(x)
    quantum = xp.ldexp(xp.ones_like(x), xp.maximum(exponent, -125) - 8)  # below 2^-126 numbers are subnormal
    y = xp.rint(x / quantum) * quantum
    return xp.where(xp.abs(y) >= 2.0**128, xp.copysign(xp.inf, x), y)


def scales(low: float, high: float, weight: Array) -> Scales:
    """Scales for inputs from low <= 0 to high >= 0 and for weight (I, O) or (P, I, O)."""
    xp = namespace(weight)
    input_scale = xp.float32((high - low) / 255) if high > low else xp.float32(1)
    largest = xp.max(xp.abs(xp.asarray(weight, dtype=xp.float32)), axis=-2)
    weight_scale = xp.where(largest > 0, largest / xp.float32(127), xp.float32(1))
    return Scales(float(input_scale), min(255, round(-low / float(input_scale))), weight_scale)


def input_codes(x: Array, scales: Scales) -> Array:
    """q = clip(rint(x / input_scale) + zero_point, 0, 255), the quotient by way of the reciprocal; NaN stays NaN."""
    xp = namespace(x)
    inverse = xp.float32(1) / xp.float32(scales.input_scale)
    return xp.clip(xp.rint(xp.asarray(x, dtype=xp.float32) * inverse) + xp.float32(scales.zero_point), 0, 255)


def weight_codes(weight: Array, weight_scale: Array) -> Array:
    """p = clip(rint(w / weight_scale), -127, 127)."""
    xp = namespace(weight)
    return xp.clip(xp.rint(xp.asarray(weight, dtype=xp.float32) / weight_scale[..., None, :]), -127, 127)


def quantized_pre_activation(x: Array, weight: Array, bias: Array, scales: Scales) -> Array:
    """z_o = s_o sum_i (q_i - zero_point) p_io + b_o with s = input_scale weight_scale, in float64 but for s.

    x (..., I), weight (I, O), bias (O,) -> (..., O); weight (P, I, O), bias (P, O), x (B, I) -> (P, B, O).
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
    """f(z) with z from integers. x (..., I), weight (I, O), bias (O,) -> (..., O)."""
    f = activation if isinstance(activation, Activation) else ACTIVATIONS[activation]
    return f.forward(quantized_pre_activation(x, weight, bias, scales), parameter)


def quantized_maxout(x: Array, weight: Array, bias: Array, scales: Scales) -> Array:
    """max_p z_p with z from integers; a NaN wins. x (B, I), weight (P, I, O), bias (P, O) -> (B, O)."""
    return namespace(x, weight).max(quantized_pre_activation(x, weight, bias, scales), axis=0)
