"""What fnnfast uses of CuPy, over the host's memory: with the emulated CUDA extension, the GPU's code runs without one.

An ``ndarray`` here is as strict as CuPy's: NumPy gets at its numbers through ``get()`` alone, and it takes none of
NumPy's arrays. New memory holds bytes of all ones, NaN in every floating type, so that what a kernel forgets to write
is seen.
"""

from __future__ import annotations

import importlib.util
import operator
import sys
import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

ALIGNMENT = 512
allocations: list[int] = []
"""The bytes of every allocation, for tests to look at and to clear."""
taken: list[weakref.ref[MemoryPointer]] = []
"""Every block of memory, as long as it is held."""


class OutOfMemoryError(MemoryError):
    """Where CuPy's is derived from as well."""


class MemoryPointer:
    def __init__(self, address: int, owner: Any, device_id: int) -> None:
        self.ptr, self.owner, self.device_id = address, owner, device_id


def alloc(size: int) -> MemoryPointer:
    if size > 2**40:
        raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes")
    allocations.append(size)
    memory = np.full(size + ALIGNMENT, 255, np.uint8)
    address = memory.ctypes.data
    pointer = MemoryPointer(-(-address // ALIGNMENT) * ALIGNMENT, memory, Device().id)
    taken.append(weakref.ref(pointer))
    return pointer


class _At:
    """An address, for NumPy."""

    def __init__(self, pointer: Any, shape: tuple[int, ...], dtype: np.dtype, strides: Any = None) -> None:
        self.pointer = pointer
        typestr = f"|V{dtype.itemsize}"
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": typestr, "data": (pointer.ptr, False)}
        if strides is not None:
            self.__array_interface__["strides"] = strides


class ndarray:  # noqa: N801 - as CuPy calls it
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: Any, device_id: Any = None, memory: Any = None, strides: Any = None) -> None:
        if memory is not None:  # CuPy's own: (shape, dtype, memptr, strides)
            dtype = np.dtype(device_id)
            host, device_id = np.asarray(_At(memory, host, dtype, strides)).view(dtype), memory.device_id
        self._host = host
        self._device_id = Device().id if device_id is None else device_id

    def __array__(self, *_: Any, **__: Any) -> None:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    dtype = property(lambda self: self._host.dtype)
    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    T = property(lambda self: self._like(self._host.T))
    device = property(lambda self: Device(self._device_id))
    data = property(lambda self: MemoryPointer(self._host.ctypes.data, self, self._device_id))

    @property
    def flags(self) -> SimpleNamespace:  # without CuPy's owndata, and as there without writeable
        flags = self._host.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        data = (self._host.ctypes.data, False)
        return {"shape": self.shape, "typestr": self.dtype.str, "data": data, "strides": self.strides, "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._device_id

    def _like(self, host: Any) -> ndarray:
        return ndarray(np.asarray(host), self._device_id)

    def get(self) -> np.ndarray:
        return self._host.copy()

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> ndarray:
        with np.errstate(all="ignore"):
            return self._like(self._host.astype(dtype, order=order, copy=copy))

    def reshape(self, *shape: Any) -> ndarray:
        return self._like(self._host.reshape(*shape))

    def view(self, dtype: Any) -> ndarray:
        return self._like(self._host.view(dtype))

    def transpose(self, *axes: Any) -> ndarray:
        return self._like(self._host.transpose(*axes))

    def copy(self) -> ndarray:  # to the current device, as CuPy does
        return ndarray(self._host.copy())

    def fill(self, value: Any) -> None:
        self._host.fill(value)

    def argmax(self, axis: int) -> ndarray:
        return self._like(self._host.argmax(axis=axis))

    def __len__(self) -> int:
        return len(self._host)

    def __getitem__(self, index: Any) -> ndarray:
        return self._like(self._host[_unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        with np.errstate(all="ignore"):
            self._host[_unwrap(index)] = _unwrap(value)

    def __repr__(self) -> str:
        return repr(self._host)


def _unwrap(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return value._host if isinstance(value, ndarray) else value


def _operator(name: str) -> Any:
    function = getattr(operator, name)
    return lambda self, other: self._like(function(self._host, _unwrap(other)))


for _name in ("add", "sub", "mul", "truediv", "lt", "le", "eq", "ne", "ge", "gt"):
    setattr(ndarray, f"__{_name}__", _operator(_name))


# Making arrays -------------------------------------------------------------------------------------------------------
def empty(shape: Any, dtype: Any = float) -> ndarray:
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    pointer = alloc(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    return ndarray(np.asarray(_At(pointer, shape, dtype)).view(dtype))


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    array = empty(shape, dtype)
    array._host.fill(0)
    return array


def asarray(value: Any, dtype: Any = None) -> ndarray:
    if isinstance(value, ndarray):
        return value if dtype in (None, value.dtype) else value.astype(dtype)
    if (interface := getattr(value, "__cuda_array_interface__", None)) is not None:
        if interface.get("stream") is not None:
            Stream.synchronised.append(interface["stream"])
        dtype, pointer = np.dtype(interface["typestr"]), MemoryPointer(interface["data"][0], value, 0)
        return ndarray(np.asarray(_At(pointer, interface["shape"], dtype)).view(dtype))
    host = np.asarray(value, dtype)
    array = empty(host.shape, host.dtype.newbyteorder("="))
    array._host[...] = host
    if host.flags.f_contiguous and not host.flags.c_contiguous:
        array = array._like(np.asfortranarray(array._host))
    return array


def asnumpy(value: Any) -> np.ndarray:
    return value.get() if isinstance(value, ndarray) else np.asarray(value)


def from_dlpack(value: Any) -> ndarray:
    return ndarray(value.__dlpack__(stream=get_current_stream().ptr))


def as_strided(array: ndarray, shape: Any, strides: Any) -> ndarray:
    return array._like(np.lib.stride_tricks.as_strided(array._host, shape, strides))


# The device ----------------------------------------------------------------------------------------------------------
class Device:
    count = 1
    compute_capability = "90"
    _current = 0

    def __init__(self, index: int | None = None) -> None:
        self.id = Device._current if index is None else index

    def __enter__(self) -> Device:
        self._before, Device._current = Device._current, self.id
        return self

    def __exit__(self, *_: Any) -> None:
        Device._current = self._before

    def synchronize(self) -> None:
        get_current_stream().synchronize()


class Stream:
    current: Any
    synchronised: list[int] = []  # noqa: RUF012

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr
        self.capturing = False

    def is_capturing(self) -> bool:
        if self.ptr in (0, 1):
            raise RuntimeError("cudaErrorStreamCaptureImplicit: the legacy stream was asked")
        return self.capturing

    def synchronize(self) -> None:
        if self.capturing:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")

    def __enter__(self) -> Stream:
        self._before, Stream.current = Stream.current, self
        return self

    def __exit__(self, *_: Any) -> None:
        Stream.current = self._before


Stream.current = Stream(0)


def get_current_stream() -> Stream:
    return Stream.current  # type: ignore[no-any-return]


cuda = SimpleNamespace(
    Device=Device,
    MemoryPointer=MemoryPointer,
    Stream=Stream,
    alloc=lambda size: alloc(size),  # looked up at each call, so that a test may replace it
    get_current_stream=get_current_stream,
    is_available=lambda: Device.count > 0,
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=SimpleNamespace(
        getDevice=lambda: Device._current,
        getDeviceCount=lambda: Device.count,
    ),
)
lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=as_strided))


def install(extension: str) -> None:
    """Let this module be CuPy, and the emulated extension at that path be fnnfast's."""
    sys.modules["cupy"] = sys.modules[__name__]
    spec = importlib.util.spec_from_file_location("fnnfast._cuda", extension)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["fnnfast._cuda"] = module
