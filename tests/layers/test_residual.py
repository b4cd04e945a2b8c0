"""Trees of layers: residual blocks, nested, with shortcuts; against the oracle, forward and backward."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnnfast as fnn
from factories import CASES, SMOOTH, move_parameters
from fnnfast import reference
from oracles import assert_same_bits, by_parameter, reference_layers

F32 = np.float32
BLOCKS = {
    "one layer": [fnn.Dense(6, "tanh")],
    "identity last": [fnn.Dense(9, "relu"), fnn.Dense(6)],
    "relu last": [fnn.Dense(9, "tanh"), fnn.Dense(6, "relu")],
    "relu last, wide": [fnn.Dense(9, "tanh"), fnn.Dense(40, "relu")],
    "saves its input": [fnn.Dense(9, "relu"), fnn.Dense(6, "swish")],
    "saves its output": [fnn.Dense(70, "gelu"), fnn.Dense(6, "sigmoid")],
    "learned slopes": [fnn.Dense(6, "prelu"), fnn.Dense(6, fnn.ELU(learn=True))],
    "maxout": [fnn.Maxout(9, pieces=3), fnn.Maxout(6, pieces=5)],
    "projection": [fnn.Dense(9, "relu"), fnn.Dense(40, "swish")],
    "projection of maxout": [fnn.Maxout(17, pieces=2)],
    "three layers": [fnn.Dense(9, "relu"), fnn.Dense(5, "tanh"), fnn.Dense(6, "selu")],
    "nested": [fnn.Residual([fnn.Dense(6, "tanh")]), fnn.Residual([fnn.Dense(9, "elu"), fnn.Residual([fnn.Dense(9)])])],
    "no bias": [fnn.Dense(9, "relu", bias=False), fnn.Maxout(6, bias=False)],
    "activations alone": [fnn.Activation("tanh"), fnn.Dense(6), fnn.Flatten(), fnn.Activation("prelu")],
    "no weights": [fnn.Activation("tanh")],
}
TREES = {
    "after addition": [fnn.Residual([fnn.Dense(9, "tanh"), fnn.Dense(6)], activation="relu")],
    "after an activation and an addition": [fnn.Residual([fnn.Dense(6, "tanh")], activation=fnn.ELU(0.7))],
    "shortcut": [fnn.Residual([fnn.Dense(9, "tanh")], [fnn.Dense(9, bias=False)], "swish")],
    "shortcut of several layers": [fnn.Residual([fnn.Dense(5)], [fnn.Dense(4, "elu"), fnn.Maxout(5)], "sigmoid")],
    "shortcut without weights": [fnn.Residual([fnn.Dense(6)], [fnn.Activation("tanh")])],
    "blocks in shortcuts": [
        fnn.Residual(
            [fnn.Residual([fnn.Dense(7, "tanh")], [fnn.Dense(7)])], [fnn.Residual([fnn.Dense(7)], activation="elu")]
        )
    ],
    "learned slopes after addition": [
        fnn.Residual([fnn.Dense(6)]),
        fnn.Activation("prelu"),
        fnn.Residual([fnn.Dense(6)]),
    ],
    "activation first": [fnn.Activation(fnn.LeakyReLU(0.3)), fnn.Dense(5, "tanh"), fnn.Activation(fnn.Swish(1.7))],
    "deep": [fnn.Residual([fnn.Residual([fnn.Residual([fnn.Residual([fnn.Dense(6, "tanh")])])])])],
}
ENDS = {
    "a block": [fnn.Residual([fnn.Dense(4)])],
    "a block, activated inside": [fnn.Residual([fnn.Dense(4, "tanh")])],
    "a block, activated": [fnn.Residual([fnn.Dense(4)], activation="tanh")],
    "a block, projected": [fnn.Residual([fnn.Dense(3, "elu")], activation="softplus")],
    "an activation": [fnn.Dense(3), fnn.Activation("tanh")],
    "an activation of its own": [fnn.Dense(3, "tanh"), fnn.Activation("swish")],
    "flatten": [fnn.Dense(3, "tanh"), fnn.Flatten()],
    "learned slopes": [fnn.Maxout(3), fnn.Activation("prelu")],
}


def network(layers, dtype="float64", seed=1):
    return move_parameters(fnn.Sequential(layers, dtype=dtype, seed=seed), seed)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("first", [True, False], ids=["after the input", "between layers"])
@pytest.mark.parametrize("rows", [1, 7, 90])
def test_against_the_oracle(isa, block, first, rows):
    layers = [fnn.Input(6), *([] if first else [fnn.Dense(6, "tanh")]), fnn.Residual(block)]
    check([*layers, fnn.Residual([fnn.Dense(fnn.Sequential(layers).outputs, "elu")]), fnn.Dense(3, "softmax")], rows)


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
@pytest.mark.parametrize("first", [True, False], ids=["after the input", "between layers"])
def test_trees_against_the_oracle(isa, tree, first):
    check(
        [fnn.Input(6), *([] if first else [fnn.Dense(6, "tanh")]), *tree, fnn.Dense(3), fnn.Activation("softmax")], 90
    )


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("first", [True, False], ids=["after the input", "between layers"])
def test_ends_against_the_oracle(isa, end, first):
    layers = [fnn.Input(4)] if first else [fnn.Input(6), fnn.Dense(4, "sigmoid")]
    check([*layers, *end], 7, fnn.MeanSquaredError())


@pytest.mark.parametrize("units", [6, 40])
@pytest.mark.parametrize("name", SMOOTH)
def test_each_activation_ends_a_block(isa, name, units):
    """Before the addition, whichever way it is applied: 6 units have a kernel of their own, 40 take a projection."""
    activation, _ = CASES[name].make(units, np.dtype("float64"))
    check(
        [fnn.Input(6), fnn.Residual([fnn.Dense(9, "tanh"), fnn.Dense(units, activation)]), fnn.Dense(3, "softmax")], 90
    )


@pytest.mark.parametrize("units", [6, 40])
@pytest.mark.parametrize("name", SMOOTH)
def test_each_activation_stands_alone(isa, name, units):
    """After an addition, where it is fused, and after another activation, where it is not."""
    activation, _ = CASES[name].make(units, np.dtype("float64"))
    block = fnn.Residual([fnn.Dense(units)])
    alone = [fnn.Activation(activation), fnn.Dense(units, "tanh"), fnn.Activation(activation)]
    check([fnn.Input(6), fnn.Dense(units), block, *alone, fnn.Dense(3, "softmax")], 90)


def simple(units):
    activation = st.sampled_from(["identity", "tanh", "elu", "swish", "softplus", "prelu"])
    return st.one_of(
        st.builds(fnn.Dense, units, activation, bias=st.booleans()),
        st.builds(fnn.Maxout, units, st.integers(1, 4), bias=st.booleans()),
        st.builds(fnn.Activation, activation),
        st.just(fnn.Flatten()),
    )


def nested(layers):
    """Blocks of such layers; with a shortcut, both end with as many units."""
    activation = st.sampled_from(["identity", "tanh", "sigmoid"])
    branch = st.lists(layers, min_size=1, max_size=3)
    ended = st.builds(lambda layers, end: [*layers, end], branch, st.builds(fnn.Dense, st.just(5)))
    return st.one_of(
        st.builds(fnn.Residual, branch, st.none(), activation), st.builds(fnn.Residual, ended, ended, activation)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.recursive(simple(st.integers(1, 20)), nested, max_leaves=6), min_size=1, max_size=3), st.integers(1, 40)
)
def test_random_trees_against_the_oracle(tree, rows):
    check([fnn.Input(6), *tree, fnn.Dense(3, "softmax")], rows)


def check(layers, rows, loss=None):
    """The layers answer and train as the oracle does."""
    net = network(layers)
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, net.input.size))
    y = rng.integers(0, 3, rows) if loss is None else rng.standard_normal((rows, net.outputs))
    np.testing.assert_allclose(net(x), reference.forward(reference_layers(net), x), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(
        net.logits(x), reference.forward(reference_layers(net), x, logits=True), rtol=1e-10, atol=1e-12
    )
    trainer = fnn.Trainer(net, loss, optimizer=fnn.SGD(0.1))
    value, got = trainer.loss_and_gradients(x, y)
    name = "categorical_cross_entropy" if loss is None else loss.kernel
    expected_value, expected = reference.gradients(reference_layers(net), x, y, name)
    assert value == pytest.approx(expected_value, rel=1e-11)
    expected = by_parameter(net, expected)
    assert list(got) == list(expected) == list(net.parameters)
    for name, values in got.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
    before = dict(net.parameters)
    trainer.step(x, y)
    for name, values in net.parameters.items():
        np.testing.assert_allclose(values, before[name] - 0.1 * got[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_block_of_zeros_is_the_identity():
    net = fnn.Sequential([fnn.Input(4), fnn.Residual([fnn.Dense(9, "relu"), fnn.Dense(4)]), fnn.Dense(4)], seed=0)
    for name in net.parameters:
        net.parameters[name] = np.zeros(net.parameters.shapes[name])
    net.parameters["dense_1.weight"] = np.eye(4)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(F32)
    assert_same_bits(net(x), x)


def test_dropout_before_a_block_is_what_its_skip_connection_sees():
    """With one row and all weights of the block zero, outputs are 0 or twice the input, as dropout has them."""
    net = fnn.Sequential(
        [fnn.Input(64), fnn.Dense(64), fnn.Dropout(0.5), fnn.Residual([fnn.Dense(64)]), fnn.Dense(64)], dtype="float64"
    )
    for name in net.parameters:
        net.parameters[name] = np.zeros(net.parameters.shapes[name])
    for name in ("dense_1", "dense_2"):
        net.parameters[f"{name}.weight"] = np.eye(64)
    x = np.ones((1, 64))
    grads = fnn.Trainer(net, fnn.MeanSquaredError(), seed=0).gradients(x, np.zeros((1, 64)))
    kept = grads["dense_2.bias"] != 0
    assert 16 < kept.sum() < 48
    # d/dW = h dy and d/db = dy, with h = 2 where it is not 0
    np.testing.assert_allclose(grads["dense_2.weight"].diagonal(), 2 * grads["dense_2.bias"])
    np.testing.assert_allclose(grads["dense_1.bias"], 2 * grads["dense_2.bias"])


def test_the_bias_stays_absent_in_training():
    net = fnn.Sequential([fnn.Input(6), fnn.Dense(9, "relu", bias=False), fnn.Maxout(4, bias=False), fnn.Dense(3)])
    assert [name for name in net.parameters if name.endswith("bias")] == ["dense_2.bias"]
    rng = np.random.default_rng(0)
    for clip_norm in (None, 1e-3):
        net.fit(
            rng.standard_normal((64, 6)), rng.standard_normal((64, 3)), epochs=2, seed=0, clip_norm=clip_norm, l2=0.1
        )
    net.parameters["dense_2.bias"] = np.zeros(3)
    assert_same_bits(net(np.zeros((1, 6))), np.zeros((1, 3), F32))


@pytest.mark.parametrize("clip_norm", [None, 1e3])
@pytest.mark.parametrize("frozen", ["dense_1", "activation_1", "dense_2", "activation_2"])
def test_a_product_and_its_slopes_freeze_apart(frozen, clip_norm):
    """They are one step of the program, and two layers."""
    layers = [fnn.Input(6), fnn.Dense(9), fnn.Activation("prelu"), fnn.Dense(5), fnn.Activation(fnn.ELU(learn=True))]
    net = network([*layers, fnn.Dense(3, "softmax")])
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 6)), rng.integers(0, 3, 90)
    gradients = fnn.Trainer(net).gradients(x, y)
    before = dict(net.parameters)
    net.freeze(frozen)
    trainer = fnn.Trainer(net, optimizer=fnn.SGD(0.1), clip_norm=clip_norm)
    trainer.step(x, y)
    for name, values in net.parameters.items():
        step = 0 if name.startswith(frozen) else -0.1 * gradients[name]
        np.testing.assert_allclose(values - before[name], step, rtol=1e-6, atol=1e-15, err_msg=name)
    assert all(np.any(gradients[name]) for name in gradients)


def test_names_files_and_copies(tmp_path):
    layers = [
        fnn.Input(4),
        fnn.Residual([fnn.Dense(6, "relu"), fnn.Dropout(0.5), fnn.Dense(6)]),
        fnn.Residual([fnn.Residual([fnn.Dense(6)]), fnn.Activation("prelu")], [fnn.Dense(6, bias=False)], "tanh"),
        fnn.Dense(2),
    ]
    net = network(layers, "float32")
    assert list(net.named_layers) == [
        *("residual_1", "residual_1.dense_1", "residual_1.dropout_1", "residual_1.dense_2"),
        *("residual_2", "residual_2.residual_1", "residual_2.residual_1.dense_1", "residual_2.activation_1"),
        *("residual_2.shortcut.dense_1", "dense_1"),
    ]
    assert net.parameters.shapes["residual_1.weight"] == (4, 6)
    assert "4-layer network" in net.summary()  # a shortcut is no longer way
    net.save(tmp_path / "net")
    x = np.random.default_rng(0).standard_normal((200, 4)).astype(F32)
    assert_same_bits(fnn.load(tmp_path / "net")(x), net(x))
    assert fnn.load(tmp_path / "net").layers == net.layers
    low = net.astype("bfloat16", weights_only=True)
    np.testing.assert_allclose(low(x), net(x), rtol=0.05, atol=0.05)
    quantized = net.quantize(x)
    np.testing.assert_allclose(quantized(x), net(x), rtol=0.1, atol=0.1)
    quantized.save(tmp_path / "int8")
    assert_same_bits(fnn.load(tmp_path / "int8")(x), quantized(x))


@pytest.mark.parametrize(
    ("layers", "version"),
    [
        ([fnn.Dense(3), fnn.Residual([fnn.Dense(3), fnn.Dropout(0.1), fnn.Maxout(3)]), fnn.Dense(3)], "1"),
        ([fnn.Dense(3, bias=False)], "2"),
        ([fnn.Residual([fnn.Dense(3), fnn.Maxout(3, bias=False)]), fnn.Dense(3)], "2"),
        ([fnn.Residual([fnn.Dense(3), fnn.Residual([fnn.Dense(3)]), fnn.Dense(3)]), fnn.Dense(3)], "2"),
        ([fnn.Dense(3), fnn.Activation("tanh")], "2"),
    ],
)
def test_files_name_the_oldest_format_that_holds_them(tmp_path, layers, version):
    import safetensors

    fnn.Sequential([fnn.Input(3), *layers]).save(tmp_path / "net")
    with safetensors.safe_open(tmp_path / "net", "numpy") as file:
        assert file.metadata()["format_version"] == version


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.Residual([]), ValueError, r"Residual: expected at least one layer, got none"),
        (lambda: fnn.Residual([fnn.Dense(3)], []), ValueError, r"shortcut: expected at least one layer, got none"),
        (lambda: fnn.Residual([fnn.Dense(3, "softmax")]), ValueError, "is an output head"),
        (lambda: fnn.Residual([fnn.Gaussian(3)]), ValueError, r"Gaussian\(units=3\) is an output head"),
        (lambda: fnn.Residual(fnn.Dense), TypeError, "got <class"),
        (lambda: fnn.Residual([fnn.Dense(3), 3]), TypeError, "such as Dense, .* got 3"),
        (lambda: fnn.Residual([fnn.Dense(3)], activation="prelu"), ValueError, "not learned, got prelu"),
        (lambda: fnn.Residual([fnn.Dense(3)], activation="softmax"), ValueError, "got softmax"),
        (lambda: fnn.Dense(3, bias=1), TypeError, "bias: expected a bool, got 1"),
    ],
)
def test_invalid_blocks(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("last", [fnn.Dropout(0.5), fnn.GaussianNoise(0.1)])
def test_a_network_does_not_end_with_a_perturbation(last):
    with pytest.raises(ValueError, match=f"last, got {type(last).__name__}"):
        fnn.Sequential([fnn.Input(3), fnn.Dense(3), last])


def test_widths_that_do_not_meet():
    with pytest.raises(ValueError, match="residual_1: its layers have 4 outputs, its shortcut 5"):
        fnn.Sequential([fnn.Input(3), fnn.Residual([fnn.Dense(4)], [fnn.Dense(5)])])


def test_nesting_has_a_limit():
    layer = fnn.Dense(3)
    for _ in range(70):
        layer = fnn.Residual([layer])
    with pytest.raises(ValueError, match="at most 64 layers inside each other"):
        fnn.Sequential([fnn.Input(3), layer])
