"""Contenders in processes of their own, taking turns.

Two thread pools in one process disturb each other, and two processes at work at once do as well. So every contender of
a problem has its own process, one of them works at a time, a pause lies between two turns (thread pools spin a while
before they sleep), and the turns go round so that all see the same state of the machine. The best round counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .answers import Array, expected, mistake
from .peers import Fnnfast, Peer
from .problems import Problem

BOOT = """
import sys
sys.path.insert(0, {folder!r})
import _bench
del sys.path[0]
from _bench.worker import main
main()
"""
"""Loads this folder as a package of its own: ``import fnnfast._bench`` would load fnnfast in every peer's process. Its
parent folder leaves the path again at once, for its files have names (sklearn.py) that peers import."""


THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",  # of XLA, which runs JAX's functions
)


@dataclass(frozen=True)
class Settings:
    """How to measure. Times in seconds."""

    threads: int
    rounds: int = 10
    turn_seconds: float = 0.04
    pause_seconds: float = 0.05
    limit_seconds: float = 0.03
    mean_seconds: float = 1.0
    answer_seconds: float = 600.0


@dataclass
class Outcome:
    """One contender on one problem: seconds a call by round, or why it is excluded."""

    name: str
    version: str
    counts: bool
    variant: str = ""
    seconds: list[float] = field(default_factory=list)
    excluded: str | None = None

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass
class Measurement:
    """All contenders on one problem, and the machine's limits: FLOP/s, bytes/s, seconds of the bare product.

    ``threads`` are those of each contender.
    """

    problem: Problem
    outcomes: list[Outcome]
    limits: dict[str, float] = field(default_factory=dict)
    weights_in: str = ""
    threads: int = 1


class Worker:
    """A contender's process, as its harness sees it."""

    def __init__(self, settings: Settings) -> None:
        folder = str(Path(__file__).resolve().parent.parent)
        self._limit = settings.answer_seconds
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT.format(folder=folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(settings.threads)),
            bufsize=0,
        )

    def send(self, do: str, **request: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # receive() tells what became of the process
            self._process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        """The answer to the last request; ``{"error": ...}`` for a process that failed, died or takes too long."""
        assert self._process.stdout is not None
        pipe = self._process.stdout
        end = time.monotonic() + self._limit
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                return {"error": f"no answer within {self._limit:g} s"}
            piece = pipe.read(65536)
            if not piece:
                return {"error": f"its process ended with status {self._process.wait()}{self._last_words()}"}
            line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        self.send(do, **request)
        return self.receive()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


def measure(
    problem: Problem,
    contenders: Sequence[Peer],
    settings: Settings,
    caches: tuple[int, int, int] = (0, 0, 0),
    note: Callable[[str], None] = lambda text: None,
) -> Measurement:
    """Let the contenders that can do the problem take turns on it.

    ``caches`` are the bytes of L1d, L2 and L3, to name the one that holds a thread's share of the weights; ``note``
    hears of each step.
    """
    share = max(4096, problem.weight_bytes // settings.threads)
    with prepared(problem, contenders, settings, note) as (outcomes, workers):
        result = Measurement(problem, outcomes, weights_in=_level(share, caches), threads=settings.threads)
        for number in range(settings.rounds):
            note(f"{problem.id}: round {number + 1} of {settings.rounds}")
            for outcome in _running(outcomes):
                time.sleep(settings.pause_seconds)
                answer = workers[outcome.name].ask("turn", seconds=settings.turn_seconds)
                outcome.excluded = answer.get("error")
                if outcome.excluded is None:
                    outcome.seconds.append(answer["seconds"])
                if outcome.excluded is None and outcome.name == Fnnfast.name:
                    _limits(result, workers[outcome.name], settings, share)
    return result


@contextlib.contextmanager
def prepared(
    problem: Problem, contenders: Sequence[Peer], settings: Settings, note: Callable[[str], None]
) -> Iterator[tuple[list[Outcome], dict[str, Worker]]]:
    """The contenders that can do the problem, judged and calibrated, and their processes by name."""
    able = [peer for peer in contenders if peer.supports(problem)]
    outcomes = [Outcome(p.name, p.version() or "?", p.counts(problem)) for p in able]
    with contextlib.ExitStack() as stack:
        workers = {}
        for outcome in outcomes:
            workers[outcome.name] = Worker(settings)
            stack.callback(workers[outcome.name].stop)
        _prepare(problem, outcomes, workers, settings, note)
        yield outcomes, workers


def _level(nbytes: int, caches: tuple[int, int, int]) -> str:
    """The first cache that holds so much; empty where the caches are not known."""
    if not any(caches):
        return ""
    return next((name for name, size in zip(("L1", "L2", "L3"), caches, strict=True) if nbytes <= size), "memory")


def _running(outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    return (outcome for outcome in outcomes if outcome.excluded is None)


def _prepare(
    problem: Problem,
    outcomes: Sequence[Outcome],
    workers: dict[str, Worker],
    settings: Settings,
    note: Callable[[str], None],
) -> None:
    note(f"{problem.id}: the float64 answer")
    answers = expected(problem)
    with tempfile.TemporaryDirectory() as folder:
        for outcome in outcomes:
            note(f"{problem.id}: {outcome.name} prepares")
            worker = workers[outcome.name]
            reply = worker.ask(
                "prepare", peer=outcome.name, problem=problem.key, threads=settings.threads, folder=folder
            )
            outcome.excluded = reply.get("error") or _wrong(problem, answers, reply["answers"])
    for outcome in _running(outcomes):
        time.sleep(settings.pause_seconds)
        reply = workers[outcome.name].ask("calibrate", seconds=settings.turn_seconds)
        outcome.excluded = reply.get("error")
        outcome.variant = reply.get("variant", "")


def _wrong(problem: Problem, answers: list[Array], given: dict[str, list[str]]) -> str | None:
    for variant, files in given.items():
        fault = mistake(problem, answers, [np.load(file) for file in files])
        for file in files:
            os.unlink(file)
        if fault:
            return f"wrong answer ({variant}): {fault}"
    return None


def _limits(result: Measurement, worker: Worker, settings: Settings, nbytes: int) -> None:
    """The best of all rounds: rates rise, times fall."""
    found = worker.ask(
        "limits",
        problem=result.problem.key,
        threads=settings.threads,
        nbytes=nbytes,
        seconds=settings.limit_seconds,
    )
    if "error" in found:
        raise RuntimeError(f"the machine's limits could not be measured: {found['error']}")
    for name, value in found.items():
        before = result.limits.get(name, value)
        result.limits[name] = min(before, value) if name == "product" else max(before, value)
