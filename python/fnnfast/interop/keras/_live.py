"""Models of Keras in memory."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from ..._checks import Array, message
from .._errors import ConversionError, refusal
from ._config import FUNCTIONAL, SEQUENTIAL, Model
from ._source import Source


def open_model(model: Any) -> Source:
    """A live model as its configuration and its weights.

    Raises
    ------
    TypeError
        It is no Keras 3 model.
    ConversionError
        Keras cannot write its configuration, as of models with code of their own.
    """
    keras = sys.modules.get("keras")
    version = str(getattr(keras, "__version__", ""))
    if keras is None or not isinstance(model, keras.Model):
        raise TypeError(message("model", "a Keras 3 model or the path of a .keras file", type(model)))
    if not version.startswith("3."):
        raise ConversionError(message("model", "a model of Keras 3", f"one of Keras {version}"))
    kind = type(model)
    if kind.__name__ not in (SEQUENTIAL, FUNCTIONAL) or not kind.__module__.startswith("keras."):
        raise refusal(
            f"the model, {kind.__name__} {model.name!r}",
            "a class with code of its own",
            f"{SEQUENTIAL} and {FUNCTIONAL} models",
            "build it as keras.Model(inputs, outputs)",
        )
    try:
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ConversionError(f"the model: Keras cannot write its configuration ({error})") from error

    def run(read: Model, x: Array) -> Array:
        rows = keras.ops.convert_to_tensor(x, dtype=x.dtype.name)  # else float64 would be rounded
        output = model(read.feed(rows), training=False)
        if isinstance(output, (dict, list, tuple)):
            (output,) = output.values() if isinstance(output, dict) else output
        return np.asarray(keras.ops.convert_to_numpy(output))

    held = sum(int(np.prod(weight.shape)) for weight in model.weights)
    versions = {"keras": version, "backend": str(keras.backend.backend())}
    return Source(config, _Store(model), held, versions, run)


class _Store:
    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def variables(self, place: str) -> list[Array]:
        convert = sys.modules["keras"].ops.convert_to_numpy
        found: dict[str, Any] = {}
        self._layer.save_own_variables(found)
        return [np.asarray(convert(variable)) for variable in found.values()]

    def inside(self, key: str, name: str) -> _Store:
        found = (layer for layer in getattr(self._layer, "layers", ()) if layer.name == name)
        return _Store(next(found, None))  # operations are no layers, and are not asked for variables

    def activation(self) -> _Store:
        return _Store(self._layer.activation)
