"""``python -m fnnfast certify``: the errors of the activations over all floats, as a table and a JSON certificate."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import _checks, _cpu
from .._certify import sweep
from .._certify.exact import Formulas
from .._certify.sweep import ALL, Case, Result
from . import machine

OTHERS_EVERY, OTHERS_COUNT = 64, 10**7
"""Instruction sets are compared with each other at every 64th float32, or 10^7 float64, at most: scalar is slow."""

HEAD = f"{'activation':<22}{'value ulp':>10}{'rounded':>9}{'derivative ulp':>16}{'eps':>7}{'rounded':>9}  bits"


def run(options: argparse.Namespace) -> int:
    try:
        formulas = Formulas()
        names = _names(options.activation, options.dtype, formulas)
    except (ModuleNotFoundError, ValueError) as error:
        print(f"certify: {error}", file=sys.stderr)
        return 2
    threads = options.threads or _cpu.get_num_threads()
    every = max(1, ALL // options.sample) if options.sample else 1
    count = options.sample or 10**8
    values = f"every {every}. float32" if every > 1 else "all float32"
    print(f"The largest errors over {values if options.dtype == 'float32' else f'{count} float64'}, in ulp; for a")
    print(
        "derivative, which may cross zero, also in eps. rounded: the share that is the float next to the exact value\n"
    )
    print(HEAD, flush=True)
    commit = _commit()  # when the run begins
    results: list[Result] = []
    differ: list[str] = []
    with sweep.one_thread_each(), _progress() as advance:
        for name, accurate in names:
            pair = []
            for case in _cases(name, accurate, options.dtype):
                found = sweep.measure(
                    case, every=every, count=count, threads=threads, formulas=formulas, advance=advance(case)
                )
                same = _same_bits(case, max(every, OTHERS_EVERY), min(count, OTHERS_COUNT), threads)
                differ += [] if same else [str(case)]
                pair.append(found)
            results += pair
            if options.json:  # after each activation: all of them take hours
                text = json.dumps(_certificate(results, differ, every, count, commit), indent=1)
                Path(options.json).write_text(text + "\n", encoding="utf-8")
            print(_line(pair, not any(str(found.case) in differ for found in pair)), flush=True)
    wrong = [f"{found.case}: {found.wrong}" for found in results if found.wrong]
    wrong += [f"{name}: the bits depend on the instruction set" for name in differ]
    if wrong:
        print(f"\n{len(wrong)} failures:", *wrong, sep="\n  ")
    return 1 if wrong else 0


def _names(asked: str | None, dtype: str, formulas: Formulas) -> list[tuple[str, bool]]:
    """The activations to measure, and whether in their accurate form."""
    registry = {info["name"]: info for info in _cpu.activations() if info["name"] in formulas.value}
    chosen = asked.split(",") if asked else list(registry)
    for name in chosen:
        if name not in registry:
            raise _checks.unknown("activation", name, registry)
    has_forms = dtype == "float32"  # in float64, both forms are one
    return [
        (name, accurate)
        for name in chosen
        for accurate in (False, True)[: 2 if has_forms and not registry[name]["exact"] else 1]
    ]


def _cases(name: str, accurate: bool, dtype: str) -> list[Case]:
    differentiable = {info["name"]: info["differentiable"] for info in _cpu.activations()}[name]
    return [Case(name, derivative, accurate, dtype) for derivative in (False, True)[: 1 + differentiable]]


def _same_bits(case: Case, every: int, count: int, threads: int) -> bool:
    """Whether all instruction sets give the same bits."""
    before = _cpu.isa()
    digests = set()
    try:
        for isa in _cpu.isas():
            _cpu.use_isa(isa)
            digests.add(sweep.bits(case, every=every, count=count, threads=threads))
    finally:
        _cpu.use_isa(before)
    return len(digests) == 1


def _line(pair: list[Result], same: bool) -> str:
    value, *derivative = pair
    name = f"{value.case.name}{', accurate' if value.case.accurate else ''}"
    line = f"{name:<22}{value.largest:>10.4f}{value.rounded:>9.2%}"
    for found in derivative:
        line += f"{found.largest:>16.4f}{found.absolute:>7.2f}{found.rounded:>9.2%}"
    return f"{line:<73}  {'same' if same else 'DIFFER'}"


def _certificate(
    results: list[Result], differ: list[str], every: int, count: int, commit: str | None
) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "commit": commit,
        "float32_every": every,
        "float64_count": count,
        "instruction_sets_every": max(every, OTHERS_EVERY),
        "instruction_sets_count": min(count, OTHERS_COUNT),
        "instruction_sets_that_differ": differ,
        "results": [found.json() for found in results],
    }


def _commit() -> str | None:
    """The commit of a source tree; None where there is none."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "csrc").is_dir():  # installed, maybe inside of another repository
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


@contextmanager
def _progress() -> Iterator[Callable[[Case], Callable[[int], object]]]:
    """A function that tells of a case, and gives one that tells of values done: a bar where someone looks."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield lambda case: lambda values: None
        return
    with tqdm(unit="float", unit_scale=True, disable=None, leave=False) as bar:

        def begin(case: Case) -> Callable[[int], object]:
            bar.set_description(str(case), refresh=False)
            advance: Callable[[int], object] = bar.update
            return advance

        yield begin
