"""The maxout layer against the oracle: values, winners, ties and NaN, over sizes, pieces and layouts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnnfast as fnn
from factories import LAYOUTS, TAILS, layouts, leading, maxout_problem, normal, seeds, sizes
from fnnfast import reference
from oracles import assert_same_bits, assert_within, maxout_tolerance

INF, NAN = np.inf, np.nan


def check(backend, x, weight, bias):
    """The value is within the tolerance, and so is the winning piece of the largest."""
    args = [None if a is None else backend.array(a) for a in (x, weight, bias)]
    y = backend.host(fnn.maxout(*args))
    tolerance = maxout_tolerance(x, weight, bias)
    assert_within(y, reference.maxout(x, weight, bias), tolerance)
    assert y.dtype == x.dtype
    if len(weight) > 256:
        return
    trained, saved = (backend.host(a) for a in fnn.maxout_forward(*args))
    assert_same_bits(trained, y)
    assert saved.dtype == np.uint8
    assert saved.shape == y.shape
    z = reference.pieces(x, weight, bias)
    assert saved.max(initial=0) < len(weight)
    chosen = np.take_along_axis(z, saved[None].astype(np.intp), axis=0)[0]
    assert np.all(chosen >= z.max(axis=0) - 2 * tolerance)


@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 5, 7, 8, 16])
def test_sizes(backend, isa, dtype, pieces):
    """Each dimension around every multiple of a tile up to 300, with the others small; 2 to 4 pieces together see every
    size.
    """
    rng = np.random.default_rng(1)
    for n in backend.some(sorted({*TAILS, *range(pieces, 301, 3)}) if pieces in (2, 3, 4) else TAILS, 10):
        for b, i, o in ((n, 5, 3), (3, n, 5), (5, 3, n)):
            check(backend, *maxout_problem(rng, b, pieces, i, o, dtype))


def test_any_number_of_pieces(backend, isa, dtype):
    rng = np.random.default_rng(2)
    for pieces in (*range(1, 40), 63, 64, 65, 127, 128, 129, 255, 256, 257, 300):
        check(backend, *maxout_problem(rng, 3, pieces, 2, 7, dtype))


def test_tiles(backend, isa, dtype):
    """Rows against columns against pieces, I just long enough to tell."""
    rng = np.random.default_rng(3)
    for pieces in (2, 3, 5):
        x, weight, bias = maxout_problem(rng, 14, pieces, 3, 70, dtype)
        for b in backend.some(range(1, 15), 4):
            for o in (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 21, 31, 32, 33, 40, 63, 64, 65, 70):
                check(backend, x[:b], np.ascontiguousarray(weight[:, :, :o]), np.ascontiguousarray(bias[:, :o]))


def test_larger(backend, isa, dtype):
    rng = np.random.default_rng(4)
    shapes = (
        (700, 4, 20, 30),
        (20, 3, 900, 17),
        (11, 2, 30, 1000),
        (310, 2, 305, 77),
        (90, 9, 1500, 20),
        (300, 2, 2100, 40),
    )
    for b, p, i, o in backend.some(shapes, 4):
        check(backend, *maxout_problem(rng, b, p, i, o, dtype))


@settings(max_examples=30)
@given(rows=leading, p=st.integers(1, 9), i=sizes, o=sizes, seed=seeds, has_bias=..., layout=layouts)
def test_leading_axes_and_bias(backend, isa, dtype, rows, p, i, o, seed, has_bias: bool, layout):
    rng = np.random.default_rng(seed)
    x = normal(rng, dtype, *rows, i)
    _, weight, bias = maxout_problem(rng, 1, p, i, o, dtype)
    bias = bias if has_bias else None
    y = fnn.maxout(*(None if a is None else backend.lay(a, layout) for a in (x, weight, bias)))
    assert y.shape == (*rows, o)
    flat = x.reshape(-1, i)
    expected = reference.maxout(flat, weight, bias)
    assert_within(backend.host(y).reshape(-1, o), expected, maxout_tolerance(flat, weight, bias))


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("which", ["x", "weight", "bias"])
def test_a_layout_is_the_same_array(backend, isa, dtype, layout, which):
    problem = maxout_problem(np.random.default_rng(5), 9, 3, 21, 13, dtype)
    given = dict(zip(("x", "weight", "bias"), problem, strict=True))
    arrays = {name: backend.array(array) for name, array in given.items()}
    expected = backend.host(fnn.maxout(**arrays))
    laid = {**arrays, which: backend.lay(given[which], layout)}
    assert_same_bits(backend.host(fnn.maxout(**laid)), expected)
    assert np.array_equal(backend.host(laid[which]), given[which])


def test_the_lowest_of_equal_pieces_wins(backend, isa, dtype):
    rng = np.random.default_rng(6)
    x, weight, bias = maxout_problem(rng, 23, 1, 8, 37, dtype)
    low = bias - dtype.type(100)
    for order in ("HH", "LHH", "HLH", "LLHLHH", "HHHHHHHHH"):
        w = np.concatenate([weight] * len(order))
        b = np.concatenate([bias if piece == "H" else low for piece in order])
        y, saved = (backend.host(a) for a in fnn.maxout_forward(*map(backend.array, (x, w, b))))
        assert (saved == order.index("H")).all(), order
        assert_same_bits(y, backend.host(fnn.dense(*map(backend.array, (x, weight[0], bias[0])))))


def test_not_a_number_wins_and_infinities_compare(backend, isa, dtype):
    """As the oracle: the first NaN wins, over infinity too; in every column of a vector."""
    pieces = np.array([[2, NAN, INF, -INF, 1], [2, 5, NAN, -INF, NAN], [1, NAN, INF, -INF, NAN]], dtype)
    bias = np.tile(pieces, 9)
    x, weight = np.ones((7, 2), dtype), np.zeros((3, 2, 45), dtype)
    y, saved = (backend.host(a) for a in fnn.maxout_forward(*map(backend.array, (x, weight, bias))))
    expected, winner = reference.maxout_forward(x, weight, bias)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(saved, winner)
    np.testing.assert_array_equal(backend.host(fnn.maxout(*map(backend.array, (x, weight, bias)))), expected)


def test_one_piece_is_a_dense_layer(backend, isa, dtype):
    x, weight, bias = maxout_problem(np.random.default_rng(7), 9, 1, 11, 30, dtype)
    y = backend.host(fnn.maxout(*map(backend.array, (x, weight, bias))))
    assert_same_bits(y, backend.host(fnn.dense(*map(backend.array, (x, weight[0], bias[0])))))


def test_promotion():
    x, weight, bias = maxout_problem(np.random.default_rng(8), 4, 2, 3, 5, np.dtype(np.float32))
    assert fnn.maxout(x.astype(np.float64), weight, bias).dtype == np.float64
    assert fnn.maxout(x.astype(np.int32), weight, bias).dtype == np.float32
    assert fnn.maxout([[1, 2]], [[[1], [1]], [[2], [2]]]).tolist() == [[6.0]]


def test_a_vector_and_an_empty_batch(backend, isa, dtype):
    x, weight, bias = (backend.array(a) for a in maxout_problem(np.random.default_rng(9), 4, 3, 6, 5, dtype))
    y = backend.host(fnn.maxout(x, weight, bias))
    assert_same_bits(backend.host(fnn.maxout(x[0], weight, bias)), y[0])
    for empty, shape in ((x[:0], (0, 5)), (x[None, :0], (1, 0, 5))):
        y, saved = fnn.maxout_forward(empty, weight, bias)
        assert y.shape == saved.shape == shape
        grads = fnn.maxout_backward(y, empty, weight, saved)
        assert grads.x.shape == empty.shape
        assert not backend.host(grads.weight).any()
        assert not backend.host(grads.bias).any()
        assert grads.weight.shape == weight.shape
        assert grads.bias.shape == bias.shape


def test_out(backend, isa, dtype):
    args = [backend.array(a) for a in maxout_problem(np.random.default_rng(10), 14, 3, 6, 19, dtype)]
    expected = backend.host(fnn.maxout(*args))
    flat, tall, wide = (backend.array(np.full(s, NAN, dtype)) for s in ((14, 19), (19, 14), (14, 57)))
    for out in (flat, tall.T, wide[:, ::3]):
        assert fnn.maxout(*args, out=out) is out
        assert_same_bits(backend.host(out), expected)
