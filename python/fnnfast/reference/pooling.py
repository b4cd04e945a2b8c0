"""Pooling of windows, channel by channel, forward and backward, in float64."""

from ._xp import Array, as_float64, namespace
from .windows import Padding, Pair, Windows, windows


def max_pool2d_forward(
    x: Array, pool_size: int | Pair = 2, strides: int | Pair | None = None, padding: Padding = "valid"
) -> tuple[Array, Array]:
    """Return the largest number of each window, and its tap.

    Of equal numbers the first wins, in the order of rows and then columns. The first NaN wins over all numbers. Padding
    never wins.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C)
        Images.
    pool_size, strides, padding : optional
        See ``windows``; strides are the size of the window by default. The padding is less than the window.

    Returns
    -------
    y : ndarray of shape (B, H', W', C)
        The largest numbers.
    choice : ndarray of int, shape (B, H', W', C)
        Their taps, ``ky * KW + kx``, for ``max_pool2d_backward``.
    """
    xp = namespace(x)
    x = as_float64(xp, x)
    found = _pool(x, pool_size, strides, padding)
    taps = _taps(found, found.gather(x))
    inside = _taps(found, found.gather(xp.ones_like(x))) > 0
    nan = xp.isnan(taps) & inside
    # Not argmax of the numbers alone: -inf in the image wins over the padding.
    largest = xp.where(inside, xp.where(nan, xp.inf, taps), -xp.inf).max(axis=3, keepdims=True)
    choice = xp.argmax(inside & (taps == largest), axis=3)
    choice = xp.where(nan.any(axis=3), xp.argmax(nan, axis=3), choice)
    return xp.take_along_axis(taps, choice[:, :, :, None], axis=3)[:, :, :, 0], choice


def max_pool2d_backward(
    dy: Array,
    x: Array,
    choice: Array,
    pool_size: int | Pair = 2,
    strides: int | Pair | None = None,
    padding: Padding = "valid",
) -> Array:
    """Return the gradient of the images: the whole gradient of a window goes to the tap that won.

    Parameters
    ----------
    dy : ndarray of shape (B, H', W', C)
        Gradient of the loss with respect to the output.
    x : ndarray of shape (B, H, W, C)
        Images, of which only the shape counts.
    choice : ndarray of int, shape (B, H', W', C)
        The second result of ``max_pool2d_forward``.
    pool_size, strides, padding : optional
        As for ``max_pool2d_forward``.

    Returns
    -------
    ndarray of shape (B, H, W, C)
        The gradient.
    """
    xp = namespace(dy, x)
    found = _pool(x, pool_size, strides, padding)
    taps = xp.arange(found.kernel[0] * found.kernel[1])[:, None]
    shares = xp.where(choice[:, :, :, None] == taps, as_float64(xp, dy)[:, :, :, None], 0.0)
    return found.scatter(shares.reshape(*dy.shape[:3], *found.kernel, dy.shape[3]))


def average_pool2d(
    x: Array,
    pool_size: int | Pair = 2,
    strides: int | Pair | None = None,
    padding: Padding = "valid",
    *,
    count_padding: bool = False,
) -> Array:
    """Return the mean of each window.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C)
        Images.
    pool_size, strides, padding : optional
        As for ``max_pool2d_forward``.
    count_padding : bool
        Whether padding counts as zeros; otherwise it does not count.

    Returns
    -------
    ndarray of shape (B, H', W', C)
        The means.
    """
    xp = namespace(x)
    x = as_float64(xp, x)
    found = _pool(x, pool_size, strides, padding)
    return _taps(found, found.gather(x)).sum(axis=3) / _counts(found, x, count_padding)


def average_pool2d_backward(
    dy: Array,
    x: Array,
    pool_size: int | Pair = 2,
    strides: int | Pair | None = None,
    padding: Padding = "valid",
    *,
    count_padding: bool = False,
) -> Array:
    """Return the gradient of the images: each number in a window gets the same share.

    Parameters
    ----------
    dy : ndarray of shape (B, H', W', C)
        Gradient of the loss with respect to the output.
    x : ndarray of shape (B, H, W, C)
        Images, of which only the shape counts.
    pool_size, strides, padding, count_padding : optional
        As for ``average_pool2d``.

    Returns
    -------
    ndarray of shape (B, H, W, C)
        The gradient.
    """
    xp = namespace(dy, x)
    found = _pool(x, pool_size, strides, padding)
    share = as_float64(xp, dy) / _counts(found, x, count_padding)
    spread = xp.broadcast_to(share[:, :, :, None, None], (*dy.shape[:3], *found.kernel, dy.shape[3]))
    return found.scatter(spread)


def _pool(x: Array, pool_size: int | Pair, strides: int | Pair | None, padding: Padding) -> Windows:
    return windows(x.shape[1:3], pool_size, pool_size if strides is None else strides, padding)


def _taps(found: Windows, gathered: Array) -> Array:
    """(B, H', W', KH, KW, C) as (B, H', W', KH KW, C)."""
    return gathered.reshape(*gathered.shape[:3], -1, gathered.shape[5])


def _counts(found: Windows, x: Array, count_padding: bool) -> Array:
    xp = namespace(x)
    if count_padding:
        return float(found.kernel[0] * found.kernel[1])
    return _taps(found, found.gather(xp.ones((1, *x.shape[1:3], 1)))).sum(axis=3)
