"""How far a result may be from the oracle, and how to compare with it.

A sum of I products that starts at a bias and is rounded I times is off by at most I eps/2 (|x| |w| + |b|), to first
order. Promised for a dense layer is 4 (I + 8) eps (|x| |w| + |b| + 1), elementwise; the activation on top multiplies
that by its Lipschitz constant where it is above 1, and its own few eps are in the 8 and the 1.
"""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import fnnfast as fnn
from factories import JUMPS
from fnnfast import reference

Array = np.ndarray[Any, Any]

_GRID = np.linspace(-12, 12, 4801)  # holds 0, and the steepest point of each to 1e-5 of its slope


def lipschitz(name: str, parameter: Any) -> Any:
    """The steepest slope of an activation, or 1 where it is less: a number, or (O,) for learned slopes."""
    if reference.ACTIVATIONS[name].learned:
        return np.maximum(1.0, np.abs(parameter))
    return _steepest(name, parameter)


@cache
def _steepest(name: str, parameter: float | None) -> float:
    if reference.ACTIVATIONS[name].rowwise or name in JUMPS:
        return 1.0
    return max(1.0, 1.0001 * float(np.abs(reference.ACTIVATIONS[name].derivative(_GRID, parameter)).max()))


@cache
def bend(name: str, parameter: float | None) -> float:
    """The largest second derivative, or 2 where it is less, as it is for most, with any parameter tried."""
    oracle = reference.ACTIVATIONS[name]
    if oracle.rowwise or oracle.learned or oracle.kinks or name in JUMPS:
        return 2.0
    steps = np.diff(oracle.derivative(_GRID, parameter)) / np.diff(_GRID)
    return max(2.0, 1.01 * float(np.abs(steps).max()))


# Tolerances ----------------------------------------------------------------------------------------------------------
def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def magnitude(x: Array, weight: Array, bias: Array | None) -> Array:
    """|x| |w| + |b|, in float64."""
    return reference.dense(np.abs(x), np.abs(weight), None if bias is None else np.abs(bias))


def z_tolerance(x: Array, weight: Array, bias: Array | None) -> Array:
    """How far a pre-activation may be off: 4 (I + 8) eps (|x| |w| + |b| + 1)."""
    return 4 * (weight.shape[-2] + 8) * eps(np.result_type(x, weight)) * (magnitude(x, weight, bias) + 1)


def dense_tolerance(x: Array, weight: Array, bias: Array | None, name: str, parameter: Any) -> Array:
    """How far a dense layer's output may be off; an output of softmax depends on its whole row."""
    tolerance = z_tolerance(x, weight, bias)
    if name == "softmax":
        return np.broadcast_to(tolerance.max(axis=-1, keepdims=True), tolerance.shape)
    return tolerance * lipschitz(name, parameter)


def maxout_tolerance(x: Array, weight: Array, bias: Array | None) -> Array:
    """How far a maxout layer's output may be off: as far as the worst of the pieces."""
    biases = [None] * len(weight) if bias is None else bias
    return np.max([z_tolerance(x, w, b) for w, b in zip(weight, biases, strict=True)], axis=0)


def product_tolerance(a: Array, b: Array, a_off: Array, dtype: Any) -> Array:
    """How far a b may be off, for a given a_off from the exact a, in float64: |a_off| |b| + 4 (K + 8) eps |a| |b|."""
    return (a_off + 4 * (a.shape[-1] + 8) * eps(dtype) * np.abs(a)) @ np.abs(b) + np.finfo(dtype).tiny


def dense_gradient_tolerance(
    dy: Array, x: Array, weight: Array, bias: Array | None, z: Array, name: str, parameter: Any
) -> reference.DenseGradients:
    """How far the gradients of a dense layer, of 2-d x, may be off; z is the oracle's.

    An error of z moves the derivative by the second derivative, away from kinks; a derivative taken from a rounded
    output is off by a few eps. For softmax, off bounds the error of an output and of its part in the sum:
    y_i (dy_i - sum_j dy_j y_j) is then off by off (|dy_i| + 2 sum_j |dy_j|).
    """
    dtype, rows = np.result_type(dy, x, weight), len(x)
    f = reference.ACTIVATIONS[name]
    dz = f.backward(dy, z, parameter)
    off = (2.0 if f.learned else bend(name, parameter)) * z_tolerance(x, weight, bias)
    dz_off = np.abs(dy) * off
    if f.rowwise:
        off = off.max(axis=1, keepdims=True) + 4 * (z.shape[1] + 8) * eps(dtype)
        dz_off = off * (np.abs(dy) + 2 * np.abs(dy).sum(axis=1, keepdims=True))
    alpha = None
    if f.learned:
        terms = dy * f.parameter_gradient(z, parameter)
        alpha = product_tolerance(np.ones((1, rows)), terms, np.zeros((1, rows)), dtype)[0] + dz_off.sum(axis=0)
    return reference.DenseGradients(
        product_tolerance(dz, weight.T, dz_off, dtype),
        product_tolerance(dz.T, x, dz_off.T, dtype).T,
        product_tolerance(np.ones((1, rows)), dz, np.zeros((1, rows)), dtype)[0] + dz_off.sum(axis=0),
        alpha,
    )


def maxout_gradient_tolerance(dy: Array, x: Array, weight: Array, argmax: Array) -> reference.MaxoutGradients:
    """How far the gradients of a maxout layer, of 2-d x, may be off, given the winners."""
    dtype = np.result_type(dy, x, weight)
    sizes = reference.maxout_backward(np.abs(dy), np.abs(x), np.abs(weight), argmax)
    rows, units = dy.shape
    over_rows, over_units = 4 * (rows + 8) * eps(dtype), 4 * (units + 8) * eps(dtype)
    tiny = np.finfo(dtype).tiny
    return reference.MaxoutGradients(
        over_units * sizes.x + tiny, over_rows * sizes.weight + tiny, over_rows * sizes.bias + tiny
    )


def assert_within(got: Array, expected: Array, tolerance: Array) -> None:
    """|got - expected| <= tolerance, elementwise, or a message with the worst place."""
    assert got.shape == expected.shape
    excess = np.abs(got.astype(np.float64) - expected) / tolerance
    if excess.size and not excess.max() <= 1:
        worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
        raise AssertionError(
            f"at {tuple(map(int, worst))} of {got.shape}: got {got[worst]!r}, expected {expected[worst]!r}, "
            f"{excess[worst]:.3g} times the tolerance"
        )


def assert_same_bits(got: Array, expected: Array) -> None:
    """Zero differing bits, the payload and sign of NaN aside."""
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    unsigned = np.dtype(f"u{got.dtype.itemsize}")
    differ = np.ascontiguousarray(got).view(unsigned) != np.ascontiguousarray(expected).view(unsigned)
    differ &= ~(np.isnan(got) & np.isnan(expected))
    if differ.any():
        place = tuple(int(i[0]) for i in np.nonzero(differ))
        raise AssertionError(
            f"{differ.sum()} of {differ.size} differ, first at {place}: {got[place]!r} and {expected[place]!r}"
        )


def bits_of(net: Any) -> dict[str, bytes]:
    """The parameters of a network, to be compared bit by bit."""
    return {name: values.tobytes() for name, values in net.parameters.items()}


def layer_of(parameter: str) -> str:
    """The name of the layer that a parameter belongs to."""
    return parameter.rpartition(".")[0]


def assert_same_networks(one: Any, other: Any) -> None:
    """Every bit of the parameters."""
    assert list(one.parameters) == list(other.parameters)
    for name, values in one.parameters.items():
        assert_same_bits(other.parameters[name], values)


def assert_same_answers(one: Any, other: Any, x: Array) -> None:
    """Every bit of the outputs and of the logits."""
    assert_same_bits(one(x), other(x))
    assert_same_bits(one.logits(x), other.logits(x))


# Finite differences --------------------------------------------------------------------------------------------------
def central_difference(function: Callable[[Array], float], array: Array, step: float = 1e-6) -> Array:
    """d function / d array, element by element, of a function of the array, which is changed in place."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = function(array)
        array[index] = kept - step
        gradient[index] = (above - function(array)) / (2 * step)
        array[index] = kept
    return gradient


# Networks for the reference ------------------------------------------------------------------------------------------
def reference_layers(net: Any) -> list[dict[str, Any]]:
    """The layers of a network as the reference takes them."""

    def described(name, layer):
        found = {"kind": layer.kind}
        for key in ("weight", "bias", "alpha"):
            if f"{name}.{key}" in net.parameters:
                found[key] = net.parameters[f"{name}.{key}"]
        if isinstance(layer, (fnn.Dense, fnn.Activation, fnn.Residual)):
            found["activation"] = layer.activation.formula
            if layer.activation.parameter is not None and not layer.activation.learned:
                found["parameter"] = layer.activation.parameter
        if isinstance(layer, fnn.Residual):
            found["layers"] = chain(f"{name}.", layer.layers)
            if layer.shortcut is not None:
                found["shortcut"] = chain(f"{name}.shortcut.", layer.shortcut)
        return found

    def chain(prefix, layers):
        named = net.named_layers
        names = [name for name in named if name.startswith(prefix) and "." not in name.removeprefix(prefix)]
        names = [name for name in names if name != f"{prefix}shortcut"]
        assert [named[name] for name in names] == list(layers)
        return [described(name, named[name]) for name in names]

    return chain("", net.layers[1:])


def by_parameter(net: Any, gradients: Any) -> dict[str, Array]:
    """The reference's gradients by the names of the parameters."""
    found = {}

    def take(prefix, of_layers):
        names = [name for name in net.named_layers if name.startswith(prefix)]
        names = [name for name in names if "." not in name.removeprefix(prefix)]
        for name, of_layer in zip(names, of_layers, strict=True):
            for key, value in of_layer.items():
                if key == "layers":
                    take(f"{name}.", value)
                elif key == "shortcut":
                    take(f"{name}.shortcut.", value)
                else:
                    found[f"{name}.{key}"] = value

    take("", gradients)
    return {name: found[name] for name in net.parameters}


def rounded_to_bfloat16(net: Any) -> Any:
    """A copy of a float32 network, with weights as bfloat16 has them."""
    twin = copy.copy(net)
    for name, values in net.parameters.items():
        if name.endswith("weight"):
            twin.parameters[name] = reference.to_bfloat16(values)
    return twin


# Losses --------------------------------------------------------------------------------------------------------------
def scores(z: Array, gaussian: bool = False) -> tuple[Any, Array]:
    """A network whose outputs for the rows of an identity matrix are the rows of z: 0 * w adds nothing to 1 * z."""
    rows, columns = z.shape
    head = fnn.Gaussian(columns // 2) if gaussian else fnn.Dense(columns, bias_init="zeros")
    net = fnn.Sequential([fnn.Input(rows), head], dtype=z.dtype)
    net.parameters[next(iter(net.parameters))] = z
    return net, np.eye(rows)


def value_and_derivative(loss: Any, z: Array, targets: Any, weights: Any = None) -> tuple[float, Array]:
    """Of a loss, as it is evaluated and as it is trained, for outputs z (B, O): every row's derivative is its own."""
    net, x = scores(z, isinstance(loss, fnn.GaussianNLL) and loss.learned)
    value, grads = fnn.Trainer(net, loss).loss_and_gradients(x, targets, weights)
    assert net.evaluate(x, targets, loss=loss, sample_weight=weights)["loss"] == pytest.approx(value, rel=1e-6)
    return value, grads[next(iter(net.parameters))]
