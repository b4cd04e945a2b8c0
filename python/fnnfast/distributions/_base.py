"""What all distributions share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from .._checks import FLOAT64, Array, message
from .._frozen import Frozen


class Distribution(Frozen, ABC):
    """A batch of independent distributions, a row of the network's input each; equal when type and arrays are.

    Attributes
    ----------
    mean : ndarray
        The expected value, in the dtype of what it was made from; read-only, as all that is kept.
    """

    mean: Array

    def _store(self, **fields: Array) -> None:
        for array in fields.values():
            array.flags.writeable = False
        super()._store(**fields)

    def __setstate__(self, state: dict[str, Array]) -> None:
        self._store(**state)

    def __eq__(self, other: object) -> bool:  # and so, as for all that holds arrays, no hash
        if type(other) is not type(self):
            return NotImplemented
        return all(np.array_equal(mine, vars(other)[name]) for name, mine in vars(self).items())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: shape {self.shape}, {self.mean.dtype}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one draw of all of them: (B,) or (B, O)."""
        return self.mean.shape

    @property
    @abstractmethod
    def mode(self) -> Array:
        """What is most probable; what ``predict`` answers."""

    @property
    @abstractmethod
    def variance(self) -> Array:
        """Variance, float64, of the shape of the mean."""

    @property
    def std(self) -> Array:
        """Standard deviation, float64, of the shape of the mean."""
        return np.asarray(np.sqrt(self.variance))

    @abstractmethod
    def log_prob(self, y: ArrayLike) -> Array:
        """Logarithm of the probability, or of the density, of each target.

        Parameters
        ----------
        y : array_like
            One target for each row, as the loss of the head takes them.

        Returns
        -------
        ndarray of ``shape``, float64
            Where a row has several outputs they are independent: the sum over them is that of the whole row.

        Raises
        ------
        ValueError, TypeError
            Targets that cannot be meant, or not one for each row.
        """

    @abstractmethod
    def entropy(self) -> Array:
        """Expected value of -log_prob, float64, of ``shape``; of a Gaussian the differential entropy."""

    def quantile(self, q: ArrayLike) -> Array:
        """The smallest value whose cumulative probability is at least q.

        Parameters
        ----------
        q : array_like of numbers in [0, 1]

        Returns
        -------
        ndarray (*q.shape, *shape)
            Classes, or 0 and 1, in int64; reals in float64. Of classes this says something where they are ordered.

        Raises
        ------
        ValueError
            A q outside [0, 1]; probabilities that are NaN.
        """
        levels = _checks.fit(_checks.real_array("q", q), FLOAT64)
        if not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(message("q", "numbers in [0, 1]", "others"))
        return self._quantile(levels.reshape(levels.shape + (1,) * len(self.shape)))

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """The central interval that holds a draw with at least that probability: two quantiles, with even tails.

        Parameters
        ----------
        level : float in [0, 1)

        Returns
        -------
        low, high : ndarray of ``shape``
            Both ends belong to it.
        """
        level = _checks.share("level", level)
        low, high = self.quantile([(1 - level) / 2, (1 + level) / 2])
        return low, high

    def sample(self, n: int = 1, rng: np.random.Generator | int | None = None) -> Array:
        """Draw from each distribution.

        Parameters
        ----------
        n : int >= 1
        rng : Generator, int or None
            Where randomness comes from; an int is a seed.

        Returns
        -------
        ndarray (n, *shape)
            Classes, or 0 and 1, in int64; reals in the dtype of the mean.

        Raises
        ------
        ValueError
            Probabilities that are NaN.
        """
        n = _checks.integer("n", n, 1)
        return self._draw(n, np.random.default_rng(rng))

    def _one_each(self, targets: Array) -> Array:
        """The targets, if they are one for each row."""
        if len(targets) != self.shape[0]:
            raise ValueError(message("y", f"{self.shape[0]} targets, one for each row", len(targets)))
        return targets

    @abstractmethod
    def _quantile(self, q: Array) -> Array:
        """``quantile`` of levels that are checked and broadcast against ``shape``."""

    @abstractmethod
    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        """``sample`` with arguments that are checked."""


class Discrete(Distribution):
    """What Bernoulli and Categorical share: logits, and a mean that is probabilities, both kept.

    Attributes
    ----------
    logits : ndarray
    """

    logits: Array

    @classmethod
    def _of(cls, logits: Array, probabilities: Array) -> Self:
        distribution = cls.__new__(cls)
        distribution._store(logits=logits, mean=probabilities)
        return distribution

    @property
    def probabilities(self) -> Array:
        """The mean under its other name."""
        return self.mean

    @property
    @abstractmethod
    def log_probabilities(self) -> Array:
        """Logarithms of the probabilities, float64, accurate also where these are rounded to 0 or 1."""

    @property
    def variance(self) -> Array:
        log_p = self.log_probabilities
        return np.asarray(-np.exp(log_p) * np.expm1(log_p))  # p (1 - p)

    def _known(self) -> Array:
        """The probabilities, if none is NaN."""
        if np.isnan(self.mean).any():
            raise ValueError("the probabilities contain NaN: there is nothing to sample from")
        return self.mean
