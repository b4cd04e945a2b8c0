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
from .convolution import conv2d, conv2d_backward, conv2d_forward, maxout_conv2d_backward, maxout_conv2d_forward
from .dense import DenseGradients, dense, dense_backward, dense_forward, pre_activation
from .losses import LOSSES, Gaussian, Loss
from .low_precision import (
    Scales,
    input_codes,
    matrix_pre_activation,
    odd_pairs_pre_activation,
    pairs_pre_activation,
    quantized_dense,
    quantized_maxout,
    quantized_pre_activation,
    scales,
    to_bfloat16,
    weight_codes,
)
from .maxout import MaxoutGradients, maxout, maxout_backward, maxout_forward, pieces
from .network import forward, gradients, training_step
from .normalization import (
    BatchNormGradients,
    batch_norm,
    batch_norm_backward,
    batch_statistics,
    local_response_norm,
    local_response_norm_backward,
    running_statistics,
)
from .optimizers import SGD, Adam, Optimizer, State, start
from .pooling import average_pool2d, average_pool2d_backward, max_pool2d_backward, max_pool2d_forward
from .windows import Windows, windows

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "SELU_ALPHA",
    "SELU_LAMBDA",
    "SGD",
    "Activation",
    "Adam",
    "BatchNormGradients",
    "DenseGradients",
    "Gaussian",
    "Loss",
    "MaxoutGradients",
    "Optimizer",
    "Scales",
    "State",
    "Windows",
    "average_pool2d",
    "average_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "conv2d",
    "conv2d_backward",
    "conv2d_forward",
    "dense",
    "dense_backward",
    "dense_forward",
    "forward",
    "gradients",
    "input_codes",
    "local_response_norm",
    "local_response_norm_backward",
    "matrix_pre_activation",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "maxout",
    "maxout_backward",
    "maxout_conv2d_backward",
    "maxout_conv2d_forward",
    "maxout_forward",
    "odd_pairs_pre_activation",
    "pairs_pre_activation",
    "pieces",
    "pre_activation",
    "quantized_dense",
    "quantized_maxout",
    "quantized_pre_activation",
    "running_statistics",
    "scales",
    "start",
    "to_bfloat16",
    "training_step",
    "weight_codes",
    "windows",
]
