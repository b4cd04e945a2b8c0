"""A network on a GPU: its parameters in CuPy arrays, and ``_cuda.Network``'s forward pass over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._checks import Array
from ..typing import DTypeName
from .cuda import Cuda, is_ready


class CudaNetwork:
    """What Sequential asks of ``_cpu.Network``, on a GPU.

    Attributes
    ----------
    device : Cuda
    compute_dtype : str
    core : _cuda.Network
    full : cupy.ndarray (size,)
        All parameters, in the type that sums are in.
    products : cupy.ndarray (size,) or None
        The same rounded to float16 or bfloat16, which products read.
    """

    def __init__(
        self,
        device: Cuda,
        compute_dtype: DTypeName,
        inputs: int | tuple[int, int, int],
        layers: Sequence[tuple[Any, ...]],
    ) -> None:
        self.compute_dtype = compute_dtype
        self.core = device.kernels.Network(compute_dtype, inputs, layers)
        self.device = device
        self._dtype = device.dtype(compute_dtype)
        self._inputs = math.prod(inputs) if isinstance(inputs, tuple) else inputs
        self._places = [dict(self.core.places(layer)) for layer in range(self.core.layers)]
        self._outputs = self.core.outputs
        parameters = np.zeros(self.core.size, _checks.sum_type(self._dtype))
        for at, value in self.core.constants:
            parameters[at] = value
        self.full = device.array("parameters", parameters)
        self.products = None if parameters.dtype == self._dtype else device.empty(self.core.size, self._dtype)
        self._captured: list[Any] = []
        self._round()
        device.synchronize()  # the first call may be on another stream

    def names(self, layer: int) -> list[str]:
        """As ``_cpu.Network``."""
        return list(self._places[layer])

    def get(self, layer: int, name: str) -> Array:
        """A fresh copy, on the GPU."""
        with self.device.current():
            return self.view(self.full, layer, name).copy()  # type: ignore[no-any-return]

    def set(self, layer: int, name: str, value: Array) -> None:
        """Copy in an array of the shape and dtype that ``get`` returns."""
        with self.device.current():
            self.view(self.full, layer, name)[...] = value
        self._round()

    def try_forward(self, x: object, out: object = None, logits: bool = False) -> Array | None:
        """(B, I) -> (B, O) in a new array, or in out; None, with nothing done, unless both can be used as they are."""
        if not self._fits(x, self._inputs):
            return None
        rows: Any = x
        if out is None:
            result: Any = self.device.empty((len(rows), self._outputs), self._dtype)
        elif self._fits(out, self._outputs) and _apart(rows, out) and len(out) == len(rows):  # type: ignore[arg-type]
            result = out
        else:
            return None
        if len(rows):
            arrays = self.full, self.products, rows, result
            self.device.work(self.core.forward, *arrays, logits, captured=self._captured)
        return result  # type: ignore[no-any-return]

    def plan(self, batch: int) -> list[str]:
        """As ``_cpu.Network``."""
        with self.device.current():
            return self.core.plan(batch)  # type: ignore[no-any-return]

    def all(self) -> list[tuple[int, str]]:
        """The layer and the name of all parameters, in order."""
        return [(layer, name) for layer, of_layer in enumerate(self._places) for name in of_layer]

    def view(self, array: Any, layer: int, name: str) -> Any:
        """What belongs to a parameter in an array that is laid out as ``full``."""
        offset, shape, strides = self._places[layer][name]
        nbytes = [stride * array.itemsize for stride in strides]
        return self.device.xp.lib.stride_tricks.as_strided(array[offset:], shape, nbytes)

    def _round(self) -> None:
        if self.products is not None:
            self.device.launch(self.core.round, self.full, self.products)

    def _fits(self, array: Any, columns: int) -> bool:
        return (
            isinstance(array, self.device.xp.ndarray)
            and array.dtype == self._dtype
            and array.ndim == 2
            and array.shape[1] == columns
            and is_ready(array)
            and array.data.device_id == self.device.index
        )


def _apart(a: Any, b: Any) -> bool:
    """Whether contiguous arrays share no memory."""
    return bool(a.data.ptr + a.nbytes <= b.data.ptr or b.data.ptr + b.nbytes <= a.data.ptr)
