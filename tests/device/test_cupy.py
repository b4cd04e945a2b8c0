"""What is asked of CuPy's own arrays, where it is installed: of addresses and shapes, so that no GPU is needed."""

import numpy as np
import pytest

from backends import EMULATED
from factories import numpy_dtype
from fnnfast import _checks
from fnnfast._device import base, cuda, select
from fnnfast._device.cpu import CPU

pytestmark = pytest.mark.skipif(bool(EMULATED), reason="a stand-in takes CuPy's place")


@pytest.fixture
def device():
    """A GPU, as far as arrays go."""
    return cuda.Cuda(0, pytest.importorskip("cupy", reason="CuPy is not installed"), None)


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16", "int8"])
def dtype(request):
    return numpy_dtype(request.param)


def array(device, shape, dtype, address=2**12):
    """An array at an address where nothing is; whoever looks into it fails."""
    memory = device.xp.cuda.UnownedMemory(address, 2**20, None, 0)
    return device.xp.ndarray(shape, dtype, memptr=device.xp.cuda.MemoryPointer(memory, 0))


def test_arrays_that_fit_are_taken_as_they_are(device, dtype):
    given = array(device, (4, 6), dtype)
    assert device.array("x", given) is given
    assert device.fit(given, dtype) is given
    assert _checks.matrix(given.reshape(2, 2, 6)).shape == (4, 6)


def test_where_an_array_is(device, dtype):
    given = array(device, (4, 6), dtype)
    assert base.gpu_of(given) == 0
    assert not base.on_host(given)
    assert base.on_host(np.ones(2))
    assert not base.on_host([1.0])
    with pytest.raises(TypeError, match="got both: NumPy weight, CuPy x"):
        select.of(x=given, weight=np.ones(2))
    with pytest.raises(TypeError, match=r"network on the CPU, got a GPU array \(x\)"):
        CPU.require(x=given)
    with pytest.raises(TypeError, match=r"network on a GPU, got a NumPy array \(y\)"):
        device.require(x=given, y=np.ones(2))


def test_overlap_is_that_of_the_addresses(device, dtype):
    given, other = array(device, (4, 6), dtype), array(device, (4, 6), dtype, 2**20)
    assert device.output(other, (4, 6), dtype, x=given) is other
    for out in (given, given[1:3], given[::-1], given[:, ::2]):
        with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
            device.output(out, out.shape, dtype, x=given)
    even, odd = given[:, ::2], given[:, 1::2]
    _checks.check_output(cuda.shadow(even), even.shape, dtype, x=cuda.shadow(odd))
    assert device.same_memory(given, given[:])
    assert not device.same_memory(given, given[::-1])
    assert not device.same_memory(given, None)
    assert cuda.shadow(array(device, (0, 6), dtype, 0)).shape == (0, 6)


def test_what_is_refused(device):
    with pytest.raises(TypeError, match="z: expected an array of real numbers, got dtype complex64"):
        device.array("z", array(device, (2,), np.complex64))
    with pytest.raises(TypeError, match="out: expected a CuPy array, got ndarray"):
        device.output(np.ones(2), (2,), np.dtype(np.float64))
    with pytest.raises(TypeError, match="out: expected dtype float32, got float64"):
        device.output(array(device, (2,), np.float64), (2,), np.dtype(np.float32))
    elsewhere = cuda.Cuda(1, device.xp, None)
    with pytest.raises(ValueError, match="x: expected an array on GPU 1, got one on GPU 0"):
        elsewhere.array("x", array(device, (2,), np.float32))


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [("ee", "e"), ("ei", "e"), ("ef", "f"), ("ed", "d"), ("fd", "d"), ("fi", "f"), ("ib", "d"), ("?f", "f")],
)
def test_promotion(device, dtypes, expected):
    assert device.promote(*(array(device, (2,), dtype) for dtype in dtypes), None) == np.dtype(expected)
