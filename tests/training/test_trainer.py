"""One training step: the right loss, the right gradients, the right updates."""

import copy
import itertools

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_array_equal

import fnnfast as fnn
from factories import move_parameters, normal
from oracles import assert_same_bits


def problem(kind, rng, rows=40):
    """A network with a layer of each kind, its loss, and data that fit."""
    head, loss, y = {
        "categorical": ("softmax", fnn.CrossEntropy(), rng.integers(0, 3, rows)),
        "categorical from logits": ("identity", fnn.CrossEntropy(), rng.integers(0, 3, rows)),
        "binary": ("sigmoid", fnn.BinaryCrossEntropy(), rng.integers(0, 2, (rows, 3))),
        "binary from logits": ("identity", fnn.BinaryCrossEntropy(), rng.integers(0, 2, (rows, 3))),
        "squares": ("identity", fnn.MeanSquaredError(), rng.standard_normal((rows, 3))),
        "squares of tanh": ("tanh", fnn.MeanSquaredError(), rng.standard_normal((rows, 3))),
        "squares of sigmoid": ("sigmoid", fnn.MeanSquaredError(), rng.random((rows, 3))),
        "squares of softmax": ("softmax", fnn.MeanSquaredError(), rng.random((rows, 3))),
        "squares of prelu": ("prelu", fnn.MeanSquaredError(), rng.standard_normal((rows, 3))),
        "gaussian": ("identity", fnn.GaussianNLL((0.5, 1.0, 4.0)), rng.standard_normal((rows, 3))),
        "gaussian of softplus": ("softplus", fnn.GaussianNLL(2.0), rng.random((rows, 3))),
        "gaussian learned": (None, fnn.GaussianNLL("learned"), rng.standard_normal((rows, 2))),
        "hinge": ("identity", fnn.Hinge(), rng.integers(0, 2, (rows, 3))),
        "multiclass hinge": ("identity", fnn.MulticlassHinge(), rng.integers(0, 3, rows)),
        "poisson": ("identity", fnn.Poisson(), np.arange(3 * rows).reshape(rows, 3) % 5),
    }[kind]
    layers = [fnn.Input(5), fnn.Dense(6, "swish"), fnn.Maxout(4, pieces=3), fnn.Dense(5, fnn.ELU(learn=True))]
    last = fnn.Gaussian(2) if head is None else fnn.Dense(3, head)
    net = move_parameters(fnn.Sequential([*layers, last], dtype="float64", seed=1), rng)
    return net, loss, rng.standard_normal((rows, 5)), y


KINDS = [
    *("categorical", "categorical from logits", "binary", "binary from logits"),
    *("squares", "squares of tanh", "squares of sigmoid", "squares of softmax", "squares of prelu"),
    *("gaussian", "gaussian of softplus", "gaussian learned", "hinge", "multiclass hinge", "poisson"),
]


def mean_loss(kind, net, x, y):
    """The loss by its definition, from the outputs."""
    outputs = net(x)
    if kind == "categorical from logits":
        outputs = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    if kind == "binary from logits":
        outputs = 1 / (1 + np.exp(-outputs))
    if kind.startswith("categorical"):
        return -np.log(outputs[np.arange(len(y)), y]).mean()
    if kind.startswith("binary"):
        return -np.where(y == 1, np.log(outputs), np.log(1 - outputs)).sum(axis=1).mean()
    if kind.startswith("gaussian"):
        beta = {"gaussian": np.array([0.5, 1.0, 4.0]), "gaussian of softplus": np.full(3, 2.0)}.get(kind)
        mean, beta = (outputs, beta) if beta is not None else (outputs[:, :2], np.exp(outputs[:, 2:]))
        return -scipy.stats.norm.logpdf(y, mean, beta**-0.5).sum(axis=1).mean()
    if kind == "hinge":
        return np.maximum(0, 1 - np.where(y == 1, outputs, -outputs)).sum(axis=1).mean()
    if kind == "multiclass hinge":
        margins = np.maximum(0, outputs - outputs[np.arange(len(y)), y, None] + 1)
        return (margins.sum(axis=1) - 1).mean()
    if kind == "poisson":
        return (np.exp(outputs) - y * outputs).sum(axis=1).mean()
    return ((outputs - y) ** 2).mean()


# One step ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_loss(isa, kind):
    net, loss, x, y = problem(kind, np.random.default_rng(0))
    expected = mean_loss(kind, net, x, y)
    assert net.evaluate(x, y, loss=loss)["loss"] == pytest.approx(expected, rel=1e-12)
    assert fnn.Trainer(net, loss, fnn.SGD(0.1)).step(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("head", ["sigmoid", "identity"])
def test_binary_cross_entropy_of_infinite_logits(isa, dtype, head):
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(2, head)], dtype=dtype)
    net.parameters["dense_1.weight"] = [[1.0, 1.0]]
    for z, t, expected in ((np.inf, 1, 0.0), (-np.inf, 0, 0.0), (np.inf, 0, np.inf), (-np.inf, 1, np.inf)):
        assert net.evaluate([[z]], [[t, t]], loss=fnn.BinaryCrossEntropy())["loss"] == expected, (z, t)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_against_finite_differences(isa, kind):
    rng = np.random.default_rng(0)
    net, loss, x, y = problem(kind, rng)
    grads = fnn.Trainer(net, loss).gradients(x, y)
    assert list(grads) == list(net.parameters)
    h = 1e-5
    for name, grad in grads.items():
        values = net.parameters[name]
        assert grad.shape == values.shape
        for place in itertools.islice(np.ndindex(values.shape), 0, None, max(1, values.size // 8)):
            around = []
            for step in (h, -h):
                moved = values.copy()
                moved[place] += step
                net.parameters[name] = moved
                around.append(mean_loss(kind, net, x, y))
            assert grad[place] == pytest.approx((around[0] - around[1]) / (2 * h), abs=1e-6), (name, place)
        net.parameters[name] = values


def sgd(w, g, state, lr, t, momentum=0.0, nesterov=False):
    state["v"] = momentum * state.get("v", 0) + g
    return w - lr * (g + momentum * state["v"] if nesterov else state["v"])


def adam(w, g, state, lr, t, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, hat=False):
    state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    eps /= np.sqrt(1 - beta2**t) if hat else 1
    corrected = state["m"] / (1 - beta1**t) / (np.sqrt(state["v"] / (1 - beta2**t)) + eps)
    return w - lr * (corrected + decay * w)


OPTIMIZERS = [
    (fnn.SGD(0.1), sgd, {}),
    (fnn.SGD(0.1, momentum=0.9), sgd, {"momentum": 0.9}),
    (fnn.SGD(0.1, momentum=0.9, nesterov=True), sgd, {"momentum": 0.9, "nesterov": True}),
    (fnn.Adam(0.01), adam, {}),
    (fnn.Adam(0.01, betas=(0.8, 0.95), eps=1e-3), adam, {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3}),
    (fnn.Adam(0.01, eps=1e-3, eps_hat=True), adam, {"eps": 1e-3, "hat": True}),
    (fnn.AdamW(0.01, weight_decay=0.5), adam, {"decay": 0.5}),
]


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize(("optimizer", "formula", "settings"), OPTIMIZERS, ids=[repr(row[0]) for row in OPTIMIZERS])
def test_updates(isa, optimizer, formula, settings, l2):
    """Five steps against the textbook; l2 and decay touch weights only."""
    net, loss, x, y = problem("categorical", np.random.default_rng(0))
    twin, plain = fnn.Trainer(net, loss, optimizer, l2=l2), fnn.Trainer(net, loss, optimizer)
    states = {name: {} for name in net.parameters}
    for t in range(1, 6):
        before, grads = dict(net.parameters), plain.gradients(x, y)
        twin.step(x, y)
        for name, w in before.items():
            is_weight = name.endswith("weight")
            g = grads[name] + (l2 * w if is_weight else 0)
            own = {key: value for key, value in settings.items() if key != "decay" or is_weight}
            expected = formula(w, g, states[name], optimizer.lr, t, **own)
            np.testing.assert_allclose(net.parameters[name], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "inputs"),
    [*((row[0], 9) for row in OPTIMIZERS), (fnn.SGD(0.1), 300), (fnn.Adam(0.01), 300)],
    ids=repr,
)
def test_a_step_is_gradients_and_then_apply(dtype, optimizer, inputs):
    """Also where a layer's weights are updated in several parts: its biases are so once."""

    def trainer():
        layers = [fnn.Input(inputs), fnn.Dense(20, "prelu"), fnn.Dropout(0.5), fnn.Maxout(8), fnn.Dense(3, "softmax")]
        if inputs > 100:
            layers[1:1] = [fnn.Maxout(140, 3), fnn.Dense(130)]
        return fnn.Trainer(fnn.Sequential(layers, dtype=dtype, seed=0), optimizer=optimizer, l2=0.01, seed=5)

    rng = np.random.default_rng(0)
    whole, halves = trainer(), trainer()
    for _ in range(4):
        x, y = normal(rng, dtype, 33, inputs), rng.integers(0, 3, 33)
        whole.step(x, y)
        halves.apply(halves.gradients(x, y))
        for name, values in whole.network.parameters.items():
            assert_same_bits(values, halves.network.parameters[name])


@pytest.mark.parametrize(("size", "kept"), [(1e-19, False), (1e-15, True)])
def test_adam_takes_gradients_whose_squares_underflow_for_0(isa, size, kept):
    """In float32 1e-38 is nearly the smallest normal number; what is smaller would make steps slow."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], seed=0)
    trainer = fnn.Trainer(net, optimizer=fnn.Adam(0.01, eps=1e-30))
    before = net.parameters["dense_1.weight"]
    trainer.apply({"dense_1.weight": [[size]], "dense_1.bias": [size]})
    for name, values in trainer.state().items():
        if name != "steps":
            assert values.all() == kept, name
    assert (net.parameters["dense_1.weight"] != before).all() == kept


@pytest.mark.parametrize(
    "optimizer",
    [fnn.SGD(0.1, momentum=0.5), fnn.Adam(0.1, betas=(0.5, 0.5)), fnn.AdamW(0.1, betas=(0.5, 0.5))],
    ids=repr,
)
def test_states_decay_to_0_and_not_to_subnormal_numbers(isa, dtype, optimizer):
    """Which take a hundred cycles each."""
    net = fnn.Sequential([fnn.Input(3), fnn.Dense(2)], dtype=dtype, seed=0)
    trainer = fnn.Trainer(net, optimizer=optimizer)
    tiny = np.finfo(dtype).tiny
    gradient = tiny**0.25
    for _ in range(100 if dtype == np.float32 else 800):
        trainer.apply({name: np.full(shape, gradient) for name, shape in net.parameters.shapes.items()})
        gradient = 0.0
        for name, values in trainer.state().items():
            if name != "steps":
                assert ((values == 0) | (np.abs(values) >= tiny)).all(), name
    assert not any(values.any() for name, values in trainer.state().items() if name != "steps")


@pytest.mark.parametrize("optimizer", [row[0] for row in OPTIMIZERS], ids=repr)
def test_a_gradient_that_is_nan_shows(dtype, optimizer):
    """In what it belongs to, and in nothing else."""
    net = fnn.Sequential([fnn.Input(3), fnn.Dense(2)], dtype=dtype, seed=0)
    trainer = fnn.Trainer(net, optimizer=optimizer)
    weight = np.ones((3, 2))
    weight[1, 1] = np.nan
    trainer.apply({"dense_1.weight": weight, "dense_1.bias": np.ones(2)})
    assert_array_equal(np.isnan(net.parameters["dense_1.weight"]), np.isnan(weight))
    assert np.isfinite(net.parameters["dense_1.bias"]).all()


class Meddling(list):
    """A sequence of arrays that calls something when it is read."""

    def __init__(self, arrays, call):
        super().__init__(arrays)
        self.call = call

    def __getitem__(self, index):
        self.call()
        return super().__getitem__(index)


def test_a_trainer_refuses_a_second_call_while_it_works():
    """Its memory is for one at a time; afterwards it serves again."""
    net, loss, x, y = problem("squares", np.random.default_rng(0))
    trainer = fnn.Trainer(net, loss)
    grads = list(trainer.gradients(x, y).values())
    calls = [
        *(lambda: trainer.step(x, y), lambda: trainer.gradients(x, y), lambda: trainer.epoch(x, y)),
        *(trainer.state, trainer._core.take_diagnosis, lambda: trainer._core.apply(grads, 0.1)),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="this Trainer is in use by another thread"):
            trainer._core.apply(Meddling(grads, call), 0.1)
        call()


def test_gradients_update_nothing():
    net, loss, x, y = problem("squares", np.random.default_rng(0))
    before = dict(net.parameters)
    fnn.Trainer(net, loss).gradients(x, y)
    for name, values in before.items():
        assert_same_bits(net.parameters[name], values)


def test_learning_rate_of_a_trainer():
    net, loss, x, y = problem("squares", np.random.default_rng(0))
    trainer = fnn.Trainer(net, loss, fnn.SGD(0.5))
    assert trainer.learning_rate == 0.5
    trainer.learning_rate = 0.25
    before, grads = net.parameters["dense_1.weight"], trainer.gradients(x, y)
    trainer.step(x, y)
    expected = before - 0.25 * grads["dense_1.weight"]
    np.testing.assert_allclose(net.parameters["dense_1.weight"], expected, rtol=1e-12, atol=1e-15)
    with pytest.raises(ValueError, match="learning_rate: expected a number >= 0, got -1"):
        trainer.learning_rate = -1
    assert trainer.learning_rate == 0.25


@pytest.mark.parametrize(
    ("head", "units", "forms"),
    [
        (
            "softmax",
            3,
            [np.array([2, 0, 1, 1]), [2, 0, 1, 1], np.array([2, 0, 1, 1], np.uint8), np.eye(3)[[2, 0, 1, 1]]],
        ),
        ("sigmoid", 1, [np.array([1, 0, 1, 1]), [True, False, True, True], np.array([[1.0], [0.0], [1.0], [1.0]])]),
        ("identity", 1, [np.array([1.5, 0, -2, 1]), [[1.5], [0], [-2], [1]], np.array([1.5, 0, -2, 1], ">f4")]),
    ],
)
def test_forms_of_targets(head, units, forms):
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(units, head)], dtype="float64", seed=0)
    x = np.random.default_rng(0).random((4, 2))
    assert len({net.evaluate(x, y)["loss"] for y in forms}) == 1
    assert len({tuple(copy.deepcopy(net).fit(x, y, epochs=2, seed=0).loss) for y in forms}) == 1
