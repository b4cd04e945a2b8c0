"""Quantiles, intervals and draws of distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fnnfast as fnn
from factories import distributions, logits
from fnnfast.distributions import Bernoulli, Categorical, Gaussian
from oracles import assert_same_bits

INF, NAN = np.inf, np.nan

# What is computed in float64 from terms of up to about 100, beside SciPy's way to compute it.
CLOSE = {"rtol": 1e-12, "atol": 1e-13}
every = pytest.mark.parametrize("kind", distributions())


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 9), q=st.floats(0, 1))
def test_a_quantile_is_the_smallest_that_reaches(seed, classes, q):
    z = 3 * np.random.default_rng(seed).standard_normal((4, classes))
    got = Categorical(z)
    cdf = np.cumsum(got.mean, axis=1)
    cdf /= cdf[:, -1:]
    for row, k in zip(cdf, got.quantile(q), strict=True):
        assert row[k] >= q
        assert (row[:k] < q).all()
    bernoulli = Bernoulli(z)
    np.testing.assert_array_equal(bernoulli.quantile(q) == 0, (1 - bernoulli.mean >= q).reshape(bernoulli.shape))


@every
def test_quantiles_of_any_shape(kind):
    got = distributions()[kind]
    levels = np.array([[0.0, 0.1, 0.5], [0.9, 0.99, 1.0]])
    quantiles = got.quantile(levels)
    assert quantiles.shape == (2, 3, *got.shape)
    assert quantiles.dtype == (np.float64 if kind == "gaussian" else np.int64)
    for place, q in np.ndenumerate(levels):
        np.testing.assert_array_equal(quantiles[place], got.quantile(q))
    assert (np.diff(quantiles.reshape(6, -1), axis=0) >= 0).all()
    if kind == "gaussian":
        assert (quantiles[0, 0] == -INF).all()
        assert (quantiles[1, 2] == INF).all()
    else:
        assert (quantiles[0, 0] == 0).all()
    low, high = got.interval(0.98)
    np.testing.assert_array_equal(low, got.quantile(0.01))
    assert (low <= got.quantile(0.5)).all()
    assert (high >= got.quantile(0.5)).all()


@every
def test_an_interval_holds_its_share_of_draws(kind):
    got, n = distributions()[kind], 20_000
    draws = got.sample(n, rng=0)
    assert draws.shape == (n, *got.shape)
    for level in (0.0, 0.5, 0.95):
        low, high = got.interval(level)
        share = ((low <= draws) & (draws <= high)).mean(axis=0)
        off = 5 * np.sqrt(0.25 / n)
        assert (share >= level - off).all()
        if kind == "gaussian":
            assert (share <= level + off).all()


@every
def test_moments_of_draws(kind):
    """Within five standard errors."""
    got, n = distributions()[kind], 20_000
    draws = got.sample(n, rng=1)
    if kind == "categorical":
        draws = np.eye(4)[draws]
    error = np.sqrt(got.variance / n)
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - got.mean), 5 * error)
    if kind == "gaussian":
        np.testing.assert_array_less(np.abs(draws.var(axis=0) / got.variance - 1), 5 * np.sqrt(2 / n))
    # Neither rows and outputs nor one draw and the next hang together; the classes of a row do.
    flat = ((draws - got.mean) / got.std).reshape(n, -1)[:, :: 4 if kind == "categorical" else 1]
    np.testing.assert_array_less(np.abs(np.corrcoef(flat.T) - np.eye(flat.shape[1])), 5 / np.sqrt(n))
    np.testing.assert_array_less(np.abs((flat[1:] * flat[:-1]).mean(axis=0)), 5 / np.sqrt(n))


@pytest.mark.parametrize(("make", "shape", "outcomes"), [(Bernoulli, (6, 3), 2), (Categorical, (6, 4), 4)])
def test_probabilities_of_all_outcomes(make, shape, outcomes):
    """They sum to 1, and the entropy is the mean of -log_prob."""
    got = make(logits(*shape))
    log_p = np.array([got.log_prob(np.full(got.shape, outcome)) for outcome in range(outcomes)])
    np.testing.assert_allclose(np.exp(log_p).sum(axis=0), np.ones(got.shape), **CLOSE)
    np.testing.assert_allclose(-(np.exp(log_p) * log_p).sum(axis=0), got.entropy(), **CLOSE)


@every
def test_seeds(kind):
    got = distributions()[kind]
    draws = got.sample(5, rng=3)
    assert_same_bits(got.sample(5, rng=np.random.default_rng(3)), draws)
    assert (got.sample(5, rng=4) != draws).any()
    rng = np.random.default_rng(3)
    assert (got.sample(5, rng) != got.sample(5, rng)).any()
    assert got.sample().shape == (1, *got.shape)


def test_what_a_seed_draws(dtype):
    """Written out, so that a seed goes on meaning the same draws."""
    z = logits(8, 5, dtype=dtype)
    uniform, gauss = np.random.default_rng(7).random, np.random.default_rng(7).standard_normal
    np.testing.assert_array_equal(Bernoulli(z).sample(3, 7), uniform((3, 8, 5)) < fnn.Sigmoid()(z))
    assert_same_bits(Gaussian(z).sample(3, 7), z + gauss((3, 8, 5), dtype))
    draws = Categorical(z).sample(3, 7)
    uniform = np.random.default_rng(7).random((3, 8))
    cumulative = np.cumsum(fnn.Softmax()(z), axis=1, dtype=np.float64)
    for place, u in np.ndenumerate(uniform):
        row = cumulative[place[1]]
        assert draws[place] == np.searchsorted(row / row[-1], u, side="right")
