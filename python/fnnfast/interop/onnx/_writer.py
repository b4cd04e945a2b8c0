"""Nodes and initializers of an ONNX graph, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._checks import FLOAT32, Array, DType
from ._package import onnx


class Writer:
    """A graph as it grows: each method gives the name of the value that it adds.

    Parameters
    ----------
    opset : int
    dtype : float32 or float64
        Of all real numbers.
    prefix : str
        Before the names of values, where the nodes go into a graph that has others.
    """

    def __init__(self, opset: int, dtype: DType, prefix: str = "") -> None:
        self.opset = opset
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self._prefix = prefix
        self._counts: dict[str, int] = {}

    @property
    def exact(self) -> bool:
        """Whether the operators of activations serve: their attributes are float32, and so are their kernels."""
        return self.dtype == FLOAT32

    @property
    def float_type(self) -> int:
        """The number of the dtype in ONNX."""
        return int(onnx().helper.np_dtype_to_tensor_dtype(self.dtype))

    def node(self, operator: str, *inputs: str, layer: str = "", domain: str = "", **settings: Any) -> str:
        """A node with one output; layer names the layer that it is a part of."""
        base = self._prefix + (f"{layer}." if layer else "") + operator.lower()
        self._counts[base] = count = self._counts.get(base, 0) + 1
        name = base if count == 1 else f"{base}_{count}"
        self.nodes.append(onnx().helper.make_node(operator, list(inputs), [name], name=name, domain=domain, **settings))
        return name

    def tensor(self, name: str, values: Array) -> str:
        """An initializer; real numbers in the graph's dtype."""
        name = self._prefix + name
        if values.dtype.kind == "f":
            values = values.astype(self.dtype, copy=False)
        self.initializers[name] = onnx().numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def number(self, value: float) -> str:
        """A constant of one number; the same for the same number."""
        return self.tensor(f"number {float(value)!r}", np.array(value, self.dtype))

    def named(self, value: str, name: str) -> str:
        """The value under a name for an output."""
        used = any(value in node.input for node in self.nodes)
        maker = None if used else next((node for node in self.nodes if value in node.output), None)
        if maker is None:
            self.nodes.append(onnx().helper.make_node("Identity", [value], [name], name=name))
        else:
            maker.output[0] = name
        return name
