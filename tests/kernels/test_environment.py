"""What surrounds a call (rounding mode, other threads on the same objects, sizes of zero) does not show in it."""

import ctypes
import ctypes.util
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fnnfast as fnn

TOWARD_ZERO = 0xC00  # FE_TOWARDZERO of x86


@pytest.fixture
def toward_zero():
    """Runs a function with the C library's rounding mode set to toward zero."""
    name = ctypes.util.find_library("m")
    if name is None or fnn._cpu.isa() == "neon":
        pytest.skip("needs the C library of Linux on x86")
    libm = ctypes.CDLL(name)

    def run(function):
        before = libm.fegetround()
        assert libm.fesetround(TOWARD_ZERO) == 0
        try:
            return function()
        finally:
            libm.fesetround(before)

    return run


def calls(rows):
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((rows, 37), (37, 70), (70,)))
    w3, b3 = np.stack([w, -w, w + 1]), np.stack([b, -b, b])
    net = fnn.Sequential([fnn.Input(37), fnn.Dense(70, "swish"), fnn.Dense(3, "softmax")], seed=0)
    bfloat16, int8 = net.astype("bfloat16"), net.quantize(x)

    # Made beforehand: the initial weights are NumPy's work, in whatever rounding mode.
    fresh = [fnn.Sequential([fnn.Input(37), fnn.Dense(70, "prelu"), fnn.Dense(3, "softmax")], seed=0) for _ in range(2)]

    def training():
        trained = fresh.pop()
        trainer = fnn.Trainer(trained)
        losses = [trainer.step(x, np.arange(rows) % 3) for _ in range(3)]
        return [np.array(losses), *trained.parameters.values()]

    return {
        "dense": lambda: [fnn.dense(x, w, b, "gelu")],
        "maxout": lambda: [fnn.maxout(x, w3, b3)],
        "dense_backward": lambda: list(fnn.dense_backward(fnn.dense(x, w, b), x, w, fnn.dense(x, w, b), "prelu")),
        "maxout_backward": lambda: list(
            fnn.maxout_backward(fnn.dense(x, w, b), x, w3, fnn.maxout_forward(x, w3, b3)[1])[:3]
        ),
        "activation": lambda: [fnn.Tanh()(x), fnn.Softmax()(x), fnn.Swish().derivative(x)],
        "network": lambda: [net(x), net.logits(x)],
        "bfloat16": lambda: [bfloat16(x), *net.astype("bfloat16").parameters.values()],
        "int8": lambda: [int8(x), int8.logits(x)],
        "evaluate": lambda: [np.array(net.evaluate(x, np.arange(rows) % 3)["loss"])],
        "training": training,
    }


@pytest.mark.parametrize("rows", [1, 150])
@pytest.mark.parametrize("name", list(calls(1)))
def test_the_rounding_mode_of_the_caller_does_not_show(toward_zero, name, rows):
    call = calls(rows)[name]
    for expected, got in zip(call(), toward_zero(call), strict=True):
        assert expected.tobytes() == got.tobytes()


def test_the_rounding_mode_of_the_caller_is_given_back(toward_zero):
    def mode():
        fnn.dense(np.ones((2, 3)), np.ones((3, 4)))
        return np.float64(1) / np.float64(3) * np.float64(3)  # 1 to nearest, less toward zero

    assert toward_zero(mode) < 1 == mode()


def test_a_trainer_serves_one_thread_at_a_time():
    net = fnn.Sequential([fnn.Input(200), fnn.Dense(300, "relu"), fnn.Dense(10, "softmax")], seed=0)
    trainer = fnn.Trainer(net)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((512, 200)), rng.integers(0, 10, 512)
    done, refused, start = [], [], threading.Barrier(4)

    def work(index):
        start.wait()
        for i in range(15):
            rows = 16 + 31 * ((index + i) % 16)
            try:
                done.append(trainer.step(x[:rows], y[:rows]))
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) + len(refused) == 60
    assert len(done) == trainer._core.steps > 0
    assert np.isfinite(done).all()
    assert set(refused) <= {"this Trainer is in use by another thread"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sizes_of_zero(dtype):
    def ones(*shape):
        return np.ones(shape, dtype)

    # No inputs: the bias alone, and its gradient.
    np.testing.assert_array_equal(fnn.dense(ones(3, 0), ones(0, 2), ones(2)), ones(3, 2))
    grads = fnn.dense_backward(ones(3, 2), ones(3, 0), ones(0, 2), ones(3, 2))
    assert (grads.x.shape, grads.weight.shape) == ((3, 0), (0, 2))
    np.testing.assert_array_equal(grads.bias, [3, 3])
    y, winner = fnn.maxout_forward(ones(3, 0), ones(2, 0, 4), np.stack([ones(4), 2 * ones(4)]))
    np.testing.assert_array_equal(y, 2 * ones(3, 4))
    np.testing.assert_array_equal(
        fnn.maxout_backward(ones(3, 4), ones(3, 0), ones(2, 0, 4), winner).bias, np.stack([0 * ones(4), 3 * ones(4)])
    )
    # No outputs: nothing flows back.
    for grads in (
        fnn.dense_backward(ones(3, 0), ones(3, 5), ones(5, 0), ones(3, 0)),
        fnn.maxout_backward(ones(3, 0), ones(3, 5), ones(2, 5, 0), np.ones((3, 0), np.uint8)),
    ):
        np.testing.assert_array_equal(grads.x, np.zeros((3, 5)))
    assert fnn.dense(ones(3, 5), ones(5, 0)).shape == (3, 0)


def test_layer_by_layer_in_slabs():
    """A batch with more activations than are kept at a time runs in slabs of rows, with the same answers."""
    net = fnn.Sequential(
        [fnn.Input(8), fnn.Dense(4096, "relu"), fnn.Dense(2048, "relu"), fnn.Dense(20, "softmax")], seed=0
    )
    x = np.random.default_rng(0).standard_normal((4100, 8)).astype(np.float32)
    with fnn.num_threads(2):
        assert any("layer by layer" in line for line in net._network.plan(4100))
        whole = net(x)
    for rows in (slice(0, 1), slice(2040, 2060), slice(4090, 4100)):
        assert net(x[rows]).tobytes() == whole[rows].tobytes()


@pytest.mark.parametrize("last", [fnn.Dense(4096, "relu"), fnn.Dense(4096), fnn.Maxout(4096, 2)], ids=repr)
def test_blocks_layer_by_layer(last):
    """Each layer is shared between threads, by rows and units: the rows' sums are to go where the rows are."""
    blocks = [fnn.Residual([fnn.Dense(16, "tanh"), last]) for _ in range(2)]  # with a projection, and without
    net = fnn.Sequential([fnn.Input(8), *blocks, fnn.Dense(3)], seed=0)
    x = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)
    with fnn.num_threads(2):
        assert any("layer by layer" in line for line in net._network.plan(600))
        whole = net(x)
    for rows in (slice(0, 9), slice(250, 263), slice(511, 515), slice(590, 600)):
        assert net(x[rows]).tobytes() == whole[rows].tobytes()


MEMORY = """
import os
import subprocess
import sys
import threading
import numpy as np
import fnnfast as fnn
from fnnfast import _cpu

def dense(rows, inputs, units, dtype):
    fnn.dense(np.ones((rows, inputs), dtype), np.ones((inputs, units), dtype), activation="relu")

def maxout(rows, pieces, inputs, units, dtype):
    fnn.maxout_forward(np.ones((rows, inputs), dtype), np.ones((pieces, inputs, units), dtype))

def low_precision(rows, inputs, *layers):
    net = fnn.Sequential([fnn.Input(inputs), *layers], seed=0)
    x = np.ones((rows, inputs), np.float32)
    net.astype("bfloat16")(x), net.quantize(x)(x)

def train(rows, inputs, *layers):
    net = fnn.Sequential([fnn.Input(inputs), *layers, fnn.Dense(3, "softmax")], seed=0)
    fnn.Trainer(net, clip_norm=1.0).step(np.ones((rows, inputs), np.float32), np.arange(rows) % 3)

calls = [(dense, *shape, dtype) for shape in ((70, 1500, 70), (9, 4200, 33)) for dtype in (np.float32, np.float64)]
calls += [(maxout, 24, pieces, 1500, 400, dtype) for pieces in (2, 6, 9) for dtype in (np.float32, np.float64)]
calls += [(low_precision, 24, 2100, fnn.Dense(130, "relu"), fnn.Maxout(90, 6)), (low_precision, 1, 7, fnn.Maxout(9, 3))]
calls += [(train, 70, 1100, fnn.Maxout(90, 6), fnn.Dense(1100, "prelu")), (train, 1, 9, fnn.Dense(3), fnn.Maxout(5, 3))]
for isa in _cpu.isas():
    _cpu.use_isa(isa)
    for call, *arguments in calls:
        thread = threading.Thread(target=call, args=arguments)
        thread.start()
        thread.join()
print("done")
"""


def test_kernels_ask_for_enough_memory():
    """A thread that ends gives its memory back, and the C library finds out what was written past the end of it.

    In a fresh process for each call's own size, since a thread keeps the largest that it has had.
    """
    checked = {"OMP_NUM_THREADS": "1"}
    if sys.platform == "linux" and "LD_PRELOAD" not in os.environ:  # glibc's checks, where they are
        checked |= {"LD_PRELOAD": "libc_malloc_debug.so.0", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, env=os.environ | checked, capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr
    assert done.returncode == 0
