"""The arrays of a layer: operands as the kernels take them, and gradients."""

from __future__ import annotations

from typing import NamedTuple

from .. import _checks
from .._checks import Array, matrix
from .._device.base import Device


class Grads(NamedTuple):
    """Gradients of a layer, each of the shape of the array that it belongs to.

    Parameters
    ----------
    x : ndarray of shape (..., I), or (B, H, W, C) for a convolution
        Gradient of the input.
    weight : ndarray of shape (I, O), (KH, KW, C / groups, O) for a convolution, with P in front for maxout
        Gradient of the weight.
    bias : ndarray of shape (O,), or (P, O) for maxout
        Gradient of the bias.
    alpha : ndarray of shape (O,) or None
        Gradient of the learned parameter of the activation, with one value per neuron even if the parameter was given
        as one number. None for an activation without learned parameter.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> y, saved = fnn.dense_forward([[1.0, 2.0]], [[1.0], [1.0]])
    >>> grads = fnn.dense_backward([[1.0]], [[1.0, 2.0]], [[1.0], [1.0]], saved)
    >>> grads.weight
    array([[1.],
           [2.]])
    """

    x: Array
    weight: Array
    bias: Array
    alpha: Array | None = None


def fit_operands(
    device: Device, x: Array, weight: Array, bias: Array | None, dtype: _checks.DType
) -> tuple[Array, Array, Array | None]:
    return (
        matrix(device.fit(x, dtype)),
        device.fit(weight, dtype),
        None if bias is None else device.fit_bias(bias, dtype),
    )
