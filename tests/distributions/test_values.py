"""Distributions as values: equality, copies, pickles, and what is refused."""

import copy
import pickle

import numpy as np
import pytest

from factories import distributions, logits
from fnnfast.distributions import Bernoulli, Categorical, Gaussian
from oracles import assert_same_bits

INF, NAN = np.inf, np.nan
every = pytest.mark.parametrize("kind", distributions())


# Equality and copies -------------------------------------------------------------------------------------------------
@every
def test_values(kind):
    got = distributions()[kind]
    assert got == distributions()[kind]
    for duplicate in (copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))):
        twin = duplicate(got)
        assert twin == got
        assert_same_bits(twin.sample(4, 0), got.sample(4, 0))
        for array in vars(twin).values():
            assert not array.flags.writeable
    assert all(got != other for name, other in distributions().items() if name != kind)
    assert got != "another kind of thing"
    with pytest.raises(TypeError, match="unhashable"):
        hash(got)
    with pytest.raises(AttributeError, match="immutable: cannot set 'mean'"):
        got.mean = 1
    with pytest.raises(ValueError, match="read-only"):
        got.mean[0] = 1


def test_arrays_are_copied():
    for make in (Bernoulli, Categorical, Gaussian):
        array = logits(4, 3)
        got = make(array)
        before = got.log_prob(np.eye(3)[[0, 1, 2, 0]])
        array[:] = 0
        assert array.flags.writeable
        assert_same_bits(got.log_prob(np.eye(3)[[0, 1, 2, 0]]), before)


def test_repr():
    assert repr(Bernoulli(logits(6, 1, dtype="float32"))) == "<Bernoulli: shape (6,), float32>"
    assert repr(Categorical(logits(6, 3))) == "<Categorical: shape (6,), float64>"
    assert repr(Gaussian(logits(6, 3))) == "<Gaussian: shape (6, 3), float64>"


# Invalid arguments ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Bernoulli(0.5), ValueError, r"logits: expected shape \(B,\) or \(B, O\), got \(\)"),
        (lambda: Bernoulli(np.zeros((2, 2, 2))), ValueError, r"got \(2, 2, 2\)"),
        (lambda: Bernoulli(["a"]), TypeError, "logits: expected an array of real numbers, got dtype <U1"),
        (lambda: Categorical([0.5]), ValueError, r"logits: expected shape \(B, K\), got \(1,\)"),
        (lambda: Categorical(np.zeros((3, 0))), ValueError, r"logits: expected at least one class, got shape \(3, 0\)"),
        (lambda: Gaussian([0.5]), ValueError, r"mean: expected shape \(B, O\), got \(1,\)"),
        (lambda: Gaussian([[1.0]], 0), ValueError, "precision: expected finite numbers > 0, got 0"),
        (lambda: Gaussian([[1.0]], [NAN]), ValueError, "precision: expected finite numbers > 0"),
        (lambda: Gaussian([[1.0]], INF), ValueError, "precision: expected finite numbers > 0"),
        (lambda: Gaussian([[1.0]], "1"), TypeError, "precision: expected an array of real numbers"),
        (
            lambda: Gaussian([[1.0, 2.0]], [1, 1, 1]),
            ValueError,
            r"precision: expected shape \(\), \(2,\) or \(1, 2\), got \(3,\)",
        ),
        (
            lambda: Gaussian.of_log_precision([[1.0, 2.0]], [[1], [1]]),
            ValueError,
            r"log_precision: expected shape \(\), \(2,\) or \(1, 2\), got \(2, 1\)",
        ),
    ],
)
def test_invalid_parameters(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("kind", "y", "error", "message"),
    [
        ("bernoulli", [0, 1, 2, 0, 0, 0], ValueError, "y: expected labels 0 and 1, got "),
        ("bernoulli", [0, 1], ValueError, "y: expected 6 targets, one for each row, got 2"),
        ("bernoulli", np.zeros((6, 2)), ValueError, r"y: expected shape \(B,\) or \(B, 1\), got \(6, 2\)"),
        ("bernoullis", np.zeros(6), ValueError, r"y: expected shape \(B, 3\), got \(6,\)"),
        ("categorical", [0, 1, 2, 3, 4, 0], ValueError, "y: expected class indices 0 to 3, got 0 to 4"),
        ("categorical", [0, 1, 2, 3, -1, 0], ValueError, "y: expected class indices 0 to 3, got -1 to 3"),
        ("categorical", [0.0] * 6, TypeError, "y: expected integers for class indices"),
        ("categorical", [0] * 7, ValueError, "y: expected 6 targets, one for each row, got 7"),
        ("categorical", np.ones((6, 4)), ValueError, "y: expected one-hot rows"),
        ("gaussian", np.zeros((6, 1)), ValueError, r"y: expected shape \(B, 2\), got \(6, 1\)"),
        ("gaussian", np.zeros((1, 2)), ValueError, "y: expected 6 targets, one for each row, got 1"),
        ("gaussian", np.full((6, 2), NAN), ValueError, "y: expected finite targets"),
        ("gaussian", None, TypeError, "y: expected an array of real numbers"),
    ],
)
def test_invalid_targets(kind, y, error, message):
    with pytest.raises(error, match=message):
        distributions()[kind].log_prob(y)


@every
def test_bad_arguments(kind):
    got = distributions()[kind]
    for q in (-0.1, 1.1, NAN, [0.5, 2]):
        with pytest.raises(ValueError, match=r"q: expected numbers in \[0, 1\], got "):
            got.quantile(q)
    with pytest.raises(TypeError, match="q: expected an array of real numbers"):
        got.quantile("0.5")
    for level in (1, -0.1, NAN):
        with pytest.raises(ValueError, match=r"level: expected a number in \[0, 1\)"):
            got.interval(level)
    with pytest.raises(ValueError, match="n: expected an integer >= 1, got 0"):
        got.sample(0)
    with pytest.raises(TypeError, match=r"n: expected an integer >= 1, got 1\.5"):
        got.sample(1.5)
