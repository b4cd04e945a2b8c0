"""Many networks side by side: each as if it were alone."""

import concurrent.futures
import threading

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.training import _progress
from oracles import assert_same_bits

pytestmark = pytest.mark.usefixtures("machine_restored")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 90)
WIDTHS = (3, 17, 8, 40, 5)


def networks():
    layers = [[fnn.Input(6), fnn.Dense(width, "tanh"), fnn.Dropout(0.2), fnn.Dense(3, "softmax")] for width in WIDTHS]
    return [fnn.Sequential(of_one, seed=i) for i, of_one in enumerate(layers)]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_as_alone(threads):
    fnn.set_num_threads(threads)
    settings = {
        "optimizer": [fnn.Adam(0.01), "sgd", fnn.SGD(0.1, momentum=0.5), "adamw", "adam"],
        "epochs": [2, 3, 4, 2, 3],
        "batch_size": (16, 32, 90, 7, 16),
        "l2": [0.0, 0.1, 0.0, 0.01, 0.0],
        "seed": [5, 6, 7, 8, 9],
        "clip_norm": [None, 1.0, 0.1, None, None],
        "schedule": [None, fnn.StepDecay(1), None, None, fnn.Warmup(2)],
    }
    together, alone = networks(), networks()
    histories = fnn.fit_many(together, X, Y, validation=0.2, **settings)
    for i, net in enumerate(alone):
        own = {name: values[i] for name, values in settings.items()}
        history = net.fit(X, Y, validation=0.2, progress=False, **own)
        assert vars(histories[i]) == vars(history)
        for name, values in net.parameters.items():
            assert_same_bits(together[i].parameters[name], values)


def test_one_setting_is_for_all():
    together, alone = networks(), networks()
    fnn.fit_many(together, X, Y, epochs=2, seed=3, class_weight={1: 2.0}, sample_weight=np.arange(90))
    for one, other in zip(together, alone, strict=True):
        other.fit(X, Y, epochs=2, seed=3, class_weight={1: 2.0}, sample_weight=np.arange(90), progress=False)
        assert_same_bits(one.parameters["dense_1.weight"], other.parameters["dense_1.weight"])


def test_callbacks_of_each():
    heard = {i: [] for i in range(len(WIDTHS))}

    def callbacks(i):
        return [lambda epoch, history: heard[i].append(epoch) or (i == 2 and epoch == 1)]

    histories = fnn.fit_many(networks(), X, Y, epochs=4, callbacks=callbacks)
    assert heard == {i: [0, 1] if i == 2 else [0, 1, 2, 3] for i in heard}
    assert [history.stopped for history in histories] == ["completed", "completed", "early", "completed", "completed"]


def test_an_interrupt_ends_all(monkeypatch):
    """Ctrl-C reaches the thread that waits; those that train are told."""
    training = threading.Event()

    def interrupted(*_, **__):
        training.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.wait", interrupted)

    def callbacks(i):
        return [lambda epoch, history: training.set()]

    histories = fnn.fit_many(networks(), X, Y, epochs=10**6, callbacks=callbacks)
    assert {history.stopped for history in histories} == {"interrupted"}


@pytest.mark.parametrize("submitted", [0, 1, 2])
def test_an_interrupt_while_the_trainings_are_begun(monkeypatch, submitted):
    """On a busy machine, starting a thread takes as long as Ctrl-C: the others are not trained to their end."""
    submit, calls = concurrent.futures.ThreadPoolExecutor.submit, []

    def interrupted(pool, *arguments):
        calls.append(arguments)
        if len(calls) == submitted + 1:
            raise KeyboardInterrupt
        return submit(pool, *arguments)

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", interrupted)
    nets = [fnn.Sequential([fnn.Input(3), fnn.Dense(2, "softmax")], seed=seed) for seed in range(3)]
    x, y = np.zeros((10, 3)), np.zeros(10, int)
    histories = fnn.fit_many(nets, x, y, epochs=10**9, progress=False)
    assert [history.stopped for history in histories] == ["interrupted"] * 3


def test_an_error_in_one_ends_all():
    epochs, done = 50_000, [0] * len(WIDTHS)  # some seconds of each, if they were not stopped

    def callbacks(i):
        def fail(epoch, history):
            done[i] = epoch + 1
            if i == 3:  # the widest, which begins first
                raise ZeroDivisionError

        return [fail]

    with pytest.raises(ZeroDivisionError):
        fnn.fit_many(networks(), X, Y, epochs=epochs, callbacks=callbacks)
    assert max(done) < epochs


def test_progress_counts_the_epochs_of_all(monkeypatch):
    class Display(_progress.Silent):
        count = closed = 0

        def steps(self, count):
            self.count += count

        def close(self):
            self.closed += 1

    display = Display()
    monkeypatch.setattr(_progress, "choose", lambda progress, *_: progress if progress is not None else display)
    fnn.fit_many(networks(), X, Y, epochs=[1, 2, 3, 4, 5])
    assert (display.count, display.closed) == (15, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"networks": networks()[0]}, TypeError, "networks: expected a sequence of Sequential"),
        ({"networks": networks()[:1] * 2}, ValueError, "different networks, got the same one more than once"),
        ({"l2": [0.1]}, ValueError, "l2: expected one setting, or one for each of 5 networks, got 1"),
        ({"l2": [0.1] * 6}, ValueError, "l2: expected one setting, or one for each of 5 networks, got 6"),
        ({"epochs": -1}, ValueError, "epochs: expected an integer >= 0"),
        ({"callbacks": [print]}, TypeError, "callbacks: expected None or a callable"),
        ({"optimizer": "adan"}, ValueError, "did you mean 'adam'"),
        ({"x": X[:, :2]}, ValueError, "x: expected shape"),
    ],
)
def test_invalid_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        fnn.fit_many(**{"networks": networks(), "x": X, "y": Y, **arguments})


def test_no_networks():
    assert fnn.fit_many([], X, Y) == []
