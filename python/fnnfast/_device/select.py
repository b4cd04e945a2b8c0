"""From the arrays of a call to what runs them: NumPy and the kernels of ``_cpu``, or CuPy and those of ``_cuda``.

This is the only module that imports CuPy and the CUDA kernels, when the first array on a GPU asks for them.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from .. import _checks
from .base import HOST, UNSAID, Device, gpu_of, on_host
from .cpu import CPU
from .cuda import Cuda

_KERNELS = f"{__package__.partition('.')[0]}._cuda"  # built with the package, where nvcc was
_DISTRIBUTION, _INSTALLED = "fnnfast-cuda13", "fnnfast_cuda13._cuda"  # a wheel of their own
_LEAST_CAPABILITY = (8, 0)


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
        if not isinstance(array, HOST):
            return _choose(arrays)
    return CPU


def _choose(arrays: dict[str, object]) -> Device:
    gpus = {name: gpu for name, array in arrays.items() if (gpu := gpu_of(array)) is not None}
    if not gpus:
        return CPU
    if on_cpu := [name for name, array in arrays.items() if on_host(array)]:
        raise TypeError(
            f"expected NumPy or CuPy arrays in one call, got both: NumPy {', '.join(on_cpu)}, CuPy {', '.join(gpus)}"
        )
    try:
        index = max(gpus.values())
        return cuda(None if index == UNSAID else index)
    except RuntimeError as error:
        raise TypeError(
            f"expected NumPy arrays, got a GPU array ({', '.join(gpus)}): {error}; copy to the host first, with"
            " cupy.asnumpy()"
        ) from error


def named(name: Any) -> Device:
    """The device that a network asks for; ValueError for a name that is none, RuntimeError where CUDA is off."""
    if isinstance(name, str) and name == CPU.name:
        return CPU
    if isinstance(name, str) and name == Cuda.name:
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
        device = _opened.setdefault(index, Cuda(index, cupy, kernels()))
    return device


def kernels() -> ModuleType:
    """The CUDA kernels: those built with the package, else those of ``fnnfast-cuda13``.

    Raises
    ------
    ModuleNotFoundError
        Where neither are there.
    ImportError
        Where they cannot be loaded, or are those of another version.
    """
    try:
        return import_module(_KERNELS)
    except ModuleNotFoundError:
        module = import_module(_INSTALLED)
    from importlib.metadata import version  # it takes longer to import than fnnfast

    theirs, ours = version(_DISTRIBUTION), version("fnnfast")
    if theirs != ours:
        raise ImportError(f"{_DISTRIBUTION} {theirs} is not for fnnfast {ours}: pip install {_DISTRIBUTION}=={ours}")
    return module


def why_not(index: int | None = None) -> str:
    """Why the GPU of that number, by default CuPy's current one, cannot be used; empty where it can."""
    try:
        module = kernels()
    except ModuleNotFoundError:
        return f"this build has no CUDA kernels, and {_DISTRIBUTION} is not installed"
    except ImportError as error:
        return f"the CUDA kernels cannot be loaded: {error}"
    try:
        cupy = import_module("cupy")
    except ModuleNotFoundError:
        return "CuPy is not installed: pip install 'fnnfast[cuda13]'"
    except ImportError as error:
        return f"CuPy cannot be imported: {error}"
    if not cupy.cuda.is_available():
        return _no_device(cupy)
    capability = str(cupy.cuda.Device(index).compute_capability)
    major, minor = int(capability[:-1]), int(capability[-1])
    if (major, minor) < _LEAST_CAPABILITY:
        return f"compute capability {major}.{minor} is below {'.'.join(map(str, _LEAST_CAPABILITY))}"
    try:
        with cupy.cuda.Device(index):
            module.probe()
    except RuntimeError as error:  # a driver older than the toolkit that compiled the kernels, say
        return f"the CUDA kernels do not run here: {error}"
    return ""


def _no_device(cupy: ModuleType) -> str:
    """What CuPy knows of the reason: its ``is_available`` hides that there is no driver, or one that is too old."""
    try:
        cupy.cuda.runtime.getDeviceCount()
    except RuntimeError as error:
        return f"no CUDA device: {error}" if cupy.cuda.runtime.driverGetVersion() else "no NVIDIA driver was found"
    return "no CUDA device"
