"""Residual blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, activations
from .._checks import Array
from ..typing import ActivationName
from ._base import Layer, no_layer, shape_after, specs
from ._initial import initial_weight
from ._shape import Shape, as_image, described, is_image

if TYPE_CHECKING:
    from numpy.random import Generator


class Residual(Layer):
    """Residual block, ``activation(F(x) + x)``, where F is a sequence of layers.

    If the widths of x and F(x) differ, x passes through a projection: a dense layer whose parameters are the ``weight``
    and ``bias`` of the block. If they are images that differ in their channels, it is a dense layer over each pixel.
    With ``shortcut``, x passes through those layers instead. The layers inside are named ``residual_1.dense_1`` and so
    on, those of the shortcut ``residual_1.shortcut.dense_1``. Blocks can be nested.

    Parameters
    ----------
    layers : sequence of Layer
        The layers of F: any but output heads.
    shortcut : sequence of Layer, optional
        Layers that x passes through before the addition.
    activation : str, Activation or None
        The activation of the sum. It is elementwise and has no learned parameter. None is identity.

    Notes
    -----
    He et al., "Deep residual learning for image recognition", 2016. Each block about doubles the variance of its input.
    Training of many blocks starts better with ``init=0.0`` in the last Dense of each block, so that the blocks start as
    the identity (Goyal et al., "Accurate, large minibatch SGD", 2017).

    Examples
    --------
    >>> import fnnfast as fnn
    >>> block = fnn.Residual([fnn.Dense(8, "relu"), fnn.Dense(8, init=0.0)])
    >>> net = fnn.Sequential([fnn.Input(8), block, fnn.Dense(3, "softmax")], seed=0)
    >>> list(net.named_layers)
    ['residual_1', 'residual_1.dense_1', 'residual_1.dense_2', 'dense_1']
    """

    kind = "residual"
    has_units = True
    layers: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] | None = None

    def __init__(
        self,
        layers: Sequence[Layer],
        shortcut: Sequence[Layer] | None = None,
        activation: ActivationName | activations.Activation | None = "identity",
    ) -> None:
        self._store(layers=inside("Residual", layers))
        if shortcut is not None:
            self._store(shortcut=inside("shortcut", shortcut))
        after = activations.get(activation)
        if after.learned or after.rowwise:
            raise ValueError(_checks.message("activation", "one that is elementwise and not learned", after.name))
        if after.name != "identity":
            self._store(activation=after)

    @property
    def format_version(self) -> int:
        ends_have_units = self.layers[0].has_units and self.layers[-1].has_units
        nested = any(isinstance(layer, Residual) for layer in self.layers)
        if nested or not ends_have_units or self.shortcut is not None or self.activation.name != "identity":
            return 2
        return max(layer.format_version for layer in self.layers)

    def children(self) -> dict[str, tuple[Layer, ...]]:
        inside = {"": self.layers}
        return inside if self.shortcut is None else {**inside, "shortcut.": self.shortcut}

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        shortcut = None if self.shortcut is None else specs(self.shortcut, shape)
        units = self.output_shape(shape)[-1] if self._projects(shape) else 0
        return (
            "residual",
            specs(self.layers, shape),
            units,
            shortcut,
            self.activation.kernel,
            self.activation.parameter,
        )

    def output_shape(self, shape: Shape) -> Shape:
        result = shape_after(self.layers, shape)
        if self.shortcut is not None:
            other = shape_after(self.shortcut, shape)
            if as_image(other) != as_image(result):
                if is_image(result) or is_image(other):
                    raise ValueError(f"its layers give {described(result)}, its shortcut {described(other)}")
                raise ValueError(f"its layers have {result[0]} outputs, its shortcut {other[0]}")
        elif as_image(shape)[:2] != as_image(result)[:2]:
            raise ValueError(
                f"its layers give {described(result)}, its input is {described(shape)}; "
                "write padding='same', or a shortcut of layers that give the former"
            )
        return result

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        if not self._projects(shape):
            return {}
        units = self.output_shape(shape)[-1]
        return {"weight": (shape[-1], units), "bias": (units,)}

    def initial(self, shape: Shape, rng: Generator) -> dict[str, Array]:
        if not self._projects(shape):
            return {}
        inputs, units = shape[-1], self.output_shape(shape)[-1]
        return {"weight": initial_weight("lecun", inputs, units, rng), "bias": np.zeros(units)}

    def _projects(self, shape: Shape) -> bool:
        return self.shortcut is None and self.output_shape(shape)[-1] != shape[-1]

    def scaled(self, factor: float) -> Residual:
        shortcut = None if self.shortcut is None else [inner.scaled(factor) for inner in self.shortcut]
        return Residual([inner.scaled(factor) for inner in self.layers], shortcut, self.activation)

    @property
    def title(self) -> str:
        return "Residual"


def inside(name: str, layers: Sequence[Layer], *, empty: bool = False) -> tuple[Layer, ...]:
    """Check layers that are to be inside another one; whether there may be none."""
    inner = tuple(layers) if _checks.is_sequence(layers) else (layers,)
    if not inner and not empty:
        raise ValueError(_checks.message(name, "at least one layer", "none"))
    for layer in inner:
        if not isinstance(layer, Layer):
            raise TypeError(
                _checks.message(name, "layers such as Dense, Maxout, Activation or Dropout", repr(layer))
                + no_layer(layer)
            )
        if layer.is_head:
            raise ValueError(f"{name}: {layer!r} is an output head, for the last layer of a network only")
    return inner
