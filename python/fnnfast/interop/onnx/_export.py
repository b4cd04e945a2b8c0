"""to_onnx."""

from __future__ import annotations

from os import PathLike
from typing import Any

from ... import _checks
from ..._checks import DType, message
from ..._network import file_format
from ..._network.network import Network
from ._estimators import Estimator, describe
from ._layers import LayerWriter
from ._package import onnx
from ._writer import Writer

OLDEST_OPSET = 13
ARCHITECTURE = "fnnfast.architecture"
_PROBABILITIES = ("softmax", "sigmoid")
_MOST_BYTES = 2**31 - 1  # of a protobuf message


def to_onnx(
    net: Network | Any, path: str | PathLike[str] | None = None, *, opset: int = 20, probabilities: bool = True
) -> Any:
    """An ONNX model of a network or of an estimator of fnnfast.sklearn.

    Parameters
    ----------
    net : Sequential, InferenceNetwork, FNNClassifier or FNNRegressor
        An estimator must be fitted.
    path : path-like, optional
        Where to write the model, replacing what is there at once or not at all.
    opset : int
        The version of ONNX's operators, from 13 to the newest that the package onnx knows.
    probabilities : bool
        False leaves out the softmax or sigmoid at the end: the outputs are those of ``net.logits``.

    Returns
    -------
    onnx.ModelProto
        Of a network: input "x" (B, \\*shape), output "y" (B, O). Of a classifier: input "X", outputs "label" and
        "probabilities" ("logits" for False, "scores" for the hinge loss). Of a regressor: "X" and "variable".

    Raises
    ------
    ModuleNotFoundError
        The package onnx is missing: ``pip install 'fnnfast[onnx]'``.
    ValueError
        An opset that is not supported; a model of 2 GiB or more.

    See Also
    --------
    from_onnx

    Notes
    -----
    The model computes in the network's dtype. Dropout and noise are left out. Weights in bfloat16 are written in
    float32, with the same values. An int8 network becomes one of QuantizeLinear and DequantizeLinear, which runtimes
    turn into products in 8 bits.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.Sequential([fnn.Input(3), fnn.Dense(4, "relu"), fnn.Dense(2)], seed=0)
    >>> model = fnn.to_onnx(net, opset=18)
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Relu', 'Gemm']
    """
    if path is not None:
        path = _checks.path("path", path)
    package = onnx()
    newest = package.defs.onnx_opset_version()
    opset = _checks.integer("opset", opset, 1)
    if not OLDEST_OPSET <= opset <= newest:
        raise ValueError(message("opset", f"{OLDEST_OPSET} to {newest}", opset))
    probabilities = _checks.flag("probabilities", probabilities)
    estimator = describe(net)
    if estimator is not None:
        model = _estimator_model(estimator, opset, probabilities)
    elif isinstance(net, Network):
        model = network_model(net, opset, probabilities)
    else:
        expected = "a network or an estimator of fnnfast.sklearn"
        raise TypeError(message("net", expected, type(net).__name__))
    if path is not None:
        file_format.replace(path, model.SerializeToString())
    return model


def network_model(net: Network, opset: int, probabilities: bool = True) -> Any:
    """The model of a network."""
    helper = onnx().helper
    writer = Writer(opset, float_type(net))
    body(writer, net, "x", plain=not probabilities and net.head.name in _PROBABILITIES)
    last = writer.nodes[-1].output[0] if writer.nodes else "x"
    writer.named(last, "y")
    inputs = [helper.make_tensor_value_info("x", writer.float_type, ["B", *net.input.shape])]
    outputs = [helper.make_tensor_value_info("y", writer.float_type, ["B", net.outputs])]
    metadata = {}
    if probabilities and net.trainable:
        metadata[ARCHITECTURE] = file_format.encode(net.layers, writer.dtype.name, writer.dtype.name)
    return _model(writer, inputs, outputs, metadata)


def body(writer: Writer, net: Network, x: str, plain: bool) -> str:
    """The layers of a network; the name of its outputs."""
    return LayerWriter(writer, net, plain).network(x)


def float_type(net: Network) -> DType:
    """float32 or float64: what parameters are kept in."""
    return _checks.sum_type(net.dtype)


def _estimator_model(estimator: Estimator, opset: int, probabilities: bool) -> Any:
    helper = onnx().helper
    net = estimator.network
    writer = Writer(opset, float_type(net))
    y = body(writer, net, "X", plain=not probabilities and net.head.name in _PROBABILITIES)
    outputs = []
    for value, name, kind, shape in estimator.outputs(writer, y, probabilities):
        writer.named(value, name)
        outputs.append(helper.make_tensor_value_info(name, kind, shape))
    inputs = [helper.make_tensor_value_info("X", writer.float_type, ["B", net.input.size])]
    return _model(writer, inputs, outputs, {})


def _model(writer: Writer, inputs: Any, outputs: Any, metadata: dict[str, str]) -> Any:
    helper = onnx().helper
    size = sum(tensor.ByteSize() for tensor in writer.initializers.values())
    if size > _MOST_BYTES - 2**20:
        raise ValueError(message("net", "parameters of less than 2 GiB, the most that an ONNX file holds", size))
    graph = helper.make_graph(writer.nodes, "fnnfast", inputs, outputs, list(writer.initializers.values()))
    opset = helper.make_opsetid("", writer.opset)
    model = helper.make_model(
        graph,
        opset_imports=[opset],
        producer_name="fnnfast",
        producer_version=_version(),
        ir_version=helper.find_min_ir_version_for([opset]),
    )
    helper.set_model_props(model, metadata)
    return model


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fnnfast")
    except PackageNotFoundError:  # a source tree
        return ""
