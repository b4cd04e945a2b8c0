"""How weights start when one says so, and in heads and projections; the defaults by activation are in test_layers."""

import numpy as np
import pytest
import scipy.stats

import fnnfast as fnn
from oracles import assert_same_bits

I, O = 150, 100  # noqa: E741 - the project's names for dimensions
VARIANCES = {"he": 2 / I, "lecun": 1 / I, "xavier": 2 / (I + O)}
FORMS = {"he": "normal", "lecun": "normal", "xavier": "uniform"}


def weight(layer, name="dense_1.weight", dtype="float64", seed=0):
    return fnn.Sequential([fnn.Input(I), *layer], dtype=dtype, seed=seed).parameters[name]


def distribution(variance, form):
    """Of a weight: what scipy takes for a Kolmogorov-Smirnov test."""
    if form == "normal":
        return scipy.stats.norm(0, np.sqrt(variance)).cdf
    limit = np.sqrt(3 * variance)
    return scipy.stats.uniform(-limit, 2 * limit).cdf


@pytest.mark.parametrize("form", ["", "_normal", "_uniform"])
@pytest.mark.parametrize("name", VARIANCES)
def test_by_name(name, form):
    values = weight([fnn.Dense(O, "softplus", init=name + form)])
    own = form[1:] or FORMS[name]
    other = {"normal": "uniform", "uniform": "normal"}[own]
    assert scipy.stats.kstest(values.ravel(), distribution(VARIANCES[name], own)).pvalue > 0.01
    assert scipy.stats.kstest(values.ravel(), distribution(VARIANCES[name], other)).pvalue < 1e-6
    assert abs(values.var() / VARIANCES[name] - 1) < 5 * np.sqrt(2 / values.size)


def test_a_number_is_a_standard_deviation():
    values = weight([fnn.Dense(O, "relu", init=0.01)])
    assert scipy.stats.kstest(values.ravel(), distribution(1e-4, "normal")).pvalue > 0.01
    assert not weight([fnn.Dense(O, init=0)]).any()
    assert_same_bits(weight([fnn.Dense(O, init=np.float32(0.25))]), weight([fnn.Dense(O, init=0.25)]))


@pytest.mark.parametrize(
    ("activation", "name"),
    [("relu", "he_normal"), ("swish", "he"), ("selu", "lecun"), ("tanh", "xavier"), ("softmax", "xavier_uniform")],
)
def test_the_default_has_a_name(activation, name):
    assert_same_bits(weight([fnn.Dense(O, activation)]), weight([fnn.Dense(O, activation, init=name)]))


def test_only_weights_are_said():
    net = fnn.Sequential([fnn.Input(3), fnn.Dense(4, "prelu", init=2.0)], seed=0)
    assert not net.parameters["dense_1.bias"].any()
    assert net.parameters["dense_1.alpha"].tolist() == [0.25] * 4


def test_the_same_numbers_in_both_dtypes():
    layer = [fnn.Dense(O, init="he_uniform")]
    assert_same_bits(weight(layer, dtype="float32"), weight(layer).astype(np.float32))
    assert_same_bits(weight(layer), weight(layer))
    assert (weight(layer) != weight(layer, seed=1)).any()


def test_a_gaussian_head_starts_with_variance_one():
    values = weight([fnn.Gaussian(O)], "gaussian_1.weight")
    assert values.shape == (I, 2 * O)
    assert scipy.stats.kstest(values[:, :O].ravel(), distribution(2 / (I + O), "uniform")).pvalue > 0.01
    assert not values[:, O:].any()
    net = fnn.Sequential([fnn.Input(I), fnn.Gaussian(2)], seed=0)
    assert not net.parameters["gaussian_1.bias"].any()
    assert (net.distribution(np.random.default_rng(0).random((5, I))).std == 1).all()


def test_blocks_and_their_projections():
    """LeCun's normal for the projection, which has no activation; what is inside starts as it does anywhere."""
    block = [fnn.Residual([fnn.Dense(50, "relu", init="xavier_normal"), fnn.Dense(O, "tanh")]), fnn.Dense(1)]
    projection = weight(block, "residual_1.weight")
    assert scipy.stats.kstest(projection.ravel(), distribution(1 / I, "normal")).pvalue > 0.01
    inside = weight(block, "residual_1.dense_1.weight")
    assert scipy.stats.kstest(inside.ravel(), distribution(2 / (I + 50), "normal")).pvalue > 0.01
    last = weight(block, "residual_1.dense_2.weight")
    assert scipy.stats.kstest(last.ravel(), distribution(2 / (50 + O), "uniform")).pvalue > 0.01
    net = fnn.Sequential([fnn.Input(I), *block], seed=0)
    assert not any(values.any() for name, values in net.parameters.items() if name.endswith("bias"))


def scale(activation, init):
    """Of what comes out of twenty layers of the same width, for standard normal inputs."""
    layers = [fnn.Dense(200, activation, init=init) for _ in range(20)]
    x = np.random.default_rng(0).standard_normal((100, 200))
    return fnn.Sequential([fnn.Input(200), *layers], dtype="float64", seed=0)(x).std()


@pytest.mark.parametrize("activation", ["relu", "selu"])
def test_the_scale_of_a_signal_is_kept(activation):
    assert 0.2 < scale(activation, None) < 3


def test_a_small_start_lets_the_signal_fade():
    assert scale("relu", "lecun") < 0.01 * scale("relu", "he")
    assert scale("tanh", 0.01) < 1e-12


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        ("hee", ValueError, "init: expected one of he, he_normal, .*xavier_uniform, got 'hee'; did you mean 'he'"),
        ("he_", ValueError, "init: expected one of .*, got 'he_'"),
        ("He", ValueError, "init: expected one of .*, got 'He'"),
        ("", ValueError, "init: expected one of .*, got ''"),
        (-0.1, ValueError, "init: expected a number >= 0, got -0.1"),
        (np.nan, ValueError, "init: expected a number >= 0, got nan"),
        (np.inf, ValueError, "init: expected a number >= 0, got inf"),
        (True, TypeError, "init: expected a name or a number >= 0, got True"),
        (np.ones((3, 4)), TypeError, "init: expected a name or a number >= 0, got array"),
        (np.zeros, TypeError, "init: expected a name or a number >= 0, got <"),
    ],
)
def test_invalid_names_and_numbers(init, error, message):
    with pytest.raises(error, match=message):
        fnn.Dense(4, init=init)


@pytest.mark.parametrize("init", [None, "he_uniform", 0.5])
def test_in_files_and_copies(tmp_path, init):
    layer = fnn.Dense(4, "tanh", init=init)
    assert eval(repr(layer), vars(fnn)) == layer
    assert ("init" in repr(layer)) == (init is not None)
    net = fnn.Sequential([fnn.Input(3), layer, fnn.Residual([fnn.Dense(4, init=init)]), fnn.Dense(1)], seed=0)
    net.save(tmp_path / "net")
    loaded = fnn.load(tmp_path / "net")
    assert loaded.layers == net.layers
    for name, values in net.parameters.items():
        assert_same_bits(loaded.parameters[name], values)
    assert fnn.Dense(4, init="he") != fnn.Dense(4)
