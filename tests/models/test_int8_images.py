"""Convolutions in int8: their integers over windows, one bit pattern, and what becomes of a NaN."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import _cpu, reference
from fnnfast.reference.low_precision import Scales
from oracles import assert_same_bits, assert_within, eps, lipschitz

pytestmark = pytest.mark.usefixtures("machine_restored")

IMAGE = (9, 8, 12)
LAYERS = {
    "plain": fnn.Conv2D(13, 3, "relu"),
    "padded": fnn.Conv2D(70, (2, 3), "tanh", padding=((0, 2), (1, 0)), strides=(2, 1)),
    "dilated": fnn.Conv2D(5, 2, "prelu", dilation=3, bias=False),
    "pixels": fnn.Conv2D(17, 1, "gelu"),
    "groups": fnn.Conv2D(18, 3, "relu", groups=3, padding=1),
    "narrow groups": fnn.Conv2D(24, 3, groups=6, padding="same", strides=2),
    "depthwise": fnn.Conv2D(12, 3, "tanh", groups=12, padding=1),
    "depthwise, strides": fnn.Conv2D(12, (5, 2), "relu", groups=12, padding=(2, 0), strides=(2, 3)),
    "two filters a channel": fnn.Conv2D(24, 3, groups=12, padding=1),
    "maxout": fnn.MaxoutConv2D(7, 2, 3, padding=1),
    "projection": fnn.Residual([fnn.Conv2D(6, 3, "relu", padding=1)]),
}


def images(rows, shape=IMAGE, seed=0):
    rng = np.random.default_rng([seed, rows])
    return rng.standard_normal((rows, *shape)).astype(np.float32)


def quantized(layer, shape=IMAGE):
    net = fnn.Sequential([fnn.Input(*shape), layer, fnn.Flatten()], seed=0)
    for name, values in net.parameters.items():
        net.parameters[name] = values + np.random.default_rng(1).normal(0, 0.1, values.shape)
    return net.quantize(images(20, shape))


def windows_of(layer, x, groups):
    found = reference.windows(
        x.shape[1:3], layer.kernel_size, strides=layer.strides, padding=layer.padding, dilation=layer.dilation
    )
    gathered = found.gather(x).reshape(-1, np.prod(layer.kernel_size), groups, x.shape[3] // groups)
    return [gathered[:, :, group].reshape(len(gathered), -1) for group in range(groups)]


def oracle(low, x):
    """The outputs of a layer as those of dense layers over windows, and how far they may be off."""
    name, layer = next((name, layer) for name, layer in low.named_layers.items() if layer.kind.endswith("conv2d"))
    p, scales = low.parameters, low.quantization[name]
    weight, groups = p[f"{name}.weight"], layer.groups
    units = weight.shape[-1]
    bias = p.get(f"{name}.bias", np.zeros((*weight.shape[:-4], units), np.float32))
    rows = windows_of(layer, x, groups)
    if layer.kind == "maxout_conv2d":
        flat = weight.reshape(layer.pieces, -1, units)
        z = reference.quantized_pre_activation(rows[0], flat, bias, scales)
        return reference.quantized_maxout(rows[0], flat, bias, scales), 32 * eps(np.float32) * (abs(z) + 2).max(axis=0)
    parts = []
    for group in range(groups):
        own = slice(group * units // groups, (group + 1) * units // groups)
        of_group = Scales(scales.input_scale, scales.zero_point, scales.weight_scale[own])
        flat = weight[..., own].reshape(-1, units // groups)
        parts.append(reference.quantized_pre_activation(rows[group], flat, bias[own], of_group))
    z = np.concatenate(parts, axis=1)
    parameter = p[f"{name}.alpha"] if layer.activation.learned else layer.activation.parameter
    kernel = layer.activation.formula
    off = 32 * eps(np.float32) * (abs(z) + 2) * lipschitz(kernel, parameter)
    return reference.ACTIVATIONS[kernel].forward(z, parameter), off


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "projection"])
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_integers_over_windows(isa, name, rows):
    low, x = quantized(LAYERS[name]), images(rows, seed=3)
    expected, off = oracle(low, x)
    assert_within(low(x).reshape(expected.shape), expected, off)


@pytest.mark.parametrize("name", LAYERS)
def test_one_bit_pattern(name):
    low, x = quantized(LAYERS[name]), images(33)
    expected = low(x)
    for isa in _cpu.isas():
        _cpu.use_isa(isa)
        low = quantized(LAYERS[name])
        for threads in (1, 2, 3):
            fnn.set_num_threads(threads)
            for each in (1, 2, 7, 33):
                got = np.concatenate([low(x[first : first + each]) for first in range(0, 33, each)])
                assert_same_bits(got, expected)


@pytest.mark.parametrize("name", LAYERS)
def test_a_nan_is_seen_by_the_windows_that_read_it(isa, name):
    """And by no other: all others have the bits that they had."""
    low, x = quantized(LAYERS[name]), images(3)
    before = low(x)
    x[1, 4, 3, 5] = np.nan
    got = low(x)
    layer = LAYERS[name]
    shown = np.isnan(got)
    assert shown.any()
    assert_same_bits(np.where(shown, 0, got), np.where(shown, 0, before))
    if layer.kind.endswith("conv2d"):
        rows = windows_of(layer, x, layer.groups)
        reads = np.any([np.isnan(part).any(axis=1) for part in rows], axis=0)
        own = shown.reshape(len(reads), -1)
        if layer.groups == 1:
            np.testing.assert_array_equal(own, np.broadcast_to(reads[:, None], own.shape))
        assert not own[~reads].any()


def test_a_network_of_images(tmp_path):
    """Saved, loaded and written; its answers are near those in float32."""
    chain = [
        *[fnn.Conv2D(16, 3, bias=False, padding="same"), fnn.BatchNorm(), fnn.Activation("relu"), fnn.MaxPool2D(2)],
        fnn.Conv2D(16, 3, "relu", groups=16, padding=1),
        fnn.Parallel([[fnn.Conv2D(8, 1, "relu")], [fnn.Conv2D(8, 3, "relu", padding=1)]]),
        fnn.Residual([fnn.Conv2D(16, 3, padding="same")], activation="relu"),
        fnn.MaxoutConv2D(12, 2, 3),
        fnn.Dense(4, "softmax"),
    ]
    for given in (fnn.Input(*IMAGE), fnn.Input(12, 9, 8, channels="first")):
        net = fnn.Sequential([given, *chain], seed=0)
        x = images(50, given.shape)
        low = net.quantize(x)
        np.testing.assert_allclose(low(x), net(x), atol=0.03)
        low.save(tmp_path / "low.safetensors")
        assert_same_bits(fnn.load(tmp_path / "low.safetensors")(x), low(x))
        assert "batch_norm_1" not in low.named_layers


def test_no_rows_and_one():
    low = quantized(LAYERS["padded"])
    assert low(images(0)).shape == (0, low.outputs)
    assert_same_bits(low(images(1)), low(images(1)))
