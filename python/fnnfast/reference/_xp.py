"""What the oracles need of an array library: its module, float64, and the one special function NumPy lacks."""

import importlib
import math
import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A NumPy or CuPy array; CuPy cannot be named here, because it is imported by whoever made the array or not at all."""


def namespace(*arrays: Array) -> ModuleType:
    """The module, numpy or cupy, that the arrays belong to: cupy as soon as one of them is a CuPy array."""
    for array in arrays:
        if type(array).__module__.partition(".")[0] == "cupy":
            return sys.modules["cupy"]
    return np


def as_float64(xp: ModuleType, array: Array) -> Array:
    """The array in native float64; float32 values are exact in it."""
    return xp.asarray(array, dtype=xp.float64)


def erfc(xp: ModuleType, z: Array) -> Array:
    """1 - erf(z) without cancellation for large z: the C library's on the host, CuPy's on the device."""
    if xp is np:
        return np.asarray(np.frompyfunc(math.erfc, 1, 1)(z), dtype=np.float64)
    return importlib.import_module("cupyx.scipy.special").erfc(z)


def flat(x: Array) -> Array:
    """x (..., n) as its rows (N, n), for n = 0 too."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
