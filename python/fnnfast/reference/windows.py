"""Windows of images, gathered one tap after the other, and their transpose."""

from typing import NamedTuple

from ._xp import Array, namespace

Pair = tuple[int, int]
Padding = str | int | Pair | tuple[Pair, Pair]


class Windows(NamedTuple):
    """Which windows of an image there are.

    Parameters
    ----------
    image : (int, int)
        Height and width of an image.
    kernel : (int, int)
        Height and width of a window, in taps.
    strides : (int, int)
        Pixels from one window to the next, down and to the right.
    padding : ((int, int), (int, int))
        Rows above and below the image, columns to its left and right.
    dilation : (int, int)
        Pixels from one tap to the next.
    """

    image: Pair
    kernel: Pair
    strides: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair

    @property
    def outputs(self) -> Pair:
        """How many windows there are, down and to the right."""
        high, wide = (
            (length + sum(border) - (taps - 1) * apart - 1) // stride + 1
            for length, border, taps, apart, stride in zip(
                self.image, self.padding, self.kernel, self.dilation, self.strides, strict=True
            )
        )
        return high, wide

    def _tap(self, axis: int, tap: int) -> slice:
        """Where a tap of all windows is, along an axis of the padded image."""
        first, stride = tap * self.dilation[axis], self.strides[axis]
        return slice(first, first + (self.outputs[axis] - 1) * stride + 1, stride)

    def gather(self, x: Array, fill: float = 0.0) -> Array:
        """Return the windows of images.

        Parameters
        ----------
        x : ndarray of shape (B, H, W, C)
            Images.
        fill : float
            The value of the padding.

        Returns
        -------
        ndarray of shape (B, H', W', KH, KW, C)
            The windows.
        """
        xp = namespace(x)
        padded = xp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=fill)
        rows = [
            xp.stack([padded[:, self._tap(0, ky), self._tap(1, kx)] for kx in range(self.kernel[1])], axis=3)
            for ky in range(self.kernel[0])
        ]
        return xp.stack(rows, axis=3)

    def scatter(self, windows: Array) -> Array:
        """Return images to which each window has added its taps: the transpose of ``gather``.

        Parameters
        ----------
        windows : ndarray of shape (B, H', W', KH, KW, C)
            Windows.

        Returns
        -------
        ndarray of shape (B, H, W, C)
            The images, without the padding.
        """
        xp = namespace(windows)
        (top, bottom), (left, right) = self.padding
        (high, wide), batch, channels = self.image, windows.shape[0], windows.shape[-1]
        padded = xp.zeros((batch, top + high + bottom, left + wide + right, channels), windows.dtype)
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                padded[:, self._tap(0, ky), self._tap(1, kx)] += windows[:, :, :, ky, kx]
        return padded[:, top : top + high, left : left + wide]


def windows(
    image: Pair,
    kernel: int | Pair,
    strides: int | Pair = 1,
    padding: Padding = "valid",
    dilation: int | Pair = 1,
) -> Windows:
    """Return which windows there are.

    Parameters
    ----------
    image : (int, int)
        Height and width of an image.
    kernel : int or (int, int)
        Height and width of a window; one number is for both axes, here and below.
    strides : int or (int, int)
        Pixels from one window to the next.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        None; as much as makes ``ceil(length / stride)`` windows, the odd row or column after the image; the same on all
        sides; above and below, left and right alike; or all four numbers.
    dilation : int or (int, int)
        Pixels from one tap to the next.

    Returns
    -------
    Windows
        The windows.

    Raises
    ------
    ValueError
        If there is no window, or a number is out of range.
    """
    sizes, steps, apart = _pair(kernel), _pair(strides), _pair(dilation)
    if min(*sizes, *steps, *apart) < 1:
        raise ValueError(f"expected kernel, strides and dilation >= 1, got {sizes}, {steps}, {apart}")
    if padding == "valid":
        borders = ((0, 0), (0, 0))
    elif padding == "same":
        high, wide = (_same(*axis) for axis in zip(image, sizes, steps, apart, strict=True))
        borders = (high, wide)
    elif isinstance(padding, str):
        raise ValueError(f"padding: expected 'valid', 'same' or numbers, got {padding!r}")
    else:
        high, wide = (_pair(border) for border in _pair(padding))
        borders = (high, wide)
    if min(*borders[0], *borders[1]) < 0:
        raise ValueError(f"padding: expected numbers >= 0, got {padding}")
    found = Windows(image, sizes, steps, borders, apart)
    if min(found.outputs) < 1:
        raise ValueError(f"kernel: expected at most the padded image, got {sizes} (dilation {apart}) for {image}")
    return found


def _pair(value: object) -> tuple[int, int]:
    if isinstance(value, tuple):
        first, second = value
        return first, second
    return value, value  # type: ignore[return-value]


def _same(length: int, taps: int, stride: int, apart: int) -> Pair:
    missing = max((-(-length // stride) - 1) * stride + (taps - 1) * apart + 1 - length, 0)
    return missing // 2, missing - missing // 2
