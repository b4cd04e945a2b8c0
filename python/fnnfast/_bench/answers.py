"""What a correct answer is: NumPy in float64 (float64.py), and the tolerance beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import float64
from .networks import Layer, Maxout, products
from .problems import LEARNING_RATE, Problem

Array = NDArray[Any]

CHECKED_STEPS = 5
"""Training problems answer with the losses of their first steps: the fifth has seen four Adam updates."""

LOW_PRECISION = {"bfloat16": 1e-2, "int8": 8e-2}
"""How far an answer in low precision may be from the float64 one, as a part of its largest entry: rounding the weights
and the inputs of four layers makes up to half of that. Some peers give an input 7 bits."""


def expected(problem: Problem) -> list[Array]:
    """The float64 answer: [y (B, O)], [losses], or for maxout's training [y, dx, dweight, dbias].

    Of a network whose outputs are an image, O is H * W * C, in this order.

    NaN marks an entry that float32 leaves open: where two pieces all but tie, either may win, and the gradients of that
    row and of those two columns depend on which.
    """
    if problem.kind == "training":
        trainer = float64.Training(problem.layers, LEARNING_RATE, problem.loss)
        return [np.array([trainer.step(*batch) for batch in problem.batches[:CHECKED_STEPS]])]
    layers, x = float64.converted(problem.layers), problem.x.astype(np.float64)
    y = float64.forward(layers, x).reshape(problem.batch, -1)
    return [y, *_maxout_gradients(problem, layers[0], x)] if problem.kind == "maxout_training" else [y]


def _maxout_gradients(problem: Problem, layer: Layer, x: Array) -> list[Array]:
    assert isinstance(layer, Maxout)
    z = float64.pieces(layer, x)
    won = z.argmax(axis=0) == np.arange(len(z))[:, np.newaxis, np.newaxis]
    dz = np.where(won, problem.dy, 0.0)
    dx = np.matmul(dz, layer.weight.transpose(0, 2, 1)).sum(axis=0)
    dweight = np.matmul(x.T, dz)
    dbias = dz.sum(axis=1)

    order = np.sort(z, axis=0)
    near = tolerance(problem, z)
    piece_close = (z > order[-1] - near) & (order[-1] - order[-2] < near)
    dx[piece_close.any(axis=(0, 2))] = np.nan
    columns = piece_close.any(axis=1)  # (P, O)
    dweight.transpose(0, 2, 1)[columns] = np.nan
    dbias[columns] = np.nan
    return [dx, dweight, dbias]


def tolerance(problem: Problem, answer: Array) -> float:
    """How far a contender's answer may be from ``answer``.

    Rounding errors of a sum of n terms add up like a random walk, so about sqrt(n) eps times the size of the partial
    sums; n counts what flows through all layers (in a gradient also the batch), the factor 8 covers the worst of
    millions of entries. Training losses have their updates' error in them as well: 1e-4 of their size, in float64 1e-6,
    for the formulas of Adam differ in its epsilon.
    In low precision the rounding of weights and inputs outweighs all that: ``LOW_PRECISION``.
    """
    if problem.low:
        return LOW_PRECISION[problem.precision] * float(np.nanmax(np.abs(answer)))
    if problem.kind == "training":
        return (1e-6 if problem.precision == "float64" else 1e-4) * float(np.nanmax(np.abs(answer)))
    terms = sum(layer.terms for layer in products(problem.layers)) + (problem.batch if problem.trains else 0)
    return 8 * float(np.finfo(problem.dtype).eps) * math.sqrt(terms) * max(1.0, float(np.nanmax(np.abs(answer))))


def mistake(problem: Problem, answers: Sequence[Array], given: Sequence[Array]) -> str | None:
    """What is wrong with a contender's answer, in words; None where it is right."""
    if len(answers) != len(given):
        return f"expected {len(answers)} arrays, got {len(given)}"
    for index, (right, got) in enumerate(zip(answers, given, strict=True)):
        if right.shape != got.shape:
            return f"array {index}: expected shape {right.shape}, got {got.shape}"
        if not np.all(np.isfinite(got)):
            return f"array {index}: not finite"
        worst = float(np.nanmax(np.abs(got - right), initial=0.0))
        allowed = tolerance(problem, right)
        if worst > allowed:
            return f"array {index}: off by {worst:.2g}, allowed {allowed:.2g}"
    return None
