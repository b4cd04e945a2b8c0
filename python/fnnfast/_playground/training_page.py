"""What the pages have in common on which a network is trained."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from .data import Data, make, missing
from .figures import OverSteps
from .history import History
from .page import FRAME, Page
from .run import Run
from .script import digest, script
from .settings import (
    BIAS_INITS,
    DATA,
    DEFAULTS,
    HEADS,
    INITS,
    OPTIMIZERS,
    Settings,
    from_query,
    hidden_kinds,
    points_text,
)
from .shown import Shown
from .worker import State, Worker

_SLOW = 8  # frames between two drawings of a plot over the steps
_RATES = (0.00001, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
_PENALTIES = (0, 0.00001, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1)
_SPEEDS = {
    "1": "one step a frame", "10": "10 steps a frame", "100": "100 steps a frame", "1000": "1,000 steps a frame",
    "max": "as fast as it goes",
}  # fmt: skip
_SPEED = "100"
_WORDS = {
    "xor": "XOR", "moons": "two moons", "blobs": "Gaussian blobs", "sign": "the notes' sign network",
    "drawn": "drawn by hand only", "absolute": "absolute value", "sine": "sine, noise grows",
    "8x8": "8 x 8, scikit-learn",
    "28x28": "28 x 28, MNIST", "cross_entropy": "cross-entropy", "hinge": "hinge",
    "squared_error": "squared error", "gaussian": "Gaussian likelihood", "multiclass_hinge": "multiclass hinge",
    "momentum": "SGD, momentum 0.9", "nesterov": "SGD, Nesterov 0.9", "sgd": "SGD", "adam": "Adam", "adamw": "AdamW",
    "torch": "uniform", "default": "by activation", "he": "He", "xavier": "Xavier", "lecun": "LeCun",
    "0.01": "normal, 0.01", "0.1": "normal, 0.1", "1": "normal, 1", "3": "normal, 3",
}  # fmt: skip
_LAYERS = [f"layer_{number}" for number in range(1, 9)]
_MARKS = {1: "dead", 2: "saturated", 3: "linear"}


class TrainingPage(Page):
    """A page on which a network is trained: settings, a worker, and what is shown of its newest state."""

    scored = "accuracy"

    def __init__(self, document: Any) -> None:
        super().__init__(document)
        message = ""
        try:
            settings = from_query(self.part, self.query)
        except ValueError as error:
            settings, message = DEFAULTS[self.part], f"The settings of this address are not valid: {error}"
        if package := missing(settings.data):
            settings, message = DEFAULTS[self.part], f"These digits need {package}: pip install {package}"
        self.limit: int | None = int(_SPEED)
        self._count = 0
        self._begin(settings)
        self.make_figures()
        self.plots = {
            # That of a Gaussian head may be negative.
            "losses": OverSteps({"train_loss": "training", "test_loss": "test"}, log=self.scored == "accuracy"),
            "gradients": OverSteps({name: name.replace("_", " ") for name in _LAYERS}, log=True),
        }
        if self.scored == "accuracy":
            self.plots["scores"] = OverSteps({"train_score": "training", "test_score": "test"}, log=False)
            self.plots["scores"].figure.legend.location = "bottom_right"
        self.figures |= {name: plot.figure for name, plot in self.plots.items()}
        self.show(
            settings=settings,
            choices=self._choices(settings),
            kinds=hidden_kinds(),
            points_text=points_text(settings.points),
            speeds=_SPEEDS.items(),
            speed=_SPEED,
            score="R²" if self.scored == "r2" else self.scored,
            message=message,
            **self.variables(),
        )
        document.add_periodic_callback(self.frame, FRAME)
        document.on_session_destroyed(lambda context: self.close())

    # What subclasses have -------------------------------------------------------------------------------------------
    def variables(self) -> dict[str, Any]:
        """What else the template needs."""
        return {}

    def make_figures(self) -> None:
        """Make the figures of the part."""
        raise NotImplementedError

    def draw_data(self) -> None:
        """Draw the data."""

    def draw(self, *, first: bool, second: bool) -> None:
        """Draw the newest state: what is most looked at, what else changes with every step, or both."""
        raise NotImplementedError

    # Settings -------------------------------------------------------------------------------------------------------
    def _choices(self, settings: Settings) -> dict[str, list[tuple[str, str]]]:
        def named(values: Any) -> list[tuple[str, str]]:
            return [(str(value), _WORDS.get(str(value), str(value))) for value in values]

        def numbers(values: Any, current: float) -> list[tuple[str, str]]:
            return [(f"{value:g}", f"{value:g}") for value in sorted({*values, current})]

        return {
            "data": named(name for name in DATA[self.part] if missing(name) is None),
            "head": named(HEADS[self.part]),
            "optimizer": named(OPTIMIZERS),
            "learning_rate": numbers(_RATES, settings.learning_rate),
            "l2": numbers(_PENALTIES, settings.l2),
            "init": named(INITS),
            "bias_init": named(BIAS_INITS),
            "filters": [("0", "none"), *((str(n), f"{n} filters") for n in (4, 8, 16, 32))],
        }

    def _begin(self, settings: Settings) -> None:
        """Start anew, with initial weights."""
        self.settings = settings
        self.data: Data = make(settings)
        self.shown = Shown(settings, self.data)
        self.worker = Worker(Run(settings, self.data), self.limit)
        self.history = History(["train_loss", "test_loss", "train_score", "test_score", *_LAYERS])
        self._times: deque[tuple[float, int]] = deque(maxlen=40)
        self._drawn: State | None = None  # what is on the page

    def restart(self, settings: Settings) -> None:
        """Start anew, and train if it did before."""
        running = self.worker.running
        self.worker.close()
        self._begin(settings)
        self.draw_data()
        self.texts["message"] = ""
        self.extra["query"] = settings.query()
        if running:
            self.worker.start()

    def on_sent(self, query: str) -> None:
        try:
            settings = from_query(self.part, query)
        except ValueError as error:
            self.texts["message"] = str(error)
            self._drawn = None
            return
        if settings == self.settings:
            return
        if settings.only_rates_differ(self.settings):
            self.settings = settings
            self.worker.change(settings)
            self.extra["query"] = settings.query()
            self._drawn = None
        else:
            self.restart(settings)

    def on_command(self, command: dict[str, Any]) -> None:
        what = command["do"]
        if what == "toggle":
            self._toggle()
        elif what == "step":
            self.worker.pause()
            self.worker.step()
        elif what == "reset":
            self.worker.pause()
            self.restart(self.settings)
        elif what == "speed":
            self.limit = None if command["value"] == "max" else int(command["value"])
            self.worker.limit(self.limit)
        elif what == "script":
            steps, changes, parameters = self.worker.finished()
            self.bridge.script = ""  # so that the same script is shown again
            self.bridge.script = script(self.settings, steps, changes, digest(parameters))
        elif what == "ready":
            self.extra["query"] = self.settings.query()
        self._drawn = None

    def _toggle(self) -> None:
        if self.worker.running:
            self.worker.pause()
        else:
            self._times.clear()
            self.worker.start()

    # Frames ---------------------------------------------------------------------------------------------------------
    def frame(self) -> None:
        """Draw what is new, if the page has seen what was drawn before."""
        if not self.may_draw():
            if self.lost():
                self.worker.pause()
            return
        state = self.worker.frame()
        if state is self._drawn and not self.extra:
            return
        settled = not self.worker.running
        self._count += 1
        self._take(state)
        # A browser takes some milliseconds to paint a figure: not all are drawn in one frame.
        turn, rest = divmod(self._count, _SLOW)
        plots = [list(self.plots)[turn % len(self.plots)]] if rest == 0 else []
        first = self._count % 2 == 1
        self.draw(first=settled or first, second=settled or not (first or plots))
        self._draw_plots(list(self.plots) if settled else plots)
        self._drawn = state
        self.send(running=self.worker.running)

    def on_seen(self) -> None:
        if self.due():
            self.frame()

    def _take(self, state: State) -> None:
        self.shown.take(state.parameters)
        scores = self.shown.scores()
        if state.steps:
            self.history.add(state.steps, scores | dict(zip(_LAYERS, state.gradient_norm.values(), strict=False)))
        self._times.append((time.monotonic(), state.steps))
        (first, before), (last, now) = self._times[0], self._times[-1]
        if self.worker.running and last - first > 0.2:
            self.texts["rate"] = f"{(now - before) / (last - first):,.0f}"
        self.texts["steps"] = f"{state.steps:,}"
        for name in ("train_loss", "test_loss", "train_score", "test_score"):
            self.texts[name] = _number(scores, name, percent=self.scored == "accuracy" and name.endswith("score"))
        if state.message:
            self.texts["message"] = state.message
        self.marks = self.shown.marks()
        self.texts["marks"] = in_words(self.marks)

    def _draw_plots(self, names: Sequence[str]) -> None:
        columns = self.history.columns()
        layers = [*map(title, number_layers(self.shown.hidden_names)), "output"]
        for name in names:
            self.plots[name].draw(columns, layers if name == "gradients" else ["training", "test"])

    def close(self) -> None:
        """End what works for the page."""
        self.worker.close()


def _number(scores: Mapping[str, float], name: str, *, percent: bool) -> str:
    value = scores.get(name)
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.1%}" if percent else f"{value:.4f}" if abs(value) < 1000 else f"{value:.3g}"


def in_words(marks: Mapping[str, Any]) -> str:
    """Which units are marked, for those who do not see the marks."""
    found = []
    for layer, values in zip(number_layers(list(marks)), marks.values(), strict=True):
        for mark, word in _MARKS.items():
            if count := int((values == mark).sum()):
                found.append(f"{title(layer)}: {count} of {len(values)} {word}")
    return "; ".join(found)


def number_layers(names: Sequence[str]) -> list[int]:
    """The numbers of hidden layers in the form, where a convolution before them has none, here 0."""
    first = not (names and names[0].startswith("conv"))
    return [number + first for number in range(len(names))]


def title(number: int) -> str:
    """What a hidden layer is called."""
    return f"layer {number}" if number else "convolution"
