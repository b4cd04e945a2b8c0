"""The losses and their gradients with respect to the last outputs of a network, in float64.

Cross-entropies are computed from logits: the logarithm of the loss cancels the exponential of softmax or sigmoid, so
nothing overflows, and no probability is rounded to zero before its logarithm is taken.
"""

from abc import ABC, abstractmethod
from types import ModuleType
from typing import ClassVar

import numpy as np

from ._xp import Array, as_float64, namespace
from .activations import ACTIVATIONS


class Loss(ABC):
    """Base class of the reference losses.

    Attributes
    ----------
    name : str
        The name in the kernels.
    from_logits : tuple of str
        The heads for which the loss is computed from the pre-activations.
    """

    __slots__ = ()
    name: ClassVar[str]
    from_logits: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def value(self, outputs: Array, targets: Array) -> float:
        """Return the mean loss of a batch.

        Parameters
        ----------
        outputs : ndarray of shape (B, O)
            Outputs or logits of the network.
        targets : ndarray
            Targets, as the loss accepts them.

        Returns
        -------
        float
            The mean loss.
        """

    @abstractmethod
    def gradient(self, outputs: Array, targets: Array) -> Array:
        """Return the gradient of the mean loss with respect to the outputs.

        Parameters
        ----------
        outputs : ndarray of shape (B, O)
            Outputs or logits of the network.
        targets : ndarray
            Targets, as the loss accepts them.

        Returns
        -------
        ndarray of shape (B, O)
            The gradient.
        """


def _one_hot(xp: ModuleType, targets: Array, classes: int) -> Array:
    """Class indices (B,) as rows of zeros with a one, (B, K); rows of probabilities as they are."""
    targets = xp.asarray(targets)
    if targets.ndim == 2:
        return as_float64(xp, targets)
    return as_float64(xp, targets[:, None] == xp.arange(classes)[None, :])


class CategoricalCrossEntropy(Loss):
    """Mean over the batch of -sum_k t_k log softmax(z)_k; gradient (softmax(z) sum_k t_k - t)/B.

    Outputs are logits (B, K), targets classes (B,) or one-hot (B, K). log softmax(z) = z - m - log sum exp(z - m).
    Bishop 2006, "Pattern Recognition and Machine Learning", equations 4.108 and 4.109.
    """

    __slots__ = ()
    name = "categorical_cross_entropy"
    from_logits: ClassVar[tuple[str, ...]] = ("softmax",)

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        z = as_float64(xp, outputs)
        z = z - xp.max(z, axis=1, keepdims=True)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
        t = _one_hot(xp, targets, z.shape[1])
        return float(-xp.sum(xp.where(t == 0, 0.0, t * log_p)) / z.shape[0])

    def gradient(self, outputs: Array, targets: Array) -> Array:
        xp = namespace(outputs)
        p = ACTIVATIONS["softmax"].forward(outputs)
        t = _one_hot(xp, targets, p.shape[1])
        return (p * xp.sum(t, axis=1, keepdims=True) - t) / p.shape[0]


class BinaryCrossEntropy(Loss):
    """Mean over the batch of sum_j -t_j log sigma(z_j) - (1-t_j) log sigma(-z_j); gradient (sigma(z) - t)/B.

    Outputs are logits (B, O), targets (B, O), or (B,) where O = 1. The loss of one logit is
    max(z, 0) - t z + log1p(exp(-|z|)), which is softplus(-z) for t = 1 and softplus(z) for t = 0: in these forms it has
    its limits at infinite logits as well, without 0 inf or inf - inf. Bishop 2006, equations 4.90 and 4.91.
    """

    __slots__ = ()
    name = "binary_cross_entropy"
    from_logits: ClassVar[tuple[str, ...]] = ("sigmoid",)

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        z = as_float64(xp, outputs)
        t = as_float64(xp, targets).reshape(z.shape)
        softplus = ACTIVATIONS["softplus"].forward
        with np.errstate(invalid="ignore"):  # where another form is used
            between = xp.maximum(z, 0.0) - t * z + xp.log1p(xp.exp(-xp.abs(z)))
        losses = xp.where(t == 1, softplus(-z), xp.where(t == 0, softplus(z), between))
        return float(xp.sum(losses) / z.shape[0])

    def gradient(self, outputs: Array, targets: Array) -> Array:
        xp = namespace(outputs)
        p = ACTIVATIONS["sigmoid"].forward(outputs)
        return (p - as_float64(xp, targets).reshape(p.shape)) / p.shape[0]


class SquaredError(Loss):
    """Mean over batch and outputs of (y - t)^2, without a factor 1/2; gradient 2 (y - t)/(B O).

    Outputs are the network's (B, O), after its last activation; targets (B, O), or (B,) where O = 1.
    """

    __slots__ = ()
    name = "squared_error"

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        y = as_float64(xp, outputs)
        return float(xp.mean((y - as_float64(xp, targets).reshape(y.shape)) ** 2))

    def gradient(self, outputs: Array, targets: Array) -> Array:
        xp = namespace(outputs)
        y = as_float64(xp, outputs)
        return 2.0 * (y - as_float64(xp, targets).reshape(y.shape)) / y.size


class Gaussian(Loss):
    """Mean over the batch of sum_j beta_j (y_j - t_j)^2 / 2 - log(beta_j) / 2 + log(2 pi) / 2; gradient beta (y - t)/B.

    -log N(t; y, 1 / beta), with one precision beta per output. Outputs (B, O), targets (B, O), or (B,) for one output.
    Goodfellow et al., "Deep learning", 2016, section 6.2.2.

    Parameters
    ----------
    precision : float or ndarray of shape (O,)
        beta, for all outputs or per output.
    """

    __slots__ = ("precision",)
    name = "gaussian"

    def __init__(self, precision: Array | float = 1.0) -> None:
        self.precision: Array | float = precision

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        y = as_float64(xp, outputs)
        beta = as_float64(xp, xp.broadcast_to(xp.asarray(self.precision), y.shape[1:]))
        squares = beta * (y - as_float64(xp, targets).reshape(y.shape)) ** 2
        return float(xp.sum(squares - xp.log(beta) + xp.log(2 * xp.pi)) / (2 * y.shape[0]))

    def gradient(self, outputs: Array, targets: Array) -> Array:
        xp = namespace(outputs)
        y = as_float64(xp, outputs)
        return xp.asarray(self.precision) * (y - as_float64(xp, targets).reshape(y.shape)) / y.shape[0]


class GaussianLearned(Loss):
    """The same where the outputs (B, 2 O) are the means y and then the logarithms s of the precisions.

    Mean over the batch of sum_j exp(s_j) (y_j - t_j)^2 / 2 - s_j / 2 + log(2 pi) / 2; gradients exp(s) (y - t)/B and
    (exp(s) (y - t)^2 - 1)/(2 B). Nix and Weigend 1994.
    """

    __slots__ = ()
    name = "gaussian_learned"

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        y, s = xp.split(as_float64(xp, outputs), 2, axis=1)
        squares = xp.exp(s) * (y - as_float64(xp, targets).reshape(y.shape)) ** 2
        return float(xp.sum(squares - s + xp.log(2 * xp.pi)) / (2 * y.shape[0]))

    def gradient(self, outputs: Array, targets: Array) -> Array:
        xp = namespace(outputs)
        y, s = xp.split(as_float64(xp, outputs), 2, axis=1)
        difference = y - as_float64(xp, targets).reshape(y.shape)
        weighted = xp.exp(s) * difference
        return xp.concatenate([weighted, (weighted * difference - 1) / 2], axis=1) / y.shape[0]


class Hinge(Loss):
    """Mean over the batch of sum_j max(0, 1 - s_j z_j), s = 1 for the label 1 and -1 for 0; gradient -s/B inside.

    Outputs are scores (B, O), targets (B, O), or (B,) where O = 1. At the kink the gradient is 0. Cortes and Vapnik
    1995.
    """

    __slots__ = ()
    name = "hinge"

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        margin, _ = self._margin(xp, outputs, targets)
        return float(xp.sum(xp.maximum(margin, 0.0)) / margin.shape[0])

    def gradient(self, outputs: Array, targets: Array) -> Array:
        xp = namespace(outputs)
        margin, sign = self._margin(xp, outputs, targets)
        return xp.where(margin > 0, -sign, 0.0) / margin.shape[0]

    @staticmethod
    def _margin(xp: ModuleType, outputs: Array, targets: Array) -> tuple[Array, Array]:
        z = as_float64(xp, outputs)
        sign = 2 * as_float64(xp, targets).reshape(z.shape) - 1
        return 1 - sign * z, sign


class MulticlassHinge(Loss):
    """Mean over the batch of the sum over the wrong classes j of max(0, z_j - z_y + 1).

    Outputs are scores (B, K), targets classes (B,) or one-hot (B, K). At the kinks the gradient is 0. Weston and
    Watkins 1999, as in CS231n's notes on linear classification.
    """

    __slots__ = ()
    name = "multiclass_hinge"

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        margin, _ = self._margin(xp, outputs, targets)
        return float(xp.sum(xp.maximum(margin, 0.0)) / margin.shape[0])

    def gradient(self, outputs: Array, targets: Array) -> Array:
        xp = namespace(outputs)
        margin, label = self._margin(xp, outputs, targets)
        inside = as_float64(xp, margin > 0)
        return (inside - label * xp.sum(inside, axis=1, keepdims=True)) / margin.shape[0]

    @staticmethod
    def _margin(xp: ModuleType, outputs: Array, targets: Array) -> tuple[Array, Array]:
        """The margins (B, K), zero for the labels, and the labels one-hot."""
        z = as_float64(xp, outputs)
        label = _one_hot(xp, targets, z.shape[1])
        return (1 - label) * (z - xp.sum(xp.where(label == 1, z, 0.0), axis=1, keepdims=True) + 1), label


class Poisson(Loss):
    """Mean over the batch of sum_j exp(z_j) - t_j z_j; gradient (exp(z) - t)/B.

    -log of the Poisson distribution of mean exp(z) at t, but for log(t!), which does not depend on z. Outputs are
    logarithms of expected counts (B, O), targets t >= 0 (B, O), or (B,) where O = 1. Where t = 0 or z = inf the loss is
    exp(z), its limit, without 0 inf or inf - inf. McCullagh and Nelder 1989, "Generalized Linear Models", chapter 6.
    """

    __slots__ = ()
    name = "poisson"

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        z = as_float64(xp, outputs)
        t = as_float64(xp, targets).reshape(z.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # invalid where another form is used
            rate = xp.exp(z)
            losses = xp.where(t == 0, rate, xp.where(z == xp.inf, rate, rate - t * z))
        return float(xp.sum(losses) / z.shape[0])

    def gradient(self, outputs: Array, targets: Array) -> Array:
        xp = namespace(outputs)
        z = as_float64(xp, outputs)
        with np.errstate(over="ignore"):
            return (xp.exp(z) - as_float64(xp, targets).reshape(z.shape)) / z.shape[0]


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        CategoricalCrossEntropy(),
        BinaryCrossEntropy(),
        SquaredError(),
        Gaussian(),
        GaussianLearned(),
        Hinge(),
        MulticlassHinge(),
        Poisson(),
    )
}
