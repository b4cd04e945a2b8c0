"""The scikit-learn estimators: scikit-learn's own checks, and what they do besides; the rest is in test_sklearn_mlp."""

import os
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import sklearn
from scipy.sparse import csc_array, csr_array
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, log_loss, mean_poisson_deviance, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import fnnfast as fnn
from fnnfast.sklearn import FNNClassifier, FNNRegressor, _solvers
from oracles import assert_same_bits

# Most runs here are short of convergence on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS = load_digits()
X, Y = (DIGITS.data / 16)[:600], DIGITS.target[:600]
LABELS = {"classes": Y, "binary": np.where(Y > 4, "large", "small"), "labels": np.stack([Y > 4, Y % 2 == 0], 1)}
DIABETES = StandardScaler().fit_transform(load_diabetes().data)
PROGRESSION = StandardScaler().fit_transform(np.stack([load_diabetes().target, DIABETES[:, 2] ** 2], 1))


# scikit-learn's checks -----------------------------------------------------------------------------------------------
@parametrize_with_checks([FNNClassifier(max_iter=100), FNNRegressor(max_iter=100)])
def test_estimator_checks(estimator, check):
    check(estimator)


# What MLP* refuse ----------------------------------------------------------------------------------------------------
def test_layers():
    settings = {"max_iter": 1, "hidden_layer_sizes": (8, 6)}
    model = FNNClassifier(activation="swish", **settings).fit(X, Y)
    assert model.network_.layers == (
        fnn.Input(64),
        fnn.Dense(8, "swish"),
        fnn.Dense(6, "swish"),
        fnn.Dense(10, "softmax"),
    )
    model = FNNRegressor(activation=[fnn.LeakyReLU(0.1), "logistic"], dropout=[0, 0.25], **settings).fit(X, Y)
    assert model.network_.layers == (
        *(fnn.Input(64), fnn.Dense(8, fnn.LeakyReLU(0.1)), fnn.Dense(6, "sigmoid")),
        *(fnn.Dropout(0.25), fnn.Dense(1)),
    )
    model = FNNClassifier(maxout_pieces=3, dropout=0.5, **settings).fit(X, Y > 4)
    assert model.network_.layers == (
        *(fnn.Input(64), fnn.Maxout(8, 3), fnn.Dropout(0.5), fnn.Maxout(6, 3), fnn.Dropout(0.5)),
        fnn.Dense(1, "sigmoid"),
    )
    assert [array.shape for array in model.coefs_] == [(3, 64, 8), (3, 8, 6), (6, 1)]
    assert [array.shape for array in model.intercepts_] == [(3, 8), (3, 6), (1,)]
    assert model.n_layers_ == 4


EXTRAS = [{"activation": "gelu"}, {"activation": "prelu"}, {"maxout_pieces": 2}, {"dropout": 0.2}]


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_they_learn(extra, solver):
    model = FNNClassifier(32, solver=solver, learning_rate_init=0.02, max_iter=60, random_state=0, **extra)
    if "dropout" in extra and solver == "lbfgs":
        with pytest.raises(ValueError, match="dropout: expected 0 for solver 'lbfgs'"):
            model.fit(X, Y)
        return
    model.fit(X, Y)
    again = clone(model).fit(X, Y)
    assert model.score(X, Y) > 0.95
    for first, second in zip(model.coefs_, again.coefs_, strict=True):
        assert_same_bits(first, second)


def test_losses():
    for y, head in ((Y, "softmax"), (Y > 4, "logistic"), (LABELS["labels"], "logistic")):
        for loss in ("squared_error", fnn.MeanSquaredError()):
            model = FNNClassifier(16, loss=loss, max_iter=60, learning_rate_init=0.02, random_state=0).fit(X, y)
            assert model.out_activation_ == head
            assert model.score(X, y) > 0.9
    p = model.predict_proba(X)
    assert model.loss_ == pytest.approx(((p - y) ** 2).mean() / 2, abs=0.01)


def test_hinge():
    for y in (Y, Y > 4, LABELS["labels"]):
        model = FNNClassifier(16, loss="hinge", max_iter=60, learning_rate_init=0.02, random_state=0).fit(X, y)
        assert model.out_activation_ == "identity"
        assert model.score(X, y) > 0.9
        assert not hasattr(model, "predict_proba")
        assert not hasattr(model, "predict_log_proba")
        scores = model.decision_function(X)
        decided = scores.argmax(axis=1) if y is Y else scores > 0
        np.testing.assert_array_equal(decided, model.predict(X))
    assert not hasattr(FNNClassifier(), "decision_function")


def test_standard_deviations():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4000, 1))
    noise = np.where(x > 0, 0.1, 0.5)
    y = np.hstack([2 * x + noise * rng.standard_normal(x.shape), noise * rng.standard_normal(x.shape)])
    model = FNNRegressor("gaussian_nll", 32, max_iter=60, learning_rate_init=0.01, random_state=0).fit(x, y)
    mean, deviation = model.predict([[-0.5], [0.5]], return_std=True)
    np.testing.assert_array_equal(mean, model.predict([[-0.5], [0.5]]))
    np.testing.assert_allclose(mean, [[-1, 0], [1, 0]], atol=0.15)
    np.testing.assert_allclose(deviation, [[0.5, 0.5], [0.1, 0.1]], rtol=0.3)
    assert model.n_outputs_ == 2
    assert model.fit(x, y[:, 0]).predict(x, return_std=True)[1].shape == (4000,)
    fixed = FNNRegressor(fnn.GaussianNLL(100.0), 8, max_iter=2).fit(x, y)
    with pytest.raises(ValueError, match="return_std: expected False but for loss 'gaussian_nll'"):
        fixed.predict(x, return_std=True)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_counts(solver):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2000, 2))
    rates = np.exp(1 + x @ [[1, 0], [-1, 2]])
    model = FNNRegressor("poisson", 16, solver=solver, learning_rate_init=0.01, max_iter=60, random_state=0)
    model.fit(x, rng.poisson(rates), X_val=x[:99], y_val=rates[:99])
    assert model.out_activation_ == "exp"
    np.testing.assert_allclose(model.predict(x), rates, rtol=0.6)
    np.testing.assert_array_equal(model.predict(x), np.exp(model.network_(x)))
    deviances = [mean_poisson_deviance(rates[:99, i], model.predict(x[:99])[:, i]) for i in range(2)]
    assert model.validation_loss_curve_[-1] == pytest.approx(sum(deviances) / 2)
    assert model.validation_scores_[-1] == pytest.approx(model.score(x[:99], rates[:99]))
    by_object = clone(model).set_params(loss=fnn.Poisson()).fit(x, rng.poisson(rates))
    assert by_object.predict(x).min() > 0
    with pytest.raises(ValueError, match="y: expected targets >= 0, got -1"):
        model.fit(x, rng.poisson(rates) - 1)


def test_going_on_with_another_loss():
    """What the outputs stand for is a matter of the last loss."""
    model = FNNRegressor(hidden_layer_sizes=4, max_iter=2, warm_start=True, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), model.network_(X)[:, 0])
    model.set_params(loss="poisson").fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), np.exp(model.network_(X)[:, 0]))


# Weights -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_rows_without_weight_are_not_there(solver):
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    model = FNNClassifier(8, solver=solver, max_iter=5, random_state=0)
    there = clone(model).fit(X[weights > 0], Y[weights > 0], weights[weights > 0])
    assert_same_bits(clone(model).fit(X, Y, weights).coefs_[0], there.coefs_[0])
    assert_same_bits(clone(model).fit(csr_array(X), Y, weights).coefs_[0], there.coefs_[0])


def test_class_weights():
    rare = np.flatnonzero((Y != 0) | (np.arange(len(Y)) < 60))  # few zeros
    x, y = X[rare], Y[rare]
    model = FNNClassifier(8, max_iter=5, random_state=0, activation="swish")
    for weight, y_ in (
        ("balanced", y),
        ({0: 9.0, 3: 0.5}, y),
        ([{0: 1, 1: 3}, {0: 2, 1: 1}], np.stack([y > 4, y % 2], 1)),
    ):
        weighted = clone(model).set_params(class_weight=weight).fit(x, y_)
        rows = compute_sample_weight(weight, y_)
        assert_same_bits(weighted.coefs_[0], clone(model).fit(x, y_, sample_weight=rows).coefs_[0])
        assert_same_bits(
            clone(weighted).fit(x, y_, sample_weight=1 + y).coefs_[0],
            clone(model).fit(x, y_, sample_weight=rows * (1 + y)).coefs_[0],
        )
    with pytest.raises(ValueError, match="class_weight: expected weights by class for partial_fit, got 'balanced'"):
        clone(model).set_params(class_weight="balanced").partial_fit(x, y, classes=range(10))


def test_validation_weights():
    weights = np.random.default_rng(0).uniform(0, 2, 200)
    weights[:50] = 0
    model = FNNClassifier(8, max_iter=5, random_state=0)
    model.fit(X[:400], Y[:400], X_val=X[400:], y_val=Y[400:], sample_weight_val=weights)
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[400:], Y[400:], weights))
    expected = log_loss(Y[400:], model.predict_proba(X[400:]), sample_weight=weights, labels=range(10))
    assert model.validation_loss_curve_[-1] == pytest.approx(expected)


@pytest.mark.parametrize(
    "weights", [np.zeros(600), -np.ones(600), np.ones(599), np.ones((600, 1)), np.full(600, np.nan)]
)
def test_weights_refused(weights):
    with pytest.raises(ValueError, match="sample_weight"):
        FNNClassifier().fit(X, Y, sample_weight=weights)
    with pytest.raises(ValueError, match="sample_weight_val"):
        FNNClassifier().fit(X, Y, X_val=X, y_val=Y, sample_weight_val=weights)


# Validation ----------------------------------------------------------------------------------------------------------
def test_validation_set():
    train, valid = slice(0, 400), slice(400, 600)
    model = FNNClassifier(16, max_iter=30, learning_rate_init=0.02, random_state=0)
    model.fit(X[train], Y[train], X_val=X[valid], y_val=Y[valid])
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == model.n_iter_ == 30
    assert model.validation_scores_[-1] == accuracy_score(Y[valid], model.predict(X[valid]))
    expected = -np.log(model.predict_proba(X[valid])[np.arange(200), Y[valid]]).mean()
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)
    assert_same_bits(model.coefs_[0], clone(model).fit(X[train], Y[train]).coefs_[0])  # it was only looked at
    model = clone(model).set_params(early_stopping=True, n_iter_no_change=3, max_iter=200)
    model.fit(X[train], Y[train], X_val=X[valid], y_val=Y[valid])
    assert 3 < model.n_iter_ < 200
    assert model.best_validation_score_ == max(model.validation_scores_) == model.score(X[valid], Y[valid])
    with pytest.raises(ValueError, match="X_val, y_val: expected both or neither"):
        model.fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="of the earlier training"):
        model.fit(X[Y < 5], Y[Y < 5], X_val=X, y_val=Y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_validation_of_several_outputs(solver):
    model = FNNRegressor(hidden_layer_sizes=8, solver=solver, max_iter=5, random_state=0)
    model.fit(DIABETES, PROGRESSION, X_val=DIABETES[:50], y_val=PROGRESSION[:50])
    predicted = model.predict(DIABETES[:50])
    assert model.validation_scores_[-1] == pytest.approx(r2_score(PROGRESSION[:50], predicted))
    assert model.validation_loss_curve_[-1] == pytest.approx(((predicted - PROGRESSION[:50]) ** 2).mean() / 2)
    labels = LABELS["labels"]
    model = FNNClassifier(8, solver=solver, max_iter=5, random_state=0).fit(X, labels, X_val=X[:99], y_val=labels[:99])
    assert model.validation_scores_[-1] == pytest.approx(accuracy_score(labels[:99], model.predict(X[:99])))


def test_validation_set_through_a_pipeline():
    with sklearn.config_context(enable_metadata_routing=True):
        model = FNNClassifier(8, max_iter=3, random_state=0).set_fit_request(X_val=True, y_val=True)
        pipe = Pipeline([("scale", StandardScaler()), ("net", model)], transform_input=["X_val"])
        pipe.fit(100 * X[:400], Y[:400], X_val=100 * X[400:], y_val=Y[400:])
        score = pipe.score(100 * X[400:], Y[400:])
    assert pipe["net"].validation_scores_[-1] == score


def test_float32_is_kept():
    for solver in ("adam", "lbfgs"):
        model = FNNClassifier(8, solver=solver, max_iter=3, random_state=0).fit(X.astype("float32"), Y)
        assert model.network_.dtype == model.coefs_[0].dtype == model.predict_proba(X).dtype == np.float32
        double = clone(model).fit(X, Y)
        assert double.network_.dtype == double.predict_proba(X.astype("float32")).dtype == np.float64
        np.testing.assert_allclose(model.coefs_[0], double.coefs_[0], rtol=1e-4, atol=1e-4)
        if solver == "lbfgs":  # in float64 until the end
            assert_same_bits(model.coefs_[0], double.coefs_[0].astype("float32"))
        assert clone(model).set_params(dtype="float32").fit(X, Y).network_.dtype == np.float32
        assert clone(model).set_params(dtype="float64").fit(X.astype("float32"), Y).network_.dtype == np.float64
        model.set_params(warm_start=True).fit(X, Y)
        assert model.network_.dtype == np.float32


# Data and answers ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("container", [csr_array, csc_array])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_is_dense(container, solver):
    model = FNNClassifier(8, solver=solver, max_iter=3, random_state=0, early_stopping=True)
    dense, sparse = clone(model).fit(X, Y), clone(model).fit(container(X), csr_array(Y[:, None]).toarray()[:, 0])
    for first, second in zip(dense.coefs_, sparse.coefs_, strict=True):
        assert_same_bits(first, second)
    assert dense.validation_scores_ == sparse.validation_scores_
    tall = np.tile(X, (3, 1))  # more rows than are made dense at a time
    assert_same_bits(dense.predict_proba(tall), sparse.predict_proba(container(tall)))
    labels = LABELS["labels"].astype(int)
    assert_same_bits(clone(model).fit(X, labels).coefs_[0], clone(model).fit(X, container(labels)).coefs_[0])


def test_log_probabilities_are_finite():
    for y, expected in ((Y, -1000.0), (Y > 4, -1000.0), (LABELS["labels"], None)):
        model = FNNClassifier((), max_iter=1).fit(X, y)
        model.coefs_ = [1000 * np.ones_like(model.coefs_[0])]
        model.intercepts_ = [np.linspace(-50, 50, len(model.intercepts_[0]))]
        with np.errstate(all="raise"):
            logarithms = model.predict_log_proba(X)
        assert np.isfinite(logarithms).all()
        if expected is not None:
            assert logarithms.min() < -50
            assert model.predict_proba(X).sum(axis=1) == pytest.approx(1)


def test_a_single_class():
    model = FNNClassifier(4, max_iter=5).fit(X[:50], ["only"] * 50)
    assert set(model.predict(X)) == {"only"}


def test_classes_must_be_known():
    model = FNNClassifier(4, max_iter=2)
    with pytest.raises(ValueError, match="classes: expected all classes, in the first call of partial_fit, got none"):
        model.partial_fit(X, Y)
    model.partial_fit(X, Y, classes=range(10))
    model.partial_fit(X[:10], Y[:10])
    with pytest.raises(ValueError, match="classes: expected those of the first call"):
        model.partial_fit(X, Y, classes=range(11))
    with pytest.raises(ValueError, match=r"y: expected the classes .* of the earlier training, got .*11"):
        model.partial_fit(X, Y + 2)
    with pytest.raises(ValueError, match="y: expected one class for each row, got multilabel-indicator"):
        model.partial_fit(X, LABELS["labels"])
    with pytest.raises(ValueError, match="y: expected one class for each row, got multiclass-multioutput"):
        clone(model).fit(X, np.stack([Y, Y], 1))
    with pytest.raises(ValueError, match="of the earlier training"):
        model.set_params(warm_start=True).fit(X[Y < 5], Y[Y < 5])
    with pytest.raises(ValueError, match="layers: expected those of the network to go on with"):
        model.set_params(hidden_layer_sizes=5).fit(X, Y)


REFUSED = [
    ("hidden_layer_sizes", 0, "hidden_layer_sizes: expected an integer >= 1, got 0"),
    ("hidden_layer_sizes", (3, -1), "hidden_layer_sizes: expected an integer >= 1, got -1"),
    ("hidden_layer_sizes", 2.5, "hidden_layer_sizes: expected an integer >= 1, got 2.5"),
    ("activation", "rely", "did you mean 'relu'"),
    ("activation", ["relu", "relu"], "activation: expected one value, or one for each of 1 hidden layers, got .'relu'"),
    ("activation", "softmax", "softmax is an output head"),
    ("activation", "step", "step is not differentiable"),
    ("activation", 3, "activation: expected a name or an activation object, got 3"),
    ("solver", "newton", "solver: expected one of adam, sgd, lbfgs, got 'newton'"),
    ("alpha", -1, "alpha: expected a number >= 0, got -1"),
    ("batch_size", 0, "batch_size: expected an integer >= 1, got 0"),
    ("batch_size", "all", "batch_size: expected an integer >= 1, got 'all'"),
    ("learning_rate", "cosine", "learning_rate: expected one of constant, invscaling, adaptive, got 'cosine'"),
    ("learning_rate_init", 0, "learning_rate_init: expected a number > 0, got 0"),
    ("max_iter", 1.5, "max_iter: expected an integer >= 1, got 1.5"),
    ("shuffle", "yes", "shuffle: expected True or False, got 'yes'"),
    ("momentum", 1.0, r"momentum: expected a number in \[0, 1\), got 1.0"),
    ("n_iter_no_change", 0, "n_iter_no_change: expected an integer >= 1, got 0"),
    ("loss", "huber", "loss: expected one of .*squared_error.*, got 'huber'"),
    ("loss", 1, "loss: expected for these targets one of .*'squared_error'.*, got 1"),
    ("maxout_pieces", 0, "maxout_pieces: expected an integer >= 1, got 0"),
    ("dropout", 1.0, r"dropout: expected a number in \[0, 1\), got 1.0"),
    ("dropout", [0.1, 0.2], "dropout: expected one value, or one for each of 1 hidden layers"),
    ("dtype", "float16", "dtype: expected 'float32' or 'float64', got 'float16'"),
    ("progress", "bar", "progress: expected True or False, got 'bar'"),
]


@pytest.mark.parametrize(("name", "value", "text"), REFUSED)
@pytest.mark.parametrize("cls", [FNNClassifier, FNNRegressor])
def test_refused(cls, name, value, text):
    with pytest.raises((ValueError, TypeError), match=text):
        cls(**{name: value}).fit(X, Y)


def test_refused_together():
    with pytest.raises(AttributeError, match="partial_fit"):
        FNNClassifier(solver="lbfgs").partial_fit(X, Y, classes=range(10))
    with pytest.raises(ValueError, match="early_stopping: expected False for partial_fit"):
        FNNClassifier(early_stopping=True).partial_fit(X, Y, classes=range(10))
    with pytest.raises(ValueError, match="validation_fraction: expected two rows to validate on at least, got 1"):
        FNNRegressor(early_stopping=True).fit(X[:2], Y[:2])
    with pytest.raises(ValueError, match=r"loss: .*BinaryCrossEntropy.*got CrossEntropy"):
        FNNClassifier(loss=fnn.CrossEntropy()).fit(X, Y > 4)
    with pytest.raises(NotFittedError):
        FNNClassifier().predict(X)
    with pytest.raises(ValueError, match="weights that are not finite"), np.errstate(all="ignore"):
        FNNRegressor(max_iter=5, solver="sgd", learning_rate_init=1.0).fit(1e30 * X, Y)
    with pytest.warns(UserWarning, match="batch_size: expected at most 600, the number of rows, got 601"):
        FNNClassifier(max_iter=1, batch_size=601).fit(X, Y)


# On the way ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_verbose_and_progress(capsys, monkeypatch, solver):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    FNNClassifier(4, solver=solver, max_iter=2, random_state=0).fit(X, Y)
    assert capsys.readouterr() == ("", "")
    model = FNNClassifier(4, solver=solver, max_iter=2, random_state=0, verbose=True, progress=True)
    model.fit(X, Y, X_val=X, y_val=Y)
    out, err = capsys.readouterr()
    assert f"Iteration 2, loss = {model.loss_curve_[1]:.8f}\nValidation score: {model.validation_scores_[1]:f}" in out
    assert f"epoch 2/2: loss {model.loss_curve_[1]:.4g}, validation score" in err


def test_convergence_and_interruption(monkeypatch):
    with pytest.warns(ConvergenceWarning, match="3 iterations .max_iter. were not enough"):
        FNNClassifier(4, max_iter=3).fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="L-BFGS did not converge in 3 iterations"):
        FNNClassifier(4, max_iter=3, solver="lbfgs").fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert FNNClassifier(4, max_iter=200, tol=1.0, n_iter_no_change=2).fit(X, Y).n_iter_ < 200
        assert FNNClassifier(4, max_iter=900, tol=1.0, solver="lbfgs").fit(X, Y).n_iter_ < 900
        assert FNNClassifier(4).partial_fit(X, Y, classes=range(10)).n_iter_ == 1
    epoch = _solvers._epoch

    def two_epochs(estimator, *arguments):
        if estimator.n_iter_ == 2:
            raise KeyboardInterrupt
        return epoch(estimator, *arguments)

    monkeypatch.setattr(_solvers, "_epoch", two_epochs)
    with pytest.warns(UserWarning, match="training was interrupted"):
        model = FNNClassifier(4).fit(X, Y)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert model.predict(X).shape == Y.shape


# Elsewhere -----------------------------------------------------------------------------------------------------------
def test_pickle_and_clone():
    model = FNNClassifier(8, activation=fnn.PReLU(0.1), max_iter=2, loss=fnn.CrossEntropy(), random_state=0).fit(X, Y)
    copy = pickle.loads(pickle.dumps(model))
    for _ in range(2):
        assert_same_bits(copy.predict_proba(X), model.predict_proba(X))
        assert copy.partial_fit(X[:99], Y[:99]).t_ == model.partial_fit(X[:99], Y[:99]).t_  # momenta are kept
    blank = clone(model)
    assert not hasattr(blank, "network_")
    assert not hasattr(blank, "coefs_")
    assert blank.get_params() == model.get_params()


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("settings", [{"momentum": 0.0}, {"momentum": 0.9}, {"nesterovs_momentum": False}], ids=repr)
def test_pickling_between_epochs_does_not_show(learning_rate, settings):
    """Neither in the momenta nor in the rate that a schedule has come to."""
    model = FNNClassifier(
        *(8,),
        solver="sgd",
        learning_rate=learning_rate,
        learning_rate_init=0.1,
        tol=10.0,  # no epoch is better by so much, so that "adaptive" has its turn
        n_iter_no_change=1,
        random_state=0,
        **settings,
    )
    copy = clone(model)
    for _ in range(5):
        model.partial_fit(X[:99], Y[:99], classes=range(10))
        copy = pickle.loads(pickle.dumps(copy.partial_fit(X[:99], Y[:99], classes=range(10))))
        assert copy._trainer.learning_rate == model._trainer.learning_rate
        for mine, other in zip(model.coefs_, copy.coefs_, strict=True):
            assert_same_bits(mine, other)
    assert (model._trainer.learning_rate == 0.1) == (learning_rate == "constant")


def test_grid_search_in_processes():
    pipe = make_pipeline(StandardScaler(), FNNClassifier(max_iter=5, random_state=0))
    grid = {"fnnclassifier__hidden_layer_sizes": [8, (16, 8)], "fnnclassifier__activation": ["relu", fnn.Swish()]}
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(X, Y)
    assert search.best_score_ == GridSearchCV(pipe, search.best_params_ and grid, cv=2).fit(X, Y).best_score_

    def train(x, y):  # nested, so that it travels by value
        model = FNNClassifier(8, max_iter=1, random_state=0).fit(x, y)
        return type(x), x.flags.writeable, fnn.get_num_threads(), model.predict_proba(x)

    # The same worker processes, with arrays large enough to be shared as files.
    answers = joblib.Parallel(n_jobs=2, max_nbytes=1000)(joblib.delayed(train)(X, Y) for _ in range(2))
    for kind, writeable, threads, p in answers:
        assert (kind, writeable) == (np.memmap, False)
        assert 2 * threads <= max(2, os.cpu_count())
        assert_same_bits(p, answers[0][-1])


def test_only_this_module_imports_sklearn():
    code = "import sys, fnnfast, fnnfast.training; print('sklearn' in sys.modules or 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_threadpool_limits_reach_us():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(limits=1):
        assert fnn.get_num_threads() == 1
