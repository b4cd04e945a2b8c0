"""Sizes at their ends: 0 and 1 in every place, and more than 2^31 elements, rows, inputs and units.

Large arrays cost little memory here: zeros that are only read have no pages of their own, and what is written goes to
pages that many addresses share.
"""

import ctypes
import ctypes.util
import itertools
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import reference
from oracles import assert_same_bits, assert_within

MORE = 2**31 + 2**20
"""Elements; an index of 32 bits ends before."""


# Zero and one --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("rows", "inputs", "units"), list(itertools.product((0, 1, 2), repeat=3)))
def test_dense_of_zero_and_one(isa, dtype, rows, inputs, units):
    rng = np.random.default_rng(0)
    x, w, b, dy = (
        rng.standard_normal(s).astype(dtype) for s in ((rows, inputs), (inputs, units), units, (rows, units))
    )
    tolerance = 1e-5
    y, saved = fnn.dense_forward(x, w, b, "tanh")
    expected, z = reference.dense_forward(x, w, b, "tanh")
    assert_within(y, expected, np.full(y.shape, tolerance))
    assert_same_bits(fnn.dense(x, w, b, "tanh"), y)
    got, wanted = fnn.dense_backward(dy, x, w, saved, "tanh"), reference.dense_backward(dy, x, w, z, "tanh")
    for name in ("x", "weight", "bias"):
        part = getattr(got, name)
        assert_within(part, getattr(wanted, name), np.full(part.shape, tolerance))
    y, winners = fnn.maxout_forward(x, w[None], b[None])
    assert_within(y, reference.maxout(x, w[None], b[None]), np.full(y.shape, tolerance))
    got, wanted = fnn.maxout_backward(dy, x, w[None], winners), reference.maxout_backward(dy, x, w[None], winners)
    for name in ("x", "weight", "bias"):
        part = getattr(got, name)
        assert_within(part, getattr(wanted, name), np.full(part.shape, tolerance))


@pytest.mark.parametrize(("rows", "pixels", "inputs", "units"), list(itertools.product((0, 1, 2), repeat=4)))
def test_convolutions_of_zero_and_one(isa, dtype, rows, pixels, inputs, units):
    x, w, b = (np.ones(shape, dtype) for shape in ((rows, pixels, pixels, inputs), (1, 1, inputs, units), units))
    if not pixels * inputs * units:  # a window has pixels, channels and units
        with pytest.raises(ValueError, match=r"without an empty axis|fits 0 x 0 pixels"):
            fnn.conv2d(x, w, b)
        return
    y, saved = fnn.conv2d_forward(x, w, b)
    np.testing.assert_array_equal(y, np.full((rows, pixels, pixels, units), 1 + inputs))
    assert_same_bits(fnn.conv2d(x, w, b), y)
    got = fnn.conv2d_backward(np.ones_like(y), x, w, saved)
    np.testing.assert_array_equal(got.x, np.full(x.shape, units))
    np.testing.assert_array_equal(got.weight, np.full(w.shape, rows * pixels**2))
    np.testing.assert_array_equal(got.bias, np.full(units, rows * pixels**2))


@pytest.mark.parametrize(("rows", "units"), list(itertools.product((0, 1), repeat=2)))
def test_activations_of_zero_and_one(dtype, rows, units):
    z = np.full((rows, units), 0.5, dtype)
    for f in (fnn.Tanh(), fnn.PReLU(), fnn.GELU(accurate=True)):
        assert f(z).shape == f.derivative(z).shape == z.shape
    np.testing.assert_array_equal(fnn.Softmax()(z), np.ones((rows, units), dtype))


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("image", [False, True])
def test_networks_of_zero_and_one(dtype, rows, image):
    layers = [fnn.Input(1, 1, 1), fnn.Conv2D(1, 1), fnn.MaxPool2D(1), fnn.Flatten()] if image else [fnn.Input(1)]
    net = fnn.Sequential([*layers, fnn.Dense(1, "tanh"), fnn.Dense(1)], dtype=dtype, seed=0)
    x = np.ones((rows, *net.input.shape), dtype)
    copies = [net, net.freeze(), fnn.Ensemble([net])] if dtype == np.float64 else [net, net.astype("bfloat16")]
    for one in copies:
        assert one(x).shape == one.predict(x[:, ...]).reshape(rows, 1).shape == (rows, 1)
    if rows:
        assert len(net.fit(x, x.reshape(rows, 1), epochs=1, progress=False).loss) == 1
    else:
        with pytest.raises(ValueError, match="x: expected"):
            net.fit(x, x.reshape(rows, 1), epochs=1, progress=False)


# Other floats --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("other", ["float16", "longdouble", "int8", "uint64", "bool"])
def test_other_numbers_are_those_numbers(other):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (9, 6)) if other in ("int8", "uint64", "bool") else rng.standard_normal((9, 6))
    x, w = x.astype(other), rng.standard_normal((6, 3)).astype(np.float32)
    y = rng.integers(0, 3, 9)
    for dtype in ("float32", "float64"):
        same = x.astype(dtype)
        nets = [fnn.Sequential([fnn.Input(6), fnn.Dense(3, "softmax")], dtype=dtype, seed=0) for _ in range(2)]
        assert_same_bits(nets[0](x), nets[1](same))
        assert nets[0].evaluate(x, y) == nets[1].evaluate(same, y)
        losses = [net.fit(data, y, epochs=2, seed=0, progress=False).loss for net, data in zip(nets, (x, same))]  # noqa: B905
        assert losses[0] == losses[1]
        assert_same_bits(fnn.dense(x, w.astype(dtype)), fnn.dense(same, w.astype(dtype)))
    assert_same_bits(fnn.Tanh()(x), fnn.Tanh()(x.astype(np.float64)))


# More than 2^31 ------------------------------------------------------------------------------------------------------
CHUNK = 2**24


def shared_pages(elements, own):
    """A float32 array most of whose pages are the same few; those that hold the elements ``own`` are their own.

    Returned with what keeps it: the addresses are given back with the process.
    """
    if not hasattr(os, "memfd_create"):
        pytest.skip("needs Linux")
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *([ctypes.c_int] * 3), ctypes.c_long]
    chunks = -(-4 * elements // CHUNK)
    apart = sorted({4 * element // CHUNK for element in own})
    memory = os.memfd_create("shared")
    os.ftruncate(memory, CHUNK * (1 + len(apart)))
    whole = mmap.mmap(-1, chunks * CHUNK, flags=mmap.MAP_PRIVATE | 0x4000)  # MAP_NORESERVE
    start = ctypes.addressof(ctypes.c_char.from_buffer(whole))
    for chunk in range(chunks):
        place = CHUNK * (1 + apart.index(chunk)) if chunk in apart else 0
        found = libc.mmap(start + chunk * CHUNK, CHUNK, 3, mmap.MAP_SHARED | 0x10, memory, place)  # MAP_FIXED
        assert found == start + chunk * CHUNK, ctypes.get_errno()
    os.close(memory)
    return np.frombuffer(whole, np.float32, elements)


def zeros(*shape):
    """Zeros that have no memory as long as they are only read."""
    return np.zeros(shape, np.float32)


INPUTS = """
import sys
import numpy as np
import fnnfast as fnn

def attempt(call):
    try:
        call()
    except MemoryError:
        print("MemoryError")

x, w = np.zeros((1, int(sys.argv[1])), np.float32), np.zeros((int(sys.argv[1]), 1), np.float32)
attempt(lambda: fnn.dense(x, w))
attempt(lambda: fnn.Sequential([fnn.Input(2**31 - 1), fnn.Dense(1)], seed=0))
print(fnn.dense(np.ones((1, 4), np.float32), np.ones((4, 1), np.float32)))
"""

slow = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.maxsize < 2**32, reason="needs 64 bits"),
]


class TestMoreThan2To31:
    pytestmark = slow

    def test_elements_in(self):
        rows = MORE // 64
        x = zeros(rows, 64)
        x[-1], x[2**31 // 64] = 1, 2  # on both sides of the limit
        y = fnn.dense(x, np.full((64, 1), 0.5, np.float32), np.ones(1, np.float32))
        assert (y[-1, 0], y[2**31 // 64, 0], y[0, 0]) == (33, 65, 1)
        assert np.count_nonzero(y != 1) == 2
        net = fnn.Sequential([fnn.Input(64), fnn.Dense(1)], seed=0)
        net.parameters["dense_1.weight"] = np.full((64, 1), 0.5)
        net.parameters["dense_1.bias"] = np.ones(1)
        assert_same_bits(net(x), y)

    def test_elements_out(self):
        units = 64
        rows = MORE // units
        places = [0, 2**31 - 1, 2**31, rows * units - 1]
        out = shared_pages(rows * units, places).reshape(rows, units)
        x = zeros(rows, 1)
        x[[-1, 2**31 // units]] = 3
        w, b = np.arange(units, dtype=np.float32)[None], np.full(units, 0.25, np.float32)
        assert fnn.dense(x, w, b, out=out) is out
        for row in (0, 2**31 // units - 1):
            np.testing.assert_array_equal(out[row], b)
        for row in (2**31 // units, rows - 1):
            np.testing.assert_array_equal(out[row], 3 * w[0] + b)

    def test_rows(self):
        out = shared_pages(MORE, [0, 2**31, MORE - 1]).reshape(MORE, 1)
        x = zeros(MORE, 1)
        x[-1], x[2**31] = 1, 2
        fnn.dense(x, np.ones((1, 1), np.float32), np.ones(1, np.float32), out=out)
        assert (out[-1, 0], out[2**31, 0], out[0, 0]) == (2, 3, 1)

    def test_an_activation(self):
        z = shared_pages(MORE, [0, 2**31, MORE - 1])
        z[-1], z[2**31] = -1, -2
        fnn.ReLU()(z, out=z)
        assert (z[-1], z[2**31], z[0]) == (0, 0, 0)

    @pytest.mark.parametrize("rows", [0, 1])
    def test_units_without_inputs(self, rows):
        """Of a weight that has no elements; only the output is large."""
        w, x = np.empty((0, MORE), np.float32), zeros(rows, 0)
        out = shared_pages(MORE, [0, 2**31, MORE - 1]).reshape(1, MORE)[:rows]
        out[...] = 7
        fnn.dense(x, w, out=out)
        assert not rows or (out[0, -1], out[0, 2**31], out[0, 0]) == (0, 0, 0)

    def test_inputs(self):
        """Of an operation: the weight is packed, which needs memory: MemoryError at once where it cannot be had."""
        resource = pytest.importorskip("resource")
        limit = 22 * 2**30  # x and w have 17 GB of addresses, without memory of their own
        done = subprocess.run(
            [sys.executable, "-c", INPUTS, str(MORE)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
        assert (done.stdout, done.stderr) == ("MemoryError\nMemoryError\n[[4.]]\n", "")

    def test_layers_are_refused(self):
        """Before anything of that size is allocated."""
        for make in (fnn.Input, fnn.Dense, fnn.Maxout, lambda n: fnn.Conv2D(n, 1)):
            with pytest.raises(ValueError, match=f"expected an integer <= {2**31 - 1}, got {MORE}"):
                make(MORE)
        with pytest.raises((ValueError, MemoryError)):
            fnn.Sequential([fnn.Input(2**31 - 1), fnn.Dense(2**31 - 1)], seed=0)
