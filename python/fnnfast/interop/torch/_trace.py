"""The calls in a module's forward, as torch.fx records them."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from .._errors import refusal
from ._source import Whole, dtype_of, place_of
from ._standard import MODULES

# What keeps the width of rows that are vectors.
_PASSING = {"identity", "dropout", "relu", "tanh", "sigmoid"}


def trace(whole: Whole, shape: tuple[int, ...] | None = None) -> fx.Graph:
    """What the module calls, in order; for rows of a shape, where it decides by that.

    Raises
    ------
    ConversionError
        torch.fx cannot trace it.
    """
    try:
        return Tracer(shape).trace(whole)
    except Exception as error:  # whatever the module's code makes of values that are not there yet
        raise refusal(
            place_of("", whole.module),
            f"torch.fx cannot trace it ({type(error).__name__}: {error})",
            "a forward without decisions, loops or conversions that depend on the values of its input or on how many "
            "rows it has",
            "take these out of forward, or make an nn.Sequential of its layers, or export it to ONNX for from_onnx",
        ) from error


class Tracer(fx.Tracer):  # type: ignore[misc]
    """Records modules of PyTorch as one call, and looks into all others.

    Parameters
    ----------
    shape : tuple of int or None
        Of a row. With it, all calls are also run on two rows of zeros, so that the values that forward gets know their
        shapes.
    """

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        super().__init__()
        self.samples: dict[fx.Node, Any] = {}
        self._shape = shape
        self._samples_run = False

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        cls = kind_of(module)
        standard = cls.__module__.startswith(("torch.nn", "torch.ao"))
        return cls in MODULES or (standard and not issubclass(cls, nn.Sequential))

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Parameters as they are, so that what is computed from them alone has its values and shapes."""
        return attr_val

    def proxy(self, node: fx.Node) -> fx.Proxy:
        if self._shape is None:
            return fx.Proxy(node, self)
        self.sample(node)
        return Shaped(node, self)

    def call_module(self, module: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return forward(*args, **kwargs) if self._samples_run else super().call_module(module, forward, args, kwargs)

    def sample(self, node: fx.Node) -> Any:
        """What a node gives for the rows of zeros."""
        if node not in self.samples:
            self.samples[node] = self._run(node)
        return self.samples[node]

    def _run(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return torch.zeros((2, *(self._shape or ())), dtype=dtype_of(self.root))
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.root)
        args, kwargs = (fx.node.map_arg(given, self.sample) for given in (node.args, node.kwargs))
        self._samples_run = True
        try:
            if node.op == "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            called = self.root.get_submodule(str(node.target)) if node.op == "call_module" else node.target
            return called(*args, **kwargs)
        finally:
            self._samples_run = False


class Shaped(fx.Proxy):  # type: ignore[misc]
    """A value that knows its shape, but not how many rows it has."""

    @property
    def shape(self) -> tuple[Any, ...]:
        return (self.size(0), *self._sample.shape[1:])

    @property
    def ndim(self) -> int:
        return int(self._sample.ndim)

    @property
    def dtype(self) -> Any:
        return self._sample.dtype

    @property
    def device(self) -> Any:
        return self._sample.device

    @property
    def _sample(self) -> Any:
        return self.tracer.sample(self.node)

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        if dim is None:
            return self.shape
        rows = dim % self.ndim == 0
        return self.tracer.create_proxy("call_method", "size", (self, 0), {}) if rows else self._sample.size(dim)


# Where calls are -----------------------------------------------------------------------------------------------------
def kind_of(module: nn.Module) -> type[nn.Module]:
    """Its class, also where a parametrization made a subclass of it."""
    return type(module).__mro__[1] if is_parametrized(module) else type(module)


def place(node: fx.Node, whole: nn.Module) -> str:
    """Where a call is: the path and class of the module, and the name of the function."""
    if node.op == "call_module":
        return place_in(whole, str(node.target))
    stack = node.meta.get("nn_module_stack") or {}
    inside = place_in(whole, next(reversed(stack.values()))[0]) if stack else "the module"
    return f"{name_of(node)} in {inside}"


def place_in(whole: nn.Module, path: str) -> str:
    """Where the module of a path is, for errors."""
    module = whole.get_submodule(path) if path else whole
    return place_of(path.removeprefix("module").removeprefix("."), module)


def name_of(node: fx.Node) -> str:
    """The name of a function or a method."""
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))


def width_of(graph: fx.Graph, whole: nn.Module) -> int | None:
    """How many numbers the first layer reads, where the input gets to it as it is; else None."""
    pending = [node for node in graph.nodes if node.op == "placeholder"]
    while pending:
        for user in pending.pop(0).users:
            module = whole.get_submodule(str(user.target)) if user.op == "call_module" else None
            if isinstance(module, nn.Linear):
                return int(module.in_features)
            if isinstance(module, nn.BatchNorm1d):
                return int(module.num_features)
            if module is not None and MODULES.get(kind_of(module), ("",))[0] in _PASSING:
                pending.append(user)
    return None
