"""Functions of single numbers: activations and arithmetic. The kinds of steps are named as in ONNX."""

from __future__ import annotations

import math
from typing import Any

import torch

from ... import activations
from .._operations import Apply
from ._reader import Call, Rule
from ._values import Value

_SAME_SOFTPLUS = 16.0  # from there on, x and log(1 + exp x) are the same float32


ACTIVATIONS = (
    "ReLU, ReLU6, LeakyReLU, PReLU, ELU, CELU, SELU, GELU, SiLU, Mish, Hardswish, Hardsigmoid, Hardtanh, Sigmoid, "
    "LogSigmoid, Tanh, Softplus, Softsign, exp, clamp(0), clamp(0, 6) and clamp(-1, 1), by module or function, and "
    "arithmetic where it spells one of these"
)


def _unary(kind: str) -> Rule:
    """A function of one value without settings, in its own memory or in place."""
    return lambda call, input, inplace=False: call.elementwise(kind, input, inplace=inplace)


def _binary(kind: str) -> Rule:
    return lambda call, input, other: call.elementwise(kind, input, other)


# Activations ---------------------------------------------------------------------------------------------------------
def _leaky_relu(call: Call, input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    return call.elementwise("LeakyRelu", input, inplace=inplace, alpha=float(negative_slope))


def _rrelu(
    call: Call,
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Value:
    if training:
        raise call.refused("training=True", "training=False, which is a slope of (lower + upper) / 2")
    return _leaky_relu(call, input, (lower + upper) / 2, inplace)


def _prelu(call: Call, input: Any, weight: Any) -> Value:
    value = call.value(input)
    slopes = call.array(weight)
    if slopes.size != 1:  # one for each channel
        weight = weight.reshape(-1, *[1] * (len(value.shape) - 1))
    return call.apply(Apply(activations.PReLU(), call.constant(weight, value.shape, value.layout)), [value])


def _learned_elu(call: Call, input: Any, alpha: Any) -> Value:
    value = call.value(input)
    alpha = alpha.reshape(-1, *[1] * (len(value.shape) - 1))
    return call.apply(Apply(activations.ELU(learn=True), call.constant(alpha, value.shape, value.layout)), [value])


def _elu(call: Call, input: Any, alpha: float = 1.0, inplace: bool = False) -> Value:
    return call.elementwise("Elu", input, inplace=inplace, alpha=float(alpha))


def _celu(call: Call, input: Any, alpha: float = 1.0, inplace: bool = False) -> Value:
    return call.elementwise("Celu", input, inplace=inplace, alpha=float(alpha))


def _gelu(call: Call, input: Any, approximate: str = "none") -> Value:
    return call.elementwise("Gelu", input, approximate=approximate)


def _hardsigmoid(call: Call, input: Any, inplace: bool = False) -> Value:
    return call.elementwise("HardSigmoid", input, inplace=inplace, alpha=1 / 6, beta=0.5)


def _softplus(call: Call, input: Any, beta: float = 1, threshold: float = 20) -> Value:
    """softplus(beta x) / beta; above the threshold of beta x, it is x."""
    if threshold < _SAME_SOFTPLUS or beta <= 0:
        problem = f"beta={beta}, threshold={threshold}"
        raise call.refused(problem, f"a threshold of at least {_SAME_SOFTPLUS:g} and a positive beta")
    if beta == 1:
        return call.elementwise("Softplus", input)
    return call.elementwise("Div", call.elementwise("Softplus", call.elementwise("Mul", input, beta)), beta)


def _log_sigmoid(call: Call, input: Any) -> Value:
    return call.elementwise("Log", call.elementwise("Sigmoid", input))


def _threshold(call: Call, input: Any, threshold: float, value: float, inplace: bool = False) -> Value:
    if threshold != 0 or value != 0:
        raise call.refused(f"threshold={threshold}, value={value}", "0 and 0, which is relu")
    return call.elementwise("Relu", input, inplace=inplace)


def _clip(low: float, high: float) -> Rule:
    return lambda call, input, inplace=False: call.elementwise("Clip", input, inplace=inplace, low=low, high=high)


def _hardtanh(call: Call, input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    return _limited(call, input, min_val, max_val, inplace)


def _clamp(call: Call, input: Any, min: float | None = None, max: float | None = None) -> Value:
    return _limited(call, input, -math.inf if min is None else min, math.inf if max is None else max)


def _clamp_max(call: Call, input: Any, max: float) -> Value:
    return _limited(call, input, -math.inf, max)


def _limited(call: Call, input: Any, low: Any, high: Any, inplace: bool = False) -> Value:
    if not all(isinstance(limit, (int, float)) for limit in (low, high)):
        raise call.refused("limits that are tensors", "limits that are numbers")
    return call.elementwise("Clip", input, inplace=inplace, low=float(low), high=float(high))


# Arithmetic ----------------------------------------------------------------------------------------------------------
def _add(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Value:
    return call.elementwise("Add", input, _times(call, other, alpha))


def _sub(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Value:
    return call.elementwise("Sub", input, _times(call, other, alpha))


def _rsub(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Value:
    return call.elementwise("Sub", other, _times(call, input, alpha))


def _times(call: Call, other: Any, alpha: float) -> Any:
    if alpha == 1:
        return other
    in_place, call.in_place = call.in_place, False  # what is written to is the sum
    product = call.elementwise("Mul", other, alpha) if isinstance(other, Value) else other * alpha
    call.in_place = in_place
    return product


def _div(call: Call, input: Any, other: Any, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise call.refused(f"rounding_mode={rounding_mode!r}", "divisions without rounding")
    return call.elementwise("Div", input, other)


def _pow(call: Call, input: Any, exponent: Any) -> Value:
    return call.elementwise("Pow", input, exponent)


def _square(call: Call, input: Any) -> Value:
    return call.elementwise("Pow", input, 2)


def _log1p(call: Call, input: Any) -> Value:
    return call.elementwise("Log", call.elementwise("Add", input, 1))


def _expm1(call: Call, input: Any) -> Value:
    return call.elementwise("Sub", call.elementwise("Exp", input), 1)


def _minimum(call: Call, input: Any, other: Any) -> Value:
    if not isinstance(other, (Value, torch.Tensor)):
        raise call.refused("a minimum over an axis", "the minimum of two values")
    return call.elementwise("Min", input, other)


def _where(call: Call, condition: Any, input: Any, other: Any) -> Value:
    return call.elementwise("Where", condition, input, other)


def _of_the_same(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


FUNCTIONS: dict[str, Rule] = {
    "relu": _unary("Relu"),
    "relu6": _clip(0.0, 6.0),
    "leaky_relu": _leaky_relu,
    "rrelu": _rrelu,
    "prelu": _prelu,
    "elu": _elu,
    "learned_elu": _learned_elu,
    "celu": _celu,
    "selu": _unary("Selu"),
    "gelu": _gelu,
    "silu": lambda call, input, inplace=False: call.elementwise("Swish", input, inplace=inplace, alpha=1.0),
    "mish": _unary("Mish"),
    "hardswish": _unary("HardSwish"),
    "hardsigmoid": _hardsigmoid,
    "hardtanh": _hardtanh,
    "threshold": _threshold,
    **_of_the_same("sigmoid expit", _unary("Sigmoid")),
    **_of_the_same("logsigmoid log_sigmoid", _log_sigmoid),
    "tanh": _unary("Tanh"),
    "softplus": _softplus,
    "softsign": _unary("Softsign"),
    **_of_the_same("clamp clip", _clamp),
    "clamp_min": lambda call, input, min: _limited(call, input, min, math.inf),
    "clamp_max": _clamp_max,
    "sign": _unary("Sign"),
    **_of_the_same("abs absolute", _unary("Abs")),
    **_of_the_same("neg negative", _unary("Neg")),
    "reciprocal": _unary("Reciprocal"),
    "exp": _unary("Exp"),
    "expm1": _expm1,
    "log": _unary("Log"),
    "log1p": _log1p,
    "erf": _unary("Erf"),
    "square": _square,
    **_of_the_same("add iadd", _add),
    **_of_the_same("sub subtract isub", _sub),
    "rsub": _rsub,
    **_of_the_same("mul multiply imul", _binary("Mul")),
    **_of_the_same("div divide true_divide truediv itruediv", _div),
    **_of_the_same("pow ipow", _pow),
    **_of_the_same("minimum min", _minimum),
    **_of_the_same("ge greater_equal", _binary("GreaterOrEqual")),
    **_of_the_same("gt greater", _binary("Greater")),
    **_of_the_same("le less_equal", _binary("LessOrEqual")),
    **_of_the_same("lt less", _binary("Less")),
    "where": _where,
}
"""By the names of functions, methods and operators; those in place have the same, with an underscore after it."""
