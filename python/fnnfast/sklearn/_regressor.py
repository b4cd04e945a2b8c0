"""FNNRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from .. import _checks
from .._checks import Array, message
from ..activations import Activation
from ..losses import GaussianNLL, Loss, MeanSquaredError, Poisson
from ..typing import ActivationName, DTypeLike
from ._base import LearningRate, Perceptron, Solver, can_go_on, choose_loss

_LOSSES = {"squared_error": MeanSquaredError(), "poisson": Poisson(), "gaussian_nll": GaussianNLL("learned")}


class FNNRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]  # scikit-learn carries no types
    """A feedforward network as a scikit-learn regressor, in place of ``sklearn.neural_network.MLPRegressor``.

    With the same parameters and ``random_state`` it starts from the same weights as MLPRegressor and visits the rows in
    the same order.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "gaussian_nll"} or Loss
        "poisson" is for counts, or other y >= 0: the outputs of the network are the logarithms of what ``predict``
        returns. "gaussian_nll" is ``fnnfast.GaussianNLL("learned")``, which also learns the standard deviation of each
        prediction, see ``predict``.
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
        The network, which can be used without scikit-learn as well.

    Notes
    -----
    The other attributes are those of FNNClassifier, except ``classes_``. Scores are coefficients of determination,
    averaged over the outputs.

    As in MLPRegressor, ``loss_curve_`` is half the mean squared error, while training uses the gradient of half the sum
    over outputs. With "lbfgs", ``loss_`` is that sum as well, so that the line search sees the function that belongs to
    the gradient. For "poisson" it is half the deviance, summed over the outputs: ``fnnfast.Poisson()`` plus the
    constant that makes it 0 if all predictions are exact.

    Examples
    --------
    >>> import numpy as np
    >>> from fnnfast.sklearn import FNNRegressor
    >>> X = np.linspace(-1, 1, 100)[:, np.newaxis]
    >>> model = FNNRegressor(hidden_layer_sizes=16, activation="tanh", solver="lbfgs", random_state=0)
    >>> model.fit(X, X.ravel() ** 2).score(X, X.ravel() ** 2) > 0.99
    True
    """

    _numeric_targets = True

    @_checks.advised("estimator")
    def __init__(
        self,
        loss: Literal["squared_error", "poisson", "gaussian_nll"] | Loss = "squared_error",
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
        maxout_pieces: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        dtype: DTypeLike | None = None,
        progress: bool | None = None,
    ) -> None:
        self._keep(locals())

    @available_if(can_go_on)  # type: ignore[untyped-decorator]  # scikit-learn carries no types
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these rows.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (N, I)
            Inputs.
        y : array_like of shape (N,) or (N, O)
            Targets.
        sample_weight : array_like of shape (N,), optional
            Weights of the rows, >= 0.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            As ``fit``.
        TypeError
            As ``fit``.
        """
        return self._fit_once(X, y, sample_weight)

    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """Return the prediction for each row.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (N, I)
            Inputs.
        return_std : bool
            Whether to return the standard deviations as well, for the loss "gaussian_nll".

        Returns
        -------
        ndarray of shape (N,), or (N, O) for more than one output; or a pair of them
            The predictions; with ``return_std``, the predictions and their standard deviations.

        Raises
        ------
        ValueError
            If ``return_std`` is True for another loss.
        """
        outputs = self._outputs(X)
        parts = np.split(outputs, outputs.shape[1] // self.n_outputs_, axis=1)
        mean, *rest = (part[:, 0] if self.n_outputs_ == 1 else part for part in parts)
        if self.out_activation_ == "exp":
            mean = np.exp(mean)
        if not return_std:
            return mean
        if not rest:
            raise ValueError(message("return_std", "False but for loss 'gaussian_nll'", return_std))
        return mean, np.exp(-rest[0] / 2)  # the network gives the logarithm of the precision

    # For Perceptron --------------------------------------------------------------------------------------------------
    def _encode(self, y: Any, fresh: bool, incremental: bool) -> Array:
        outputs = 1 if y.ndim == 1 else y.shape[1]
        if fresh:
            self.n_outputs_ = outputs
        return np.asarray(y)

    def _choose_loss(self) -> tuple[Loss, str]:
        loss, head = choose_loss(self.loss, _LOSSES, "squared_error", "identity")
        return loss, "gaussian" if isinstance(loss, GaussianNLL) and loss.learned else head

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson" or isinstance(self.loss, Poisson)
        return tags
