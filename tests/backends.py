"""Where the arrays of a test live: NumPy's on the CPU, CuPy's on a GPU or on the emulator."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from factories import LAYOUTS
from fnnfast._device import select

EMULATED = os.environ.get("FNNFAST_EMULATED", "")
"""The path of the emulated CUDA extension, if the tests use it instead of a GPU."""


@dataclass(frozen=True)
class Backend:
    """Where arrays live: `array` brings a NumPy array there, `host` brings a result back."""

    name: str
    xp: ModuleType

    @property
    def emulated(self) -> bool:
        return self.xp is not np and bool(EMULATED)

    def array(self, array: np.ndarray) -> Any:
        return array if self.xp is np else self.xp.asarray(array)

    def host(self, array: Any) -> np.ndarray:
        return array if self.xp is np else array.get()

    def lay(self, array: np.ndarray, layout: str) -> Any:
        """The array there in one of LAYOUTS; on a GPU contiguous for those that CuPy does not have."""
        if self.xp is np:
            return LAYOUTS[layout](array)
        if layout == "fortran":
            return self.array(array.T.copy()).T
        if layout == "spread":
            larger = self.array(np.full(tuple(2 * n + 1 for n in array.shape), 1e4).astype(array.dtype))
            view = larger[tuple(slice(1, None, 2) for _ in array.shape)]
            view[...] = self.array(array)
            return view
        if layout == "reversed":
            back = (slice(None, None, -1),) * array.ndim
            return self.array(array[back].copy())[back]
        if layout == "misaligned":  # for vectors, not for elements, which a GPU refuses
            return self.array(np.concatenate([np.ones(1, array.dtype), array.ravel()]))[1:].reshape(array.shape)
        return self.array(array)

    def some(self, values: Sequence[Any], count: int = 16) -> Sequence[Any]:
        """The values; on the emulator, which is slow, about so many of them from first to last."""
        if not self.emulated:
            return values
        return [values[i] for i in sorted({round(i) for i in np.linspace(0, len(values) - 1, count)})]


def cuda() -> Backend:
    """The GPU, or what stands in for it; skips where there is none."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if not cupy.cuda.is_available():
        pytest.skip("no CUDA device")
    try:
        select.kernels()
    except ModuleNotFoundError:
        pytest.skip("there are no CUDA kernels")
    return Backend("cuda", cupy)
