"""Output heads as distributions: against scipy.stats, in the limits, by their draws, and as networks predict them."""

import copy
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

import fnnfast as fnn
from fnnfast.distributions import Bernoulli, Categorical, Gaussian
from oracles import assert_same_bits, eps, normal

INF, NAN = np.inf, np.nan

# What is computed in float64 from terms of up to about 100, beside SciPy's way to compute it.
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def logits(*shape, dtype="float64", scale=4.0):
    return (scale * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


def each():
    """One distribution of each kind and shape."""
    return {
        "bernoulli": Bernoulli(logits(6)),
        "bernoullis": Bernoulli(logits(6, 3)),
        "categorical": Categorical(logits(6, 4)),
        "gaussian": Gaussian(logits(6, 2), [0.5, 4.0]),
    }


every = pytest.mark.parametrize("kind", each())


# Beside scipy.stats --------------------------------------------------------------------------------------------------
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


# Quantiles and draws -------------------------------------------------------------------------------------------------
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
    got = each()[kind]
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
    got, n = each()[kind], 20_000
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
    got, n = each()[kind], 20_000
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
    got = each()[kind]
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


# As networks predict them --------------------------------------------------------------------------------------------
def network(head, units, dtype="float32"):
    return fnn.Sequential([fnn.Input(4, 5), fnn.Dense(33, "swish"), fnn.Dense(units, head)], dtype=dtype, seed=0)


def precisions(net, x):
    return [net] if net.dtype == np.float64 else [net, net.astype("bfloat16"), net.quantize(x)]


HEADS = [("softmax", 7), ("sigmoid", 3), ("sigmoid", 1), ("identity", 2), ("tanh", 2)]
KINDS = {"softmax": Categorical, "sigmoid": Bernoulli}


@pytest.mark.parametrize(("head", "units"), HEADS)
def test_what_a_network_predicts(isa, dtype, head, units):
    x = normal(np.random.default_rng(1), dtype, 40, 4, 5)
    for net in precisions(network(head, units, dtype), x):
        got = net.distribution(x)
        assert type(got) is KINDS.get(head, Gaussian)
        assert_same_bits(got.mean.reshape(40, units), net(x))
        assert_same_bits(got.mode, net.predict(x))
        assert_same_bits(got.sample(3, rng=5), net.sample(x, 3, rng=5))
        if head in KINDS:
            assert_same_bits(got.logits.reshape(40, units), net.logits(x))
        else:
            assert (got.variance == 1).all()
        assert net.distribution(x.tolist()).shape == got.shape
        assert net.distribution(np.empty((0, 20))).sample(2).shape == (2, 0, *got.shape[1:])


@pytest.mark.parametrize(("head", "units"), HEADS)
def test_the_loss_is_the_mean_of_minus_log_prob(head, units):
    """Of the squared error a multiple plus a constant."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40, 20))
    net = network(head, units, "float64")
    y = {"softmax": rng.integers(0, units, 40), "sigmoid": rng.integers(0, 2, (40, units))}.get(head)
    y = rng.standard_normal((40, units)) if y is None else y
    loss, got = net.evaluate(x, y)["loss"], net.distribution(x)
    if head in KINDS:
        np.testing.assert_allclose(-got.log_prob(y).sum() / 40, loss, rtol=1e-12)
    else:
        np.testing.assert_allclose(-got.log_prob(y).mean(), (loss + np.log(2 * np.pi)) / 2, rtol=1e-12)


def test_a_gaussian_head_with_a_precision(dtype):
    net, x = network("identity", 2, dtype), normal(np.random.default_rng(3), dtype, 9, 20)
    for precision in (4, 4.0, np.float32(4), [4, 0.25], np.array([4, 0.25])):
        got = net.distribution(x, precision=precision)
        assert got == Gaussian(net(x), precision)
        assert_same_bits(got.mean, net(x))
        assert got.sample(3, 0).dtype == dtype
    draws = net.distribution(x, precision=[4, 0.25]).sample(20_000, rng=0)
    np.testing.assert_array_less(np.abs(draws.var(axis=0) * [4, 0.25] - 1), 5 * np.sqrt(2 / 20_000))


def test_an_array_of_bfloat16():
    """The mean is not rounded to it, as the outputs are."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = normal(np.random.default_rng(4), "float32", 9, 20).astype(bfloat16)
    for head, units in HEADS:
        for net in precisions(network(head, units), x.astype("float32")):
            assert net.distribution(x) == net.distribution(x.astype("float32"))
            assert net.distribution(x).mean.dtype == np.float32


def test_threads_and_batches_do_not_show():
    net, x = network("softmax", 7), normal(np.random.default_rng(5), "float32", 300, 20)
    expected = net.distribution(x)
    with fnn.num_threads(1):
        assert net.distribution(x) == expected
    for i in (0, 7, 299):
        assert_same_bits(net.distribution(x[i : i + 1]).mean[0], expected.mean[i])


# Logit and logistic --------------------------------------------------------------------------------------------------
def test_logistic(dtype):
    z = np.concatenate([[-INF, INF, NAN, 0], np.linspace(-800, 800, 1601)]).astype(dtype)
    assert_same_bits(fnn.logistic(z), fnn.Sigmoid()(z))
    assert fnn.logistic(0).shape == ()


def test_logit(dtype):
    """Within 3 ulp in float64; float32 is that, rounded."""
    rng = np.random.default_rng(0)
    near_half = 0.5 + rng.uniform(-1, 1, 300) * 2.0 ** rng.integers(-30, -1, 300)
    p = np.concatenate([rng.random(300), 10.0 ** -rng.uniform(0, 300, 300), near_half]).astype(dtype)
    p = np.concatenate([p, 1 - p, [0.25, np.nextafter(dtype.type(0.25), 0), 5e-324]]).astype(dtype)
    p = p[(p > 0) & (p < 1)]
    got = fnn.logit(p)
    assert got.dtype == dtype
    with mpmath.workdps(360):
        exact = np.array([float(mpmath.log(mpmath.mpf(v) / (1 - mpmath.mpf(v)))) for v in p.tolist()])
    ulp = np.spacing(np.abs(exact).astype(dtype)).astype(np.float64)
    off = np.abs(got - exact)[exact != 0] / ulp[exact != 0]
    assert off.max() <= (3 if dtype == np.float64 else 0.51)
    assert (got[exact == 0] == 0).all()
    np.testing.assert_array_equal(fnn.logit(np.array([0, 1, 0.5, NAN], dtype)), [-INF, INF, 0, NAN])


@given(z=st.floats(-30, 30), p=st.floats(0, 1))
def test_logit_and_logistic_are_inverses(z, p):
    """But for rounding: an error of z counts |z| times in p, one of p counts 1 / (1 - p) = 1 + exp(z) times in z."""
    off = 8 * eps("float64")
    assert abs(fnn.logistic(fnn.logit(p)) - p) <= off * p * max(1, -np.log(p or 1)) + np.finfo(float).tiny
    assert abs(fnn.logit(fnn.logistic(z)) - z) <= off * (1 + abs(z) + np.exp(z))


def test_what_logit_takes():
    assert fnn.logit([0, 1]).tolist() == [-INF, INF]
    assert fnn.logit(True).tolist() == INF
    assert fnn.logit(np.zeros((2, 0, 3), "float32")).shape == (2, 0, 3)
    assert fnn.logit(np.float16(0.25)).dtype == np.float64
    strided = np.linspace(0, 1, 20, dtype=">f4")[::2]
    assert_same_bits(fnn.logit(strided), fnn.logit(strided.astype("float32")))
    for p in (-1e-300, 1.0000001, INF, -INF, 2, [0.5, -0.5]):
        with pytest.raises(ValueError, match=r"p: expected numbers in \[0, 1\], got others"):
            fnn.logit(p)
    with pytest.raises(TypeError, match="p: expected an array of real numbers, got dtype complex128"):
        fnn.logit(0.5 + 0j)


# As objects ----------------------------------------------------------------------------------------------------------
@every
def test_values(kind):
    got = each()[kind]
    assert got == each()[kind]
    for duplicate in (copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))):
        twin = duplicate(got)
        assert twin == got
        assert_same_bits(twin.sample(4, 0), got.sample(4, 0))
        for array in vars(twin).values():
            assert not array.flags.writeable
    assert all(got != other for name, other in each().items() if name != kind)
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


# What is refused -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Bernoulli(0.5), ValueError, r"logits: expected shape \(B,\) or \(B, O\), got \(\)"),
        (lambda: Bernoulli(np.zeros((2, 2, 2))), ValueError, r"got \(2, 2, 2\)"),
        (lambda: Bernoulli(["a"]), TypeError, "logits: expected an array of real numbers, got dtype <U1"),
        (lambda: Categorical([0.5]), ValueError, r"logits: expected shape \(B, K\), got \(1,\)"),
        (lambda: Categorical(np.zeros((3, 0))), ValueError, r"logits: expected at least one class, got shape \(3, 0\)"),
        (lambda: Gaussian([0.5]), ValueError, r"mean: expected shape \(B, O\), got \(1,\)"),
        (lambda: Gaussian([[1.0]], 0), ValueError, "precision: expected finite numbers > 0, got others"),
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
def test_parameters_of_none(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("kind", "y", "error", "message"),
    [
        ("bernoulli", [0, 1, 2, 0, 0, 0], ValueError, "y: expected labels 0 and 1, got other values"),
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
def test_targets_of_none(kind, y, error, message):
    with pytest.raises(error, match=message):
        each()[kind].log_prob(y)


@every
def test_bad_arguments(kind):
    got = each()[kind]
    for q in (-0.1, 1.1, NAN, [0.5, 2]):
        with pytest.raises(ValueError, match=r"q: expected numbers in \[0, 1\], got others"):
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


def test_networks_that_predict_none():
    x = np.ones((2, 20))
    for head in ("step", "sign"):
        with pytest.raises(ValueError, match=f"a {head} head predicts no distribution"):
            network(head, 2).distribution(x)
    for head in ("softmax", "sigmoid"):
        for precision in (1.0, [1, 2]):
            with pytest.raises(ValueError, match=f"precision: expected None for a {head} head, which is no Gaussian"):
                network(head, 2).distribution(x, precision=precision)
    net = network("identity", 2)
    for precision in (0, -1.0, NAN, [1, 0]):
        with pytest.raises(ValueError, match="precision: expected finite numbers > 0"):
            net.distribution(x, precision=precision)
    with pytest.raises(ValueError, match=r"precision: expected shape .*, got \(3,\)"):
        net.distribution(x, precision=[1, 2, 3])
    with pytest.raises(ValueError, match=r"x: expected shape \(B, 4, 5\) or \(B, 20\), got \(2, 19\)"):
        net.distribution(np.ones((2, 19)))
    with pytest.raises(ValueError, match="the probabilities contain NaN"):
        network("sigmoid", 1).sample(x * NAN)


class OnGPU:
    """What a CuPy array looks like from here."""

    __cuda_array_interface__ = {"shape": (2, 20), "typestr": "<f4", "data": (0, False), "version": 3}  # noqa: RUF012


def test_gpu_arrays():
    for answer in (network("softmax", 2), fnn.Ensemble([network("softmax", 2)])):
        with pytest.raises(TypeError, match=r"got a GPU array \(x\)"):
            answer.distribution(OnGPU())
    with pytest.raises(TypeError, match=r"got a GPU array \(x\)"):
        fnn.Ensemble([network("softmax", 2)])(OnGPU())
