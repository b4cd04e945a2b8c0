"""``python -m fnnfast info``: the machine and what fnnfast makes of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import numpy as np

from .._device import select
from . import machine

OPTIONAL = {
    "tqdm": ("tqdm",),
    "threadpoolctl": ("threadpoolctl",),
    "scikit-learn": ("scikit-learn",),
    "matplotlib": ("matplotlib",),
    "scipy": ("scipy",),
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime",),
    "onnx": ("onnx",),
    "cupy": ("cupy", "cupy-cuda13x", "cupy-cuda12x"),
}


def run(options: argparse.Namespace) -> int:
    for name, value in facts():
        print(f"{name:<13}{value}")
    return 0


def facts() -> Iterator[tuple[str, str]]:
    """Name and value of each line."""
    m = machine.describe()
    yield "fnnfast", m["fnnfast"]
    yield "python", f"{m['python']} on {m['system']}"
    yield "numpy", f"{m['numpy']} ({_blas()})"
    yield "cpu", f"{m['cpu']}, {m['processors']} processors"
    chosen = "FNNFAST_ISA" if os.environ.get("FNNFAST_ISA") else "the best of this CPU"
    yield "isa", f"{m['isa']} ({chosen}); available: {', '.join(m['isas'])}"
    yield "threads", f"{m['threads']} (default: {machine.threads_reason()})"
    yield "caches", ", ".join(f"{level} {_size(size)}" for level, size in m["caches"].items())
    yield "gpu", ", ".join(machine.gpus()) or "none found"
    reason = select.why_not()
    yield "cuda", f"off: {reason}" if reason else "on"
    versions = {name: machine.installed(*distributions) for name, distributions in OPTIONAL.items()}
    yield "extras", ", ".join(f"{name} {version}" for name, version in versions.items() if version) or "none"
    missing = [name for name, version in versions.items() if not version]
    if missing:
        yield "not found", ", ".join(missing)


def _blas() -> str:
    config = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {}) if config else {}
    return f"{blas.get('name', 'unknown BLAS')} {blas.get('version', '')}".strip()


def _size(nbytes: int) -> str:
    if nbytes == 0:
        return "unknown"
    return f"{nbytes / 2**20:g} MiB" if nbytes >= 2**20 else f"{nbytes / 2**10:g} KiB"
