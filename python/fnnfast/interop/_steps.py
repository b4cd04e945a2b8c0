"""What a reader makes of the nodes of a graph, before it is known which of them are one activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._checks import Array
from ._algebra import (
    NoFormulaError,
    Sum,
    X,
    add,
    clip,
    coefficients,
    divide,
    function,
    multiply,
    negate,
    number,
    power,
    symbol,
    value,
)
from ._errors import refusal
from ._formulas import Precision, gelu, gelu_tanh, hard_sigmoid, hard_swish, mish, recognise, softsign, swish
from ._graph import Add, Graph, Maximum, dominators
from ._operations import Operation, Scale

_MOST_STEPS = 32  # in the formula of an activation


class Step(NamedTuple):
    """A node whose value depends on the input.

    arguments: for an elementwise node, an int for another step's value, an array (1,) or (W,) for a constant; for all
    others the steps that the operation takes.
    """

    place: str
    kind: str  # the operator, by ONNX's name for elementwise ones
    arguments: tuple[int | Array, ...]
    operation: Operation | None = None
    settings: Mapping[str, Any] = {}

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(argument for argument in self.arguments if isinstance(argument, int))


# Elementwise operators as formulas -----------------------------------------------------------------------------------
def _gelu(settings: Mapping[str, Any], x: Sum) -> Sum:
    return gelu_tanh(x) if settings.get("approximate", "none") == "tanh" else gelu(x)


def _at_least(settings: Mapping[str, Any], x: Sum, y: Sum) -> Sum:
    return function("at_least_zero", add(x, negate(y)))


def _above(settings: Mapping[str, Any], x: Sum, y: Sum) -> Sum:
    return add(number(1), negate(function("at_least_zero", add(y, negate(x)))))


def _where(settings: Mapping[str, Any], condition: Sum, x: Sum, y: Sum) -> Sum:
    """y + condition (x - y); for lines through 0 that meet there, with relu."""
    if condition in (_at_least({}, X, ()), _above({}, X, ())) and all(map(_through_zero, (x, y))):
        difference = dict(add(x, negate(y))).get(X[0][0], 0.0)
        return add(y, multiply(number(difference), clip(X, 0.0, np.inf)))
    return add(y, multiply(condition, add(x, negate(y))))


def _through_zero(a: Sum) -> bool:
    """Whether it is f x, or 0."""
    line = (0.0, value(a)) if value(a) is not None else coefficients(a)
    return line is not None and line[1] == 0


def _pow(settings: Mapping[str, Any], x: Sum, y: Sum) -> Sum:
    exponent = value(y)
    if exponent is None:
        raise NoFormulaError
    return power(x, exponent)


def _limits(settings: Mapping[str, Any], x: Sum) -> Sum:
    return clip(x, settings["low"], settings["high"])


def _maximum(settings: Mapping[str, Any], x: Sum, y: Sum) -> Sum:
    """Of a value and a constant, or of two multiples of one value."""
    constant = value(y) if value(x) is None else value(x)
    if constant is not None:
        return clip(x if value(x) is None else y, constant, np.inf)
    if len(x) != 1 or len(y) != 1 or x[0][0] != y[0][0]:
        raise NoFormulaError
    small, large = sorted((x[0][1], y[0][1]))  # a z and b z: a z + (b - a) relu(z)
    one: Sum = ((x[0][0], 1.0),)
    return add(multiply(number(small), one), multiply(number(large - small), clip(one, 0.0, np.inf)))


def _minimum(settings: Mapping[str, Any], x: Sum, y: Sum) -> Sum:
    constant = value(y) if value(x) is None else value(x)
    if constant is None:
        raise NoFormulaError
    return clip(x if value(x) is None else y, -np.inf, constant)


FORMULAS: dict[str, Any] = {
    "Add": lambda settings, x, y: add(x, y),
    "Sub": lambda settings, x, y: add(x, negate(y)),
    "Mul": lambda settings, x, y: multiply(x, y),
    "Div": lambda settings, x, y: divide(x, y),
    "Neg": lambda settings, x: negate(x),
    "Reciprocal": lambda settings, x: divide(number(1), x),
    "Pow": _pow,
    "Max": _maximum,
    "Min": _minimum,
    "Clip": _limits,
    "Relu": lambda settings, x: clip(x, 0.0, np.inf),
    "Sigmoid": lambda settings, x: function("sigmoid", x),
    "Tanh": lambda settings, x: function("tanh", x),
    "Exp": lambda settings, x: function("exp", x),
    "Log": lambda settings, x: function("log", x),
    "Erf": lambda settings, x: function("erf", x),
    "Abs": lambda settings, x: function("abs", x),
    "Softplus": lambda settings, x: function("softplus", x),
    "Softsign": lambda settings, x: softsign(x),
    "LeakyRelu": lambda settings, x: function("leaky_relu", x, settings.get("alpha", 0.01)),
    "Elu": lambda settings, x: function("elu", x, settings.get("alpha", 1.0)),
    "Celu": lambda settings, x: function("celu", x, settings.get("alpha", 1.0)),
    "Selu": lambda settings, x: function("selu", x, settings.get("alpha", 1.67326324), settings.get("gamma", 1.050701)),
    "Gelu": _gelu,
    "HardSigmoid": lambda settings, x: hard_sigmoid(x, settings.get("alpha", 0.2), settings.get("beta", 0.5)),
    "HardSwish": lambda settings, x: hard_swish(x),
    "Mish": lambda settings, x: mish(x),
    "Swish": lambda settings, x: swish(x, settings.get("alpha", 1.0)),
    "GreaterOrEqual": _at_least,
    "Greater": _above,
    "LessOrEqual": lambda settings, x, y: _at_least(settings, y, x),
    "Less": lambda settings, x, y: _above(settings, y, x),
    "Where": _where,
}
"""What elementwise operators compute, by their names."""


# Where there is no activation ----------------------------------------------------------------------------------------
def _split(step: Step) -> tuple[list[int], list[Array]]:
    return list(step.inputs), [argument for argument in step.arguments if not isinstance(argument, int)]


def _plain_add(graph: Graph, values: Mapping[int, int], step: Step) -> int:
    data, constants = _split(step)
    if not constants:
        return graph.add(Add(), [values[k] for k in data], step.place)
    return graph.add(Scale(None, constants[0]), [values[data[0]]], step.place)


def _plain_sub(graph: Graph, values: Mapping[int, int], step: Step) -> int:
    data, constants = _split(step)
    if not constants:
        negative = graph.add(Scale(np.full(1, -1.0)), [values[data[1]]], step.place)
        return graph.add(Add(), [values[data[0]], negative], step.place)
    first = isinstance(step.arguments[0], int)
    scale = Scale(None, -constants[0]) if first else Scale(np.full(1, -1.0), constants[0])
    return graph.add(scale, [values[data[0]]], step.place)


def _plain_mul(graph: Graph, values: Mapping[int, int], step: Step) -> int:
    data, constants = _split(step)
    if not constants:
        raise refusal(step.place, "a product of two values", "products with constants, and activations such as Swish")
    return graph.add(Scale(constants[0]), [values[data[0]]], step.place)


def _plain_div(graph: Graph, values: Mapping[int, int], step: Step) -> int:
    data, constants = _split(step)
    if not constants or not isinstance(step.arguments[0], int):
        raise refusal(step.place, "a division by a value", "divisions by constants, and activations such as Softsign")
    with np.errstate(divide="ignore"):
        return graph.add(Scale(1 / constants[0].astype(np.float64)), [values[data[0]]], step.place)


def _plain_neg(graph: Graph, values: Mapping[int, int], step: Step) -> int:
    return graph.add(Scale(np.full(1, -1.0)), [values[step.inputs[0]]], step.place)


def _plain_max(graph: Graph, values: Mapping[int, int], step: Step) -> int:
    data, constants = _split(step)
    if constants:
        raise refusal(step.place, "a maximum with a constant other than 0", "Max with 0 (relu), or of dense layers")
    return graph.add(Maximum(), [values[k] for k in data], step.place)


_PLAIN = {
    "Add": _plain_add,
    "Sub": _plain_sub,
    "Mul": _plain_mul,
    "Div": _plain_div,
    "Neg": _plain_neg,
    "Max": _plain_max,
}

# Why not, where the name alone would not say it.
_REASONS = {
    "Sign": "Sign of 0 is 0, while fnnfast's sign is 1 there",
    "Clip": "limits that no activation has",
    "Selu": "constants other than those of the paper",
    "LeakyRelu": "a negative alpha",
}
ACTIVATIONS = (
    "Relu, LeakyRelu, PRelu, Elu, Celu, Selu, Gelu, Sigmoid, HardSigmoid, Tanh, Softplus, Softsign, Swish, HardSwish, "
    "Mish, Exp, Clip from 0, from 0 to 6 or from -1 to 1, and Mul, Add, Erf, Tanh, ... where they spell one of these"
)


# From steps to the neutral graph -------------------------------------------------------------------------------------
class Planner:
    """Finds the activations among steps, and adds all that an output needs to a graph.

    Parameters
    ----------
    steps : sequence of Step
        The k-th has number k, from 1; 0 is the input.
    precision : Precision
    supported : str, optional
        The activations, by the names that they have where the steps come from.
    """

    def __init__(self, steps: Sequence[Step], precision: Precision, supported: str = ACTIVATIONS) -> None:
        self._steps = steps
        self._precision = precision
        self._supported = supported
        self._nearest = dominators([step.inputs for step in steps])
        self._constants: list[Array] = []
        self._indices: dict[int, int] = {}

    def emit(self, graph: Graph, output: int) -> int:
        """The graph's value for a step's."""
        needed = {output}
        activations: dict[int, tuple[list[Operation], int]] = {}
        for k in range(len(self._steps), 0, -1):
            if k in needed:
                found = None if self._steps[k - 1].operation else self._activation(k)
                if found is not None:
                    activations[k] = found
                needed.update(self._steps[k - 1].inputs if found is None else (found[1],))
        values = {0: 0}
        for k in sorted(needed - {0}):
            step = self._steps[k - 1]
            if k in activations:
                operations, of = activations[k]
                current = values[of]
                for operation in operations:
                    current = graph.add(operation, [current], step.place)
                values[k] = current
            elif step.operation is not None:
                values[k] = graph.add(step.operation, [values[of] for of in step.inputs], step.place)
            elif step.kind in _PLAIN:
                values[k] = _PLAIN[step.kind](graph, values, step)
            else:
                reason = _REASONS.get(step.kind, "it is no activation, nor part of the formula of one")
                raise refusal(step.place, reason, self._supported)
        return values[output]

    def _activation(self, k: int) -> tuple[list[Operation], int] | None:
        """The longest formula that ends at a step and is an activation, and the step that it is a function of."""
        found, of = None, k
        while of:
            of = self._nearest[of]
            formula = self._formula(k, of)
            if formula is None:
                break
            operations = recognise(formula, self._precision, self._constants)
            if operations is not None:
                found = operations, of
        return found

    def _formula(self, k: int, of: int) -> Sum | None:
        """What a step computes from another one; None unless all between them is elementwise, and short."""
        between: set[int] = set()
        pending = [k]
        while pending:
            step = pending.pop()
            if step == of or step in between:
                continue
            between.add(step)
            if step < of or len(between) > _MOST_STEPS or self._steps[step - 1].kind not in FORMULAS:
                return None
            pending += self._steps[step - 1].inputs
        formulas = {of: X}
        try:
            for step in sorted(between):
                _, kind, arguments, _, settings = self._steps[step - 1]
                formulas[step] = FORMULAS[kind](settings, *(self._argument(formulas, part) for part in arguments))
        except (NoFormulaError, TypeError, ValueError, OverflowError):
            return None
        return formulas[k]

    def _argument(self, formulas: Mapping[int, Sum], argument: int | Array) -> Sum:
        if isinstance(argument, int):
            return formulas[argument]
        if argument.size == 1:
            return number(float(argument[0]))
        index = self._indices.setdefault(id(argument), len(self._constants))
        if index == len(self._constants):
            self._constants.append(argument)
        return symbol(index)
