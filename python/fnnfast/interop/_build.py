"""From a graph of operations to a network, checked against its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._checks import Array, message
from .._models.sequential import Sequential
from .._network.conversion import Conversion
from .._network.structure import Structure
from ..activations import Softmax
from ..layers import Flatten, Input
from ..layers._shape import is_image
from ._blocks import make_all
from ._errors import ConversionError, refusal
from ._graph import Graph
from ._operations import Made

ROWS = 32  # of a check on random numbers
_LARGEST_LOSS = 1e-3  # of standard deviations, in a scale that is folded
_LARGEST_CHECK = 2**24  # numbers in them, so that a model with a wide input does not ask for much memory

_MOST_WORK = 4 * 10**9  # multiply-adds in them, since the source may be slow

Run = Callable[[Array], Array]


def build(graph: Graph, output: int, given: Input, dtype: _checks.DType) -> Sequential:
    """The network that a value of a graph is, for an input of the model's shape, in its number format.

    Raises
    ------
    ConversionError
        A graph that no Sequential is.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # the comparison shows what becomes of it
        made = make_all(graph.chain(output))
    while made and not made[-1].layer.can_end:  # dropout, which acts on no output
        made = made[:-1]
    if not made:
        raise refusal("the model", "its output is its input", "models with at least one layer or activation")
    try:
        structure = _structure(given, made)
        if not is_image(graph.inputs) and structure.has_images:  # the graph has vectors there
            made = (Made(Flatten(), {}), *made)
            structure = _structure(given, made)
        values = {
            f"{name}.{key}": array
            for name, layer in zip(structure.named, _preorder(made), strict=True)
            for key, array in layer.parameters.items()
        }
        return Sequential._restored(structure.layers, dtype, values)
    except (TypeError, ValueError) as error:
        raise ConversionError(f"the model: its layers cannot form a network ({error})") from error


def _structure(given: Input, made: Sequence[Made]) -> Structure:
    return Structure([given, *(layer.layer for layer in made)])


def _preorder(made: Sequence[Made]) -> Iterator[Made]:
    for layer in made:
        yield layer
        yield from _preorder(layer.inner)


# Checks --------------------------------------------------------------------------------------------------------------
def checked(
    net: Sequential,
    run: Run,
    source: str,
    versions: Mapping[str, str],
    check: Any = None,
    *,
    runner: str = "",
    folded: Sequence[str] = (),
    epsilon: float | None = None,
    around: tuple[Array, Array] | None = None,
) -> Sequential:
    """The network, once its answers are those of its source; it then says in ``converted_from`` where it came from.

    Parameters
    ----------
    net : Sequential
    run : callable
        The source: rows (B, *shape) in, outputs out.
    source : str
        What it is, such as "ONNX".
    versions : mapping of str to str
    check : array_like, (array_like, array_like) or None
        Rows to compare on, or rows and the outputs that the source gives for them; else random ones.
    runner : str, optional
        What ``run`` uses, where that is not the source itself.
    folded : sequence of str
    epsilon : float, optional
        That of the numbers that the source computes in; by default the network's.
    around : (ndarray (I,), ndarray (I,)), optional
        Mean and standard deviation of random rows, where the model tells those of its data; by default 0 and 1.

    Raises
    ------
    ConversionError
        The answers differ by more than rounding can explain.
    """
    shape = net.input.shape
    if isinstance(check, tuple):
        if len(check) != 2:
            raise ValueError(message("check", "rows, or (rows, outputs)", f"a tuple of {len(check)}"))
        x, expected = (np.asarray(part) for part in check)
        against = f"{len(x)} given outputs"
    else:
        if check is None:
            work = sum(map(net._structure.multiply_adds, net.named_layers))
            rows = max(1, min(ROWS, _LARGEST_CHECK // net.input.size, _MOST_WORK // max(work, 1)))
            mean, deviation = around or (0.0, 1.0)
            x = mean + deviation * np.random.default_rng(0).standard_normal((rows, net.input.size))
            x = _checks.fit(x.reshape(rows, *shape), net.dtype)
        else:
            x = _checks.real_array("check", check)
            _checks.row_size("check", x.shape, shape)
            x = x.reshape(len(x), *shape).astype(net.dtype)
        expected = run(x)
        against = f"{runner or source} on {len(x)} {'random' if check is None else 'given'} rows"
    expected = np.asarray(expected)
    if expected.ndim > 2:  # the outputs of a network are rows of one axis
        expected = expected.reshape(len(expected), -1)
    precision = float(np.finfo(net.dtype).eps)
    epsilon = epsilon or precision
    if around is not None:
        epsilon = max(epsilon, precision * _cancellation(around, precision) / 100)
    largest = _largest_difference(net, x, expected, epsilon)
    net.converted_from = Conversion(source, versions, against, largest, folded)
    return net


def _cancellation(around: tuple[Array, Array], precision: float) -> float:
    """The largest mean in standard deviations; a dense layer subtracts it after the product, not before.

    Raises
    ------
    ConversionError
        It is so large that nothing is left of a row.
    """
    mean, deviation = around
    ratios = np.abs(mean) / deviation
    column = int(ratios.argmax())
    if ratios[column] * precision > _LARGEST_LOSS:
        raise refusal(
            f"column {column} of the input",
            f"its mean {mean[column]:.6g} is {ratios[column]:.2g} times the standard deviation that it is divided by, "
            "too much for a scale that is part of a dense layer in this precision",
            f"{_LARGEST_LOSS / precision:.2g} times",
            "shift or drop the column before, or use float64",
        )
    return float(ratios[column])


def _largest_difference(net: Sequential, x: Array, expected: Array, epsilon: float) -> float:
    got = net(x)
    if expected.shape != got.shape:
        raise ConversionError(message("check", f"outputs of shape {got.shape} from the source", expected.shape))
    with np.errstate(invalid="ignore", over="ignore"):
        differences = np.abs(got - expected.astype(got.dtype))
        differences[(got == expected) | (np.isnan(got) & np.isnan(expected))] = 0  # infinities
    finite = np.abs(expected[np.isfinite(expected)])
    # Sums and folds round in another order in each layer; what is wrong differs by far more than a thousand roundings.
    tolerance = 2000 * epsilon * (1 + float(finite.max(initial=0)))
    off = ~(differences.astype(_checks.FLOAT64) <= tolerance).all(axis=1)
    activations = [layer.activation for layer in net.named_layers.values()]
    if off.any() and isinstance(activations[-1], Softmax):
        # Which of some large logits is the largest may be a matter of their last digits.
        logits = np.abs(net.logits(x[off]).astype(_checks.FLOAT64))
        off[off] = ~(differences[off].max(axis=1) <= 20 * epsilon * logits.max(axis=1))
    jumps = not all(activation.differentiable for activation in activations)
    if off.sum() > (len(x) // 8 if jumps else 0):  # a rounding may take a sum to the other side of a jump
        most = np.fmax.reduce(differences, axis=None)
        raise ConversionError(
            f"the network differs from its source by {most:.3g} on {off.sum()} of {len(x)} rows, "
            f"more than the {tolerance:.3g} that rounding explains; this is a bug of the conversion, or outputs that "
            "do not belong to the model"
        )
    return float(differences.max(initial=0))
