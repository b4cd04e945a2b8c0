"""Contenders take turns, round by round, on one stream of one device.

Clocks and temperature drift, so that only what was timed in the same minute is compared. Every turn is a stretch of
replays between two events; the best round counts.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from contenders import Way
from data import Data
from place import Runner


@dataclass(frozen=True)
class Settings:
    """How to measure. Times in seconds."""

    rounds: int = 12
    turn_seconds: float = 0.012
    compile_seconds: float = 60.0


class OutOfTimeError(BaseException):
    """Work was stopped at its time limit. No Exception, so that nothing on the way takes it for an error of its own."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise ``OutOfTimeError`` in what takes longer; in the main thread, between two bytecodes of Python."""

    def stop(number: int, frame: Any) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Outcome:
    """A contender on a case: the way that was taken, seconds a call by round, or why it is excluded."""

    name: str
    variant: str = ""
    manner: str = ""
    launches: float | None = None
    seconds: list[float] = field(default_factory=list)
    excluded: str | None = None
    ways: dict[str, float] = field(default_factory=dict)
    """All its ways that are right: seconds a call, from one short turn."""
    faults: dict[str, str] = field(default_factory=dict)
    """What went wrong with a way, or with its graph before it was run in a loop."""

    @property
    def best(self) -> float | None:
        return min(self.seconds) if self.seconds and self.excluded is None else None

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds and self.excluded is None else None


@dataclass
class Contender:
    """Ready to take its turns."""

    outcome: Outcome
    runner: Runner
    repeats: int
    """Runs of a turn."""


class Answers:
    """The right answers to the first and the last input, in float64; computed once and only when asked for."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._known: dict[tuple[int, bool], list[Any]] = {}

    def mistake(self, place: Any, way: Way, runner: Runner) -> str | None:
        """Run it once over poisoned outputs; what is wrong with its answers."""
        last = self._data.sets - 1
        if runner.keep and not way.sequence:  # a graph writes where it wrote before, a loop perhaps not
            for arrays in runner.outputs():
                for array in arrays:
                    place.tensor(array).fill_(float("nan"))
        runner.run()
        place.synchronize()
        outputs = runner.outputs()
        for index in {last} if way.sequence else {0, last}:
            key = (index, way.bare)
            if key not in self._known:
                self._known[key] = self._data.expected(*key)
            fault = self._data.mistake(self._known[key], [place.tensor(array) for array in outputs[index]])
            if fault:
                return f"wrong answer to input {index}: {fault}"
        return None


class BrokenDeviceError(RuntimeError):
    """A kernel left the device's context unusable; only another process can go on."""


def ready(
    place: Any, data: Data, answers: Answers, name: str, ways: Iterator[Way], settings: Settings
) -> list[Contender]:
    """Prepare and check every way; of each contender the fastest that is right, or the reason why there is none.

    ``name`` is the contender to blame where not even its ways can be had.
    """
    best: dict[str, Contender] = {}
    outcomes: dict[str, list[Outcome]] = {}
    while True:
        try:
            way = next(ways, None)
        except Exception as error:
            outcomes.setdefault(name, []).append(Outcome(name, excluded=reason(place, error)))
            break
        if way is None:
            break
        outcome = Outcome(way.contender, way.name, way.manner)
        outcomes.setdefault(way.contender, []).append(outcome)
        runner = _prepared(place, data, answers, way, outcome)
        if runner is None:
            continue
        a_run = min(place.seconds(runner.run, 1) for _ in range(3))
        repeats = max(1, min(2000, round(settings.turn_seconds / max(a_run, 1e-7))))
        a_call = min(place.seconds(runner.run, repeats) for _ in range(2)) / (repeats * runner.calls)
        outcome.ways[f"{way.name}, {outcome.manner}"] = a_call
        before = best.get(way.contender)
        if before is None or a_call < min(before.outcome.ways.values()):
            best[way.contender] = Contender(outcome, runner, repeats)
    return [
        _merged(best.get(contender) or Contender(tried[0], Runner(lambda: None, 1, list), 0), tried)
        for contender, tried in outcomes.items()
    ]


def _merged(contender: Contender, tried: Sequence[Outcome]) -> Contender:
    """With what is known of the ways that were not taken."""
    for outcome in tried:
        contender.outcome.ways |= outcome.ways
        contender.outcome.faults |= outcome.faults
    return contender


def _prepared(place: Any, data: Data, answers: Answers, way: Way, outcome: Outcome) -> Runner | None:
    """The way ready and checked, in a loop where no graph can be had of it; None with ``outcome.excluded`` if wrong."""

    def calls() -> list[list[Any]]:
        return [way.call(index) for index in range(data.sets)]

    capture: dict[str, Callable[..., Runner]] = {
        "cupy graph": place.cupy_graph,
        "torch graph": place.torch_graph,
        "loop": place.loop,
    }
    # A training step is not tried again: the first attempt has moved the parameters.
    manners = [way.manner] if way.manner == "loop" or way.sequence else [way.manner, "loop"]
    for manner in manners:
        try:
            runner = capture[manner](calls, data.sets)
            outcome.manner, outcome.launches = manner, runner.launches
            outcome.excluded = answers.mistake(place, way, runner)
        except Exception as error:  # whatever a library throws is a result
            outcome.excluded = outcome.faults[f"{way.name}, {manner}"] = reason(place, error)
            continue
        if outcome.excluded:
            outcome.faults[f"{way.name}, {manner}"] = outcome.excluded
            return None
        return runner
    return None


def take_turns(place: Any, contenders: Sequence[Contender], settings: Settings) -> None:
    """Time all that are not excluded, anew. The order turns with the rounds: who is first after a pause changes."""
    racing = [contender for contender in contenders if contender.outcome.excluded is None]
    for contender in racing:
        contender.outcome.seconds = []
    gc.collect()
    gc.disable()
    try:
        for number in range(settings.rounds):
            for index in range(len(racing)):
                contender = racing[(index + number) % len(racing)]
                spent = place.seconds(contender.runner.run, contender.repeats)
                contender.outcome.seconds.append(spent / (contender.repeats * contender.runner.calls))
    finally:
        gc.enable()


def reason(place: Any, error: Exception) -> str:
    """The error in a line; BrokenDeviceError where the device does not even answer after it."""
    text = str(error).strip()
    words = f"{type(error).__name__}: {text.splitlines()[0][:300] if text else 'no message'}"
    try:
        place.synchronize()
    except Exception as broken:
        raise BrokenDeviceError(f"{words}; the device is unusable since") from broken
    return words
