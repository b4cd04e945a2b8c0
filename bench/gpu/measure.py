"""A case from its data to its result, saved after every stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import problems
import torch_ways
from contenders import cupy_ways, no_gradients, ours
from data import Data
from place import matmul_precision
from problems import Case
from report import Record, Result, result
from timing import (
    Answers,
    BrokenDeviceError,
    Contender,
    OutOfTimeError,
    Settings,
    limited,
    ready,
    reason,
    take_turns,
)

LEAST_COMPILE_SECONDS = 8.0
"""In less nothing is compiled."""

A_CASE_SECONDS = 2.5
"""About what a case takes without torch.compile."""

Save = Callable[[Result], None]


def measure(place: Any, case: Case, limits: dict[str, float], settings: Settings, save: Save, seconds: float) -> None:
    """Let the contenders of a case take turns; then, with at most ``seconds`` to get ready, torch.compile among them.

    What has been measured is saved before something new is tried.
    """
    torch = place.torch
    with matmul_precision(torch, case.precision), no_gradients(torch, case):
        data = Data(case, torch, place.device, place.cache_bytes)
        answers = Answers(data)
        contenders: list[Contender] = []

        def saved(note: str = "") -> None:
            save(result(case, [contender.outcome for contender in contenders], limits, data.sets, note))

        sources = ((problems.OURS, ours(place, data)), (problems.TORCH, torch_ways.ways(data)))
        for name, ways in (*sources, (problems.CUPY, cupy_ways(place, data))):
            contenders += ready(place, data, answers, name, ways, settings)
        take_turns(place, contenders, settings)
        saved()
        if not case.compiled:
            return
        if seconds < LEAST_COMPILE_SECONDS:
            saved("torch.compile: no time left")
            return
        try:
            with limited(seconds):
                contenders += ready(place, data, answers, problems.COMPILED, torch_ways.compiled_ways(data), settings)
        except OutOfTimeError:
            saved(f"torch.compile: not ready within {seconds:.0f} s")
            return
        take_turns(place, contenders, settings)
        saved()


def compile_seconds(case: Case, later: Sequence[Case], settings: Settings, left: float) -> float:
    """The time that torch.compile may take: what the later cases leave, and first those with a goal against it."""
    needed = A_CASE_SECONDS * (1 + len(later))
    if not _is_wanted(case):
        needed += settings.compile_seconds * sum(map(_is_wanted, later))
    return min(settings.compile_seconds, left - needed)


def _is_wanted(case: Case) -> bool:
    return case.compiled and any(goal.of == problems.COMPILED for goal in case.goals)


def work(place: Any, cases: Sequence[Case], settings: Settings, record: Record, deadline: float) -> None:
    """Measure the cases one after the other, until ``deadline`` on the monotonic clock."""
    limits = place.limits({case.precision for case in cases})
    for number, case in enumerate(cases):
        print(f"{case.id}: {case.title}", flush=True)
        seconds = compile_seconds(case, cases[number + 1 :], settings, deadline - time.monotonic())
        last: list[Result] = []  # of this run: the record may have another one's

        def save(of_case: Result, last: list[Result] = last) -> None:
            last[:] = [of_case]
            record.put(of_case)

        note = ""
        try:
            try:
                measure(place, case, limits, settings, save, seconds)
            except BrokenDeviceError:
                raise
            except Exception as error:  # one case less, and the next
                note = f"stopped: {reason(place, error)}"
        except BrokenDeviceError as error:
            save((last or [result(case, [], limits, 0)])[0] | {"note": f"stopped: {error}", "finished": True})
            raise
        of_case = (last or [result(case, [], limits, 0)])[0]
        save(of_case | {"note": "; ".join(filter(None, (of_case["note"], note))), "finished": True})
        if note:
            print(f"{case.id}: {note}", flush=True)
        place.free()
