"""What a PyTorch module brings with it: hooks, wrappers, its mode, and the state that must not change."""

import copy
import random

import numpy as np
import pytest

import fnnfast as fnn

pytest.importorskip("torch")

import torch
from torch import nn

from torch_models import Block, Traced, kinds, read, rows, stirred

linear, norm = nn.Linear, nn.BatchNorm1d


# Parametrizations, shared modules, wrappers --------------------------------------------------------------------------
def test_weights_that_are_computed():
    from torch.nn.utils import parametrizations, prune

    normed = parametrizations.weight_norm(linear(4, 5))
    spectral = parametrizations.spectral_norm(linear(5, 5))
    orthogonal = parametrizations.orthogonal(linear(5, 5))
    pruned = prune.l1_unstructured(linear(5, 3), "weight", amount=0.4)
    read(nn.Sequential(normed, nn.ReLU(), spectral, nn.Tanh(), orthogonal, pruned))
    with torch.no_grad():
        pruned.weight_orig.add_(1)  # the hook has not run since
    net = read(nn.Sequential(nn.Sequential(pruned)))
    assert (net.parameters["dense_1.weight"] == 0).sum() == 6


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_old_hooks_compute():
    module = nn.Sequential(nn.utils.weight_norm(linear(4, 5)), nn.ReLU(), nn.utils.spectral_norm(linear(5, 2)))
    state = copy.deepcopy(module.state_dict())
    net = fnn.from_torch(module)  # deepcopy of such modules fails, so that of answers does
    module.eval()
    with torch.no_grad():
        x = rows(net)
        np.testing.assert_allclose(net(x), module(torch.from_numpy(x)).numpy(), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(state[name], values) for name, values in module.state_dict().items())


def test_a_module_that_is_used_twice():
    shared = linear(4, 4)
    net = read(nn.Sequential(shared, nn.ReLU(), shared))
    assert kinds(net) == ["dense", "dense"]
    assert net.converted_from.folded == ("module '0' (Linear): 2 uses, each with parameters of its own",)
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], net.parameters["dense_2.weight"])
    nested = nn.Sequential(shared, nn.Sigmoid())
    assert kinds(read(Traced(lambda m, x: m.a(m.a(x)), a=nested))) == ["dense", "dense"]


def test_a_class_of_ones_own():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    class Same(nn.Linear):
        pass

    read(nn.Sequential(Scaled(3, 4), nn.ReLU(), Same(4, 2)), 3)
    read(Traced(lambda m, x, mask=None: m.a(x) if mask is None else m.a(x * mask), a=linear(3, 2)))

    class Optional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = linear(3, 3)

        def forward(self, x, mask=None, scale: float = 2.0):
            if mask is not None:
                x = x * mask
            return self.a(x) * scale

    read(Optional())


def test_wrappers():
    module = nn.Sequential(linear(3, 4), nn.ReLU())
    assert read(nn.DataParallel(module)).layers == read(module).layers
    assert read(torch.optim.swa_utils.AveragedModel(module), 3).layers == read(module).layers
    assert read(torch.fx.symbolic_trace(module)).layers == read(module).layers
    compiled = torch.compile(module, backend="eager")
    assert fnn.from_torch(compiled).layers == read(module).layers


# The module that is given --------------------------------------------------------------------------------------------
class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))
        self.a = linear(4, 4)

    def forward(self, x):
        self.calls += 1
        self.seen.add_(1)
        return self.a(x)


def snapshot(module):
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        "values": {name: (id(t), t.data_ptr(), t._version, t.detach().clone()) for name, t in tensors.items()},
        "flags": {name: (t.requires_grad, t.grad) for name, t in tensors.items()},
        "modes": {name: part.training for name, part in module.named_modules()},
        "attributes": {name: sorted(vars(part)) for name, part in module.named_modules()},
        "random": (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()),
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def user_module():
    block = Block(4, nn.ReLU(inplace=True))
    sn = nn.utils.parametrizations.spectral_norm(linear(4, 4))
    module = stirred(
        nn.Sequential(linear(4, 4), norm(4), Counting(), nn.Dropout(), block, sn, nn.RReLU(), linear(4, 2))
    )
    module[0].weight.requires_grad_(False)
    module[4].eval()
    return module


def test_the_users_module_does_not_change():
    module = user_module()
    module(torch.randn(8, 4)).sum().backward()
    calls, before = module[2].calls, snapshot(module)
    assert torch.is_grad_enabled()
    net = fnn.from_torch(module)
    assert same(before, snapshot(module))
    assert module[2].calls == calls
    assert torch.is_grad_enabled()
    module.eval()
    x = rows(net)
    np.testing.assert_allclose(net(x), module(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-5)


def test_the_users_module_does_not_change_where_it_is_refused():
    module = nn.Sequential(user_module(), nn.LayerNorm(2))
    before = snapshot(module)
    with pytest.raises(fnn.interop.ConversionError, match=r"module '1' \(LayerNorm\)"):
        fnn.from_torch(module, 4)
    assert same(before, snapshot(module))


def test_settings_of_torch_around_the_call():
    module = nn.Sequential(linear(3, 4), nn.GELU(), Traced(lambda m, x: x + torch.ones(4)))
    expected = fnn.from_torch(module)
    around = (torch.device("meta"), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), torch.enable_grad())
    for context in around:
        with context:
            net = fnn.from_torch(module)
            made = fnn.to_torch(net)
        assert net.layers == expected.layers
        assert net.converted_from.largest_difference < 1e-6
        made(torch.ones(2, 3)).sum().backward()
        assert made.dense_1.weight.grad is not None
    torch.set_default_dtype(torch.float64)
    try:
        assert fnn.from_torch(nn.Sequential(module[0], module[1])).dtype == "float32"
    finally:
        torch.set_default_dtype(torch.float32)


def test_parameters_of_the_network_are_its_own():
    module = linear(3, 2)
    net = fnn.from_torch(module)
    with torch.no_grad():
        module.weight.zero_()
    assert net.parameters["dense_1.weight"].all()


def test_a_network_can_be_trained_and_saved(tmp_path):
    net = read(nn.Sequential(linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), linear(8, 2)))
    x, y = rows((3,), 50), rows((2,), 50)
    before = net.evaluate(x, y, loss="mse")["loss"]
    net.fit(x, y, loss="mse", epochs=200, optimizer=fnn.Adam(0.01), seed=0)
    assert net.evaluate(x, y, loss="mse")["loss"] < 0.9 * before
    net.save(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(fnn.load(tmp_path / "net.safetensors")(x), net(x))
