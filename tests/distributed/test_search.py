"""Searches over joblib's processes; those over Dask and Ray are in test_dask.py and test_ray.py."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import digits
from oracles import assert_same_bits

joblib = pytest.importorskip("joblib")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::fnnfast.DeadUnitsWarning")]

X, Y = digits()
X = X.astype(np.float32)


def unit_of_work():
    """A task of several networks; nested, so that it travels by value."""

    def trained(sizes):
        """The losses of the networks on held-out rows, and the number of threads."""
        layers = [[fnn.Input(64), fnn.Dense(width, "relu"), fnn.Dense(10, "softmax")] for width, _ in sizes]
        networks = [fnn.Sequential(of, seed=0) for of in layers]
        optimizers = [fnn.Adam(rate) for _, rate in sizes]
        fnn.fit_many(networks, X[:400], Y[:400], optimizer=optimizers, epochs=5, seed=0, progress=False)
        return [net.evaluate(X[400:], Y[400:])["loss"] for net in networks], fnn.get_num_threads()

    return trained


@pytest.mark.parametrize("search", ["grid", "random"])
def test_searches_of_scikit_learn(search):
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    from fnnfast.sklearn import FNNClassifier

    model = FNNClassifier(max_iter=99, tol=0.1, n_iter_no_change=1, random_state=0)
    choices = {"hidden_layer_sizes": [(8,), (16, 8)], "learning_rate_init": [0.01, 0.003]}

    def run():
        if search == "grid":
            return GridSearchCV(model, choices, cv=2).fit(X, Y)
        return RandomizedSearchCV(model, choices, n_iter=3, cv=2, random_state=0).fit(X, Y)

    alone = run()
    with joblib.parallel_config("loky", n_jobs=2):
        beside = run()
    assert_same_bits(beside.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    assert beside.best_params_ == alone.best_params_


def test_optuna_asks_and_tells():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def run(n_jobs):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        with joblib.Parallel(n_jobs=n_jobs) as pool:
            for _ in range(2):
                trials = [study.ask() for _ in range(4)]
                sizes = [(t.suggest_int("width", 4, 32), t.suggest_float("rate", 1e-3, 1e-1, log=True)) for t in trials]
                for some, (losses, _) in zip(
                    (trials[:2], trials[2:]),
                    pool(joblib.delayed(unit_of_work())(part) for part in (sizes[:2], sizes[2:])),
                    strict=True,
                ):
                    for trial, loss in zip(some, losses, strict=True):
                        study.tell(trial, loss)
        return [trial.value for trial in study.trials]

    assert run(2) == run(1)


def test_tasks_share_the_processors():
    """loky tells its processes by OMP_NUM_THREADS how many threads each may use."""
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        answers = joblib.Parallel()(joblib.delayed(unit_of_work())([(8, 0.01)]) for _ in range(2))
    assert [threads for _, threads in answers] == [1, 1]
