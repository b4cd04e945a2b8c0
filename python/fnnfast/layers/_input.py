"""The input of a network."""

from __future__ import annotations

import math
from typing import ClassVar

from .. import _checks
from .._frozen import Frozen
from ..typing import ChannelOrder
from ._shape import Shape, is_image


class Input(Frozen):
    """The shape of one sample of the input.

    Three numbers are an image: height, width, channels. Any other number of dimensions is flattened to a vector.
    Layers read and write images with their channels last; images with their channels first, as those of PyTorch and
    ONNX, are transposed when the network reads them.

    Parameters
    ----------
    *shape : int >= 1
        The length of each dimension, as in ``Input(784)``, ``Input(28, 28)`` or ``Input(28, 28, 1)``. The number of
        values is less than 2**31.
    channels : {"last", "first"}
        The order of the dimensions of images: (height, width, channels) or (channels, height, width).

    Attributes
    ----------
    size : int
        I, the number of values.
    sample_shape : tuple of int
        The shape that the first layer reads: (height, width, channels) for an image, else (I,).
    channels_first : bool
        Whether the channels of its images are first.
    format_version : int
        The version of the files that can contain it.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Input(28, 28).size
    784
    >>> fnn.Input(28, 28).sample_shape, fnn.Input(28, 28, 1).sample_shape
    ((784,), (28, 28, 1))
    >>> fnn.Input(3, 32, 32, channels="first").sample_shape
    (32, 32, 3)
    """

    kind: ClassVar[str] = "input"
    shape: tuple[int, ...]
    channels: ChannelOrder = "last"

    @_checks.advised("Input")
    def __init__(self, *shape: int, channels: ChannelOrder = "last") -> None:
        if not shape:
            raise ValueError(_checks.message("Input", "at least one dimension", "none"))
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            raise TypeError(_checks.message("Input", "an integer >= 1", repr(shape[0])) + "; write Input(*shape)")
        lengths = tuple(_checks.integer("Input", length, 1) for length in shape)
        if math.prod(lengths) > _checks.MAX_SIZE:
            raise ValueError(_checks.message("Input", f"at most {_checks.MAX_SIZE} values", f"shape {lengths}"))
        self._store(shape=lengths)
        if channels not in ("last", "first"):
            raise _checks.unknown("channels", channels, ("last", "first"))
        if channels == "first":
            if not is_image(lengths):
                expected = "(channels, height, width) for channels='first'"
                raise ValueError(_checks.message("Input", expected, f"shape {lengths}"))
            self._store(channels=channels)

    @property
    def size(self) -> int:
        """I, the number of values."""
        return math.prod(self.shape)

    @property
    def sample_shape(self) -> Shape:
        """The shape that the first layer reads: (h, w, c) of an image, (I,) of all else."""
        if not is_image(self.shape):
            return (self.size,)
        return (*self.shape[1:], self.shape[0]) if self.channels_first else self.shape

    @property
    def channels_first(self) -> bool:
        """Whether the channels of its images are first."""
        return self.channels == "first"

    @property
    def format_version(self) -> int:
        """The version of the files that can contain it."""
        return 2 if self.channels_first else 1

    def __repr__(self) -> str:
        channels = ", channels='first'" if self.channels_first else ""
        return f"Input({', '.join(map(str, self.shape))}{channels})"
