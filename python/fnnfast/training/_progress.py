"""The display of the progress of training."""

from __future__ import annotations

import sys
import time
from typing import Any


class Silent:
    """A display that shows nothing."""

    def steps(self, count: int) -> None:
        """Called after this number of steps."""

    def skip(self, epochs: int) -> None:
        """Called before the first epoch: an earlier run did this number of epochs."""

    def epoch(self, values: dict[str, float]) -> None:
        """Called after each epoch with the measured values."""

    def close(self) -> None:
        """Called after the last epoch."""


class Lines(Silent):
    """One line of text per epoch."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._done = 0
        self._since = time.perf_counter()

    def skip(self, epochs: int) -> None:
        self._done += epochs

    def epoch(self, values: dict[str, float]) -> None:
        now = time.perf_counter()
        self._done += 1
        text = f"epoch {self._done}/{self._epochs}: {_text(values)}, {now - self._since:.2f} s"
        print(text, file=sys.stderr, flush=True)
        self._since = now


class Bar(Silent):
    """A tqdm bar over all steps."""

    # The part of tqdm's format that remains with measured values, so that both fit into 120 columns.
    FORMAT = "{desc}{percentage:3.0f}%|{bar}| <{remaining}{postfix}"

    def __init__(self, bar: Any, epochs: int) -> None:
        self._bar = bar
        self._epochs = epochs
        self._done = 0

    def steps(self, count: int) -> None:
        self._bar.update(count)

    def skip(self, epochs: int) -> None:
        self._done += epochs
        self._bar.update(epochs * (self._bar.total // max(1, self._epochs)))

    def epoch(self, values: dict[str, float]) -> None:
        self._done += 1
        self._bar.bar_format = self.FORMAT
        self._bar.set_description(f"epoch {self._done}/{self._epochs}", refresh=False)
        self._bar.set_postfix_str(_text(values))

    def close(self) -> None:
        self._bar.close()


def choose(progress: bool | Silent | None, epochs: int, steps: int) -> Silent:
    """The display for training of some epochs of some steps; None shows it if stderr is a terminal."""
    if isinstance(progress, Silent):
        return progress
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    if not progress:
        return Silent()
    try:
        from tqdm import tqdm
    except ImportError:
        return Lines(epochs)
    return Bar(tqdm(total=epochs * steps, unit="step"), epochs)


def _text(values: dict[str, float]) -> str:
    """Names and numbers; "validation" is written once."""
    text = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
    before, word, after = text.partition("validation ")
    return before + word + after.replace("validation ", "")
