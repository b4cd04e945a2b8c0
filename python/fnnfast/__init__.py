"""Feedforward networks from NumPy: every dense layer and its activation is one fused kernel."""

from . import activations, distributions, layers, losses, optimizers, training
from .activations import (
    ELU,
    GELU,
    SELU,
    Identity,
    LeakyReLU,
    PReLU,
    ReLU,
    Sigmoid,
    Sign,
    Softmax,
    Softplus,
    Step,
    Swish,
    Tanh,
)
from .distributions import logistic, logit
from .ensemble import Ensemble
from .inference import InferenceNetwork
from .io import load
from .layers import Dense, Dropout, Input, Maxout
from .losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from .ops import Grads, dense, dense_backward, dense_forward, maxout, maxout_backward, maxout_forward
from .optimizers import SGD, Adam, AdamW, CosineDecay, ExponentialDecay, StepDecay
from .sequential import Sequential
from .threads import get_num_threads, num_threads, set_num_threads
from .training import EarlyStopping, History, Trainer

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CosineDecay",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Ensemble",
    "ExponentialDecay",
    "Grads",
    "History",
    "Identity",
    "InferenceNetwork",
    "Input",
    "LeakyReLU",
    "Maxout",
    "MeanSquaredError",
    "PReLU",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Sign",
    "Softmax",
    "Softplus",
    "Step",
    "StepDecay",
    "Swish",
    "Tanh",
    "Trainer",
    "activations",
    "dense",
    "dense_backward",
    "dense_forward",
    "distributions",
    "get_num_threads",
    "layers",
    "load",
    "logistic",
    "logit",
    "losses",
    "maxout",
    "maxout_backward",
    "maxout_forward",
    "num_threads",
    "optimizers",
    "set_num_threads",
    "training",
]


def __getattr__(name: str) -> str:
    if name == "__version__":  # asked for rarely, and importlib.metadata takes longer to import than all of this
        from importlib.metadata import version

        return version("fnnfast")
    raise AttributeError(f"module 'fnnfast' has no attribute {name!r}")
