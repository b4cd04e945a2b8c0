"""The scikit-learn estimators give the numbers of MLPClassifier and MLPRegressor."""

import inspect
import time

import numpy as np
import pytest
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor

from factories import diabetes, digit_labels, digits
from fnnfast.sklearn import FNNClassifier, FNNRegressor

# Most runs here are short of convergence on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = digits()
LABELS = digit_labels()
DIABETES, PROGRESSION = diabetes()
COUNTS = np.random.default_rng(0).poisson(np.exp(PROGRESSION.clip(max=2)))
VALUES = {"one": PROGRESSION[:, 0], "two": PROGRESSION, "counts": COUNTS[:, 0], "two counts": COUNTS}
# What scikit-learn 1.6, the oldest that is supported, has not.
THEY_WEIGH = "sample_weight" in inspect.signature(MLPClassifier.fit).parameters
THEY_COUNT = "loss" in inspect.signature(MLPRegressor).parameters
SETTINGS = {
    "adam": {"alpha": 0.1},
    "epsilon": {"epsilon": 0.01},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "plain sgd": {"solver": "sgd", "momentum": 0, "alpha": 3.0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.02},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 1},
    "too slow": {  # the rate is divided once, then training stops
        **{"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 3e-6},
        **{"tol": 1.0, "n_iter_no_change": 1},
    },
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.3},
    "logistic": {"activation": "logistic", "hidden_layer_sizes": (20, 10)},
    "tanh": {"activation": "tanh", "hidden_layer_sizes": [20], "batch_size": 50},
    "identity": {"activation": "identity", "hidden_layer_sizes": 8, "shuffle": False},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "no penalty": {"alpha": 0},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": 2, "tol": 0.01},
    "converging": {"tol": 0.1, "n_iter_no_change": 2},
    "lbfgs": {"solver": "lbfgs", "alpha": 1.0},
}


def assert_same(theirs, ours, tolerance):
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "out_activation_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("coefs_", "intercepts_"):
        for expected, got in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=name)
    if theirs.solver == "lbfgs":
        assert ours.loss_ == pytest.approx(theirs.loss_, rel=tolerance)
        return
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=tolerance)
    assert ours.loss_ == ours.loss_curve_[-1]
    if theirs.early_stopping:
        assert ours.best_loss_ is None
        assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_)
        assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    else:
        assert ours.best_loss_ == min(ours.loss_curve_)
        assert ours.validation_scores_ is ours.best_validation_score_ is None


# L-BFGS passes rounding on from line search to search.
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("targets", LABELS)
def test_same_as_mlp_classifier(name, targets):
    settings = {"random_state": 3, "max_iter": 8, "hidden_layer_sizes": 16, **SETTINGS[name]}
    y = LABELS[targets]
    if name == "early stopping" and y.dtype.kind == "U" and not THEY_WEIGH:
        pytest.skip("MLPClassifier of scikit-learn 1.6.0 looks for NaN among texts")
    theirs, ours = MLPClassifier(**settings).fit(X, y), FNNClassifier(**settings).fit(X, y)
    assert_same(theirs, ours, 1e-6 if name == "lbfgs" else 1e-11)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-5, atol=1e-8)
    assert ours.score(X, y) == theirs.score(X, y)


# Of several outputs, MLPRegressor's L-BFGS follows a gradient that is not that of its squared error.
@pytest.mark.parametrize(("name", "targets"), [(n, t) for n in SETTINGS for t in VALUES if (n, t) != ("lbfgs", "two")])
def test_same_as_mlp_regressor(name, targets):
    settings = {"random_state": 3, "max_iter": 8, "hidden_layer_sizes": 16, **SETTINGS[name]}
    if "counts" in targets:
        if not THEY_COUNT:
            pytest.skip("MLPRegressor has no losses")
        settings["loss"] = "poisson"
    settings["learning_rate_init"] = min(0.01, settings.get("learning_rate_init", 1.0))
    y = VALUES[targets]
    theirs, ours = MLPRegressor(**settings).fit(DIABETES, y), FNNRegressor(**settings).fit(DIABETES, y)
    assert_same(theirs, ours, 1e-6 if name == "lbfgs" else 1e-11)
    assert ours.predict(DIABETES).shape == y.shape
    np.testing.assert_allclose(ours.predict(DIABETES), theirs.predict(DIABETES), rtol=1e-5, atol=1e-8)
    assert ours.score(DIABETES, y) == pytest.approx(theirs.score(DIABETES, y))


def test_lbfgs_of_two_outputs_follows_its_own_loss():
    model = FNNRegressor(solver="lbfgs", hidden_layer_sizes=4, alpha=0.5, max_iter=20, random_state=0)
    model.fit(DIABETES, PROGRESSION)
    squares = ((model.predict(DIABETES) - PROGRESSION) ** 2).sum(axis=1).mean()
    penalty = 0.5 * sum((weight**2).sum() for weight in model.coefs_) / len(DIABETES)
    assert model.loss_ == pytest.approx((squares + penalty) / 2)
    assert model.loss_curve_ == sorted(model.loss_curve_, reverse=True)


@pytest.mark.parametrize("sizes", [(100, 100), (300, 57), (40, 200)])
def test_same_as_partial_fit(sizes):
    settings = {"random_state": 1, "hidden_layer_sizes": 16, "alpha": 0.5}
    theirs, ours = MLPClassifier(**settings), FNNClassifier(**settings)
    for size in sizes:
        for model in (theirs, ours):
            model.partial_fit(X[:size], Y[:size], classes=np.arange(10)[::-1])
    assert_same(theirs, ours, 1e-11)


def test_same_as_warm_start():
    settings = {"random_state": 1, "hidden_layer_sizes": 16, "warm_start": True, "max_iter": 3}
    for solver in ("adam", "lbfgs"):
        theirs, ours = MLPClassifier(solver=solver, **settings), FNNClassifier(solver=solver, **settings)
        for _ in range(2):
            theirs.fit(X, Y)
            ours.fit(X, Y)
        assert_same(theirs, ours, 1e-7)


# With several batches, theirs divide the penalty by the weight of each, ours by the mean weight: alpha is 0.
@pytest.mark.skipif(not (THEY_WEIGH and THEY_COUNT), reason="MLPClassifier and MLPRegressor have no sample weights")
@pytest.mark.parametrize("name", ["adam", "sgd", "early stopping", "lbfgs"])
def test_same_as_weighted(name):
    weights = np.random.default_rng(0).uniform(0.1, 3, len(X))
    settings = {"random_state": 3, "max_iter": 8, "hidden_layer_sizes": 16, **SETTINGS[name]}
    settings["alpha"] = 1.0 if name == "lbfgs" else 0
    for ours, theirs, y, loss in (
        (FNNClassifier, MLPClassifier, Y, {}),
        (FNNRegressor, MLPRegressor, Y / 9, {"loss": "squared_error"}),
        (FNNRegressor, MLPRegressor, Y / 9, {"loss": "poisson"}),
    ):
        theirs, ours = (cls(**settings, **loss).fit(X, y, sample_weight=weights) for cls in (theirs, ours))
        for expected, got in zip(theirs.coefs_, ours.coefs_, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
        if name == "early stopping":
            assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_)
        elif name != "lbfgs":  # their mean loss counts every batch alike
            np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0.02)


@pytest.mark.slow
def test_digits(capsys):
    """As accurate as MLPClassifier with its defaults, over 5 seeds; the ratio of the times is printed."""
    accuracy, seconds = {}, {}
    for seed in range(5):
        x, y = digits(None)
        split = train_test_split(x, y, random_state=seed, stratify=y)
        train, test, train_labels, test_labels = split
        for cls in (MLPClassifier, FNNClassifier):
            start = time.perf_counter()
            model = cls(random_state=seed).fit(train, train_labels)
            seconds.setdefault(cls, []).append(time.perf_counter() - start)
            accuracy.setdefault(cls, []).append(model.score(test, test_labels))
    theirs, ours = np.mean(accuracy[MLPClassifier]), np.mean(accuracy[FNNClassifier])
    with capsys.disabled():
        ratio = sum(seconds[MLPClassifier]) / sum(seconds[FNNClassifier])
        print(f"\naccuracy {theirs:.4f} of MLPClassifier, {ours:.4f} of FNNClassifier; ratio of fit times {ratio:.1f}")
    assert abs(ours - theirs) < 0.005
