"""Measure fnnfast's CUDA kernels beside their peers: ``python bench/gpu/main.py --rows G1 G4 --out DIR``.

DIR/bench.json and DIR/bench.txt are written anew after every case. A process measures the cases one after the other;
if it dies or hangs, another one goes on behind the case that it was at. Exit status: 0, or 1 where fnnfast has no time
for a case, or 2 where nothing can be measured. Missed goals are in the table and do not count.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import facts
import problems
import report
from problems import Case
from report import Record
from timing import Settings

LEAST_SECONDS = 10.0
"""In less no process is started: it takes most of that to load what it needs."""

STALL_SECONDS = 60.0
"""A process that has saved nothing for so long, torch.compile aside, hangs."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help=f"of {' '.join(problems.ROWS)}; all")
    parser.add_argument(
        "--out", type=Path, default=Path("bench/results/gpu"), help="the folder of bench.json, bench.txt"
    )
    parser.add_argument("--seconds", type=float, default=540.0, help="stop after so many; 540")
    parser.add_argument("--rounds", type=int, default=Settings.rounds, help=f"turns of each; {Settings.rounds}")
    parser.add_argument(
        "--compile-seconds",
        type=float,
        default=Settings.compile_seconds,
        help=f"for torch.compile to get ready for a case; 0: leave it out; {Settings.compile_seconds:g}",
    )
    parser.add_argument(
        "--goals-against", default="", metavar="NAME", help="only cases with a goal against that contender"
    )
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--worker", nargs="+", metavar="CASE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        options.cases = problems.select(options.rows, options.goals_against)
        options.worker = [problems.get(name) for name in options.worker or ()]
    except ValueError as error:
        parser.error(str(error))
    if options.rounds < 1 or options.seconds <= 0 or options.compile_seconds < 0:
        parser.error("expected --rounds >= 1, --seconds > 0 and --compile-seconds >= 0")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{case.id:<18}{case.title}" for case in options.cases))
        return 0
    if facts.device_count() == 0:
        print("no CUDA device: nothing can be measured here", file=sys.stderr)
        return 2
    settings = Settings(rounds=options.rounds, compile_seconds=options.compile_seconds)
    if options.worker:
        return _work(options.worker, settings, options)
    return _direct(options.cases, settings, options)


def _work(cases: Sequence[Case], settings: Settings, options: argparse.Namespace) -> int:
    """What the process that measures does."""
    deadline = time.monotonic() + options.seconds
    import measure
    from place import Gpu

    measure.work(Gpu(), cases, settings, Record(options.out / "bench.json"), deadline)
    return 0


def _direct(cases: Sequence[Case], settings: Settings, options: argparse.Namespace) -> int:
    """Start the process that measures, look after it, and start another one where that is needed; the table."""
    deadline = time.monotonic() + options.seconds
    path = options.out / "bench.json"
    Record(path).describe(facts.describe(), asdict(settings))
    _mark(path, cases)
    left = list(cases)
    while left:
        if deadline - time.monotonic() < LEAST_SECONDS:
            _give_up(path, left, "no time left")
            break
        fault = _measure(path, left, deadline, options)
        left = [case for case in left if not _is_finished(path, case)]
        if left:
            _give_up(path, left[:1], fault or "its process ended without it")
            left = left[1:]
    print(_write_table(path))
    record = Record(path)
    return int(any(report.best(record.get(case.id) or {"contenders": []}, problems.OURS) is None for case in cases))


def _measure(path: Path, cases: Sequence[Case], deadline: float, options: argparse.Namespace) -> str | None:
    """Let a process measure the cases; why it ended early, or None."""
    command = [sys.executable, __file__, "--worker", *(case.id for case in cases), "--out", str(options.out)]
    command += ["--seconds", str(deadline - time.monotonic()), "--rounds", str(options.rounds)]
    command += ["--compile-seconds", str(options.compile_seconds)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    patience = STALL_SECONDS + options.compile_seconds
    seen, since = 0, time.monotonic()
    try:
        while process.poll() is None:
            time.sleep(0.1)
            changed = path.stat().st_mtime_ns
            if changed != seen:
                seen, since = changed, time.monotonic()
                _write_table(path)
            if time.monotonic() > deadline:
                return "stopped: no time left"
            if time.monotonic() - since > patience:
                return f"stopped: nothing was saved for {patience:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
    return None if process.returncode == 0 else f"its process ended with status {process.returncode}; see the log"


def _write_table(path: Path) -> str:
    text = report.table(Record(path).content)
    path.with_name("bench.txt").write_text(text)
    return text


def _mark(path: Path, cases: Sequence[Case]) -> None:
    """A result of an earlier run stays until it is replaced, and says what it is."""
    record = Record(path)
    for case in cases:
        result = record.get(case.id)
        if result is not None:
            result.update(finished=False, note=f"of an earlier run, {result['measured']}")
    record.write()


def _is_finished(path: Path, case: Case) -> bool:
    return bool((Record(path).get(case.id) or {}).get("finished"))


def _give_up(path: Path, cases: Sequence[Case], reason: str) -> None:
    """Note it with the cases, and keep what was measured of them."""
    record = Record(path)
    for case in cases:
        result = record.get(case.id) or report.result(case, [], {}, 0)
        result["note"] = "; ".join(filter(None, (result["note"], reason)))
        record.put(result | {"finished": True})
        print(f"{case.id}: {reason}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
