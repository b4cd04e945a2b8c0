"""FNNClassifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from scipy.sparse import issparse
from scipy.special import log_expit, log_softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from .. import _checks
from .._checks import Array, message
from ..activations import Activation
from ..losses import BinaryCrossEntropy, CrossEntropy, Hinge, Loss, MeanSquaredError, MulticlassHinge
from ..typing import ActivationName, DTypeLike
from ._base import LearningRate, Perceptron, Solver, can_go_on, choose_loss
from ._solvers import Data

# For one output per class; and for one per label, or a single output.
_MULTICLASS = {"log_loss": CrossEntropy(), "hinge": MulticlassHinge(), "squared_error": MeanSquaredError()}
_BINARY = {"log_loss": BinaryCrossEntropy(), "hinge": Hinge(), "squared_error": MeanSquaredError()}


def _probabilistic(estimator: Any) -> bool:
    """Whether the outputs are probabilities."""
    return not (estimator.loss == "hinge" or isinstance(estimator.loss, (Hinge, MulticlassHinge)))


class FNNClassifier(ClassifierMixin, Perceptron):  # type: ignore[misc]  # scikit-learn carries no types
    """A feedforward network as a scikit-learn classifier, in place of ``sklearn.neural_network.MLPClassifier``.

    It supports two or more classes, and labels as an indicator matrix. With the same parameters and ``random_state`` it
    starts from the same weights as MLPClassifier and visits the rows in the same order.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of ints >= 1
        Number of neurons of each hidden layer.
    activation : str or Activation, or a list with one per hidden layer
        Any of ``fnnfast.activations``; "logistic" is another name for "sigmoid".
    solver : {"adam", "sgd", "lbfgs"}
        "lbfgs" uses all rows at once, in float64, with SciPy; it is for small data.
    alpha : float >= 0
        Adds alpha/2 times the sum of squared weights, divided by the number (or the weight) of the rows of a batch, to
        the mean loss of the batch.
    batch_size : int >= 1 or "auto"
        Number of rows per step. "auto" is 200, or all rows if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        The schedule for "sgd". "invscaling" divides ``learning_rate_init`` by (rows seen + 1) ** power_t after each
        iteration. "adaptive" divides the learning rate by 5 when training would stop because of no progress, until it
        is 1e-6.
    learning_rate_init : float > 0
        Initial learning rate.
    power_t : float >= 0
        Exponent of "invscaling".
    max_iter : int >= 1
        Number of epochs, or of iterations of "lbfgs".
    shuffle : bool
        Whether to shuffle the rows in each epoch.
    random_state : int, RandomState or None
        Source of random numbers for the initial parameters, the order of the rows, the rows held out, and dropout.
    tol : float >= 0
        Improvement below which an iteration counts as no progress. For "lbfgs", the largest component of the gradient
        at which to stop.
    verbose : bool
        Whether to print the loss of each iteration.
    warm_start : bool
        Whether ``fit`` continues with the network of the last ``fit``.
    momentum : float in [0, 1)
        Momentum of "sgd".
    nesterovs_momentum : bool
        Whether "sgd" uses Nesterov momentum.
    early_stopping : bool
        Whether to stop by the score on held-out data, and keep the best network. Not for "lbfgs".
    validation_fraction : float in [0, 1)
        The share of the rows to hold out for ``early_stopping``, unless ``fit`` is given validation data.
    beta_1 : float in [0, 1)
        Decay rate of the first moment of "adam".
    beta_2 : float in [0, 1)
        Decay rate of the second moment of "adam".
    epsilon : float > 0
        Added to the denominator of "adam".
    n_iter_no_change : int >= 1 or inf
        Training stops after more than this number of iterations without progress.
    max_fun : int >= 1
        Maximum number of evaluations of the loss by "lbfgs".
    loss : {"log_loss", "hinge", "squared_error"} or Loss, optional
        By default "log_loss", the cross-entropy. "hinge" is a support vector machine, which has a ``decision_function``
        instead of probabilities. "squared_error" is the squared error of the probabilities.
    class_weight : dict, list of dicts or "balanced", optional
        Weight by label; "balanced" gives all classes the same weight. It multiplies ``sample_weight``. A list has one
        entry per label of an indicator matrix.
    maxout_pieces : int >= 1, optional
        Make each hidden layer a maxout layer with this number of pieces, instead of using ``activation``.
    dropout : float in [0, 1), or a list with one per hidden layer
        The share of the outputs of a layer to drop in training.
    dtype : {"float32", "float64", "bfloat16"}, optional
        What to compute in. By default float32 for float32 data, else float64.
    progress : bool, optional
        Whether to show progress on stderr: a bar with tqdm, else one line per iteration.

    Attributes
    ----------
    network_ : Sequential
        The network, which can be used without scikit-learn as well: ``save``, ``quantize``, ...
    classes_ : ndarray of shape (K,)
        The classes.
    n_features_in_, n_outputs_, n_layers_ : int
        The number of inputs, of outputs, and of layers with the input.
    feature_names_in_ : ndarray of str, shape (I,)
        The column names of X, if it has any.
    out_activation_ : str
        The activation of the last layer.
    coefs_, intercepts_ : list of ndarray
        Weights (I, O) and biases (O,) of each layer, read-only; the list, or an array in it, can be assigned.
    n_iter_ : int
        Number of iterations of the last ``fit``.
    t_ : int
        Number of rows seen.
    loss_, best_loss_ : float
        The loss of the last and of the best iteration, with the penalty; ``best_loss_`` is None with early stopping.
    loss_curve_ : list of float
        The loss of each iteration.
    validation_scores_, validation_loss_curve_ : list of float or None
        The score and the loss without penalty after each iteration; None without validation data.
    best_validation_score_ : float or None
        The best score, with early stopping.

    Notes
    -----
    The same settings give the results of MLPClassifier, except for rounding. Differences: rows of weight 0 are removed
    first, so "balanced" does not count them, but ``classes_`` contains their classes; with weights, ``loss_curve_``
    weights the batches; the logarithms of probabilities are finite; training ends with a ValueError if a loss, or with
    early stopping a score, is infinite or NaN.

    Parameters that are set between calls of ``partial_fit``, or of ``fit`` with warm_start, take effect in the next
    call. The moments of the optimizer are kept, unless solver or loss change. Parameters that would need another
    network are rejected.

    Examples
    --------
    >>> import numpy as np
    >>> from fnnfast.sklearn import FNNClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = np.where(X[:, 0] > 0, "right", "left")
    >>> model = FNNClassifier(hidden_layer_sizes=16, solver="lbfgs", max_iter=1000, random_state=0)
    >>> model.fit(X, y).predict([[-2.0, 0.0], [2.0, 0.0]])
    array(['left', 'right'], dtype='<U5')
    """

    _numeric_targets = False
    _multilabel: bool
    classes_: Array

    @_checks.advised("estimator")
    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: ActivationName | Activation | Sequence[ActivationName | Activation] = "relu",
        *,
        solver: Solver = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: LearningRate = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: Literal["log_loss", "hinge", "squared_error"] | Loss | None = None,
        class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | Literal["balanced"] | None = None,
        maxout_pieces: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        dtype: DTypeLike | None = None,
        progress: bool | None = None,
    ) -> None:
        self._keep(locals())

    @available_if(can_go_on)  # type: ignore[untyped-decorator]  # scikit-learn carries no types
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on these rows.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (N, I)
            Inputs.
        y : array_like of shape (N,) or (N, K)
            Classes, or an indicator matrix.
        sample_weight : array_like of shape (N,), optional
            Weights of the rows, >= 0.
        classes : array_like of shape (K,), optional
            All classes; required in the first call.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            As ``fit``; also if ``classes`` are not those of the first call.
        TypeError
            As ``fit``.
        """
        known = getattr(self, "classes_", None)
        if classes is not None:
            classes = unique_labels(classes)
            if known is not None and not np.array_equal(known, classes):
                raise ValueError(message("classes", f"those of the first call, {known}", classes))
            self.classes_ = classes
        elif known is None:
            raise ValueError(message("classes", "all classes, in the first call of partial_fit", "none"))
        return self._fit_once(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (N, I)
            Inputs.

        Returns
        -------
        ndarray of shape (N,) or (N, K)
            Classes, or, for an indicator matrix, 0 and 1.
        """
        return self._labels(self._outputs(X))

    @available_if(_probabilistic)  # type: ignore[untyped-decorator]  # scikit-learn carries no types
    def predict_proba(self, X: Any) -> Array:
        """Return probabilities.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (N, I)
            Inputs.

        Returns
        -------
        ndarray of shape (N, K)
            The probability of each class, in the order of ``classes_``, or of each label.
        """
        p = self._outputs(X)
        return np.hstack([1 - p, p]) if self.n_outputs_ == 1 else p

    @available_if(_probabilistic)  # type: ignore[untyped-decorator]  # scikit-learn carries no types
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (N, I)
            Inputs.

        Returns
        -------
        ndarray of shape (N, K)
            The logarithms. They are finite also if the probability is too small for a float.
        """
        z = self._outputs(X, logits=True)
        if self.out_activation_ == "softmax":
            logarithms = log_softmax(z, axis=1)
        else:
            logarithms = log_expit(np.hstack([-z, z]) if self.n_outputs_ == 1 else z)
        return np.asarray(logarithms)

    @available_if(lambda estimator: not _probabilistic(estimator))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Array:
        """Return the outputs of a network that was trained with the hinge loss.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (N, I)
            Inputs.

        Returns
        -------
        ndarray of shape (N, K), or (N,) for two classes
            The scores.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    # For Perceptron --------------------------------------------------------------------------------------------------
    def _encode(self, y: Any, fresh: bool, incremental: bool) -> Array:
        kind = type_of_target(y, input_name="y")
        multilabel = kind == "multilabel-indicator"
        if kind == "multiclass-multioutput" or not (fresh or multilabel == self._multilabel):
            expected = "one class for each row" if fresh or not self._multilabel else "an indicator matrix"
            raise ValueError(message("y", expected, kind))
        if fresh:
            check_classification_targets(y)
            self._multilabel = multilabel
            if not incremental:
                self.classes_ = unique_labels(y)
            count = len(self.classes_)
            self.n_outputs_: int = count if multilabel or count > 2 else 1
        if not fresh or incremental:
            self._require_known(unique_labels(y), same=self.warm_start and not incremental)
        if multilabel:
            return np.asarray(y.toarray() if issparse(y) else y)
        return np.asarray(np.searchsorted(self.classes_, y))

    def _require_known(self, seen: Array, same: bool) -> None:
        if np.setdiff1d(seen, self.classes_).size or (same and len(seen) < len(self.classes_)):
            raise ValueError(message("y", f"the classes {self.classes_} of the earlier training", seen))

    def _choose_loss(self) -> tuple[Loss, str]:
        if self._multiclass:
            return choose_loss(self.loss, _MULTICLASS, "log_loss", "softmax")
        return choose_loss(self.loss, _BINARY, "log_loss", "sigmoid")

    def _targets(self, encoded: Array) -> Array:
        one_hot = isinstance(self._loss, MeanSquaredError) and self._multiclass
        return np.eye(self.n_outputs_)[encoded] if one_hot else encoded

    def _classes_of(self, encoded: Array) -> Array:
        return encoded if self._multilabel else self.classes_[encoded]

    def _weigh(self, data: Data, incremental: bool) -> Data:
        if self.class_weight is None:
            return data
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(message("class_weight", "weights by class for partial_fit", repr(self.class_weight)))
        weights = compute_sample_weight(self.class_weight, self._classes_of(data.targets))
        return data._replace(weights=weights if data.weights is None else weights * data.weights)

    def _measure(self, data: Data) -> tuple[float, float]:
        """Loss and score; the score is that of ``accuracy_score``: all labels of a row must be correct."""
        loss, _ = super()._measure(data)
        truth = data.targets.argmax(axis=1) if self._multiclass and data.targets.ndim == 2 else data.targets
        right = (self._codes(self.network_(data.x)) == truth).reshape(len(truth), -1).all(axis=1)
        return loss, float(np.average(right, weights=data.weights))

    @property
    def _multiclass(self) -> bool:
        """Whether each class has an output."""
        return self.n_outputs_ > 1 and not self._multilabel

    def _codes(self, outputs: Array) -> Array:
        """The index of the class (N,), or whether each output is positive (N, O)."""
        if self._multiclass:
            return np.asarray(outputs.argmax(axis=1))
        return np.asarray(outputs > (0.5 if self.out_activation_ == "logistic" else 0.0))

    def _labels(self, outputs: Array) -> Array:
        codes = self._codes(outputs)
        if self._multilabel:
            return codes.astype(np.int64)
        return self.classes_.take(codes.ravel(), mode="clip")  # with a single class there is no second

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
