"""The activations to 60 digits, with mpmath: what has the last word where an error is largest.

These formulas are those of the definitions. They cancel and overflow as they like, since mpmath has the digits and the
exponents for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._extras import needs

Number = Any
"""An mpmath.mpf."""

DIGITS = 60


class Formulas:
    """Value and derivative by the name of an activation, at finite z, for a parameter p.

    Raises
    ------
    ImportError
        If mpmath is not installed.
    """

    def __init__(self) -> None:
        with needs("mpmath", "certificates need mpmath: pip install 'fnnfast[certify]'"):
            import mpmath  # type: ignore[import-untyped]
        m = mpmath.mp.clone()  # a precision of its own
        m.dps = DIGITS
        one, half = m.mpf(1), m.mpf(1) / 2
        selu, selu_alpha = m.mpf("1.0507009873554804934193349852946"), m.mpf("1.6732632423543772848170429916717")
        scale, cubic = 2 * m.sqrt(2 / m.pi), m.mpf("0.044715")

        def sigmoid(z: Number) -> Number:
            return one / (one + m.exp(-z))

        def softplus(z: Number) -> Number:
            return m.log1p(m.exp(z))

        def normal(z: Number) -> Number:
            if abs(z) > 10**6:  # mpmath cannot; what it would give is nearer to 0 or 1 than 60 digits tell
                return one if z > 0 else m.ldexp(1, -(10**9))
            return m.erfc(-z / m.sqrt(2)) / 2

        def density(z: Number) -> Number:
            return m.exp(-z * z / 2) / m.sqrt(2 * m.pi)

        def twice_u(z: Number) -> Number:
            return scale * (z + cubic * z**3)

        def clip(z: Number, low: int, high: int) -> Number:
            return min(max(z, m.mpf(low)), m.mpf(high))

        def swish_slope(z: Number, t: Number, dt: Number) -> Number:
            return sigmoid(t) + z * dt * sigmoid(t) * sigmoid(-t)

        self.value: dict[str, Callable[[Number, Number], Number]] = {
            "identity": lambda z, p: z,
            "step": lambda z, p: one * (z >= 0),
            "sign": lambda z, p: one if z >= 0 else -one,
            "sigmoid": lambda z, p: sigmoid(z),
            "tanh": lambda z, p: m.tanh(z),
            "relu": lambda z, p: max(z, 0 * one),
            "leaky_relu": lambda z, p: z if z > 0 else p * z,
            "prelu": lambda z, p: z if z > 0 else p * z,
            "elu": lambda z, p: z if z > 0 else p * m.expm1(z),
            "elu_learned": lambda z, p: z if z > 0 else p * m.expm1(z),
            "selu": lambda z, p: selu * z if z > 0 else selu * selu_alpha * m.expm1(z),
            "gelu": lambda z, p: z * normal(z),
            "gelu_tanh": lambda z, p: z * sigmoid(twice_u(z)),
            "softplus": lambda z, p: softplus(z),
            "swish": lambda z, p: z * sigmoid(p * z),
            "relu6": lambda z, p: clip(z, 0, 6),
            "hard_tanh": lambda z, p: clip(z, -1, 1),
            "hard_sigmoid": lambda z, p: clip(z / 6 + half, 0, 1),
            "hard_swish": lambda z, p: z * clip(z / 6 + half, 0, 1),
            "mish": lambda z, p: z * m.tanh(softplus(z)),
            "softsign": lambda z, p: z / (1 + abs(z)),
            "celu": lambda z, p: z if z > 0 else p * m.expm1(z / p),
            "exponential": lambda z, p: m.exp(z),
            "log_sigmoid": lambda z, p: -softplus(-z),
        }
        self.derivative: dict[str, Callable[[Number, Number], Number]] = {
            "identity": lambda z, p: one,
            "sigmoid": lambda z, p: sigmoid(z) * sigmoid(-z),
            "tanh": lambda z, p: m.sech(z) ** 2,
            "relu": lambda z, p: one * (z > 0),
            "leaky_relu": lambda z, p: one if z > 0 else p,
            "prelu": lambda z, p: one if z > 0 else p,
            "elu": lambda z, p: one if z > 0 else p * m.exp(z),
            "elu_learned": lambda z, p: one if z > 0 else p * m.exp(z),
            "selu": lambda z, p: selu if z > 0 else selu * selu_alpha * m.exp(z),
            "gelu": lambda z, p: normal(z) + z * density(z),
            "gelu_tanh": lambda z, p: swish_slope(z, twice_u(z), scale * (1 + 3 * cubic * z * z)),
            "softplus": lambda z, p: sigmoid(z),
            "swish": lambda z, p: swish_slope(z, p * z, p),
            "relu6": lambda z, p: one * (0 < z < 6),
            "hard_tanh": lambda z, p: one * (-1 < z < 1),
            "hard_sigmoid": lambda z, p: one / 6 * (-3 < z < 3),
            "hard_swish": lambda z, p: 0 * one if z <= -3 else one if z >= 3 else (z + one + half) / 3,
            "mish": lambda z, p: m.tanh(softplus(z)) + z * m.sech(softplus(z)) ** 2 * sigmoid(z),
            "softsign": lambda z, p: 1 / (1 + abs(z)) ** 2,
            "celu": lambda z, p: one if z > 0 else m.exp(z / p),
            "exponential": lambda z, p: m.exp(z),
            "log_sigmoid": lambda z, p: sigmoid(-z),
        }
        self._number, self._frexp, self._ldexp = m.mpf, m.frexp, m.ldexp

    def at(self, name: str, derivative: bool, z: float, parameter: float) -> Number:
        """The value, or the derivative, at a finite z."""
        table = self.derivative if derivative else self.value
        return table[name](self._number(z), self._number(parameter))

    def exponent(self, value: Number) -> int:
        """n of m 2^n, m in [1/2, 1)."""
        return int(self._frexp(value)[1])

    def power_of_two(self, n: int) -> Number:
        """2^n."""
        return self._ldexp(1, n)

    def longdouble(self, value: Number) -> np.longdouble:
        """A number rounded to extended precision, whose exponents reach beyond those of float64."""
        mantissa, exponent = self._frexp(value)
        high = float(mantissa)
        exponent = min(max(int(exponent), -20000), 20000)  # beyond the type's own; mpmath's may not fit into 64 bits
        with np.errstate(over="ignore", under="ignore"):
            rounded: np.longdouble = np.ldexp(np.longdouble(high) + np.longdouble(float(mantissa - high)), exponent)
        return rounded
