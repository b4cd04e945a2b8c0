"""Handwritten digits: one that is drawn, what the network takes it for, and what its first units look for."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, LinearColorMapper, Range1d
from bokeh.palettes import gray

from .._checks import Array
from .classification_page import mosaic
from .figures import mapper, plain
from .pixels import as_data
from .shown import as_bytes
from .training_page import TrainingPage

_COLUMNS = 8  # of pictures of weights


class DigitsPage(TrainingPage):
    """``/digits``."""

    part = "digits"

    def make_figures(self) -> None:
        self.image: Array = self.data.x_test[0]
        self._sample = 0
        chart = plain(210, x_range=Range1d(0, 1.02), y_range=Range1d(9.6, -0.6), x_axis_label="probability")
        chart.yaxis.ticker = FixedTicker(ticks=list(range(10)))
        chart.ygrid.visible = False
        self.bars = ColumnDataSource({"digit": list(range(10)), "probability": [0.0] * 10})
        self.bar = chart.hbar("digit", 0.72, "probability", source=self.bars, line_color=None)
        seen = plain(140, x_range=Range1d(0, 1), y_range=Range1d(0, 1), width=140, sizing_mode="scale_width")
        self.seen = ColumnDataSource({"image": [np.zeros((8, 8), np.float32)]})
        greys = LinearColorMapper(palette=gray(256), low=0, high=1)
        seen.image("image", 0, 0, 1, 1, source=self.seen, color_mapper=greys)
        weights = plain(252, width=400, sizing_mode="scale_width", x_range=Range1d(), y_range=Range1d())
        for each in (seen, weights):
            each.axis.visible = each.grid.visible = False
        self.pictures = ColumnDataSource({name: [] for name in ("image", "x", "y", "w", "h")})
        weights.image("image", "x", "y", "w", "h", source=self.pictures, color_mapper=mapper())
        self.figures |= {"probabilities": chart, "seen": seen, "weights": weights}

    def restyle(self) -> None:
        super().restyle()
        self.bar.glyph.fill_color = self.colours.classes[0]

    def draw_data(self) -> None:
        side = self.data.x.shape[1]
        if self.image.shape[0] != side:
            self._show_sample(0)

    def on_command(self, command: dict[str, Any]) -> None:
        if command["do"] == "digit":
            drawn = np.array(command["pixels"], np.float32).reshape(command["side"], command["side"]) / 255
            self.image = as_data(drawn, self.data.x.shape[1])
        elif command["do"] == "sample":
            self._show_sample(self._sample + 1)
        else:
            if command["do"] == "ready":
                self._show_sample(self._sample)
            super().on_command(command)
        self._drawn = None

    def _show_sample(self, number: int) -> None:
        """Show a digit of the test set in place of a drawn one."""
        self._sample = number % len(self.data.x_test)
        self.image = self.data.x_test[self._sample]
        pixels = np.round(255 * self.image[:, :, 0]).astype(int)
        self.extra["digit"] = {"side": len(pixels), "pixels": pixels.ravel().tolist()}

    def draw(self, *, first: bool, second: bool) -> None:
        if first:
            self._draw_answer()
        if second:
            self.seen.data = {"image": [self.image[::-1, :, 0]]}
            self._draw_weights()

    def _draw_answer(self) -> None:
        probabilities = np.nan_to_num(self.shown.probabilities(self.image))
        best = int(probabilities.argmax())
        self.texts["answer"] = f"a {best}, with {probabilities[best]:.0%}" if self.image.any() else "nothing yet"
        self.bars.data = {"digit": list(range(10)), "probability": probabilities}

    def _draw_weights(self) -> None:
        pictures = as_bytes(self.shown.first_weights())[:, ::-1]
        columns = [pictures[first::_COLUMNS] for first in range(min(_COLUMNS, len(pictures)))]
        rows = len(columns[0])
        size = 0.86
        counts = np.array([len(of_column) for of_column in columns])
        made = self.figures["weights"]
        made.x_range.update(start=0, end=_COLUMNS)
        made.y_range.update(start=-max(rows, 5.04), end=0)
        self.pictures.data = {
            "image": [mosaic(of_column) for of_column in columns],
            "x": np.arange(len(columns)) + (1 - size) / 2,
            "y": -counts + (1 - size) / 2,
            "w": np.full(len(columns), size),
            "h": counts - 1 + size,
        }
