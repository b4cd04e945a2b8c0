"""The oracle's activations: against mpmath and SciPy, finite differences, and a table of edges."""

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


def test_oracles_are_listed_by_their_names():
    for oracles in (ACTIVATIONS, reference.LOSSES):
        assert all(oracle.name == name for name, oracle in oracles.items())


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
