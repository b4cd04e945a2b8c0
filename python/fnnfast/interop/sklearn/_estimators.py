"""Estimators at the end of a pipeline as operations, and what their outputs are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ... import activations
from ..._checks import Array
from .._build import Run
from .._errors import refusal
from .._operations import Apply, Operation
from .._products import Affine
from ._own import operations


class Ending(NamedTuple):
    """The operations of an estimator, its numbers, and what gives the same outputs from the rows that it takes."""

    operations: list[Operation]
    dtype: Any
    run: Run


_ACTIVATIONS = {
    "exp": activations.Exponential(),
    "identity": activations.Identity(),
    "logistic": activations.Sigmoid(),
    "relu": activations.ReLU(),
    "softmax": activations.Softmax(),
    "tanh": activations.Tanh(),
}
"""By scikit-learn's names."""


def _activation(place: str, name: str) -> Apply | None:
    if name not in _ACTIVATIONS:
        raise refusal(place, f"the activation {name!r}", ", ".join(_ACTIVATIONS))
    return None if name == "identity" else Apply(_ACTIVATIONS[name])


# Multi-layer perceptrons ---------------------------------------------------------------------------------------------
def _layers(place: str, estimator: Any) -> list[Operation]:
    names = [estimator.activation] * (len(estimator.coefs_) - 1) + [estimator.out_activation_]
    parts = zip(estimator.coefs_, estimator.intercepts_, names, strict=True)
    return [Affine(weight, bias, activation=_activation(place, name)) for weight, bias, name in parts]


def _mlp_classifier(place: str, estimator: Any) -> Ending:
    return Ending(
        _layers(place, estimator), estimator.coefs_[0].dtype, _probabilities(estimator, estimator.n_outputs_ == 1)
    )


def _mlp_regressor(place: str, estimator: Any) -> Ending:
    return Ending(_layers(place, estimator), estimator.coefs_[0].dtype, _predictions(estimator))


def _probabilities(estimator: Any, single: bool) -> Run:
    """predict_proba; single: of two classes only the second, since they have one output."""
    return lambda x: np.asarray(estimator.predict_proba(x))[:, 1 if single else 0 :]


def _predictions(estimator: Any) -> Run:
    return lambda x: _columns(estimator.predict(x))


def _decisions(estimator: Any) -> Run:
    return lambda x: _columns(estimator.decision_function(x))


def _columns(values: Any) -> Array:
    array = np.asarray(values)
    return array.reshape(len(array), -1)


# Linear models -------------------------------------------------------------------------------------------------------
def _affine(estimator: Any, activation: Apply | None = None) -> Affine:
    coefficients = estimator.coef_
    coefficients = coefficients.toarray() if hasattr(coefficients, "toarray") else np.asarray(coefficients)
    weight = np.atleast_2d(coefficients).T
    bias = np.broadcast_to(np.asarray(estimator.intercept_), weight.shape[1]).astype(weight.dtype)
    return Affine(
        weight, bias if bias.any() or getattr(estimator, "fit_intercept", True) else None, activation=activation
    )


def _linear(place: str, estimator: Any) -> Ending:
    layer = _affine(estimator)
    return Ending([layer], layer.weight.dtype, _predictions(estimator))


def _exponential(place: str, estimator: Any) -> Ending:
    layer = _affine(estimator, Apply(_ACTIVATIONS["exp"]))
    return Ending([layer], layer.weight.dtype, _predictions(estimator))


def _scores(place: str, estimator: Any) -> Ending:
    layer = _affine(estimator)
    return Ending([layer], layer.weight.dtype, _decisions(estimator))


def _logistic_regression(place: str, estimator: Any) -> Ending:
    several = len(estimator.classes_) > 2
    kind = getattr(estimator, "multi_class", "auto")  # which releases from 1.8 on do not have
    one_by_one = kind == "ovr" or getattr(estimator, "solver", "") == "liblinear"
    if one_by_one if several else kind == "multinomial":
        raise refusal(
            place,
            f"probabilities of {len(estimator.classes_)} classes with multi_class={kind!r}, "
            f"solver={estimator.solver!r}",
            "one sigmoid for two classes, softmax for more",
            "fit it again with the defaults",
        )
    layer = _affine(estimator, Apply(_ACTIVATIONS["softmax" if several else "logistic"]))
    return Ending([layer], layer.weight.dtype, _probabilities(estimator, not several))


# fnnfast.sklearn -----------------------------------------------------------------------------------------------------
def _own(place: str, estimator: Any) -> Ending:
    network = estimator.network_
    return Ending(operations(network), network.dtype, network)


ESTIMATORS: dict[str, Callable[[str, Any], Ending]] = {
    "ElasticNet": _linear,
    "ElasticNetCV": _linear,
    "FNNClassifier": _own,
    "FNNRegressor": _own,
    "Lasso": _linear,
    "LassoCV": _linear,
    "LinearRegression": _linear,
    "LinearSVC": _scores,
    "LogisticRegression": _logistic_regression,
    "LogisticRegressionCV": _logistic_regression,
    "MLPClassifier": _mlp_classifier,
    "MLPRegressor": _mlp_regressor,
    "Perceptron": _scores,
    "PoissonRegressor": _exponential,
    "Ridge": _linear,
    "RidgeCV": _linear,
    "RidgeClassifier": _scores,
    "SGDClassifier": _scores,
    "SGDRegressor": _linear,
}
"""By the name of the class; the function takes the place, for errors, and the fitted estimator."""
