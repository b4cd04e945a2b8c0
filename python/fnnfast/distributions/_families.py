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
    """Distributions of 0 and 1, where the probability of 1 is sigmoid(logit).

    Parameters
    ----------
    logits : array_like of shape (B,) or (B, O)
        log(p / (1 - p)). The shape (B, 1) is converted to (B,). Infinite logits stand for probabilities 0 and 1.

    Attributes
    ----------
    logits, mean : ndarray of shape (B,) or (B, O)
        The mean is the probability p of 1.

    Raises
    ------
    ValueError
        If the logits have another shape.
    TypeError
        If the logits are not real numbers.

    Examples
    --------
    >>> from fnnfast.distributions import Bernoulli
    >>> b = Bernoulli([-2.0, 0.0, 2.0])
    >>> b.mean.round(4)
    array([0.1192, 0.5   , 0.8808])
    >>> b.mode
    array([0, 1, 1])
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
        """1 if its probability is at least 0.5, else 0, in int64."""
        return _likely(self.mean)

    def log_prob(self, y: ArrayLike) -> Array:
        """Return the log-probability of each label: -softplus(-z) for 1 and -softplus(z) for 0.

        Parameters
        ----------
        y : array_like of shape (B, O), or (B,) or (B, 1) for one output
            Labels 0 and 1, as bool, int or float.

        Returns
        -------
        ndarray of float64, shape (B,) or (B, O)
            The log-probabilities.

        Examples
        --------
        >>> from fnnfast.distributions import Bernoulli
        >>> Bernoulli([0.0, 2.0]).log_prob([0, 1]).round(4)
        array([-0.6931, -0.1269])
        """
        labels = self._one_each(_checks.binary_labels(y, math.prod(self.shape[1:]), FLOAT64)).reshape(self.shape)
        z = self.logits.astype(FLOAT64)
        return -Softplus()(np.where(labels == 1, -z, z))

    def entropy(self) -> Array:
        # With a = |z|, -p log p - (1 - p) log(1 - p) = softplus(-a) + a sigmoid(-a): nothing cancels, and for
        # infinite a, swish is the limit.
        z = -np.abs(self.logits.astype(FLOAT64))
        return np.asarray(Softplus()(z) - Swish()(z))

    def _quantile(self, q: Array) -> Array:
        return (1 - self._known().astype(FLOAT64) < q).astype(_INT64)

    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        p = self._known()
        return (rng.random((n, *self.shape)) < p).astype(_INT64)


class Categorical(Discrete):
    """Distributions over K classes, with the probabilities softmax(logits).

    Parameters
    ----------
    logits : array_like of shape (B, K)
        Log-probabilities up to a constant per row. Infinite logits stand for the limit; several of +inf share the
        probability.

    Attributes
    ----------
    logits, mean : ndarray of shape (B, K)
        The mean and the variance are those of one-hot rows: the mean is the probabilities of the classes.

    Raises
    ------
    ValueError
        If the logits have another shape.
    TypeError
        If the logits are not real numbers.

    Examples
    --------
    >>> from fnnfast.distributions import Categorical
    >>> c = Categorical([[0.0, 1.0, 2.0]])
    >>> c.probabilities.round(4)
    array([[0.09  , 0.2447, 0.6652]])
    >>> c.mode
    array([2])
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
        """The most probable class, the first of equally probable ones, in int64, of shape (B,)."""
        return _most_likely(self.mean)

    def log_prob(self, y: ArrayLike) -> Array:
        """Return the log-probability of each class: z_y - log(sum over k of exp(z_k)).

        Parameters
        ----------
        y : array_like of shape (B,) or (B, K)
            Class indices, or one-hot rows.

        Returns
        -------
        ndarray of float64, shape (B,)
            The log-probabilities.

        Examples
        --------
        >>> from fnnfast.distributions import Categorical
        >>> Categorical([[0.0, 1.0, 2.0]]).log_prob([2]).round(4)
        array([-0.4076])
        """
        labels = self._one_each(_checks.class_labels(y, self.mean.shape[1]))
        return np.asarray(np.take_along_axis(self.log_probabilities, labels[:, np.newaxis], axis=1)[:, 0])

    def entropy(self) -> Array:
        log_p = self.log_probabilities
        p = np.exp(log_p)
        return np.asarray(-(p * np.where(p > 0, log_p, 0)).sum(axis=1))  # p log p is 0 in the limit

    def _cumulative(self) -> Array:
        cumulative = np.cumsum(self._known(), axis=1, dtype=FLOAT64)
        cumulative /= cumulative[:, -1:]  # so that there is a class for each level up to 1
        return cumulative

    def _quantile(self, q: Array) -> Array:
        return _checks.fit((self._cumulative() >= q[..., np.newaxis]).argmax(axis=-1), _INT64)

    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        cumulative = self._cumulative()
        draws = rng.random((n, len(cumulative), 1))
        return np.array([(draw < cumulative).argmax(axis=1) for draw in draws], _INT64)


class Gaussian(Distribution):
    """Normal distributions with the density sqrt(beta / (2 pi)) exp(-beta (y - mean)^2 / 2).

    beta = 1 / variance is the precision.

    Parameters
    ----------
    mean : array_like of shape (B, O)
        The means.
    precision : array_like of shape (), (O,) or (B, O)
        The precisions, finite numbers > 0.

    Attributes
    ----------
    mean : ndarray of shape (B, O)
        The means.

    Raises
    ------
    ValueError
        If the mean or the precision has another shape, or a precision is not a finite number > 0.
    TypeError
        If the mean or the precision is not real numbers.

    Examples
    --------
    >>> from fnnfast.distributions import Gaussian
    >>> g = Gaussian([[1.0], [2.0]], precision=4.0)
    >>> g.std
    array([[0.5],
           [0.5]])
    """

    _variance: Array

    def __init__(self, mean: ArrayLike, precision: ArrayLike = 1.0) -> None:
        beta = _checks.fit(_checks.real_array("precision", precision), FLOAT64)
        _checks.require_all("precision", beta, (beta > 0) & (beta < np.inf), "finite numbers > 0")
        with np.errstate(over="ignore"):
            self._keep(mean, "precision", 1 / beta)

    @classmethod
    def of_log_precision(cls, mean: ArrayLike, log_precision: ArrayLike) -> Self:
        """Make a Gaussian from log(beta) instead of beta, as a network predicts it.

        Parameters
        ----------
        mean : array_like of shape (B, O)
            The means.
        log_precision : array_like of shape (), (O,) or (B, O)
            The logarithms of the precisions. If the precision is not in the range of float64, the variance is 0 or
            infinite, and everything else is the limit.

        Returns
        -------
        Gaussian
            The distributions.

        Examples
        --------
        >>> from fnnfast.distributions import Gaussian
        >>> Gaussian.of_log_precision([[1.0]], 0.0).variance
        array([[1.]])
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
        """Store both; ``name`` is the argument of the user in error messages."""
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
        """Return the log-density of each target: (log(beta) - log(2 pi) - beta (y - mean)^2) / 2.

        Parameters
        ----------
        y : array_like of shape (B, O), or (B,) for one output
            Finite reals.

        Returns
        -------
        ndarray of float64, shape (B, O)
            The log-densities.

        Examples
        --------
        >>> from fnnfast.distributions import Gaussian
        >>> Gaussian([[0.0]]).log_prob([[0.0]]).round(4)
        array([[-0.9189]])
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
    """The prediction from outputs (B, O) of a network with this head: classes, 0 or 1, or the outputs."""
    if head.name == "softmax":
        return _most_likely(outputs)
    if head.name == "sigmoid":
        return _likely(outputs[:, 0] if outputs.shape[1] == 1 else outputs)
    return outputs


def logistic(z: ArrayLike) -> Array:
    """Logistic function, 1 / (1 + exp(-z)), which converts log-odds to probabilities.

    It is the sigmoid, and the inverse of ``logit``.

    Parameters
    ----------
    z : array_like
        Real numbers. float32 and float64 are kept, everything else is converted to float64.

    Returns
    -------
    ndarray of the shape of z
        The probabilities.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.logistic([-2.0, 0.0, 2.0]).round(4)
    array([0.1192, 0.5   , 0.8808])
    """
    return Sigmoid()(z)


def logit(p: ArrayLike) -> Array:
    """Logit function, log(p / (1 - p)), which converts probabilities to log-odds.

    It is the inverse of ``logistic``.

    Parameters
    ----------
    p : array_like
        Numbers in [0, 1]. float32 and float64 are kept, everything else is converted to float64.

    Returns
    -------
    ndarray of the shape of p
        The log-odds: -inf for 0, inf for 1, NaN for NaN.

    Raises
    ------
    ValueError
        If a number is outside [0, 1].
    TypeError
        If ``p`` does not contain real numbers.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.logit([0.25, 0.5, 0.75]).round(4)
    array([-1.0986,  0.    ,  1.0986])
    """
    array = _checks.real_array("p", p)
    _checks.require_all("p", array, ~((array < 0) | (array > 1)), "numbers in [0, 1]")
    dtype = _checks.promote(array)
    array = _checks.fit(array, FLOAT64)
    with np.errstate(divide="ignore"):
        # Two logarithms would cancel near 1/2. There 2p - 1 is exact, and log(p / (1 - p)) = 2 artanh(2p - 1).
        result = np.where(array < 0.25, np.log(array) - np.log1p(-array), 2 * np.arctanh(2 * array - 1))
    return _checks.fit(result, dtype)


def _parameter(name: str, value: ArrayLike, form: str, dimensions: tuple[int, ...]) -> Array:
    """A contiguous copy to keep, in float32 or float64."""
    array = _checks.real_array(name, value)
    if array.ndim not in dimensions:
        raise ValueError(message(name, f"shape {form}", array.shape))
    return np.array(_checks.fit(array, _checks.promote(array)))


def _likely(p: Array) -> Array:
    return (_without_nan(p) >= 0.5).astype(_INT64)


def _most_likely(p: Array) -> Array:
    classes: Array = _without_nan(p).argmax(axis=1).astype(_INT64, copy=False)
    return classes


def _without_nan(p: Array) -> Array:
    """The array itself. A comparison with NaN would choose class 0. Values on a GPU are not checked."""
    if isinstance(p, np.ndarray) and np.isnan(p.max(initial=0)):
        row = np.argwhere(np.isnan(p))[0][0]
        raise ValueError(message("outputs", "numbers to choose a class by", f"NaN in row {row}"))
    return p


def _normal_quantile(q: float) -> float:
    """The quantile of the standard normal distribution."""
    from statistics import NormalDist  # imports more modules than the rest of the package

    return NormalDist().inv_cdf(q) if 0 < q < 1 else math.copysign(math.inf, q - 0.5)
