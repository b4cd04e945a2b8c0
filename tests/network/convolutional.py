"""Convolutional networks for the tests, and data for them."""

import numpy as np

import fnnfast as fnn
from factories import normal

IMAGE = (9, 8, 3)


def normalized(filters, kernel=3, activation="relu", **settings):
    return [fnn.Conv2D(filters, kernel, bias=False, **settings), fnn.BatchNorm(), fnn.Activation(activation)]


def layers(norm=True):
    """All kinds of layers, of widths that fill no vector and such that do."""
    prelu = fnn.PReLU(0.2)
    block = [*normalized(13, padding="same"), fnn.Conv2D(13, 3, padding="same")]
    branches = [
        [fnn.Conv2D(4, 1, "tanh")],
        [fnn.Conv2D(5, 1, "relu"), fnn.Conv2D(16, 3, prelu, padding="same")],
        [fnn.MaxPool2D(3, 1, padding="same"), fnn.MaxoutConv2D(7, 1, 3)],
        [],
    ]
    found = [
        fnn.Input(*IMAGE),
        *normalized(13, padding="same"),
        fnn.Residual(block, activation="relu"),
        fnn.Residual([fnn.Conv2D(16, 3, "swish", padding="same")]),  # with a projection of each pixel
        fnn.Parallel(branches),
        fnn.LocalResponseNorm(3),
        fnn.MaxPool2D(2),
        fnn.Dropout(0.1),
        fnn.Residual(
            normalized(24, strides=2, padding=1), [fnn.Conv2D(24, 1, strides=2), fnn.BatchNorm(0.5)], "leaky_relu"
        ),
        fnn.MaxoutConv2D(10, 2, 2, padding=1, strides=(1, 2)),
        fnn.Conv2D(15, (2, 3), "tanh", groups=5, padding="same"),
        *normalized(15, groups=15, strides=(2, 1), padding=1),
        fnn.AveragePool2D(2, 1, padding=1),
        fnn.Flatten(),
        fnn.Dense(12, bias=False),
        fnn.BatchNorm(),
        fnn.Activation(prelu),
        fnn.Dense(4, "softmax"),
    ]
    if norm:
        return found
    without = [layer for layer in found if layer.kind not in ("batch_norm", "dropout")]
    return [layer for layer in without if layer.kind != "residual"]


def network(dtype="float64", norm=True):
    net = fnn.Sequential(layers(norm), dtype=dtype, seed=0)
    rng = np.random.default_rng(1)
    for name, shape in net.parameters.shapes.items():
        net.parameters[name] = net.parameters[name] + rng.normal(0, 0.1, shape)
    for name, shape in net.buffers.shapes.items():
        net.buffers[name] = rng.normal(1, 0.2, shape) ** 2
    return net


def data(rows, dtype="float64"):
    rng = np.random.default_rng([rows, 5])
    return normal(rng, np.dtype(dtype), rows, *IMAGE), rng.integers(0, 4, rows)


def all_of(net):
    return [*net.parameters.values(), *net.buffers.values()]


def small(**settings):
    chain = [fnn.Input(4, 4, 2), fnn.Conv2D(5, 3, bias=False), fnn.BatchNorm(**settings), fnn.Activation("relu")]
    return fnn.Sequential([*chain, fnn.Flatten(), fnn.Dense(3, "softmax")], dtype="float64", seed=0)


def small_data(rows):
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, 4, 4, 2)), rng.integers(0, 3, rows)
