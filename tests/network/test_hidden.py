"""The outputs of every layer, and drawings of networks."""

import sys

import matplotlib
import numpy as np
import pytest

import fnnfast as fnn
from oracles import assert_same_bits

matplotlib.use("Agg")

IMAGES = [
    fnn.Conv2D(4, 3, "relu", padding=1),
    fnn.BatchNorm(),
    fnn.MaxPool2D(2),
    fnn.Residual([fnn.Conv2D(4, 3, "gelu", padding=1)], activation="relu"),
    fnn.Parallel([[fnn.Conv2D(2, 1)], [fnn.AveragePool2D(1), fnn.Conv2D(3, 1, "tanh")]]),
    fnn.Dropout(0.5),
]
NETWORKS = {
    "one layer": [fnn.Input(3), fnn.Dense(2, "softmax")],
    "vectors": [
        fnn.Input(5),
        fnn.GaussianNoise(0.1),
        fnn.Dense(7, fnn.PReLU()),
        fnn.Dropout(0.5),
        fnn.Maxout(6, pieces=3),
        fnn.Residual([fnn.Dense(9, "gelu"), fnn.Dense(6)]),
        fnn.Activation("swish"),
        fnn.Dense(4),
    ],
    "flat image": [fnn.Input(3, 4), fnn.Flatten(), fnn.Dense(3, "tanh"), fnn.Gaussian(2)],
    "images": [fnn.Input(8, 6, 2), *IMAGES, fnn.Flatten(), fnn.Dense(3, "softmax")],
    "channels first": [fnn.Input(2, 8, 6, channels="first"), *IMAGES, fnn.GlobalAveragePool2D()],
    "flattened channels first": [fnn.Input(2, 3, 4, channels="first"), fnn.Flatten(), fnn.Dense(2)],
}


def network(name, dtype="float32"):
    net = fnn.Sequential(NETWORKS[name], dtype=dtype, seed=0)
    rng = np.random.default_rng(1)
    for key, values in net.parameters.items():
        net.parameters[key] = rng.normal(size=values.shape)
    return net, rng.standard_normal((5, *net.input.shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_has_the_bits_of_the_network(name, dtype):
    net, x = network(name, dtype)
    hidden = net.hidden(x)
    assert list(hidden) == [layer for layer in net.named_layers if "." not in layer]
    assert_same_bits(list(hidden.values())[-1].reshape(5, -1), net(x))
    first = next(iter(hidden))
    assert_same_bits(net.hidden(x[:1])[first], hidden[first][:1])


def test_a_dense_layer_has_the_bits_of_the_function():
    net, x = network("vectors")
    hidden = net.hidden(x)
    slopes = fnn.PReLU(net.parameters["dense_1.alpha"])
    dense = fnn.dense(x, net.parameters["dense_1.weight"], net.parameters["dense_1.bias"], slopes)
    assert_same_bits(hidden["dense_1"], dense)
    assert_same_bits(hidden["dropout_1"], hidden["dense_1"])


def test_shapes_of_images():
    net, x = network("images")
    assert [values.shape for values in net.hidden(x).values()] == [
        *[(5, 8, 6, 4)] * 2, *[(5, 4, 3, 4)] * 2, *[(5, 4, 3, 5)] * 2, (5, 60), (5, 3)
    ]  # fmt: skip


def test_refusals():
    net, x = network("vectors")
    with pytest.raises(ValueError, match=r"\(B, 5\)"):
        net.hidden(x[:, :4])
    with pytest.raises(TypeError, match="float32 or float64, got bfloat16"):
        net.astype("bfloat16").hidden(x)
    assert_same_bits(net.freeze().hidden(x)["dense_2"], net(x))


# Drawings ------------------------------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def _closed():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def text(ax):
    return [label.get_text() for label in ax.texts]


def test_of_two_inputs():
    x = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    y = (x[:, 0] > 0).astype(int)
    for head in (fnn.Dense(1, "sigmoid"), fnn.Dense(3, "softmax"), fnn.Dense(2)):
        net = fnn.Sequential([fnn.Input(2), fnn.Dense(4, "tanh"), head], seed=0)
        layers, plane = net.plot(x, y)
        assert text(layers) == ["input\n2", "dense_1\n4\ntanh", *text(layers)[2:]]
        assert len(layers.lines) == 2 * 4 + 4 * net.outputs  # connections
        low, high = plane.get_xlim()
        assert low < x[:, 0].min() < x[:, 0].max() < high
        assert plane.get_title().endswith("where units change sign")
        assert len(net.plot()) == 2


def test_of_one_input():
    x = np.linspace(0, 2, 30)[:, np.newaxis]
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(20, "relu"), fnn.Dropout(0.1), fnn.Dense(2)], seed=0)
    layers, curve = net.plot(x, np.hstack((x, x)))
    assert "⋮" in text(layers)
    assert len(curve.lines) == 20 + 2
    axis, values = curve.lines[-2].get_data()
    np.testing.assert_array_equal(values, net(np.asarray(axis).reshape(-1, 1))[:, 0])


@pytest.mark.parametrize("name", NETWORKS)
def test_of_more_inputs_there_is_the_network_alone(name):
    net, _ = network(name)
    drawn = net.plot()
    assert len(drawn) == 1
    assert len(text(drawn[0])) > 1


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"fnnfast\[examples\]"):
        network("one layer")[0].plot()
