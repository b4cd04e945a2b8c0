"""What the kernel tests share: activations to try, arrays of every layout, and how far a result may be from the oracle.

A sum of I products that starts at a bias and is rounded I times is off by at most I eps/2 (|x| |w| + |b|), to first
order. Promised for a dense layer is 4 (I + 8) eps (|x| |w| + |b| + 1), elementwise; the activation on top multiplies
that by its Lipschitz constant where it is above 1, and its own few eps are in the 8 and the 1.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import fnnfast as fnn
from fnnfast import reference

Array = np.ndarray[Any, Any]

# Sizes around every multiple that a register tile, vector, panel or row block could have, up to 300.
TAILS = sorted({*range(1, 20), *(n + d for n in (24, 32, 48, 64, 96, 128, 192, 256) for d in (-1, 0, 1)), 72, 144, 300})


# Activations ---------------------------------------------------------------------------------------------------------
class Case(NamedTuple):
    """An activation to try: its name in the registry, and a parameter, if it has one, that is not the default."""

    name: str

    def make(self, units: int, dtype: np.dtype) -> tuple[Any, Any]:
        """The public object, and the parameter for the oracle: rounded to dtype, as the kernels have it."""
        oracle = reference.ACTIVATIONS[self.name]
        if oracle.default is None:
            return fnn.activations.get(self.name), None
        parameter = _slopes(units, dtype) if oracle.learned else OTHER.get(self.name, 1.3 * oracle.default)
        return self.of(parameter), parameter if oracle.learned else float(dtype.type(parameter))

    def of(self, parameter: Any) -> Any:
        """The public object with that parameter."""
        word = "beta" if "beta" in vars(fnn.activations.get(self.name)) else "alpha"
        return fnn.activations.get(self.name, **{word: parameter})


def _slopes(units: int, dtype: np.dtype) -> Array:
    """Learned slopes of both signs and zero; all magnitudes below 2."""
    slopes = np.random.default_rng(units).uniform(-0.5, 1.9, units).astype(dtype)
    slopes[::5] = 0
    return slopes


def _is_negative_zero(y: Array) -> bool:
    return bool(y == 0 and np.signbit(y))


OTHER = {"leaky_relu": 0.1, "swish": 1.7}
"""Parameters to try, where that is not 1.3 times the default."""
CASES = {name: Case(name) for name in reference.ACTIVATIONS}
DIFFERENTIABLE = [name for name, f in reference.ACTIVATIONS.items() if f.differentiable]
ELEMENTWISE = [name for name, f in reference.ACTIVATIONS.items() if not f.rowwise]
SMOOTH = [name for name in ELEMENTWISE if name in DIFFERENTIABLE]
JUMPS = [name for name in ELEMENTWISE if name not in DIFFERENTIABLE]
KINKS = {name: f.kinks for name, f in reference.ACTIVATIONS.items()}
VANISHING = [  # z times a factor that vanishes on the left, as for swish: the limit is -0.0, and the slope changes sign
    name for name in ELEMENTWISE if _is_negative_zero(reference.ACTIVATIONS[name].forward(np.array(-np.inf)))
]
THROUGH_ZERO = [  # f(-0.0) is -0.0
    name for name in ELEMENTWISE if _is_negative_zero(reference.ACTIVATIONS[name].forward(np.array(-0.0)))
]

_GRID = np.linspace(-12, 12, 4801)  # holds 0, and the steepest point of each to 1e-5 of its slope


def lipschitz(name: str, parameter: Any) -> Any:
    """The steepest slope of an activation, or 1 where it is less: a number, or (O,) for a learned slope a neuron."""
    if reference.ACTIVATIONS[name].learned:
        return np.maximum(1.0, np.abs(parameter))
    return _steepest(name, parameter)


@cache
def _steepest(name: str, parameter: float | None) -> float:
    if reference.ACTIVATIONS[name].rowwise or name in JUMPS:
        return 1.0
    return max(1.0, 1.0001 * float(np.abs(reference.ACTIVATIONS[name].derivative(_GRID, parameter)).max()))


@cache
def bend(name: str, parameter: float | None) -> float:
    """The largest second derivative, or 2 where it is less, as it is for most, with any parameter tried."""
    oracle = reference.ACTIVATIONS[name]
    if oracle.rowwise or oracle.learned or oracle.kinks or name in JUMPS:
        return 2.0
    steps = np.diff(oracle.derivative(_GRID, parameter)) / np.diff(_GRID)
    return max(2.0, 1.01 * float(np.abs(steps).max()))


# Tolerances ----------------------------------------------------------------------------------------------------------
def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def magnitude(x: Array, weight: Array, bias: Array | None) -> Array:
    """|x| |w| + |b|, in float64."""
    return reference.dense(np.abs(x), np.abs(weight), None if bias is None else np.abs(bias))


def z_tolerance(x: Array, weight: Array, bias: Array | None) -> Array:
    """How far a pre-activation may be off: 4 (I + 8) eps (|x| |w| + |b| + 1)."""
    return 4 * (weight.shape[-2] + 8) * eps(np.result_type(x, weight)) * (magnitude(x, weight, bias) + 1)


def dense_tolerance(x: Array, weight: Array, bias: Array | None, name: str, parameter: Any) -> Array:
    """How far a dense layer's output may be off; an output of softmax depends on its whole row."""
    tolerance = z_tolerance(x, weight, bias)
    if name == "softmax":
        return np.broadcast_to(tolerance.max(axis=-1, keepdims=True), tolerance.shape)
    return tolerance * lipschitz(name, parameter)


def maxout_tolerance(x: Array, weight: Array, bias: Array | None) -> Array:
    """How far a maxout layer's output may be off: as far as the worst of the pieces."""
    biases = [None] * len(weight) if bias is None else bias
    return np.max([z_tolerance(x, w, b) for w, b in zip(weight, biases, strict=True)], axis=0)


def product_tolerance(a: Array, b: Array, a_off: Array, dtype: Any) -> Array:
    """How far a b may be off, for a given a_off from the exact a, in float64: |a_off| |b| + 4 (K + 8) eps |a| |b|."""
    return (a_off + 4 * (a.shape[-1] + 8) * eps(dtype) * np.abs(a)) @ np.abs(b) + np.finfo(dtype).tiny


def dense_gradient_tolerance(
    dy: Array, x: Array, weight: Array, bias: Array | None, z: Array, name: str, parameter: Any
) -> reference.DenseGradients:
    """How far the gradients of a dense layer, of 2-d x, may be off; z is the oracle's.

    An error of z moves the derivative by the second derivative, away from kinks; a derivative taken from a rounded
    output is off by a few eps. For softmax, off bounds the error of an output and of its part in the sum:
    y_i (dy_i - sum_j dy_j y_j) is then off by off (|dy_i| + 2 sum_j |dy_j|).
    """
    dtype, rows = np.result_type(dy, x, weight), len(x)
    f = reference.ACTIVATIONS[name]
    dz = f.backward(dy, z, parameter)
    off = (2.0 if f.learned else bend(name, parameter)) * z_tolerance(x, weight, bias)
    dz_off = np.abs(dy) * off
    if f.rowwise:
        off = off.max(axis=1, keepdims=True) + 4 * (z.shape[1] + 8) * eps(dtype)
        dz_off = off * (np.abs(dy) + 2 * np.abs(dy).sum(axis=1, keepdims=True))
    alpha = None
    if f.learned:
        terms = dy * f.parameter_gradient(z, parameter)
        alpha = product_tolerance(np.ones((1, rows)), terms, np.zeros((1, rows)), dtype)[0] + dz_off.sum(axis=0)
    return reference.DenseGradients(
        product_tolerance(dz, weight.T, dz_off, dtype),
        product_tolerance(dz.T, x, dz_off.T, dtype).T,
        product_tolerance(np.ones((1, rows)), dz, np.zeros((1, rows)), dtype)[0] + dz_off.sum(axis=0),
        alpha,
    )


def maxout_gradient_tolerance(dy: Array, x: Array, weight: Array, argmax: Array) -> reference.MaxoutGradients:
    """How far the gradients of a maxout layer, of 2-d x, may be off, given the winners."""
    dtype = np.result_type(dy, x, weight)
    sizes = reference.maxout_backward(np.abs(dy), np.abs(x), np.abs(weight), argmax)
    rows, units = dy.shape
    over_rows, over_units = 4 * (rows + 8) * eps(dtype), 4 * (units + 8) * eps(dtype)
    tiny = np.finfo(dtype).tiny
    return reference.MaxoutGradients(
        over_units * sizes.x + tiny, over_rows * sizes.weight + tiny, over_rows * sizes.bias + tiny
    )


def assert_within(got: Array, expected: Array, tolerance: Array) -> None:
    """|got - expected| <= tolerance, elementwise, or a message with the worst place."""
    assert got.shape == expected.shape
    excess = np.abs(got.astype(np.float64) - expected) / tolerance
    if excess.size and not excess.max() <= 1:
        worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
        raise AssertionError(
            f"at {tuple(map(int, worst))} of {got.shape}: got {got[worst]!r}, expected {expected[worst]!r}, "
            f"{excess[worst]:.3g} times the tolerance"
        )


def assert_same_bits(got: Array, expected: Array) -> None:
    """Zero differing bits, the payload and sign of NaN aside."""
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    unsigned = np.dtype(f"u{got.dtype.itemsize}")
    differ = np.ascontiguousarray(got).view(unsigned) != np.ascontiguousarray(expected).view(unsigned)
    differ &= ~(np.isnan(got) & np.isnan(expected))
    if differ.any():
        place = tuple(int(i[0]) for i in np.nonzero(differ))
        raise AssertionError(
            f"{differ.sum()} of {differ.size} differ, first at {place}: {got[place]!r} and {expected[place]!r}"
        )


# Data ----------------------------------------------------------------------------------------------------------------
def normal(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def dense_problem(rng: np.random.Generator, b: int, i: int, o: int, dtype: Any) -> tuple[Array, Array, Array]:
    """x (B, I), weight (I, O), bias (O,), so that pre-activations are around 1."""
    return normal(rng, dtype, b, i), normal(rng, dtype, i, o) / dtype.type(np.sqrt(i)), normal(rng, dtype, o)


def maxout_problem(rng: np.random.Generator, b: int, p: int, i: int, o: int, dtype: Any) -> tuple[Array, Array, Array]:
    """x (B, I), weight (P, I, O), bias (P, O)."""
    return normal(rng, dtype, b, i), normal(rng, dtype, p, i, o) / dtype.type(np.sqrt(i)), normal(rng, dtype, p, o)


def _spread(array: Array) -> Array:
    """Every second element, along each axis, of a larger array that is NaN, or all ones, in between."""
    larger = np.full(tuple(2 * n + 1 for n in array.shape), np.nan if array.dtype.kind == "f" else 255, array.dtype)
    view = larger[tuple(slice(1, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def _reversed(array: Array) -> Array:
    """Negative strides along every axis."""
    back = (slice(None, None, -1),) * array.ndim
    return array[back].copy()[back]


def _read_only(array: Array) -> Array:
    array = array.copy()
    array.flags.writeable = False
    return array


def _misaligned(array: Array) -> Array:
    """One byte off any alignment."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


class Convertible:
    """Not an array, but what has its memory."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.array


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "spread": _spread,
    "reversed": _reversed,
    "read_only": _read_only,
    "misaligned": _misaligned,
    "byte_swapped": lambda array: array.astype(array.dtype.newbyteorder()),
}

sizes = st.one_of(st.integers(1, 20), st.sampled_from(TAILS))
layouts = st.sampled_from(sorted(LAYOUTS))
seeds = st.integers(0, 2**32 - 1)
leading = st.lists(st.integers(0, 4), max_size=3).map(tuple)
"""The axes of x before the last: none for a vector, and any of them may be empty."""
