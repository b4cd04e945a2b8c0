"""Pools and the local response norm in networks: the oracles' values and gradients, and the same bits everywhere."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnnfast as fnn
from factories import normal
from fnnfast import _cpu, reference
from oracles import assert_same_bits, assert_within, eps

NONE = ((0, 0), (0, 0))
# Image (H, W), size, strides, padding.
POOLS = {
    "halves": ((6, 8), (2, 2), (2, 2), NONE),
    "odd image": ((7, 5), (2, 2), (2, 2), NONE),
    "overlapping": ((7, 6), (3, 3), (2, 2), NONE),
    "same": ((5, 6), (3, 3), (1, 1), ((1, 1), (1, 1))),
    "strides over size": ((8, 9), (2, 1), (3, 4), NONE),
    "uneven": ((5, 7), (2, 4), (1, 3), ((0, 1), (3, 2))),
    "mostly padding": ((2, 1), (3, 4), (1, 2), ((2, 2), (3, 3))),
    "whole image": ((4, 7), (4, 7), (1, 1), NONE),
    "one pixel": ((4, 3), (1, 1), (1, 1), NONE),
    "many taps": ((16, 17), (16, 16), (1, 1), ((3, 0), (0, 2))),
}
RESPONSES = {
    "krizhevsky": (5, 1e-4, 0.75, 2.0),
    "strong": (5, 3.0, 0.75, 1.0),
    "even": (4, 0.5, 0.5, 0.1),
    "own": (1, 2.0, 1.0, 1.0),
    "all": (99, 1.0, 0.3, 1.0),
    "steep": (3, 1.0, 3.5, 0.5),
    "no power": (3, 1.0, 0.0, 1.0),
}
CHANNELS = [1, 3, 8, 16, 37]
SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, 1.0, -2.0)


def max_pool(name):
    return ("max_pool", *POOLS[name][1:])


def average_pool(name, count_padding=False):
    return ("average_pool", *POOLS[name][1:], count_padding)


def network(dtype, shape, specs):
    return _cpu.Network(dtype.name, shape, specs)


def forward(specs, x, images=True):
    """The images that the layers make of images."""
    net = network(x.dtype, x.shape[1:], specs)
    y = net.try_forward(np.ascontiguousarray(x).reshape(len(x), -1))
    return y.reshape(len(x), *shape_after(specs[0], x.shape[1:])) if images else y


def shape_after(spec, image):
    kind, *of = spec
    if kind == "local_response":
        return image
    if kind == "parallel":
        return (*image[:2], sum(shape_after(branch[0], image)[2] if branch else image[2] for branch in of[0]))
    return (*reference.windows(image[:2], *of[:3]).outputs, image[2])


def special(rng, dtype, *shape):
    """Few different numbers, so that many are equal, and some that are none."""
    return rng.choice(np.array(SPECIAL, dtype), shape)


class Oracle(NamedTuple):
    """A layer's output in float64; from the gradient of the output that of the input; the same with all terms > 0."""

    y: np.ndarray
    backward: Callable[[np.ndarray], np.ndarray]
    magnitude: Callable[[np.ndarray], np.ndarray]


def oracle(spec, x):
    kind, *of = spec
    if kind == "max_pool":
        y, choice = reference.max_pool2d_forward(x, *of)
        return Oracle(y, *[lambda dy: reference.max_pool2d_backward(dy, x, choice, *of)] * 2)
    if kind == "average_pool":
        *of, count = of
        y = reference.average_pool2d(x, *of, count_padding=count)
        return Oracle(y, *[lambda dy: reference.average_pool2d_backward(dy, x, *of, count_padding=count)] * 2)
    if kind == "local_response":
        return response_oracle(x, *of)
    assert kind == "parallel"
    branches = [chain(branch, x) for branch in of[0]]
    cuts = np.cumsum([branch.y.shape[-1] for branch in branches])[:-1]

    def joined(function):
        return lambda dy: sum(
            getattr(branch, function)(part) for branch, part in zip(branches, np.split(dy, cuts, -1), strict=True)
        )

    return Oracle(np.concatenate([branch.y for branch in branches], -1), joined("backward"), joined("magnitude"))


def response_oracle(x, size, alpha, beta, k):
    def backward(dy, x=x):
        return reference.local_response_norm_backward(dy, x, size, alpha, beta, k)

    def magnitude(dy):  # the gradient is a difference: twice its first part, less itself
        x64 = np.abs(x).astype(float)
        squares = [(x64[..., max(c - size // 2, 0) : c - size // 2 + size] ** 2).sum(-1) for c in range(x.shape[-1])]
        return 2 * dy * (k + alpha / size * np.stack(squares, -1)) ** -beta - backward(dy, x64)

    return Oracle(reference.local_response_norm(x, size, alpha, beta, k), backward, magnitude)


def chain(specs, x):
    layers = []
    for spec in specs:
        layers.append(oracle(spec, x))
        x = layers[-1].y

    def through(function):
        def backward(dy):
            for layer in reversed(layers):
                dy = getattr(layer, function)(dy)
            return dy

        return backward

    return Oracle(x, through("backward"), through("magnitude"))


# Values --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", POOLS)
def test_max_pool(isa, dtype, name, channels):
    """Exactly: also of equal zeros the first wins, and the first NaN over all."""
    rng = np.random.default_rng(channels)
    for make in (normal, special):
        x = make(rng, dtype, 3, *POOLS[name][0], channels)
        expected = oracle(max_pool(name), x).y
        assert_same_bits(forward([max_pool(name)], x), expected.astype(dtype))


def test_infinity_beats_padding(isa, dtype):
    x = np.full((1, 2, 2, 5), -np.inf, dtype)
    assert_same_bits(forward([("max_pool", (3, 3), (1, 1), ((2, 2), (2, 2)))], x), np.full((1, 4, 4, 5), x[0, 0, 0, 0]))


def mean_tolerance(spec, x):
    """As many roundings as there are taps, one of 1 / count and one of the product."""
    taps = spec[1][0] * spec[1][1]
    return (taps + 2) * eps(x.dtype) * oracle(spec, np.abs(x)).y + np.finfo(x.dtype).tiny


@pytest.mark.parametrize("count_padding", [False, True])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", POOLS)
def test_average_pool(isa, dtype, name, channels, count_padding):
    spec = average_pool(name, count_padding)
    rng = np.random.default_rng(channels)
    x = normal(rng, dtype, 3, *POOLS[name][0], channels)
    assert_within(forward([spec], x), oracle(spec, x).y, mean_tolerance(spec, x))
    x = special(rng, dtype, *x.shape)
    with np.errstate(invalid="ignore"):
        expected = oracle(spec, x).y
    finite, got = np.isfinite(expected), forward([spec], x)
    np.testing.assert_array_equal(got[~finite], expected[~finite])
    np.testing.assert_allclose(got[finite], expected[finite], rtol=0, atol=2 * POOLS[name][1][0] ** 2 * 17 * eps(dtype))


def test_order_of_a_mean(isa, dtype):
    """One sum over (ky, kx), times 1 / count."""
    x = normal(np.random.default_rng(0), dtype, 2, 3, 6, 11)
    total = np.zeros((2, 1, 2, 11), dtype)
    for ky in range(3):
        for kx in range(3):
            total += x[:, ky : ky + 1, kx::3]
    assert_same_bits(forward([("average_pool", (3, 3), (3, 3), NONE, False)], x), total * (dtype.type(1) / 9))


def response_factor(spec, dtype):
    """Roundings of the sum, to the power of beta, and those of the power itself."""
    size, _, beta, _ = spec[1:]
    return ((1 + beta) * (min(size, 40) + 4) + 8) * eps(dtype)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", RESPONSES)
def test_local_response(isa, dtype, name, channels):
    spec = ("local_response", *RESPONSES[name])
    rng = np.random.default_rng(channels)
    for scale in (1.0, 1e-3, 1e4, 1e12):
        x = normal(rng, dtype, 3, 4, 5, channels) * dtype.type(scale)
        expected = oracle(spec, x).y
        tolerance = response_factor(spec, dtype) * np.abs(expected) + np.finfo(dtype).tiny
        assert_within(forward([spec], x), expected, tolerance)


def test_local_response_of_special_numbers(isa, dtype):
    spec = ("local_response", 3, 1.0, 0.75, 1.0)
    x = special(np.random.default_rng(0), dtype, 40, 1, 3, 21)
    with np.errstate(invalid="ignore"):
        expected = oracle(spec, x).y
    np.testing.assert_allclose(forward([spec], x), expected, rtol=response_factor(spec, dtype))


@pytest.mark.parametrize("beta", [0.75, -0.5, 0.0])
def test_powers_at_the_ends(isa, dtype, beta):
    """Of zero, of subnormal and of infinite scales."""
    info = np.finfo(dtype)
    k = [0.0, info.smallest_subnormal, info.tiny / 8, info.tiny, info.max]
    for each in map(float, k):
        x = np.ones((1, 1, 1, 3), dtype)
        with np.errstate(divide="ignore", over="ignore"):
            expected = (np.float64(each) ** -beta).astype(dtype)
        got = forward([("local_response", 1, 0.0, beta, each)], x)
        np.testing.assert_allclose(got, np.full_like(x, expected), rtol=8 * eps(dtype))
    got = forward([("local_response", 1, 1.0, beta, 1.0)], np.full((1, 1, 1, 3), info.max))
    np.testing.assert_array_equal(got, np.full_like(x, info.max * {0.75: 0.0, -0.5: np.inf, 0.0: 1.0}[beta]))


@pytest.mark.parametrize("channels", range(1, 41))
def test_slices_of_a_wider_image(isa, dtype, channels):
    """Each branch writes its channels, and no neighbour's."""
    name = "same"
    branches = [[], [max_pool(name)], [average_pool(name)], [("local_response", 5, 1.0, 0.75, 1.0)], [max_pool(name)]]
    x = normal(np.random.default_rng(channels), dtype, 2, *POOLS[name][0], channels)
    got = np.split(forward([("parallel", branches)], x), 5, axis=-1)
    assert_same_bits(got[0], x)
    for part, branch in zip(got[1:], branches[1:], strict=True):
        assert_same_bits(part, forward(branch, x))


def test_pools_of_pools(isa, dtype):
    specs = [max_pool("same"), average_pool("halves"), ("local_response", 5, 1.0, 0.75, 1.0), ("flatten",)]
    x = normal(np.random.default_rng(0), dtype, 4, 7, 9, 19)
    y = x
    for spec in specs[:-1]:
        y = forward([spec], y)
    assert_same_bits(forward(specs, x, images=False), y.reshape(4, -1))


def test_trace(dtype):
    """The images that a layer has read, pixel by pixel, and what it has made of them."""
    net = network(dtype, (4, 6, 5), [max_pool("halves"), ("local_response", 3, 1.0, 0.5, 1.0)])
    x = normal(np.random.default_rng(0), dtype, 3, 4 * 6 * 5)
    (spec, *_, read, made), (_, *_, read_next, last) = net.trace(x)
    assert spec == 0
    assert_same_bits(read, x.reshape(-1, 5))
    assert_same_bits(made, forward([max_pool("halves")], x.reshape(3, 4, 6, 5)).reshape(-1, 5))
    assert_same_bits(read_next, made)
    assert_same_bits(last.reshape(3, -1), net.try_forward(x))


windows = st.tuples(st.integers(1, 6), st.integers(1, 6))


@settings(max_examples=60)
@given(image=windows, size=windows, strides=windows, padding=st.tuples(windows, windows), channels=st.integers(1, 40))
def test_any_windows(image, size, strides, padding, channels):
    padding = tuple((above - 1, below - 1) for above, below in padding)
    x = np.random.default_rng(0).standard_normal((2, *image, channels))
    for spec in (("max_pool", size, strides, padding), ("average_pool", size, strides, padding, True)):
        if any(max(border) >= length for border, length in zip(padding, size, strict=True)):
            with pytest.raises(ValueError, match="the padding of a pool must be smaller than its window"):
                network(x.dtype, x.shape[1:], [spec])
        elif any(sum(border) + n < length for border, n, length in zip(padding, image, size, strict=True)):
            with pytest.raises(ValueError, match="does not fit an image"):
                network(x.dtype, x.shape[1:], [spec])
        else:
            np.testing.assert_allclose(forward([spec], x), oracle(spec, x).y, rtol=1e-13, atol=1e-14)


def test_refusals():
    with pytest.raises(ValueError, match="at most 256 pixels, got 272"):
        _cpu.Network("float32", (20, 20, 2), [("max_pool", (16, 17), (1, 1), NONE)])
    with pytest.raises(ValueError, match="strides must be at least 1, got 0"):
        _cpu.Network("float32", (20, 20, 2), [("max_pool", (2, 2), (1, 0), NONE)])
    with pytest.raises(ValueError, match="the size of a local response must be at least 1, got 0"):
        _cpu.Network("float32", (20, 20, 2), [("local_response", 0, 1.0, 1.0, 1.0)])


# Gradients -----------------------------------------------------------------------------------------------------------
ALL = {
    **{f"max {name}": [max_pool(name)] for name in POOLS},
    **{f"mean {name}": [average_pool(name)] for name in POOLS},
    "mean with padding": [average_pool("uneven", True)],
    **{f"response {name}": [("local_response", *RESPONSES[name])] for name in RESPONSES},
    "branches": [
        ("parallel", [[max_pool("same")], [], [average_pool("same")], [("local_response", 5, 0.5, 0.75, 1.0)]])
    ],
    "branches of branches": [
        ("parallel", [[("parallel", [[max_pool("same")], []])], [max_pool("same")]]),
        max_pool("overlapping"),
    ],
    "one after the other": [("local_response", 3, 0.5, 0.75, 1.0), max_pool("overlapping"), average_pool("halves")],
}
HEAD = 3
IDENTITY = ("local_response", 1, 0.0, 1.0, 1.0)


def count(specs):
    """The layers, with those inside others."""
    return sum(1 + sum(map(count, spec[1])) if spec[0] == "parallel" else 1 for spec in specs)


class Trained:
    """Layers on the images x + x W + b, before a dense layer.

    Each pixel of x is 1 in one channel, so that the gradient of W is that of the pixels, if there are as many channels.
    Weights and images are small integers: sums of them are exact, and many are equal.
    """

    def __init__(self, specs, dtype, image, channels, batch=3):
        rng = np.random.default_rng(channels)
        self.specs, self.dtype, self.image = specs, dtype, (*image, channels)
        places = np.arange(image[0] * image[1]) + np.arange(batch)[:, None]
        self.x = np.eye(channels, dtype=dtype)[places % channels]
        self.weight = rng.integers(-2, 3, (channels, channels)).astype(dtype)
        self.bias = rng.integers(-1, 2, channels).astype(dtype)
        self.images = (self.x + self.weight[places % channels] + self.bias).reshape(batch, *self.image)
        self.layers = chain(specs, self.images)
        inputs = self.layers.y[0].size
        self.head = normal(rng, dtype, inputs, HEAD) / dtype.type(np.sqrt(inputs))
        self.head_bias = normal(rng, dtype, HEAD)
        self.targets = normal(rng, dtype, batch, HEAD)

    def network(self):
        first = ("residual", [IDENTITY], self.image[2], None, "identity", None)
        layers = [first, *self.specs, ("flatten",), ("dense", HEAD, "identity", None, True)]
        net = network(self.dtype, self.image, layers)
        net.set(0, "weight", self.weight)
        net.set(0, "bias", self.bias)
        net.set(count(self.specs) + 3, "weight", self.head)
        net.set(count(self.specs) + 3, "bias", self.head_bias)
        return net

    def trainer(self, net):
        return _cpu.Trainer(net, "squared_error", "sgd", {})

    def rows(self):
        return self.x.reshape(len(self.x), -1)


def image_of(name):
    words = name.split(" ", 1)
    return POOLS[words[-1]][0] if words[0] in ("max", "mean") and words[-1] in POOLS else (5, 6)


def roundings(spec):
    """How many there are in one number, forward or backward."""
    if spec[0] == "parallel":
        return sum(roundings(inner) + 1 for branch in spec[1] for inner in branch)
    if spec[0] == "local_response":
        return (2 + spec[3]) * (min(spec[1], 40) + 4) + 16
    return spec[1][0] * spec[1][1] + 4


@pytest.mark.parametrize("channels", [1, 2, 7, 16, 35, 40])
@pytest.mark.parametrize("name", ALL)
def test_gradients(isa, dtype, name, channels):
    case = Trained(ALL[name], dtype, image_of(name), channels)
    net = case.network()
    _, gradients = case.trainer(net).gradients(case.rows(), case.targets)
    made, backward, magnitude = case.layers
    flat = made.reshape(len(case.x), -1)
    dy = reference.LOSSES["squared_error"].gradient(reference.dense(flat, case.head, case.head_bias), case.targets)
    expected = backward((dy @ case.head.T.astype(float)).reshape(made.shape)).reshape(-1, channels)
    # Those of the layers, of the sums over the inputs of the head and over its outputs, and over pixels.
    rounded = sum(map(roundings, case.specs))
    in_forward = 4 * eps(dtype) * (flat.shape[1] + 8 + rounded)
    in_backward = 4 * eps(dtype) * (HEAD + 16 + rounded + case.x[..., 0].size)
    y_off = in_forward * (np.abs(flat) @ np.abs(case.head) + np.abs(case.head_bias) + np.abs(case.targets))
    dy_off = 2 / dy.size * y_off + in_backward * np.abs(dy)
    off = magnitude((dy_off @ np.abs(case.head).T).reshape(made.shape)).reshape(-1, channels) + np.finfo(dtype).tiny
    rows = case.x.reshape(-1, channels)
    assert_within(gradients[0], rows.T @ expected, rows.T @ off + np.finfo(dtype).tiny)
    assert_within(gradients[1], expected.sum(axis=0), off.sum(axis=0))


@pytest.mark.parametrize("name", ["max same", "mean same", "branches", "one after the other"])
def test_finite_differences(name):
    """Where no two numbers of a window are equal."""
    case = Trained(ALL[name], np.dtype("float64"), image_of(name), 6)
    case.weight = case.weight + np.random.default_rng(0).uniform(-0.3, 0.3, case.weight.shape)
    net = case.network()
    trainer = case.trainer(net)
    _, gradients = trainer.gradients(case.rows(), case.targets)
    step = 1e-6
    for index in [(0, 0), (2, 5), (5, 1), (3, 3)]:
        losses = []
        for sign in (1, -1):
            moved = case.weight.copy()
            moved[index] += sign * step
            net.set(0, "weight", moved)
            losses.append(trainer.gradients(case.rows(), case.targets)[0])
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(gradients[0][index], rel=1e-6, abs=1e-8)


def test_gradient_of_the_first_of_equal_taps(isa, dtype):
    """A pool of equal numbers hands its gradient to the first pixel that is no padding."""
    case = Trained([("max_pool", (2, 2), (2, 2), ((1, 0), (1, 0)))], dtype, (3, 3), 9, batch=1)
    case.weight, case.bias = -np.eye(9, dtype=dtype), np.zeros(9, dtype)
    _, gradients = case.trainer(case.network()).gradients(case.rows(), case.targets)
    winners = np.flatnonzero(gradients[0].any(axis=1))
    assert winners.tolist() == [0, 1, 3, 4]


# The same bits -------------------------------------------------------------------------------------------------------
def training_results(name, dtype):
    """Answers and weights after two steps, with as many rows as run on several threads."""
    case = Trained(ALL[name], dtype, (5, 6), 19, batch=65)
    net = case.network()
    answers = net.try_forward(case.rows())
    trainer = case.trainer(net)
    for _ in range(2):
        trainer.step(case.rows(), case.targets, 0.1)
    return [answers, net.get(0, "weight"), net.get(0, "bias"), net.get(count(case.specs) + 3, "weight")]


@pytest.mark.usefixtures("machine_restored")
@pytest.mark.parametrize(
    "name",
    [
        "max same",
        "mean same",
        "mean with padding",
        *(n for n in ALL if "response" in n),
        "branches",
        "branches of branches",
        "one after the other",
    ],
)
def test_one_bit_pattern(dtype, name):
    """Any instruction set, any number of threads."""
    expected = training_results(name, dtype)
    for isa in _cpu.isas():
        _cpu.use_isa(isa)
        for threads in (1, 2, 5):
            with fnn.num_threads(threads):
                for got, wanted in zip(training_results(name, dtype), expected, strict=True):
                    assert_same_bits(got, wanted)


LARGE = [max_pool("same"), average_pool("overlapping"), ("local_response", 5, 1.0, 0.75, 1.0)]


def test_images_do_not_depend_on_the_batch(isa, dtype):
    """Nor on whether blocks of images run through all layers, or each layer is shared between threads."""
    for shape in ((6, 7, 21), (64, 50, 33)):
        x = normal(np.random.default_rng(0), dtype, 9, *shape)
        whole = forward(LARGE, x, images=False)
        with fnn.num_threads(1):
            assert_same_bits(forward(LARGE, x, images=False), whole)
        for batch in (1, 2, 5, 8):
            assert_same_bits(forward(LARGE, x[-batch:], images=False), whole[-batch:])
