"""Hopper's own products give the bits of the general ones, whatever is asked of them."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import ELEMENTWISE, dense_problem, maxout_problem, normal, numpy_dtype
from oracles import assert_same_bits

# Rows, inputs, outputs: whole tiles; less than one; ragged ones, and more steps over k than are copied ahead.
SHAPES = [(128, 64, 256), (1, 16, 24), (8, 8, 8), (136, 72, 200), (300, 784, 264), (517, 328, 136)]
ACTIVATIONS = [*ELEMENTWISE, fnn.LeakyReLU(0.2), fnn.ELU(1.5), fnn.Swish(1.3)]

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def on_hopper(cuda):
    if cuda.xp.cuda.Device().compute_capability != "90":
        pytest.skip("Hopper's products need compute capability 9.0")


@pytest.fixture(params=["float16", "bfloat16"])
def dtype(request):
    return numpy_dtype(request.param)


@pytest.fixture(params=["1", "132", "1000"])
def multiprocessors(request, monkeypatch):
    """One block for all tiles, and as many as there are; the width of tiles differs, too."""
    monkeypatch.setenv("FNNFAST_CUDA_MULTIPROCESSORS", request.param)


@pytest.fixture
def assert_same(cuda, monkeypatch):
    """That a function of no arguments returns the same arrays by both kinds of products."""

    def check(function, kind="hopper_only"):
        answers = []
        for product in ("general", kind):
            monkeypatch.setenv("FNNFAST_CUDA_PRODUCT", product)
            answers.append([cuda.host(array) for array in function()])
        for general, hopper in zip(*answers, strict=True):
            assert_same_bits(hopper, general)

    return check


def arrays(cuda, dtype, *of):
    return [cuda.array(array.astype(dtype)) for array in of]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "bare"])
def test_dense(cuda, assert_same, multiprocessors, dtype, shape, biased):
    """Forward with and without what the activation saves, and all three gradients."""
    b, i, o = shape
    rng = np.random.default_rng(1)
    x, weight, bias, dy = arrays(cuda, dtype, *dense_problem(rng, b, i, o, np.dtype("f4")), normal(rng, "f4", b, o))
    for activation in ("identity", "relu", "gelu", "tanh"):

        def both(activation=activation):
            y, saved = fnn.dense_forward(x, weight, bias if biased else None, activation)
            bare = fnn.dense(x, weight, bias if biased else None, activation)
            grads = fnn.dense_backward(dy, x, weight, saved, activation)
            return y, saved, bare, grads.x, grads.weight, grads.bias

        assert_same(both)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a if isinstance(a, str) else type(a).__name__)
def test_every_activation(cuda, assert_same, dtype, activation):
    """Far from zero as well."""
    rng = np.random.default_rng(2)
    x, weight, bias = dense_problem(rng, 140, 40, 152, np.dtype("f4"))
    x[70:] *= 8
    x, weight, bias = arrays(cuda, dtype, x, weight, bias)
    act = fnn.activations.get(activation)
    assert_same(lambda: [fnn.dense(x, weight, bias, act)])
    if activation not in ("step", "sign"):
        assert_same(lambda: fnn.dense_forward(x, weight, bias, act))


@pytest.mark.parametrize("pieces", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("shape", [SHAPES[0], *SHAPES[3:]], ids=str)
def test_maxout(cuda, assert_same, multiprocessors, dtype, shape, pieces):
    """The largest, and the piece it is from, where several tie."""
    b, i, o = shape
    x, weight, bias = maxout_problem(np.random.default_rng(3), b, pieces, i, o, np.dtype("f4"))
    weight[-1, :, ::3], bias[-1, ::3] = weight[0, :, ::3], bias[0, ::3]
    x, weight, bias = arrays(cuda, dtype, x, weight, bias)
    assert_same(lambda: (*fnn.maxout_forward(x, weight, bias), fnn.maxout(x, weight, None)))


def test_many_rows_are_summed_in_slices(cuda, assert_same, dtype):
    rng = np.random.default_rng(4)
    x, weight, bias, dy = arrays(
        cuda, dtype, *dense_problem(rng, 5000, 136, 264, np.dtype("f4")), normal(rng, "f4", 5000, 264)
    )

    def gradients():
        _, saved = fnn.dense_forward(x, weight, bias, "relu")
        return fnn.dense_backward(dy, x, weight, saved, "relu")[:3]

    assert_same(gradients)


NETWORKS = {
    "saves": [fnn.Dense(136, "relu"), fnn.Dense(72, "gelu"), fnn.Dense(150, "tanh"), fnn.Dense(40, "softplus")],
    "slopes": [fnn.Dense(136, "prelu"), fnn.Dense(72, fnn.LeakyReLU(0.1)), fnn.Dense(40, "swish")],
    "residual": [
        fnn.Dense(136, "relu"),
        fnn.Residual([fnn.Dense(72, "tanh"), fnn.Dense(136, "relu")]),
        fnn.Residual([fnn.Dense(56, "swish"), fnn.Dense(136, "gelu")]),
        fnn.Residual([fnn.Dense(136)]),
    ],
    "maxout": [fnn.Maxout(136, pieces=3), fnn.Maxout(72, pieces=4)],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_and_their_training(cuda, monkeypatch, assert_same, multiprocessors, dtype, name):
    """The widths differ from their padding, so that edges lie inside of it."""
    monkeypatch.setenv("FNNFAST_CUDA_FUSED", "off")
    rng = np.random.default_rng(5)
    x, labels = cuda.array(normal(rng, "f4", 300, 64).astype(dtype)), cuda.array(rng.integers(0, 10, 300))

    def train():
        layers = [fnn.Input(64), *NETWORKS[name], fnn.Dense(10, "softmax")]
        net = fnn.Sequential(layers, dtype=dtype, device="cuda", seed=0)
        before = net(x)
        trainer = fnn.Trainer(net, optimizer=fnn.SGD(0.1), seed=1)
        for _ in range(2):
            trainer.step(x, labels)
        return before, net(x)

    assert_same(train, "hopper")


def test_nan_and_infinity_stay_in_their_rows_and_columns(cuda, assert_same, dtype):
    rng = np.random.default_rng(6)
    x, weight, bias = dense_problem(rng, 200, 104, 264, np.dtype("f4"))
    x[3], x[130, 5], weight[7, 11], bias[200] = np.nan, np.inf, np.inf, -np.inf
    (stack,) = arrays(cuda, dtype, np.stack([weight, -weight, weight]))
    x, weight, bias = arrays(cuda, dtype, x, weight, bias)
    for activation in ("identity", "relu", "gelu"):
        assert_same(lambda a=activation: (fnn.dense(x, weight, bias, a), *fnn.dense_forward(x, weight, bias, a)))
    y = cuda.host(fnn.dense(x, weight, bias)).astype("f4")
    finite = np.isfinite(y)
    expected = np.ones_like(finite)
    expected[[3, 130]], expected[:, [11, 200]] = False, False
    np.testing.assert_array_equal(finite, expected)
    assert_same(lambda: [fnn.maxout(x, stack, None)])


def test_what_hopper_does_not_take_goes_the_general_way(cuda, assert_same, dtype):
    """Softmax in a tile, odd widths, addresses that are no multiples of 16 bytes."""
    rng = np.random.default_rng(7)
    for b, i, o in ((70, 33, 66), (65, 24, 10)):
        given = [array.astype(dtype) for array in dense_problem(rng, b, i, o, np.dtype("f4"))]
        x, weight, bias = (cuda.lay(array, "misaligned") for array in given)
        assert_same(lambda x=x, w=weight, b=bias: [fnn.dense(x, w, b, "softmax"), fnn.dense(x, w, b, "relu")], "hopper")
