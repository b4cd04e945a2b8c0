"""The logit and the logistic function."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fnnfast as fnn
from oracles import assert_same_bits, eps

INF, NAN = np.inf, np.nan


def test_logistic(dtype):
    z = np.concatenate([[-INF, INF, NAN, 0], np.linspace(-800, 800, 1601)]).astype(dtype)
    assert_same_bits(fnn.logistic(z), fnn.Sigmoid()(z))
    assert fnn.logistic(0).shape == ()


def test_logit(dtype):
    """Within 3 ulp in float64; float32 is that, rounded."""
    rng = np.random.default_rng(0)
    near_half = 0.5 + rng.uniform(-1, 1, 300) * 2.0 ** rng.integers(-30, -1, 300)
    p = np.concatenate([rng.random(300), 10.0 ** -rng.uniform(0, 300, 300), near_half]).astype(dtype)
    p = np.concatenate([p, 1 - p, [0.25, np.nextafter(dtype.type(0.25), 0), 5e-324]]).astype(dtype)
    p = p[(p > 0) & (p < 1)]
    got = fnn.logit(p)
    assert got.dtype == dtype
    with mpmath.workdps(360):
        exact = np.array([float(mpmath.log(mpmath.mpf(v) / (1 - mpmath.mpf(v)))) for v in p.tolist()])
    ulp = np.spacing(np.abs(exact).astype(dtype)).astype(np.float64)
    off = np.abs(got - exact)[exact != 0] / ulp[exact != 0]
    assert off.max() <= (3 if dtype == np.float64 else 0.51)
    assert (got[exact == 0] == 0).all()
    np.testing.assert_array_equal(fnn.logit(np.array([0, 1, 0.5, NAN], dtype)), [-INF, INF, 0, NAN])


@given(z=st.floats(-30, 30), p=st.floats(0, 1))
def test_logit_and_logistic_are_inverses(z, p):
    """But for rounding: an error of z counts |z| times in p, one of p counts 1 / (1 - p) = 1 + exp(z) times in z."""
    off = 8 * eps("float64")
    assert abs(fnn.logistic(fnn.logit(p)) - p) <= off * p * max(1, -np.log(p or 1)) + np.finfo(float).tiny
    assert abs(fnn.logit(fnn.logistic(z)) - z) <= off * (1 + abs(z) + np.exp(z))


def test_arguments_of_logit():
    assert fnn.logit([0, 1]).tolist() == [-INF, INF]
    assert fnn.logit(True).tolist() == INF
    assert fnn.logit(np.zeros((2, 0, 3), "float32")).shape == (2, 0, 3)
    assert fnn.logit(np.float16(0.25)).dtype == np.float64
    strided = np.linspace(0, 1, 20, dtype=">f4")[::2]
    assert_same_bits(fnn.logit(strided), fnn.logit(strided.astype("float32")))
    for p in (-1e-300, 1.0000001, INF, -INF, 2, [0.5, -0.5]):
        with pytest.raises(ValueError, match=r"p: expected numbers in \[0, 1\], got "):
            fnn.logit(p)
    with pytest.raises(TypeError, match="p: expected an array of real numbers, got dtype complex128"):
        fnn.logit(0.5 + 0j)
