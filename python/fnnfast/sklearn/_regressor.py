"""FNNRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from .._checks import Array, message
from ..activations import Activation
from ..losses import GaussianNLL, Loss, MeanSquaredError, Poisson
from ._base import Perceptron, can_go_on, choose_loss

_LOSSES = {"squared_error": MeanSquaredError(), "poisson": Poisson(), "gaussian_nll": GaussianNLL("learned")}


class FNNRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]  # scikit-learn carries no types
    """A feedforward network as a scikit-learn regressor, in place of ``sklearn.neural_network.MLPRegressor``.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "gaussian_nll"} or Loss
        "poisson" is for counts, or other y >= 0: the network gives the logarithms of what ``predict`` expects.
        "gaussian_nll", ``fnnfast.GaussianNLL("learned")``, learns how far to trust each prediction: see ``predict``.
    hidden_layer_sizes, activation, solver, ...
        As for FNNClassifier, which has class_weight besides.

    Attributes
    ----------
    network_, coefs_, loss_curve_, ...
        As for FNNClassifier, without classes_. Scores are coefficients of determination, averaged over the outputs.

    Notes
    -----
    As in MLPRegressor, ``loss_curve_`` holds half the mean squared error, while the gradient that is followed is that
    of half the sum over outputs. With "lbfgs", ``loss_`` is that sum as well, so that a line search sees the function
    whose gradient it follows. Of "poisson" it holds half the deviance, summed over the outputs: that is
    ``fnnfast.Poisson()``, and what makes it 0 where all predictions are right.
    """

    _numeric_targets = True

    def __init__(
        self,
        loss: str | Loss = "squared_error",
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
        maxout_pieces: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        dtype: Any = None,
        progress: bool | None = None,
    ) -> None:
        self._keep(locals())

    @available_if(can_go_on)  # type: ignore[untyped-decorator]  # scikit-learn carries no types
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these rows.

        Parameters
        ----------
        X : array_like or sparse matrix (N, I)
        y : array_like (N,) or (N, O)
        sample_weight : array_like (N,), optional

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As ``fit``.
        """
        return self._fit(X, y, sample_weight, (None, None, None), incremental=True)

    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """The value that the network predicts for each row.

        Parameters
        ----------
        X : array_like or sparse matrix (N, I)
        return_std : bool
            With the loss "gaussian_nll": also the standard deviation of what is predicted.

        Returns
        -------
        ndarray (N,), or (N, O) for more than one output; or a pair of them
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
        return tags
