"""Initial weights and biases."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from .. import _checks
from .._checks import Array
from ..typing import BiasInitName, InitName
from ._shape import Shape

if TYPE_CHECKING:
    from numpy.random import Generator

    from ._base import Layer

_VARIANCES = {
    "he": lambda inputs, units: 2 / inputs,
    "lecun": lambda inputs, units: 1 / inputs,
    "xavier": lambda inputs, units: 2 / (inputs + units),
}
_NAMES = [name + form for name in _VARIANCES for form in ("", "_normal", "_uniform")]
_DEFAULT_FORMS = {"he": "normal", "lecun": "normal", "xavier": "uniform"}


def initial_weight(init: str | float, inputs: int, units: int, rng: Generator, shape: Shape | None = None) -> Array:
    """Weights as ``Dense`` describes them for so many inputs and units, (I, O) or of another shape, in float64."""
    shape = (inputs, units) if shape is None else shape
    if not isinstance(init, str):
        return rng.standard_normal(shape) * init
    name, _, form = init.partition("_")
    variance = _VARIANCES[name](inputs, units)
    if (form or _DEFAULT_FORMS[name]) == "normal":
        return rng.standard_normal(shape) * math.sqrt(variance)
    return rng.uniform(-1, 1, shape) * math.sqrt(3 * variance)


def initial_bias(bias_init: str | float | None, inputs: int, units: int, rng: Generator, shape: Shape) -> Array:
    """Biases as ``Dense`` describes them for so many inputs and units, in float64.

    They are drawn from a child of the generator: the weights of a seed are the same whatever the biases are.
    """
    if bias_init == "zeros":
        return np.zeros(shape)
    (own,) = rng.spawn(1)
    if bias_init in (None, "torch"):
        return own.uniform(-1, 1, shape) / math.sqrt(inputs)
    return initial_weight(bias_init, inputs, units, own, shape)


def initialisation(init: str | float) -> InitName | float:
    """The argument ``init`` of ``Dense``, checked."""
    return cast("InitName | float", _known("init", init, _NAMES))


def store_bias_init(layer: Layer, bias_init: BiasInitName | float | None) -> None:
    """Check the argument ``bias_init`` of ``Dense`` and store it in a layer, unless it is None."""
    if bias_init is None:
        return
    if not layer.bias:  # type: ignore[attr-defined]
        raise ValueError(_checks.message("bias_init", "None where bias=False", repr(bias_init)))
    layer._store(bias_init=_known("bias_init", bias_init, ["zeros", "torch", *_NAMES]))


def _known(argument: str, value: str | float, names: Sequence[str]) -> str | float:
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(_checks.message(argument, "a name or a number >= 0", repr(value)))
        return _checks.not_negative(argument, value)
    if value not in names:
        raise _checks.unknown(argument, value, names)
    return value
