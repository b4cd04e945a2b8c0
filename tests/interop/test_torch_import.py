"""PyTorch modules as networks: layers, folds, number formats and checks."""

import numpy as np
import pytest

import fnnfast as fnn

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from torch_models import Traced, answers, kinds, read, rows, stirred

linear, norm = nn.Linear, nn.BatchNorm1d


# Layers --------------------------------------------------------------------------------------------------------------
def test_a_sequential():
    module = nn.Sequential(linear(3, 4), nn.ReLU(), linear(4, 2, bias=False), nn.Softmax(-1))
    net = read(module)
    assert net.layers == (fnn.Input(3), fnn.Dense(4, "relu"), fnn.Dense(2, "softmax", bias=False))
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], module[0].weight.detach().numpy().T)
    np.testing.assert_array_equal(net.parameters["dense_1.bias"], module[0].bias.detach().numpy())
    found = net.converted_from
    assert (found.source, found.versions, found.folded) == ("PyTorch", {"torch": torch.__version__}, ())
    assert found.check == "PyTorch on 32 random rows"


def test_a_linear_alone_and_sequentials_in_others():
    assert kinds(read(linear(3, 2))) == ["dense"]
    assert (
        kinds(read(nn.Sequential(nn.Sequential(linear(3, 4)), nn.Sequential(nn.Tanh(), linear(4, 1))))) == ["dense"] * 2
    )
    assert read(torch.ao.nn.intrinsic.LinearReLU(linear(3, 4), nn.ReLU())).layers[1] == fnn.Dense(4, "relu")


@pytest.mark.parametrize("given", [(12,), [12], 12, (3, 4), torch.Size([12])])
def test_the_shape_of_the_input(given):
    net = read(nn.Sequential(nn.Flatten(), linear(12, 2)), given)
    assert net.input.shape == ((3, 4) if given == (3, 4) else (12,))


def test_the_width_of_the_input_is_found():
    assert read(nn.Sequential(nn.Dropout(), norm(5), linear(5, 2))).input.size == 5
    assert read(nn.Sequential(nn.ReLU(), linear(6, 2))).input.size == 6
    assert read(Traced(lambda m, x: x + m.a(x), a=linear(7, 7))).input.size == 7
    with pytest.raises(ValueError, match="input_shape: expected the shape of a row, such as"):
        fnn.from_torch(nn.Sequential(nn.Flatten(), linear(4, 2)))
    with pytest.raises(ValueError, match="input_shape: expected the shape of a row, such as"):
        fnn.from_torch(nn.Tanh())


def test_a_wrong_shape_of_the_input():
    with pytest.raises(ValueError, match=r"input_shape: expected the shape of a row .* got \(5,\) \(RuntimeError"):
        fnn.from_torch(linear(4, 2), 5)
    for wrong in (0, (2.5,), (), "4"):
        with pytest.raises((ValueError, TypeError), match="Input"):
            fnn.from_torch(linear(4, 2), wrong)


def test_dropout_keeps_its_rate():
    module = nn.Sequential(nn.Dropout(0.1), linear(3, 4), nn.ReLU(), nn.Dropout(0.25, inplace=True), linear(4, 2))
    assert read(module).layers[1:] == (fnn.Dropout(0.1), fnn.Dense(4, "relu"), fnn.Dropout(0.25), fnn.Dense(2))


def test_dropout_that_a_network_does_not_have():
    for last in (nn.Dropout(), nn.Dropout(1.0), nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3), nn.Dropout1d(0.2)):
        net = read(nn.Sequential(linear(3, 4), last))
        assert kinds(net) == ["dense"]
        assert "left out" in net.converted_from.folded[0]
        assert type(last).__name__ in net.converted_from.folded[0]


def test_flatten_and_views():
    forms = (
        lambda m, x: m.a(x.view(x.size(0), -1)),
        lambda m, x: m.a(x.view(-1, 12)),
        lambda m, x: m.a(x.reshape(x.shape[0], 12)),
        lambda m, x: m.a(x.reshape((x.shape[0], -1))),
        lambda m, x: m.a(torch.flatten(x, 1)),
        lambda m, x: m.a(x.flatten(start_dim=1, end_dim=-1)),
        lambda m, x: m.a(x.unsqueeze(1).squeeze(dim=1).flatten(2).flatten(1)),
        lambda m, x: m.a(x.contiguous().clone().detach().float().to(torch.float32).view(x.shape[:1] + (12,))),  # noqa: RUF005
    )
    for form in forms:
        net = read(Traced(form, a=linear(12, 2)), (3, 4))
        assert net.layers == (fnn.Input(3, 4), fnn.Dense(2))


def test_decisions_by_the_shape():
    def forward(m, x):
        assert x.shape[-1] == 4
        assert x.dtype == m.a.weight.dtype
        assert x.size()[1:] == (3, 4)
        if x.dim() > 2:
            x = x.flatten(1)
        rows, width = x.shape
        for _ in range(x.size(1) // 4):
            x = torch.relu(m.a(x))
        x = x.to(x.device).view(rows, 4, -1)
        return x.reshape(rows, x.shape[1] * x.shape[2]) if x.ndim == 3 and width == 12 else x

    net = read(Traced(forward, a=linear(12, 12)), (3, 4))
    assert net.layers[1:] == (fnn.Dense(12, "relu"),) * 3


def test_matrix_products_and_constants():
    weight, bias = torch.randn(4, 3), torch.randn(3)
    forms = (
        lambda m, x: x @ m.w + m.b,
        lambda m, x: torch.matmul(x, m.w).add(m.b),
        lambda m, x: m.b + torch.mm(x, m.w),
        lambda m, x: torch.addmm(m.b, x, m.w),
        lambda m, x: torch.addmm(m.b / 2, x, m.w / 3, beta=2, alpha=3),
        lambda m, x: F.linear(x, m.w.t(), m.b),
        lambda m, x: F.linear(x, weight=m.w.T * 1, bias=m.b.exp().log()),
    )
    for form in forms:
        assert read(Traced(form, w=weight, b=bias), 4).layers[1:] == (fnn.Dense(3),)


# Batch normalization and arithmetic ----------------------------------------------------------------------------------
POSITIONS = {
    "after": (lambda: [linear(4, 5), norm(5), nn.ReLU(), linear(5, 2)], 2),
    "after, no bias": (lambda: [linear(4, 5, bias=False), norm(5), nn.ReLU(), linear(5, 2)], 2),
    "after the activation": (lambda: [linear(4, 5), nn.ReLU(), norm(5), linear(5, 2)], 2),
    "before the next, no bias": (lambda: [linear(4, 5), nn.ReLU(), norm(5), linear(5, 2, bias=False)], 2),
    "first": (lambda: [norm(4), linear(4, 5), nn.Tanh()], 1),
    "last": (lambda: [linear(4, 5), norm(5)], 1),
    "after the last activation": (lambda: [linear(4, 5), nn.ReLU(), norm(5)], 2),
    "between activations": (lambda: [linear(4, 5), nn.ReLU(), norm(5), nn.Tanh()], 3),
    "before dropout": (lambda: [linear(4, 5), nn.ReLU(), norm(5), nn.Dropout(), linear(5, 2)], 3),
    "after dropout": (lambda: [linear(4, 5), nn.Dropout(), norm(5), linear(5, 2)], 3),
    "twice": (lambda: [norm(4), norm(4), linear(4, 5), norm(5), norm(5)], 1),
    "alone": (lambda: [norm(4)], 1),
    "not affine": (lambda: [linear(4, 5), norm(5, affine=False), nn.ReLU()], 1),
    "another epsilon": (lambda: [linear(4, 5), norm(5, eps=0.1), nn.ReLU()], 1),
    "of several processes": (lambda: [linear(4, 5), nn.SyncBatchNorm(5), nn.ReLU()], 1),
}


@pytest.mark.parametrize("name", POSITIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_normalization(name, dtype):
    make, layers = POSITIONS[name]
    module = stirred(nn.Sequential(*make())).to(dtype)
    net = read(module, 4)
    assert len(net.layers) == 1 + layers
    assert any("Norm" in text for text in net.converted_from.folded)


def test_batch_normalization_of_channels():
    module = nn.Sequential(stirred(norm(3)), nn.Flatten(), linear(12, 2))
    assert kinds(read(module, (3, 4))) == ["dense"]


def test_batch_normalization_by_a_function():
    norms = stirred(norm(4))

    def forward(m, x):
        return F.batch_norm(m.a(x), m.n.running_mean, m.n.running_var, m.n.weight, m.n.bias, m.training)

    assert kinds(read(Traced(forward, a=linear(3, 4), n=norms).eval())) == ["dense"]


ARITHMETIC = {
    "standardized": lambda m, x: m.a((x - m.mean) / m.std),
    "in torch's words": lambda m, x: m.a(torch.div(torch.sub(x, m.mean), m.std)),
    "numbers": lambda m, x: m.a(x * 2 + 1),
    "numbers before": lambda m, x: m.a(1 - 2 * x),
    "alpha": lambda m, x: torch.add(m.a(x), m.mean, alpha=2) - 1,
    "rsub": lambda m, x: torch.rsub(m.a(x), 1, alpha=3),
    "computed constants": lambda m, x: m.a(x * torch.exp(m.mean) + m.std.sqrt()),
    "in place": lambda m, x: m.a(x.mul(2).add_(1).div_(3)),
    "axes of length 1": lambda m, x: m.a(x * m.std[None] + m.mean.view(1, -1)),
    "negated": lambda m, x: -m.a(-x),
    "sub with alpha": lambda m, x: m.a(x).sub(m.std, alpha=0.5),
    "clone": lambda m, x: m.a(x.clone().mul_(2)),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_goes_into_layers(name):
    module = Traced(ARITHMETIC[name], a=linear(4, 4), mean=torch.randn(4), std=torch.rand(4) + 0.5)
    assert kinds(read(module, 4)) == ["dense"]


# Number formats ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.float32, "float32"), (torch.float64, "float64"), (torch.float16, "float32"), (torch.bfloat16, "float32")],
)
def test_number_formats(dtype, expected):
    module = stirred(nn.Sequential(linear(3, 4), norm(4), nn.PReLU(4), linear(4, 2), nn.GELU())).to(dtype)
    net = read(module)
    assert net.dtype == expected
    weight = module[3].weight.detach().to(torch.float64).numpy()
    np.testing.assert_array_equal(net.parameters["dense_2.weight"], weight.T)
    assert net.converted_from.largest_difference < (1e-13 if expected == "float64" else 1e-5)
    assert module[0].weight.dtype == dtype


def test_no_parameters():
    assert read(nn.ReLU(), 4).dtype == "float32"


# Checks --------------------------------------------------------------------------------------------------------------
def test_rows_and_outputs_of_ones_own():
    module = nn.Sequential(linear(3, 4), nn.Tanh())
    x = rows((3,))
    assert fnn.from_torch(module, check=x).converted_from.check == "PyTorch on 17 given rows"
    assert fnn.from_torch(module, check=torch.from_numpy(x)).converted_from.check == "PyTorch on 17 given rows"
    assert fnn.from_torch(module, check=(x, answers(module, x))).converted_from.check == "17 given outputs"
    with pytest.raises(fnn.interop.ConversionError, match="differs from its source"):
        fnn.from_torch(module, check=(x, answers(module, x) + 0.1))


def test_what_a_trace_hides_is_found_by_the_check():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = linear(3, 3)

        def forward(self, x):
            return self.a(x) if isinstance(x, torch.Tensor) else torch.relu(self.a(x))

    with pytest.raises(fnn.interop.ConversionError, match="differs from its source"):
        fnn.from_torch(Odd())
