"""Initial weights."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, cast

from .. import _checks
from .._checks import Array
from ..typing import InitName
from ._shape import Shape

if TYPE_CHECKING:
    from numpy.random import Generator

_VARIANCES = {
    "he": lambda inputs, units: 2 / inputs,
    "lecun": lambda inputs, units: 1 / inputs,
    "xavier": lambda inputs, units: 2 / (inputs + units),
}
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


def initialisation(init: str | float) -> InitName | float:
    """The argument ``init`` of ``Dense``, checked."""
    if not isinstance(init, str):
        if isinstance(init, bool) or not isinstance(init, numbers.Real):
            raise TypeError(_checks.message("init", "a name or a number >= 0", repr(init)))
        return _checks.not_negative("init", init)
    known = [name + form for name in _VARIANCES for form in ("", "_normal", "_uniform")]
    if init not in known:
        raise _checks.unknown("init", init, known)
    return cast(InitName, init)
