"""Normalization over a batch and over neighbouring channels, forward and backward, in float64."""

from typing import NamedTuple

from ._xp import Array, as_float64, flat, namespace


class BatchNormGradients(NamedTuple):
    """Gradients of batch normalization.

    Parameters
    ----------
    x : ndarray of shape (..., C)
        Gradient of the input.
    gamma : ndarray of shape (C,)
        Gradient of the scale.
    beta : ndarray of shape (C,)
        Gradient of the shift.
    """

    x: Array
    gamma: Array
    beta: Array


def batch_norm(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, eps: float = 1e-5) -> Array:
    """Return gamma (x - mean) / sqrt(variance + eps) + beta, as in inference.

    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift",
    2015, arXiv:1502.03167.

    Parameters
    ----------
    x : ndarray of shape (..., C)
        Inputs.
    gamma, beta : ndarray of shape (C,)
        Scale and shift.
    mean, variance : ndarray of shape (C,)
        The running statistics, or those of the batch.
    eps : float
        What is added to the variance.

    Returns
    -------
    ndarray of shape (..., C)
        The outputs.
    """
    xp = namespace(x)
    x, gamma, beta, mean, variance = (as_float64(xp, array) for array in (x, gamma, beta, mean, variance))
    return (x - mean) / xp.sqrt(variance + eps) * gamma + beta


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Return mean and variance of each channel of a batch, the variance with the number of values as divisor.

    Parameters
    ----------
    x : ndarray of shape (..., C)
        Inputs.

    Returns
    -------
    mean, variance : ndarray of shape (C,)
        The statistics.
    """
    rows = flat(as_float64(namespace(x), x))
    return rows.mean(axis=0), rows.var(axis=0)


def running_statistics(x: Array, mean: Array, variance: Array, momentum: float = 0.9) -> tuple[Array, Array]:
    """Return the running statistics after a batch: momentum times the old ones, the rest of the batch's.

    The variance of the batch is that with the number of values less one as divisor. A batch with one value in a channel
    does not change them.

    Parameters
    ----------
    x : ndarray of shape (..., C)
        Inputs.
    mean, variance : ndarray of shape (C,)
        The running statistics before it.
    momentum : float
        The weight of these.

    Returns
    -------
    mean, variance : ndarray of shape (C,)
        The running statistics after it.
    """
    xp = namespace(x)
    mean, variance = as_float64(xp, mean), as_float64(xp, variance)
    count = flat(x).shape[0]
    if count < 2:
        return mean, variance
    batch_mean, batch_variance = batch_statistics(x)
    unbiased = batch_variance * (count / (count - 1))
    return momentum * mean + (1 - momentum) * batch_mean, momentum * variance + (1 - momentum) * unbiased


def batch_norm_backward(dy: Array, x: Array, gamma: Array, eps: float = 1e-5) -> BatchNormGradients:
    """Return the gradients of batch normalization by the statistics of the batch, which depend on x, too.

    With xhat = (x - mean) / s and means over the batch: dx = gamma / s (dy - mean(dy) - xhat mean(dy xhat)).

    Parameters
    ----------
    dy : ndarray of shape (..., C)
        Gradient of the loss with respect to the output.
    x : ndarray of shape (..., C)
        Inputs.
    gamma : ndarray of shape (C,)
        Scale.
    eps : float
        What is added to the variance.

    Returns
    -------
    BatchNormGradients
        x (..., C), gamma (C,), beta (C,).
    """
    xp = namespace(dy, x)
    shape = x.shape
    dy, x, gamma = flat(as_float64(xp, dy)), flat(as_float64(xp, x)), as_float64(xp, gamma)
    mean, variance = batch_statistics(x)
    s = xp.sqrt(variance + eps)
    xhat = (x - mean) / s
    dx = gamma / s * (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0))
    return BatchNormGradients(dx.reshape(shape), (dy * xhat).sum(axis=0), dy.sum(axis=0))


def local_response_norm(x: Array, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """Return x / (k + alpha / size * sum of squares over neighbouring channels)^beta.

    The neighbours of a channel are ``size // 2`` channels before it and the rest of ``size`` after it, as far as there
    are any. Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012,
    section 3.3; with alpha divided by size, as in PyTorch and ONNX.

    Parameters
    ----------
    x : ndarray of shape (..., C)
        Inputs.
    size : int
        How many channels are summed.
    alpha, beta, k : float
        The constants of the formula.

    Returns
    -------
    ndarray of shape (..., C)
        The outputs.
    """
    xp = namespace(x)
    x = as_float64(xp, x)
    return x * _scale(x, size, alpha, k) ** -beta


def local_response_norm_backward(
    dy: Array, x: Array, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """Return the gradient of local response normalization.

    With s = k + alpha / size * sum of squares: dx_c = dy_c s_c^-beta - 2 alpha beta / size x_c times the sum, over all
    channels j that have c for a neighbour, of dy_j x_j s_j^(-beta - 1).

    Parameters
    ----------
    dy : ndarray of shape (..., C)
        Gradient of the loss with respect to the output.
    x : ndarray of shape (..., C)
        Inputs.
    size, alpha, beta, k : optional
        As for ``local_response_norm``.

    Returns
    -------
    ndarray of shape (..., C)
        The gradient.
    """
    xp = namespace(dy, x)
    dy, x = as_float64(xp, dy), as_float64(xp, x)
    s = _scale(x, size, alpha, k)
    # The channels that have c for a neighbour are c's neighbours with before and after exchanged.
    shared = _over_neighbours(dy * x * s ** (-beta - 1), size - 1 - size // 2, size // 2)
    return dy * s**-beta - 2 * alpha * beta / size * x * shared


def _scale(x: Array, size: int, alpha: float, k: float) -> Array:
    return k + alpha / size * _over_neighbours(x * x, size // 2, size - 1 - size // 2)


def _over_neighbours(values: Array, before: int, after: int) -> Array:
    """The sum over so many channels before each, itself, and so many after it."""
    xp = namespace(values)
    channels = values.shape[-1]
    padded = xp.pad(values, (*[(0, 0)] * (values.ndim - 1), (before, after)))
    return sum(padded[..., first : first + channels] for first in range(before + after + 1))
