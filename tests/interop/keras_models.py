"""Keras models for tests, with weights that show every mistake; and .keras files that are written without Keras."""

import io
import json
import os
import re
import zipfile

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")


def import_keras():
    """Keras with a backend that is there; skips the test without one."""
    pytest.importorskip(os.environ["KERAS_BACKEND"])
    return pytest.importorskip("keras", minversion="3.15")  # older ones have fewer activations


def randomize(model, seed=0):
    """Give a model random weights; variances positive, counters left."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "float" not in str(variable.dtype):
            continue
        values = rng.standard_normal(variable.shape)
        if "variance" in variable.path:
            values = rng.uniform(0.5, 2, variable.shape)
        variable.assign(values)
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return model


# Files without Keras -------------------------------------------------------------------------------------------------
def layer(kind, name=None, module="keras.layers", **config):
    """A serialized layer of a Sequential model."""
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": name or kind.lower(), "dtype": "float32", **config},
        "registered_name": None,
    }


def dense(name, units, activation="linear", **config):
    return layer("Dense", name, units=units, activation=activation, **{"use_bias": True, **config})


def entrance(*shape, **config):
    return layer("InputLayer", "entrance", **{"batch_shape": [None, *shape], **config})


def sequential(*layers, **config):
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "sequential", "dtype": "float32", "layers": list(layers), **config},
        "registered_name": None,
    }


def tensor(name, call=0, index=0):
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "dtype": "float32", "keras_history": [name, call, index]},
    }


def called(what, *arguments, **named):
    """A layer of a Functional model with a call for each list of arguments."""
    nodes = [{"args": list(items), "kwargs": named} for items in arguments]
    return {**what, "name": what["config"]["name"], "inbound_nodes": nodes}


def functional(*layers, inputs=("entrance", 0, 0), outputs=("end", 0, 0), **config):
    settings = {"input_layers": list(inputs), "output_layers": list(outputs), **config}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {"name": "functional", "layers": list(layers), **settings},
        "registered_name": "Functional",
    }


def snake(kind):
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()


def hdf5(fill):
    """The bytes of an HDF5 file that a function fills."""
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        fill(h5)
    return file.getvalue()


def weights(**arrays):
    """By the layer's path with "/" as "__", its variables."""

    def fill(h5):
        for path, variables in arrays.items():
            group = h5.create_group("layers/" + path.replace("__", "/") + "/vars")
            for index, values in enumerate(variables):
                group.create_dataset(str(index), data=values)

    return hdf5(fill)


def archive(path, model, h5, *, method=zipfile.ZIP_STORED, version="3.15.1", **members):
    """A .keras file; the model is an object for JSON, or bytes. Other members override those, None leaves one out."""
    parts = {
        "metadata.json": json.dumps({"keras_version": version}),
        "config.json": model if isinstance(model, (bytes, str)) else json.dumps(model),
        "model.weights.h5": h5,
        **{name.replace("__", "."): content for name, content in members.items()},
    }
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in parts.items():
            if content is not None:
                file.writestr(name, content)
    return path
