"""Contenders on a machine with one core taken: how much slower than when it was theirs.

Threads that wait for each other wait for the one whose core is shared, so a busy neighbour can cost far more than its
share. What counts is the mean over about a second and not the best: rare long waits are the subject.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .peers import Fnnfast, Peer
from .problems import Problem
from .report import SCHEMA, aligned
from .timing import Settings, prepared

GOAL = 2.5
"""The mean with one busy core over the mean without: fnnfast's, at most."""

PROBLEMS = "I1,I3,I4,I6,I8,T1,T2"
"""Those that run by default: calls of microseconds, and of milliseconds."""

SPIN = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
parent = os.getppid()
print("ready", flush=True)
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""
"""Ends with its parent, however that ends."""


@dataclass
class Slowdown:
    """One contender on one problem: mean seconds a call by round, without and with the busy core; or why excluded."""

    name: str
    version: str
    variant: str
    excluded: str | None
    calm: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    @property
    def factor(self) -> float | None:
        return None if self.excluded else statistics.mean(self.busy) / statistics.mean(self.calm)


@dataclass
class Contention:
    """All contenders on one problem."""

    problem: Problem
    outcomes: list[Slowdown]

    @property
    def passes(self) -> bool | None:
        """Whether fnnfast reaches the goal; None where it was not timed."""
        factor = next((c.factor for c in self.outcomes if c.name == Fnnfast.name), None)
        return None if factor is None else factor <= GOAL


@contextlib.contextmanager
def busy_core() -> Iterator[subprocess.Popen[str]]:
    """A process that keeps one core busy for as long as the context lasts."""
    process = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def measure(
    problem: Problem,
    contenders: Sequence[Peer],
    settings: Settings,
    note: Callable[[str], None] = lambda text: None,
) -> Contention:
    """Let the contenders that can do the problem take turns on it, each first alone and then beside a busy core."""
    with prepared(problem, contenders, settings, note) as (outcomes, workers):
        result = Contention(problem, [Slowdown(o.name, o.version, o.variant, o.excluded) for o in outcomes])
        for number in range(settings.rounds):
            for outcome in result.outcomes:
                for times, neighbour in ((outcome.calm, contextlib.nullcontext), (outcome.busy, busy_core)):
                    if outcome.excluded is None:
                        note(f"{problem.id}: round {number + 1} of {settings.rounds}, {outcome.name}")
                        time.sleep(settings.pause_seconds)
                        with neighbour():
                            answer = workers[outcome.name].ask("mean", seconds=settings.mean_seconds)
                        outcome.excluded = answer.get("error")
                        times.append(answer.get("seconds", 0.0))
    return result


def table(measured: Sequence[Contention], settings: Settings, goals: bool = False) -> str:
    """How many times slower each contender is; with ``goals`` also whether fnnfast reaches its own."""
    names = list(dict.fromkeys(c.name for m in measured for c in m.outcomes))
    rows = [["", "work", *names] + (["goal", ""] if goals else [])]
    for m in measured:
        by_name = {c.name: c for c in m.outcomes}
        cells = [_cell(by_name.get(name)) for name in names]
        verdict = {True: "pass", False: "falls short", None: "not comparable"}[m.passes]
        rows.append([m.problem.id, m.problem.title, *cells] + ([f"{GOAL:g}x", verdict] if goals else []))
    parts = [
        f"Slowdown by one busy core, {settings.threads} threads: mean time of a call or step with it over the same "
        f"contender's without, each of {settings.rounds * settings.mean_seconds:g} s"
        f"{' (goal: that of fnnfast, at most)' if goals else ''}:",
        aligned(rows, left={0, 1, len(names) + 3}),
    ]
    excluded = [f"{m.problem.id} {c.name}: {c.excluded}" for m in measured for c in m.outcomes if c.excluded]
    if excluded:
        parts += ["Excluded:", "\n".join(excluded)]
    return "\n\n".join(parts)


def _cell(contender: Slowdown | None) -> str:
    if contender is None:
        return "-"
    return "excluded" if contender.factor is None else f"{contender.factor:.2f}x"


def record(measured: Sequence[Contention], settings: Settings, machine: dict[str, Any]) -> dict[str, Any]:
    """All of it as JSON values; times in seconds."""
    return {
        "schema": SCHEMA,
        "machine": machine,
        "settings": asdict(settings),
        "contention": [
            {
                "id": m.problem.id,
                "work": m.problem.title,
                "goal": GOAL,
                "passes": m.passes,
                "contenders": [asdict(c) | {"slowdown": c.factor} for c in m.outcomes],
            }
            for m in measured
        ],
    }
