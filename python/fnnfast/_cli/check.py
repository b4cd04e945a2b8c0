"""``python -m fnnfast check``: the kernels against ``fnnfast.reference``, on every instruction set and on the GPU."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from .. import _cpu
from .._device import select
from .._device.cpu import CPU
from .._device.cuda import Cuda
from .check_cases import LAYERS, Comparison, cases

DTYPES = ("float32", "float64")
GPU = Cuda.name


def run(options: argparse.Namespace) -> int:
    kernels = [*_cpu.isas(), *([] if select.why_not() else [GPU])]
    columns = [(name, dtype) for name in kernels for dtype in DTYPES]
    width = max(len(name) for name, _ in cases())
    heads = [f"{isa} {dtype}" for isa, dtype in columns]
    print("Worst error over its tolerance (at most 1 passes), and whether every instruction set gives the same bits\n")
    print(_line("", width, heads, heads, "bits"))
    failures, worst, count = [], 0.0, 0
    for name, body in cases():
        results = {}
        for kernel, dtype in columns:
            if kernel != GPU or getattr(body, "func", body) in LAYERS:
                results[kernel, dtype] = _compare(body, kernel, dtype)
        bits = all(len({results[isa, dtype][1] for isa in _cpu.isas()}) == 1 for dtype in DTYPES)
        ratios = [ratio for ratio, _ in results.values()]
        cells = [_cell(*results[column]) if column in results else "-" for column in columns]
        print(_line(name, width, heads, cells, "same" if bits else "DIFFER"))
        worst, count = max(worst, *ratios), count + 1
        if max(ratios) > 1:
            failures.append(f"{name}: {_blame(results)}")
        if not bits:
            failures.append(f"{name}: the bits depend on the instruction set")
    print()
    if failures:
        print(f"{len(failures)} failures:", *failures, sep="\n  ")
        return 1
    print(f"all {count} checks pass on {', '.join(kernels)}; the worst error is {worst:.2f} of its tolerance")
    return 0


def _compare(body: object, kernels: str, dtype: str) -> tuple[float, str]:
    """Worst error over tolerance, and the digest of the bits or the words of an exception."""
    assert callable(body)
    before = _cpu.isa()
    if kernels != GPU:
        _cpu.use_isa(kernels)
    result = Comparison(np.dtype(dtype), select.cuda() if kernels == GPU else CPU)
    try:
        body(result)
    except Exception as error:  # one failure must not hide what the other cases have to say
        return np.inf, f"{type(error).__name__}: {error}"
    finally:
        _cpu.use_isa(before)
    return result.worst, result.digest


def _blame(results: dict[tuple[str, str], tuple[float, str]]) -> str:
    kernels, dtype = max(results, key=lambda column: results[column][0])
    ratio, said = results[kernels, dtype]
    what = said if " " in said else f"error {ratio:.3g} times the tolerance"
    return f"{what} ({kernels}, {dtype})"


def _cell(ratio: float, _: str) -> str:
    return f"{ratio:.2f}" if ratio <= 1 else f"FAIL {ratio:.1e}"


def _line(name: str, width: int, heads: Sequence[str], cells: Sequence[str], bits: str) -> str:
    columns = (cell.rjust(max(len(head), len("FAIL 1.0e+00"))) for head, cell in zip(heads, cells, strict=True))
    return "  ".join((name.ljust(width), *columns, bits))
