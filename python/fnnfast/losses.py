"""Losses: which network outputs they belong to, which targets they take, how the result is scored.

Values and gradients are computed by the kernels, cross-entropies from logits, so that the logarithm cancels the
exponential.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from ._checks import Array
from ._frozen import Frozen
from .activations import Activation
from .layers import Layer


class Loss(Frozen, ABC):
    """Base of all losses; each is the mean over the batch, weighted where there are weights.

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

    def require_head(self, last: Layer) -> None:
        """Raise ValueError unless the loss goes with that last layer."""
        if last.predicts_precision or (self.heads and last.head not in self.heads):
            expected = f"a {' or '.join(self.heads) or 'Dense or Maxout'} head"
            raise ValueError(_checks.message(type(self).__name__, expected, last.head))

    def precision_array(self, outputs: int, dtype: _checks.DType) -> Array | None:
        """Precisions as the kernels take them, float64 (O,), where the loss has some; ValueError if they do not fit."""
        return None

    @abstractmethod
    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        """Targets as the kernels take them; ValueError or TypeError for those that cannot be meant."""

    def classes(self, targets: Array, outputs: int) -> tuple[NDArray[np.int64], int] | None:
        """The class of each of these targets, and how many there are; None if they are not of one class each."""
        return None

    @abstractmethod
    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        """How good outputs (B, O) are, as ``metric`` says: 1 is perfect. Rows count by their weights (B,), all > 0."""


class _OfLabels(Loss):
    """Of one class index a row, scored by how often the largest output is that of the class."""

    metric = "accuracy"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.class_labels(y, outputs)

    def classes(self, targets: Array, outputs: int) -> tuple[NDArray[np.int64], int] | None:
        return targets, outputs

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        return _mean(outputs.argmax(axis=1) == targets, weights)


class _OfBinaryLabels(Loss):
    """Of 0 or 1 for each output, scored by how often an output is on the right side of its threshold."""

    metric = "accuracy"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.binary_labels(y, outputs, dtype)

    def classes(self, targets: Array, outputs: int) -> tuple[NDArray[np.int64], int] | None:
        return (targets[:, 0].astype(np.int64), 2) if outputs == 1 else None

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        threshold = 0.5 if head.name == "sigmoid" else 0.0
        return _mean(((outputs >= threshold) == targets).mean(axis=1), weights)


class _OfReals(Loss):
    """Of finite reals, scored by the coefficient of determination."""

    metric = "r2"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.real_targets(y, outputs, dtype)

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        """The coefficient of determination, averaged over the outputs; a constant target counts 1 if met, else 0."""
        w = np.ones((len(targets), 1)) if weights is None else weights.astype(np.float64)[:, np.newaxis]
        targets = targets.astype(np.float64)
        residual = (w * (outputs - targets) ** 2).sum(axis=0)
        total = (w * (targets - (w * targets).sum(axis=0) / w.sum()) ** 2).sum(axis=0)
        constant = total == 0
        r2 = np.where(constant, residual == 0, 1 - residual / np.where(constant, 1, total))
        return float(r2.mean())


class CrossEntropy(_OfLabels):
    """Categorical cross-entropy: mean over the batch of -log softmax(logits)[label].

    Targets are class indices (B,) or one-hot rows (B, K). For a softmax head, or an identity head whose outputs are
    the logits.
    """

    kernel = "categorical_cross_entropy"
    from_logits = True
    heads = ("softmax", "identity")


class MulticlassHinge(_OfLabels):
    """Multiclass hinge: mean over the batch of the sum over the wrong classes j of max(0, z_j - z_label + 1).

    The loss of a multiclass support vector machine: Weston and Watkins, "Support vector machines for multi-class
    pattern recognition", 1999. Targets are class indices (B,) or one-hot rows (B, K). For an identity head, whose
    outputs are the scores z.
    """

    kernel = "multiclass_hinge"
    from_logits = True
    heads = ("identity",)


class BinaryCrossEntropy(_OfBinaryLabels):
    """Binary cross-entropy: mean over the batch of the sum over outputs of softplus(z) - t z, z the logits.

    Targets t are 0 or 1, as bool, int or float: (B, O), or (B,) where there is one output. For a sigmoid head, or an
    identity head whose outputs are the logits.
    """

    kernel = "binary_cross_entropy"
    from_logits = True
    heads = ("sigmoid", "identity")


class Hinge(_OfBinaryLabels):
    """Hinge: mean over the batch of the sum over outputs of max(0, 1 - s z), s = 1 for the label 1 and -1 for 0.

    The loss of a support vector machine: Cortes and Vapnik, "Support-vector networks", 1995. Labels are 0 or 1, (B, O),
    or (B,) where there is one output. For an identity head, whose outputs are the scores z: a row belongs to class 1
    where z >= 0.
    """

    kernel = "hinge"
    from_logits = True
    heads = ("identity",)


class MeanSquaredError(_OfReals):
    """Squared error: mean over batch and outputs of (y - t)^2.

    Targets t are finite reals, (B, O), or (B,) where there is one output.
    """

    kernel = "squared_error"
    from_logits = False


class GaussianNLL(_OfReals):
    """Negative log-likelihood of a normal distribution: mean over the batch of the sum over outputs of
    beta (y - t)^2 / 2 - log(beta) / 2 + log(2 pi) / 2, with mean y and precision beta = 1 / sigma^2.

    Goodfellow et al., "Deep learning", 2016, section 6.2.2. Targets t are finite reals, (B, O), or (B,) where there is
    one output.

    Parameters
    ----------
    precision : float > 0, sequence of O floats > 0, or "learned"
        beta: one for all outputs, one for each, or, with a ``fnnfast.layers.Gaussian`` head, what the network says.
    """

    from_logits = False
    precision: float | tuple[float, ...] | str

    def __init__(self, precision: float | Sequence[float] | str = 1.0) -> None:
        if isinstance(precision, str):
            if precision != "learned":
                raise ValueError(_checks.message("precision", "numbers > 0 or 'learned'", repr(precision)))
            self._store(precision=precision)
        elif isinstance(precision, Sequence) or (isinstance(precision, np.ndarray) and precision.ndim):
            self._store(precision=tuple(_checks.positive("precision", value) for value in precision))
        else:
            self._store(precision=_checks.positive("precision", precision))

    @property
    def learned(self) -> bool:
        """Whether the network predicts the precision."""
        return self.precision == "learned"

    @property
    def kernel(self) -> str:  # type: ignore[override]  # the one loss that is two
        return "gaussian_learned" if self.learned else "gaussian"

    def require_head(self, last: Layer) -> None:
        if self.learned != last.predicts_precision:
            expected = "'learned' for" if last.predicts_precision else "a number without"
            expected = f"{expected} a Gaussian head"
            raise ValueError(_checks.message("precision", expected, repr(self.precision)))

    def precision_array(self, outputs: int, dtype: _checks.DType) -> Array | None:
        if self.learned:
            return None
        values = np.array(self.precision, dtype=np.float64, ndmin=1)
        if len(values) not in (1, outputs):
            raise ValueError(_checks.message("precision", f"1 or {outputs} values, one an output", len(values)))
        rounded = _checks.fit(values, dtype)
        if not (np.isfinite(rounded).all() and (rounded > 0).all()):
            raise ValueError(_checks.message("precision", f"numbers > 0 in {dtype}'s range", self.precision))
        return np.array(np.broadcast_to(values, (outputs,)))

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return super().targets(y, outputs // 2 if self.learned else outputs, dtype)

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        """That of the means."""
        return super().score(outputs[:, : targets.shape[1]], targets, head, weights)


class Poisson(_OfReals):
    """Poisson: mean over the batch of the sum over outputs of exp(z) - t z, z the logarithm of the expected count.

    That is the negative log-likelihood of a Poisson distribution of mean exp(z) without log(t!), which does not depend
    on the network; so the loss of the best fit is not 0, and may be negative: McCullagh and Nelder, "Generalized linear
    models", 1989, chapter 6. Targets t are counts, or any finite reals >= 0, (B, O), or (B,) where there is one output.
    For an identity head, whose outputs are z: the expected counts are ``np.exp(net(x))``, and the "r2" of ``evaluate``
    is theirs, while ``net(x)`` and ``net.predict(x)`` stay logarithms, and ``net.distribution(x)`` is the Gaussian of
    any identity head.
    """

    kernel = "poisson"
    from_logits = True
    heads = ("identity",)

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        targets = super().targets(y, outputs, dtype)
        if (targets < 0).any():
            raise ValueError(_checks.message("y", "targets >= 0", f"{targets.min():g}"))
        return targets

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        """That of the expected counts."""
        with np.errstate(over="ignore"):
            return super().score(np.exp(outputs.astype(np.float64)), targets, head, weights)


def get(loss: Loss | None, last: Layer) -> Loss:
    """The loss itself, or for None the one that belongs to the last layer; checked to go together."""
    if loss is None:
        if last.predicts_precision:
            return GaussianNLL("learned")
        return {"softmax": CrossEntropy, "sigmoid": BinaryCrossEntropy}.get(last.head, MeanSquaredError)()
    if not isinstance(loss, Loss):
        raise TypeError(_checks.message("loss", "None or a loss such as fnnfast.CrossEntropy()", repr(loss)))
    loss.require_head(last)
    return loss


def row_weights(
    loss: Loss,
    targets: Array,
    outputs: int,
    dtype: _checks.DType,
    sample_weight: ArrayLike | None,
    class_weight: Mapping[int, float] | str | None = None,
) -> Array | None:
    """How much each row of prepared targets counts, (B,) of the dtype; None if all count alike."""
    weights: Array | None = None
    if sample_weight is not None:
        given = _checks.real_array("sample_weight", sample_weight)
        weights = _checks.same_shape("sample_weight", given, (len(targets),)).astype(np.float64)
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError(_checks.message("sample_weight", "finite numbers >= 0", "others"))
    if class_weight is not None:
        of_rows = loss.classes(targets, outputs)
        if of_rows is None:
            raise ValueError(
                _checks.message(
                    "class_weight", "targets of one class a row", f"{type(loss).__name__} of {outputs} outputs"
                )
            )
        labels, classes = of_rows
        counted = labels if weights is None else labels[weights > 0]
        of_class = _class_weights(class_weight, counted, classes)[labels]
        weights = of_class if weights is None else weights * of_class
    if weights is None:
        return None
    weights = _checks.fit(weights, dtype)
    if not np.isfinite(weights).all():
        raise ValueError(_checks.message("weights", f"products of weights in {dtype}'s range", "one that is infinite"))
    return weights


def _class_weights(class_weight: Mapping[int, float] | str, labels: NDArray[np.int64], classes: int) -> Array:
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(_checks.message("class_weight", "a mapping or 'balanced'", repr(class_weight)))
        counts = np.bincount(labels, minlength=classes)
        balanced: Array = len(labels) / (max(1, np.count_nonzero(counts)) * np.maximum(counts, 1))
        return balanced
    if not isinstance(class_weight, Mapping):
        raise TypeError(_checks.message("class_weight", "a mapping or 'balanced'", repr(class_weight)))
    weights = np.ones(classes)
    for label, weight in class_weight.items():
        weights[_checks.integer("class_weight", label, 0, classes - 1)] = _checks.not_negative("class_weight", weight)
    return weights


def _mean(values: Array, weights: Array | None) -> float:
    if weights is None:
        return float(values.mean())
    return float((values * weights).sum()) / float(weights.sum())
