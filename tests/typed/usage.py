"""What type checkers accept, refuse and infer. ``.ci/lint`` checks it: an "ignore" without an error is one, too."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fnnfast as fnn

net = fnn.Sequential([fnn.Input(4), fnn.Dense(8, "relu", init="he_normal"), fnn.Dense(3, "softmax")])
fnn.Dense(8, "rellu")  # type: ignore[arg-type]
fnn.Dense(8, init="he_norm")  # type: ignore[arg-type]
fnn.Conv2D(8, 3, padding="full")  # type: ignore[arg-type]
fnn.Sequential(net.layers, dtype="float23")  # type: ignore[arg-type]
fnn.Sequential(net.layers, device="gpu")  # type: ignore[arg-type]
net.fit([[1.0]], [0], "cross_entropi")  # type: ignore[arg-type]
net.fit([[1.0]], [0], optimizer="adamm")  # type: ignore[arg-type]
net.fit([[1.0]], [0], class_weight="even")  # type: ignore[arg-type]


def by_name(activation: str, dtype: np.dtype[Any]) -> fnn.Dense:
    """Names known only at run time, and what a network says of itself, are accepted."""
    fnn.Sequential(net.layers, dtype=net.compute_dtype, device=net.device).to(net.device)
    fnn.Sequential(net.layers, dtype=dtype)
    return fnn.Dense(8, fnn.activations.get(activation))


def arrays(single: NDArray[np.float32], double: NDArray[np.float64], integers: NDArray[np.int64]) -> None:
    """float32 and float64 are kept; what other types become is not told."""
    assert_type(fnn.ReLU()(single), NDArray[np.float32])
    assert_type(fnn.Tanh().derivative(double), NDArray[np.float64])
    assert_type(fnn.dense(single, single, single, "relu"), NDArray[np.float32])
    assert_type(fnn.maxout(double, double), NDArray[np.float64])
    assert_type(fnn.dense(integers, single), NDArray[Any])


def loaded() -> None:
    assert_type(fnn.load("net.safetensors"), fnn.Sequential | fnn.InferenceNetwork)
