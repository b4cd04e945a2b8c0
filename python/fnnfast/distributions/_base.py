"""The base classes of the distributions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from .._checks import FLOAT64, Array, message
from .._frozen import Frozen


class Distribution(Frozen, ABC):
    """A batch of independent distributions, one per row of the input of a network.

    Two of them are equal if their class and their arrays are.

    Attributes
    ----------
    mean : ndarray
        The expected values, in the dtype of what they were made from. Read-only, as all arrays of a distribution.
    """

    mean: Array

    def _store(self, **fields: Array) -> None:
        for array in fields.values():
            array.flags.writeable = False
        super()._store(**fields)

    def __setstate__(self, state: dict[str, Array]) -> None:
        self._store(**state)

    def __eq__(self, other: object) -> bool:  # no hash, since it contains arrays
        if type(other) is not type(self):
            return NotImplemented
        return all(np.array_equal(mine, vars(other)[name]) for name, mine in vars(self).items())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: shape {self.shape}, {self.mean.dtype}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample from each distribution: (B,) or (B, O)."""
        return self.mean.shape

    @property
    @abstractmethod
    def mode(self) -> Array:
        """The most probable values, as ``predict`` returns them."""

    @property
    @abstractmethod
    def variance(self) -> Array:
        """The variances, in float64, of the shape of the mean."""

    @property
    def std(self) -> Array:
        """The standard deviations, in float64, of the shape of the mean."""
        return np.asarray(np.sqrt(self.variance))

    @abstractmethod
    def log_prob(self, y: ArrayLike) -> Array:
        """Return the logarithm of the probability, or of the density, of each target.

        Parameters
        ----------
        y : array_like
            One target per row, as the loss of the head accepts them.

        Returns
        -------
        ndarray of float64, of shape ``shape``
            The logarithms. The outputs of a row are independent: their sum is the logarithm for the row.

        Raises
        ------
        ValueError
            If the shape does not match, the number of targets is not the number of rows, or a target is invalid.
        TypeError
            If ``y`` does not contain real numbers.
        """

    @abstractmethod
    def entropy(self) -> Array:
        """Return the entropy, the expected value of -log_prob.

        Returns
        -------
        ndarray of float64, of shape ``shape``
            The entropy in nats; of a Gaussian the differential entropy.
        """

    def quantile(self, q: ArrayLike) -> Array:
        """Return the smallest value whose cumulative probability is at least q.

        Parameters
        ----------
        q : array_like of numbers in [0, 1]
            The probabilities.

        Returns
        -------
        ndarray of shape (*q.shape, *shape)
            Classes, or 0 and 1, in int64; reals in float64. For classes the result is useful only if they are ordered.

        Raises
        ------
        ValueError
            If a q is outside [0, 1], or if a probability of the distribution is NaN.

        Examples
        --------
        >>> from fnnfast.distributions import Gaussian
        >>> Gaussian([[0.0], [1.0]]).quantile(0.975).round(4)
        array([[1.96],
               [2.96]])
        """
        levels = _checks.fit(_checks.real_array("q", q), FLOAT64)
        _checks.require_all("q", levels, (levels >= 0) & (levels <= 1), "numbers in [0, 1]")
        return self._quantile(levels.reshape(levels.shape + (1,) * len(self.shape)))

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Return the central interval that contains a sample with at least a given probability.

        Parameters
        ----------
        level : float in [0, 1)
            The probability.

        Returns
        -------
        low, high : ndarray of shape ``shape``
            The quantiles (1 - level) / 2 and (1 + level) / 2. Both belong to the interval.

        Examples
        --------
        >>> from fnnfast.distributions import Gaussian
        >>> low, high = Gaussian([[0.0]], precision=4.0).interval(0.95)
        >>> low.round(4), high.round(4)
        (array([[-0.98]]), array([[0.98]]))
        """
        level = _checks.share("level", level)
        low, high = self.quantile([(1 - level) / 2, (1 + level) / 2])
        return low, high

    def sample(self, n: int = 1, rng: np.random.Generator | int | None = None) -> Array:
        """Draw samples from each distribution.

        Parameters
        ----------
        n : int >= 1
            Samples per distribution.
        rng : Generator, int or None
            The source of random numbers; an int is a seed.

        Returns
        -------
        ndarray of shape (n, *shape)
            Classes, or 0 and 1, in int64; reals in the dtype of the mean.

        Raises
        ------
        ValueError
            If a probability is NaN.

        Examples
        --------
        >>> from fnnfast.distributions import Bernoulli
        >>> Bernoulli([0.0, 1.0]).sample(5, rng=0).shape
        (5, 2)
        """
        n = _checks.integer("n", n, 1)
        return self._draw(n, _checks.generator(rng))

    def _one_each(self, targets: Array) -> Array:
        """The targets, after a check that there is one per row."""
        if len(targets) != self.shape[0]:
            raise ValueError(message("y", f"{self.shape[0]} targets, one for each row", len(targets)))
        return targets

    @abstractmethod
    def _quantile(self, q: Array) -> Array:
        """``quantile`` of levels that are checked and broadcast against ``shape``."""

    @abstractmethod
    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        """``sample`` with checked arguments."""


class Discrete(Distribution):
    """Base class of Bernoulli and Categorical.

    Attributes
    ----------
    logits : ndarray
        The logits; ``mean`` are the probabilities.
    """

    logits: Array

    @classmethod
    def _of(cls, logits: Array, probabilities: Array) -> Self:
        distribution = cls.__new__(cls)
        distribution._store(logits=logits, mean=probabilities)
        return distribution

    @property
    def probabilities(self) -> Array:
        """The probabilities, which are the mean."""
        return self.mean

    @property
    @abstractmethod
    def log_probabilities(self) -> Array:
        """The logarithms of the probabilities, in float64, accurate also if the probability is rounded to 0 or 1."""

    @property
    def variance(self) -> Array:
        log_p = self.log_probabilities
        return np.asarray(-np.exp(log_p) * np.expm1(log_p))  # p (1 - p)

    def _known(self) -> Array:
        """The probabilities, after a check that none is NaN."""
        if np.isnan(self.mean).any():
            raise ValueError("the probabilities contain NaN: there is nothing to sample from")
        return self.mean
