"""Arrays in the host's memory: NumPy's, and the kernels of ``_cpu``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from .. import _checks, _cpu
from .._checks import FLOAT32, Array, DType, message
from .base import HOST, Device, gpu_of


class Cpu(Device):
    """NumPy and the kernels of ``_cpu``."""

    name = "cpu"
    compute_dtypes = ("float32", "float64", "bfloat16")
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
    conv2d_forward = staticmethod(_cpu.conv2d_forward)
    conv2d_backward = staticmethod(_cpu.conv2d_backward)
    maxout_conv2d_forward = staticmethod(_cpu.maxout_conv2d_forward)
    maxout_conv2d_backward = staticmethod(_cpu.maxout_conv2d_backward)

    def current(self) -> Any:
        return nullcontext()

    @staticmethod
    def dtype(precision: str) -> DType:
        return FLOAT32 if precision == "bfloat16" else np.dtype(precision)

    def require(self, **arrays: object) -> None:
        for array in arrays.values():
            if not isinstance(array, HOST):
                break
        else:
            return
        if on_gpu := [name for name, array in arrays.items() if gpu_of(array) is not None]:
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


CPU = Cpu()
