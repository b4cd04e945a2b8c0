"""Reference implementations: every kernel as plain array code, unfused, in float64.

They define what is correct. The code uses ``xp``, which is numpy or cupy depending on the arrays that are passed, and
imports no other part of the package.

Examples
--------
>>> import numpy as np
>>> import fnnfast as fnn
>>> from fnnfast import reference
>>> z = np.array([-1.0, 0.0, 1.0])
>>> np.allclose(fnn.GELU()(z), reference.ACTIVATIONS["gelu"].forward(z))
True
"""

from .activations import ACTIVATIONS, SELU_ALPHA, SELU_LAMBDA, Activation
from .dense import DenseGradients, dense, dense_backward, dense_forward, pre_activation
from .losses import LOSSES, Gaussian, Loss
from .low_precision import (
    Scales,
    input_codes,
    quantized_dense,
    quantized_maxout,
    quantized_pre_activation,
    scales,
    to_bfloat16,
    weight_codes,
)
from .maxout import MaxoutGradients, maxout, maxout_backward, maxout_forward, pieces
from .network import forward, gradients, training_step
from .optimizers import SGD, Adam, Optimizer, State, start

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "SELU_ALPHA",
    "SELU_LAMBDA",
    "SGD",
    "Activation",
    "Adam",
    "DenseGradients",
    "Gaussian",
    "Loss",
    "MaxoutGradients",
    "Optimizer",
    "Scales",
    "State",
    "dense",
    "dense_backward",
    "dense_forward",
    "forward",
    "gradients",
    "input_codes",
    "maxout",
    "maxout_backward",
    "maxout_forward",
    "pieces",
    "pre_activation",
    "quantized_dense",
    "quantized_maxout",
    "quantized_pre_activation",
    "scales",
    "start",
    "to_bfloat16",
    "training_step",
    "weight_codes",
]
