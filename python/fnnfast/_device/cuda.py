"""Arrays on a GPU: CuPy's, and the kernels of ``_cuda``, both handed in, for nothing here imports them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import Any

import numpy as np

from .. import _checks
from .._checks import FLOAT32, FLOAT64, Array, DType, message
from .base import HOST, Device, gpu_of, on_host

# Parameters of activations that are kept on the GPU, so that a captured graph finds them there. A constant is some
# hundred bytes at least, as CuPy allocates; more different ones than these are hardly in use at a time.
_CONSTANTS = 1024

# Handles of the legacy default stream.
_LEGACY_STREAMS = (0, 1)

_tf32: ContextVar[bool] = ContextVar("tf32", default=False)


@contextmanager
def tf32() -> Iterator[None]:
    """Return a context manager in which products of float32 arrays on the GPU round their factors to TF32.

    TF32 keeps 10 of the 23 bits of a factor; sums are in float32. Tensor cores multiply TF32 several times as fast as
    float32. It applies to the functions (``dense``, ``maxout`` and their backward passes) that this thread or task
    calls; for a network it is set by its dtype. It changes nothing on the CPU, nor for other dtypes.

    Yields
    ------
    None
        Nothing.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> with fnn.tf32():
    ...     fnn.dense([[1.0, 2.0]], [[1.0], [1.0]])
    array([[3.]])
    """
    token = _tf32.set(True)
    try:
        yield
    finally:
        _tf32.reset(token)


class Cuda(Device):
    """CuPy and the kernels of ``_cuda``, on one GPU and the stream that is CuPy's current one at each call."""

    name = "cuda"
    compute_dtypes = ("float32", "float64", "tf32", "float16", "bfloat16")

    def __init__(self, index: int, xp: Any, kernels: Any) -> None:
        self.index = index
        self.xp = xp
        self.kernels = kernels
        self._upload = lru_cache(maxsize=_CONSTANTS)(self._on_gpu)
        self._captured: list[Any] = []

    def current(self) -> Any:
        """A context in which this GPU is CuPy's current one."""
        return self.xp.cuda.Device(self.index)

    def synchronize(self) -> None:
        """Wait for the current stream."""
        with self.current():
            self.xp.cuda.get_current_stream().synchronize()

    def is_capturing(self) -> bool:
        """Whether the work of the current stream is being captured in a graph."""
        stream = self.xp.cuda.get_current_stream()
        # The legacy stream cannot be captured, and asking it fails while another stream is.
        return stream.ptr not in _LEGACY_STREAMS and bool(stream.is_capturing())

    # Arrays in -------------------------------------------------------------------------------------------------------
    def array(self, name: str, value: Any) -> Array:
        if not isinstance(value, self.xp.ndarray):
            value = self._adopt(name, value)
        if value.dtype.kind not in "biuf" and not _checks.is_bfloat16(value.dtype):
            raise TypeError(message(name, "an array of real numbers", f"dtype {value.dtype}"))
        if value.data.device_id != self.index:
            raise ValueError(message(name, f"an array on GPU {self.index}", f"one on GPU {value.data.device_id}"))
        return value if is_aligned(value) or name == "out" else self._aligned(value)  # type: ignore[no-any-return]

    def _aligned(self, array: Any) -> Any:
        """A copy whose elements are aligned to their own size, which no kernel can do without, CuPy's included."""
        with self.current():
            copied = self.empty(array.shape, array.dtype)
            self._bytes(copied)[...] = self._bytes(array)
        return copied

    def _bytes(self, array: Any) -> Any:
        """The array's memory as (..., itemsize) bytes."""
        return self.xp.ndarray((*array.shape, array.itemsize), np.uint8, array.data, (*array.strides, 1))

    def _adopt(self, name: str, value: Any) -> Any:
        """A CuPy array of what is none: another library's array on a GPU, in its memory, or numbers from the host.

        Both of CuPy's functions see to it that this stream waits for what the other library still has to write.
        """
        with self.current():
            if gpu_of(value) is None:
                return self.xp.asarray(_checks.real_array(name, value))
            return self.xp.from_dlpack(value) if hasattr(value, "__dlpack__") else self.xp.asarray(value)

    def promote(self, *arrays: Array | None) -> DType:
        """The one floating type that there is, the larger of float32 and float64, or float32 for two of 16 bits.

        Integers follow; without any floats, float64, as on the CPU.
        """
        floats = {array.dtype for array in arrays if array is not None and array.dtype.kind not in "biu"}
        if len(floats) == 1:
            return floats.pop()
        return FLOAT32 if floats and FLOAT64 not in floats else FLOAT64

    def promote_affine(self, x: Array, weight: Array, bias: Array | None) -> DType:
        """A bias of the type that sums are in, float32 beside 16 bits, is taken as it is."""
        dtype = self.promote(x, weight)
        return dtype if bias is None or bias.dtype == _checks.sum_type(dtype) else self.promote(x, weight, bias)

    def fit(self, array: Array, dtype: DType) -> Array:
        if array.dtype == dtype and is_ready(array):
            return array
        with self.current():
            return array.astype(dtype, order="C")

    def fit_bias(self, array: Array, dtype: DType) -> Array:
        return self.fit(array, _checks.sum_type(dtype))

    def same_memory(self, a: Array, b: object) -> bool:
        return a is b or (isinstance(b, self.xp.ndarray) and _checks.same_memory(shadow(a), shadow(b)))

    def require(self, **arrays: object) -> None:
        if on_cpu := [name for name, array in arrays.items() if on_host(array)]:
            raise TypeError(
                f"expected CuPy arrays for a network on a GPU, got a NumPy array ({', '.join(on_cpu)}):"
                " cupy.asarray() copies it to the GPU, net.to('cpu') the network to the host"
            )

    def check_winners(self, winners: Array, pieces: int) -> None:
        """Nothing: looking would have to be waited for, and the kernels let wrong winners win nothing."""

    def holds(self, array: object) -> bool:
        return not isinstance(array, HOST) and gpu_of(array) is not None

    def take(self, array: Array, rows: Array) -> Array:
        with self.current():
            return array[self.xp.asarray(rows)]  # type: ignore[no-any-return]

    def classes(self, hot: Array) -> Array:
        with self.current():
            return super().classes(hot)

    def host(self, array: Any) -> Any:
        if gpu_of(array) is None:
            return array
        array = self.array("array", array)
        narrow = array.dtype.kind not in "biu" and array.dtype.itemsize == 2
        with self.current():
            return (array.astype(FLOAT32) if narrow else array).get()

    # Arrays out ------------------------------------------------------------------------------------------------------
    def empty(self, shape: Any, dtype: Any) -> Array:
        with self.current():
            return self.xp.empty(shape, dtype)  # type: ignore[no-any-return]

    def output(self, out: object, shape: tuple[int, ...], dtype: DType, **inputs: Array | None) -> Array:
        if out is None:
            return self.empty(shape, dtype)
        if not isinstance(out, self.xp.ndarray):
            raise TypeError(message("out", "a CuPy array", type(out).__name__))
        given: Any = self.array("out", out)
        shadows = {name: shadow(array) for name, array in inputs.items() if array is not None}
        _checks.check_output(shadow(given), shape, dtype, **shadows)
        return given if is_ready(given) else self.empty(shape, dtype)

    def deliver(self, result: Array, out: Any) -> Array:
        with self.current():
            if out is None or result is out or is_aligned(out):
                return _checks.deliver(result, out)
            self._bytes(out)[...] = self._bytes(result)
            return out  # type: ignore[no-any-return]

    # Kernels ---------------------------------------------------------------------------------------------------------
    def launch(self, kernel: Callable[..., None], *arguments: Any, **settings: Any) -> None:
        """Call a function of ``_cuda`` on the current stream."""
        with self.current():
            kernel(*arguments, **settings, stream=self.xp.cuda.get_current_stream().ptr)

    def work(
        self, kernel: Callable[..., None], *arguments: Any, captured: list[Any] | None = None, **settings: Any
    ) -> None:
        """``launch`` of a kernel that takes its temporary memory from CuPy's pool.

        A graph that captures the call uses that memory at every replay. It is therefore kept in the list ``captured``,
        which lives as long as the network, or, without one, as long as the process.
        """
        allocate = partial(self._allocate, self._captured if captured is None else captured)
        self.launch(kernel, *arguments, **settings, allocate=allocate)

    def _allocate(self, captured: list[Any], size: int) -> Any:
        block = self.xp.cuda.alloc(size)
        if self.is_capturing():
            captured.append(block)
        return block

    def _multiply(self, kernel: Callable[..., None], *arguments: Any) -> None:
        self.work(kernel, *arguments, tf32=_tf32.get())

    def _constant(self, values: Array | None) -> Any:
        """The parameter of an activation on the GPU; the same array at the next call."""
        return None if values is None else self._upload(values.dtype, values.tobytes())

    def _on_gpu(self, dtype: DType, values: bytes) -> Any:
        with self.current():
            if self.is_capturing():
                raise RuntimeError(
                    "expected the parameter of an activation on the GPU before a capture begins: call the function"
                    " once with the same activation and dtype first"
                )
            array = self.xp.asarray(np.frombuffer(values, dtype))
            self.synchronize()  # other streams read the same array later, and wait for nothing
            return array

    def activation_forward(self, name: str, parameter: Array | None, z: Array, out: Array) -> None:
        self.work(self.kernels.activation_forward, name, self._constant(parameter), z, out)

    def activation_derivative(self, name: str, parameter: Array | None, z: Array, out: Array) -> None:
        self.work(self.kernels.activation_derivative, name, self._constant(parameter), z, out)

    def dense_forward(
        self,
        x: Array,
        weight: Array,
        bias: Array | None,
        activation: str,
        parameter: Array | None,
        out: Array,
        saved: Array | None,
    ) -> None:
        constant = self._constant(parameter)
        self._multiply(self.kernels.dense_forward, x, weight, bias, activation, constant, out, saved)

    def dense_backward(
        self,
        dy: Array,
        x: Array,
        weight: Array,
        saved: Array,
        activation: str,
        parameter: Array | None,
        dx: Array,
        dweight: Array,
        dbias: Array,
        dparameter: Array | None,
    ) -> None:
        # The kernel sums dparameter in the type of parameters.
        narrow = dparameter is not None and dparameter.dtype.itemsize == 2
        sums = self.empty(dparameter.shape, FLOAT32) if dparameter is not None and narrow else dparameter
        constant = self._constant(parameter)
        gradients = dx, dweight, dbias, sums
        self._multiply(self.kernels.dense_backward, dy, x, weight, saved, activation, constant, *gradients)
        if narrow and sums is not None:
            self.deliver(sums, dparameter)

    def maxout_forward(self, x: Array, weight: Array, bias: Array | None, out: Array, argmax: Array | None) -> None:
        self._multiply(self.kernels.maxout_forward, x, weight, bias, out, argmax)

    def maxout_backward(
        self, dy: Array, x: Array, weight: Array, argmax: Array, dx: Array, dweight: Array, dbias: Array
    ) -> None:
        self._multiply(self.kernels.maxout_backward, dy, x, weight, argmax, dx, dweight, dbias)


def is_ready(array: Any) -> bool:
    """Whether our kernels can read and write the array as it is."""
    return bool(array.flags.c_contiguous) and array.data.ptr % array.itemsize == 0


def is_aligned(array: Any) -> bool:
    """Whether the elements are aligned to their own size."""
    return not any(place % array.itemsize for place in (array.data.ptr, *array.strides))


class _Address:
    """Where an array on a GPU lies, in the words of NumPy's array interface."""

    def __init__(self, array: Any) -> None:
        self.__array_interface__ = {
            "version": 3,
            "shape": array.shape,
            "strides": array.strides,
            "typestr": f"|V{array.dtype.itemsize}",
            "data": (array.data.ptr, False),
        }


def shadow(array: Any) -> Array:
    """A NumPy array at the addresses of one on a GPU, for NumPy's rules about overlap; to look into it is forbidden."""
    return np.asarray(_Address(array)).view(array.dtype)
