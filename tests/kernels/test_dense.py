"""The fused dense layer against the oracle: every activation, dtype and instruction set, over sizes and layouts."""

import numpy as np
import pytest
from hypothesis import given, settings

import fnnfast as fnn
from factories import (
    CASES,
    DIFFERENTIABLE,
    JUMPS,
    LAYOUTS,
    TAILS,
    dense_problem,
    layouts,
    leading,
    normal,
    seeds,
    sizes,
)
from fnnfast import _cpu, reference
from oracles import assert_same_bits, assert_within, dense_tolerance, z_tolerance

SAVES = {info["name"]: info["saves"] for info in _cpu.activations()}


def check(backend, x, weight, bias, name, y=None):
    """fnn.dense of those arrays, or the y given, is within the tolerance; a jump only where z is sure of its side."""
    f, parameter = CASES[name].make(weight.shape[1], np.result_type(x, weight))
    if y is None:
        biases = None if bias is None else backend.array(bias)
        y = backend.host(fnn.dense(backend.array(x), backend.array(weight), biases, f))
    expected, z = reference.dense_forward(x, weight, bias, name, parameter)
    if name in JUMPS:
        assert y.shape == expected.shape
        assert np.isin(y, [0, 1] if name == "step" else [-1, 1]).all()
        sure = np.abs(z) > z_tolerance(x, weight, bias)
        assert np.array_equal(y[sure], expected[sure])
    else:
        assert_within(y, expected, dense_tolerance(x, weight, bias, name, parameter))
    assert y.dtype == np.result_type(x, weight)


def shapes_around(n):
    """(B, I, O) with n in each place once and small primes in the others."""
    return (n, 7, 5), (3, n, 5), (3, 5, n)


@pytest.mark.parametrize("name", list(CASES))
def test_sizes(backend, isa, dtype, name):
    """Each dimension around every multiple of a tile up to 300, with the others small; all activations together see
    every size twice.
    """
    rng = np.random.default_rng(1)
    for n in backend.some(sorted({*TAILS, *range(1 + list(CASES).index(name) % 8, 301, 8)})):
        for b, i, o in shapes_around(n):
            check(backend, *dense_problem(rng, b, i, o, dtype), name)


@pytest.mark.parametrize("shape", [(70, 1040, 70), (300, 2100, 33), (20, 4200, 9), (33, 2500, 1)])
def test_more_inputs_than_the_cache_takes_at_a_time(backend, isa, dtype, shape):
    check(backend, *dense_problem(np.random.default_rng(shape), *shape, dtype), "identity")


def test_tiles(backend, isa, dtype):
    """Rows against columns: each remainder of a register tile with each other, I just long enough to tell."""
    rng = np.random.default_rng(2)
    x, weight, bias = dense_problem(rng, 20, 3, 160, dtype)
    for b in backend.some(range(1, 21), 5):
        for o in (*range(1, 36), 47, 48, 49, 63, 64, 65, 80, 96, 127, 128, 129, 160):
            w, c = np.ascontiguousarray(weight[:, :o]), bias[:o].copy()
            check(backend, x[:b], w, c, "identity")


@pytest.mark.parametrize("name", list(CASES))
def test_larger(backend, isa, dtype, name):
    """Three random shapes beyond 300 in one dimension, the smaller two to hit blocks of rows, inputs and columns."""
    rng = np.random.default_rng(list(name.encode()))
    large = rng.integers(301, 1200, 3)
    small = rng.integers(2, 70, (3, 2))
    for place in range(3):
        b, i, o = np.insert(small[place], place, large[place])
        check(backend, *dense_problem(rng, b, i, o, dtype), name)


@pytest.mark.parametrize("name", ["relu", "softmax"])
def test_large_in_every_dimension(backend, isa, dtype, name):
    b, i, o = np.random.default_rng(3).integers(301, 400, 3)
    check(backend, *dense_problem(np.random.default_rng(4), b, i, o, dtype), name)


@settings(max_examples=40)
@given(rows=leading, i=sizes, o=sizes, seed=seeds, has_bias=..., layout=layouts)
def test_leading_axes_and_bias(backend, isa, dtype, rows, i, o, seed, has_bias: bool, layout):
    """x (..., I) for any number of axes, a vector and empty batches included; without bias as with zeros."""
    rng = np.random.default_rng(seed)
    names = list(CASES)
    name = names[seed % len(names)]
    x = normal(rng, dtype, *rows, i)
    _, weight, bias = dense_problem(rng, 1, i, o, dtype)
    bias = bias if has_bias else None
    f = CASES[name].make(o, dtype)[0]
    biases = None if bias is None else backend.lay(bias, layout)
    y = backend.host(fnn.dense(backend.lay(x, layout), backend.lay(weight, layout), biases, f))
    assert y.shape == (*rows, o)
    flat = x.reshape(-1, i)
    check(backend, flat, weight, bias, name, y.reshape(-1, o))


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("which", ["x", "weight", "bias"])
def test_a_layout_is_the_same_array(backend, isa, dtype, layout, which):
    given = dict(zip(("x", "weight", "bias"), dense_problem(np.random.default_rng(5), 9, 21, 33, dtype), strict=True))
    arrays = {name: backend.array(array) for name, array in given.items()}
    expected = backend.host(fnn.dense(**arrays, activation="tanh"))
    laid = {**arrays, which: backend.lay(given[which], layout)}
    assert_same_bits(backend.host(fnn.dense(**laid, activation="tanh")), expected)
    assert np.array_equal(backend.host(laid[which]), given[which])


@pytest.mark.parametrize("dtypes", [
    ("float32", "float32", "float32", "float32"), ("float64", "float32", "float32", "float64"),
    ("float32", "float64", "float32", "float64"), ("float32", "float32", "float64", "float64"),
    ("int16", "float32", "float32", "float32"), ("float16", "float32", "bool", "float32"),
    ("int64", "uint8", "int32", "float64"), ("longdouble", "float32", "float32", "float32"),
    ("float16", "float16", "float16", "float64"), (">f4", "float32", "float32", "float32"),
])  # fmt: skip
def test_promotion(dtypes):
    """float32 and float64 promote as in NumPy; integers and other floats take that dtype; without any, float64."""
    rng = np.random.default_rng(6)
    shapes = (4, 3), (3, 5), 5
    x, weight, bias = (rng.integers(0, 3, shape).astype(d) for shape, d in zip(shapes, dtypes[:3], strict=True))
    y = fnn.dense(x, weight, bias)
    assert y.dtype == np.dtype(dtypes[3])
    assert np.array_equal(y, reference.dense(x, weight, bias))


def test_lists_and_names():
    """Anything NumPy can make an array of; an activation by its name, an alias, or as an object."""
    x, weight = [[1.0, -2.0]], [[1, 0, 2], [0, 1, 1]]
    assert fnn.dense(x, weight).tolist() == [[1, -2, 0]]
    assert fnn.dense(x, weight, [1, 1, 1], "relu").tolist() == [[2, 0, 1]]
    assert fnn.dense(x, weight, activation="leaky_relu").tolist() == [[1, -0.02, 0]]
    assert fnn.dense(x, weight, activation=fnn.LeakyReLU(alpha=0.5)).tolist() == [[1, -1, 0]]
    assert_same_bits(fnn.dense(x, weight, None, "silu"), fnn.dense(x, weight, None, fnn.Swish()))


def test_a_vector(backend, dtype):
    x, weight, bias = (backend.array(a) for a in dense_problem(np.random.default_rng(7), 1, 11, 6, dtype))
    y = fnn.dense(x[0], weight, bias, "softmax")
    assert y.shape == (6,)
    assert_same_bits(backend.host(y), backend.host(fnn.dense(x, weight, bias, "softmax"))[0])


@pytest.mark.parametrize("name", list(CASES))
def test_an_empty_batch(backend, isa, dtype, name):
    x, weight, bias = (backend.array(a) for a in dense_problem(np.random.default_rng(8), 4, 3, 5, dtype))
    f = CASES[name].make(5, dtype)[0]
    for empty, shape in ((x[:0], (0, 5)), (x[None, :0], (1, 0, 5))):
        assert fnn.dense(empty, weight, bias, f).shape == shape
        if name in DIFFERENTIABLE:
            y, saved = fnn.dense_forward(empty, weight, bias, f)
            grads = fnn.dense_backward(y, empty, weight, saved, f)
            assert grads.x.shape == empty.shape
            assert not backend.host(grads.weight).any()
            assert not backend.host(grads.bias).any()
            assert grads.weight.shape == weight.shape
            assert grads.bias.shape == bias.shape


@pytest.mark.parametrize("name", list(CASES))
def test_out(backend, isa, dtype, name):
    """out= gets the bits that a call without it returns, and is returned, whatever its layout."""
    x, weight, bias = dense_problem(np.random.default_rng(9), 14, 6, 19, dtype)
    args = *(backend.array(a) for a in (x, weight, bias)), CASES[name].make(19, dtype)[0]
    expected = backend.host(fnn.dense(*args))
    flat, tall, wide = (backend.array(np.full(s, np.nan, dtype)) for s in ((14, 19), (19, 14), (14, 57)))
    for out in (flat, tall.T, wide[:, ::3]):
        assert fnn.dense(*args, out=out) is out
        assert_same_bits(backend.host(out), expected)
    wide = backend.array(np.full((14, 21), 5.0, dtype))
    fnn.dense(*args, out=wide[:, 1:-1])
    assert_same_bits(backend.host(wide)[:, 1:-1], expected)
    assert (backend.host(wide)[:, [0, -1]] == 5).all()


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_training_form(backend, isa, dtype, name):
    """dense_forward returns dense's bits, and z or y, whichever backward reads."""
    x, weight, bias = dense_problem(np.random.default_rng(10), 17, 12, 35, dtype)
    args = *(backend.array(a) for a in (x, weight, bias)), CASES[name].make(35, dtype)[0]
    y, saved = fnn.dense_forward(*args)
    assert_same_bits(backend.host(y), backend.host(fnn.dense(*args)))
    assert saved.shape == y.shape
    assert saved.dtype == y.dtype
    if SAVES[name] == "input":
        z = reference.pre_activation(x, weight, bias)
        assert_within(backend.host(saved), z, z_tolerance(x, weight, bias))
    else:
        assert_same_bits(backend.host(saved), backend.host(y))


def test_not_a_number_and_infinity_stay_in_their_row(backend, isa, dtype):
    x, weight, bias = dense_problem(np.random.default_rng(11), 13, 9, 21, dtype)
    weight = np.abs(weight) + dtype.type(0.1)
    expected = backend.host(fnn.dense(*map(backend.array, (x, weight, bias)), "gelu"))
    x[4, 2], x[7, 0], x[8, 1] = np.nan, np.inf, -np.inf
    y = backend.host(fnn.dense(*map(backend.array, (x, weight, bias)), "gelu"))
    assert np.isnan(y[4]).all()
    assert (y[7] == np.inf).all()
    assert (y[8] == 0).all()
    others = np.setdiff1d(np.arange(13), [4, 7, 8])
    assert_same_bits(y[others], expected[others])


def test_subnormals_are_not_flushed(backend, isa, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.arange(-40, 40, dtype=dtype).reshape(8, 10) * tiny
    y = backend.host(fnn.dense(backend.array(x), backend.array(np.eye(10, dtype=dtype))))
    assert np.array_equal(y, x)
