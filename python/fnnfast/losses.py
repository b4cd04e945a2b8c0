"""Losses: which network outputs they belong to, which targets they take, how the result is scored.

Values and gradients are computed by the kernels, cross-entropies from logits, so that the logarithm cancels the
exponential.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array
from ._frozen import Frozen
from .activations import Activation


class Loss(Frozen, ABC):
    """Base of all losses; each is the mean over the batch.

    Attributes
    ----------
    kernel : str
        The name under which the kernels know it.
    from_logits : bool
        Whether it reads the last layer before its activation.
    heads : tuple of str
        The activations of the last layer it goes with; empty for any differentiable one.
    metric : str
        What ``score`` measures: "accuracy" or "r2".
    """

    kernel: ClassVar[str]
    from_logits: ClassVar[bool]
    heads: ClassVar[tuple[str, ...]] = ()
    metric: ClassVar[str]

    def require_head(self, head: Activation) -> None:
        """Raise ValueError unless the loss goes with that last activation."""
        if self.heads and head.name not in self.heads:
            raise ValueError(
                _checks.message(f"{type(self).__name__}", f"a {' or '.join(self.heads)} head", f"{head.name}")
            )

    @abstractmethod
    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        """Targets as the kernels take them; ValueError or TypeError for those that cannot be meant."""

    @abstractmethod
    def score(self, outputs: Array, targets: Array, head: Activation) -> float:
        """How good outputs (B, O) are, as ``metric`` says: 1 is perfect."""


class CrossEntropy(Loss):
    """Categorical cross-entropy: mean over the batch of -log softmax(logits)[label].

    Targets are class indices (B,) or one-hot rows (B, K). For a softmax head, or an identity head whose outputs are
    the logits.
    """

    kernel = "categorical_cross_entropy"
    from_logits = True
    heads = ("softmax", "identity")
    metric = "accuracy"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.class_labels(y, outputs)

    def score(self, outputs: Array, targets: Array, head: Activation) -> float:
        return float((outputs.argmax(axis=1) == targets).mean())


class BinaryCrossEntropy(Loss):
    """Binary cross-entropy: mean over the batch of the sum over outputs of softplus(z) - t z, z the logits.

    Targets t are 0 or 1, as bool, int or float: (B, O), or (B,) where there is one output. For a sigmoid head, or an
    identity head whose outputs are the logits.
    """

    kernel = "binary_cross_entropy"
    from_logits = True
    heads = ("sigmoid", "identity")
    metric = "accuracy"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.binary_labels(y, outputs, dtype)

    def score(self, outputs: Array, targets: Array, head: Activation) -> float:
        threshold = 0.5 if head.name == "sigmoid" else 0.0
        return float(((outputs >= threshold) == targets).mean())


class MeanSquaredError(Loss):
    """Squared error: mean over batch and outputs of (y - t)^2.

    Targets t are finite reals, (B, O), or (B,) where there is one output.
    """

    kernel = "squared_error"
    from_logits = False
    metric = "r2"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.real_targets(y, outputs, dtype)

    def score(self, outputs: Array, targets: Array, head: Activation) -> float:
        """The coefficient of determination, averaged over the outputs; a constant target counts 1 if met, else 0."""
        targets = targets.astype(np.float64)
        residual = ((outputs - targets) ** 2).sum(axis=0)
        total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
        constant = total == 0
        r2 = np.where(constant, residual == 0, 1 - residual / np.where(constant, 1, total))
        return float(r2.mean())


def get(loss: Loss | None, head: Activation) -> Loss:
    """The loss itself, or for None the one that belongs to the output head; checked to go together."""
    if loss is None:
        return {"softmax": CrossEntropy, "sigmoid": BinaryCrossEntropy}.get(head.name, MeanSquaredError)()
    if not isinstance(loss, Loss):
        raise TypeError(_checks.message("loss", "None or a loss such as fnnfast.CrossEntropy()", repr(loss)))
    loss.require_head(head)
    return loss
