"""Networks in float64, forward and backward, in plain NumPy.

This is not ``fnnfast.reference``: the harness compares fnnfast and its peers with an answer of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .activations import formula
from .networks import (
    NORM_EPS,
    Conv,
    Dense,
    GlobalAverage,
    Layer,
    Layers,
    Maxout,
    MaxPool,
    Norm,
    Parallel,
    Residual,
    headed,
    mapped,
    parameters,
)

Array = NDArray[Any]
Backward: TypeAlias = Callable[[Array], tuple[Array, list[Array]]]
"""From the gradient of a layer's output to that of its input and those of its parameters, in their order."""

_BLOCK = 1 << 20
"""How many numbers of windows are in memory at once."""


def forward(layers: Iterable[Layer], x: Array) -> Array:
    """The outputs (B, ...) in inference."""
    for layer in layers:
        x, _ = _layer(layer, x, training=False)
    return x


def run(layers: Iterable[Layer], x: Array) -> tuple[Array, Backward]:
    """The outputs in training, and what their gradient does."""
    backwards: list[Backward] = []
    for layer in layers:
        x, backward = _layer(layer, x, training=True)
        backwards.append(backward)

    def backward_of_all(dy: Array) -> tuple[Array, list[Array]]:
        gradients: list[Array] = []
        for backward in reversed(backwards):
            dy, more = backward(dy)
            gradients = more + gradients
        return dy, gradients

    return x, backward_of_all


def _layer(layer: Layer, x: Array, training: bool) -> tuple[Array, Backward]:
    match layer:
        case Dense():
            return _dense(layer, x)
        case Conv():
            return _conv(layer, x, training)
        case MaxPool():
            return _max_pool(layer, x)
        case GlobalAverage():
            size = x.shape[1] * x.shape[2]
            return x.mean(axis=(1, 2)), lambda dy: (dy[:, None, None] / size * np.ones_like(x), [])
        case Maxout():
            return np.asarray(pieces(layer, x).max(axis=0)), _no_backward
        case Residual():
            (inside, beside), into = _branches((layer.body, layer.shortcut), x, training)
            y = np.maximum(inside + beside, 0)
            return y, lambda dy: into([dy * (y > 0)] * 2)
        case Parallel():
            outputs, into = _branches(layer.branches, x, training)
            ends = np.cumsum([output.shape[-1] for output in outputs])[:-1]
            return np.concatenate(outputs, axis=-1), lambda dy: into(np.split(dy, ends, axis=-1))
    raise ValueError(f"no reference for {layer}")


def _branches(
    branches: Iterable[Layers], x: Array, training: bool
) -> tuple[list[Array], Callable[[Sequence[Array]], tuple[Array, list[Array]]]]:
    """The outputs of all branches, and what their gradients do."""
    if not training:
        return [forward(branch, x) for branch in branches], _no_backward
    outputs, backwards = zip(*(run(branch, x) for branch in branches), strict=True)

    def into(gradients: Sequence[Array]) -> tuple[Array, list[Array]]:
        dx, of_parameters = np.zeros_like(x), []
        for backward, gradient in zip(backwards, gradients, strict=True):
            through, more = backward(gradient)
            dx += through
            of_parameters += more
        return dx, of_parameters

    return list(outputs), into


def _no_backward(dy: Any) -> tuple[Array, list[Array]]:
    raise NotImplementedError


def pieces(layer: Maxout, x: Array) -> Array:
    """The pieces of a maxout layer: (P, B, O)."""
    return np.asarray(np.matmul(x, layer.weight) + layer.bias[:, np.newaxis])


def _activate(name: str, z: Array) -> tuple[Array, Callable[[Array], Array]]:
    """The outputs, and what their gradient does; of input and output only the one that this needs is kept."""
    value, slope, of_output = formula(name)
    y = np.asarray(value(z))
    kept = y if of_output else z
    return y, lambda dy: dy * slope(kept)


def _dense(layer: Dense, x: Array) -> tuple[Array, Backward]:
    weight, rows = layer.rows, x.reshape(len(x), -1)
    y, into = _activate(layer.activation, rows @ weight + layer.bias)

    def backward(dy: Array) -> tuple[Array, list[Array]]:
        dz = into(dy)
        return (dz @ weight.T).reshape(x.shape), [(rows.T @ dz).reshape(layer.weight.shape), dz.sum(axis=0)]

    return y, backward


def _conv(layer: Conv, x: Array, training: bool) -> tuple[Array, Backward]:
    kernel, _, _, filters = layer.weight.shape
    padded = _pad(x, layer.padding, 0.0)
    shape, _ = layer.flow(x.shape[1:])
    z = _products(padded, kernel, layer.stride, layer.rows, shape)
    if layer.bias is not None:
        z += layer.bias
    normed, norm_backward = (z, None) if layer.norm is None else _norm(layer.norm, z, training)
    y, into = _activate(layer.activation, normed)

    def backward(dy: Array) -> tuple[Array, list[Array]]:
        dz = into(dy)
        of_norm: list[Array] = []
        if norm_backward is not None:
            dz, of_norm = norm_backward(dz)
        dweight = np.zeros_like(layer.rows)
        for block, rows in _windows(padded, kernel, layer.stride):
            dweight += rows.T @ dz[block].reshape(-1, filters)
        # Each pixel has a window over the outputs, at its turned kernel.
        spread = np.zeros((len(x), *(n + kernel - 1 for n in padded.shape[1:3]), filters))
        np.copyto(next(_shifted(spread[:, kernel - 1 :, kernel - 1 :], 1, layer.stride, shape)), dz)
        turned = layer.weight[::-1, ::-1].transpose(0, 1, 3, 2).reshape(-1, x.shape[3])
        dpadded = _products(spread, kernel, 1, turned, padded.shape[1:])
        dbias = [] if layer.bias is None else [dz.sum(axis=(0, 1, 2))]
        return _unpad(dpadded, layer.padding), [dweight.reshape(layer.weight.shape), *dbias, *of_norm]

    return y, backward


def _norm(norm: Norm, z: Array, training: bool) -> tuple[Array, Backward]:
    mean = z.mean(axis=(0, 1, 2)) if training else norm.mean
    variance = z.var(axis=(0, 1, 2)) if training else norm.variance
    deviation = np.sqrt(variance + NORM_EPS)
    unit = (z - mean) / deviation

    def backward(dy: Array) -> tuple[Array, list[Array]]:
        dscale, dshift = (dy * unit).sum(axis=(0, 1, 2)), dy.sum(axis=(0, 1, 2))
        n = z.size // z.shape[-1]
        return norm.scale / deviation * (dy - dshift / n - unit * (dscale / n)), [dscale, dshift]

    return unit * norm.scale + norm.shift, backward


def _max_pool(layer: MaxPool, x: Array) -> tuple[Array, Backward]:
    padded = _pad(x, layer.padding, -math.inf)
    shape, _ = layer.flow(x.shape[1:])
    y = np.full((len(x), *shape), -math.inf)
    winner = np.empty(y.shape, np.int8)  # the first of equals
    for number, window in enumerate(_shifted(padded, layer.size, layer.stride, shape)):
        np.copyto(winner, number, where=window > y)
        np.maximum(y, window, out=y)

    def backward(dy: Array) -> tuple[Array, list[Array]]:
        dpadded = np.zeros_like(padded)
        for number, window in enumerate(_shifted(dpadded, layer.size, layer.stride, shape)):
            window += dy * (winner == number)  # a view
        return _unpad(dpadded, layer.padding), []

    return y, backward


def _windows(padded: Array, size: int, stride: int) -> Iterator[tuple[slice, Array]]:
    """The windows of all outputs as rows (B * H * W, size * size * C), some samples at a time: they are many."""
    views = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    views = views.transpose(0, 1, 2, 4, 5, 3)
    samples = max(1, _BLOCK // views[0].size)
    for start in range(0, len(views), samples):
        block = slice(start, start + samples)
        yield block, views[block].reshape(-1, size * size * padded.shape[3])


def _products(padded: Array, size: int, stride: int, weight: Array, shape: tuple[int, ...]) -> Array:
    """The windows times ``weight`` (I, O): (B, H, W, O)."""
    y = np.empty((len(padded), *shape))
    for block, rows in _windows(padded, size, stride):
        y[block] = (rows @ weight).reshape(-1, *shape)
    return y


def _shifted(padded: Array, size: int, stride: int, shape: tuple[int, ...]) -> Iterator[Array]:
    """For each place of a window, a view of the pixels there, one for each output: (B, H, W, C)."""
    height, width = (stride * (n - 1) + 1 for n in shape[:2])
    for i in range(size):
        for j in range(size):
            yield padded[:, i : i + height : stride, j : j + width : stride]


def _pad(x: Array, padding: int, value: float) -> Array:
    edge = (padding, padding)
    return np.pad(x, ((0, 0), edge, edge, (0, 0)), constant_values=value) if padding else x


def _unpad(padded: Array, padding: int) -> Array:
    return padded[:, padding:-padding, padding:-padding] if padding else padded


def converted(layers: Iterable[Layer]) -> Layers:
    """A copy of the network with its parameters in float64."""

    def convert(layer: Layer) -> Layer:
        if not isinstance(layer, (Dense, Maxout, Conv)):
            return layer
        changes: dict[str, Any] = {"weight": layer.weight.astype(np.float64)}
        if layer.bias is not None:
            changes["bias"] = layer.bias.astype(np.float64)
        if isinstance(layer, Conv) and layer.norm is not None:
            changes["norm"] = Norm(*(a.astype(np.float64) for a in vars(layer.norm).values()))
        return replace(layer, **changes)

    return mapped(layers, convert)


class Training:
    """A loss of ``LOSSES`` and Adam over the outputs of a network."""

    def __init__(self, layers: Layers, rate: float, loss: str = "cross_entropy") -> None:
        self._layers = headed(converted(layers), "identity")  # a softmax is in the loss
        self._loss = LOSSES[loss]
        self._adam = Adam(list(parameters(self._layers)), rate)

    def step(self, x: Array, targets: Array) -> float:
        """One update; the mean loss before it."""
        outputs, backward = run(self._layers, x.astype(np.float64))
        loss, gradient = self._loss(outputs, targets)
        self._adam.step(backward(gradient)[1])
        return loss


def cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """The mean loss of a softmax of ``logits`` (B, O), and its gradient, which overwrites ``logits``."""
    logits -= logits.max(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    picked = logits[rows, labels]
    p = np.exp(logits, out=logits)
    total = p.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - picked))
    p /= total
    p[rows, labels] -= 1
    p /= len(labels)
    return loss, p


def squared_error(y: Array, targets: Array) -> tuple[float, Array]:
    """The mean of (y - targets)^2 over all entries (B, O), and its gradient, which overwrites ``y``."""
    y -= targets
    loss = float(np.mean(np.square(y)))
    y *= 2 / y.size
    return loss, y


LOSSES: dict[str, Callable[[Array, Array], tuple[float, Array]]] = {
    "cross_entropy": cross_entropy,
    "mse": squared_error,
}
"""By name: from the outputs before a softmax and the targets to the loss and its gradient."""


class Adam:
    """Kingma and Ba 2015, algorithm 1, with eps outside the root. Changes the parameters in place."""

    def __init__(self, values: Sequence[Array], rate: float) -> None:
        self._values, self._rate, self._steps = values, rate, 0
        self._m: list[Array] = [np.zeros_like(p) for p in values]
        self._v: list[Array] = [np.zeros_like(p) for p in values]
        self._work: list[Array] = [np.empty_like(p) for p in values]

    def step(self, gradients: Sequence[Array], beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self._steps += 1
        root = math.sqrt(1 - beta2**self._steps)
        rate = self._rate * root / (1 - beta1**self._steps)
        for value, g, m, v, work in zip(self._values, gradients, self._m, self._v, self._work, strict=True):
            m *= beta1
            m += np.multiply(g, 1 - beta1, out=work)
            v *= beta2
            v += np.multiply(np.multiply(g, g, out=work), 1 - beta2, out=work)
            np.sqrt(v, out=work)
            work += eps * root
            np.divide(m, work, out=work)
            work *= rate
            value -= work
