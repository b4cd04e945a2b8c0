"""Calls on a GPU: their stream, what they allocate, and their errors."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import dense_problem, on_gpu_and_cpu
from fnnfast._device import select
from oracles import assert_same_bits

pytestmark = pytest.mark.cuda

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


class Recorder:
    """The compiled kernels, and what they are called with."""

    def __init__(self, kernels):
        self.kernels, self.calls = kernels, []

    def __getattr__(self, name):
        def call(*arguments, **settings):
            self.calls.append((name, settings))
            return getattr(self.kernels, name)(*arguments, **settings)

        return call


def test_work_is_queued_on_the_current_stream(cuda, monkeypatch):
    device = select.cuda()
    recorder = Recorder(device.kernels)
    monkeypatch.setattr(device, "kernels", recorder)
    x, weight = (cuda.array(a) for a in dense_problem(np.random.default_rng(16), 4, 3, 5, F32)[:2])
    own = cuda.xp.cuda.Stream(64) if cuda.emulated else cuda.xp.cuda.Stream(non_blocking=True)
    before = cuda.xp.cuda.get_current_stream().ptr
    fnn.dense(x, weight)
    with own:
        fnn.dense(x, weight)
        fnn.Tanh()(x)
    fnn.Tanh()(x)
    assert [settings["stream"] for _, settings in recorder.calls] == [before, own.ptr, own.ptr, before]
    assert own.ptr != before


def test_forward_allocates_its_output_alone(cuda, monkeypatch):
    """A small network needs besides no more than what is between its layers."""
    net, _ = on_gpu_and_cpu()
    x = cuda.array(np.ones((3, 20), F32))
    out = cuda.array(np.ones((3, 7), F32))
    net(x, out=out)
    sizes = []
    alloc = cuda.xp.cuda.alloc
    monkeypatch.setattr(cuda.xp.cuda, "alloc", lambda size: (sizes.append(size), alloc(size))[1])
    net(x, out=out)
    assert len(sizes) <= 3
    assert sum(sizes) <= 3 * 4 * 200 * 4
    weight, alpha = cuda.array(np.ones((20, 7), F32)), fnn.PReLU()
    fnn.dense(x, weight, None, alpha, out=out)
    sizes.clear()
    fnn.dense(x, weight, None, alpha, out=out)  # the slope is on the GPU already
    assert not sizes


def test_a_cuda_error_is_an_exception_with_the_kernels_name(cuda):
    kernels = select.cuda().kernels
    assert issubclass(kernels.DeviceError, RuntimeError)


def test_out_of_memory_leaves_a_network_usable(cuda, monkeypatch):
    # Too wide to keep what is between its layers on the multiprocessors.
    on_cpu = fnn.Sequential([fnn.Input(20), fnn.Dense(700, "relu"), fnn.Dense(7)], seed=0)
    net = on_cpu.to("cuda")
    x = np.ones((3, 20), F32)
    memory = cuda.xp.cuda.memory.OutOfMemoryError

    def full(size):
        raise memory(size, 0) if not cuda.emulated else memory(f"{size} bytes")

    given = cuda.array(x)
    out = cuda.array(np.ones((3, 7), F32))
    with monkeypatch.context() as patch:
        patch.setattr(cuda.xp.cuda, "alloc", full)
        with pytest.raises(MemoryError):
            net(given, out=out)
    assert_same_bits(cuda.host(net(given, out=out)), on_cpu(x))
