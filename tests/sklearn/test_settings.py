"""Parameters of the scikit-learn estimators that are changed between calls of fit and partial_fit."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from fnnfast.sklearn import FNNClassifier, FNNRegressor
from oracles import assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 4))
Y = (X @ [1, -1, 2, 0.5] > 0).astype(int)


REFUSED, SHOWS, NOTHING = "refused", "shows", "nothing"
SGD = {"solver": "sgd", "learning_rate_init": 0.05}
EITHER = {"fit": SHOWS, "partial_fit": SHOWS}
NEITHER = {"fit": REFUSED, "partial_fit": REFUSED}
# For each parameter another value, the settings in which it matters, and what it does in the next call.
CHANGES = {
    "hidden_layer_sizes": (9, {}, NEITHER),
    "activation": ("tanh", {}, NEITHER),
    "maxout_pieces": (2, {}, NEITHER),
    "dropout": (0.1, {}, NEITHER),
    "dtype": ("float32", {}, NEITHER),
    "solver": ("sgd", {}, EITHER),
    "alpha": (5.0, {}, EITHER),
    "batch_size": (30, {}, EITHER),
    "learning_rate": ("constant", {**SGD, "learning_rate": "invscaling"}, EITHER),
    "learning_rate_init": (0.1, {}, EITHER),
    "power_t": (0.1, {**SGD, "learning_rate": "invscaling"}, EITHER),
    "shuffle": (False, {"batch_size": 20}, EITHER),
    "random_state": (5, {"batch_size": 20}, EITHER),
    "momentum": (0.1, SGD, EITHER),
    "nesterovs_momentum": (False, SGD, EITHER),
    "beta_1": (0.1, {}, EITHER),
    "beta_2": (0.5, {}, EITHER),
    "epsilon": (1.0, {}, EITHER),
    "class_weight": ({0: 9.0}, {}, EITHER),
    "loss": ("squared_error", {}, EITHER),
    "early_stopping": (True, {}, {"fit": SHOWS, "partial_fit": REFUSED}),
    "max_iter": (3, {}, {"fit": SHOWS, "partial_fit": NOTHING}),
    "max_fun": (3, {"solver": "lbfgs", "max_iter": 9}, {"fit": SHOWS}),
    "tol": (1e9, {"n_iter_no_change": 1, "max_iter": 9}, {"fit": SHOWS, "partial_fit": NOTHING}),
    "n_iter_no_change": (
        1,
        {"tol": 1e9, "max_iter": 9, "n_iter_no_change": 99},
        {"fit": SHOWS, "partial_fit": NOTHING},
    ),
    "validation_fraction": (0.5, {"early_stopping": True}, {"fit": SHOWS}),
    "warm_start": (False, {"max_iter": 2}, {"fit": SHOWS, "partial_fit": NOTHING}),
    "verbose": (True, {}, {"fit": NOTHING, "partial_fit": NOTHING}),
    "progress": (True, {}, {"fit": NOTHING, "partial_fit": NOTHING}),
}


def test_every_parameter_is_tried():
    assert CHANGES.keys() == FNNClassifier().get_params().keys()
    assert CHANGES.keys() >= FNNRegressor().get_params().keys()


def call(model, method):
    if method == "fit":
        return model.fit(X, Y)
    return model.partial_fit(X, Y, classes=[0, 1])


def weights_of(model):
    return np.concatenate([array.ravel() for array in (*model.coefs_, *model.intercepts_)])


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize(("name", "method"), [(name, method) for name in CHANGES for method in CHANGES[name][2]])
def test_what_is_changed_between_calls(capsys, name, method, pickled):
    """Takes effect in the next call, or is refused; it is never ignored."""
    value, settings, effects = CHANGES[name]
    settings = {"hidden_layer_sizes": 8, "random_state": 0, "max_iter": 4, "warm_start": method == "fit", **settings}
    changed, as_before = FNNClassifier(**settings), FNNClassifier(**settings)
    for model in (changed, as_before):
        call(call(model, method), method)
    assert_same_bits(weights_of(changed), weights_of(as_before))
    if pickled:
        changed = pickle.loads(pickle.dumps(changed))
    changed.set_params(**{name: value})
    if effects[method] == REFUSED:
        with pytest.raises(ValueError, match=rf"{name}: expected|layers: expected those of the network"):
            call(changed, method)
        return
    call(changed, method)
    call(as_before, method)
    same = np.array_equal(weights_of(changed), weights_of(as_before))
    assert same == (effects[method] == NOTHING)


def moved(model, **settings):
    before = weights_of(model)
    model.set_params(**settings).partial_fit(X, Y)
    return np.abs(weights_of(model) - before).max()


@pytest.mark.parametrize("settings", [{}, SGD, {**SGD, "momentum": 0.0}, {**SGD, "learning_rate": "adaptive"}], ids=str)
def test_a_learning_rate_takes_effect_at_once(settings):
    model = FNNClassifier(8, random_state=0, **settings).partial_fit(X, Y, classes=[0, 1])
    normal = moved(model)
    assert moved(model, learning_rate_init=1e-12) < 1e-8 * normal
    assert moved(model, learning_rate_init=model.get_params()["learning_rate_init"] * 1e9) > 1e-3 * normal
    large = moved(model, learning_rate_init=0.5)
    assert large > 3 * normal


def test_what_the_optimizer_remembers_stays():
    """With what was set from the start it is as if it had been set between: up to the steps before."""
    model = FNNClassifier(8, random_state=0).partial_fit(X, Y, classes=[0, 1])
    moments = model._trainer.state()
    model.set_params(learning_rate_init=1e-300).partial_fit(X, Y)
    assert model._trainer.state()["steps"] == moments["steps"] + 1
    now = model._trainer.state()["first.dense_1.weight"]
    correlation = np.corrcoef(now.ravel(), moments["first.dense_1.weight"].ravel())[0, 1]
    assert correlation > 0.99


def test_an_adaptive_rate_is_kept_in_proportion():
    model = FNNClassifier(8, random_state=0, **SGD, learning_rate="adaptive", tol=1e9, n_iter_no_change=1)
    for _ in range(4):
        model.partial_fit(X, Y, classes=[0, 1])
    assert model._trainer.learning_rate == pytest.approx(SGD["learning_rate_init"] / 5)
    model.set_params(learning_rate_init=0.5, n_iter_no_change=99).partial_fit(X, Y)
    assert model._trainer.learning_rate == pytest.approx(0.5 / 5)
    model.set_params(learning_rate="constant").partial_fit(X, Y)
    assert model._trainer.learning_rate == pytest.approx(0.5)


def test_masks_of_dropout_go_on():
    """They are counted by step, also by a trainer of another learning rate; another random_state draws others."""
    models = [FNNClassifier(8, random_state=0, dropout=0.5) for _ in range(3)]
    for model in models:
        model.partial_fit(X, Y, classes=[0, 1])
    models[1].set_params(learning_rate_init=0.001 + 1e-18)
    models[2].set_params(random_state=1, shuffle=False)
    models[0].set_params(shuffle=False)
    models[1].set_params(shuffle=False)
    for model in models:
        model.partial_fit(X, Y)
    np.testing.assert_allclose(weights_of(models[1]), weights_of(models[0]), rtol=1e-12)
    assert not np.allclose(weights_of(models[2]), weights_of(models[0]))


@pytest.mark.parametrize("change", [{"loss": "poisson"}, {"alpha": 1000.0}], ids=str)
def test_the_best_of_another_loss_does_not_count(change):
    """No loss is better than one that it cannot reach."""
    y = np.abs(X[:, 0])
    model = FNNRegressor(hidden_layer_sizes=8, random_state=0, warm_start=True, max_iter=30, n_iter_no_change=2)
    model.fit(X, y)
    model.set_params(**change).fit(X, 5 + y)
    assert model.best_loss_ == min(model.loss_curve_[30:])


@pytest.mark.parametrize("missing", ["sklearn", "scipy"])
def test_without_the_extra(missing):
    code = f"""if True:
        import sys
        sys.modules["{missing}"] = None
        try:
            import fnnfast.sklearn
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("pip install 'fnnfast[sklearn]'\n")
