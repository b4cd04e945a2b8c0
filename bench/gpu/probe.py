"""Run every family of kernels in a process of its own: ``python bench/gpu/probe.py [--tool memcheck]``.

A kernel that breaks the device breaks its own process only, and the families run side by side. With ``--tool`` each
process runs under that tool of compute-sanitizer. One line per family says what came of it; the output of all processes
goes to ``--log``. Exit status: 0; 1 if a family failed or, under a tool that judges, was not clean; 2 without a GPU.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import facts
from families import FAMILIES

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")

JUDGING = ("memcheck", "racecheck", "synccheck")
"""initcheck only reports: CuPy's copies and our padding may be read before they are written."""

SUMMARY = re.compile(r"^=+ ((?:ERROR|RACECHECK|SYNCCHECK|LEAK)? ?SUMMARY: .*)$", re.MULTILINE)
CLEAN = re.compile(r"SUMMARY: 0 (?:errors|hazards)")
CALLS = re.compile(r"^[a-z_]+: \d+ calls", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What came of one family."""

    family: str
    words: str
    good: bool
    output: str


def command(family: str, tool: str | None, seconds: float) -> list[str]:
    """The process of one family. Errors that an interface returns are the caller's: CuPy asks questions that fail."""
    script = [sys.executable, str(Path(__file__).with_name("families.py")), family, "--seconds", f"{seconds:.0f}"]
    if tool is None:
        return script
    sanitizer = ["compute-sanitizer", "--tool", tool, "--report-api-errors", "no", "--print-limit", "20"]
    return [*sanitizer, "--error-exitcode", "86", *script]


def judge(family: str, tool: str | None, status: int | None, output: str, spent: float) -> Result:
    """``status`` is None for a process that was stopped at its time limit."""
    lines = [line for line in output.splitlines() if line.startswith(f"{family}: ")]
    words = lines[-1].removeprefix(f"{family}: ") if lines else "no result"
    if status is None:
        return Result(family, f"stopped after {spent:.0f} s; {words}", False, output)
    good = status == 0 and bool(CALLS.search(output))
    if tool is not None:
        found = SUMMARY.findall(output)
        words = f"{found[-1] if found else 'no summary'}; {words}"
        good = tool not in JUDGING or (good and bool(found) and all(map(CLEAN.search, found)))
    return Result(family, words if status == 0 else f"{words}; status {status}", good, output)


def run(family: str, tool: str | None, deadline: float) -> Result:
    """One family until the deadline; its process is stopped a little after it should have stopped by itself."""
    start = time.monotonic()
    left = deadline - start
    if left < 3:
        return Result(family, "not started: out of time", False, "")
    process = subprocess.Popen(
        command(family, tool, left * 0.8), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    try:
        output, _ = process.communicate(timeout=left)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        return judge(family, tool, None, output, time.monotonic() - start)
    return judge(family, tool, process.returncode, output, time.monotonic() - start)


def write(log: TextIO, tool: str | None, result: Result) -> None:
    log.write(f"== {tool or 'no tool'}: {result.family}\n{result.output}\n")
    log.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=TOOLS)
    parser.add_argument("--jobs", type=int, default=min(8, os.cpu_count() or 1), help="processes at a time")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all; 60")
    parser.add_argument("--log", type=Path, default=Path("probe.log"), help="where all output goes; probe.log")
    options = parser.parse_args()
    if facts.device_count() == 0:
        print("no CUDA device: nothing can be probed here", file=sys.stderr)
        return 2
    if options.tool is not None and shutil.which("compute-sanitizer") is None:
        print("compute-sanitizer was not found", file=sys.stderr)
        return 2
    deadline = time.monotonic() + options.seconds
    good = True
    with options.log.open("a") as log, ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda family: run(family.__name__, options.tool, deadline), FAMILIES):
            write(log, options.tool, result)
            print(f"{result.family + ':':<20}{'ok    ' if result.good else 'FAILED'} {result.words}", flush=True)
            good &= result.good
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
