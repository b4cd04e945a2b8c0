"""What ends a long call from outside: Ctrl-C soon, in every call that can take long, and the end of the process."""

import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import fnnfast as fnn

pytestmark = pytest.mark.slow


def longest(times):
    """The longest that a signal may have to wait, in processor time of all threads: more on a slow machine."""
    return max(0.5, (times[-1] - times[0]) / 3)


def networks():
    """One with much to multiply, one with many values."""
    wide = fnn.Sequential([fnn.Input(784), fnn.Dense(1024, "gelu"), fnn.Dense(1024, "relu"), fnn.Dense(10, "softmax")])
    return wide, fnn.Sequential([fnn.Input(2), fnn.Dense(20, "tanh"), fnn.Dense(1, "sigmoid")])


CALLS = {
    "call": lambda net, x, y: net(x),
    "logits": lambda net, x, y: net.logits(x),
    "predict": lambda net, x, y: net.predict(x),
    "evaluate": lambda net, x, y: net.evaluate(x, y),
    "bfloat16": lambda net, x, y: net.astype("bfloat16")(x),
    "int8": lambda net, x, y: net.quantize(x[:100])(x),
    "ensemble": lambda net, x, y: fnn.Ensemble([net, net])(x),
    "fit": lambda net, x, y: net.fit(x, y, epochs=1, batch_size=len(x)),
    "validation": lambda net, x, y: net.fit(x[:64], y[:64], epochs=1, validation=(x, y)),
    "clipped fit": lambda net, x, y: net.fit(x, y, epochs=1, batch_size=len(x), clip_norm=1.0),
    "step": lambda net, x, y: fnn.Trainer(net).step(x, y),
    "gradients": lambda net, x, y: fnn.Trainer(net).gradients(x, y),
}
WEIGHT = 2048
OPERATIONS = {
    "dense": lambda x, w: fnn.dense(x, w, activation="gelu"),
    "dense_forward": lambda x, w: fnn.dense_forward(x, w, activation="gelu"),
    "dense_backward": lambda x, w: fnn.dense_backward(x, x, w, x, "tanh"),
    "maxout": lambda x, w: fnn.maxout(x, w.reshape(2, WEIGHT, WEIGHT // 2)),
    "maxout_backward": lambda x, w: fnn.maxout_backward(
        x[:, : WEIGHT // 2], x, w.reshape(2, WEIGHT, -1), np.zeros((len(x), WEIGHT // 2), np.uint8)
    ),
    "activation": lambda x, w: [fnn.GELU()(x) for _ in range(3)],
    "derivative": lambda x, w: [fnn.GELU().derivative(x) for _ in range(3)],
}


@pytest.fixture
def gaps():
    """How long the handler of a signal that comes every 5 ms had to wait, at most, in a call: processor time."""

    def measure(call):
        times = [time.process_time()]
        before = signal.signal(signal.SIGALRM, lambda *_: times.append(time.process_time()))
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        try:
            call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return [*times, time.process_time()]

    return measure


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("size", [pytest.param("wide", marks=pytest.mark.long), "small"])
def test_a_signal_is_handled_soon(gaps, name, size):
    net, rows = (networks()[0], 20_000) if size == "wide" else (networks()[1], 4_000_000)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((rows, net.input.size), np.float32), rng.integers(0, 2, rows)
    times = gaps(lambda: CALLS[name](net, x, y))
    assert len(times) > 3, "too short to say anything"
    assert max(np.diff(times)) < longest(times)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_signal_is_handled_soon_in_operations(gaps, name):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((20_000, WEIGHT), np.float32), rng.standard_normal((WEIGHT, WEIGHT), np.float32)
    times = gaps(lambda: OPERATIONS[name](x, w))
    assert max(np.diff(times)) < longest(times)


def interrupted(call, after=0.5):
    """What a call does whose signal handler raises after that many seconds."""

    def stop(*_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_an_interrupted_step_changes_nothing(clip_norm):
    net = networks()[0]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60_000, 784), np.float32), rng.integers(0, 10, 60_000)
    trainer = fnn.Trainer(net, clip_norm=clip_norm, seed=0)
    trainer.step(x[:100], y[:100])
    before, state = dict(net.parameters), trainer.state()
    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: trainer.step(np.tile(x, (4, 1)), np.tile(y, 4)))
    for name, values in net.parameters.items():
        np.testing.assert_array_equal(values, before[name])
    for name, values in trainer.state().items():
        np.testing.assert_array_equal(values, state[name])
    trainer.step(x[:100], y[:100])  # and it goes on


def test_an_interrupted_step_over_whole_batches_changes_nothing():
    """With batch normalization, gradients of late layers are ready while those of early ones are not begun."""
    hidden = [layer for _ in range(3) for layer in (fnn.Dense(40), fnn.BatchNorm(), fnn.Activation("tanh"))]
    net = fnn.Sequential([fnn.Input(2), *hidden, fnn.Dense(1, "sigmoid")], seed=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((500_000, 2), np.float32), rng.integers(0, 2, 500_000)
    trainer = fnn.Trainer(net, seed=0)
    trainer.step(x, y)
    started = time.perf_counter()
    trainer.step(x, y)
    whole = time.perf_counter() - started
    ended = 0
    for part in np.linspace(0.1, 0.95, 18):
        before = {**net.parameters, **net.buffers}
        try:
            interrupted(lambda: trainer.step(x, y), after=part * whole)
        except KeyboardInterrupt:
            ended += 1
            for name, values in {**net.parameters, **net.buffers}.items():
                np.testing.assert_array_equal(values, before[name])
    assert ended > 5


def test_all_of_fit_many_end():
    nets = [networks()[0] for _ in range(3)]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60_000, 784), np.float32), rng.integers(0, 10, 60_000)
    started = time.process_time()
    histories = interrupted(lambda: fnn.fit_many(nets, x, y, epochs=20, batch_size=len(x)))
    assert [history.stopped for history in histories] == ["interrupted"] * 3
    assert time.process_time() - started < 20  # all epochs take some hundred


# The end of the process ----------------------------------------------------------------------------------------------
EXITS = {
    "call": "net(x)",
    "fit": "net.fit(x, y, epochs=1, batch_size=len(x))",
    "dense": "fnn.dense(x, np.ones((784, 3000), np.float32))",
    "int8": "low(x)",
}


@pytest.mark.parametrize("call", EXITS)
@pytest.mark.parametrize("run", range(5))
def test_a_daemon_thread_in_a_kernel_does_not_change_the_exit_code(call, run):
    code = f"""
        import sys, threading, time
        import numpy as np
        import fnnfast as fnn

        net = fnn.Sequential([fnn.Input(784), fnn.Dense(1024, "gelu"), fnn.Dense(10, "softmax")], seed=0)
        x = np.random.default_rng(0).standard_normal((500, 784), np.float32)
        y = np.zeros(len(x), int)
        low = net.quantize(x[:10])

        def work():
            while True:
                {EXITS[call]}

        for _ in range(2):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.3)
        sys.exit(7)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=120, check=False).returncode == 7
