"""Normalization layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from .._checks import Array
from ._base import Layer
from ._shape import Shape, image

if TYPE_CHECKING:
    from numpy.random import Generator


class BatchNorm(Layer):
    """Batch normalization, ``gamma * (x - mean) / sqrt(variance + eps) + beta``, channel by channel.

    Mean and variance are those of the batch in training: over its samples, and over the pixels of images. Outside of
    training, and where the layer is frozen, they are the running statistics, which each step of training moves:
    ``running = momentum * running + (1 - momentum) * batch``, with the batch's variance of n - 1. They are in
    ``net.buffers``. Samples of weight 0 are not part of the batch, and a batch with one value per channel does not move
    them. Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015.

    A layer before it needs no bias (``bias=False``), since the mean takes it away.

    Parameters
    ----------
    momentum : float in [0, 1]
        The share of the running statistics that a step keeps. (PyTorch's ``momentum`` is 1 minus this.)
    eps : float > 0
        What is added to the variance.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> layers = [fnn.Input(4), fnn.Dense(8, bias=False), fnn.BatchNorm(), fnn.Activation("relu"), fnn.Dense(1)]
    >>> net = fnn.Sequential(layers, seed=0)
    >>> list(net.buffers)
    ['batch_norm_1.mean', 'batch_norm_1.variance']
    """

    kind = "batch_norm"
    cpu_only = True
    format_version = 2
    momentum: float = 0.9
    eps: float = 1e-5

    @_checks.advised("BatchNorm")
    def __init__(self, momentum: float = 0.9, eps: float = 1e-5) -> None:
        self._store_changes(momentum=_checks.proportion("momentum", momentum), eps=_checks.positive("eps", eps))

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("batch_norm", self.momentum, self.eps)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"gamma": shape[-1:], "beta": shape[-1:]}

    def buffer_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"mean": shape[-1:], "variance": shape[-1:]}

    def initial(self, shape: Shape, rng: Generator) -> dict[str, Array]:
        return {"gamma": np.ones(shape[-1:]), "beta": np.zeros(shape[-1:])}


class LocalResponseNorm(Layer):
    """Local response normalization, ``x / (k + alpha / size * sum of squares of neighbouring channels)^beta``.

    The neighbours of a channel are ``size // 2`` channels before it and the rest of ``size`` after it. Krizhevsky,
    Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012, section 3.3; with
    alpha divided by size, as in PyTorch and ONNX.

    Parameters
    ----------
    size : int >= 1
        How many channels are summed, the channel itself included.
    alpha : float >= 0
        Factor of the mean square.
    beta : float >= 0
        The exponent.
    k : float > 0
        What is added to the mean square.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.LocalResponseNorm().output_shape((27, 27, 96))
    (27, 27, 96)
    """

    kind = "local_response_norm"
    reads_images = True
    cpu_only = True
    format_version = 2
    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    @_checks.advised("LocalResponseNorm")
    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self._store_changes(
            size=_checks.integer("size", size, 1),
            alpha=_checks.not_negative("alpha", alpha),
            beta=_checks.not_negative("beta", beta),
            k=_checks.positive("k", k),
        )

    def output_shape(self, shape: Shape) -> Shape:
        return image(shape)

    def spec(self, shape: Shape) -> tuple[Any, ...]:
        return ("local_response", self.size, self.alpha, self.beta, self.k)
