"""from_torch, once torch is there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..._checks import FLOAT64, Array, message
from ..._models.sequential import Sequential
from .._build import Run, build, checked
from .._errors import ConversionError, refusal
from .._formulas import Precision
from .._graph import Graph
from .._layout import input_layer
from .._steps import Planner
from . import _elementwise, _rows, _shapes
from ._own import recover
from ._reader import Reader
from ._source import Whole, dtype_of, number_format, open_module, place_of, private_copy
from ._standard import MODULES
from ._trace import trace, width_of

FUNCTIONS = {**_elementwise.FUNCTIONS, **_rows.FUNCTIONS, **_shapes.FUNCTIONS}

# torch's softplus is x from where they differ by 2e-9 on; and models write constants of gelu with ten digits.
_DOUBLE_EPSILON = 1e-11


def convert(module: Any, shape: tuple[int, ...] | None, check: Any) -> Sequential:
    """The network that a module is, for rows of a shape."""
    whole = private_copy(open_module(module))
    with _undisturbed():
        own = recover(whole.module, shape)
        net, folded, epsilon = _network(whole, shape) if own is None else (own, (), None)
        versions = {"torch": str(torch.__version__)}
        return checked(net, _runner(whole), "PyTorch", versions, check, folded=folded, epsilon=epsilon)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """On the CPU, without gradients, autocast and warnings; random numbers then go on as before."""
    with (
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        torch.autocast("cpu", enabled=False),
        torch.device("cpu"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _network(whole: Whole, shape: tuple[int, ...] | None) -> tuple[Sequential, tuple[str, ...], float | None]:
    """The network that the calls in the forward make, what was folded, and the epsilon to compare with."""
    if shape is None:
        shape = _first_width(whole)
    dtype = number_format(whole)
    _require_shape(whole, shape)
    reader = Reader(whole, FUNCTIONS, MODULES)
    output = reader.read(trace(whole, shape), shape)
    graph = Graph(reader.layout.network_shape(shape))
    planner = Planner(reader.steps, Precision(shortest=False), _elementwise.ACTIVATIONS)
    net = build(graph, planner.emit(graph, output), input_layer(shape, reader.layout), dtype)
    return net, (*graph.folded, *reader.notes), _DOUBLE_EPSILON if dtype == FLOAT64 else None


def _first_width(whole: Whole) -> tuple[int]:
    try:
        width = width_of(trace(whole), whole)
    except ConversionError:  # it may be that only the shape is missing
        width = None
    if width is None:
        raise ValueError(
            message("input_shape", "the shape of a row, such as (4,) or (3, 224, 224)", "none, and no Linear first")
        )
    return (width,)


def _require_shape(whole: Whole, shape: tuple[int, ...]) -> None:
    try:
        whole(torch.zeros((2, *shape), dtype=dtype_of(whole)))
    except (TypeError, NotImplementedError) as error:
        problem, advice = f"it does not run on a tensor ({error})", "wrap it in a module with such a forward"
        raise refusal(place_of("", whole.module), problem, "a forward of one tensor of rows", advice) from error
    except Exception as error:
        expected = "the shape of a row that the module takes"
        raise ValueError(message("input_shape", expected, f"{shape} ({type(error).__name__}: {error})")) from error


def _runner(whole: Whole) -> Run:
    def run(x: Array) -> Array:
        try:
            outputs = whole(torch.from_numpy(x.copy()))  # which it may write to
        except Exception as error:
            raise ConversionError(f"the module: it does not run on the rows of the check ({error})") from error
        return np.asarray(outputs.numpy())

    return run
