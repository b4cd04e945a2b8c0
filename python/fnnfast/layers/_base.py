"""What all layers are: specifications that answer for themselves, before a network is built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .. import activations
from .._checks import Array, message
from .._frozen import Frozen
from ..distributions import Bernoulli, Categorical, Distribution, Gaussian
from ..distributions._families import discriminant

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike

_DISCRETE = {"softmax": Categorical, "sigmoid": Bernoulli}


class Layer(Frozen, ABC):
    """Base of the layers that follow the input.

    Attributes
    ----------
    kind : str
        Names the layers of a network: dense_1, maxout_1, dense_2, ...
    activation : Activation
        What comes out last; identity where the layer has no activation function.
    has_units : bool
        Whether it computes values of its own from its inputs, as Dense and Residual do, and not from each value one.
    can_end : bool
        Whether a network may end with it.
    is_head : bool
        Whether it may stand nowhere else.
    predicts_precision : bool
        Whether its outputs are means and, after them, logarithms of precisions.
    format_version : int
        Of the files that can hold it: 1 for what fnnfast 0.1.0 reads.
    """

    kind: ClassVar[str]
    activation: activations.Activation = activations.Identity()
    has_units: ClassVar[bool] = False
    can_end: ClassVar[bool] = True
    predicts_precision: ClassVar[bool] = False

    @property
    def is_head(self) -> bool:
        return self.activation.rowwise

    @property
    def format_version(self) -> int:
        return 1

    # Shapes and parameters -------------------------------------------------------------------------------------------
    @abstractmethod
    def spec(self, inputs: int) -> tuple[Any, ...]:
        """The layer as the compiled network takes it, with the layers inside it: see ``_cpu.Network``."""

    def outputs(self, inputs: int) -> int:
        """The width of its outputs; ValueError where its parts do not go together."""
        return inputs

    def children(self) -> dict[str, tuple[Layer, ...]]:
        """The layers inside it, one after the other, by what comes before their names."""
        return {}

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Name to shape of the layer's parameters."""
        return {}

    def initial(self, inputs: int, rng: Generator) -> dict[str, Array]:
        """Parameters to start training from, in float64."""
        return {}

    def settings(self) -> dict[str, float]:
        """Numbers that training needs in the dtype of the network, by name."""
        return {}

    def scaled(self, factor: float) -> Self:
        """The layer with its units multiplied."""
        return self

    def require_trainable(self, name: str) -> None:
        """ValueError where gradients do not pass."""
        if not self.activation.differentiable:
            raise ValueError(f"{name}: {self.activation.name} is not differentiable, so the network cannot be trained")

    # As the last layer -----------------------------------------------------------------------------------------------
    @property
    def head(self) -> str:
        """What kind of outputs a network has that ends with it: the name of an activation, or "Gaussian"."""
        return self.activation.name

    def predict(self, outputs: Array) -> Array:
        """The discriminant of each row of outputs: see ``Sequential.predict``."""
        return discriminant(self.activation, outputs)

    def distribution(self, answer: Callable[[bool], Array], precision: ArrayLike | None) -> Distribution:
        """The distributions that outputs stand for: see ``Sequential.distribution``.

        answer gives the outputs or, for True, the logits, on the host.
        """
        if not self.activation.differentiable:
            raise ValueError(f"a {self.head} head predicts no distribution")
        family = _DISCRETE.get(self.head)
        if family is None:
            return Gaussian(answer(False), 1.0 if precision is None else precision)
        if precision is not None:
            expected = f"None for a {self.head} head, which is no Gaussian"
            raise ValueError(message("precision", expected, repr(precision)))
        return family(answer(True))

    # On paper --------------------------------------------------------------------------------------------------------
    @property
    def title(self) -> str:
        """The layer in a table, where the layers inside it follow."""
        return repr(self)


def specs(layers: Sequence[Layer], inputs: int) -> list[tuple[Any, ...]]:
    """Layers in a row as the compiled network takes them."""
    found = []
    for layer in layers:
        found.append(layer.spec(inputs))
        inputs = layer.outputs(inputs)
    return found


def outputs_of(layers: Sequence[Layer], inputs: int) -> int:
    """The width of what layers in a row give."""
    for layer in layers:
        inputs = layer.outputs(inputs)
    return inputs


def scaled_units(units: int, factor: float) -> int:
    """A number of units multiplied: at least 1."""
    return max(1, round(units * factor))
