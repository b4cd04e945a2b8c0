"""Models of Keras that read images."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError
from image_models import RNG, close, same


def keras_models():
    import keras

    layers = keras.layers
    whole = keras.Input((12, 10, 3))
    a = layers.Conv2D(6, 3, activation="relu", padding="same")(whole)
    b = layers.Concatenate()([layers.Conv2D(4, 1)(a), layers.MaxPooling2D(3, 1, padding="same")(a)])
    c = layers.Add()([layers.BatchNormalization()(layers.Conv2D(10, 3, padding="same", use_bias=False)(b)), b])
    branches = keras.Model(
        whole, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(layers.ReLU()(c)))
    )
    return {
        "branches": branches,
        "scaled": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.Rescaling(1 / 255.0, offset=-0.5),
                layers.Conv2D(4, 3, activation="swish"),
                layers.AveragePooling2D(2, padding="same"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
        "zeros": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.ZeroPadding2D(((1, 2), (0, 1))),
                layers.Conv2D(4, (3, 2), strides=2),
                layers.PReLU(shared_axes=[1, 2]),
                layers.SpatialDropout2D(0.5),
                layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation="relu"),
                layers.ZeroPadding2D(1),
                layers.MaxPooling2D(3, strides=2),
                layers.GlobalMaxPooling2D(),
                layers.Dense(3),
            ]
        ),
        "channels": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.DepthwiseConv2D(3, padding="same", activation="relu", depth_multiplier=2),
                layers.SeparableConv2D(5, 3, strides=2, depth_multiplier=3, activation="tanh"),
                layers.DepthwiseConv2D((3, 2), use_bias=False),
                layers.Conv2D(10, 2, groups=5),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
        "reshaped": keras.Sequential(
            [
                keras.Input((120,)),
                layers.Reshape((12, 10, 1)),
                layers.Conv2D(4, 3),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
        "turned": keras.Sequential(
            [keras.Input((4, 4, 3)), layers.Permute((2, 1, 3)), layers.Reshape((48,)), layers.Dense(3)]
        ),
        "kept axes": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.Conv2D(4, 3),
                layers.GlobalAveragePooling2D(keepdims=True),
                layers.Dense(5),
                layers.Reshape((5,)),
                layers.Dense(3),
            ]
        ),
        "groups of one pixel": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.Conv2D(4, 3),
                layers.GlobalAveragePooling2D(keepdims=True),
                layers.Conv2D(6, 1, 2, "same", groups=2, activation="relu"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
    }


@pytest.mark.filterwarnings("ignore")
def test_keras(tmp_path):
    pytest.importorskip("keras")
    for name, model in keras_models().items():
        for weight in model.weights:
            if any(part in weight.path for part in ("variance", "mean", "beta", "bias")):
                weight.assign(RNG.uniform(0.5, 2, weight.shape))
        net = fnn.from_keras(model)
        x = RNG.standard_normal((5, *model.input_shape[1:])).astype(np.float32)
        close(net(x.reshape(5, *net.input.shape)), model.predict(x, verbose=0), "float32")
        if pytest.importorskip("h5py"):
            model.save(tmp_path / f"{name}.keras")
            read = fnn.from_keras(tmp_path / f"{name}.keras")
            same(net, read)


@pytest.mark.filterwarnings("ignore")
def test_keras_refusals():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    for chain, text in [
        ([layers.Conv2D(4, 3)], "the model: outputs of shape"),
        (
            [layers.ZeroPadding2D(1), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(2)],
            "zeros around an image that",
        ),
        (
            [layers.Conv2D(4, 3), layers.PReLU(), layers.Flatten(), layers.Dense(2)],
            "slopes that differ from pixel to pixel",
        ),
        ([layers.Conv2D(4, 3), layers.Reshape((4, 36)), layers.Dense(2)], "rows of shape"),
    ]:
        model = keras.Sequential([keras.Input((8, 8, 3)), *chain])
        for weight in model.weights:
            weight.assign(RNG.uniform(0.5, 2, weight.shape))
        with pytest.raises(ConversionError, match=text):
            fnn.from_keras(model)
