"""The oracle's losses, optimizers and networks: against SciPy, finite differences and calculations by hand."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from fnnfast import reference
from oracles import central_difference

ACTIVATIONS = reference.ACTIVATIONS


@pytest.mark.parametrize("hard", [True, False])
def test_categorical_cross_entropy(hard):
    rng = np.random.default_rng(7)
    loss = reference.LOSSES["categorical_cross_entropy"]
    z, classes = rng.normal(size=(6, 4)) * 3, rng.integers(0, 4, 6)
    t = np.eye(4)[classes] if hard else rng.dirichlet(np.ones(4), 6)
    expected = -np.mean(np.sum(t * scipy.special.log_softmax(z, axis=1), axis=1))
    assert_allclose(loss.value(z, t), expected, rtol=1e-14)
    assert_allclose(loss.gradient(z, t), central_difference(lambda a: loss.value(a, t), z), atol=1e-9)
    if hard:
        assert loss.value(z, classes) == loss.value(z, t)
        assert_array_equal(loss.gradient(z, classes), loss.gradient(z, t))
    assert loss.value(np.array([[1e4, 0.0]]), np.array([1])) == 1e4


def test_binary_cross_entropy():
    rng = np.random.default_rng(8)
    loss = reference.LOSSES["binary_cross_entropy"]
    z, t = rng.normal(size=(6, 2)) * 3, rng.integers(0, 2, (6, 2))
    p = scipy.special.expit(z)
    for targets in (t, rng.random((6, 2))):
        expected = -(targets * np.log(p) + (1 - targets) * np.log1p(-p)).sum(axis=1).mean()
        assert_allclose(loss.value(z, targets), expected, rtol=1e-13)
    assert_allclose(loss.gradient(z, t), central_difference(lambda a: loss.value(a, t), z), atol=1e-9)
    assert loss.value(np.array([[-1e4]]), np.array([1])) == 1e4
    assert loss.value(np.array([[1e4]]), np.array([True])) == 0
    for infinite, label, limit in ((np.inf, 1, 0), (-np.inf, 0, 0), (np.inf, 0, np.inf), (-np.inf, 1, np.inf)):
        assert loss.value(np.array([[infinite]]), np.array([label])) == limit
        assert loss.gradient(np.array([[infinite]]), np.array([label])) == (np.sign(infinite) if limit else 0)


def test_squared_error():
    rng = np.random.default_rng(9)
    loss = reference.LOSSES["squared_error"]
    y, t = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    assert_allclose(loss.value(y, t), ((y - t) ** 2).sum() / 12, rtol=1e-14)
    assert_allclose(loss.gradient(y, t), central_difference(lambda a: loss.value(a, t), y), atol=1e-9)
    assert loss.value(y[:, :1], t[:, 0]) == loss.value(y[:, :1], t[:, :1])


def test_poisson():
    rng = np.random.default_rng(12)
    loss = reference.LOSSES["poisson"]
    z, t = rng.normal(size=(6, 2)), rng.poisson(1, (6, 2))
    likelihood = scipy.stats.poisson.logpmf(t, np.exp(z)) + scipy.special.gammaln(t + 1)
    assert_allclose(loss.value(z, t), -likelihood.sum(axis=1).mean(), rtol=1e-13)
    assert_allclose(loss.gradient(z, t), central_difference(lambda a: loss.value(a, t), z), atol=1e-8)
    for infinite, count, limit in ((-np.inf, 0, 0), (-np.inf, 1, np.inf), (np.inf, 0, np.inf), (np.inf, 1, np.inf)):
        assert loss.value(np.array([[infinite]]), np.array([count])) == limit
        assert loss.gradient(np.array([[infinite]]), np.array([count])) == (np.inf if infinite > 0 else -count)


def run(optimizer, gradients, learning_rate=0.1, is_weight=True):
    w, path = np.array(1.0), []
    state = reference.start(w)
    for g in gradients:
        w, state = optimizer.update(w, np.array(g), state, learning_rate, is_weight=is_weight)
        path.append(float(w))
    return path


def test_sgd_by_hand():
    assert_allclose(run(reference.SGD(), [1.0, 2.0]), [0.9, 0.7])
    assert_allclose(run(reference.SGD(momentum=0.5), [1.0, 2.0]), [0.9, 0.9 - 0.1 * 2.5])
    assert_allclose(run(reference.SGD(momentum=0.5, nesterov=True), [1.0, 2.0]), [0.85, 0.85 - 0.1 * (2 + 1.25)])
    assert_allclose(run(reference.SGD(l2=0.5), [1.0, 2.0]), [0.85, 0.85 - 0.1 * 2.425])
    assert_allclose(run(reference.SGD(weight_decay=0.5), [1.0, 2.0]), [0.85, 0.85 * 0.95 - 0.2])
    assert_allclose(run(reference.SGD(l2=0.5, weight_decay=0.5), [1.0, 2.0], is_weight=False), [0.9, 0.7])


def test_adam_by_hand():
    # The first step is the learning rate whatever the gradient, but for eps, which stands outside the root.
    assert_allclose(run(reference.Adam(eps=0.0), [3.0]), [0.9])
    assert_allclose(run(reference.Adam(eps=3.0), [3.0]), [0.95])
    m, v = 0.9 * 0.1 * 3 + 0.1 * -1, 0.999 * 0.001 * 9 + 0.001
    step = 0.1 * (m / (1 - 0.81)) / (math.sqrt(v / (1 - 0.998001)) + 1e-8)
    assert_allclose(run(reference.Adam(), [3.0, -1.0])[1], 0.9 - step, rtol=1e-8)
    assert_allclose(run(reference.Adam(eps=0.0, weight_decay=0.5), [3.0]), [0.95 - 0.1])
    assert_allclose(run(reference.Adam(eps=0.0, weight_decay=0.5), [3.0], is_weight=False), [0.9])


@pytest.mark.parametrize(("loss", "head"), [
    ("categorical_cross_entropy", "softmax"), ("categorical_cross_entropy", "identity"),
    ("binary_cross_entropy", "sigmoid"), ("squared_error", "tanh"), ("squared_error", "softmax"),
])  # fmt: skip
def test_network_gradients(loss, head):
    rng = np.random.default_rng(10)

    def array(*shape):
        return rng.normal(size=shape)

    slopes = rng.uniform(0, 1, 5)
    layers = [
        {"kind": "dense", "weight": array(3, 5), "bias": array(5), "activation": "prelu", "alpha": slopes},
        {"kind": "dropout", "mask": rng.integers(0, 2, (6, 5)) * 2.0},
        {"kind": "maxout", "weight": array(3, 5, 4), "bias": array(3, 4)},
        {"kind": "dense", "weight": array(4, 4), "bias": array(4), "activation": "swish", "parameter": 1.5},
        {"kind": "dense", "weight": array(4, 2), "bias": array(2), "activation": head},
    ]
    x = array(6, 3)
    targets = rng.integers(0, 2, 6) if loss.startswith("cat") else rng.integers(0, 2, (6, 2)).astype(float)
    value, gradients = reference.gradients(layers, x, targets, loss)
    assert [sorted(g) for g in gradients] == [
        ["alpha", "bias", "weight"], [], ["bias", "weight"], ["bias", "weight"], ["bias", "weight"]
    ]  # fmt: skip
    for layer, gradient in zip(layers, gradients, strict=True):
        for name in gradient:
            numeric = central_difference(lambda _: reference.gradients(layers, x, targets, loss)[0], layer[name])
            assert_allclose(gradient[name], numeric, atol=1e-7)
    del layers[1]
    value = reference.gradients(layers, x, targets, loss)[0]
    outputs = reference.forward(layers, x, logits=head in ("softmax", "sigmoid") and loss != "squared_error")
    assert_allclose(value, reference.LOSSES[loss].value(outputs, targets), rtol=1e-14)
    assert_allclose(ACTIVATIONS[head].forward(reference.forward(layers, x, logits=True)), reference.forward(layers, x))


def test_gradients_of_a_tree():
    rng = np.random.default_rng(12)

    def dense(inputs, units, activation="identity", **more):
        return {"kind": "dense", "weight": rng.normal(size=(inputs, units)), "activation": activation, **more}

    inner = {
        "kind": "residual",
        "layers": [dense(4, 4, "tanh"), {"kind": "dropout", "mask": rng.integers(0, 2, (6, 4))}],
    }
    outer = {
        "kind": "residual",
        "layers": [dense(3, 4, "swish", bias=rng.normal(size=4)), inner],
        "shortcut": [dense(3, 4), {"kind": "activation", "activation": "prelu", "alpha": rng.uniform(0, 1, 4)}],
        "activation": "elu",
        "parameter": 0.7,
    }
    projected = {"kind": "residual", "layers": [{"kind": "flatten"}, dense(4, 2, "tanh")]}
    projected |= {"weight": rng.normal(size=(4, 2)), "bias": rng.normal(size=2)}
    layers = [outer, projected, {"kind": "activation", "activation": "softmax"}]
    x, targets = rng.normal(size=(6, 3)), rng.integers(0, 2, 6)
    value, gradients = reference.gradients(layers, x, targets, "categorical_cross_entropy")
    logits = reference.forward(layers[:-1], x)
    assert_array_equal(reference.forward(layers, x, logits=True), logits)
    assert_allclose(ACTIVATIONS["softmax"].forward(logits), reference.forward(layers, x))
    checked = 0

    def check(layers, gradients):
        nonlocal checked
        for layer, of_layer in zip(layers, gradients, strict=True):
            for name, gradient in of_layer.items():
                if name in ("layers", "shortcut"):
                    check(layer[name], gradient)
                    continue
                loss = lambda _: reference.gradients(layers_, x, targets, "categorical_cross_entropy")[0]  # noqa: E731
                assert_allclose(gradient, central_difference(loss, layer[name]), atol=1e-7)
                checked += 1

    layers_ = layers
    check(layers, gradients)
    assert checked == 8
    assert value > 0


def test_training_learns_xor():
    rng = np.random.default_rng(11)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    t = np.array([0, 1, 1, 0])
    layers = [
        {"kind": "dense", "weight": rng.normal(size=(2, 4)), "bias": np.zeros(4), "activation": "tanh"},
        {"kind": "dense", "weight": rng.normal(size=(4, 1)), "bias": np.zeros(1), "activation": "sigmoid"},
    ]
    first, states, losses = layers[0]["weight"].copy(), None, []
    for _ in range(300):
        loss, layers, states = reference.training_step(
            layers, x, t, "binary_cross_entropy", reference.Adam(), states, 0.05
        )
        losses.append(loss)
    assert losses[0] > 0.5
    assert losses[-1] < 0.05
    assert_array_equal(reference.forward(layers, x)[:, 0] > 0.5, t == 1)
    assert states[0]["weight"].steps == 300
    assert not np.array_equal(first, layers[0]["weight"])
