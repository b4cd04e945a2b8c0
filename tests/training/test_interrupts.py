"""Ctrl-C in training, wherever it comes: the history so far, lists of equal length, and everything begun is ended."""

import sys

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast._network.network import Network
from fnnfast.training import _loop, _progress
from oracles import assert_same_bits

X, Y = np.ones((8, 2), np.float32), np.array([0, 1] * 4)


def network():
    return fnn.Sequential([fnn.Input(2), fnn.Dense(2, "softmax")], seed=0)


class Display(_progress.Silent):
    closed = 0

    def close(self):
        self.closed += 1


class Witness:
    """A callback that counts what it is told."""

    def __init__(self):
        self.told = []

    def start(self, network):
        self.told.append("start")

    def __call__(self, epoch, history):
        self.told.append(epoch)

    def finish(self, network):
        self.told.append("finish")


def interrupting(function, after):
    """The function, with Ctrl-C in the call after that many."""
    calls = 0

    def call(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return call


@pytest.mark.parametrize(
    ("owner", "name", "after", "epochs", "told"),
    [
        (_loop, "prepare", 0, 0, []),
        (_loop, "hold_out", 0, 0, []),
        (_progress, "choose", 0, 0, []),
        (Witness, "start", 0, 0, []),
        (Witness, "start", 1, 0, ["start", "finish"]),
        (Display, "steps", 0, 0, ["start", "start", "finish", "finish"]),
        (Network, "_measure", 1, 1, ["start", "start", 0, 0, "finish", "finish"]),
        (Display, "epoch", 1, 2, ["start", "start", 0, 0, "finish", "finish"]),
        (Witness, "__call__", 3, 2, ["start", "start", 0, 0, 1, "finish", "finish"]),
        (Display, "close", 0, 3, ["start", "start", 0, 0, 1, 1, 2, 2, "finish", "finish"]),
        (Witness, "finish", 1, 3, ["start", "start", 0, 0, 1, 1, 2, 2, "finish"]),
    ],
)
def test_an_interrupt_anywhere(monkeypatch, owner, name, after, epochs, told):
    display, witness = Display(), Witness()
    monkeypatch.setattr(_progress, "choose", lambda *_: display)
    monkeypatch.setattr(owner, name, interrupting(getattr(owner, name), after))
    history = network().fit(X, Y, epochs=3, batch_size=2, validation=0.25, callbacks=[witness, witness], seed=0)
    assert history.stopped == "interrupted"
    assert len(history.loss) == len(history.validation_loss) == len(history.validation_accuracy) == epochs
    assert len(history.learning_rate) == epochs
    assert witness.told == told
    assert display.closed == (bool(told) or name == "start") - (name == "close")


def test_finish_is_for_those_that_were_started():
    def refuse(network):
        raise ZeroDivisionError

    first, second, third = Witness(), Witness(), Witness()
    second.start = refuse
    with pytest.raises(ZeroDivisionError):
        network().fit(X, Y, callbacks=[first, second, third])
    assert (first.told, second.told, third.told) == (["start", "finish"], [], [])


def test_an_epoch_is_recorded_as_a_whole():
    """Ctrl-C before the first bytecode of record, before the second, and so on to the end."""
    values = {"loss": 1.0, "validation_loss": 2.0, "learning_rate": 3.0}
    layers = {"dead": {"dense_1": 0.1, "dense_2": 0.2}}
    source, lengths = fnn.History.record.__code__.co_filename, []
    for place in range(1000):
        history, seen = fnn.History(), 0

        def trace(frame, event, _, place=place):
            nonlocal seen
            if frame.f_code.co_filename != source:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                seen += 1
                if seen > place:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            history.record(layers, **values)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        of_layers = [history.dead.get(layer, []) for layer in layers["dead"]]
        lengths.append({len(found) for found in (*(getattr(history, name) for name in values), *of_layers)})
        if seen <= place:
            break
    assert all(length in ({0}, {1}) for length in lengths)
    assert lengths[0] == {0}
    assert lengths[-1] == {1}


# EarlyStopping -------------------------------------------------------------------------------------------------------
class Numbered:
    """As much of a network as early stopping sees: one parameter, that may be interrupted when read or written."""

    def __init__(self):
        self._state = {"a": 0, "b": 0}


class Interrupting(dict):
    def __iter__(self):
        raise KeyboardInterrupt

    keys = __iter__


class InterruptingOnce(dict):
    interrupted = False

    def __setitem__(self, name, value):
        if self and not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt
        super().__setitem__(name, value)


def history_of(*losses):
    history = fnn.History()
    for loss in losses:
        history.record(loss=loss)
    return history


def test_an_interrupt_while_the_best_is_copied():
    stopping, net = fnn.EarlyStopping(), Numbered()
    stopping.start(net)
    stopping(0, history_of(3.0))
    net._state = Interrupting(a=1, b=1)
    with pytest.raises(KeyboardInterrupt):
        stopping(1, history_of(3.0, 2.0))
    assert stopping.best_epoch == 0
    net._state = {"a": 1, "b": 1}
    assert not stopping(2, history_of(3.0, 2.0, 2.5))  # better than the best that was noted
    assert stopping.best_epoch == 2


def test_an_interrupt_while_the_best_is_restored():
    stopping, net = fnn.EarlyStopping(), Numbered()
    stopping.start(net)
    stopping(0, history_of(3.0))
    net._state = InterruptingOnce(a=1, b=1)
    with pytest.raises(KeyboardInterrupt):
        stopping.finish(net)
    assert net._state == {"a": 0, "b": 0}


def test_early_stopping_that_was_never_started():
    stopping, net = fnn.EarlyStopping(patience=1), network()
    before = dict(net.parameters)
    assert not stopping(0, history_of(3.0))
    assert stopping(1, history_of(3.0, 4.0))
    stopping.finish(net)
    stopping.start(fnn.Sequential(net.layers, seed=1))
    stopping(0, history_of(3.0))
    stopping.start(net)
    stopping.finish(net)  # what it remembers of another training is gone
    for name, values in before.items():
        assert_same_bits(net.parameters[name], values)


def test_an_interrupt_before_early_stopping_starts_again(monkeypatch):
    """What it remembers of one network is not given to the next."""
    stopping = fnn.EarlyStopping()
    network().fit(X, Y, epochs=2, callbacks=[stopping])
    monkeypatch.setattr(Witness, "start", interrupting(Witness.start, 0))
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(2, "softmax")], seed=1)
    before = dict(net.parameters)
    assert net.fit(X, Y, callbacks=[Witness(), stopping]).stopped == "interrupted"
    for name, values in before.items():
        assert_same_bits(net.parameters[name], values)
