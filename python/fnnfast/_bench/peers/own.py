"""fnnfast, and what can be had with NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module, metadata
from typing import Any

import numpy as np

from ..answers import NumpyTraining
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
            weight, bias = problem.layers[0]
            yield self._maxout_training(fnn, problem.x, weight, bias, problem.dy)
            return
        net = self.converted(self.network(fnn, problem), problem)
        if problem.kind == "training":
            trainer = fnn.Trainer(net, loss=None, optimizer=fnn.Adam(LEARNING_RATE))
            yield training("Trainer.step", trainer.step, list(problem.batches))
        else:
            out = np.empty((problem.batch, problem.widths[-1]), np.float32)
            yield expression("net(x, out=out)", "net(x, out=out)", {"net": net, "x": problem.x, "out": out})

    @staticmethod
    def network(fnn: Any, problem: Problem) -> Any:
        """The problem's Sequential with its weights set."""
        layers: list[Any] = [fnn.Input(problem.widths[0])]
        if problem.kind == "maxout":
            layers.append(fnn.Maxout(problem.widths[1], pieces=problem.pieces))
        else:
            layers += [fnn.Dense(o, a) for o, a in zip(problem.widths[1:], problem.activations, strict=True)]
        net = fnn.Sequential(layers, dtype="float32", seed=0)
        kind = "maxout" if problem.kind == "maxout" else "dense"
        for index, (weight, bias) in enumerate(problem.layers, start=1):
            net.parameters[f"{kind}_{index}.weight"] = weight
            net.parameters[f"{kind}_{index}.bias"] = bias
        return net

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
        weight, bias = problem.layers[0]
        pieces, inputs, units = weight.shape
        net = fnn.Sequential([fnn.Input(inputs), fnn.Dense(pieces * units, "identity")], dtype="float32", seed=0)
        net.parameters["dense_1.weight"] = weight.transpose(1, 0, 2).reshape(inputs, -1)
        net.parameters["dense_1.bias"] = bias.reshape(-1)
        out = np.empty((problem.batch, pieces * units), np.float32)
        return expression("bare product", "net(x, out=out)", {"net": net, "x": problem.x, "out": out})

    @staticmethod
    def _maxout_training(fnn: Any, x: Array, weight: Array, bias: Array, dy: Array) -> Variant:
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

    def converted(self, net: Any, problem: Problem) -> Any:
        return net


_NUMPY_ACTIVATIONS = {
    "identity": "",
    "relu": "np.maximum({h}, 0, out={h})",
    "tanh": "np.tanh({h}, {h})",
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
        if problem.low:
            return False
        if problem.activation != "gelu":
            return problem.kind != "maxout_training"
        try:
            return bool(metadata.version("scipy"))
        except metadata.PackageNotFoundError:
            return False

    def counts(self, problem: Problem) -> bool:
        return not problem.trains

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        match problem.kind:
            case "training":
                yield training("hand-written", NumpyTraining(problem, np.float32).step, list(problem.batches))
            case "maxout":
                yield from self._maxout(problem)
            case _:
                yield self._network(problem, buffers=True)
                if problem.batch == 1:  # allocating a small row costs less than passing it
                    yield self._network(problem, buffers=False)

    @staticmethod
    def _network(problem: Problem, buffers: bool) -> Variant:
        space: dict[str, Any] = {"np": np, "x": problem.x}
        space |= {"r": np.float32(0.5**0.5), "half": np.float32(0.5)}
        if problem.activation == "gelu":
            space["erf"] = import_module("scipy.special").erf
        lines, previous = [], "x"
        layers = zip(problem.layers, problem.activations, strict=True)
        for index, ((weight, bias), activation) in enumerate(layers, start=1):
            h = f"h{index}"
            space |= {f"w{index}": weight, f"b{index}": bias}
            if buffers:
                space[h] = np.empty((problem.batch, len(bias)), np.float32)
                lines.append(f"np.dot({previous}, w{index}, {h}); np.add({h}, b{index}, {h})")
            else:
                lines.append(f"{h} = {previous} @ w{index} + b{index}")
            scratch = f"s{index}"
            space[scratch] = np.empty((problem.batch, len(bias)), np.float32)
            lines.append(_NUMPY_ACTIVATIONS[activation].format(h=h, s=scratch))
            previous = h
        code = "\n".join(line for line in lines if line)

        def answers() -> list[Array]:
            scope = dict(space)
            exec(code, scope)
            return [scope[previous]]

        return Variant("buffers" if buffers else "expressions", code, space, answers)

    @staticmethod
    def _maxout(problem: Problem) -> Iterator[Variant]:
        weight, bias = problem.layers[0]
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
