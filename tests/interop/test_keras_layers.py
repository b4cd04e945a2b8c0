"""from_keras on live models and on the files that Keras saves of them, layer by layer."""

import numpy as np
import pytest

import fnnfast as fnn
from keras_models import import_keras, randomize

keras = import_keras()
pytest.importorskip("h5py")
L = keras.layers
ops = keras.ops
# Keras itself, where it saves weights of torch.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def sequential(*layers, shape=(4,)):
    return randomize(keras.Sequential([L.Input(shape), *layers]))


def functional(build, shape=(4,)):
    x = L.Input(shape)
    return randomize(keras.Model(x, build(x)))


def answers(model, x):
    return ops.convert_to_numpy(model(x, training=False))


def convert(model, tmp_path):
    """The network of a model, once that of its file is found to be the same."""
    x = 2 * np.random.default_rng(1).standard_normal((50, *model.inputs[0].shape[1:])).astype(np.float32)
    expected = answers(model, x)
    net = fnn.from_keras(model)
    model.save(tmp_path / "model.keras")
    same = fnn.from_keras(tmp_path / "model.keras")
    assert same.layers == net.layers
    for name, values in net.parameters.items():
        np.testing.assert_array_equal(same.parameters[name], values)
    given = fnn.from_keras(tmp_path / "model.keras", check=(x, expected)).converted_from
    assert given.largest_difference <= 1e-4 * (1 + np.abs(expected).max())
    np.testing.assert_allclose(net(x), expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())
    return net


# Activations ---------------------------------------------------------------------------------------------------------
NAMES = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
]
ACTIVATION_LAYERS = {
    "relu": lambda: L.ReLU(),
    "relu6": lambda: L.ReLU(max_value=6),
    "relu with a slope": lambda: L.ReLU(negative_slope=0.125),
    "leaky": lambda: L.LeakyReLU(),
    "leaky with a slope": lambda: L.LeakyReLU(negative_slope=0.5),
    "elu": lambda: L.ELU(),
    "elu with alpha": lambda: L.ELU(alpha=0.5),
    "prelu": lambda: L.PReLU(),
    "shared prelu": lambda: L.PReLU(shared_axes=[1]),
    "softmax": lambda: L.Softmax(),
    "softmax axis": lambda: L.Softmax(axis=1),
    "activation": lambda: L.Activation("gelu"),
    "of a layer": lambda: L.Activation(L.LeakyReLU(0.25)),
    "of a function": lambda: L.Activation(keras.activations.mish),
}


@pytest.mark.parametrize("name", NAMES)
def test_activations_by_name(name, tmp_path):
    convert(sequential(L.Dense(5, name)), tmp_path)
    convert(sequential(L.Dense(5), L.Activation(name)), tmp_path)


def test_all_activations_are_read_or_refused(tmp_path):
    """A name that a later Keras has may be added here, to either side."""
    names = set(keras.src.activations.ALL_OBJECTS_DICT)
    refused = (
        "glu hard_shrink log_softmax soft_shrink sparse_plus sparse_sigmoid sparsemax squareplus tanh_shrink threshold"
    )
    assert names >= set(NAMES)
    for name in names - set(NAMES):
        assert name in refused.split()


def test_defaults_that_differ():
    """Keras has 0.3 for the layer and 0.2 for the name."""
    assert fnn.from_keras(sequential(L.Dense(2, "leaky_relu"))).layers[1].activation == fnn.LeakyReLU(0.2)
    found = fnn.from_keras(sequential(L.Dense(2), L.LeakyReLU())).layers[1].activation
    assert found.alpha == pytest.approx(0.3)


@pytest.mark.parametrize("name", ACTIVATION_LAYERS)
def test_layers_that_are_activations(name, tmp_path):
    layer = ACTIVATION_LAYERS[name]
    net = convert(sequential(L.Dense(5), layer()), tmp_path)
    assert len(net.layers) == 2  # merged
    if name not in ("of a layer", "of a function", "activation"):
        inside = keras.Sequential([L.Input((4,)), L.Dense(5, activation=layer())])
        answers(inside, np.zeros((1, 4)))  # Keras builds the layer when it is called on data
        convert(randomize(inside), tmp_path)
    if "softmax" not in name:
        convert(sequential(layer(), L.Dense(5), L.Dropout(0.5), layer(), L.Dense(2)), tmp_path)


# Dense ---------------------------------------------------------------------------------------------------------------
def test_dense(tmp_path):
    net = convert(sequential(L.Dense(5, use_bias=False), L.Dense(3, "tanh")), tmp_path)
    assert net.layers == (fnn.Input(4), fnn.Dense(5, bias=False), fnn.Dense(3, "tanh"))


def test_the_same_kind_many_times(tmp_path):
    """Files number the layers of a class, which must be the right ones."""
    convert(sequential(*[layer for _ in range(12) for layer in (L.Dense(4, "tanh"), L.BatchNormalization())]), tmp_path)


# Normalization -------------------------------------------------------------------------------------------------------
def adapted(**settings):
    layer = L.Normalization(**settings)
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32))
    return layer


SCALES = {
    "batch": lambda: L.BatchNormalization(),
    "batch, epsilon": lambda: L.BatchNormalization(epsilon=0.5),
    "batch, no center": lambda: L.BatchNormalization(center=False),
    "batch, no scale": lambda: L.BatchNormalization(scale=False),
    "batch, neither": lambda: L.BatchNormalization(center=False, scale=False),
    "batch, axis 1": lambda: L.BatchNormalization(axis=1),
    "adapted": adapted,
    "adapted to all": lambda: adapted(axis=None),
    "given": lambda: L.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 0.5, 9.0, 0.25]),
    "given numbers": lambda: L.Normalization(mean=1.5, variance=4.0),
    "given, whole": lambda: L.Normalization(axis=None, mean=1.5, variance=4.0),
    "inverse": lambda: L.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 0.5, 9.0, 0.25], invert=True),
    "rescaling": lambda: L.Rescaling(1 / 255, offset=-0.5),
    "rescaling by columns": lambda: L.Rescaling([1.0, 2.0, 3.0, -4.0], offset=[0.0, 1.0, 0.5, 2.0]),
}
POSITIONS = {
    "first": lambda scale: [scale(), L.Dense(4, "relu"), L.Dense(3)],
    "after a dense layer": lambda scale: [L.Dense(4), scale(), L.ReLU(), L.Dense(3)],
    "after its activation": lambda scale: [L.Dense(4, "relu"), scale(), L.Dense(3)],
    "between activations": lambda scale: [L.Dense(4, "relu"), scale(), L.Activation("tanh"), L.Dense(3)],
    "last": lambda scale: [L.Dense(4, "relu"), scale()],
    "after softmax": lambda scale: [L.Dense(4), scale(), L.Softmax()],
    "twice": lambda scale: [L.Dense(4, "tanh"), scale(), scale(), L.Dense(3), L.Dropout(0.1)],
    "around dropout": lambda scale: [scale(), L.Dropout(0.5), scale(), L.Dense(4), L.Dropout(0.5), scale()],
}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("scale", SCALES)
def test_scales_in_all_positions(scale, position, tmp_path):
    convert(sequential(*POSITIONS[position](SCALES[scale])), tmp_path)


def test_random_rows_are_like_the_data():
    """Else a check of a model whose data are far from 0 would compare nothing but saturated units."""
    model = sequential(L.Normalization(mean=[1e3, -50.0, 0.0, 2e4], variance=[4.0, 1.0, 1.0, 1e4]), L.Dense(3, "tanh"))
    net = fnn.from_keras(model)
    assert net.converted_from.largest_difference > 0  # of roundings, which saturated units would not show
    assert (
        net.converted_from.folded
        == ("layer 2 of 3, Normalization 'normalization': folded into layer 3 of 3, Dense 'dense'",)
        or len(net.converted_from.folded) == 1
    )


# Axes ----------------------------------------------------------------------------------------------------------------
IMAGES = {
    "flatten": [lambda: L.Flatten()],
    "channels first": [lambda: L.Flatten(data_format="channels_first")],
    "reshape": [lambda: L.Reshape((24,))],
    "reshape twice": [lambda: L.Reshape((6, 4)), lambda: L.Reshape((-1,))],
    "permute": [lambda: L.Permute((3, 1, 2)), lambda: L.Flatten()],
    "permute, no change": [lambda: L.Reshape((1, 24)), lambda: L.Permute((2, 1)), lambda: L.Flatten()],
    "batch norm": [lambda: L.BatchNormalization(), lambda: L.Flatten()],
    "batch norm, axis 1": [lambda: L.BatchNormalization(axis=1), lambda: L.Flatten(data_format="channels_first")],
    "batch norm after": [lambda: L.Flatten(data_format="channels_first"), lambda: L.BatchNormalization()],
    "prelu": [lambda: L.PReLU(shared_axes=[1, 2]), lambda: L.Flatten(data_format="channels_first")],
    "prelu after": [lambda: L.Permute((2, 1, 3)), lambda: L.PReLU(shared_axes=[2]), lambda: L.Flatten()],
    "rescaling": [lambda: L.Rescaling([1.0, 2.0, 3.0]), lambda: L.Flatten(data_format="channels_first")],
    "normalization": [
        lambda: L.Normalization(axis=(1, 3), mean=np.arange(6.0).reshape(2, 3), variance=np.full((2, 3), 2.0)),
        lambda: L.Flatten(),
    ],
    "turned to the end": [lambda: L.Flatten(data_format="channels_first"), lambda: L.ReLU(), lambda: L.Dropout(0.5)],
}


@pytest.mark.parametrize("name", IMAGES)
def test_axes(name, tmp_path):
    layers = [make() for make in IMAGES[name]]
    convert(sequential(*layers, L.Dense(5, "relu"), L.Dense(2), shape=(2, 4, 3)), tmp_path)


def test_flatten_of_vectors_changes_nothing(tmp_path):
    convert(sequential(L.Flatten(data_format="channels_first"), L.Dense(2)), tmp_path)


# Layers that act in training -----------------------------------------------------------------------------------------
def test_dropout_and_noise_are_kept(tmp_path):
    net = convert(sequential(L.Dropout(0.25), L.Dense(4), L.GaussianNoise(0.5), L.Dense(2), L.Dropout(0.5)), tmp_path)
    assert net.layers == (fnn.Input(4), fnn.Dropout(0.25), fnn.Dense(4), fnn.GaussianNoise(0.5), fnn.Dense(2))


def test_others_are_left_out_and_named(tmp_path):
    layers = [
        L.GaussianDropout(0.5), L.AlphaDropout(0.5), L.ActivityRegularization(0.1), L.Dropout(0.0),
        L.Dropout(0.5, noise_shape=(None, 1)),
    ]  # fmt: skip
    net = convert(sequential(L.Dense(4), *layers, L.Identity(), L.Dense(2)), tmp_path)
    assert net.layers == (fnn.Input(4), fnn.Dense(4), fnn.Dense(2))
    left_out = [text for text in net.converted_from.folded if "acts in training only" in text]
    assert len(left_out) == 5


# Branches ------------------------------------------------------------------------------------------------------------
def residual(x):
    h = L.Dense(4, "relu")(x)
    return L.Dense(2)(L.Add()([x, L.Dropout(0.5)(L.Dense(4)(h))]))


def add_three(x):
    return L.Add()([x, L.Dense(4)(x), L.Dense(4, "tanh")(x)])


def shared(x):
    dense = L.Dense(4, "tanh")
    return L.Dense(3)(dense(dense(L.BatchNormalization()(x))))


def nested(x):
    inner = keras.Sequential([L.Input((4,)), L.Dense(4, "relu"), L.BatchNormalization()])
    z = L.Input((4,))
    outer = keras.Model(z, L.Add()([z, inner(z)]))
    return L.Dense(2)(outer(outer(x)))


def average(x):
    return L.Average()([x, L.Dense(4)(x), L.Dense(4, "elu")(x)])


def blocks(x):
    for units in (6, 6, 4):
        h = L.Dense(units)(L.ReLU()(L.BatchNormalization()(L.Dense(8)(x))))
        x = L.Activation("relu")(L.Add()([h, x if x.shape[-1] == units else L.Dense(units)(x)]))
    return L.Dense(2, "softmax")(x)


BRANCHES = {
    "residual": residual,
    "add of three": add_three,
    "add of one twice": lambda x: L.Dense(3)(L.Add()([x, x])),
    "operator": lambda x: x + L.Dense(4, "relu")(x),
    "average": average,
    "maxout": lambda x: L.Dense(2)(L.Maximum()([L.Dense(4)(x), L.Dense(4, use_bias=False)(x), L.Dense(4)(x)])),
    "shared": shared,
    "nested": nested,
    "blocks": blocks,
    "arithmetic": lambda x: L.Dense(3)(1 - 2 * (x / 4 + 0.5 - 3)) / -0.5,
    "arithmetic by columns": lambda x: L.Dense(3)(x * np.array([1.0, -2.0, 3.0, 0.5], np.float32)),
    "negative": lambda x: -L.Dense(4)(-x),
    "operations": lambda x: ops.softmax(L.Dense(4)(ops.tanh(L.Dense(4)(ops.leaky_relu(L.Dense(4)(x), 0.1))))),
    "gelu": lambda x: ops.gelu(L.Dense(4)(ops.gelu(L.Dense(4)(x), approximate=False))),
    "exp": lambda x: ops.exp(L.Dense(4)(ops.silu(x))),
    "maximum": lambda x: ops.maximum(L.Dense(4)(x), L.Dense(4)(x)),
    "one of two": lambda x: (L.Dense(3)(x), L.Dense(2)(x))[1],
}


@pytest.mark.parametrize("name", BRANCHES)
def test_branches(name, tmp_path):
    convert(functional(BRANCHES[name]), tmp_path)


def test_functional_model_of_functional_models(tmp_path):
    """Whose calls are counted from 1."""
    x = L.Input((4,))
    inner = keras.Model(x, L.Dense(4, "tanh")(x))
    second = keras.Model(x, L.Dense(4, "relu")(x))
    convert(functional(lambda x: inner(second(inner(x)))), tmp_path)
    convert(sequential(inner, keras.Sequential([second, L.Dense(2)])), tmp_path)


def test_structures_of_inputs(tmp_path):
    x = L.Input((4,), name="x")
    y = L.Dense(2)(x)
    for inputs, outputs in (([x], y), ({"x": x}, y), (x, [y]), ([x], {"y": y})):
        model = randomize(keras.Model(inputs, outputs))
        model.save(tmp_path / "model.keras")
        same = fnn.from_keras(tmp_path / "model.keras")
        for name, values in fnn.from_keras(model).parameters.items():
            np.testing.assert_array_equal(same.parameters[name], values)


# Number formats ------------------------------------------------------------------------------------------------------
def test_float64_stays(tmp_path):
    """Keras itself multiplies its matrices in float32, NumPy does not."""
    x = L.Input((4,), dtype="float64")
    h = L.BatchNormalization(dtype="float64")(L.Dense(6, "gelu", dtype="float64")(x))
    model = randomize(keras.Model(x, L.Dense(2, dtype="float64")(h)))
    net = fnn.from_keras(model)
    assert net.dtype == np.float64
    assert net.converted_from.largest_difference < 1e-5
    model.save(tmp_path / "model.keras")
    assert fnn.from_keras(tmp_path / "model.keras").converted_from.largest_difference < 1e-12


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "mixed_bfloat16", "bfloat16"])
def test_narrow_formats_become_float32(policy, tmp_path):
    x = L.Input((4,))
    model = randomize(keras.Model(x, L.Dense(2, dtype=policy)(L.Dense(6, "relu", dtype=policy)(x))))
    net = fnn.from_keras(model)
    assert net.dtype == np.float32
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], np.float32(model.layers[1].kernel.numpy()))
    model.save(tmp_path / "model.keras")
    same = fnn.from_keras(tmp_path / "model.keras")
    assert same.converted_from.largest_difference < 1e-5  # NumPy computes with the same weights in float64
    np.testing.assert_array_equal(same.parameters["dense_1.weight"], net.parameters["dense_1.weight"])


# Random models -------------------------------------------------------------------------------------------------------
def random_model(seed):
    rng = np.random.default_rng(seed)

    def width():
        return int(rng.integers(1, 9))

    def activation():
        return str(rng.choice([name for name in NAMES if name not in ("softmax", "exponential")]))

    def chain(x):
        for _ in range(rng.integers(1, 4)):
            kind = rng.integers(7)
            if kind == 0:
                x = L.BatchNormalization()(x)
            elif kind == 1:
                x = L.Activation(activation())(x)
            elif kind == 2:
                x = L.Dropout(0.25)(x)
            elif kind == 3:
                x = L.PReLU()(x)
            else:
                x = L.Dense(width(), activation(), use_bias=bool(rng.integers(2)))(x)
        return x

    x = h = L.Input((width(),))
    for _ in range(rng.integers(1, 4)):
        h = chain(h)
        if rng.integers(2):
            h = L.Add()([h, L.Dense(h.shape[-1])(chain(h))])
    return randomize(keras.Model(x, L.Dense(width() + 1, "softmax")(h)), seed)


@pytest.mark.parametrize("seed", range(40))
def test_random_models(seed, tmp_path):
    convert(random_model(seed), tmp_path)


# What it says --------------------------------------------------------------------------------------------------------
def test_converted_from(tmp_path):
    model = sequential(L.Dense(3))
    found = fnn.from_keras(model).converted_from
    assert (found.source, found.check) == ("Keras", "Keras on 32 random rows")
    assert found.versions == {"keras": keras.__version__, "backend": keras.backend.backend()}
    model.save(tmp_path / "model.keras")
    found = fnn.from_keras(str(tmp_path / "model.keras")).converted_from
    assert (found.check, found.versions) == ("the layers in NumPy on 32 random rows", {"keras": keras.__version__})
    x = np.zeros((3, 4), np.float32)
    assert fnn.from_keras(model, check=x).converted_from.check == "Keras on 3 given rows"
    assert fnn.from_keras(model, check=(x, answers(model, x))).converted_from.check == "3 given outputs"
    with pytest.raises(fnn.interop.ConversionError, match="outputs that do not belong to the model"):
        fnn.from_keras(tmp_path / "model.keras", check=(x, answers(model, x) + 1))
