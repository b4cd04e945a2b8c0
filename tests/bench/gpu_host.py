"""The CPU in a GPU's place, and small cases, for the tests of bench/gpu."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data as data_
import numpy as np
import pytest
from place import Runner
from problems import Case
from timing import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bench" / "gpu"
SCRIPT = ROOT / "bench" / "gpu_check.sh"

SMALL = (
    Case("G1", "gelu fp32", "dense", 40, (24, 16), "gelu", "float32", sets=3),
    Case("G1", "relu fp32", "dense", 40, (24, 16), "relu", "float32", sets=3),
    Case("G2", "fp32", "network", 33, (24, 16, 12, 10), "swish", "float32", sets=2),
    Case("G5", "fp32", "maxout", 33, (24, 16), "maxout", "float32", pieces=4, sets=2),
    Case("G6", "layer", "dense_backward", 40, (24, 16), "gelu", "float32", sets=2),
    Case("G6", "network", "gradients", 40, (24, 16, 10), "relu", "float32", sets=2),
    Case("G7", "fp32", "step", 40, (24, 16, 10), "relu", "float32", sets=3),
)
FAST = Settings(rounds=2, turn_seconds=1e-4, compile_seconds=0.0)
LIMITS = {"float32": 1e11, "copy": 1e10, "launch": 2e-6}


class Host:
    """The CPU in the GPU's place: NumPy for CuPy, loops for graphs."""

    device = "cpu"
    cache_bytes = 1 << 20

    def __init__(self) -> None:
        self.torch: Any = pytest.importorskip("torch")
        self.xp = np
        self.cupy_graph = self.torch_graph = self.loop

    def array(self, tensor: Any) -> np.ndarray:
        return tensor.detach().numpy()

    def tensor(self, array: Any) -> Any:
        return array.detach() if isinstance(array, self.torch.Tensor) else self.torch.as_tensor(array)

    def loop(self, calls: Callable[[], list[list[Any]]], count: int) -> Runner:
        last: list[list[list[Any]]] = []

        def run() -> None:
            last[:] = [calls()]

        for _ in range(data_.WARM_UPS):
            run()
        return Runner(run, count, lambda: last[0])

    def seconds(self, run: Callable[[], object], times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            run()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        pass

    def free(self) -> None:
        pass

    def limits(self, precisions: set[str]) -> dict[str, float]:
        return LIMITS


# Turns -------------------------------------------------------------------------------------------------------------
def faulty(message: str) -> Callable[[int], list[Any]]:
    def call(index: int) -> list[Any]:
        raise RuntimeError(message)

    return call
