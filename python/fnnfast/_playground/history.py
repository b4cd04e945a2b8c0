"""Figures over the steps of a run, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .._checks import Array

_MOST = 500


class History:
    """Rows of named figures; when there are too many, every other one is dropped, and fewer are taken from then on."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: list[list[float]] = []
        self._every, self._seen = 1, 0

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add the figures at a step; those that are missing are NaN."""
        if self._seen % self._every == 0:
            self._rows.append([step, *(values.get(name, math.nan) for name in self._names)])
        self._seen += 1
        if len(self._rows) > _MOST:
            self._rows = self._rows[::2]
            self._every *= 2

    def columns(self) -> dict[str, Array]:
        """The steps and the figures, float32, NaN where there is none."""
        table = np.array(self._rows, np.float32).reshape(-1, 1 + len(self._names))
        return {"step": table[:, 0], **{name: table[:, 1 + i] for i, name in enumerate(self._names)}}
