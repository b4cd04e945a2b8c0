"""Types for annotations: the names that functions of fnnfast take as strings, and dtypes.

Functions also take other spellings of activations, losses and optimizers, in upper case or without underscores, which
type checkers refuse. For these, and for names known at run time only, ``activations``, ``losses`` and ``optimizers`` of
``fnnfast`` have a function ``get``, which takes any string.

Examples
--------
>>> import fnnfast as fnn
>>> from fnnfast.typing import ActivationName
>>> def mlp(activation: ActivationName) -> fnn.Sequential:
...     return fnn.Sequential([fnn.Input(4), fnn.Dense(8, activation), fnn.Dense(3, "softmax")], seed=0)
>>> mlp("relu").outputs
3
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

__all__ = [
    "ActivationName",
    "BiasInitName",
    "ChannelOrder",
    "ClassWeight",
    "ComputeDType",
    "DTypeLike",
    "DTypeName",
    "DeviceName",
    "InitName",
    "LossName",
    "OptimizerName",
    "PaddingName",
]

# Those of the registry of the kernels that are public, and their synonyms.
ActivationName = Literal[
    "identity",
    "step",
    "sign",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "elu_learned",
    "selu",
    "gelu",
    "gelu_tanh",
    "softplus",
    "swish",
    "softmax",
    "relu6",
    "hard_tanh",
    "hard_sigmoid",
    "hard_swish",
    "mish",
    "softsign",
    "celu",
    "exponential",
    "log_sigmoid",
    "leakyrelu",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
    "logsigmoid",
    "linear",
    "hard_silu",
    "logistic",
    "silu",
]
LossName = Literal[
    "mean_squared_error",
    "mse",
    "cross_entropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "binary_crossentropy",
    "hinge",
    "multiclass_hinge",
    "poisson",
    "gaussian_nll",
    "nll",
]
OptimizerName = Literal["sgd", "adam", "adamw"]
InitName = Literal[
    "he",
    "he_normal",
    "he_uniform",
    "lecun",
    "lecun_normal",
    "lecun_uniform",
    "xavier",
    "xavier_normal",
    "xavier_uniform",
]
BiasInitName = Literal["zeros", "torch", InitName]
DeviceName = Literal["cpu", "cuda"]
DTypeName = Literal["float32", "float64", "tf32", "float16", "bfloat16"]
ComputeDType = Literal[DTypeName, "int8"]
DTypeLike = DTypeName | np.dtype[Any] | type[np.generic] | type[float]
PaddingName = Literal["valid", "same"]
ChannelOrder = Literal["last", "first"]
ClassWeight = Mapping[int, float] | Literal["balanced"]
