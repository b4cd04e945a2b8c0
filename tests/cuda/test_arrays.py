"""Arrays on a GPU: which go together, and which are refused."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import ByDlpack, ByInterface, dense_problem, on_gpu_and_cpu
from oracles import assert_same_bits

pytestmark = pytest.mark.cuda

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def test_numpy_and_cupy_arrays_do_not_mix(cuda):
    x, weight, bias = dense_problem(np.random.default_rng(14), 4, 3, 5, F32)
    for call in (
        lambda: fnn.dense(cuda.array(x), weight),
        lambda: fnn.dense(x, cuda.array(weight)),
        lambda: fnn.dense(cuda.array(x), cuda.array(weight), bias),
        lambda: fnn.dense(cuda.array(x), cuda.array(weight), out=np.empty((4, 5), F32)),
        lambda: fnn.dense(x, weight, out=cuda.array(np.empty((4, 5), F32))),
        lambda: fnn.Tanh()(x, out=cuda.array(x)),
    ):
        with pytest.raises(TypeError, match=r"expected NumPy or CuPy arrays in one call, got both: NumPy .*, CuPy "):
            call()
    net, on_cpu = on_gpu_and_cpu()
    rows = np.ones((2, 20), F32)
    for call in (lambda: net(rows), lambda: net(cuda.array(rows), out=np.empty((2, 7), F32)), lambda: net.logits(rows)):
        with pytest.raises(
            TypeError, match=r"for a network on a GPU, got a NumPy array .*cupy.asarray.*net.to\('cpu'\)"
        ):
            call()
    for call in (lambda: on_cpu(cuda.array(rows)), lambda: on_cpu(rows, out=cuda.array(rows))):
        with pytest.raises(TypeError, match=r"on the CPU, got a GPU array .*cupy.asnumpy.*net.to\('cuda'\)"):
            call()


def test_numbers_may_be_lists(cuda):
    y = fnn.dense(cuda.array(np.array([[1.0, 2.0]], F32)), [[1, 2], [3, 4]], [0, 1])
    assert y.dtype == F32
    assert cuda.host(y).tolist() == [[7, 11]]
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1, bias=False)], device="cuda")
    net.parameters["dense_1.weight"] = [[1], [2]]
    assert cuda.host(net([[3, 4]])).tolist() == [[11]]


def test_bad_arrays(cuda):
    x = cuda.array(np.ones((4, 3), F32))
    weight = cuda.array(np.ones((3, 5), F32))
    for call, error, expected in (
        (lambda: fnn.dense(x, cuda.array(np.ones((2, 5), F32))), ValueError, r"x: expected shape \(..., 2\)"),
        (lambda: fnn.dense(x, cuda.array(np.ones((3, 5), complex))), TypeError, "weight: .* real numbers"),
        (lambda: fnn.dense(x, weight, out=cuda.array(np.ones((4, 5)))), TypeError, "out: expected dtype float32"),
        (lambda: fnn.dense(x, weight, out=cuda.array(np.ones((4, 4), F32))), ValueError, r"out: expected shape"),
        (lambda: fnn.dense(x, weight, out=[0]), TypeError, "out: expected a CuPy array, got list"),
        (lambda: fnn.dense(x, weight, activation=fnn.ELU(1e39)), ValueError, "elu: .* float32's range"),
        (lambda: fnn.Softmax()(cuda.array(np.array(1.0))), ValueError, r"z: expected rows"),
        (lambda: fnn.maxout_backward(x, x, weight[None], x), ValueError, r"dy: expected shape \(4, 5\)"),
    ):
        with pytest.raises(error, match=expected):
            call()


def test_out_that_overlaps(cuda):
    memory = cuda.array(np.arange(40, dtype=F32))
    before = cuda.host(memory)
    square = cuda.array(np.eye(3, dtype=F32))
    for first in (0, 8):
        with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
            fnn.dense(memory[:9].reshape(3, 3), square, out=memory[first : first + 9].reshape(3, 3))
    with pytest.raises(ValueError, match="overlaps z"):
        fnn.Tanh()(memory[:8], out=memory[2:10])
    assert_same_bits(cuda.host(memory), before)
    out = memory[9:18].reshape(3, 3)
    assert fnn.dense(memory[:9].reshape(3, 3), square, out=out) is out
    even, odd = memory[::2], memory[1::2]  # between each other, and apart
    assert fnn.ReLU()(even, out=odd) is odd
    assert_same_bits(cuda.host(odd), cuda.host(even))
    assert fnn.Tanh()(memory, out=memory) is memory
    net, _ = on_gpu_and_cpu()
    rows = cuda.array(np.ones(60, F32))
    with pytest.raises(ValueError, match="overlaps x"):
        net(rows[:20].reshape(1, 20), out=rows[19:26].reshape(1, 7))
    out = rows[20:27].reshape(1, 7)
    assert net(rows[:20].reshape(1, 20), out=out) is out


@pytest.mark.parametrize("kind", [ByDlpack, ByInterface])
def test_arrays_of_other_libraries(cuda, kind):
    x, weight, bias = dense_problem(np.random.default_rng(15), 4, 3, 5, F32)
    foreign = kind(cuda.array(x), 1)
    y = fnn.dense(foreign, cuda.array(weight), kind(cuda.array(bias), 1))
    assert isinstance(y, cuda.xp.ndarray)
    assert_same_bits(cuda.host(y), fnn.dense(x, weight, bias))
    assert len(foreign.asked) == (kind is ByDlpack)
    net, on_cpu = on_gpu_and_cpu()
    rows = np.ones((2, 20), F32)
    assert_same_bits(cuda.host(net(kind(cuda.array(rows), 1))), on_cpu(rows))
    with pytest.raises(TypeError, match="got both: NumPy weight, CuPy x"):
        fnn.dense(foreign, weight)
