"""Figures and their colours, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from bokeh.core.properties import value
from bokeh.models import Axis, ColumnDataSource, Grid, Legend, LinearColorMapper, Range1d, Span
from bokeh.plotting import figure

from .._checks import Array

Figure = Any  # of Bokeh

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
# Of layers, from the input on: they differ in brightness, too.
_ORDERED = {
    False: ("#0072b2", "#c95a00", "#00795a", "#a8478a", "#5b6472", "#8a6d00", "#222222", "#7a5195"),
    True: ("#56b4e9", "#f5a142", "#2fc99f", "#e58fc6", "#a7b0bf", "#e8d34c", "#ffffff", "#b39ddb"),
}
DASHES = ("solid", "dashed", "dotted", "dotdash", "dashdot", "solid", "dashed", "dotted")


class Colours(NamedTuple):
    """Those of a theme. ``classes`` are blue and orange, which differ to the colour-blind (Okabe and Ito, 2008)."""

    dark: bool
    text: str
    strong: str
    grid: str
    outline: str
    middle: tuple[int, int, int]
    classes: tuple[str, str]
    ends: tuple[tuple[int, int, int], tuple[int, int, int]]

    @property
    def layers(self) -> tuple[str, ...]:
        """One for each layer."""
        return _ORDERED[self.dark]

    @property
    def palette(self) -> list[str]:
        """Of pictures in bytes: transparent, then from class 0 over the middle to class 1."""
        stops = np.array([self.ends[0], self.middle, self.ends[1]], float)
        along = np.linspace(0, 2, 255)
        channels = [np.interp(along, [0, 1, 2], stops[:, channel]) for channel in range(3)]
        return ["#00000000", *("#{:02x}{:02x}{:02x}".format(*map(round, rgb)) for rgb in zip(*channels, strict=True))]


LIGHT = Colours(
    False,
    "#3c4657",
    "#000000",
    "#e3e7ed",
    "#ffffff",
    (250, 250, 250),
    ("#0072b2", "#c95a00"),
    ((75, 154, 207), (238, 146, 66)),
)
DARK = Colours(
    True,
    "#b9c1ce",
    "#ffffff",
    "#303843",
    "#12151a",
    (32, 37, 45),
    ("#56b4e9", "#f5a142"),
    ((37, 121, 178), (206, 116, 26)),
)


def themed(dark: bool) -> Colours:
    """The colours of a theme."""
    return DARK if dark else LIGHT


def plain(height: int = 200, **options: Any) -> Figure:
    """A figure as wide as its place."""
    options = {"height": height, "sizing_mode": "stretch_width"} | options
    made = figure(toolbar_location=None, tools="", min_border=4, **options)
    made.background_fill_color = made.border_fill_color = made.outline_line_color = None
    for axis in made.select(Axis):
        axis.update(axis_line_color=None, major_tick_line_color=None, minor_tick_line_color=None)
        axis.update(major_label_text_font=_FONT, axis_label_text_font=_FONT, axis_label_text_font_style="normal")
        axis.update(axis_label_text_font_size="12px", major_label_text_font_size="11px")
    return made


def square(low: float, high: float, **options: Any) -> Figure:
    """A square figure, from low to high in both directions."""
    made = plain(
        width=360, height=360, sizing_mode="scale_width", x_range=Range1d(low, high), y_range=Range1d(low, high),
        **options,
    )  # fmt: skip
    made.grid.visible = made.axis.visible = False  # an axis takes longer to paint than the picture
    made.min_border = 0
    return made


class OverSteps:
    """Lines over the steps, by name of the column and what the legend says."""

    def __init__(self, names: dict[str, str], *, log: bool) -> None:
        self.figure = plain(190, y_axis_type="log" if log else "linear", x_axis_label="steps", x_range=Range1d())
        self._log = log
        empty = np.zeros(0, np.float32)
        self._source = ColumnDataSource({"step": empty, **dict.fromkeys(names, empty)})
        self._names = list(names)
        for (name, text), dash in zip(names.items(), DASHES, strict=False):
            self.figure.line(
                "step", name, source=self._source, line_width=2, line_dash=dash, legend_label=text, name="series"
            )
        self.figure.y_range = Range1d(0.1, 1)
        self.figure.xaxis.formatter.use_scientific = False
        for axis in (self.figure.xaxis, self.figure.yaxis):
            axis.ticker.update(desired_num_ticks=4, num_minor_ticks=0)
        legend(self.figure)

    def draw(self, columns: dict[str, Array], labels: Sequence[str]) -> None:
        """Draw the first lines, of columns of a History, which the legend calls so."""
        self._source.data = {name: columns[name] for name in ("step", *self._names)}
        for index, item in enumerate(self.figure.legend[0].items):
            item.visible = item.renderers[0].visible = index < len(labels)
            if item.visible and item.label != value(labels[index]):
                item.label = value(labels[index])
        steps = columns["step"]
        self.figure.x_range.end = max(1.0, float(steps[-1])) if len(steps) else 1.0
        values = np.concatenate([columns[name] for name in self._names[: len(labels)]])
        fit(self.figure.y_range, values, log=self._log)


def fit(given: Range1d, values: Array, *, log: bool) -> None:
    """Make a range fit values; that of a log axis has no place for those that are not above 0."""
    values = values[np.isfinite(values) & ((values > 0) | (not log))].astype(np.float64)
    if not len(values):
        return
    values = np.log10(values) if log else values
    low, high = float(values.min()), float(values.max())
    margin = max(0.06 * (high - low), 0.05 if log else 0.02)
    low, high = low - margin, high + margin
    given.update(start=10**low if log else low, end=10**high if log else high)


def legend(made: Figure) -> None:
    """Put the legend where it is out of the way."""
    made.legend.update(
        location="top_right", border_line_color=None, label_text_font=_FONT, label_text_font_size="11px", padding=2,
        spacing=0, glyph_width=22, label_height=14, glyph_height=14, background_fill_alpha=0.6, margin=2,
    )  # fmt: skip


def mapper() -> LinearColorMapper:
    """The colours of pictures in bytes."""
    return LinearColorMapper(palette=LIGHT.palette, low=0, high=255, name="pictures")


def restyle(made: Figure, colours: Colours) -> None:
    """Give a figure the colours of a theme."""
    for axis in made.select(Axis):
        axis.update(major_label_text_color=colours.text, axis_label_text_color=colours.text)
    for grid in made.select(Grid):
        grid.grid_line_color = colours.grid
    for span in made.select(Span):
        span.line_color = colours.text
    for each in made.select(Legend):
        each.update(label_text_color=colours.text, background_fill_color="#1b2027" if colours.dark else "#ffffff")
    series = [renderer for renderer in made.renderers if renderer.name == "series"]
    for renderer, colour in zip(series, colours.layers, strict=False):
        renderer.glyph.line_color = colour
    for each in made.select({"name": "pictures"}):
        each.palette = colours.palette
