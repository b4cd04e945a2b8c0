"""Measurements at several numbers of threads: times, and how many times faster they are than with the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import report
from .report import aligned, cell
from .timing import Measurement, Settings


def table(measured: Sequence[Measurement], settings: Settings, goals: bool = False) -> str:
    """A row for each contender of each problem. There are no goals of this."""
    counts = list(dict.fromkeys(m.threads for m in measured))
    first = counts[:1]
    heads = [
        *(f"{n} thread{'s' if n > 1 else ''}" for n in counts),
        *(f"t({f})/t({n})" for f in first for n in counts[1:]),
    ]
    rows = [["", "work", "", *heads]]
    for problem in dict.fromkeys(m.problem for m in measured):
        outcomes = {(m.threads, o.name): o for m in measured if m.problem == problem for o in m.outcomes}
        for name in dict.fromkeys(name for _, name in outcomes):
            found = [outcomes.get((count, name)) for count in counts]
            best = [None if outcome is None or outcome.excluded else outcome.best for outcome in found]
            factors = [f"{best[0] / b:.2f}x" if best[0] and b else "-" for b in best[1:]]
            rows.append([problem.id, problem.title, name, *map(cell, found), *factors])
    parts = [f"Time of a call or step by the number of threads, best of {settings.rounds} rounds:"]
    return "\n\n".join([*parts, aligned(rows, left={0, 1, 2}), *report.exclusions(measured)])


def record(measured: Sequence[Measurement], settings: Settings, machine: dict[str, Any]) -> dict[str, Any]:
    """As ``report.record``; the settings name all numbers of threads, and each result has its own."""
    whole = report.record(measured, settings, machine)
    whole["settings"]["threads"] = machine["threads"]
    return whole
