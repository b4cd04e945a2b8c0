"""The display of the progress of training.

No failure of it may end the training: a stream may be closed, may be of a terminal that is gone, or may be no stream at
all. What fails once is silent from then on.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# Modules that are not the user's: this package, and scikit-learn's decorator of fit.
_INSIDE = ("fnnfast.", "sklearn.callback.")


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

    def give_up(self) -> None:
        """After it failed: touch nothing any more."""


class Guarded(Silent):
    """Shows what another display shows, until that fails."""

    def __init__(self, display: Silent) -> None:
        self._display = display

    def steps(self, count: int) -> None:
        self._try(self._display.steps, count)

    def skip(self, epochs: int) -> None:
        self._try(self._display.skip, epochs)

    def epoch(self, values: dict[str, float]) -> None:
        self._try(self._display.epoch, values)

    def close(self) -> None:
        self._try(self._display.close)

    def _try(self, show: Callable[..., None], *arguments: Any) -> None:
        try:
            show(*arguments)
        except Exception:  # of whatever stream there is; Ctrl-C is none
            self._display.give_up()
            self._display = Silent()


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

    def give_up(self) -> None:
        self._bar.disable = True  # or it would try again when it is collected


def is_watched() -> bool:
    """Whether stderr is a terminal or a notebook; False where that cannot be told."""
    try:
        if in_notebook():
            return True
        return bool(sys.stderr.isatty())
    except Exception:  # None, closed, or an object that has a write alone
        return False


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return "IPKernelApp" in getattr(shell, "config", {})


def say(text: str) -> None:
    """Print a line on stdout if that can be had."""
    with suppress(Exception):
        print(text, flush=True)


def warn(text: str, category: type[Warning]) -> None:
    """``warnings.warn`` at the first caller outside of fnnfast.

    A filter may make an error of it; a stream that cannot be written to may not.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(text, category, level)
    except Exception as error:  # warnings itself puts up with an OSError alone
        if isinstance(error, Warning):
            raise


def choose(progress: bool | Silent | None, epochs: int, steps: int) -> Silent:
    """The display for training of some epochs of some steps; None shows it if stderr is a terminal."""
    if isinstance(progress, Silent):
        return progress
    if progress is None:
        progress = is_watched()
    if not progress or sys.stderr is None:  # print would take None for stdout
        return Silent()
    try:
        return Guarded(Bar(_tqdm()(total=epochs * steps, unit="step"), epochs))
    except Exception:  # not installed, or it cannot write there
        return Guarded(Lines(epochs))


def _tqdm() -> Any:
    """The bar of a terminal, or in a notebook a widget where ipywidgets is installed."""
    import tqdm

    if not in_notebook():
        return tqdm.tqdm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets, it is text, and says so
        import tqdm.auto

        return tqdm.auto.tqdm


def _text(values: dict[str, float]) -> str:
    """Names and numbers; "validation" is written once."""
    text = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
    before, word, after = text.partition("validation ")
    return before + word + after.replace("validation ", "")
