"""PyTorch modules for the tests, and what they answer."""

import numpy as np
import torch
from torch import nn

import fnnfast as fnn

torch.set_num_threads(1)  # on a busy machine, more of them wait for each other

RNG = np.random.default_rng(2)


class Traced(nn.Module):
    """A module whose forward is a function of it and of x."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x):
        return self.function(self, x)


def answers(module, x):
    """In eval mode; the modes are then as they were."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            return module(torch.from_numpy(np.array(x))).numpy()
    finally:
        for part, mode in modes:
            part.training = mode


def rows(net_or_shape, count=17, dtype="float32"):
    shape = net_or_shape if isinstance(net_or_shape, tuple) else net_or_shape.input.shape
    return (2 * RNG.standard_normal((count, *shape))).astype(dtype)


def read(module, shape=None, **options):
    """The network of a module, compared with it on rows of a wide range."""
    net = fnn.from_torch(module, shape, **options)
    x = rows(net, dtype=net.dtype)
    tolerance = 1e-12 if net.dtype == "float64" else 1e-5
    if {p.dtype for p in module.parameters()} <= {torch.float32, torch.float64}:
        np.testing.assert_allclose(net(x), answers(module, x), rtol=tolerance, atol=tolerance)
    return net


def stirred(module, seed=0):
    """The module with random statistics, scales and slopes, so that nothing is at its default."""
    generator = torch.Generator().manual_seed(seed)

    def random(values):
        return torch.rand(values.shape, generator=generator, dtype=torch.float64).to(values.dtype)

    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
                part.running_mean.copy_(random(part.running_mean) - 0.5)
                part.running_var.copy_(random(part.running_var) + 0.5)
                if part.affine:
                    part.weight.copy_(random(part.weight) + 0.5)
                    part.bias.copy_(random(part.bias) - 0.5)
            if isinstance(part, nn.PReLU):
                part.weight.copy_(random(part.weight) / 2)
    return module


def kinds(net):
    return [layer.kind for layer in net.layers[1:]]


class Block(nn.Module):
    def __init__(self, width, activation, normed=True, rate=0.1):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(width, 2 * width),
            *([nn.BatchNorm1d(2 * width)] if normed else []),
            activation,
            nn.Linear(2 * width, width),
        )
        self.drop = nn.Dropout(rate)

    def forward(self, x):
        return x + self.drop(self.main(x))


def network(*layers, inputs=(5,), dtype="float32"):
    """A network with random biases and slopes."""
    net = fnn.Sequential([fnn.Input(*inputs), *layers], dtype=dtype, seed=0)
    for name, values in net.parameters.items():
        if not name.endswith("weight"):
            net.parameters[name] = values + RNG.uniform(-0.5, 0.5, values.shape)
    return net


def outputs(module, x):
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def close(net, module, x=None):
    x = rows(net, dtype=net.dtype) if x is None else x
    tolerance = 1e-12 if net.dtype == "float64" else 2e-5
    y = outputs(module, x)
    assert y.dtype == net.dtype
    np.testing.assert_allclose(y, net(x), rtol=tolerance, atol=tolerance)


def same(net, other):
    assert other.layers == net.layers
    assert other.dtype == net.dtype
    assert list(other.parameters) == list(net.parameters)
    for name, values in net.parameters.items():
        np.testing.assert_array_equal(other.parameters[name], values, err_msg=name)
