"""From the arrays of a call to what runs them: NumPy and the kernels of ``_cpu``, or CuPy and those of ``_cuda``.

This is the only module that imports CuPy and the CUDA kernels, when the first array on a GPU asks for them.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from . import _checks, _cpu
from ._checks import FLOAT32, FLOAT64, Array, DType, message

# DLPack's numbers for arrays in a GPU's memory, and in memory that it shares with the host.
_DLPACK_CUDA = (2, 13)

_KERNELS = f"{__package__}._cuda"
_LEAST_CAPABILITY = (8, 0)

# The number of the GPU of an array with __cuda_array_interface__ alone, which does not tell.
_UNSAID = -1

# Parameters of activations that are kept on the GPU, so that a captured graph finds them there. A constant is some
# hundred bytes at least, as CuPy allocates; more different ones than these are hardly in use at a time.
_CONSTANTS = 1024

_HOST = (np.ndarray, type(None))

_tf32: ContextVar[bool] = ContextVar("tf32", default=False)


@contextmanager
def tf32() -> Iterator[None]:
    """``with tf32(): ...``: let products of float32 arrays on the GPU round their factors to TF32.

    TF32 keeps 10 bits of a factor's 23; sums stay in float32. The tensor cores multiply it several times as fast as
    float32 proper. It is for the functions (``dense``, ``maxout`` and their backward) called by this thread or task;
    a network says it by its dtype. Nothing changes on the CPU, nor for other dtypes.
    """
    token = _tf32.set(True)
    try:
        yield
    finally:
        _tf32.reset(token)


class Device(ABC):
    """What the functions of this package need of the place that arrays are in; the same for the CPU and a GPU.

    Attributes
    ----------
    name : {"cpu", "cuda"}
    precisions : tuple of str
        What a network there can compute in.
    xp : module
        numpy or cupy.
    """

    name: str
    precisions: tuple[str, ...]
    xp: Any

    # Arrays in
    array: Callable[[str, Any], Array]
    """(name, value): an array of real numbers here, not yet converted; TypeError for what is none."""

    promote: Callable[..., DType]
    """The dtype that the kernels compute these arrays in, None aside."""

    fit: Callable[[Array, DType], Array]
    """The same numbers as the kernels take them: C-contiguous and of that dtype."""

    fit_bias: Callable[[Array, DType], Array]
    """``fit`` of a bias, to the type that sums are in."""

    same_memory: Callable[[Array, object], bool]
    """Whether the second is an array of the same elements in the same order, so that working in place is safe."""

    # Arrays out
    empty: Callable[[Any, Any], Array]
    output: Callable[..., Array]
    """(out, shape, dtype, **inputs): see ``_checks.output``."""

    deliver: Callable[[Array, Any], Array]
    """(result, out): see ``_checks.deliver``."""

    # Kernels; what they take is in _cpu.pyi. Parameters of activations are always on the host.
    activation_forward: Callable[..., None]
    activation_derivative: Callable[..., None]
    dense_forward: Callable[..., None]
    dense_backward: Callable[..., None]
    maxout_forward: Callable[..., None]
    maxout_backward: Callable[..., None]

    def promote_affine(self, x: Array, weight: Array, bias: Array | None) -> DType:
        """``promote`` of the operands of ``x @ weight + bias``."""
        return self.promote(x, weight, bias)

    @abstractmethod
    def require(self, **arrays: object) -> None:
        """TypeError for arrays in other places than the network that is here."""

    def holds(self, array: object) -> bool:
        """Whether it is an array of a GPU, which looking into would have to be waited for."""
        return False

    def take(self, array: Array, rows: Array) -> Array:
        """Rows of an array here, by their numbers, which are on the host."""
        return array[rows]

    def classes(self, hot: Array) -> Array:
        """Of one-hot rows (B, K), the classes (B,)."""
        return hot.argmax(axis=1)  # type: ignore[no-any-return]

    @abstractmethod
    def check_winners(self, winners: Array, pieces: int) -> None:
        """ValueError for winners that are no pieces, where looking costs nothing."""

    @abstractmethod
    def host(self, array: Any) -> Any:
        """An array from here as NumPy's, 16-bit floats in float32; what is no array stays as it is."""

    def read_only(self, array: Array) -> Array:
        """The array, refusing to be written where that can be had."""
        return array

    def affine(self, x: Any, weight: Any, bias: Any, pieces: bool) -> tuple[Array, Array, Array | None]:
        """The operands of ``x @ weight + bias`` with shapes that go together.

        x (..., I) with weight (I, O) and bias (O,), or, for ``pieces``, weight (P, I, O) and bias (P, O).
        """
        array = self.array
        x, weight = array("x", x), array("weight", weight)
        form = "(P, I, O)" if pieces else "(I, O)"
        if weight.ndim != 2 + pieces:
            raise ValueError(message("weight", f"shape {form}", weight.shape))
        if pieces and not len(weight):
            raise ValueError(message("weight", f"shape {form} with at least one piece", weight.shape))
        if x.ndim == 0 or x.shape[-1] != weight.shape[-2]:
            raise ValueError(message("x", f"shape (..., {weight.shape[-2]}) for weight {weight.shape}", x.shape))
        if bias is not None:
            bias = _checks.same_shape("bias", array("bias", bias), weight.shape[:-2] + weight.shape[-1:])
        return x, weight, bias

    def network_input(self, x: Any, shape: tuple[int, ...], dtype: DType, name: str = "x") -> Array:
        """(B, \\*shape) or already flat (B, I), as the (B, I) that a network takes."""
        array = self.array(name, x)
        size = _checks.row_size(name, array.shape, shape)
        return self.fit(array, dtype).reshape(len(array), size)

    def precision(self, value: Any) -> str:
        """The name of a precision that a network here can compute in; ValueError for any other."""
        for known in self.precisions:
            if _is_precision(value, known):
                return known
        *names, last = map(repr, self.precisions)
        raise ValueError(message("dtype", f"{', '.join(names)} or {last}", repr(value)))

    @staticmethod
    def dtype(precision: str) -> DType:
        """What the inputs and outputs of a network of that precision hold."""
        if precision == "bfloat16":
            bfloat16: DType = np.dtype(import_module("ml_dtypes").bfloat16)
            return bfloat16
        return FLOAT32 if precision == "tf32" else np.dtype(precision)


def _is_precision(value: Any, name: str) -> bool:
    if name == "bfloat16":
        return _checks.is_bfloat16(value)
    if name == "tf32" or isinstance(value, str):
        return isinstance(value, str) and value == name
    return value is not None and np.dtype(name) == value  # NumPy takes None for float64


class Cpu(Device):
    """NumPy and the kernels of ``_cpu``."""

    name = "cpu"
    precisions = ("float32", "float64")
    xp = np

    array = staticmethod(_checks.real_array)
    promote = staticmethod(_checks.promote)
    fit = fit_bias = staticmethod(_checks.fit)
    same_memory = staticmethod(_checks.same_memory)
    empty = staticmethod(np.empty)
    output = staticmethod(_checks.output)
    deliver = staticmethod(_checks.deliver)

    activation_forward = staticmethod(_cpu.activation_forward)
    activation_derivative = staticmethod(_cpu.activation_derivative)
    dense_forward = staticmethod(_cpu.dense_forward)
    dense_backward = staticmethod(_cpu.dense_backward)
    maxout_forward = staticmethod(_cpu.maxout_forward)
    maxout_backward = staticmethod(_cpu.maxout_backward)

    def require(self, **arrays: object) -> None:
        for array in arrays.values():
            if not isinstance(array, _HOST):
                break
        else:
            return
        if on_gpu := [name for name, array in arrays.items() if _gpu_of(array) is not None]:
            raise TypeError(
                f"expected NumPy arrays for a network on the CPU, got a GPU array ({', '.join(on_gpu)}):"
                " cupy.asnumpy() copies it to the host, net.to('cuda') the network to the GPU"
            )

    def check_winners(self, winners: Array, pieces: int) -> None:
        if winners.size and winners.max() >= pieces:
            raise ValueError(message("saved", f"pieces 0 to {pieces - 1}", winners.max()))

    def host(self, array: Any) -> Any:
        return array

    def read_only(self, array: Array) -> Array:
        array.flags.writeable = False
        return array


class Cuda(Device):
    """CuPy and the kernels of ``_cuda``, on one GPU and the stream that is CuPy's current one at each call."""

    name = "cuda"
    precisions = ("float32", "float64", "tf32", "float16", "bfloat16")

    def __init__(self, index: int, xp: Any, kernels: Any) -> None:
        self.index = index
        self.xp = xp
        self.kernels = kernels

    def current(self) -> Any:
        """A context in which this GPU is CuPy's current one."""
        return self.xp.cuda.Device(self.index)

    # Arrays in -------------------------------------------------------------------------------------------------------
    def array(self, name: str, value: Any) -> Array:
        if not isinstance(value, self.xp.ndarray):
            value = self._adopt(name, value)
        if value.dtype.kind not in "biuf" and not _checks.is_bfloat16(value.dtype):
            raise TypeError(message(name, "an array of real numbers", f"dtype {value.dtype}"))
        if value.data.device_id != self.index:
            raise ValueError(message(name, f"an array on GPU {self.index}", f"one on GPU {value.data.device_id}"))
        return value  # type: ignore[no-any-return]

    def _adopt(self, name: str, value: Any) -> Any:
        """A CuPy array of what is none: another library's array on a GPU, in its memory, or numbers from the host.

        Both of CuPy's functions see to it that this stream waits for what the other library still has to write.
        """
        with self.current():
            if _gpu_of(value) is None:
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
        if array.dtype == dtype and array.flags.c_contiguous:
            return array
        with self.current():
            return array.astype(dtype, order="C")

    def fit_bias(self, array: Array, dtype: DType) -> Array:
        return self.fit(array, _checks.sum_type(dtype))

    def same_memory(self, a: Array, b: object) -> bool:
        return a is b or (isinstance(b, self.xp.ndarray) and _checks.same_memory(_shadow(a), _shadow(b)))

    def require(self, **arrays: object) -> None:
        if on_cpu := [name for name, array in arrays.items() if _on_host(array)]:
            raise TypeError(
                f"expected CuPy arrays for a network on a GPU, got a NumPy array ({', '.join(on_cpu)}):"
                " cupy.asarray() copies it to the GPU, net.to('cpu') the network to the host"
            )

    def check_winners(self, winners: Array, pieces: int) -> None:
        """Nothing: looking would have to be waited for, and the kernels let wrong winners win nothing."""

    def holds(self, array: object) -> bool:
        return not isinstance(array, _HOST) and _gpu_of(array) is not None

    def take(self, array: Array, rows: Array) -> Array:
        with self.current():
            return array[self.xp.asarray(rows)]  # type: ignore[no-any-return]

    def classes(self, hot: Array) -> Array:
        with self.current():
            return super().classes(hot)

    def host(self, array: Any) -> Any:
        if _gpu_of(array) is None:
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
        shadows = {name: _shadow(array) for name, array in inputs.items() if array is not None}
        _checks.check_output(_shadow(given), shape, dtype, **shadows)
        return given if given.flags.c_contiguous else self.empty(shape, dtype)

    def deliver(self, result: Array, out: Any) -> Array:
        with self.current():
            return _checks.deliver(result, out)

    # Kernels ---------------------------------------------------------------------------------------------------------
    def launch(self, kernel: Callable[..., None], *arguments: Any, **settings: Any) -> None:
        """Call a function of ``_cuda`` on the current stream."""
        with self.current():
            kernel(*arguments, **settings, stream=self.xp.cuda.get_current_stream().ptr)

    def work(self, kernel: Callable[..., None], *arguments: Any, **settings: Any) -> None:
        """``launch`` of what takes the memory that it works in from CuPy's pool."""
        self.launch(kernel, *arguments, **settings, allocate=self.xp.cuda.alloc)

    def _multiply(self, kernel: Callable[..., None], *arguments: Any) -> None:
        self.work(kernel, *arguments, tf32=_tf32.get())

    def _constant(self, values: Array | None) -> Any:
        """The parameter of an activation on the GPU; the same array at the next call."""
        return None if values is None else _constant(self.index, values.dtype, values.tobytes())

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


@lru_cache(maxsize=_CONSTANTS)
def _constant(index: int, dtype: DType, values: bytes) -> Any:
    device = cuda(index)
    with device.current():
        return device.xp.asarray(np.frombuffer(values, dtype))


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


def _shadow(array: Any) -> Array:
    """A NumPy array at the addresses of one on a GPU, for NumPy's rules about overlap; to look into it is forbidden."""
    return np.asarray(_Address(array)).view(array.dtype)


# The choice ----------------------------------------------------------------------------------------------------------
CPU = Cpu()


def of(**arrays: object) -> Device:
    """What runs a call on these arrays: a GPU where one of them is on it, else the CPU.

    Parameters
    ----------
    **arrays
        The array-likes of one call by the name the user knows them by; None where one was not given.

    Raises
    ------
    TypeError
        For GPU and NumPy arrays in one call, and for a GPU array where CUDA is off.
    """
    for array in arrays.values():
        if not isinstance(array, _HOST):
            return _choose(arrays)
    return CPU


def _choose(arrays: dict[str, object]) -> Device:
    gpus = {name: gpu for name, array in arrays.items() if (gpu := _gpu_of(array)) is not None}
    if not gpus:
        return CPU
    if on_cpu := [name for name, array in arrays.items() if _on_host(array)]:
        raise TypeError(
            f"expected NumPy or CuPy arrays in one call, got both: NumPy {', '.join(on_cpu)}, CuPy {', '.join(gpus)}"
        )
    try:
        index = max(gpus.values())
        return cuda(None if index == _UNSAID else index)
    except RuntimeError as error:
        raise TypeError(
            f"expected NumPy arrays, got a GPU array ({', '.join(gpus)}): {error}; copy to the host first, with"
            " cupy.asnumpy()"
        ) from error


def _on_host(array: object) -> bool:
    """Whether it is an array in the host's memory, NumPy's or another library's; numbers and lists are none."""
    return hasattr(array, "__array__") and _gpu_of(array) is None


def _gpu_of(array: Any) -> int | None:
    """The number of the GPU that an array is on, as far as it says; None for all else."""
    cupy = sys.modules.get("cupy")  # whoever has one of its arrays has imported it
    if cupy is not None and isinstance(array, cupy.ndarray):
        return int(array.data.device_id)
    if hasattr(array, "__dlpack_device__"):
        kind, index = array.__dlpack_device__()
        return int(index) if kind in _DLPACK_CUDA else None
    return _UNSAID if hasattr(array, "__cuda_array_interface__") else None


def named(name: Any) -> Device:
    """The device that a network asks for; ValueError for a name that is none, RuntimeError where CUDA is off."""
    if name == CPU.name:
        return CPU
    if name == Cuda.name:
        return cuda()
    raise _checks.unknown("device", name, (CPU.name, Cuda.name))


_opened: dict[int | None, Cuda] = {}


def cuda(index: int | None = None) -> Cuda:
    """The GPU of that number, by default CuPy's current one; RuntimeError where CUDA is off."""
    device = _opened.get(index)
    if device is None:
        if reason := why_not(index):
            raise RuntimeError(f"CUDA is off: {reason}")
        cupy = import_module("cupy")
        index = cupy.cuda.runtime.getDevice() if index is None else index
        device = _opened.setdefault(index, Cuda(index, cupy, import_module(_KERNELS)))
    return device


def why_not(index: int | None = None) -> str:
    """Why the GPU of that number, by default CuPy's current one, cannot be used; empty where it can."""
    try:
        import_module(_KERNELS)
    except ModuleNotFoundError:
        return "this build has no CUDA kernels"
    except ImportError as error:
        return f"the CUDA kernels cannot be loaded: {error}"
    try:
        cupy = import_module("cupy")
    except ModuleNotFoundError:
        return "CuPy is not installed: pip install 'fnnfast[cuda13]'"
    except ImportError as error:
        return f"CuPy cannot be imported: {error}"
    if not cupy.cuda.is_available():
        return "no CUDA device"
    capability = str(cupy.cuda.Device(index).compute_capability)
    major, minor = int(capability[:-1]), int(capability[-1])
    if (major, minor) < _LEAST_CAPABILITY:
        return f"compute capability {major}.{minor} is below {'.'.join(map(str, _LEAST_CAPABILITY))}"
    return ""
