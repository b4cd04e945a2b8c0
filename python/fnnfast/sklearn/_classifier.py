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

from .._checks import Array, message
from ..activations import Activation
from ..losses import BinaryCrossEntropy, CrossEntropy, Hinge, Loss, MeanSquaredError, MulticlassHinge
from ._base import Perceptron, can_go_on, choose_loss
from ._solvers import Data

# With an output for each class; and with one for each label, or a single one.
_MULTICLASS = {"log_loss": CrossEntropy(), "hinge": MulticlassHinge(), "squared_error": MeanSquaredError()}
_BINARY = {"log_loss": BinaryCrossEntropy(), "hinge": Hinge(), "squared_error": MeanSquaredError()}


def _probabilistic(estimator: Any) -> bool:
    """Whether the outputs are probabilities."""
    return not (estimator.loss == "hinge" or isinstance(estimator.loss, (Hinge, MulticlassHinge)))


class FNNClassifier(ClassifierMixin, Perceptron):  # type: ignore[misc]  # scikit-learn carries no types
    """A feedforward network as a scikit-learn classifier, in place of ``sklearn.neural_network.MLPClassifier``.

    Classes, two or more, or labels as an indicator matrix. With the same parameters and ``random_state`` it starts from
    the weights, and visits the rows in the order, of MLPClassifier.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of ints >= 1
        Neurons of each hidden layer.
    activation : str or Activation, or a list of them, one for each hidden layer
        Any of ``fnnfast.activations``; "logistic" is another name for "sigmoid".
    solver : {"adam", "sgd", "lbfgs"}
        "lbfgs" takes all rows at once, in float64, through SciPy; it suits small data.
    alpha : float >= 0
        Adds alpha/2 times the sum of squared weights, over the number (or the weight) of the rows of a batch, to the
        mean loss of that batch.
    batch_size : int >= 1 or "auto"
        "auto" is 200, or all rows if there are less.
    learning_rate : {"constant", "invscaling", "adaptive"}
        For "sgd". "invscaling" divides learning_rate_init by (rows seen + 1) ** power_t after each iteration,
        "adaptive" divides by 5 where training would stop for want of progress, until it is 1e-6.
    learning_rate_init : float > 0
    power_t : float >= 0
    max_iter : int >= 1
        Epochs; iterations of "lbfgs".
    shuffle : bool
        Visit the rows of each epoch in a new order.
    random_state : int, RandomState or None
    tol : float >= 0
        Less than this is no progress. For "lbfgs" the largest component of the gradient to stop at.
    verbose : bool
        Print the loss of each iteration.
    warm_start : bool
        Let ``fit`` go on from the network of the last ``fit``.
    momentum : float in [0, 1)
    nesterovs_momentum : bool
    early_stopping : bool
        Stop by the score on data held out, and keep the best network; not for "lbfgs".
    validation_fraction : float in [0, 1)
        The share to hold out for early_stopping, unless ``fit`` is given validation data.
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0
    n_iter_no_change : int >= 1 or inf
        Stop after more iterations than this without progress.
    max_fun : int >= 1
        Evaluations of the loss that "lbfgs" may make.
    loss : {"log_loss", "hinge", "squared_error"} or Loss, optional
        By default "log_loss", the cross-entropy. With "hinge", a support vector machine, there is a decision_function
        instead of probabilities; "squared_error" is that of the probabilities.
    class_weight : dict, list of dicts or "balanced", optional
        Label to weight; "balanced" makes all classes count the same. Multiplies ``sample_weight``. A list has one for
        each label of an indicator matrix.
    maxout_pieces : int >= 1, optional
        Make each hidden layer a maxout layer with so many pieces, instead of ``activation``.
    dropout : float in [0, 1), or a list of them, one for each hidden layer
        The share of a layer's outputs to drop in training.
    dtype : {"float32", "float64"}, optional
        What to compute in; by default float32 for float32 data, else float64.
    progress : bool, optional
        A progress bar on stderr (with tqdm; else a line an iteration).

    Attributes
    ----------
    network_ : Sequential
        The network, of use without scikit-learn as well: ``save``, ``quantize``, ...
    classes_ : ndarray (K,)
    n_features_in_, n_outputs_, n_layers_ : int
    feature_names_in_ : ndarray (I,) of str
        If X had column names.
    out_activation_ : str
    coefs_, intercepts_ : list of ndarray
        Weights (I, O) and biases (O,) of each layer, read-only; a list may be assigned.
    n_iter_ : int
        Iterations of the last ``fit``.
    t_ : int
        Rows seen.
    loss_, best_loss_ : float
        Of the last and of the best iteration, with the penalty; best_loss_ is None with early stopping.
    loss_curve_ : list of float
        One for each iteration.
    validation_scores_, validation_loss_curve_ : list of float or None
        After each iteration; None without validation data. The loss is without penalty.
    best_validation_score_ : float or None
        With early stopping.

    Notes
    -----
    The same settings give the numbers of MLPClassifier, but for rounding. It differs in this: rows of weight 0 are left
    out beforehand; with weights, ``loss_curve_`` counts batches by their weight; the logarithms of probabilities are
    finite.
    """

    _numeric_targets = False
    _multilabel: bool
    classes_: Array

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Activation | Sequence[str | Activation] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
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
        loss: str | Loss | None = None,
        class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | Literal["balanced"] | None = None,
        maxout_pieces: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        dtype: Any = None,
        progress: bool | None = None,
    ) -> None:
        self._keep(locals())

    @available_if(can_go_on)  # type: ignore[untyped-decorator]  # scikit-learn carries no types
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one epoch on these rows.

        Parameters
        ----------
        X : array_like or sparse matrix (N, I)
        y : array_like (N,) or (N, K)
        sample_weight : array_like (N,), optional
        classes : array_like (K,)
            All classes there will be; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As ``fit``; classes that are not those of the first call.
        """
        known = getattr(self, "classes_", None)
        if classes is not None:
            classes = unique_labels(classes)
            if known is not None and not np.array_equal(known, classes):
                raise ValueError(message("classes", f"those of the first call, {known}", classes))
            self.classes_ = classes
        elif known is None:
            raise ValueError(message("classes", "all classes, in the first call of partial_fit", "none"))
        return self._fit(X, y, sample_weight, (None, None, None), incremental=True)

    def predict(self, X: Any) -> Array:
        """The most probable class of each row.

        Parameters
        ----------
        X : array_like or sparse matrix (N, I)

        Returns
        -------
        ndarray (N,) of classes, or (N, K) of 0 and 1
        """
        return self._labels(self._outputs(X))

    @available_if(_probabilistic)  # type: ignore[untyped-decorator]  # scikit-learn carries no types
    def predict_proba(self, X: Any) -> Array:
        """Probabilities.

        Parameters
        ----------
        X : array_like or sparse matrix (N, I)

        Returns
        -------
        ndarray (N, K)
            Of each class, in the order of ``classes_``, or of each label.
        """
        p = self._outputs(X)
        return np.hstack([1 - p, p]) if self.n_outputs_ == 1 else p

    @available_if(_probabilistic)  # type: ignore[untyped-decorator]  # scikit-learn carries no types
    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities, finite where these are too small for a float.

        Parameters
        ----------
        X : array_like or sparse matrix (N, I)

        Returns
        -------
        ndarray (N, K)
        """
        z = self._outputs(X, logits=True)
        if self.out_activation_ == "softmax":
            logarithms = log_softmax(z, axis=1)
        else:
            logarithms = log_expit(np.hstack([-z, z]) if self.n_outputs_ == 1 else z)
        return np.asarray(logarithms)

    @available_if(lambda estimator: not _probabilistic(estimator))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Array:
        """The outputs of a network that was trained with the hinge loss.

        Parameters
        ----------
        X : array_like or sparse matrix (N, I)

        Returns
        -------
        ndarray (N, K), or (N,) for two classes
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
            self.n_outputs_ = count if multilabel or count > 2 else 1
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

    def _weigh(self, data: Data, incremental: bool) -> Data:
        if self.class_weight is None:
            return data
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(message("class_weight", "weights by class for partial_fit", repr(self.class_weight)))
        y = data.targets if self._multilabel else self.classes_[data.targets]
        weights = compute_sample_weight(self.class_weight, y)
        return data._replace(weights=weights if data.weights is None else weights * data.weights)

    def _measure(self, data: Data) -> tuple[float, float]:
        """The score is that of ``accuracy_score``: all labels of a row have to be right."""
        loss, _ = super()._measure(data)
        truth = data.targets.argmax(axis=1) if self._multiclass and data.targets.ndim == 2 else data.targets
        right = (self._codes(self.network_(data.x)) == truth).reshape(len(truth), -1).all(axis=1)
        return loss, float(np.average(right, weights=data.weights))

    @property
    def _multiclass(self) -> bool:
        """Whether each class has an output."""
        return self.n_outputs_ > 1 and not self._multilabel

    def _codes(self, outputs: Array) -> Array:
        """The number of the class (N,), or whether each output says yes (N, O)."""
        if self._multiclass:
            return np.asarray(outputs.argmax(axis=1))
        return np.asarray(outputs > (0.5 if self.out_activation_ == "logistic" else 0.0))

    def _labels(self, outputs: Array) -> Array:
        codes = self._codes(outputs)
        if self._multilabel:
            return codes.astype(np.int64)
        return self.classes_.take(codes.ravel(), mode="clip")  # of a single class there is no second

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
