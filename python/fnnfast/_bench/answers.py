"""What a correct answer is: NumPy in float64, computed by the harness itself, and the tolerance beside it.

This is not ``fnnfast.reference``: the harness judges fnnfast and its peers alike and so takes neither's word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .problems import LEARNING_RATE, Problem

Array = NDArray[Any]

CHECKED_STEPS = 5
"""Training problems answer with the losses of their first steps: the fifth has seen four Adam updates."""

LOW_PRECISION = {"bfloat16": 1e-2, "int8": 8e-2}
"""How far an answer in low precision may be from the float64 one, as a part of its largest entry: rounding the weights
and the inputs of four layers makes up to half of that. Some peers give an input 7 bits."""

_erf = np.frompyfunc(math.erf, 1, 1)


def activate(name: str, z: Array) -> Array:
    """The activation of z (B, O), plainly."""
    match name:
        case "identity":
            return z
        case "relu":
            return np.asarray(np.maximum(z, 0))
        case "tanh":
            return np.asarray(np.tanh(z))
        case "swish":
            return z * (1 / (1 + np.exp(-z)))
        case "gelu":
            return np.multiply(z, 0.5 * (1 + np.asarray(_erf(z / math.sqrt(2)), np.float64)))
        case "softmax":
            e: Array = np.exp(z - z.max(axis=1, keepdims=True))
            e /= e.sum(axis=1, keepdims=True)
            return e
    raise ValueError(f"no reference for the activation {name!r}")


class NumpyTraining:
    """A relu network under softmax cross-entropy and Adam, hand-written in NumPy.

    In float64 it is the reference, in float32 the contender "numpy": what one writes without a framework.
    Adam: Kingma and Ba 2015, algorithm 1, with eps outside the root.
    """

    def __init__(self, problem: Problem, dtype: type[np.float32] | type[np.float64]) -> None:
        self.parameters: list[Array] = [a.astype(dtype) for layer in problem.layers for a in layer]
        self._m: list[Array] = [np.zeros_like(p) for p in self.parameters]
        self._v: list[Array] = [np.zeros_like(p) for p in self.parameters]
        self._work: list[Array] = [np.empty_like(p) for p in self.parameters]
        self._steps = 0
        self._dtype = dtype

    def step(self, x: Array, labels: Array) -> float:
        """One update; the mean loss before it."""
        weights, biases = self.parameters[::2], self.parameters[1::2]
        inputs: list[Array] = [x.astype(self._dtype, copy=False)]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            h = inputs[-1] @ weight
            h += bias
            inputs.append(np.maximum(h, 0, out=h))
        logits = inputs[-1] @ weights[-1]
        logits += biases[-1]
        logits -= logits.max(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        picked = logits[rows, labels]
        p = np.exp(logits, out=logits)
        total = p.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - picked))

        p /= total
        p[rows, labels] -= 1
        p /= len(labels)
        gradients: list[Array] = []
        dz = p
        for index in reversed(range(len(weights))):
            gradients += [dz.sum(axis=0), inputs[index].T @ dz]
            if index:
                dz = dz @ weights[index].T
                dz *= inputs[index] > 0
        self._adam(gradients[::-1])
        return loss

    def _adam(self, gradients: Sequence[Array], beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self._steps += 1
        root = math.sqrt(1 - beta2**self._steps)
        rate = LEARNING_RATE * root / (1 - beta1**self._steps)
        for parameter, g, m, v, work in zip(self.parameters, gradients, self._m, self._v, self._work, strict=True):
            m *= beta1
            m += np.multiply(g, 1 - beta1, out=work)
            v *= beta2
            v += np.multiply(np.multiply(g, g, out=work), 1 - beta2, out=work)
            np.sqrt(v, out=work)
            work += eps * root
            np.divide(m, work, out=work)
            work *= rate
            parameter -= work


def expected(problem: Problem) -> list[Array]:
    """The float64 answer: [y], [losses], or for maxout's training [y, dx, dweight, dbias].

    NaN marks an entry that float32 leaves open: where two pieces all but tie, either may win, and the gradients of that
    row and of those two columns depend on which.
    """
    if problem.kind == "training":
        trainer = NumpyTraining(problem, np.float64)
        return [np.array([trainer.step(*batch) for batch in problem.batches[:CHECKED_STEPS]])]
    x: Array = problem.x.astype(np.float64)
    if problem.kind == "network":
        for (w, b), activation in zip(problem.layers, problem.activations, strict=True):
            x = activate(activation, x @ w.astype(np.float64) + b)
        return [x]
    weight, bias = (a.astype(np.float64) for a in problem.layers[0])
    z = np.matmul(x, weight) + bias[:, np.newaxis]  # (P, B, O)
    y = z.max(axis=0)
    return [y] if problem.kind == "maxout" else [y, *_maxout_gradients(problem, x, weight, z)]


def _maxout_gradients(problem: Problem, x: Array, weight: Array, z: Array) -> list[Array]:
    winner = z.argmax(axis=0)
    won = winner == np.arange(problem.pieces)[:, np.newaxis, np.newaxis]
    dz = np.where(won, problem.dy, 0.0)
    dx = np.matmul(dz, weight.transpose(0, 2, 1)).sum(axis=0)
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
    millions of entries. Training losses have their updates' error in them as well: 1e-4 of their size. In low precision
    the rounding of weights and inputs outweighs all that: ``LOW_PRECISION``.
    """
    if problem.low:
        return LOW_PRECISION[problem.precision] * float(np.nanmax(np.abs(answer)))
    if problem.kind == "training":
        return 1e-4 * float(np.nanmax(np.abs(answer)))
    terms = sum(problem.widths[:-1]) + (problem.batch if problem.trains else 0)
    return 8 * float(np.finfo(np.float32).eps) * math.sqrt(terms) * max(1.0, float(np.nanmax(np.abs(answer))))


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
