"""Two classes in a plane: the region, the network with what each unit answers, points drawn by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, PointDrawTool, Range1d
from bokeh.transform import factor_cmap, factor_mark

from .figures import LIGHT, mapper, plain, square
from .settings import EDGE, Point
from .shown import UNIT
from .training_page import TrainingPage

_LABELS = ["0", "1"]
_LINE = ("x0", "y0", "x1", "y1", "width", "weight")
_SHAPE = 1.5  # of the drawing of the network: width by height
_SIGNS = {"1": "x", "2": "triangle", "3": "dash"}  # markers of dead, saturated and linear units


class ClassificationPage(TrainingPage):
    """``/``."""

    part = "classification"

    def make_figures(self) -> None:
        self._make_region()
        self._make_network()

    def _make_region(self) -> None:
        made = square(-EDGE, EDGE)
        self.region = ColumnDataSource({"image": [self.shown.decision()]})
        self.train, self.test = ColumnDataSource(_points()), ColumnDataSource(_points())
        self.own = ColumnDataSource(_points())
        size = 2 * EDGE
        made.image("image", -EDGE, -EDGE, size, size, source=self.region, color_mapper=mapper())
        colour, marker = (
            factor_cmap("label", LIGHT.classes, _LABELS),
            factor_mark("label", ["circle", "diamond"], _LABELS),
        )
        for source, pixels, alpha in ((self.test, 5, 0.55), (self.train, 8, 1.0), (self.own, 12, 1.0)):
            drawn = made.scatter(
                "x", "y", source=source, size=pixels, marker=marker, fill_color=colour, line_color="#ffffff",
                fill_alpha=alpha, line_alpha=alpha, line_width=1 + (source is self.own),
            )  # fmt: skip
            drawn.nonselection_glyph = drawn.selection_glyph = None
        # A new point has the class that page.js sets here: it must not wait for an answer from Python.
        tool = PointDrawTool(name="point-tool", renderers=[drawn], empty_value="0")
        made.add_tools(tool)
        made.toolbar.active_tap = made.toolbar.active_drag = tool
        self.own.on_change("data", lambda attr, old, new: self._on_points(new))
        self.figures["region"] = made
        self.draw_data()

    def _make_network(self) -> None:
        made = plain(
            width=600, height=round(600 / _SHAPE), sizing_mode="scale_width", x_range=Range1d(), y_range=Range1d()
        )
        made.axis.visible = made.grid.visible = False
        self.segments = []  # of weights below 0, and of the others
        for dash in ("dashed", "solid"):
            source = ColumnDataSource({name: [] for name in _LINE})
            segments = made.segment(
                "x0", "y0", "x1", "y1", source=source, line_width="width", line_dash=dash, line_alpha=0.75
            )
            self.segments.append(segments)
        made.add_tools(
            HoverTool(renderers=self.segments, tooltips=[("weight", "@weight{0.0000}")], line_policy="interp")
        )
        names = ("image", "x", "y", "w", "h")
        self.pictures = ColumnDataSource({name: [] for name in names})
        made.image("image", "x", "y", "w", "h", source=self.pictures, color_mapper=mapper())
        self.captions = ColumnDataSource({"x": [], "y": [], "text": []})
        font = {"text_align": "center", "text_baseline": "middle"}
        self.caption = made.text("x", "y", "text", source=self.captions, text_font_size="12px", **font)
        self.signs = ColumnDataSource({"x": [], "y": [], "mark": []})
        marker = factor_mark("mark", list(_SIGNS.values()), list(_SIGNS))
        self.outline, self.sign = (
            made.scatter("x", "y", source=self.signs, marker=marker, size=15, line_width=width) for width in (6, 3)
        )
        self.figures["network"] = made

    def restyle(self) -> None:
        super().restyle()
        colours = self.colours
        for renderer in self.figures["region"].renderers[1:]:
            renderer.glyph.fill_color = factor_cmap("label", colours.classes, _LABELS)
            renderer.glyph.line_color = colours.outline
        for renderer, colour in zip(self.segments, colours.classes, strict=True):
            renderer.glyph.line_color = colour
        self.caption.glyph.text_color = colours.text
        self.outline.glyph.update(line_color=colours.outline, fill_color=None)
        self.sign.glyph.update(line_color=colours.strong, fill_color=None)

    # Data -----------------------------------------------------------------------------------------------------------
    def draw_data(self) -> None:
        own = len(self.settings.points)
        x, y = self.data.x, self.data.y
        self.train.data = _points(x[: len(x) - own], y[: len(x) - own])
        self.test.data = _points(self.data.x_test, self.data.y_test)
        if self._drawn_by_hand(self.own.data) != self.settings.points:
            self.own.data = _points(x[len(x) - own :], y[len(x) - own :])

    @staticmethod
    def _drawn_by_hand(columns: Any) -> tuple[Point, ...]:
        """The points of the tool, within the plane."""

        def place(value: Any) -> int:
            return round(100 * float(np.clip(value, -EDGE, EDGE)))

        rows = zip(columns["x"], columns["y"], columns["label"], strict=True)
        return tuple(Point(place(x), place(y), int(label)) for x, y, label in rows)

    def _on_points(self, columns: Any) -> None:
        points = self._drawn_by_hand(columns)
        if points == self.settings.points:
            return
        try:
            self.restart(replace(self.settings, points=points))
        except ValueError as error:
            self.own.data = _points(*self._own())
            self.texts["message"] = str(error)

    def _own(self) -> tuple[Any, Any]:
        first = len(self.data.x) - len(self.settings.points)
        return self.data.x[first:], self.data.y[first:]

    # A state --------------------------------------------------------------------------------------------------------
    def draw(self, *, first: bool, second: bool) -> None:
        decision = self.shown.decision()
        if first:
            self.region.data = {"image": [decision]}
        if second:
            self._draw_network(decision)

    def _draw_network(self, decision: Any) -> None:
        pictures = self.shown.unit_pictures()
        units = [2, *(len(of_layer) for of_layer in pictures), 1]
        most = max(*units, (1.35 * len(units)) / _SHAPE - 0.6)
        height = most + 1.3
        width = _SHAPE * height
        columns = np.linspace(0.75, width - 0.75, len(units))
        made = self.figures["network"]
        made.x_range.update(start=0, end=width)
        made.y_range.update(start=-height / 2 + 0.25, end=height / 2 + 0.25)
        self._draw_pictures(
            [inputs(), *pictures, decision[:: len(decision) // UNIT, :: len(decision) // UNIT][None]], columns
        )
        self._draw_lines(columns, units)
        titles = ["input", *(layer.kind for layer in self.settings.layers), "output"]
        captions = {"x": list(columns), "y": [height / 2 - 0.1] * len(titles), "text": titles}
        if captions != self.captions.data:
            self.captions.data = captions
        self._draw_signs(columns)

    def _draw_pictures(self, pictures: list[Any], columns: Any) -> None:
        size = 0.86
        mosaics = [mosaic(of_layer) for of_layer in pictures]
        counts = np.array([len(of_layer) for of_layer in pictures])
        self.pictures.data = {
            "image": mosaics,
            "x": columns - size / 2,
            "y": -(counts - 1) / 2 - size / 2,
            "w": np.full(len(columns), size),
            "h": counts - 1 + size,
        }

    def _draw_lines(self, columns: Any, units: list[int]) -> None:
        parts = []
        for layer, weight in enumerate(self.shown.connections()):
            left, right = np.divmod(np.arange(weight.size), weight.shape[1])
            values = np.nan_to_num(weight.reshape(-1), posinf=1e30, neginf=-1e30)
            largest = np.abs(values).max() or 1.0
            x0, x1 = np.full(len(values), columns[layer] + 0.45), np.full(len(values), columns[layer + 1] - 0.45)
            y0, y1 = (units[layer] - 1) / 2 - left, (units[layer + 1] - 1) / 2 - right
            parts.append(np.stack([x0, y0, x1, y1, 0.4 + 5 * np.abs(values) / largest, values]))
        table = np.concatenate(parts, axis=1).astype(np.float32)
        for renderer, chosen in zip(self.segments, (table[5] < 0, table[5] >= 0), strict=True):
            renderer.data_source.data = dict(zip(_LINE, table[:, chosen], strict=True))

    def _draw_signs(self, columns: Any) -> None:
        x, y, kinds = [], [], []
        for column, marks in zip(columns[1:], self.marks.values(), strict=False):
            for unit in np.flatnonzero(marks):
                x.append(column)
                y.append((len(marks) - 1) / 2 - unit)
                kinds.append(str(marks[unit]))
        signs = {"x": x, "y": y, "mark": kinds}
        if signs != self.signs.data:
            self.signs.data = signs


def inputs() -> Any:
    """The pictures of both inputs, bytes (2, UNIT, UNIT)."""
    ramp = np.linspace(1, 255, UNIT).astype(np.uint8)
    return np.stack([np.tile(ramp, (UNIT, 1)), np.tile(ramp[:, np.newaxis], (1, UNIT))])


def mosaic(pictures: Any) -> Any:
    """Pictures (units, side, side) one below the other, the first one on top, with transparent gaps."""
    units, side, _ = pictures.shape
    pitch = round(side / 0.86)
    tall = np.zeros((units * pitch - (pitch - side), side), np.uint8)
    for unit in range(units):
        first = (units - 1 - unit) * pitch  # Bokeh draws the first row at the bottom
        tall[first : first + side] = pictures[unit]
    return tall


def _points(x: Any = (), y: Any = ()) -> dict[str, Any]:
    x = np.asarray(x, np.float32).reshape(-1, 2)
    return {"x": x[:, 0], "y": x[:, 1], "label": [str(int(label)) for label in y]}
