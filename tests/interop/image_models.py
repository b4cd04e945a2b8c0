"""Networks of images for the tests of what other packages make of them."""

import numpy as np

import fnnfast as fnn

RNG = np.random.default_rng(0)
DTYPES = ["float32", "float64"]
INPUTS = [fnn.Input(13, 11, 3), fnn.Input(3, 13, 11, channels="first"), fnn.Input(13, 11, 1)]


def conv_layers():
    """One of each kind, with uneven padding where a layer has padding."""
    return [
        fnn.Conv2D(6, 3, "relu", padding="same"),
        fnn.MaxPool2D(3, 2, "same"),
        fnn.BatchNorm(),
        fnn.Conv2D(8, (3, 2), "prelu", strides=(2, 1), padding=((0, 1), (1, 0)), bias=False),
        fnn.BatchNorm(momentum=0.8, eps=1e-3),
        fnn.Activation("swish"),
        fnn.Parallel([[fnn.Conv2D(4, 1, "tanh")], [], [fnn.MaxPool2D(3, 1, 1), fnn.Conv2D(3, 3, "gelu", padding=1)]]),
        fnn.Residual([fnn.Conv2D(15, 3, padding=1), fnn.BatchNorm()], activation="relu"),
        fnn.Residual([fnn.Conv2D(9, 3, padding=1)]),
        fnn.Conv2D(18, 3, "relu", groups=3),
        fnn.Conv2D(18, 2, groups=18, padding="same"),
        fnn.Residual([fnn.Conv2D(4, 1)], [fnn.Conv2D(4, 3, padding=2, dilation=2)]),
        fnn.LocalResponseNorm(3),
        fnn.AveragePool2D(2, 1, ((0, 1), (0, 1))),
        fnn.AveragePool2D(2, 1, 1, count_padding=True),
        fnn.MaxoutConv2D(5, 2, 3, padding=((0, 1), (0, 0))),
        fnn.Activation(fnn.activations.ELU(learn=True)),
        fnn.Dropout(0.3),
    ]


ENDS = {
    "flattened": [fnn.Flatten(), fnn.Dense(7, "relu"), fnn.Maxout(4, 2), fnn.Dense(3, "softmax")],
    "dense": [fnn.Dense(3, "softmax")],
    "maxout": [fnn.Maxout(3, 2)],
    "pooled": [fnn.GlobalAveragePool2D(), fnn.Dense(2, "sigmoid")],
}


def network(layers, given=INPUTS[0], dtype="float32"):
    net = fnn.Sequential([given, *layers], dtype=dtype, seed=1)
    for name, values in net.buffers.items():
        net.buffers[name] = RNG.uniform(0.5, 2, values.shape)
    for name, values in net.parameters.items():
        net.parameters[name] = values + RNG.normal(size=values.shape) * 0.1
    return net


def rows(net, count=5):
    return RNG.standard_normal((count, *net.input.shape)).astype(net.dtype)


def same(net, other):
    assert other.layers == net.layers
    for kind in ("parameters", "buffers"):
        for name, values in getattr(net, kind).items():
            np.testing.assert_array_equal(getattr(other, kind)[name], values, err_msg=name)


def close(got, expected, dtype):
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)
