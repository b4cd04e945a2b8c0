"""In float32 and float64, the GPU answers with the bits of the CPU."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import CASES, DIFFERENTIABLE, ELEMENTWISE, SMOOTH, dense_problem, maxout_problem, normal, on_gpu_and_cpu
from oracles import assert_same_bits

pytestmark = pytest.mark.cuda

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
SHAPES = [(1, 1, 1), (3, 5, 7), (33, 17, 65), (70, 33, 10), (17, 130, 72)]


@pytest.mark.parametrize("name", list(CASES))
def test_dense_has_the_bits_of_the_cpu(cuda, dtype, name):
    rng = np.random.default_rng(2)
    for shape in SHAPES:
        arrays = dense_problem(rng, *shape, dtype)
        f = CASES[name].make(shape[2], dtype)[0]
        assert_same_bits(cuda.host(fnn.dense(*map(cuda.array, arrays), f)), fnn.dense(*arrays, f))
        if name in DIFFERENTIABLE:
            for got, expected in zip(
                fnn.dense_forward(*map(cuda.array, arrays), f), fnn.dense_forward(*arrays, f), strict=True
            ):
                assert_same_bits(cuda.host(got), expected)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 17])
def test_maxout_has_the_bits_of_the_cpu(cuda, dtype, pieces):
    rng = np.random.default_rng(3)
    for b, i, o in SHAPES:
        arrays = maxout_problem(rng, b, pieces, i, o, dtype)
        y, saved = fnn.maxout_forward(*map(cuda.array, arrays))
        expected, winners = fnn.maxout_forward(*arrays)
        assert_same_bits(cuda.host(y), expected)
        np.testing.assert_array_equal(cuda.host(saved), winners)


def anything(dtype):
    """Random bits, numbers of every size, and the special ones."""
    rng = np.random.default_rng(4)
    bits = rng.integers(0, 256, (3000, dtype.itemsize), np.uint8).view(dtype).ravel()
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1], dtype)
    tiny = np.arange(-20, 20).astype(dtype) * np.finfo(dtype).smallest_subnormal
    return np.concatenate([bits, special, tiny, rng.uniform(-30, 30, 2000).astype(dtype)])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_have_the_bits_of_the_cpu(cuda, dtype, name):
    z = anything(dtype)
    f = CASES[name].make(1, dtype)[0]
    assert_same_bits(cuda.host(f(cuda.array(z))), f(z))
    if name in SMOOTH:
        assert_same_bits(cuda.host(f.derivative(cuda.array(z))), f.derivative(z))


def test_softmax_has_the_bits_of_the_cpu(cuda, dtype):
    rng = np.random.default_rng(5)
    for columns in (1, 2, 15, 16, 17, 33, 64, 65, 130, 300):
        z = normal(rng, dtype, 9, columns) * dtype.type(5)
        z[0, 0], z[1, -1], z[2] = np.nan, np.inf, -np.inf
        assert_same_bits(cuda.host(fnn.Softmax()(cuda.array(z))), fnn.Softmax()(z))


@pytest.mark.parametrize("head", ["softmax", "identity", "sigmoid", "prelu"])
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_a_network_has_the_bits_of_the_cpu(cuda, dtype, head, rows):
    net, expected = on_gpu_and_cpu(dtype.name, head)
    x = normal(np.random.default_rng(6), dtype, rows, 4, 5)
    assert_same_bits(cuda.host(net(cuda.array(x))), expected(x))
    assert_same_bits(cuda.host(net.logits(cuda.array(x))), expected.logits(x))
    got = net.predict(cuda.array(x))
    np.testing.assert_array_equal(cuda.host(got), expected.predict(x))
