"""to_onnx: what onnxruntime answers for its models, and what comes back by from_onnx."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnnfast as fnn
from fnnfast.activations import _names

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from factories import CASES  # noqa: E402
from fnnfast.interop.onnx._activations import RULES  # noqa: E402
from onnx_models import answers, outputs_of, reference  # noqa: E402

RNG = np.random.default_rng(0)
NEWEST = onnx.defs.onnx_opset_version()


def opsets(*numbers):
    """Those that the installed package knows."""
    return [number for number in numbers if number <= NEWEST]


def randomise(net, spread=1.0):
    for name, values in net.parameters.items():
        fan_in = values.shape[-2] if name.endswith("weight") else 1
        net.parameters[name] = RNG.standard_normal(values.shape) * spread / np.sqrt(fan_in)
    return net


def assert_close(model, net, x):
    y = net(x)
    np.testing.assert_allclose(answers(model, x)[0], y, rtol=1e-5, atol=1e-6 * max(1.0, float(np.abs(y).max())))


def assert_same(back, net):
    assert back.layers == net.layers
    assert back.dtype == net.dtype
    assert list(back.parameters) == list(net.parameters)
    for name, values in net.parameters.items():
        np.testing.assert_array_equal(back.parameters[name], values, strict=True)


def plain(model):
    """The model without what only to_onnx writes, so that its nodes are read as any others."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]
    return copy


# Activations ---------------------------------------------------------------------------------------------------------
WRITTEN = [name for name in CASES if name in RULES]


def test_all_activations_with_a_class_can_be_written():
    assert RULES.keys() >= {fnn.activations.get(cls.name).formula for cls in _names.CLASSES}
    assert RULES.keys() <= CASES.keys()


def test_an_activation_that_cannot_be_written(monkeypatch):
    monkeypatch.delitem(RULES, "mish")
    with pytest.raises(ValueError, match=r"dense_1: the activation mish; supported: identity, step, "):
        fnn.to_onnx(small(fnn.Dense(2, "mish")))


def activated(name, dtype):
    """Networks that use an activation in every place where it may stand."""
    activation, _ = CASES[name].make(6, np.dtype(dtype))
    yield [fnn.Input(5), fnn.Dense(6, activation)]
    yield [fnn.Input(5), fnn.Dense(6, name)]
    if not activation.rowwise:
        yield [fnn.Input(5), fnn.Dense(6), fnn.Dropout(0.1), fnn.Activation(activation), fnn.Dense(3)]
        if not activation.learned:
            yield [fnn.Input(5), fnn.Residual([fnn.Dense(6)], activation=activation), fnn.Dense(3)]


@pytest.mark.parametrize("opset", opsets(13, 18, 20, 24))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WRITTEN)
def test_activations(name, dtype, opset):
    x = 2 * RNG.standard_normal((64, 5)).astype(dtype)
    for layers in activated(name, dtype):
        net = randomise(fnn.Sequential(layers, dtype=dtype))
        model = fnn.to_onnx(net, opset=opset)
        assert_close(model, net, x)
        assert_same(fnn.from_onnx(model), net)
        back = fnn.from_onnx(plain(model))
        np.testing.assert_allclose(back(x), net(x), rtol=1e-5, atol=1e-6 * max(1.0, float(np.abs(net(x)).max())))
        if name != "celu":  # with alpha 1 it is elu
            assert {type(layer.activation) for layer in back.named_layers.values()} == {
                type(layer.activation) for layer in net.named_layers.values()
            }


@pytest.mark.parametrize("name", WRITTEN)
def test_activations_at_the_ends(name):
    """Far out, at zero and at the kinks, where a subgraph could overflow or be of another sign."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, name)])
    net.parameters["dense_1.weight"] = np.ones((1, 1))
    x = np.array([-1e4, -100, -20, -6, -3, -1, -1e-6, -0.0, 0.0, 1e-6, 1, 3, 6, 20, 80], np.float32)[:, np.newaxis]
    np.testing.assert_allclose(answers(fnn.to_onnx(net), x)[0], net(x), rtol=1e-5, atol=1e-6)
    double = fnn.Sequential(net.layers, dtype="float64")
    double.parameters["dense_1.weight"] = np.ones((1, 1))
    answer = answers(fnn.to_onnx(double), x.astype(float))[0]
    np.testing.assert_allclose(answer, double(x.astype(float)), rtol=1e-5, atol=1e-6)


def test_the_same_layers_from_the_nodes_alone():
    """Without the description: for all that has one spelling only."""
    layers = [
        fnn.Input(5),
        fnn.Dense(6, fnn.LeakyReLU(0.01)),
        fnn.Dense(6, fnn.ELU(0.7), bias=False),
        fnn.Dense(6, fnn.PReLU()),
        fnn.Maxout(7, 3),
        fnn.Maxout(4, 2, bias=False),
        fnn.Activation(fnn.CELU(1.3)),
        fnn.Residual([fnn.Dense(8, fnn.ELU(learn=True)), fnn.Dense(4)], activation="relu"),
        fnn.Residual([fnn.Dense(3, "gelu")]),
        fnn.Residual([fnn.Dense(6, "mish"), fnn.Dense(6, "sign")], shortcut=[fnn.Dense(6, "step")]),
        fnn.Dense(2, "softmax"),
    ]
    net = randomise(fnn.Sequential(layers))
    assert_same(fnn.from_onnx(plain(fnn.to_onnx(net))), net)


# Structure -----------------------------------------------------------------------------------------------------------
def test_maxout_residual_and_images():
    layers = [
        fnn.Input(2, 3),
        fnn.GaussianNoise(0.1),
        fnn.Maxout(6, 3),
        fnn.Residual(
            [fnn.Dense(5, "tanh"), fnn.Residual([fnn.Dropout(0.2), fnn.Dense(5)], shortcut=[fnn.Activation("relu")])],
            activation="swish",
        ),
        fnn.Flatten(),
        fnn.Dense(4, "relu", init=0.1),
        fnn.Gaussian(2),
    ]
    net = randomise(fnn.Sequential(layers))
    model = fnn.to_onnx(net)
    onnx.checker.check_model(model, full_check=True)
    x = RNG.standard_normal((9, 2, 3)).astype(np.float32)
    assert_close(model, net, x)
    np.testing.assert_allclose(reference(model, x), net(x), rtol=1e-5, atol=1e-6)
    assert_same(fnn.from_onnx(model), net)
    assert outputs_of(model) == {"y": ["B", 4]}


def layers_inside(depth=2):
    """Strategies for layers that keep a width of 4."""
    activation = st.sampled_from([name for name in WRITTEN if name not in ("softmax", "exponential", "step", "sign")])
    one = st.one_of(
        st.builds(fnn.Dense, st.just(4), activation, bias=st.booleans()),
        st.builds(fnn.Maxout, st.just(4), st.integers(1, 3), bias=st.booleans()),
        st.builds(fnn.Activation, activation),
        st.builds(fnn.Dropout, st.just(0.5)),
        st.just(fnn.Flatten()),
    )
    if depth:
        inner = st.lists(layers_inside(depth - 1), min_size=1, max_size=2)
        after = st.sampled_from(["identity", "relu", "gelu", fnn.LeakyReLU(0.2), fnn.Swish(1.5)])
        one = st.one_of(one, st.builds(fnn.Residual, inner, st.none() | inner, after))
    return one


@given(
    inner=st.lists(layers_inside(), max_size=4),
    head=st.sampled_from([fnn.Dense(3), fnn.Dense(3, "softmax"), fnn.Maxout(2), fnn.Gaussian(1)]),
    dtype=st.sampled_from(["float32", "float64"]),
    opset=st.integers(13, min(22, NEWEST)),
)
@settings(max_examples=60)
def test_any_network(inner, head, dtype, opset):
    net = randomise(fnn.Sequential([fnn.Input(4), *inner, head], dtype=dtype), 0.5)
    x = RNG.standard_normal((5, 4)).astype(dtype)
    model = fnn.to_onnx(net, opset=opset)
    assert_close(model, net, x)
    assert_same(fnn.from_onnx(model), net)
    back = fnn.from_onnx(plain(model))
    np.testing.assert_allclose(back(x), net(x), rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(net(x)).max())))


# Settings ------------------------------------------------------------------------------------------------------------
def small(*layers):
    return randomise(fnn.Sequential([fnn.Input(3), *layers]))


@pytest.mark.parametrize(
    "head",
    [fnn.Dense(4, "softmax"), fnn.Dense(1, "sigmoid"), fnn.Residual([fnn.Dense(2)], activation="sigmoid")],
)
def test_logits(head):
    net = small(fnn.Dense(5, "sigmoid"), head)
    x = RNG.standard_normal((7, 3)).astype(np.float32)
    model = fnn.to_onnx(net, probabilities=False)
    np.testing.assert_allclose(answers(model, x)[0], net.logits(x), rtol=1e-5, atol=1e-6)
    back = fnn.from_onnx(model)
    assert back.head.name == "identity"
    np.testing.assert_allclose(back(x), net.logits(x), rtol=1e-5, atol=1e-6)


def test_logits_of_other_heads_are_the_outputs():
    net = small(fnn.Dense(2, "relu"))
    assert [node.op_type for node in fnn.to_onnx(net, probabilities=False).graph.node] == ["Gemm", "Relu"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    net, path = small(fnn.Dense(2)), tmp_path / "net.onnx"
    model = fnn.to_onnx(net, path)
    assert path.read_bytes() == model.SerializeToString()
    assert os.listdir(tmp_path) == ["net.onnx"]
    for given_as in (path, str(path), path.read_bytes(), model):
        assert_same(fnn.from_onnx(given_as), net)
    with pytest.raises(OSError, match="nowhere"):
        fnn.to_onnx(net, tmp_path / "nowhere" / "net.onnx")


@pytest.mark.parametrize("opset", opsets(13, 15, 17, 19, 21, 23))
def test_the_ir_version_fits_the_opset(opset):
    model = fnn.to_onnx(small(fnn.Dense(2, "gelu")), opset=opset)
    assert model.ir_version == onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    assert [(one.domain, one.version) for one in model.opset_import] == [("", opset)]
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("opset", [12, 0, 1000])
def test_an_opset_that_is_not_supported(opset):
    with pytest.raises(ValueError, match="opset: expected"):
        fnn.to_onnx(small(fnn.Dense(2)), opset=opset)


def test_arguments_of_other_kinds():
    with pytest.raises(TypeError, match="net: expected a network or an estimator"):
        fnn.to_onnx([fnn.Input(3)])
    with pytest.raises(TypeError, match="probabilities"):
        fnn.to_onnx(small(fnn.Dense(2)), probabilities="yes")
    with pytest.raises(TypeError, match="opset"):
        fnn.to_onnx(small(fnn.Dense(2)), opset="20")


# A description that is not the graph's -------------------------------------------------------------------------------
@pytest.mark.parametrize("change", ["weight", "operator", "text", "layers", "huge"])
def test_a_description_is_used_only_for_the_graph_that_it_makes(change):
    net = small(fnn.Dense(4, "relu"), fnn.Dropout(0.5), fnn.Dense(2))
    model = fnn.to_onnx(net)
    if change == "weight":  # a network of its own, with the same layers
        model.graph.initializer[0].raw_data = bytes(48)
    elif change == "operator":
        model.graph.node[1].op_type = "Tanh"
    elif change == "text":
        model.metadata_props[0].value = "{" * 10_000
    elif change == "layers":
        model.metadata_props[0].value = model.metadata_props[0].value.replace("relu", "tanh")
    else:
        model.metadata_props[0].value = model.metadata_props[0].value.replace('"units": 4', '"units": 2000000000')
    back = fnn.from_onnx(model)
    assert (fnn.Dropout(0.5) in back.layers) is (change == "weight")
    x = RNG.standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(back(x), answers(model, x)[0], rtol=1e-5, atol=1e-6)


# Low precision -------------------------------------------------------------------------------------------------------
def test_bfloat16_weights_keep_their_values():
    net = small(fnn.Maxout(5, 2), fnn.Residual([fnn.Dense(4, "relu")]), fnn.Dense(2))
    low = net.astype("bfloat16", weights_only=True)
    model = fnn.to_onnx(low)
    x = RNG.standard_normal((9, 3)).astype(np.float32)
    assert_close(model, low, x)
    back = fnn.from_onnx(model)
    np.testing.assert_array_equal(back.parameters["maxout_1.weight"], low.parameters["maxout_1.weight"])


def test_int8_networks_round_as_here():
    net = small(fnn.Maxout(5, 2), fnn.Residual([fnn.Dense(4, "relu")]), fnn.Dense(2, "softmax"))
    x = RNG.standard_normal((200, 3)).astype(np.float32)
    low = net.quantize(x)
    model = fnn.to_onnx(low)
    onnx.checker.check_model(model, full_check=True)
    # A sum that is rounded in another order may fall to the other side of a step of 8 bits, in a few rows.
    off = np.abs(answers(model, x)[0] - low(x)).max(axis=1)
    assert np.mean(off > 1e-5) < 0.02
    assert off.max() < 0.02
    with pytest.raises(ValueError, match="QuantizeLinear"):
        fnn.from_onnx(model)
