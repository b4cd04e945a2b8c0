"""The windows of convolutions and pools: sizes, and where they lie on an image."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._checks import integer, message
from .typing import PaddingName

Pair = tuple[int, int]
Borders = tuple[Pair, Pair]


class Windows(NamedTuple):
    """Windows of (height, width).

    Attributes
    ----------
    kernel, strides, dilation : (int, int)
        Taps of a window, pixels from window to window, pixels from tap to tap.
    padding : "same" or ((int, int), (int, int))
        Pixels above and below the image, to its left and right.
    """

    kernel: Pair
    strides: Pair
    dilation: Pair
    padding: PaddingName | Borders

    def extent(self, axis: int) -> int:
        """Pixels from one end of a window to the other."""
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1

    def borders(self, image: Pair) -> Borders:
        """The padding of an image: ((above, below), (left, right))."""
        if not isinstance(self.padding, str):
            return self.padding
        rows, columns = (self._same(axis, length) for axis, length in enumerate(image))
        return rows, columns

    def _same(self, axis: int, length: int) -> Pair:
        stride = self.strides[axis]
        missing = max((-(-length // stride) - 1) * stride + self.extent(axis) - length, 0)
        return missing // 2, missing - missing // 2

    def outputs(self, image: Pair) -> Pair:
        """How many windows an image has, (down, to the right); ValueError if none fits."""
        borders = self.borders(image)
        padded = tuple(length + sum(border) for length, border in zip(image, borders, strict=True))
        extents = self.extent(0), self.extent(1)
        if extents[0] > padded[0] or extents[1] > padded[1]:
            of = f"{self.kernel}" + ("" if self.dilation == (1, 1) else f" with dilation {self.dilation}")
            raise ValueError(
                message("kernel", f"a window that fits {image[0]} x {image[1]} pixels and padding {borders}", of)
            )
        rows, columns = (
            (length - extent) // stride + 1
            for length, extent, stride in zip(padded, extents, self.strides, strict=True)
        )
        return rows, columns


def windows(kernel: Pair, strides: Any, padding: Any, dilation: Any) -> Windows:
    """The windows that a user asks for; the kernel is already a pair."""
    return Windows(kernel, pair("strides", strides), pair("dilation", dilation), _padding(padding))


def pair(name: str, value: Any, minimum: int = 1) -> Pair:
    """One integer for both axes, or one for each: (height, width)."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(message(name, "an integer, or a pair of them", value))
        return integer(name, value[0], minimum), integer(name, value[1], minimum)
    size = integer(name, value, minimum)
    return size, size


def _padding(value: Any) -> PaddingName | Borders:
    if isinstance(value, str):
        if value == "valid":
            return (0, 0), (0, 0)
        if value == "same":
            return "same"
        raise ValueError(message("padding", "'valid', 'same' or integers", repr(value)))
    if isinstance(value, tuple | list) and len(value) == 2:
        rows, columns = value
        return pair("padding", rows, 0), pair("padding", columns, 0)
    if isinstance(value, tuple | list):
        raise ValueError(message("padding", "a pair of integers, or of (before, after)", value))
    border = pair("padding", value, 0)
    return border, border
