"""Schedules of the learning rate: what they multiply it by, one after the other, and what training makes of it."""

import math

import numpy as np
import pytest

import fnnfast as fnn
from oracles import assert_same_bits

X = np.random.default_rng(0).standard_normal((12, 3))
Y = np.arange(12) % 2


def network():
    return fnn.Sequential([fnn.Input(3), fnn.Dense(4, "tanh"), fnn.Dense(2, "softmax")], dtype="float64", seed=0)


def factors(schedule, epochs):
    return [schedule(epoch) for epoch in range(epochs)]


def test_warmup_rises_to_1_and_stays():
    assert factors(fnn.Warmup(4), 7) == [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1, 1]
    assert factors(fnn.Warmup(1), 3) == [1 / 2, 1, 1]


@pytest.mark.parametrize(
    "schedule",
    [fnn.StepDecay(2, 0.5), fnn.ExponentialDecay(0.9), fnn.CosineDecay(5, final=0.1), lambda epoch: 2.0 - epoch / 10],
    ids=["step", "exponential", "cosine", "callable"],
)
def test_what_follows_warmup_counts_from_its_end(schedule):
    warm = fnn.Warmup(3, schedule)
    assert factors(warm, 3) == [1 / 4, 2 / 4, 3 / 4]
    assert [warm(epoch) for epoch in range(3, 12)] == factors(schedule, 9)


def test_warmup_then_cosine_has_no_jumps():
    values = np.array(factors(fnn.Warmup(10, fnn.CosineDecay(90)), 101))
    assert np.abs(np.diff(values)).max() <= 1 / 11 + 1e-12
    assert values.argmax() == 10
    assert values[10] == 1
    assert values[100] == pytest.approx(0, abs=1e-15)
    assert (np.diff(values[:11]) > 0).all()
    assert (np.diff(values[10:]) < 0).all()


def test_schedules_in_schedules():
    """A warm-up after a warm-up begins again at the bottom."""
    nested = fnn.Warmup(2, fnn.Warmup(1, fnn.StepDecay(1, 0.1)))
    np.testing.assert_allclose(factors(nested, 6), [1 / 3, 2 / 3, 1 / 2, 1, 0.1, 0.01], rtol=1e-14)


def test_far_from_the_beginning():
    assert fnn.CosineDecay(10, final=0.25)(10**9) == 0.25
    assert fnn.StepDecay(10)(10**5) == 0.0
    assert fnn.ExponentialDecay(1.0)(10**9) == 1.0
    assert fnn.Warmup(10**9)(0) == 1 / (10**9 + 1)
    assert fnn.StepDecay(1, 2.0)(10) == 1024  # it may also grow


def test_a_schedule_multiplies_the_learning_rate():
    """Each epoch is to the bit one of a trainer with that learning rate."""
    schedule = fnn.Warmup(2, fnn.ExponentialDecay(0.5))
    net, twin = network(), network()
    history = net.fit(X, Y, optimizer=fnn.SGD(0.8, momentum=0.5), epochs=5, batch_size=12, schedule=schedule, seed=0)
    expected = [0.8 * factor for factor in factors(schedule, 5)]
    assert history.learning_rate == expected
    trainer = fnn.Trainer(twin, optimizer=fnn.SGD(0.8, momentum=0.5))
    losses = []
    for rate in expected:
        trainer.learning_rate = rate
        losses.append(trainer.step(X, Y))
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    for name, values in twin.parameters.items():
        np.testing.assert_allclose(net.parameters[name], values, rtol=1e-10)


def test_decoupled_weight_decay_follows_the_schedule():
    """AdamW takes the learning rate times the decay: no rate, no decay."""
    net, twin = network(), network()
    net.fit(X, Y, optimizer=fnn.AdamW(0.1, weight_decay=5), epochs=3, schedule=lambda epoch: 0.0, seed=0)
    for name, values in twin.parameters.items():
        assert_same_bits(net.parameters[name], values)


def test_a_schedule_sees_every_epoch_once():
    seen = []
    network().fit(X, Y, epochs=4, schedule=lambda epoch: seen.append(epoch) or 1.0)
    assert seen == [0, 1, 2, 3]
    assert all(type(epoch) is int for epoch in seen)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.Warmup(0), ValueError, "epochs: expected an integer >= 1, got 0"),
        (lambda: fnn.Warmup(2.5), TypeError, "epochs: expected an integer >= 1, got 2.5"),
        (lambda: fnn.Warmup(2, 0.5), TypeError, "schedule: expected None or a callable, got 0.5"),
        (lambda: fnn.Warmup(2, "cosine"), TypeError, "schedule: expected None or a callable, got 'cosine'"),
        (lambda: fnn.CosineDecay(0), ValueError, "epochs: expected an integer >= 1, got 0"),
        (lambda: fnn.CosineDecay(5, -0.1), ValueError, "final: expected a number >= 0, got -0.1"),
        (lambda: fnn.StepDecay(0), ValueError, "every: expected an integer >= 1, got 0"),
        (lambda: fnn.StepDecay(3, 0), ValueError, "factor: expected a number > 0, got 0"),
        (lambda: fnn.ExponentialDecay(math.nan), ValueError, "factor: expected a number > 0, got nan"),
    ],
)
def test_invalid_schedules(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        (0.5, TypeError, "schedule: expected None or a callable, got 0.5"),
        (lambda epoch: -1.0, ValueError, "schedule: expected a number >= 0, got -1.0"),
        (lambda epoch: math.nan, ValueError, "schedule: expected a number >= 0, got nan"),
        (lambda epoch: None, TypeError, "schedule: expected a number >= 0, got None"),
        (fnn.Warmup(1, lambda epoch: "much"), TypeError, "schedule: expected a number >= 0, got 'much'"),
    ],
)
def test_invalid_schedules_in_fit(schedule, error, message):
    with pytest.raises(error, match=message):
        network().fit(X, Y, epochs=3, schedule=schedule)


def test_schedules_are_values():
    schedules = [fnn.Warmup(2), fnn.Warmup(3), fnn.Warmup(2, fnn.CosineDecay(3)), fnn.Warmup(2, fnn.CosineDecay(4))]
    for schedule in schedules:
        assert eval(repr(schedule), vars(fnn)) == schedule
    assert len(set(schedules)) == 4
