"""The numbers of layers that normalize or scale, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._checks import FLOAT64, Array
from ._config import Layer

_SMALLEST_DEVIATION = 1e-7  # keras.config.epsilon(), which a model does not keep


def batch_normalization(layer: Layer) -> tuple[Array, Array, Array, Array]:
    """Gamma, beta, mean and standard deviation of batch normalization."""
    center, scale = layer.flag("center", True), layer.flag("scale", True)
    names = ["gamma"] * scale + ["beta"] * center + ["mean", "variance"]
    found = {name: values.astype(FLOAT64) for name, values in layer.weights(*names).items()}
    mean, variance = found["mean"], found["variance"] + layer.number("epsilon", 1e-3)
    if len({values.shape for values in found.values()}) != 1:
        raise layer.refused(f"variables of shapes {[values.shape for values in found.values()]}", "variables of one")
    if not (variance > 0).all():
        raise layer.refused("a variance that is not positive", "variances that are, with epsilon")
    return found.get("gamma", np.ones_like(mean)), found.get("beta", np.zeros_like(mean)), mean, np.sqrt(variance)


def as_scale(gamma: Array, beta: Array, mean: Array, deviation: Array) -> tuple[Array, Array]:
    """The same as x * scale + shift."""
    scale = gamma / deviation
    return scale, beta - mean * scale


def normalization(layer: Layer, lengths: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and standard deviation of Normalization, of that shape, from its variables or its configuration."""
    given = [layer.config.get(key) for key in ("mean", "variance")]
    if given[0] is None and given[1] is None:
        mean, variance, _ = layer.weights("mean", "variance", "count").values()
    else:
        mean, variance = (layer.array(key, value) for key, value in zip(("mean", "variance"), given, strict=True))
        if mean.shape != variance.shape:
            raise layer.refused(f"mean and variance of shapes {mean.shape} and {variance.shape}", "one shape")
        try:
            mean, variance = (np.broadcast_to(array, lengths) for array in (mean, variance))
        except ValueError as error:
            raise layer.refused(f"a mean of shape {mean.shape}", f"one for {lengths}") from error
    if mean.shape != lengths or variance.shape != lengths or not (variance >= 0).all():
        raise layer.refused(f"a mean of shape {mean.shape}, or a negative variance", f"shape {lengths}")
    deviation = np.maximum(np.sqrt(variance.astype(FLOAT64)), _SMALLEST_DEVIATION)
    return mean.astype(FLOAT64), deviation


# x * scale + shift, by operation and place of x: (constant, ) -> (scale, shift)
_ONE = np.ones(1)
_SCALINGS: dict[tuple[str, int], Callable[..., tuple[Array | None, Array | None]]] = {
    ("ops.Add", 0): lambda c: (None, c),
    ("ops.Add", 1): lambda c: (None, c),
    ("ops.Subtract", 0): lambda c: (None, -c),
    ("ops.Subtract", 1): lambda c: (-_ONE, c),
    ("ops.Multiply", 0): lambda c: (c, None),
    ("ops.Multiply", 1): lambda c: (c, None),
    ("ops.Divide", 0): lambda c: (1 / c, None),
    ("ops.TrueDivide", 0): lambda c: (1 / c, None),
    ("ops.Negative", 0): lambda: (-_ONE, None),
}


def scaling(layer: Layer, place: int, *constants: Array) -> tuple[Array | None, Array | None]:
    """An operation on a value and constants as x * scale + shift; place: that of the value."""
    known = _SCALINGS.get((layer.kind, place))
    divides = layer.kind in ("ops.Divide", "ops.TrueDivide")
    if known is None or len(constants) != (layer.kind != "ops.Negative") or (divides and (constants[0] == 0).any()):
        raise layer.refused("a quotient of a value that is no scale of it", "a value times or by a number other than 0")
    return known(*constants)
