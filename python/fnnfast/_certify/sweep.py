"""Errors of one function over floats: the largest, where it is, and what is no rounding error at all.

A function is compared with the same formula in more digits: the float64 kernels for float32, the oracles of
``fnnfast.reference`` in extended precision for float64. Both are themselves compared with mpmath, where the errors are
largest and at random places; what mpmath says is what counts.

An ulp is the distance of the floats about the exact value, at least the smallest subnormal number.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from .. import _cpu, reference
from .._checks import Array
from .exact import Formulas

BLOCK = 1 << 14  # values at a time: the arrays of a thread stay in its L2
ALL = 1 << 32
SPOTS = 200  # random values at which the reference is compared with mpmath
WORST = 12  # blocks whose largest error mpmath decides

Function = Callable[[Array], Array]


@dataclass(frozen=True)
class Case:
    """An activation of the registry, or its derivative, in float32 or float64."""

    name: str
    derivative: bool = False
    accurate: bool = False
    dtype: str = "float32"

    def __str__(self) -> str:
        words = ["accurate"] * self.accurate + [self.name] + ["derivative"] * self.derivative
        return f"{' '.join(words)}, {self.dtype}"

    @property
    def parameter(self) -> float | None:
        """The default, rounded to the dtype; None without a parameter."""
        default = reference.ACTIVATIONS[self.name].default
        return None if default is None else float(np.dtype(self.dtype).type(default))

    def kernel(self, dtype: str, accurate: bool = False) -> Function:
        """The function as its kernel of this dtype computes it."""
        run = _cpu.activation_derivative if self.derivative else _cpu.activation_forward
        name = f"accurate {self.name}" if accurate else self.name
        parameter = None if self.parameter is None else np.full(1, self.parameter, dtype)

        def compute(z: Array) -> Array:
            with np.errstate(invalid="ignore"):  # of signaling NaNs
                rows: Array = z.astype(dtype, copy=False).reshape(1, -1)
            out: Array = np.empty_like(rows)
            run(name, parameter, rows, out)
            return out.reshape(-1)

        return compute

    def oracle(self) -> Function | None:
        """The function in extended precision; None where its 11 more bits are too few, in the tails of gelu."""
        if self.name in ("gelu", "gelu_tanh") or np.finfo(np.longdouble).nmant < 63:
            return None
        formula = reference.ACTIVATIONS[self.name]
        run = _WITH_CONSTANTS.get((self.name, self.derivative), formula._slope if self.derivative else formula._value)

        def compute(z: Array) -> Array:
            p = None if self.parameter is None else np.longdouble(self.parameter)
            with np.errstate(all="ignore"):
                return np.where(np.isnan(z), np.nan, run(np, z.astype(np.longdouble), p))

        return compute


def _selu(xp: ModuleType, z: Array, p: Any) -> Array:
    scale, alpha = _constants("1.0507009873554804934193349852946", "1.6732632423543772848170429916717")
    return np.asarray(np.where(z > 0, scale * z, scale * alpha * xp.expm1(z)))


def _selu_slope(xp: ModuleType, z: Array, p: Any) -> Array:
    scale, alpha = _constants("1.0507009873554804934193349852946", "1.6732632423543772848170429916717")
    return np.asarray(np.where(z > 0, scale, scale * alpha * xp.exp(z)))


def _hard_sigmoid_slope(xp: ModuleType, z: Array, p: Any) -> Array:
    return np.asarray(xp.where(xp.abs(z) < 3, 1 / np.longdouble(6), np.longdouble(0)))


def _constants(*digits: str) -> list[np.longdouble]:
    return [np.longdouble(text) for text in digits]


_WITH_CONSTANTS = {
    ("selu", False): _selu,
    ("selu", True): _selu_slope,
    ("hard_sigmoid", True): _hard_sigmoid_slope,
}
"""In extended precision where the constants of the oracle are float64."""


@dataclass
class Result:
    """What was found for a case."""

    case: Case
    tested: int = 0
    largest: float = 0.0  # ulp
    at: float = 0.0
    rounded: float = 1.0  # the share of results that are the float next to the exact value
    absolute: float = 0.0  # the largest error as a share of the dtype's eps, where the exact value is at most 2
    reference: float = 0.0  # the largest error of the reference, in ulp of the dtype
    bits: str = ""  # a digest of all results
    wrong: str = ""  # the first result that is no rounding error: NaN, an infinity or the sign of a zero

    def json(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        case = self.case
        return {
            "activation": case.name,
            "derivative": case.derivative,
            "accurate": case.accurate,
            "dtype": case.dtype,
            "tested": self.tested,
            "largest_ulp": self.largest,
            "at": self.at.hex(),
            "correctly_rounded": self.rounded,
            "largest_eps": self.absolute,
            "reference_ulp": self.reference,
            "bits": self.bits,
            "wrong": self.wrong,
        }


def floats(every: int) -> Iterator[tuple[int, int]]:
    """Blocks of float32 by their bits: the first one and how many, ``every`` apart."""
    for first in range(0, ALL, BLOCK * every):
        yield first, min(BLOCK, -((first - ALL) // every))


def doubles(count: int) -> Iterator[tuple[int, int]]:
    """Blocks of random float64: the number of the block and how many."""
    for first in range(0, count, BLOCK):
        yield first // BLOCK, min(BLOCK, count - first)


def float32_values(first: int, count: int, every: int) -> Array:
    """The values of a block."""
    bits: Array = np.arange(first, first + every * count, every, dtype=np.uint64)
    return bits.astype(np.uint32).view(np.float32)


def float64_values(block: int, count: int) -> Array:
    """The values of a block: half of them any bits, half between 2^-40 and 2^10; the first begins with hard ones."""
    rng = np.random.default_rng([2026, block])
    bits = rng.integers(0, 1 << 64, count, dtype=np.uint64, endpoint=False)
    exponents = rng.integers(1023 - 40, 1023 + 10, count, dtype=np.uint64)
    near = (bits & np.uint64(0x800FFFFFFFFFFFFF)) | (exponents << np.uint64(52))
    values = np.where(np.arange(count) % 2 == 0, bits, near).view(np.float64)
    if block == 0:
        hard = _hard()[:count]
        values[: len(hard)] = hard
    return values


def _hard() -> Array:
    """Limits, subnormal numbers, powers of two, kinks, and where kernels change their formulas, with neighbours."""
    info = np.finfo(np.float64)
    edges = [0.8125, 0.671875, 1000.0, 600.0, 1200.0, 745.2, 746.0, 709.8, 710.0, 38.6, 39.0, 40.0, 37.4, 1e30, 3.0]
    places = np.array([*edges, 6.0, 1.2784645427610738, 0.7517915246935645, *np.ldexp(1.0, np.arange(-1074, 1024))])
    around = np.concatenate([places, np.nextafter(places, 0), np.nextafter(places, np.inf)])
    special = [0.0, info.max, info.tiny, info.smallest_subnormal, np.inf, np.nan]
    return np.concatenate([around, special, -around, np.negative(special)])


def _places(case: Case, every: int, count: int) -> Iterator[tuple[int, int]]:
    return floats(every) if case.dtype == "float32" else doubles(count)


def _values(case: Case, place: tuple[int, int], every: int) -> Array:
    first, count = place
    return float32_values(first, count, every) if case.dtype == "float32" else float64_values(first, count)


def measure(
    case: Case,
    compute: Function | None = None,
    *,
    every: int = 1,
    count: int = 10**8,
    threads: int = 1,
    formulas: Formulas,
    advance: Callable[[int], object] = lambda values: None,
) -> Result:
    """The errors of ``compute``, by default of the case's kernel: every n-th float32, or ``count`` float64."""
    compute = compute or case.kernel(case.dtype, case.accurate)
    is_float32 = case.dtype == "float32"
    exact = case.kernel("float64") if is_float32 else case.oracle()
    if exact is None:  # mpmath alone is some hundred times as slow
        exact = _digits(case, formulas)
        count //= 100
    errors = _float32_errors if is_float32 else _float64_errors

    def block(place: tuple[int, int]) -> _Block:
        z = _values(case, place, every)
        got = compute(z)
        found = errors(z, got, exact(z))
        advance(len(z))
        return found

    result = Result(case)
    blocks = []
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(block, _places(case, every, count)):
            blocks.append(found)
            result.wrong = result.wrong or found.wrong
    result.tested = sum(found.tested for found in blocks)
    result.rounded = sum(found.rounded for found in blocks) / max(result.tested, 1)
    result.absolute = max(found.absolute for found in blocks)
    result.bits = f"{zlib.crc32(np.array([found.bits for found in blocks], np.uint32).tobytes()):08x}"
    worst = sorted(blocks, key=lambda found: found.largest, reverse=True)[:WORST]
    decided = [(_error(case, formulas, compute, found.at), found.at) for found in worst if found.tested]
    result.largest, result.at = max(decided, default=(0.0, 0.0))
    result.reference = _of_reference(case, formulas, exact, every)
    return result


def bits(case: Case, *, every: int = 1, count: int = 10**8, threads: int = 1) -> str:
    """The digest of all results of the instruction set in use, as ``measure`` has it."""
    compute = case.kernel(case.dtype, case.accurate)

    def block(place: tuple[int, int]) -> int:
        return _digest(compute(_values(case, place, every)))

    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(block, _places(case, every, count))
        return f"{zlib.crc32(np.array(list(found), np.uint32).tobytes()):08x}"


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Kernels on one thread, since each of several threads calls them."""
    before = _cpu.get_num_threads()
    _cpu.set_num_threads(1)
    try:
        yield
    finally:
        _cpu.set_num_threads(before)


# Errors of a block ---------------------------------------------------------------------------------------------------
@dataclass
class _Block:
    tested: int
    largest: float
    at: float
    rounded: int
    absolute: float
    bits: int
    wrong: str


def _float32_errors(z: Array, got: Array, exact: Array) -> _Block:
    found = _of_one_exponent(z, got, exact)
    if found:
        return found
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = exact.astype(np.float32)
        wrong = _not_rounding(z, got, exact, nearest)
        error = np.abs(got.astype(np.float64) - exact)
        # 2^23 over the power of two of the exact value, by its exponent's bits; at least that of subnormal numbers.
        exponent = np.maximum((exact.view(np.int64) >> 52) & 0x7FF, 1023 - 126)
        ulps = error * ((2046 + 23 - exponent) << 52).view(np.float64)
        return _summary(z, got, nearest, ulps, error * 2.0**23, wrong)


def _of_one_exponent(z: Array, got: Array, exact: Array) -> _Block | None:
    """The errors of float32 where all exact values have one exponent and one sign, or are zeros; None elsewhere.

    Nearly all blocks of floats that follow each other are so, and all values have the same ulp. None, too, if a result
    is no rounding error.
    """
    lowest, highest = sorted((abs(float(exact.min())), abs(float(exact.max()))))
    if not highest < 2.0**127 or exact.min() < 0 < exact.max() or lowest <= 2 < highest:
        return None
    nearest = exact.astype(np.float32)
    if highest == 0:
        same = np.array_equal(got.view(np.uint32), nearest.view(np.uint32))
        return _Block(len(z), 0.0, float(z[0]), len(z), 0.0, _digest(got), "") if same else None
    exponent = max(math.frexp(highest)[1], -125)
    if lowest == 0 or max(math.frexp(lowest)[1], -125) != exponent:
        return None
    error = np.subtract(got, exact)
    np.abs(error, out=error)
    at = int(error.argmax())
    largest = float(error[at])
    if not math.isfinite(largest):
        return None
    rounded = int(np.count_nonzero(got == nearest))
    absolute = largest * 2.0**23 if highest <= 2 else 0.0
    return _Block(len(z), largest * 2.0 ** (24 - exponent), float(z[at]), rounded, absolute, _digest(got), "")


def _float64_errors(z: Array, got: Array, exact: Array) -> _Block:
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = exact.astype(np.float64)
        wrong = _not_rounding(z, got, exact, nearest)
        error = np.abs(got.astype(np.longdouble) - exact)
        _, exponent = np.frexp(exact)
        ulps = np.ldexp(error, -np.maximum(exponent - 53, -1074)).astype(np.float64)
        return _summary(z, got, nearest, ulps, error.astype(np.float64) * 2.0**52, wrong)


def _summary(z: Array, got: Array, nearest: Array, ulps: Array, share: Array, wrong: str) -> _Block:
    finite = np.isfinite(nearest)
    if not finite.all():
        ulps = np.where(finite, ulps, 0.0)
    at = int(ulps.argmax())
    tested = int(np.count_nonzero(finite))
    rounded = int(np.count_nonzero((got == nearest) & finite))
    absolute = float(share.max(initial=0.0, where=np.abs(nearest) <= 2))
    return _Block(tested, float(ulps[at]), float(z[at]), rounded, absolute, _digest(got), wrong)


def _digest(got: Array) -> int:
    """Of the bits of an array, where all NaNs are alike."""
    missing = np.isnan(got)
    return zlib.crc32((np.where(missing, np.nan, got).astype(got.dtype) if missing.any() else got).data)


def _not_rounding(z: Array, got: Array, exact: Array, nearest: Array) -> str:
    """The first value with NaN, an infinity or a zero's sign that is not the reference's."""
    bad = np.isnan(got) != np.isnan(exact)
    infinite = np.isinf(nearest)
    if infinite.any():
        bad |= infinite & (got != nearest)
    zero = exact == 0
    if zero.any():
        bad |= zero & ((got != 0) | (np.signbit(got) != np.signbit(exact)))
    if not bad.any():
        return ""
    first = int(bad.argmax())
    return f"{got[first]} instead of {nearest[first]} at z = {float(z[first]).hex()}"


# With mpmath ---------------------------------------------------------------------------------------------------------
def _digits(case: Case, formulas: Formulas) -> Function:
    formula = reference.ACTIVATIONS[case.name]
    limits = formula.derivative if case.derivative else formula.forward

    def compute(z: Array) -> Array:
        found = limits(z).astype(np.longdouble)
        for i in np.flatnonzero(np.isfinite(z)):
            value = formulas.longdouble(_exact(case, formulas, float(z[i])))
            if value != 0:  # mpmath's zero has no sign: the oracle's has
                found[i] = value
        return np.asarray(found)

    return compute


def _exact(case: Case, formulas: Formulas, z: float) -> Any:
    return formulas.at(case.name, case.derivative, z, 1.0 if case.parameter is None else case.parameter)


def _ulps(error: Any, exact: Any, case: Case, formulas: Formulas) -> float:
    digits, smallest = (24, -149) if case.dtype == "float32" else (53, -1074)
    return float(error / formulas.power_of_two(max(formulas.exponent(exact) - digits, smallest)))


def _error(case: Case, formulas: Formulas, compute: Function, z: float) -> float:
    """The error at z in ulp, with mpmath."""
    got = float(compute(np.array([z], case.dtype))[0])
    exact = _exact(case, formulas, z)
    return _ulps(abs(got - exact), exact, case, formulas)


def _of_reference(case: Case, formulas: Formulas, exact: Function, every: int) -> float:
    """The largest error of the reference over random places, in ulp of the dtype."""
    block = np.random.default_rng(1).uniform(-1, 1, SPOTS) * np.geomspace(1e-6, 60, SPOTS)
    z = block.astype(case.dtype)
    worst = 0.0
    for place, value in zip(z.tolist(), exact(z), strict=True):
        truth = _exact(case, formulas, place)
        high = float(value)
        error = abs((high - truth) + float(value - type(value)(high)))  # value has more digits than mpf takes
        worst = max(worst, _ulps(error, truth, case, formulas))
    return worst
