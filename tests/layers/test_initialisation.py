"""How parameters start when one says so, and in heads and projections; defaults by activation are in test_layers."""

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
    plain = fnn.Sequential([fnn.Input(3), fnn.Dense(4, "prelu")], seed=0)
    assert_same_bits(net.parameters["dense_1.bias"], plain.parameters["dense_1.bias"])
    assert net.parameters["dense_1.alpha"].tolist() == [0.25] * 4


# Layers with biases, their input, how many inputs a unit has, and by default the name of their parameters.
WITH_BIASES = {
    "dense": (lambda **how: [fnn.Dense(2000, **how)], fnn.Input(25), 25, "dense_1"),
    "maxout": (lambda **how: [fnn.Maxout(500, pieces=4, **how)], fnn.Input(25), 25, "maxout_1"),
    "convolution": (lambda **how: [fnn.Conv2D(2000, (2, 3), groups=2, **how)], fnn.Input(2, 3, 8), 24, "conv2d_1"),
    "maxout convolution": (
        lambda **how: [fnn.MaxoutConv2D(500, (2, 3), pieces=4, **how)],
        fnn.Input(2, 3, 4),
        24,
        "maxout_conv2d_1",
    ),
}


@pytest.mark.parametrize("kind", WITH_BIASES)
def test_biases(kind):
    """By default uniform within 1 / sqrt(inputs), and the weights of a seed do not depend on them."""
    make, start, inputs, name = WITH_BIASES[kind]

    def parameters(**how):
        return fnn.Sequential([start, *make(**how), fnn.Dense(3)], dtype="float64", seed=3).parameters

    def bias(**how):
        return parameters(**how)[f"{name}.bias"].ravel()

    assert scipy.stats.kstest(bias(), distribution(1 / (3 * inputs), "uniform")).pvalue > 0.01
    assert_same_bits(bias(), bias(bias_init="torch"))
    assert not bias(bias_init="zeros").any()
    assert scipy.stats.kstest(bias(bias_init="he"), distribution(2 / inputs, "normal")).pvalue > 0.01
    assert scipy.stats.kstest(bias(bias_init="lecun_uniform"), distribution(1 / inputs, "uniform")).pvalue > 0.01
    assert scipy.stats.kstest(bias(bias_init=0.5), distribution(0.25, "normal")).pvalue > 0.01
    with_zeros, without = parameters(bias_init="zeros"), parameters(bias=False)
    for key in (f"{name}.weight", "dense_2.weight" if name == "dense_1" else "dense_1.weight"):
        assert_same_bits(parameters()[key], with_zeros[key])
        assert_same_bits(parameters()[key], without[key])


def test_layers_have_biases_of_their_own():
    net = fnn.Sequential([fnn.Input(4), fnn.Dense(4), fnn.Dense(4), fnn.Dense(4)], seed=0)
    first, second, third = (net.parameters[f"dense_{layer}.bias"] for layer in (1, 2, 3))
    assert not np.isin(first, second).any()
    assert not np.isin(third, np.concatenate([first, second])).any()


@pytest.mark.parametrize("make", [case[0] for case in WITH_BIASES.values()], ids=WITH_BIASES)
def test_biases_in_files_and_scaled_layers(tmp_path, make):
    (layer,) = make(bias_init="he_uniform")
    assert eval(repr(layer), vars(fnn)) == layer
    assert layer != make()[0]
    assert layer.scaled(0.5).bias_init == "he_uniform"
    assert layer.format_version == 2  # 0.1.0 does not know the argument
    shape = (2, 3, 8) if layer.reads_images else (4,)
    net = fnn.Sequential([fnn.Input(*shape), layer, fnn.Flatten(), fnn.Dense(1)], seed=0)
    net.save(tmp_path / "net")
    assert fnn.load(tmp_path / "net").layers == net.layers


@pytest.mark.parametrize(
    ("bias_init", "error", "message"),
    [
        ("zero", ValueError, "bias_init: expected one of .*, got 'zero'; did you mean 'zeros'"),
        (-1, ValueError, "bias_init: expected a number >= 0, got -1"),
        (np.inf, ValueError, "bias_init: expected a number >= 0, got inf"),
        (True, TypeError, "bias_init: expected a name or a number >= 0, got True"),
        (np.zeros(3), TypeError, "bias_init: expected a name or a number >= 0, got array"),
    ],
)
@pytest.mark.parametrize("make", [case[0] for case in WITH_BIASES.values()], ids=WITH_BIASES)
def test_invalid_starts_of_biases(make, bias_init, error, message):
    with pytest.raises(error, match=message):
        make(bias_init=bias_init)


def test_no_start_of_no_biases():
    with pytest.raises(ValueError, match="bias_init: expected None where bias=False, got 'zeros'"):
        fnn.Dense(3, bias=False, bias_init="zeros")


@pytest.mark.parametrize("seed", range(6))
def test_two_spirals_are_learned(seed):
    """Three half turns with tanh; from biases of zero the last losses of these seeds are 0.09 to 0.66."""
    t = np.linspace(0.05, 1, 200)
    arm = np.stack([t * np.cos(3 * np.pi * t), t * np.sin(3 * np.pi * t)], axis=1)
    x, y = np.concatenate([arm, -arm]), np.repeat([0, 1], len(t))
    layers = [fnn.Input(2), fnn.Dense(20, "tanh"), fnn.Dense(20, "tanh"), fnn.Dense(1, "sigmoid")]
    net = fnn.Sequential(layers, seed=seed)
    history = net.fit(x, y, optimizer=fnn.Adam(0.01), epochs=400, batch_size=32, seed=seed, progress=False)
    assert history.loss[-1] < 0.02


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
    assert not weight(block, "residual_1.bias").any()


def scale(activation, init):
    """Of what comes out of twenty layers of the same width, for standard normal inputs."""
    layers = [fnn.Dense(200, activation, init=init, bias=False) for _ in range(20)]
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
