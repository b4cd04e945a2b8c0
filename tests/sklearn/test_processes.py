"""The scikit-learn estimators while they train, pickled, and in other processes."""

import os
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fnnfast as fnn
from factories import digits
from fnnfast.sklearn import FNNClassifier, _solvers
from oracles import assert_same_bits

# Most runs here are short of convergence on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = digits()


# Progress and interruption -------------------------------------------------------------------------------------------
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


# Pickles and processes -----------------------------------------------------------------------------------------------
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
