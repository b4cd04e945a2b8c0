"""What the functions of this package need of the place that arrays are in."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .. import _checks
from .._checks import FLOAT32, Array, DType, message
from ..typing import DeviceName, DTypeName

# DLPack's numbers for arrays in a GPU's memory, and in memory that it shares with the host.
_DLPACK_CUDA = (2, 13)

# The number of the GPU of an array with __cuda_array_interface__ alone, which does not tell.
UNSAID = -1

HOST = (np.ndarray, type(None))


def on_host(array: object) -> bool:
    """Whether it is an array in the host's memory, NumPy's or another library's; numbers and lists are none."""
    return hasattr(array, "__array__") and gpu_of(array) is None


def gpu_of(array: Any) -> int | None:
    """The number of the GPU that an array is on, as far as it says; None for all else."""
    cupy = sys.modules.get("cupy")  # whoever has one of its arrays has imported it
    if cupy is not None and isinstance(array, cupy.ndarray):
        return int(array.data.device_id)
    if hasattr(array, "__dlpack_device__"):
        kind, index = array.__dlpack_device__()
        return int(index) if kind in _DLPACK_CUDA else None
    return UNSAID if hasattr(array, "__cuda_array_interface__") else None


class Device(ABC):
    """What the functions of this package need of the place that arrays are in; the same for the CPU and a GPU.

    Attributes
    ----------
    name : {"cpu", "cuda"}
    compute_dtypes : tuple of str
        What a network there can compute in.
    xp : module
        numpy or cupy.
    """

    name: DeviceName
    compute_dtypes: tuple[DTypeName, ...]
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

    # On the CPU only
    conv2d_forward: Callable[..., None]
    conv2d_backward: Callable[..., None]
    maxout_conv2d_forward: Callable[..., None]
    maxout_conv2d_backward: Callable[..., None]

    def promote_affine(self, x: Array, weight: Array, bias: Array | None) -> DType:
        """``promote`` of the operands of ``x @ weight + bias``."""
        return self.promote(x, weight, bias)

    @abstractmethod
    def current(self) -> Any:
        """A context in which new arrays are made here."""

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

    def compute_dtype(self, value: Any) -> DTypeName:
        """The name of a precision that a network here can compute in; ValueError for any other."""
        for known in self.compute_dtypes:
            if _is_compute_dtype(value, known):
                return known
        *names, last = map(repr, self.compute_dtypes)
        raise ValueError(message("dtype", f"{', '.join(names)} or {last}", repr(value)))

    @staticmethod
    def dtype(precision: str) -> DType:
        """What the inputs and outputs of a network of that precision hold."""
        if precision == "bfloat16":
            bfloat16: DType = np.dtype(import_module("ml_dtypes").bfloat16)
            return bfloat16
        return FLOAT32 if precision == "tf32" else np.dtype(precision)


def _is_compute_dtype(value: Any, name: str) -> bool:
    if name == "bfloat16":
        return _checks.is_bfloat16(value)
    if name == "tf32" or isinstance(value, str):
        return isinstance(value, str) and value == name
    return _checks.same_dtype(np.dtype(name), value)
