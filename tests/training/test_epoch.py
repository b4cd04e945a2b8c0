"""Trainer.epoch, which is many steps in few calls, and the state of a trainer."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import ROWS, training_data, training_network
from fnnfast import _cpu
from fnnfast.training import _trainer
from oracles import assert_same_bits, assert_same_networks

OPTIMIZERS = [fnn.SGD(0.1), fnn.SGD(0.1, momentum=0.9), fnn.Adam(0.01), fnn.AdamW(0.01)]


# The same as single steps --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [1, 5, 36, 37, 1000])
@pytest.mark.parametrize("kind", ["classes", "labels", "squares", "gaussian learned"])
def test_an_epoch_is_its_steps(isa, dtype, kind, batch_size, weighted):
    """To the bit in the network; its loss is the mean over rows, by their weights."""
    x, y = training_data(kind)
    order = np.random.default_rng(1).permutation(ROWS)
    w = np.random.default_rng(2).random(ROWS) if weighted else None
    whole, single = (
        fnn.Trainer(training_network(kind, dtype), seed=1),
        fnn.Trainer(training_network(kind, dtype), seed=1),
    )
    loss = whole.epoch(x, y, order, batch_size, w)
    losses, weights = [], []
    for first in range(0, ROWS, batch_size):
        rows = order[first : first + batch_size]
        losses.append(single.step(x[rows], y[rows], None if w is None else w[rows]))
        weights.append(len(rows) if w is None else w[rows].sum())
    assert_same_networks(whole.network, single.network)
    assert loss == pytest.approx(np.average(losses, weights=weights), rel=1e-6 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize(
    "order",
    [
        [3, 1, 2],
        (3, 1, 2),
        np.array([3, 1, 2], np.uint8),
        np.array([3, 1, 2], ">i4"),
        np.array([9, 2, 9, 1, 9, 3])[::-2],
    ],
)
def test_forms_of_order(order):
    x, y = training_data()
    expected, got = fnn.Trainer(training_network(), seed=1), fnn.Trainer(training_network(), seed=1)
    assert expected.epoch(x[[3, 1, 2]], y[[3, 1, 2]], batch_size=2) == got.epoch(x, y, order, batch_size=2)
    assert_same_networks(expected.network, got.network)


def test_an_order_may_leave_rows_out_and_repeat_others():
    x, y = training_data()
    order = [0, 0, 0, 36, 5, 5]
    expected, got = fnn.Trainer(training_network(), seed=1), fnn.Trainer(training_network(), seed=1)
    assert expected.epoch(x[order], y[order], None, 4) == got.epoch(x, y, order, 4)
    assert_same_networks(expected.network, got.network)


def test_defaults():
    """All rows as they come, in batches of 32."""
    x, y = training_data()
    expected, got = fnn.Trainer(training_network(), seed=1), fnn.Trainer(training_network(), seed=1)
    assert expected.epoch(x, y, np.arange(ROWS), 32) == got.epoch(x, y)
    assert_same_networks(expected.network, got.network)


def test_forms_of_data():
    """Images, lists, other dtypes and layouts are prepared once."""
    x, y = training_data()
    expected, got = fnn.Trainer(training_network(), seed=1), fnn.Trainer(training_network(), seed=1)
    loss = expected.epoch(x, y, batch_size=8)
    assert got.epoch(np.asfortranarray(x), np.eye(3)[y], batch_size=8) == loss
    images = fnn.Trainer(
        fnn.Sequential([fnn.Input(2, 2), *training_network().layers[1:]], dtype="float64", seed=0), seed=1
    )
    assert images.epoch(x.reshape(ROWS, 2, 2).tolist(), y.tolist(), batch_size=8) == loss
    assert_same_networks(expected.network, got.network)
    assert_same_networks(expected.network, images.network)


def test_the_learning_rate_of_an_epoch():
    x, y = training_data()
    trainer = fnn.Trainer(training_network(), optimizer=fnn.SGD(0.1))
    trainer.learning_rate = 0.0
    trainer.epoch(x, y)
    assert_same_networks(trainer.network, training_network())
    with pytest.raises(ValueError, match="learning_rate: expected a number >= 0, got -1"):
        trainer.learning_rate = -1
    assert trainer.learning_rate == 0.0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"order": []}, ValueError, r"order: expected a sequence of row numbers, got shape \(0,\) of float64"),
        (
            {"order": np.zeros(0, int)},
            ValueError,
            r"order: expected a sequence of row numbers, got shape \(0,\) of int64",
        ),
        ({"order": 3}, ValueError, r"order: expected a sequence of row numbers, got shape \(\) of int64"),
        ({"order": [[0, 1]]}, ValueError, r"order: expected a sequence of row numbers, got shape \(1, 2\) of int64"),
        ({"order": [0.0, 1.0]}, ValueError, r"order: expected a sequence of row numbers, got shape \(2,\) of float64"),
        ({"order": [True] * ROWS}, ValueError, r"order: expected a sequence of row numbers, got shape \(37,\) of bool"),
        ({"order": ["0"]}, ValueError, r"order: expected a sequence of row numbers, got shape \(1,\) of <U1"),
        ({"order": [0, 37]}, ValueError, "order: expected row numbers 0 to 36, got 0 to 37"),
        ({"order": [-1, 0]}, ValueError, "order: expected row numbers 0 to 36, got -1 to 0"),
        (
            {"order": np.array([2**63], np.uint64)},
            ValueError,
            "order: expected row numbers 0 to 36, got 9223372036854775808",
        ),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size: expected an integer >= 1, got 2.0"),
        ({"batch_size": 2**31}, ValueError, "batch_size: expected an integer <= 2147483647, got 2147483648"),
        ({"x": np.ones((0, 4)), "y": np.zeros(0, int)}, ValueError, "x: expected at least one row, got none"),
        ({"x": np.ones((3, 5))}, ValueError, r"x: expected shape \(B, 4\), got \(3, 5\)"),
        ({"y": np.zeros(3, int)}, ValueError, "y: expected 37 targets, one for each row of x, got 3"),
        ({"sample_weight": np.ones(3)}, ValueError, r"sample_weight: expected shape \(37,\), got \(3,\)"),
    ],
)
def test_invalid_arguments(options, error, message):
    x, y = training_data()
    trainer = fnn.Trainer(training_network())
    with pytest.raises(error, match=message):
        trainer.epoch(**{"x": x, "y": y, **options})
    assert_same_networks(trainer.network, training_network())
    assert trainer.state()["steps"] == 0


# Calls ---------------------------------------------------------------------------------------------------------------
class Spy(_cpu.Trainer):
    """Takes down how many rows each call into compiled code has."""

    calls: list[int]

    def epoch(self, x, targets, learning_rate, rows, weights, batch_size):
        self.calls.append(len(rows))
        return super().epoch(x, targets, learning_rate, rows, weights, batch_size)


def calls_of(monkeypatch, layers, rows, batch_size):
    monkeypatch.setattr(_cpu, "Trainer", Spy)
    Spy.calls = []
    net = fnn.Sequential(layers, seed=0)
    x, y = np.zeros((rows, layers[0].size), np.float32), np.zeros(rows, int)
    fnn.Trainer(net, optimizer="sgd").epoch(x, y, batch_size=batch_size)
    assert sum(Spy.calls) == rows
    return Spy.calls


def test_small_steps_share_a_call(monkeypatch):
    calls = calls_of(monkeypatch, [fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dense(2, "softmax")], 20_000, 10)
    assert len(calls) < 10
    assert all(rows % 10 == 0 for rows in calls)


def test_large_steps_have_a_call_each(monkeypatch):
    """So that Ctrl-C is heard after each; after an epoch of small ones as well."""
    assert calls_of(monkeypatch, [fnn.Input(900), fnn.Dense(900), fnn.Dense(2, "softmax")], 150, 64) == [64, 64, 22]


def test_calls_do_not_show(monkeypatch):
    """How much goes into a call changes no bit of the network."""
    x, y = training_data()
    nets = []
    for call in (1, 25_000, 45_000, 10**5, 10**6, 10**9):
        monkeypatch.setattr(_trainer, "_CALL", call)
        net = training_network()
        history = net.fit(x, y, epochs=3, batch_size=4, seed=0)
        nets.append((net, history))
    for net, history in nets[1:]:
        assert_same_networks(net, nets[0][0])
        np.testing.assert_allclose(history.loss, nets[0][1].loss, rtol=1e-14)


# State ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_trainer_goes_on_from_a_state(dtype, optimizer):
    """With the bits of one that was never put aside: moments, their correction, and what dropout draws."""
    x, y = training_data()
    net = training_network(dtype=dtype)
    trainer = fnn.Trainer(net, optimizer=optimizer, seed=1)
    trainer.epoch(x, y, batch_size=5)
    state, parameters = trainer.state(), dict(net.parameters)
    assert state["steps"] == 8
    later = training_network(dtype=dtype)
    for name, values in parameters.items():
        later.parameters[name] = values
    other = fnn.Trainer(later, optimizer=optimizer, seed=1)
    other.set_state(state)
    for name, values in other.state().items():
        assert_same_bits(values, state[name])
    assert trainer.epoch(x, y, batch_size=5) == other.epoch(x, y, batch_size=5)
    assert_same_networks(net, later)


def test_what_is_in_a_state():
    names = list(training_network().parameters)
    for optimizer, moments in (("sgd", ["first"]), ("adam", ["first", "second"])):
        state = fnn.Trainer(training_network(), optimizer=optimizer).state()
        assert list(state) == ["steps", *(f"{moment}.{name}" for moment in moments for name in names)]
        assert state["steps"] == 0
        assert not any(values.any() for values in state.values())
    trainer = fnn.Trainer(training_network(), optimizer=fnn.SGD(0.1, momentum=0.5), seed=1)
    grads = trainer.gradients(*training_data())
    trainer.step(*training_data())
    for name, grad in grads.items():
        np.testing.assert_allclose(trainer.state()[f"first.{name}"], grad, rtol=1e-14)
    before = trainer.state()
    trainer.state()["first.dense_1.bias"][...] = 7  # a copy
    assert_same_bits(trainer.state()["first.dense_1.bias"], before["first.dense_1.bias"])


def changed(**changes):
    state = fnn.Trainer(training_network()).state()
    return {name: value for name, value in {**state, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ({}, ValueError, "state: expected entries for steps, first.dense_1.weight, .*, got $"),
        (changed(steps=None), ValueError, "state: expected entries for steps, .*, got first.dense_1.weight, "),
        (changed(more=3), ValueError, "state: expected entries for steps, .*, more$"),
        (
            changed(**{"first.dense_1.bias": np.zeros(8)}),
            ValueError,
            r"dense_1.bias: expected shape \(9,\), got \(8,\)",
        ),
        (changed(**{"second.dense_1.bias": np.zeros(9, complex)}), TypeError, "dense_1.bias: expected .* real numbers"),
        (changed(steps=-1), ValueError, "steps: expected an integer >= 0, got -1"),
        (changed(steps=1.5), TypeError, "steps: expected an integer >= 0, got 1.5"),
        (changed(steps=np.zeros(2)), TypeError, r"steps: expected an integer >= 0, got \[0.0, 0.0\]"),
        (fnn.Trainer(training_network(), optimizer="sgd").state(), ValueError, "state: expected entries for .*second"),
    ],
)
def test_invalid_states(state, error, message):
    trainer = fnn.Trainer(training_network(), seed=1)
    trainer.step(*training_data())
    before = trainer.state()
    with pytest.raises(error, match=message):
        trainer.set_state(state)
    for name, values in before.items():
        assert_same_bits(trainer.state()[name], values)
