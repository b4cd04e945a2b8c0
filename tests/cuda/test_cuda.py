"""What only a GPU has: its errors, streams and memory, its dtypes, and networks that move there and back.

The kernels' own tests are those of the CPU, with the fixture `backend`.
"""

import copy
import pickle
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import reference
from fnnfast._device import select
from oracles import (
    CASES,
    DIFFERENTIABLE,
    ELEMENTWISE,
    JUMPS,
    SMOOTH,
    assert_same_bits,
    assert_within,
    dense_problem,
    lipschitz,
    magnitude,
    maxout_problem,
    normal,
)

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
SHAPES = [(1, 1, 1), (3, 5, 7), (33, 17, 65), (70, 33, 10), (17, 130, 72)]
PRECISIONS = ["float32", "float64", "tf32", "float16", "bfloat16"]
NARROW = ["tf32", "float16", "bfloat16"]
# How far rounding to the nearest moves a factor of a product, relative to it; for tf32 within a float32.
ROUNDING = {"tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
TINY = {"tf32": 0.0, "float16": 2.0**-25, "bfloat16": 0.0}  # the most that rounding a subnormal number moves it

pytestmark = pytest.mark.cuda


def of_precision(name):
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return F32 if name == "tf32" else np.dtype(name)


def layers(head="softmax"):
    return [
        fnn.Input(4, 5),
        fnn.Dense(33, "swish"),
        fnn.Maxout(17, pieces=3),
        fnn.Dropout(0.2),
        fnn.Residual([fnn.Dense(17, "gelu")]),
        fnn.Residual([fnn.Dense(9, fnn.ELU(1.5))]),
        fnn.Dense(12, "prelu"),
        fnn.Dense(7, head),
    ]


def pair(cuda, precision="float32", head="softmax"):
    """A network on the GPU and the same on the CPU, with parameters none of which is zero."""
    rng = np.random.default_rng(1)
    net = fnn.Sequential(layers(head), dtype="float64" if precision == "float64" else "float32", seed=0)
    for name, shape in net.parameters.shapes.items():
        net.parameters[name] = net.parameters[name] + rng.normal(0, 0.1, shape)
    return net.to("cuda", precision), net


# Bits ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", list(CASES))
def test_dense_has_the_bits_of_the_cpu(cuda, dtype, name):
    rng = np.random.default_rng(2)
    for shape in SHAPES:
        arrays = dense_problem(rng, *shape, dtype)
        f = CASES[name].make(shape[2], dtype)[0]
        assert_same_bits(cuda.host(fnn.dense(*map(cuda.array, arrays), f)), fnn.dense(*arrays, f))
        if name in DIFFERENTIABLE:
            for got, expected in zip(
                fnn.dense_forward(*map(cuda.array, arrays), f), fnn.dense_forward(*arrays, f), strict=True
            ):
                assert_same_bits(cuda.host(got), expected)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 17])
def test_maxout_has_the_bits_of_the_cpu(cuda, dtype, pieces):
    rng = np.random.default_rng(3)
    for b, i, o in SHAPES:
        arrays = maxout_problem(rng, b, pieces, i, o, dtype)
        y, saved = fnn.maxout_forward(*map(cuda.array, arrays))
        expected, winners = fnn.maxout_forward(*arrays)
        assert_same_bits(cuda.host(y), expected)
        np.testing.assert_array_equal(cuda.host(saved), winners)


def anything(dtype):
    """Random bits, numbers of every size, and the special ones."""
    rng = np.random.default_rng(4)
    bits = rng.integers(0, 256, (3000, dtype.itemsize), np.uint8).view(dtype).ravel()
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1], dtype)
    tiny = np.arange(-20, 20).astype(dtype) * np.finfo(dtype).smallest_subnormal
    return np.concatenate([bits, special, tiny, rng.uniform(-30, 30, 2000).astype(dtype)])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_have_the_bits_of_the_cpu(cuda, dtype, name):
    z = anything(dtype)
    f = CASES[name].make(1, dtype)[0]
    assert_same_bits(cuda.host(f(cuda.array(z))), f(z))
    if name in SMOOTH:
        assert_same_bits(cuda.host(f.derivative(cuda.array(z))), f.derivative(z))


def test_softmax_has_the_bits_of_the_cpu(cuda, dtype):
    rng = np.random.default_rng(5)
    for columns in (1, 2, 15, 16, 17, 33, 64, 65, 130, 300):
        z = normal(rng, dtype, 9, columns) * dtype.type(5)
        z[0, 0], z[1, -1], z[2] = np.nan, np.inf, -np.inf
        assert_same_bits(cuda.host(fnn.Softmax()(cuda.array(z))), fnn.Softmax()(z))


@pytest.mark.parametrize("head", ["softmax", "identity", "sigmoid", "prelu"])
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_a_network_has_the_bits_of_the_cpu(cuda, dtype, head, rows):
    net, expected = pair(cuda, dtype.name, head)
    x = normal(np.random.default_rng(6), dtype, rows, 4, 5)
    assert_same_bits(cuda.host(net(cuda.array(x))), expected(x))
    assert_same_bits(cuda.host(net.logits(cuda.array(x))), expected.logits(x))
    got = net.predict(cuda.array(x))
    np.testing.assert_array_equal(cuda.host(got), expected.predict(x))


ENDS = {
    "softmax after an addition": [fnn.Residual([fnn.Dense(6)]), fnn.Activation("softmax")],
    "wide softmax after an addition": [fnn.Dense(70), fnn.Residual([fnn.Dense(70)]), fnn.Activation("softmax")],
    "softmax after an activation": [fnn.Dense(70, "tanh"), fnn.Activation("softmax")],
    "softmax in the product": [fnn.Dense(6), fnn.Activation("softmax")],
    "addition": [fnn.Residual([fnn.Dense(5, "tanh")])],
    "activation after an addition": [fnn.Residual([fnn.Dense(5, "elu")], activation="swish")],
    "learned slopes": [fnn.Maxout(5, bias=False), fnn.Flatten(), fnn.Activation("prelu")],
    "shortcut": [
        fnn.Residual([fnn.Dense(5, bias=False)], [fnn.Residual([fnn.Dense(5)]), fnn.Activation("tanh")], "relu")
    ],
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_trees_have_the_bits_of_the_cpu(cuda, dtype, end):
    for layers in ([fnn.Input(6), *end], [fnn.Input(9), fnn.Dense(6, "sigmoid"), *end]):
        expected = fnn.Sequential(layers, dtype=dtype.name, seed=0)
        net = expected.to("cuda")
        x = normal(np.random.default_rng(6), dtype, 7, expected.input.size)
        assert_same_bits(cuda.host(net(cuda.array(x))), expected(x))
        assert_same_bits(cuda.host(net.logits(cuda.array(x))), expected.logits(x))


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_trees_train(cuda, end, precision):
    """From outputs, so that the last activation's gradient is taken."""
    dtype = "float64" if precision == "float64" else "float32"
    rng = np.random.default_rng(8)
    net = fnn.Sequential([fnn.Input(6), fnn.Dense(6, "tanh"), *end], dtype=dtype, seed=0)
    x, y = rng.standard_normal((33, 6)), rng.standard_normal((33, net.outputs))
    loss, expected = fnn.Trainer(net, fnn.MeanSquaredError()).loss_and_gradients(x, y)
    gpu = fnn.Trainer(net.to("cuda", precision), fnn.MeanSquaredError())
    got_loss, got = gpu.loss_and_gradients(cuda.array(x), cuda.array(y))
    within = {"float64": 1e-12, "float32": 1e-5, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 2e-1}[precision]
    assert float(cuda.host(got_loss)) == pytest.approx(loss, rel=within)
    for name, gradient in expected.items():
        error = np.linalg.norm(cuda.host(got[name]) - gradient) / np.linalg.norm(gradient)
        assert error < within, name


# Narrow types --------------------------------------------------------------------------------------------------------
def narrow_problem(cuda, make, precision):
    """Operands that the precision holds (for tf32, float32's), and the same in float64 for the oracle."""
    dtype = of_precision(precision)
    given = [array.astype(dtype) for array in make(F32)]
    return [cuda.array(array) for array in given], [array.astype(F64) for array in given]


def widened(array):
    return array.astype(F64)


def sums_tolerance(precision, x, weight, bias):
    """How far z may be off: sums in float32, as the CPU's; factors of tf32 are rounded as well."""
    size = magnitude(x, weight, bias)
    rounding = 2.01 * ROUNDING["tf32"] if precision == "tf32" else 0
    return 4 * (weight.shape[-2] + 8) * 2.0**-23 * (size + 1) + rounding * size


def narrow_tolerance(precision, expected, tolerance):
    """The same of what is then rounded to be stored."""
    if precision == "tf32":
        return tolerance
    return tolerance + ROUNDING[precision] * (np.abs(expected) + tolerance) + TINY[precision]


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("name", list(CASES))
def test_dense_in_narrow_types(cuda, precision, name):
    rng = np.random.default_rng(7)
    for shape in SHAPES:
        given, wide = narrow_problem(cuda, lambda dtype, shape=shape: dense_problem(rng, *shape, dtype), precision)
        f, parameter = CASES[name].make(shape[2], F32)
        with fnn.tf32():
            y = fnn.dense(*given, f)
        assert y.dtype == given[0].dtype
        expected, z = reference.dense_forward(*wide, name, parameter)
        tolerance = sums_tolerance(precision, *wide)
        if name in JUMPS:
            sure = np.abs(z) > tolerance
            assert np.array_equal(widened(cuda.host(y))[sure], expected[sure])
            continue
        if name == "softmax":
            tolerance = np.broadcast_to(2 * tolerance.max(axis=-1, keepdims=True), tolerance.shape)
        else:
            tolerance = tolerance * lipschitz(name, parameter)
        assert_within(widened(cuda.host(y)), expected, narrow_tolerance(precision, expected, tolerance))


@pytest.mark.parametrize("precision", NARROW)
def test_maxout_in_narrow_types(cuda, precision):
    rng = np.random.default_rng(8)
    for b, i, o in SHAPES:
        for p in (1, 2, 5):
            given, wide = narrow_problem(cuda, lambda d, s=(b, p, i, o): maxout_problem(rng, *s, d), precision)
            with fnn.tf32():
                y, saved = fnn.maxout_forward(*given)
            x, weight, bias = wide
            expected = reference.maxout(*wide)
            tolerance = np.max([sums_tolerance(precision, x, w, c) for w, c in zip(weight, bias, strict=True)], axis=0)
            assert_within(widened(cuda.host(y)), expected, narrow_tolerance(precision, expected, tolerance))
            chosen = np.take_along_axis(reference.pieces(*wide), cuda.host(saved)[None].astype(np.intp), axis=0)[0]
            assert np.all(chosen >= expected - 2 * tolerance)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_in_narrow_types(cuda, precision, name):
    """Every number there is: the CPU's float32 result, rounded."""
    dtype = of_precision(precision)
    z = np.arange(2**16, dtype=np.uint16).view(dtype)[:: 7 if cuda.emulated else 1]
    f = CASES[name].make(1, F32)[0]
    for kernel in (f, f.derivative) if name in SMOOTH else (f,):
        got = cuda.host(kernel(cuda.array(z)))
        assert got.dtype == dtype
        with np.errstate(all="ignore"):
            assert_same_bits(got, kernel(z.astype(F32)).astype(dtype))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("columns", [3, 64, 65, 150])
def test_softmax_in_narrow_types(cuda, precision, columns):
    dtype = of_precision(precision)
    z = normal(np.random.default_rng(9), F32, 5, columns).astype(dtype)
    got = cuda.host(fnn.Softmax()(cuda.array(z)))
    assert_same_bits(got, fnn.Softmax()(z.astype(F32)).astype(dtype))


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("name", ["identity", "prelu", "gelu", "softmax"])
def test_gradients_in_narrow_types(cuda, precision, name):
    """As the oracle's in float64, as far as rounding dz, the factors and the result moves them."""
    rng = np.random.default_rng(10)
    for b, i, o in SHAPES:
        given, wide = narrow_problem(cuda, lambda d, s=(b, i, o): dense_problem(rng, *s, d), precision)
        (dy,), (wide_dy,) = narrow_problem(cuda, lambda d, s=(b, o): (normal(rng, d, *s),), precision)
        f, parameter = CASES[name].make(o, F32)
        with fnn.tf32():
            _, saved = fnn.dense_forward(*given, f)
            grads = fnn.dense_backward(dy, *given[:2], saved, f)
        z = reference.pre_activation(*wide)
        expected = reference.dense_backward(wide_dy, *wide[:2], z, name, parameter)
        # Each of saved, dz, the factors and the result is rounded once; slopes and second derivatives are below 2.
        few = 8 * ROUNDING[precision]
        dz = 2 * np.abs(wide_dy) + (np.abs(wide_dy).sum(axis=1, keepdims=True) if name == "softmax" else 0)
        x, weight = np.abs(wide[0]), np.abs(wide[1])
        assert_within(widened(cuda.host(grads.x)), expected.x, few * (dz @ weight.T + 0.1))
        assert_within(widened(cuda.host(grads.weight)), expected.weight, few * (x.T @ dz + 0.1))
        assert_within(widened(cuda.host(grads.bias)), expected.bias, few * (dz.sum(axis=0) + 0.1))
        for got, like in zip(grads[:3], (given[0], given[1], given[2]), strict=True):
            assert got.dtype == given[0].dtype
            assert got.shape == like.shape
        if name == "prelu":
            assert grads.alpha.dtype == given[0].dtype
            slopes = np.abs(wide_dy * np.minimum(z, 0)).sum(axis=0)
            assert_within(widened(cuda.host(grads.alpha)), expected.alpha, few * (slopes + dz.sum(axis=0) + 0.1))


@pytest.mark.parametrize("precision", NARROW)
def test_a_network_in_narrow_types(cuda, precision):
    net, expected = pair(cuda, precision)
    dtype = of_precision(precision)
    x = normal(np.random.default_rng(11), F32, 70, 20).astype(dtype)
    y = net(cuda.array(x))
    assert y.dtype == net.dtype == dtype
    assert net.compute_dtype == precision
    # Six layers of about unit scale, each of which rounds its weights, its inputs and, but for tf32, its outputs.
    few = 6 * 3 * ROUNDING[precision] * 4
    assert_within(widened(cuda.host(y)), expected(x.astype(F32)).astype(F64), np.full((70, 7), few))
    whole = cuda.host(y)
    for rows in (slice(0, 1), slice(3, 20), slice(69, 70)):
        assert_same_bits(cuda.host(net(cuda.array(x[rows]))), whole[rows])


def test_tf32_is_for_those_who_ask(cuda):
    x, weight, _ = dense_problem(np.random.default_rng(12), 9, 40, 11, F32)
    args = cuda.array(x), cuda.array(weight)
    exact = fnn.dense(x, weight)
    with fnn.tf32():
        rounded = cuda.host(fnn.dense(*args))
        assert_same_bits(fnn.dense(x, weight), exact)  # nothing to the CPU
        wide = cuda.host(fnn.dense(*map(cuda.array, (x.astype(F64), weight.astype(F64)))))
        with fnn.tf32():
            pass
        assert_same_bits(cuda.host(fnn.dense(*args)), rounded)
    assert (rounded != exact).any()
    assert_same_bits(wide, fnn.dense(x.astype(F64), weight.astype(F64)))
    assert_same_bits(cuda.host(fnn.dense(*args)), exact)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("float16", "float16", "float16"), "float16"),
        (("float16", "float16", None), "float16"),
        (("float16", "int32", None), "float16"),
        (("float16", "float32", None), "float32"),
        (("float16", "float16", "float32"), "float16"),
        (("float16", "float64", None), "float64"),
        (("bfloat16", "bfloat16", None), "bfloat16"),
        (("bfloat16", "float16", None), "float32"),
        (("bfloat16", "float32", None), "float32"),
        (("float32", "float64", None), "float64"),
        (("uint8", "float32", "bool"), "float32"),
        (("int32", "int64", None), "float64"),
    ],
)
def test_promotion(cuda, dtypes, expected):
    rng = np.random.default_rng(13)
    arrays = [
        None if name is None else rng.integers(0, 2, shape).astype(of_precision(name))
        for name, shape in zip(dtypes, ((4, 3), (3, 5), (5,)), strict=True)
    ]
    y = fnn.dense(*(None if array is None else cuda.array(array) for array in arrays))
    assert y.dtype == of_precision(expected)
    assert np.array_equal(
        widened(cuda.host(y)), reference.dense(*(None if a is None else a.astype(F64) for a in arrays))
    )


# Arrays --------------------------------------------------------------------------------------------------------------
def test_numpy_and_cupy_arrays_do_not_mix(cuda):
    x, weight, bias = dense_problem(np.random.default_rng(14), 4, 3, 5, F32)
    for call in (
        lambda: fnn.dense(cuda.array(x), weight),
        lambda: fnn.dense(x, cuda.array(weight)),
        lambda: fnn.dense(cuda.array(x), cuda.array(weight), bias),
        lambda: fnn.dense(cuda.array(x), cuda.array(weight), out=np.empty((4, 5), F32)),
        lambda: fnn.dense(x, weight, out=cuda.array(np.empty((4, 5), F32))),
        lambda: fnn.Tanh()(x, out=cuda.array(x)),
    ):
        with pytest.raises(TypeError, match=r"expected NumPy or CuPy arrays in one call, got both: NumPy .*, CuPy "):
            call()
    net, on_cpu = pair(cuda)
    rows = np.ones((2, 20), F32)
    for call in (lambda: net(rows), lambda: net(cuda.array(rows), out=np.empty((2, 7), F32)), lambda: net.logits(rows)):
        with pytest.raises(
            TypeError, match=r"for a network on a GPU, got a NumPy array .*cupy.asarray.*net.to\('cpu'\)"
        ):
            call()
    for call in (lambda: on_cpu(cuda.array(rows)), lambda: on_cpu(rows, out=cuda.array(rows))):
        with pytest.raises(TypeError, match=r"on the CPU, got a GPU array .*cupy.asnumpy.*net.to\('cuda'\)"):
            call()


def test_numbers_may_be_lists(cuda):
    y = fnn.dense(cuda.array(np.array([[1.0, 2.0]], F32)), [[1, 2], [3, 4]], [0, 1])
    assert y.dtype == F32
    assert cuda.host(y).tolist() == [[7, 11]]
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1)], device="cuda")
    net.parameters["dense_1.weight"] = [[1], [2]]
    assert cuda.host(net([[3, 4]])).tolist() == [[11]]


def test_bad_arrays(cuda):
    x = cuda.array(np.ones((4, 3), F32))
    weight = cuda.array(np.ones((3, 5), F32))
    for call, error, expected in (
        (lambda: fnn.dense(x, cuda.array(np.ones((2, 5), F32))), ValueError, r"x: expected shape \(..., 2\)"),
        (lambda: fnn.dense(x, cuda.array(np.ones((3, 5), complex))), TypeError, "weight: .* real numbers"),
        (lambda: fnn.dense(x, weight, out=cuda.array(np.ones((4, 5)))), TypeError, "out: expected dtype float32"),
        (lambda: fnn.dense(x, weight, out=cuda.array(np.ones((4, 4), F32))), ValueError, r"out: expected shape"),
        (lambda: fnn.dense(x, weight, out=[0]), TypeError, "out: expected a CuPy array, got list"),
        (lambda: fnn.dense(x, weight, activation=fnn.ELU(1e39)), ValueError, "elu: .* float32's range"),
        (lambda: fnn.Softmax()(cuda.array(np.array(1.0))), ValueError, r"z: expected rows"),
        (lambda: fnn.maxout_backward(x, x, weight[None], x), ValueError, r"dy: expected shape \(4, 5\)"),
    ):
        with pytest.raises(error, match=expected):
            call()


def test_out_that_overlaps(cuda):
    memory = cuda.array(np.arange(40, dtype=F32))
    before = cuda.host(memory)
    square = cuda.array(np.eye(3, dtype=F32))
    for first in (0, 8):
        with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
            fnn.dense(memory[:9].reshape(3, 3), square, out=memory[first : first + 9].reshape(3, 3))
    with pytest.raises(ValueError, match="overlaps z"):
        fnn.Tanh()(memory[:8], out=memory[2:10])
    assert_same_bits(cuda.host(memory), before)
    out = memory[9:18].reshape(3, 3)
    assert fnn.dense(memory[:9].reshape(3, 3), square, out=out) is out
    even, odd = memory[::2], memory[1::2]  # between each other, and apart
    assert fnn.ReLU()(even, out=odd) is odd
    assert_same_bits(cuda.host(odd), cuda.host(even))
    assert fnn.Tanh()(memory, out=memory) is memory
    net, _ = pair(cuda)
    rows = cuda.array(np.ones(60, F32))
    with pytest.raises(ValueError, match="overlaps x"):
        net(rows[:20].reshape(1, 20), out=rows[19:26].reshape(1, 7))
    out = rows[20:27].reshape(1, 7)
    assert net(rows[:20].reshape(1, 20), out=out) is out


class Foreign:
    """Another library's array on the GPU."""

    def __init__(self, array, stream):
        self.array, self.stream = array, stream
        self.asked = []


class ByDlpack(Foreign):
    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream=None, **options):
        self.asked.append(stream)
        capsule = getattr(self.array, "__dlpack__", None)
        return self.array._host if capsule is None else capsule(stream=stream, **options)


class ByInterface(Foreign):
    @property
    def __cuda_array_interface__(self):
        return {**self.array.__cuda_array_interface__, "stream": self.stream}


@pytest.mark.parametrize("kind", [ByDlpack, ByInterface])
def test_arrays_of_other_libraries(cuda, kind):
    x, weight, bias = dense_problem(np.random.default_rng(15), 4, 3, 5, F32)
    foreign = kind(cuda.array(x), 1)
    y = fnn.dense(foreign, cuda.array(weight), kind(cuda.array(bias), 1))
    assert isinstance(y, cuda.xp.ndarray)
    assert_same_bits(cuda.host(y), fnn.dense(x, weight, bias))
    assert len(foreign.asked) == (kind is ByDlpack)
    net, on_cpu = pair(cuda)
    rows = np.ones((2, 20), F32)
    assert_same_bits(cuda.host(net(kind(cuda.array(rows), 1))), on_cpu(rows))
    with pytest.raises(TypeError, match="got both: NumPy weight, CuPy x"):
        fnn.dense(foreign, weight)


# Streams, memory and errors ------------------------------------------------------------------------------------------
class Recorder:
    """The compiled kernels, and what they are called with."""

    def __init__(self, kernels):
        self.kernels, self.calls = kernels, []

    def __getattr__(self, name):
        def call(*arguments, **settings):
            self.calls.append((name, settings))
            return getattr(self.kernels, name)(*arguments, **settings)

        return call


def test_work_is_queued_on_the_current_stream(cuda, monkeypatch):
    device = select.cuda()
    recorder = Recorder(device.kernels)
    monkeypatch.setattr(device, "kernels", recorder)
    x, weight = (cuda.array(a) for a in dense_problem(np.random.default_rng(16), 4, 3, 5, F32)[:2])
    own = cuda.xp.cuda.Stream(64) if cuda.emulated else cuda.xp.cuda.Stream(non_blocking=True)
    before = cuda.xp.cuda.get_current_stream().ptr
    fnn.dense(x, weight)
    with own:
        fnn.dense(x, weight)
        fnn.Tanh()(x)
    fnn.Tanh()(x)
    assert [settings["stream"] for _, settings in recorder.calls] == [before, own.ptr, own.ptr, before]
    assert own.ptr != before


def test_forward_allocates_its_output_alone(cuda, monkeypatch):
    """A small network needs besides no more than what is between its layers."""
    net, _ = pair(cuda)
    x = cuda.array(np.ones((3, 20), F32))
    out = cuda.array(np.ones((3, 7), F32))
    net(x, out=out)
    sizes = []
    alloc = cuda.xp.cuda.alloc
    monkeypatch.setattr(cuda.xp.cuda, "alloc", lambda size: (sizes.append(size), alloc(size))[1])
    net(x, out=out)
    assert len(sizes) <= 3
    assert sum(sizes) <= 3 * 4 * 200 * 4
    weight, alpha = cuda.array(np.ones((20, 7), F32)), fnn.PReLU()
    fnn.dense(x, weight, None, alpha, out=out)
    sizes.clear()
    fnn.dense(x, weight, None, alpha, out=out)  # the slope is on the GPU already
    assert not sizes


def test_a_cuda_error_is_an_exception_with_the_kernels_name(cuda):
    kernels = select.cuda().kernels
    assert issubclass(kernels.DeviceError, RuntimeError)


def test_out_of_memory_leaves_a_network_usable(cuda, monkeypatch):
    # Too wide to keep what is between its layers on the multiprocessors.
    on_cpu = fnn.Sequential([fnn.Input(20), fnn.Dense(700, "relu"), fnn.Dense(7)], seed=0)
    net = on_cpu.to("cuda")
    x = np.ones((3, 20), F32)
    memory = cuda.xp.cuda.memory.OutOfMemoryError

    def full(size):
        raise memory(size, 0) if not cuda.emulated else memory(f"{size} bytes")

    given = cuda.array(x)
    out = cuda.array(np.ones((3, 7), F32))
    with monkeypatch.context() as patch:
        patch.setattr(cuda.xp.cuda, "alloc", full)
        with pytest.raises(MemoryError):
            net(given, out=out)
    assert_same_bits(cuda.host(net(given, out=out)), on_cpu(x))


# Networks ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_seed_is_the_same_network(cuda, precision):
    of_precision(precision)
    net = fnn.Sequential(layers(), dtype=precision, seed=3, device="cuda")
    on_cpu = fnn.Sequential(layers(), dtype="float64" if precision == "float64" else "float32", seed=3)
    assert net.device == "cuda"
    assert on_cpu.device == "cpu"
    assert list(net.parameters) == list(on_cpu.parameters)
    for name, values in net.parameters.items():
        assert isinstance(values, cuda.xp.ndarray)
        assert_same_bits(cuda.host(values), on_cpu.parameters[name])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_parameters_are_copied_in_and_out(cuda, precision):
    net, _ = pair(cuda, precision, "identity")
    x = cuda.array(normal(np.random.default_rng(17), F32, 3, 20).astype(of_precision(precision)))
    for name, shape in net.parameters.shapes.items():
        others = {other: cuda.host(values) for other, values in net.parameters.items() if other != name}
        before = cuda.host(net(x))
        values = np.random.default_rng(18).normal(0, 0.5, shape).astype(net.parameters[name].dtype)
        for given in (values, cuda.array(values), cuda.array(np.asfortranarray(values)), values.tolist()):
            net.parameters[name] = given
            assert_same_bits(cuda.host(net.parameters[name]), values)
        for other, kept in others.items():
            assert_same_bits(cuda.host(net.parameters[other]), kept)
        after = cuda.host(net(x))
        assert (after != before).any(), name
        net.parameters[name][...] = 0  # a copy
        assert_same_bits(cuda.host(net(x)), after)
    with pytest.raises(ValueError, match=r"dense_1.bias: expected shape"):
        net.parameters["dense_1.bias"] = np.ones(3)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies(cuda, precision, duplicate):
    net, _ = pair(cuda, precision)
    net.freeze("dense_1")
    x = cuda.array(np.ones((3, 20)).astype(of_precision(precision)))
    twin = duplicate(net)
    assert (twin.device, twin.compute_dtype, twin.dtype, twin.frozen) == ("cuda", precision, net.dtype, ("dense_1",))
    expected = cuda.host(net(x))
    assert_same_bits(cuda.host(twin(x)), expected)
    twin.parameters["dense_1.bias"] = np.ones(33)
    assert (cuda.host(twin(x)) != expected).any()
    assert_same_bits(cuda.host(net(x)), expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_there_and_back(cuda, precision, tmp_path):
    net, on_cpu = pair(cuda, precision)
    on_cpu.freeze("dense_1")
    x = np.ones((3, 20), on_cpu.dtype)
    back = on_cpu.to("cuda", precision).to("cpu")
    assert (back.device, back.compute_dtype, back.frozen) == ("cpu", on_cpu.compute_dtype, ("dense_1",))
    assert_same_bits(back(x), on_cpu(x))
    assert net.to("cuda").compute_dtype == precision
    assert net.astype("float32").compute_dtype == "float32"
    assert net.astype("float32").device == "cuda"
    net.save(tmp_path / "net.safetensors")
    loaded = fnn.load(tmp_path / "net.safetensors")
    assert (loaded.device, loaded.compute_dtype) == ("cpu", on_cpu.compute_dtype)
    assert_same_bits(loaded(x), on_cpu(x))
    wider = net.replace_head(fnn.Dense(3), seed=0)
    assert (wider.device, wider.compute_dtype, wider.outputs) == ("cuda", precision, 3)
    assert_same_bits(cuda.host(wider.parameters["dense_1.weight"]), on_cpu.parameters["dense_1.weight"])


def test_in_words(cuda):
    net, _ = pair(cuda, "tf32")
    assert repr(net).endswith("], dtype='tf32', device='cuda')")
    assert net.summary().startswith("6-layer network, 20 inputs, 7 outputs, tf32 on cuda\n")
    assert "batch 256:" in net.summary(plan=True)


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_evaluate(cuda, head):
    net, on_cpu = pair(cuda, "float32", head)
    rng = np.random.default_rng(19)
    x = normal(rng, F32, 40, 20)
    y = rng.integers(0, 7, 40) if head == "softmax" else rng.integers(0, 2, (40, 7)).astype(F32)
    weight = rng.integers(0, 3, 40).astype(F32)
    assert net.evaluate(cuda.array(x), cuda.array(y)) == on_cpu.evaluate(x, y)
    weighted = net.evaluate(cuda.array(x), cuda.array(y), sample_weight=cuda.array(weight))
    assert weighted == on_cpu.evaluate(x, y, sample_weight=weight)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_inputs_and_outputs(cuda, precision):
    """Any dtype, layout and shape is converted; out receives the answer."""
    net, _ = pair(cuda, precision)
    dtype = of_precision(precision)
    x = np.random.default_rng(20).integers(-3, 4, (6, 4, 5)).astype(dtype)
    expected = cuda.host(net(cuda.array(x)))
    for given in ("float32", "float64", "int8", "float16"):
        assert_same_bits(cuda.host(net(cuda.array(x.astype(given)))), expected)
    for layout in ("fortran", "spread", "reversed", "misaligned"):
        assert_same_bits(cuda.host(net(cuda.lay(x, layout))), expected)
        assert_same_bits(cuda.host(net(cuda.lay(x.reshape(6, 20), layout))), expected)
    nan = np.full((7, 6), np.nan).astype(dtype)
    for out in (cuda.array(nan.T.copy()), cuda.array(nan).T, cuda.lay(nan.T, "spread")):
        assert net(cuda.array(x), out=out) is out
        assert_same_bits(cuda.host(out), expected)
    for empty in (x[:0], x[:0].reshape(0, 20)):
        assert net(cuda.array(empty)).shape == (0, 7)
    with pytest.raises(ValueError, match=r"x: expected shape \(B, 4, 5\) or \(B, 20\), got \(6, 19\)"):
        net(cuda.array(np.ones((6, 19), F32)))


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_on_the_host(cuda, precision, head):
    """Distributions, draws and diagnoses: NumPy's, of the network's own outputs, or of its copy on the CPU."""
    net, on_cpu = pair(cuda, precision, head)
    x = normal(np.random.default_rng(21), of_precision(precision), 12, 20)
    on_gpu = cuda.array(x)
    predicted = net.distribution(on_gpu)
    gaussian = head == "identity"
    outputs = cuda.host(net(on_gpu) if gaussian else net.logits(on_gpu))
    assert_same_bits(predicted.mean if gaussian else predicted.logits, outputs.astype(on_cpu.dtype))
    drawn = net.sample(on_gpu, 3, rng=5)
    assert type(drawn) is np.ndarray
    assert np.array_equal(drawn, predicted.sample(3, 5))
    assert net.diagnose(on_gpu) == on_cpu.diagnose(x)
    for call in (net.distribution, net.sample, net.diagnose):
        with pytest.raises(TypeError, match=r"expected CuPy arrays for a network on a GPU, got a NumPy array \(x\)"):
            call(x)


def test_what_a_network_on_a_gpu_does_not_do(cuda):
    net, _ = pair(cuda)
    x = cuda.array(np.ones((3, 20), F32))
    for call in (
        lambda: net.quantize(x),
        lambda: fnn.Ensemble([net]),
    ):
        with pytest.raises(TypeError, match=r"expected a network on the CPU, got one on a GPU; net.to\('cpu'\)"):
            call()
    with pytest.raises(ValueError, match="device: expected one of cpu, cuda, got 'gpu'"):
        net.to("gpu")
    with pytest.raises(ValueError, match="dtype: expected 'float32', 'float64', 'tf32', 'float16' or 'bfloat16'"):
        net.to("cuda", "int8")
    with pytest.raises(ValueError, match="dtype: expected 'float32' or 'float64', got 'tf32'"):
        net.to("cpu", "tf32")


# Why not -------------------------------------------------------------------------------------------------------------
def stand_in(available=True, capability="80"):
    class Device(nullcontext):
        def __init__(self, index=None):
            super().__init__()
            self.compute_capability = capability

    module = ModuleType("cupy")
    module.cuda = SimpleNamespace(is_available=lambda: available, Device=Device)
    return module


@pytest.mark.parametrize(
    ("kernels", "cupy", "reason"),
    [
        (False, stand_in(), "this build has no CUDA kernels"),
        (True, None, r"CuPy is not installed: pip install 'fnnfast\[cuda13\]'"),
        (True, stand_in(available=False), "no CUDA device"),
        (True, stand_in(capability="75"), "compute capability 7.5 is below 8.0"),
    ],
)
def test_why_not(monkeypatch, kernels, cupy, reason):
    monkeypatch.setattr(select, "_KERNELS", "fnnfast._no_kernels")
    monkeypatch.setattr(select, "_opened", {})
    if kernels:
        monkeypatch.setitem(sys.modules, "fnnfast._no_kernels", ModuleType("fnnfast._no_kernels"))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    if cupy is not None:
        cupy.ndarray = ByInterface
    with pytest.raises(RuntimeError, match=f"CUDA is off: {reason}"):
        fnn.Sequential([fnn.Input(2), fnn.Dense(1)], device="cuda")
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1)])
    with pytest.raises(RuntimeError, match=reason):
        net.to("cuda")
    with pytest.raises(TypeError, match=f"expected NumPy arrays, got a GPU array .*{reason}.*cupy.asnumpy"):
        fnn.Tanh()(ByDlpack(SimpleNamespace(__dlpack_device__=lambda: (2, 0)), 1))


@pytest.mark.parametrize("capability", ["80", "90", "120"])
def test_capable(monkeypatch, capability):
    monkeypatch.setattr(select, "_KERNELS", "fnnfast._some_kernels")
    kernels = ModuleType("fnnfast._some_kernels")
    monkeypatch.setattr(kernels, "probe", lambda: None, raising=False)
    monkeypatch.setitem(sys.modules, "fnnfast._some_kernels", kernels)
    monkeypatch.setitem(sys.modules, "cupy", stand_in(capability=capability))
    assert select.why_not() == ""
