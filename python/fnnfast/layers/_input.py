"""The input of a network."""

from __future__ import annotations

import math
from typing import ClassVar

from .. import _checks
from .._frozen import Frozen
from ._shape import Shape, is_image


class Input(Frozen):
    """The shape of one sample of the input.

    Three numbers are an image: height, width, channels. Any other number of dimensions is flattened to a vector.

    Parameters
    ----------
    *shape : int >= 1
        The length of each dimension, as in ``Input(784)``, ``Input(28, 28)`` or ``Input(28, 28, 1)``. The number of
        values is less than 2**31.

    Attributes
    ----------
    size : int
        I, the number of values.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Input(28, 28).size
    784
    >>> fnn.Input(28, 28).sample_shape, fnn.Input(28, 28, 1).sample_shape
    ((784,), (28, 28, 1))
    """

    kind: ClassVar[str] = "input"
    shape: tuple[int, ...]

    @_checks.advised("Input")
    def __init__(self, *shape: int) -> None:
        if not shape:
            raise ValueError(_checks.message("Input", "at least one dimension", "none"))
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            raise TypeError(_checks.message("Input", "an integer >= 1", repr(shape[0])) + "; write Input(*shape)")
        lengths = tuple(_checks.integer("Input", length, 1) for length in shape)
        if math.prod(lengths) > _checks.MAX_SIZE:
            raise ValueError(_checks.message("Input", f"at most {_checks.MAX_SIZE} values", f"shape {lengths}"))
        self._store(shape=lengths)

    @property
    def size(self) -> int:
        """I, the number of values."""
        return math.prod(self.shape)

    @property
    def sample_shape(self) -> Shape:
        """The shape that the first layer reads: (h, w, c) of an image, (I,) of all else."""
        return self.shape if is_image(self.shape) else (self.size,)

    def __repr__(self) -> str:
        return f"Input({', '.join(map(str, self.shape))})"
