"""Networks in int8: their integers, scales and calibration."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import CASES, TAILS, converted, single_layer, wide_data, wide_network
from fnnfast import reference
from fnnfast._network import layerwise
from oracles import assert_same_bits, assert_within, eps, lipschitz

pytestmark = pytest.mark.usefixtures("machine_restored")

F32 = np.float32


def layer_oracle(low, x):
    """A network of one layer through the oracle, and how far it may be off: a few eps of what is added up."""
    (name, layer), *_ = low.named_layers.items()
    p, scales = low.parameters, low.quantization[name]
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    z = reference.quantized_pre_activation(x, weight, bias, scales)
    off = 32 * eps(F32) * (np.abs(z) + np.abs(bias if z.ndim == 2 else bias[:, None]) + 1)
    if layer.kind == "maxout":
        return reference.quantized_maxout(x, weight, bias, scales), off.max(axis=0)
    parameter = p[f"{name}.alpha"] if layer.activation.learned else layer.activation.parameter
    kernel = layer.activation.formula
    if kernel == "softmax":
        off = np.broadcast_to(off.max(axis=1, keepdims=True), off.shape)
    off = off * lipschitz(kernel, parameter)
    return reference.quantized_dense(x, weight, bias, scales, kernel, parameter), off


def assert_layer_is_right(low, x):
    expected, off = layer_oracle(low, x)
    y = low(x)
    assert y.dtype == F32
    if low.head.name in ("step", "sign"):  # a last bit decides where z is nearly zero
        assert (y != expected).mean() < 0.01
    else:
        assert_within(y, expected, off)


@pytest.mark.parametrize("name", CASES)
def test_int8_with_every_activation(isa, name):
    activation, _ = CASES[name].make(19, np.dtype(F32))
    low = converted("int8", single_layer(37, fnn.Dense(19, activation)))
    x = wide_data(13)
    assert_layer_is_right(low, x)
    if not low.head.learned:
        assert_same_bits(low.head(low.logits(x)), low(x))
    x[5, 3] = np.nan
    np.testing.assert_array_equal(np.isnan(low(x)), np.isnan(layer_oracle(low, x)[0]))


@pytest.mark.parametrize("inputs", [1, 2, 3, 5, 8, 31, 64, 257])
def test_int8_of_every_width(isa, inputs):
    x = wide_data(30, inputs)
    for layer in (*(fnn.Dense(units, "tanh") for units in TAILS), fnn.Maxout(7, pieces=5), fnn.Maxout(66, pieces=1)):
        low = converted("int8", single_layer(inputs, layer))
        assert_layer_is_right(low, x)
        for rows in (1, 5):
            assert_same_bits(low(x[:rows]), low(x)[:rows])


def test_int8_layer_by_layer(isa):
    """A network is its layers one after the other, to the bit."""
    low = wide_network("tanh").quantize(wide_data(200, seed=9))
    tensors = low._tensors()
    h = x = wide_data(40)
    for name, layer in low.named_layers.items():
        own = {key.replace(name, f"{layer.kind}_1"): values for key, values in tensors.items() if name in key}
        if own:
            alone = fnn.InferenceNetwork._restored((fnn.Input(h.shape[1]), layer), "int8", own)
            assert_layer_is_right(alone, h)
            h = alone(h)
    assert_same_bits(low(x), h)


def test_scales():
    """Of weights: for every output its own. Of inputs: over the range, with zero, of what reaches the layer."""
    net = wide_network("identity")
    net.parameters["dense_1.weight"] = net.parameters["dense_1.weight"] * (np.arange(70) != 3)
    x = wide_data(5000, seed=2)
    low = net.quantize(x)
    assert [*low.quantization] == ["dense_1", "maxout_1", "dense_2", "maxout_2", "dense_3"]
    p = net.parameters
    h = x
    for name, layer in net.named_layers.items():
        if isinstance(layer, fnn.Dropout):
            continue
        weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
        got = low.quantization[name]
        expected = reference.scales(float(min(0, h.min())), float(max(0, h.max())), weight)
        assert got.zero_point == expected.zero_point
        assert got.input_scale == pytest.approx(expected.input_scale, rel=1e-6)
        assert_same_bits(got.weight_scale, expected.weight_scale)
        codes = reference.weight_codes(weight, expected.weight_scale)
        # An integer zero has no sign.
        assert_same_bits(low.parameters[f"{name}.weight"], (codes + 0) * expected.weight_scale[..., np.newaxis, :])
        assert_same_bits(low.parameters[f"{name}.bias"], bias)
        if layer.kind == "maxout":
            h = fnn.maxout(h, weight, bias)
        else:
            learned = {"alpha": p[f"{name}.alpha"]} if layer.activation.learned else {}
            h = fnn.dense(h, weight, bias, fnn.activations.get(layer.activation.name, **learned))
    assert low.quantization["dense_1"].weight_scale[3] == 1


@pytest.mark.parametrize(
    ("values", "input_scale", "zero_point"),
    [
        ([0], 1, 0),
        ([5, 10], 10 / 255, 0),
        ([-10, -5], 10 / 255, 255),
        ([-1, 3], 4 / 255, 64),
        ([-1, 254], 1, 1),
        ([1e-40], 1, 0),
        ([-3e38, 3e38], 6e38 / 255, 128),
    ],
)
def test_ranges(values, input_scale, zero_point):
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)], seed=0)
    low = net.quantize(np.reshape(values, (-1, 1)))
    got = low.quantization["dense_1"]
    assert got.input_scale == F32(input_scale)
    assert got.zero_point == zero_point
    assert low([[0]]) == 0
    reach = np.array([[0 - zero_point], [255 - zero_point]]) * got.input_scale
    outside = np.array([[-np.inf], [np.inf]])
    assert_same_bits(low(outside), low(reach))  # what is beyond the range is cut


def test_calibration_goes_in_blocks(monkeypatch):
    x = wide_data(301, seed=3)
    expected = wide_network().quantize(x).quantization
    monkeypatch.setattr(layerwise, "_BLOCK", 700)
    for name, scales in wide_network().quantize(x).quantization.items():
        assert scales[:2] == expected[name][:2]


@pytest.mark.parametrize("inputs", [1, 3, 65535, 65536])
def test_the_largest_sums_are_exact(isa, inputs):
    """Of 255 times 127, as often as there are inputs, and of both signs."""
    net = fnn.Sequential([fnn.Input(inputs), fnn.Dense(3, bias=False), fnn.Dense(1)], seed=0)
    net.parameters["dense_1.weight"] = np.full((inputs, 3), 127) * [1, -1, 1]
    net.parameters["dense_2.weight"] = [[1], [0], [0]]
    for limit in (255, -255):
        low = net.quantize(np.full((1, inputs), limit)).quantization["dense_1"]
        assert low[:2] == (1, 0 if limit > 0 else 255)
        one = fnn.Sequential([fnn.Input(inputs), fnn.Dense(3, bias=False)], seed=0)
        one.parameters["dense_1.weight"] = net.parameters["dense_1.weight"]
        y = one.quantize(np.full((1, inputs), limit))(np.full((2, inputs), limit))
        assert_same_bits(y, np.tile(np.array([1, -1, 1]) * limit * 127 * inputs, (2, 1)).astype(F32))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.empty((0, 37)), ValueError, "calibration_x: expected at least one row, got none"),
        (np.ones((2, 36)), ValueError, r"calibration_x: expected shape \(B, 37\), got \(2, 36\)"),
        (np.ones(37), ValueError, r"calibration_x: expected shape \(B, 37\), got \(37,\)"),
        (np.where(np.arange(74) == 40, np.nan, 1).reshape(2, 37), ValueError, "calibration_x: expected finite values"),
        (np.full((1, 37), np.inf), ValueError, "calibration_x: expected finite values"),
        (np.full((1, 37), 1e39), ValueError, "calibration_x: expected finite values"),
        (np.full((1, 37), 3e38), ValueError, "calibration_x: expected finite inputs of maxout_1, got .*inf"),
        (None, TypeError, "calibration_x: expected an array of real numbers, got dtype object"),
    ],
)
def test_bad_calibration(x, error, message):
    with pytest.raises(error, match=message):
        wide_network("softmax").quantize(x)


def test_what_int8_cannot_hold():
    net = wide_network()
    net.parameters["dense_2.weight"] = np.where(np.arange(33 * 65) == 7, np.inf, 1).reshape(33, 65)
    with pytest.raises(ValueError, match=r"dense_2.weight: expected finite values to quantize, got (nan|inf) at index"):
        net.quantize(wide_data(3))
    net = fnn.Sequential([fnn.Input(65537), fnn.Dense(1)], seed=0)
    with pytest.raises(ValueError, match="at most 65536 inputs per layer, got 65537"):
        net.quantize(np.ones((1, 65537)))
