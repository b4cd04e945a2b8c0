"""A curve: what a network makes of it, its last hidden units, and its error by width."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, FreehandDrawTool, Range1d

from .figures import fit, plain
from .settings import EDGE, Point
from .shown import CURVE
from .training_page import TrainingPage
from .widths import STEPS, WIDTHS, Widths

_STROKE = 60  # points that are taken of a stroke, at most


class RegressionPage(TrainingPage):
    """``/regression``."""

    part = "regression"
    scored = "r2"

    def variables(self) -> dict[str, Any]:
        return {"widths": len(WIDTHS), "width_steps": f"{STEPS:,}"}

    def make_figures(self) -> None:
        self.compared: Widths | None = None
        made = plain(420, x_range=Range1d(-EDGE, EDGE), y_range=Range1d(-EDGE, EDGE))
        self.units, self.pieces = (ColumnDataSource({"xs": [], "ys": []}) for _ in range(2))
        self.band = ColumnDataSource({"x": [], "low": [], "high": []})
        self.answer = ColumnDataSource({"x": [], "y": []})
        self.train, self.test = (ColumnDataSource({"x": [], "y": []}) for _ in range(2))
        self.stroke = ColumnDataSource({"xs": [], "ys": []})
        self.band_area = made.varea("x", "low", "high", source=self.band, fill_alpha=0.25)
        self.unit_lines = made.multi_line("xs", "ys", source=self.units, line_width=1)
        self.piece_lines = made.multi_line("xs", "ys", source=self.pieces, line_width=1, line_dash="dashed")
        self.points = [
            made.scatter("x", "y", source=source, size=size, fill_alpha=alpha, line_color=None)
            for source, size, alpha in ((self.test, 4, 0.5), (self.train, 7, 0.9))
        ]
        self.line = made.line("x", "y", source=self.answer, line_width=3)
        drawn = made.multi_line("xs", "ys", source=self.stroke, line_width=2)
        tool = FreehandDrawTool(renderers=[drawn], num_objects=1)
        made.add_tools(tool)
        made.toolbar.active_drag = tool
        self.stroke.on_change("data", lambda attr, old, new: self._on_stroke(new))
        self.figures["curve"] = made

        widths = plain(230, x_axis_type="log", y_axis_type="log", x_axis_label="units", y_axis_label="RMS error")
        self.errors = ColumnDataSource({"width": [], "error": []})
        widths.line("width", "error", source=self.errors, line_width=2, name="series")
        self.error_points = widths.scatter("width", "error", source=self.errors, size=7)
        widths.x_range, widths.y_range = Range1d(0.8, 80), Range1d(0.01, 1)
        widths.xaxis.ticker = [1, 2, 4, 8, 16, 32, 64]
        widths.yaxis.ticker = [digit * 10.0**power for power in range(-4, 3) for digit in (1, 2, 5)]
        self.figures["widths"] = widths
        self.draw_data()

    def restyle(self) -> None:
        super().restyle()
        blue, orange = self.colours.classes
        self.line.glyph.line_color = self.band_area.glyph.fill_color = blue
        self.error_points.glyph.update(fill_color=blue, line_color=None)
        for each in self.points:
            each.glyph.fill_color = orange
        for each in (self.unit_lines, self.piece_lines):
            each.glyph.update(line_color=self.colours.text, line_alpha=0.35)

    # Data -----------------------------------------------------------------------------------------------------------
    def draw_data(self) -> None:
        self.train.data = {"x": self.data.x[:, 0], "y": self.data.y}
        self.test.data = {"x": self.data.x_test[:, 0], "y": self.data.y_test}

    def _on_stroke(self, columns: Any) -> None:
        """Take the points of a stroke when it has ended, which the tool tells by a last change."""
        if not columns["xs"] or len(columns["xs"][-1]) < 2:
            return
        x, y = (np.asarray(columns[name][-1], float) for name in ("xs", "ys"))
        along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        at = np.linspace(0, along[-1], min(_STROKE, 2 + int(along[-1] * 15)))
        places = np.clip(np.stack([np.interp(at, along, x), np.interp(at, along, y)], axis=1), -EDGE, EDGE)
        self.stroke.data = {"xs": [], "ys": []}
        points = tuple(Point(round(100 * a), round(100 * b)) for a, b in places.tolist())
        try:
            self.restart(replace(self.settings, points=self.settings.points + points))
        except ValueError as error:
            self.texts["message"] = str(error)
            self._drawn = None

    # Width against error --------------------------------------------------------------------------------------------
    def on_command(self, command: dict[str, Any]) -> None:
        if command["do"] == "widths":
            self._compare()
        else:
            super().on_command(command)

    def _compare(self) -> None:
        self._end_comparison()
        if len(self.data.x):
            self.worker.pause()
            self.errors.data = {"width": [], "error": []}
            self.compared = Widths(self.settings, self.data)

    def _end_comparison(self) -> None:
        if self.compared is not None:
            self.compared.close()
            self.compared = None

    def frame(self) -> None:
        super().frame()
        if self.compared is not None and self.may_draw():
            finished, found = self.compared.finished, list(self.compared.found)
            self.errors.data = {"width": [w for w, _ in found], "error": [e for _, e in found]}
            fit(self.figures["widths"].y_range, np.array([e for _, e in found]), log=True)
            self.texts["widths"] = f"{len(found)} of {len(WIDTHS)}"
            if finished:
                self.compared = None
                best = min(found, key=lambda each: each[1], default=(0, 0.0))
                self.texts["widths"] = f"smallest error {best[1]:.3f}, with {best[0]} units" if found else ""
            self.send(running=self.worker.running)

    def close(self) -> None:
        self._end_comparison()
        super().close()

    # A state --------------------------------------------------------------------------------------------------------
    def draw(self, *, first: bool, second: bool) -> None:
        if first:
            self._draw_curve()
        if second:
            x = np.linspace(-EDGE, EDGE, CURVE, dtype=np.float32)[::4]
            for source, lines in ((self.units, self.shown.unit_curves()), (self.pieces, self.shown.piece_lines())):
                source.data = {"xs": [x] * len(lines), "ys": list(np.ascontiguousarray(lines[:, ::4]))}

    def _draw_curve(self) -> None:
        x, y, interval = self.shown.curve()
        self.answer.data = {"x": x, "y": y}
        if interval is not None:
            self.band.data = {"x": x, "low": interval[0], "high": interval[1]}
        elif len(self.band.data["x"]):
            self.band.data = {"x": [], "low": [], "high": []}
