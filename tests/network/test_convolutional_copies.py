"""Convolutional networks as files, copies, in other number formats and without normalization."""

import copy
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from convolutional import all_of, data, layers, network
from oracles import assert_same_bits


def test_copies(tmp_path):
    net = network("float32")
    x, y = data(20, "float32")
    net.fit(x, y, epochs=1, seed=0)
    net.save(tmp_path / "net.safetensors")
    copies = {
        "loaded": fnn.load(tmp_path / "net.safetensors"),
        "pickled": pickle.loads(pickle.dumps(net)),
        "copied": copy.deepcopy(net),
        "moved": net.to("cpu"),
    }
    for name, other in copies.items():
        assert list(other.buffers) == list(net.buffers), name
        for got, wanted in zip(all_of(other), all_of(net), strict=True):
            assert_same_bits(got, wanted)
        assert_same_bits(other(x), net(x))
    head = net.replace_head(fnn.Dense(2), seed=0)
    for name, values in net.buffers.items():
        assert_same_bits(head.buffers[name], values)
    double = net.astype("float64")
    assert double.buffers["batch_norm_1.mean"].dtype == np.float64
    np.testing.assert_allclose(double(x), net(x), atol=1e-5)
    np.testing.assert_allclose(net.astype("bfloat16")(x), net(x), atol=0.03)
    with pytest.raises(KeyError, match=r"buffer: expected one of batch_norm_1\.mean, batch_norm_1\.variance"):
        net.buffers["batch_norm_1.gamma"]
    with pytest.raises(ValueError, match=r"batch_norm_1.mean: expected shape \(13,\), got \(12,\)"):
        net.buffers["batch_norm_1.mean"] = np.zeros(12)


def test_checkpoint(tmp_path):
    x, y = data(24, "float32")
    whole = network("float32")
    whole.fit(x, y, epochs=4, seed=0, batch_size=8)
    path = tmp_path / "run.safetensors"
    network("float32").fit(x, y, epochs=2, seed=0, batch_size=8, checkpoint=path)
    resumed = network("float32")
    resumed.fit(x, y, epochs=4, seed=0, batch_size=8, checkpoint=path)
    for got, wanted in zip(all_of(resumed), all_of(whole), strict=True):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalization_is_folded(tmp_path, dtype):
    """Where it follows a product without activation; elsewhere it stays."""
    after_pool = [fnn.MaxPool2D(2, padding="same"), fnn.BatchNorm(), fnn.Conv2D(5, 1, "tanh"), fnn.BatchNorm()]
    chain = [*layers()[:-5], *after_pool, fnn.Dense(6), fnn.BatchNorm(eps=1e-2), fnn.Dense(4, "softmax")]
    chain = [layer for layer in chain if layer.kind != "flatten"]
    net = fnn.Sequential(chain, dtype=dtype, seed=0)
    rng = np.random.default_rng(1)
    for name, shape in {**net.parameters.shapes, **net.buffers.shapes}.items():
        of = net.buffers if name in net.buffers else net.parameters
        of[name] = np.abs(of[name] + rng.normal(0, 0.1, shape))
    x, _ = data(20, dtype)
    fast = net.freeze()
    kinds = [layer.kind for layer in fast.named_layers.values()]
    assert kinds.count("batch_norm") == 2
    assert fast.parameters["conv2d_1.bias"].any()
    np.testing.assert_allclose(fast(x), net(x), rtol=1e-3 if dtype == "float32" else 1e-11)
    fast.save(tmp_path / "fast.safetensors")
    assert_same_bits(fnn.load(tmp_path / "fast.safetensors")(x), fast(x))
    assert_same_bits(pickle.loads(pickle.dumps(fast))(x), fast(x))
    for name in fast.buffers:
        with pytest.raises(TypeError, match="expected a network that can be trained"):
            fast.buffers[name] = np.zeros(fast.buffers.shapes[name])
    if dtype == "float32":
        assert [layer.kind for layer in net.astype("bfloat16").named_layers.values()] == kinds


@pytest.mark.parametrize("before", [[fnn.Dense(16)], [fnn.Dense(16, "tanh")], [fnn.Maxout(16, 3)]], ids=repr)
def test_low_precision(before):
    """Folded, in an epilogue and on its own."""
    chain = [fnn.Input(12), *before, fnn.BatchNorm(), fnn.Activation("relu"), fnn.Dense(5)]
    net = fnn.Sequential(chain, seed=0)
    rng = np.random.default_rng(0)
    for name, shape in net.buffers.shapes.items():
        net.buffers[name] = rng.normal(1, 0.3, shape) ** 2
    x = rng.standard_normal((300, 12)).astype(np.float32)
    y = net(x)
    for low, error in ((net.astype("bfloat16"), 0.01), (net.quantize(x), 0.04)):
        np.testing.assert_allclose(low(x), y, atol=error * np.abs(y).max())
