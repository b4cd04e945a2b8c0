"""Layers that act only in training."""

from __future__ import annotations

from typing import Any

from .. import _checks
from ._base import Layer
from ._shape import Shape


class Dropout(Layer):
    """Dropout: in training, set a random share of the values to zero and scale the others by 1 / (1 - rate).

    Outside training it does nothing. It may follow the input and any layer but the last. Srivastava et al., "Dropout: a
    simple way to prevent neural networks from overfitting", 2014.

    Parameters
    ----------
    rate : float in [0, 1)
        The share of the values to set to zero.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> layers = [fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dropout(0.5), fnn.Dense(3, "softmax")]
    >>> net = fnn.Sequential(layers, seed=0)
    >>> net([[1, 2, 3, 4]]).shape
    (1, 3)
    """

    kind = "dropout"
    can_end = False
    rate: float

    @_checks.advised("Dropout")
    def __init__(self, rate: float) -> None:
        self._store(rate=_checks.share("rate", rate))

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("dropout", self.rate)


class GaussianNoise(Layer):
    """Gaussian noise: in training, add normally distributed random numbers with mean 0 to the values.

    Outside training it does nothing. It may follow the input and any layer but the last. Sietsma and Dow, "Creating
    artificial neural networks that generalize", 1991.

    Parameters
    ----------
    stddev : float >= 0
        Standard deviation of the noise.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(4), fnn.GaussianNoise(0.1), fnn.Dense(3, "softmax")], seed=0)
    >>> net([[1, 2, 3, 4]]).shape
    (1, 3)
    """

    kind = "gaussian_noise"
    can_end = False
    stddev: float

    def __init__(self, stddev: float) -> None:
        self._store(stddev=_checks.not_negative("stddev", stddev))

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("gaussian_noise", self.stddev)

    def settings(self) -> dict[str, float]:
        return {"stddev": self.stddev}
