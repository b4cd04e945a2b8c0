"""From the nodes of an ONNX graph to steps: shapes, constants, and what each operator is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._checks import Array
from ...layers import Flatten
from .._errors import ConversionError, refusal
from .._layout import CHANNELS_FIRST, CHANNELS_LAST, VECTOR, Layout
from .._operations import Operation, Plain
from .._steps import FORMULAS, Step
from .._values import alike, image
from ._constants import BATCH, Constants, attributes
from ._files import FLOATS

_PARAMETERS = ("alpha", "beta", "gamma")
_ROWS = "values (B, ...) whose first axis is the rows'"


class Value(NamedTuple):
    """What a node gives that depends on the input.

    step: of 0, the input, or of the k-th step.
    shape: of a row.
    turned: whether the rows are its last axis; it then has two.
    layout: where the numbers of a row are in the network.
    """

    step: int
    shape: tuple[int, ...]
    turned: bool = False
    layout: Layout = VECTOR

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Node:
    """A node as the operators below read it."""

    def __init__(self, reader: Reader, proto: Any, place: str) -> None:
        self._reader = reader
        self.place = place
        self.kind: str = proto.op_type
        self.given = attributes(proto)
        self.names: list[str] = list(proto.input)
        self.opset = reader.opset
        self.batch = reader.batch

    def value(self, index: int = 0) -> Value | None:
        """An input that depends on the network's, None for a constant or one that is left out."""
        return self._reader.values.get(self._name(index))

    def constant(self, index: int) -> Array | None:
        """An input that does not, None for one that is left out; ConversionError for a computed one."""
        name = self._name(index)
        if not name:
            return None
        if name in self._reader.values:
            raise self.refused(f"input {index} depends on the network's input", "a constant there")
        return self._reader.constants[name]

    def _name(self, index: int) -> str:
        return self.names[index] if index < len(self.names) else ""

    def reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        """The numbers of a row in another shape, in the same order."""
        if value.shape == shape:
            return value
        if value == self._reader.input and not value.layout.is_image:
            return self._reader.input_as_images(shape)
        return self.vector(value)._replace(shape=shape)

    def before(self, value: Value) -> Step | None:
        """The step that gives a value."""
        return self._reader.steps[value.step - 1] if value.step else None

    def data(self, index: int = 0) -> Value:
        """An input that must depend on the network's."""
        found = self.value(index)
        if found is None:
            raise self.refused(f"input {index} does not depend on the model's input", "one that is")
        return found

    def image(self, index: int = 0, or_pixel: bool = False) -> Value:
        """An input that is images, with their channels first; or the one pixel that a pool gave."""
        return image(self.data(index), CHANNELS_FIRST, self.place, or_pixel)

    def vector(self, value: Value) -> Value:
        """An image as a vector, with the same shape in the model; else the value itself."""
        if not value.layout.is_image:
            return value
        flat = self._reader.add(Step(self.place, self.kind, (value.step,), Plain(Flatten())), value.shape, False)
        return flat._replace(layout=value.layout.flattened(value.shape))

    def rows(self, index: int = 0) -> Value:
        """An input whose rows are vectors along its first axis."""
        found = self.data(index)
        if found.turned or len(found.shape) != 1:
            raise self.refused(f"rows of shape {found.shape}", "rows that are vectors: a Flatten or Reshape before it")
        return found

    def scalar(self, index: int, key: str, default: float) -> float:
        """A number that is an input or, in older opsets, an attribute."""
        constant = self.constant(index)
        return float(self.given.get(key, default)) if constant is None else float(constant.reshape(()))

    def step(
        self,
        operation: Operation,
        inputs: Sequence[Value],
        shape: Sequence[int],
        turned: bool = False,
        layout: Layout | None = None,
    ) -> Value:
        """The value that an operation gives; in the layout of its first input, unless another one is given."""
        step = Step(self.place, self.kind, tuple(of.step for of in inputs), operation)
        return self._reader.add(step, tuple(shape), turned, inputs[0].layout if layout is None else layout)

    def elementwise(self, settings: Mapping[str, Any] | None = None, inputs: int | None = None) -> Value:
        """The value of an elementwise operator on all inputs, or the first so many."""
        count = len(self.names) if inputs is None else inputs
        data = [found for index in range(count) if (found := self.value(index)) is not None]
        first = self.alike(data)
        shape, turned = first.shape, first.turned
        arguments: list[int | Array] = []
        for index in range(count):
            found = self.value(index)
            constant = None if found is not None else self.constant(index)
            if found is not None:
                arguments.append(found.step)
            elif constant is not None:
                if self.opset < 7 and "axis" in self.given:
                    constant = self.from_axis(constant, self.given["axis"], shape)
                arguments.append(self.per_value(constant, first))
        given = self.given if settings is None else settings
        given = {key: float(part) if key in _PARAMETERS else part for key, part in given.items()}
        return self._reader.add(Step(self.place, self.kind, tuple(arguments), None, given), shape, turned, first.layout)

    def alike(self, values: Sequence[Value]) -> Value:
        """The first of values of one shape, whose numbers lie in the same order."""
        first = alike(values, self.place)
        if any(other.turned != first.turned for other in values):
            raise self.refused("rows along the first axis, and others along the last", "rows along one axis")
        return first

    def per_value(self, constant: Array, value: Value) -> Array:
        """A constant that is broadcast over rows, as (W,), or (C,) for images, or (1,) where it is one number."""
        shape = value.shape
        if constant.size == 1 and constant.ndim <= len(shape) + 1:
            return constant.reshape(1)
        if value.turned:
            constant = constant.T if constant.ndim == 2 else constant[:, np.newaxis]
        if constant.ndim > len(shape):
            if constant.ndim != len(shape) + 1 or constant.shape[0] != 1:
                raise self.refused(f"a constant of shape {constant.shape} beside rows of {shape}", "one for each value")
            constant = constant[0]
        try:
            found = value.layout.constants(constant, shape)
        except ValueError:
            raise self.refused(
                f"a constant of shape {constant.shape} beside rows of {shape}", "one for each value"
            ) from None
        if found is None:
            raise self.refused("constants that differ from pixel to pixel", "one for each channel of an image")
        return found

    def from_axis(self, constant: Array, axis: int, shape: tuple[int, ...]) -> Array:
        """A constant whose axes are those of the value from that one on, as before opset 7, for NumPy's rules."""
        rank = 1 + len(shape)
        after = rank - (axis + rank if axis < 0 else axis) - constant.ndim
        if after < 0 or axis >= rank:
            problem = f"a constant of shape {constant.shape} from axis {axis} of {rank}"
            raise self.refused(problem, "axes that there are")
        return constant.reshape(*constant.shape, *[1] * after)

    def refused(self, problem: str, supported: str, advice: str = "") -> ConversionError:
        return refusal(self.place, problem, supported, advice)


Operator = Callable[[Node], Value]


class Reader:
    """Nodes read in order.

    Parameters
    ----------
    constants : Constants
    opset : int
    batch : int or None
        How many rows the model takes, if it does not take any number of them.
    operators : mapping of (domain, name) to a function of a Node
    """

    def __init__(
        self, constants: Constants, opset: int, batch: int | None, operators: Mapping[tuple[str, str], Operator]
    ) -> None:
        self.constants = constants
        self.opset = opset
        self.batch = batch
        self.values: dict[str, Value] = {}
        self.steps: list[Step] = []
        self.input = Value(0, ())
        self._reads_images = False
        self._operators = operators

    def take_input(self, rows: Rows, nodes: Sequence[Any]) -> None:
        """Note the input: images, if an operator on images is among the nodes; else vectors."""
        layout = VECTOR
        self._reads_images = any(node.op_type in ON_IMAGES for node in nodes)
        if self._reads_images and len(rows.shape) == 3:
            turned = any(
                node.op_type == "Transpose"
                and rows.name in node.input
                and list(attributes(node).get("perm", ())) == [0, 3, 1, 2]
                for node in nodes
            )
            layout = CHANNELS_LAST if turned else CHANNELS_FIRST
        self.input = self.values[rows.name] = Value(0, rows.shape, False, layout)

    def input_as_images(self, shape: tuple[int, ...]) -> Value:
        """The input, vectors in the model, which reshapes them to images first of all."""
        if self._reads_images and len(shape) == 3:
            self.input = Value(0, shape, False, CHANNELS_FIRST)
        return self.input._replace(shape=shape)

    def add(self, step: Step, shape: tuple[int, ...], turned: bool, layout: Layout = VECTOR) -> Value:
        self.steps.append(step)
        return Value(len(self.steps), shape, turned, layout)

    def result(self, name: str) -> Value:
        """The value of that name, with its rows along the first axis."""
        found = self.values.get(name)
        if found is None or found.turned:
            shape = "a constant" if found is None else "rows along the last axis"
            raise ConversionError(f"output {name!r}: {shape}; supported: values (B, ...) that depend on the input")
        if found.layout.is_image and found.size != found.shape[0]:
            raise ConversionError(f"output {name!r}: images of shape {found.shape}; supported: vectors")
        if not found.layout.is_image and found.layout != VECTOR:
            raise ConversionError(
                f"output {name!r}: the pixels of an image, channels first; supported: vectors, such as those of Gemm"
            )
        return found

    def read(self, proto: Any, place: str) -> None:
        """Take note of what a node gives.

        Raises
        ------
        ConversionError
            An operator, or a form of one, that is not supported.
        """
        for name in proto.input:
            if name and name not in self.values and name not in self.constants:
                raise ConversionError(f"{place}: its input {name!r} is not computed before it")
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        if not any(name in self.values for name in proto.input):
            if self.constants.fold(proto, place):
                return
            raise refusal(place, "this operator on constants", "arithmetic and reshaping of constants")
        operator = self._operators.get((domain, proto.op_type))
        if operator is None and not domain and proto.op_type in FORMULAS:
            operator = Node.elementwise
        if operator is None:
            names = sorted({name for _, name in self._operators} | set(FORMULAS))
            where = f" of the domain {proto.domain!r}" if domain else ""
            raise refusal(
                place,
                f"an operator{where} that is not supported",
                ", ".join(names),
                "where it stands for some of these, export the model with those",
            )
        node = Node(self, proto, place)
        if proto.op_type == "Shape":
            found = node.data()
            lengths = np.array([*found.shape, BATCH] if found.turned else [BATCH, *found.shape], np.int64)
            self.constants.put(proto.output[0], lengths[node.given.get("start", 0) : node.given.get("end")])
            return
        try:
            self.values[proto.output[0]] = operator(node)
        except ConversionError:
            raise
        except (AttributeError, TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
            raise ConversionError(f"{place}: invalid attributes or constants ({error})") from error


ON_IMAGES = {"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN"}
"""The operators that read images."""


# The input -----------------------------------------------------------------------------------------------------------
class Rows(NamedTuple):
    """The input of a model: its name, the shape of a row, how many rows there must be (None: any), its numbers."""

    name: str
    shape: tuple[int, ...]
    batch: int | None
    kind: int


def input_of(graph: Any, initializers: Mapping[str, Any], nodes: Sequence[Any]) -> Rows:
    """The one input that nodes read; ConversionError where there is not one of rows of real numbers."""
    used = {name for node in nodes for name in node.input}
    found = [one for one in graph.input if one.name not in initializers and one.name in used]
    if len(found) != 1:
        names = ", ".join(repr(one.name) for one in found) or "none"
        raise ConversionError(f"the model: inputs {names}; supported: one input, {_ROWS}")
    place = f"input {found[0].name!r}"
    tensor = found[0].type.tensor_type
    if tensor.elem_type not in FLOATS:
        raise ConversionError(f"{place}: not a float type; supported: float, double, float16, bfloat16")
    lengths = [dim.dim_value if dim.WhichOneof("value") == "dim_value" else None for dim in tensor.shape.dim]
    if not tensor.HasField("shape"):
        lengths = [None, None]
    if len(lengths) < 2:
        raise ConversionError(f"{place}: shape {lengths}; supported: {_ROWS}")
    batch, *row = lengths
    if row == [None]:
        row = [_width(found[0].name, nodes, initializers)]
    if None in row or min(length or 0 for length in row) < 1 or (batch is not None and batch < 1):
        raise ConversionError(f"{place}: shape {lengths}; supported: {_ROWS}, of a fixed shape otherwise")
    return Rows(found[0].name, tuple(length or 0 for length in row), batch, tensor.elem_type)


def _width(name: str, nodes: Sequence[Any], initializers: Mapping[str, Any]) -> int | None:
    """The width of an input that does not say it, from the weight that it is multiplied by."""
    for node in nodes:
        if node.op_type in ("Gemm", "MatMul") and node.input[0] == name and node.input[1] in initializers:
            dims = initializers[node.input[1]].dims
            turned = node.op_type == "Gemm" and attributes(node).get("transB", 0)
            return int(dims[1 if turned else 0]) if len(dims) == 2 else None
    return None
