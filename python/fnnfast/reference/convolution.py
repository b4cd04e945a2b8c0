"""Convolutions as dense and maxout layers over windows, forward and backward, unfused, in float64.

z(b, y, x, o) is the sum over (ky, kx, c) of window(b, y, x, ky, kx, c) weight(ky, kx, c, o), and the bias: the
cross-correlation that frameworks call a convolution. With groups, each group of channels has outputs of its own.
"""

import math

from ._xp import Array, as_float64, namespace
from .activations import Activation
from .dense import DenseGradients, _activation, dense_backward, pre_activation
from .maxout import MaxoutGradients, maxout_backward, maxout_forward
from .windows import Padding, Pair, Windows, windows


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str | Activation = "identity",
    parameter: Array = None,
    *,
    strides: int | Pair = 1,
    padding: Padding = "valid",
    dilation: int | Pair = 1,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Return f(z) and z of a convolution.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C)
        Images.
    weight : ndarray of shape (KH, KW, C / groups, O)
        Weights. The outputs of one group stand together.
    bias : ndarray of shape (O,), optional
        Biases. Zero by default.
    activation : str or Activation
        A name of the registry, or a reference activation; not one of whole rows.
    parameter : number or ndarray of shape (O,), optional
        Parameter of the activation.
    strides, padding, dilation : optional
        See ``windows``.
    groups : int
        The number of groups; C and O are multiples of it.

    Returns
    -------
    y : ndarray of shape (B, H', W', O)
        The outputs.
    z : ndarray of shape (B, H', W', O)
        The pre-activations, for ``conv2d_backward``.
    """
    xp = namespace(x, weight)
    x, weight = as_float64(xp, x), as_float64(xp, weight)
    found = _windows(x, weight, strides, padding, dilation, groups)
    parts = [
        pre_activation(rows, matrix)
        for rows, matrix in zip(_rows(found, x, groups), _split(weight, groups), strict=True)
    ]
    z = xp.concatenate(parts, axis=-1)
    z = z if bias is None else z + as_float64(xp, bias)
    return _activation(activation).forward(z, parameter), z


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    activation: str | Activation = "identity",
    parameter: Array = None,
    *,
    strides: int | Pair = 1,
    padding: Padding = "valid",
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Array:
    """Return the outputs f(z) of a convolution, see ``conv2d_forward``.

    Parameters
    ----------
    x, weight, bias, activation, parameter, strides, padding, dilation, groups : optional
        As for ``conv2d_forward``.

    Returns
    -------
    ndarray of shape (B, H', W', O)
        The outputs.
    """
    settings = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return conv2d_forward(x, weight, bias, activation, parameter, **settings)[0]  # type: ignore[arg-type]


def conv2d_backward(
    dy: Array,
    x: Array,
    weight: Array,
    z: Array,
    activation: str | Activation = "identity",
    parameter: Array = None,
    *,
    strides: int | Pair = 1,
    padding: Padding = "valid",
    dilation: int | Pair = 1,
    groups: int = 1,
) -> DenseGradients:
    """Return the gradients of a convolution: those of a dense layer over the windows, whose own go back to the images.

    Parameters
    ----------
    dy : ndarray of shape (B, H', W', O)
        Gradient of the loss with respect to the output.
    x : ndarray of shape (B, H, W, C)
        Images.
    weight : ndarray of shape (KH, KW, C / groups, O)
        Weights.
    z : ndarray of shape (B, H', W', O)
        The second result of ``conv2d_forward``.
    activation, parameter, strides, padding, dilation, groups : optional
        As for ``conv2d_forward``.

    Returns
    -------
    DenseGradients
        x (B, H, W, C), weight (KH, KW, C / groups, O), bias (O,), alpha (O,) or None.
    """
    xp = namespace(dy, x, weight)
    dy, x, weight, z = (as_float64(xp, array) for array in (dy, x, weight, z))
    found = _windows(x, weight, strides, padding, dilation, groups)
    f = _activation(activation)
    dz = f.backward(dy, z, parameter)
    alpha = xp.sum(dy * f.parameter_gradient(z, parameter), axis=(0, 1, 2)) if f.learned else None
    dx, dweight = [], []
    each = zip(_rows(found, x, groups), _split(weight, groups), xp.split(dz, groups, axis=-1), strict=True)
    for rows, matrix, part in each:
        gradients = dense_backward(part, rows, matrix, part)
        dx.append(gradients.x.reshape(*rows.shape[:3], *found.kernel, weight.shape[-2]))
        dweight.append(gradients.weight.reshape(*weight.shape[:3], -1))
    image = found.scatter(xp.concatenate(dx, axis=-1))
    return DenseGradients(image, xp.concatenate(dweight, axis=-1), xp.sum(dz, axis=(0, 1, 2)), alpha)


def maxout_conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    strides: int | Pair = 1,
    padding: Padding = "valid",
    dilation: int | Pair = 1,
) -> tuple[Array, Array]:
    """Return max_p z_p and argmax_p z_p of a maxout convolution.

    Parameters
    ----------
    x : ndarray of shape (B, H, W, C)
        Images.
    weight : ndarray of shape (P, KH, KW, C, O)
        Weights of the pieces.
    bias : ndarray of shape (P, O), optional
        Biases of the pieces. Zero by default.
    strides, padding, dilation : optional
        See ``windows``.

    Returns
    -------
    y : ndarray of shape (B, H', W', O)
        The outputs.
    argmax : ndarray of int, shape (B, H', W', O)
        The winning pieces, for ``maxout_conv2d_backward``.
    """
    xp = namespace(x, weight)
    x, weight = as_float64(xp, x), as_float64(xp, weight)
    found = _windows(x, weight[0], strides, padding, dilation, 1)
    (rows,) = _rows(found, x, 1)
    return maxout_forward(rows, weight.reshape(len(weight), -1, weight.shape[-1]), bias)


def maxout_conv2d_backward(
    dy: Array,
    x: Array,
    weight: Array,
    argmax: Array,
    *,
    strides: int | Pair = 1,
    padding: Padding = "valid",
    dilation: int | Pair = 1,
) -> MaxoutGradients:
    """Return the gradients of a maxout convolution.

    Parameters
    ----------
    dy : ndarray of shape (B, H', W', O)
        Gradient of the loss with respect to the output.
    x : ndarray of shape (B, H, W, C)
        Images.
    weight : ndarray of shape (P, KH, KW, C, O)
        Weights of the pieces.
    argmax : ndarray of int, shape (B, H', W', O)
        The second result of ``maxout_conv2d_forward``.
    strides, padding, dilation : optional
        See ``windows``.

    Returns
    -------
    MaxoutGradients
        x (B, H, W, C), weight (P, KH, KW, C, O), bias (P, O).
    """
    xp = namespace(dy, x, weight)
    x, weight = as_float64(xp, x), as_float64(xp, weight)
    found = _windows(x, weight[0], strides, padding, dilation, 1)
    (rows,) = _rows(found, x, 1)
    gradients = maxout_backward(dy, rows, weight.reshape(len(weight), -1, weight.shape[-1]), argmax)
    image = found.scatter(gradients.x.reshape(*rows.shape[:3], *found.kernel, weight.shape[-2]))
    return MaxoutGradients(image, gradients.weight.reshape(weight.shape), gradients.bias)


def _windows(
    x: Array, weight: Array, strides: int | Pair, padding: Padding, dilation: int | Pair, groups: int
) -> Windows:
    if x.shape[3] != groups * weight.shape[2] or weight.shape[3] % groups:
        raise ValueError(f"expected {groups} groups of {weight.shape[2]} channels, got {x.shape[3]} channels")
    return windows(x.shape[1:3], weight.shape[:2], strides, padding, dilation)


def _rows(found: Windows, x: Array, groups: int) -> list[Array]:
    """The windows of each group of channels as rows (B, H', W', KH KW C / groups)."""
    gathered = found.gather(x)
    parts = namespace(x).split(gathered, groups, axis=-1)
    return [part.reshape(*part.shape[:3], math.prod(part.shape[3:])) for part in parts]


def _split(weight: Array, groups: int) -> list[Array]:
    """The weights of each group as matrices (KH KW C / groups, O / groups)."""
    parts = namespace(weight).split(weight, groups, axis=-1)
    return [part.reshape(-1, part.shape[-1]) for part in parts]
