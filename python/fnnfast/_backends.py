"""From the arrays of a call to the kernels that take them.

This build holds the CPU kernels only. Device arrays are recognised by their protocol, so that nothing has to be
imported to refuse them.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from . import _cpu


def of(**arrays: object) -> ModuleType:
    """Choose the extension module whose kernels take these arrays.

    Parameters
    ----------
    **arrays
        The array-likes of one call by the name the user knows them by; None where one was not given.

    Raises
    ------
    TypeError
        For a GPU array, and for GPU and NumPy arrays in one call.
    """
    on_gpu = [name for name, array in arrays.items() if hasattr(array, "__cuda_array_interface__")]
    if not on_gpu:
        return _cpu
    on_cpu = [name for name, array in arrays.items() if isinstance(array, np.ndarray)]
    if on_cpu:
        raise TypeError(
            f"expected NumPy or CuPy arrays in one call, got both: NumPy {', '.join(on_cpu)}, CuPy {', '.join(on_gpu)}"
        )
    raise TypeError(
        f"expected NumPy arrays, got a GPU array ({', '.join(on_gpu)}): the CUDA extension is not in this build of"
        " fnnfast; copy to the host first, with cupy.asnumpy()"
    )
