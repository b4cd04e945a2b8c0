"""Activations as ONNX operators, or as small subgraphs with the same numbers where there is no operator.

In float64 most are subgraphs: onnxruntime has few of the operators in it, and their attributes are float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...activations import Activation
from .._errors import refusal
from ._writer import Writer

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al., 2017
_FLOAT = 1

# (writer, value, activation, name of its slopes, name of its layer) to the name of the result.
Rule = Callable[[Writer, str, Any, str, str], str]


def _operator(name: str, **settings: Any) -> Rule:
    return lambda writer, x, activation, alpha, layer: writer.node(name, x, layer=layer, **settings)


def _since(opset: int, new: Rule, old: Rule, exact: bool = False) -> Rule:
    """An operator from an opset on, else its parts; exact: those also in float64, which runtimes lack it in."""

    def rule(writer: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
        use = new if writer.opset >= opset and (writer.exact or not exact) else old
        return use(writer, x, activation, alpha, layer)

    return rule


def _clip(low: float, high: float) -> Rule:
    return lambda w, x, activation, alpha, layer: w.node("Clip", x, w.number(low), w.number(high), layer=layer)


def _step(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    return w.node("Cast", w.node("GreaterOrEqual", x, w.number(0), layer=layer), layer=layer, to=w.float_type)


def _sign(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    at_least = w.node("GreaterOrEqual", x, w.number(0), layer=layer)
    return w.node("Where", at_least, w.number(1), w.number(-1), layer=layer)


def _prelu(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    return w.node("PRelu", x, alpha, layer=layer) if w.exact else _sloped(w, x, alpha, layer)


def _leaky_relu(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    if w.exact:
        return w.node("LeakyRelu", x, layer=layer, alpha=activation.alpha)
    return _sloped(w, x, w.number(activation.alpha), layer)


def _sloped(w: Writer, x: str, slope: str, layer: str) -> str:
    """relu(x) + slope min(x, 0)."""
    below = w.node("Mul", w.node("Min", x, w.number(0), layer=layer), slope, layer=layer)
    return w.node("Add", w.node("Relu", x, layer=layer), below, layer=layer)


def _elu(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    if w.exact:
        return w.node("Elu", x, layer=layer, alpha=activation.alpha)
    return _bent(w, x, w.number(activation.alpha), layer)


def _bent(w: Writer, x: str, alpha: str, layer: str, divisor: str = "") -> str:
    """relu(x) + alpha (exp(min(x, 0) / divisor) - 1)."""
    below = w.node("Min", x, w.number(0), layer=layer)
    if divisor:
        below = w.node("Div", below, divisor, layer=layer)
    below = w.node("Sub", w.node("Exp", below, layer=layer), w.number(1), layer=layer)
    return w.node("Add", w.node("Relu", x, layer=layer), w.node("Mul", below, alpha, layer=layer), layer=layer)


def _elu_learned(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    if w.exact:  # a slope of what is exp(x) - 1 already
        return w.node("PRelu", w.node("Elu", x, layer=layer), alpha, layer=layer)
    return _bent(w, x, alpha, layer)


def _selu(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    if w.exact:
        return w.node("Selu", x, layer=layer)
    return w.node("Mul", _bent(w, x, w.number(SELU_ALPHA), layer), w.number(SELU_SCALE), layer=layer)


def _celu(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    if w.exact:
        return w.node("Celu", x, layer=layer, alpha=activation.alpha)
    return _bent(w, x, w.number(activation.alpha), layer, w.number(activation.alpha))


def _softplus(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    if w.exact:
        return w.node("Softplus", x, layer=layer)
    power = w.node("Exp", w.node("Neg", w.node("Abs", x, layer=layer), layer=layer), layer=layer)
    rest = w.node("Log", w.node("Add", power, w.number(1), layer=layer), layer=layer)
    return w.node("Add", w.node("Relu", x, layer=layer), rest, layer=layer)


def _softsign(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    if w.exact:
        return w.node("Softsign", x, layer=layer)
    return w.node("Div", x, w.node("Add", w.node("Abs", x, layer=layer), w.number(1), layer=layer), layer=layer)


def _gelu(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    inner = w.node("Mul", x, w.number(math.sqrt(0.5)), layer=layer)
    if w.exact:
        inner = w.node("Erf", inner, layer=layer)
    else:  # onnxruntime and onnx.reference have it in float32 only
        inner = w.node("Erf", w.node("Cast", inner, layer=layer, to=_FLOAT), layer=layer)
        inner = w.node("Cast", inner, layer=layer, to=w.float_type)
    return _half_of(w, x, inner, layer)


def _gelu_tanh(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    cube = w.node("Mul", w.node("Mul", x, x, layer=layer), x, layer=layer)
    inner = w.node("Add", x, w.node("Mul", cube, w.number(0.044715), layer=layer), layer=layer)
    inner = w.node("Tanh", w.node("Mul", inner, w.number(math.sqrt(2 / math.pi)), layer=layer), layer=layer)
    return _half_of(w, x, inner, layer)


def _half_of(w: Writer, x: str, inner: str, layer: str) -> str:
    """0.5 x (1 + inner)."""
    sum_ = w.node("Add", inner, w.number(1), layer=layer)
    return w.node("Mul", w.node("Mul", x, w.number(0.5), layer=layer), sum_, layer=layer)


def _swish(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    inner = x
    if activation.beta != 1:
        inner = w.node("Mul", x, w.number(activation.beta), layer=layer)
    return w.node("Mul", x, w.node("Sigmoid", inner, layer=layer), layer=layer)


def _swish_operator(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    return w.node("Swish", x, layer=layer, alpha=activation.beta)


def _hard_sigmoid(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    inner = w.node("Add", w.node("Mul", x, w.number(1 / 6), layer=layer), w.number(0.5), layer=layer)
    return w.node("Clip", inner, w.number(0), w.number(1), layer=layer)


def _hard_swish(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    return w.node("Mul", x, _hard_sigmoid(w, x, activation, alpha, layer), layer=layer)


def _mish(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    inner = w.node("Tanh", _softplus(w, x, activation, alpha, layer), layer=layer)
    return w.node("Mul", x, inner, layer=layer)


def _log_sigmoid(w: Writer, x: str, activation: Any, alpha: str, layer: str) -> str:
    return w.node("Neg", _softplus(w, w.node("Neg", x, layer=layer), activation, alpha, layer), layer=layer)


RULES: dict[str, Rule] = {
    "identity": lambda writer, x, activation, alpha, layer: x,
    "step": _step,
    "sign": _sign,
    "sigmoid": _operator("Sigmoid"),
    "tanh": _operator("Tanh"),
    "relu": _operator("Relu"),
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "elu": _elu,
    "elu_learned": _elu_learned,
    "selu": _selu,
    "gelu": _since(20, _operator("Gelu"), _gelu, exact=True),
    "gelu_tanh": _since(20, _operator("Gelu", approximate="tanh"), _gelu_tanh),
    "softplus": _softplus,
    "swish": _since(24, _swish_operator, _swish, exact=True),
    "softmax": _operator("Softmax", axis=-1),
    "relu6": _clip(0, 6),
    "hard_tanh": _clip(-1, 1),
    "hard_sigmoid": _since(13, _operator("HardSigmoid", alpha=1 / 6, beta=0.5), _hard_sigmoid, exact=True),
    "hard_swish": _since(14, _operator("HardSwish"), _hard_swish, exact=True),
    "mish": _since(18, _operator("Mish"), _mish, exact=True),
    "softsign": _softsign,
    "celu": _celu,
    "exponential": _operator("Exp"),
    "log_sigmoid": _log_sigmoid,
}
"""By the kernels' names; a test demands all that have a class."""


def write(writer: Writer, x: str, activation: Activation, alpha: str, layer: str) -> str:
    """The value of an activation of x; alpha names its slopes, if it learns them."""
    rule = RULES.get(activation.formula)
    if rule is None:
        raise refusal(layer, f"the activation {activation.name}", ", ".join(RULES))
    return rule(writer, x, activation, alpha, layer)
