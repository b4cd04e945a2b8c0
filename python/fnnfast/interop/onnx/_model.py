"""A model reduced to what one of its outputs needs, and its answers."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._checks import Array, short
from .._build import Run
from .._errors import ConversionError
from ._constants import Constants, attributes
from ._files import Source, external_path, type_name
from ._package import onnx
from ._reader import Rows, input_of

_MOST_NODES = 2**14
_OLDEST_OPSET = 6  # the first that PyTorch wrote
_LARGEST_BATCH = 4096
_LARGEST_ROW = 2**20  # or as many values as the file has bytes
_PROBABILITIES = ("probabilities", "output_probability")  # skl2onnx's names


class Needed(NamedTuple):
    """The part of a model that one output needs."""

    source: Source
    rows: Rows
    output: str
    nodes: list[Any]
    initializers: dict[str, Any]
    opset: int

    def place(self, index: int) -> str:
        """How a message names a node."""
        node = self.nodes[index]
        name = f" {node.name!r}" if node.name else ""
        return f"node {index + 1} of {len(self.nodes)}, {node.op_type}{name}"

    def constants(self) -> Constants:
        return Constants(self.initializers, self.source.folder, self.source.size)


def reduce(source: Source, output: str | None) -> Needed:
    """What the output of that name needs, or the one that there is.

    Raises
    ------
    ConversionError
        Not a model; an opset that is not supported; local functions; several outputs.
    """
    graph, package = source.model.graph, onnx()
    opset = _opset(source.model, package.defs.onnx_opset_version())
    if source.model.functions:
        raise ConversionError(
            "the model: local functions; supported: operators of ONNX; inline them with "
            "onnx.inliner.inline_local_functions"
        )
    if len(graph.node) > _MOST_NODES:
        raise ConversionError(f"the model: {len(graph.node)} nodes; supported: at most {_MOST_NODES}")
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    if len(initializers) < len(graph.initializer):
        raise ConversionError("the model: two initializers of one name")
    makers: dict[str, Any] = {}
    for node in graph.node:
        for name in node.output:
            if name and (name in makers or name in initializers):
                raise ConversionError(f"the model: two nodes give {name!r}")
            makers[name] = node
    name = _chosen(graph, makers, output)
    nodes = _ancestors(graph.node, name)
    if not nodes:
        raise ConversionError(f"output {name!r}: no node computes it; supported: outputs of nodes")
    used = {read for node in nodes for read in node.input}
    initializers = {read: tensor for read, tensor in initializers.items() if read in used}
    rows = input_of(graph, initializers, nodes)
    size = math.prod(rows.shape)
    if size > max(_LARGEST_ROW, source.size + _external_size(initializers, source.folder)):
        raise ConversionError(f"input {rows.name!r}: {size} values in a row, more than the file has bytes")
    return Needed(source, rows, name, nodes, initializers, opset)


def _external_size(initializers: Mapping[str, Any], folder: str | None) -> int:
    """How many bytes there are in other files."""
    paths = {external_path(tensor, folder) for tensor in initializers.values() if tensor.data_location == 1}
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


def _opset(model: Any, newest: int) -> int:
    versions = {("" if one.domain == "ai.onnx" else one.domain): one.version for one in model.opset_import}
    if "" not in versions and any(node.domain in ("", "ai.onnx") for node in model.graph.node):
        raise ConversionError("the model: opset_import is missing; supported: models that state their opset")
    opset = int(versions.get("", newest))
    if not _OLDEST_OPSET <= opset <= newest:
        advice = "convert it with onnx.version_converter" if opset < newest else "update the package onnx"
        raise ConversionError(f"the model: opset {opset}; supported: {_OLDEST_OPSET} to {newest}; {advice}")
    return opset


def _chosen(graph: Any, makers: Mapping[str, Any], output: str | None) -> str:
    names = [one.name for one in graph.output]
    if output is None:
        likely = [name for name in names if name in _PROBABILITIES]
        if len(names) != 1 and len(likely) != 1:
            raise ConversionError(f"the model: outputs {names}; supported: one; choose it with output=")
        output = names[0] if len(names) == 1 else likely[0]
    elif output not in names:
        raise ConversionError(f"output: expected one of {names}, got {output!r}")
    maker = makers.get(output)
    # A dictionary for each row: the same numbers with names.
    return maker.input[0] if maker is not None and maker.op_type == "ZipMap" and maker.input else output


def _ancestors(nodes: Sequence[Any], output: str) -> list[Any]:
    """The nodes that an output needs, in order."""
    needed, kept = {output}, []
    for node in reversed(nodes):
        if needed.intersection(name for name in node.output if name):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


# Answers of the model ------------------------------------------------------------------------------------------------
def reference(needed: Needed) -> Run:
    """The model's answers by onnx.reference, which is NumPy; only for a model that was read, and found harmless."""
    helper = onnx().helper
    dtype = helper.tensor_dtype_to_np_dtype(needed.rows.kind)
    batch = needed.rows.batch
    if batch is not None and batch > _LARGEST_BATCH:
        raise ConversionError(f"input {needed.rows.name!r}: {batch} rows; supported: any number, or {_LARGEST_BATCH}")

    def run(x: Array) -> Array:
        x = x.reshape(len(x), *needed.rows.shape)
        count = len(x) if batch is None else batch
        padding = -len(x) % max(1, count)
        padded = np.concatenate([x, np.zeros((padding, *x.shape[1:]), x.dtype)]).astype(dtype)
        parts = [padded[first : first + count] for first in range(0, len(padded), max(1, count))]
        try:
            evaluator = _evaluator(needed)
            with np.errstate(all="ignore"):
                outputs = [evaluator.run(None, {needed.rows.name: part})[0] for part in parts]
            return np.concatenate([np.asarray(part, np.float64) for part in outputs])[: len(x)]
        except Exception as error:  # whatever a model that is not quite right makes of the code of another package
            problem = short(f"{type(error).__name__}: {error}")
            raise ConversionError(
                f"the model: onnx.reference, with which it is compared, does not run it ({problem}); supported: models "
                "that onnx.checker.check_model finds right; or give rows and their outputs, check=(x, y)"
            ) from error

    return run


def _evaluator(needed: Needed) -> Any:
    package, helper = onnx(), onnx().helper
    tensors = [
        package.numpy_helper.from_array(_raw(needed, name), name) if tensor.data_location == 1 else tensor
        for name, tensor in needed.initializers.items()
    ]
    read = helper.make_tensor_value_info(needed.rows.name, needed.rows.kind, None)
    nodes = [_in_default_domain(node) for node in needed.nodes]
    graph = helper.make_graph(nodes, "checked", [read], [helper.make_empty_tensor_value_info(needed.output)], tensors)
    imports = [one for one in needed.source.model.opset_import if one.domain not in ("", "ai.onnx")]
    imports.append(helper.make_opsetid("", needed.opset))
    model = helper.make_model(graph, opset_imports=imports, ir_version=needed.source.model.ir_version)
    return package.reference.ReferenceEvaluator(model, new_ops=_corrected(needed.opset))


def _in_default_domain(node: Any) -> Any:
    """ "ai.onnx" is another name of the default domain, which onnx.reference does not know."""
    if node.domain != "ai.onnx":
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    copy.domain = ""
    return copy


def _corrected(opset: int) -> list[type]:
    """Operators that onnx.reference does not compute as ONNX describes them."""
    from onnx.reference.op_run import OpRun

    class LRN(OpRun):  # type: ignore[misc]  # Any without the package
        """There, as many channels as there are rows."""

        op_domain = ""

        def _run(self, x: Array, *, size: int = 1, **given: Any) -> tuple[Array]:
            alpha, beta, bias = (float(given.get(key) or default) for key, default in _LRN.items())
            return (_local_response_norm(x, size, alpha, beta, bias),)

    class BatchNormalization(OpRun):  # type: ignore[misc]
        """There, before opset 14, training by the batch's own mean."""

        op_domain = ""

        def _run(self, x: Array, *constants: Array, epsilon: float = 1e-5, **_: Any) -> tuple[Array]:
            scale, bias, mean, variance = (part.reshape(-1, *[1] * (x.ndim - 2)) for part in constants)
            y = scale * (x - mean) / np.sqrt(variance + (1e-5 if epsilon is None else epsilon)) + bias
            return (y.astype(x.dtype),)

    class Softmax(OpRun):  # type: ignore[misc]
        """There, before opset 13, over one axis, by default the last: that of the newest opset, which _run gets."""

        op_domain = ""

        def _run(self, x: Array, **_: Any) -> tuple[Array]:
            rows = x.reshape(math.prod(x.shape[: attributes(self.onnx_node).get("axis", 1)]), -1)
            powers = np.exp(rows - rows.max(axis=1, keepdims=True))
            return ((powers / powers.sum(axis=1, keepdims=True)).reshape(x.shape),)

    class MaxPool(OpRun):  # type: ignore[misc]
        """There, with uneven pads, another number of windows."""

        op_domain = ""

        def _run(self, x: Array, **given: Any) -> tuple[Array]:
            return (_pooled(x, given, np.max),)

    class AveragePool(OpRun):  # type: ignore[misc]
        """There, with ceil_mode, means of other windows."""

        op_domain = ""

        def _run(self, x: Array, **given: Any) -> tuple[Array]:
            return (_pooled(x, given, np.mean),)

    found: list[type] = [LRN, MaxPool, AveragePool]
    found += [BatchNormalization] if opset < 14 else []
    return [*found, Softmax] if opset < 13 else found


def _pooled(x: Array, given: Mapping[str, Any], reduce: Any) -> Array:
    """A maximum or a mean over windows, of attributes that were found to be supported."""
    kernel = given["kernel_shape"]
    strides = given.get("strides") or [1, 1]
    pads = list(given.get("pads") or [0, 0, 0, 0])
    mode, ceil = given.get("auto_pad") or "NOTSET", bool(given.get("ceil_mode"))
    counts: list[int] = []
    for axis in range(2):
        length, extent, stride = x.shape[2 + axis], kernel[axis], strides[axis]
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            missing = max((-(-length // stride) - 1) * stride + extent - length, 0)
            small, large = missing // 2, missing - missing // 2
            pads[axis], pads[axis + 2] = (small, large) if mode == "SAME_UPPER" else (large, small)
        elif mode == "VALID":
            pads[axis] = pads[axis + 2] = 0
        free = length + pads[axis] + pads[axis + 2] - extent
        count = (-(-free // stride) if ceil else free // stride) + 1
        counts.append(count - 1 if ceil and (count - 1) * stride >= length + pads[axis] else count)
    y = np.empty((*x.shape[:2], *counts), x.dtype)
    for row, column in np.ndindex(*counts):
        top, left = row * strides[0] - pads[0], column * strides[1] - pads[1]
        window = x[:, :, max(top, 0) : top + kernel[0], max(left, 0) : left + kernel[1]]
        y[:, :, row, column] = reduce(window, axis=(2, 3))
        if reduce is np.mean and given.get("count_include_pad"):
            y[:, :, row, column] *= window.shape[2] * window.shape[3] / (kernel[0] * kernel[1])
    return y


_LRN = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}


def _local_response_norm(x: Array, size: int, alpha: float, beta: float, bias: float) -> Array:
    before, squares = (size - 1) // 2, np.zeros_like(x)
    for channel in range(x.shape[1]):
        squares[:, channel] = (x[:, max(channel - before, 0) : channel + size - before] ** 2).sum(axis=1)
    y: Array = x / (bias + alpha / size * squares) ** beta
    return y.astype(x.dtype)


def _raw(needed: Needed, name: str) -> Array:
    """External data as the model has them; float16 too, whose numbers read_tensor widens."""
    values = needed.constants()[name]
    kind = type_name(needed.initializers[name].data_type)
    return (
        values.astype(onnx().helper.tensor_dtype_to_np_dtype(needed.initializers[name].data_type))
        if "16" in kind
        else values
    )
