"""from_keras on models in memory that have what no network has."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError
from keras_models import import_keras, randomize

keras = import_keras()
pytest.importorskip("h5py")
L = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, x):
        return self.dense(x)


class Chain(keras.Sequential):
    def call(self, x, **settings):
        return 2 * super().call(x, **settings)


class Ours(L.Dense):
    pass


@keras.saving.register_keras_serializable("tests")
class Registered(L.Dense):
    pass


@keras.saving.register_keras_serializable("tests")
def registered(x):
    return x * x


def relu(x):
    return x + 1.0


def functional(build):
    x = L.Input((4,))
    return keras.Model(x, build(x))


REFUSED = {
    "subclass": (Net, "the model, Net 'net.*': a class with code of its own; supported: .*; build it as keras.Model"),
    "subclass of Sequential": (lambda: Chain([L.Input((4,)), L.Dense(2)]), "the model, Chain .*: a class with code"),
    "subclass inside": (
        lambda: keras.Sequential([L.Input((4,)), Chain([L.Input((4,)), L.Dense(2)])]),
        "layer 2 of 2, Chain .*: a class that is not Keras's own",
    ),
    "layer": (
        lambda: keras.Sequential([L.Input((4,)), Ours(2)]),
        "layer 2 of 2, Ours .*: a class that is not Keras's own; supported: layers of Keras; replace it",
    ),
    "registered layer": (
        lambda: keras.Sequential([L.Input((4,)), Registered(2)]),
        "layer 2 of 2, Registered .*: a class that is not Keras's own",
    ),
    "registered function": (
        lambda: keras.Sequential([L.Input((4,)), L.Dense(2, activation=registered)]),
        "layer 2 of 2, Dense .*: the activation 'tests>registered'",
    ),
    "lambda": (
        lambda: functional(lambda x: L.Dense(2)(L.Lambda(lambda values: values * 2, output_shape=(4,))(x))),
        "layer 2 of 3, Lambda .*: a layer Lambda that is not supported",
    ),
    "not built": (
        lambda: keras.Sequential([L.Dense(2)]),
        "an input whose shape is not known; .*; build the model with",
    ),
    "two inputs": (
        lambda: (lambda a, b: keras.Model([a, b], L.Dense(2)(L.Add()([a, b]))))(L.Input((4,)), L.Input((4,))),
        "inputs 'input_layer.*', 'input_layer.*'; supported: one input",
    ),
    "two outputs": (lambda: functional(lambda x: [L.Dense(2)(x), L.Dense(1)(x)]), "outputs 'dense.*', 'dense.*'; supp"),
    "open shape": (
        lambda: keras.Sequential([L.Input((None, 4)), L.Dense(2)]),
        r"an input of shape \[None, None, 4\]; supported: \(None, I\)",
    ),
    "in training": (
        lambda: functional(lambda x: L.Dropout(0.5)(L.Dense(2)(x), training=True)),
        "Dropout .*: a call with training=True",
    ),
    "images turned back": (
        lambda: keras.Sequential([L.Input((8, 8, 1)), L.Conv2DTranspose(2, 3), L.Flatten(), L.Dense(2)]),
        "layer 2 of 4, Conv2DTranspose .*: a layer Conv2DTranspose that is not supported",
    ),
    "text": (
        lambda: keras.Sequential([L.Input((4,), dtype="int32"), L.Embedding(3, 2), L.Flatten(), L.Dense(2)]),
        "Embedding .*: a layer Embedding|the dtype policy 'int32'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    build, text = REFUSED[name]
    with pytest.raises(ConversionError, match=text):
        fnn.from_keras(build())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("change", ["int8", "lora"])
def test_layers_that_were_changed(change, tmp_path):
    model = randomize(keras.Sequential([L.Input((4,)), L.Dense(8), L.Dense(2)]))
    if change == "lora":
        model.layers[0].enable_lora(2)
    else:
        model.layers[0].quantize("int8")
    model.save(tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.raises(ConversionError, match=r"layer 2 of 3, Dense .*: (the dtype policy|a kernel that is quant)"):
            fnn.from_keras(source)


def test_a_function_with_the_name_of_another():
    """Keras saves a function by its name. The comparison finds what it does."""
    model = randomize(keras.Sequential([L.Input((4,)), L.Dense(8, activation=relu), L.Dense(2)]))
    with pytest.raises(ConversionError, match="the network differs from its source by"):
        fnn.from_keras(model)


def test_a_layer_in_two_models(tmp_path):
    """Keras saves the weights of such a layer in one place only, and cannot load the file either."""
    shared = L.Dense(4)
    x = L.Input((4,))
    inner = keras.Sequential([L.Input((4,)), shared])
    model = randomize(keras.Model(x, shared(inner(x))))
    net = fnn.from_keras(model)
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], net.parameters["dense_2.weight"])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ConversionError, match="0 variables; supported: 2"):
        fnn.from_keras(tmp_path / "model.keras")


def test_columns_that_are_constant_in_the_data():
    """Keras divides by 1e-7 there, which a dense layer in float32 cannot do."""
    scaler = L.Normalization()
    scaler.adapt(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]], np.float32))
    model = keras.Sequential([L.Input((2,)), scaler, L.Dense(2)])
    with pytest.raises(ConversionError, match=r"column 1 of the input: its mean 5 is 5e\+07 times the standard deviat"):
        fnn.from_keras(model)
    scaler.adapt(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], np.float32))  # of zeros nothing is lost
    assert fnn.from_keras(model).layers == (fnn.Input(2), fnn.Dense(2))


def test_a_model_that_was_trained():
    """With an optimizer and metrics, which have variables of their own."""
    model = keras.Sequential([L.Input((4,)), L.BatchNormalization(), L.Dense(8, "relu"), L.Dropout(0.5), L.Dense(1)])
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    model.fit(x, x.sum(axis=1), epochs=2, verbose=0)
    net = fnn.from_keras(model)
    np.testing.assert_allclose(net(x), model.predict(x, verbose=0), atol=1e-5)


def test_fixed_batches():
    """The rows of the check are as many as the model wants, or the model does not mind."""
    model = randomize(keras.Sequential([L.Input((4,), batch_size=8), L.Dense(2)]))
    assert fnn.from_keras(model).layers == (fnn.Input(4), fnn.Dense(2))
