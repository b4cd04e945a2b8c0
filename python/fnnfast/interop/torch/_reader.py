"""From the calls in a forward to steps: shapes, constants, and what each call is."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from ..._checks import FLOAT64, Array
from ...layers import Flatten
from .._errors import ConversionError, refusal
from .._layout import CHANNELS_FIRST, CHANNELS_LAST, VECTOR, Layout
from .._operations import Operation, Plain
from .._steps import Step
from .._values import alike, image
from ._source import numpy_of
from ._trace import kind_of, place, place_in
from ._values import Memory, Value, depends

Rule = Callable[..., Any]

# Where functions are looked for by name; builtins has getattr.
_SPACES = (torch, torch.nn.functional, torch.special, operator, builtins)


_MODULES = (
    "Linear, Conv2d, MaxPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Dropout, Flatten, Softmax at the end, activations "
    "such as ReLU, and modules made of these (docs/interop/torch.md has a list)"
)
_FUNCTIONS = (
    "linear, matmul, conv2d, max_pool2d, avg_pool2d, batch_norm, dropout, softmax at the end, flatten, view, "
    "activations such as relu, sums, maxima of linear functions, and arithmetic with constants (docs/interop/torch.md "
    "has a list)"
)


class Call:
    """A call of which some argument depends on the input."""

    def __init__(self, reader: Reader, place: str, in_place: bool = False) -> None:
        self._reader = reader
        self.place = place
        self.in_place = in_place

    # Arguments -------------------------------------------------------------------------------------------------------
    def value(self, argument: Any) -> Value:
        """An argument that must depend on the input."""
        if not isinstance(argument, Value):
            raise self.refused(f"a {type(argument).__name__} as the input", "values that are computed from the input")
        return argument

    def vectors(self, argument: Any) -> Value:
        """An argument whose rows must be vectors."""
        found = self.value(argument)
        if len(found.shape) != 1:
            raise self.refused(f"rows of shape {found.shape}", "rows that are vectors: flatten(1) before it")
        return found

    def image(self, argument: Any, or_pixel: bool = False) -> Value:
        """An argument that must be images, with their channels first; or the one pixel that a pool gave."""
        return image(self.value(argument), CHANNELS_FIRST, self.place, or_pixel)

    def reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        """The numbers of a row in another shape, in the same order."""
        if value.permuted:
            value = value.copied()
        if not value.layout.is_image or shape == value.shape:
            return value.view(shape)
        return value.flattened(self._step(Plain(Flatten()), [value])).view(shape)

    def array(self, argument: Any) -> Array:
        """A constant tensor."""
        if not isinstance(argument, torch.Tensor):
            raise self.refused(f"a {type(argument).__name__} in the place of parameters", "constant tensors")
        return numpy_of(argument)

    def constant(self, argument: Any, shape: tuple[int, ...], layout: Layout = VECTOR) -> Array:
        """A number or tensor that is broadcast over rows of a shape.

        (W,), or (C,) for images, or (1,) where it is one number.
        """
        if isinstance(argument, torch.Tensor):
            array = self.array(argument)
        elif isinstance(argument, (int, float)):
            array = np.array(argument, FLOAT64)
        else:
            raise self.refused(f"{argument!r} as a number", "numbers and constant tensors")
        if array.size == 1 and array.ndim <= len(shape) + 1:
            return array.reshape(1)
        if array.ndim == len(shape) + 1 and array.shape[0] == 1:
            array = array[0]
        try:
            spread = layout.constants(array, shape)
        except ValueError:
            problem = f"a constant of shape {array.shape} beside rows of shape {shape}"
            raise self.refused(problem, "one number, or one for each value of a row") from None
        if spread is None:
            raise self.refused("constants that differ from pixel to pixel", "one for each channel of an image")
        return spread[:1] if (spread == spread[0]).all() else spread

    # Results ---------------------------------------------------------------------------------------------------------
    def elementwise(self, kind: str, *arguments: Any, inplace: bool = False, **settings: Any) -> Value:
        """The value of an elementwise operator, by ONNX's name, on values and constants."""
        data = [argument for argument in arguments if isinstance(argument, Value)]
        if not data:
            raise self.refused("arithmetic with the number of rows", "arithmetic with values")
        first = alike(data, self.place)
        shape, layout = first.shape, first.layout
        parts = tuple(
            part.step if isinstance(part, Value) else self.constant(part, shape, layout) for part in arguments
        )
        step = self._reader.add(Step(self.place, kind, parts, None, settings))
        if not (inplace or self.in_place):
            return Value(step, shape, Memory(), 0, layout)
        target = self.value(arguments[0])
        if target.memory.flattened:
            problem = "a write in place to images, or to their view as vectors"
            raise self.refused(problem, "writes to either before there is such a view", "leave out inplace=True")
        return target.write(step)

    def apply(
        self,
        operation: Operation,
        values: Sequence[Value],
        shape: tuple[int, ...] | None = None,
        layout: Layout | None = None,
    ) -> Value:
        """The value of an operation, of the shape and layout of its first input unless others are given."""
        first = values[0]
        return Value(
            self._step(operation, values),
            first.shape if shape is None else shape,
            Memory(),
            0,
            first.layout if layout is None else layout,
        )

    def keep(self, operation: Operation, value: Value) -> Value:
        """The value after an operation that changes no number, and so is in the same memory."""
        return value.view(value.shape, self._step(operation, [value]))

    def _step(self, operation: Operation, values: Sequence[Value]) -> int:
        return self._reader.add(Step(self.place, "", tuple(value.step for value in values), operation))

    def note(self, text: str) -> None:
        """Report something in ``converted_from.folded``."""
        self._reader.notes.append(f"{self.place}: {text}")

    def refused(self, problem: str, supported: str, advice: str = "") -> ConversionError:
        return refusal(self.place, problem, supported, advice)


class Reader:
    """Calls read in order.

    Parameters
    ----------
    whole : Module
        The module that was traced.
    functions : mapping of str to Rule
        What functions and methods are, by name. The first argument of a rule is the Call, the others are those of the
        function.
    modules : mapping of type to (str, str)
        What modules are: the name of a function, and those attributes that are its arguments.
    """

    def __init__(
        self,
        whole: nn.Module,
        functions: dict[str, Rule],
        modules: dict[type[nn.Module], tuple[str, str]],
    ) -> None:
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self._whole = whole
        self._functions = functions
        self._modules = modules
        self._names = {
            getattr(space, name): name
            for plain in functions
            for name in (plain, f"{plain}_")
            for space in _SPACES
            if hasattr(space, name)
        }
        self.layout = VECTOR  # of the input
        self._values: dict[fx.Node, Any] = {}
        self._uses: dict[str, int] = {}

    def add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps)

    def read(self, graph: fx.Graph, shape: tuple[int, ...]) -> int:
        """The step that gives the output, for an input of rows of a shape.

        Raises
        ------
        ConversionError
            A call, or a form of one, that is not supported.
        """
        if len(shape) == 3 and any(map(self._reads_images, graph.nodes)):
            turned = any(map(_to_channels_first, next(iter(graph.nodes)).users))
            self.layout = CHANNELS_LAST if turned else CHANNELS_FIRST
        for node in graph.nodes:
            self._values[node] = self._read(node, shape)
        for path, uses in self._uses.items():
            if uses > 1 and next(self._whole.get_submodule(path).parameters(), None) is not None:
                self.notes.append(f"{place_in(self._whole, path)}: {uses} uses, each with parameters of its own")
        found = self._values[node]
        if not isinstance(found, Value) or len(found.shape) != 1:
            kind = type(found).__name__.removeprefix("immutable_")  # of torch.fx
            got = f"rows of shape {found.shape}" if isinstance(found, Value) else f"a {kind}"
            raise refusal("the output", got, "one tensor of rows that are vectors, (B, O)", _advice(found))
        if found.layout != VECTOR:
            raise refusal("the output", "the pixels of images", "vectors, such as those of a Linear after a Flatten")
        return self._last(found.step)

    def _last(self, step: int) -> int:
        """Without dropout at the end, which a network does not have."""
        while step and (operation := self.steps[step - 1].operation) and operation.passive:
            self.notes.append(f"{self.steps[step - 1].place}: left out, since no layer follows it")
            (step,) = self.steps[step - 1].inputs
        return step

    def _read(self, node: fx.Node, shape: tuple[int, ...]) -> Any:
        if node.op == "placeholder":
            return Value(0, shape, Memory(), 0, self.layout)
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self._whole)
        arguments = fx.node.map_arg(node.args, self._values.__getitem__)
        keywords = fx.node.map_arg(node.kwargs, self._values.__getitem__)
        if node.op == "output":
            return arguments[0]
        if not depends((arguments, keywords)):
            return self._computed(node, arguments, keywords)
        name, rule = self._function(node)
        if node.op == "call_module":
            module = self._whole.get_submodule(str(node.target))
            self._uses[str(node.target)] = self._uses.get(str(node.target), 0) + 1
            keywords = {**keywords, **{key: getattr(module, key) for key in self._modules[kind_of(module)][1].split()}}
        call = Call(self, place(node, self._whole), in_place=_is_in_place(name, node.op))
        try:
            return rule(call, *arguments, **keywords)
        except TypeError as error:
            raise call.refused(f"arguments that are not supported ({error})", f"{name} of one input") from error

    def _function(self, node: fx.Node) -> tuple[str, Rule]:
        """The name of what is called, and the rule for it."""
        if node.op == "call_module":
            kind = kind_of(self._whole.get_submodule(str(node.target)))
            if kind not in self._modules:
                raise refusal(place(node, self._whole), "a module that is not supported", _MODULES)
            name = self._modules[kind][0]
            return name, self._functions[name]
        name = node.target if node.op == "call_method" else self._names.get(node.target, "")
        rule = self._functions.get(name.removesuffix("_"))
        if rule is None:
            what = "method" if node.op == "call_method" else "function"
            raise refusal(place(node, self._whole), f"a {what} that is not supported", _FUNCTIONS)
        return name, rule

    def _reads_images(self, node: fx.Node) -> bool:
        """Whether a node is a call of what only images have."""
        if node.op == "call_module":
            return self._modules.get(kind_of(self._whole.get_submodule(str(node.target))), ("",))[0] in ON_IMAGES
        return node.op == "call_function" and self._names.get(node.target) in ON_IMAGES

    def _computed(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        """What depends on constants alone."""
        if node.op == "call_module":
            return self._whole.get_submodule(str(node.target))(*arguments, **keywords)
        if node.op == "call_method":
            return getattr(arguments[0], str(node.target))(*arguments[1:], **keywords)
        return node.target(*arguments, **keywords)


ON_IMAGES = {
    "conv2d", "maxout_conv2d", "max_pool2d", "avg_pool2d", "average_pool2d", "adaptive_avg_pool2d",
    "adaptive_max_pool2d", "local_response_norm",
}  # fmt: skip


def _to_channels_first(node: fx.Node) -> bool:
    """Whether it permutes images of channels last."""
    dims = node.args[1:]
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return node.target in ("permute", torch.permute) and tuple(order) == (0, 3, 1, 2)


def _is_in_place(name: str, op: str) -> bool:
    """Whether a function, by its name, writes to its first argument."""
    return op != "call_module" and (name in _IN_PLACE or name.endswith("_"))


_IN_PLACE = {"iadd", "isub", "imul", "itruediv", "ipow"}


def _advice(found: Any) -> str:
    if isinstance(found, Value) and not found.shape:
        return "leave out the squeeze at the end: the network gives (B, 1)"
    return "flatten the rows at the end" if isinstance(found, Value) else "return one tensor"
