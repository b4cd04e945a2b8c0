"""Activations of PyTorch: as modules, functions, methods, in place, and as formulas."""

import math

import numpy as np
import pytest

import fnnfast as fnn

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from torch_models import Traced, read

inf = math.inf
SLOPES = torch.tensor([0.1, 0.2, -0.3, 0.0])

MODULES = [
    (nn.ReLU(), "relu"),
    (nn.ReLU(inplace=True), "relu"),
    (nn.Threshold(0.0, 0.0), "relu"),
    (nn.Hardtanh(0, inf), "relu"),
    (nn.ReLU6(), "relu6"),
    (nn.Hardtanh(0, 6), "relu6"),
    (nn.LeakyReLU(), fnn.LeakyReLU(0.01)),
    (nn.LeakyReLU(0.3, inplace=True), fnn.LeakyReLU(0.3)),
    (nn.LeakyReLU(0.0), fnn.LeakyReLU(0.0)),
    (nn.RReLU(0.1, 0.3), fnn.LeakyReLU(0.2)),
    (nn.ELU(), fnn.ELU(1.0)),
    (nn.ELU(0.7), fnn.ELU(0.7)),
    (nn.CELU(), fnn.CELU(1.0)),
    (nn.CELU(2.5), fnn.CELU(2.5)),
    (nn.SELU(), "selu"),
    (nn.GELU(), "gelu"),
    (nn.GELU("tanh"), "gelu_tanh"),
    (nn.SiLU(), "silu"),
    (nn.Mish(), "mish"),
    (nn.Hardswish(), "hard_swish"),
    (nn.Hardsigmoid(), "hard_sigmoid"),
    (nn.Hardtanh(), "hard_tanh"),
    (nn.Sigmoid(), "sigmoid"),
    (nn.LogSigmoid(), "log_sigmoid"),
    (nn.Tanh(), "tanh"),
    (nn.Softplus(), "softplus"),
    (nn.Softplus(threshold=30), "softplus"),
    (nn.Softsign(), "softsign"),
    (nn.Softmax(dim=-1), "softmax"),
    (nn.Softmax(dim=1), "softmax"),
    (nn.Softmax(), "softmax"),
    (nn.Identity(1, two=2), "identity"),
]

FUNCTIONS = [
    (F.relu, "relu"),
    (torch.relu, "relu"),
    (torch.relu_, "relu"),
    (lambda z: z.relu(), "relu"),
    (lambda z: z.relu_(), "relu"),
    (lambda z: F.relu(z, inplace=True), "relu"),
    (lambda z: z.clamp(min=0), "relu"),
    (lambda z: z.clamp(0), "relu"),
    (lambda z: z.clip(min=0.0), "relu"),
    (lambda z: torch.clamp_min(z, 0), "relu"),
    (lambda z: z.clamp_(min=0), "relu"),
    (lambda z: torch.maximum(z, torch.zeros(4)), "relu"),
    (lambda z: torch.max(z, torch.zeros(())), "relu"),
    (lambda z: torch.where(z > 0, z, 0.0), "relu"),
    (lambda z: F.threshold(z, 0, 0), "relu"),
    (F.relu6, "relu6"),
    (lambda z: torch.clamp(z, 0, 6), "relu6"),
    (lambda z: z.clamp(0).clamp_max(6), "relu6"),
    (lambda z: torch.minimum(F.relu(z), torch.tensor(6.0)), "relu6"),
    (F.leaky_relu, fnn.LeakyReLU(0.01)),
    (lambda z: F.leaky_relu(z, 0.2), fnn.LeakyReLU(0.2)),
    (lambda z: F.leaky_relu_(z, 0.2), fnn.LeakyReLU(0.2)),
    (lambda z: torch.where(z > 0, z, 0.1 * z), fnn.LeakyReLU(0.1)),
    (lambda z: torch.maximum(z, 0.1 * z), fnn.LeakyReLU(0.1)),
    (lambda z: F.rrelu(z, 0.1, 0.3), fnn.LeakyReLU(0.2)),
    (F.elu, fnn.ELU(1.0)),
    (lambda z: F.elu(z, alpha=0.5), fnn.ELU(0.5)),
    (lambda z: F.elu_(z, 0.5), fnn.ELU(0.5)),
    (F.celu, fnn.CELU(1.0)),
    (lambda z: torch.celu(z, 0.5), fnn.CELU(0.5)),
    (F.selu, "selu"),
    (torch.selu, "selu"),
    (F.gelu, "gelu"),
    (lambda z: F.gelu(z, approximate="tanh"), "gelu_tanh"),
    (lambda z: 0.5 * z * (1 + torch.erf(z / math.sqrt(2))), "gelu"),
    (lambda z: 0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))), "gelu_tanh"),
    (lambda z: z * 0.5 * (1.0 + torch.tanh(0.7978845608 * z * (1 + 0.044715 * z * z))), "gelu_tanh"),
    (F.silu, "silu"),
    (lambda z: z * torch.sigmoid(z), "silu"),
    (lambda z: torch.sigmoid(z).mul(z), "silu"),
    (lambda z: z * torch.sigmoid(1.702 * z), fnn.Swish(1.702)),
    (lambda z: z / (1 + torch.exp(-z)), "silu"),
    (F.mish, "mish"),
    (lambda z: z * torch.tanh(F.softplus(z)), "mish"),
    (lambda z: z.mul(z.exp().log1p().tanh()), "mish"),
    (F.hardswish, "hard_swish"),
    (lambda z: z * F.relu6(z + 3) / 6, "hard_swish"),
    (lambda z: z * F.hardsigmoid(z), "hard_swish"),
    (F.hardsigmoid, "hard_sigmoid"),
    (lambda z: F.relu6(z + 3) / 6, "hard_sigmoid"),
    (lambda z: torch.clamp(z / 6 + 0.5, 0, 1), "hard_sigmoid"),
    (F.hardtanh, "hard_tanh"),
    (lambda z: F.hardtanh(z, 0.0, 6.0), "relu6"),
    (lambda z: z.clamp(-1, 1), "hard_tanh"),
    (F.sigmoid, "sigmoid"),
    (torch.sigmoid, "sigmoid"),
    (torch.special.expit, "sigmoid"),
    (lambda z: z.sigmoid_(), "sigmoid"),
    (lambda z: 1 / (1 + torch.exp(-z)), "sigmoid"),
    (lambda z: torch.exp(-z).add(1).reciprocal(), "sigmoid"),
    (F.logsigmoid, "log_sigmoid"),
    (lambda z: torch.log(torch.sigmoid(z)), "log_sigmoid"),
    (lambda z: -F.softplus(-z), "log_sigmoid"),
    (F.tanh, "tanh"),
    (torch.tanh, "tanh"),
    (lambda z: z.tanh(), "tanh"),
    (lambda z: 2 * torch.sigmoid(2 * z) - 1, "tanh"),
    (F.softplus, "softplus"),
    (lambda z: torch.log(1 + torch.exp(z)), "softplus"),
    (lambda z: torch.log1p(z.exp()), "softplus"),
    (F.softsign, "softsign"),
    (lambda z: z / (1 + torch.abs(z)), "softsign"),
    (lambda z: z / (z.abs() + 1), "softsign"),
    (torch.exp, "exponential"),
    (lambda z: z.exp_(), "exponential"),
    (lambda z: (z >= 0).float(), "step"),
    (lambda z: z.ge(0).to(torch.float32), "step"),
    (lambda z: torch.where(z >= 0, 1.0, -1.0), "sign"),
    (lambda z: torch.where(z < 0, -1.0, 1.0), "sign"),
    (lambda z: F.softmax(z, dim=-1), "softmax"),
    (lambda z: torch.softmax(z, 1), "softmax"),
    (lambda z: z.softmax(dim=1), "softmax"),
]


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize(("module", "expected"), MODULES, ids=lambda part: str(part))
def test_modules(module, expected):
    assert read(nn.Sequential(nn.Linear(3, 4), module)).layers[1:] == (fnn.Dense(4, expected),)


@pytest.mark.parametrize("index", range(len(FUNCTIONS)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions(index, dtype):
    function, expected = FUNCTIONS[index]
    module = Traced(lambda m, x: function(m.a(x)), a=nn.Linear(3, 4)).to(dtype)
    torch.manual_seed(0)
    assert read(module, 3).layers[1:] == (fnn.Dense(4, expected),)


@pytest.mark.parametrize("slopes", [SLOPES, SLOPES[:1]], ids=["per unit", "shared"])
def test_prelu(slopes):
    def given(m, x):
        return F.prelu(m.a(x), m.s)

    def where(m, x):
        return torch.where(m.a(x) > 0, m.a(x), m.s * m.a(x))

    def relus(m, x):
        z = m.a(x)
        return torch.relu(z) - m.s * torch.relu(-z)

    module = nn.Sequential(nn.Linear(3, 4), nn.PReLU(len(slopes)))
    with torch.no_grad():
        module[1].weight.copy_(slopes)
    net = read(module)
    assert net.layers[1:] == (fnn.Dense(4, "prelu"),)
    np.testing.assert_array_equal(net.parameters["dense_1.alpha"], np.broadcast_to(slopes.numpy(), 4))
    for form in (given, relus):
        net = read(Traced(form, a=nn.Linear(3, 4), s=SLOPES), 3)
        assert net.layers[1:] == (fnn.Dense(4, "prelu"),)
        np.testing.assert_array_equal(net.parameters["dense_1.alpha"], SLOPES.numpy())


def test_a_formula_of_buffers():
    """swish with beta from a buffer of one number."""
    module = Traced(lambda m, x: m.a(x) * torch.sigmoid(1.5 * m.a(x)), a=nn.Linear(3, 4))
    with pytest.raises(fnn.interop.ConversionError, match="a product of two values"):
        fnn.from_torch(module, 3)  # of two calls, which nothing says are one value

    def forward(m, x):
        z = m.a(x)
        return z * torch.sigmoid(m.beta * z)

    net = read(Traced(forward, a=nn.Linear(3, 4), beta=torch.tensor(1.5)), 3)
    assert net.layers[1:] == (fnn.Dense(4, fnn.Swish(1.5)),)


@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_softplus_with_beta(beta):
    """The factor goes into the layer before, its inverse into the one after."""
    net = read(nn.Sequential(nn.Linear(3, 4), nn.Softplus(beta=beta), nn.Linear(4, 2)))
    assert net.layers[1:] == (fnn.Dense(4, "softplus"), fnn.Dense(2))
    net = read(nn.Sequential(nn.Linear(3, 4), nn.Softplus(beta=beta)))
    assert net.layers[1] == fnn.Dense(4, "softplus")
    assert net.layers[2].kind == "batch_norm"


def test_softplus_above_its_threshold():
    """In float64, torch's is off by 2e-9 from 20 on."""
    module = nn.Sequential(nn.Linear(1, 1), nn.Softplus()).double()
    with torch.no_grad():
        module[0].weight.fill_(1)
        module[0].bias.zero_()
    x = np.array([[19.0], [20.5], [800.0], [-800.0]])
    net = fnn.from_torch(module, check=x)
    np.testing.assert_allclose(net(x), np.logaddexp(0, x), rtol=1e-14)
    assert net.converted_from.largest_difference < 3e-9


def test_expm1_is_exponential_and_a_bias():
    module = Traced(lambda m, x: m.b(torch.expm1(m.a(x))), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    assert read(module, 3).layers[1:] == (fnn.Dense(4, "exponential"), fnn.Dense(2))


def test_softmin():
    module = nn.Sequential(nn.Linear(3, 4), nn.Softmin(-1))
    assert read(module).layers[1:] == (fnn.Dense(4, "softmax"),)
