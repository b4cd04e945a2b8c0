"""A training run in a thread of its own, of which the newest state can be taken at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from .._checks import Array
from .run import Run
from .settings import Settings

# Seconds of a slice: short for a page that asks for the newest state 25 times a second, long beside what the thread
# does between two slices, for which it needs the interpreter.
_SLICE = 0.015


@dataclass(frozen=True)
class State:
    """A run after some steps; ``gradient_norm`` is by layer, over the steps since the state before.

    ``message`` says why there can be no more steps.
    """

    steps: int
    parameters: Mapping[str, Array]
    gradient_norm: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


class Worker:
    """Trains while it is started, as many steps as it may.

    ``limit`` is the number of steps between two calls of ``frame``; None is as many as it can.
    """

    def __init__(self, run: Run, limit: int | None = None) -> None:
        self._run = run
        self._limit = limit
        self._allowed = 0
        self._started = self._busy = self._closed = False
        self._changed: Settings | None = None
        self._slice = 1
        self._condition = threading.Condition()
        self._state = State(0, dict(run.network.parameters))
        self._thread = threading.Thread(target=self._work, name="fnnfast-playground", daemon=True)
        self._thread.start()

    @property
    def state(self) -> State:
        """The newest state."""
        with self._condition:
            return self._state

    @property
    def running(self) -> bool:
        """Whether it trains, or would if it were allowed to."""
        with self._condition:
            return self._started

    def start(self) -> None:
        """Train from now on."""
        with self._condition:
            self._started = not self._state.message
            self._condition.notify()

    def pause(self) -> None:
        """Train no more; returns after the last step."""
        with self._condition:
            self._started, self._allowed = False, 0
            self._condition.wait_for(lambda: not self._busy)

    def step(self, steps: int = 1) -> None:
        """Make some steps more."""
        with self._condition:
            self._allowed += 0 if self._state.message else steps
            self._condition.notify()

    def limit(self, steps: int | None) -> None:
        """Set the number of steps between two frames."""
        with self._condition:
            self._limit = steps
            self._condition.notify()

    def frame(self) -> State:
        """Return the newest state, and allow the steps of another frame."""
        with self._condition:
            if self._started and self._limit is not None:
                self._allowed = self._limit
                self._condition.notify()
            return self._state

    def change(self, settings: Settings) -> None:
        """Go on with another learning rate or l2."""
        with self._condition:
            self._changed = settings

    def finished(self) -> tuple[int, list[tuple[int, float, float]], Mapping[str, Array]]:
        """Pause, and return the number of steps, the changes of the rates and the parameters."""
        self.pause()
        return self._run.steps, list(self._run.changes), dict(self._run.network.parameters)

    def close(self) -> None:
        """End the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # In the thread --------------------------------------------------------------------------------------------------
    def _may(self) -> int:
        """How many steps may be made now."""
        if self._started and self._limit is None:
            return self._slice
        return min(self._slice, self._allowed)

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._may())
                if self._closed:
                    return
                steps = self._may()
                if self._changed is not None:
                    self._run.change(self._changed)
                    self._changed = None
                self._busy = True
            begin = time.perf_counter()
            message = self._advance(steps)
            spent = time.perf_counter() - begin
            self._slice = max(1, min(2 * self._slice, int(steps * _SLICE / max(spent, 1e-6))))
            state = self._newest(message)
            with self._condition:
                self._busy = False
                self._allowed = max(0, self._allowed - steps)
                self._state = state
                if message:
                    self._started, self._allowed = False, 0
                self._condition.notify_all()

    def _advance(self, steps: int) -> str:
        """Make the steps; why there can be no more, or nothing."""
        try:
            self._run.advance(steps)
        except ValueError as error:
            return str(error)
        return "Training diverged: the loss is not finite. Try a lower learning rate." if self._run.diverged else ""

    def _newest(self, message: str) -> State:
        norms = self._run.trainer._diagnosis()["gradient_norm"]
        return State(self._run.steps, dict(self._run.network.parameters), norms, message)
