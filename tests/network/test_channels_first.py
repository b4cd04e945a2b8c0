"""Images with their channels first, as PyTorch and ONNX have them."""

import copy
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from convolutional import IMAGE, data, network
from oracles import assert_same_bits


def with_channels_first(net):
    height, width, channels = net.input.shape
    given = fnn.Input(channels, height, width, channels="first")
    other = fnn.Sequential([given, *net.layers[1:]], dtype=net.dtype)
    for name, values in net._state.items():
        other._state[name] = values
    return other


@pytest.mark.parametrize("rows", [1, 3, 70])
def test_channels_first(isa, rows):
    """The same bits as for images with their channels last, in inference and in training."""
    net = network("float32")
    other = with_channels_first(net)
    x, y = data(rows, "float32")
    turned = x.transpose(0, 3, 1, 2)  # with strides
    assert_same_bits(other(turned), net(x))
    assert_same_bits(other(np.ascontiguousarray(turned).reshape(rows, -1)), net(x))
    assert_same_bits(other.freeze()(turned), net.freeze()(x))
    assert_same_bits(other.astype("bfloat16")(turned), net.astype("bfloat16")(x))
    trainers = [fnn.Trainer(each, seed=3) for each in (net, other)]
    for _ in range(3):
        losses = [trainer.step(images, y) for trainer, images in zip(trainers, (x, turned), strict=True)]
        assert losses[0] == losses[1]
    for name, values in net._state.items():
        assert_same_bits(other._state[name], values)


def test_channels_first_is_kept(tmp_path):
    net = with_channels_first(network("float32"))
    x = data(3, "float32")[0].transpose(0, 3, 1, 2)
    net.save(tmp_path / "net.safetensors")
    for again in (fnn.load(tmp_path / "net.safetensors"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert again.layers == net.layers
        assert_same_bits(again(x), net(x))
    assert eval(repr(net.input), {"Input": fnn.Input}) == net.input
    assert "Input(3, 9, 8, channels='first')" in net.summary()
    assert net.input.format_version == 2


def test_fit_with_channels_first():
    """Rows by index, shuffled, as fit takes them."""
    net = network("float32")
    other = with_channels_first(net)
    x, y = data(60, "float32")
    net.fit(x, y, epochs=2, batch_size=16, seed=0)
    other.fit(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y, epochs=2, batch_size=16, seed=0)
    for name, values in net._state.items():
        assert_same_bits(other._state[name], values)


def test_what_takes_networks_keeps_the_order_of_channels():
    net = with_channels_first(network("float32"))
    scaled = fnn.compound_scale([net.input, fnn.Conv2D(4, 3, "relu"), fnn.Dense(3, "softmax")], phi=3)
    assert scaled[0] == fnn.Input(3, 14, 12, channels="first")
    other = fnn.Sequential([fnn.Input(*IMAGE), *net.layers[1:]], seed=0)
    with pytest.raises(ValueError, match="216 inputs, channels first"):
        fnn.Ensemble([net, other])
    x = data(3, "float32")[0].transpose(0, 3, 1, 2)
    assert fnn.Ensemble([net, net])(x).shape == (3, 4)


def test_channels_first_of_what_are_no_images():
    expected = r"expected \(channels, height, width\) for channels='first', got shape \(9, 8\)"
    with pytest.raises(ValueError, match=expected):
        fnn.Input(9, 8, channels="first")
    with pytest.raises(ValueError, match="channels: expected one of last, first, got 'frist'; did you mean 'first'"):
        fnn.Input(3, 9, 8, channels="frist")
    net = with_channels_first(network("float32"))
    with pytest.raises(ValueError, match=r"x: expected shape \(B, 3, 9, 8\) or \(B, 216\), got \(2, 9, 8, 3\)"):
        net(data(2, "float32")[0])
    with pytest.raises(ValueError, match="runs on the CPU only"):
        net._structure.require_gpu()
    # A dense layer reads the pixels in the order of layers, channels last.
    dense = fnn.Sequential([fnn.Input(2, 3, 4, channels="first"), fnn.Dense(24, bias=False)], seed=0, dtype="float64")
    x = np.random.default_rng(0).standard_normal((5, 2, 3, 4))
    np.testing.assert_allclose(dense(x), x.transpose(0, 2, 3, 1).reshape(5, -1) @ dense.parameters["dense_1.weight"])
