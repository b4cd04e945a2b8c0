"""A whole network in one launch against one launch a layer, and a row's bits against its batch."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import GPU_DTYPES
from fnnfast import Dense, Input, Maxout, Residual, Sequential

pytestmark = pytest.mark.cuda
SHORT = ["float16", "bfloat16"]
WAYS = {"rows": (1, 5, 64, 150), "block": (1, 4, 16), "grid": (1, 5, 16), "cluster": (1, 4, 5, 16)}
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


def narrow_layers(rng, activations=ACTIVATIONS, most=6):
    """A chain of layers of up to 64 units, which bf16 and fp16 run in registers."""
    widths = [int(rng.choice([rng.integers(1, 65), 16, 32, 64])) for _ in range(rng.integers(2, most + 2))]
    layers = [Dense(units, activations[rng.integers(len(activations))]) for units in widths[1:-1]]
    return [Input(widths[0]), *layers, Dense(widths[-1], ["softmax", *activations][rng.integers(len(activations) + 1)])]


def assert_same(got, expected):
    bits = np.dtype(f"u{got.dtype.itemsize}")
    assert np.array_equal(got.view(bits), expected.view(bits))


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
@pytest.mark.parametrize("way", WAYS)
def test_one_launch_answers_the_bits_of_many(cuda, monkeypatch, way, compute_dtype):
    rng = np.random.default_rng(len(way))
    for _ in range(2 if cuda.emulated else 40):
        net = Sequential(random_layers(rng), dtype=compute_dtype, seed=1, device="cuda")
        for rows in WAYS[way]:
            x = cuda.array(rng.standard_normal((rows, net.input.size)).astype(np.float32))
            monkeypatch.setenv("FNNFAST_CUDA_FUSED", "off")
            expected = cuda.host(net(x)), cuda.host(net.logits(x))
            monkeypatch.setenv("FNNFAST_CUDA_FUSED", way)
            assert_same(cuda.host(net(x)), expected[0])
            assert_same(cuda.host(net.logits(x)), expected[1])


def assert_registers_answer_the_bits(cuda, monkeypatch, net, x):
    """As one launch a layer, as one with the activations in shared memory, and, on Hopper, by either instruction."""
    answers = {}
    for way in ("off", "rows", "registers"):
        monkeypatch.delenv("FNNFAST_CUDA_WGMMA", raising=False)
        monkeypatch.setenv("FNNFAST_CUDA_FUSED", way)
        assert ("in registers" in net.summary(plan=len(x))) == (way == "registers")
        answers[way] = cuda.host(net(x)), cuda.host(net.logits(x))
    monkeypatch.setenv("FNNFAST_CUDA_WGMMA", "off")
    answers["mma.sync"] = cuda.host(net(x)), cuda.host(net.logits(x))
    for way in answers:
        for got, expected in zip(answers[way], answers["off"], strict=True):
            assert_same(got, expected)


@pytest.mark.parametrize("compute_dtype", SHORT)
@pytest.mark.parametrize("activations", [["relu", "identity"], ACTIVATIONS])
def test_registers_answer_the_bits_of_many_launches(cuda, monkeypatch, compute_dtype, activations):
    rng = np.random.default_rng(len(activations))
    for _ in range(6 if cuda.emulated else 60):
        net = Sequential(narrow_layers(rng, activations), dtype=compute_dtype, seed=1, device="cuda")
        for rows in (1, 31, 32, 33, 150):
            x = cuda.array(rng.standard_normal((rows, net.input.size)).astype(np.float32))
            assert_registers_answer_the_bits(cuda, monkeypatch, net, x)


@pytest.mark.parametrize("compute_dtype", SHORT)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, "step", "sigmoid", "selu", "softmax"])
def test_each_activation_in_registers(cuda, monkeypatch, compute_dtype, activation):
    rng = np.random.default_rng(3)
    hidden = "relu" if activation == "softmax" else activation
    net = Sequential(
        [Input(20), Dense(37, hidden), Dense(64, hidden), Dense(23, activation)],
        dtype=compute_dtype,
        device="cuda",
        seed=1,
    )
    x = rng.standard_normal((70, 20)).astype(np.float32)
    x[5, 3], x[40, 7], x[69, 0] = np.inf, np.nan, -0.0
    assert_registers_answer_the_bits(cuda, monkeypatch, net, cuda.array(x))


@pytest.mark.parametrize("compute_dtype", SHORT)
@pytest.mark.parametrize("units", [1, 33])
def test_infinity_stays_in_its_columns(cuda, monkeypatch, compute_dtype, units):
    """It makes NaN of the zeros that products have beyond a layer's columns."""
    net = Sequential([Input(1), Dense(units, "identity"), Dense(1)], dtype=compute_dtype, device="cuda", seed=1)
    assert_registers_answer_the_bits(cuda, monkeypatch, net, cuda.array(np.array([[1], [np.inf]], np.float32)))


@pytest.mark.parametrize("compute_dtype", SHORT)
@pytest.mark.parametrize("output", [(16, "relu"), (10, "softmax")])
def test_registers_take_turns(cuda, monkeypatch, compute_dtype, output):
    """More rows than all blocks' warps take at once."""
    rng = np.random.default_rng(4)
    net = Sequential([Input(64), Dense(48, "relu"), Dense(*output)], dtype=compute_dtype, device="cuda", seed=1)
    rows = 4500 if cuda.emulated else 200_001
    x = cuda.array(rng.standard_normal((rows, 64)).astype(np.float32))
    assert_registers_answer_the_bits(cuda, monkeypatch, net, x)


@pytest.mark.parametrize("compute_dtype", SHORT)
@pytest.mark.parametrize("inputs", [8, 24, 33, 64])
def test_registers_read_and_write_any_address(cuda, monkeypatch, compute_dtype, inputs):
    """Rows of the input and of the output that begin anywhere, not at multiples of 16 bytes alone."""
    rng = np.random.default_rng(5)
    net = Sequential([Input(inputs), Dense(40, "relu"), Dense(12)], dtype=compute_dtype, device="cuda", seed=1)
    values = rng.standard_normal((100, inputs)).astype(np.float32)
    monkeypatch.setenv("FNNFAST_CUDA_FUSED", "off")
    answer = net(cuda.array(values))
    expected = cuda.host(answer)
    monkeypatch.setenv("FNNFAST_CUDA_FUSED", "registers")
    for first in (1, 2, 4, 8):
        x = cuda.xp.empty(first + values.size, answer.dtype)[first:].reshape(values.shape)
        x[...] = cuda.array(values).astype(answer.dtype)
        out = cuda.xp.empty(first + expected.size, answer.dtype)[first:].reshape(expected.shape)
        assert_same(cuda.host(net(x, out=out)), expected)


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
@pytest.mark.parametrize("blocks", [2, 4, 8, 16])
def test_clusters_of_any_size(cuda, monkeypatch, compute_dtype, blocks):
    """With layers of fewer groups of outputs than blocks among them, and softmax."""
    rng = np.random.default_rng(blocks)
    layers = [Dense(256, "relu"), Dense(3, "tanh"), Maxout(90, pieces=3), Dense(200, "swish")]
    net = Sequential([Input(100), *layers, Dense(10, "softmax")], dtype=compute_dtype, seed=1, device="cuda")
    monkeypatch.setenv("FNNFAST_CUDA_CLUSTER", str(blocks))
    for rows in (1, 3, 16):
        x = cuda.array(rng.standard_normal((rows, 100)).astype(np.float32))
        monkeypatch.setenv("FNNFAST_CUDA_FUSED", "off")
        expected = cuda.host(net(x))
        monkeypatch.setenv("FNNFAST_CUDA_FUSED", "cluster")
        for _ in range(1 if cuda.emulated else 50):
            assert_same(cuda.host(net(x)), expected)


@pytest.mark.parametrize("way", ["cluster", "grid"])
def test_graphs_of_few_rows_run_side_by_side(cuda, monkeypatch, way):
    """Two of one network, replayed on two streams at once."""
    if cuda.emulated:
        pytest.skip("the emulator has no graphs")
    rng, xp = np.random.default_rng(6), cuda.xp
    monkeypatch.setenv("FNNFAST_CUDA_FUSED", way)
    net = Sequential([Input(784), Dense(256, "relu"), Dense(128, "relu"), Dense(10)], seed=1, device="cuda")
    runs = []
    for _ in range(2):
        x = cuda.array(rng.standard_normal((1, 784)).astype(np.float32))
        right, out, stream = cuda.host(net(x)), xp.empty((1, 10), np.float32), xp.cuda.Stream(non_blocking=True)
        xp.cuda.Device().synchronize()
        with stream:
            net(x, out=out)
            stream.begin_capture()
            for _ in range(10):
                net(x, out=out)
            runs.append((stream.end_capture(), stream, x, out, right))
    for _ in range(20):
        for graph, stream, *_ in runs:
            graph.launch(stream)
    for _, stream, _, out, right in runs:
        stream.synchronize()
        assert_same(cuda.host(out), right)


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
@pytest.mark.parametrize("width", [40, 300])
def test_a_rows_bits_do_not_depend_on_its_batch(cuda, compute_dtype, width):
    """Whatever kernel, tile and place in it the batch leads to; 300 is too wide for one launch."""
    rng = np.random.default_rng(0)
    layers = [Input(33), Dense(width, "gelu"), Maxout(50, pieces=3), Dense(10, "softmax")]
    net = Sequential(layers, dtype=compute_dtype, seed=2, device="cuda")
    x = rng.standard_normal((700, 33)).astype(np.float32)
    whole = cuda.host(net(cuda.array(x)))
    for rows in (1, 2, 5, 16, 17, 63, 64, 65, 130):
        for first in (0, 129, 700 - rows):
            part = cuda.host(net(cuda.array(x[first : first + rows])))
            assert_same(part, whole[first : first + rows])
