"""Feedforward networks from NumPy: every dense layer and its activation is one fused kernel."""

import typing as _typing

from . import (  # noqa: F401  # the first has nothing but its check
    _interpreter,
    _pickles,
    _public,
    activations,
    distributions,
    layers,
    losses,
    models,
    optimizers,
    training,
    typing,
)
from ._device.cuda import tf32
from ._models.ensemble import Ensemble
from ._models.files import load
from ._models.inference import InferenceNetwork
from ._models.many import fit_many
from ._models.scaling import compound_scale
from ._models.sequential import Sequential
from ._network.network import Network
from .activations import (
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
from .distributions import logistic, logit
from .layers import (
    Activation,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Gaussian,
    GaussianNoise,
    GlobalAveragePool2D,
    Input,
    LocalResponseNorm,
    Maxout,
    MaxoutConv2D,
    MaxPool2D,
    Parallel,
    Residual,
)
from .losses import BinaryCrossEntropy, CrossEntropy, GaussianNLL, Hinge, MeanSquaredError, MulticlassHinge, Poisson
from .ops import (
    Grads,
    conv2d,
    conv2d_backward,
    conv2d_forward,
    dense,
    dense_backward,
    dense_forward,
    maxout,
    maxout_backward,
    maxout_conv2d,
    maxout_conv2d_backward,
    maxout_conv2d_forward,
    maxout_forward,
)
from .optimizers import SGD, Adam, AdamW, CosineDecay, ExponentialDecay, StepDecay, Warmup
from .threads import get_num_threads, num_threads, set_num_threads
from .training import Checkpoint, DeadUnitsWarning, DivergenceWarning, EarlyStopping, History, Trainer

if _typing.TYPE_CHECKING:
    from .interop.keras import from_keras
    from .interop.onnx import from_onnx, to_onnx
    from .interop.sklearn import from_sklearn
    from .interop.torch import from_torch, to_torch

# Names whose module is imported when they are first asked for.
_LAZY = {
    "from_keras": "interop.keras",
    "from_onnx": "interop.onnx",
    "from_sklearn": "interop.sklearn",
    "from_torch": "interop.torch",
    "to_onnx": "interop.onnx",
    "to_torch": "interop.torch",
}

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "AveragePool2D",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Checkpoint",
    "Conv2D",
    "CosineDecay",
    "CrossEntropy",
    "DeadUnitsWarning",
    "Dense",
    "DivergenceWarning",
    "Dropout",
    "EarlyStopping",
    "Ensemble",
    "Exponential",
    "ExponentialDecay",
    "Flatten",
    "Gaussian",
    "GaussianNLL",
    "GaussianNoise",
    "GlobalAveragePool2D",
    "Grads",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "Hinge",
    "History",
    "Identity",
    "InferenceNetwork",
    "Input",
    "LeakyReLU",
    "LocalResponseNorm",
    "LogSigmoid",
    "MaxPool2D",
    "Maxout",
    "MaxoutConv2D",
    "MeanSquaredError",
    "Mish",
    "MulticlassHinge",
    "Network",
    "PReLU",
    "Parallel",
    "Poisson",
    "ReLU",
    "ReLU6",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Sign",
    "Softmax",
    "Softplus",
    "Softsign",
    "Step",
    "StepDecay",
    "Swish",
    "Tanh",
    "Trainer",
    "Warmup",
    "activations",
    "compound_scale",
    "conv2d",
    "conv2d_backward",
    "conv2d_forward",
    "dense",
    "dense_backward",
    "dense_forward",
    "distributions",
    "fit_many",
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "get_num_threads",
    "layers",
    "load",
    "logistic",
    "logit",
    "losses",
    "maxout",
    "maxout_backward",
    "maxout_conv2d",
    "maxout_conv2d_backward",
    "maxout_conv2d_forward",
    "maxout_forward",
    "models",
    "num_threads",
    "optimizers",
    "set_num_threads",
    "tf32",
    "to_onnx",
    "to_torch",
    "training",
    "typing",
]

_public.publish(__name__, globals(), set(__all__) - _LAZY.keys())
_pickles.register()


def __getattr__(name: str) -> _typing.Any:
    if name in _LAZY:
        from importlib import import_module

        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    if name == "__version__":  # rarely used, and importlib.metadata takes longer to import than fnnfast
        from importlib.metadata import version

        return version("fnnfast")
    raise AttributeError(f"module 'fnnfast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
