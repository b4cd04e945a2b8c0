"""Activations that models spell with other operators, as exporters do."""

import numpy as np
import pytest

import fnnfast as fnn

pytest.importorskip("onnx")

from onnx_models import FLOAT, Model, read

RNG = np.random.default_rng(0)
W, B = RNG.standard_normal((4, 3)), RNG.standard_normal(3)


def gelu_erf(m, x):  # torch
    inner = m.node("Add", m.node("Erf", m.node("Div", x, np.sqrt(2.0))), 1.0)
    return m.node("Mul", m.node("Mul", x, inner), 0.5)


def gelu_erf_tensorflow(m, x):
    inner = m.node("Mul", 0.5, m.node("Add", 1.0, m.node("Erf", m.node("Mul", x, np.sqrt(0.5)))))
    return m.node("Mul", x, inner)


def gelu_tanh(m, x):
    inner = m.node("Mul", np.sqrt(2 / np.pi), m.node("Add", x, m.node("Mul", 0.044715, m.node("Pow", x, 3.0))))
    return m.node("Mul", m.node("Mul", 0.5, x), m.node("Add", 1.0, m.node("Tanh", inner)))


def gelu_tanh_factored(m, x):
    inner = m.node("Add", 1.0, m.node("Mul", m.node("Mul", x, x), 0.044715))
    inner = m.node("Mul", m.node("Mul", x, np.sqrt(2 / np.pi)), inner)
    return m.node("Mul", x, m.node("Add", m.node("Mul", m.node("Tanh", inner), 0.5), 0.5))


def mul_sigmoid(m, x):
    return m.node("Mul", m.node("Sigmoid", x), x)


def quick_gelu(m, x):
    return m.node("Mul", x, m.node("Sigmoid", m.node("Mul", x, 1.702)))


def division_of_exponentials(m, x):
    return m.node("Div", x, m.node("Add", m.node("Exp", m.node("Neg", x)), 1.0))


def sigmoid_of_exponentials(m, x):
    return m.node("Reciprocal", m.node("Add", m.node("Exp", m.node("Neg", x)), 1.0))


def hard_swish(m, x):
    return m.node("Div", m.node("Mul", x, m.node("Clip", m.node("Add", x, 3.0), 0.0, 6.0)), 6.0)


def hard_sigmoid(m, x):
    return m.node("Div", m.node("Min", m.node("Relu", m.node("Add", x, 3.0)), 6.0), 6.0)


def keras_prelu(m, x):
    negative = m.node("Mul", np.array([-0.1, -0.2, -0.3]), m.node("Relu", m.node("Neg", x)))
    return m.node("Add", m.node("Relu", x), negative)


def leaky_by_where(m, x):
    return m.node("Where", m.node("Greater", x, 0.0), x, m.node("Mul", x, 0.2))


def softplus_of_torch(m, x):
    return m.node("Where", m.node("Greater", x, 20.0), x, m.node("Softplus", x))


SPELLINGS = {
    "gelu": (gelu_erf, fnn.GELU()),
    "gelu in other order": (gelu_erf_tensorflow, fnn.GELU()),
    "gelu operator": (lambda m, x: m.node("Gelu", x), fnn.GELU()),
    "gelu tanh": (gelu_tanh, fnn.GELU("tanh")),
    "gelu tanh factored": (gelu_tanh_factored, fnn.GELU("tanh")),
    "gelu tanh operator": (lambda m, x: m.node("Gelu", x, approximate="tanh"), fnn.GELU("tanh")),
    "swish": (mul_sigmoid, fnn.Swish()),
    "swish with beta": (quick_gelu, fnn.Swish(1.702)),
    "swish of exponentials": (division_of_exponentials, fnn.Swish()),
    "sigmoid of exponentials": (sigmoid_of_exponentials, fnn.Sigmoid()),
    "softplus": (lambda m, x: m.node("Log", m.node("Add", m.node("Exp", x), 1.0)), fnn.Softplus()),
    "softplus of torch": (softplus_of_torch, fnn.Softplus()),
    "mish": (lambda m, x: m.node("Mul", x, m.node("Tanh", m.node("Softplus", x))), fnn.Mish()),
    "softsign": (lambda m, x: m.node("Div", x, m.node("Add", m.node("Abs", x), 1.0)), fnn.Softsign()),
    "log sigmoid": (lambda m, x: m.node("Log", m.node("Sigmoid", x)), fnn.LogSigmoid()),
    "log sigmoid by softplus": (
        lambda m, x: m.node("Neg", m.node("Softplus", m.node("Neg", x))),
        fnn.LogSigmoid(),
    ),
    "hard swish": (hard_swish, fnn.HardSwish()),
    "hard swish operator": (lambda m, x: m.node("HardSwish", x), fnn.HardSwish()),
    "hard sigmoid": (hard_sigmoid, fnn.HardSigmoid()),
    "hard sigmoid operator": (lambda m, x: m.node("HardSigmoid", x, alpha=1 / 6, beta=0.5), fnn.HardSigmoid()),
    "relu by max": (lambda m, x: m.node("Max", x, 0.0), fnn.ReLU()),
    "relu by clip": (lambda m, x: m.node("Clip", x, 0.0), fnn.ReLU()),
    "relu6": (lambda m, x: m.node("Clip", x, 0.0, 6.0), fnn.ReLU6()),
    "relu6 by min": (lambda m, x: m.node("Min", m.node("Relu", x), 6.0), fnn.ReLU6()),
    "hard tanh": (lambda m, x: m.node("Clip", x, -1.0, 1.0), fnn.HardTanh()),
    "leaky relu": (lambda m, x: m.node("LeakyRelu", x, alpha=0.3), fnn.LeakyReLU(0.3)),
    "leaky relu default": (lambda m, x: m.node("LeakyRelu", x), fnn.LeakyReLU(0.01)),
    "leaky relu by max": (lambda m, x: m.node("Max", m.node("Mul", x, 0.1), x), fnn.LeakyReLU(0.1)),
    "leaky relu by where": (leaky_by_where, fnn.LeakyReLU(0.2)),
    "prelu shared": (lambda m, x: m.node("PRelu", x, np.array([0.2])), fnn.PReLU()),
    "prelu": (lambda m, x: m.node("PRelu", x, np.array([0.2, -0.1, 0.0])), fnn.PReLU()),
    "prelu of keras": (keras_prelu, fnn.PReLU()),
    "elu": (lambda m, x: m.node("Elu", x, alpha=0.7), fnn.ELU(0.7)),
    "celu": (lambda m, x: m.node("Celu", x, alpha=0.7), fnn.CELU(0.7)),
    "selu": (lambda m, x: m.node("Selu", x), fnn.SELU()),
    "exp": (lambda m, x: m.node("Exp", x), fnn.Exponential()),
    "step": (lambda m, x: m.node("Cast", m.node("GreaterOrEqual", x, 0.0), to=FLOAT), fnn.Step()),
    "step from below": (lambda m, x: m.node("Cast", m.node("LessOrEqual", 0.0, x), to=FLOAT), fnn.Step()),
    "sign": (lambda m, x: m.node("Where", m.node("GreaterOrEqual", x, 0.0), 1.0, -1.0), fnn.Sign()),
    "tanh by sigmoid": (
        lambda m, x: m.node("Sub", m.node("Mul", m.node("Sigmoid", m.node("Mul", x, 2.0)), 2.0), 1.0),
        fnn.Tanh(),
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name):
    spell, activation = SPELLINGS[name]
    model = Model(4)
    model.node("Gemm", spell(model, model.node("Add", model.node("MatMul", "x", W), B)), W[:3].copy())
    net = read(model)
    assert net.layers[1:] == (fnn.Dense(3, activation), fnn.Dense(3, bias=False))


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("again", [False, True])
def test_spellings_beside_a_residual_addition(name, again):
    """x + f(x), which is no function of one number that has a name."""
    spell, activation = SPELLINGS[name]
    model = Model(4)
    z = model.node("MatMul", "x", W)
    y = spell(model, model.node("MatMul", z, W[:3].copy()) if again else z)
    model.node("Add", y, z)
    net = read(model)
    inner = fnn.Dense(3, activation, bias=False) if again else fnn.Activation(activation)
    assert net.layers[1:] == (fnn.Dense(3, bias=False), fnn.Residual([inner]))


def test_the_hard_sigmoid_of_keras_2():
    """0.2 x + 0.5: what it multiplies by goes into the layer before it."""
    model = Model(4)
    model.node("HardSigmoid", model.node("Gemm", "x", W, B))
    assert read(model).layers[1:] == (fnn.Dense(3, "hard_sigmoid"),)


def test_scaled_softplus():
    """torch's beta: softplus(beta x) / beta."""
    model = Model(4)
    z = model.node("Mul", model.node("Gemm", "x", W, B), 2.0)
    model.node("Gemm", model.node("Div", model.node("Softplus", z), 2.0), W[:3].copy())
    assert read(model).layers[1:] == (fnn.Dense(3, "softplus"), fnn.Dense(3, bias=False))
    model = Model(4)
    z = model.node("Gemm", "x", W, B)
    scaled = model.node("Mul", z, 2.0)
    y = model.node("Div", model.node("Softplus", scaled), 2.0)
    model.node("Gemm", model.node("Where", model.node("Greater", scaled, 20.0), z, y), W[:3].copy())
    assert read(model).layers[1:] == (fnn.Dense(3, "softplus"), fnn.Dense(3, bias=False))
