"""Every tile of a GPU's products, whole and ragged, with operands that vectors can read and that they cannot.

Numbers are small integers, whose products and sums are exact in every dtype: the answers are known to the bit.
"""

from contextlib import nullcontext

import numpy as np
import pytest

import fnnfast as fnn
from factories import GPU_DTYPES, dense_problem, maxout_problem, normal, numpy_dtype
from oracles import assert_same_bits

# Rows, inputs, outputs: whole tiles; ragged ones of whole vectors, with and without a rest along k; odd ones; and rows
# enough for more than one band of tiles and, for many multiprocessors, more than one slice.
SHAPES = [(128, 96, 128), (136, 72, 200), (130, 88, 136), (70, 33, 66), (200, 100, 72)]
TALL = (1100, 24, 72)

pytestmark = pytest.mark.cuda


@pytest.fixture(params=[1, 1000], ids=["large", "small"])
def tile(request, monkeypatch):
    monkeypatch.setenv("FNNFAST_CUDA_MULTIPROCESSORS", str(request.param))
    return request.param


def tf32_if(compute_dtype):
    return fnn.tf32() if compute_dtype == "tf32" else nullcontext()


def integers(rng, *shape):
    return rng.integers(-2, 3, shape).astype(np.float64)


@pytest.mark.parametrize("layout", ["contiguous", "misaligned"])
@pytest.mark.parametrize("shape", [*SHAPES, TALL], ids=str)
@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_dense(cuda, tile, compute_dtype, shape, layout):
    b, i, o = shape
    rng = np.random.default_rng(1)
    dtype = numpy_dtype(compute_dtype)
    x, weight, bias, dy = integers(rng, b, i), integers(rng, i, o), integers(rng, o), integers(rng, b, o)
    given = [cuda.lay(array.astype(dtype), layout) for array in (x, weight, bias, dy)]
    with tf32_if(compute_dtype):
        y, saved = fnn.dense_forward(*given[:3], "relu")
        grads = fnn.dense_backward(given[3], *given[:2], saved, "relu")
    z = x @ weight + bias
    dz = dy * (z > 0)
    for got, expected in (
        (y, np.maximum(z, 0)),
        (grads.x, dz @ weight.T),
        (grads.weight, x.T @ dz),
        (grads.bias, dz.sum(axis=0)),
    ):
        np.testing.assert_array_equal(cuda.host(got).astype(np.float64), expected.astype(dtype).astype(np.float64))


@pytest.mark.parametrize("layout", ["contiguous", "misaligned"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_maxout(cuda, tile, compute_dtype, shape, layout):
    b, i, o = shape
    rng = np.random.default_rng(2)
    dtype = numpy_dtype(compute_dtype)
    x, weight, bias, dy = integers(rng, b, i), integers(rng, 3, i, o), integers(rng, 3, o), integers(rng, b, o)
    given = [cuda.lay(array.astype(dtype), layout) for array in (x, weight, bias, dy)]
    with tf32_if(compute_dtype):
        y, winners = fnn.maxout_forward(*given[:3])
        grads = fnn.maxout_backward(given[3], *given[:2], winners)
    z = x @ weight + bias[:, None]
    won = z.argmax(axis=0)
    dz = np.where(won == np.arange(3)[:, None, None], dy, 0.0)
    np.testing.assert_array_equal(cuda.host(winners), won)
    for got, expected in (
        (y, z.max(axis=0)),
        (grads.x, (dz @ weight.transpose(0, 2, 1)).sum(axis=0)),
        (grads.weight, x.T @ dz),
        (grads.bias, dz.sum(axis=1)),
    ):
        np.testing.assert_array_equal(cuda.host(got).astype(np.float64), expected.astype(dtype).astype(np.float64))


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_tiles_and_alignment_never_show_in_the_bits(cuda, monkeypatch, compute_dtype):
    """Every output is one chain of sums over k, whichever tile it is in and however its operands are read."""
    rng = np.random.default_rng(3)
    dtype = numpy_dtype(compute_dtype)
    for b, i, o in SHAPES[1:]:
        dense = [array.astype(dtype) for array in (*dense_problem(rng, b, i, o, np.dtype("f4")), np.ones((b, o)))]
        dense[3] = normal(rng, np.dtype("f4"), b, o).astype(dtype)
        pieces = [array.astype(dtype) for array in maxout_problem(rng, b, 2, i, o, np.dtype("f4"))]
        answers = []
        for multiprocessors, layout in ((1, "contiguous"), (1000, "contiguous"), (1, "misaligned")):
            monkeypatch.setenv("FNNFAST_CUDA_MULTIPROCESSORS", str(multiprocessors))
            x, weight, bias, dy = (cuda.lay(array, layout) for array in dense)
            with tf32_if(compute_dtype):
                y, saved = fnn.dense_forward(x, weight, bias, "gelu")
                grads = fnn.dense_backward(dy, x, weight, saved, "gelu")
                largest = fnn.maxout(*(cuda.lay(array, layout) for array in pieces))
            answers.append([cuda.host(array) for array in (y, grads.x, grads.weight, grads.bias, largest)])
        for other in answers[1:]:
            for got, expected in zip(other, answers[0], strict=True):
                assert_same_bits(got, expected)


@pytest.mark.parametrize("compute_dtype", GPU_DTYPES)
def test_edges_keep_to_themselves(cuda, tile, compute_dtype):
    """What is read twice at a ragged edge gets into no other output."""
    rng = np.random.default_rng(4)
    dtype = numpy_dtype(compute_dtype)
    x, weight = integers(rng, 136, 72), integers(rng, 72, 200)
    x[-1], weight[:, -1] = np.nan, np.nan
    given = [cuda.array(array.astype(dtype)) for array in (x, weight)]
    with tf32_if(compute_dtype):
        y = cuda.host(fnn.dense(*given)).astype(np.float64)
    np.testing.assert_array_equal(y, (x @ weight).astype(dtype).astype(np.float64))
