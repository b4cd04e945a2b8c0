"""One training run: the same bits for the same settings, however its steps are grouped."""

from __future__ import annotations

import math

import numpy as np

from .._checks import Array
from . import build
from .data import Data
from .settings import Settings


class Run:
    """A network in training.

    Every epoch has a new order of the rows and as many whole batches as there are; the rows that are left over in one
    epoch are used in others. Learning rate and l2 may change in between, which ``changes`` records.
    """

    def __init__(self, settings: Settings, data: Data) -> None:
        self.settings = settings
        self.data = data
        self.network = build.network(settings)
        self.trainer = build.trainer(settings, self.network)
        self.changes = [(0, settings.learning_rate, settings.l2)]
        self.diverged = False
        self.batch = max(1, min(settings.batch, len(data.x)))
        self._a_round = len(data.x) // self.batch * self.batch  # rows of an epoch
        self._rng = np.random.default_rng(settings.seed)
        self._left = np.zeros(0, np.int64)

    @property
    def steps(self) -> int:
        """The number of updates so far."""
        return self.trainer._core.steps

    def change(self, settings: Settings) -> None:
        """Go on with another learning rate or l2."""
        self.settings = settings
        self.trainer.learning_rate = settings.learning_rate
        self.trainer.l2 = settings.l2
        if self.changes[-1][0] == self.steps:
            self.changes.pop()
        self.changes.append((self.steps, settings.learning_rate, settings.l2))

    def advance(self, steps: int) -> float:
        """Make some steps; their mean loss, which is not finite if training diverged. ValueError without data."""
        if not len(self.data.x):
            raise ValueError("There is no point to train on: draw some, or choose a data set.")
        loss = self.trainer.epoch(self.data.x, self.data.y, self._next(steps * self.batch), self.batch)
        self.diverged = not math.isfinite(loss)
        return loss

    def _next(self, rows: int) -> Array:
        """The next rows of the training set."""
        parts, count = [self._left], len(self._left)
        while count < rows:
            parts.append(self._rng.permutation(len(self.data.x))[: self._a_round])
            count += self._a_round
        order = np.concatenate(parts)
        self._left = order[rows:]
        return order[:rows]
