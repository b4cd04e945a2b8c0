"""Layers as modules of PyTorch, without values yet."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ..._network.structure import Structure
from ...activations import Activation
from ...layers import Flatten, Layer
from ...layers._shape import Shape, as_image, is_image
from .._errors import layer_of, refusal
from . import modules

_META = "meta"  # a device without memory: values come later, and no random numbers are drawn


class Place(NamedTuple):
    """Where a parameter or a buffer of a network is in the module; axes: in which order its axes are there."""

    name: str
    module: nn.Module
    attribute: str
    axes: tuple[int, ...] | None = None


_TRANSPOSED = (1, 0)
_FILTERS = (3, 2, 0, 1)  # (O, I, KH, KW)
_PIECES = (0, 4, 3, 1, 2)  # (P, O, I, KH, KW)
_NORMALIZATION = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}


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
        """All layers in a row, between the input and the outputs as the network has them."""
        structure = self._structure
        before: dict[str, nn.Module] = {}
        if not structure.has_images:
            if len(structure.input.shape) > 1 and not isinstance(structure.chain[0], Flatten):
                before["input"] = nn.Flatten()
        elif not structure.input.channels_first:
            before["input"] = modules.ChannelsFirst()
        chain = self._chain(structure.chain, before)
        if self.is_image(structure.output_shapes[structure.last_name]):
            chain.add_module("output", nn.Flatten())  # of one pixel
        return chain

    def _chain(self, layers: Sequence[Layer], before: dict[str, nn.Module]) -> nn.Sequential:
        found = OrderedDict(before)
        for layer in layers:
            name = next(self._names)
            found.update(
                (key.rpartition(".")[2], module) for key, module in layer_of(_KINDS, name, layer)(self, name, layer)
            )
        return nn.Sequential(found)

    def is_image(self, shape: Shape) -> bool:
        """Whether a value of that shape is images, (B, C, H, W), in the module."""
        return self._structure.has_images and is_image(shape)

    def flattened(self, name: str) -> Iterator[tuple[str, nn.Module]]:
        """What makes vectors of the input of a layer."""
        if self.is_image(self.shape(name)):
            height, width, channels = as_image(self.shape(name))
            if channels > 1 and height * width > 1:
                yield f"{name}_pixels", modules.ChannelsLast()
            yield f"{name}_input", nn.Flatten()

    def inputs(self, name: str) -> int:
        return math.prod(self.shape(name))

    def shape(self, name: str) -> Shape:
        return self._structure.input_shapes[name]

    def output_shape(self, name: str) -> Shape:
        return self._structure.output_shapes[name]

    def outputs(self, name: str) -> int:
        return math.prod(self._structure.output_shapes[name])

    def has(self, name: str, key: str) -> bool:
        return key in self._structure.state_shapes[name]

    def place(self, name: str, module: nn.Module, axes: tuple[int, ...] | None, *keys: str) -> nn.Module:
        """Take note of the parameters of a layer that are in a module; axes: of the weight."""
        for key in keys:
            if self.has(name, key):
                attribute = "weight" if isinstance(module, nn.PReLU) else key
                self.places.append(Place(f"{name}.{key}", module, attribute, axes if key == "weight" else None))
        return module

    def linear(self, name: str, units: int, bias: bool) -> nn.Module:
        module = nn.Linear(self.inputs(name), units, bias=bias, device=_META)
        return self.place(name, module, _TRANSPOSED, "weight", "bias")

    def activation(self, name: str, activation: Activation) -> nn.Module:
        make = ACTIVATIONS.get(activation.formula)
        if make is None:
            raise refusal(name, f"the activation {activation.name}", ", ".join(ACTIVATIONS))
        shape = self.output_shape(name)
        units = shape[-1] if self.is_image(shape) else math.prod(shape)
        return self.place(name, make(activation, units), None, "alpha")

    def residual(self, name: str, layer: Any) -> nn.Module:
        shortcut = self._projection(name) if self.has(name, "weight") else None
        main = self._chain(layer.layers, {})
        if layer.shortcut is not None:
            shortcut = self._chain(layer.shortcut, {})
        identity = layer.activation.name == "identity"
        return modules.Residual(main, shortcut, None if identity else self.activation(name, layer.activation))

    def _projection(self, name: str) -> nn.Module:
        """Of a residual block, over each pixel of images."""
        inputs, units = self._structure.parameter_shapes[name]["weight"]
        if not self.is_image(self.shape(name)):
            return self.linear(name, units, True)
        module = modules.PixelwiseLinear(inputs, units, device=_META)
        return self.place(name, module, _TRANSPOSED, "weight", "bias")

    def parallel(self, layer: Any) -> nn.Module:
        return modules.Parallel([self._chain(branch, {}) for branch in layer.branches])


# Kinds of layers -----------------------------------------------------------------------------------------------------
Named = Iterator[tuple[str, nn.Module]]


def _activated(builder: Builder, name: str, layer: Any) -> Named:
    if layer.activation.rowwise:
        yield from ((f"{name}_flatten", nn.Flatten()),) if builder.is_image(builder.output_shape(name)) else ()
    if layer.activation.name != "identity":
        yield f"{name}_{layer.activation.name}", builder.activation(name, layer.activation)


def _dense(builder: Builder, name: str, layer: Any) -> Named:
    yield from builder.flattened(name)
    yield name, builder.linear(name, builder.outputs(name), builder.has(name, "bias"))
    yield from _activated(builder, name, layer)


def _maxout(builder: Builder, name: str, layer: Any) -> Named:
    yield from builder.flattened(name)
    module = modules.Maxout(builder.inputs(name), layer.units, layer.pieces, layer.bias, device=_META)
    yield name, builder.place(name, module, None, "weight", "bias")


def _activation(builder: Builder, name: str, layer: Any) -> Named:
    if layer.activation.name == "identity":
        yield name, nn.Identity()
    else:
        yield name, builder.activation(name, layer.activation)


def _flatten(builder: Builder, name: str, layer: Any) -> Named:
    if not builder.is_image(builder.shape(name)):
        yield name, nn.Flatten()
        return
    yield from builder.flattened(name)


# Images --------------------------------------------------------------------------------------------------------------
def _borders(builder: Builder, name: str, layer: Any) -> tuple[int, int, int, int]:
    """Pixels around the images: left, right, above, below, as torch has them."""
    height, width, _ = as_image(builder.shape(name))
    (above, below), (left, right) = layer._windows.borders((height, width))
    return left, right, above, below


def _convolution(builder: Builder, name: str, layer: Any) -> Named:
    inputs, borders = builder.shape(name)[2], _borders(builder, name, layer)
    even = borders[0] == borders[1] and borders[2] == borders[3]
    if not even:
        yield f"{name}_padding", nn.ZeroPad2d(borders)
    settings = {
        "stride": layer.strides,
        "padding": (borders[2], borders[0]) if even else (0, 0),
        "dilation": layer.dilation,
        "bias": layer.bias,
        "device": _META,
    }
    if layer.kind == "maxout_conv2d":
        maxout = modules.MaxoutConv2d(inputs, layer.filters, layer.kernel_size, layer.pieces, **settings)
        yield name, builder.place(name, maxout, _PIECES, "weight", "bias")
        return
    module = nn.Conv2d(inputs, layer.filters, layer.kernel_size, groups=layer.groups, **settings)
    yield name, builder.place(name, module, _FILTERS, "weight", "bias")
    yield from _activated(builder, name, layer)


def _pool(builder: Builder, name: str, layer: Any) -> Named:
    left, right, above, below = borders = _borders(builder, name, layer)
    size, strides = layer.pool_size, layer.strides or layer.pool_size
    fits = left == right and above == below and 2 * left <= size[1] and 2 * above <= size[0]
    if layer.kind == "average_pool2d":
        counts = layer.count_padding
        yield (
            name,
            nn.AvgPool2d(size, strides, (above, left), count_include_pad=counts)
            if fits
            else modules.AveragePool2d(size, strides, borders, counts),
        )
        return
    if not fits:
        yield f"{name}_padding", nn.ConstantPad2d(borders, -math.inf)
    yield name, nn.MaxPool2d(size, strides, (above, left) if fits else 0)


def _global_average_pool(builder: Builder, name: str, layer: Any) -> Named:
    yield name, nn.AdaptiveAvgPool2d(1)
    yield f"{name}_flatten", nn.Flatten()


def _batch_norm(builder: Builder, name: str, layer: Any) -> Named:
    is_image = builder.is_image(builder.shape(name))
    kind = nn.BatchNorm2d if is_image else nn.BatchNorm1d
    module = kind(builder.shape(name)[-1], layer.eps, 1 - layer.momentum, device=_META)
    module.num_batches_tracked = torch.tensor(0)
    builder.places += [Place(f"{name}.{key}", module, attribute) for key, attribute in _NORMALIZATION.items()]
    yield name, module


def _one(make: Callable[[Any], nn.Module]) -> Callable[[Builder, str, Any], Named]:
    return lambda builder, name, layer: iter([(name, make(layer))])


_KINDS: dict[str, Callable[[Builder, str, Any], Named]] = {
    "dense": _dense,
    "gaussian": _dense,
    "maxout": _maxout,
    "conv2d": _convolution,
    "maxout_conv2d": _convolution,
    "max_pool2d": _pool,
    "average_pool2d": _pool,
    "global_average_pool2d": _global_average_pool,
    "local_response_norm": _one(lambda layer: nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)),
    "batch_norm": _batch_norm,
    "activation": _activation,
    "residual": lambda builder, name, layer: iter([(name, builder.residual(name, layer))]),
    "parallel": lambda builder, name, layer: iter([(name, builder.parallel(layer))]),
    "flatten": _flatten,
    "dropout": _one(lambda layer: nn.Dropout(layer.rate)),
    "gaussian_noise": _one(lambda layer: modules.GaussianNoise(layer.stddev)),
}
