"""Pools: layers that join the pixels of windows of an image, each channel on its own."""

from __future__ import annotations

import math
from typing import Any

from .. import _checks
from .._checks import message
from .._windows import Borders, Pair, Windows, pair, windows
from ..ops import MAX_SAVED_PIECES
from ..typing import PaddingName
from ._base import Layer
from ._shape import Shape, image


class _Pool(Layer):
    """What MaxPool2D and AveragePool2D have in common: windows."""

    reads_images = True
    cpu_only = True
    is_pool = True
    format_version = 2
    pool_size: Pair = (2, 2)
    strides: Pair | None = None
    padding: PaddingName | Borders = "valid"

    def _store_windows(self, pool_size: Any, strides: Any, padding: Any) -> None:
        size = pair("pool_size", pool_size)
        found = windows(size, size if strides is None else strides, padding, 1)
        borders = found.padding
        if not isinstance(borders, str) and any(
            max(border) >= length for border, length in zip(borders, size, strict=True)
        ):
            raise ValueError(message("padding", f"less than the pool_size {size} on each side", padding))
        self._store_changes(
            pool_size=size,
            strides=None if found.strides == size else found.strides,
            padding="valid" if borders == ((0, 0), (0, 0)) else borders,
        )

    @property
    def _windows(self) -> Windows:
        return windows(self.pool_size, self.strides or self.pool_size, self.padding, 1)

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = image(shape)
        return (*self._windows.outputs((height, width)), channels)

    def _of_windows(self, shape: Shape) -> tuple[Pair, Pair, Borders]:
        """Size, strides and padding, for a spec."""
        height, width, _ = image(shape)
        found = self._windows
        return found.kernel, found.strides, found.borders((height, width))


class MaxPool2D(_Pool):
    """Maximum over each window of an image, for each channel.

    Pixels in the padding do not count. A window has at most 256 pixels.

    Parameters
    ----------
    pool_size : int >= 1 or (int, int)
        Height and width of a window.
    strides : int >= 1 or (int, int), optional
        Pixels from one window to the next. ``pool_size`` by default.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        Pixels around the image, less than ``pool_size`` on each side, as for ``Conv2D``.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.MaxPool2D(2).output_shape((28, 28, 16))
    (14, 14, 16)
    """

    kind = "max_pool2d"

    @_checks.advised("Pool")
    def __init__(
        self,
        pool_size: int | Pair = 2,
        strides: int | Pair | None = None,
        padding: PaddingName | int | Pair | Borders = "valid",
    ) -> None:
        self._store_windows(pool_size, strides, padding)
        if math.prod(self.pool_size) > MAX_SAVED_PIECES:
            raise ValueError(message("pool_size", f"at most {MAX_SAVED_PIECES} pixels", self.pool_size))

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("max_pool", *self._of_windows(shape))


class AveragePool2D(_Pool):
    """Mean over each window of an image, for each channel.

    Parameters
    ----------
    pool_size : int >= 1 or (int, int)
        Height and width of a window.
    strides : int >= 1 or (int, int), optional
        Pixels from one window to the next. ``pool_size`` by default.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        Pixels around the image, less than ``pool_size`` on each side, as for ``Conv2D``.
    count_padding : bool
        Whether pixels in the padding count, as zeros.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.AveragePool2D(3, strides=2, padding="same").output_shape((28, 28, 16))
    (14, 14, 16)
    """

    kind = "average_pool2d"
    count_padding: bool = False

    @_checks.advised("AveragePool2D")
    def __init__(
        self,
        pool_size: int | Pair = 2,
        strides: int | Pair | None = None,
        padding: PaddingName | int | Pair | Borders = "valid",
        count_padding: bool = False,
    ) -> None:
        self._store_windows(pool_size, strides, padding)
        self._store_changes(count_padding=_checks.flag("count_padding", count_padding))

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("average_pool", *self._of_windows(shape), self.count_padding)


class GlobalAveragePool2D(Layer):
    """Mean over all pixels of an image, for each channel: a vector.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.GlobalAveragePool2D().output_shape((7, 7, 64))
    (64,)
    """

    kind = "global_average_pool2d"
    reads_images = True
    cpu_only = True
    is_pool = True
    format_version = 2

    def output_shape(self, shape: Shape) -> Shape:
        return image(shape)[2:]

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        height, width, _ = image(shape)
        return ("average_pool", (height, width), (height, width), ((0, 0), (0, 0)), False)
