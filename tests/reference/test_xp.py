"""The oracles touch arrays through the arrays' own library only: here a stand-in for CuPy, which NumPy cannot read."""

import operator
import sys
from types import ModuleType

import numpy as np
import pytest
import scipy.special

from fnnfast import reference


class DeviceArray:
    """An array that answers to its own module and to operators, and that NumPy's functions refuse."""

    __array_ufunc__ = None
    __module__ = "cupy"

    def __init__(self, host):
        self.host = host

    def __array__(self, *_, **__):
        raise TypeError("implicit conversion to a NumPy array")

    def __float__(self):
        return float(self.host)

    def __iter__(self):
        return map(wrap, self.host)

    def __getattr__(self, name):
        if name.startswith("__"):  # no other protocol by which NumPy could read it
            raise AttributeError(name)
        value = getattr(self.host, name)
        return wrapped(value) if callable(value) else wrap(value)


def wrap(value):
    return DeviceArray(value) if isinstance(value, np.ndarray | np.floating | np.integer | np.bool_) else value


def unwrap(value):
    if isinstance(value, DeviceArray):
        return value.host
    return type(value)(map(unwrap, value)) if type(value) in (list, tuple) else value


def wrapped(function):
    def call(*args, **kwargs):
        return wrap(function(*unwrap(args), **{k: unwrap(v) for k, v in kwargs.items()}))

    return call


OPERATORS = ["add", "sub", "mul", "truediv", "matmul", "pow", "neg", "eq", "lt", "le", "gt", "ge", "getitem"]
for name in OPERATORS:
    setattr(DeviceArray, f"__{name}__", wrapped(getattr(operator, name)))
DeviceArray.__radd__ = wrapped(lambda a, b: b + a)
DeviceArray.__rsub__ = wrapped(lambda a, b: b - a)
DeviceArray.__rmul__ = wrapped(lambda a, b: b * a)
DeviceArray.__rtruediv__ = wrapped(lambda a, b: b / a)


@pytest.fixture(autouse=True)
def cupy(monkeypatch):
    module, special = ModuleType("cupy"), ModuleType("cupyx.scipy.special")
    for name in vars(np):
        value = getattr(np, name)
        setattr(module, name, wrapped(value) if callable(value) and not isinstance(value, type) else value)
    special.erfc = wrapped(scipy.special.erfc)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", special)


def both(function, *arrays):
    """The function of NumPy arrays, and of device arrays brought back; the device's results are device arrays."""
    device = function(*map(DeviceArray, arrays))
    for host, other in zip(flat(function(*arrays)), flat(device), strict=True):
        assert isinstance(other, DeviceArray | float | None)
        if host is not None:
            np.testing.assert_allclose(unwrap(other), host, rtol=1e-12)


def flat(value):
    return [one for part in value for one in flat(part)] if isinstance(value, tuple | list) else [value]


def test_numpy_refuses_the_stand_in():
    with pytest.raises(TypeError):
        np.exp(DeviceArray(np.ones(3)))
    with pytest.raises(TypeError):
        np.where(DeviceArray(np.ones(3)), 1, 0)


@pytest.mark.parametrize("name", list(reference.ACTIVATIONS))
def test_activations(name):
    f = reference.ACTIVATIONS[name]
    z = np.array([[-3.0, -0.5, 0.0], [0.7, 5.0, np.inf]])
    both(f.forward, z)
    if f.differentiable:
        both(f.backward, np.ones((2, 3)), z[:, :2].repeat(2, axis=1)[:, 1:])
    if f.learned:
        both(f.forward, z, np.array([0.1, 0.2, 0.3]))
        both(f.parameter_gradient, z)


def test_layers():
    rng = np.random.default_rng(1)
    x, w, b, dy = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=(2, 3, 5))
    both(lambda *a: reference.dense_forward(*a, "gelu"), x, w, b)
    both(lambda *a: reference.dense_backward(*a, "prelu"), dy, x, w, dy)
    pieces, biases = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 5))
    both(reference.maxout_forward, x, pieces, biases)
    both(reference.maxout_backward, dy, x, pieces, rng.integers(0, 3, (2, 3, 5)))


def test_low_precision():
    rng = np.random.default_rng(4)
    x, w, b = rng.normal(size=(2, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)

    def quantized(layer, *rest):
        return lambda x, w, b: layer(x, w, b, reference.scales(-2.0, 3.0, w), *rest)

    both(reference.to_bfloat16, x)
    both(quantized(reference.quantized_dense, "gelu"), x, w, b)
    both(quantized(reference.quantized_maxout), x, np.stack([w, -w]), np.stack([b, b]))


@pytest.mark.parametrize("name", list(reference.LOSSES))
def test_losses(name):
    rng = np.random.default_rng(2)
    loss, targets = reference.LOSSES[name], np.eye(4)[rng.integers(0, 4, 6)]
    if name == "gaussian_learned":
        targets = targets[:, :2]
    both(loss.value, rng.normal(size=(6, 4)), targets)
    both(loss.gradient, rng.normal(size=(6, 4)), targets)
    if name.startswith("categorical"):
        both(loss.gradient, rng.normal(size=(6, 4)), targets.argmax(axis=1))


@pytest.mark.parametrize(
    "optimizer", [reference.SGD(momentum=0.9, nesterov=True, l2=0.1), reference.Adam(weight_decay=0.1)]
)
def test_training_step(optimizer):
    rng = np.random.default_rng(3)

    def train(x, targets, w1, w2, b):
        layers = [
            {"kind": "maxout", "weight": w1, "bias": b},
            {"kind": "dense", "weight": w2, "bias": b[0], "activation": "softmax"},
        ]
        loss, layers, _ = reference.training_step(layers, x, targets, "categorical_cross_entropy", optimizer, None, 0.1)
        return loss, layers[0]["weight"], layers[1]["weight"], layers[1]["bias"], reference.forward(layers, x)

    both(train, rng.normal(size=(6, 3)), np.eye(4)[rng.integers(0, 4, 6)], rng.normal(size=(2, 3, 4)),
         rng.normal(size=(4, 4)), rng.normal(size=(2, 4)))  # fmt: skip
