"""Networks as PyTorch modules, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnnfast as fnn
from fnnfast import _cpu
from fnnfast.activations import _names

pytest.importorskip("torch")

import torch
from torch import nn

from fnnfast.interop.torch._layers import ACTIVATIONS
from torch_models import close, network, rows, same

DTYPES = ["float32", "float64"]
FIXED = [
    *(info["name"] for info in _cpu.activations() if info["name"] in {"identity", *ACTIVATIONS} - {"softmax"}),
    fnn.LeakyReLU(0.3),
    fnn.ELU(0.7),
    fnn.CELU(1.9),
    fnn.Swish(1.702),
    fnn.Swish(-0.5),
    fnn.PReLU([0.1, -0.2, 0.3, 0.4, 0.5]),
    fnn.ELU([0.1, -0.2, 0.3, 0.4, 0.5], learn=True),
]


def round_trip(net):
    module = fnn.to_torch(net)
    assert not module.training
    close(net, module)
    same(net, fnn.from_torch(module))
    return module


def read_as_any_other(net):
    """The network of the module without the description of its layers, from the calls in it alone."""
    module = fnn.to_torch(net)
    del module.fnnfast_layers
    other = fnn.from_torch(module, net.input.shape)
    x = rows(net, dtype=net.dtype)
    tolerance = 1e-12 if net.dtype == "float64" else 2e-5
    np.testing.assert_allclose(other(x), net(x), rtol=tolerance, atol=tolerance)
    return other


# Layers --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", FIXED, ids=str)
def test_every_activation(activation, dtype):
    dense = network(fnn.Dense(5, activation), fnn.Dense(2), dtype=dtype)
    round_trip(dense)
    other = read_as_any_other(dense)
    if isinstance(getattr(dense.layers[1].activation, "alpha", 0), tuple):  # initial slopes, which only training uses
        np.testing.assert_array_equal(other.parameters["dense_1.alpha"], dense.parameters["dense_1.alpha"])
    else:
        same(dense, other)
    alone = network(fnn.Dense(5, "tanh"), fnn.Activation(activation), fnn.Dropout(0.5), fnn.Dense(2), dtype=dtype)
    round_trip(alone)
    read_as_any_other(alone)


def test_all_activations_with_a_class_are_known():
    public = {fnn.activations.get(cls.name).formula for cls in _names.CLASSES}
    assert public - {"identity"} <= ACTIVATIONS.keys() <= {info["name"] for info in _cpu.activations()}


LAYERS = {
    "softmax": [fnn.Dense(4, "relu"), fnn.Dense(3, "softmax")],
    "gaussian": [fnn.Dense(4, "tanh"), fnn.Gaussian(2)],
    "no bias": [fnn.Dense(4, "relu", bias=False), fnn.Maxout(3, 2, bias=False)],
    "maxout": [fnn.Maxout(4, 3), fnn.Maxout(2, 1)],
    "dropout and noise": [fnn.Dropout(0.1), fnn.Dense(4, "relu"), fnn.GaussianNoise(0.2), fnn.Dense(2)],
    "flatten": [fnn.Flatten(), fnn.Dense(4)],
    "initial weights": [fnn.Dense(4, "relu", init=0.0), fnn.Dense(4, init="he_uniform")],
    "residual": [fnn.Residual([fnn.Dense(7, "relu"), fnn.Dense(5)]), fnn.Dense(2)],
    "projection": [fnn.Residual([fnn.Dense(7, "relu"), fnn.Dense(3)], activation="relu")],
    "shortcut": [fnn.Residual([fnn.Dense(7, "elu"), fnn.Dense(3)], [fnn.Maxout(3), fnn.Activation("tanh")])],
    "shortcut of one dense": [
        fnn.Residual([fnn.Dense(3)], [fnn.Dense(3)]),
        fnn.Residual([fnn.Dense(3)], [fnn.Dense(3)]),
    ],
    "nested": [
        fnn.Residual(
            [fnn.Residual([fnn.Dense(4, "prelu")]), fnn.Dropout(0.3), fnn.Residual([fnn.Dense(4)])], [fnn.Dense(4)]
        ),
        fnn.Residual([fnn.Activation("gelu"), fnn.Dense(4)], activation=fnn.Swish(2.0)),
    ],
    "identity": [fnn.Activation("identity"), fnn.Dense(3)],
    "activation alone": [fnn.Activation("softplus")],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("inputs", [(5,), (5, 1, 2)])
def test_every_kind_of_layer(name, dtype, inputs):
    net = network(*LAYERS[name], inputs=inputs, dtype=dtype)
    round_trip(net)
    if net.parameters:  # else only the description knows of float64
        read_as_any_other(net)


def layers_of(depth):
    activation = st.sampled_from([*FIXED[:-2], "prelu"])
    simple = st.one_of(
        st.builds(fnn.Dense, st.just(5), activation, bias=st.booleans()),
        st.builds(fnn.Maxout, st.just(5), st.integers(1, 3), bias=st.booleans()),
        st.builds(fnn.Activation, activation),
        st.builds(fnn.Dropout, st.sampled_from([0.0, 0.5])),
        st.just(fnn.Flatten()),
    )
    if not depth:
        return simple
    inner = st.lists(layers_of(depth - 1), min_size=1, max_size=3)
    after = st.sampled_from(["identity", "relu", "gelu", "step"])
    return st.one_of(simple, st.builds(fnn.Residual, inner, st.one_of(st.none(), inner), after))


@settings(max_examples=60, deadline=None)
@given(
    layers=st.lists(layers_of(2), max_size=5),
    last=st.sampled_from([fnn.Dense(3, "softmax"), fnn.Gaussian(2), fnn.Maxout(2), fnn.Dense(1, "sigmoid")]),
    dtype=st.sampled_from(DTYPES),
)
def test_random_networks(layers, last, dtype):
    net = network(*layers, last, dtype=dtype)
    module = fnn.to_torch(net)
    same(net, fnn.from_torch(module))
    if all(layer.activation.differentiable for layer in net.named_layers.values()):
        del module.fnnfast_layers  # but a rounding before a step may be a 1 after it
        assert fnn.from_torch(module, net.input.shape).converted_from.largest_difference < np.inf


# Names and kinds of modules ------------------------------------------------------------------------------------------
def test_names_and_layout():
    net = network(
        fnn.Dense(4, "relu"), fnn.Residual([fnn.Dense(4)]), fnn.Maxout(3), fnn.Dense(2, "prelu"), inputs=(5, 2)
    )
    module = fnn.to_torch(net)
    assert [name for name, _ in module.named_children()] == [
        "input",
        "dense_1",
        "dense_1_relu",
        "residual_1",
        "maxout_1",
        "dense_2",
        "dense_2_prelu",
    ]
    state = module.state_dict()
    assert set(state) == {
        "dense_1.weight",
        "dense_1.bias",
        "residual_1.main.dense_1.weight",
        "residual_1.main.dense_1.bias",
        "maxout_1.weight",
        "maxout_1.bias",
        "dense_2.weight",
        "dense_2.bias",
        "dense_2_prelu.weight",
    }
    np.testing.assert_array_equal(state["dense_1.weight"].numpy(), net.parameters["dense_1.weight"].T)
    np.testing.assert_array_equal(state["maxout_1.weight"].numpy(), net.parameters["maxout_1.weight"])


def test_standard_modules_where_there_are():
    net = network(fnn.Dense(4, "silu"), fnn.Dropout(0.2), fnn.Dense(3, fnn.ELU(0.5)), fnn.Dense(2, "softmax"))
    module = fnn.to_torch(net)
    assert type(module) is nn.Sequential
    assert all(type(part).__module__.startswith("torch.nn") for part in module.modules())


# Number formats ------------------------------------------------------------------------------------------------------
def test_bfloat16_becomes_float32_of_the_same_values():
    low = network(fnn.Dense(4, "relu"), fnn.Maxout(3), fnn.Dense(2, "prelu")).astype("bfloat16", weights_only=True)
    module = fnn.to_torch(low)
    assert {values.dtype for values in module.parameters()} == {torch.float32}
    close(low, module)
    net = fnn.from_torch(module)
    assert net.layers == low.layers
    for name, values in low.parameters.items():
        np.testing.assert_array_equal(net.parameters[name], values)


def test_int8_is_refused():
    net = network(fnn.Dense(4, "relu"), fnn.Dense(2))
    with pytest.raises(fnn.interop.ConversionError, match=r"net: int8 .* convert the float32 network"):
        fnn.to_torch(net.quantize(rows(net)))


def test_what_is_no_network():
    for given_ in (None, nn.ReLU(), [fnn.Dense(3)], fnn.Dense(3)):
        with pytest.raises(TypeError, match="net: expected a Sequential or an InferenceNetwork, got"):
            fnn.to_torch(given_)
