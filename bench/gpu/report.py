"""What was measured, as a record that grows with every case and a table to read.

``python bench/gpu/report.py FILE`` prints the tables of docs/performance.md from such a record.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import problems
from problems import Case, Goal
from timing import Outcome

SCHEMA = 1
"""Raised when the record's keys change their meaning."""

Result = dict[str, Any]


class Record:
    """A JSON file that is written anew after every change, so that nothing is lost with the process.

    Cases that are measured again replace what the file had of them; the others stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {"schema": SCHEMA, "machine": {}, "settings": {}, "results": []}
        if path.exists():
            read = json.loads(path.read_text())
            if read.get("schema") == SCHEMA:
                self.content = read

    def describe(self, machine: dict[str, Any], settings: dict[str, Any]) -> None:
        self.content["machine"], self.content["settings"] = machine, settings
        self.write()

    def put(self, result: Result) -> None:
        """Add or replace the result of a case, and judge all again: a goal may name another case."""
        results = [r for r in self.content["results"] if r["id"] != result["id"]] + [result]
        order = {case.id: number for number, case in enumerate(problems.CASES)}
        self.content["results"] = sorted(results, key=lambda r: order.get(r["id"], len(order)))
        for r in self.content["results"]:
            r["goals"] = judge(r, self.content["results"])
        self.write()

    def get(self, name: str) -> Result | None:
        return next((r for r in self.content["results"] if r["id"] == name), None)

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".tmp")
        draft.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(draft, self.path)


def result(case: Case, outcomes: Sequence[Outcome], limits: dict[str, float], sets: int, note: str = "") -> Result:
    """A case as JSON values; units: seconds, FLOP, bytes, FLOP/s, bytes/s."""
    ours = next((o.best for o in outcomes if o.name == problems.OURS), None)
    limit, kind = roof(case, limits)
    return {
        "id": case.id,
        "row": case.row,
        "work": case.title,
        "precision": case.precision,
        "flops": case.flops,
        "bytes": case.bytes,
        "sets": sets,
        "limits": limits,
        "contenders": [
            {
                "name": o.name,
                "variant": o.variant,
                "manner": o.manner,
                "launches": o.launches,
                "excluded": o.excluded,
                "best": o.best,
                "median": o.median,
                "rounds": o.seconds,
                "ways": o.ways,
                "faults": o.faults,
            }
            for o in outcomes
        ],
        "limit_seconds": limit,
        "limit_kind": kind,
        "share": limit / ours if limit and ours else None,
        "rate": case.flops / ours if ours else None,
        "bandwidth": case.bytes / ours if ours else None,
        "goals": [],
        "note": note,
        "finished": False,
        "measured": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def roof(case: Case, limits: dict[str, float]) -> tuple[float | None, str]:
    """The least time that the machine allows, and what sets it: FLOP, bytes or the launch."""
    if case.precision not in limits:
        return None, ""
    times = {"flop": case.flops / limits[case.precision], "bytes": case.bytes / limits["copy"]}
    if case.launch_bound:
        times = {"launch": limits["launch"]}
    kind = max(times, key=lambda name: times[name])
    return times[kind], kind


def judge(of: Result, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Each goal of a result's case in words, what was reached, and whether that is enough; None: not to be told."""
    try:
        goals = problems.get(of["id"]).goals
    except ValueError:  # a case of an older table
        return list(of.get("goals", []))
    found = []
    for goal in goals:
        value, words, at_least = _reached(goal, of, results)
        met = None if value is None else (value >= goal.value if at_least else value <= goal.value)
        found.append({"goal": words, "unit": "s" if goal.kind == "time" else "x", "value": value, "met": met})
    return found


def _reached(goal: Goal, of: Result, results: Sequence[Result]) -> tuple[float | None, str, bool]:
    ours = best(of, problems.OURS)
    match goal.kind:
        case "time":
            return ours, f"at most {duration(goal.value)}", False
        case "case":
            other = next((best(r, problems.OURS) for r in results if r["id"] == goal.of), None)
            return ours / other if ours and other else None, f"at most {goal.value:g}x {goal.of}", False
        case "peer":
            peer = best(of, goal.of)
            return peer / ours if ours and peer else None, f"{goal.value:g}x {goal.of}", True


def best(of: Result, name: str) -> float | None:
    """The contender's best time, None where it has none."""
    return next((c["best"] for c in of["contenders"] if c["name"] == name), None)


def duration(seconds: float) -> str:
    """Three digits and a unit: 1.85 us, 174 us, 2.50 ms."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= size or unit == "us":
            break
    value = seconds / size
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def table(content: dict[str, Any]) -> str:
    """Times and ratios, then share and goals, then what was excluded or went wrong."""
    results = content["results"]
    times, goals = _rows(results)
    faults = []
    for r in results:
        for c in r["contenders"]:
            faults += [f"{r['id']} {c['name']}: excluded: {c['excluded']}"] if c["excluded"] else []
            faults += [
                f"{r['id']} {c['name']}, {way}: {fault}" for way, fault in c["faults"].items() if not c["excluded"]
            ]
        faults += [f"{r['id']}: {r['note']}"] if r["note"] else []
    parts = [
        "Best time of a call (in brackets: that time over fnnfast's):",
        aligned(times, left={0, 1}),
        "fnnfast beside the machine's measured limits and the goals (launches: nodes of its graph a call):",
        aligned(goals, left={0, 2, 6}),
        _limits(results),
    ]
    return "\n\n".join([*parts, "Excluded, and notes:\n" + "\n".join(faults)] if faults else parts) + "\n"


def markdown(content: dict[str, Any]) -> str:
    """The times, and the shares and goals, as tables of Markdown."""
    results = content["results"]
    times, goals = _rows(results)
    written = {problems.PRODUCT: "cuBLASLt", problems.LOOP: "torch, not captured", problems.CUPY: "CuPy"}
    times[0] = [written.get(name, name) for name in times[0]]
    for row in times[1:]:
        row[1] = row[1].rpartition(", ")[0]  # the dtype is in the name of the case
    goals[0][1:3] = ["% of limit", "limit"]
    for row in goals[1:]:
        row[1] = row[1].rstrip("%")
        row[-1] = row[-1].replace("MISSED", "**missed**").replace("not comparable", "not measured")
        for name in (problems.PRODUCT, problems.CUPY):
            row[-1] = row[-1].replace(f"x {name}:", f"x {written[name]}:")
    tables = (_markdown(times, {0, 1}), _markdown(goals, {0, 2, 6}), _limits(results))
    return "\n\n".join(tables) + "\n"


def _rows(results: Sequence[Result]) -> tuple[list[list[str]], list[list[str]]]:
    """Times and ratios, and shares and goals, each with a heading."""
    names = list(dict.fromkeys(c["name"] for r in results for c in r["contenders"]))
    order = [problems.OURS, problems.PRODUCT, problems.TORCH, problems.COMPILED, problems.LOOP, problems.CUPY]
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    times, goals = [["", "work", *names]], [["", "of roof", "by", "TFLOP/s", "GB/s", "launches", "goals"]]
    for r in results:
        ours = best(r, problems.OURS)
        times.append([r["id"], r["work"], *(_cell(r, name, ours) for name in names)])
        launches = next((c["launches"] for c in r["contenders"] if c["name"] == problems.OURS), None)
        numbers = [f"{r[key] / size:.0f}" if r[key] else "-" for key, size in (("rate", 1e12), ("bandwidth", 1e9))]
        goals.append(
            [
                r["id"],
                f"{r['share']:.0%}" if r["share"] else "-",
                r["limit_kind"] or "-",
                *numbers,
                "-" if launches is None else f"{launches:g}",
                "; ".join(map(_verdict, r["goals"])) or "-",
            ]
        )
    return times, goals


def _cell(r: Result, name: str, ours: float | None) -> str:
    contender = next((c for c in r["contenders"] if c["name"] == name), None)
    if contender is None:
        return "-"
    if contender["best"] is None:
        return "excluded" if contender["excluded"] else "-"
    text = duration(contender["best"])
    return text if name == problems.OURS or not ours else f"{text} ({contender['best'] / ours:.2f})"


def _verdict(goal: dict[str, Any]) -> str:
    value = goal["value"]
    if value is None:
        return f"{goal['goal']}: not comparable"
    reached = duration(value) if goal["unit"] == "s" else f"{value:.2f}x"
    return f"{goal['goal']}: {reached}, {'met' if goal['met'] else 'MISSED'}"


def _limits(results: Sequence[Result]) -> str:
    found: dict[str, list[float]] = {}
    for r in results:
        for name, value in r["limits"].items():
            found.setdefault(name, []).append(value)
    words = []
    for name, values in found.items():
        if name == "launch":
            words.append(f"launch {duration(min(values))}")
        else:
            size, unit = (1e9, "GB/s") if name == "copy" else (1e12, "TFLOP/s")
            words.append(f"{name} {max(values) / size:.0f} {unit}")
    return "Measured limits, best of the rows: " + (", ".join(words) or "none")


def aligned(rows: Sequence[Sequence[str]], left: set[int]) -> str:
    """Columns of equal width, those of ``left`` flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        lines.append("  ".join(t.ljust(w) if i in left else t.rjust(w) for i, (t, w) in enumerate(cells)).rstrip())
    return "\n".join(lines)


def _markdown(rows: Sequence[Sequence[str]], left: set[int]) -> str:
    rule = "|".join("---" if i in left else "---:" for i in range(len(rows[0])))
    heading, *others = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([heading.replace("|  |", "| |"), f"|{rule}|", *others])


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())), end="")
