"""Convolutional networks: the bits of the single operations, gradients, and one bit pattern."""

import math

import numpy as np
import pytest

import fnnfast as fnn
from convolutional import IMAGE, all_of, data, network
from factories import normal
from fnnfast import _cpu
from oracles import assert_same_bits

ISAS = _cpu.isas()


@pytest.fixture
def isas():
    before = _cpu.isa()
    yield ISAS
    _cpu.use_isa(before)


# Against the single operations ---------------------------------------------------------------------------------------
CHAIN = [
    fnn.Input(*IMAGE),
    fnn.Conv2D(16, 3, "tanh", padding="same"),
    fnn.Conv2D(24, 3, "prelu", strides=2, padding=1),
    fnn.Conv2D(9, 1, "relu"),
    fnn.Conv2D(36, 2, "prelu", groups=9, padding=1),
    fnn.Conv2D(36, 3, "swish", groups=36, strides=(1, 2), padding=1),
    fnn.Conv2D(48, 1, groups=3),
    fnn.MaxoutConv2D(12, 2, 3, dilation=2),
    fnn.Flatten(),
    fnn.Dense(4),
]


def steps(net):
    """(name, layer) of the layers with parameters."""
    return [(name, layer) for name, layer in net.named_layers.items() if f"{name}.weight" in net.parameters]


def window_settings(layer):
    groups = {} if layer.kind == "maxout_conv2d" else {"groups": layer.groups}
    return {name: getattr(layer, name) for name in ("strides", "padding", "dilation")} | groups


def forward(net, x):
    """What each operation saves, and the outputs."""
    saved = []
    for name, layer in steps(net):
        weight, bias = net.parameters[f"{name}.weight"], net.parameters[f"{name}.bias"]
        if layer.kind == "conv2d":
            act = fnn.PReLU(net.parameters[f"{name}.alpha"]) if layer.activation.learned else layer.activation
            y, kept = fnn.conv2d_forward(x, weight, bias, act, **window_settings(layer))
        elif layer.kind == "maxout_conv2d":
            act = None
            y, kept = fnn.maxout_conv2d_forward(x, weight, bias, **window_settings(layer))
        else:
            x, act = x.reshape(len(x), -1), layer.activation
            y, kept = fnn.dense_forward(x, weight, bias, act)
        saved.append((layer, x, weight, kept, act))
        x = y
    return saved, x


@pytest.mark.parametrize("rows", [1, 2, 7, 65])
def test_bits_of_the_single_operations(isa, dtype, rows):
    net = fnn.Sequential(CHAIN, dtype=dtype, seed=0)
    x, _ = data(rows, dtype)
    assert_same_bits(net(x), forward(net, x)[1])
    assert_same_bits(net(x.reshape(rows, -1)), net(x))


@pytest.mark.parametrize("rows", [5, 70])
def test_gradients_of_the_single_operations(isa, rows):
    """With 70 images, blocks of them share no sums."""
    net = fnn.Sequential(CHAIN, dtype="float64", seed=0)
    x, _ = data(rows)
    y = normal(np.random.default_rng(2), np.float64, rows, 4)
    got = fnn.Trainer(net, "mse").gradients(x, y)
    saved, outputs = forward(net, x)
    dy = 2 * (outputs - y) / outputs.size
    for (name, _), (layer, inputs, weight, kept, act) in reversed(list(zip(steps(net), saved, strict=True))):
        dy = dy.reshape(kept.shape)
        if layer.kind == "conv2d":
            grads = fnn.conv2d_backward(dy, inputs, weight, kept, act, **window_settings(layer))
        elif layer.kind == "maxout_conv2d":
            grads = fnn.maxout_conv2d_backward(dy, inputs, weight, kept, **window_settings(layer))
        else:
            grads = fnn.dense_backward(dy, inputs, weight, kept, act)
        for key in ("weight", "bias", "alpha"):
            if (value := getattr(grads, key)) is not None:
                np.testing.assert_allclose(got[f"{name}.{key}"], value, rtol=1e-12, atol=1e-13 * np.abs(value).max())
        dy = grads.x


@pytest.mark.parametrize("batch", range(1, 66))
def test_images_do_not_depend_on_the_batch(batch):
    net = network("float32")
    x, _ = data(65, "float32")
    assert_same_bits(net(x[65 - batch :]), net(x)[65 - batch :])


@pytest.mark.parametrize("groups", [1, 2, 8, 16])
def test_images_of_one_pixel(isa, dtype, groups):
    """They are vectors, whose rows may be written in whole vectors: not those of a group."""
    chain = [fnn.Conv2D(16, 2, "prelu", groups=groups), fnn.Conv2D(48, 1, "tanh", groups=groups), fnn.Dense(3)]
    net = fnn.Sequential([fnn.Input(2, 2, 16), *chain], dtype=dtype, seed=0)
    x = normal(np.random.default_rng(0), np.dtype(dtype), 70, 2, 2, 16)
    alone = np.concatenate([net(row[np.newaxis]) for row in x])
    assert_same_bits(net(x), alone)
    assert_same_bits(net.freeze()(x), alone)
    saved, outputs = forward(net, x)
    assert_same_bits(alone, outputs)
    y = normal(np.random.default_rng(1), np.dtype(dtype), 70, 3)
    before = {name: values.copy() for name, values in net.parameters.items()}
    got = fnn.Trainer(net, "mse").gradients(x, y)
    dy = (2 * (outputs - y) / outputs.size).astype(dtype)
    for (name, _), (layer, inputs, weight, kept, act) in reversed(list(zip(steps(net), saved, strict=True))):
        dy = dy.reshape(kept.shape)
        settings = window_settings(layer) if layer.kind == "conv2d" else None
        grads = (
            fnn.dense_backward(dy, inputs, weight, kept, act)
            if settings is None
            else fnn.conv2d_backward(dy, inputs, weight, kept, act, **settings)
        )
        atol = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(got[f"{name}.weight"], grads.weight, rtol=0, atol=atol)
        dy = grads.x
    net.fit(x, y, epochs=3, batch_size=70, loss="mse", seed=0)
    assert all(np.isfinite(values).all() for values in net.parameters.values())
    assert any((values != before[name]).any() for name, values in net.parameters.items())


# Gradients -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("norm", [True, False])
def test_finite_differences(norm):
    """Of the loss in training, so with the statistics of the batch."""
    net = network(norm=norm)
    net = fnn.Sequential([layer for layer in net.layers if layer.kind != "dropout"], dtype="float64", seed=0)
    x, y = data(11)
    trainer = fnn.Trainer(net)
    _, grads = trainer.loss_and_gradients(x, y)
    assert grads.keys() == net.parameters.keys()
    rng = np.random.default_rng(0)
    for name, gradient in grads.items():
        values = net.parameters[name].copy()
        for place in rng.choice(values.size, min(4, values.size), replace=False):
            losses = []
            for step in (1e-7, -1e-7):  # small: there are many kinks
                moved = values.copy()
                moved.reshape(-1)[place] += step
                net.parameters[name] = moved
                losses.append(trainer.loss_and_gradients(x, y)[0])
            net.parameters[name] = values
            slope = (losses[0] - losses[1]) / 2e-7
            assert gradient.reshape(-1)[place] == pytest.approx(slope, rel=1e-4, abs=1e-6), name


def test_norms_of_gradients():
    """Of the weights alone, not of what lies between their vectors in memory."""
    net = network("float32", norm=False)
    x, y = data(9, "float32")
    trainer = fnn.Trainer(net, optimizer=fnn.SGD(1e-3))
    grads = trainer.gradients(x, y)
    trainer.step(x, y)
    found = trainer._diagnosis()["gradient_norm"]
    for layer, norm in found.items():
        parts = [grads[f"{layer}.{key}"] for key in ("weight", "bias") if f"{layer}.{key}" in grads]
        assert norm == pytest.approx(math.sqrt(sum(float((part**2).sum()) for part in parts)), rel=1e-4), layer


# One bit pattern -----------------------------------------------------------------------------------------------------
def trained(dtype, rows, count, weights=None):
    net = network(dtype)
    x, y = data(rows, dtype)
    trainer = fnn.Trainer(net, seed=3)
    _, grads = trainer.loss_and_gradients(x, y, sample_weight=weights)
    losses = [trainer.step(x, y, sample_weight=weights) for _ in range(count)]
    return [net(x), np.array(losses), *grads.values(), *all_of(net)]


@pytest.mark.parametrize(("dtype", "rows", "count"), [("float32", 37, 20), ("float64", 37, 5), ("float32", 3, 5)])
def test_one_bit_pattern(isas, dtype, rows, count):
    """Answers, gradients, and weights and statistics after training: any instruction set, any threads."""
    expected = trained(dtype, rows, count)
    assert all(np.isfinite(values).all() for values in expected)
    for isa in isas:
        _cpu.use_isa(isa)
        for threads in (1, 2, 5):
            with fnn.num_threads(threads):
                for got, wanted in zip(trained(dtype, rows, count), expected, strict=True):
                    assert_same_bits(got, wanted)


@pytest.mark.slow
@pytest.mark.long
def test_one_bit_pattern_after_200_steps(isas):
    expected = trained("float32", 70, 200)
    for isa in isas:
        _cpu.use_isa(isa)
        for threads in (1, 3):
            with fnn.num_threads(threads):
                for got, wanted in zip(trained("float32", 70, 200), expected, strict=True):
                    assert_same_bits(got, wanted)
