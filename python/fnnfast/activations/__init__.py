"""Activation functions as objects: a name, parameters, a call and a derivative.

The kernels compute the activations. Their registry says which ones exist, what the backward pass reads, how weights are
initialized and which activations are differentiable. The classes here give them public names and check their
parameters. An activation of the registry without a class of its own is a ``Registered``.
"""

from .. import _public
from ._base import Activation
from ._classes import (
    CELU,
    ELU,
    GELU,
    SELU,
    Exponential,
    HardSigmoid,
    HardSwish,
    HardTanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    Sign,
    Softmax,
    Softplus,
    Softsign,
    Step,
    Swish,
    Tanh,
)
from ._names import Registered, get

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "Exponential",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "Identity",
    "LeakyReLU",
    "LogSigmoid",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "Registered",
    "Sigmoid",
    "Sign",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "Swish",
    "Tanh",
    "get",
]

_public.publish(__name__, globals(), __all__)
