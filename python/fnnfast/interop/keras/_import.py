"""from_keras."""

from __future__ import annotations

import math
import os
from typing import Any

from numpy.typing import ArrayLike

from ..._checks import FLOAT32, FLOAT64, listed, short
from ..._models.sequential import Sequential
from ...layers import Input
from .._build import build, checked
from .._errors import refusal
from .._graph import Graph
from .._layout import CHANNELS_LAST, VECTOR
from . import _file, _live, _numpy
from ._config import FUNCTIONAL, ROUNDING, SEQUENTIAL, Layer, Model, walk
from ._images import ON_IMAGES
from ._layers import LAYERS
from ._parse import read
from ._reader import Reader
from ._shapes import Value

_FREE = 2**22  # numbers of a row that any model may ask for: those of an image are more than its filters have


def from_keras(model: str | os.PathLike[str] | Any, *, check: ArrayLike | tuple[Any, Any] | None = None) -> Sequential:
    """A network with the layers and weights of a Keras 3 model, or of a .keras file.

    Keras need not be installed to read a file. Nothing in a file is executed, and sizes are checked before anything is
    allocated.

    Parameters
    ----------
    model : keras.Model or path-like
        A Sequential or Functional model, or the path of a .keras file.
    check : array_like (B, *shape), or a pair of that and outputs (B, O), optional
        Rows on which to compare the network with the model, or rows and the outputs that are right for them, such as
        those of ``model.predict``. By default 32 random rows.

    Returns
    -------
    Sequential
        In float64 if the kernels are float64, else in float32. ``converted_from`` tells the versions, what was folded,
        and the largest difference in the comparison. A model in memory is compared with its own outputs. A file is
        compared with the formulas of its layers in NumPy, which share no code with the network's kernels.

    Raises
    ------
    ConversionError
        A ValueError. The model holds what a Sequential cannot, or the file is damaged; the message names the layer,
        what is supported and what to do.
    ModuleNotFoundError
        A file needs the package h5py: ``pip install 'fnnfast[keras]'``.
    OSError
        There is no such file, or it cannot be read.

    See Also
    --------
    from_onnx, from_sklearn

    Notes
    -----
    BatchNormalization, Normalization and Rescaling become part of the dense layer beside them. Add becomes a
    ``Residual``, Maximum of Dense layers a ``Maxout``. docs/interop/keras.md lists all layers.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.from_keras("model.keras")                     # doctest: +SKIP
    >>> net.converted_from.largest_difference                   # doctest: +SKIP
    2.4e-07
    >>> net.save("model.safetensors")                           # doctest: +SKIP
    """
    is_path = isinstance(model, (str, os.PathLike))
    source = _file.open_file(model) if is_path else _live.open_model(model)
    root = read(source.model, source.store)
    if not isinstance(root, Model):
        raise refusal(root.place, "a layer", f"{SEQUENTIAL} and {FUNCTIONAL} models")
    first = _input(root)
    shape = _shape(first, source.held)
    image = _image(root, shape)
    graph = Graph((math.prod(shape),) if image is None else image)
    reader = Reader(graph, source.held, LAYERS, image)
    end = walk(root, Value(0, shape, CHANNELS_LAST if image == shape else VECTOR), reader.call)
    if len(end.shape) != 1 or end.layout != VECTOR:
        raise refusal("the model", f"outputs of shape {end.shape}", "outputs that are vectors", "end it in a Dense")
    products = [layer for layer in root.all_layers() if layer.kind == "Dense" or layer.kind.endswith("Conv2D")]
    kernels = {layer.variables[0].dtype for layer in products}
    net = build(graph, end.step, Input(*(image or shape)), FLOAT64 if kernels == {FLOAT64} else FLOAT32)
    live = source.run
    run = _numpy.evaluation(root) if live is None else lambda x: live(root, x)
    rounding = ROUNDING[net.dtype.name]
    if live is not None or isinstance(check, tuple):  # Keras multiplies matrices of float64 in float32
        rounding = max(reader.rounding, first.rounding, ROUNDING["float32"])
    return checked(
        net,
        lambda x: run(x.reshape(len(x), *shape)),
        "Keras",
        source.versions,
        check,
        runner="the layers in NumPy" if live is None else "",
        folded=graph.folded,
        epsilon=rounding,
        around=graph.around(),
    )


def _input(model: Model) -> Layer:
    """The layer with the shape of the rows."""
    found = next((layer for layer in model.layers if layer.kind == "InputLayer"), None)
    if found is not None:
        return found
    inner = model.layers[0] if model.kind == SEQUENTIAL else None
    if isinstance(inner, Model):
        return _input(inner)
    shape = model.config.get("build_input_shape")
    return Layer("InputLayer", "", model.place, {"batch_shape": shape}, model.store)


def _image(root: Model, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """The shape of the images that a model reads; None where it reads none.

    That of its input, or that of the first Reshape of a vector to an image.
    """
    layers = list(root.all_layers())
    if not any(layer.kind in ON_IMAGES for layer in layers):
        return None
    found = [list(shape)]
    found += [layer.integers("target_shape", None) for layer in layers if layer.kind == "Reshape"]
    for target in found:
        if len(target) == 3 and min(target) > 0 and math.prod(target) == math.prod(shape):
            return target[0], target[1], target[2]
    return None


def _shape(layer: Layer, held: int) -> tuple[int, ...]:
    """The shape of a row; ConversionError where it is open, or larger than any weight can be."""
    shape = layer.config.get("batch_shape")
    if layer.config.get("sparse") is True or layer.config.get("ragged") is True:
        raise layer.refused("sparse or ragged rows", "dense rows")
    if not layer.rounding and "dtype" in layer.config:
        raise layer.refused("no dtype", listed(ROUNDING))
    row = shape[1:] if isinstance(shape, list) else []
    if not row or len(row) > 8 or any(type(n) is not int or n < 1 for n in row):
        got = f"an input of shape {short(repr(shape))}" if shape is not None else "an input whose shape is not known"
        raise layer.refused(got, "(None, I), or more axes of fixed lengths", "build the model with keras.Input")
    if math.prod(row) > max(held, _FREE):
        raise layer.refused(f"rows of {math.prod(row)} numbers in a model of {held}", "a weight for each number")
    return tuple(row)
