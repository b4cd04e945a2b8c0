"""Losses: which output heads they fit, which targets they accept, and how outputs are scored.

The kernels compute values and gradients. Cross-entropies are computed from logits, so that the logarithm cancels the
exponential.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from ._checks import Array
from ._frozen import Frozen
from .activations import Activation
from .layers import Layer
from .typing import LossName


class Loss(Frozen, ABC):
    """Base class of all losses.

    A loss is a mean over the batch, weighted if there are sample weights.

    Attributes
    ----------
    kernel : str
        The name of the loss in the kernels.
    from_logits : bool
        Whether the loss reads the last layer before its activation.
    heads : tuple of str
        The activations of the last layer that the loss fits; empty for any differentiable one.
    metric : str
        What ``score`` computes: "accuracy" or "r2".
    """

    kernel: ClassVar[str]
    from_logits: ClassVar[bool]
    heads: ClassVar[tuple[str, ...]] = ()
    metric: ClassVar[str]

    def require_head(self, last: Layer) -> None:
        """Check that the loss fits the last layer of a network.

        Parameters
        ----------
        last : Layer
            The last layer.

        Raises
        ------
        ValueError
            If the loss does not fit it.
        """
        if last.predicts_precision or (self.heads and last.head not in self.heads):
            expected = f"a {' or '.join(self.heads) or 'Dense or Maxout'} head"
            raise ValueError(_checks.message(type(self).__name__, expected, last.head))

    def precision_array(self, outputs: int, dtype: _checks.DType) -> Array | None:
        """Return the precisions as an array for the kernels.

        Parameters
        ----------
        outputs : int
            O, the number of outputs.
        dtype : dtype
            The dtype of the network.

        Returns
        -------
        ndarray of float64, shape (O,), or None
            The precisions; None if the loss has none or the network predicts them.

        Raises
        ------
        ValueError
            If the number of values does not match, or if a value is not > 0 and finite in this dtype.
        """
        return None

    @abstractmethod
    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        """Check targets and convert them for the kernels.

        Parameters
        ----------
        y : array_like
            The targets.
        outputs : int
            O, the number of outputs.
        dtype : dtype
            The dtype of the network.

        Returns
        -------
        ndarray
            Class indices (B,) in int64, or numbers (B, O) in ``dtype``.

        Raises
        ------
        ValueError
            If the shape does not match or a value is invalid.
        TypeError
            If ``y`` does not contain real numbers.
        """

    def classes(self, targets: Array, outputs: int) -> tuple[NDArray[np.int64], int] | None:
        """Return the class of each target.

        Parameters
        ----------
        targets : ndarray
            Targets, as ``targets`` returns them.
        outputs : int
            O, the number of outputs.

        Returns
        -------
        (ndarray of int64, shape (B,), int) or None
            The classes, and how many there are; None if a target is not a single class.
        """
        return None

    @abstractmethod
    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        """Return the score of outputs, where 1 is perfect.

        Parameters
        ----------
        outputs : ndarray of shape (B, O)
            Outputs of the network.
        targets : ndarray
            Targets, as ``targets`` returns them.
        head : Activation
            The activation of the last layer.
        weights : ndarray of shape (B,), optional
            Weights of the rows, all > 0.

        Returns
        -------
        float
            The accuracy or the coefficient of determination, see ``metric``.
        """


class _OfLabels(Loss):
    """Base class of losses of one class per row, scored by the share of rows whose largest output is the class."""

    metric = "accuracy"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.class_labels(y, outputs)

    def classes(self, targets: Array, outputs: int) -> tuple[NDArray[np.int64], int] | None:
        return targets, outputs

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        largest = outputs.max(axis=1)  # NaN in a row with NaN, which counts as wrong, whatever its class
        return _mean((outputs.argmax(axis=1) == targets) & (largest == largest), weights)


class _OfBinaryLabels(Loss):
    """Base class of losses of labels 0 and 1 per output, scored by the share of outputs on the correct side."""

    metric = "accuracy"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.binary_labels(y, outputs, dtype)

    def classes(self, targets: Array, outputs: int) -> tuple[NDArray[np.int64], int] | None:
        return (targets[:, 0].astype(np.int64), 2) if outputs == 1 else None

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        threshold = 0.5 if head.name == "sigmoid" else 0.0
        right = ((outputs >= threshold) == targets) & (outputs == outputs)  # NaN counts as wrong
        return _mean(right.mean(axis=1), weights)


class _OfReals(Loss):
    """Base class of losses of finite real targets, scored by the coefficient of determination."""

    metric = "r2"

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        return _checks.real_targets(y, outputs, dtype)

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        """Return the coefficient of determination, averaged over the outputs.

        For a constant target it is 1 if all outputs are exact, else 0.

        Parameters
        ----------
        outputs : ndarray of shape (B, O)
            Outputs of the network.
        targets : ndarray
            Targets, as ``targets`` returns them.
        head : Activation
            The activation of the last layer.
        weights : ndarray of shape (B,), optional
            Weights of the rows, all > 0.

        Returns
        -------
        float
            The coefficient of determination, averaged over the targets.
        """
        w = np.ones((len(targets), 1)) if weights is None else weights.astype(np.float64)[:, np.newaxis]
        targets = targets.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # outputs that are too large
            residual = (w * (outputs - targets) ** 2).sum(axis=0)
        total = (w * (targets - (w * targets).sum(axis=0) / w.sum()) ** 2).sum(axis=0)
        constant = total == 0
        r2 = np.where(constant, residual == 0, 1 - residual / np.where(constant, 1, total))
        return float(r2.mean())


class CrossEntropy(_OfLabels):
    """Categorical cross-entropy, the mean over the batch of -log softmax(logits)[label].

    Targets are class indices (B,) or one-hot rows (B, K). The head is softmax, or identity with the logits as outputs.
    Bishop, "Pattern recognition and machine learning", 2006, equation 4.108.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(2), fnn.Dense(3, "softmax", bias=False)], seed=0)
    >>> net.parameters["dense_1.weight"] = [[0, 0, 0], [0, 0, 0]]
    >>> result = net.evaluate([[1, 2], [3, 4]], [0, 2], loss=fnn.CrossEntropy())
    >>> round(result["loss"], 4)  # log 3
    1.0986
    """

    kernel = "categorical_cross_entropy"
    from_logits = True
    heads: ClassVar[tuple[str, ...]] = ("softmax", "identity")


class MulticlassHinge(_OfLabels):
    """Multiclass hinge loss, the mean over the batch of the sum over the wrong classes j of max(0, z_j - z_label + 1).

    This is the loss of a multiclass support vector machine: Weston and Watkins, "Support vector machines for
    multi-class pattern recognition", 1999. Targets are class indices (B,) or one-hot rows (B, K). The head is identity;
    its outputs are the scores z.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(3), fnn.Dense(3, bias=False)])
    >>> net.parameters["dense_1.weight"] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    >>> net.evaluate([[3, 1, 2.5]], [0], loss=fnn.MulticlassHinge())["loss"]
    0.5
    """

    kernel = "multiclass_hinge"
    from_logits = True
    heads: ClassVar[tuple[str, ...]] = ("identity",)


class BinaryCrossEntropy(_OfBinaryLabels):
    """Binary cross-entropy, the mean over the batch of the sum over the outputs of softplus(z) - t z.

    z are the logits. Targets t are 0 or 1, as bool, int or float, of shape (B, O), or (B,) for one output. The head is
    sigmoid, or identity with the logits as outputs. Bishop, "Pattern recognition and machine learning", 2006, equation
    4.90.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, "sigmoid", bias=False)])
    >>> net.parameters["dense_1.weight"] = [[1]]
    >>> result = net.evaluate([[-1], [1]], [0, 1], loss=fnn.BinaryCrossEntropy())
    >>> round(result["loss"], 4), result["accuracy"]
    (0.3133, 1.0)
    """

    kernel = "binary_cross_entropy"
    from_logits = True
    heads: ClassVar[tuple[str, ...]] = ("sigmoid", "identity")


class Hinge(_OfBinaryLabels):
    """Hinge loss, the mean over the batch of the sum over the outputs of max(0, 1 - s z).

    s is 1 for the label 1 and -1 for the label 0. This is the loss of a support vector machine: Cortes and Vapnik,
    "Support-vector networks", 1995. Labels are 0 or 1, of shape (B, O), or (B,) for one output. The head is identity;
    its outputs are the scores z, and the class of a row is 1 if z >= 0.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)])
    >>> net.parameters["dense_1.weight"] = [[1]]
    >>> net.evaluate([[-2], [0.5]], [0, 1], loss=fnn.Hinge())
    {'loss': 0.25, 'accuracy': 1.0}
    """

    kernel = "hinge"
    from_logits = True
    heads: ClassVar[tuple[str, ...]] = ("identity",)


class MeanSquaredError(_OfReals):
    """Mean squared error, the mean over batch and outputs of (y - t)^2.

    Targets t are finite reals, of shape (B, O), or (B,) for one output.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)])
    >>> net.parameters["dense_1.weight"] = [[2]]
    >>> net.evaluate([[1], [2]], [2, 3], loss=fnn.MeanSquaredError())["loss"]
    0.5
    """

    kernel = "squared_error"
    from_logits = False


class GaussianNLL(_OfReals):
    """Negative log-likelihood of a normal distribution with mean y and precision beta = 1 / sigma^2.

    It is the mean over the batch of the sum over the outputs of beta (y - t)^2 / 2 - log(beta) / 2 + log(2 pi) / 2.
    Goodfellow et al., "Deep learning", 2016, section 6.2.2. Targets t are finite reals, of shape (B, O), or (B,) for
    one output.

    Parameters
    ----------
    precision : float > 0, sequence of O floats > 0, or "learned"
        beta: one for all outputs, or one per output. "learned" is for a ``fnnfast.layers.Gaussian`` head: the network
        predicts beta.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)])
    >>> net.parameters["dense_1.weight"] = [[2]]
    >>> round(net.evaluate([[1], [2]], [2, 3], loss=fnn.GaussianNLL(4.0))["loss"], 4)
    1.2258
    """

    from_logits = False
    precision: float | tuple[float, ...] | Literal["learned"]

    def __init__(self, precision: float | Sequence[float] | Literal["learned"] = 1.0) -> None:
        given: Any = np.asarray(precision) if isinstance(precision, memoryview) else precision
        if isinstance(given, str):
            if given != "learned":
                raise ValueError(_checks.message("precision", "numbers > 0 or 'learned'", repr(given)))
            self._store(precision=given)
        elif _checks.is_sequence(given) or (isinstance(given, np.ndarray) and given.ndim):
            self._store(precision=tuple(_checks.positive("precision", value) for value in given))
        else:
            self._store(precision=_checks.positive("precision", given))

    @property
    def learned(self) -> bool:
        """Whether the network predicts the precision."""
        return self.precision == "learned"

    @property
    def kernel(self) -> str:  # type: ignore[override]  # the one loss that is two
        """The name of the loss in the kernels, which have one for known and one for learned precisions."""
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
        """Return the score of the means, see ``Loss.score``.

        Parameters
        ----------
        outputs : ndarray of shape (B, O)
            Outputs of the network.
        targets : ndarray
            Targets, as ``targets`` returns them.
        head : Activation
            The activation of the last layer.
        weights : ndarray of shape (B,), optional
            Weights of the rows, all > 0.

        Returns
        -------
        float
            The coefficient of determination, averaged over the targets.
        """
        return super().score(outputs[:, : targets.shape[1]], targets, head, weights)


class Poisson(_OfReals):
    """Poisson loss, the mean over the batch of the sum over the outputs of exp(z) - t z.

    z is the logarithm of the expected count. This is the negative log-likelihood of a Poisson distribution with mean
    exp(z), without log(t!), which does not depend on the network. The loss of the best fit is therefore not 0, and may
    be negative. McCullagh and Nelder, "Generalized linear models", 1989, chapter 6.

    Targets t are counts, or any finite reals >= 0, of shape (B, O), or (B,) for one output. The head is identity; its
    outputs are z. The expected counts are ``np.exp(net(x))``, and ``evaluate`` returns the "r2" of these. ``net(x)``
    and ``net.predict(x)`` are logarithms, and ``net.distribution(x)`` is a Gaussian as for any identity head.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)])
    >>> net.parameters["dense_1.weight"] = [[1]]
    >>> net.evaluate([[0]], [3], loss=fnn.Poisson())["loss"]
    1.0
    """

    kernel = "poisson"
    from_logits = True
    heads: ClassVar[tuple[str, ...]] = ("identity",)

    def targets(self, y: ArrayLike, outputs: int, dtype: _checks.DType) -> Array:
        targets = super().targets(y, outputs, dtype)
        if (targets < 0).any():
            raise ValueError(_checks.message("y", "targets >= 0", f"{targets.min():g}"))
        return targets

    def score(self, outputs: Array, targets: Array, head: Activation, weights: Array | None = None) -> float:
        """Return the score of the expected counts, see ``Loss.score``.

        Parameters
        ----------
        outputs : ndarray of shape (B, O)
            Outputs of the network.
        targets : ndarray
            Targets, as ``targets`` returns them.
        head : Activation
            The activation of the last layer.
        weights : ndarray of shape (B,), optional
            Weights of the rows, all > 0.

        Returns
        -------
        float
            The coefficient of determination, averaged over the targets.
        """
        with np.errstate(over="ignore"):
            return super().score(np.exp(outputs.astype(np.float64)), targets, head, weights)


# By the keys of ``_checks.key``, those of Keras, PyTorch and scikit-learn where they mean the same.
_BY_NAME: dict[str, type[Loss]] = {
    **dict.fromkeys(("mse", "mseloss", "meansquarederror", "squarederror"), MeanSquaredError),
    **dict.fromkeys(("crossentropy", "crossentropyloss", "categoricalcrossentropy"), CrossEntropy),
    "sparsecategoricalcrossentropy": CrossEntropy,
    **dict.fromkeys(("bce", "bceloss", "bcewithlogitsloss", "binarycrossentropy"), BinaryCrossEntropy),
    "hinge": Hinge,
    "multiclasshinge": MulticlassHinge,
    **dict.fromkeys(("poisson", "poissonnll", "poissonnllloss"), Poisson),
}


def _named(name: str, last: Layer) -> Loss:
    """The loss of that name; ValueError where there is none, or where it could be several."""
    known = _checks.key(name)
    if known in _BY_NAME:
        return _BY_NAME[known]()
    if known in ("gaussiannll", "gaussiannllloss") or (known in ("nll", "nllloss") and last.predicts_precision):
        if last.predicts_precision:
            return GaussianNLL("learned")
        expected = "fnnfast.GaussianNLL(precision) without a Gaussian head"
        raise ValueError(_checks.message("loss", expected, repr(name)))
    if known in ("nll", "nllloss"):
        if last.head in ("softmax", "sigmoid"):
            return get(None, last)
        expected = f"a name or object that says which likelihood, for a {last.head} head"
        raise ValueError(_checks.message("loss", expected, repr(name)))
    raise _checks.unknown("loss", name, get_args(LossName))


def get(loss: str | Loss | None, last: Layer) -> Loss:
    """Return the loss that belongs to an output head, or check that a loss fits it.

    Parameters
    ----------
    loss : Loss, str or None
        A name is one of Keras, PyTorch or scikit-learn that means one thing. None is cross-entropy for softmax, binary
        cross-entropy for sigmoid, the likelihood with learned precisions for a Gaussian head, and squared error for any
        other head.
    last : Layer
        The last layer of the network.

    Returns
    -------
    Loss
        The loss.

    Raises
    ------
    ValueError
        If there is no loss of this name, or if the loss does not fit the head.
    TypeError
        If ``loss`` is neither None, nor a name, nor a loss.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.losses.get(None, fnn.Dense(3, "softmax"))
    CrossEntropy()
    """
    if loss is None:
        if last.predicts_precision:
            return GaussianNLL("learned")
        return {"softmax": CrossEntropy, "sigmoid": BinaryCrossEntropy}.get(last.head, MeanSquaredError)()
    if isinstance(loss, str):
        loss = _named(loss, last)
    if not isinstance(loss, Loss):
        known = _BY_NAME.get(_checks.key(getattr(loss, "__name__", type(loss).__name__)))
        hint = f"; write fnnfast.{known.__name__}()" if known else ""
        raise TypeError(_checks.message("loss", "None or a loss such as fnnfast.CrossEntropy()", repr(loss)) + hint)
    loss.require_head(last)
    return loss


def _mean(values: Array, weights: Array | None) -> float:
    if weights is None:
        return float(values.mean())
    return float((values * weights).sum()) / float(weights.sum())
