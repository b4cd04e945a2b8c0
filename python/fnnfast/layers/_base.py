"""The base class of layers: specifications of what a network is made of, before it is built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .. import activations
from .._checks import Array, message
from .._frozen import Frozen
from ..distributions import Bernoulli, Categorical, Distribution, Gaussian
from ..distributions._families import discriminant
from ._shape import Shape

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike

_DISCRETE = {"softmax": Categorical, "sigmoid": Bernoulli}


class Layer(Frozen, ABC):
    """Base class of the layers that follow the input.

    Layers are immutable. They are equal if their class and their parameters are. A layer knows the shape of one sample:
    ``(c,)`` for a vector, ``(h, w, c)`` for an image.

    Attributes
    ----------
    kind : str
        Names the layers of a network: dense_1, maxout_1, dense_2, ...
    activation : Activation
        The activation of the layer; identity for a layer without activation.
    has_units : bool
        Whether its outputs are new units, as in Dense and Residual. Other layers change each value on its own.
    is_pool : bool
        Whether it joins pixels of an image, without units.
    reads_images : bool
        Whether its input is an image. Other layers read vectors as well.
    cpu_only : bool
        Whether it does not run on a GPU.
    can_end : bool
        Whether it may be the last layer of a network.
    is_head : bool
        Whether it may only be the last layer of a network.
    predicts_precision : bool
        Whether its outputs are means followed by logarithms of precisions.
    format_version : int
        The version of the files that can contain it: 1 for those that fnnfast 0.1.0 can read.
    """

    kind: ClassVar[str]
    activation: activations.Activation = activations.Identity()
    has_units: ClassVar[bool] = False
    is_pool: ClassVar[bool] = False
    reads_images: ClassVar[bool] = False
    cpu_only: ClassVar[bool] = False
    can_end: ClassVar[bool] = True
    predicts_precision: ClassVar[bool] = False

    @property
    def is_head(self) -> bool:
        """Whether the layer may only be the last one of a network."""
        return self.activation.rowwise

    @property
    def format_version(self) -> int:
        """The version of the files that can contain the layer: 1 for those that fnnfast 0.1.0 can read."""
        return 1

    def _store_changes(self, **fields: Any) -> None:
        """Set the fields that differ from the defaults of the class: a file holds no others."""
        self._store(**{name: value for name, value in fields.items() if value != getattr(type(self), name)})

    # Shapes and parameters -------------------------------------------------------------------------------------------
    @abstractmethod
    def spec(self, shape: Shape) -> tuple[Any, ...]:
        """Return the specification of the layer for the compiled network, with the layers inside it.

        Parameters
        ----------
        shape : tuple of int
            The shape of one sample of the input.

        Returns
        -------
        tuple
            The specification, see ``_cpu.Network``.
        """

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of one sample of the output.

        Parameters
        ----------
        shape : tuple of int
            The shape of one sample of the input.

        Returns
        -------
        tuple of int
            The shape of the output.

        Raises
        ------
        ValueError
            If the layer cannot read such an input, or the layers inside do not match.
        """
        return shape

    def children(self) -> dict[str, tuple[Layer, ...]]:
        """Return the layers inside this layer.

        Returns
        -------
        dict of str to tuple of Layer
            Sequences of layers, by the prefix of their names.
        """
        return {}

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Return the shapes of the parameters.

        Parameters
        ----------
        shape : tuple of int
            The shape of one sample of the input.

        Returns
        -------
        dict of str to tuple of int
            The shapes by name.
        """
        return {}

    def buffer_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Return the shapes of the buffers: what training moves without a gradient, such as running statistics.

        Parameters
        ----------
        shape : tuple of int
            The shape of the input.

        Returns
        -------
        dict of str to tuple of int
            The shapes by name.
        """
        return {}

    def initial(self, shape: Shape, rng: Generator) -> dict[str, Array]:
        """Return initial values of the parameters.

        Parameters
        ----------
        shape : tuple of int
            The shape of one sample of the input.
        rng : Generator
            The source of random numbers.

        Returns
        -------
        dict of str to ndarray
            The values by name, in float64.
        """
        return {}

    def settings(self) -> dict[str, float]:
        """Return the numbers that training needs in the dtype of the network.

        Returns
        -------
        dict of str to float
            The numbers by name.
        """
        return {}

    def scaled(self, factor: float) -> Self:
        """Return the layer with a multiple of its units.

        Parameters
        ----------
        factor : float
            What the number of units is multiplied by.

        Returns
        -------
        Layer
            The new layer; this one if it has no units.
        """
        return self

    def require_trainable(self, name: str) -> None:
        """Check that gradients can pass through.

        Parameters
        ----------
        name : str
            The name of the layer, for the message.

        Raises
        ------
        ValueError
            If gradients cannot pass through.
        """
        if not self.activation.differentiable:
            raise ValueError(f"{name}: {self.activation.name} is not differentiable, so the network cannot be trained")

    # As the last layer -----------------------------------------------------------------------------------------------
    @property
    def head(self) -> str:
        """The kind of outputs of a network with this last layer: the name of an activation, or "Gaussian"."""
        return self.activation.name

    def predict(self, outputs: Array) -> Array:
        """Return the prediction for each row of outputs, see ``Sequential.predict``.

        Parameters
        ----------
        outputs : ndarray of shape (B, O)
            Outputs of the network.

        Returns
        -------
        ndarray of shape (B,) or (B, O)
            Classes, 0 or 1, or reals.
        """
        return discriminant(self.activation, outputs)

    def distribution(self, answer: Callable[[bool], Array], precision: ArrayLike | None) -> Distribution:
        """Return the distributions that the outputs describe, see ``Sequential.distribution``.

        Parameters
        ----------
        answer : callable
            ``answer(False)`` returns the outputs of the network, ``answer(True)`` the logits, both on the host.
        precision : array_like or None
            Precisions of a Gaussian.

        Returns
        -------
        Distribution
            One distribution per row.

        Raises
        ------
        ValueError
            If the head predicts no distribution, or if a precision is given and the distribution is not Gaussian.
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

    # Text ------------------------------------------------------------------------------------------------------------
    @property
    def title(self) -> str:
        """The text for the layer in a table, in which the layers inside it follow."""
        return repr(self)


def no_layer(value: object) -> str:
    """What to write instead of something that is given as a layer, for the end of an error; empty if unknown."""
    if isinstance(value, type):
        return f"; write {value.__name__}(...)" if issubclass(value, (Layer, activations.Activation)) else ""
    name = value.name if isinstance(value, activations.Activation) else value
    if isinstance(name, str):
        try:
            name = activations.get(name).name
        except (ValueError, TypeError):
            return ""
        return f"; write fnnfast.Activation({name!r}), or {name!r} as the activation of the layer before it"
    return ""


def specs(layers: Sequence[Layer], shape: Shape) -> list[tuple[Any, ...]]:
    """The specifications of a sequence of layers for the compiled network."""
    found = []
    for layer in layers:
        found.append(layer.spec(shape))
        shape = layer.output_shape(shape)
    return found


def shape_after(layers: Sequence[Layer], shape: Shape) -> Shape:
    """The shape of the output of a sequence of layers."""
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape


def scaled_units(units: int, factor: float) -> int:
    """A number of units multiplied by a factor, at least 1."""
    return max(1, round(units * factor))
