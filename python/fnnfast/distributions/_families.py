"""Bernoulli, Categorical and Gaussian, and the functions between logits and probabilities."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from .._checks import FLOAT64, Array, message
from ..activations import Activation, Sigmoid, Softmax, Softplus, Swish
from ._base import Discrete, Distribution

_INT64: _checks.DType = np.dtype(np.int64)
_LOG_2PI = math.log(2 * math.pi)


class Bernoulli(Discrete):
    """0 or 1, the latter with probability sigmoid(logit).

    Parameters
    ----------
    logits : array_like (B,) or (B, O)
        log(p / (1 - p)); for one output (B, 1) is taken as (B,). Infinite ones stand for certainty.

    Attributes
    ----------
    logits, mean : ndarray (B,) or (B, O)
        The mean is the probability p of 1.

    Raises
    ------
    ValueError, TypeError
        Logits of another shape, or no real numbers.
    """

    def __init__(self, logits: ArrayLike) -> None:
        z = _parameter("logits", logits, "(B,) or (B, O)", (1, 2))
        if z.shape[1:] == (1,):
            z = z[:, 0]
        self._store(logits=z, mean=Sigmoid()(z))

    @property
    def log_probabilities(self) -> Array:
        return -Softplus()(-self.logits.astype(FLOAT64))

    @property
    def mode(self) -> Array:
        """1 where its probability is at least 0.5, else 0; int64."""
        return _likely(self.mean)

    def log_prob(self, y: ArrayLike) -> Array:
        """-softplus(-z) for a 1 and -softplus(z) for a 0.

        Parameters
        ----------
        y : array_like (B, O), or (B,) or (B, 1) for one output
            Labels 0 and 1, as bool, int or float.
        """
        labels = self._one_each(_checks.binary_labels(y, math.prod(self.shape[1:]), FLOAT64)).reshape(self.shape)
        z = self.logits.astype(FLOAT64)
        return -Softplus()(np.where(labels == 1, -z, z))

    def entropy(self) -> Array:
        # With a = |z|, -p log p - (1 - p) log(1 - p) = softplus(-a) + a sigmoid(-a): nothing cancels, and for an
        # infinite a swish has the limit.
        z = -np.abs(self.logits.astype(FLOAT64))
        return np.asarray(Softplus()(z) - Swish()(z))

    def _quantile(self, q: Array) -> Array:
        return (1 - self._known().astype(FLOAT64) < q).astype(_INT64)

    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        p = self._known()
        return (rng.random((n, *self.shape)) < p).astype(_INT64)


class Categorical(Discrete):
    """One of K classes, with probabilities softmax(logits).

    Parameters
    ----------
    logits : array_like (B, K)
        Log-probabilities up to a constant for each row. Infinite ones stand for the limit; several of +inf share it.

    Attributes
    ----------
    logits, mean : ndarray (B, K)
        The mean, and so the variance, is that of one-hot rows: the probabilities of the classes.

    Raises
    ------
    ValueError, TypeError
        Logits of another shape, or no real numbers.
    """

    def __init__(self, logits: ArrayLike) -> None:
        z = _parameter("logits", logits, "(B, K)", (2,))
        if not z.shape[1]:
            raise ValueError(message("logits", "at least one class", f"shape {z.shape}"))
        self._store(logits=z, mean=Softmax()(z))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mean.shape[:1]

    @property
    def log_probabilities(self) -> Array:
        z = self.logits.astype(FLOAT64)
        largest = z.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # inf - inf
            z = np.where(z == largest, 0, z - largest)
        return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))

    @property
    def mode(self) -> Array:
        """The most probable class, the first of equals; int64 (B,)."""
        return _most_likely(self.mean)

    def log_prob(self, y: ArrayLike) -> Array:
        """z_y - log(sum over k of exp(z_k)).

        Parameters
        ----------
        y : array_like
            Class indices (B,), or one-hot rows (B, K).
        """
        labels = self._one_each(_checks.class_labels(y, self.mean.shape[1]))
        return np.asarray(np.take_along_axis(self.log_probabilities, labels[:, np.newaxis], axis=1)[:, 0])

    def entropy(self) -> Array:
        log_p = self.log_probabilities
        p = np.exp(log_p)
        return np.asarray(-(p * np.where(p > 0, log_p, 0)).sum(axis=1))  # p log p is 0 in the limit

    def _cumulative(self) -> Array:
        cumulative = np.cumsum(self._known(), axis=1, dtype=FLOAT64)
        cumulative /= cumulative[:, -1:]  # so that a level up to 1 always meets a class
        return cumulative

    def _quantile(self, q: Array) -> Array:
        return _checks.fit((self._cumulative() >= q[..., np.newaxis]).argmax(axis=-1), _INT64)

    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        cumulative = self._cumulative()
        draws = rng.random((n, len(cumulative), 1))
        return np.array([(draw < cumulative).argmax(axis=1) for draw in draws], _INT64)


class Gaussian(Distribution):
    """Reals with the density sqrt(beta / (2 pi)) exp(-beta (y - mean)^2 / 2), beta = 1 / variance the precision.

    Parameters
    ----------
    mean : array_like (B, O)
    precision : array_like (), (O,) or (B, O)
        Finite numbers > 0.

    Attributes
    ----------
    mean : ndarray (B, O)

    Raises
    ------
    ValueError, TypeError
        A mean or a precision of another shape, or no real numbers; a precision that is not > 0.
    """

    _variance: Array

    def __init__(self, mean: ArrayLike, precision: ArrayLike = 1.0) -> None:
        beta = _checks.fit(_checks.real_array("precision", precision), FLOAT64)
        if not ((beta > 0) & (beta < np.inf)).all():
            raise ValueError(message("precision", "finite numbers > 0", "others"))
        with np.errstate(over="ignore"):
            self._keep(mean, "precision", 1 / beta)

    @classmethod
    def of_log_precision(cls, mean: ArrayLike, log_precision: ArrayLike) -> Self:
        """The Gaussian with log(beta) instead of beta, as a network predicts it.

        Parameters
        ----------
        mean : array_like (B, O)
        log_precision : array_like (), (O,) or (B, O)
            Where its exponential leaves the range of float64 the variance is 0 or infinite, and all else the limit.

        Returns
        -------
        Gaussian
        """
        s = _checks.fit(_checks.real_array("log_precision", log_precision), FLOAT64)
        with np.errstate(over="ignore"):
            return cls._of(mean, np.exp(-s), "log_precision")

    @classmethod
    def _of(cls, mean: ArrayLike, variance: Array, name: str = "variance") -> Self:
        gaussian = cls.__new__(cls)
        gaussian._keep(mean, name, variance)
        return gaussian

    def _keep(self, mean: ArrayLike, name: str, variance: Array) -> None:
        """Store both; ``name`` is what the user gave instead of the variance."""
        mean = _parameter("mean", mean, "(B, O)", (2,))
        if variance.shape not in ((), mean.shape[1:], mean.shape):
            raise ValueError(message(name, f"shape (), {mean.shape[1:]} or {mean.shape}", variance.shape))
        self._store(mean=mean, _variance=np.array(np.broadcast_to(variance, mean.shape)))

    @property
    def variance(self) -> Array:
        return self._variance

    @property
    def mode(self) -> Array:
        """The mean."""
        return self.mean

    def log_prob(self, y: ArrayLike) -> Array:
        """(log(beta) - log(2 pi) - beta (y - mean)^2) / 2.

        Parameters
        ----------
        y : array_like (B, O), or (B,) where O is 1
            Finite reals.
        """
        targets = self._one_each(_checks.real_targets(y, self.shape[1], FLOAT64))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            off = targets - self.mean
            z = np.where(off == 0, 0, off / self.std)
            log_density = -np.log(self.std) - (_LOG_2PI + z * z) / 2
        return np.where(np.isinf(z), -np.inf, log_density)  # with a variance of 0 the first term is +inf

    def entropy(self) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.std) + (_LOG_2PI + 1) / 2)

    def _quantile(self, q: Array) -> Array:
        z = np.array([_normal_quantile(level) for level in q.ravel().tolist()]).reshape(q.shape)
        with np.errstate(invalid="ignore"):  # a variance of 0 times an infinite quantile
            return np.asarray(self.mean + self.std * z)

    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        dtype = self.mean.dtype
        draws = rng.standard_normal((n, *self.shape), dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            draws *= _checks.fit(self.std, dtype)
            draws += self.mean
        return draws


def discriminant(head: Activation, outputs: Array) -> Array:
    """What the outputs (B, O) of a network with that head decide: classes, 0 or 1, or the outputs themselves."""
    if head.name == "softmax":
        return _most_likely(outputs)
    if head.name == "sigmoid":
        return _likely(outputs[:, 0] if outputs.shape[1] == 1 else outputs)
    return outputs


def logistic(z: ArrayLike) -> Array:
    """1 / (1 + exp(-z)), the sigmoid: from log-odds to probabilities, the inverse of ``logit``.

    Parameters
    ----------
    z : array_like of real numbers
        float32 and float64 are kept, all else is computed in float64.

    Returns
    -------
    ndarray of z's shape
    """
    return Sigmoid()(z)


def logit(p: ArrayLike) -> Array:
    """log(p / (1 - p)): from probabilities to log-odds, the inverse of ``logistic``.

    Parameters
    ----------
    p : array_like of numbers in [0, 1]
        float32 and float64 are kept, all else is computed in float64. 0 gives -inf, 1 gives inf, NaN itself.

    Returns
    -------
    ndarray of p's shape

    Raises
    ------
    ValueError
        A number outside [0, 1].
    TypeError
        No real numbers.
    """
    array = _checks.real_array("p", p)
    if ((array < 0) | (array > 1)).any():
        raise ValueError(message("p", "numbers in [0, 1]", "others"))
    dtype = _checks.promote(array)
    array = _checks.fit(array, FLOAT64)
    with np.errstate(divide="ignore"):
        # Two logarithms would cancel near 1/2. There 2p - 1 is exact, and log(p / (1 - p)) = 2 artanh(2p - 1).
        result = np.where(array < 0.25, np.log(array) - np.log1p(-array), 2 * np.arctanh(2 * array - 1))
    return _checks.fit(result, dtype)


def _parameter(name: str, value: ArrayLike, form: str, dimensions: tuple[int, ...]) -> Array:
    """A copy to keep, contiguous and in float32 or float64."""
    array = _checks.real_array(name, value)
    if array.ndim not in dimensions:
        raise ValueError(message(name, f"shape {form}", array.shape))
    return np.array(_checks.fit(array, _checks.promote(array)))


def _likely(p: Array) -> Array:
    return (p >= 0.5).astype(_INT64)


def _most_likely(p: Array) -> Array:
    classes: Array = p.argmax(axis=1).astype(_INT64, copy=False)  # p may be CuPy's
    return classes


def _normal_quantile(q: float) -> float:
    """Of the standard normal distribution."""
    from statistics import NormalDist  # imports more than the rest of the package together

    return NormalDist().inv_cdf(q) if 0 < q < 1 else math.copysign(math.inf, q - 0.5)
