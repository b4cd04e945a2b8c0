"""The activations of the problems in float64: their formulas, and what backward makes of them.

A contender has a table of its own with the names that it can do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SELU_LAMBDA, _SELU_ALPHA = 1.0507009873554804935, 1.6732632423543772848
_GELU_TANH = math.sqrt(2 / math.pi)

_erf = np.frompyfunc(math.erf, 1, 1)


class Formula(NamedTuple):
    """An activation and its derivative, which is a function of the output if ``of_output``, else of the input."""

    value: Callable[[Array], Any]
    slope: Callable[[Array], Any]
    of_output: bool = False


def _sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def _softplus(z: Array) -> Array:
    return np.asarray(np.logaddexp(0, z))


def _normal(z: Array) -> Array:
    """The distribution function of the normal distribution."""
    return 0.5 * (1 + np.asarray(_erf(z / math.sqrt(2)), np.float64))


def _gelu_tanh_inner(z: Array) -> Array:
    return np.asarray(np.tanh(_GELU_TANH * (z + 0.044715 * z**3)))


def _gelu_tanh_slope(z: Array) -> Array:
    t = _gelu_tanh_inner(z)
    return np.asarray(0.5 * (1 + t) + 0.5 * z * (1 - t * t) * _GELU_TANH * (1 + 3 * 0.044715 * z * z))


def _mish_slope(z: Array) -> Array:
    t = np.tanh(_softplus(z))
    return np.asarray(t + z * (1 - t * t) * _sigmoid(z))


def _swish_slope(z: Array) -> Array:
    s = _sigmoid(z)
    return np.asarray(s + z * s * (1 - s))


FORMULAS: dict[str, Formula] = {
    "identity": Formula(lambda z: z, lambda y: 1.0, of_output=True),
    "relu": Formula(lambda z: np.maximum(z, 0), lambda y: y > 0, of_output=True),
    "leaky_relu": Formula(lambda z: np.where(z > 0, z, 0.01 * z), lambda y: np.where(y > 0, 1.0, 0.01), of_output=True),
    "relu6": Formula(lambda z: np.clip(z, 0, 6), lambda y: (y > 0) & (y < 6), of_output=True),
    "elu": Formula(
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda y: np.where(y > 0, 1.0, y + 1), of_output=True
    ),
    "selu": Formula(
        lambda z: _SELU_LAMBDA * np.where(z > 0, z, _SELU_ALPHA * np.expm1(np.minimum(z, 0))),
        lambda y: np.where(y > 0, _SELU_LAMBDA, y + _SELU_LAMBDA * _SELU_ALPHA),
        of_output=True,
    ),
    "sigmoid": Formula(_sigmoid, lambda y: y * (1 - y), of_output=True),
    "tanh": Formula(np.tanh, lambda y: 1 - y * y, of_output=True),
    "swish": Formula(lambda z: z * _sigmoid(z), _swish_slope),
    "gelu": Formula(lambda z: z * _normal(z), lambda z: _normal(z) + z * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)),
    "gelu_tanh": Formula(lambda z: 0.5 * z * (1 + _gelu_tanh_inner(z)), _gelu_tanh_slope),
    "softplus": Formula(_softplus, _sigmoid),
    "mish": Formula(lambda z: z * np.tanh(_softplus(z)), _mish_slope),
    "softsign": Formula(lambda z: z / (1 + np.abs(z)), lambda z: 1 / (1 + np.abs(z)) ** 2),
    "hard_tanh": Formula(lambda z: np.clip(z, -1, 1), lambda y: np.abs(y) < 1, of_output=True),
    "hard_swish": Formula(
        lambda z: z * np.clip(z + 3, 0, 6) / 6,
        lambda z: np.where(z <= -3, 0.0, np.where(z >= 3, 1.0, (2 * z + 3) / 6)),
    ),
}
"""By name, in fnnfast's spelling."""


def formula(name: str) -> Formula:
    """The formula of that name; ValueError with the names that there are."""
    if name not in FORMULAS:
        raise ValueError(f"expected an activation out of {', '.join(FORMULAS)}, got {name!r}")
    return FORMULAS[name]
