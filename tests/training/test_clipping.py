"""Clipping by the norm of all gradients together."""

import itertools

import numpy as np
import pytest

import fnnfast as fnn
from factories import ROWS, training_data, training_network
from fnnfast import _cpu
from oracles import assert_same_networks, eps

OPTIMIZERS = [
    fnn.SGD(0.1),
    fnn.SGD(0.1, momentum=0.9, nesterov=True),
    fnn.Adam(0.01),
    fnn.AdamW(0.01, weight_decay=0.5),
]


def norm(grads):
    """Of all gradients together: weights, biases and slopes."""
    return float(np.sqrt(sum((grad.astype(float) ** 2).sum() for grad in grads.values())))


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_step_is_gradients_and_apply(dtype, optimizer, l2):
    """To the bit, above the norm and below it."""
    norms = norm(fnn.Trainer(training_network(dtype=dtype), seed=1).gradients(*training_data(dtype=dtype)))
    for clip_norm in (norms / 10, norms * 10):
        settings = {"optimizer": optimizer, "l2": l2, "clip_norm": clip_norm, "seed": 1}
        whole, halves = (
            fnn.Trainer(training_network(dtype=dtype), **settings),
            fnn.Trainer(training_network(dtype=dtype), **settings),
        )
        for seed in range(3):
            batch = training_data(rows=30 + seed, dtype=dtype, seed=seed)
            loss, grads = halves.loss_and_gradients(*batch)
            halves.apply(grads)
            assert whole.step(*batch) == loss
            assert_same_networks(whole.network, halves.network)


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_scaled_by_hand(isa, optimizer, l2):
    """Clipping comes before l2 and the optimizer's states: as if the gradients had been handed in shorter."""
    clip_norm = 0.05
    clipped = fnn.Trainer(training_network(), optimizer=optimizer, l2=l2, clip_norm=clip_norm, seed=1)
    plain = fnn.Trainer(training_network(), optimizer=optimizer, l2=l2, seed=1)
    shortened = 0
    for seed in range(4):
        batch = training_data(seed=seed)
        clipped.step(*batch)
        grads = plain.gradients(*batch)
        scale = min(1.0, clip_norm / norm(grads))
        shortened += scale < 1
        plain.apply({name: grad * scale for name, grad in grads.items()})
        for name, values in plain.network.parameters.items():
            np.testing.assert_allclose(clipped.network.parameters[name], values, rtol=1e-10, atol=1e-13, err_msg=name)
    assert shortened == 4


def test_the_norm_of_a_plain_step(isa, dtype):
    """Stochastic gradient descent with a rate of 1 moves by the gradient itself, of the norm it is cut to."""
    net = training_network(dtype=dtype)
    before, trainer = dict(net.parameters), fnn.Trainer(net, optimizer=fnn.SGD(1.0), clip_norm=0.25, seed=1)
    grads = trainer.gradients(*training_data(dtype=dtype))
    assert norm(grads) > 0.25
    trainer.step(*training_data(dtype=dtype))
    moved = {name: values - before[name] for name, values in net.parameters.items()}
    assert norm(moved) == pytest.approx(0.25, rel=2e3 * eps(dtype))
    for name, values in moved.items():  # in the same direction
        np.testing.assert_allclose(values, -grads[name] * 0.25 / norm(grads), atol=8 * eps(dtype) * 2)


def test_below_the_norm_nothing_is_scaled(dtype):
    """The bits of a training without clipping."""
    clipped, plain = training_network(dtype=dtype), training_network(dtype=dtype)
    settings = {"epochs": 2, "batch_size": 7, "seed": 0, "l2": 0.01}
    one = clipped.fit(*training_data(dtype=dtype), clip_norm=1e6, **settings)
    other = plain.fit(*training_data(dtype=dtype), **settings)
    assert one.loss == other.loss
    assert_same_networks(clipped, plain)


def test_at_the_norm_itself():
    """A single weight, so that the norm is the gradient: not longer, not scaled."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], dtype="float64")
    net.parameters["dense_1.weight"] = [[3.0]]
    net.parameters["dense_1.bias"] = [0.0]
    grads = fnn.Trainer(net, optimizer="sgd").gradients([[0.0]], [4.0])
    assert norm(grads) == 8.0  # of the bias: 2 (0 - 4)
    for clip_norm, expected in ((8.0, 8.0), (4.0, 4.0), (100.0, 8.0)):
        net.parameters["dense_1.bias"] = [0.0]
        fnn.Trainer(net, optimizer=fnn.SGD(1.0), clip_norm=clip_norm).step([[0.0]], [4.0])
        assert net.parameters["dense_1.bias"] == [expected]


@pytest.mark.parametrize("frozen", [("dense_1",), ("residual_1.maxout_1", "dense_3")], ids="+".join)
def test_frozen_layers_are_not_in_the_norm(frozen):
    net, twin = training_network(), training_network()
    net.freeze(*frozen)
    trainer, plain = (
        fnn.Trainer(net, optimizer="sgd", clip_norm=0.1, seed=1),
        fnn.Trainer(twin, optimizer="sgd", seed=1),
    )
    grads = trainer.gradients(*training_data())
    assert norm(grads) < norm(plain.gradients(*training_data()))
    trainer.step(*training_data())
    plain.apply({name: grad * 0.1 / norm(grads) for name, grad in grads.items()})
    for name, values in twin.parameters.items():
        np.testing.assert_allclose(net.parameters[name], values, rtol=1e-12, atol=1e-15)


def test_weights_of_rows_are_in_the_norm():
    net, twin = training_network(), training_network()
    w = np.random.default_rng(0).random(ROWS)
    trainer, plain = (
        fnn.Trainer(net, optimizer="sgd", clip_norm=0.1, seed=1),
        fnn.Trainer(twin, optimizer="sgd", seed=1),
    )
    trainer.step(*training_data(), w)
    grads = plain.gradients(*training_data(), w)
    plain.apply({name: grad * 0.1 / norm(grads) for name, grad in grads.items()})
    for name, values in twin.parameters.items():
        np.testing.assert_allclose(net.parameters[name], values, rtol=1e-12, atol=1e-15)


def test_threads_and_instruction_sets_do_not_show(machine_restored, dtype):
    """The norm decides over every weight: it has one bit pattern."""
    x = np.random.default_rng(0).standard_normal((300, 40)).astype(dtype)
    seen = set()
    for isa, threads in itertools.product(_cpu.isas(), (1, 2, 3)):
        _cpu.use_isa(isa)
        fnn.set_num_threads(threads)
        layers = [fnn.Dense(65, "prelu"), fnn.Maxout(33, pieces=3), fnn.Dense(3, "softmax")]
        net = fnn.Sequential([fnn.Input(40), *layers], dtype=dtype, seed=0)
        history = net.fit(x, np.arange(300) % 3, epochs=2, batch_size=150, clip_norm=0.05, seed=0)
        seen.add((tuple(history.loss), *(values.tobytes() for values in net.parameters.values())))
    assert len(seen) == 1


def test_clipping_tames_a_step_that_would_diverge():
    """Squared error of large targets: with this learning rate it grows without end, clipped it falls."""
    x = np.random.default_rng(0).standard_normal((64, 4))
    y = 100 * x.sum(axis=1)

    def losses(clip_norm):
        net = fnn.Sequential([fnn.Input(4), fnn.Dense(16, "tanh"), fnn.Dense(1)], dtype="float64", seed=0)
        return net.fit(x, y, optimizer=fnn.SGD(1.0), epochs=20, clip_norm=clip_norm, seed=0).loss

    assert not losses(None)[-1] < 1e6
    assert losses(1.0)[-1] < losses(1.0)[0]


@pytest.mark.parametrize(
    ("clip_norm", "error", "message"),
    [
        (0, ValueError, "clip_norm: expected a number > 0, got 0"),
        (-1.0, ValueError, "clip_norm: expected a number > 0, got -1.0"),
        (np.nan, ValueError, "clip_norm: expected a number > 0, got nan"),
        (np.inf, ValueError, "clip_norm: expected a number > 0, got inf"),
        (True, TypeError, "clip_norm: expected a number > 0, got True"),
        ("1", TypeError, "clip_norm: expected a number > 0, got '1'"),
        (1e39, ValueError, r"clip_norm: expected a number in float32's range, got 1e\+39"),
    ],
)
def test_invalid_norms(clip_norm, error, message):
    net = training_network(dtype="float32")
    for call in (lambda: fnn.Trainer(net, clip_norm=clip_norm), lambda: net.fit(*training_data(), clip_norm=clip_norm)):
        with pytest.raises(error, match=message):
            call()


def test_a_gradient_whose_square_overflows(isa):
    """It is scaled down as any other."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], seed=0)
    before = net.parameters["dense_1.bias"].copy()
    fnn.Trainer(net, optimizer=fnn.SGD(1.0), clip_norm=1.0).step([[1.0]], [1e25])
    np.testing.assert_allclose(net.parameters["dense_1.bias"] - before, np.sqrt(0.5), rtol=1e-5)


def test_nothing_to_train():
    """With every layer frozen the compiled trainer has nothing to do, and does it."""
    net = fnn.Sequential([fnn.Input(40), fnn.Dense(300, "relu"), fnn.Dense(3, "softmax")], seed=0)
    core = _cpu.Trainer(net._network, "categorical_cross_entropy", "sgd", {}, 0, None, [0, 1])
    core.step(np.ones((4000, 40), np.float32), np.zeros(4000, np.int64), 0.1)
