"""What the scikit-learn estimators share with MLPClassifier and MLPRegressor besides answers: weights, curve, tags."""

import copy
import dataclasses
import pickle
import re

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor

import fnnfast as fnn
from fnnfast.sklearn import FNNClassifier, FNNRegressor
from oracles import assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).standard_normal((90, 4))
Y = (X @ [1, -1, 2, 0.5] > 0).astype(int)


# Weights that are set ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
def test_one_array_is_assigned(name, solver):
    """As to MLPClassifier."""
    settings = {"hidden_layer_sizes": (5, 3), "solver": solver, "max_iter": 2, "random_state": 0}
    theirs, ours = MLPClassifier(**settings).fit(X, Y), FNNClassifier(**settings).fit(X, Y)
    for i in (1, -1):
        for model in (theirs, ours):
            array = np.random.default_rng(i + 1).standard_normal(getattr(model, name)[i].shape)
            getattr(model, name)[i] = array
        assert_same_bits(getattr(ours, name)[i], array)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-4, atol=1e-9)
    arrays = getattr(ours, name)
    arrays[1:] = [array + 1 for array in arrays[1:]]
    getattr(theirs, name)[1:] = [array + 1 for array in getattr(theirs, name)[1:]]
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-4, atol=1e-9)
    assert_same_bits(arrays[1], getattr(ours, name)[1])


LOST = {
    "append": lambda arrays: arrays.append(arrays[0]),
    "extend": lambda arrays: arrays.extend(arrays),
    "pop": lambda arrays: arrays.pop(),
    "del": lambda arrays: arrays.__delitem__(0),
    "+=": lambda arrays: arrays.__iadd__(arrays),
    "*=": lambda arrays: arrays.__imul__(2),
    "reverse": lambda arrays: arrays.reverse(),
    "clear": lambda arrays: arrays.clear(),
}


@pytest.mark.parametrize("name", LOST)
def test_no_change_is_lost(name):
    model = FNNClassifier(5, max_iter=1).fit(X, Y)
    with pytest.raises(TypeError, match="expected as many arrays as there are layers, 2"):
        LOST[name](model.coefs_)
    with pytest.raises(ValueError, match="read-only"):
        model.coefs_[0][0, 0] = 1
    with pytest.raises(ValueError, match=r"dense_1.weight: expected shape \(4, 5\), got \(5, 4\)"):
        model.coefs_[0] = model.coefs_[0].T
    with pytest.raises(IndexError):
        model.coefs_[2] = model.coefs_[1]
    with pytest.raises(ValueError, match="arrays: expected 2, one for each of these layers, got 1"):
        model.coefs_ = model.coefs_[:1]


def test_arrays_are_a_list():
    arrays = FNNClassifier(5, max_iter=1).fit(X, Y).coefs_
    for other in (copy.deepcopy(arrays), copy.copy(arrays), pickle.loads(pickle.dumps(arrays)), [*arrays], arrays[:]):
        assert type(other) is list
        assert len(other) == 2
    assert isinstance(arrays, list)


def test_no_quantization_is_lost():
    low = FNNClassifier(5, max_iter=1, dtype="float32").fit(X, Y).network_.quantize(X)
    with pytest.raises(TypeError, match="does not support item assignment"):
        low.quantization["dense_1"] = low.quantization["dense_2"]


# The curve -----------------------------------------------------------------------------------------------------------
CURVES = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "small batches": {"batch_size": 7},
    "two layers": {"hidden_layer_sizes": (6, 5)},
    "early stopping": {"early_stopping": True},
    "no penalty": {"alpha": 0.0},
}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", CURVES)
def test_the_loss_curve_is_theirs(isa, name, sparse):
    """With a penalty that changes fast, to rounding, and so the epoch that training ends with."""
    x = csr_array(X) if sparse else X
    settings = {"hidden_layer_sizes": 8, "alpha": 10.0, "random_state": 0, "max_iter": 60, "tol": 1e-3, **CURVES[name]}
    theirs, ours = MLPClassifier(**settings).fit(x, Y), FNNClassifier(**settings).fit(x, Y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    assert ours.n_iter_ == theirs.n_iter_
    theirs, ours = MLPRegressor(**settings).fit(x, X[:, :2]), FNNRegressor(**settings).fit(x, X[:, :2])
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    assert ours.n_iter_ == theirs.n_iter_


def test_the_penalty_of_maxout_and_slopes():
    """Of all weights, and of nothing else; one step."""
    y = X[:, 0]
    for settings in ({"maxout_pieces": 3}, {"activation": "prelu"}):
        models = [
            FNNRegressor(hidden_layer_sizes=5, max_iter=1, random_state=0, alpha=alpha, batch_size=90, **settings)
            for alpha in (0.0, 2.0)
        ]
        start = clone(models[0]).set_params(learning_rate_init=1e-300).fit(X, y)
        penalty = sum((weight**2).sum() for weight in start.coefs_) / len(X)
        first, second = (model.fit(X, y).loss_ for model in models)
        assert second - first == pytest.approx(penalty, rel=1e-10)


# What they say -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("labels", [["no", "yes"], [3, 7], [False, True]], ids=str)
def test_a_class_is_named_as_it_was_given(labels):
    """By scikit-learn's own words, which name it since 1.7."""
    y = np.array(labels)[[0] * 89 + [1]]
    with pytest.raises(ValueError, match="too few") as theirs:
        train_test_split(X, y, stratify=y)
    with pytest.raises(ValueError, match=re.escape(str(theirs.value))):
        FNNClassifier(early_stopping=True).fit(X, y)


def with_sparse(tags):
    """The tags of an estimator that takes sparse rows, which scikit-learn 1.6.0 does not say of its own."""
    return dataclasses.replace(tags, sparse=True)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_tags_of_regressors(loss):
    theirs, ours = MLPRegressor().__sklearn_tags__(), FNNRegressor(loss=loss).__sklearn_tags__()
    assert ours.target_tags.positive_only == (loss == "poisson")
    assert ours.input_tags == with_sparse(theirs.input_tags)
    assert ours.regressor_tags == theirs.regressor_tags
    assert FNNRegressor(loss=fnn.Poisson()).__sklearn_tags__().target_tags.positive_only


def test_tags_of_classifiers():
    theirs, ours = MLPClassifier().__sklearn_tags__(), FNNClassifier().__sklearn_tags__()
    assert ours.input_tags == with_sparse(theirs.input_tags)
    assert ours.target_tags == theirs.target_tags
    assert ours.classifier_tags == theirs.classifier_tags
