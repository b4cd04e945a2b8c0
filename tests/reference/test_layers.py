"""The oracle's layers: against finite differences and calculations by hand."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fnnfast import reference
from oracles import central_difference

INF, NAN = math.inf, math.nan
ACTIVATIONS = reference.ACTIVATIONS
ELEMENTWISE = [name for name, f in ACTIVATIONS.items() if not f.rowwise]
SMOOTH = [name for name in ELEMENTWISE if ACTIVATIONS[name].differentiable]


@pytest.mark.parametrize("name", [*SMOOTH, "softmax"])
def test_dense_backward(name):
    rng = np.random.default_rng(5)
    x, w, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
    dy, alpha = rng.normal(size=(2, 3, 5)), rng.uniform(0.2, 1.5, 5)
    parameter = alpha if ACTIVATIONS[name].default is not None else None

    def loss(x=x, w=w, b=b, parameter=parameter):
        return float(np.sum(dy * reference.dense(x, w, b, name, parameter)))

    y, z = reference.dense_forward(x, w, b, name, parameter)
    assert y.shape == z.shape == (2, 3, 5)
    assert all(np.abs(z - kink).min() > 1e-4 for kink in ACTIVATIONS[name].kinks), "a kink too near"
    gradients = reference.dense_backward(dy, x, w, z, name, parameter)
    assert_allclose(gradients.x, central_difference(lambda a: loss(x=a), x), atol=1e-7)
    assert_allclose(gradients.weight, central_difference(lambda a: loss(w=a), w), atol=1e-7)
    assert_allclose(gradients.bias, central_difference(lambda a: loss(b=a), b), atol=1e-7)
    if ACTIVATIONS[name].learned:
        assert_allclose(gradients.alpha, central_difference(lambda a: loss(parameter=a), alpha), atol=1e-7)
    else:
        assert gradients.alpha is None


def test_dense_of_one_vector_and_without_bias():
    x, w = np.array([1.0, 2.0]), np.array([[1.0, -1.0, 0.5], [0.25, 3.0, -2.0]])
    assert_array_equal(reference.dense(x, w), [1.5, 5.0, -3.5])
    assert_array_equal(reference.dense(x, w, None, "relu"), [1.5, 5.0, 0.0])
    assert reference.dense(np.ones((0, 2)), w).shape == (0, 3)


def test_maxout():
    rng = np.random.default_rng(6)
    x, w, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4, 6)), rng.normal(size=(5, 6))
    y, winner = reference.maxout_forward(x, w, b)
    z = np.einsum("abi,pio->pabo", x, w) + b[:, None, None, :]
    assert_allclose(y, z.max(axis=0), rtol=1e-14)
    assert_array_equal(winner, z.argmax(axis=0))
    dy = rng.normal(size=y.shape)
    gap = np.sort(z, axis=0)
    assert (gap[-1] - gap[-2]).min() > 1e-4, "a kink too near"

    def loss(x=x, w=w, b=b):
        return float(np.sum(dy * reference.maxout(x, w, b)))

    gradients = reference.maxout_backward(dy, x, w, winner)
    assert_allclose(gradients.x, central_difference(lambda a: loss(x=a), x), atol=1e-7)
    assert_allclose(gradients.weight, central_difference(lambda a: loss(w=a), w), atol=1e-7)
    assert_allclose(gradients.bias, central_difference(lambda a: loss(b=a), b), atol=1e-7)


def test_maxout_ties_and_nan():
    x = np.array([[1.0]])
    pieces = np.array([[2.0, NAN, INF, -INF, 1], [2.0, 5.0, NAN, -INF, NAN], [1.0, NAN, INF, -INF, NAN]])
    y, winner = reference.maxout_forward(x, pieces[:, None, :])
    assert_array_equal(winner, [[0, 0, 1, 0, 1]])
    assert_array_equal(y, [[2.0, NAN, NAN, -INF, NAN]])


def test_abs_is_a_maxout_of_two_pieces():
    x = np.linspace(-2, 2, 9)[:, None]
    assert_array_equal(reference.maxout(x, np.array([[[1.0]], [[-1.0]]])), np.abs(x))


def test_low_precision_by_hand():
    assert reference.to_bfloat16(np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3.4e38])).tolist() == [1, 1, 1 + 2**-6, -INF]
    weight = np.array([[127.0, 1], [-3.3, -0.5], [0, 0.25]])
    scales = reference.scales(-1.0, 254.0, weight)
    assert scales[:2] == (1, 1)
    assert scales.weight_scale.tolist() == [1, np.float32(1) / np.float32(127)]
    x = np.array([[2.4, -9, 300], [0.5, 1.5, NAN]])
    assert_array_equal(reference.input_codes(x, scales), [[3, 0, 255], [1, 3, NAN]])
    assert_array_equal(reference.weight_codes(weight, scales.weight_scale), [[127, 127], [-3, -64], [0, 32]])
    z = reference.quantized_pre_activation(x, weight, np.array([0.5, 0]), scales)
    assert_allclose(z, [[2 * 127 + 3 + 0.5, (2 * 127 + 64 + 254 * 32) / 127], [NAN, NAN]], rtol=1e-7)


@pytest.mark.parametrize("pieces", [0, 3])
def test_integers_stand_for_reals(pieces):
    """For those within half a step; and a layer of the integers is the layer of what they stand for."""
    rng = np.random.default_rng(6)
    x, weight = rng.uniform(-1, 3, (9, 20)), rng.normal(size=(pieces, 20, 5) if pieces else (20, 5))
    bias = rng.normal(size=(pieces, 5) if pieces else 5)
    scales = reference.scales(-1.0, 3.0, weight)
    steps = scales.weight_scale[..., None, :].astype(float)
    near_x = (reference.input_codes(x, scales).astype(float) - scales.zero_point) * scales.input_scale
    near_weight = reference.weight_codes(weight, scales.weight_scale).astype(float) * steps
    assert (np.abs(near_x - x) <= 0.501 * scales.input_scale).all()
    assert (np.abs(near_weight - weight) <= 0.501 * steps).all()
    if pieces:
        got, expected = reference.quantized_maxout(x, weight, bias, scales), reference.maxout(near_x, near_weight, bias)
    else:
        got = reference.quantized_dense(x, weight, bias, scales, "tanh")
        expected = reference.dense(near_x, near_weight, bias, "tanh")
    assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
