"""Ensembles: several networks that answer as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, losses
from .._checks import FLOAT64, Array, message
from .._device.cpu import CPU
from .._frozen import Frozen
from .._network.network import Network
from ..activations import Activation
from ..distributions import Bernoulli, Categorical, Distribution, Gaussian
from ..layers import Input


class Ensemble(Frozen):
    """Networks whose predicted distributions are averaged, each with the same weight.

    Calling an ensemble, ``ens(x, out=None)``, gives the average (B, O) of the networks' outputs: of probabilities, or
    of means; for Gaussian heads, mean and log precision of ``distribution(x)``, as of one network. Sums are in float64
    and in the order of the networks, so that an answer has one bit pattern as theirs do.

    Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017: the
    same architecture trained from several seeds. Other architectures do as well.

    Parameters
    ----------
    networks : sequence of Sequential and InferenceNetwork
        At least one: of one number of inputs and of outputs, and of one head, which predicts a
        distribution. An ensemble holds the networks themselves: one trained further changes its answers.

    Raises
    ------
    ValueError, TypeError
        Networks that do not go together.
    """

    networks: tuple[Network, ...]

    def __init__(self, networks: Sequence[Network]) -> None:
        if not isinstance(networks, Sequence):
            raise TypeError(message("networks", "a sequence of networks", repr(networks)))
        if not networks:
            raise ValueError(message("networks", "at least one", "none"))
        for i, net in enumerate(networks):
            if not isinstance(net, Network):
                raise TypeError(message(f"networks[{i}]", "a Sequential", repr(net)))
            net._on_cpu(f"networks[{i}]")
        head = networks[0].head
        if not head.differentiable:
            raise ValueError(message("networks[0]", "a head that predicts a distribution", f"a {head.name} head"))
        expected = _interface(networks[0])
        for i, net in enumerate(networks):
            for wanted, got in zip(expected, _interface(net), strict=True):
                if got != wanted:
                    raise ValueError(message(f"networks[{i}]", f"{wanted}, as networks[0] has", got))
        self._store(networks=tuple(networks))

    # What it is made of ----------------------------------------------------------------------------------------------
    @property
    def input(self) -> Input:
        """The shape of an input row: the first network's."""
        return self.networks[0].input

    @property
    def outputs(self) -> int:
        """O, the width of the output."""
        return self.networks[0].outputs

    @property
    def head(self) -> Activation:
        """The activation of the last layers, which says what the outputs mean: the first network's."""
        return self.networks[0].head

    @property
    def dtype(self) -> _checks.DType:
        """Of the answers: float32 if all networks compute in it, else float64."""
        return np.result_type(*(net.dtype for net in self.networks))

    def __len__(self) -> int:
        return len(self.networks)

    def __iter__(self) -> Iterator[Network]:
        return iter(self.networks)

    def __repr__(self) -> str:
        networks = f"{len(self)} network{'' if len(self) == 1 else 's'}"
        return f"<Ensemble: {', '.join((networks, *_interface(self.networks[0]), str(self.dtype)))}>"

    # Answers ---------------------------------------------------------------------------------------------------------
    def __call__(self, x: ArrayLike, out: Array | None = None) -> Array:
        """The average of the networks' outputs.

        Parameters
        ----------
        x : array_like (B, *shape) or (B, I)
        out : ndarray (B, O) of the ensemble's dtype, optional
            Receives the result; shares no memory with x.

        Returns
        -------
        ndarray (B, O)

        Raises
        ------
        ValueError, TypeError
            x or out of another shape, or that are no such arrays.
        """
        x, rows = self._prepare(x, out)
        result = _checks.output(out, (len(rows), self.outputs), self.dtype, x=x)
        if self._predicts_precision:
            mixture = self.distribution(rows)
            with np.errstate(divide="ignore"):  # a variance of 0
                result[...] = np.concatenate([mixture.mean, -np.log(mixture.variance)], axis=1)
        else:
            result[...] = _average((net(rows) for net in self.networks), self.dtype)
        return _checks.deliver(result, out)

    def predict(self, x: ArrayLike) -> Array:
        """The discriminant of each row, from the averaged outputs; see ``Sequential.predict``."""
        if self._predicts_precision:
            return self.distribution(x).mean
        return self.networks[0]._last.predict(self(x))

    def distribution(self, x: ArrayLike, *, precision: ArrayLike | None = None) -> Distribution:
        """The distributions that the networks predict together, one for each row: the mixture of theirs.

        Parameters
        ----------
        x : array_like (B, *shape) or (B, I)
        precision : float or array_like (O,), optional
            For Gaussians: that of each network's outputs, 1 by default.

        Returns
        -------
        Distribution
            Categorical or Bernoulli of the averaged probabilities. A mixture of Gaussians is none; for it stands the
            Gaussian with its mean and, by the law of total variance, its variance: the average of the variances plus
            the variance of the means, the part that the networks do not agree on. The mean has the bits of ``ens(x)``.

        Raises
        ------
        ValueError, TypeError
            As those of ``Sequential.distribution``.
        """
        _, rows = self._prepare(x)
        return _mixture([net.distribution(rows, precision=precision) for net in self.networks])

    def sample(self, x: ArrayLike, n: int = 1, rng: np.random.Generator | int | None = None) -> Array:
        """Draw from ``distribution(x)``; see ``Sequential.sample``."""
        return self.distribution(x).sample(n, rng)

    def evaluate(self, x: ArrayLike, y: ArrayLike) -> dict[str, float]:
        """Mean loss and score on data, for the loss that belongs to the head.

        Parameters
        ----------
        x : array_like (N, *shape) or (N, I)
        y : array_like
            Targets as that loss takes them.

        Returns
        -------
        dict
            "loss", and "accuracy" for the cross-entropies or "r2" for reals.

        Raises
        ------
        ValueError, TypeError
            Data that cannot be meant; no rows.
        """
        loss = losses.get(None, self.networks[0]._last)
        targets = loss.targets(y, self.outputs, self.dtype)
        predicted = self.distribution(x)
        outputs = predicted.mean
        outputs = outputs[:, np.newaxis] if outputs.ndim == 1 else outputs  # those of one Bernoulli are a vector
        if len(targets) != len(outputs):
            raise ValueError(message("y", f"{len(outputs)} targets, one for each row of x", len(targets)))
        if not len(outputs):
            raise ValueError(message("x", "at least one row", "none"))
        if loss.from_logits or self._predicts_precision:
            value = -predicted.log_prob(y).sum() / len(outputs)
        else:
            value = ((outputs.astype(FLOAT64) - targets) ** 2).mean()
        return {"loss": float(value), loss.metric: loss.score(outputs, targets, self.head)}

    @property
    def _predicts_precision(self) -> bool:
        return self.networks[0]._last.predicts_precision

    def _prepare(self, x: ArrayLike, out: Array | None = None) -> tuple[Array, Array]:
        """x as an array, and as the rows that any of the networks takes."""
        CPU.require(x=x, out=out)
        x = _checks.real_array("x", x)
        return x, CPU.network_input(x, self.input.shape, self.dtype)


def _interface(net: Network) -> tuple[str, str, str]:
    """What the networks of an ensemble have in common, in words."""
    return f"{net.input.size} inputs", f"{net.outputs} outputs", f"a {net._last.head} head"


# Averages ------------------------------------------------------------------------------------------------------------
def _average(arrays: Iterable[Array], dtype: _checks.DType) -> Array:
    """The mean of arrays of one shape, summed in float64 in their order."""
    rest = iter(arrays)
    total, count = next(rest).astype(FLOAT64), 1
    with np.errstate(over="ignore", invalid="ignore"):
        for array in rest:
            total += array
            count += 1
    return _checks.fit(total / count, dtype)


def _log_sum(logs: Sequence[Array]) -> Array:
    """The logarithm of the sum of what these are logarithms of; as logits no worse than that of the mean."""
    with np.errstate(invalid="ignore"):  # NaN
        return reduce(np.logaddexp, logs)


def _average_of_means(parts: Sequence[Distribution]) -> Array:
    return _average((part.mean for part in parts), np.result_type(*(part.mean for part in parts)))


def _mixture(parts: Sequence[Distribution]) -> Distribution:
    """What a draw from one of the parts, at random, is distributed like."""
    return _MIXTURES[type(parts[0])](parts)


def _bernoulli(parts: Sequence[Bernoulli]) -> Bernoulli:
    log_p = _log_sum([part.log_probabilities for part in parts])
    log_q = _log_sum([part.log_prob(np.zeros(part.shape)) for part in parts])
    return Bernoulli._of(log_p - log_q, _average_of_means(parts))


def _categorical(parts: Sequence[Categorical]) -> Categorical:
    return Categorical._of(_log_sum([part.log_probabilities for part in parts]), _average_of_means(parts))


def _gaussian(parts: Sequence[Gaussian]) -> Gaussian:
    mean = _average((part.mean for part in parts), FLOAT64)
    with np.errstate(over="ignore", invalid="ignore"):
        variance = _average((part.variance + (part.mean - mean) ** 2 for part in parts), FLOAT64)
    return Gaussian._of(_average_of_means(parts), variance)


_MIXTURES: dict[type[Distribution], Callable[[Sequence[Any]], Distribution]] = {
    Bernoulli: _bernoulli,
    Categorical: _categorical,
    Gaussian: _gaussian,
}
