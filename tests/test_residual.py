"""Residual blocks: against the oracle, forward and backward, and what may be in one."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import reference
from oracles import CASES, SMOOTH, assert_same_bits

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
}


def network(layers, dtype="float64", seed=1):
    net = fnn.Sequential(layers, dtype=dtype, seed=seed)
    rng = np.random.default_rng(seed)
    for name, values in net.parameters.items():
        net.parameters[name] = values + rng.normal(0, 0.1, values.shape)
    return net


def oracle(net):
    """The network as the reference has it."""

    def described(name, layer):
        prefix = f"{name}."
        keys = [key for key in net.parameters if key.rpartition(".")[0] == name]
        found = {"kind": layer.kind, **{key.removeprefix(prefix): net.parameters[key] for key in keys}}
        if isinstance(layer, fnn.Residual):
            inner = [key for key in net.named_layers if key.startswith(prefix)]
            found["layers"] = [described(key, net.named_layers[key]) for key in inner]
        if isinstance(layer, fnn.Dense):
            found["activation"] = layer.activation.kernel
            if layer.activation.parameter is not None and not layer.activation.learned:
                found["parameter"] = layer.activation.parameter
        return found

    return [described(name, layer) for name, layer in net.named_layers.items() if "." not in name]


def flat(net, gradients):
    """The reference's gradients by the names of the parameters."""
    found, names = {}, [name for name in net.named_layers if "." not in name]

    def take(name, of_layer):
        for key, value in of_layer.items():
            if key == "layers":
                inner = [inner for inner in net.named_layers if inner.startswith(f"{name}.")]
                for place, part in zip(inner, value, strict=True):
                    take(place, part)
            else:
                found[f"{name}.{key}"] = value

    for name, of_layer in zip(names, gradients, strict=True):
        take(name, of_layer)
    return found


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("first", [True, False], ids=["after the input", "between layers"])
@pytest.mark.parametrize("rows", [1, 7, 90])
def test_against_the_oracle(isa, block, first, rows):
    layers = [fnn.Input(6), *([] if first else [fnn.Dense(6, "tanh")]), fnn.Residual(block)]
    check([*layers, fnn.Residual([fnn.Dense(net_width(layers), "elu")])], rows)


@pytest.mark.parametrize("units", [6, 40])
@pytest.mark.parametrize("name", SMOOTH)
def test_each_activation_ends_a_block(isa, name, units):
    """Before the addition, whichever way it is applied: 6 units have a kernel of their own, 40 take a projection."""
    activation, _ = CASES[name].make(units, np.dtype("float64"))
    check([fnn.Input(6), fnn.Residual([fnn.Dense(9, "tanh"), fnn.Dense(units, activation)])], 90)


def check(layers, rows):
    """The layers, under a softmax head, answer and train as the oracle does."""
    net = network([*layers, fnn.Dense(3, "softmax")])
    rng = np.random.default_rng(rows)
    x, y = rng.standard_normal((rows, 6)), rng.integers(0, 3, rows)
    np.testing.assert_allclose(net(x), reference.forward(oracle(net), x), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(net.logits(x), reference.forward(oracle(net), x, logits=True), rtol=1e-10, atol=1e-12)
    trainer = fnn.Trainer(net, optimizer=fnn.SGD(0.1))
    loss, got = trainer.loss_and_gradients(x, y)
    expected_loss, expected = reference.gradients(oracle(net), x, y, "categorical_cross_entropy")
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    expected = flat(net, expected)
    assert list(got) == list(expected) == list(net.parameters)
    for name, values in got.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)
    before = dict(net.parameters)
    trainer.step(x, y)
    for name, values in net.parameters.items():
        np.testing.assert_allclose(values, before[name] - 0.1 * got[name], rtol=1e-9, atol=1e-12, err_msg=name)


def net_width(layers):
    width = layers[0].size
    for layer in layers[1:]:
        width = layer._width(width) if isinstance(layer, fnn.Residual) else layer.outputs(width)
    return width


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


def test_names_files_and_copies(tmp_path):
    layers = [fnn.Input(4), fnn.Residual([fnn.Dense(6, "relu"), fnn.Dropout(0.5), fnn.Dense(6)]), fnn.Dense(2)]
    net = network(layers, "float32")
    assert list(net.named_layers) == [
        *("residual_1", "residual_1.dense_1", "residual_1.dropout_1", "residual_1.dense_2", "dense_1")
    ]
    assert net.parameters.shapes["residual_1.weight"] == (4, 6)
    assert "3-layer network" in net.summary()
    net.save(tmp_path / "net")
    x = np.random.default_rng(0).standard_normal((9, 4)).astype(F32)
    assert_same_bits(fnn.load(tmp_path / "net")(x), net(x))
    assert fnn.load(tmp_path / "net").layers == net.layers
    low = net.astype("bfloat16")
    np.testing.assert_allclose(low(x), net(x), rtol=0.05, atol=0.05)
    np.testing.assert_allclose(net.quantize(x)(x), net(x), rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ([], ValueError, r"Residual: expected a Dense or Maxout first and last, got \[\]"),
        ([fnn.Dropout(0.5), fnn.Dense(3)], ValueError, "a Dense or Maxout first and last"),
        ([fnn.Dense(3), fnn.Dropout(0.5)], ValueError, "a Dense or Maxout first and last"),
        ([fnn.Dense(3, "softmax")], ValueError, "softmax is an output head"),
        ([fnn.Residual([fnn.Dense(3)])], TypeError, "Dense, Maxout, Dropout and GaussianNoise layers, got Residual"),
        ([fnn.Gaussian(3)], TypeError, "got Gaussian"),
        (fnn.Dense, TypeError, "got <class"),
    ],
)
def test_blocks_that_cannot_be_meant(layers, error, message):
    with pytest.raises(error, match=message):
        fnn.Residual(layers)


def test_a_network_does_not_end_with_a_block():
    with pytest.raises(ValueError, match="a Dense, Maxout or Gaussian last, got Residual"):
        fnn.Sequential([fnn.Input(3), fnn.Residual([fnn.Dense(3)])])
