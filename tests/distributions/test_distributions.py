"""Distributions beside scipy.stats, and in the limits."""

import mpmath
import numpy as np
import pytest
from scipy import special, stats

import fnnfast as fnn
from factories import logits, normal
from fnnfast.distributions import Bernoulli, Categorical, Gaussian
from oracles import assert_same_bits, eps

INF, NAN = np.inf, np.nan

# What is computed in float64 from terms of up to about 100, beside SciPy's way to compute it.
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


# Compared with scipy.stats -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(50,), (50, 3)])
def test_bernoulli(dtype, shape):
    z = logits(*shape, dtype=dtype)
    got, expected = Bernoulli(z), stats.bernoulli(special.expit(z.astype("float64")))
    assert got.shape == shape
    assert got.mean.dtype == dtype
    np.testing.assert_allclose(got.mean, expected.mean(), rtol=2 * eps(dtype))
    assert_same_bits(got.mean, fnn.Sigmoid()(z))
    assert_same_bits(got.probabilities, got.mean)
    np.testing.assert_allclose(got.variance, expected.var(), **CLOSE)
    np.testing.assert_allclose(got.std, expected.std(), **CLOSE)
    np.testing.assert_allclose(got.entropy(), expected.entropy(), **CLOSE)
    np.testing.assert_allclose(got.log_probabilities, expected.logpmf(1), **CLOSE)
    for y in (np.zeros(shape, bool), np.ones(shape, int), np.random.default_rng(1).integers(0, 2, shape) * 1.0):
        np.testing.assert_allclose(got.log_prob(y), expected.logpmf(y), **CLOSE)
    for q in (0.001, 0.1, 0.5, 0.9, 0.999):
        np.testing.assert_array_equal(got.quantile(q), expected.ppf(q))
    np.testing.assert_array_equal(got.interval(0.5), expected.interval(0.5))
    np.testing.assert_array_equal(got.mode, (z >= 0).astype(int))


def test_one_bernoulli_a_row():
    """(B, 1), as a network has it, is (B,), and so are the targets."""
    column, vector = Bernoulli(logits(5, 1)), Bernoulli(logits(5))
    assert column == vector
    assert column.shape == column.mean.shape == column.entropy().shape == (5,)
    y = np.array([0, 1, 1, 0, 1])
    assert_same_bits(column.log_prob(y), column.log_prob(y[:, None]))
    assert column.log_prob(y).shape == (5,)


def test_categorical(dtype):
    z = logits(50, 7, dtype=dtype)
    got, p = Categorical(z), special.softmax(z.astype("float64"), axis=1)
    assert got.shape == (50,)
    assert_same_bits(got.mean, fnn.Softmax()(z))
    assert_same_bits(got.probabilities, got.mean)
    np.testing.assert_allclose(got.log_probabilities, special.log_softmax(z.astype("float64"), axis=1), **CLOSE)
    np.testing.assert_allclose(got.variance, p * (1 - p), **CLOSE)
    np.testing.assert_allclose(got.std, np.sqrt(p * (1 - p)), **CLOSE)
    np.testing.assert_allclose(got.entropy(), stats.entropy(p, axis=1), **CLOSE)
    y = np.arange(50) % 7
    for targets in (y, np.eye(7)[y], y.astype("uint8")):
        np.testing.assert_allclose(got.log_prob(targets), np.log(p[np.arange(50), y]), **CLOSE)
    for q in (0.001, 0.3, 0.999):
        expected = [stats.rv_discrete(values=(range(7), row)).ppf(q) for row in p]
        np.testing.assert_array_equal(got.quantile(q), expected)
    np.testing.assert_array_equal(got.mode, z.argmax(axis=1))


@pytest.mark.parametrize("shape", [(), (3,), (20, 3)])
def test_gaussian(dtype, shape):
    mean = logits(20, 3, dtype=dtype)
    precision = np.random.default_rng(1).uniform(0.1, 9, shape)
    expected = stats.norm(mean.astype("float64"), 1 / np.sqrt(precision))
    y = normal(np.random.default_rng(2), dtype, 20, 3)
    for got in (Gaussian(mean, precision), Gaussian.of_log_precision(mean, np.log(precision))):
        assert got.shape == got.variance.shape == (20, 3)
        assert_same_bits(got.mean, mean)
        assert_same_bits(got.mode, mean)
        np.testing.assert_allclose(got.variance, np.broadcast_to(expected.var(), (20, 3)), **CLOSE)
        np.testing.assert_allclose(got.std, np.broadcast_to(expected.std(), (20, 3)), **CLOSE)
        np.testing.assert_allclose(got.entropy(), np.broadcast_to(expected.entropy(), (20, 3)), **CLOSE)
        np.testing.assert_allclose(got.log_prob(y), expected.logpdf(y), **CLOSE)
        for q in (1e-9, 0.3, 0.5, 0.999):
            np.testing.assert_allclose(got.quantile(q), expected.ppf(q), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(got.interval(), expected.interval(0.95), rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(got.interval(0.5), expected.interval(0.5), rtol=1e-11, atol=1e-11)


def test_a_precision_keeps_its_digits():
    assert Gaussian([[0.0]]).variance.tolist() == [[1.0]]
    assert Gaussian([[0.0]], 49).variance.tolist() == [[1 / 49]]
    assert Gaussian([[0.0, 0.0]], [4, 0.25]).std.tolist() == [[0.5, 2.0]]


# Limits --------------------------------------------------------------------------------------------------------------
def test_bernoulli_where_probabilities_are_rounded(dtype):
    z = [-800, -40, 40, 800]
    got = Bernoulli(np.array(z, dtype))
    with mpmath.workdps(400):
        log_p = [float(-mpmath.log1p(mpmath.exp(-v))) for v in z]
        p = [1 / (1 + mpmath.exp(-v)) for v in z]
        entropy = [float(-a * mpmath.log(a) - (1 - a) * mpmath.log1p(-a)) for a in p]
        variance = [float(a * (1 - a)) for a in p]
    np.testing.assert_allclose(got.log_prob(np.ones(4)), log_p, rtol=1e-14)
    np.testing.assert_allclose(got.log_prob(np.zeros(4)), log_p[::-1], rtol=1e-14)
    np.testing.assert_allclose(got.entropy(), entropy, rtol=1e-14)
    np.testing.assert_allclose(got.variance, variance, rtol=1e-14)


def test_categorical_where_probabilities_are_rounded(dtype):
    got = Categorical(np.array([[0, -800, -1000], [3e38, -3e38, 3e38]], dtype))
    assert got.log_prob([1, 1]).tolist() == [-800, -2 * float(np.array(3e38, dtype))]
    assert got.log_prob([0, 0]).tolist() == [0, -np.log(2)]
    np.testing.assert_allclose(got.entropy(), [0, np.log(2)])


def test_infinite_logits(dtype):
    got = Bernoulli(np.array([-INF, INF], dtype))
    assert got.mean.tolist() == [0, 1]
    assert got.log_prob([1, 1]).tolist() == [-INF, 0]
    assert got.log_prob([0, 0]).tolist() == [0, -INF]
    assert got.entropy().tolist() == got.variance.tolist() == [0, 0]
    assert (got.sample(100, 0) == [0, 1]).all()
    assert got.quantile([0.01, 1]).tolist() == [[0, 1], [0, 1]]
    got = Categorical(np.array([[0, 0, -INF], [INF, 0, -INF], [INF, 1, INF], [-INF] * 3], dtype))
    third = np.log(3)
    expected = np.array([[-np.log(2)] * 2 + [-INF], [0, -INF, -INF], [-np.log(2), -INF, -np.log(2)], [-third] * 3])
    np.testing.assert_allclose(got.log_probabilities, expected, rtol=1e-15)
    np.testing.assert_allclose(got.mean, np.exp(expected), rtol=2 * eps(dtype))
    np.testing.assert_allclose(got.entropy(), [np.log(2), 0, np.log(2), third], rtol=1e-15)
    np.testing.assert_allclose(got.variance, np.exp(expected) * (1 - np.exp(expected)), rtol=1e-15)
    assert (got.sample(100, 0)[:, 1] == 0).all()


def test_extreme_precisions():
    """Of a log precision whose exponential is 0 or infinite: a density that is nowhere or in one point."""
    got = Gaussian.of_log_precision([[1.0, 1.0, 1.0, 1.0]], [[2000, INF, -2000, NAN]])
    np.testing.assert_array_equal(got.variance, [[0, 0, INF, NAN]])
    np.testing.assert_array_equal(got.log_prob([[1.0] * 4]), [[INF, INF, -INF, NAN]])
    np.testing.assert_array_equal(got.log_prob([[2.0] * 4]), [[-INF, -INF, -INF, NAN]])
    np.testing.assert_array_equal(got.entropy(), [[-INF, -INF, INF, NAN]])
    np.testing.assert_array_equal(got.quantile(0.9), [[1, 1, INF, NAN]])
    assert got.sample(9, 0)[:, 0, 0].tolist() == [1] * 9
    far = Gaussian([[0.0]], 1e300)
    assert far.log_prob([[1e300]]).tolist() == [[-INF]]


def test_nan():
    """It stays in its row, and is no class."""
    gaussian = Gaussian([[NAN], [0]])
    for array in (gaussian.log_prob([0, 0]), gaussian.quantile(0.5), gaussian.sample(1, 0)[0]):
        assert np.isnan(array[:, 0]).tolist() == [True, False]
    for got in (Bernoulli([NAN, 0]), Categorical([[0, NAN], [0, 0]])):
        for array in (got.log_prob([0, 1]), got.entropy()):
            assert np.isnan(array).tolist() == [True, False]
        for method, arguments in ((got.sample, ()), (got.quantile, (0.5,))):
            with pytest.raises(ValueError, match="the probabilities contain NaN: there is nothing to sample from"):
                method(*arguments)
