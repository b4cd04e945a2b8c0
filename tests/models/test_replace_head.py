"""Heads that are replaced, for another task."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import ROWS, training_data, training_network
from oracles import assert_same_bits, bits_of, layer_of


@pytest.mark.parametrize(
    ("head", "name"),
    [(fnn.Dense(5, "softmax"), "dense_3"), (fnn.Maxout(2), "maxout_1"), (fnn.Gaussian(2), "gaussian_1")],
    ids=repr,
)
def test_replace_head(dtype, head, name):
    net = training_network(dtype=dtype)
    net.fit(*training_data(dtype=dtype), epochs=2, seed=0)
    before = bits_of(net)
    new = net.replace_head(head, seed=3)
    assert new.layers == (*net.layers[:-1], head)
    assert new.dtype == net.dtype
    assert list(new.named_layers) == [*list(net.named_layers)[:-1], name]
    for key, values in net.parameters.items():
        if layer_of(key) != "dense_3":
            assert_same_bits(new.parameters[key], values)
    weight = f"{name}.weight"
    assert_same_bits(net.replace_head(head, seed=3).parameters[weight], new.parameters[weight])
    assert (net.replace_head(head, seed=4).parameters[weight] != new.parameters[weight]).any()
    new.fit(training_data(dtype=dtype)[0], np.zeros(ROWS, int) if head.units == 5 else np.zeros((ROWS, 2)), epochs=1)
    assert bits_of(net) == before  # a copy


def test_a_head_of_the_same_shape_starts_anew():
    net = training_network()
    new = net.replace_head(fnn.Dense(3, "softmax"), seed=7)
    assert (new.parameters["dense_3.weight"] != net.parameters["dense_3.weight"]).any()


def test_a_head_behind_dropout_and_alone():
    net = fnn.Sequential([fnn.Input(4), fnn.Dense(3, "relu"), fnn.Dropout(0.5), fnn.Dense(2)], seed=0)
    new = net.replace_head(fnn.Dense(1, "sigmoid"))
    assert new.layers[2:] == (fnn.Dropout(0.5), fnn.Dense(1, "sigmoid"))
    alone = fnn.Sequential([fnn.Input(4), fnn.Dense(2)], seed=0).replace_head(fnn.Dense(5))
    assert alone(np.ones((2, 4))).shape == (2, 5)


def test_a_new_head_is_not_frozen_nor_is_the_rest():
    net = training_network()
    net.freeze("dense_1", "dense_3")
    new = net.replace_head(fnn.Dense(2, "softmax"))
    assert new.frozen == ()
    assert net.frozen == ("dense_1", "dense_3")


@pytest.mark.parametrize(
    ("head", "error", "message"),
    [
        (
            fnn.Dropout(0.5),
            ValueError,
            r"layers: expected a Dense, Maxout, Activation or Residual last, got Dropout\(rate=0.5\)",
        ),
        (fnn.Input(3), TypeError, r"layers: expected Dense, Maxout and other layers after the Input, got Input\(3\)"),
        ("softmax", TypeError, "layers: expected Dense, Maxout and other layers after the Input, got 'softmax'"),
        (None, TypeError, "layers: expected Dense, Maxout and other layers after the Input, got None"),
    ],
)
def test_invalid_heads(head, error, message):
    with pytest.raises(error, match=message):
        training_network().replace_head(head)


def test_networks_for_inference_have_no_new_heads():
    net = training_network(dtype="float32")
    for low in (net.astype("bfloat16"), net.quantize(training_data()[0])):
        with pytest.raises(TypeError, match="replace_head: expected a network that can be trained, got one in"):
            low.replace_head(fnn.Dense(2))


# Transfer learning ---------------------------------------------------------------------------------------------------
def test_features_learned_for_one_task_serve_another():
    """Radii of points, learned for three rings, tell the inner two from the outer one with a new head alone."""
    rng = np.random.default_rng(0)
    radius, angle = rng.choice([1.0, 2.0, 3.0], 300), rng.uniform(0, 2 * np.pi, 300)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    net = fnn.Sequential(
        [fnn.Input(2), fnn.Dense(32, "swish"), fnn.Dense(16, "swish"), fnn.Dense(3, "softmax")], seed=0
    )
    net.fit(x, radius.astype(int) - 1, optimizer=fnn.Adam(0.02), epochs=40, seed=0)
    new = net.replace_head(fnn.Dense(1, "sigmoid"), seed=0)
    new.freeze("dense_1", "dense_2")
    new.fit(x[:60], radius[:60] == 3, optimizer=fnn.Adam(0.05), epochs=40, seed=0)
    assert new.evaluate(x[60:], radius[60:] == 3)["accuracy"] > 0.95
    for name in ("dense_1.weight", "dense_2.bias"):
        assert_same_bits(new.parameters[name], net.parameters[name])
