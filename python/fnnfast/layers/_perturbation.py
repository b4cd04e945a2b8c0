"""Layers that act in training only."""

from __future__ import annotations

from typing import Any

from .. import _checks
from ._base import Layer


class Dropout(Layer):
    """In training, zero a share ``rate`` of the values and scale the others by 1 / (1 - rate); else nothing.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014. It may follow the
    input and any layer but the last.

    Parameters
    ----------
    rate : float in [0, 1)
    """

    kind = "dropout"
    can_end = False
    rate: float

    def __init__(self, rate: float) -> None:
        self._store(rate=_checks.share("rate", rate))

    def spec(self, inputs: int) -> tuple[Any, ...]:
        return ("dropout", self.rate)


class GaussianNoise(Layer):
    """In training, add to every value a draw from the normal distribution with mean 0; else nothing.

    Sietsma and Dow, "Creating artificial neural networks that generalize", 1991. It may follow the input and any layer
    but the last.

    Parameters
    ----------
    stddev : float >= 0
    """

    kind = "gaussian_noise"
    can_end = False
    stddev: float

    def __init__(self, stddev: float) -> None:
        self._store(stddev=_checks.not_negative("stddev", stddev))

    def spec(self, inputs: int) -> tuple[Any, ...]:
        return ("gaussian_noise", self.stddev)

    def settings(self) -> dict[str, float]:
        return {"stddev": self.stddev}
