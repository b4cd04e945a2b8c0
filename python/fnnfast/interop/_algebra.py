"""Functions of one number as sums of products, so that all spellings of a formula are the same.

``0.5 * x * (1 + erf(x / sqrt(2)))`` and ``x * (0.5 + 0.5 * erf(0.7071 * x))`` both become
``0.5 x + 0.5 x erf(0.7071 x)``. A sum is a tuple of terms (product, coefficient), a product a sorted tuple of factors
(atom, power), an atom "x" or a function of a sum: (name, parameters, sum).
"""

from __future__ import annotations

import math
from typing import Any

MOST_TERMS = 32
HIGHEST_POWER = 8

Sum = tuple[Any, ...]


class NoFormulaError(Exception):
    """Not a function of one number, or too long a one."""


def number(value: float) -> Sum:
    return (((), float(value)),) if value else ()


X: Sum = ((((("x",), 1),), 1.0),)


def add(*sums: Sum) -> Sum:
    terms: dict[Any, float] = {}
    for one in sums:
        for product, coefficient in one:
            terms[product] = terms.get(product, 0.0) + coefficient
    if len(terms) > MOST_TERMS:
        raise NoFormulaError
    return tuple(sorted(((p, c) for p, c in terms.items() if c), key=repr))


def multiply(a: Sum, b: Sum) -> Sum:
    if len(a) * len(b) > MOST_TERMS:
        raise NoFormulaError
    return add(*(((_product(p, q), c * d),) for p, c in a for q, d in b))


def _product(p: Any, q: Any) -> Any:
    powers = dict(p)
    for atom, power in q:
        powers[atom] = powers.get(atom, 0) + power
    if max(powers.values(), default=0) > HIGHEST_POWER:
        raise NoFormulaError
    return tuple(sorted(powers.items(), key=repr))


def negate(a: Sum) -> Sum:
    return multiply(number(-1), a)


def power(a: Sum, exponent: float) -> Sum:
    if exponent != int(exponent) or not 0 <= exponent <= HIGHEST_POWER:
        raise NoFormulaError
    result = number(1)
    for _ in range(int(exponent)):
        result = multiply(result, a)
    return result


def divide(a: Sum, b: Sum) -> Sum:
    constant = value(b)
    if constant is None:
        return multiply(a, function("reciprocal", b))
    if not constant:
        raise NoFormulaError
    return multiply(a, number(1 / constant))


def function(name: str, of: Sum, *parameters: float) -> Sum:
    return ((((((name, parameters, of), 1),)), 1.0),)


def clip(a: Sum, low: float, high: float) -> Sum:
    """Between two limits; of what is clipped already once, as one function."""
    only = single(a)
    if only is not None and only[0] == "clip":
        inner_low, inner_high = only[1]
        low, high = min(max(low, inner_low), high), max(min(high, inner_high), low)
        a = only[2]
    if (low, high) == (-math.inf, 0.0):  # min(a, 0) = a - max(a, 0)
        return add(a, negate(clip(a, 0.0, math.inf)))
    if (low, high) == (0.0, math.inf) and a and a[0][1] < 0:  # max(-b, 0) = max(b, 0) - b
        return add(clip(negate(a), 0.0, math.inf), a)
    return function("clip", a, low, high)


def symbol(index: int) -> Sum:
    """A constant that is not one number, by the place where its numbers are."""
    return ((((("constant", index), 1),), 1.0),)


def value(a: Sum) -> float | None:
    """The number that a sum is, if it is one."""
    if not a:
        return 0.0
    return float(a[0][1]) if len(a) == 1 and not a[0][0] else None


def single(a: Sum) -> Any:
    """The atom that a sum is, if it is one and nothing else."""
    if len(a) != 1 or a[0][1] != 1 or len(a[0][0]) != 1 or a[0][0][0][1] != 1:
        return None
    return a[0][0][0][0]


def coefficients(a: Sum) -> tuple[float, float] | None:
    """(f, c) of a sum f x + c with f other than 0."""
    terms = dict(a)
    line = X[0][0]
    return (terms[line], terms.get((), 0.0)) if line in terms and terms.keys() <= {line, ()} else None


def same(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two sums, or parts of them, differ by nothing but the rounding of numbers."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        if len(a) != len(b):
            return False
        pairs = (
            zip(sorted(a, key=_shape), sorted(b, key=_shape), strict=True) if _unordered(a) else zip(a, b, strict=True)
        )
        return all(same(p, q, tolerance) for p, q in pairs)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or math.isclose(a, b, rel_tol=tolerance)
    return bool(a == b)


def _unordered(a: tuple[Any, ...]) -> bool:
    """Whether it is a sum or a product, whose parts were sorted by their numbers as well."""
    return all(isinstance(part, tuple) for part in a)


def _shape(a: Any) -> str:
    """What it looks like without its numbers."""
    if isinstance(a, float):
        return "#"
    return f"({','.join(map(_shape, a))})" if isinstance(a, tuple) else repr(a)
