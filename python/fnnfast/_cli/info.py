"""``python -m fnnfast info``: the machine and what fnnfast makes of it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any

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
    "openvino": ("openvino",),
    "jax": ("jax",),
    "cupy": ("cupy", "cupy-cuda13x", "cupy-cuda12x"),
}


def run(options: argparse.Namespace) -> int:
    facts = collect()
    if options.json:
        print(json.dumps(facts, indent=1))
    else:
        for name, value in lines(facts):
            print(f"{name:<13}{value}")
    return 0


def collect() -> dict[str, Any]:
    """All that there is to tell, as JSON values: ``machine.describe``, and what follows from it and around it.

    ``cuda_off`` is the reason, null where CUDA is on; ``extras`` are versions, null where a package is not installed.
    """
    return machine.describe() | {
        "blas": _blas(),
        "isa_by": "FNNFAST_ISA" if os.environ.get("FNNFAST_ISA") else "the best of this CPU",
        "threads_by": machine.threads_reason(),
        "gpus": machine.gpus(),
        "cuda_off": select.why_not() or None,
        "extras": {name: machine.installed(*distributions) for name, distributions in OPTIONAL.items()},
    }


def lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of each line."""
    yield "fnnfast", facts["fnnfast"]
    yield "python", f"{facts['python']} on {facts['system']}"
    yield "numpy", f"{facts['numpy']} ({facts['blas']})"
    yield "cpu", f"{facts['cpu']}, {facts['processors']} processors"
    yield "isa", f"{facts['isa']} ({facts['isa_by']}); available: {', '.join(facts['isas'])}"
    by = facts["extensions"]
    yield "products", f"bfloat16 by {by['bfloat16'] or 'float32'}, int8 by {by['int8'] or 'general instructions'}"
    yield "threads", f"{facts['threads']} (default: {facts['threads_by']})"
    yield "caches", ", ".join(f"{level} {_size(size)}" for level, size in facts["caches"].items())
    yield "gpu", ", ".join(facts["gpus"]) or "none found"
    yield "cuda", f"off: {facts['cuda_off']}" if facts["cuda_off"] else "on"
    versions = facts["extras"]
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
