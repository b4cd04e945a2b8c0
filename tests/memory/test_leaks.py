"""Resident memory over a million calls in all: after a warm-up it stays, whether calls answer or raise."""

import gc
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STATM = Path("/proc/self/statm")
GROWTH = 400 * 1024
"""Bytes: a leak of one object of the smallest size in every call is 16 times as much in 400,000 calls."""

X, W, B = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32), np.ones(4, np.float32)
IMAGES, FILTERS = np.ones((1, 4, 4, 2), np.float32), np.ones((2, 2, 2, 3), np.float32)
Y = np.array([0, 1])
OUT = np.zeros((2, 4), np.float32)
NET = fnn.Sequential([fnn.Input(3), fnn.Dense(4, "tanh"), fnn.Dense(2, "softmax")], seed=0)
TRAINER = fnn.Trainer(fnn.Sequential([fnn.Input(3), fnn.Dense(4, "tanh"), fnn.Dense(2, "softmax")], seed=0))
BFLOAT16, INT8 = NET.astype("bfloat16"), NET.quantize(X)
TANH = fnn.Tanh()
SAVED = fnn.dense_forward(X, W, B, "tanh")[1]


def refused(call, error=ValueError):
    def attempt():
        try:
            call()
        except error:
            return
        raise AssertionError("took what is of no use")

    return attempt


def saved_and_loaded(path):
    def call():
        NET.save(path)
        fnn.load(path)

    return call


def in_a_thread_that_ends():
    thread = threading.Thread(target=lambda: (NET(X), fnn.dense(X, W)))
    thread.start()
    thread.join()


# Calls, and how many thousands of them: a million in all.
CALLS = {
    "dense": (lambda: fnn.dense(X, W, B, "relu"), 150),
    "dense, out": (lambda: fnn.dense(X, W, B, "relu", out=OUT), 50),
    "dense, converted": (lambda: fnn.dense(X.T.astype(">f8").T, W, B), 30),
    "dense_backward": (lambda: fnn.dense_backward(SAVED, X, W, SAVED, "tanh"), 50),
    "maxout": (lambda: fnn.maxout_forward(X, W[None]), 50),
    "conv2d": (lambda: fnn.conv2d(IMAGES, FILTERS), 40),
    "activation": (lambda: TANH(X), 150),
    "derivative": (lambda: TANH.derivative(X), 50),
    "network": (lambda: NET(X), 150),
    "bfloat16": (lambda: BFLOAT16(X), 50),
    "int8": (lambda: INT8(X), 50),
    "predict": (lambda: NET.predict(X), 40),
    "loss": (lambda: NET.evaluate(X, Y), 20),
    "step": (lambda: TRAINER.step(X, Y), 50),
    "gradients": (lambda: TRAINER.gradients(X, Y), 20),
    "refused dense": (refused(lambda: fnn.dense(X, X)), 20),
    "refused in C++": (refused(lambda: fnn._cpu.dense_forward(X, X, None, "relu", None, OUT, None), Exception), 5),
    "refused network": (refused(lambda: NET(X.T)), 10),
    "refused step": (refused(lambda: TRAINER.step(X * np.nan, Y)), 5),
    "made": (lambda: fnn.Sequential([fnn.Input(3), fnn.Dense(4)], seed=0), 4),
    "fit": (lambda: NET.fit(X, Y, epochs=1, progress=False), 2),
    "a trainer": (lambda: fnn.Trainer(NET).step(X, Y), 4),
}


def resident():
    return int(STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def growth(call, count):
    """Of the resident memory, by so many calls after a tenth of them; the least of three tries."""
    found = []
    for _ in range(3):
        for _ in range(count // 10 + 100):
            call()
        gc.collect()
        before = resident()
        for _ in range(count):
            call()
        gc.collect()
        found.append(resident() - before)
        if found[-1] <= GROWTH:
            break
    return min(found)


def growth_alone(call, count):
    """The same of an expression, in a process of its own: others have memory at hand that earlier tests gave back."""
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import test_leaks as t; print(t.growth({call}, {count}))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return int(done.stdout)


@pytest.fixture(autouse=True)
def linux():
    if not STATM.exists():
        pytest.skip("needs /proc")


def test_a_million_calls():
    assert sum(thousands for _, thousands in CALLS.values()) == 1000


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    assert growth_alone(f"t.CALLS[{name!r}][0]", 1000 * CALLS[name][1]) <= GROWTH


def test_files(tmp_path):
    assert growth_alone(f"t.saved_and_loaded({str(tmp_path / 'net')!r})", 1500) <= GROWTH


def test_threads_that_end():
    """Each gives back what it needed."""
    assert growth_alone("t.in_a_thread_that_ends", 2000) <= GROWTH


def test_a_leak_shows():
    assert growth_alone("lambda kept=[]: kept.append(bytes(20))", 50_000) > GROWTH
