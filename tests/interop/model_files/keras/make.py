"""Makes the .keras files of this folder, with outputs of Keras beside them: ``python make.py [NAME ...]``.

They were made with the backend torch, by Keras 3.15.1 or the version in the name, and deflated to be small, but for
``sequential.keras``, which is as Keras saves it.
"""

import os
import sys
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))
os.environ.setdefault("KERAS_BACKEND", "torch")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_models import randomize  # noqa: E402

L = keras.layers


def sequential():
    return keras.Sequential([L.Input((4,)), L.Dense(5, "leaky_relu"), L.Dense(3, "softmax")])


def tabular():
    scaler = L.Normalization()
    scaler.adapt(np.random.default_rng(0).normal(20, 5, (50, 4)).astype("float32"))
    layers = [
        scaler, L.Dense(6, use_bias=False), L.BatchNormalization(scale=False), L.Activation("gelu"), L.Dropout(0.25),
        L.Dense(5), L.LeakyReLU(), L.GaussianNoise(0.1), L.BatchNormalization(), L.Dense(2, "sigmoid"),
    ]  # fmt: skip
    return keras.Sequential([L.Input((4,)), *layers])


def residual():
    x = L.Input((4,))
    shared = L.Dense(6, "silu")
    inner = keras.Sequential([L.Input((6,)), L.Dense(6, "tanh"), L.Dropout(0.5)])
    h = L.Dense(6)(x)
    h = L.PReLU()(L.Add()([h, inner(shared(h))]))
    h = L.Maximum()([L.Dense(5)(h), L.Dense(5)(h)])
    return keras.Model(x, keras.ops.relu(L.Dense(3)(h * 0.5 + 1.0)))


def image():
    layers = [
        L.Rescaling(1 / 255), L.BatchNormalization(axis=1), L.Flatten(data_format="channels_first"), L.Dense(4, "elu"),
        L.Dense(2),
    ]  # fmt: skip
    return keras.Sequential([L.Input((3, 4, 2)), *layers])


def double():
    x = L.Input((4,), dtype="float64")
    return keras.Model(x, L.Dense(2, dtype="float64")(L.Dense(5, "mish", dtype="float64")(x)))


def half():
    return keras.Sequential([L.Input((4,)), L.Dense(5, "relu", dtype="bfloat16"), L.Dense(2, dtype="float16")])


for make in (sequential, tabular, residual, image, double, half):
    if make.__name__ not in (sys.argv[1:] or [make.__name__]):
        continue
    model = make()
    statistics = [layer.get_weights() for layer in model.layers if isinstance(layer, L.Normalization)]
    randomize(model)
    for layer in model.layers:
        if isinstance(layer, L.Normalization):
            layer.set_weights(statistics[0])
            layer.finalize_state()
    version = "" if keras.__version__ == "3.15.1" else f"-{keras.__version__}"
    path = FOLDER / f"{make.__name__}{version}.keras"
    model.save(path)
    if make is not sequential:
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for name, content in members.items():
                file.writestr(name, content)
    scale, mean = {"tabular": (5, 20), "image": (70, 128)}.get(make.__name__, (1, 0))
    x = np.random.default_rng(1).normal(mean, scale, (6, *model.inputs[0].shape[1:]))
    y = keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(x, dtype=model.inputs[0].dtype), training=False))
    np.savez(path.with_suffix(".npz"), x=x.astype(model.inputs[0].dtype), y=y.astype("float64"))
