"""Convolutions: the same bits as dense and maxout layers over explicit windows, and the oracle's gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnnfast as fnn
from factories import CASES, LAYOUTS, normal, read_only
from fnnfast import _cpu, reference
from oracles import assert_same_bits, assert_within, eps, lipschitz

# Image (H, W), channels, outputs, and settings.
PROBLEMS = {
    "pointwise": ((5, 6), 7, 9, (1, 1), {}),
    "valid": ((7, 6), 3, 5, (3, 3), {}),
    "same": ((7, 6), 17, 33, (3, 3), {"padding": "same"}),
    "strided": ((9, 8), 4, 16, (3, 3), {"strides": 2, "padding": "same"}),
    "strides over taps": ((9, 8), 4, 6, (2, 1), {"strides": (3, 2)}),
    "dilated": ((9, 10), 5, 12, (3, 2), {"padding": (2, 1), "dilation": (2, 3)}),
    "uneven": ((6, 7), 3, 20, (2, 5), {"padding": ((0, 3), (4, 1)), "strides": (1, 3)}),
    "beyond the image": ((2, 3), 2, 3, (3, 3), {"padding": 4, "strides": 2}),
    "grouped": ((6, 5), 12, 6, (3, 3), {"groups": 3, "padding": 1}),
    "depthwise": ((6, 5), 11, 11, (3, 3), {"groups": 11, "padding": 1, "strides": 2}),
    "depthwise, large": ((14, 11), 70, 70, (3, 2), {"groups": 70, "padding": ((0, 2), (1, 0)), "dilation": 2}),
    "depthwise twice": ((6, 5), 5, 10, (2, 2), {"groups": 5}),
    "wide": ((3, 4), 130, 150, (2, 2), {"padding": "same"}),
    "one line": ((1, 300), 2, 17, (1, 9), {"padding": "same", "strides": (1, 2)}),
    "long": ((4, 5), 520, 3, (3, 3), {"padding": 1}),
}
UNGROUPED = [name for name, problem in PROBLEMS.items() if "groups" not in problem[-1]]
ISAS = _cpu.isas()


def problem(name, dtype, batch=3, hard=False):
    (high, wide), channels, outputs, kernel, setting = PROBLEMS[name]
    rng = np.random.default_rng(list(name.encode()))
    each = channels // setting.get("groups", 1)
    x = normal(rng, dtype, batch, high, wide, channels)
    if hard:
        values = (-0.0, np.inf, -np.inf, np.nan, 1e30, np.finfo(dtype).smallest_subnormal)
        for place, value in zip((5, 31, 67, 101, 139, 173), values, strict=True):
            x.reshape(-1)[place::499] = value
    weight = normal(rng, dtype, *kernel, each, outputs) / dtype.type(np.sqrt(each * kernel[0] * kernel[1]))
    return x, weight, normal(rng, dtype, outputs), setting


def split_groups(setting):
    setting = dict(setting)
    return setting.pop("groups", 1), setting


def windows_of(x, kernel, setting, groups=1):
    """Each group's windows as the rows of a matrix, in the type of x."""
    found = reference.windows(x.shape[1:3], kernel, **setting)
    gathered = found.gather(x).reshape(-1, kernel[0] * kernel[1], groups, x.shape[3] // groups)
    return [np.ascontiguousarray(gathered[:, :, g]).reshape(len(gathered), -1) for g in range(groups)]


def over_windows(x, weight, bias, activation, setting):
    """The convolution as dense layers over windows."""
    groups, setting = split_groups(setting)
    rows = windows_of(x, weight.shape[:2], setting, groups)
    weights = np.split(weight.reshape(-1, *weight.shape[2:]), groups, axis=-1)
    pieces = [
        fnn.dense(part, np.ascontiguousarray(w).reshape(part.shape[1], -1), b, activation)
        for part, w, b in zip(rows, weights, np.split(bias, groups), strict=True)
    ]
    return np.concatenate(pieces, axis=1)


@pytest.mark.parametrize("name", PROBLEMS)
def test_bits_of_a_dense_layer_over_windows(isa, dtype, name):
    x, weight, bias, setting = problem(name, dtype, hard=True)
    for activation in ("identity", "relu", "tanh"):
        got = fnn.conv2d(x, weight, bias, activation, **setting)
        assert_same_bits(got.reshape(-1, got.shape[-1]), over_windows(x, weight, bias, activation, setting))


@pytest.mark.parametrize("activation", CASES)
def test_every_activation(isa, dtype, activation):
    x, weight, bias, setting = problem("same", dtype)
    f, _ = CASES[activation].make(33, dtype)
    got = fnn.conv2d(x, weight, bias, f, **setting)
    assert_same_bits(got.reshape(-1, 33), over_windows(x, weight, bias, f, setting))
    if reference.ACTIVATIONS[activation].differentiable:
        y, saved = fnn.conv2d_forward(x, weight, bias, f, **setting)
        assert_same_bits(y, got)
        _, of_dense = fnn.dense_forward(*windows_of(x, (3, 3), setting), weight.reshape(-1, 33), bias, f)
        assert_same_bits(saved.reshape(-1, 33), of_dense)


@pytest.mark.parametrize("activation", ["identity", "relu", "prelu", "gelu", "softmax"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients(dtype, name, activation):
    """Within the rounding of the sums, which are over as many terms as a weight or an input is in."""
    x, weight, bias, setting = problem(name, dtype)
    f, parameter = CASES[activation].make(len(bias), dtype)
    y, saved = fnn.conv2d_forward(x, weight, bias, f, **setting)
    dy = normal(np.random.default_rng(1), dtype, *y.shape)
    got = fnn.conv2d_backward(dy, x, weight, saved, f, **setting)
    z = reference.conv2d_forward(x, weight, bias, activation, parameter, **setting)[1]
    expected = reference.conv2d_backward(dy, x, weight, z, activation, parameter, **setting)
    z_terms = weight[..., 0].size
    slope = lipschitz(activation, parameter)
    # Of |terms|, by a linear layer; the derivative is off by a few times the error of z.
    sizes = reference.conv2d_backward(
        np.abs(dy) * np.max(slope), np.abs(x), np.abs(weight), np.zeros_like(z), **setting
    )
    most = np.abs(dy).max() * (2 + np.abs(z).max())
    for part, size, terms in ((got.x, sizes.x, y.shape[-1] * z_terms), (got.weight, sizes.weight, y[..., 0].size)):
        wanted = expected.x if part is got.x else expected.weight
        assert part.shape == wanted.shape
        assert_within(part, wanted, 8 * (terms + z_terms + 8) * eps(dtype) * (size + most))
    count = y[..., 0].size
    assert_within(got.bias, expected.bias, 8 * (count + z_terms + 8) * eps(dtype) * (sizes.bias + most))
    if expected.alpha is None:
        assert got.alpha is None
    else:
        assert_within(got.alpha, expected.alpha, 8 * (count + z_terms + 8) * eps(dtype) * (sizes.bias + most) * most)


@pytest.mark.parametrize("name", UNGROUPED)
def test_bits_of_weight_gradients(isa, dtype, name):
    """Those of a dense layer over windows, as long as one block of images holds them all."""
    x, weight, bias, setting = problem(name, dtype)
    y, saved = fnn.conv2d_forward(x, weight, bias, "tanh", **setting)
    dy = normal(np.random.default_rng(1), dtype, *y.shape)
    got = fnn.conv2d_backward(dy, x, weight, saved, "tanh", **setting)
    (rows,) = windows_of(x, weight.shape[:2], setting)
    units = len(bias)
    dense = fnn.dense_backward(dy.reshape(-1, units), rows, weight.reshape(-1, units), saved.reshape(-1, units), "tanh")
    assert_same_bits(got.weight, dense.weight.reshape(weight.shape))
    assert_same_bits(got.bias, dense.bias)


def test_sums_over_blocks_of_images(isa, dtype):
    """Blocks of 16,384 output pixels, whole images, are added in order."""
    rng = np.random.default_rng(3)
    x, weight = normal(rng, dtype, 5, 70, 80, 2), normal(rng, dtype, 3, 3, 2, 5)
    y, saved = fnn.conv2d_forward(x, weight, padding="same")
    dy = normal(rng, dtype, *y.shape)
    whole = fnn.conv2d_backward(dy, x, weight, saved, padding="same")
    blocks = [  # 5,600 pixels an image: two of them
        fnn.conv2d_backward(dy[i : i + 2], x[i : i + 2], weight, saved[i : i + 2], padding="same") for i in (0, 2, 4)
    ]
    for part in ("weight", "bias"):
        sums = [getattr(block, part) for block in blocks]
        assert_same_bits(getattr(whole, part), (sums[0] + sums[1]) + sums[2])


def test_input_gradient_is_a_convolution_of_the_gradient(isa, dtype):
    """One chain from 0 over (ky, kx, unit), for stride 1."""
    x, weight, bias, setting = problem("same", dtype, hard=True)
    y, saved = fnn.conv2d_forward(x, weight, bias, **setting)
    dy = normal(np.random.default_rng(1), dtype, *y.shape)
    dy.reshape(-1)[::97] = np.inf
    got = fnn.conv2d_backward(dy, x, weight, saved, **setting).x
    taps = reference.windows(dy.shape[1:3], (3, 3), padding="same").gather(dy)[:, :, :, ::-1, ::-1]
    by_units = weight.transpose(0, 1, 3, 2).reshape(-1, weight.shape[2])
    dense = fnn.dense(np.ascontiguousarray(taps).reshape(-1, len(by_units)), np.ascontiguousarray(by_units))
    assert_same_bits(got.reshape(dense.shape), dense)


def results(name, dtype, batch=3):
    x, weight, bias, setting = problem(name, dtype, batch)
    f = fnn.PReLU(0.1)
    y, saved = fnn.conv2d_forward(x, weight, bias, f, **setting)
    dy = normal(np.random.default_rng(1), dtype, *y.shape)
    return [y, *fnn.conv2d_backward(dy, x, weight, saved, f, **setting)]


def maxout_results(name, dtype, pieces=3, batch=3):
    x, weight, bias, setting = maxout_problem(name, dtype, pieces, batch)
    y, argmax = fnn.maxout_conv2d_forward(x, weight, bias, **setting)
    dy = normal(np.random.default_rng(1), dtype, *y.shape)
    return [y, argmax, *fnn.maxout_conv2d_backward(dy, x, weight, argmax, **setting)[:3]]


@pytest.fixture
def isas():
    before = _cpu.isa()
    yield ISAS
    _cpu.use_isa(before)


@pytest.mark.parametrize(
    ("function", "name"), [*((results, name) for name in PROBLEMS), *((maxout_results, name) for name in UNGROUPED)]
)
def test_one_bit_pattern(isas, dtype, function, name):
    """Any instruction set, any number of threads."""
    expected = function(name, dtype, 17)
    for isa in isas:
        _cpu.use_isa(isa)
        for threads in (1, 2, 5):
            with fnn.num_threads(threads):
                for got, wanted in zip(function(name, dtype, 17), expected, strict=True):
                    assert_same_bits(got, wanted)


def test_images_do_not_depend_on_the_batch(isa, dtype):
    x, weight, bias, setting = problem("strided", dtype, 65, hard=True)
    whole, saved = fnn.conv2d_forward(x, weight, bias, "tanh", **setting)
    dy = normal(np.random.default_rng(1), dtype, *whole.shape)
    gradient = fnn.conv2d_backward(dy, x, weight, saved, "tanh", **setting).x
    for batch in (*range(1, 20), 64):
        some = slice(65 - batch, 65)
        assert_same_bits(fnn.conv2d(x[some], weight, bias, "tanh", **setting), whole[some])
        part = fnn.conv2d_backward(dy[some], x[some], weight, saved[some], "tanh", **setting).x
        assert_same_bits(part, gradient[some])


@settings(max_examples=60)
@given(
    image=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.one_of(
        st.sampled_from(["valid", "same"]),
        st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 2),
    ),
    sizes=st.tuples(st.integers(0, 3), st.integers(1, 20), st.integers(1, 40)),
)
def test_any_windows(image, kernel, strides, dilation, padding, sizes):
    batch, channels, outputs = sizes
    rng = np.random.default_rng(0)
    setting = {"strides": strides, "dilation": dilation, "padding": padding}
    x, weight = rng.standard_normal((batch, *image, channels)), rng.standard_normal((*kernel, channels, outputs))
    try:
        expected = reference.conv2d(x, weight, None, **setting)
    except ValueError:
        with pytest.raises(ValueError, match="kernel: expected a window that fits"):
            fnn.conv2d(x, weight, **setting)
        return
    y, saved = fnn.conv2d_forward(x, weight, **setting)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    dy = rng.standard_normal(y.shape)
    got = fnn.conv2d_backward(dy, x, weight, saved, **setting)
    wanted = reference.conv2d_backward(dy, x, weight, saved, **setting)
    for part in ("x", "weight", "bias"):
        np.testing.assert_allclose(getattr(got, part), getattr(wanted, part), rtol=1e-12, atol=1e-11)


# Maxout --------------------------------------------------------------------------------------------------------------
def maxout_problem(name, dtype, pieces=3, batch=3):
    x, weight, bias, setting = problem(name, dtype, batch)
    rng = np.random.default_rng(7)
    shape = (pieces, *weight.shape)
    return (
        x,
        normal(rng, dtype, *shape) / dtype.type(np.sqrt(weight[..., 0].size)),
        normal(rng, dtype, pieces, len(bias)),
        setting,
    )


@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
@pytest.mark.parametrize("name", UNGROUPED)
def test_maxout(isa, dtype, name, pieces):
    """The bits of a maxout layer over windows, and the oracle's gradients."""
    x, weight, bias, setting = maxout_problem(name, dtype, pieces)
    y, argmax = fnn.maxout_conv2d_forward(x, weight, bias, **setting)
    (rows,) = windows_of(x, weight.shape[1:3], setting)
    units = weight.shape[-1]
    dense, winners = fnn.maxout_forward(rows, weight.reshape(pieces, -1, units), bias)
    assert_same_bits(y.reshape(dense.shape), dense)
    assert np.array_equal(argmax.reshape(dense.shape), winners)
    assert_same_bits(fnn.maxout_conv2d(x, weight, bias, **setting), y)
    dy = normal(np.random.default_rng(1), dtype, *y.shape)
    got = fnn.maxout_conv2d_backward(dy, x, weight, argmax, **setting)
    expected = reference.maxout_conv2d_backward(dy, x, weight, argmax, **setting)
    sizes = reference.maxout_conv2d_backward(np.abs(dy), np.abs(x), np.abs(weight), argmax, **setting)
    terms = {"x": units * weight[0, ..., 0, 0].size, "weight": y[..., 0].size, "bias": y[..., 0].size}
    for part, n in terms.items():
        tolerance = 4 * (n + 8) * eps(dtype) * getattr(sizes, part) + np.finfo(dtype).tiny
        assert_within(getattr(got, part), getattr(expected, part), tolerance)
    of_dense = fnn.maxout_backward(dy.reshape(dense.shape), rows, weight.reshape(pieces, -1, units), winners)
    assert_same_bits(got.weight.reshape(of_dense.weight.shape), of_dense.weight)
    assert_same_bits(got.bias, of_dense.bias)


# Arrays in and out ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, dtype):
    x, weight, bias, setting = problem("same", dtype)
    expected = fnn.conv2d(x, weight, bias, "relu", **setting)
    change = LAYOUTS[layout]
    arrays = change(x), change(weight), change(bias)
    before = [array.copy() for array in arrays]
    assert_same_bits(fnn.conv2d(*arrays, "relu", **setting), expected)
    for array, was in zip(arrays, before, strict=True):
        assert_same_bits(array, was)
    out = change(np.zeros_like(expected)) if layout not in ("read_only", "byte_swapped") else np.zeros_like(expected)
    assert fnn.conv2d(x, weight, bias, "relu", **setting, out=out) is out
    assert_same_bits(out, expected)


def test_types():
    x, weight, bias, setting = problem("valid", np.dtype("float32"))
    assert fnn.conv2d(x, weight.astype(float), bias, **setting).dtype == np.float64
    assert fnn.conv2d(x.astype(np.float16), weight, bias, **setting).dtype == np.float32
    assert fnn.conv2d(np.ones((1, 3, 3, 1), int), np.ones((2, 2, 1, 1), int)).tolist() == [[[[4.0]] * 2] * 2]


def test_no_images(dtype):
    x, weight, bias, setting = problem("same", dtype, batch=0)
    y, saved = fnn.conv2d_forward(x, weight, bias, **setting)
    assert y.shape == (0, 7, 6, 33)
    grads = fnn.conv2d_backward(y, x, weight, saved, **setting)
    assert grads.x.shape == x.shape
    assert not grads.weight.any()
    assert not grads.bias.any()


def test_an_image_that_is_all_padding(dtype):
    weight, bias = np.ones((2, 2, 3, 4), dtype), np.arange(4, dtype=dtype)
    y, saved = fnn.conv2d_forward(np.ones((2, 0, 1, 3), dtype), weight, bias, padding=1)
    assert_same_bits(y, np.broadcast_to(bias, (2, 1, 2, 4)))
    grads = fnn.conv2d_backward(np.ones_like(y), np.ones((2, 0, 1, 3), dtype), weight, saved, padding=1)
    assert grads.x.shape == (2, 0, 1, 3)
    assert not grads.weight.any()


# Bad input -----------------------------------------------------------------------------------------------------------
X, W, B = np.ones((2, 5, 6, 4), "float32"), np.ones((3, 3, 4, 8), "float32"), np.ones(8, "float32")
PIECES = np.ones((2, 3, 3, 4, 8), "float32")
BAD = [
    ({"x": X[0]}, ValueError, r"x: expected shape \(B, H, W, C\) \(x\[None\] for one image\), got \(5, 6, 4\)"),
    ({"x": X[..., :3]}, ValueError, r"x: expected 4 channels, as weight \(3, 3, 4, 8\), got shape \(2, 5, 6, 3\)"),
    ({"x": X.astype(complex)}, TypeError, "x: expected an array of real numbers"),
    ({"weight": W[0]}, ValueError, r"weight: expected shape \(KH, KW, C / groups, O\) .* got \(3, 4, 8\)"),
    ({"weight": W[:0]}, ValueError, "weight: expected shape .* without an empty axis, got"),
    ({"bias": B[:7]}, ValueError, r"bias: expected shape \(8,\), got \(7,\)"),
    ({"groups": 2}, ValueError, r"x: expected 8 channels, as weight \(3, 3, 4, 8\) and groups=2, got shape"),
    ({"groups": 3}, ValueError, "groups: expected a divisor of the 8 outputs of weight, got 3"),
    ({"groups": 0}, ValueError, "groups: expected an integer >= 1, got 0"),
    ({"groups": 1.0}, TypeError, "groups: expected an integer"),
    ({"strides": 0}, ValueError, "strides: expected an integer >= 1, got 0"),
    ({"strides": (1, 2, 3)}, ValueError, r"strides: expected an integer, or a pair of them, got \(1, 2, 3\)"),
    ({"strides": "2"}, TypeError, "strides: expected an integer >= 1, got '2'"),
    ({"dilation": (2, 0)}, ValueError, "dilation: expected an integer >= 1, got 0"),
    ({"dilation": 3}, ValueError, r"kernel: expected a window that fits 5 x 6 pixels and padding .* dilation \(3, 3\)"),
    ({"x": X[:, :2]}, ValueError, r"kernel: expected a window that fits 2 x 6 pixels .*, got \(3, 3\)"),
    ({"padding": "full"}, ValueError, "padding: expected 'valid', 'same' or integers, got 'full'"),
    ({"padding": -1}, ValueError, "padding: expected an integer >= 0, got -1"),
    ({"padding": (1, 2, 3, 4)}, ValueError, "padding: expected a pair of integers, or of .before, after., got"),
    ({"padding": ((1, 2), (3, -4))}, ValueError, "padding: expected an integer >= 0, got -4"),
    ({"padding": None}, TypeError, "padding: expected an integer >= 0, got None"),
    ({"activation": "rellu"}, ValueError, "activation: expected"),
    ({"out": np.zeros((2, 3, 4, 7), "float32")}, ValueError, r"out: expected shape \(2, 3, 4, 8\), got \(2, 3, 4, 7\)"),
    ({"out": np.zeros((2, 3, 4, 8))}, TypeError, "out: expected dtype float32, got float64"),
    ({"out": read_only(np.zeros((2, 3, 4, 8), "float32"))}, ValueError, "out: expected a writeable array"),
]


@pytest.mark.parametrize(("arguments", "error", "text"), BAD)
def test_bad_input(arguments, error, text):
    with pytest.raises(error, match=text):
        fnn.conv2d(**{"x": X, "weight": W, "bias": B, **arguments})


def test_out_that_overlaps():
    x = np.ones((1, 4, 4, 4), "float32")
    with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
        fnn.conv2d(x, np.ones((1, 1, 4, 4), "float32"), out=x)


def test_bad_gradients():
    y, saved = fnn.conv2d_forward(X, W)
    with pytest.raises(ValueError, match=r"dy: expected shape \(2, 3, 4, 8\), got \(2, 3, 4, 7\)"):
        fnn.conv2d_backward(y[..., :7], X, W, saved)
    with pytest.raises(ValueError, match="saved: expected shape"):
        fnn.conv2d_backward(y, X, W, saved[:1])
    with pytest.raises(ValueError, match="step is not differentiable"):
        fnn.conv2d_forward(X, W, activation="step")
    y, argmax = fnn.maxout_conv2d_forward(X, PIECES)
    with pytest.raises(TypeError, match="saved: expected dtype uint8, got float32"):
        fnn.maxout_conv2d_backward(y, X, PIECES, y)
    with pytest.raises(ValueError, match="saved: expected pieces 0 to 1, got 2"):
        fnn.maxout_conv2d_backward(y, X, PIECES, argmax + np.uint8(2))
    with pytest.raises(ValueError, match="weight: expected at most 256 pieces for training, got 257"):
        fnn.maxout_conv2d_forward(X, np.ones((257, 1, 1, 4, 1), "float32"))
    with pytest.raises(ValueError, match=r"weight: expected shape \(P, KH, KW, C, O\)"):
        fnn.maxout_conv2d(X, W)
