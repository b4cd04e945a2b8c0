"""Random PyTorch modules: sequentials in each other, with skips, branches, normalization and arithmetic."""

import copy

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import fnnfast as fnn

pytest.importorskip("torch")

import torch
from torch import nn

from torch_models import Traced, answers, rows, stirred

WIDTH = 4
ACTIVATIONS = [
    nn.ReLU,
    lambda: nn.ReLU(inplace=True),
    nn.ReLU6,
    lambda: nn.LeakyReLU(0.2, inplace=True),
    lambda: nn.PReLU(WIDTH),
    nn.PReLU,
    lambda: nn.ELU(0.7),
    nn.CELU,
    nn.SELU,
    nn.GELU,
    lambda: nn.GELU("tanh"),
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Tanh,
    lambda: nn.Softplus(beta=2.0),
    nn.Softsign,
]
SKIPS = [
    lambda m, x: x + m.a(x),
    lambda m, x: torch.add(m.a(x), x, alpha=0.5),
    lambda m, x: torch.relu(m.a(x) + m.b(x)),
    lambda m, x: m.a(x) - x * 0.5 + 1,
    lambda m, x: m.a(x).add_(x),
    lambda m, x: torch.tanh(x) + m.a(x) + m.b(x),
    lambda m, x: m.a(x) + m.b(m.a(x)),
]
OTHERS = [
    lambda: nn.Linear(WIDTH, WIDTH),
    lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    lambda: nn.Linear(WIDTH, WIDTH),
    lambda: nn.BatchNorm1d(WIDTH),
    lambda: nn.BatchNorm1d(WIDTH, affine=False),
    lambda: nn.Dropout(0.3),
    lambda: nn.Dropout(0.3, inplace=True),
    nn.Identity,
    nn.Flatten,
    lambda: Traced(lambda m, x: torch.maximum(m.a(x), m.b(x)), a=nn.Linear(WIDTH, WIDTH), b=nn.Linear(WIDTH, WIDTH)),
    lambda: Traced(lambda m, x: m.a(x).view(-1, 3, WIDTH).amax(1), a=nn.Linear(WIDTH, 3 * WIDTH)),
    lambda: Traced(lambda m, x: (x - m.mean) / m.std, mean=torch.randn(WIDTH), std=torch.rand(WIDTH) + 0.5),
    lambda: Traced(lambda m, x: x.mul(2).sub_(1)),
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)),
]


def parts(depth):
    simple = st.one_of(st.sampled_from(OTHERS), st.sampled_from(ACTIVATIONS)).map(lambda make: make())
    if not depth:
        return simple
    inner = sequentials(depth - 1)
    skip = st.builds(lambda form, a, b: Traced(form, a=a, b=b), st.sampled_from(SKIPS), inner, inner)
    return st.one_of(simple, simple, inner, skip)


def sequentials(depth):
    """With a layer last, so that none is empty of what changes numbers."""
    some = st.lists(parts(depth), max_size=4)
    return some.map(lambda found: nn.Sequential(*found, nn.Linear(WIDTH, WIDTH)))


@settings(max_examples=100, deadline=None)
@given(module=sequentials(2), double=st.booleans(), seed=st.integers(0, 9))
def test_random_modules(module, double, seed):
    module = stirred(module, seed).to(torch.float64 if double else torch.float32)
    before = copy.deepcopy(module.state_dict())
    try:
        net = fnn.from_torch(module, WIDTH)
    except fnn.interop.ConversionError as error:
        if "branches that do not join" not in str(error):
            raise
        reject()  # an operation in place on what a later branch reads can lead to that
    assert module.training
    assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())
    x = rows(net, dtype=net.dtype)
    expected = answers(module, x)
    scale = 1 + np.abs(expected).max()
    np.testing.assert_allclose(net(x), expected, rtol=0, atol=scale * (1e-9 if double else 1e-4))
