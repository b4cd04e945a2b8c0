"""The networks that the lecture notes give or promise: reproduced, or learned."""

import numpy as np
import pytest

import fnnfast as fnn

# The 3-layer classifier of the notes, activation sign throughout, as printed there: (W1)^T, b1, W2, b2, W3, b3.
W1 = np.array([[1, -1, 1, -1, 1, -1, 1, -1, -1, 1, 1], [1, -1, -1, 1, -1, 1, -1, 1, -1, 1, 1]])
B1 = np.array([-2, 3, 0.5, 0.5, -1.75, 2.25, -3.25, 3.75, 6.25, -5.75, -4.75])
W2 = np.array(
    [
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 1],
        [0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1],
    ]
)
B2 = np.array([-3, -3, -3, -3])
W3 = np.array([[1, 1, 1, 1]])
B3 = np.array([3])


def classifier(dtype):
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(11, "sign"), fnn.Dense(4, "sign"), fnn.Dense(1, "sign")], dtype=dtype)
    for layer, (weight, bias) in enumerate(((W1, B1), (W2.T, B2), (W3.T, B3)), start=1):
        net.parameters[f"dense_{layer}.weight"] = weight
        net.parameters[f"dense_{layer}.bias"] = bias
    return net


def test_the_sign_classifier(isa, dtype):
    """On a grid of step 1/64 all sums are exact, edges included, so every answer must be."""
    axis = np.arange(-64, 6 * 64 + 1) / 64
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    y = classifier(dtype)(x)[:, 0]

    def sign(n):
        return np.where(n >= 0, 1, -1)

    np.testing.assert_array_equal(y, sign(sign(sign(x @ W1 + B1) @ W2.T + B2) @ W3.T + B3)[:, 0])

    # The first layer's lines bound four rectangles in u = x1 + x2 and v = x1 - x2 (AND); the last one joins them (OR).
    u, v = x.sum(axis=1), x[:, 0] - x[:, 1]

    def rectangle(u0, u1, v0, v1):
        return (u0 <= u) & (u <= u1) & (v0 <= v) & (v <= v1)

    inside = (
        rectangle(2, 3, -0.5, 0.5)
        | rectangle(4.75, 6.25, 1.75, 2.25)
        | rectangle(5.75, 6.25, 1.75, 3.75)
        | rectangle(4.75, 6.25, 3.25, 3.75)
    )
    np.testing.assert_array_equal(y, np.where(inside, 1, -1))
    assert 0.01 < inside.mean() < 0.5


def test_the_sign_classifier_cannot_be_trained():
    with pytest.raises(ValueError, match="dense_1: sign is not differentiable"):
        classifier("float32").fit([[0, 0]], [[1]])


def approximator(dtype, w2=(1, 1), b2=0):
    """The notes' 2-layer network: logsig steps, each centred where the net input is zero, then a linear sum."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(2, "sigmoid"), fnn.Dense(1)], dtype=dtype)
    net.parameters["dense_1.weight"] = [[10, 10]]
    net.parameters["dense_1.bias"] = [-10, 10]
    net.parameters["dense_2.weight"] = np.reshape(w2, (2, 1))
    net.parameters["dense_2.bias"] = [b2]
    return net


def test_the_logsig_approximator(isa, dtype):
    p = np.linspace(-3, 3, 601)[:, None]
    tolerance = 32 * np.finfo(dtype).eps
    for w2, b2 in (((1, 1), 0), ((-1, 1), 0), ((1, 1), -1)):
        expected = (1 / (1 + np.exp(-(p * [[10, 10]] + [-10, 10])))) @ np.reshape(w2, (2, 1)) + b2
        # p itself is rounded to dtype, and a slope of 10 carries that on.
        np.testing.assert_allclose(approximator(dtype, w2, b2)(p), expected, atol=16 * tolerance)
    y = approximator(dtype)(np.array([[-3], [-1], [0], [1], [3]]))[:, 0]
    np.testing.assert_allclose(y, [0, 0.5, 1, 1.5, 2], atol=1e-8 + tolerance)  # exp(-20) of the other step


XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR_Y = np.array([0, 1, 1, 0])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_xor(dtype, seed):
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(4, "tanh"), fnn.Dense(1, "sigmoid")], dtype=dtype, seed=seed)
    history = net.fit(XOR_X, XOR_Y, optimizer=fnn.Adam(0.05), epochs=600, batch_size=4, seed=seed)
    assert net.predict(XOR_X).tolist() == XOR_Y.tolist()
    assert history.loss[-1] < 0.1 < history.loss[0]


def test_xor_is_impossible_for_a_linear_model():
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1, "sigmoid")], seed=0)
    net.fit(XOR_X, XOR_Y, optimizer=fnn.Adam(0.05), epochs=600, batch_size=4, seed=0)
    assert net.evaluate(XOR_X, XOR_Y)["accuracy"] <= 0.75
    assert net.evaluate(XOR_X, XOR_Y)["loss"] >= np.log(2) - 1e-6  # the best a line can do is to say 1/2


def test_two_layers_approximate_a_function():
    x = np.linspace(-1, 1, 128)[:, None]
    y = np.sin(np.pi * x)
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(16, "sigmoid"), fnn.Dense(1)], dtype="float64", seed=0)
    net.fit(x, y, optimizer=fnn.Adam(0.05), epochs=400, batch_size=32, schedule=fnn.CosineDecay(400), seed=0)
    assert np.abs(net(x) - y).max() < 0.1


def test_five_maxout_pieces_approximate_a_parabola():
    x = np.linspace(-1, 1, 128)[:, None]
    net = fnn.Sequential([fnn.Input(1), fnn.Maxout(1, pieces=5)], dtype="float64", seed=0)
    net.fit(x, x**2, optimizer=fnn.Adam(0.02), epochs=600, batch_size=32, schedule=fnn.CosineDecay(600), seed=0)
    assert net.evaluate(x, x**2)["r2"] > 0.98
