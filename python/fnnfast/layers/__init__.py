"""Layers as immutable specifications of what a network is made of, before it is built."""

from .. import _public
from ._activation import Activation, Flatten
from ._base import Layer
from ._dense import Dense, Gaussian, Maxout
from ._input import Input
from ._perturbation import Dropout, GaussianNoise
from ._residual import Residual

__all__ = [
    "Activation",
    "Dense",
    "Dropout",
    "Flatten",
    "Gaussian",
    "GaussianNoise",
    "Input",
    "Layer",
    "Maxout",
    "Residual",
]

_public.publish(__name__, globals(), __all__)

BY_KIND: dict[str, type[Layer]] = {
    cls.kind: cls for cls in (Dense, Maxout, Dropout, GaussianNoise, Gaussian, Activation, Flatten, Residual)
}
