"""Branches of PyTorch modules: residual blocks, memory that they share, and maxout."""

import pytest

import fnnfast as fnn

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from torch_models import Block, Traced, kinds, read, stirred

linear, norm = nn.Linear, nn.BatchNorm1d


# Branches ------------------------------------------------------------------------------------------------------------
def iadd(m, x):
    y = m.a(x)
    y += x
    return y


SUMS = {
    "operator": lambda m, x: x + m.a(x),
    "operator, turned": lambda m, x: m.a(x) + x,
    "torch.add": lambda m, x: torch.add(x, m.a(x)),
    "method": lambda m, x: m.a(x).add(x),
    "in place": iadd,
    "method in place": lambda m, x: m.a(x).add_(x),
}


@pytest.mark.parametrize("name", SUMS)
def test_a_residual_block(name):
    assert read(Traced(SUMS[name], a=linear(4, 4))).layers[1:] == (fnn.Residual([fnn.Dense(4)]),)


def test_sums_with_factors():
    net = read(Traced(lambda m, x: torch.add(x, m.a(x), alpha=0.5), a=linear(4, 4)))
    assert net.layers[1:] == (fnn.Residual([fnn.Dense(4)]),)
    net = read(Traced(lambda m, x: m.a(x) - x, a=linear(4, 4)))
    assert kinds(net) == ["residual"]
    net = read(Traced(lambda m, x: m.b(torch.relu(m.a(x) + x)) + x, a=linear(4, 4), b=linear(4, 4)))
    inner = fnn.Residual([fnn.Dense(4)], activation="relu")
    assert net.layers[1:] == (fnn.Residual([inner, fnn.Dense(4)]),)


def test_projections_shortcuts_and_branches():
    parts = {"a": linear(4, 6), "b": linear(6, 6), "c": linear(4, 6)}
    net = read(Traced(lambda m, x: torch.tanh(m.b(torch.relu(m.a(x))) + m.c(x)), **parts))
    assert net.layers[1:] == (fnn.Residual([fnn.Dense(6, "relu"), fnn.Dense(6)], activation="tanh"),)
    net = read(Traced(lambda m, x: torch.relu(m.a(x)) + torch.tanh(m.c(x)), **parts))
    assert net.layers[1:] == (fnn.Residual([fnn.Dense(6, "relu")], [fnn.Dense(6, "tanh")]),)
    net = read(Traced(lambda m, x: torch.relu(m.a(x)) + torch.tanh(m.c(x)) + m.b(m.a(x)), **parts))
    assert kinds(net) == ["residual"]


class Modules(nn.Module):
    """Lists and dicts of modules, a parameter of its own, a tied weight, and scaled inputs and outputs."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([linear(4, 6), linear(6, 6), linear(6, 6)])
        self.acts = nn.ModuleDict({"a": nn.SiLU(), "b": nn.PReLU()})
        self.last = nn.Parameter(torch.randn(4))
        self.register_buffer("mean", torch.randn(4))
        self.tensor = torch.rand(4) + 0.5
        self.rate = 0.2

    def forward(self, x):
        x = (x - self.mean) / self.tensor
        for index, layer in enumerate(self.layers):
            x = F.dropout(self.acts["ab"[index % 2]](layer(x)), self.rate, training=self.training)
        return F.linear(x, self.layers[0].weight.t(), self.last) * 2.5 + 3


def test_modules_in_lists_and_dicts():
    net = read(Modules(), 4)
    assert kinds(net) == ["dense", "dropout"] * 3 + ["dense"]
    assert [layer.activation.name for layer in net.layers[1::2]] == ["swish", "prelu", "swish", "identity"]


def test_modules_of_residual_blocks():
    blocks = [Block(6, nn.GELU(), normed) for normed in (True, False)]
    module = stirred(nn.Sequential(linear(4, 6), *blocks, norm(6), nn.ReLU(), linear(6, 3)))
    net = read(module)
    assert net.named_layers["residual_1.dense_1"] == fnn.Dense(12, "gelu")
    assert net.named_layers["residual_2.dropout_1"] == fnn.Dropout(0.1)


def test_memory_that_is_written_to_in_place():
    """What is added below is what the activation left, as in PyTorch."""

    def relu_in_place(m, x):
        y = m.a(x)
        z = m.b(F.relu(y, inplace=True))
        return y + z

    def through_a_view(m, x):
        y = m.a(x)
        y.view(-1, 4).relu_()
        return m.b(y)

    def through_dropout(m, x):
        y = m.a(x)
        z = m.d(y)
        z.mul_(3)
        return m.b(y) + z

    def of_a_copy(m, x):
        y = m.a(x)
        y.clone().relu_()
        return m.b(y)

    for form in (relu_in_place, through_a_view, through_dropout, of_a_copy):
        read(Traced(form, a=linear(4, 4), b=linear(4, 4), d=nn.Dropout(0.5)))
    read(Traced(lambda m, x: m.r(x) + m.a(x), a=linear(4, 4), r=nn.ReLU(inplace=True)))  # the input as well


# Maxout --------------------------------------------------------------------------------------------------------------
MAXOUT = {
    "torch.max": (lambda m, x: torch.max(m.a(x), m.b(x)), 2),
    "torch.maximum": (lambda m, x: torch.maximum(torch.maximum(m.a(x), m.b(x)), m.c(x)), 3),
    "method": (lambda m, x: m.a(x).max(m.b(x)), 2),
    "stack": (lambda m, x: torch.stack([m.a(x), m.b(x), m.c(x)]).amax(0), 3),
    "stack, last": (lambda m, x: torch.stack((m.a(x), m.b(x)), dim=-1).max(dim=2).values, 2),
    "pieces first": (lambda m, x: m.w(x).view(x.size(0), 3, 4).max(1)[0], 3),
    "pieces last": (lambda m, x: m.w(x).view(-1, 4, 3).amax(dim=-1), 3),
    "unflatten": (lambda m, x: m.u(m.w(x)).amax((1,)), 3),
    "keepdim": (lambda m, x: torch.amax(m.w(x).unflatten(1, (3, 4)), 1, keepdim=True).flatten(1), 3),
    "getattr": (lambda m, x: torch.max(m.w(x).reshape(-1, 3, 4), dim=1).values, 3),
}


@pytest.mark.parametrize("name", MAXOUT)
def test_maxout(name):
    form, pieces = MAXOUT[name]
    module = Traced(
        form, a=linear(5, 4), b=linear(5, 4, bias=False), c=linear(5, 4), w=linear(5, 12), u=nn.Unflatten(1, (3, 4))
    )
    assert read(module, 5).layers[1:] == (fnn.Maxout(4, pieces),)
