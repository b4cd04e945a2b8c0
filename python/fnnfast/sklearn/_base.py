"""What both estimators have in common: parameters, training on arrays, and predictions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from numbers import Real
from typing import Any, Literal, Self, cast, get_args

import numpy as np
from scipy.sparse import issparse
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import _checks, _threadpoolctl
from .._checks import FLOAT32, FLOAT64, Array, message
from .._device.cpu import CPU
from .._models.sequential import Sequential
from ..losses import Loss, Poisson
from ..training import Trainer
from . import _network, _solvers
from ._callbacks import CallbackSupportMixin, Method, Nothing, Tasks, with_callbacks
from ._solvers import Data

# Lets joblib and threadpool_limits limit our threads, too; scikit-learn installs threadpoolctl.
_threadpoolctl.register()

# The number of sparse rows that are converted to dense ones at a time.
SPARSE_ROWS = 1024

_POSITIVE_INTEGER = partial(_checks.integer, minimum=1)
Solver = Literal["adam", "sgd", "lbfgs"]
LearningRate = Literal["constant", "invscaling", "adaptive"]
_CHOICES = {"solver": get_args(Solver), "learning_rate": get_args(LearningRate)}
_CHECKS: dict[str, Callable[[str, Any], object]] = {
    **dict.fromkeys(("alpha", "power_t", "tol"), _checks.not_negative),
    **dict.fromkeys(("learning_rate_init", "epsilon"), _checks.positive),
    **dict.fromkeys(("momentum", "validation_fraction", "beta_1", "beta_2"), _checks.share),
    **dict.fromkeys(("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"), _checks.flag),
    **dict.fromkeys(("max_iter", "max_fun"), _POSITIVE_INTEGER),
}


def in_numpy(method: Method) -> Method:
    """Decorate a method that takes any arrays and computes with NumPy: without dispatch of the array API."""

    @wraps(method)
    def without_dispatch(*arguments: Any, **named: Any) -> Any:
        if not get_config()["array_api_dispatch"]:
            return method(*arguments, **named)
        with config_context(array_api_dispatch=False):
            return method(*arguments, **named)

    return cast(Method, without_dispatch)


class Perceptron(CallbackSupportMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn carries no types
    """Base class of FNNClassifier and FNNRegressor."""

    network_: Sequential
    n_outputs_: int
    _loss: Loss
    _trainer: Trainer | None = None  # of the last epoch; partial_fit continues with it

    def _keep(self, arguments: Mapping[str, Any]) -> None:
        """Store the arguments of a constructor unchanged: scikit-learn reads them before ``fit`` does."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    # Defined by subclasses -------------------------------------------------------------------------------------------
    _numeric_targets: bool

    @abstractmethod
    def _encode(self, y: Any, fresh: bool, incremental: bool) -> Array:
        """Labels or values as numbers; sets ``n_outputs_`` and what else a fresh start learns from y."""

    @abstractmethod
    def _choose_loss(self) -> tuple[Loss, str]:
        """The loss and the activation of the last layer."""

    def _targets(self, encoded: Array) -> Array:
        """The targets as the loss accepts them."""
        return encoded

    def _classes_of(self, encoded: Array) -> Array:
        """The targets as the user named them, for errors."""
        return encoded

    def _weigh(self, data: Data, incremental: bool) -> Data:
        """The data with weights other than ``sample_weight``."""
        return data

    # Training --------------------------------------------------------------------------------------------------------
    @_checks.advised("estimator.fit")
    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (N, I)
            Inputs.
        y : array_like of shape (N,) or (N, O)
            Classes, an indicator matrix, or reals.
        sample_weight : array_like of shape (N,), optional
            Weights of the rows, >= 0; a row of weight 0 has no effect.
        X_val : array_like or sparse matrix, optional
            Inputs to compute ``validation_scores_`` and ``validation_loss_curve_`` on after each iteration, and, with
            ``early_stopping``, to decide when to stop, instead of a share of X. ``Pipeline(...,
            transform_input=["X_val"])`` passes X_val through the transformers of a pipeline.
        y_val : array_like, optional
            Targets of ``X_val``.
        sample_weight_val : array_like, optional
            Weights of the rows of ``X_val``.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter is invalid, or if a weight of the network is not finite after training.
        TypeError
            If an argument has a wrong type.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` is reached.
        """
        if (X_val is None) != (y_val is None):
            raise ValueError(message("X_val, y_val", "both or neither", "one"))
        self._check_parameters(incremental=False)
        given = {"sample_weight": sample_weight, "X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        metadata = {name: value for name, value in given.items() if value is not None}
        # L-BFGS learns of the end of the last iteration when the next one has begun.
        most = self.max_iter + (self.solver == "lbfgs")
        tasks = Tasks(self, {"X": X, "y": y, "metadata": metadata or None}, most)
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), tasks)
        tasks.end()
        return self

    def _fit_once(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """For ``partial_fit``."""
        self._check_parameters(incremental=True)
        return self._fit(X, y, sample_weight, (None, None, None), Nothing(), incremental=True)

    @in_numpy
    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation: Sequence[Any],
        tasks: Tasks,
        incremental: bool = False,
    ) -> Self:
        fresh = not (hasattr(self, "network_") and (self.warm_start or incremental))
        given = None if self.dtype is None else CPU.compute_dtype(self.dtype)
        if not (fresh or given in (None, self.network_.compute_dtype)):
            known = self.network_.compute_dtype
            raise ValueError(message("dtype", f"{known}, that of the network to go on with", self.dtype))
        data = self._read(X, y, sample_weight, fresh, incremental).without_zeros()
        dtype = (given or data.x.dtype.name) if fresh else self.network_.compute_dtype
        random = check_random_state(self.random_state)
        self._loss, head = self._choose_loss()
        layers = _network.make_layers(self, data.x.shape[1], self.n_outputs_, head)
        working: Any = (
            FLOAT64.name if self.solver == "lbfgs" else dtype
        )  # rounding errors would end a line search early
        if fresh:
            self._start(_network.build(layers, working, random))
        elif tuple(layers) != self.network_.layers:
            raise ValueError(message("layers", "those of the network to go on with", layers))
        elif working != dtype:
            self.network_ = self.network_._converted(working)
        objective = self._loss, self.alpha, getattr(self, "class_weight", None)
        if getattr(self, "_objective", objective) != objective:
            self._forget_the_best()
        self._objective = objective
        data = self._ready(self._weigh(data, incremental))
        held_out = None
        if validation[0] is not None:
            x, targets, weights = validation
            held_out = self._ready(self._read(x, targets, weights, False, True, "_val")).dense()
        elif self.early_stopping and self.solver != "lbfgs":
            data, held_out = self._split(data, random)
        if self.solver == "lbfgs":
            self._trainer = None
            _solvers.lbfgs(self, data, held_out, tasks)
        else:
            _solvers.descend(self, data, held_out, random, tasks, incremental=incremental)
        if working != dtype:
            self.network_ = self.network_._converted(dtype)
        if not all(np.isfinite(values).all() for values in self.network_.parameters.values()):
            raise ValueError("training made weights that are not finite: scale the inputs, or lower learning_rate_init")
        return self

    def _start(self, network: Sequential) -> None:
        """Reset what an earlier training left."""
        self.network_ = network
        self.n_layers_: int = 1 + len(self.coefs_)
        self.t_ = 0
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = None
        self.validation_loss_curve_: list[float] | None = None
        self._forget_the_best()
        self._trainer = None

    def _forget_the_best(self) -> None:
        self.best_loss_: float | None = None
        self.best_validation_score_: float | None = None
        self._no_improvement_count = 0

    def _check_parameters(self, incremental: bool) -> None:
        """Raise ValueError or TypeError for parameters that no data can make valid; ``make_layers`` checks the rest."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise _checks.unknown(name, getattr(self, name), known)
        for name, check in _CHECKS.items():
            check(name, getattr(self, name))
        if self.batch_size != "auto":
            _POSITIVE_INTEGER("batch_size", self.batch_size)
        if self.n_iter_no_change != math.inf:
            _POSITIVE_INTEGER("n_iter_no_change", self.n_iter_no_change)
        if self.progress is not None:
            _checks.flag("progress", self.progress)
        if incremental and self.early_stopping:
            raise ValueError(message("early_stopping", "False for partial_fit, a single epoch", True))

    # Data ------------------------------------------------------------------------------------------------------------
    def _read(self, X: Any, y: Any, sample_weight: Any, fresh: bool, incremental: bool, names: str = "") -> Data:
        """Validated arrays, with y encoded; sparse rows remain sparse."""
        if not fresh:
            dtype: Any = self.network_.dtype
        else:
            dtype = (FLOAT64, FLOAT32) if self.dtype is None else CPU.dtype(CPU.compute_dtype(self.dtype))
        for name, array in (("X", X), ("y", y), ("sample_weight", sample_weight)):
            _checks.refuse_mask(f"{name}{names}", array)
        try:
            X, y = validate_data(
                self,
                X,
                y,
                reset=fresh,
                accept_sparse="csr",
                dtype=dtype,
                order="C",
                multi_output=True,
                y_numeric=self._numeric_targets,
            )
        except ValueError as error:
            if not names:
                raise
            raise ValueError(f"X{names}, y{names}: {error}") from error
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        encoded = self._encode(y, fresh, incremental)
        return Data(X, encoded, _weights(f"sample_weight{names}", sample_weight, len(encoded)))

    def _ready(self, data: Data) -> Data:
        """The data as the network accepts it, without the rows of weight 0."""
        data = data.without_zeros()
        dtype = self.network_.dtype
        x = data.x.astype(dtype, copy=False) if issparse(data.x) else _checks.fit(data.x, dtype)
        targets = self._loss.targets(self._targets(data.targets), self.network_.outputs, dtype)
        return Data(x, targets, None if data.weights is None else _rounded(data.weights, dtype))

    def _split(self, data: Data, random: np.random.RandomState) -> tuple[Data, Data]:
        """Training and validation data, the same rows as in scikit-learn: stratified only for two classes."""
        by = None
        if self.n_outputs_ == 1 and not self._numeric_targets:
            by = self._classes_of(data.targets.ravel().astype(np.int64))
        rows = np.arange(len(data.targets))
        kept, held_out = train_test_split(rows, test_size=self.validation_fraction, random_state=random, stratify=by)
        if len(held_out) < 2:
            raise ValueError(message("validation_fraction", "two rows to validate on at least", len(held_out)))
        return data.take(kept), data.take(held_out).dense()

    # Predictions -----------------------------------------------------------------------------------------------------
    @in_numpy
    def _outputs(self, X: Any, logits: bool = False) -> Array:
        """The outputs (N, O) for rows that are validated here."""
        check_is_fitted(self)
        _checks.refuse_mask("X", X)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=self.network_.dtype)
        answer = self.network_.logits if logits else self.network_
        if not issparse(X):
            return answer(X)
        starts = range(0, X.shape[0], SPARSE_ROWS)
        return np.concatenate([answer(X[first : first + SPARSE_ROWS].toarray()) for first in starts])

    def _measure(self, data: Data) -> tuple[float, float]:
        """Loss and score."""
        x, targets, weights = data
        measured = self.network_.evaluate(x, targets, loss=self._loss, sample_weight=weights)
        return measured["loss"], measured[self._loss.metric]

    @property
    def out_activation_(self) -> str:
        """The activation of the last layer, or what ``predict`` applies after it, by the names of scikit-learn."""
        name = self.network_.head.name
        return "exp" if isinstance(self._loss, Poisson) else {"sigmoid": "logistic"}.get(name, name)

    @property
    def coefs_(self) -> list[Array]:
        """The weights (I, O) of each layer, (P, I, O) for maxout.

        The arrays are read-only; the list, or an array in it, can be assigned.
        """
        return _Layers(self, "weight")

    @coefs_.setter
    def coefs_(self, values: Sequence[Array]) -> None:
        _Layers(self, "weight")[:] = values

    @property
    def intercepts_(self) -> list[Array]:
        """The biases (O,) of each layer, (P, O) for maxout.

        The arrays are read-only; the list, or an array in it, can be assigned.
        """
        return _Layers(self, "bias")

    @intercepts_.setter
    def intercepts_(self, values: Sequence[Array]) -> None:
        _Layers(self, "bias")[:] = values

    # For scikit-learn ------------------------------------------------------------------------------------------------
    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        trainer = state.pop("_trainer", None)
        if trainer is not None:  # all else of it is made of what the estimator has
            state["_paused"] = trainer.learning_rate, trainer.state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        paused = state.pop("_paused", None)
        super().__setstate__(state)
        if paused is not None:
            self._trainer = Trainer(self.network_, **self._fixed)
            self._trainer.learning_rate, moments = paused
            self._trainer.set_state(moments)


def choose_loss(loss: Any, known: Mapping[str, Loss], default: str, head: str) -> tuple[Loss, str]:
    """The loss of a name, or the object itself if it is of such a class; and the head that belongs to it."""
    name = default if loss is None else loss
    kinds = {type(value).__name__: type(value) for value in known.values()}
    if isinstance(name, str):
        if _checks.key(name) in ("mse", "meansquarederror"):
            name = "squared_error"
        if name not in known:
            raise _checks.unknown("loss", name, known)
        loss = known[name]
    elif not isinstance(loss, tuple(kinds.values())):
        options = ", ".join([*map(repr, known), *(f"{kind}()" for kind in kinds)])
        raise ValueError(message("loss", f"for these targets one of {options}", repr(loss)))
    return loss, head if not loss.heads or head in loss.heads else loss.heads[0]


def can_go_on(estimator: Any) -> bool:
    """Whether there is a ``partial_fit``."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit: expected solver 'sgd' or 'adam', got 'lbfgs', which has no single steps")
    return True


def _weights(name: str, weights: Any, rows: int) -> Array | None:
    """float64 (N,), from one number for all rows or an array; ValueError unless all are >= 0, and some > 0."""
    if weights is None:
        return None
    if isinstance(weights, Real):
        weights = np.full(rows, _checks.not_negative(name, weights))
    array: Array = check_array(weights, ensure_2d=False, dtype=FLOAT64, input_name=name)
    _checks.same_shape(name, array, (rows,))
    _checks.require_all(name, array, array >= 0, "weights >= 0")
    if not array.any():
        raise ValueError(message(name, "weights that are not all zero", "only zeros"))
    with np.errstate(over="ignore"):
        if not np.isfinite(array.sum()):
            raise ValueError(message(name, "weights of a finite sum", f"{array.min():g} to {array.max():g}"))
    return array


def _rounded(weights: Array, dtype: _checks.DType) -> Array:
    """float64 weights as numbers of the dtype have them, but for those that are too small beside the largest."""
    scaled, unit = _checks.relative(weights)
    rounded = scaled.astype(dtype).astype(FLOAT64)
    return np.where(rounded >= np.finfo(dtype).tiny, rounded * unit, weights)


class _Layers(list[Array]):
    """The arrays of the layers, as a list of fixed length; an assignment to an item changes the network."""

    def __init__(self, estimator: Perceptron, key: str) -> None:
        self._network = estimator.network_
        self._names = [name for name in self._network.parameters if name.endswith(f".{key}")]
        super().__init__(self._network.parameters[name] for name in self._names)

    def __setitem__(self, index: Any, value: Any) -> None:
        names = self._names[index]
        if isinstance(names, str):
            self._network.parameters[names] = value
            super().__setitem__(index, self._network.parameters[names])
            return
        values = list(value)
        if len(values) != len(names):
            raise ValueError(message("arrays", f"{len(names)}, one for each of these layers", len(values)))
        for i, array in zip(range(len(self))[index], values, strict=True):
            self[i] = array

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"expected as many arrays as there are layers, {len(self)}: replace one, or assign a list")

    __delitem__ = __iadd__ = __imul__ = append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)
