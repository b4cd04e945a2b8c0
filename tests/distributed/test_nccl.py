"""Training on several GPUs: NCCL is played by threads, and the GPU by the emulator where there is none."""

import ctypes
import queue
import sys
import threading
import types

import numpy as np
import pytest

import backends
import fnnfast as fnn
import ranks
from fnnfast import distributed
from oracles import assert_same_bits

X = np.random.default_rng(0).standard_normal((70, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 70)
WEIGHTS = np.random.default_rng(2).uniform(0.5, 2, 70)
QUICK = {"epochs": 2, "seed": 0, "progress": False}


class OnGpu:
    """What ``Nccl`` reads of an array of CuPy; here its memory is the host's."""

    __cuda_array_interface__ = None

    def __init__(self, array):
        self.array, self.nbytes = array, array.nbytes
        self.data = types.SimpleNamespace(ptr=array.ctypes.data)


@pytest.fixture
def nccl(monkeypatch):
    """CuPy and NCCL: messages are copied between threads at the end of a group."""
    queues, here = {}, threading.local()

    class NcclCommunicator:
        def __init__(self, size, identifier, rank):
            assert identifier == ("id",)
            self.rank = rank
            for other in range(size):
                queues.setdefault((rank, other), queue.Queue())
                queues.setdefault((other, rank), queue.Queue())

        def send(self, pointer, count, dtype, peer, stream):
            assert (dtype, stream) == ("uint8", 17)
            here.calls.append(lambda: queues[self.rank, peer].put(ctypes.string_at(pointer, count)))

        def recv(self, pointer, count, dtype, peer, stream):
            assert (dtype, stream) == ("uint8", 17)

            def take():
                data = queues[peer, self.rank].get(timeout=60)
                assert len(data) == count
                ctypes.memmove(pointer, data, count)

            here.calls.append(take)

    def start():
        here.calls = []

    def end():
        for call in here.calls:
            call()

    module = types.ModuleType("cupy.cuda.nccl")
    vars(module).update(
        NcclCommunicator=NcclCommunicator,
        get_unique_id=lambda: ("id",),
        groupStart=start,
        groupEnd=end,
        NCCL_UINT8="uint8",
    )
    cuda = types.ModuleType("cupy.cuda")
    cuda.nccl = module
    cuda.get_current_stream = lambda: types.SimpleNamespace(ptr=17)
    cupy = types.ModuleType("cupy")
    cupy.cuda, cupy.ndarray = cuda, OnGpu
    for found in (cupy, cuda, module):
        monkeypatch.setitem(sys.modules, found.__name__, found)


def test_arrays_on_gpus_go_by_nccl_and_others_through_the_host(nccl, monkeypatch):
    from fnnfast.distributed import _nccl

    monkeypatch.setattr(_nccl, "gpu_of", lambda array: 0 if isinstance(array, OnGpu) else None)

    def work(comm):
        both = distributed.Nccl(comm)
        assert isinstance(both, distributed.Communicator)
        others = [rank for rank in range(3) if rank != comm.rank]
        mine, own = np.full(5, comm.rank, np.float32), np.full(2, 10.0 + comm.rank)
        got = {rank: (np.empty(5, np.float32), np.empty(2)) for rank in others}
        both.exchange(
            [piece for rank in others for piece in ((rank, OnGpu(mine)), (rank, own))],
            [piece for rank in others for piece in ((rank, OnGpu(got[rank][0])), (rank, got[rank][1]))],
        )
        assert comm.sent == 2 * own.nbytes  # of two other ranks
        return {rank: (big[0], small[0]) for rank, (big, small) in got.items()}, both.share(comm.rank)

    expected = {rank: (rank, 10.0 + rank) for rank in range(3)}
    for rank, result in enumerate(ranks.run(3, work)):
        assert result == ({other: values for other, values in expected.items() if other != rank}, [0, 1, 2])


def test_cupy_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ModuleNotFoundError, match="NCCL is used through CuPy"):
        distributed.Nccl(None)


# On a GPU, or the emulator -------------------------------------------------------------------------------------------
def network(device="cuda"):
    layers = [fnn.Input(6), fnn.Dense(33, "relu"), fnn.Maxout(20, pieces=2), fnn.Dense(3, "softmax")]
    return fnn.Sequential(layers, seed=0, device=device)


class OneAtATime:
    """A rank that has the GPU to itself but while it waits for others; arrays travel on the host."""

    def __init__(self, gpu, lock, comm):
        self._gpu, self._lock, self._comm = gpu, lock, comm
        self.rank, self.size = comm.rank, comm.size

    def exchange(self, sends, receives):
        sends = [(rank, array if isinstance(array, np.ndarray) else array.get()) for rank, array in sends]
        arrived = [(rank, np.empty(array.shape, array.dtype)) for rank, array in receives]
        self._waiting(self._comm.exchange, sends, arrived)
        for (_, to), (_, array) in zip(receives, arrived, strict=True):
            to[...] = array if isinstance(to, np.ndarray) else self._gpu.array(array)

    def share(self, value):
        return self._waiting(self._comm.share, value)

    def _waiting(self, call, *arguments):
        self._lock.release()
        try:
            return call(*arguments)
        finally:
            self._lock.acquire()


@pytest.fixture
def gpu():
    return backends.cuda()


@pytest.mark.cuda
@pytest.mark.parametrize("options", [{}, {"sample_weight": WEIGHTS}], ids=["plain", "weights"])
def test_shards_on_a_gpu_are_close_to_those_of_the_cpu(gpu, options):
    one, other = network("cpu"), network()
    history = distributed.fit(one, X, Y, **QUICK, **options)
    there = {name: gpu.array(values) for name, values in options.items()}
    of_gpu = distributed.fit(other, gpu.array(X), gpu.array(Y), **QUICK, **there)
    np.testing.assert_allclose(of_gpu.loss, history.loss, rtol=1e-4)
    for name, values in one.parameters.items():
        np.testing.assert_allclose(gpu.host(other.parameters[name]), values, rtol=0.05, atol=2e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_ranks_has_the_same_bits_on_a_gpu(gpu, size):
    lock = threading.Lock()

    def work(comm):
        with lock:
            net = network()
            distributed.fit(net, gpu.array(X), gpu.array(Y), comm=OneAtATime(gpu, lock, comm), **QUICK)
            return {name: gpu.host(values) for name, values in net.parameters.items()}

    alone = network()
    distributed.fit(alone, gpu.array(X), gpu.array(Y), **QUICK)
    for result in ranks.run(size, work):
        assert isinstance(result, dict), result
        for name, values in alone.parameters.items():
            assert_same_bits(result[name], gpu.host(values))


@pytest.mark.cuda
def test_what_gpus_do_not_do(gpu):
    net = fnn.Sequential([fnn.Input(6), fnn.Dropout(0.5), fnn.Dense(3, "softmax")], seed=0, device="cuda")
    with pytest.raises(ValueError, match="network: expected no layers that draw numbers on a GPU, got dropout_1"):
        distributed.fit(net, gpu.array(X), gpu.array(Y), **QUICK)
    with pytest.raises(ValueError, match="one in float32 on the CPU for gradients='bfloat16'"):
        distributed.fit(network(), gpu.array(X), gpu.array(Y), gradients="bfloat16", **QUICK)
