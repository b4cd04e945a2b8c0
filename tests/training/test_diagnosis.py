"""Shares of dead units and pieces, saturated values and linear units, counted in training and on any data."""

import collections
import itertools
import warnings

import numpy as np
import pytest

import fnnfast as fnn
from factories import STILL, WATCHED_INPUTS, watched_data, watched_network
from fnnfast import _cpu, reference
from fnnfast._network import layerwise
from oracles import assert_same_bits

pytestmark = [
    pytest.mark.usefixtures("machine_restored"),
    pytest.mark.filterwarnings("ignore::fnnfast.DeadUnitsWarning"),
]

WATCHED = {info["name"]: info["watch"] for info in _cpu.activations()}
DEAD = {
    **{name: name for name, watch in WATCHED.items() if watch == "dead"},
    "leaky_relu": fnn.LeakyReLU(1e-4),
    "prelu": fnn.PReLU([1e-4, 0.25, -1e-4] * 8),
    "elu_learned": fnn.ELU(0.5, learn=True),
    "gelu_tanh": fnn.GELU("tanh"),
    "swish": fnn.Swish(1.5),
}
SATURATED = tuple(name for name, watch in WATCHED.items() if watch == "saturated")
UNITS = 24
KINDS = ("dead", "saturated", "linear")


def oracle(net, x):
    """Dead and saturated shares by their definition, in plain NumPy, with float64 throughout."""
    shares = {"dead": {}, "saturated": {}, "linear": {}}

    def product(name, h):
        weight, bias = (net.parameters[f"{name}.{key}"].astype(float) for key in ("weight", "bias"))
        if weight.ndim == 2:
            return h @ weight + bias
        z = np.einsum("bi,pio->bpo", h, weight) + bias
        if len(weight) > 1:
            wins = np.stack([(z.argmax(axis=1) == piece).sum(axis=0) for piece in range(len(weight))])
            shares["dead"][name] = (wins == 0).mean()
            shares["linear"][name] = (wins == len(h)).any(axis=0).mean()
        return z.max(axis=1)

    def activate(name, layer, z):
        f = reference.ACTIVATIONS[layer.activation.formula]
        parameter = net.parameters[f"{name}.alpha"] if layer.activation.learned else layer.activation.parameter
        if f.name in SATURATED:
            steepest = f.derivative(np.zeros(1))[0]
            shares["saturated"][name] = (f.derivative(z, parameter) < 0.1 * steepest).mean()
        elif f.name in DEAD:
            shares["dead"][name] = (np.abs(f.derivative(z, parameter)) < 1e-3).all(axis=0).mean()
        return f.forward(z, parameter)

    def run_all(prefix, layers, h):
        counts = collections.Counter()
        for layer in layers:
            counts[layer.kind] += 1
            name = f"{prefix}{layer.kind}_{counts[layer.kind]}"
            if isinstance(layer, fnn.Residual):
                skip = product(name, h) if f"{name}.weight" in net.parameters else h
                h = run_all(f"{name}.", layer.layers, h) + skip
            elif isinstance(layer, (fnn.Dense, fnn.Maxout)):
                h = product(name, h)
            h = activate(name, layer, h)
        return h

    run_all("", net.layers[1:], x.astype(float))
    return shares


def in_training(net, x, y, **options):
    """The shares of an epoch that changes nothing."""
    options = {"optimizer": STILL, "epochs": 1, "batch_size": len(x), "seed": 0, **options}
    history = net.fit(x, y, **options)
    return {kind: {name: values[0] for name, values in vars(history)[kind].items()} for kind in KINDS}


# Shares --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [*DEAD, *SATURATED])
def test_shares_of_each_activation(isa, dtype, name):
    net = watched_network([fnn.Dense(UNITS, DEAD.get(name, name)), fnn.Dense(7, "tanh")], dtype=dtype)
    x, y = watched_data(dtype)
    expected = oracle(net, x)
    kind = "dead" if name in DEAD else "saturated"
    assert 0.05 < expected[kind]["dense_1"] < 0.95
    for found in (in_training(net, x, y), in_training(net, x, y, batch_size=7), net.diagnose(x)):
        assert found.keys() == expected.keys()
        for of_layers in expected:
            assert found[of_layers] == pytest.approx(expected[of_layers], abs=1e-12)


STACKS = {
    "blocks": [
        fnn.Dense(8, "relu"),
        fnn.Residual([fnn.Dense(UNITS, "elu"), fnn.Dense(8, "sigmoid")]),
        fnn.Residual([fnn.Maxout(9), fnn.Dense(12, "swish")]),
        fnn.Residual([fnn.Dense(12, "tanh")]),
        fnn.Dense(7, "softplus"),
    ],
    "a block first": [fnn.Residual([fnn.Dense(9, "gelu")]), fnn.Dense(7, "prelu")],
    "activations alone": [
        fnn.Dense(UNITS),
        fnn.Activation("relu"),
        fnn.Residual([fnn.Dense(UNITS, "tanh")], activation="sigmoid"),
        fnn.Activation("elu"),
        fnn.Residual([fnn.Residual([fnn.Dense(UNITS)]), fnn.Activation("prelu")]),
    ],
    "maxout": [fnn.Maxout(9, pieces=3), fnn.Dense(UNITS, "relu"), fnn.Maxout(6), fnn.Dense(5, "selu")],
    "no activation": [fnn.Dense(9), fnn.Maxout(4)],
    "one piece": [fnn.Dense(9), fnn.Maxout(4, pieces=1)],
}


@pytest.mark.parametrize("stack", STACKS)
def test_shares_in_deep_networks(isa, stack):
    net = watched_network(STACKS[stack])
    x, y = watched_data()
    expected = oracle(net, x)
    assert any(expected["dead"].values()) == (stack != "one piece")
    if "maxout" in str(STACKS[stack]).lower() and stack != "one piece":
        assert any(expected["linear"].values())
    for found in (in_training(net, x, y), in_training(net, x, y, batch_size=13), net.diagnose(x)):
        for of_layers in expected:
            assert found[of_layers] == pytest.approx(expected[of_layers], abs=1e-12)


@pytest.mark.parametrize(
    ("head", "loss", "y", "counted"),
    [
        (fnn.Dense(3, "sigmoid"), fnn.MeanSquaredError(), np.zeros((60, 3)), True),
        (fnn.Dense(3, "relu"), fnn.GaussianNLL(), np.zeros((60, 3)), True),
        (fnn.Dense(3, "sigmoid"), fnn.BinaryCrossEntropy(), np.zeros((60, 3)), False),
        (fnn.Dense(3), fnn.MulticlassHinge(), np.zeros(60, int), False),
    ],
    ids=["squares of sigmoid", "likelihood of relu", "from logits", "hinge"],
)
def test_the_head(head, loss, y, counted):
    """Training counts where the gradient passes the activation: not where the loss starts from the logits."""
    net = watched_network([fnn.Dense(UNITS, "relu")], head)
    x, _ = watched_data()
    found, everywhere = in_training(net, x, y, loss=loss), net.diagnose(x)
    kinds = [kind for kind in found if "dense_2" in found[kind]]
    assert kinds == ([kind for kind in everywhere if "dense_2" in everywhere[kind]] if counted else [])
    assert found["dead"]["dense_1"] == everywhere["dead"]["dense_1"]
    if counted:
        assert found[kinds[0]]["dense_2"] == pytest.approx(everywhere[kinds[0]]["dense_2"], abs=1e-12)


def test_frozen_layers():
    """No gradient goes below the first layer that is trained; above it, frozen layers are counted as others."""
    net = watched_network([fnn.Dense(UNITS, "relu"), fnn.Dense(UNITS, "sigmoid"), fnn.Dense(UNITS, "relu")])
    x, y = watched_data()
    net.freeze("dense_1", "dense_3")
    history = net.fit(x, y, optimizer=STILL, epochs=2)
    expected = net.diagnose(x)
    assert history.dead == {"dense_3": [expected["dead"]["dense_3"]] * 2}
    assert history.saturated == {"dense_2": [pytest.approx(expected["saturated"]["dense_2"])] * 2}
    assert set(expected["dead"]) == {"dense_1", "dense_3"}


def test_dropout_counts_in_training_only():
    """A unit whose inputs are dropped may look dead; net.diagnose sees the whole network."""
    net = watched_network([fnn.Dense(400, "relu"), fnn.Dropout(0.9), fnn.Dense(400, "sigmoid")], seed=1)
    x, y = watched_data(rows=4)
    found, whole = in_training(net, x, y), net.diagnose(x)
    assert found["dead"] == whole["dead"]
    assert found["saturated"] != whole["saturated"]
    assert found["saturated"] == in_training(net, x, y)["saturated"]


def test_a_unit_that_lives_for_one_row_is_not_dead():
    """In the last of many batches, of any size; the next epoch counts anew."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(4, "relu"), fnn.Dense(1)], dtype="float64")
    net.parameters["dense_1.weight"] = [[1.0, -1.0, 1.0, 0.0]]
    net.parameters["dense_1.bias"] = [0.0, 0.0, -5.0, -1.0]
    x = -np.ones((100, 1))
    x[37] = 6.0
    trainer = fnn.Trainer(net, optimizer=STILL)
    for order, dead in ((None, 1 / 4), (np.delete(np.arange(100), 37), 3 / 4), ([37], 2 / 4), (None, 1 / 4)):
        trainer.epoch(x, np.zeros(100), order, batch_size=7)
        assert trainer._diagnosis()["dead"] == {"dense_1": dead}
    assert net.diagnose(x)["dead"] == {"dense_1": 1 / 4}


def test_batches_of_any_size_count_together():
    """What a small one has seen is not forgotten when the memory for a larger one is made."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(2, "relu", bias=False), fnn.Dense(1)], dtype="float64")
    net.parameters["dense_1.weight"] = [[1.0, -1.0]]
    trainer = fnn.Trainer(net, optimizer=STILL)
    for rows, x in ((3, 1.0), (700, -1.0), (5000, -1.0)):
        trainer.step(np.full((rows, 1), x), np.zeros(rows))
    assert trainer._diagnosis()["dead"] == {"dense_1": 0.0}
    trainer.step(np.full((700, 1), -1.0), np.zeros(700))
    assert trainer._diagnosis()["dead"] == {"dense_1": 0.5}


def test_epochs_are_counted_one_by_one():
    """What is dead in the first epoch and alive in the second is in each what it is."""
    net = watched_network([fnn.Dense(UNITS, "relu"), fnn.Dense(UNITS, "tanh")])
    x, y = watched_data()
    seen = []

    class Before:
        """Takes down what an epoch will see, if its steps change nothing."""

        def start(self, network):
            seen.append(network.diagnose(x))

        def __call__(self, epoch, history):
            rng = np.random.default_rng(epoch)
            net.parameters["dense_1.bias"] = rng.uniform(-12, 12, UNITS)
            seen.append(net.diagnose(x))

    history = net.fit(x, y, optimizer=STILL, epochs=4, batch_size=11, callbacks=[Before()])
    for kind in ("dead", "saturated"):
        for name, values in vars(history)[kind].items():
            assert values == pytest.approx([of_epoch[kind][name] for of_epoch in seen[:4]], abs=1e-12)
    assert len(set(history.dead["dense_1"])) > 1


def test_rows_that_are_not_trained_on_are_not_counted():
    """Those held out, and those of weight 0."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(2, "relu", bias=False), fnn.Dense(1)], dtype="float64")
    net.parameters["dense_1.weight"] = [[1.0, -1.0]]
    x, w = -np.ones((10, 1)), np.ones(10)
    x[3], w[3] = 1.0, 0.0
    assert in_training(net, x, np.zeros(10))["dead"] == {"dense_1": 0.0}
    assert in_training(net, x, np.zeros(10), sample_weight=w)["dead"] == {"dense_1": 0.5}


# Maxout --------------------------------------------------------------------------------------------------------------
def maxout_images(pieces=3):
    """Over images, of which the first layer's pieces also lose by their biases."""
    layers = [fnn.Input(6, 5, 2), fnn.MaxoutConv2D(7, 3, pieces, padding=1, strides=2), fnn.MaxoutConv2D(5, 2, pieces)]
    net = fnn.Sequential([*layers, fnn.Flatten(), fnn.Dense(3, "softmax")], dtype="float64", seed=0)
    rng = np.random.default_rng(0)
    net.parameters["maxout_conv2d_1.bias"] = rng.uniform(-9, 9, (pieces, 7))
    net.parameters["maxout_conv2d_2.bias"] = rng.uniform(-30, 30, (pieces, 5))
    return net, rng.standard_normal((70, 6, 5, 2)), rng.integers(0, 3, 70)


def wins_of_images(net, x):
    """By layer, how often each piece of a filter wins."""
    wins, p = {}, net.parameters
    for name, windows in (("maxout_conv2d_1", {"padding": 1, "strides": 2}), ("maxout_conv2d_2", {})):
        x, argmax = reference.maxout_conv2d_forward(x, p[f"{name}.weight"], p[f"{name}.bias"], **windows)
        wins[name] = np.stack([(argmax == piece).sum(axis=(0, 1, 2)) for piece in range(3)])
    return wins


@pytest.mark.parametrize("batch_size", [70, 3])
def test_pieces_over_images(isa, batch_size):
    net, x, y = maxout_images()
    found = in_training(net, x, y, batch_size=batch_size)
    for name, wins in wins_of_images(net, x).items():
        assert 0 < (wins == 0).mean() < 1
        assert found["dead"][name] == pytest.approx((wins == 0).mean(), abs=1e-12)
        assert found["linear"][name] == ((wins > 0).sum(axis=0) == 1).mean() > 0
    assert net.diagnose(x) == {kind: pytest.approx(found[kind], abs=1e-12) for kind in KINDS}


def test_pieces_that_win_once_an_epoch_are_alive():
    """In one of many batches; the next epoch counts anew."""
    net = fnn.Sequential([fnn.Input(1), fnn.Maxout(2, pieces=3), fnn.Dense(1)], dtype="float64")
    net.parameters["maxout_1.weight"] = [[[1.0, 1.0]], [[-1.0, 1.0]], [[0.0, 1.0]]]
    net.parameters["maxout_1.bias"] = [[0.0, 2.0], [0.0, 1.0], [-1.0, 0.0]]
    x = np.ones((100, 1))
    x[64] = -1.0
    trainer = fnn.Trainer(net, optimizer=STILL)
    orders = ((None, 3 / 6, 1 / 2), (np.delete(np.arange(100), 64), 4 / 6, 1), ([64], 4 / 6, 1), (None, 3 / 6, 1 / 2))
    for order, dead, linear in orders:
        trainer.epoch(x, np.zeros(100), order, batch_size=7)
        found = trainer._diagnosis()
        assert found["dead"] == {"maxout_1": pytest.approx(dead)}
        assert found["linear"] == {"maxout_1": linear}


def test_pieces_that_win_in_any_block_of_images():
    """One image in a batch that is summed in blocks."""
    net = fnn.Sequential([fnn.Input(4, 4, 1), fnn.MaxoutConv2D(1, 1), fnn.Flatten(), fnn.Dense(1)], dtype="float64")
    net.parameters["maxout_conv2d_1.weight"] = np.reshape([1.0, -1.0], (2, 1, 1, 1, 1))
    net.parameters["maxout_conv2d_1.bias"] = np.zeros((2, 1))
    x = np.ones((3000, 4, 4, 1))
    for image in (0, 1500, 2999):
        x[image] = -1
        found = in_training(net, x, np.zeros(len(x)))
        assert found["dead"]["maxout_conv2d_1"] == found["linear"]["maxout_conv2d_1"] == 0
        x[image] = 1
    assert in_training(net, x, np.zeros(len(x)))["linear"]["maxout_conv2d_1"] == 1


def test_frozen_maxout_is_not_counted():
    net = watched_network([fnn.Maxout(9), fnn.Maxout(9), fnn.Maxout(9)])
    net.freeze("maxout_2")
    history = net.fit(*watched_data(), optimizer=STILL, epochs=1)
    assert list(history.linear) == ["maxout_1", "maxout_3"]


def test_no_warning_of_pieces():
    """A piece that never wins is no unit that cannot learn."""
    net = watched_network([fnn.Maxout(9, pieces=4)])
    x, y = watched_data(rows=200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert net.fit(x, y, optimizer=STILL, epochs=1).dead["maxout_1"][0] > 0.1


# Units ---------------------------------------------------------------------------------------------------------------
def test_which_units():
    """The shares are those of the units that are said."""
    net = watched_network([fnn.Dense(UNITS, "relu"), fnn.Dense(UNITS, "tanh"), fnn.Maxout(9, pieces=3)])
    x, _ = watched_data()
    shares, units = net.diagnose(x), net.diagnose(x, units=True)
    assert {kind: set(found) for kind, found in units.items()} == {kind: set(found) for kind, found in shares.items()}
    hidden = net.hidden(x)
    np.testing.assert_array_equal(units["dead"]["dense_1"], (hidden["dense_1"] == 0).all(axis=0))
    flat = (1 - hidden["dense_2"] ** 2 < 0.1).mean(axis=0)
    np.testing.assert_allclose(units["saturated"]["dense_2"], flat, rtol=1e-15)
    weight, bias = net.parameters["maxout_1.weight"], net.parameters["maxout_1.bias"]
    z = np.einsum("bi,pio->bpo", hidden["dense_2"], weight) + bias
    wins = np.stack([(z.argmax(axis=1) == piece).sum(axis=0) for piece in range(3)])
    np.testing.assert_array_equal(units["dead"]["maxout_1"], wins == 0)
    np.testing.assert_array_equal(units["linear"]["maxout_1"], (wins == len(x)).any(axis=0))
    for kind, of_layers in shares.items():
        for name, share in of_layers.items():
            assert share == pytest.approx(units[kind][name].mean(), abs=1e-15)


@pytest.mark.parametrize("order", ["last", "first"])
def test_which_channels(order):
    """Pixels are rows, and channels units, in whatever order they are given."""
    shape = (4, 6, 3) if order == "last" else (3, 4, 6)
    layers = [fnn.Conv2D(8, 3, "relu"), fnn.Conv2D(5, 2, "sigmoid"), fnn.MaxoutConv2D(4, 1), fnn.Flatten()]
    net = fnn.Sequential([fnn.Input(*shape, channels=order), *layers, fnn.Dense(3)], dtype="float64", seed=0)
    rng = np.random.default_rng(0)
    net.parameters["conv2d_1.bias"] = np.linspace(-9, 9, 8)
    net.parameters["conv2d_2.bias"] = rng.uniform(-4, 4, 5)
    images = rng.standard_normal((20, 4, 6, 3))
    x = images if order == "last" else np.moveaxis(images, 3, 1)
    p, units = net.parameters, net.diagnose(x, units=True)
    first = np.maximum(reference.conv2d(images, p["conv2d_1.weight"], p["conv2d_1.bias"]), 0)
    np.testing.assert_array_equal(units["dead"]["conv2d_1"], (first == 0).all(axis=(0, 1, 2)))
    assert 0 < units["dead"]["conv2d_1"].mean() < 1
    second = reference.conv2d(first, p["conv2d_2.weight"], p["conv2d_2.bias"])
    second = reference.ACTIVATIONS["sigmoid"].forward(second, None)
    flat = (second * (1 - second) < 0.025).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(units["saturated"]["conv2d_2"], flat, rtol=1e-12)
    _, argmax = reference.maxout_conv2d_forward(second, p["maxout_conv2d_1.weight"], p["maxout_conv2d_1.bias"])
    won = np.stack([(argmax == piece).any(axis=(0, 1, 2)) for piece in range(2)])
    np.testing.assert_array_equal(units["dead"]["maxout_conv2d_1"], ~won)


# Gradients by layer --------------------------------------------------------------------------------------------------
def test_the_size_of_a_derivative():
    """Of one step, over weights and biases, not slopes."""
    net = watched_network([fnn.Dense(9, "prelu"), fnn.Maxout(4)])
    x, y = watched_data()
    grads = fnn.Trainer(net).gradients(x, y)
    history = net.fit(x, y, optimizer=STILL, epochs=1, batch_size=len(x))
    for layer in net.named_layers:
        own = np.concatenate([grads[f"{layer}.{key}"].ravel() for key in ("weight", "bias")])
        assert history.gradient_rms[layer] == [pytest.approx(np.sqrt((own**2).mean()), rel=1e-12)]


# Threads, instruction sets and blocks do not show --------------------------------------------------------------------
def test_threads_and_instruction_sets_do_not_show(dtype):
    """In the shares; norms add up the same numbers in another order."""
    hidden = [
        fnn.Dense(80, "relu"),
        fnn.Residual([fnn.Dense(70, "tanh"), fnn.Dense(80, "elu")]),
        fnn.Dense(90, "prelu"),
        fnn.Maxout(40, pieces=3),
    ]
    x, y = watched_data(dtype, rows=300)
    expected = None
    for isa, threads in itertools.product(_cpu.isas(), (1, 2, 3)):
        _cpu.use_isa(isa)
        fnn.set_num_threads(threads)
        net = watched_network(hidden, dtype=dtype)
        history = net.fit(x, y, epochs=2, batch_size=128, seed=0)
        found = (history.dead, history.saturated, history.linear, net.diagnose(x))
        norms = np.array([*history.gradient_norm.values(), *history.update_norm.values()])
        expected = expected or (found, norms)
        assert found == expected[0], (isa, threads)
        np.testing.assert_allclose(norms, expected[1], rtol=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("stack", STACKS)
def test_blocks_of_rows_do_not_show(monkeypatch, stack):
    net = watched_network(STACKS[stack])
    x, _ = watched_data()
    expected = net.diagnose(x)
    for size in (1, 100, 300):
        monkeypatch.setattr(layerwise, "_BLOCK", size)
        found = net.diagnose(x)
        assert found["dead"] == expected["dead"]
        assert found["linear"] == expected["linear"]
        assert found["saturated"] == pytest.approx(expected["saturated"], abs=1e-12)


def test_counting_changes_nothing():
    """The bits of steps are those of gradients and their application, which count nothing."""
    x, y = watched_data()
    one, other = (fnn.Trainer(watched_network(STACKS["blocks"])) for _ in range(2))
    for _ in range(3):
        one.step(x, y)
        other.apply(other.gradients(x, y))
    for name, values in one.network.parameters.items():
        assert_same_bits(other.network.parameters[name], values)


@pytest.mark.parametrize("low", ["bfloat16", "int8"])
def test_networks_for_inference(low):
    net = watched_network([fnn.Dense(UNITS, "relu"), fnn.Dense(UNITS, "tanh")], dtype="float32")
    x, _ = watched_data("float32")
    converted = net.astype(low) if low == "bfloat16" else net.quantize(x)
    for kind, shares in net.diagnose(x).items():
        assert converted.diagnose(x)[kind] == pytest.approx(shares, abs=0.1)


@pytest.mark.slow
def test_more_rows_than_a_float_counts():
    """18 million values of one unit, of which a third is not saturated."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, "tanh", bias=False), fnn.Dense(1)])
    net.parameters["dense_1.weight"] = [[1.0]]
    x = np.tile(np.array([[0.0], [9.0], [-9.0]], np.float32), (6_000_000, 1))
    history = net.fit(x, np.zeros(len(x), np.float32), optimizer=STILL, epochs=1, batch_size=100_000)
    assert history.saturated == {"dense_1": [pytest.approx(2 / 3, rel=1e-12)]}


# Invalid arguments ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((0, WATCHED_INPUTS)), ValueError, "x: expected at least one row, got none"),
        (np.ones((3, WATCHED_INPUTS + 1)), ValueError, r"x: expected shape \(B, 5\), got \(3, 6\)"),
        (np.ones(WATCHED_INPUTS), ValueError, r"x: expected shape \(B, 5\), got \(5,\)"),
        (np.ones((3, WATCHED_INPUTS), complex), TypeError, "x: expected an array of real numbers"),
    ],
)
def test_invalid_data(x, error, message):
    with pytest.raises(error, match=message):
        watched_network([fnn.Dense(3, "relu")]).diagnose(x)
