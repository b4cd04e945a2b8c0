"""Which activation a function of one number is, however a model spells it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import activations
from .._checks import Array
from ._algebra import Sum, X, add, clip, coefficients, divide, function, multiply, negate, number, power, same, single
from ._operations import Apply, Operation, Scale

_ROOT_2 = math.sqrt(2)
_ROOT_2_PI = math.sqrt(2 / math.pi)
_SAME_SOFTPLUS = 16.0  # exp(-16) is about the epsilon of float32
_SELU = 1.67326324, 1.05070098


class Precision(NamedTuple):
    """How far the constants of a formula may be off, and how its parameters are read from the file's numbers."""

    tolerance: float = 1e-6
    shortest: bool = True

    def parameter(self, value: float) -> float:
        """A parameter as it was meant: 0.01 and not 0.009999999776, where that is what float32 makes of it."""
        rounded = np.float32(value)
        return float(str(rounded)) if self.shortest and math.isfinite(rounded) else float(value)


# Formulas of operators, each the one spelling that all others come to ------------------------------------------------
def relu(x: Sum) -> Sum:
    return clip(x, 0.0, math.inf)


def gelu(x: Sum) -> Sum:
    return multiply(multiply(number(0.5), x), add(number(1), function("erf", multiply(x, number(1 / _ROOT_2)))))


def gelu_tanh(x: Sum) -> Sum:
    inner = multiply(number(_ROOT_2_PI), add(x, multiply(number(0.044715), power(x, 3))))
    return multiply(multiply(number(0.5), x), add(number(1), function("tanh", inner)))


def swish(x: Sum, beta: float = 1.0) -> Sum:
    return multiply(x, function("sigmoid", multiply(number(beta), x)))


def hard_sigmoid(x: Sum, alpha: float = 1 / 6, beta: float = 0.5) -> Sum:
    return clip(add(multiply(number(alpha), x), number(beta)), 0.0, 1.0)


def hard_swish(x: Sum) -> Sum:
    return multiply(x, hard_sigmoid(x))


def mish(x: Sum) -> Sum:
    return multiply(x, function("tanh", function("softplus", x)))


def softsign(x: Sum) -> Sum:
    return divide(x, add(number(1), function("abs", x)))


def _logistic(x: Sum) -> Sum:
    return divide(number(1), add(number(1), function("exp", negate(x))))


def _softplus(x: Sum) -> Sum:
    return function("log", add(number(1), function("exp", x)))


def _split_softplus(x: Sum) -> Sum:
    """Without an exponential that overflows."""
    return add(relu(x), function("log", add(number(1), function("exp", negate(function("abs", x))))))


def _six(x: Sum) -> Sum:
    """hard_sigmoid, as it was first written."""
    return multiply(number(1 / 6), clip(add(x, number(3)), 0.0, 6.0))


_FIXED: list[tuple[Sum, str]] = [
    (relu(X), "relu"),
    (clip(X, 0.0, 6.0), "relu6"),
    (clip(X, -1.0, 1.0), "hard_tanh"),
    (function("sigmoid", X), "sigmoid"),
    (_logistic(X), "sigmoid"),
    (function("tanh", X), "tanh"),
    (add(multiply(number(2), function("sigmoid", multiply(number(2), X))), number(-1)), "tanh"),
    (gelu(X), "gelu"),
    (gelu_tanh(X), "gelu_tanh"),
    (function("softplus", X), "softplus"),
    (_softplus(X), "softplus"),
    (hard_sigmoid(X), "hard_sigmoid"),
    (_six(X), "hard_sigmoid"),
    (hard_swish(X), "hard_swish"),
    (multiply(X, _six(X)), "hard_swish"),
    (mish(X), "mish"),
    (multiply(X, function("tanh", _softplus(X))), "mish"),
    (softsign(X), "softsign"),
    (function("exp", X), "exponential"),
    (function("log", function("sigmoid", X)), "log_sigmoid"),
    (negate(function("softplus", negate(X))), "log_sigmoid"),
    (function("selu", X, *_SELU), "selu"),
    (function("at_least_zero", X), "step"),
    (add(multiply(number(2), function("at_least_zero", X)), number(-1)), "sign"),
    (multiply(X, _logistic(X)), "swish"),
    (_split_softplus(X), "softplus"),
    (negate(_split_softplus(negate(X))), "log_sigmoid"),
    (multiply(X, function("tanh", _split_softplus(X))), "mish"),
]

_WITH_PARAMETER: dict[str, tuple[str, Callable[[float], bool]]] = {
    "leaky_relu": ("alpha", lambda alpha: 0 <= alpha < math.inf),
    "elu": ("alpha", lambda alpha: 0 < alpha < math.inf),
    "celu": ("alpha", lambda alpha: 0 < alpha < math.inf),
}


def recognise(formula: Sum, precision: Precision, constants: Sequence[Array]) -> list[Operation] | None:
    """The operations that a formula is; None where it is no activation.

    constants: the numbers of each ``symbol``.
    """
    for known, name in _FIXED:
        if same(formula, known, precision.tolerance):
            return [Apply(activations.get(name))]
    for rule in (_with_parameter, _swish, _sloped, _bent, _thresholded):
        found = rule(formula, precision, constants)
        if found is not None:
            return found
    return None


def _with_parameter(formula: Sum, precision: Precision, constants: Sequence[Array]) -> list[Operation] | None:
    """Operators with an attribute; and hard_sigmoid with other constants than fnnfast's."""
    atom = single(formula)
    if atom is None or len(atom) != 3:
        return None
    name, parameters, of = atom
    if name in _WITH_PARAMETER and of == X:
        key, valid = _WITH_PARAMETER[name]
        if not valid(parameters[0]):
            return None
        return [Apply(activations.get(name, **{key: precision.parameter(parameters[0])}))]
    if name == "clip" and parameters == (0.0, 1.0) and (line := coefficients(of)):
        factor, constant = line  # 6 (factor x + constant - 1/2) is what hard_sigmoid divides and shifts back
        before = Scale(np.full(1, 6 * factor), np.full(1, 6 * constant - 3))
        return [before, Apply(activations.HardSigmoid())]
    return None


def _swish(formula: Sum, precision: Precision, constants: Sequence[Array]) -> list[Operation] | None:
    """x sigmoid(beta x)."""
    if len(formula) != 1 or formula[0][1] != 1:
        return None
    for atom, _ in formula[0][0]:
        if atom[0] == "sigmoid" and (line := coefficients(atom[2])) and formula == swish(X, line[0]):
            return [Apply(activations.Swish(precision.parameter(line[0])))]
    return None


def _thresholded(formula: Sum, precision: Precision, constants: Sequence[Array]) -> list[Operation] | None:
    """where(r x > t, x, softplus(r x) / r), as torch has it, for a t from which on both are the same number."""
    conditions = {atom for product, _ in formula for atom, _ in product if atom[0] == "at_least_zero"}
    line = coefficients(conditions.pop()[2]) if len(conditions) == 1 else None
    if line is None or line[0] >= 0 or line[1] < _SAME_SOFTPLUS:
        return None
    rate, below = -line[0], function("at_least_zero", add(number(line[1]), multiply(number(line[0]), X)))
    scaled = multiply(number(rate), X)
    for softplus in (function("softplus", scaled), _softplus(scaled), _split_softplus(scaled)):
        expected = add(X, multiply(below, add(divide(softplus, number(rate)), negate(X))))
        if same(formula, expected, precision.tolerance):
            apply = Apply(activations.Softplus())
            return [apply] if rate == 1 else [Scale(np.full(1, rate)), apply, Scale(np.full(1, 1 / rate))]
    return None


def _symbol_of(formula: Sum) -> tuple[Any, ...]:
    """The factor of a constant in a formula: at most one, and empty without."""
    found = {factor for product, _ in formula for factor in product if factor[0][0] == "constant"}
    return tuple(found) if len(found) <= 1 else ()


def _sloped(formula: Sum, precision: Precision, constants: Sequence[Array]) -> list[Operation] | None:
    """relu(x) + a (x - relu(x)), which where(x > 0, x, a x), max(x, a x) and relu(x) - a relu(-x) come to as well."""
    factor = _symbol_of(formula)
    slope = dict(formula).get(tuple(sorted((*factor, (("x",), 1)), key=repr)), 0.0)
    scaled = multiply(number(slope), ((factor, 1.0),))
    if not slope or not same(formula, add(relu(X), multiply(scaled, add(X, negate(relu(X))))), precision.tolerance):
        return None
    if factor:
        return [Apply(activations.PReLU(), slope * constants[factor[0][0][1]])]
    return [Apply(activations.LeakyReLU(precision.parameter(slope)))] if slope > 0 else None


def _bent(formula: Sum, precision: Precision, constants: Sequence[Array]) -> list[Operation] | None:
    """scale relu(x) + a (exp(r min(x, 0)) - 1): ELU, its learned form, CELU and SELU."""
    terms, factor = dict(formula), _symbol_of(formula)
    scale = terms.get(relu(X)[0][0], 0.0)
    inner = [of for product, _ in formula for (name, *rest), _ in product if name == "exp" for of in rest[1:]]
    if len(inner) != 1 or not (rate := dict(inner[0]).get(X[0][0], 0.0)):
        return None
    alpha = -terms.get(factor, 0.0)
    below = add(function("exp", multiply(number(rate), add(X, negate(relu(X))))), number(-1))
    scaled = multiply(multiply(number(alpha), ((factor, 1.0),)), below)
    if not same(formula, add(multiply(number(scale), relu(X)), scaled), precision.tolerance):
        return None

    def close(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=precision.tolerance)

    if factor and scale == rate == 1:
        return [Apply(activations.ELU(learn=True), alpha * constants[factor[0][0][1]])]
    if factor or alpha <= 0:
        return None
    if scale == rate == 1:
        return [Apply(activations.ELU(precision.parameter(alpha)))]
    if scale == 1 and close(rate * alpha, 1):
        return [Apply(activations.CELU(precision.parameter(alpha)))]
    return [Apply(activations.SELU())] if close(scale, _SELU[1]) and close(alpha, _SELU[0] * _SELU[1]) else None
