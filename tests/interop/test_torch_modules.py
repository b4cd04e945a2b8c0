"""The modules of networks, in PyTorch's hands: copied, trained, changed."""

import copy
import io
import json
import pickle

import numpy as np
import pytest

import fnnfast as fnn

pytest.importorskip("torch")

import torch
from torch import nn

from fnnfast.interop.torch import modules
from torch_models import close, network, outputs, rows, same

DTYPES = ["float32", "float64"]


# As modules ----------------------------------------------------------------------------------------------------------
def everything(dtype="float32"):
    return network(
        fnn.Dense(6, fnn.ELU(learn=True)),
        fnn.Residual([fnn.Maxout(6), fnn.Dropout(0.5), fnn.Dense(4, "prelu")], activation=fnn.Swish(1.5)),
        fnn.GaussianNoise(0.1),
        fnn.Dense(3, "exponential"),
        dtype=dtype,
    )


def test_copies_pickles_and_state_dicts():
    net = everything()
    module, x = fnn.to_torch(net), rows((5,))
    expected = outputs(module, x)
    stream = io.BytesIO()
    torch.save(module, stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=False)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), loaded):
        np.testing.assert_array_equal(outputs(other, x), expected)
        same(net, fnn.from_torch(other))
    target = fnn.to_torch(fnn.Sequential(net.layers, seed=9))
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    stream.seek(0)
    target.load_state_dict(torch.load(stream, weights_only=True))
    np.testing.assert_array_equal(outputs(target, x), expected)
    same(net, fnn.from_torch(target))


def test_the_module_has_parameters_of_its_own():
    net = everything()
    module, x = fnn.to_torch(net), rows((5,))
    before = net(x)
    with torch.no_grad():
        for values in module.parameters():
            values.zero_()
    np.testing.assert_array_equal(net(x), before)


def test_no_random_numbers_are_drawn():
    state = torch.get_rng_state()
    fnn.from_torch(fnn.to_torch(everything()))
    assert torch.equal(state, torch.get_rng_state())


def test_training_mode_has_dropout_and_noise():
    module, x = fnn.to_torch(everything()), torch.from_numpy(rows((5,)))
    assert torch.equal(module(x), module(x))
    module.train()
    assert not torch.equal(module(x), module(x))
    noise = modules.GaussianNoise(2.0).train()(torch.zeros(20000))
    assert noise.std().item() == pytest.approx(2.0, rel=0.05)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_module_trains_in_torch_and_comes_back(dtype):
    torch.manual_seed(0)
    net = everything(dtype)
    module = fnn.to_torch(net).train()
    x, y = (torch.from_numpy(rows((n,), 64, dtype)) for n in (5, 3))
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(module(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert all(values.grad is not None and values.grad.abs().sum() > 0 for values in module.parameters())
    back = fnn.from_torch(module)
    assert back.layers == net.layers
    close(back, module.eval())
    assert not np.array_equal(back.parameters["dense_1.weight"], net.parameters["dense_1.weight"])


def test_gradients_are_those_of_the_network():
    net = network(
        fnn.Maxout(4),
        fnn.Dense(4, fnn.ELU(learn=True)),
        fnn.Residual([fnn.Dense(4, "gelu")]),
        fnn.Dense(3),
        dtype="float64",
    )
    module, x, y = fnn.to_torch(net), rows((5,), 20, "float64"), rows((3,), 20, "float64")
    nn.functional.mse_loss(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    net.fit(x, y, loss="mse", optimizer=fnn.SGD(0.1, momentum=0.0), epochs=1, batch_size=20, seed=0)
    before = fnn.from_torch(module)
    for name, path in (("dense_1.alpha", "dense_1_elu.alpha"), ("maxout_1.weight", "maxout_1.weight")):
        gradient = module.get_parameter(path).grad.numpy()
        step = before.parameters[name] - net.parameters[name]
        ratio = step[gradient != 0] / gradient[gradient != 0]
        np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-9)


def test_frozen_layers_do_not_learn():
    net = network(fnn.Dense(4, "prelu"), fnn.Residual([fnn.Dense(4)]), fnn.Dense(2))
    net.freeze("dense_1", "residual_1")
    module = fnn.to_torch(net)
    learned = {name for name, values in module.named_parameters() if values.requires_grad}
    assert learned == {"dense_2.weight", "dense_2.bias"}


# The description of the layers ---------------------------------------------------------------------------------------
def test_a_changed_module_is_read_as_any_other():
    net = network(fnn.Dense(4, "relu", init="he"), fnn.Dense(2))
    x = rows((5,))

    def changed(change):
        module = fnn.to_torch(net)
        change(module)
        other = fnn.from_torch(module)
        np.testing.assert_allclose(other(x), outputs(module, x), rtol=1e-5, atol=1e-5)
        return other

    def other_activation(module):
        module.dense_1_relu = nn.Tanh()

    def other_setting(module):
        module.dense_1_relu = nn.LeakyReLU(0.5)

    def longer(module):
        module.append(nn.Linear(2, 3))

    def wider(module):
        module.dense_2 = nn.Linear(4, 6)

    def double(module):
        module.double()

    assert changed(other_activation).layers[1] == fnn.Dense(4, "tanh")
    assert changed(other_setting).layers[1] == fnn.Dense(4, fnn.LeakyReLU(0.5))
    assert changed(longer).layers[1:] == (fnn.Dense(4, "relu"), fnn.Dense(2), fnn.Dense(3))
    assert changed(wider).outputs == 6
    x = x.astype("float64")
    assert changed(double).dtype == "float64"
    x = x.astype("float32")
    for text in ("", "{}", 5, '{"dtype": "float32", "layers": []}'):
        assert changed(lambda module, text=text: setattr(module, "fnnfast_layers", text)).layers[1] == fnn.Dense(
            4, "relu"
        )


def test_a_forged_description_costs_nothing():
    """Sizes that it speaks of are compared with the parameters before anything is made."""
    module, x = fnn.to_torch(network(fnn.Dense(4, "relu"), fnn.Dense(2))), rows((5,))
    most = 2**31 - 1
    for units, inputs in ((most, 5), (most, most), (4, most)):
        dense = {"kind": "dense", "units": units, "activation": {"name": "relu"}, "bias": True}
        layers = [{"kind": "input", "shape": [inputs]}, dense, dense, dense]
        module.fnnfast_layers = json.dumps({"dtype": "float32", "layers": layers})
        np.testing.assert_allclose(fnn.from_torch(module)(x), outputs(module, x), rtol=1e-5, atol=1e-5)


def test_a_module_inside_another():
    net = network(fnn.Dense(4, "relu"), fnn.Gaussian(1))
    module = nn.Sequential(nn.BatchNorm1d(5), fnn.to_torch(net))
    other = fnn.from_torch(module)
    assert other.layers[1:] == (fnn.Dense(4, "relu"), fnn.Dense(2))


def test_another_shape_of_the_input():
    net = network(fnn.Dense(4), inputs=(2, 3))
    module = fnn.to_torch(net)
    assert fnn.from_torch(module).input == fnn.Input(2, 3)
    assert fnn.from_torch(module, (3, 2)).input == fnn.Input(3, 2)
    assert fnn.from_torch(module, 6).input == fnn.Input(6)
