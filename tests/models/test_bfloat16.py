"""Networks in bfloat16: the bits of the float32 network with rounded weights, and arrays of bfloat16."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from factories import (
    TAILS,
    WIDE_HEADS,
    converted,
    fill_biases,
    normal,
    single_layer,
    wide_data,
    wide_network,
)
from fnnfast import reference
from oracles import assert_same_answers, assert_same_bits, rounded_to_bfloat16

pytestmark = pytest.mark.usefixtures("machine_restored")

F32 = np.float32
BATCHES = (*range(1, 41), 300)


# bfloat16 ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("head", WIDE_HEADS)
def test_bfloat16_is_the_float32_network_with_rounded_weights(isa, head):
    net = wide_network(head)
    low, expected = net.astype("bfloat16", weights_only=True), rounded_to_bfloat16(net)
    assert low.parameters.keys() == net.parameters.keys()
    for name, values in low.parameters.items():
        assert_same_bits(values, expected.parameters[name])
    for rows in BATCHES:
        assert_same_answers(low, expected, wide_data(rows))


@pytest.mark.parametrize("inputs", [1, 2, 3, 5, 8, 31, 64, 257])
def test_bfloat16_of_every_width(isa, inputs):
    x = wide_data(30, inputs)
    for layer in (*(fnn.Dense(units, "tanh") for units in TAILS), fnn.Maxout(7, pieces=5), fnn.Maxout(66, pieces=1)):
        net = single_layer(inputs, layer)
        low, expected = net.astype("bfloat16", weights_only=True), rounded_to_bfloat16(net)
        for rows in (1, 5, 30):
            assert_same_bits(low(x[:rows]), expected(x[:rows]))


@pytest.mark.parametrize("inputs", [2048, 2051])
def test_bfloat16_of_long_and_wide_layers(isa, inputs):
    net = fill_biases(fnn.Sequential([fnn.Input(inputs), fnn.Dense(130, "relu"), fnn.Dense(600, "gelu")], seed=0))
    low, expected = net.astype("bfloat16", weights_only=True), rounded_to_bfloat16(net)
    for rows in (1, 4, 24, 50):
        assert_same_answers(low, expected, wide_data(rows, inputs))


def test_rounding_to_bfloat16():
    """Ties, the range's ends, subnormal numbers and what is none."""
    exact = np.array([1, -1.5, 0, -0.0, 2.0**-126, 2.0**-133, 255, 3.3895314e38, np.inf, -np.inf, np.nan], F32)
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, 2.0**-134, 3 * 2.0**-134, 3.3961775e38], F32)
    values = np.concatenate(
        [exact, ties, np.nextafter(ties, F32(0)), np.nextafter(ties, F32(np.inf)), wide_data(1, 99)[0]]
    )
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(len(values))])
    net.parameters["dense_1.weight"] = values[np.newaxis]
    net.parameters["dense_1.bias"] = values
    low = net.astype("bfloat16", weights_only=True)
    got = low.parameters["dense_1.weight"][0]
    assert_same_bits(got[: len(exact)], exact)
    assert_same_bits(got, reference.to_bfloat16(values).astype(F32))
    assert_same_bits(got[len(exact) :][:5], np.array([1, 1 + 2**-6, 0, 2.0**-132, np.inf], F32))
    assert_same_bits(low.parameters["dense_1.bias"], values)
    for again in (pickle.loads(pickle.dumps(low)), rounded_to_bfloat16(net).astype("bfloat16", weights_only=True)):
        assert_same_bits(again.parameters["dense_1.weight"][0], got)


def test_bfloat16_from_float64_goes_through_float32():
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], dtype="float64")
    net.parameters["dense_1.weight"] = [[1 + 2**-8 + 2**-40]]
    assert net.astype("bfloat16").parameters["dense_1.weight"] == 1
    net = wide_network(dtype="float64")
    assert_same_answers(net.astype("bfloat16"), net.astype("float32").astype("bfloat16"), wide_data(5))


both = pytest.mark.parametrize("compute_dtype", ["bfloat16", "int8"])


# Arrays of bfloat16 --------------------------------------------------------------------------------------------------
@pytest.fixture
def bfloat16():
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def test_rounding_is_that_of_ml_dtypes(bfloat16):
    values = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32).view(F32)
    values = values[~np.isnan(values)]
    assert_same_bits(reference.to_bfloat16(values).astype(F32), values.astype(bfloat16).astype(F32))


def test_astype_takes_the_type_of_ml_dtypes(bfloat16):
    for dtype in (bfloat16, bfloat16.type):
        assert wide_network().astype(dtype).compute_dtype == "bfloat16"


@both
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_bfloat16_in_and_out(compute_dtype, head, bfloat16):
    low = converted(compute_dtype, wide_network(head))
    x = wide_data(50).astype(bfloat16)
    wide = x.astype(F32)
    for method in (low, low.logits):
        assert method(x).dtype == bfloat16
        assert_same_values(method(x), method(wide).astype(bfloat16))
    assert_same_values(low(x.reshape(50, 37)[::-1]), low(x)[::-1])
    for given, kind in itertools.product((x, wide), (bfloat16, F32)):
        out = np.zeros((50, 9), kind)
        assert low(given, out=out) is out
        assert_same_values(out, low(wide).astype(kind))
    strided = np.zeros((50, 18), bfloat16)[:, ::2]
    assert low(x, out=strided) is strided
    assert_same_values(strided, low(x))
    # No class is another because an output was rounded.
    answer = low.predict(x)
    np.testing.assert_array_equal(answer, low.predict(wide).astype(answer.dtype))
    assert answer.dtype == (bfloat16 if head == "identity" else np.int64)
    np.testing.assert_array_equal(low.sample(x, 2, rng=0), low.sample(wide, 2, rng=0).astype(answer.dtype))
    targets = low.predict(wide)
    assert low.evaluate(x, targets) == low.evaluate(wide, targets)


def assert_same_values(got, expected):
    assert got.dtype == expected.dtype
    assert got.tobytes() == expected.tobytes()


def test_bad_out_in_bfloat16(bfloat16):
    low = wide_network().astype(bfloat16)
    x = wide_data(4).astype(bfloat16)
    with pytest.raises(ValueError, match=r"out: expected shape \(4, 9\), got \(4, 8\)"):
        low(x, out=np.empty((4, 8), bfloat16))
    with pytest.raises(TypeError, match="out: expected dtype float32, got float64"):
        low(x, out=np.empty((4, 9)))
    square = fnn.Sequential([fnn.Input(4), fnn.Dense(4)], seed=0).astype(bfloat16)
    x = x[:, :4].copy()
    with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
        square(x, out=x)
    with pytest.raises(TypeError, match="out: expected dtype float32, got bfloat16"):
        wide_network()(wide_data(4), out=np.empty((4, 9), bfloat16))


def test_bfloat16_is_taken_wherever_floats_are(bfloat16):
    rng = np.random.default_rng(0)
    x, w, b, y = (normal(rng, F32, *shape).astype(bfloat16) for shape in ((5, 37), (37, 6), (6,), (5, 6)))
    wide = [array.astype(F32) for array in (x, w, b)]
    assert_same_bits(fnn.dense(x, w, b, "gelu"), fnn.dense(*wide, "gelu"))
    assert_same_bits(fnn.dense(x, wide[1], b), fnn.dense(*wide))
    assert_same_bits(fnn.dense(x, wide[1].astype(np.float64)), fnn.dense(wide[0].astype(np.float64), w))
    assert_same_bits(fnn.maxout(x, w[np.newaxis]), fnn.dense(wide[0], wide[1]))
    assert_same_bits(fnn.Tanh()(x), fnn.Tanh()(wide[0]))
    for net in (wide_network(), wide_network(dtype="float64")):
        assert_same_bits(net(x), net(wide[0]))
        assert_same_bits(net.logits(x), net.logits(wide[0]))
        np.testing.assert_array_equal(net.predict(x), net.predict(wide[0]))
    net = fnn.Sequential([fnn.Input(37), fnn.Dense(6)], seed=0)
    net.parameters["dense_1.weight"] = w
    assert_same_bits(net.parameters["dense_1.weight"], wide[1])
    twin = copy.copy(net)
    assert net.fit(x, y, epochs=1, seed=0).loss == twin.fit(wide[0], y.astype(F32), epochs=1, seed=0).loss
    assert_same_answers(wide_network().quantize(x), wide_network().quantize(wide[0]), wide_data(3))
