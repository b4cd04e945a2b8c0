"""from_sklearn against the estimators' own predictions."""

import io
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError

pytest.importorskip("sklearn")

from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import (
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

from fnnfast.sklearn import FNNClassifier, FNNRegressor

RNG = np.random.default_rng(0)
X = RNG.normal([10, -3, 0.5, 100], [5, 1, 0.25, 20], (120, 4))
TARGET = (X[:, 0] - X[:, 1] + 8 * X[:, 2] + X[:, 3] / 10) / 10
THREE = np.array(["a", "b", "c"])[np.digitize(TARGET, [2.2, 3.0])]
TWO = TARGET > 2.5
LABELS = np.stack([TARGET > 2.2, TARGET > 3.0, X[:, 1] > -3], axis=1).astype(int)


def fitted(estimator, y, x=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trainings that are too short
        return estimator.fit(x, y)


def compare(estimator, expected, x=X):
    net = fnn.from_sklearn(estimator)
    expected = np.asarray(expected).reshape(len(x), -1)
    tolerance = 1e-10 if net.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(net(x), expected, rtol=tolerance, atol=tolerance * (1 + np.abs(expected).max()))
    assert net.converted_from.source == "scikit-learn"
    return net


# Multi-layer perceptrons ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), (5,), (6, 3)])
def test_perceptrons(hidden, activation):
    settings = {"hidden_layer_sizes": hidden, "activation": activation, "max_iter": 5, "random_state": 0}
    three, two, labels = (fitted(MLPClassifier(**settings), y) for y in (THREE, TWO, LABELS))
    net = compare(three, three.predict_proba(X))
    assert net.layers[-1] == fnn.Dense(3, "softmax")
    np.testing.assert_array_equal(three.classes_[net(X).argmax(axis=1)], three.predict(X))
    assert compare(two, two.predict_proba(X)[:, 1]).layers[-1] == fnn.Dense(1, "sigmoid")
    assert compare(labels, labels.predict_proba(X)).layers[-1] == fnn.Dense(3, "sigmoid")
    regressor = fitted(MLPRegressor(**settings), TARGET)
    assert compare(regressor, regressor.predict(X)).layers[-1] == fnn.Dense(1)
    several = fitted(MLPRegressor(**settings), np.stack([TARGET, -TARGET], axis=1))
    compare(several, several.predict(X))


def test_poisson():
    try:
        estimator = MLPRegressor(loss="poisson", max_iter=5)
    except TypeError:
        pytest.skip("a scikit-learn without losses of MLPRegressor")
    estimator = fitted(make_pipeline(StandardScaler(), estimator), TARGET)
    assert compare(estimator, estimator.predict(X)).layers[-1] == fnn.Dense(1, "exponential")


def test_float32_stays():
    x = X.astype(np.float32)
    estimator = fitted(make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=5)), THREE, x)
    net = compare(estimator, estimator.predict_proba(x), x)
    assert net.dtype == estimator[-1].coefs_[0].dtype == np.float32


# Pipelines -----------------------------------------------------------------------------------------------------------
TRANSFORMERS = {
    "standard": StandardScaler,
    "standard, no mean": lambda: StandardScaler(with_mean=False),
    "standard, no deviation": lambda: StandardScaler(with_std=False),
    "standard, neither": lambda: StandardScaler(with_std=False, with_mean=False),
    "min, max": MinMaxScaler,
    "min, max, range": lambda: MinMaxScaler((-2, 3)),
    "max, abs": MaxAbsScaler,
    "robust": RobustScaler,
    "robust, no center": lambda: RobustScaler(with_centering=False),
    "robust, no scale": lambda: RobustScaler(with_scaling=False),
    "pca": lambda: PCA(3),
    "pca, white": lambda: PCA(whiten=True),
    "svd": lambda: TruncatedSVD(2),
    "passthrough": lambda: "passthrough",
    "none": lambda: None,
    "two": lambda: make_pipeline(MinMaxScaler(), StandardScaler()),
    "three": lambda: make_pipeline(StandardScaler(), PCA(3), RobustScaler()),
}
ENDS = {
    "MLP": lambda: MLPClassifier((8,), max_iter=5, random_state=0),
    "FNN": lambda: FNNClassifier((8,), max_iter=5, random_state=0),
    "logistic": lambda: LogisticRegression(max_iter=5),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_pipelines(name, end):
    estimator = fitted(Pipeline([("before", TRANSFORMERS[name]()), ("end", ENDS[end]())]), THREE)
    net = compare(estimator, estimator.predict_proba(X))
    if name in ("standard", "min, max", "max, abs", "robust", "two"):
        assert len(net.layers) == len(fnn.from_sklearn(estimator[-1]).layers)  # the scale is in the first layer


def test_columns_that_are_constant():
    """Whose deviation scikit-learn takes for 1."""
    x = np.concatenate([X, np.full((len(X), 1), 1e4)], axis=1)
    estimator = fitted(make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=8, max_iter=5)), TARGET, x)
    compare(estimator, estimator.predict(x), x)


def test_rows_far_from_zero():
    """Random rows are like the data; what float32 cannot subtract within a layer is refused."""
    for offset, dtype, refused in ((1e5, np.float64, False), (1e3, np.float32, False), (1e5, np.float32, True)):
        x = (RNG.standard_normal((100, 2)) + offset).astype(dtype)
        pipeline = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=8, max_iter=5))
        estimator = fitted(pipeline, x[:, 0] - offset, x)
        if refused:
            with pytest.raises(ConversionError, match=r"column . of the input: its mean .* times the standard dev"):
                fnn.from_sklearn(estimator)
        else:
            net = fnn.from_sklearn(estimator)
            np.testing.assert_allclose(net(x)[:, 0], estimator.predict(x), atol=2e-3)
            assert 0 < net.converted_from.largest_difference < 2e-3


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=list("wxyz"))
    estimator = fitted(make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=4, max_iter=5)), TARGET, table)
    net = fnn.from_sklearn(estimator, check=table)
    np.testing.assert_allclose(net(table)[:, 0], estimator.predict(table))
    estimator.set_output(transform="pandas")
    assert fnn.from_sklearn(fitted(estimator, TARGET, table)).layers == net.layers


# Targets -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "settings",
    [
        {"transformer": StandardScaler()},
        {"transformer": MinMaxScaler()},
        {"func": np.log, "inverse_func": np.exp},
        {},
    ],
)
def test_transformed_targets(settings):
    inner = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=8, max_iter=20, random_state=0))
    estimator = fitted(TransformedTargetRegressor(inner, **settings), TARGET)
    net = compare(estimator, estimator.predict(X))
    assert len(net.layers) == 3


def test_transformed_targets_of_two_columns():
    y = np.stack([TARGET, 5 - TARGET], axis=1)
    estimator = fitted(TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), y)
    compare(estimator, estimator.predict(X))


# Linear models -------------------------------------------------------------------------------------------------------
REGRESSORS = [
    LinearRegression(), LinearRegression(fit_intercept=False), Ridge(), RidgeCV(), Lasso(0.01), LassoCV(),
    ElasticNet(0.01), ElasticNetCV(), SGDRegressor(max_iter=5), PoissonRegressor(),
]  # fmt: skip
SCORES = [Perceptron(), SGDClassifier(max_iter=5), LinearSVC(max_iter=5), RidgeClassifier()]


@pytest.mark.parametrize("estimator", REGRESSORS, ids=lambda e: type(e).__name__)
def test_linear_regressors(estimator):
    pipeline = fitted(make_pipeline(StandardScaler(), estimator), TARGET)
    net = compare(pipeline, pipeline.predict(X))
    assert len(net.layers) == 2


@pytest.mark.parametrize("estimator", SCORES, ids=lambda e: type(e).__name__)
def test_scores(estimator):
    for y in (TWO, THREE):
        pipeline = fitted(make_pipeline(StandardScaler(), estimator), y)
        compare(pipeline, pipeline.decision_function(X))


@pytest.mark.parametrize("kind", [LogisticRegression, LogisticRegressionCV])
def test_logistic_regression(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        two, three = kind(max_iter=20).fit(X, TWO), kind(max_iter=20).fit(X, THREE)
        compare(two, two.predict_proba(X)[:, 1])
        compare(three, three.predict_proba(X))


def test_sparse_coefficients():
    estimator = fitted(SGDClassifier(max_iter=5, penalty="l1"), THREE).sparsify()
    compare(estimator, estimator.decision_function(X))


# fnnfast.sklearn -----------------------------------------------------------------------------------------------------
NETWORKS = {
    "dense": {"activation": ["relu", fnn.PReLU(0.3)], "dropout": 0.1},
    "maxout": {"maxout_pieces": 3, "dropout": [0.0, 0.5]},
    "none hidden": {"hidden_layer_sizes": ()},
}


def test_our_networks_are_the_same():
    for estimator, y in (
        *((FNNClassifier(**{"hidden_layer_sizes": (6, 5), "max_iter": 3, **more}), TWO) for more in NETWORKS.values()),
        (FNNRegressor(hidden_layer_sizes=(4,), max_iter=3, loss="gaussian_nll"), TARGET),
        (FNNRegressor(hidden_layer_sizes=(4,), max_iter=3, loss="poisson"), TARGET),
    ):
        estimator = fitted(estimator, y)
        net = fnn.from_sklearn(estimator)
        assert net is not estimator.network_
        assert net.layers == estimator.network_.layers
        for name, values in estimator.network_.parameters.items():
            np.testing.assert_array_equal(net.parameters[name], values)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_our_networks_in_pipelines(dtype, name):
    settings = {"hidden_layer_sizes": (6, 5), "max_iter": 3, "dtype": dtype, **NETWORKS[name]}
    estimator = fitted(make_pipeline(StandardScaler(), FNNClassifier(**settings)), THREE)
    net = compare(estimator, estimator.predict_proba(X))
    assert net.layers == estimator[-1].network_.layers
    assert net.dtype == (dtype or "float64")


def test_our_heads_in_pipelines():
    estimator = fitted(
        make_pipeline(StandardScaler(), FNNRegressor(hidden_layer_sizes=(), max_iter=3, loss="gaussian_nll")), TARGET
    )
    net = fnn.from_sklearn(estimator)
    assert net.layers == (fnn.Input(4), fnn.Gaussian(1))
    np.testing.assert_allclose(net.predict(X)[:, 0], estimator.predict(X))
    estimator = fitted(
        make_pipeline(StandardScaler(), FNNRegressor(hidden_layer_sizes=(3,), max_iter=3, loss="poisson")), TARGET
    )
    np.testing.assert_allclose(np.exp(fnn.from_sklearn(estimator)(X)[:, 0]), estimator.predict(X))


# Refusals ------------------------------------------------------------------------------------------------------------
class Ours(MLPClassifier):
    pass


def refused_estimators():
    mlp = MLPClassifier((3,), max_iter=2)
    return {
        "forest": (RandomForestClassifier(3), "the estimator, RandomForestClassifier: an estimator that is not supp"),
        "subclass": (Ours((3,), max_iter=2), "the estimator, Ours: an estimator that is not supported; supported: "),
        "search": (GridSearchCV(mlp, {"alpha": [0.1]}, cv=2), "GridSearchCV: .*; pass its best_estimator_"),
        "clip": (
            make_pipeline(MinMaxScaler(clip=True), mlp),
            "step 1 of 2 'minmaxscaler', MinMaxScaler: clip=True, which no layer does; supported: clip=False",
        ),
        "function": (
            make_pipeline(StandardScaler(), FunctionTransformer(np.abs), mlp),
            "step 2 of 3 'functiontransformer', FunctionTransformer: a transformer that is not supported; supported: M",
        ),
        "polynomial": (make_pipeline(PolynomialFeatures(), mlp), "PolynomialFeatures: a transformer"),
        "rows": (make_pipeline(Normalizer(), mlp), "Normalizer: a transformer"),
        "columns": (make_pipeline(ColumnTransformer([("a", "passthrough", [0])]), mlp), "ColumnTransformer: a trans"),
        "no estimator": (make_pipeline(StandardScaler(), PCA()), "step 2 of 2 'pca', PCA: an estimator that is not"),
        "passthrough": (make_pipeline(StandardScaler(), "passthrough"), "a pipeline that ends in 'passthrough'"),
    }


@pytest.mark.parametrize("name", refused_estimators())
def test_refusals(name):
    estimator, text = refused_estimators()[name]
    with pytest.raises(ConversionError, match=text):
        fnn.from_sklearn(fitted(estimator, THREE))


def test_refused_targets():
    for settings, text in (
        ({"func": np.log1p, "inverse_func": np.expm1}, "TransformedTargetRegressor, FunctionTransformer: a transf"),
        ({"transformer": MinMaxScaler(clip=True)}, "TransformedTargetRegressor, MinMaxScaler: clip=True"),
    ):
        with pytest.raises(ConversionError, match=text):
            fnn.from_sklearn(fitted(TransformedTargetRegressor(Ridge(), **settings), TARGET))


def test_not_fitted():
    for estimator in (
        MLPClassifier(), make_pipeline(StandardScaler(), MLPClassifier()), FNNRegressor(), TransformedTargetRegressor(),
    ):  # fmt: skip
        with pytest.raises(NotFittedError, match="fit"):
            fnn.from_sklearn(estimator)


@pytest.mark.parametrize("path", ["model.joblib", pathlib.Path("model.pkl"), b"\x80\x04N."])
def test_nothing_is_unpickled(path):
    with pytest.raises(TypeError, match="files of joblib and pickle run code when they are loaded, so load it yours"):
        fnn.from_sklearn(path)


@pytest.mark.parametrize("estimator", [None, 3, MLPClassifier, io.BytesIO(), np.ones(3)])
def test_what_is_no_estimator(estimator):
    with pytest.raises(TypeError, match="estimator: expected a fitted estimator, got"):
        fnn.from_sklearn(estimator)


def test_check():
    estimator = fitted(make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=4, max_iter=5)), TARGET)
    assert fnn.from_sklearn(estimator).converted_from.check == "MLPRegressor on 32 random rows"
    assert fnn.from_sklearn(estimator, check=X[:5]).converted_from.check == "MLPRegressor on 5 given rows"
    y = estimator.predict(X).reshape(-1, 1)
    assert fnn.from_sklearn(estimator, check=(X, y)).converted_from.check == "120 given outputs"
    with pytest.raises(ConversionError, match="outputs that do not belong"):
        fnn.from_sklearn(estimator, check=(X, y + 1))
    with pytest.raises(ValueError, match="check: expected shape"):
        fnn.from_sklearn(estimator, check=X[:, :2])


def test_a_difference_is_found(monkeypatch):
    """Of an estimator whose predictions are not those of its parameters."""
    estimator = fitted(MLPRegressor(hidden_layer_sizes=4, max_iter=5), TARGET)
    monkeypatch.setattr(MLPRegressor, "predict", lambda self, x: np.zeros(len(x)))
    with pytest.raises(ConversionError, match="differs from its source by"):
        fnn.from_sklearn(estimator)


def test_without_scikit_learn():
    code = """if True:
        import sys
        sys.modules["sklearn"] = None
        import fnnfast as fnn
        try:
            fnn.from_sklearn(object())
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "from_sklearn needs scikit-learn: pip install 'fnnfast[sklearn]'"


def test_nothing_is_imported_before_it_is_used():
    code = "import sys, fnnfast as fnn; fnn.from_sklearn; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
