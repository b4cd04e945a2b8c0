"""The activations of Keras by their names, as layers, and as operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import activations
from ..._checks import short
from ...activations import Activation
from ._config import Layer

_HARD_SWISH = activations.HardSwish()
# Their parameters are those that Keras has where only a name is given; the layer LeakyReLU has another slope.
NAMES: dict[str, Activation] = {
    "celu": activations.CELU(1.0),
    "elu": activations.ELU(1.0),
    "exponential": activations.Exponential(),
    "gelu": activations.GELU(),
    "hard_sigmoid": activations.HardSigmoid(),
    "hard_silu": _HARD_SWISH,
    "hard_swish": _HARD_SWISH,
    "hard_tanh": activations.HardTanh(),
    "leaky_relu": activations.LeakyReLU(0.2),
    "linear": activations.Identity(),
    "log_sigmoid": activations.LogSigmoid(),
    "mish": activations.Mish(),
    "relu": activations.ReLU(),
    "relu6": activations.ReLU6(),
    "selu": activations.SELU(),
    "sigmoid": activations.Sigmoid(),
    "silu": activations.Swish(),
    "softmax": activations.Softmax(),
    "softplus": activations.Softplus(),
    "softsign": activations.Softsign(),
    "swish": activations.Swish(),
    "tanh": activations.Tanh(),
}


def of_name(layer: Layer, name: Any) -> Activation:
    """The activation that a layer names; ConversionError for one that a network does not have, or a custom one."""
    if name is None:
        return NAMES["linear"]
    if isinstance(name, str) and name in NAMES:
        return NAMES[name]
    texts = [name, name.get("config"), name.get("registered_name")] if isinstance(name, dict) else [name]
    text = next((text for text in texts if isinstance(text, str)), "of a function")
    raise layer.refused(f"the activation {short(repr(text), 100)}", ", ".join(NAMES))


# Layers and operations that are an activation ------------------------------------------------------------------------
def _relu(layer: Layer) -> Activation:
    slope, threshold = layer.number("negative_slope", 0.0), layer.number("threshold", 0.0)
    limit = layer.config.get("max_value")
    if limit is None and threshold == 0:
        return NAMES["relu"] if slope == 0 else _leaky(layer, slope)
    if limit == 6 and threshold == 0 and slope == 0:
        return NAMES["relu6"]
    found = f"max_value={short(repr(limit))}, negative_slope={slope:g}, threshold={threshold:g}"
    raise layer.refused(found, "max_value None, or 6 with negative_slope 0; threshold 0")


def _leaky(layer: Layer, slope: float) -> Activation:
    if slope < 0:
        raise layer.refused(f"negative_slope {slope:g}", "slopes >= 0")
    return activations.LeakyReLU(slope)


def _positive(layer: Layer) -> float:
    alpha = layer.number("alpha", 1.0)
    if alpha <= 0:
        raise layer.refused(f"alpha {alpha:g}", "alpha > 0")
    return alpha


def _gelu(layer: Layer) -> Activation:
    return activations.GELU("tanh" if layer.flag("approximate", True) else "none")  # the default of keras.ops


def _leaky_op(layer: Layer) -> Activation:
    return _leaky(layer, layer.number("negative_slope", 0.2))


def _named(name: str) -> Callable[[Layer], Activation]:
    return lambda layer: NAMES[name]


LAYERS: dict[str, Callable[[Layer], Activation]] = {
    "ELU": lambda layer: activations.ELU(_positive(layer)),
    "LeakyReLU": lambda layer: _leaky(layer, layer.number("negative_slope", 0.3)),
    "ReLU": _relu,
    "Softmax": _named("softmax"),
    "ops.Celu": lambda layer: activations.CELU(_positive(layer)),
    "ops.Elu": lambda layer: activations.ELU(_positive(layer)),
    "ops.Exp": _named("exponential"),
    "ops.Gelu": _gelu,
    "ops.HardSigmoid": _named("hard_sigmoid"),
    "ops.HardSilu": _named("hard_silu"),
    "ops.HardTanh": _named("hard_tanh"),
    "ops.LeakyRelu": _leaky_op,
    "ops.LogSigmoid": _named("log_sigmoid"),
    "ops.Mish": _named("mish"),
    "ops.Relu": _named("relu"),
    "ops.Relu6": _named("relu6"),
    "ops.Selu": _named("selu"),
    "ops.Sigmoid": _named("sigmoid"),
    "ops.Silu": _named("silu"),
    "ops.Softmax": _named("softmax"),
    "ops.Softplus": _named("softplus"),
    "ops.Softsign": _named("softsign"),
    "ops.Tanh": _named("tanh"),
}
"""By kind; the axis of softmax is checked where the shape of its rows is known."""


def inside(layer: Layer) -> Layer | Activation:
    """What the setting "activation" of a layer means: a layer of its own, or an activation."""
    from ._parse import read  # which knows the classes of this module's layers

    value = layer.config.get("activation")
    if isinstance(value, dict) and (value.get("class_name") in LAYERS or value.get("class_name") == "PReLU"):
        return read(value, layer.store.activation(), layer.place)
    return of_name(layer, value)
