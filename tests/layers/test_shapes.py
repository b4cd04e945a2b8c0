"""Shapes of samples: vectors, images, and images that layers read as vectors."""

import numpy as np
import pytest

import fnnfast as fnn
from oracles import assert_same_bits

IMAGE = (3, 4, 2)
FLAT = 24


@pytest.mark.parametrize(
    ("lengths", "shape"),
    [((5,), (5,)), ((28, 28), (784,)), ((28, 28, 1), (28, 28, 1)), ((1, 1, 3), (1, 1, 3)), ((2, 3, 4, 5), (120,))],
)
def test_samples_of_inputs(lengths, shape):
    assert fnn.Input(*lengths).sample_shape == shape


@pytest.mark.parametrize(
    ("layer", "shape", "parameters"),
    [
        (fnn.Dense(5, "prelu"), (5,), {"weight": (FLAT, 5), "bias": (5,), "alpha": (5,)}),
        (fnn.Maxout(5, pieces=3, bias=False), (5,), {"weight": (3, FLAT, 5)}),
        (fnn.Gaussian(2), (4,), {"weight": (FLAT, 4), "bias": (4,)}),
        (fnn.Flatten(), (FLAT,), {}),
        (fnn.Dropout(0.5), IMAGE, {}),
        (fnn.GaussianNoise(0.5), IMAGE, {}),
        (fnn.Activation("relu"), IMAGE, {}),
        (fnn.Activation("prelu"), IMAGE, {"alpha": (2,)}),
        (fnn.Residual([fnn.Activation("relu")]), IMAGE, {}),
        (fnn.Residual([fnn.Dense(5)], [fnn.Dense(5)]), (5,), {}),
        (fnn.Residual([fnn.Dense(5)], [fnn.Flatten(), fnn.Dense(5)]), (5,), {}),
    ],
    ids=repr,
)
def test_layers_over_an_image(layer, shape, parameters):
    assert layer.output_shape(IMAGE) == shape
    assert layer.parameter_shapes(IMAGE) == parameters
    initial = layer.initial(IMAGE, np.random.default_rng(0))
    assert {name: values.shape for name, values in initial.items()} == parameters


def test_a_block_and_its_input_have_one_shape():
    with pytest.raises(ValueError, match=r"layers give a vector of 5 values, its input is an image \(3, 4, 2\); write"):
        fnn.Residual([fnn.Dense(5)]).output_shape(IMAGE)
    with pytest.raises(ValueError, match=r"its layers give a vector of 5 values, its shortcut an image \(3, 4, 2\)"):
        fnn.Residual([fnn.Dense(5)], [fnn.Activation("relu")]).output_shape(IMAGE)
    # An image of one pixel is a vector to the compiled network.
    assert fnn.Residual([fnn.Dense(5)]).parameter_shapes((1, 1, 4)) == {"weight": (4, 5), "bias": (5,)}


X = np.random.default_rng(0).standard_normal((40, FLAT)).astype(np.float32)
Y = np.arange(40) % 3
CHAINS = {
    "dense": [fnn.Dense(7, "relu")],
    "dropout": [fnn.Dropout(0.5), fnn.Dense(7, "relu")],
    "noise": [fnn.GaussianNoise(0.5), fnn.Dropout(0.2), fnn.Maxout(4)],
    "flatten": [fnn.Dropout(0.5), fnn.Flatten(), fnn.Dropout(0.5), fnn.Dense(7)],
    "activation": [fnn.Activation("tanh"), fnn.Dense(7, "prelu")],
    "block": [fnn.Residual([fnn.Dense(FLAT, "relu")])],
    "block with a projection": [fnn.Dropout(0.5), fnn.Residual([fnn.Dropout(0.5), fnn.Dense(5), fnn.Dense(6)])],
    "nested block": [fnn.Residual([fnn.Residual([fnn.Dense(FLAT, "swish")])])],
    "block with a shortcut": [fnn.Residual([fnn.Dense(5)], [fnn.Dropout(0.5), fnn.Dense(5)])],
    "block over pixels": [fnn.Residual([fnn.Activation("tanh")]), fnn.Dense(4)],
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_image_is_the_vector_of_its_values(chain, dtype):
    """The same parameters, draws and bits as over ``Input(3, 4, 2)`` of fnnfast 0.1.0, which was a vector."""
    layers = [*chain, fnn.Dense(3, "softmax")]
    flat, shaped = (
        fnn.Sequential([first, *layers], dtype=dtype, seed=1) for first in (fnn.Input(FLAT), fnn.Input(*IMAGE))
    )
    assert flat.parameters.shapes == shaped.parameters.shapes
    for x in (X, X.reshape(-1, *IMAGE)):
        assert_same_bits(shaped(x), flat(X))
    assert shaped.fit(X, Y, epochs=2, seed=3).loss == flat.fit(X, Y, epochs=2, seed=3).loss
    for name, values in flat.parameters.items():
        assert_same_bits(shaped.parameters[name], values)
    assert_same_bits(shaped(X), flat(X))
    for kind, shares in flat.diagnose(X).items():
        assert shaped.diagnose(X)[kind] == pytest.approx(shares)
    assert shaped.summary(plan=True).partition("batch")[2] == flat.summary(plan=True).partition("batch")[2]
    if dtype == "float32":
        assert_same_bits(shaped.quantize(X)(X), flat.quantize(X)(X))
        assert_same_bits(shaped.astype("bfloat16")(X), flat.astype("bfloat16")(X))


def test_slopes_of_channels(tmp_path):
    net = fnn.Sequential([fnn.Input(*IMAGE), fnn.Activation("prelu"), fnn.Dense(3)], dtype="float64", seed=0)
    net.parameters["activation_1.alpha"] = [0.5, -2.0]
    x = X.reshape(-1, *IMAGE)
    same = fnn.Sequential([fnn.Input(FLAT), fnn.Dense(3)], dtype="float64", seed=0)
    same.parameters["dense_1.weight"] = net.parameters["dense_1.weight"]
    np.testing.assert_allclose(net(x), same(np.where(x > 0, x, x * [0.5, -2.0]).reshape(-1, FLAT)), rtol=1e-12)
    net.save(tmp_path / "net.safetensors")
    assert_same_bits(fnn.load(tmp_path / "net.safetensors")(x), net(x))
    assert net.diagnose(x)["dead"] == {"activation_1": 0.0}
    net.fit(x, Y[:, None] * np.ones(3), epochs=1, seed=0)
    for write, read, package in ((fnn.to_onnx, fnn.from_onnx, "onnx"), (fnn.to_torch, fnn.from_torch, "torch")):
        pytest.importorskip(package)
        assert_same_bits(read(write(net))(x), net(x))


def test_saturated_values_of_an_image_are_a_share():
    net = fnn.Sequential([fnn.Input(*IMAGE), fnn.Activation("tanh"), fnn.Dense(3)], seed=0)
    flat = fnn.Sequential([fnn.Input(FLAT), fnn.Activation("tanh"), fnn.Dense(3)], seed=0)
    share = net.diagnose(9 * X)["saturated"]["activation_1"]
    assert 0.5 < share < 1
    assert share == pytest.approx(flat.diagnose(9 * X)["saturated"]["activation_1"])
