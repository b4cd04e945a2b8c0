"""ONNX Runtime on models that ``onnx.helper`` builds from the problem."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..problems import Problem
from .base import Array, Peer, Variant, expression

OPSET = 20  # the first with Gelu
IR_VERSION = 9  # the format version of that opset's release


class OnnxRuntime(Peer):
    name = "onnxruntime"
    requires = ("onnxruntime", "onnx")

    def supports(self, problem: Problem) -> bool:
        return not problem.trains and problem.precision != "bfloat16"  # its kernels for the CPU have no bfloat16

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        helper: Any = import_module("onnx.helper")
        if problem.precision == "int8":
            yield from _quantized(helper, problem, threads)
            return
        if problem.kind == "network":
            graphs = [("", *_network(helper, problem))]
        else:
            graphs = [
                (" one Gemm", *_one_gemm(helper, problem)),
                (" a Gemm a piece", *_gemm_per_piece(helper, problem)),
            ]
        for name, nodes, constants in graphs:
            session = _session(_model(helper, problem, nodes, constants).SerializeToString(), threads)
            yield expression("run" + name, "run(None, feed)[0]", {"run": session.run, "feed": {"x": problem.x}})
            yield _bound(session, problem, "run_with_iobinding" + name)


def _bound(session: Any, problem: Problem, name: str) -> Variant:
    """The input and output bound once: the nearest that ONNX Runtime has to ``out=``."""
    ort: Any = import_module("onnxruntime")
    y = ort.OrtValue.ortvalue_from_numpy(np.empty((problem.batch, problem.widths[-1]), np.float32))
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(problem.x))
    binding.bind_ortvalue_output("y", y)

    def answers() -> list[Array]:
        session.run_with_iobinding(binding)
        return [y.numpy()]

    return Variant(name, "run(binding)", {"run": session.run_with_iobinding, "binding": binding}, answers)


def _quantized(helper: Any, problem: Problem, threads: int) -> Iterator[Variant]:
    """The inputs' scales found before (static), or anew in every call (dynamic)."""
    quantization: Any = import_module("onnxruntime.quantization")
    signed, unsigned = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
    with tempfile.TemporaryDirectory() as folder:
        for name in ("static", "dynamic"):
            file = str(Path(folder) / f"{name}.onnx")
            model = _model(helper, problem, *_network(helper, problem))  # a new one: quantising takes it to pieces
            if name == "static":
                calibration = _Calibration(iter([{"x": problem.x}]))
                options = {"per_channel": True, "activation_type": unsigned, "weight_type": signed}
                quantization.quantize_static(model, file, calibration, **options)
            else:
                quantization.quantize_dynamic(model, file, per_channel=True, weight_type=signed)
            yield _bound(_session(file, threads), problem, f"run_with_iobinding, quantize_{name}")


class _Calibration:
    """What quantize_static asks for batches."""

    def __init__(self, batches: Iterator[dict[str, Array]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def _model(helper: Any, problem: Problem, nodes: list[Any], constants: dict[str, Array]) -> Any:
    numpy_helper: Any = import_module("onnx.numpy_helper")
    element = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
    graph = helper.make_graph(
        nodes,
        problem.id,
        [helper.make_tensor_value_info("x", element, [problem.batch, problem.widths[0]])],
        [helper.make_tensor_value_info("y", element, [problem.batch, problem.widths[-1]])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _session(model: str | bytes, threads: int) -> Any:
    """Of a file or of the model itself."""
    ort: Any = import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _network(helper: Any, problem: Problem) -> tuple[list[Any], dict[str, Array]]:
    nodes: list[Any] = []
    constants: dict[str, Array] = {}
    previous, last = "x", len(problem.layers)
    layers = zip(problem.layers, problem.activations, strict=True)
    for index, ((weight, bias), activation) in enumerate(layers, start=1):
        constants |= {f"w{index}": weight, f"b{index}": bias}
        after = "y" if index == last else f"h{index}"
        before = after if activation == "identity" else f"z{index}"
        nodes.append(helper.make_node("Gemm", [previous, f"w{index}", f"b{index}"], [before]))
        if activation == "swish":
            nodes.append(helper.make_node("Sigmoid", [before], [f"s{index}"]))
            nodes.append(helper.make_node("Mul", [before, f"s{index}"], [after]))
        elif activation != "identity":
            nodes.append(helper.make_node(activation.capitalize(), [before], [after]))
        previous = after
    return nodes, constants


def _one_gemm(helper: Any, problem: Problem) -> tuple[list[Any], dict[str, Array]]:
    weight, bias = problem.layers[0]
    pieces, inputs, units = weight.shape
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["z"]),
        helper.make_node("Reshape", ["z", "shape"], ["parts"]),
        helper.make_node("ReduceMax", ["parts", "axis"], ["y"], keepdims=0),
    ]
    constants: dict[str, Array] = {
        "w": np.ascontiguousarray(weight.transpose(1, 0, 2)).reshape(inputs, -1),
        "b": bias.reshape(-1),
        "shape": np.array([problem.batch, pieces, units]),
        "axis": np.array([1]),
    }
    return nodes, constants


def _gemm_per_piece(helper: Any, problem: Problem) -> tuple[list[Any], dict[str, Array]]:
    weight, bias = problem.layers[0]
    names = [f"z{p}" for p in range(len(weight))]
    nodes = [helper.make_node("Gemm", ["x", f"w{p}", f"b{p}"], [names[p]]) for p in range(len(weight))]
    constants: dict[str, Array] = {f"w{p}": weight[p] for p in range(len(weight))}
    constants |= {f"b{p}": bias[p] for p in range(len(weight))}
    return [*nodes, helper.make_node("Max", names, ["y"])], constants
