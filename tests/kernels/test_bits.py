"""One bit pattern: a result is the same for any batch size, place in the batch, thread count and instruction set."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import CASES, DIFFERENTIABLE, dense_problem, maxout_problem, normal
from fnnfast import _cpu
from oracles import assert_same_bits

BATCHES = (*range(1, 41), 257)
THREADS = (1, 2, 3, 8)
ISAS = _cpu.isas()


@pytest.fixture
def each_isa():
    """Calls a function once for each instruction set; afterwards the one in use before is in use again."""
    before = _cpu.isa()

    def results(function):
        for isa in ISAS:
            _cpu.use_isa(isa)
            yield isa, function()

    yield results
    _cpu.use_isa(before)


def hard(array):
    """With signed zeros, subnormals, a huge value, infinities and NaN here and there; the rest as it was."""
    flat = array.reshape(-1)
    tiny = np.finfo(array.dtype).smallest_subnormal
    values = (-0.0, 1000 * tiny, -tiny, 1e30, np.inf, -np.inf, np.nan)
    for place, value in zip((11, 47, 83, 131, 197, 263, 331), values, strict=True):
        flat[place::997] = value
    return array


def dense_arrays(dtype, b, i, o):
    rng = np.random.default_rng([b, i, o])
    x, weight, bias = dense_problem(rng, b, i, o, dtype)
    return hard(x), weight, bias


# Narrow and wide outputs take different paths, as do few and many inputs.
SHAPES = [(23, 1), (9, 5), (40, 33), (5, 130)]
# More inputs than a panel in the cache takes at a time, whole chunks and not; maxout with several groups of pieces.
LONG = [(1040, 1, 1), (1100, 70, 1), (2048, 3, 1), (4200, 9, 1), (2100, 40, 3), (1500, 20, 9)]


@pytest.mark.parametrize("shape", LONG)
def test_long_rows_do_not_depend_on_the_batch_or_isa(each_isa, dtype, shape):
    i, o, p = shape
    if p == 1:
        x, weight, bias = dense_arrays(dtype, 100, i, o)
    else:
        x, weight, bias = maxout_problem(np.random.default_rng(i), 100, p, i, o, dtype)

    def answer(x):
        return fnn.dense(x, weight, bias, "tanh") if p == 1 else fnn.maxout(x, weight, bias)

    first = None
    for _, whole in each_isa(lambda: answer(x)):
        first = whole if first is None else first
        assert_same_bits(whole, first)
        for row in (0, 3, 99):
            assert_same_bits(answer(x[row : row + 1]), first[row : row + 1])


@pytest.mark.parametrize("name", list(CASES))
def test_dense_rows_do_not_depend_on_the_batch(isa, dtype, name):
    for i, o in SHAPES:
        x, weight, bias = dense_arrays(dtype, 300, i, o)
        f = CASES[name].make(o, dtype)[0]
        whole = fnn.dense(x, weight, bias, f)
        for batch in BATCHES:
            for start in (0, 13, 300 - batch):
                rows = slice(start, start + batch)
                assert_same_bits(fnn.dense(x[rows], weight, bias, f), whole[rows][:batch])
        for row in (0, 5, 100, 299):
            assert_same_bits(fnn.dense(x[row], weight, bias, f), whole[row])


def test_maxout_rows_do_not_depend_on_the_batch(isa, dtype):
    for p, (i, o) in zip((2, 3, 4, 5), SHAPES, strict=True):
        x, weight, bias = maxout_problem(np.random.default_rng([p, i, o]), 300, p, i, o, dtype)
        x = hard(x)
        whole, winners = fnn.maxout_forward(x, weight, bias)
        for batch in BATCHES:
            for start in (0, 13, 300 - batch):
                rows = slice(start, start + batch)
                y, saved = fnn.maxout_forward(x[rows], weight, bias)
                assert_same_bits(y, whole[rows][:batch])
                assert np.array_equal(saved, winners[rows][:batch])
                assert_same_bits(fnn.maxout(x[rows], weight, bias), y)


@pytest.mark.parametrize("name", ["identity", "prelu", "gelu", "softmax"])
def test_input_gradients_do_not_depend_on_the_batch(isa, dtype, name):
    for i, o in SHAPES:
        x, weight, bias = dense_arrays(dtype, 300, i, o)
        dy, f = normal(np.random.default_rng(1), dtype, 300, o), CASES[name].make(o, dtype)[0]
        _, saved = fnn.dense_forward(x, weight, bias, f)
        whole = fnn.dense_backward(dy, x, weight, saved, f).x
        for batch in BATCHES:
            rows = slice(13, 13 + batch)
            part = fnn.dense_backward(dy[rows], x[rows], weight, saved[rows], f).x
            assert_same_bits(part, whole[rows][:batch])


def test_maxout_input_gradients_do_not_depend_on_the_batch(isa, dtype):
    for p, (i, o) in zip((2, 3, 4, 5), SHAPES, strict=True):
        rng = np.random.default_rng([p, i, o])
        x, weight, bias = maxout_problem(rng, 300, p, i, o, dtype)
        dy = normal(rng, dtype, 300, o)
        _, saved = fnn.maxout_forward(x, weight, bias)
        whole = fnn.maxout_backward(dy, x, weight, saved).x
        for batch in BATCHES:
            rows = slice(13, 13 + batch)
            part = fnn.maxout_backward(dy[rows], x[rows], weight, saved[rows]).x
            assert_same_bits(part, whole[rows][:batch])


def same_everywhere(each_isa, function):
    """The arrays that the function returns are the same on each instruction set and thread count."""
    expected = None
    for isa, results in each_isa(lambda: [(n, with_threads(n, function)) for n in THREADS]):
        for threads, arrays in results:
            expected = arrays if expected is None else expected
            for place, (got, wanted) in enumerate(zip(arrays, expected, strict=True)):
                try:
                    assert_same_bits(got, wanted)
                except AssertionError as error:
                    raise AssertionError(f"result {place} on {isa}, {threads} threads, to {ISAS[0]}, 1") from error


def with_threads(n, function):
    with fnn.num_threads(n):
        return [array for array in function() if array is not None]


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize(("b", "i", "o"), [(1, 50, 40), (7, 33, 65), (70, 20, 130), (257, 31, 9), (200, 64, 3)])
def test_dense(each_isa, dtype, name, b, i, o):
    """Forward and all gradients, for the same batch: any threads, any instruction set."""
    x, weight, bias = dense_arrays(dtype, b, i, o)
    dy, f = normal(np.random.default_rng(2), dtype, b, o), CASES[name].make(o, dtype)[0]

    def run():
        if name not in DIFFERENTIABLE:
            return [fnn.dense(x, weight, bias, f)]
        y, saved = fnn.dense_forward(x, weight, bias, f)
        return [y, saved, *fnn.dense_backward(dy, x, weight, saved, f)]

    same_everywhere(each_isa, run)


@pytest.mark.parametrize(("b", "p", "i", "o"), [(1, 2, 50, 40), (7, 3, 33, 65), (300, 4, 20, 30), (257, 5, 31, 9)])
def test_maxout(each_isa, dtype, b, p, i, o):
    rng = np.random.default_rng([b, p, i, o])
    x, weight, bias = maxout_problem(rng, b, p, i, o, dtype)
    x, dy = hard(x), normal(rng, dtype, b, o)

    def run():
        y, saved = fnn.maxout_forward(x, weight, bias)
        grads = fnn.maxout_backward(dy, x, weight, saved)
        return [y, saved.astype(np.float32), grads.x, grads.weight, grads.bias]

    same_everywhere(each_isa, run)


@pytest.mark.parametrize("name", list(CASES))
def test_activations(each_isa, dtype, name):
    """Elementwise calls and derivatives over all magnitudes; a fused activation is the same as one called on z."""
    rng = np.random.default_rng(3)
    z = hard((rng.standard_normal((64, 37)) * 10.0 ** rng.integers(-30, 3, (64, 37))).astype(dtype))
    f = CASES[name].make(37, dtype)[0]
    elementwise = name in DIFFERENTIABLE and name != "softmax"
    same_everywhere(each_isa, lambda: [f(z), f.derivative(z) if elementwise else None])
    finite = np.where(np.isfinite(z) & (z != 0), z, 0).astype(dtype)  # a sum that starts at 0 is never -0.0
    assert_same_bits(fnn.dense(finite, np.eye(37, dtype=dtype), None, f), f(finite))


@pytest.mark.parametrize(("b", "i", "o"), [(600, 48, 80), (6, 400, 600)])
def test_more_work_than_one_block(each_isa, b, i, o):
    """Large enough that threads share rows, or columns, and in backward the sums over the batch."""
    dtype = np.dtype(np.float32)
    rng = np.random.default_rng([b, i, o])
    x, weight, bias = dense_problem(rng, b, i, o, dtype)
    _, pieces, biases = maxout_problem(rng, 1, 2, i, o, dtype)
    dy = normal(rng, dtype, b, o)

    def run():
        y, saved = fnn.dense_forward(x, weight, bias, "swish")
        largest, winners = fnn.maxout_forward(x, pieces, biases)
        dense, maxout = fnn.dense_backward(dy, x, weight, saved, "swish"), fnn.maxout_backward(dy, x, pieces, winners)
        return [y, *dense, largest, *maxout]

    same_everywhere(each_isa, run)
