"""Models of ONNX that ``onnx.helper`` builds from the problem, for the peers that read them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..networks import Conv, Dense, GlobalAverage, Layer, MaxPool, Parallel, Residual, folded
from ..problems import Problem
from .base import Array

OPSET = 20  # the first with Gelu
IR_VERSION = 9  # the format version of that opset's release

_OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "elu": ("Elu", {}),
    "selu": ("Selu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "softplus": ("Softplus", {}),
    "mish": ("Mish", {}),
    "softsign": ("Softsign", {}),
    "hard_swish": ("HardSwish", {}),
}
_CLIPS = {"relu6": (0, 6), "hard_tanh": (-1, 1)}


def models(problem: Problem) -> Iterator[tuple[str, Any]]:
    """The good ways of writing the problem, each with what to add to the name of a variant."""
    helper: Any = import_module("onnx.helper")
    if problem.kind == "network":
        yield "", _model(helper, problem, *_network(helper, problem))
    else:
        yield " one Gemm", _model(helper, problem, *_one_gemm(helper, problem))
        yield " a Gemm a piece", _model(helper, problem, *_gemm_per_piece(helper, problem))


def quantized(problem: Problem) -> Iterator[tuple[str, bytes]]:
    """The same in int8, by ONNX Runtime: with the inputs' scales found before (static), or in every call (dynamic)."""
    quantization: Any = import_module("onnxruntime.quantization")
    signed, unsigned = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
    # Without VNNI, ONNX Runtime adds pairs of products in 16 bits, which overflow unless the weights have 7.
    reduced = not _has_vnni()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("static", "dynamic"):
            file = Path(folder) / f"{name}.onnx"
            (_, model), *_ = models(problem)  # a new one: quantising takes it to pieces
            if name == "static":
                calibration = _Calibration(iter([{"x": problem.x}]))
                options = {"activation_type": unsigned, "weight_type": signed, "reduce_range": reduced}
                quantization.quantize_static(model, str(file), calibration, per_channel=True, **options)
            else:
                quantization.quantize_dynamic(
                    model, str(file), per_channel=True, weight_type=signed, reduce_range=reduced
                )
            yield name, file.read_bytes()


def _has_vnni() -> bool:
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


class _Calibration:
    """What quantize_static asks for batches."""

    def __init__(self, batches: Iterator[dict[str, Array]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)


def _model(helper: Any, problem: Problem, nodes: list[Any], constants: dict[str, Array]) -> Any:
    numpy_helper: Any = import_module("onnx.numpy_helper")
    element = helper.np_dtype_to_tensor_dtype(problem.dtype)
    sample = problem.network.input_shape, problem.output_shape
    x, y = ([problem.batch, *shape[-1:], *shape[:-1]] for shape in sample)  # channels first
    graph = helper.make_graph(
        nodes,
        problem.id,
        [helper.make_tensor_value_info("x", element, x)],
        [helper.make_tensor_value_info("y", element, y)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


class _Graph:
    """Nodes and constants, by walking over the layers. Images are (B, C, H, W), kernels (F, C, H, W)."""

    def __init__(self, helper: Any, dtype: np.dtype[Any]) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self._helper = helper
        self._dtype = dtype

    def network(self, layers: Iterable[Layer], x: str, y: str | None = None) -> str:
        """Add layers after the value named x; the name of their output, which is y if given."""
        *others, last = layers
        for layer in others:
            x = self._layer(layer, x, None)
        return self._layer(last, x, y)

    def _layer(self, layer: Layer, x: str, y: str | None) -> str:
        match layer:
            case Dense():
                if layer.weight.ndim == 4:
                    x = self._node("Flatten", [x])
                return self._product("Gemm", x, [layer.rows_channels_first, layer.bias], layer.activation, y)
            case Conv():
                weight = np.ascontiguousarray(layer.weight.transpose(3, 2, 0, 1))
                settings = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4}
                return self._product("Conv", x, [weight, layer.bias], layer.activation, y, **settings)
            case MaxPool():
                settings = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4}
                return self._node("MaxPool", [x], y, kernel_shape=[layer.size] * 2, **settings)
            case GlobalAverage():
                return self._node("Flatten", [self._node("GlobalAveragePool", [x])], y)
            case Residual():
                branches = [self.network(branch, x) if branch else x for branch in (layer.body, layer.shortcut)]
                return self._node("Relu", [self._node("Add", branches)], y)
            case Parallel():
                return self._node("Concat", [self.network(branch, x) for branch in layer.branches], y, axis=1)
        raise ValueError(f"no nodes for {layer}")

    def _product(
        self, kind: str, x: str, values: list[Array | None], activation: str, y: str | None, **settings: Any
    ) -> str:
        names = [self._constant(value) for value in values if value is not None]
        if activation == "identity":
            return self._node(kind, [x, *names], y, **settings)
        z = self._node(kind, [x, *names], **settings)
        if activation == "swish":
            return self._node("Mul", [z, self._node("Sigmoid", [z])], y)
        if activation in _CLIPS:
            return self._node(
                "Clip", [z, *(self._constant(self._dtype.type(bound)) for bound in _CLIPS[activation])], y
            )
        operator, attributes = _OPERATORS[activation]
        return self._node(operator, [z], y, **attributes)

    def _node(self, kind: str, inputs: list[str], y: str | None = None, **settings: Any) -> str:
        y = y or f"h{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(kind, inputs, [y], **settings))
        return y

    def _constant(self, value: ArrayLike) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name


def _network(helper: Any, problem: Problem) -> tuple[list[Any], dict[str, Array]]:
    graph = _Graph(helper, problem.dtype)
    graph.network(folded(problem.layers), "x", "y")
    return graph.nodes, graph.constants


def _one_gemm(helper: Any, problem: Problem) -> tuple[list[Any], dict[str, Array]]:
    weight, bias = problem.maxout.weight, problem.maxout.bias
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
    weight, bias = problem.maxout.weight, problem.maxout.bias
    names = [f"z{p}" for p in range(len(weight))]
    nodes = [helper.make_node("Gemm", ["x", f"w{p}", f"b{p}"], [names[p]]) for p in range(len(weight))]
    constants: dict[str, Array] = {f"w{p}": weight[p] for p in range(len(weight))}
    constants |= {f"b{p}": bias[p] for p in range(len(weight))}
    return [*nodes, helper.make_node("Max", names, ["y"])], constants
