"""Convolutions: dense and maxout layers over windows of images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks, activations
from .._checks import Array, message
from .._device import select
from .._device.base import Device
from .._windows import Borders, Pair, windows
from ..activations import Activation
from ..typing import ActivationName, PaddingName
from ._maxout import MAX_SAVED_PIECES
from ._operands import Grads

PaddingLike = PaddingName | int | Pair | Borders
"""What ``padding`` may be."""


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    activation: ActivationName | Activation | None = "identity",
    *,
    strides: int | Pair = 1,
    padding: PaddingLike = "valid",
    dilation: int | Pair = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """Compute a convolution with its activation, in one kernel.

    Output pixel (y, x) is a dense layer over the window of the image that begins at (y * stride, x * stride): the sum
    over (ky, kx, c) of the window times the weight, and the bias. (Frameworks call this a convolution; in mathematics
    it is a cross-correlation.) Images are channels last. Each output is one ascending chain of fused multiply-adds that
    begins at the bias, padding included, so it has the same bits as ``dense`` over the windows.

    Parameters
    ----------
    x : array_like of shape (B, H, W, C)
        Images.
    weight : array_like of shape (KH, KW, C / groups, O)
        Weights. The outputs of one group stand side by side.
    bias : array_like of shape (O,), optional
        Biases. Zero by default.
    activation : str, Activation or None
        The activation function; None is identity.
    strides : int or (int, int)
        Pixels from one window to the next, down and to the right.
    padding : {"valid", "same"}, int, (int, int) or ((int, int), (int, int))
        Zeros around the image. "valid" is none. "same" is as many as make ``ceil(H / stride)`` by ``ceil(W / stride)``
        windows, the odd one after the image, as in Keras. One number is for all sides, a pair for (above and below,
        left and right), two pairs for ((above, below), (left, right)).
    dilation : int or (int, int)
        Pixels from one tap of a window to the next.
    groups : int
        Number of groups into which channels and outputs are divided; an output reads the channels of its group.
        With ``groups=C``, the convolution is depthwise.
    out : ndarray of shape (B, H', W', O), optional
        Array that receives the result. It has the dtype that the operands promote to, and shares no memory with them.

    Returns
    -------
    ndarray of shape (B, H', W', O)
        The outputs; ``out`` if it is given.

    Raises
    ------
    ValueError
        If the shapes do not match, no window fits the padded image, the groups do not divide the outputs, a number is
        out of range, the activation is unknown, or ``out`` has another shape or shares memory with an operand.
    TypeError
        If an array does not contain real numbers or is on a GPU, or ``out`` has another dtype.

    Examples
    --------
    The differences of neighbours in a row.

    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> image = np.array([[0.0, 1.0, 3.0, 6.0]]).reshape(1, 1, 4, 1)
    >>> fnn.conv2d(image, np.array([-1.0, 1.0]).reshape(1, 2, 1, 1)).ravel()
    array([1., 2., 3.])
    """
    act = activations.get(activation)
    c = _operands("conv2d", x, weight, bias, strides, padding, dilation, groups, out=out)
    y = c.device.output(out, c.shape, c.dtype, x=c.x, weight=c.weight, bias=c.bias)
    if y.size:
        parameter = act.parameter_array(c.shape[-1], c.dtype)
        c.device.conv2d_forward(*c.arrays(), *c.settings, c.groups, act.kernel, parameter, y, None)
    return c.device.deliver(y, out)


def conv2d_forward(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    activation: ActivationName | Activation | None = "identity",
    *,
    strides: int | Pair = 1,
    padding: PaddingLike = "valid",
    dilation: int | Pair = 1,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Compute a convolution and what ``conv2d_backward`` reads.

    Parameters
    ----------
    x : array_like of shape (B, H, W, C)
        Images.
    weight : array_like of shape (KH, KW, C / groups, O)
        Weights.
    bias : array_like of shape (O,), optional
        Biases. Zero by default.
    activation : str, Activation or None
        The activation function; None is identity.
    strides, padding, dilation, groups : optional
        As for ``conv2d``.

    Returns
    -------
    y : ndarray of shape (B, H', W', O)
        The outputs, as of ``conv2d``.
    saved : ndarray of shape (B, H', W', O)
        The input of the activation if its derivative needs it, else y itself.

    Raises
    ------
    ValueError
        As ``conv2d``; also for step and sign, which are not differentiable.
    TypeError
        As ``conv2d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> y, saved = fnn.conv2d_forward(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), activation="tanh")
    >>> y.shape
    (1, 2, 2, 1)
    """
    act = activations.get(activation)
    act.require_differentiable()
    c = _operands("conv2d_forward", x, weight, bias, strides, padding, dilation, groups)
    y = c.device.empty(c.shape, c.dtype)
    z = c.device.empty(c.shape, c.dtype) if act.saves == "input" else None
    if y.size:
        parameter = act.parameter_array(c.shape[-1], c.dtype)
        c.device.conv2d_forward(*c.arrays(), *c.settings, c.groups, act.kernel, parameter, y, z)
    return y, y if z is None else z


def conv2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    saved: ArrayLike,
    activation: ActivationName | Activation | None = "identity",
    *,
    strides: int | Pair = 1,
    padding: PaddingLike = "valid",
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Grads:
    """Compute the gradients of a convolution from the gradient of its output.

    The gradients of the weight and the bias are sums over output pixels, in blocks of whole images of about 16,384 of
    them, which are added in order. All gradients are the same for any number of threads.

    Parameters
    ----------
    dy : array_like of shape (B, H', W', O)
        Gradient of the loss with respect to the output.
    x : array_like of shape (B, H, W, C)
        Images, as passed to ``conv2d_forward``.
    weight : array_like of shape (KH, KW, C / groups, O)
        Weights, as passed to ``conv2d_forward``.
    saved : array_like of shape (B, H', W', O)
        The second result of ``conv2d_forward``.
    activation : str, Activation or None
        The activation function, as passed to ``conv2d_forward``.
    strides, padding, dilation, groups : optional
        As passed to ``conv2d_forward``.

    Returns
    -------
    Grads
        ``.x`` (B, H, W, C), ``.weight`` (KH, KW, C / groups, O), ``.bias`` (O,), and ``.alpha`` (O,) for prelu and a
        learned elu.

    Raises
    ------
    ValueError
        As ``conv2d_forward``.
    TypeError
        As ``conv2d_forward``.

    Examples
    --------
    Each pixel of the image is in as many windows as reach it.

    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x, weight = np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1))
    >>> y, saved = fnn.conv2d_forward(x, weight)
    >>> fnn.conv2d_backward(np.ones_like(y), x, weight, saved).x[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    act = activations.get(activation)
    act.require_differentiable()
    c = _operands("conv2d_backward", x, weight, None, strides, padding, dilation, groups, dy=dy, saved=saved)
    dy = _checks.same_shape("dy", c.device.array("dy", dy), c.shape)
    saved = _checks.same_shape("saved", c.device.array("saved", saved), c.shape)
    dtype = c.device.promote(dy, c.x, c.weight, saved)
    empty, units = c.device.empty, c.shape[-1]
    grads = Grads(
        empty(c.x.shape, dtype),
        empty(c.weight.shape, dtype),
        empty(units, dtype),
        empty(units, dtype) if act.learned else None,
    )
    parameter = act.parameter_array(units, dtype)
    arrays = [c.device.fit(array, dtype) for array in (dy, c.x, c.weight, saved)]
    c.device.conv2d_backward(*arrays, *c.settings, c.groups, act.kernel, parameter, *grads)
    return grads


def maxout_conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    strides: int | Pair = 1,
    padding: PaddingLike = "valid",
    dilation: int | Pair = 1,
    out: Array | None = None,
) -> Array:
    """Compute a maxout convolution, the maximum over the pieces p of ``conv2d(x, weight[p], bias[p])``, in one kernel.

    Of equal pieces the first one wins. The pieces are never stored, only their maximum.

    Parameters
    ----------
    x : array_like of shape (B, H, W, C)
        Images.
    weight : array_like of shape (P, KH, KW, C, O)
        Weights of the P pieces.
    bias : array_like of shape (P, O), optional
        Biases of the pieces. Zero by default.
    strides, padding, dilation : optional
        As for ``conv2d``.
    out : ndarray of shape (B, H', W', O), optional
        Array that receives the result. It has the dtype that the operands promote to, and shares no memory with them.

    Returns
    -------
    ndarray of shape (B, H', W', O)
        The outputs; ``out`` if it is given.

    Raises
    ------
    ValueError
        As ``conv2d``; also if there are no pieces.
    TypeError
        As ``conv2d``.

    Examples
    --------
    The absolute value of the differences of neighbours: two pieces, of opposite sign.

    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> image = np.array([0.0, 2.0, 1.0]).reshape(1, 1, 3, 1)
    >>> weight = np.array([[-1.0, 1.0], [1.0, -1.0]]).reshape(2, 1, 2, 1, 1)
    >>> fnn.maxout_conv2d(image, weight).ravel()
    array([2., 1.])
    """
    c = _operands("maxout_conv2d", x, weight, bias, strides, padding, dilation, pieces=True, out=out)
    y = c.device.output(out, c.shape, c.dtype, x=c.x, weight=c.weight, bias=c.bias)
    if y.size:
        c.device.maxout_conv2d_forward(*c.arrays(), *c.settings, y, None)
    return c.device.deliver(y, out)


def maxout_conv2d_forward(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    strides: int | Pair = 1,
    padding: PaddingLike = "valid",
    dilation: int | Pair = 1,
) -> tuple[Array, NDArray[np.uint8]]:
    """Compute a maxout convolution and what ``maxout_conv2d_backward`` reads.

    Parameters
    ----------
    x : array_like of shape (B, H, W, C)
        Images.
    weight : array_like of shape (P, KH, KW, C, O)
        Weights of the P pieces.
    bias : array_like of shape (P, O), optional
        Biases of the pieces. Zero by default.
    strides, padding, dilation : optional
        As for ``conv2d``.

    Returns
    -------
    y : ndarray of shape (B, H', W', O)
        The outputs, as of ``maxout_conv2d``.
    saved : ndarray of uint8, shape (B, H', W', O)
        The index of the winning piece.

    Raises
    ------
    ValueError
        As ``maxout_conv2d``; also for more than 256 pieces.
    TypeError
        As ``maxout_conv2d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> y, argmax = fnn.maxout_conv2d_forward(np.ones((1, 2, 2, 1)), np.array([1.0, 2.0]).reshape(2, 1, 1, 1, 1))
    >>> argmax[0, :, :, 0]
    array([[1, 1],
           [1, 1]], dtype=uint8)
    """
    c = _operands("maxout_conv2d_forward", x, weight, bias, strides, padding, dilation, pieces=True)
    if len(c.weight) > MAX_SAVED_PIECES:
        raise ValueError(message("weight", f"at most {MAX_SAVED_PIECES} pieces for training", len(c.weight)))
    y = c.device.empty(c.shape, c.dtype)
    saved = c.device.empty(c.shape, np.uint8)
    if y.size:
        c.device.maxout_conv2d_forward(*c.arrays(), *c.settings, y, saved)
    return y, saved


def maxout_conv2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    saved: ArrayLike,
    *,
    strides: int | Pair = 1,
    padding: PaddingLike = "valid",
    dilation: int | Pair = 1,
) -> Grads:
    """Compute the gradients of a maxout convolution from the gradient of its output.

    Parameters
    ----------
    dy : array_like of shape (B, H', W', O)
        Gradient of the loss with respect to the output.
    x : array_like of shape (B, H, W, C)
        Images, as passed to ``maxout_conv2d_forward``.
    weight : array_like of shape (P, KH, KW, C, O)
        Weights, as passed to ``maxout_conv2d_forward``.
    saved : array_like of uint8, shape (B, H', W', O)
        The second result of ``maxout_conv2d_forward``.
    strides, padding, dilation : optional
        As passed to ``maxout_conv2d_forward``.

    Returns
    -------
    Grads
        ``.x`` (B, H, W, C), ``.weight`` (P, KH, KW, C, O), ``.bias`` (P, O).

    Raises
    ------
    ValueError
        If the shapes do not match, or ``saved`` contains an index that is not a piece.
    TypeError
        If ``saved`` is not uint8, or another array does not contain real numbers or is on a GPU.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x, weight = np.ones((1, 2, 2, 1)), np.array([1.0, 2.0]).reshape(2, 1, 1, 1, 1)
    >>> y, argmax = fnn.maxout_conv2d_forward(x, weight)
    >>> fnn.maxout_conv2d_backward(np.ones_like(y), x, weight, argmax).bias
    array([[0.],
           [4.]])
    """
    c = _operands(
        "maxout_conv2d_backward", x, weight, None, strides, padding, dilation, pieces=True, dy=dy, saved=saved
    )
    dy = _checks.same_shape("dy", c.device.array("dy", dy), c.shape)
    winners = _checks.same_shape("saved", c.device.array("saved", saved), c.shape)
    if winners.dtype != np.uint8:
        raise TypeError(message("saved", "dtype uint8", winners.dtype))
    c.device.check_winners(winners, len(c.weight))
    dtype = c.device.promote(dy, c.x, c.weight)
    grads = Grads(
        c.device.empty(c.x.shape, dtype),
        c.device.empty(c.weight.shape, dtype),
        c.device.empty((len(c.weight), c.shape[-1]), dtype),
    )
    dy, x, weight = (c.device.fit(array, dtype) for array in (dy, c.x, c.weight))
    c.device.maxout_conv2d_backward(dy, x, weight, c.device.fit(winners, winners.dtype), *c.settings, *grads[:3])
    return grads


class _Operands(NamedTuple):
    """The checked arguments of a convolution."""

    device: Device
    x: Array
    weight: Array
    bias: Array | None
    groups: int
    settings: tuple[Pair, Borders, Pair]
    """Strides, padding, dilation."""
    shape: tuple[int, ...]
    """Of the output."""
    dtype: _checks.DType

    def arrays(self) -> tuple[Array, Array, Array | None]:
        fit, dtype = self.device.fit, self.dtype
        return fit(self.x, dtype), fit(self.weight, dtype), None if self.bias is None else fit(self.bias, dtype)


def _operands(
    function: str,
    x: Any,
    weight: Any,
    bias: Any,
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: Any = 1,
    *,
    pieces: bool = False,
    **others: Any,
) -> _Operands:
    device = select.of(x=x, weight=weight, bias=bias, **others)
    if device.name != "cpu":
        raise TypeError(f"{function}: expected NumPy arrays, got GPU arrays: convolutions run on the CPU only")
    x, weight = device.array("x", x), device.array("weight", weight)
    form = "(P, KH, KW, C, O)" if pieces else "(KH, KW, C / groups, O)"
    if weight.ndim != 4 + pieces or not weight.size:
        raise ValueError(message("weight", f"shape {form} without an empty axis", weight.shape))
    if x.ndim != 4:
        hint = " (x[None] for one image)" if x.ndim == 3 else ""
        raise ValueError(message("x", f"shape (B, H, W, C){hint}", x.shape))
    groups = _checks.integer("groups", groups, 1)
    *_, high, wide, channels, units = weight.shape
    if units % groups:
        raise ValueError(message("groups", f"a divisor of the {units} outputs of weight", groups))
    if x.shape[3] != channels * groups:
        of = f"weight {weight.shape}" + ("" if groups == 1 else f" and groups={groups}")
        raise ValueError(message("x", f"{channels * groups} channels, as {of}", f"shape {x.shape}"))
    if bias is not None:
        wanted = (len(weight), units) if pieces else (units,)
        bias = _checks.same_shape("bias", device.array("bias", bias), wanted)
    found = windows((high, wide), strides, padding, dilation)
    image = x.shape[1], x.shape[2]
    shape = (len(x), *found.outputs(image), units)
    settings = found.strides, found.borders(image), found.dilation
    return _Operands(device, x, weight, bias, groups, settings, shape, device.promote(x, weight, bias))
