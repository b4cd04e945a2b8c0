"""What a network is trained and measured on: checked and converted once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .._checks import Array, DType, message
from .._device import select
from .._device.base import Device
from ..losses import Loss
from ..typing import ClassWeight

Validation = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike] | float | None


class Interface(NamedTuple):
    """What goes into a network and comes out: rows of that shape, outputs of that width, on that device."""

    device: Device
    dtype: DType
    shape: tuple[int, ...]
    outputs: int


class Data(NamedTuple):
    """Inputs (N, I), targets of N rows and their weights, float64 (N,) or None, as the CPU's kernels take them.

    The inputs are where the network is, all else on the host.
    """

    x: Array
    targets: Array
    weights: Array | None

    def rows(self, which: NDArray[np.int64]) -> Data:
        """Some of the rows."""
        x = select.of(x=self.x).take(self.x, which)
        return Data(x, self.targets[which], None if self.weights is None else self.weights[which])

    def without_zeros(self) -> Data:
        """Without the rows of weight 0."""
        return self if self.weights is None or self.weights.all() else self.rows(self.that_count())

    def not_finite(self, which: NDArray[np.int64], shape: tuple[int, ...]) -> str | None:
        """Describe the first infinite or NaN input of these rows, each of that shape, and its place."""
        which = which if self.weights is None else which[self.weights[which] > 0]
        return _checks.not_finite(select.of(x=self.x).host(self.x), which, shape)

    def that_count(self) -> NDArray[np.int64]:
        """The numbers of the rows of a weight above 0; ValueError if there are none."""
        if self.weights is None:
            return np.arange(len(self.x), dtype=np.int64)
        numbers = np.flatnonzero(self.weights)
        if not len(numbers):
            raise ValueError(message("weights", "one above 0", "zeros for all rows"))
        return numbers


def prepare(
    network: Interface,
    loss: Loss,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
) -> Data:
    """Inputs, targets and weights, checked and converted once, as the compiled trainer takes them."""
    device, dtype = network.device, _checks.sum_type(network.dtype)
    device.require(x=x, y=y, sample_weight=sample_weight)
    rows = device.network_input(x, network.shape, network.dtype)
    targets = loss.targets(device.host(y), network.outputs, dtype)
    if len(targets) != len(rows):
        raise ValueError(message("y", f"{len(rows)} targets, one for each row of x", len(targets)))
    if not len(rows):
        raise ValueError(message("x", "at least one row", "none"))
    weights = _row_weights(loss, targets, network.outputs, device.host(sample_weight), class_weight)
    return Data(rows, targets, weights)


def prepare_batch(
    network: Interface, loss: Loss, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> Data:
    """``prepare`` for one step, which on a GPU must not wait for it: targets and weights there stay there.

    Their shapes and dtypes are checked, their values are not: a label that is no class makes the loss NaN.
    """
    device = network.device
    device.require(x=x, y=y, sample_weight=sample_weight)
    if not device.holds(y) or not (sample_weight is None or device.holds(sample_weight)):
        return prepare(network, loss, x, y, sample_weight)
    rows = device.network_input(x, network.shape, network.dtype)
    dtype = _checks.sum_type(network.dtype)
    y = device.array("y", y)
    blank = np.zeros(y.shape, y.dtype if y.dtype.kind in "biuf" else dtype)  # for the rules about shapes and dtypes
    if blank.ndim == 2 and blank.size:
        blank[:, 0] = 1
    like = loss.targets(blank, network.outputs, dtype)
    if len(like) != len(rows) or not len(rows):
        return prepare(network, loss, x, y, sample_weight)  # which says what is wrong
    one_hot = y.ndim > like.ndim
    targets = device.fit(device.classes(y) if one_hot else y.reshape(like.shape), like.dtype)
    if sample_weight is None:
        return Data(rows, targets, None)
    weights = _checks.same_shape("sample_weight", device.array("sample_weight", sample_weight), (len(rows),))
    return Data(rows, targets, device.fit(weights, dtype))


def hold_out(
    network: Interface, loss: Loss, data: Data, validation: Validation, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Data | None]:
    """The rows to train on, and the data to validate on."""
    rows = data.that_count()
    if validation is None:
        return rows, None
    if isinstance(validation, (tuple, list)):
        if len(validation) not in (2, 3):
            expected = "(x, y), (x, y, sample_weight) or a share in (0, 1)"
            raise ValueError(message("validation", expected, f"{len(validation)} things"))
        try:
            return rows, prepare(network, loss, *validation).without_zeros()
        except (TypeError, ValueError) as error:  # about x, y or weights, but not those that are trained on
            raise type(error)(f"validation: {error}") from error
    count = round(_checks.share("validation", validation) * len(rows))
    if not 0 < count < len(rows):
        raise ValueError(message("validation", f"a share that splits {len(rows)} rows", validation))
    rows = rng.permutation(rows)
    return rows[count:], data.rows(rows[:count])


def validation_not_finite(
    network: Interface, loss: Loss, data: Data, validation: Validation, rows: NDArray[np.int64]
) -> str | None:
    """``Data.not_finite`` of what ``hold_out`` validates on, beside the rows to train on; rows as they were given."""
    if isinstance(validation, (tuple, list)):
        data = prepare(network, loss, *validation)
        return data.not_finite(np.arange(len(data.x)), network.shape)
    return data.not_finite(np.setdiff1d(data.that_count(), rows), network.shape)


def row_numbers(order: ArrayLike | None, rows: int) -> NDArray[np.int64]:
    """The rows to take, of so many, in their order; None stands for all."""
    if order is None:
        return np.arange(rows, dtype=np.int64)
    array = _checks.any_array("order", order)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array):
        raise ValueError(message("order", "a sequence of row numbers", f"shape {array.shape} of {array.dtype}"))
    if array.min() < 0 or array.max() >= rows:
        raise ValueError(message("order", f"row numbers 0 to {rows - 1}", f"{array.min()} to {array.max()}"))
    return _checks.fit(array, np.dtype(np.int64))


def _row_weights(
    loss: Loss,
    targets: Array,
    outputs: int,
    sample_weight: ArrayLike | None,
    class_weight: ClassWeight | None = None,
) -> Array | None:
    """How much each row of prepared targets counts, float64 (B,): sample_weight times that of its class; or None."""
    weights: Array | None = None
    if sample_weight is not None:
        given = _checks.real_array("sample_weight", sample_weight)
        weights = _checks.same_shape("sample_weight", given, (len(targets),)).astype(np.float64)
        _checks.require_all("sample_weight", weights, np.isfinite(weights) & (weights >= 0), "finite numbers >= 0")
    if class_weight is not None:
        of_rows = loss.classes(targets, outputs)
        if of_rows is None:
            got = f"{type(loss).__name__} of {outputs} outputs"
            raise ValueError(message("class_weight", "targets of one class per row", got))
        labels, classes = of_rows
        counted = labels if weights is None else labels[weights > 0]
        of_class = _class_weights(class_weight, counted, classes)[labels]
        with np.errstate(over="ignore"):
            weights = of_class if weights is None else weights * of_class
    if weights is None:
        return None
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise ValueError(message("weights", "weights of a finite sum", total))
    return weights


def _class_weights(class_weight: ClassWeight, labels: NDArray[np.int64], classes: int) -> Array:
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(message("class_weight", "a mapping or 'balanced'", repr(class_weight)))
        counts = np.bincount(labels, minlength=classes)
        balanced: Array = len(labels) / (max(1, np.count_nonzero(counts)) * np.maximum(counts, 1))
        return balanced
    if not isinstance(class_weight, Mapping):
        raise TypeError(message("class_weight", "a mapping or 'balanced'", repr(class_weight)))
    weights = np.ones(classes)
    for label, weight in class_weight.items():
        weights[_checks.integer("class_weight", label, 0, classes - 1)] = _checks.not_negative("class_weight", weight)
    return weights
