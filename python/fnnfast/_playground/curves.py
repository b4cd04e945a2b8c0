"""An activation, its derivative, and how far its float32 kernel is from the exact values."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import numpy as np

from .. import activations
from .._checks import Array
from ..activations import Activation
from .settings import hidden_kinds

POINTS = 801
_CHECKED = 20_001
_PARAMETERS = ("alpha", "beta")


class Curves(NamedTuple):
    """Values over z; ``derivative`` is None for step and sign. ``small`` is where ``watch`` counts the derivative."""

    z: Array
    y: Array
    derivative: Array | None
    small: Array
    watch: str
    z_checked: Array
    errors: Array


def names() -> list[str]:
    """All activations that act on each number by itself, step and sign among them."""
    return sorted({*hidden_kinds()[:-1], "step", "sign"})


def parameter(name: str) -> tuple[str, float] | None:
    """The name of an activation's parameter and its default, None if it has none."""
    known = inspect.signature(type(activations.get(name))).parameters
    found = next((key for key in _PARAMETERS if key in known), None)
    return (found, float(known[found].default)) if found else None


def make(name: str, value: float | None) -> Activation:
    """The activation with that parameter, or the default. ValueError for an invalid one."""
    known = parameter(name)
    if known is None or value is None:
        return activations.get(name)
    return type(activations.get(name))(**{known[0]: value})


def description(name: str) -> str:
    """The first line of the documentation, which has the formula."""
    return inspect.getdoc(type(activations.get(name)) or "").partition("\n")[0]  # type: ignore[union-attr]


def curves(activation: Activation, reach: float) -> Curves:
    """The function from -reach to reach."""
    z = np.linspace(-reach, reach, POINTS)
    derivative = activation.derivative(z) if activation.differentiable else None
    small = np.zeros(POINTS, bool)
    if derivative is not None and activation.watch:
        small = np.abs(derivative) < activation.small
    checked, errors = ulps(activation, reach)
    return Curves(z, activation(z), derivative, small, activation.watch, checked, errors)


def ulps(activation: Activation, reach: float) -> tuple[Array, Array]:
    """float32 numbers from -reach to reach, and the errors of the float32 kernel there, in units of the last place.

    They are the differences from the float64 kernel, which is closer to the exact values by a factor of 2^29.
    """
    z = np.linspace(-reach, reach, _CHECKED, dtype=np.float32)
    exact = activation(z.astype(np.float64))
    _, exponent = np.frexp(exact)
    ulp = np.ldexp(1.0, np.maximum(exponent - 24, -149))
    return z, (activation(z).astype(np.float64) - exact) / ulp
