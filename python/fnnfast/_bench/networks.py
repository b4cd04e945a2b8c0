"""The networks of the problems: their layers with the values of their parameters, their shapes and their cost.

Each network is described here once. The reference and every contender build theirs from the description. Images are
(B, H, W, C) and kernels (H, W, C, F); a contender that keeps them otherwise transposes them before the clock starts.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Layers: TypeAlias = "tuple[Layer, ...]"

NORM_EPS = 1e-5
"""Added to the variance in batch normalization."""


class Layer(ABC):
    """One layer."""

    @abstractmethod
    def flow(self, shape: Shape) -> tuple[Shape, int]:
        """The shape of a sample after the layer, and the multiply-adds per sample."""


class Product(Layer):
    """A layer with weights."""

    weight: Array

    @property
    def terms(self) -> int:
        """How many products make an output, or a piece of it."""
        return int(self.weight.size // self.weight.shape[-1])

    @property
    def rows(self) -> Array:
        """The weight as (I, O), with the inputs in the order of the channels last."""
        return self.weight.reshape(-1, self.weight.shape[-1])


@dataclass(frozen=True, eq=False)
class Dense(Product):
    """``weight`` is (I, O), or (H, W, C, O) where the inputs are an image; ``bias`` is (O,)."""

    weight: Array
    bias: Array
    activation: str = "identity"

    @property
    def rows_channels_first(self) -> Array:
        """The weight as (I, O), with the inputs in the order of the channels first."""
        if self.weight.ndim == 2:
            return self.weight
        return np.ascontiguousarray(self.weight.transpose(2, 0, 1, 3)).reshape(self.rows.shape)

    def flow(self, shape: Shape) -> tuple[Shape, int]:
        return (len(self.bias),), self.weight.size


@dataclass(frozen=True, eq=False)
class Maxout(Product):
    """The largest of P pieces: ``weight`` (P, I, O), ``bias`` (P, O)."""

    weight: Array
    bias: Array

    @property
    def terms(self) -> int:
        return int(self.weight.shape[1])

    def flow(self, shape: Shape) -> tuple[Shape, int]:
        return self.bias.shape[1:], self.weight.size


@dataclass(frozen=True, eq=False)
class Norm:
    """Batch normalization, each (F,). ``mean`` and ``variance`` are those of inference."""

    scale: Array
    shift: Array
    mean: Array
    variance: Array


@dataclass(frozen=True, eq=False)
class Conv(Product):
    """``weight`` (H, W, C, F) and ``bias`` (F,), which is None before batch normalization."""

    weight: Array
    bias: Array | None
    norm: Norm | None = None
    activation: str = "identity"
    stride: int = 1
    padding: int = 0

    def flow(self, shape: Shape) -> tuple[Shape, int]:
        height, width = (_windows(n, self.weight.shape[0], self.stride, self.padding) for n in shape[:2])
        return (height, width, self.weight.shape[-1]), height * width * self.weight.size


@dataclass(frozen=True)
class MaxPool(Layer):
    size: int
    stride: int
    padding: int = 0

    def flow(self, shape: Shape) -> tuple[Shape, int]:
        height, width = (_windows(n, self.size, self.stride, self.padding) for n in shape[:2])
        return (height, width, shape[2]), 0


@dataclass(frozen=True)
class GlobalAverage(Layer):
    """(B, H, W, C) to (B, C)."""

    def flow(self, shape: Shape) -> tuple[Shape, int]:
        return shape[2:], 0


@dataclass(frozen=True, eq=False)
class Residual(Layer):
    """``relu(body(x) + shortcut(x))``; a shortcut without layers is x."""

    body: Layers
    shortcut: Layers = ()

    def flow(self, shape: Shape) -> tuple[Shape, int]:
        after, work = flow(self.body, shape)
        return after, work + flow(self.shortcut, shape)[1]


@dataclass(frozen=True, eq=False)
class Parallel(Layer):
    """Branches whose channels are concatenated."""

    branches: tuple[Layers, ...]

    def flow(self, shape: Shape) -> tuple[Shape, int]:
        shapes, work = zip(*(flow(branch, shape) for branch in self.branches), strict=True)
        return (*shapes[0][:2], sum(after[2] for after in shapes)), sum(work)


def _windows(pixels: int, size: int, stride: int, padding: int) -> int:
    return (pixels + 2 * padding - size) // stride + 1


def flow(layers: Iterable[Layer], shape: Shape) -> tuple[Shape, int]:
    """The shape of a sample after all layers, and the multiply-adds per sample."""
    work = 0
    for layer in layers:
        shape, more = layer.flow(shape)
        work += more
    return shape, work


def products(layers: Iterable[Layer]) -> Iterator[Dense | Maxout | Conv]:
    """The layers with parameters, also those inside others: of a residual block the body first, then the shortcut."""
    for layer in layers:
        match layer:
            case Residual():
                yield from products((*layer.body, *layer.shortcut))
            case Parallel():
                for branch in layer.branches:
                    yield from products(branch)
            case Dense() | Maxout() | Conv():
                yield layer


def parameters(layers: Iterable[Layer]) -> Iterator[Array]:
    """What training changes, in the order of ``products``: weight, bias, and the scale and shift of a norm."""
    for layer in products(layers):
        yield layer.weight
        if layer.bias is not None:
            yield layer.bias
        if isinstance(layer, Conv) and layer.norm is not None:
            yield layer.norm.scale
            yield layer.norm.shift


def dense(layers: Iterable[Layer]) -> tuple[Dense, ...]:
    """The layers of a network of dense layers."""
    return tuple(layer for layer in layers if isinstance(layer, Dense))


def headed(layers: Layers, activation: str) -> Layers:
    """The same network with another activation of its last layer, which is dense."""
    *others, head = layers
    assert isinstance(head, Dense)
    return (*others, replace(head, activation=activation))


def mapped(layers: Iterable[Layer], change: Callable[[Layer], Layer]) -> Layers:
    """The same network with each layer changed; ``change`` is not asked about those that contain others."""

    def of(layer: Layer) -> Layer:
        match layer:
            case Residual():
                return Residual(mapped(layer.body, change), mapped(layer.shortcut, change))
            case Parallel():
                return Parallel(tuple(mapped(branch, change) for branch in layer.branches))
        return change(layer)

    return tuple(map(of, layers))


def folded(layers: Iterable[Layer]) -> Layers:
    """The same network in inference, with each batch normalization in the weights before it."""

    def fold(layer: Layer) -> Layer:
        if not isinstance(layer, Conv) or layer.norm is None:
            return layer
        norm = layer.norm
        factor = norm.scale / np.sqrt(norm.variance + np.float32(NORM_EPS))
        return replace(layer, weight=layer.weight * factor, bias=norm.shift - norm.mean * factor, norm=None)

    return mapped(layers, fold)


class Draw:
    """Makes layers with random parameters, of sizes at which no outputs vanish or overflow."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def normal(self, shape: Shape, deviation: float) -> Array:
        return self._rng.standard_normal(shape, np.float32) * np.float32(deviation)

    def dense(self, inputs: int | Shape, units: int, activation: str = "identity", gain: float = 1.0) -> Dense:
        shape = inputs if isinstance(inputs, tuple) else (inputs,)
        weight = self.normal((*shape, units), math.sqrt(gain / math.prod(shape)))
        return Dense(weight, self.normal((units,), 0.1), activation)

    def maxout(self, pieces: int, inputs: int, units: int) -> Maxout:
        return Maxout(self.normal((pieces, inputs, units), math.sqrt(1 / inputs)), self.normal((pieces, units), 0.1))

    def conv(
        self,
        channels: int,
        filters: int,
        kernel: int = 3,
        activation: str = "relu",
        *,
        stride: int = 1,
        padding: int | None = None,
        norm: bool = False,
    ) -> Conv:
        """A convolution; padded so that a stride of 1 keeps the size of the image, unless ``padding`` is given."""
        weight = self.normal((kernel, kernel, channels, filters), math.sqrt(2 / (kernel * kernel * channels)))
        bias = None if norm else self.normal((filters,), 0.1)
        statistics = self._norm(filters) if norm else None
        return Conv(weight, bias, statistics, activation, stride, kernel // 2 if padding is None else padding)

    def _norm(self, filters: int) -> Norm:
        scale, variance = (self._rng.uniform(0.5, 1.5, filters).astype(np.float32) for _ in range(2))
        return Norm(scale, self.normal((filters,), 0.1), self.normal((filters,), 0.1), variance)


@dataclass(frozen=True)
class Network:
    """A network before its parameters are drawn.

    Attributes
    ----------
    title
        In words.
    input_shape
        The shape of a sample: (I,) or (H, W, C).
    make
        Makes the layers; it draws their parameters in a fixed order.
    """

    title: str
    input_shape: Shape
    make: Callable[[Draw], Sequence[Layer]]


def chain(widths: Sequence[int], activation: str) -> Network:
    """Dense layers with the activation after all but the last (after the only one of a single layer).

    ``widths`` are the inputs, then the units of each layer.
    """
    pairs = list(itertools.pairwise(widths))
    activations = [activation] * max(1, len(pairs) - 1) + ["identity"]
    gain = 2.0 if activation == "relu" else 1.0

    def make(draw: Draw) -> list[Layer]:
        return [draw.dense(i, o, act, gain) for (i, o), act in zip(pairs, activations, strict=False)]

    return Network(f"{'-'.join(map(str, widths))} {activation}", (widths[0],), make)


def maxout(inputs: int, units: int, pieces: int) -> Network:
    """One maxout layer."""
    title = f"{inputs}-{units} maxout of {pieces}"
    return Network(title, (inputs,), lambda draw: [draw.maxout(pieces, inputs, units)])
