"""What fnnfast runs on, as facts to print and to keep beside a measurement."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .. import _cpu


def describe() -> dict[str, Any]:
    """Versions, CPU, instruction sets, threads, caches (bytes), operating system, load: JSON values."""
    return {
        "fnnfast": installed("fnnfast") or "source tree",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
        "cpu": cpu_model(),
        "processors": os.cpu_count(),
        "affinity": affinity(),
        "isa": _cpu.isa(),
        "isas": _cpu.isas(),
        "extensions": extensions(),
        "threads": _cpu.get_num_threads(),
        "caches": dict(zip(("L1d", "L2", "L3"), _cpu.cache_sizes(), strict=True)),
        "load_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,  # not on Windows
    }


def extensions() -> dict[str, str | None]:
    """By number format, the extension of the instruction set that multiplies it; None: the instruction set itself."""
    found: dict[str, str | None] = {"bfloat16": None, "int8": None}
    for name, isa, number_format, chosen in _cpu.extensions():
        if chosen and isa == _cpu.isa() and found[number_format] is None:  # the fastest comes first
            found[number_format] = name
    return found


def installed(*distributions: str) -> str | None:
    """The version of the first of the distributions that is installed."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def cpu_model() -> str:
    """The CPU's own name for itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def affinity() -> int:
    """How many processors this process may run on, quotas aside."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_reason() -> str:
    """Why the default number of threads is what it is; the kernels decide, this tells which of the three decided."""
    default = _cpu.default_num_threads()
    variable = os.environ.get("OMP_NUM_THREADS", "")
    if variable.split(",")[0].strip() == str(default):
        return f"OMP_NUM_THREADS={variable}"
    allowed = affinity()
    ignored = f"; OMP_NUM_THREADS={variable!r} is no usable number" if variable else ""
    if default < allowed:
        return f"the cgroup's CPU quota, of {allowed} processors in the affinity mask{ignored}"
    return f"the processors of the affinity mask, of {os.cpu_count()}{ignored}"


def gpus() -> list[str]:
    """The NVIDIA GPUs that the driver or nvidia-smi names."""
    names = [
        line.partition(":")[2].strip()
        for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in information.read_text().splitlines()
        if line.startswith("Model:")
    ]
    tool = shutil.which("nvidia-smi")
    if names or tool is None:
        return names
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
