"""Normalization layers."""

from __future__ import annotations

from typing import Any

from .. import _checks
from ._base import Layer
from ._shape import Shape, image


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
