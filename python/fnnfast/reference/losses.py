"""The losses and their gradients with respect to a network's last outputs, in float64.

Cross-entropies are given logits: the logarithm of the loss cancels the exponential of the softmax or sigmoid, so
nothing overflows and no probability rounds to zero before its logarithm is taken.
"""

from abc import ABC, abstractmethod
from types import ModuleType
from typing import ClassVar

import numpy as np

from ._xp import Array, as_float64, namespace
from .activations import ACTIVATIONS


class Loss(ABC):
    """One loss: `value(outputs, targets)` and `gradient(outputs, targets)`, the latter of the shape of outputs.

    ``from_logits`` holds the names of the heads whose pre-activations the loss takes.
    """

    __slots__ = ()
    name: ClassVar[str]
    from_logits: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def value(self, outputs: Array, targets: Array) -> float:
        """The mean loss of a batch."""

    @abstractmethod
    def gradient(self, outputs: Array, targets: Array) -> Array:
        """d value / d outputs."""


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
    from_logits = ("softmax",)

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
    from_logits = ("sigmoid",)

    def value(self, outputs: Array, targets: Array) -> float:
        xp = namespace(outputs)
        z = as_float64(xp, outputs)
        t = as_float64(xp, targets).reshape(z.shape)
        softplus = ACTIVATIONS["softplus"].forward
        with np.errstate(invalid="ignore"):  # where another form is taken
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


LOSSES: dict[str, Loss] = {
    loss.name: loss for loss in (CategoricalCrossEntropy(), BinaryCrossEntropy(), SquaredError())
}
