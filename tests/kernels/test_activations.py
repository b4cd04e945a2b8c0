"""Activations as objects: values, derivatives, edges, dtypes; and the registry of the kernels against the oracles'."""

import doctest

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fnnfast as fnn
from factories import CASES, ELEMENTWISE, JUMPS, LAYOUTS, SMOOTH, THROUGH_ZERO, VANISHING
from fnnfast import _cpu, reference
from fnnfast.activations import _names
from oracles import assert_same_bits, assert_within, eps

INF, NAN = np.inf, np.nan


def test_the_registry_of_the_kernels_is_that_of_the_oracles():
    kernels = {info["name"]: info for info in _cpu.activations()}
    assert list(kernels) == list(reference.ACTIVATIONS) == list(CASES)
    for name, oracle in reference.ACTIVATIONS.items():
        assert kernels[name]["differentiable"] == oracle.differentiable
        assert kernels[name]["rowwise"] == oracle.rowwise
        assert kernels[name]["parameter"] == (oracle.default is not None)
        assert kernels[name]["learned"] == oracle.learned
        if oracle.default is not None:
            assert kernels[name]["default"] == oracle.default
        assert kernels[name]["init"] in ("xavier", "he", "lecun")
        assert kernels[name]["saves"] in ("input", "output", "nothing")


def test_every_kernel_is_found_by_its_name():
    for name, case in CASES.items():
        assert case.make(3, np.dtype(np.float32))[0].kernel == fnn.activations.get(name).kernel == name


def test_the_examples_are_right():
    tried = doctest.testmod(fnn.activations)
    assert tried.failed == 0
    assert tried.attempted > 8


def test_every_class_is_public():
    for cls in _names.CLASSES:
        assert getattr(fnn, cls.__name__) is cls
        assert cls.__name__ in fnn.__all__
        assert type(fnn.activations.get(cls.__name__)) is type(fnn.activations.get(cls.name)) is cls


@pytest.mark.parametrize("name", list(CASES))
def test_an_activation_is_a_frozen_object(name):
    f = CASES[name].make(3, np.dtype(np.float64))[0]
    assert f.differentiable == (name not in JUMPS)
    assert type(fnn.activations.get(f.name)) is type(f)
    with pytest.raises(AttributeError):
        f.name = "other"
    with pytest.raises(AttributeError):
        f.parameter = 3.0


def test_get():
    for name in {case.make(3, np.dtype(np.float64))[0].name for case in CASES.values()}:
        assert fnn.activations.get(name).name == name
    assert fnn.activations.get("silu") == fnn.activations.get("SiLU") == fnn.Swish()
    assert fnn.activations.get("linear") == fnn.activations.get(None) == fnn.Identity()
    assert fnn.activations.get("ReLU") == fnn.activations.get("RELU") == fnn.ReLU()
    assert fnn.activations.get("LeakyReLU", alpha=0.2) == fnn.activations.get("Leaky_ReLU", alpha=0.2)
    assert fnn.Dense(3, None) == fnn.Dense(3)
    assert fnn.activations.get(fnn.ELU(alpha=2.0)) == fnn.ELU(alpha=2.0)
    assert fnn.ELU(alpha=2.0) != fnn.ELU()


def test_default_parameters():
    z = np.array([-1.5, 0.5])
    for f, name in (
        (fnn.LeakyReLU(), "leaky_relu"),
        (fnn.PReLU(), "prelu"),
        (fnn.ELU(), "elu"),
        (fnn.ELU(learn=True), "elu_learned"),
        (fnn.Swish(), "swish"),
        (fnn.GELU(), "gelu"),
        (fnn.CELU(), "celu"),
    ):
        assert f.kernel == name
        np.testing.assert_allclose(f(z), reference.ACTIVATIONS[name].forward(z), rtol=1e-15)


def sample(dtype):
    """All exponents and both signs, and densely where the curves bend."""
    if dtype == np.float32:
        every = np.arange(0, 2**32, 99_991, dtype=np.uint64).astype(np.uint32).view(np.float32)
        every = every[np.isfinite(every)]
    else:
        mantissas = np.random.default_rng(1).uniform(1, 2, 2098)
        every = np.ldexp(mantissas, np.arange(-1074, 1024))
        every = np.concatenate([every, -every])
    bends = np.random.default_rng(2).uniform(-20, 20, 8000)
    tails = np.random.default_rng(3).uniform(-110 if dtype == np.float32 else -750, 0, 2000)
    return np.concatenate([every, bends.astype(dtype), tails.astype(dtype)])


def spacing(expected, dtype):
    """The distance between neighbours in dtype at expected."""
    limit = np.nextafter(np.finfo(dtype).max, dtype.type(0))
    return np.spacing(np.clip(np.abs(expected), 0, limit).astype(dtype)).astype(np.float64)


def difference(got, expected):
    """|got - expected|, of equal infinities zero."""
    with np.errstate(invalid="ignore"):
        return np.where(got == expected, 0, np.abs(got - expected))


def argument_error(name, z, dtype):
    """The ulps in the left tail that rounding an exponential's argument costs: about half an ulp times the argument.

    In float64 the oracle's own come on top.
    """
    z = np.clip(-z.astype(np.float64), 0, 800)
    if name == "swish":
        return 1.7 * z
    if name == "gelu_tanh":
        return 4 * (1.6 * z + 0.072 * z**3)
    if name == "gelu" and dtype == np.float64:
        return 2 * z * z
    if reference.ACTIVATIONS[name].default is not None and dtype == np.float64:
        return z
    return np.zeros_like(z)


FEW = 4  # ulps


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_forward_within_a_few_ulp(backend, isa, dtype, name):
    z = sample(dtype)
    f, parameter = CASES[name].make(1, dtype)
    y = backend.host(f(backend.array(z)))
    assert y.dtype == dtype
    expected = reference.ACTIVATIONS[name].forward(z, parameter)
    allowed = 0 if name in ("identity", "step", "sign", "relu") else FEW + argument_error(name, z, dtype)
    if name in VANISHING:  # z times a factor that may be subnormal, and rounded as one
        allowed = allowed + np.abs(z) * (spacing(expected, dtype) == np.finfo(dtype).smallest_subnormal)
    overflown = np.isinf(y) & (np.abs(expected) > np.finfo(dtype).max) & (np.sign(y) == np.sign(expected))
    allowed = allowed * spacing(expected, dtype)
    if (
        name in VANISHING and dtype == np.float64
    ):  # the factor of the oracle's may be subnormal where the product is not
        allowed = allowed + np.abs(z) * np.finfo(dtype).smallest_subnormal * (np.abs(expected) < 1)
    error = difference(y, np.where(overflown, y, expected)) - allowed
    worst = np.argmax(error)
    assert np.all(error <= 0), (z[worst], y[worst], expected[worst])


def test_swish_of_beta_1_within_a_few_ulp(backend, isa, dtype):
    """Its argument is not rounded, so the left tail is as good as the rest, where the sigmoid is subnormal as well."""
    z = sample(np.dtype(np.float32)).astype(dtype)
    y = backend.host(fnn.Swish()(backend.array(z)))
    with np.errstate(over="ignore"):
        expected = z.astype(np.longdouble) / (1 + np.exp(-z.astype(np.longdouble)))
    error = np.abs(y - expected.astype(np.float64)) / spacing(expected.astype(np.float64), dtype)
    assert np.max(error) <= FEW, z[np.argmax(error)]


def test_gelu_by_tanh_within_a_few_ulp(backend, isa, dtype):
    """What rounding the sigmoid's argument takes away, the exponential would magnify: the kernel keeps it apart."""
    z = sample(dtype)
    y = backend.host(fnn.GELU("tanh")(backend.array(z)))
    exact, pi = z.astype(np.longdouble), np.longdouble("3.14159265358979323846264338327950288")
    with np.errstate(over="ignore"):
        twice_u = 2 * np.sqrt(2 / pi) * (exact + np.longdouble("0.044715") * exact**3)
        expected = (exact / (1 + np.exp(-twice_u))).astype(np.float64)
    normal = np.abs(expected) >= np.finfo(dtype).tiny
    error = np.abs(y - expected)[normal] / spacing(expected[normal], dtype)
    assert np.max(error) <= FEW, z[normal][np.argmax(error)]


@pytest.mark.parametrize("name", SMOOTH)
def test_derivative_within_a_few_ulp(backend, isa, dtype, name):
    """Where a derivative passes through zero, within a few eps of its terms."""
    z = sample(dtype)
    f, parameter = CASES[name].make(1, dtype)
    slope = backend.host(f.derivative(backend.array(z)))
    assert slope.dtype == dtype
    expected = reference.ACTIVATIONS[name].derivative(z, parameter)
    # Products of two functions, each good to a few ulp; the normal density's exponent is a rounded square.
    square = np.clip(-z.astype(np.float64), 0, 40) ** 2 if name == "gelu" else 0.0
    allowed = (2 * FEW + 2 * argument_error(name, z, dtype) + square) * spacing(expected, dtype)
    if name in VANISHING:
        allowed = allowed + 4 * eps(dtype) * (np.abs(z) < 4)
        # z times a factor that may be subnormal
        allowed = allowed + np.abs(z) * np.finfo(dtype).smallest_subnormal * (np.abs(expected) < 1)
    overflown = np.isinf(slope) & (expected > np.finfo(dtype).max)
    error = difference(slope, np.where(overflown, slope, expected)) - allowed
    worst = np.argmax(error)
    assert np.all(error <= 0), (z[worst], slope[worst], expected[worst])


EDGES = [-INF, INF, NAN, -0.0, 0.0]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_edges(backend, isa, dtype, name):
    """NaN in, NaN out; infinities give the limit; at every place of a vector."""
    z = np.array(EDGES * 7, dtype)
    f, parameter = CASES[name].make(1, dtype)
    y = backend.host(f(backend.array(z)))
    expected = reference.ACTIVATIONS[name].forward(z, parameter)
    np.testing.assert_allclose(y, expected, rtol=4 * eps(dtype), atol=0)
    if name in THROUGH_ZERO:
        assert np.signbit(y[3::5]).all()
    if name in VANISHING:
        assert np.signbit(y[0::5]).all()
    if name in SMOOTH:
        slope = backend.host(f.derivative(backend.array(z)))
        expected = reference.ACTIVATIONS[name].derivative(z, parameter)
        np.testing.assert_allclose(slope, expected, rtol=4 * eps(dtype), atol=0)


@pytest.mark.parametrize(
    ("make", "name", "parameter"),
    [
        (lambda: fnn.LeakyReLU(alpha=0.0), "leaky_relu", 0.0),
        (lambda: fnn.PReLU(alpha=0.0), "prelu", 0.0),
        (lambda: fnn.PReLU(alpha=-0.5), "prelu", -0.5),
        (lambda: fnn.ELU(alpha=0.0, learn=True), "elu_learned", 0.0),
        (lambda: fnn.ELU(alpha=-1.5, learn=True), "elu_learned", -1.5),
        (lambda: fnn.CELU(alpha=0.0625), "celu", 0.0625),
        (lambda: fnn.CELU(alpha=1e30), "celu", 1e30),
        (lambda: fnn.Swish(beta=0.0), "swish", 0.0),
        (lambda: fnn.Swish(beta=-2.0), "swish", -2.0),
    ],
)
def test_edges_with_a_parameter(backend, isa, dtype, make, name, parameter):
    z = np.array([*EDGES, 1.0, -1.0] * 5, dtype)
    f = make()
    np.testing.assert_allclose(
        backend.host(f(backend.array(z))), reference.ACTIVATIONS[name].forward(z, parameter), rtol=4 * eps(dtype)
    )
    np.testing.assert_allclose(
        backend.host(f.derivative(backend.array(z))),
        reference.ACTIVATIONS[name].derivative(z, parameter),
        rtol=4 * eps(dtype),
    )


@pytest.mark.parametrize("name", THROUGH_ZERO)
def test_subnormals(backend, isa, dtype, name):
    """No flushing to zero, of arguments or results."""
    tiny = np.finfo(dtype).smallest_subnormal
    z = np.array([1, -1, 2, -3, 7, 1000, -1001, 2**20], dtype) * tiny
    f, parameter = CASES[name].make(1, dtype)
    y = backend.host(f(backend.array(z)))
    expected = reference.ACTIVATIONS[name].forward(z, parameter)
    # NumPy may round halves of the spacing differently from a kernel that rounds twice.
    assert np.all(np.abs(y - expected) <= 2 * float(tiny))
    assert np.all(y[np.abs(expected) > 2 * float(tiny)] != 0)


def test_softmax(backend, isa, dtype):
    softmax = reference.ACTIVATIONS["softmax"]
    rng = np.random.default_rng(4)
    for shape in ((1, 1), (3, 2), (2, 5, 10), (4, 17), (2, 64), (3, 300), (7,)):
        z = (rng.standard_normal(shape) * 10).astype(dtype)
        y = backend.host(fnn.Softmax()(backend.array(z)))
        assert y.dtype == dtype
        # The difference to the largest is rounded, and the exponential makes that error relative.
        few = 8 + np.log2(shape[-1]) + z.max(axis=-1, keepdims=True) - z
        assert_within(y, softmax.forward(z), few * eps(dtype) * softmax.forward(z) + np.finfo(dtype).tiny)
    big = float(np.finfo(dtype).max)
    z = np.array([[big, -big, 0], [-INF, 0, 0], [1, INF, -INF], [1, NAN, 2], [-big, -big, -big]], dtype)
    np.testing.assert_allclose(backend.host(fnn.Softmax()(backend.array(z))), softmax.forward(z), rtol=4 * eps(dtype))


def test_softmax_of_a_large_last_logit(backend, isa, dtype):
    """In every width: an exponential that overflows tells a maximum that missed it."""
    softmax = reference.ACTIVATIONS["softmax"]
    for columns in range(1, 41):
        z = np.random.default_rng(columns).standard_normal((3, columns)).astype(dtype)
        z[:, -1] += dtype.type(800)
        y = backend.host(fnn.Softmax()(backend.array(z)))
        np.testing.assert_allclose(y, softmax.forward(z), rtol=16 * eps(dtype), atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("name", list(CASES))
def test_shapes_dtypes_and_layouts(backend, dtype, name):
    """The shape is kept; float32 and float64 are kept, other real numbers are float64; any layout is the same array."""
    f = CASES[name].make(5, dtype)[0]
    rng = np.random.default_rng(5)
    for shape in ((5,), (3, 5), (2, 3, 5), (0, 5), (2, 0, 5)):
        z = rng.standard_normal(shape).astype(dtype)
        y = f(backend.array(z))
        assert y.shape == shape
        assert y.dtype == dtype
    plain = backend.host(f(backend.array(z := rng.standard_normal((6, 5)).astype(dtype))))
    for layout in LAYOUTS:
        laid = backend.lay(z, layout)
        assert_same_bits(backend.host(f(laid)), plain)
        assert_array_equal(backend.host(laid), z)
    one = CASES[name].make(1, np.dtype(np.float64))[0]
    for other in ("int32", "uint8", "bool", "float16", "longdouble"):
        assert one(np.ones((2, 1), other)).dtype == np.float64
    assert one([[1, 2]]).dtype == np.float64


@pytest.mark.parametrize("name", list(CASES))
def test_out(backend, isa, dtype, name):
    f = CASES[name].make(5, dtype)[0]
    z = np.random.default_rng(6).standard_normal((9, 5)).astype(dtype)
    expected = backend.host(f(backend.array(z)))
    flat, tall, wide = (backend.array(np.full(s, NAN, dtype)) for s in ((9, 5), (5, 9), (9, 11)))
    for out in (flat, tall.T, wide[:, :10:2]):
        assert f(backend.array(z), out=out) is out
        assert_same_bits(backend.host(out), expected)
    same = backend.array(z.copy())
    assert f(same, out=same) is same
    assert_same_bits(backend.host(same), expected)


@pytest.mark.parametrize("name", ["prelu", "elu_learned"])
def test_a_parameter_per_neuron(backend, isa, dtype, name):
    f, alpha = CASES[name].make(37, dtype)
    z = np.random.default_rng(7).standard_normal((11, 37)).astype(dtype)
    oracle = reference.ACTIVATIONS[name]
    np.testing.assert_allclose(backend.host(f(backend.array(z))), oracle.forward(z, alpha), rtol=4 * eps(dtype))
    slope = backend.host(f.derivative(backend.array(z)))
    np.testing.assert_allclose(slope, oracle.derivative(z, alpha), rtol=4 * eps(dtype))


@pytest.mark.parametrize("name", ["step", "sign", "softmax"])
def test_no_derivative_where_there_is_none(name):
    f = CASES[name].make(1, np.dtype(np.float64))[0]
    with pytest.raises((TypeError, ValueError), match=name):
        f.derivative(np.ones((2, 3)))
