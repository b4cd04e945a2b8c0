"""Ensembles: the average that they answer, the mixture that they predict, and which networks make one."""

import copy
import pickle

import numpy as np
import pytest
from scipy import special

import fnnfast as fnn
from factories import ANSWERS, LAYOUTS, answering_network, normal, targets
from fnnfast.distributions import Bernoulli, Categorical, Gaussian
from oracles import assert_same_bits, eps

heads = pytest.mark.parametrize(("head", "units"), ANSWERS)


def networks(head="softmax", units=7, dtype="float32", n=3):
    return [answering_network(head, units, dtype, seed) for seed in range(n)]


def data(rows=40, dtype="float32", scale=1.0):
    return normal(np.random.default_rng(1), dtype, rows, 20) * np.dtype(dtype).type(scale)


# Answers -------------------------------------------------------------------------------------------------------------
@heads
def test_the_average(isa, dtype, head, units):
    nets, x = networks(head, units, dtype), data(dtype=dtype)
    answer = fnn.Ensemble(nets)(x)
    # In float64 and in order, rounded once.
    expected = ((nets[0](x).astype("float64") + nets[1](x)) + nets[2](x)) / 3
    assert_same_bits(answer, expected.astype(dtype))
    assert_same_bits(fnn.Ensemble(nets)(x.reshape(40, 4, 5).tolist()), fnn.Ensemble(nets)(x.astype("float64")))


@heads
def test_an_ensemble_of_one(dtype, head, units):
    net, x, y = answering_network(head, units, dtype), data(dtype=dtype), targets(head, units)
    one = fnn.Ensemble([net])
    assert_same_bits(one(x), net(x))
    assert_same_bits(one.predict(x), net.predict(x))
    assert_same_bits(one.sample(x, 3, rng=0), net.sample(x, 3, rng=0))
    assert_same_bits(one.distribution(x).mean, net.distribution(x).mean)
    np.testing.assert_allclose(one.distribution(x).log_prob(y), net.distribution(x).log_prob(y), rtol=1e-12)
    assert one.evaluate(x, y) == pytest.approx(net.evaluate(x, y), rel=32 * eps(dtype))


def test_batches_and_threads_do_not_show(dtype):
    ensemble, x = fnn.Ensemble(networks(dtype=dtype)), data(300, dtype)
    whole = ensemble(x)
    with fnn.num_threads(1):
        assert_same_bits(ensemble(x), whole)
    for first, last in ((0, 1), (7, 8), (3, 100)):
        assert_same_bits(ensemble(x[first:last]), whole[first:last])


def test_an_empty_batch():
    for head, units in ANSWERS:
        ensemble, x = fnn.Ensemble(networks(head, units)), np.empty((0, 4, 5))
        assert ensemble(x).shape == (0, units)
        shape = (0,) if head == "softmax" or (head, units) == ("sigmoid", 1) else (0, units)
        assert ensemble.predict(x).shape == ensemble.distribution(x).shape == shape
        assert ensemble.sample(x, 3).shape == (3, *shape)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("read_only", "byte_swapped")])
def test_out(layout):
    ensemble, x = fnn.Ensemble(networks()), data(9)
    out = LAYOUTS[layout](np.full((9, 7), np.nan, "float32"))
    assert ensemble(x, out=out) is out
    assert_same_bits(out, ensemble(x))


def test_networks_of_any_precision_and_input_shape():
    x = data()
    wide, flat = answering_network(dtype="float64", seed=1), answering_network(seed=2, inputs=(20,))
    low = [answering_network().astype("bfloat16"), answering_network().quantize(x)]
    narrow = fnn.Ensemble([*low, flat])
    assert narrow.dtype == narrow(x).dtype == narrow.distribution(x).mean.dtype == np.float32
    mixed = fnn.Ensemble([flat, wide])
    assert mixed.dtype == mixed(x).dtype == mixed.distribution(x).mean.dtype == np.float64
    # Each gets x in its own dtype, and a float64 x is not cut to float32 for all.
    x64 = data(dtype="float64")
    assert_same_bits(mixed(x64), (flat(x64).astype("float64") + wide(x64)) / 2)
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    assert_same_bits(narrow(x.astype(bfloat16)), narrow(x.astype(bfloat16).astype("float32")))


# Predictions ---------------------------------------------------------------------------------------------------------
@heads
def test_the_distribution_goes_with_the_answer(dtype, head, units):
    ensemble, x = fnn.Ensemble(networks(head, units, dtype)), data(dtype=dtype)
    got = ensemble.distribution(x)
    assert type(got) is {"softmax": Categorical, "sigmoid": Bernoulli}.get(head, Gaussian)
    assert_same_bits(got.mean.reshape(40, units), ensemble(x))
    assert_same_bits(got.mode, ensemble.predict(x))
    assert_same_bits(got.sample(5, rng=3), ensemble.sample(x, 5, rng=3))


@pytest.mark.parametrize(("head", "units"), ANSWERS[:3])
@pytest.mark.parametrize("scale", [1, 3000])
def test_probabilities_are_averaged(head, units, scale):
    """In logarithms, so that what no network thinks possible in float64 still has one."""
    nets, x, y = networks(head, units, "float64"), data(dtype="float64", scale=scale), targets(head, units)
    got = fnn.Ensemble(nets).distribution(x)
    of_each = [net.distribution(x).log_prob(y) for net in nets]
    expected = special.logsumexp(of_each, axis=0) - np.log(3)
    np.testing.assert_allclose(got.log_prob(y), expected, rtol=1e-12, atol=1e-14)
    if scale == 3000:
        assert expected.min() < -1000  # else nothing was tried
    else:
        np.testing.assert_allclose(got.log_prob(y), np.log(np.mean(np.exp(of_each), axis=0)), rtol=1e-12)
    # Jensen's inequality, and the concavity of entropy.
    assert (got.log_prob(y) >= np.mean(of_each, axis=0) - 1e-12).all()
    assert (got.entropy() >= np.mean([net.distribution(x).entropy() for net in nets], axis=0) - 1e-12).all()


def test_certain_networks_that_disagree():
    """Infinite logits on both sides: a fair coin, and no NaN."""
    nets = []
    for bias in (np.inf, -np.inf):
        net = fnn.Sequential([fnn.Input(1), fnn.Dense(2, "sigmoid")], seed=0)
        net.parameters["dense_1.bias"] = [bias, np.inf]
        nets.append(net)
    got = fnn.Ensemble(nets).distribution([[0.0]])
    assert got.mean.tolist() == [[0.5, 1.0]]
    np.testing.assert_allclose(got.log_prob([[1, 1]]), [[-np.log(2), 0]])
    assert got.log_prob([[1, 0]])[0, 1] == -np.inf
    assert got.entropy()[0, 1] == 0


@pytest.mark.parametrize("precision", [None, 4.0, [0.5, 20.0]])
def test_the_law_of_total_variance(dtype, precision):
    nets, x = networks("identity", 2, dtype, n=4), data(dtype=dtype)
    got = fnn.Ensemble(nets).distribution(x, precision=precision)
    means = np.array([net(x) for net in nets], "float64")
    noise = np.broadcast_to(1 / np.array(1.0 if precision is None else precision), (40, 2))
    np.testing.assert_allclose(got.variance, noise + means.var(axis=0), rtol=1e-12)
    # Draws of a network taken at random have this mean and variance; the fourth moment bounds the error of the latter.
    rng, n = np.random.default_rng(0), 20_000
    draws = means[rng.integers(0, 4, n)] + np.sqrt(noise) * rng.standard_normal((n, 40, 2))
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - got.mean), 5 * got.std / np.sqrt(n))
    fourth = ((draws - got.mean) ** 4).mean(axis=0)
    np.testing.assert_array_less(np.abs(draws.var(axis=0) - got.variance), 5 * np.sqrt(fourth / n))


def test_samples():
    ensemble, x, n = fnn.Ensemble(networks()), data(5), 20_000
    share = np.eye(7)[ensemble.sample(x, n, rng=0)].mean(axis=0)
    p = ensemble(x)
    np.testing.assert_array_less(np.abs(share - p), 5 * np.sqrt(p * (1 - p) / n))


# Evaluation ----------------------------------------------------------------------------------------------------------
@heads
def test_evaluate(dtype, head, units):
    ensemble, x, y = fnn.Ensemble(networks(head, units, dtype)), data(dtype=dtype), targets(head, units)
    answer = ensemble(x).astype("float64")
    if head == "softmax":
        loss, score = -np.log(answer[np.arange(40), y]).mean(), ("accuracy", (ensemble.predict(x) == y).mean())
        assert ensemble.evaluate(x, np.eye(units)[y]) == ensemble.evaluate(x, y)
    elif head == "sigmoid":
        loss = -(y * np.log(answer) + (1 - y) * np.log(1 - answer)).sum(axis=1).mean()
        score = ("accuracy", (ensemble.predict(x).reshape(40, units) == y).mean())
    else:
        loss = ((answer - y) ** 2).mean()
        score = ("r2", (1 - ((answer - y) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)).mean())
    got = ensemble.evaluate(x, y)
    assert got == pytest.approx({"loss": loss, score[0]: score[1]}, rel=64 * eps(dtype))
    assert all(type(value) is float for value in got.values())
    # No worse than its networks on average, and here better.
    assert got["loss"] < np.mean([net.evaluate(x, y)["loss"] for net in ensemble])


def test_it_learns_what_its_networks_do():
    """Noisy labels, networks that learn the noise by heart: the average forgets some of it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 2))
    y = (x[:, 0] * x[:, 1] > 0) ^ (rng.random(400) < 0.2)
    layers = [fnn.Input(2), fnn.Dense(64, "tanh"), fnn.Dense(32, "tanh"), fnn.Dense(1, "sigmoid")]
    nets = [fnn.Sequential(layers, seed=seed) for seed in range(5)]
    for seed, net in enumerate(nets):
        net.fit(x[:200], y[:200], optimizer=fnn.Adam(0.02), epochs=200, seed=seed, progress=False)
    ensemble = fnn.Ensemble(nets)
    alone = [net.evaluate(x[200:], y[200:])["loss"] for net in nets]
    assert ensemble.evaluate(x[200:], y[200:])["loss"] < min(alone)
    assert ensemble.evaluate(x[200:], y[200:])["accuracy"] > 0.7


# Copies --------------------------------------------------------------------------------------------------------------
def test_what_it_is_made_of():
    nets = networks()
    ensemble = fnn.Ensemble(nets)
    assert ensemble.networks == tuple(nets)
    assert len(ensemble) == 3
    assert list(ensemble) == nets
    assert (ensemble.input, ensemble.outputs, ensemble.head) == (nets[0].input, 7, nets[0].head)
    assert repr(ensemble) == "<Ensemble: 3 networks, 20 inputs, 7 outputs, a softmax head, float32>"
    assert repr(fnn.Ensemble(nets[:1])).startswith("<Ensemble: 1 network, ")
    assert ensemble == fnn.Ensemble(tuple(nets))
    assert ensemble != fnn.Ensemble(nets[::-1])
    assert hash(ensemble) == hash(fnn.Ensemble(nets))
    with pytest.raises(AttributeError, match="Ensemble is immutable: cannot set 'networks'"):
        ensemble.networks = ()
    nets.pop()
    assert len(ensemble) == 3


def test_it_holds_the_networks_themselves():
    nets, x = networks(), data()
    ensemble = fnn.Ensemble(nets)
    before = ensemble(x)
    nets[1].parameters["dense_2.bias"] = np.arange(7)
    assert (ensemble(x) != before).any()
    assert_same_bits(ensemble(x), fnn.Ensemble(nets)(x))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies(duplicate):
    x = data()
    ensemble = fnn.Ensemble([answering_network(), answering_network(seed=1).astype("bfloat16")])
    twin = duplicate(ensemble)
    assert [type(net) for net in twin] == [fnn.Sequential, fnn.InferenceNetwork]
    assert_same_bits(twin(x), ensemble(x))


# Invalid arguments ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: answering_network(), TypeError, r"networks: expected a sequence of networks, got Sequential\("),
        (lambda: iter(networks()), TypeError, "networks: expected a sequence of networks, got <list_iterator"),
        (lambda: [], ValueError, "networks: expected at least one, got none"),
        (lambda: [answering_network(), "net"], TypeError, r"networks\[1\]: expected a Sequential, got 'net'"),
        (lambda: "ab", TypeError, r"networks\[0\]: expected a Sequential, got 'a'"),
        (
            lambda: [answering_network(), answering_network(inputs=(21,))],
            ValueError,
            r"networks\[1\]: expected 20 inputs, as networks\[0\] has, got 21 inputs",
        ),
        (
            lambda: [answering_network(), answering_network(), answering_network(units=6)],
            ValueError,
            r"networks\[2\]: expected 7 outputs, as networks\[0\] has, got 6 outputs",
        ),
        (
            lambda: [answering_network(), answering_network("sigmoid")],
            ValueError,
            r"networks\[1\]: expected a softmax head, as networks\[0\] has, got a sigmoid head",
        ),
        (
            lambda: [answering_network("sign"), answering_network("sign")],
            ValueError,
            r"networks\[0\]: expected a head that predicts a distribution, got a sign head",
        ),
    ],
)
def test_invalid_networks(make, error, message):
    with pytest.raises(error, match=message):
        fnn.Ensemble(make())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e(np.ones((2, 19))), ValueError, r"x: expected shape \(B, 4, 5\) or \(B, 20\), got \(2, 19\)"),
        (lambda e: e(None), TypeError, "x: expected an array of real numbers, got dtype object"),
        (lambda e: e(np.ones((2, 20)), out=np.empty((2, 7))), TypeError, "out: expected dtype float32, got float64"),
        (lambda e: e(np.ones((2, 20)), out=[]), TypeError, "out: expected a NumPy array, got list"),
        (lambda e: e.predict(np.ones((2, 19))), ValueError, "x: expected shape"),
        (lambda e: e.distribution(np.ones(20)), ValueError, "x: expected shape"),
        (lambda e: e.distribution(np.ones((2, 20)), precision=2), ValueError, "precision: expected None for a softmax"),
        (lambda e: e.sample(np.ones((2, 20)), 0), ValueError, "n: expected an integer >= 1, got 0"),
        (lambda e: e.sample(np.full((2, 20), np.nan)), ValueError, "the probabilities contain NaN"),
        (
            lambda e: e.evaluate(np.ones((2, 20)), [0]),
            ValueError,
            "y: expected 2 targets, one for each row of x, got 1",
        ),
        (lambda e: e.evaluate(np.ones((2, 20)), [0, 7]), ValueError, "y: expected class indices 0 to 6, got 0 to 7"),
        (lambda e: e.evaluate(np.ones((0, 20)), np.empty(0, int)), ValueError, "x: expected at least one row"),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match=message):
        call(fnn.Ensemble(networks()))


def test_out_that_overlaps_x():
    ensemble = fnn.Ensemble([answering_network(units=20), answering_network(units=20, seed=1)])
    x = data(4)
    with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
        ensemble(x, out=x)
