"""Networks on a GPU: made there, moved there and back, called, copied and saved."""

import copy
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from factories import GPU_DTYPES, every_layer, normal, numpy_dtype, on_gpu_and_cpu
from oracles import assert_same_bits

pytestmark = pytest.mark.cuda

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_the_same_seed_is_the_same_network(cuda, compute_dtype):
    numpy_dtype(compute_dtype)
    net = fnn.Sequential(every_layer(), dtype=compute_dtype, seed=3, device="cuda")
    on_cpu = fnn.Sequential(every_layer(), dtype="float64" if compute_dtype == "float64" else "float32", seed=3)
    assert net.device == "cuda"
    assert on_cpu.device == "cpu"
    assert list(net.parameters) == list(on_cpu.parameters)
    for name, values in net.parameters.items():
        assert isinstance(values, cuda.xp.ndarray)
        assert_same_bits(cuda.host(values), on_cpu.parameters[name])


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_parameters_are_copied_in_and_out(cuda, compute_dtype):
    net, _ = on_gpu_and_cpu(compute_dtype, "identity")
    x = cuda.array(normal(np.random.default_rng(17), F32, 3, 20).astype(numpy_dtype(compute_dtype)))
    for name, shape in net.parameters.shapes.items():
        others = {other: cuda.host(values) for other, values in net.parameters.items() if other != name}
        before = cuda.host(net(x))
        values = np.random.default_rng(18).normal(0, 0.5, shape).astype(net.parameters[name].dtype)
        for given in (values, cuda.array(values), cuda.array(np.asfortranarray(values)), values.tolist()):
            net.parameters[name] = given
            assert_same_bits(cuda.host(net.parameters[name]), values)
        for other, kept in others.items():
            assert_same_bits(cuda.host(net.parameters[other]), kept)
        after = cuda.host(net(x))
        assert (after != before).any(), name
        net.parameters[name][...] = 0  # a copy
        assert_same_bits(cuda.host(net(x)), after)
    with pytest.raises(ValueError, match=r"dense_1.bias: expected shape"):
        net.parameters["dense_1.bias"] = np.ones(3)


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies(cuda, compute_dtype, duplicate):
    net, _ = on_gpu_and_cpu(compute_dtype)
    net.freeze("dense_1")
    x = cuda.array(np.ones((3, 20)).astype(numpy_dtype(compute_dtype)))
    twin = duplicate(net)
    assert (twin.device, twin.compute_dtype, twin.dtype, twin.frozen) == (
        "cuda",
        compute_dtype,
        net.dtype,
        ("dense_1",),
    )
    expected = cuda.host(net(x))
    assert_same_bits(cuda.host(twin(x)), expected)
    twin.parameters["dense_1.bias"] = np.ones(33)
    assert (cuda.host(twin(x)) != expected).any()
    assert_same_bits(cuda.host(net(x)), expected)


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_there_and_back(cuda, compute_dtype, tmp_path):
    net, on_cpu = on_gpu_and_cpu(compute_dtype)
    on_cpu.freeze("dense_1")
    x = np.ones((3, 20), on_cpu.dtype)
    back = on_cpu.to("cuda", compute_dtype).to("cpu")
    kept = compute_dtype if compute_dtype == "bfloat16" else on_cpu.compute_dtype
    assert (back.device, back.compute_dtype, back.frozen) == ("cpu", kept, ("dense_1",))
    assert_same_bits(back.to("cpu", on_cpu.compute_dtype)(x), on_cpu(x))
    assert net.to("cuda").compute_dtype == compute_dtype
    assert net.astype("float32").compute_dtype == "float32"
    assert net.astype("float32").device == "cuda"
    net.save(tmp_path / "net.safetensors")
    loaded = fnn.load(tmp_path / "net.safetensors")
    assert (loaded.device, loaded.compute_dtype) == ("cpu", on_cpu.compute_dtype)
    assert_same_bits(loaded(x), on_cpu(x))
    wider = net.replace_head(fnn.Dense(3), seed=0)
    assert (wider.device, wider.compute_dtype, wider.outputs) == ("cuda", compute_dtype, 3)
    assert_same_bits(cuda.host(wider.parameters["dense_1.weight"]), on_cpu.parameters["dense_1.weight"])


def test_in_words(cuda):
    net, _ = on_gpu_and_cpu("tf32")
    assert repr(net).endswith("], dtype='tf32', device='cuda')")
    assert net.summary().startswith("6-layer network, 20 inputs, 7 outputs, tf32 on cuda\n")
    assert "batch 256:" in net.summary(plan=True)


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_evaluate(cuda, head):
    net, on_cpu = on_gpu_and_cpu("float32", head)
    rng = np.random.default_rng(19)
    x = normal(rng, F32, 40, 20)
    y = rng.integers(0, 7, 40) if head == "softmax" else rng.integers(0, 2, (40, 7)).astype(F32)
    weight = rng.integers(0, 3, 40).astype(F32)
    assert net.evaluate(cuda.array(x), cuda.array(y)) == on_cpu.evaluate(x, y)
    weighted = net.evaluate(cuda.array(x), cuda.array(y), sample_weight=cuda.array(weight))
    assert weighted == on_cpu.evaluate(x, y, sample_weight=weight)


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_inputs_and_outputs(cuda, compute_dtype):
    """Any dtype, layout and shape is converted; out receives the answer."""
    net, _ = on_gpu_and_cpu(compute_dtype)
    dtype = numpy_dtype(compute_dtype)
    x = np.random.default_rng(20).integers(-3, 4, (6, 4, 5)).astype(dtype)
    expected = cuda.host(net(cuda.array(x)))
    for given in ("float32", "float64", "int8", "float16"):
        assert_same_bits(cuda.host(net(cuda.array(x.astype(given)))), expected)
    for layout in ("fortran", "spread", "reversed", "misaligned"):
        assert_same_bits(cuda.host(net(cuda.lay(x, layout))), expected)
        assert_same_bits(cuda.host(net(cuda.lay(x.reshape(6, 20), layout))), expected)
    nan = np.full((7, 6), np.nan).astype(dtype)
    for out in (cuda.array(nan.T.copy()), cuda.array(nan).T, cuda.lay(nan.T, "spread")):
        assert net(cuda.array(x), out=out) is out
        assert_same_bits(cuda.host(out), expected)
    for empty in (x[:0], x[:0].reshape(0, 20)):
        assert net(cuda.array(empty)).shape == (0, 7)
    with pytest.raises(ValueError, match=r"x: expected shape \(B, 4, 5\) or \(B, 20\), got \(6, 19\)"):
        net(cuda.array(np.ones((6, 19), F32)))


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_what_is_on_the_host(cuda, compute_dtype, head):
    """Distributions, draws and diagnoses: NumPy's, of the network's own outputs, or of its copy on the CPU."""
    net, on_cpu = on_gpu_and_cpu(compute_dtype, head)
    x = normal(np.random.default_rng(21), numpy_dtype(compute_dtype), 12, 20)
    on_gpu = cuda.array(x)
    predicted = net.distribution(on_gpu)
    gaussian = head == "identity"
    outputs = cuda.host(net(on_gpu) if gaussian else net.logits(on_gpu))
    assert_same_bits(predicted.mean if gaussian else predicted.logits, outputs.astype(on_cpu.dtype))
    drawn = net.sample(on_gpu, 3, rng=5)
    assert type(drawn) is np.ndarray
    assert np.array_equal(drawn, predicted.sample(3, 5))
    assert net.diagnose(on_gpu) == on_cpu.diagnose(x)
    for call in (net.distribution, net.sample, net.diagnose):
        with pytest.raises(TypeError, match=r"expected CuPy arrays for a network on a GPU, got a NumPy array \(x\)"):
            call(x)


def test_what_a_network_on_a_gpu_does_not_do(cuda):
    net, _ = on_gpu_and_cpu()
    x = cuda.array(np.ones((3, 20), F32))
    with pytest.raises(TypeError, match=r"expected a network on the CPU, got one on a GPU; net.to\('cpu'\)"):
        net.quantize(x)
    with pytest.raises(ValueError, match="device: expected one of cpu, cuda, got 'gpu'"):
        net.to("gpu")
    with pytest.raises(ValueError, match="dtype: expected 'float32', 'float64', 'tf32', 'float16' or 'bfloat16'"):
        net.to("cuda", "int8")
    with pytest.raises(ValueError, match="dtype: expected 'float32', 'float64' or 'bfloat16', got 'tf32'"):
        net.to("cpu", "tf32")


def test_layers_of_images_are_refused(cuda):
    layers = [fnn.Input(9, 9, 3), fnn.Conv2D(4, 3), fnn.Dense(2)]
    with pytest.raises(ValueError, match="conv2d_1: Conv2D runs on the CPU only; write device='cpu'"):
        fnn.Sequential(layers, device="cuda")
