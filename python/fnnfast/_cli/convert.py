"""``python -m fnnfast convert SOURCE TARGET``: a model file of one kind from one of another, compared with it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fnnfast as fnn

from .._checks import Array
from .._network.network import Network


def _from_onnx(path: str, options: argparse.Namespace, rows: Any) -> Network:
    return fnn.from_onnx(path, output=options.output, check=rows)


def _to_onnx(net: Network, path: str, options: argparse.Namespace) -> None:
    fnn.to_onnx(net, path, opset=options.opset, probabilities=not options.logits)


READERS: dict[str, Callable[[str, argparse.Namespace, Any], Network]] = {
    ".keras": lambda path, options, rows: fnn.from_keras(path, check=rows),
    ".onnx": _from_onnx,
    ".safetensors": lambda path, options, rows: fnn.load(path),
}
WRITERS: dict[str, Callable[[Network, str, argparse.Namespace], None]] = {
    ".safetensors": lambda net, path, options: net.save(path),
    ".onnx": _to_onnx,
}
# Files that hold no layers, or that would have to be unpickled.
ADVICE = {
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), "load it into its torch module, and use fnnfast.from_torch"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".skops"), "load it in Python, and use fnnfast.from_sklearn"),
}


def run(options: argparse.Namespace) -> int:
    source, target = options.source, options.target
    try:
        read, write = _by_suffix(source, READERS), _by_suffix(target, WRITERS)
        if Path(target).exists() and Path(source).exists() and Path(source).samefile(target):
            raise ValueError(f"{target}: expected another file than the source")
        rows = None if options.rows is None else np.load(options.rows, allow_pickle=False)
        net = read(source, options, rows)
        print(f"read {source}")
        print(net.summary())
        _tell_origin(net)
        write(net, target, options)
        _compare(net, target, options, rows)
    except (ValueError, ModuleNotFoundError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    return 0


def _by_suffix(path: str, known: dict[str, Any]) -> Any:
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        advice = f"; {ADVICE[suffix]}" if suffix in ADVICE and known is READERS else ""
        raise ValueError(f"{path}: expected a file name that ends in {' or '.join(known)}, got {suffix!r}{advice}")
    return known[suffix]


def _tell_origin(net: Network) -> None:
    conversion = getattr(net, "converted_from", None)
    if conversion is None:
        return
    versions = ", ".join(f"{name} {version}" for name, version in conversion.versions.items())
    print(f"source: {conversion.source} ({versions})")
    for line in conversion.folded:
        print(f"folded: {line}")
    print(f"checked: {conversion.check}: largest difference {conversion.largest_difference:.2g}")


def _compare(net: Network, target: str, options: argparse.Namespace, rows: Array | None) -> None:
    """Read the new file, and say how far its answers are from those of the network."""
    size = f"{Path(target).stat().st_size:,} bytes"
    if net.compute_dtype == "int8" and target.endswith(".onnx"):
        print(f"wrote {target} ({size}); not compared, since int8 models are not read")
        return
    x = np.random.default_rng(0).standard_normal((32, *net.input.shape)) if rows is None else rows
    again = _by_suffix(target, READERS)(target, argparse.Namespace(output=None), x)
    expected = net.logits(x) if options.logits and target.endswith(".onnx") else net(x)
    difference = np.max(np.abs(again(x) - expected), initial=0)
    print(f"wrote {target} ({size}), read it again: largest difference {difference:.2g}")
