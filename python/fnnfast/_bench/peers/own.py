"""fnnfast, and what can be had with NumPy alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module, metadata
from typing import Any

import numpy as np

from ..float64 import Adam, cross_entropy
from ..networks import (
    NORM_EPS,
    Conv,
    Dense,
    GlobalAverage,
    Layer,
    Maxout,
    MaxPool,
    Parallel,
    Residual,
    dense,
    parameters,
)
from ..problems import LEARNING_RATE, Problem
from .base import Array, Peer, Variant, expression, training


class Fnnfast(Peer):
    name = "fnnfast"
    requires = ("fnnfast",)

    def version(self) -> str | None:
        return super().version() or "source tree"

    def supports(self, problem: Problem) -> bool:
        return True

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        fnn: Any = import_module("fnnfast")
        fnn.set_num_threads(threads)
        if problem.kind == "maxout_training":
            yield self._maxout_training(fnn, problem.x, problem.maxout, problem.dy)
            return
        net = self.network(fnn, problem, self.training_dtype(problem) if problem.trains else None)
        if not problem.trains:
            net = self.converted(net, problem)
        if problem.kind == "training":
            trainer = fnn.Trainer(net, loss=None, optimizer=fnn.Adam(LEARNING_RATE))
            yield training("Trainer.step", trainer.step, list(problem.batches))
        else:
            out = np.empty((problem.batch, net.outputs), problem.dtype)
            yield expression("net(x, out=out)", "net(x, out=out)", {"net": net, "x": problem.x, "out": out})

    @staticmethod
    def network(fnn: Any, problem: Problem, dtype: str | None = None) -> Any:
        """The problem's Sequential with its parameters set, by default in the dtype of its arrays."""
        layers = [fnn.Input(*problem.network.input_shape), *_layers(fnn, problem.layers)]
        if len(problem.output_shape) == 3:
            layers.append(fnn.Flatten())  # outputs are rows
        net = fnn.Sequential(layers, dtype=dtype or problem.dtype.name, seed=0)
        for name, value in zip(net.parameters, parameters(problem.layers), strict=True):
            net.parameters[name] = value.reshape(net.parameters.shapes[name])
        statistics = [value for norm in problem.norms for value in (norm.mean, norm.variance)]
        for name, value in zip(net.buffers, statistics, strict=True):
            net.buffers[name] = value
        return net

    def training_dtype(self, problem: Problem) -> str:
        return problem.precision

    def converted(self, net: Any, problem: Problem) -> Any:
        """The network in the problem's precision; int8 is calibrated on the inputs themselves."""
        match problem.precision:
            case "bfloat16":
                return net.astype("bfloat16")
            case "int8":
                return net.quantize(problem.x)
        return net

    @staticmethod
    def bare_product(problem: Problem, threads: int) -> Variant:
        """The matrix product that a maxout problem contains, with a bias and nothing after it."""
        fnn: Any = import_module("fnnfast")
        fnn.set_num_threads(threads)
        weight, bias = problem.maxout.weight, problem.maxout.bias
        pieces, inputs, units = weight.shape
        net = fnn.Sequential([fnn.Input(inputs), fnn.Dense(pieces * units, "identity")], dtype="float32", seed=0)
        net.parameters["dense_1.weight"] = weight.transpose(1, 0, 2).reshape(inputs, -1)
        net.parameters["dense_1.bias"] = bias.reshape(-1)
        out = np.empty((problem.batch, pieces * units), np.float32)
        return expression("bare product", "net(x, out=out)", {"net": net, "x": problem.x, "out": out})

    @staticmethod
    def _maxout_training(fnn: Any, x: Array, layer: Maxout, dy: Array) -> Variant:
        weight, bias = layer.weight, layer.bias

        def answers() -> list[Array]:
            y, saved = fnn.maxout_forward(x, weight, bias)
            grads = fnn.maxout_backward(dy, x, weight, saved)
            return [y, grads.x, grads.weight, grads.bias]

        return Variant(
            "maxout_forward, maxout_backward",
            "y, saved = fnn.maxout_forward(x, weight, bias); grads = fnn.maxout_backward(dy, x, weight, saved)",
            {"fnn": fnn, "x": x, "weight": weight, "bias": bias, "dy": dy},
            answers,
        )


class FnnfastFloat32(Fnnfast):
    """The same network in float32 beside a low precision: what that gains."""

    name = "fnnfast float32"

    def supports(self, problem: Problem) -> bool:
        return problem.low

    def counts(self, problem: Problem) -> bool:
        return False

    def training_dtype(self, problem: Problem) -> str:
        return problem.dtype.name

    def converted(self, net: Any, problem: Problem) -> Any:
        return net


class FnnfastFrozen(Fnnfast):
    """The same network with batch normalization folded into its weights, as the peers have it."""

    name = "fnnfast frozen"

    def supports(self, problem: Problem) -> bool:
        return problem.kind == "network" and bool(problem.norms)

    def counts(self, problem: Problem) -> bool:
        return False

    def converted(self, net: Any, problem: Problem) -> Any:
        return net.freeze()


def _layers(fnn: Any, layers: Iterable[Layer]) -> list[Any]:
    """The layers in fnnfast's classes."""
    built: list[Any] = []
    for layer in layers:
        match layer:
            case Dense():
                built += [fnn.Flatten()] if layer.weight.ndim == 4 else []
                built.append(fnn.Dense(len(layer.bias), layer.activation))
            case Maxout():
                pieces, units = layer.bias.shape
                built.append(fnn.Maxout(units, pieces=pieces))
            case Conv():
                kernel, _, _, filters = layer.weight.shape
                settings = {"strides": layer.stride, "padding": layer.padding}
                if layer.norm is None:
                    built.append(fnn.Conv2D(filters, kernel, layer.activation, **settings))
                else:
                    built += [fnn.Conv2D(filters, kernel, bias=False, **settings), fnn.BatchNorm(eps=NORM_EPS)]
                    built += [] if layer.activation == "identity" else [fnn.Activation(layer.activation)]
            case MaxPool():
                built.append(fnn.MaxPool2D(layer.size, layer.stride, padding=layer.padding))
            case GlobalAverage():
                built.append(fnn.GlobalAveragePool2D())
            case Residual():
                shortcut = _layers(fnn, layer.shortcut) or None
                built.append(fnn.Residual(_layers(fnn, layer.body), shortcut, activation="relu"))
            case Parallel():
                built.append(fnn.Parallel([_layers(fnn, branch) for branch in layer.branches]))
    return built


_NUMPY_ACTIVATIONS = {
    "identity": "",
    "relu": "np.maximum({h}, 0, out={h})",
    "leaky_relu": "np.multiply({h}, leak, {s}); np.maximum({h}, {s}, out={h})",
    "relu6": "np.clip({h}, 0, 6, out={h})",
    "hard_tanh": "np.clip({h}, -1, 1, out={h})",
    "tanh": "np.tanh({h}, {h})",
    "sigmoid": "np.negative({h}, {h}); np.exp({h}, {h}); np.add({h}, 1, {h}); np.reciprocal({h}, {h})",
    "softsign": "np.abs({h}, {s}); np.add({s}, 1, {s}); np.divide({h}, {s}, {h})",
    # h / (1 + exp(-h)) and h (1 + erf(h / sqrt 2)) / 2, with as few passes as NumPy needs
    "swish": "np.negative({h}, {s}); np.exp({s}, {s}); np.add({s}, 1, {s}); np.divide({h}, {s}, {h})",
    "gelu": "np.multiply({h}, r, {s}); erf({s}, {s}); np.add({s}, 1, {s}); np.multiply({h}, {s}, {h}); "
    "np.multiply({h}, half, {h})",
}


class Numpy(Peer):
    """NumPy as an expert writes it. gelu needs SciPy's erf."""

    name = "numpy"
    requires = ("numpy",)

    def supports(self, problem: Problem) -> bool:
        if problem.low or problem.kind == "maxout_training" or problem.on_images:
            return False
        if problem.kind == "training":
            return problem.loss == "cross_entropy" and problem.activations <= {"relu"}
        if "gelu" in problem.activations and not _has_scipy():
            return False
        return problem.activations <= _NUMPY_ACTIVATIONS.keys()

    def counts(self, problem: Problem) -> bool:
        return not problem.trains

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        match problem.kind:
            case "training":
                yield training("hand-written", NumpyTraining(dense(problem.layers)).step, list(problem.batches))
            case "maxout":
                yield from self._maxout(problem)
            case _:
                yield self._network(problem, buffers=True)
                if problem.batch == 1:  # allocating a small row costs less than passing it
                    yield self._network(problem, buffers=False)

    @staticmethod
    def _network(problem: Problem, buffers: bool) -> Variant:
        space: dict[str, Any] = {"np": np, "x": problem.x}
        number = problem.dtype.type
        space |= {"r": number(0.5**0.5), "half": number(0.5), "leak": number(0.01)}
        lines, previous = [], "x"
        for index, layer in enumerate(dense(problem.layers), start=1):
            h = f"h{index}"
            space |= {f"w{index}": layer.weight, f"b{index}": layer.bias}
            if layer.activation == "gelu":
                space["erf"] = import_module("scipy.special").erf
            if buffers:
                space[h] = np.empty((problem.batch, len(layer.bias)), problem.dtype)
                lines.append(f"np.dot({previous}, w{index}, {h}); np.add({h}, b{index}, {h})")
            else:
                lines.append(f"{h} = {previous} @ w{index} + b{index}")
            scratch = f"s{index}"
            space[scratch] = np.empty((problem.batch, len(layer.bias)), problem.dtype)
            lines.append(_NUMPY_ACTIVATIONS[layer.activation].format(h=h, s=scratch))
            previous = h
        code = "\n".join(line for line in lines if line)

        def answers() -> list[Array]:
            scope = dict(space)
            exec(code, scope)
            return [scope[previous]]

        return Variant("buffers" if buffers else "expressions", code, space, answers)

    @staticmethod
    def _maxout(problem: Problem) -> Iterator[Variant]:
        weight, bias = problem.maxout.weight, problem.maxout.bias
        pieces, inputs, units = weight.shape
        y = np.empty((problem.batch, units), np.float32)
        z = np.empty((problem.batch, pieces * units), np.float32)
        one = np.empty_like(y)
        flat = np.ascontiguousarray(weight.transpose(1, 0, 2)).reshape(inputs, -1)

        def one_product() -> Array:
            np.dot(problem.x, flat, z)
            np.add(z, bias.reshape(-1), z)
            np.maximum(z[:, :units], z[:, units : 2 * units], out=y)
            for p in range(2, pieces):
                np.maximum(y, z[:, p * units : (p + 1) * units], out=y)
            return y

        def product_per_piece() -> Array:
            np.add(np.dot(problem.x, weight[0], y), bias[0], y)
            for p in range(1, pieces):
                np.add(np.dot(problem.x, weight[p], one), bias[p], one)
                np.maximum(y, one, out=y)
            return y

        yield expression("one product", "call()", {"call": one_product})
        yield expression("a product a piece", "call()", {"call": product_per_piece})


def _has_scipy() -> bool:
    try:
        return bool(metadata.version("scipy"))
    except metadata.PackageNotFoundError:
        return False


class NumpyTraining:
    """Dense layers with relu under softmax cross-entropy and Adam, as one writes them without a framework."""

    def __init__(self, layers: Sequence[Dense]) -> None:
        self._parameters: list[Array] = [a.copy() for a in parameters(layers)]
        self._adam = Adam(self._parameters, LEARNING_RATE)

    def step(self, x: Array, labels: Array) -> float:
        """One update; the mean loss before it."""
        weights, biases = self._parameters[::2], self._parameters[1::2]
        inputs: list[Array] = [x]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            h = inputs[-1] @ weight
            h += bias
            inputs.append(np.maximum(h, 0, out=h))
        logits = inputs[-1] @ weights[-1]
        logits += biases[-1]
        loss, dz = cross_entropy(logits, labels)
        gradients: list[Array] = []
        for index in reversed(range(len(weights))):
            gradients += [dz.sum(axis=0), inputs[index].T @ dz]
            if index:
                dz = dz @ weights[index].T
                dz *= inputs[index] > 0
        self._adam.step(gradients[::-1])
        return loss
