"""Memory on a GPU: how long it lives, which GPU it is on, how it is aligned, and which stream may use it."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import Dense, Input, PReLU, Residual, Sequential
from fnnfast._device import select

pytestmark = pytest.mark.cuda


@pytest.fixture
def stand_in():
    """What takes CuPy's place on the emulator, with a stream that says it is capturing."""
    return pytest.importorskip("cupy_stand_in", reason="looks into allocations")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def network(width=33, **settings):
    return Sequential(
        [Input(19), Dense(width, "swish"), Residual([Dense(width)]), Dense(10, "softmax")],
        device="cuda",
        seed=0,
        **settings,
    )


def training_data(cuda, rng, rows):
    return cuda.array(rng.standard_normal((rows, 19)).astype(np.float32)), cuda.array(np.arange(rows) % 10)


# Captured graphs ---------------------------------------------------------------------------------------------------
def blocks_of(stand_in, call, capturing):
    """The blocks of memory that a call took and that are still held after it, and how many it took."""
    stream = stand_in.Stream(64)
    stand_in.taken.clear()
    with stream:
        stream.capturing = capturing
        call()
    return [block for reference in stand_in.taken if (block := reference()) is not None], len(stand_in.taken)


@pytest.mark.parametrize(("way", "width"), [("grid", 33), ("off", 33), ("", 300)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_captured_call_keeps_its_memory(cuda, stand_in, rng, monkeypatch, way, width, dtype):
    """As long as the network: every replay works in it."""
    monkeypatch.setenv("FNNFAST_CUDA_FUSED", way)
    net = network(width, dtype=dtype)
    x = cuda.array(rng.standard_normal((3, 19)).astype(np.float32))
    x, out = x.astype(net.dtype), cuda.xp.empty((3, 10), net.dtype)
    held, taken = blocks_of(stand_in, lambda: net(x, out=out), capturing=True)
    assert taken > 0
    assert len(held) == taken
    again, _ = blocks_of(stand_in, lambda: net(x, out=out), capturing=True)
    assert {block.ptr for block in held}.isdisjoint(block.ptr for block in again)  # another graph, other memory
    held, taken = blocks_of(stand_in, lambda: net(x, out=out), capturing=False)
    assert taken > 0
    assert held == []


def test_a_captured_function_keeps_its_memory(cuda, stand_in, rng):
    x, weight, bias = (
        cuda.array(rng.standard_normal(shape).astype(np.float16)) for shape in ((3, 5), (5, 300), (300,))
    )
    out = cuda.xp.empty((3, 300), np.float16)
    bias = bias.astype(np.float32)
    held, taken = blocks_of(stand_in, lambda: fnn.dense(x, weight, bias, "softmax", out=out), capturing=True)
    assert taken > 0
    assert len(held) == taken


def test_a_captured_step_keeps_its_workspace(cuda, stand_in, rng):
    """A larger batch gets a new one; that of the captured step stays."""
    trainer = fnn.Trainer(network())
    small, large = training_data(cuda, rng, 8), training_data(cuda, rng, 3000)
    trainer.step(*small)
    stream = stand_in.Stream(64)
    with stream:
        stream.capturing = True
        trainer.step(*small)
    arrays = trainer._core._arrays
    before = arrays["workspace"]
    trainer.step(*large)
    assert arrays["workspace"] is not before
    assert any(kept is before for kept in trainer._core._captured)
    trainer.step(*training_data(cuda, rng, 6000))
    assert len(trainer._core._captured) == 1  # what no graph uses is given back


def test_graphs_do_not_share_memory_with_later_arrays(cuda, rng, monkeypatch):
    """On a GPU: what is allocated after a capture is not written by a replay."""
    if cuda.emulated:
        pytest.skip("the emulator has no graphs")
    monkeypatch.setenv("FNNFAST_CUDA_FUSED", "grid")
    net, xp = network(200), cuda.xp
    x, out = cuda.array(rng.standard_normal((3, 19)).astype(np.float32)), xp.empty((3, 10), np.float32)
    right = cuda.host(net(x))
    stream = xp.cuda.Stream(non_blocking=True)
    with stream:
        net(x, out=out)
        stream.begin_capture()
        net(x, out=out)
        graph = stream.end_capture()
        arrays = [xp.zeros(size, np.uint8) for size in (512, 1024, 4096, 8192, 16384, 65536) for _ in range(8)]
        for _ in range(3):
            out.fill(0)
            graph.launch(stream)
            stream.synchronize()
            assert (cuda.host(out) == right).all()
    assert not any(cuda.host(array).any() for array in arrays)


# Constants and streams ---------------------------------------------------------------------------------------------
def test_a_constant_is_there_before_other_streams_read_it(cuda, stand_in, monkeypatch):
    """The upload is waited for, once."""
    x, weight = cuda.array(np.ones((3, 5), np.float32)), cuda.array(np.ones((5, 7), np.float32))
    waited = []
    monkeypatch.setattr(stand_in.Stream, "synchronize", lambda stream: waited.append(stream.ptr))
    activation = PReLU(np.linspace(0.2, 0.3, 7))  # not uploaded by another test
    with stand_in.Stream(64):
        fnn.dense(x, weight, None, activation)
    assert waited == [64]
    fnn.dense(x, weight, None, activation)
    assert waited == [64]


def test_a_constant_is_not_uploaded_during_a_capture(cuda, stand_in):
    x, weight = cuda.array(np.ones((3, 5), np.float32)), cuda.array(np.ones((5, 7), np.float32))
    stream, activation = stand_in.Stream(64), PReLU(np.linspace(0.1, 0.2, 7))  # not uploaded by another test
    with stream:
        stream.capturing = True
        with pytest.raises(RuntimeError, match="before a capture begins"):
            fnn.dense(x, weight, None, activation)
        stream.capturing = False
        fnn.dense(x, weight, None, activation)
        stream.capturing = True
        fnn.dense(x, weight, None, activation)


# Alignment ---------------------------------------------------------------------------------------------------------
def misaligned(cuda, array):
    """The same numbers at an address that is no multiple of an element's size."""
    memory = cuda.array(np.concatenate([np.zeros(1, np.uint8), array.ravel().view(np.uint8)]))
    return memory[1:].view(array.dtype).reshape(array.shape)


def contents(cuda, array):
    """The numbers of a contiguous array that may be misaligned: its bytes, which any copy can move."""
    data = cuda.xp.ndarray((array.nbytes,), np.uint8, array.data)
    return cuda.host(data.copy()).view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_elements_that_are_not_aligned_to_their_size(cuda, rng, dtype):
    """They are copied on the way in, and on the way out."""
    x, weight = (rng.standard_normal(shape).astype(dtype) for shape in ((6, 5), (5, 7)))
    shifted = misaligned(cuda, x)
    if shifted.data.ptr % shifted.itemsize == 0:
        pytest.skip("this array came out aligned")
    right = cuda.host(fnn.dense(cuda.array(x), cuda.array(weight), None, "tanh"))
    wide = cuda.host(fnn.dense(cuda.array(x.astype(np.float64)), cuda.array(weight.astype(np.float64)), None, "tanh"))
    assert (cuda.host(fnn.dense(shifted, misaligned(cuda, weight), None, "tanh")) == right).all()
    out = misaligned(cuda, np.zeros((6, 7), dtype))
    assert fnn.dense(shifted, cuda.array(weight), None, "tanh", out=out) is out
    assert (contents(cuda, out) == right).all()
    mixed = fnn.dense(misaligned(cuda, x.astype(np.float64)), misaligned(cuda, weight.astype(np.float64)), None, "tanh")
    assert (cuda.host(mixed) == wide).all()
    assert (cuda.host(fnn.Tanh()(misaligned(cuda, right))) == cuda.host(fnn.Tanh()(cuda.array(right)))).all()


def test_a_network_takes_elements_that_are_not_aligned(cuda, rng):
    net, x = network(), rng.standard_normal((6, 19)).astype(np.float32)
    right = cuda.host(net(cuda.array(x)))
    out = misaligned(cuda, np.zeros((6, 10), np.float32))
    assert net(misaligned(cuda, x), out=out) is out
    assert (contents(cuda, out) == right).all()
    assert (cuda.host(net(misaligned(cuda, x.astype(np.float64)))) == right).all()


def test_the_border_refuses_elements_that_are_not_aligned(cuda):
    kernels = select.cuda().kernels
    x = misaligned(cuda, np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="aligned to its elements"):
        kernels.activation_forward("tanh", None, x, x, allocate=None, stream=0)


# Another current GPU -----------------------------------------------------------------------------------------------
def test_a_network_on_a_gpu_that_is_not_the_current_one(cuda, stand_in, rng, monkeypatch):
    """Its arrays stay on its own."""
    monkeypatch.setattr(stand_in.Device, "count", 2)
    net, (x, y) = network(), training_data(cuda, rng, 8)
    trainer = fnn.Trainer(net)
    with stand_in.Device(1):
        answers = [net(x), net.logits(x), net.predict(x), net.parameters["dense_1.weight"]]
        gradients = trainer.gradients(x, y)
        trainer.apply(gradients)
        trainer.step(x, y)
    assert {array.data.device_id for array in [*answers, *gradients.values()]} == {0}


def test_a_runtime_that_the_driver_is_too_old_for(cuda, stand_in, monkeypatch):
    """CUDA is off then, for a reason."""
    kernels = select.cuda().kernels

    def fails():
        raise kernels.DeviceError("cudaGetDevice: cudaErrorInsufficientDriver")

    monkeypatch.setattr(kernels, "probe", fails)
    assert "cudaErrorInsufficientDriver" in select.why_not(0)
