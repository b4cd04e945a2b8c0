"""from_onnx."""

from __future__ import annotations

from os import PathLike
from typing import Any

from numpy.typing import ArrayLike

from ..._checks import FLOAT32, FLOAT64
from ..._models.sequential import Sequential
from .._build import build, checked
from .._formulas import Precision
from .._graph import Graph
from .._layout import input_layer
from .._steps import Planner
from . import _own
from ._files import DOUBLE, FLOATS, open_model
from ._model import Needed, reduce, reference
from ._operators import OPERATORS
from ._package import onnx
from ._reader import Reader


def from_onnx(
    model: str | PathLike[str] | bytes | Any,
    *,
    output: str | None = None,
    check: ArrayLike | tuple[Any, Any] | None = None,
) -> Sequential:
    """A network with the layers and parameters of an ONNX model.

    Nothing of the model is executed before it is read and found to be a network. Sizes are checked against the file
    before anything is allocated, and data outside the model's folder are refused.

    Parameters
    ----------
    model : path-like, bytes or onnx.ModelProto
        External data are read from the folder of a path.
    output : str, optional
        Which output, where the model has more than one; by default the probabilities of a classifier.
    check : array_like (B, *shape), or a pair of that and outputs (B, O), optional
        Rows on which to compare the network with the model, or rows and the outputs that are right for them. By default
        32 random rows.

    Returns
    -------
    Sequential
        In float64 if the model's weights are double, else in float32. ``converted_from`` tells the versions, what was
        folded, and the largest difference between its outputs and the model's.

    Raises
    ------
    ConversionError
        A ValueError. The model holds what a Sequential cannot; the message names the node, what is supported and what
        to do.
    ModuleNotFoundError
        The package onnx is missing: ``pip install 'fnnfast[onnx]'``.

    See Also
    --------
    to_onnx

    Notes
    -----
    Batch normalisation and scalers become part of the dense layer beside them. Dropout and other operators that only
    act in training are left out, but for models by ``to_onnx``, which know their layers. docs/interop/onnx.md
    lists all operators.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(3), fnn.Dense(4, "relu"), fnn.Dense(2, "softmax")], seed=0)
    >>> same = fnn.from_onnx(fnn.to_onnx(net))
    >>> same.layers == net.layers
    True
    >>> same.converted_from.largest_difference < 1e-6
    True
    """
    needed = reduce(open_model(model), output)
    own = _own.recover(needed)
    net, folded = (own, []) if own is not None else _network(needed)
    return checked(
        net,
        reference(needed),
        "ONNX",
        _versions(needed),
        check,
        runner="onnx.reference",
        folded=folded,
        epsilon=_epsilon(needed, net),
    )


def _network(needed: Needed) -> tuple[Sequential, list[str]]:
    """The network that the nodes make, and what was folded."""
    reader = Reader(needed.constants(), needed.opset, needed.rows.batch, OPERATORS)
    reader.take_input(needed.rows, needed.nodes)
    for index, node in enumerate(needed.nodes):
        reader.read(node, needed.place(index))
    found = reader.result(needed.output)
    shape, layout = reader.input.shape, reader.input.layout
    graph = Graph(layout.network_shape(shape))
    value = Planner(reader.steps, _precision(needed)).emit(graph, found.step)
    dtype = FLOAT64 if _is_double(needed) else FLOAT32
    net = build(graph, value, input_layer(shape, layout), dtype)
    if len(found.shape) != 1:
        graph.folded.append(f"output {needed.output!r}: rows of shape {found.shape} are {found.size} values")
    return net, graph.folded


def _kinds(needed: Needed) -> set[int]:
    """The types of the numbers that the model computes with, as far as parameters and inputs show."""
    kinds = {tensor.data_type for tensor in needed.initializers.values()} | {needed.rows.kind}
    return kinds & FLOATS.keys()


def _is_double(needed: Needed) -> bool:
    """Whether the weights are double, or, without any, the input."""
    weights = {tensor.data_type for tensor in needed.initializers.values() if len(tensor.dims) > 1} & FLOATS.keys()
    return (weights or {needed.rows.kind}) == {DOUBLE}


def _precision(needed: Needed) -> Precision:
    widest = max(FLOATS[kind] for kind in _kinds(needed))
    return Precision(tolerance=max(1e-6, 4 * widest if widest > 2.0**-20 else 0.0), shortest=not _is_double(needed))


def _epsilon(needed: Needed, net: Sequential) -> float:
    """Of the roughest numbers on either side."""
    # Whose erf, or attributes, have no more than float32.
    single = any(node.op_type in ("Erf", "Gelu", "LRN") for node in needed.nodes)
    own = 2.0**-52 if net.dtype == FLOAT64 and not single else 2.0**-23
    return max(own, *(FLOATS[kind] for kind in _kinds(needed)))


def _versions(needed: Needed) -> dict[str, str]:
    model = needed.source.model
    producer = f"{model.producer_name} {model.producer_version}".strip()[:100]
    found = {"onnx": str(onnx().__version__), "opset": str(needed.opset), "ir": str(model.ir_version)}
    return {**found, "producer": producer} if producer else found
