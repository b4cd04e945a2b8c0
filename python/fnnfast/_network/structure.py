"""The layers of a network by name, and what follows from them alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .. import _checks
from .._checks import message
from ..layers import Input, Layer
from ..layers._base import no_layer, specs
from ..layers._shape import Shape, described, is_image

MOST_NESTED = 64  # as kDeepest in csrc/core/lower.hpp

Shapes = dict[str, Shape]


class Structure:
    """Layers that make a network; ValueError or TypeError for those that do not.

    Attributes
    ----------
    layers : tuple
        As they were given, the input first.
    input : Input
    named : dict of str to Layer
        All after the input, those inside another one after it.
    sample_shape : Shape
        Of the input, as the layers read it: that of ``input``, or a vector. An image is a vector to layers that cannot
        read it, such as a block of dense layers that its input is added to.
    input_shapes, output_shapes : dict of str to Shape
        By name, what the layer reads and writes for one sample.
    parameter_shapes : dict of str to Shapes
        By name, the names and shapes of the layer's parameters.
    buffer_shapes : dict of str to Shapes
        The same of its buffers.
    outputs : int
        O, the width of the output.
    """

    def __init__(self, layers: Sequence[Input | Layer]) -> None:
        self.input, self.named = _named(layers)
        self.layers = tuple(layers)
        self.sample_shape, self.input_shapes, self.output_shapes = self._flow()
        self.parameter_shapes = {
            name: layer.parameter_shapes(self.input_shapes[name]) for name, layer in self.named.items()
        }
        self.buffer_shapes = {name: layer.buffer_shapes(self.input_shapes[name]) for name, layer in self.named.items()}
        self.outputs = math.prod(self.output_shapes[self.last_name])

    def _flow(self) -> tuple[Shape, dict[str, Shape], dict[str, Shape]]:
        shape, vector = self.input.sample_shape, (self.input.size,)
        try:
            return shape, *self._shapes_of(shape)
        except ValueError:
            if shape != vector and not self.input.channels_first:
                with suppress(ValueError):
                    return vector, *self._shapes_of(vector)
            raise

    def _shapes_of(self, shape: Shape) -> tuple[dict[str, Shape], dict[str, Shape]]:
        """By name, the shapes of what a layer reads and writes; ValueError where they do not match."""
        inputs: dict[str, Shape] = {}
        outputs: dict[str, Shape] = {}
        names = iter(self.named)

        def walk(layers: Sequence[Layer], shape: Shape) -> None:
            for layer in layers:
                name = next(names)
                inputs[name] = shape
                for inner in layer.children().values():
                    walk(inner, shape)
                try:
                    outputs[name] = shape = layer.output_shape(shape)
                except ValueError as error:
                    advice = self._advice(shape) if layer.reads_images and not is_image(shape) else ""
                    raise ValueError(f"{name}: {error}{advice}") from None

        walk(self.chain, shape)
        result = outputs[self.last_name]
        if is_image(result) and result[:2] != (1, 1):
            expected = f"expected outputs that are a vector, got {described(result)}"
            raise ValueError(f"{self.last_name}: {expected}; add Flatten() or GlobalAveragePool2D()")
        return inputs, outputs

    def _advice(self, shape: Shape) -> str:
        """What to write for a layer that reads images, where it would get a vector of that shape."""
        given = self.input.shape
        if is_image(given) or shape != (self.input.size,):
            return "; write it before Flatten, Dense and other layers that give vectors"
        side = math.isqrt(self.input.size)
        if len(given) == 2:
            image = f"{given[0]}, {given[1]}, 1"
        else:
            image = f"{side}, {side}, 1" if side > 1 and side**2 == self.input.size else "height, width, channels"
        return f"; write Input({image})"

    @property
    def chain(self) -> Sequence[Layer]:
        """The layers after the input, without those inside others."""
        return self.layers[1:]  # type: ignore[return-value]

    @property
    def last(self) -> Layer:
        return self.chain[-1]

    @property
    def last_name(self) -> str:
        return next(name for name in reversed(self.named) if "." not in name)

    def specs(self) -> list[tuple[Any, ...]]:
        """The layers as the compiled network takes them."""
        return specs(self.chain, self.sample_shape)

    @property
    def state_shapes(self) -> dict[str, Shapes]:
        """By name, the shapes of a layer's parameters and buffers."""
        return {name: {**shapes, **self.buffer_shapes[name]} for name, shapes in self.parameter_shapes.items()}

    def multiply_adds(self, name: str) -> int:
        """Those of a layer's own product for one sample: each weight once for each pixel of the output."""
        weight = self.parameter_shapes[name].get("weight")
        return 0 if weight is None else math.prod(self.output_shapes[name][:-1]) * math.prod(weight)

    @property
    def has_images(self) -> bool:
        """Whether values are treated as images; if not, all may as well be vectors in the order of the caller."""
        return self.input.channels_first or any(
            layer.reads_images or (is_image(self.output_shapes[name]) and (self.state_shapes[name] or layer.children()))
            for name, layer in self.named.items()
        )

    def require_gpu(self) -> None:
        """ValueError where a layer does not run on a GPU."""
        if self.input.channels_first:
            raise ValueError(f"{self.input!r} runs on the CPU only; write device='cpu'")
        for name, layer in self.named.items():
            if layer.cpu_only:
                raise ValueError(f"{name}: {type(layer).__name__} runs on the CPU only; write device='cpu'")
            if layer.activation.accurate:
                raise ValueError(f"{name}: {layer.activation} runs on the CPU only; write device='cpu'")

    def within(self, name: str) -> list[str]:
        """The names of a layer and of those inside it."""
        return [known for known in self.named if f"{known}.".startswith(f"{name}.")]


def _named(layers: Sequence[Input | Layer]) -> tuple[Input, dict[str, Layer]]:
    """The input, and the layers after it by name."""
    if isinstance(layers, (Input, Layer)) or not _checks.is_sequence(layers):
        raise TypeError(message("layers", "a sequence of layers", repr(layers)))
    first = layers[0] if layers else None
    if not isinstance(first, Input):
        raise ValueError(message("layers", "an Input first", "no layers" if first is None else repr(first)))
    named = _numbered(layers[1:])
    last = layers[-1]
    if not isinstance(last, Layer) or not last.can_end:
        raise ValueError(message("layers", "a Dense, Maxout, Activation or Residual last", repr(last)))
    end = next(name for name in reversed(named) if "." not in name)
    for name, layer in named.items():
        if layer.is_head and name != end:
            raise ValueError(f"{name}: {layer.head} is an output head, for the last layer only")
    return first, named


def _numbered(layers: Sequence[Input | Layer], prefix: str = "", depth: int = 1) -> dict[str, Layer]:
    """The layers by kind and number; those of a residual block after it, under its name."""
    if depth > MOST_NESTED:
        raise ValueError(message("layers", f"at most {MOST_NESTED} layers inside each other", "more"))
    named: dict[str, Layer] = {}
    counts: dict[str, int] = {}
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(
                message("layers", "Dense, Maxout and other layers after the Input", repr(layer)) + no_layer(layer)
            )
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        name = f"{prefix}{layer.kind}_{counts[layer.kind]}"
        named[name] = layer
        for before, inner in layer.children().items():
            named |= _numbered(inner, f"{name}.{before}", depth + 1)
    return named
