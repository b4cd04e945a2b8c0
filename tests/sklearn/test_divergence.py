"""The scikit-learn estimators on data that make a loss or score NaN or infinite."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from factories import small_data, with_nan
from fnnfast.sklearn import FNNClassifier, FNNRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# NaN -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("cls", [FNNClassifier, FNNRegressor])
def test_estimators_refuse_nan(cls, method):
    x, y = small_data()
    extra = {"classes": [0, 1]} if (cls, method) == (FNNClassifier, "partial_fit") else {}
    with pytest.raises(ValueError, match="Input X contains NaN"):
        getattr(cls(), method)(with_nan(x, 7, 1), (y > 0).astype(int), **extra)


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_estimators_name_validation_data(settings):
    x, y = small_data()
    with pytest.raises(ValueError, match="X_val, y_val: Input X contains NaN"):
        FNNRegressor(**settings).fit(x, y, X_val=with_nan(x, 3, 0), y_val=y)


# Divergence ----------------------------------------------------------------------------------------------------------
UNSCALED = np.random.default_rng(0).uniform(1e5, 1e6, (100, 1))
DIVERGING = {"activation": "identity", "solver": "sgd", "learning_rate_init": 0.1, "random_state": 0}


def on_first_call(estimator):
    return estimator.partial_fit(UNSCALED, UNSCALED[:, 0])


def on_later_calls(estimator):
    for _ in range(200):
        estimator.partial_fit(UNSCALED, UNSCALED[:, 0])


def after_warm_start(estimator):
    estimator.set_params(warm_start=True, max_iter=1, learning_rate_init=1e-30).fit(UNSCALED, UNSCALED[:, 0])
    estimator.set_params(max_iter=200, learning_rate_init=0.1).fit(UNSCALED, UNSCALED[:, 0])


ESTIMATORS = {
    "fit": lambda e: e.fit(UNSCALED, UNSCALED[:, 0]),
    "sparse": lambda e: e.fit(csr_array(UNSCALED), UNSCALED[:, 0]),
    "early stopping": lambda e: e.set_params(early_stopping=True).fit(UNSCALED, UNSCALED[:, 0]),
    "early stopping on data of its own": lambda e: e.set_params(early_stopping=True).fit(
        UNSCALED, UNSCALED[:, 0], X_val=UNSCALED, y_val=UNSCALED[:, 0]
    ),
    "weights": lambda e: e.fit(UNSCALED, UNSCALED[:, 0], np.linspace(0.1, 1, 100)),
    "adaptive": lambda e: e.set_params(learning_rate="adaptive").fit(UNSCALED, UNSCALED[:, 0]),
    "warm start": after_warm_start,
    "partial_fit": on_later_calls,
    "gaussian": lambda e: e.set_params(loss="gaussian_nll").fit(UNSCALED, UNSCALED[:, 0]),
}


@pytest.mark.parametrize("batch_size", ["auto", 32])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_raise_where_training_diverges(name, batch_size):
    model = FNNRegressor(**DIVERGING, batch_size=batch_size)
    expected = r"the (loss|validation score) of iteration \d+ is (nan|-?inf): .* scale the inputs, or lower"
    with pytest.raises(ValueError, match=expected):
        ESTIMATORS[name](model)
    assert len(model.loss_curve_) < 200


@pytest.mark.parametrize("early_stopping", [False, True])
def test_classifiers_raise_where_training_diverges(early_stopping):
    """An accuracy is finite whatever the outputs are."""
    x = np.hstack([UNSCALED, -UNSCALED]).astype(np.float32) * np.float32(1e30)
    model = FNNClassifier(early_stopping=early_stopping, **DIVERGING)
    with pytest.raises(ValueError, match=r"the loss of iteration \d is (nan|inf)"), np.errstate(all="ignore"):
        model.fit(x, UNSCALED[:, 0] > 5e5)


def test_a_validation_score_that_is_not_finite_is_no_bad_one():
    x, y = small_data(dtype="float64")
    with (
        pytest.raises(ValueError, match=r"the validation score of iteration 1 is (-inf|nan)"),
        np.errstate(all="ignore"),
    ):
        FNNRegressor(early_stopping=True, random_state=0).fit(x, y, X_val=1e200 * x, y_val=y)


def test_lbfgs_raises_where_it_has_no_loss():
    with pytest.raises(ValueError, match=r"the loss of iteration .* is (nan|inf)"), np.errstate(all="ignore"):
        FNNRegressor(solver="lbfgs", activation="identity").fit(1e200 * UNSCALED, UNSCALED[:, 0])
