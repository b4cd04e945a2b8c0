"""Time two builds of fnnfast beside each other, on the problems of ``python -m fnnfast bench``.

    python tools/compare_builds.py OLD NEW [--only I1,I2,I6,I8,T1,T2] [--threads 1] [--tolerance 1.03]

OLD and NEW are folders that hold the package: an unpacked wheel, or python/ of a source tree with the extension built.
Each build has a process of its own, and they take turns. The best turn of each counts; turns are short, so that some
fall between the other work of the machine. A process keeps the addresses of its memory, which can favour one build, so
that every problem is run in several pairs of processes. A row that seems slower than allowed is measured again before
it is believed; new turns count for both builds.

The harness is that of this source tree for both. The builds must give the same bits. Exit status 1: a row of NEW is
slower than the tolerance allows, which for calls of one row is 1.02, or has other bits; 2: nothing was measured.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

PACKAGE = Path(__file__).resolve().parent.parent / "python" / "fnnfast"
ONE_ROW_TOLERANCE = 1.02


def load_bench() -> ModuleType:
    """This tree's _bench as a package of its own, without fnnfast: that is for the builds' processes to load."""
    sys.path.insert(0, str(PACKAGE))
    try:
        import _bench
        import _bench.problems
        import _bench.report
        import _bench.timing
    finally:
        sys.path.remove(str(PACKAGE))
    return _bench


bench: Any = load_bench()


def environment(build: Path) -> dict[str, str]:
    """What makes ``import fnnfast`` find a build."""
    return os.environ | {"PYTHONPATH": str(build), "PYTHONNOUSERSITE": "1", "PYTHONHASHSEED": "0"}


def check_build(build: Path) -> None:
    """Exit with status 2 unless the build in the folder is the one that is imported."""
    code = "import fnnfast._cpu; print(fnnfast._cpu.__file__)"
    found = subprocess.run([sys.executable, "-c", code], env=environment(build), capture_output=True, text=True)
    if found.returncode or not Path(found.stdout.strip()).resolve().is_relative_to(build.resolve()):
        print(f"{build}: expected a folder with fnnfast in it, got {found.stdout or found.stderr}", file=sys.stderr)
        sys.exit(2)


class FailedError(Exception):
    """What a build's process did not do."""


class Build:
    """A build at work on one problem, in a process of its own."""

    def __init__(self, path: Path, settings: Any) -> None:
        with mock.patch.dict(os.environ, environment(path)):
            self._worker = bench.timing.Worker(settings)

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._worker.ask(do, **request)
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer

    def prepare(self, problem: Any, threads: int) -> list[np.ndarray]:
        """Build the problem and give its answers."""
        with tempfile.TemporaryDirectory() as folder:
            names = {"peer": "fnnfast", "problem": problem.id, "threads": threads, "folder": folder}
            answers = self.ask("prepare", **names)["answers"]
            return [np.load(file) for files in answers.values() for file in files]

    def stop(self) -> None:
        self._worker.stop()


@dataclass
class Row:
    """One problem: seconds a call, by turn, of the old and the new build."""

    problem: Any
    tolerance: float
    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    same_bits: bool = True
    failed: str = ""

    @property
    def ratio(self) -> float:
        return min(self.new) / min(self.old) if self.new else math.nan

    @property
    def verdict(self) -> str:
        if self.failed:
            return self.failed
        if not self.same_bits:
            return "other bits"
        return "slower" if self.ratio > self.tolerance else ""


def turns(row: Row, builds: tuple[Path, Path], options: argparse.Namespace) -> None:
    """One pair of processes: both prepare, and take turns."""
    settings = bench.timing.Settings(threads=options.threads)
    with ExitStack() as stack:
        pair = []
        for path in builds:
            pair.append(Build(path, settings))
            stack.callback(pair[-1].stop)
        answers = [build.prepare(row.problem, options.threads) for build in pair]
        row.same_bits &= all(a.tobytes() == b.tobytes() for a, b in zip(*answers, strict=True))
        for build in pair:
            time.sleep(settings.pause_seconds)
            build.ask("calibrate", seconds=options.turn)
        for number in range(options.rounds):
            order = [(pair[0], row.old), (pair[1], row.new)]
            for build, times in order if number % 2 == 0 else order[::-1]:
                time.sleep(settings.pause_seconds)
                times.append(build.ask("turn", seconds=options.turn)["seconds"])


def measure(problem: Any, builds: tuple[Path, Path], options: argparse.Namespace) -> Row:
    tolerance = min(options.tolerance, ONE_ROW_TOLERANCE) if problem.batch == 1 else options.tolerance
    row = Row(problem, tolerance)
    try:
        for number in range(options.processes * (1 + options.again)):
            if number >= options.processes and row.verdict != "slower":
                break
            turns(row, builds, options)
    except FailedError as error:
        row.failed = f"failed: {error}"
    return row


def cells(row: Row) -> Iterator[str]:
    yield row.problem.id
    yield row.problem.title
    for times in (row.old, row.new):
        yield bench.report.duration(min(times)) if times else "-"
    yield f"{row.ratio:.3f}"
    yield f"{row.tolerance:g}"
    yield row.verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--only", help="problems, by default all")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tolerance", type=float, default=1.03, help="of new over old")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each build in a pair of processes")
    parser.add_argument("--processes", type=int, default=3, help="pairs of processes, one after the other")
    parser.add_argument("--again", type=int, default=3, help="how often a row that seems slower is measured again")
    parser.add_argument("--turn", type=float, default=0.01, help="seconds of a turn")
    options = parser.parse_args()
    builds = (options.old.resolve(), options.new.resolve())
    for build in builds:
        check_build(build)
    if os.getloadavg()[0] > 0.3 * len(os.sched_getaffinity(0)):
        print("warning: the machine is busy with other things; ratios from now are not to be kept", file=sys.stderr)
    rows = []
    for problem in bench.problems.select(options.only):
        rows.append(measure(problem, builds, options))
        print(f"{problem.id}: {rows[-1].ratio:.3f} {rows[-1].verdict}", file=sys.stderr, flush=True)
    least = options.rounds * options.processes
    print(f"{options.threads} threads, best of at least {least} turns, load {os.getloadavg()[0]:.2f}\n")
    heads = ["", "work", "old", "new", "new / old", "allowed", ""]
    print(bench.report.aligned([heads, *(list(cells(row)) for row in rows)], left={0, 1, 6}))
    return int(any(row.verdict for row in rows))


if __name__ == "__main__":
    sys.exit(main())
