"""Layers as immutable specifications of what a network is made of, before it is built."""

from .. import _public
from ._activation import Activation, Flatten
from ._base import Layer
from ._convolution import Conv2D, MaxoutConv2D
from ._dense import Dense, Gaussian, Maxout
from ._input import Input
from ._normalization import BatchNorm, LocalResponseNorm
from ._parallel import Parallel
from ._perturbation import Dropout, GaussianNoise
from ._pooling import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from ._residual import Residual

__all__ = [
    "Activation",
    "AveragePool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "Gaussian",
    "GaussianNoise",
    "GlobalAveragePool2D",
    "Input",
    "Layer",
    "LocalResponseNorm",
    "MaxPool2D",
    "Maxout",
    "MaxoutConv2D",
    "Parallel",
    "Residual",
]

_public.publish(__name__, globals(), __all__)

BY_KIND: dict[str, type[Layer]] = {
    cls.kind: cls
    for cls in (
        *(Dense, Maxout, Dropout, GaussianNoise, Gaussian, Activation, Flatten, Residual),
        *(Conv2D, MaxoutConv2D, MaxPool2D, AveragePool2D, GlobalAveragePool2D, LocalResponseNorm, BatchNorm, Parallel),
    )
}
