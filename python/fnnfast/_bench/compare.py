"""Two records beside each other: the times of each contender that is in both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from .report import SCHEMA, aligned, duration

Row: TypeAlias = tuple[str, str, int, str]
"""Id, work, threads, contender."""

MACHINE = ("cpu", "processors", "system", "isa", "fnnfast", "python", "numpy")


def load(file: str) -> dict[str, Any]:
    """A record that ``bench --json`` wrote.

    Raises
    ------
    ValueError
        Where the file cannot be read, or is something else; it names the file.
    """
    try:
        record: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise ValueError(f"{file}: expected a record of schema {SCHEMA}, got {record['schema']!r}")
        if "contention" in record:
            raise ValueError(f"{file}: expected a record of times, got one of --busy")
        _times(record), _facts(record)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{file}: expected a record that bench --json wrote") from None
    return record


def differences(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """What the records differ in apart from times, each with both values: machine, threads, versions."""
    one, two = _facts(first), _facts(second)
    for name, value in one.items():
        other = two.get(name)
        known = name in two or name in MACHINE  # a contender of one of the two has no other version
        if known and value != other:
            yield f"{name}: {value} and {other}"


def table(first: dict[str, Any], second: dict[str, Any]) -> str:
    """A row for each contender and problem; empty where the records have none in common."""
    before, after = _times(first), _times(second)
    rows = [["", "work", "threads", "contender", "first", "second", "first/second"]]
    for key, time in before.items():
        if key in after:
            name, work, threads, contender = key
            ratio = f"{time / after[key]:.2f}x"
            rows.append([name, work, str(threads), contender, duration(time), duration(after[key]), ratio])
    return aligned(rows, left={0, 1, 3}) if len(rows) > 1 else ""


def _times(record: dict[str, Any]) -> dict[Row, float]:
    """Seconds of each contender that is not excluded. Older records have one number of threads for all."""
    threads = record["settings"].get("threads")
    return {
        (result["id"], result["work"], result.get("threads", threads), contender["name"]): float(contender["best"])
        for result in record["results"]
        for contender in result["contenders"]
        if contender["best"] is not None
    }


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    facts = {name: record["machine"].get(name) for name in MACHINE}
    facts["threads"] = record["settings"].get("threads")
    for result in record["results"]:
        for contender in result["contenders"]:
            if contender["name"] not in facts and contender.get("version"):
                facts[contender["name"]] = contender["version"]
    return facts
