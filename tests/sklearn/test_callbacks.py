"""The callback protocol of scikit-learn 1.9 and later."""

import copy
import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fnnfast.sklearn import FNNClassifier, FNNRegressor

callback = pytest.importorskip("sklearn.callback")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((80, 4))
LABELS = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
TARGETS = X @ [1.0, -2.0, 0.5, 0.0]
SOLVERS = ["adam", "sgd", "lbfgs"]


class Recorder:
    """Notes each call of a hook, and stops training after some iterations."""

    def __init__(self, stop_after=None):
        self.calls, self.iterations, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.calls.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.calls.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.calls.append(("begin", context.task_name))
        self.data = X, y, metadata

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.calls.append(("end", context.task_name))
        if context.task_name != "iteration":
            return None
        self.iterations.append(fitted_estimator)
        return self.stop_after is not None and len(self.iterations) >= self.stop_after


def estimator(cls, solver="adam", **parameters):
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0, "solver": solver} | parameters
    return cls(**settings)


def targets(cls):
    return LABELS if cls is FNNClassifier else TARGETS


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cls", [FNNClassifier, FNNRegressor])
def test_every_task_begins_and_ends(cls, solver):
    recorder = Recorder()
    model = estimator(cls, solver).set_callbacks(recorder).fit(X, targets(cls))
    extra = solver == "lbfgs"  # which learns of the end of an iteration when the next has begun
    iterations = [("begin", "iteration"), ("end", "iteration")] * (model.n_iter_ + extra)
    around = [("setup", "fit"), ("begin", "fit")], [("end", "fit"), ("teardown", "fit")]
    assert recorder.calls == [*around[0], *iterations, *around[1]]
    assert model.n_iter_ == 5
    plain = estimator(cls, solver).fit(X, targets(cls))
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    assert model.loss_curve_ == plain.loss_curve_
    last = recorder.iterations[4]
    np.testing.assert_array_equal(last.predict(X), model.predict(X))
    np.testing.assert_array_equal(recorder.iterations[1].coefs_[0].shape, (4, 6))
    assert (recorder.iterations[0].coefs_[0] != last.coefs_[0]).any()  # copies, each of its time
    assert len(recorder.iterations[1].loss_curve_) == 2


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_callback_stops_training(solver):
    recorder = Recorder(stop_after=3)
    model = estimator(FNNClassifier, solver, max_iter=50).set_callbacks(recorder).fit(X, LABELS)
    assert model.n_iter_ == len(recorder.iterations) == 3
    assert recorder.calls[-2:] == [("end", "fit"), ("teardown", "fit")]


@pytest.mark.filterwarnings("ignore:X_val")
def test_the_data_are_those_of_the_user():
    recorder, weights = Recorder(), np.ones(80)
    sparse = csr_array(X)
    estimator(FNNClassifier).set_callbacks(recorder).fit(sparse, LABELS, sample_weight=weights)
    x, y, metadata = recorder.data
    assert x is sparse
    assert y is LABELS
    assert metadata == {"sample_weight": weights}
    estimator(FNNClassifier).set_callbacks(recorder).fit(X, LABELS, X_val=X, y_val=LABELS)
    assert recorder.data[2].keys() == {"X_val", "y_val"}
    estimator(FNNClassifier).set_callbacks(recorder).fit(X, LABELS)
    assert recorder.data[2] is None


def test_callbacks_are_torn_down_after_an_error():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        estimator(FNNClassifier).set_callbacks(recorder).fit(np.full((80, 4), np.nan), LABELS)
    assert recorder.calls[-1] == ("teardown", "fit")


def test_a_fitted_copy_is_a_model_of_its_own():
    recorder = Recorder(stop_after=2)
    model = estimator(FNNClassifier).set_callbacks(recorder).fit(X, LABELS)
    early = recorder.iterations[0]
    before = early.predict_proba(X)
    model.fit(X, LABELS)
    early.set_callbacks()
    np.testing.assert_array_equal(early.predict_proba(X), before)
    early.partial_fit(X, LABELS)
    assert (early.predict_proba(X) != before).any()


def test_partial_fit_calls_no_hook():
    recorder = Recorder()
    estimator(FNNClassifier).set_callbacks(recorder).partial_fit(X, LABELS, classes=["no", "yes"])
    assert recorder.calls == []


@pytest.mark.parametrize("copied", [clone, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(copied):
    model = estimator(FNNClassifier).set_callbacks(Recorder()).fit(X, LABELS)
    assert not hasattr(model, "_callback_fit_ctx")
    copied(model).fit(X, LABELS)


def test_what_scikit_learn_brings():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = estimator(FNNClassifier).set_callbacks(monitor).fit(X, LABELS)
    scores = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "iteration"]
    assert len(scores) == 5
    assert scores[-1] == model.score(X, LABELS)


def test_inside_of_others():
    """Tasks of a step of a pipeline are below those of the pipeline."""
    recorder = Recorder()
    model = make_pipeline(StandardScaler(), estimator(FNNClassifier).set_callbacks(recorder)).fit(X, LABELS)
    assert recorder.calls.count(("end", "iteration")) == 5
    search = GridSearchCV(model, {"fnnclassifier__alpha": [0.1, 1.0]}, cv=2).fit(X, LABELS)
    assert search.best_estimator_.predict(X).shape == (80,)
    with pytest.raises(TypeError, match="callbacks must be instances"):
        estimator(FNNClassifier).set_callbacks(print)
