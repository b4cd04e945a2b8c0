"""Data that the scikit-learn estimators take, what they answer, and what they refuse."""

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import fnnfast as fnn
from factories import diabetes, digit_labels, digits
from fnnfast.sklearn import FNNClassifier, FNNRegressor
from oracles import assert_same_bits

# Most runs here are short of convergence on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = digits()
LABELS = digit_labels()
DIABETES, PROGRESSION = diabetes()


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
    ("dtype", "float16", "dtype: expected 'float32', 'float64' or 'bfloat16', got 'float16'"),
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
