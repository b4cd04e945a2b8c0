"""Backward: float64 against central differences of the layer's own forward, both dtypes against the oracle."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fnnfast as fnn
from factories import CASES, DIFFERENTIABLE, KINKS, LAYOUTS, dense_problem, maxout_problem, normal
from fnnfast import reference
from oracles import (
    assert_same_bits,
    assert_within,
    central_difference,
    dense_gradient_tolerance,
    maxout_gradient_tolerance,
    maxout_tolerance,
    z_tolerance,
)

F64 = np.dtype(np.float64)
STEP = 2.0**-17  # its square is the error of a central difference, eps over it that of the quotient: both about 1e-10


def until(problem, distance):
    """The first random problem whose every point is further from a kink than the differences reach."""
    for seed in range(1000):
        arrays = problem(np.random.default_rng(seed))
        if distance(*arrays) > 1e-3:
            return arrays
    raise AssertionError("no problem without a kink nearby")


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_dense_against_finite_differences(backend, isa, name):
    b, i, o = 3, 4, 5
    x, weight, bias = until(
        lambda rng: dense_problem(rng, b, i, o, F64),
        lambda *a: min(np.abs(reference.pre_activation(*a) - kink).min() for kink in KINKS[name] or (0.0,)),
    )
    dy = normal(np.random.default_rng(1), F64, b, o)
    alpha = np.random.default_rng(2).uniform(0.1, 1.5, o)
    case, learned = CASES[name], reference.ACTIVATIONS[name].learned
    f = case.of(alpha) if learned else case.make(o, F64)[0]

    def loss(_):
        g = case.of(alpha) if learned else f
        return float(np.sum(dy * backend.host(fnn.dense(*map(backend.array, (x, weight, bias)), g))))

    _, saved = fnn.dense_forward(*map(backend.array, (x, weight, bias)), f)
    grads = fnn.dense_backward(*map(backend.array, (dy, x, weight)), saved, f)
    assert_allclose(backend.host(grads.x), central_difference(loss, x, STEP), atol=1e-6, rtol=0)
    assert_allclose(backend.host(grads.weight), central_difference(loss, weight, STEP), atol=1e-6, rtol=0)
    assert_allclose(backend.host(grads.bias), central_difference(loss, bias, STEP), atol=1e-6, rtol=0)
    if learned:
        assert_allclose(backend.host(grads.alpha), central_difference(loss, alpha, STEP), atol=1e-6, rtol=0)
    else:
        assert grads.alpha is None


@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
def test_maxout_against_finite_differences(backend, isa, pieces):
    def gap(x, weight, bias):
        z = np.sort(reference.pieces(x, weight, bias), axis=0)
        return (z[-1] - z[-2]).min() if pieces > 1 else np.inf

    x, weight, bias = until(lambda rng: maxout_problem(rng, 3, pieces, 4, 5, F64), gap)
    dy = normal(np.random.default_rng(1), F64, 3, 5)

    def loss(_):
        return float(np.sum(dy * backend.host(fnn.maxout(*map(backend.array, (x, weight, bias))))))

    _, saved = fnn.maxout_forward(*map(backend.array, (x, weight, bias)))
    grads = fnn.maxout_backward(*map(backend.array, (dy, x, weight)), saved)
    assert_allclose(backend.host(grads.x), central_difference(loss, x, STEP), atol=1e-6, rtol=0)
    assert_allclose(backend.host(grads.weight), central_difference(loss, weight, STEP), atol=1e-6, rtol=0)
    assert_allclose(backend.host(grads.bias), central_difference(loss, bias, STEP), atol=1e-6, rtol=0)


# Shapes that reach the tails of rows (the sums over the batch), inputs and units.
SHAPES = [
    (1, 1, 1), (1, 7, 3), (2, 3, 17), (5, 16, 16), (13, 31, 9), (33, 6, 65), (47, 65, 33), (100, 20, 7), (257, 5, 4),
]  # fmt: skip


def check_dense(backend, b, i, o, dtype, name):
    """Against the oracle, with no gradient where the side of a kink is not sure."""
    rng = np.random.default_rng([b, i, o])
    x, weight, bias = dense_problem(rng, b, i, o, dtype)
    dy = normal(rng, dtype, b, o)
    f, parameter = CASES[name].make(o, dtype)
    _, z = reference.dense_forward(x, weight, bias, name, parameter)
    for kink in KINKS[name]:
        dy[np.abs(z - kink) <= z_tolerance(x, weight, bias)] = 0
    _, saved = fnn.dense_forward(*map(backend.array, (x, weight, bias)), f)
    grads = fnn.dense_backward(*map(backend.array, (dy, x, weight)), saved, f)
    expected = reference.dense_backward(dy, x, weight, z, name, parameter)
    tolerance = dense_gradient_tolerance(dy, x, weight, bias, z, name, parameter)
    for field in ("x", "weight", "bias", "alpha"):
        got, wanted, allowed = (getattr(g, field) for g in (grads, expected, tolerance))
        if wanted is None:
            assert got is None
        else:
            assert got.dtype == dtype
            assert_within(backend.host(got), wanted, allowed)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_dense_against_the_oracle(backend, isa, dtype, name):
    for b, i, o in SHAPES:
        check_dense(backend, b, i, o, dtype, name)


@pytest.mark.parametrize("name", ["identity", "prelu", "softmax"])
def test_dense_sizes(backend, isa, dtype, name):
    """Each dimension through its tails."""
    for n in backend.some((*range(1, 36, 2), 48, 63, 64, 65, 96, 127, 128, 129, 200, 255, 256, 300), 10):
        for b, i, o in ((n, 5, 3), (3, n, 5), (5, 3, n)):
            check_dense(backend, b, i, o, dtype, name)


@pytest.mark.parametrize("shape", [(2600, 7, 70), (1500, 130, 3), (9, 40, 2600)])
def test_dense_sums_longer_than_the_cache_takes_at_a_time(backend, isa, dtype, shape):
    """Over rows for the weights, over units for the inputs."""
    check_dense(backend, *shape, dtype, "identity")


def check_maxout(backend, b, p, i, o, dtype):
    """Against the oracle, with no gradient where the winner is not sure."""
    rng = np.random.default_rng([b, p, i, o])
    x, weight, bias = maxout_problem(rng, b, p, i, o, dtype)
    dy = normal(rng, dtype, b, o)
    _, winner = reference.maxout_forward(x, weight, bias)
    if p > 1:
        z = np.sort(reference.pieces(x, weight, bias), axis=0)
        dy[z[-1] - z[-2] <= 2 * maxout_tolerance(x, weight, bias)] = 0
    _, saved = fnn.maxout_forward(*map(backend.array, (x, weight, bias)))
    grads = fnn.maxout_backward(*map(backend.array, (dy, x, weight)), saved)
    expected = reference.maxout_backward(dy, x, weight, winner)
    tolerance = maxout_gradient_tolerance(dy, x, weight, winner)
    for field in ("x", "weight", "bias"):
        got = getattr(grads, field)
        assert got.dtype == dtype
        assert_within(backend.host(got), getattr(expected, field), getattr(tolerance, field))


@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 9, 256])
def test_maxout_against_the_oracle(backend, isa, dtype, pieces):
    for b, i, o in SHAPES if pieces < 256 else SHAPES[:4]:
        check_maxout(backend, b, pieces, i, o, dtype)


def test_maxout_sizes(backend, isa, dtype):
    for n in backend.some((*range(1, 36, 2), 48, 63, 64, 65, 96, 127, 128, 129, 200, 255, 256, 300), 10):
        for b, i, o in ((n, 5, 3), (3, n, 5), (5, 3, n)):
            check_maxout(backend, b, 3, i, o, dtype)


def test_larger_maxout(backend, isa, dtype):
    """More rows, units and inputs than are taken at a time."""
    shapes = ((4200, 2, 9, 20), (70, 4, 150, 300), (130, 9, 300, 75), (200, 3, 33, 1100))
    for b, p, i, o in backend.some(shapes, 2):
        check_maxout(backend, b, p, i, o, dtype)


@pytest.mark.parametrize(("b", "i", "o"), [(3, 0, 4), (70, 0, 300), (3, 4, 0), (0, 4, 5), (0, 0, 0)])
def test_nothing_in_a_dimension(backend, isa, dtype, b, i, o):
    for pieces in (1, 2, 5):
        check_maxout(backend, b, pieces, i, o, dtype)
    check_dense(backend, b, i, o, dtype, "tanh")


def test_a_piece_that_never_wins_has_no_gradient(backend, isa, dtype):
    x, weight, bias = maxout_problem(np.random.default_rng(3), 20, 3, 6, 9, dtype)
    bias[1] -= 1000
    _, saved = fnn.maxout_forward(*map(backend.array, (x, weight, bias)))
    grads = fnn.maxout_backward(*map(backend.array, (np.ones((20, 9), dtype), x, weight)), saved)
    assert not backend.host(grads.weight)[1].any()
    assert not backend.host(grads.bias)[1].any()
    assert backend.host(grads.bias).sum() == 180


def test_softplus_learns_from_its_left_tail(backend, isa, dtype):
    """Its derivative is taken from the output, which is as small as it is: not as 1 less what is nearly 1."""
    z = np.linspace(-80, 20, 301).astype(dtype)[:, None]
    one = backend.array(np.ones((1, 1), dtype))
    _, saved = fnn.dense_forward(backend.array(z), one, activation="softplus")
    grads = fnn.dense_backward(backend.array(np.ones_like(z)), backend.array(z), one, saved, "softplus")
    expected = reference.ACTIVATIONS["softplus"].derivative(z.astype(float))
    assert_allclose(backend.host(grads.x), expected, rtol=16 * float(np.finfo(dtype).eps))


def test_relu_has_no_gradient_at_zero(backend, isa, dtype):
    x = np.array([[0.0], [-0.0], [1.0], [-1.0]], dtype)
    one, dy = np.ones((1, 1), dtype), np.ones((4, 1), dtype)
    _, saved = fnn.dense_forward(backend.array(x), backend.array(one), None, "relu")
    grads = fnn.dense_backward(*map(backend.array, (dy, x, one)), saved, "relu")
    assert backend.host(grads.x).ravel().tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("name", ["prelu", "gelu", "softmax"])
def test_leading_axes_layouts_and_promotion(backend, isa, name):
    """Gradients of x (..., I) are those of its rows; any layout is the same array; mixed dtypes promote."""
    rng = np.random.default_rng(4)
    dtype = np.dtype(np.float32)
    x, weight, bias = dense_problem(rng, 12, 7, 9, dtype)
    dy, f = normal(rng, dtype, 12, 9), CASES[name].make(9, dtype)[0]
    saved = backend.host(fnn.dense_forward(*map(backend.array, (x, weight, bias)), f)[1])
    flat = fnn.dense_backward(*map(backend.array, (dy, x, weight, saved)), f)
    for layout in LAYOUTS:
        for lead in ((12,), (3, 4), (2, 3, 2)):
            arrays = dy.reshape(*lead, 9), x.reshape(*lead, 7), weight, saved.reshape(*lead, 9)
            grads = fnn.dense_backward(*(backend.lay(array, layout) for array in arrays), f)
            assert_same_gradients(backend, grads, flat, (*lead, 7))
    wide = fnn.dense_backward(*map(backend.array, (dy.astype(F64), x, weight, saved)), f)
    assert wide.weight.dtype == F64
    one = fnn.dense_backward(*map(backend.array, (dy[0], x[0], weight, saved[0])), f)
    assert one.x.shape == (7,)
    assert_same_bits(backend.host(one.x), backend.host(flat.x)[0])


def assert_same_gradients(backend, got, flat, shape):
    """Those of x (..., I) as those of its rows."""
    assert got.x.shape == shape
    assert_same_bits(backend.host(got.x).reshape(flat.x.shape), backend.host(flat.x))
    assert_same_bits(backend.host(got.weight), backend.host(flat.weight))
    assert_same_bits(backend.host(got.bias), backend.host(flat.bias))


def test_maxout_leading_axes_and_layouts(backend, isa):
    rng = np.random.default_rng(5)
    dtype = np.dtype(np.float32)
    x, weight, bias = maxout_problem(rng, 12, 3, 7, 9, dtype)
    dy = normal(rng, dtype, 12, 9)
    saved = backend.host(fnn.maxout_forward(*map(backend.array, (x, weight, bias)))[1])
    flat = fnn.maxout_backward(*map(backend.array, (dy, x, weight, saved)))
    for layout in LAYOUTS:
        for lead in ((12,), (3, 4), (2, 3, 2)):
            arrays = dy.reshape(*lead, 9), x.reshape(*lead, 7), weight, saved.reshape(*lead, 9)
            grads = fnn.maxout_backward(*(backend.lay(array, layout) for array in arrays))
            assert_same_gradients(backend, grads, flat, (*lead, 7))


def test_a_scalar_slope_has_a_gradient_per_neuron(backend, isa, dtype):
    x, weight, bias = dense_problem(np.random.default_rng(6), 8, 4, 6, dtype)
    dy = np.ones((8, 6), dtype)
    for f, g in ((fnn.PReLU(0.25), fnn.PReLU([0.25] * 6)), (fnn.ELU(learn=True), fnn.ELU([1.0] * 6, learn=True))):
        _, saved = fnn.dense_forward(*map(backend.array, (x, weight, bias)), f)
        one = fnn.dense_backward(*map(backend.array, (dy, x, weight)), saved, f)
        each = fnn.dense_backward(*map(backend.array, (dy, x, weight)), saved, g)
        assert one.alpha.shape == (6,)
        assert_same_bits(backend.host(one.alpha), backend.host(each.alpha))
        assert_same_bits(backend.host(one.x), backend.host(each.x))
