"""What the machine is: its GPU as the driver and nvidia-smi describe it, and the versions of what is compared.

Run as a script it prints them, and ends with status 2 where there is no GPU.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = ("numpy", "cupy-cuda13x", "torch", "triton", "ml_dtypes", "nvidia-cublas", "nvidia-cublas-cu13")
QUERY = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu"


def emulate() -> bool:
    """Let the emulator be the GPU if FNNFAST_EMULATED names it, as in the tests; whether it does."""
    extension = os.environ.get("FNNFAST_EMULATED", "")
    if extension and "cupy" not in sys.modules:
        sys.path.append(str(ROOT / "tests" / "cuda"))
        import_module("cupy_stand_in").install(extension)
    return bool(extension)


def device_count() -> int:
    """How many CUDA devices the driver offers; 0 also where there is no driver. The emulator counts as one."""
    if os.environ.get("FNNFAST_EMULATED"):
        return 1
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def describe() -> dict[str, Any]:
    """JSON values: versions, commit, system, the GPU's state, and fnnfast's own description of the CPU."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "nvcc": _last_line(["nvcc", "--version"]),
        "commit": _last_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
        "versions": {name: version for name in DISTRIBUTIONS if (version := _version(name))},
        "gpu": {},
    }
    answer = _last_line(["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"])
    if answer:
        found["gpu"] = dict(zip(QUERY.split(","), (value.strip() for value in answer.split(",")), strict=False))
    try:
        from fnnfast._cli import machine

        found["fnnfast"] = machine.describe()
    except Exception as error:  # a build that cannot be imported is the caller's next message
        found["fnnfast"] = f"{type(error).__name__}: {error}"
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _last_line(command: Sequence[str]) -> str:
    """The last line that a tool prints; empty where there is no such tool, or it fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else ""


def main() -> int:
    for name, value in describe().items():
        print(f"{name}: {value}")
    if device_count():
        return 0
    print("no CUDA device: the driver offers none", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
