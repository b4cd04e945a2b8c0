"""Batch normalization in training and in inference: statistics of the batch and running ones."""

import math

import numpy as np
import pytest

import fnnfast as fnn
from convolutional import all_of, normalized, small, small_data
from fnnfast import reference
from oracles import assert_same_bits


def test_running_statistics():
    net = small(momentum=0.8)
    x, y = small_data(21)
    z = reference.conv2d(x, net.parameters["conv2d_1.weight"])
    mean, variance = reference.running_statistics(z, np.zeros(5), np.ones(5), 0.8)
    fnn.Trainer(net).step(x, y)
    np.testing.assert_allclose(net.buffers["batch_norm_1.mean"], mean, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(net.buffers["batch_norm_1.variance"], variance, rtol=1e-13)


def test_inference_takes_the_running_statistics():
    net = small(eps=1e-3)
    rng = np.random.default_rng(0)
    for name in ("gamma", "beta"):
        net.parameters[f"batch_norm_1.{name}"] = rng.normal(1, 0.3, 5)
    for name in ("mean", "variance"):
        net.buffers[f"batch_norm_1.{name}"] = rng.normal(1, 0.1, 5)
    x, _ = small_data(6)
    p, b = net.parameters, net.buffers
    z = reference.conv2d(x, p["conv2d_1.weight"])
    z = reference.batch_norm(
        z,
        p["batch_norm_1.gamma"],
        p["batch_norm_1.beta"],
        b["batch_norm_1.mean"],
        b["batch_norm_1.variance"],
        eps=1e-3,
    )
    y = reference.dense(np.maximum(z, 0).reshape(6, -1), p["dense_1.weight"], p["dense_1.bias"], "softmax")
    np.testing.assert_allclose(net(x), y, rtol=1e-13)


def test_samples_of_weight_0_are_not_in_the_batch():
    """Nor do they have a gradient, which the layer before would take up."""
    x, y = small_data(23)
    weights = np.ones(23)
    weights[[0, 4, 5, 22]] = 0
    x[4] = np.nan
    chain = [fnn.Input(4, 4, 2), fnn.Conv2D(5, 2, "tanh"), *normalized(7, 2), *normalized(4, 2), fnn.Flatten()]
    whole, part = (
        fnn.Trainer(fnn.Sequential([*chain, fnn.Dense(3, "softmax")], dtype="float64", seed=0)) for _ in range(2)
    )
    got = whole.loss_and_gradients(x, y, sample_weight=weights)
    expected = part.loss_and_gradients(x[weights > 0], y[weights > 0])
    assert got[0] == pytest.approx(expected[0], rel=1e-14)
    for name, gradient in expected[1].items():
        np.testing.assert_allclose(got[1][name], gradient, rtol=1e-11, atol=1e-14)
    whole.step(x, y, sample_weight=weights)
    part.step(x[weights > 0], y[weights > 0])
    for name, values in part.network.buffers.items():
        np.testing.assert_allclose(whole.network.buffers[name], values, rtol=1e-13, atol=1e-15)


def test_a_frozen_layer_keeps_its_statistics():
    net = small()
    x, y = small_data(12)
    net.fit(x, y, epochs=1, seed=0)
    before = dict(net.buffers)
    net.freeze("batch_norm_1")
    gamma = net.parameters["batch_norm_1.gamma"]
    trainer = fnn.Trainer(net)
    loss, _ = trainer.loss_and_gradients(x, y)
    assert loss == pytest.approx(-np.log(net(x)[np.arange(12), y]).mean(), rel=1e-12)  # the running ones are used
    trainer.step(x, y)
    for name, values in before.items():
        assert_same_bits(net.buffers[name], values)
    assert_same_bits(net.parameters["batch_norm_1.gamma"], gamma)


def test_gradients_move_no_statistics_and_apply_does():
    one, other = fnn.Trainer(small()), fnn.Trainer(small())
    x, y = small_data(10)
    for _ in range(3):
        one.step(x, y)
        before = dict(other.network.buffers)
        grads = other.gradients(x, y)
        for name, values in before.items():
            assert_same_bits(other.network.buffers[name], values)
        other.apply(grads)
    for got, wanted in zip(all_of(other.network), all_of(one.network), strict=True):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize("clip_norm", [None, 1e30])
def test_scale_and_shift_do_not_decay(clip_norm):
    x, y = small_data(10)
    nets = [small(), small()]
    for net, decay in zip(nets, (0.0, 0.3), strict=True):
        optimizer = fnn.AdamW(1e-2, weight_decay=decay)
        fnn.Trainer(net, optimizer=optimizer, clip_norm=clip_norm).step(x, y)
    for name in ("gamma", "beta"):
        assert_same_bits(*(net.parameters[f"batch_norm_1.{name}"] for net in nets))
    assert not np.array_equal(*(net.parameters["conv2d_1.weight"] for net in nets))


def test_one_value_per_channel_moves_no_statistics():
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(3), fnn.BatchNorm(), fnn.Dense(2, "softmax")], seed=0)
    trainer = fnn.Trainer(net)
    assert math.isfinite(trainer.step(np.ones((1, 2)), [0]))
    assert not net.buffers["batch_norm_1.mean"].any()


def test_a_step_that_is_not_taken_moves_nothing():
    net = small()
    x, y = small_data(8)
    x[2] = np.nan
    before = [values.copy() for values in all_of(net)]
    with pytest.raises(ValueError, match="x has NaN in row 2"):
        fnn.Trainer(net).step(x, y)
    for got, wanted in zip(all_of(net), before, strict=True):
        assert_same_bits(got, wanted)


def test_the_best_of_early_stopping_has_its_statistics():
    x, y = small_data(40)
    net, seen = small(), []

    def remember(epoch, history):
        seen.append([values.copy() for values in all_of(net)])

    stopping = fnn.EarlyStopping(patience=3)
    net.fit(x, y, optimizer=fnn.Adam(0.05), validation=0.25, epochs=40, callbacks=[remember, stopping], seed=0)
    for got, wanted in zip(all_of(net), seen[stopping.best_epoch], strict=True):
        assert_same_bits(got, wanted)
