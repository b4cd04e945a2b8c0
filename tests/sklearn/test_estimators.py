"""The scikit-learn estimators: scikit-learn's own checks, and what they do besides; test_mlp.py has the rest."""

import numpy as np
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss, mean_poisson_deviance, r2_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import estimator_checks_generator

import fnnfast as fnn
from factories import diabetes, digit_labels, digits
from fnnfast.sklearn import FNNClassifier, FNNRegressor
from oracles import assert_same_bits

# Most runs here are short of convergence on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = digits()
LABELS = digit_labels()
DIABETES, PROGRESSION = diabetes()


# scikit-learn's checks -----------------------------------------------------------------------------------------------
# Not their parametrize_with_checks: before 1.9 it passes a generator, which pytest does not take any more.
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pair
        for model in (FNNClassifier(max_iter=100), FNNRegressor(max_iter=100))
        for pair in estimator_checks_generator(model)
    ],
    ids=lambda value: getattr(value, "func", type(value)).__name__,
)
def test_estimator_checks(estimator, check):
    check(estimator)


# Beyond MLPClassifier and MLPRegressor -------------------------------------------------------------------------------
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
