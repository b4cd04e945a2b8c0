"""Universal approximation: the error of networks of one hidden layer, by its width."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from .data import Data
from .run import Run
from .settings import Hidden, Settings
from .shown import Shown

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
STEPS = 4000


class Widths:
    """Trains a network of each width in a thread; ``found`` has the root mean squared errors so far."""

    def __init__(self, settings: Settings, data: Data) -> None:
        self.found: list[tuple[int, float]] = []
        self._closed = False
        self._settings, self._data = settings, data
        self._thread = threading.Thread(target=self._work, name="fnnfast-playground-widths", daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether all widths are done."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._thread.join()

    def _work(self) -> None:
        kind = self._settings.layers[-1] if self._settings.layers else Hidden()
        for width in WIDTHS:
            settings = replace(self._settings, layers=(replace(kind, units=width),), head="squared_error")
            run = Run(settings, self._data)
            for _ in range(20):
                if self._closed or run.diverged:
                    break
                run.advance(STEPS // 20)
            if self._closed:
                return
            self.found.append((width, error(settings, self._data, run)))


def error(settings: Settings, data: Data, run: Run) -> float:
    """The root mean squared error on the training set."""
    shown = Shown(settings, data)
    shown.take(run.network.parameters)
    return float(np.sqrt(np.mean((shown.network.predict(data.x)[:, 0] - data.y) ** 2)))
