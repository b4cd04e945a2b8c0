"""Ensembles: several networks whose predictions are averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, losses
from .._checks import FLOAT64, Array, message
from .._device.base import Device
from .._frozen import Frozen
from .._network.network import Network
from ..activations import Activation
from ..distributions import Bernoulli, Categorical, Distribution, Gaussian
from ..layers import Input
from ..typing import DeviceName


class Ensemble(Frozen):
    """Networks whose predicted distributions are averaged, each with the same weight.

    Calling an ensemble, ``ens(x, out=None)``, returns the average (B, O) of the outputs of its networks: of
    probabilities, or of means; for Gaussian heads, mean and log precision of ``distribution(x)``, as for one network.
    Sums are in float64 and in the order of the networks, so results are bitwise reproducible, as those of the networks.

    Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017: the
    same architecture trained from several seeds. Different architectures are possible as well.

    Parameters
    ----------
    networks : sequence of Sequential and InferenceNetwork
        At least one. All have the same number of inputs and of outputs, the same head, which predicts a distribution,
        and are on the same device. The ensemble refers to the networks: if one is trained further, the results of the
        ensemble change.

    Raises
    ------
    ValueError
        If the networks do not match, there are none, or their head predicts no distribution.
    TypeError
        If ``networks`` is not a sequence of networks.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> layers = [fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dense(3, "softmax")]
    >>> networks = [fnn.Sequential(layers, seed=seed) for seed in range(5)]
    >>> ens = fnn.Ensemble(networks)
    >>> x = np.ones((2, 4))
    >>> np.allclose(ens(x), np.mean([net(x) for net in networks], axis=0))
    True
    """

    networks: tuple[Network, ...]

    def __init__(self, networks: Sequence[Network]) -> None:
        if not _checks.is_sequence(networks):
            raise TypeError(message("networks", "a sequence of networks", repr(networks)))
        if not networks:
            raise ValueError(message("networks", "at least one", "none"))
        for i, net in enumerate(networks):
            if not isinstance(net, Network):
                raise TypeError(message(f"networks[{i}]", "a Sequential", repr(net)))
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
        """The shape of one row of the input."""
        return self.networks[0].input

    @property
    def outputs(self) -> int:
        """O, the width of the output."""
        return self.networks[0].outputs

    @property
    def head(self) -> Activation:
        """The activation of the last layers, which determines the meaning of the outputs."""
        return self.networks[0].head

    @property
    def device(self) -> DeviceName:
        """Where the networks compute: "cpu" or "cuda"."""
        return self._device.name

    @property
    def dtype(self) -> _checks.DType:
        """The dtype of the outputs: float32 if all networks compute in float32, else float64."""
        return np.result_type(*(net.dtype for net in self.networks))

    def __len__(self) -> int:
        return len(self.networks)

    def __iter__(self) -> Iterator[Network]:
        return iter(self.networks)

    def __repr__(self) -> str:
        networks = f"{len(self)} network{'' if len(self) == 1 else 's'}"
        *same, device = _interface(self.networks[0])
        where = [] if self.device == "cpu" else [device]
        return f"<Ensemble: {', '.join((networks, *same, str(self.dtype), *where))}>"

    # Answers ---------------------------------------------------------------------------------------------------------
    def __call__(self, x: ArrayLike, out: Array | None = None) -> Array:
        """Return the average of the outputs of the networks.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        out : ndarray of shape (B, O), optional
            Array of the dtype of the ensemble that receives the result. It shares no memory with x.

        Returns
        -------
        ndarray of shape (B, O)
            The average; ``out`` if it is given.

        Raises
        ------
        ValueError
            If x or ``out`` has a wrong shape, or they share memory.
        TypeError
            If x is not an array of real numbers, or ``out`` has another dtype.
        """
        x, rows = self._prepare(x, out)
        device = self._device
        result = device.output(out, (len(rows), self.outputs), self.dtype, x=x)
        if self._predicts_precision:
            mixture = self.distribution(rows)
            with np.errstate(divide="ignore"):  # a variance of 0
                average = device.array("mixture", np.concatenate([mixture.mean, -np.log(mixture.variance)], axis=1))
        else:
            with device.current():
                average = _mean(net(rows) for net in self.networks)
        with device.current():
            result[...] = device.fit(average, self.dtype)
        return device.deliver(result, out)

    def predict(self, x: ArrayLike) -> Array:
        """Return the prediction for each row, from the averaged outputs.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.

        Returns
        -------
        ndarray
            Classes, 0 or 1, or reals, see ``Sequential.predict``.
        """
        if self._predicts_precision:
            return self.distribution(x).mean
        y = self(x)
        with self._device.current():
            return self.networks[0]._last.predict(y)

    def distribution(self, x: ArrayLike, *, precision: ArrayLike | None = None) -> Distribution:
        """Return the mixture of the distributions that the networks predict, one per row.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        precision : float or array_like of shape (O,), optional
            For Gaussians: the precision of the outputs of each network, 1 by default.

        Returns
        -------
        Distribution
            Categorical or Bernoulli with the averaged probabilities. A mixture of Gaussians is not a Gaussian; it is
            replaced by the Gaussian with the same mean and variance. By the law of total variance, the variance is the
            average of the variances plus the variance of the means, the part that comes from disagreement between the
            networks. The mean has the bits of ``ens(x)``. The arrays are on the host also for networks on a GPU, see
            ``Sequential.distribution``.

        Raises
        ------
        ValueError
            If x has a wrong shape, a precision is not > 0, or it is given for a head that is not Gaussian.
        TypeError
            If x is not an array of real numbers.
        """
        _, rows = self._prepare(x)
        return _mixture([net.distribution(rows, precision=precision) for net in self.networks])

    def sample(self, x: ArrayLike, n: int = 1, rng: np.random.Generator | int | None = None) -> Array:
        """Draw samples from ``distribution(x)``.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        n : int >= 1
            Samples per row.
        rng : Generator, int or None
            The source of random numbers; an int is a seed.

        Returns
        -------
        ndarray
            Classes, 0 or 1, or reals, see ``Sequential.sample``.
        """
        return self.distribution(x).sample(n, rng)

    def evaluate(self, x: ArrayLike, y: ArrayLike) -> dict[str, float]:
        """Compute the mean loss and the score on data, for the loss that belongs to the head.

        Parameters
        ----------
        x : array_like of shape (N, *shape) or (N, I)
            Inputs.
        y : array_like
            Targets, as the loss accepts them.

        Returns
        -------
        dict of str to float
            "loss", and "accuracy" for the cross-entropies or "r2" for reals.

        Raises
        ------
        ValueError
            If the shapes do not match, a target is invalid, or there are no rows.
        TypeError
            If an array does not contain real numbers.
        """
        loss = losses.get(None, self.networks[0]._last)
        self._device.require(x=x, y=y)
        y = self._device.host(y)
        targets = loss.targets(y, self.outputs, _checks.sum_type(self.dtype))
        predicted = self.distribution(x)
        outputs = predicted.mean
        outputs = outputs[:, np.newaxis] if outputs.ndim == 1 else outputs  # (B,) for one Bernoulli output
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
    def _device(self) -> Device:
        return self.networks[0]._device

    @property
    def _predicts_precision(self) -> bool:
        return self.networks[0]._last.predicts_precision

    def _prepare(self, x: ArrayLike, out: Array | None = None) -> tuple[Array, Array]:
        """x as an array, and as rows that each network accepts."""
        self._device.require(x=x, out=out)
        x = self._device.array("x", x)
        return x, self._device.network_input(x, self.input.shape, self.dtype)


def _interface(net: Network) -> tuple[str, str, str, str]:
    """What the networks of an ensemble have in common, for error messages."""
    order = ", channels first" if net.input.channels_first else ""
    return (
        f"{net.input.size} inputs{order}",
        f"{net.outputs} outputs",
        f"a {net._last.head} head",
        f"device {net.device!r}",
    )


# Averages ------------------------------------------------------------------------------------------------------------
def _mean(arrays: Iterable[Array]) -> Array:
    """The mean of arrays of the same shape, in float64 and summed in their order."""
    rest = iter(arrays)
    total, count = next(rest).astype(FLOAT64), 1
    with np.errstate(over="ignore", invalid="ignore"):
        for array in rest:
            total += array.astype(FLOAT64, copy=False)
            count += 1
    return total / count


def _average(arrays: Iterable[Array], dtype: _checks.DType) -> Array:
    return _checks.fit(_mean(arrays), dtype)


def _log_sum(logs: Sequence[Array]) -> Array:
    """The logarithm of the sum of numbers given by their logarithms; as logits it is as good as that of the mean."""
    with np.errstate(invalid="ignore"):  # NaN
        return reduce(np.logaddexp, logs)


def _average_of_means(parts: Sequence[Distribution]) -> Array:
    return _average((part.mean for part in parts), np.result_type(*(part.mean for part in parts)))


def _mixture(parts: Sequence[Distribution]) -> Distribution:
    """The mixture of distributions, all with the same weight."""
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
