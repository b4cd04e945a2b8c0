"""Layers as modules of PyTorch, without values yet."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from torch import nn

from ..._network.structure import Structure
from ...activations import Activation
from ...layers import Flatten, Layer
from ...layers._shape import Shape
from .._errors import layer_of, refusal, require_vector_slopes
from . import modules

_META = "meta"  # a device without memory: values come later, and no random numbers are drawn


class Place(NamedTuple):
    """Where a parameter of a network is in the module; turned: as its transpose."""

    name: str
    module: nn.Module
    attribute: str
    turned: bool = False


# (activation, units) to the module.
ACTIVATIONS: dict[str, Callable[[Any, int], nn.Module]] = {
    "step": lambda activation, units: modules.Step(),
    "sign": lambda activation, units: modules.Sign(),
    "sigmoid": lambda activation, units: nn.Sigmoid(),
    "tanh": lambda activation, units: nn.Tanh(),
    "relu": lambda activation, units: nn.ReLU(),
    "leaky_relu": lambda activation, units: nn.LeakyReLU(activation.alpha),
    "prelu": lambda activation, units: nn.PReLU(units, device=_META),
    "elu": lambda activation, units: nn.ELU(activation.alpha),
    "elu_learned": lambda activation, units: modules.LearnedELU(units, device=_META),
    "selu": lambda activation, units: nn.SELU(),
    "gelu": lambda activation, units: nn.GELU(),
    "gelu_tanh": lambda activation, units: nn.GELU("tanh"),
    "softplus": lambda activation, units: nn.Softplus(),
    "swish": lambda activation, units: nn.SiLU() if activation.beta == 1 else modules.Swish(activation.beta),
    "softmax": lambda activation, units: nn.Softmax(-1),
    "relu6": lambda activation, units: nn.ReLU6(),
    "hard_tanh": lambda activation, units: nn.Hardtanh(),
    "hard_sigmoid": lambda activation, units: nn.Hardsigmoid(),
    "hard_swish": lambda activation, units: nn.Hardswish(),
    "mish": lambda activation, units: nn.Mish(),
    "softsign": lambda activation, units: nn.Softsign(),
    "celu": lambda activation, units: nn.CELU(activation.alpha),
    "exponential": lambda activation, units: modules.Exponential(),
    "log_sigmoid": lambda activation, units: nn.LogSigmoid(),
}
"""By the kernels' names; a test demands all that have a class, but for identity."""


class Builder:
    """Makes the modules of one network, and tells where its parameters are in them."""

    def __init__(self, structure: Structure) -> None:
        self.places: list[Place] = []
        self._structure = structure
        self._names = iter(structure.named)

    def module(self) -> nn.Sequential:
        """All layers in a row, after the input as vectors."""
        chain = self._structure.chain
        shaped = len(self._structure.input.shape) > 1 and not isinstance(chain[0], Flatten)
        return self._chain(chain, {"input": nn.Flatten()} if shaped else {})

    def _chain(self, layers: Sequence[Layer], before: dict[str, nn.Module]) -> nn.Sequential:
        found = OrderedDict(before)
        for layer in layers:
            name = next(self._names)
            found.update(
                (key.rpartition(".")[2], module) for key, module in layer_of(_KINDS, name, layer)(self, name, layer)
            )
        return nn.Sequential(found)

    def inputs(self, name: str) -> int:
        return math.prod(self.shape(name))

    def shape(self, name: str) -> Shape:
        return self._structure.input_shapes[name]

    def outputs(self, name: str) -> int:
        return math.prod(self._structure.output_shapes[name])

    def has(self, name: str, key: str) -> bool:
        return key in self._structure.parameter_shapes[name]

    def place(self, name: str, module: nn.Module, turned: bool, *keys: str) -> nn.Module:
        """Take note of the parameters of a layer that are in a module, those of these keys that it has."""
        for key in keys:
            if self.has(name, key):
                attribute = "weight" if isinstance(module, nn.PReLU) else key
                self.places.append(Place(f"{name}.{key}", module, attribute, turned and key == "weight"))
        return module

    def linear(self, name: str, units: int, bias: bool) -> nn.Module:
        module = nn.Linear(self.inputs(name), units, bias=bias, device=_META)
        return self.place(name, module, True, "weight", "bias")

    def activation(self, name: str, activation: Activation, units: int) -> nn.Module:
        make = ACTIVATIONS.get(activation.kernel)
        if make is None:
            raise refusal(name, f"the activation {activation.name}", ", ".join(ACTIVATIONS))
        return self.place(name, make(activation, units), False, "alpha")

    def residual(self, name: str, layer: Any) -> nn.Module:
        units = self.outputs(name)
        shortcut = self.linear(name, units, True) if self.has(name, "weight") else None
        main = self._chain(layer.layers, {})
        if layer.shortcut is not None:
            shortcut = self._chain(layer.shortcut, {})
        identity = layer.activation.name == "identity"
        return modules.Residual(main, shortcut, None if identity else self.activation(name, layer.activation, units))


# Kinds of layers -----------------------------------------------------------------------------------------------------
Named = Iterator[tuple[str, nn.Module]]


def _activated(builder: Builder, name: str, layer: Any) -> Named:
    if layer.activation.name != "identity":
        units = builder.outputs(name)
        yield f"{name}_{layer.activation.name}", builder.activation(name, layer.activation, units)


def _dense(builder: Builder, name: str, layer: Any) -> Named:
    yield name, builder.linear(name, builder.outputs(name), builder.has(name, "bias"))
    yield from _activated(builder, name, layer)


def _maxout(builder: Builder, name: str, layer: Any) -> Named:
    module = modules.Maxout(builder.inputs(name), layer.units, layer.pieces, layer.bias, device=_META)
    yield name, builder.place(name, module, False, "weight", "bias")


def _activation(builder: Builder, name: str, layer: Any) -> Named:
    if layer.activation.name == "identity":
        yield name, nn.Identity()
    else:
        require_vector_slopes(name, layer, builder.shape(name))
        yield name, builder.activation(name, layer.activation, builder.inputs(name))


_KINDS: dict[str, Callable[[Builder, str, Any], Named]] = {
    "dense": _dense,
    "gaussian": _dense,
    "maxout": _maxout,
    "activation": _activation,
    "residual": lambda builder, name, layer: iter([(name, builder.residual(name, layer))]),
    "flatten": lambda builder, name, layer: iter([(name, nn.Flatten())]),
    "dropout": lambda builder, name, layer: iter([(name, nn.Dropout(layer.rate))]),
    "gaussian_noise": lambda builder, name, layer: iter([(name, modules.GaussianNoise(layer.stddev))]),
}
