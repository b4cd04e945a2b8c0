"""Trees of layers on a GPU: residual blocks with shortcuts, and activations of their own, last in a network."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import GPU_DTYPES, normal
from oracles import assert_same_bits

pytestmark = pytest.mark.cuda
ENDS = {
    "softmax after an addition": [fnn.Residual([fnn.Dense(6)]), fnn.Activation("softmax")],
    "wide softmax after an addition": [fnn.Dense(70), fnn.Residual([fnn.Dense(70)]), fnn.Activation("softmax")],
    "softmax after an activation": [fnn.Dense(70, "tanh"), fnn.Activation("softmax")],
    "softmax in the product": [fnn.Dense(6), fnn.Activation("softmax")],
    "addition": [fnn.Residual([fnn.Dense(5, "tanh")])],
    "activation after an addition": [fnn.Residual([fnn.Dense(5, "elu")], activation="swish")],
    "learned slopes": [fnn.Maxout(5, bias=False), fnn.Flatten(), fnn.Activation("prelu")],
    "shortcut": [
        fnn.Residual([fnn.Dense(5, bias=False)], [fnn.Residual([fnn.Dense(5)]), fnn.Activation("tanh")], "relu")
    ],
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_trees_have_the_bits_of_the_cpu(cuda, dtype, end):
    for layers in ([fnn.Input(6), *end], [fnn.Input(9), fnn.Dense(6, "sigmoid"), *end]):
        expected = fnn.Sequential(layers, dtype=dtype.name, seed=0)
        net = expected.to("cuda")
        x = normal(np.random.default_rng(6), dtype, 7, expected.input.size)
        assert_same_bits(cuda.host(net(cuda.array(x))), expected(x))
        assert_same_bits(cuda.host(net.logits(cuda.array(x))), expected.logits(x))


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_trees_train(cuda, end, compute_dtype):
    """From outputs, so that the last activation's gradient is taken."""
    dtype = "float64" if compute_dtype == "float64" else "float32"
    rng = np.random.default_rng(8)
    net = fnn.Sequential([fnn.Input(6), fnn.Dense(6, "tanh"), *end], dtype=dtype, seed=0)
    x, y = rng.standard_normal((33, 6)), rng.standard_normal((33, net.outputs))
    loss, expected = fnn.Trainer(net, fnn.MeanSquaredError()).loss_and_gradients(x, y)
    gpu = fnn.Trainer(net.to("cuda", compute_dtype), fnn.MeanSquaredError())
    got_loss, got = gpu.loss_and_gradients(cuda.array(x), cuda.array(y))
    within = {"float64": 1e-12, "float32": 1e-5, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 2e-1}[compute_dtype]
    assert float(cuda.host(got_loss)) == pytest.approx(loss, rel=within)
    for name, gradient in expected.items():
        error = np.linalg.norm(cuda.host(got[name]) - gradient) / np.linalg.norm(gradient)
        assert error < within, name
