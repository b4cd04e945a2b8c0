"""tf32, float16 and bfloat16 on a GPU, against the oracle as far as rounding goes."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import (
    CASES,
    ELEMENTWISE,
    JUMPS,
    SMOOTH,
    dense_problem,
    maxout_problem,
    normal,
    numpy_dtype,
    on_gpu_and_cpu,
)
from fnnfast import reference
from oracles import assert_same_bits, assert_within, lipschitz, magnitude

pytestmark = pytest.mark.cuda

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
SHAPES = [(1, 1, 1), (3, 5, 7), (33, 17, 65), (70, 33, 10), (17, 130, 72)]
NARROW = ["tf32", "float16", "bfloat16"]
# How far rounding to the nearest moves a factor of a product, relative to it; for tf32 within a float32.
ROUNDING = {"tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
TINY = {"tf32": 0.0, "float16": 2.0**-25, "bfloat16": 0.0}  # the most that rounding a subnormal number moves it


def narrow_problem(cuda, make, compute_dtype):
    """Operands that the dtype holds (for tf32, float32's), and the same in float64 for the oracle."""
    dtype = numpy_dtype(compute_dtype)
    given = [array.astype(dtype) for array in make(F32)]
    return [cuda.array(array) for array in given], [array.astype(F64) for array in given]


def widened(array):
    return array.astype(F64)


def sums_tolerance(compute_dtype, x, weight, bias):
    """How far z may be off: sums in float32, as the CPU's; factors of tf32 are rounded as well."""
    size = magnitude(x, weight, bias)
    rounding = 2.01 * ROUNDING["tf32"] if compute_dtype == "tf32" else 0
    return 4 * (weight.shape[-2] + 8) * 2.0**-23 * (size + 1) + rounding * size


def narrow_tolerance(compute_dtype, expected, tolerance):
    """The same of what is then rounded to be stored."""
    if compute_dtype == "tf32":
        return tolerance
    return tolerance + ROUNDING[compute_dtype] * (np.abs(expected) + tolerance) + TINY[compute_dtype]


@pytest.mark.parametrize("compute_dtype", NARROW)
@pytest.mark.parametrize("name", list(CASES))
def test_dense_in_narrow_types(cuda, compute_dtype, name):
    rng = np.random.default_rng(7)
    for shape in SHAPES:
        given, wide = narrow_problem(cuda, lambda dtype, shape=shape: dense_problem(rng, *shape, dtype), compute_dtype)
        f, parameter = CASES[name].make(shape[2], F32)
        with fnn.tf32():
            y = fnn.dense(*given, f)
        assert y.dtype == given[0].dtype
        expected, z = reference.dense_forward(*wide, name, parameter)
        tolerance = sums_tolerance(compute_dtype, *wide)
        if name in JUMPS:
            sure = np.abs(z) > tolerance
            assert np.array_equal(widened(cuda.host(y))[sure], expected[sure])
            continue
        if name == "softmax":
            tolerance = np.broadcast_to(2 * tolerance.max(axis=-1, keepdims=True), tolerance.shape)
        else:
            tolerance = tolerance * lipschitz(name, parameter)
        assert_within(widened(cuda.host(y)), expected, narrow_tolerance(compute_dtype, expected, tolerance))


@pytest.mark.parametrize("compute_dtype", NARROW)
def test_maxout_in_narrow_types(cuda, compute_dtype):
    rng = np.random.default_rng(8)
    for b, i, o in SHAPES:
        for p in (1, 2, 5):
            given, wide = narrow_problem(cuda, lambda d, s=(b, p, i, o): maxout_problem(rng, *s, d), compute_dtype)
            with fnn.tf32():
                y, saved = fnn.maxout_forward(*given)
            x, weight, bias = wide
            expected = reference.maxout(*wide)
            tolerance = np.max(
                [sums_tolerance(compute_dtype, x, w, c) for w, c in zip(weight, bias, strict=True)], axis=0
            )
            assert_within(widened(cuda.host(y)), expected, narrow_tolerance(compute_dtype, expected, tolerance))
            chosen = np.take_along_axis(reference.pieces(*wide), cuda.host(saved)[None].astype(np.intp), axis=0)[0]
            assert np.all(chosen >= expected - 2 * tolerance)


@pytest.mark.parametrize("compute_dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_in_narrow_types(cuda, compute_dtype, name):
    """Every number there is: the nearest to a number that is within 2**-15 of the CPU's float32 result."""
    dtype = numpy_dtype(compute_dtype)
    z = np.arange(2**16, dtype=np.uint16).view(dtype)[:: 7 if cuda.emulated else 1]
    f = CASES[name].make(1, F32)[0]
    for kernel in (f, f.derivative) if name in SMOOTH else (f,):
        got = cuda.host(kernel(cuda.array(z)))
        assert got.dtype == dtype
        with np.errstate(all="ignore"):
            expected = kernel(z.astype(F32)).astype(F64)
            off = 2.0**-15 * np.abs(expected)
            if kernel is not f:  # some derivatives cross zero, where terms near 1 cancel
                off += 2.0**-17 * (np.abs(expected) > 2.0**-15)
            low, high = ((expected + sign * off).astype(F32).astype(dtype).astype(F64) for sign in (-1, 1))
        wide = widened(got)
        right = (low <= wide) & (wide <= high) | (wide == expected) | np.isnan(wide) & np.isnan(expected)
        assert right.all(), [(z[i], got[i], expected[i]) for i in np.flatnonzero(~right)[:5]]
        zero = wide == 0
        assert np.array_equal(np.signbit(wide[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("compute_dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("columns", [3, 64, 65, 150])
def test_softmax_in_narrow_types(cuda, compute_dtype, columns):
    dtype = numpy_dtype(compute_dtype)
    z = normal(np.random.default_rng(9), F32, 5, columns).astype(dtype)
    got = cuda.host(fnn.Softmax()(cuda.array(z)))
    assert_same_bits(got, fnn.Softmax()(z.astype(F32)).astype(dtype))


@pytest.mark.parametrize("compute_dtype", NARROW)
@pytest.mark.parametrize("name", ["identity", "prelu", "gelu", "softmax"])
def test_gradients_in_narrow_types(cuda, compute_dtype, name):
    """As the oracle's in float64, as far as rounding dz, the factors and the result moves them."""
    rng = np.random.default_rng(10)
    for b, i, o in SHAPES:
        given, wide = narrow_problem(cuda, lambda d, s=(b, i, o): dense_problem(rng, *s, d), compute_dtype)
        (dy,), (wide_dy,) = narrow_problem(cuda, lambda d, s=(b, o): (normal(rng, d, *s),), compute_dtype)
        f, parameter = CASES[name].make(o, F32)
        with fnn.tf32():
            _, saved = fnn.dense_forward(*given, f)
            grads = fnn.dense_backward(dy, *given[:2], saved, f)
        z = reference.pre_activation(*wide)
        expected = reference.dense_backward(wide_dy, *wide[:2], z, name, parameter)
        # Each of saved, dz, the factors and the result is rounded once; slopes and second derivatives are below 2.
        few = 8 * ROUNDING[compute_dtype]
        dz = 2 * np.abs(wide_dy) + (np.abs(wide_dy).sum(axis=1, keepdims=True) if name == "softmax" else 0)
        x, weight = np.abs(wide[0]), np.abs(wide[1])
        assert_within(widened(cuda.host(grads.x)), expected.x, few * (dz @ weight.T + 0.1))
        assert_within(widened(cuda.host(grads.weight)), expected.weight, few * (x.T @ dz + 0.1))
        assert_within(widened(cuda.host(grads.bias)), expected.bias, few * (dz.sum(axis=0) + 0.1))
        for got, like in zip(grads[:3], (given[0], given[1], given[2]), strict=True):
            assert got.dtype == given[0].dtype
            assert got.shape == like.shape
        if name == "prelu":
            assert grads.alpha.dtype == given[0].dtype
            slopes = np.abs(wide_dy * np.minimum(z, 0)).sum(axis=0)
            assert_within(widened(cuda.host(grads.alpha)), expected.alpha, few * (slopes + dz.sum(axis=0) + 0.1))


@pytest.mark.parametrize("compute_dtype", NARROW)
def test_a_network_in_narrow_types(cuda, compute_dtype):
    net, expected = on_gpu_and_cpu(compute_dtype)
    dtype = numpy_dtype(compute_dtype)
    x = normal(np.random.default_rng(11), F32, 70, 20).astype(dtype)
    y = net(cuda.array(x))
    assert y.dtype == net.dtype == dtype
    assert net.compute_dtype == compute_dtype
    # Six layers of about unit scale, each of which rounds its weights, its inputs and, but for tf32, its outputs.
    few = 6 * 3 * ROUNDING[compute_dtype] * 4
    assert_within(widened(cuda.host(y)), expected(x.astype(F32)).astype(F64), np.full((70, 7), few))
    whole = cuda.host(y)
    for rows in (slice(0, 1), slice(3, 20), slice(69, 70)):
        assert_same_bits(cuda.host(net(cuda.array(x[rows]))), whole[rows])


def test_tf32_is_for_those_who_ask(cuda):
    x, weight, _ = dense_problem(np.random.default_rng(12), 9, 40, 11, F32)
    args = cuda.array(x), cuda.array(weight)
    exact = fnn.dense(x, weight)
    with fnn.tf32():
        rounded = cuda.host(fnn.dense(*args))
        assert_same_bits(fnn.dense(x, weight), exact)  # nothing to the CPU
        wide = cuda.host(fnn.dense(*map(cuda.array, (x.astype(F64), weight.astype(F64)))))
        with fnn.tf32():
            pass
        assert_same_bits(cuda.host(fnn.dense(*args)), rounded)
    assert (rounded != exact).any()
    assert_same_bits(wide, fnn.dense(x.astype(F64), weight.astype(F64)))
    assert_same_bits(cuda.host(fnn.dense(*args)), exact)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float16", "float16", "float16"), "float16"),
        (("float16", "float16", None), "float16"),
        (("float16", "int32", None), "float16"),
        (("float16", "float32", None), "float32"),
        (("float16", "float16", "float32"), "float16"),
        (("float16", "float64", None), "float64"),
        (("bfloat16", "bfloat16", None), "bfloat16"),
        (("bfloat16", "float16", None), "float32"),
        (("bfloat16", "float32", None), "float32"),
        (("float32", "float64", None), "float64"),
        (("uint8", "float32", "bool"), "float32"),
        (("int32", "int64", None), "float64"),
    ],
)
def test_promotion(cuda, dtypes, expected):
    rng = np.random.default_rng(13)
    arrays = [
        None if name is None else rng.integers(0, 2, shape).astype(numpy_dtype(name))
        for name, shape in zip(dtypes, ((4, 3), (3, 5), (5,)), strict=True)
    ]
    y = fnn.dense(*(None if array is None else cuda.array(array) for array in arrays))
    assert y.dtype == numpy_dtype(expected)
    assert np.array_equal(
        widened(cuda.host(y)), reference.dense(*(None if a is None else a.astype(F64) for a in arrays))
    )
