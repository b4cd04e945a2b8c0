"""The oracles themselves: against mpmath, SciPy, finite differences, calculations by hand, and a table of edges."""

import ast
import itertools
import math
import sys
import warnings
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from fnnfast import reference

INF, NAN = math.inf, math.nan
ACTIVATIONS = reference.ACTIVATIONS
ELEMENTWISE = [name for name, f in ACTIVATIONS.items() if not f.rowwise]
SMOOTH = [name for name in ELEMENTWISE if ACTIVATIONS[name].differentiable]

mpmath.mp.dps = 40
_L, _A = mpmath.mpf("1.0507009873554804934193349852946"), mpmath.mpf("1.6732632423543772848170429916717")
TRUTH = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "leaky_relu": lambda z: z if z > 0 else mpmath.mpf(0.01) * z,
    "prelu": lambda z: z if z > 0 else z / 4,
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "elu_learned": lambda z: z if z > 0 else mpmath.expm1(z),
    "selu": lambda z: _L * (z if z > 0 else _A * mpmath.expm1(z)),
    "gelu": lambda z: z * mpmath.ncdf(z),
    "gelu_tanh": lambda z: z / (1 + mpmath.exp(-2 * mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3))),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "swish": lambda z: z / (1 + mpmath.exp(-z)),
    "relu6": lambda z: min(max(z, mpmath.mpf(0)), mpmath.mpf(6)),
    "hard_tanh": lambda z: min(max(z, mpmath.mpf(-1)), mpmath.mpf(1)),
    "hard_sigmoid": lambda z: min(max(z / 6 + 0.5, mpmath.mpf(0)), mpmath.mpf(1)),
    "hard_swish": lambda z: z * min(max(z / 6 + 0.5, mpmath.mpf(0)), mpmath.mpf(1)),
    "mish": lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
    "softsign": lambda z: z / (1 + abs(z)),
    "celu": lambda z: z if z > 0 else mpmath.expm1(z),
    "exponential": mpmath.exp,
    "log_sigmoid": lambda z: -mpmath.log1p(mpmath.exp(-z)),
}


def test_the_registries_have_the_names_of_the_kernels():
    assert all(ACTIVATIONS[name].name == name for name in ACTIVATIONS)
    assert list(reference.LOSSES) == [
        *("categorical_cross_entropy", "binary_cross_entropy", "squared_error"),
        *("gaussian", "gaussian_learned", "hinge", "multiclass_hinge", "poisson"),
    ]


@pytest.mark.parametrize("name", SMOOTH)
def test_derivative_is_the_slope_of_forward(name):
    """And jumps at no other places than its kinks, for some parameter at least."""
    f, h = ACTIVATIONS[name], 1e-6
    z = np.linspace(-9, 9, 1801) + 0.00123
    parameter = None if f.default is None else f.default + 0.3
    difference = (f.forward(z + h, parameter) - f.forward(z - h, parameter)) / (2 * h)
    assert_allclose(f.derivative(z, parameter), difference, rtol=1e-7, atol=1e-8)
    below, above = f.derivative(z[:-1], parameter), f.derivative(z[1:], parameter)
    jumps = np.abs(above - below) > 0.05 * np.maximum(1, np.abs(below))
    near = [any(a < kink < b for kink in f.kinks) for a, b in itertools.pairwise(z)]
    assert_array_equal(jumps, near)


def test_an_activation_cannot_be_changed():
    with pytest.raises(AttributeError):
        ACTIVATIONS["relu"].default = 3.0


def test_nothing_of_ours_is_imported():
    """Nor anything but NumPy and the standard library; CuPy is taken from whoever made the arrays."""
    for path in Path(reference.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module.partition(".")[0] in {"numpy", *sys.stdlib_module_names}, path
            elif isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= {"numpy", *sys.stdlib_module_names}, path


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_forward_against_mpmath(name):
    rng = np.random.default_rng(1)
    z = np.concatenate([rng.uniform(-8, 8, 120), rng.uniform(-30, 30, 40), 10.0 ** rng.uniform(-12, -1, 20), [0.0]])
    z = np.concatenate([z, -z])
    y = ACTIVATIONS[name].forward(z)
    truth = np.array([float(TRUTH[name](mpmath.mpf(v))) for v in z.tolist()])
    # The argument of an exponential is off by eps/2 of itself; gelu's and gelu_tanh's grow with the square of z.
    growth = 1 + np.abs(z) + (z**2 if "gelu" in name else 0) + (np.abs(z) ** 3 / 4 if name == "gelu_tanh" else 0)
    assert np.all(np.abs(y - truth) <= 4 * np.finfo(float).eps * growth * np.abs(truth) + 5e-324)


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_derivative_against_mpmath(name):
    z = np.concatenate([np.linspace(-9, 9, 61) + 0.0123, [-25.0, 25.0]])
    slope = ACTIVATIONS[name].derivative(z)
    truth = np.array([float(mpmath.diff(TRUTH[name], mpmath.mpf(v))) for v in z.tolist()])
    assert_allclose(slope, truth, rtol=3e-13, atol=1e-15)


@pytest.mark.parametrize("beta", [-2.0, 0.0, 0.3, 1.0, 7.5])
def test_swish_for_any_beta(beta):
    z = np.linspace(-20, 20, 101)
    swish = ACTIVATIONS["swish"]
    assert_allclose(swish.forward(z, beta), z * scipy.special.expit(beta * z), rtol=1e-14)
    h = 1e-6
    difference = (swish.forward(z + h, beta) - swish.forward(z - h, beta)) / (2 * h)
    assert_allclose(swish.derivative(z, beta), difference, atol=1e-8)


@pytest.mark.parametrize("name", ["leaky_relu", "prelu", "elu", "elu_learned"])
def test_a_parameter_per_neuron(name):
    rng = np.random.default_rng(2)
    z, alpha = rng.normal(size=(4, 3, 5)), rng.uniform(0.1, 2, 5)
    f = ACTIVATIONS[name]
    columns = [f.forward(z[..., j], alpha[j]) for j in range(5)]
    assert_array_equal(f.forward(z, alpha), np.stack(columns, axis=-1))
    columns = [f.derivative(z[..., j], alpha[j]) for j in range(5)]
    assert_array_equal(f.derivative(z, alpha), np.stack(columns, axis=-1))


@pytest.mark.parametrize("name", ["prelu", "elu_learned"])
def test_parameter_gradient(name):
    z, h = np.linspace(-5, 5, 41), 1e-6
    f = ACTIVATIONS[name]
    difference = (f.forward(z, 0.7 + h) - f.forward(z, 0.7 - h)) / (2 * h)
    assert_allclose(f.parameter_gradient(z, 0.7), difference, atol=1e-9)


def test_no_derivative_where_there_is_none():
    for name in ("step", "sign", "softmax"):
        with pytest.raises(TypeError, match=f"{name} has no elementwise derivative"):
            ACTIVATIONS[name].derivative(np.ones(3))
    with pytest.raises(TypeError, match="relu has no learned parameter"):
        ACTIVATIONS["relu"].parameter_gradient(np.ones(3))


EDGES = {  # name: (value at -inf, at +inf, at 0, derivative at -inf, at +inf, at 0)
    "identity": (-INF, INF, 0, 1, 1, 1),
    "step": (0, 1, 1, None, None, None),
    "sign": (-1, 1, 1, None, None, None),
    "sigmoid": (0, 1, 0.5, 0, 0, 0.25),
    "tanh": (-1, 1, 0, 0, 0, 1),
    "relu": (0, INF, 0, 0, 1, 0),
    "leaky_relu": (-INF, INF, 0, 0.01, 1, 0.01),
    "prelu": (-INF, INF, 0, 0.25, 1, 0.25),
    "elu": (-1, INF, 0, 0, 1, 1),
    "elu_learned": (-1, INF, 0, 0, 1, 1),
    "selu": (-1.7580993408473766, INF, 0, 0, 1.0507009873554805, 1.7580993408473766),
    "gelu": (0, INF, 0, 0, 1, 0.5),
    "gelu_tanh": (0, INF, 0, 0, 1, 0.5),
    "softplus": (0, INF, math.log(2), 0, 1, 0.5),
    "swish": (0, INF, 0, 0, 1, 0.5),
    "relu6": (0, 6, 0, 0, 0, 0),
    "hard_tanh": (-1, 1, 0, 0, 0, 1),
    "hard_sigmoid": (0, 1, 0.5, 0, 0, 1 / 6),
    "hard_swish": (0, INF, 0, 0, 1, 0.5),
    "mish": (0, INF, 0, 0, 1, 0.6),
    "softsign": (-1, 1, 0, 0, 0, 1),
    "celu": (-1, INF, 0, 0, 1, 1),
    "exponential": (0, INF, 1, 0, INF, 1),
    "log_sigmoid": (-INF, 0, -math.log(2), 1, 0, 0.5),
}


def test_at_a_kink_the_derivative_is_that_of_the_side_that_goes_on():
    expected = {"relu6": [0, 0], "hard_tanh": [0, 0], "hard_sigmoid": [0, 0], "hard_swish": [0, 1]}
    for name, slopes in expected.items():
        f = ACTIVATIONS[name]
        assert f.derivative(np.array(f.kinks)).tolist() == slopes


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_edges(name):
    f = ACTIVATIONS[name]
    at = np.array([-INF, INF, 0.0, NAN, -1e308, 1e308, 5e-324, -5e-324])
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        y = f.forward(at)
        slope = f.derivative(at) if f.differentiable else None
    if name in EDGES:
        assert_allclose(y[:3], EDGES[name][:3], rtol=1e-15)
    assert np.isnan(y[3])
    assert not np.isnan(np.delete(y, 3)).any()
    if f.differentiable:
        assert_allclose(y[4:6], f.forward(np.array([-1e308, 1e308])))
        if name in EDGES:
            assert_allclose(slope[:3], EDGES[name][3:], rtol=1e-15, atol=1e-300)
        assert np.isnan(slope[3])
        assert not np.isnan(np.delete(slope, 3)).any()


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "swish"])
def test_the_limit_from_below_is_negative_zero(name):
    y = ACTIVATIONS[name].forward(np.array([-INF, -1e300, -0.0]))
    assert_array_equal(y, 0.0)
    assert np.signbit(y).all()


@pytest.mark.parametrize(
    ("name", "parameter", "limits"),
    [
        ("swish", 0.0, (-INF, INF)),
        ("swish", -1.0, (-INF, 0.0)),
        ("leaky_relu", 0.0, (0.0, INF)),
        ("prelu", 0.0, (0.0, INF)),
        ("prelu", -0.5, (INF, INF)),
        ("elu", 2.5, (-2.5, INF)),
        ("elu_learned", -1.5, (1.5, INF)),
        ("celu", 2.5, (-2.5, INF)),
    ],
)
def test_limits_with_a_parameter(name, parameter, limits):
    f = ACTIVATIONS[name]
    assert_array_equal(f.forward(np.array([-INF, INF]), parameter), limits)
    assert np.isnan(f.forward(np.array(NAN), parameter))
    assert np.isnan(f.derivative(np.array(NAN), parameter))


def test_softmax():
    f = ACTIVATIONS["softmax"]
    z = np.random.default_rng(3).normal(size=(3, 4, 7)) * 20
    assert_allclose(f.forward(z), scipy.special.softmax(z, axis=-1), rtol=1e-13)
    assert_array_equal(f.forward(np.array([[1e308, -1e308, 0.0]])), [[1, 0, 0]])
    assert_array_equal(f.forward(np.array([[1.0, INF, -INF, 3.0]])), [[0, 1, 0, 0]])
    assert_array_equal(f.forward(np.array([[-INF, 2.0, 2.0, -INF]])), [[0, 0.5, 0.5, 0]])
    assert np.isnan(f.forward(np.array([[1.0, NAN, 2.0]]))).all()


def test_softmax_backward_is_the_jacobian_vector_product():
    rng = np.random.default_rng(4)
    f, z, dy = ACTIVATIONS["softmax"], rng.normal(size=6), rng.normal(size=6)
    y = f.forward(z)
    jacobian = np.diag(y) - np.outer(y, y)
    assert_allclose(f.backward(dy, z), jacobian @ dy, atol=1e-15)


def central_difference(function, array, h=1e-6):
    """d function / d array, element by element, of a function of an array to a number."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + h
        above = function(array)
        array[index] = kept - h
        gradient[index] = (above - function(array)) / (2 * h)
        array[index] = kept
    return gradient


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
