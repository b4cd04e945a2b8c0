"""Gradients of shards on a GPU, in the manner of the compiled trainer of the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._checks import Array
from ._tree import total

if TYPE_CHECKING:
    from .._device.cuda_trainer import CudaTrainer

Part = tuple[int, float, float, NDArray[np.float64]]


def sum_parts(
    core: CudaTrainer,
    x: Array,
    targets: Array,
    rows: NDArray[np.int64],
    weights: Array | None,
    ends: Sequence[int],
    out: Sequence[Array],
) -> tuple[float, list[Part]]:
    """``_cpu.Trainer.sum_parts``: means over the rows of each part, times the part's share of the batch's weight."""
    of_rows, unit = (np.ones(len(rows)), 1.0) if weights is None else _checks.relative(weights[rows])
    whole = float(of_rows.sum())
    known: dict[tuple[int, int], list[Array]] = {}
    parts: list[Part] = []
    for i, (first, last) in enumerate(pairwise(ends)):
        if first == last:
            continue
        some, share = rows[first:last], float(of_rows[first:last].sum()) / whole
        loss, gradients = core.gradients(x, targets, some, None if weights is None else weights[some])
        parts.append((i, float(core._device.host(loss)) * share, math.nan, np.zeros(0)))
        known[i, i + 1] = [gradient * share for gradient in gradients]
    sums = total((0, len(ends) - 1), known, lambda one, other: [a + b for a, b in zip(one, other, strict=True)])
    for to, values in zip(out, sums or [], strict=False):
        to[...] = values
    return whole * unit, parts
