"""from_sklearn."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ... import activations
from ..._checks import FLOAT32, FLOAT64, Array, message
from ..._extras import needs
from ..._models.sequential import Sequential
from ...layers import Input
from .._build import Run, build, checked
from .._errors import refusal
from .._graph import Graph
from .._operations import Apply, Operation, Scale
from ._estimators import ESTIMATORS, Ending
from ._transformers import TRANSFORMERS, undone


def from_sklearn(estimator: Any, *, check: ArrayLike | tuple[Any, Any] | None = None) -> Sequential:
    """A network with the parameters of a fitted estimator of scikit-learn, or of a pipeline that ends in one.

    Scalers become part of the first layer, so that the network takes the rows that the pipeline takes.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, FNNClassifier, FNNRegressor, a linear model, or a Pipeline
        A pipeline has StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PCA, TruncatedSVD or "passthrough"
        before its last step. A TransformedTargetRegressor may be around all of it, with one of these scalers.
    check : array_like (B, I), or a pair of that and outputs (B, O), optional
        Rows on which to compare the network with the estimator, or rows and the outputs that are right for them. By
        default 32 random rows, of the mean and scale of the data if a scaler is first.

    Returns
    -------
    Sequential
        In float64 if the estimator's weights are float64, else in float32. ``converted_from`` tells the versions, what
        was folded, and the largest difference between its outputs and the estimator's.

    Raises
    ------
    ConversionError
        A ValueError. The estimator, or a step, is none of those above.
    sklearn.exceptions.NotFittedError
        It is not fitted.
    TypeError
        It is no estimator. Files of joblib and pickle are not read, since they run code.
    ModuleNotFoundError
        scikit-learn is missing: ``pip install 'fnnfast[sklearn]'``.

    See Also
    --------
    from_keras, from_onnx, fnnfast.sklearn.FNNClassifier

    Notes
    -----
    The outputs are those of ``predict_proba`` for MLPClassifier and LogisticRegression, with a single column for two
    classes: the probability of ``classes_[1]``. Column j belongs to ``estimator.classes_[j]``, which the network does
    not keep. They are those of ``decision_function`` for Perceptron, SGDClassifier, LinearSVC and RidgeClassifier, and
    of ``predict``, as (B, O), for regressors. FNNClassifier and FNNRegressor give their ``network_``. See
    docs/interop/sklearn.md.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.random.default_rng(0).normal(50, 10, (200, 3))
    >>> mlp = MLPRegressor(hidden_layer_sizes=8, solver="lbfgs", tol=0.01, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), mlp).fit(X, X.sum(axis=1))
    >>> net = fnn.from_sklearn(pipeline)
    >>> bool(np.allclose(net(X)[:, 0], pipeline.predict(X)))
    True
    """
    if isinstance(estimator, (str, bytes, os.PathLike)):
        got = "a path or bytes: files of joblib and pickle run code when they are loaded, so load it yourself"
        raise TypeError(message("estimator", "a fitted estimator", got))
    parts = _parts(estimator)
    width = next(int(step.n_features_in_) for step in (*(step for _, step in parts.transformers), parts.estimator))
    graph = Graph((width,))
    value = 0
    for operation, place in _operations(parts):
        value = graph.add(operation, [value], place)
    dtype = FLOAT32 if parts.ending.dtype == np.float32 else FLOAT64
    return checked(
        build(graph, value, Input(width), dtype),
        _quiet(parts.run),
        "scikit-learn",
        _versions(),
        check,
        runner=type(parts.estimator).__name__,
        folded=graph.folded,
        around=graph.around(),
    )


class Parts(NamedTuple):
    """What an estimator is made of: transformers, the estimator after them, and a scale of its targets."""

    transformers: list[tuple[str, Any]]
    estimator: Any
    place: str
    ending: Ending
    targets: list[Operation]
    inverse: Any

    def run(self, x: Array) -> Array:
        """Outputs of the source."""
        for _, transformer in self.transformers:
            x = transformer.transform(x)
        outputs = self.ending.run(np.asarray(x))
        return outputs if self.inverse is None else np.asarray(self.inverse(outputs)).reshape(outputs.shape)


def _parts(estimator: Any) -> Parts:
    """ConversionError for what is not supported, NotFittedError for what is not fitted."""
    check_is_fitted, kinds = _sklearn()
    if not hasattr(estimator, "fit") or isinstance(estimator, type):
        raise TypeError(message("estimator", "a fitted estimator", repr(estimator)))
    check_is_fitted(estimator)
    place = "the estimator"
    targets: list[Operation] = []
    inverse = None
    if type(estimator) is kinds["TransformedTargetRegressor"]:
        place = f"{type(estimator).__name__}, regressor"
        targets, inverse = _targets(estimator, kinds)
        estimator = estimator.regressor_
    *steps, (place, last) = _steps(place, estimator, kinds)
    for where, step in steps:
        if type(step).__name__ not in TRANSFORMERS or type(step) is not kinds[type(step).__name__]:
            raise refusal(
                where,
                "a transformer that is not supported",
                f"{', '.join(TRANSFORMERS)}, 'passthrough'",
                "apply it before the network",
            )
        check_is_fitted(step)
    kind = type(last).__name__
    if kind not in ESTIMATORS or type(last) is not kinds.get(kind):
        advice = "pass its best_estimator_" if hasattr(last, "best_estimator_") else ""
        raise refusal(place, "an estimator that is not supported", ", ".join(ESTIMATORS), advice)
    check_is_fitted(last)
    ending = ESTIMATORS[kind](place, last)
    return Parts(steps, last, place, ending, targets, inverse)


def _steps(place: str, estimator: Any, kinds: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The steps of a pipeline, of pipelines within it too."""
    if type(estimator) is not kinds["Pipeline"]:
        yield f"{place}, {type(estimator).__name__}", estimator
        return
    for index, (name, step) in enumerate(estimator.steps, 1):
        last = index == len(estimator.steps)
        if step is None or isinstance(step, str):
            if last:
                raise refusal(place, f"a pipeline that ends in {step!r}", "one that ends in an estimator")
            continue
        yield from _steps(f"step {index} of {len(estimator.steps)} {name!r}", step, kinds)


def _targets(estimator: Any, kinds: dict[str, Any]) -> tuple[list[Operation], Any]:
    """What TransformedTargetRegressor does with predictions."""
    transformer = estimator.transformer_
    kind = type(transformer).__name__
    place = f"TransformedTargetRegressor, {kind}"
    if kind == "FunctionTransformer" and transformer.inverse_func is None:
        return [], None
    if kind == "FunctionTransformer" and transformer.inverse_func is np.exp:
        return [Apply(activations.Exponential())], np.exp
    scale = (
        TRANSFORMERS[kind](place, transformer) if kind in TRANSFORMERS and type(transformer) is kinds[kind] else None
    )
    if not isinstance(scale, Scale):
        raise refusal(place, "a transformation of targets that is not supported", "scalers, and inverse_func=numpy.exp")
    return [undone(scale)], transformer.inverse_transform


def _operations(parts: Parts) -> Iterator[tuple[Operation, str]]:
    for place, step in parts.transformers:
        yield TRANSFORMERS[type(step).__name__](place, step), place
    for operation in parts.ending.operations:
        yield operation, parts.place
    for operation in parts.targets:
        yield operation, "TransformedTargetRegressor"


def _sklearn() -> tuple[Any, dict[str, Any]]:
    """check_is_fitted and the classes that are known, by name."""
    with needs("sklearn", "from_sklearn needs scikit-learn: pip install 'fnnfast[sklearn]'"):
        from sklearn import compose, decomposition, linear_model, neural_network, pipeline, preprocessing, svm
        from sklearn.utils.validation import check_is_fitted
    from ...sklearn import FNNClassifier, FNNRegressor

    modules = (compose, decomposition, linear_model, neural_network, pipeline, preprocessing, svm)
    names = ("Pipeline", "TransformedTargetRegressor", *TRANSFORMERS, *ESTIMATORS)
    found = {name: getattr(module, name) for module in modules for name in names if hasattr(module, name)}
    return check_is_fitted, {**found, "FNNClassifier": FNNClassifier, "FNNRegressor": FNNRegressor}


def _quiet(run: Run) -> Run:
    """Without the warning that rows have no names of columns."""

    def quiet(x: Array) -> Array:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            return run(x)

    return quiet


def _versions() -> dict[str, str]:
    import sklearn

    return {"scikit-learn": str(sklearn.__version__)}
