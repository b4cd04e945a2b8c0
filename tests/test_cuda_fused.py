"""A whole network in one launch against one launch a layer, and a row's bits against its batch."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import Dense, Input, Maxout, Residual, Sequential

pytestmark = pytest.mark.cuda

PRECISIONS = ["float32", "float64", "tf32", "float16", "bfloat16"]
WAYS = {"rows": (1, 5, 64, 150), "block": (1, 4, 16), "grid": (1, 5, 16)}
ACTIVATIONS = ["relu", "tanh", "swish", "gelu", "prelu", "softplus", "identity", fnn.LeakyReLU(0.2), fnn.ELU(1.5)]


def random_layers(rng):
    """A network of up to six layers, up to 256 wide: maxout and residual blocks among them."""
    inputs = int(rng.integers(1, 300))
    layers, width = [Input(inputs)], inputs
    for _ in range(rng.integers(1, 5)):
        units = int(rng.integers(1, 257))
        kind = rng.integers(4)
        if kind == 0:
            layers.append(Maxout(units, pieces=int(rng.integers(2, 5))))
        elif kind == 1:
            layers.append(Residual([Dense(units, "swish"), Dense(min(width, 256), "relu")]))
            units = min(width, 256)
        else:
            layers.append(Dense(units, ACTIVATIONS[rng.integers(len(ACTIVATIONS))]))
        width = units
    return [*layers, Dense(int(rng.integers(1, 120)), ["softmax", "sigmoid", "identity"][rng.integers(3)])]


def assert_same(got, expected):
    bits = np.dtype(f"u{got.dtype.itemsize}")
    assert np.array_equal(got.view(bits), expected.view(bits))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("way", WAYS)
def test_one_launch_answers_the_bits_of_many(cuda, monkeypatch, way, precision):
    rng = np.random.default_rng(len(way))
    for _ in range(2 if cuda.emulated else 40):
        net = Sequential(random_layers(rng), dtype=precision, seed=1, device="cuda")
        for rows in WAYS[way]:
            x = cuda.array(rng.standard_normal((rows, net.input.size)).astype(np.float32))
            monkeypatch.setenv("FNNFAST_CUDA_FUSED", "off")
            expected = cuda.host(net(x)), cuda.host(net.logits(x))
            monkeypatch.setenv("FNNFAST_CUDA_FUSED", way)
            assert_same(cuda.host(net(x)), expected[0])
            assert_same(cuda.host(net.logits(x)), expected[1])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("width", [40, 300])
def test_a_rows_bits_do_not_depend_on_its_batch(cuda, precision, width):
    """Whatever kernel, tile and place in it the batch leads to; 300 is too wide for one launch."""
    rng = np.random.default_rng(0)
    layers = [Input(33), Dense(width, "gelu"), Maxout(50, pieces=3), Dense(10, "softmax")]
    net = Sequential(layers, dtype=precision, seed=2, device="cuda")
    x = rng.standard_normal((700, 33)).astype(np.float32)
    whole = cuda.host(net(cuda.array(x)))
    for rows in (1, 2, 5, 16, 17, 63, 64, 65, 130):
        for first in (0, 129, 700 - rows):
            part = cuda.host(net(cuda.array(x[first : first + rows])))
            assert_same(part, whole[first : first + rows])
