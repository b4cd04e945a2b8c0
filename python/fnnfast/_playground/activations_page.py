"""Activations: each function and its derivative, where it saturates, and the errors of its kernel."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
from bokeh.models import BoxAnnotation, ColumnDataSource, Range1d, Span

from . import curves
from .figures import plain
from .page import Page

_DEFAULT, _REACH = "swish", 6.0
_WATCHED = {
    "dead": "dead, if below {small:g} for all rows",
    "saturated": "saturated, where below {small:g}, a tenth of the steepest",
    "": "not counted",
}
_INITS = {"he": "He, normal", "xavier": "Xavier, uniform", "lecun": "LeCun, normal"}
_MOST_BOXES = 4


class ActivationsPage(Page):
    """``/activations``."""

    part = "activations"

    def __init__(self, document: Any) -> None:
        super().__init__(document)
        message = ""
        try:
            self.name, self.value, self.reach = self._parsed(self.query)
        except ValueError as error:
            self.name, self.value, self.reach = _DEFAULT, None, _REACH
            message = f"The settings of this address are not valid: {error}"
        made = plain(420, x_axis_label="z")
        self.function, self.derivative = (ColumnDataSource({"z": [], "y": []}) for _ in range(2))
        made.add_layout(Span(location=0, dimension="width", line_width=1, line_alpha=0.5))
        made.add_layout(Span(location=0, dimension="height", line_width=1, line_alpha=0.5))
        self.boxes = [BoxAnnotation(visible=False, line_color=None, fill_alpha=0.16) for _ in range(_MOST_BOXES)]
        for box in self.boxes:
            made.add_layout(box)
        made.line("z", "y", source=self.function, line_width=3, name="series")
        made.line("z", "y", source=self.derivative, line_width=2.5, line_dash="dashed", name="series")
        made.x_range = Range1d()
        errors = plain(230, x_axis_label="z", y_axis_label="ulp")
        self.errors = ColumnDataSource({"z": [], "error": []})
        self.dots = errors.scatter("z", "error", source=self.errors, size=2, line_color=None, fill_alpha=0.6)
        errors.x_range = made.x_range
        self.figures |= {"functions": made, "errors": errors}
        known = curves.parameter(self.name)
        self.show(
            message=message,
            choices={"name": [(name, name) for name in curves.names()]},
            name=self.name,
            parameter=known[0] if known else None,
            value=self.value if self.value is not None else known[1] if known else 1,
            reach=f"{self.reach:g}",
        )
        self._draw()

    def restyle(self) -> None:
        super().restyle()
        self.dots.glyph.fill_color = self.colours.classes[0]
        for box in self.boxes:
            box.fill_color = self.colours.text

    @staticmethod
    def _parsed(query: str) -> tuple[str, float | None, float]:
        given = {name: values[-1] for name, values in parse_qs(query).items()}
        name = given.get("name", _DEFAULT)
        if name not in curves.names():
            raise ValueError(f"name: expected an activation, got {name!r}")
        value, reach = (float(given[key]) if key in given else None for key in ("parameter", "reach"))
        reach = _REACH if reach is None else reach
        if not 0.5 <= reach <= 100:
            raise ValueError(f"reach: expected a number from 0.5 to 100, got {reach}")
        curves.make(name, value)
        return name, value, reach

    def on_sent(self, query: str) -> None:
        try:
            name, self.value, self.reach = self._parsed(query)
        except ValueError as error:
            self.texts["message"] = str(error)
            self.send()
            return
        if name != self.name:
            self.name = name
            known = curves.parameter(name)
            self.value = known[1] if known else None
            self.extra["limits"] = {"parameter-field": {"hidden": known is None}}
            if known:
                self.texts["parameter-name"] = known[0]
                self.extra["limits"]["parameter"] = {"value": known[1]}
        self.texts["message"] = ""
        self._draw()

    def on_command(self, command: dict[str, Any]) -> None:
        if command["do"] == "ready":
            self._draw()

    def _draw(self) -> None:
        activation = curves.make(self.name, self.value)
        found = curves.curves(activation, self.reach)
        self.figures["functions"].x_range.update(start=-self.reach, end=self.reach)
        self.function.data = {"z": found.z, "y": found.y}
        derivative = found.derivative if found.derivative is not None else np.full(len(found.z), np.nan)
        self.derivative.data = {"z": found.z, "y": derivative}
        thinned = slice(None, None, 5)
        self.errors.data = {"z": found.z_checked[thinned], "error": found.errors[thinned].astype(np.float32)}
        shaded = [*spans(found.z, found.small), *[(None, None)] * _MOST_BOXES]
        for box, (left, right) in zip(self.boxes, shaded, strict=False):
            box.update(visible=left is not None, left=left, right=right)
        self.texts |= {
            "description": curves.description(self.name),
            "ulps": f"{np.abs(found.errors).max():.2f} ulp",
            "start": _INITS[activation.init],
            "saves": {"input": "z", "output": "y", "nothing": "nothing"}[activation.saves],
            "watch": _WATCHED[activation.watch].format(small=activation.small),
            "shading": f"shaded: counted as {found.watch} there" if found.small.any() else "",
        }
        if found.derivative is None:
            self.texts["watch"] = "not trained: it has no derivative"
        pairs = {"name": self.name, "reach": f"{self.reach:g}"}
        if self.value is not None and curves.parameter(self.name):
            pairs["parameter"] = f"{self.value:g}"
        self.extra["query"] = urlencode(pairs)
        self.send()


def spans(z: Any, where: Any) -> list[tuple[float, float]]:
    """The intervals of z where a condition holds."""
    padded = np.concatenate([[False], where, [False]])
    starts, ends = np.flatnonzero(~padded[:-1] & padded[1:]), np.flatnonzero(padded[:-1] & ~padded[1:]) - 1
    return [(float(z[start]), float(z[end])) for start, end in zip(starts, ends, strict=True)]
