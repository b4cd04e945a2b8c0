"""Distributions that networks predict."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import ANSWERS, OnGpu, answering_network, normal
from fnnfast.distributions import Bernoulli, Categorical, Gaussian
from oracles import assert_same_bits

INF, NAN = np.inf, np.nan
KINDS = {"softmax": Categorical, "sigmoid": Bernoulli}


def precisions(net, x):
    return [net] if net.dtype == np.float64 else [net, net.astype("bfloat16"), net.quantize(x)]


@pytest.mark.parametrize(("head", "units"), ANSWERS)
def test_what_a_network_predicts(isa, dtype, head, units):
    x = normal(np.random.default_rng(1), dtype, 40, 4, 5)
    for net in precisions(answering_network(head, units, dtype), x):
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


@pytest.mark.parametrize(("head", "units"), ANSWERS)
def test_the_loss_is_the_mean_of_minus_log_prob(head, units):
    """Of the squared error a multiple plus a constant."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40, 20))
    net = answering_network(head, units, "float64")
    y = {"softmax": rng.integers(0, units, 40), "sigmoid": rng.integers(0, 2, (40, units))}.get(head)
    y = rng.standard_normal((40, units)) if y is None else y
    loss, got = net.evaluate(x, y)["loss"], net.distribution(x)
    if head in KINDS:
        np.testing.assert_allclose(-got.log_prob(y).sum() / 40, loss, rtol=1e-12)
    else:
        np.testing.assert_allclose(-got.log_prob(y).mean(), (loss + np.log(2 * np.pi)) / 2, rtol=1e-12)


def test_a_gaussian_head_with_a_precision(dtype):
    net, x = answering_network("identity", 2, dtype), normal(np.random.default_rng(3), dtype, 9, 20)
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
    for head, units in ANSWERS:
        for net in precisions(answering_network(head, units), x.astype("float32")):
            assert net.distribution(x) == net.distribution(x.astype("float32"))
            assert net.distribution(x).mean.dtype == np.float32


def test_threads_and_batches_do_not_show():
    net, x = answering_network("softmax", 7), normal(np.random.default_rng(5), "float32", 300, 20)
    expected = net.distribution(x)
    with fnn.num_threads(1):
        assert net.distribution(x) == expected
    for i in (0, 7, 299):
        assert_same_bits(net.distribution(x[i : i + 1]).mean[0], expected.mean[i])


def test_networks_without_a_distribution():
    x = np.ones((2, 20))
    for head in ("step", "sign"):
        with pytest.raises(ValueError, match=f"a {head} head predicts no distribution"):
            answering_network(head, 2).distribution(x)
    for head in ("softmax", "sigmoid"):
        for precision in (1.0, [1, 2]):
            with pytest.raises(ValueError, match=f"precision: expected None for a {head} head, which is no Gaussian"):
                answering_network(head, 2).distribution(x, precision=precision)
    net = answering_network("identity", 2)
    for precision in (0, -1.0, NAN, [1, 0]):
        with pytest.raises(ValueError, match="precision: expected finite numbers > 0"):
            net.distribution(x, precision=precision)
    with pytest.raises(ValueError, match=r"precision: expected shape .*, got \(3,\)"):
        net.distribution(x, precision=[1, 2, 3])
    with pytest.raises(ValueError, match=r"x: expected shape \(B, 4, 5\) or \(B, 20\), got \(2, 19\)"):
        net.distribution(np.ones((2, 19)))
    with pytest.raises(ValueError, match="the probabilities contain NaN"):
        answering_network("sigmoid", 1).sample(x * NAN)


def test_gpu_arrays():
    for answer in (answering_network("softmax", 2), fnn.Ensemble([answering_network("softmax", 2)])):
        with pytest.raises(TypeError, match=r"got a GPU array \(x\)"):
            answer.distribution(OnGpu(2, 20))
    with pytest.raises(TypeError, match=r"got a GPU array \(x\)"):
        fnn.Ensemble([answering_network("softmax", 2)])(OnGpu(2, 20))
