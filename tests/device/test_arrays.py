"""Arrays from elsewhere: of a GPU, of other dtypes, and those that share memory."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import CHECKED_LABELS, OnGpu, checked_network
from fnnfast import _checks
from fnnfast._device import select
from fnnfast._device.cpu import CPU


def test_gpu_arrays_in_a_build_for_the_cpu(monkeypatch):
    monkeypatch.setattr(select, "_opened", {})
    monkeypatch.setattr(select, "_KERNELS", "fnnfast._no_cuda")
    monkeypatch.setattr(select, "_INSTALLED", "fnnfast._no_cuda")
    x, weight = np.ones((6, 12), np.float32), np.ones((12, 5), np.float32)
    for call in (lambda: fnn.dense(OnGpu(6, 12), OnGpu(6, 12)), lambda: fnn.Tanh()(OnGpu(6, 12))):
        with pytest.raises(TypeError, match=r"expected NumPy arrays, got a GPU array .*this build has no CUDA kernels"):
            call()
    for call in (
        lambda: fnn.dense(OnGpu(6, 12), weight),
        lambda: fnn.maxout(x, OnGpu(6, 12)),
        lambda: fnn.Tanh()(x, out=OnGpu(6, 12)),
    ):
        with pytest.raises(TypeError, match="expected NumPy or CuPy arrays in one call, got both"):
            call()
    assert select.of(x=x, weight=None) is CPU


def test_gpu_arrays_and_a_network_on_the_cpu():
    net = checked_network()
    x = np.ones((6, 12), np.float32)
    for call, name in (
        (lambda: net(OnGpu(6, 12)), "x"),
        (lambda: net(x, out=OnGpu(6, 12)), "out"),
        (lambda: net.predict(OnGpu(6, 12)), "x"),
        (lambda: net.fit(OnGpu(6, 12), OnGpu(6, 12)), "x, y"),
        (lambda: net.fit(OnGpu(6, 12), CHECKED_LABELS), "x"),
    ):
        expected = rf"expected NumPy arrays for a network on the CPU, got a GPU array \({name}\): cupy.asnumpy\(\)"
        with pytest.raises(TypeError, match=expected):
            call()


# Conversion, promotion and overlap -----------------------------------------------------------------------------------
def test_no_copy_where_an_array_fits():
    for dtype in (np.float32, np.float64):
        array = np.ones((3, 4), dtype)
        assert _checks.fit(array, array.dtype) is array
        assert np.shares_memory(CPU.network_input(array, (2, 2), array.dtype), array)
        assert np.shares_memory(CPU.network_input(array.reshape(3, 2, 2), (2, 2), array.dtype), array)
        assert np.shares_memory(_checks.matrix(array.reshape(3, 2, 2)), array)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["f4"], "f4"),
        (["f8"], "f8"),
        ([">f4"], "f4"),
        (["f4", "f8"], "f8"),
        (["f4", "i8"], "f4"),
        (["f4", "f2", "?", "u1"], "f4"),
        (["i4"], "f8"),
        (["f2", "?"], "f8"),
        (["g"], "f8"),
        (["f4", "g"], "f4"),
    ],
)
def test_promotion(dtypes, expected):
    arrays = [np.ones(1, dtype) for dtype in dtypes]
    assert _checks.promote(*arrays, None) == np.dtype(expected)
    assert _checks.promote(None, *reversed(arrays)) == np.dtype(expected)


def test_overlap():
    memory = np.zeros((4, 8))
    assert _checks.overlap(memory[1:], memory[:2])
    assert not _checks.overlap(memory[:2], memory[2:])
    assert not _checks.overlap(memory[:, ::2], memory[:, 1::2])


def test_overlap_that_is_too_hard_to_tell_counts_as_one():
    memory = np.zeros(3_000_000, np.int8)
    shape, strides = (8,) * 6, (59230, 71124, 40694, 46873, 89776, 74399)
    a, b = (np.lib.stride_tricks.as_strided(memory[first:], shape, strides) for first in (0, 3))
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(a, b, max_work=_checks._OVERLAP_EFFORT)
    assert _checks.overlap(a, b)
