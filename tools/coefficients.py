"""Derive the tables of csrc/core/coefficients.hpp and print them with their errors.

Usage: ``python tools/coefficients.py`` (needs mpmath and NumPy, takes about a minute). The output is the two
``Coefficients`` structs; it is pasted by hand, so that a change of a table is a change that somebody reads.

Every table is the minimax polynomial, or ratio of two, of a smooth function under the weight that turns its error into
the relative error of the final result, found with Remez' exchange algorithm in 60-digit arithmetic, then rounded
coefficient by coefficient. The error printed is that of the rounded table, as a power of two; half an ulp is a relative
2^-25 to 2^-24 in float32 and 2^-54 to 2^-53 in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np

mp.mp.dps = 60
Function = Callable[[mp.mpf], mp.mpf]
Table = list[mp.mpf]

LN2 = mp.log(2)
# |z| below which tanh is a ratio of polynomials: above, 2 / (1 + e) - 1 loses at most one bit of what exp is off.
TANH_EDGE = 0.625
# In float64, |z| below which the normal distribution is 1/2 - |z| P(z^2). Phi(-0.6745) = 1/4: the difference loses at
# most one bit.
NORMAL_EDGE = 0.671875
TINY = mp.mpf(2) ** -40


def value(table: Table, x: mp.mpf) -> mp.mpf:
    """The polynomial with coefficients ``table``, lowest first."""
    return mp.polyval(table[::-1], x)


def extrema(errors: list[tuple[mp.mpf, mp.mpf]], count: int) -> list[tuple[mp.mpf, mp.mpf]]:
    """The largest of each run of errors of one sign, at most ``count`` of them."""
    found: list[tuple[mp.mpf, mp.mpf]] = []
    for x, error in errors:
        if found and (error > 0) == (found[-1][1] > 0):
            if abs(error) > abs(found[-1][1]):
                found[-1] = (x, error)
        else:
            found.append((x, error))
    while len(found) > count:
        found.pop(0 if abs(found[0][1]) < abs(found[-1][1]) else -1)
    return found


def remez(function: Function, weight: Function, p: int, q: int, low: mp.mpf, high: mp.mpf) -> tuple[Table, Table]:
    """P of degree p and Q = 1 + ... of degree q that minimise max |weight (function - P / Q)| on [low, high].

    Remez' second algorithm. For q = 0 the equations of the reference points,
    P(x_i) - f(x_i) (Q(x_i) - 1) + (-1)^i level Q(x_i) / weight(x_i) = f(x_i), are linear; else the Q beside the level
    is that of the step before.
    """
    count = p + q + 2

    def nodes(n: int) -> Table:
        return [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (i + 0.5) / n) for i in range(n)]

    grid = [(x, function(x), weight(x)) for x in nodes(40 * count)]
    reference = [(x, function(x), weight(x)) for x in nodes(count)]
    numerator, denominator = [mp.mpf(0)], [mp.mpf(1)]
    for _ in range(40):
        for _ in range(3 if q else 1):
            system, right = mp.matrix(count, count), mp.matrix(count, 1)
            for i, (x, f, w) in enumerate(reference):
                row = [x**j for j in range(p + 1)] + [-f * x**j for j in range(1, q + 1)]
                for j, entry in enumerate(row):
                    system[i, j] = w * entry
                system[i, count - 1] = (-1) ** i * value(denominator, x)
                right[i] = w * f
            solution = mp.lu_solve(system, right)
            numerator = [solution[j] for j in range(p + 1)]
            denominator = [mp.mpf(1)] + [solution[p + 1 + j] for j in range(q)]
        errors = [(x, w * (f - value(numerator, x) / value(denominator, x))) for x, f, w in grid]
        worst = extrema(errors, count)
        if len(worst) < count or max(abs(e) for _, e in worst) < 1.001 * abs(solution[count - 1]):
            break
        reference = [(x, function(x), weight(x)) for x, _ in worst]
    return numerator, denominator


class Printer:
    """Prints the members of one struct."""

    def __init__(self, dtype: type[np.floating]) -> None:
        self.dtype = dtype
        self.scalar = "float" if dtype is np.float32 else "double"

    def rounded(self, x: mp.mpf) -> mp.mpf:
        """``x`` rounded to the dtype."""
        with mp.workprec(np.finfo(self.dtype).nmant + 1):
            return +x

    def literal(self, x: mp.mpf) -> str:
        """The shortest C++ literal that reads back as the number of the dtype nearest to ``x``."""
        text = str(self.dtype(float(self.rounded(x))))
        return text + "f" if self.dtype is np.float32 else text

    def constant(self, name: str, x: mp.mpf) -> None:
        """Print one number."""
        print(f"  static constexpr {self.scalar} {name} = {self.literal(x)};")

    def split(self, name: str, x: mp.mpf) -> None:
        """Print ``x`` as an unevaluated sum."""
        self.constant(name + "High", x)
        self.constant(name + "Low", x - self.rounded(x))

    def table(self, name: str, table: Table) -> None:
        """Print an array."""
        print(f"  static constexpr {self.scalar} {name}[] = {{")
        for x in table:
            print(f"      {self.literal(x)},")
        print("  };")

    def fit(
        self, name: str, function: Function, weight: Function, degree: int | tuple[int, int], low: mp.mpf, high: mp.mpf
    ) -> None:
        """Fit, round, measure and print a polynomial, or a numerator and a denominator."""
        p, q = degree if isinstance(degree, tuple) else (degree, 0)
        low, high = mp.mpf(low), mp.mpf(high)
        numerator, denominator = ([self.rounded(x) for x in part] for part in remez(function, weight, p, q, low, high))
        points = [low + (high - low) * i / 3000 for i in range(3001)]
        errors = [abs(weight(x) * (function(x) - value(numerator, x) / value(denominator, x))) for x in points]
        print(f"  // {f'degrees {p} and {q}' if q else f'degree {p}'}, error 2^{mp.nstr(mp.log(max(errors), 2), 3)}")
        self.table(name + "Numerator" if q else name, numerator)
        if q:
            self.table(name + "Denominator", denominator)


def exp_tail(r: mp.mpf) -> mp.mpf:
    """(exp(r) - 1 - r) / r^2, by its series."""
    return mp.fsum(r**k / mp.factorial(k + 2) for k in range(40))


def atanh_tail(v: mp.mpf) -> mp.mpf:
    """(2 atanh(s) / s - 2) / s^2 of v = s^2, by its series."""
    return mp.fsum(2 * v**k / (2 * k + 3) for k in range(140))


def atanh_weight(v: mp.mpf) -> mp.mpf:
    """What an error of ``atanh_tail`` weighs in 2 atanh(s), relative to it."""
    return v / (2 + v * atanh_tail(v))


def tanh_tail(v: mp.mpf) -> mp.mpf:
    """(tanh(a) / a - 1) / a^2 of v = a^2."""
    a = mp.sqrt(v)
    return (mp.tanh(a) / a - 1) / v


def normal_tail(a: mp.mpf) -> mp.mpf:
    """Phi(-a)."""
    return mp.erfc(a / mp.sqrt(2)) / 2


def normal_slope(v: mp.mpf) -> mp.mpf:
    """(Phi(a) - 1/2) / a of v = a^2."""
    a = mp.sqrt(v)
    return (mp.mpf(1) / 2 - normal_tail(a)) / a


def print_struct(
    dtype: type[np.floating],
    *,
    exp: int,
    expm1: int,
    log: int,
    log1p: int,
    tanh: tuple[int, int],
    near: int | None,
    far: int,
    far_shift: float,
    far_centre: float,
    far_limit: float,
) -> None:
    """Print all tables for ``dtype``: the degrees, and for the normal distribution the variable of the far part."""
    out = Printer(dtype)
    print(f"template <>\nstruct Coefficients<{out.scalar}> {{")
    out.constant("kLog2e", 1 / LN2)
    out.split("kLn2", LN2)
    out.split("kInverseSqrt2Pi", 1 / mp.sqrt(2 * mp.pi))

    # A little beyond ln 2 / 2, since the reduction itself rounds; not symmetric, since the weights are zero at zero,
    # which must not be a first node.
    half = LN2 / 2 * mp.mpf("1.001")
    low = -half * mp.mpf("1.0001")
    out.fit("kExp", exp_tail, lambda r: r * r / mp.exp(r), exp, low, half)
    out.fit("kExpm1", exp_tail, lambda r: abs(r / (1 + r * exp_tail(r))), expm1, low, half)

    square = (3 - 2 * mp.sqrt(2)) ** 2 * mp.mpf("1.001")  # (m - 1)^2 / (m + 1)^2 for m = sqrt(2)
    out.fit("kLog", atanh_tail, atanh_weight, log, 0, square)
    out.fit("kLog1p", atanh_tail, atanh_weight, log1p, 0, mp.mpf(1) / 9)

    edge = mp.mpf(TANH_EDGE)
    out.constant("kTanhEdge", edge)
    out.fit("kTanh", tanh_tail, lambda v: v / (1 + v * tanh_tail(v)), tanh, TINY, edge**2)

    edge = mp.mpf(0)
    if near is not None:
        edge = mp.mpf(NORMAL_EDGE)
        out.constant("kNormalEdge", edge)
        out.fit("kNormalNear", normal_slope, lambda v: mp.sqrt(v) / normal_tail(mp.sqrt(v)), near, TINY, edge**2)

    shift, centre = mp.mpf(far_shift), mp.mpf(far_centre)

    def scaled_tail(x: mp.mpf) -> mp.mpf:
        """(a + shift) Phi(-a) exp(a^2 / 2) of x = 1 / (a + shift) - centre."""
        a = 1 / (x + centre) - shift
        return (a + shift) * normal_tail(a) * mp.exp(a * a / 2)

    out.constant("kNormalShift", shift)
    out.constant("kNormalCentre", centre)
    # F'/F in the correction factor 1 + d (1 + u F'/F): at a = 1.4, and at 1 if the range begins at zero, it is within a
    # fifth of the rest of the range.
    at = 1 / ((mp.mpf("1.4") if edge else 1) + shift) - centre
    out.constant("kNormalGrowth", mp.nint(10 * mp.diff(scaled_tail, at) / scaled_tail(at)) / 10)
    first, last = 1 / (far_limit + shift) - centre, 1 / (edge + shift) - centre
    out.fit("kNormalFar", scaled_tail, lambda x: 1 / scaled_tail(x), far, first, last)
    print("};")


if __name__ == "__main__":
    print_struct(
        np.float32,
        exp=4,
        expm1=5,
        log=2,
        log1p=4,
        tanh=(1, 1),
        near=None,
        far=10,
        far_shift=2.5,
        far_centre=0.21337890625,
        far_limit=14.5,
    )
    print()
    print_struct(
        np.float64,
        exp=10,
        expm1=10,
        log=7,
        log1p=10,
        tanh=(2, 3),
        near=9,
        far=22,
        far_shift=3,
        far_centre=0.089599609375,
        far_limit=39.0,
    )
