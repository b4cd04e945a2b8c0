"""The measurements in words: a table to read and a record to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .peers import Fnnfast
from .problems import Problem
from .timing import Measurement, Outcome, Settings

SCHEMA = 1
"""Raised when the record's keys change their meaning."""


@dataclass(frozen=True)
class Judgement:
    """What a measurement says of the goals. None: not to be told from it.

    Attributes
    ----------
    best_peer
        The fastest contender that the goal is set against.
    ratio
        Its time over ours.
    limit_seconds, limit
        The time that the machine's limit allows, and that limit in words.
    share
        ``limit_seconds`` over our time.
    passes
        The goals of ratio and share, where there are such, are met.
    """

    best_peer: str | None
    ratio: float | None
    limit_seconds: float | None
    limit: str
    share: float | None
    passes: bool | None


def judge(measurement: Measurement) -> Judgement:
    problem = measurement.problem
    timed = {outcome.name: outcome for outcome in measurement.outcomes if outcome.excluded is None}
    ours = timed.pop(Fnnfast.name, None)
    best = min((o for o in timed.values() if o.counts), key=lambda o: o.best, default=None)
    limit, words = _limit(measurement)
    ratio = best.best / ours.best if best and ours else None
    share = limit / ours.best if limit is not None and ours else None
    goals = [
        (got, goal) for got, goal in ((ratio, problem.goal_ratio), (share, problem.goal_share)) if goal is not None
    ]
    passes = None
    if goals and all(got is not None for got, _ in goals):
        passes = all(got >= goal for got, goal in goals if got is not None)
    return Judgement(best.name if best else None, ratio, limit, words, share, passes)


def _limit(measurement: Measurement) -> tuple[float | None, str]:
    problem, limits = measurement.problem, measurement.limits
    if problem.limit_seconds is not None:
        return problem.limit_seconds, duration(problem.limit_seconds)
    if problem.limit is None or problem.limit not in limits:
        return None, ""
    found = limits[problem.limit]
    if problem.limit == "fma":
        return problem.flops / found, f"FMA {found / 1e9:.0f} GFLOP/s"
    if problem.limit == "bandwidth":
        return problem.weight_bytes / found, f"{measurement.weights_in or 'reads'} {found / 1e9:.0f} GB/s"
    return found, f"product {duration(found)}"


def duration(seconds: float) -> str:
    """Three digits and a unit: 0.612 us, 11.9 us, 31.1 ms, 2.50 s."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= size or unit == "us":
            break
    value = seconds / size
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def table(measurements: Sequence[Measurement], settings: Settings, goals: bool = False) -> str:
    """Times beside the best peer's, or with ``goals`` beside goals and limits; then who is excluded, and why.

    Low precision and float64 have tables of their own.
    """
    parts: list[str] = []
    kinds = {"float32": "float32", "float64": "float64", "low": "low precision, each peer in the row's"}
    for kind, words in kinds.items():
        rows = [m for m in measurements if kind == ("low" if m.problem.low else m.problem.precision)]
        if rows or (kind == "float32" and not measurements):
            same = ", both in the row's precision" if kind == "low" else ""
            manner = f"{settings.threads} threads, best of {settings.rounds} rounds"
            parts += _tables(rows, f"{words}, {manner}", f"best peer's time over ours{same}", goals)
    return "\n\n".join([*parts, *exclusions(measurements)])


def exclusions(measurements: Sequence[Measurement]) -> list[str]:
    """A headline and a line for each contender that is excluded; nothing where none is."""
    excluded = [f"{m.problem.id} {o.name}: {o.excluded}" for m in measurements for o in m.outcomes if o.excluded]
    return ["Excluded:", "\n".join(dict.fromkeys(excluded))] if excluded else []


def _tables(measurements: Sequence[Measurement], what: str, ratio: str, goals: bool) -> list[str]:
    """One table, or with ``goals`` a second one for them."""
    names = list(dict.fromkeys(outcome.name for m in measurements for outcome in m.outcomes))
    times = [["", "work", *names] + ([] if goals else ["best peer", "ratio"])]
    beside = [["", "best peer", "ratio", "goal", "share", "goal", "of", ""]]
    for m in measurements:
        by_name = {outcome.name: outcome for outcome in m.outcomes}
        j = judge(m)
        best = [j.best_peer or "-", "-" if j.ratio is None else f"{j.ratio:.2f}x"]
        row = [m.problem.id, m.problem.title, *(cell(by_name.get(name)) for name in names)]
        times.append(row + ([] if goals else best))
        beside.append(
            [
                m.problem.id,
                *best,
                "-" if m.problem.goal_ratio is None else f"{m.problem.goal_ratio:g}x",
                "-" if j.share is None else f"{j.share:.0%}",
                "-" if m.problem.goal_share is None else f"{m.problem.goal_share:.0%}",
                j.limit or "-",
                _verdict(m.problem, j),
            ]
        )
    in_brackets = "in brackets: shown, but not among the peers"
    if not goals:
        left = {0, 1, len(names) + 2}
        return [f"Time of a call or step, {what} (ratio: {ratio}; {in_brackets}):", aligned(times, left)]
    return [
        f"Time of a call or step, {what} ({in_brackets}):",
        aligned(times, left={0, 1}),
        f"Beside the goals (ratio: {ratio}; share: the limit's time over ours):",
        aligned(beside, left={0, 1, 7}),
    ]


def _verdict(problem: Problem, judgement: Judgement) -> str:
    if problem.goal_ratio is None and problem.goal_share is None:
        return "shown"
    return {True: "pass", False: "falls short", None: "not comparable"}[judgement.passes]


def cell(outcome: Outcome | None) -> str:
    """The time of a contender, or why there is none."""
    if outcome is None:
        return "-"
    if outcome.excluded:
        return "excluded"
    text = duration(outcome.best)
    return text if outcome.counts else f"({text})"


def aligned(rows: Sequence[Sequence[str]], left: set[int]) -> str:
    """Columns of equal width, those of ``left`` flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if index in left else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(record: dict[str, Any], goals: bool = False) -> str:
    """A record as a Markdown table: times, the best peer's over ours, and with ``goals`` the share of the limit."""
    names = list(dict.fromkeys(c["name"] for result in record["results"] for c in result["contenders"]))
    ends = ["ratio", "share"][: 1 + goals]
    lines = [f"| | work | {' | '.join([*names, *ends])} |", f"|---|---|{'---:|' * (len(names) + len(ends))}"]
    for result in record["results"]:
        contenders = {c["name"]: c for c in result["contenders"] if c["best"] is not None}
        cells = [result["id"], result["work"]]
        for name in names:
            text = duration(contenders[name]["best"]) if name in contenders else "-"
            cells.append(text if name not in contenders or contenders[name]["counts"] else f"({text})")
        cells.append("-" if result["ratio"] is None else f"{result['ratio']:.2f}x")
        if goals:
            cells.append("-" if result["share"] is None else f"{result['share']:.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def record(measurements: Sequence[Measurement], settings: Settings, machine: dict[str, Any]) -> dict[str, Any]:
    """All of it as JSON values; units: seconds, FLOP, bytes, FLOP/s, bytes/s."""
    return {
        "schema": SCHEMA,
        "machine": machine,
        "settings": asdict(settings),
        "results": [_result(m) for m in measurements],
    }


def _result(m: Measurement) -> dict[str, Any]:
    p: Problem = m.problem
    return {
        "id": p.id,
        "work": p.title,
        "precision": p.precision,
        "threads": m.threads,
        "flops": p.flops,
        "weight_bytes": p.weight_bytes,
        "weights_in": m.weights_in,
        "limits": {"fma": None, "bandwidth": None, "product": None} | m.limits,
        "contenders": [
            {
                "name": o.name,
                "version": o.version,
                "variant": o.variant,
                "counts": o.counts,
                "excluded": o.excluded,
                "best": None if o.excluded else o.best,
                "median": None if o.excluded else o.median,
                "rounds": o.seconds,
            }
            for o in m.outcomes
        ],
        "goal_ratio": p.goal_ratio,
        "goal_share": p.goal_share,
        "limit_kind": p.limit,
        **asdict(judge(m)),
    }
