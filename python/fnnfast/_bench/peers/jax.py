"""JAX: functions under ``jit``, with arrays made before the clock starts and answers that are waited for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial, reduce
from importlib import import_module
from typing import Any

import numpy as np

from ..networks import folded, headed, parameters
from ..problems import LEARNING_RATE, Problem
from .base import Array, Peer, Variant, training
from .jax_layers import apply

_CONSTANT_BYTES = 1 << 22
"""Up to here weights may also be constants of the compiled function: a call then passes fewer arrays."""

State = dict[str, Any]


class Jax(Peer):
    """JAX on the CPU. The number of its threads is that of the variable NPROC, which the harness sets."""

    name = "jax"
    requires = ("jax", "jaxlib")

    def supports(self, problem: Problem) -> bool:
        return problem.precision != "int8"

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        jax = _start(problem, threads)
        match problem.kind:
            case "network":
                yield from self._networks(jax, problem)
            case "training":
                yield training("jit, donated", _Training(jax, problem).step, _batches(jax, problem))
            case _:
                yield from self._maxouts(jax, problem)

    @staticmethod
    def _networks(jax: Any, problem: Problem) -> Iterator[Variant]:
        layers = folded(problem.layers)
        put = partial(jax.numpy.asarray, dtype=getattr(jax.numpy, problem.precision))
        values, x = [put(value) for value in parameters(layers)], put(problem.x)

        def forward(values: list[Any], x: Any) -> Any:
            return apply(jax, layers, values, x)[0]

        yield _forward("jit", jax.jit(forward), values, x)
        if problem.weight_bytes <= _CONSTANT_BYTES:
            yield _forward("jit, constants", jax.jit(partial(forward, values)), x)

    @staticmethod
    def _maxouts(jax: Any, problem: Problem) -> Iterator[Variant]:
        np_jax = jax.numpy
        weight, bias = problem.maxout.weight, problem.maxout.bias
        pieces, inputs, units = weight.shape

        def one_product(x: Any, weight: Any, bias: Any) -> Any:
            return (x @ weight + bias).reshape(-1, pieces, units).max(1)

        def product_per_piece(x: Any, weight: Any, bias: Any) -> Any:
            return reduce(np_jax.maximum, (x @ weight[p] + bias[p] for p in range(pieces)))

        flat = np.ascontiguousarray(weight.transpose(1, 0, 2)).reshape(inputs, -1)
        for function, values in ((one_product, (flat, bias.reshape(-1))), (product_per_piece, (weight, bias))):
            arrays = [np_jax.asarray(value) for value in (problem.x, *values)]
            if problem.trains:
                yield _maxout_training(jax, function, arrays, problem)
            else:
                yield _forward(function.__name__, jax.jit(function), *arrays)


def _start(problem: Problem, threads: int) -> Any:
    """JAX with the settings for a problem; a pool of one thread would be one more than the thread that calls."""
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    os.environ["JAX_PLATFORMS"] = "cpu"
    jax: Any = import_module("jax")
    jax.config.update("jax_enable_x64", problem.precision == "float64")
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # each answer is waited for
    if not problem.low:
        jax.config.update("jax_default_matmul_precision", "float32")
    return jax


def _forward(name: str, call: Callable[..., Any], *arrays: Any) -> Variant:
    """A variant that calls a compiled function; its answer has the channels last."""
    names = [f"a{index}" for index in range(len(arrays))]
    space = {"call": call, **dict(zip(names, arrays, strict=True))}

    def answers() -> list[Array]:
        y = call(*arrays)
        return [np.asarray(y, np.float64 if y.dtype.itemsize == 8 else np.float32).reshape(len(y), -1)]

    return Variant(name, f"call({', '.join(names)}).block_until_ready()", space, answers)


def _maxout_training(jax: Any, function: Callable[..., Any], arrays: list[Any], problem: Problem) -> Variant:
    pieces, inputs, units = problem.maxout.weight.shape

    @jax.jit  # type: ignore[untyped-decorator]
    def run(arrays: list[Any], dy: Any) -> Any:
        y, backward = jax.vjp(function, *arrays)
        return y, *backward(dy)

    space = {"run": run, "arrays": arrays, "dy": jax.numpy.asarray(problem.dy), "wait": jax.block_until_ready}

    def answers() -> list[Array]:
        y, dx, dweight, dbias = map(np.asarray, run(arrays, space["dy"]))
        if dweight.ndim == 2:
            dweight = dweight.reshape(inputs, pieces, units).transpose(1, 0, 2)
        return [y, dx, dweight, dbias.reshape(pieces, units)]

    return Variant(function.__name__, "wait(run(arrays, dy))", space, answers)


class _Training:
    """Steps of Adam; each gives its memory (the donated state) to the next."""

    def __init__(self, jax: Any, problem: Problem) -> None:
        layers = headed(problem.layers, "identity")  # a softmax is in the loss
        values = [jax.numpy.array(value) for value in parameters(layers)]
        zeros = [[jax.numpy.zeros_like(value) for value in values] for _ in range(2)]
        statistics = [(jax.numpy.array(norm.mean), jax.numpy.array(norm.variance)) for norm in problem.norms]
        self._state: State = {"steps": jax.numpy.int32(0), "values": values, "m": zeros[0], "v": zeros[1]}
        self._state["statistics"] = statistics

        low = problem.precision == "bfloat16"

        def loss(values: list[Any], x: Any, targets: Any) -> Any:
            if low:
                values, x = jax.tree.map(lambda full: full.astype(jax.numpy.bfloat16), (values, x))
            y, found = apply(jax, layers, values, x, trains=True)
            return _LOSSES[problem.loss](jax, y.astype(jax.numpy.float32) if low else y, targets), found

        gradient = jax.value_and_grad(loss, has_aux=True)

        @partial(jax.jit, donate_argnums=0)
        def update(state: State, x: Any, targets: Any) -> Any:
            (value, found), gradients = gradient(state["values"], x, targets)
            state = _adam(jax, state, gradients)
            average = partial(jax.tree.map, lambda old, new: 0.9 * old + 0.1 * new)
            return state | {"statistics": average(state["statistics"], found)}, value

        self._update = update

    def step(self, x: Any, targets: Any) -> Any:
        """One update; the loss before it, which is ready when all of the step is."""
        self._state, loss = self._update(self._state, x, targets)
        return loss.block_until_ready()


def _batches(jax: Any, problem: Problem) -> list[tuple[Any, Any]]:
    return [(jax.numpy.asarray(x), jax.numpy.asarray(targets)) for x, targets in problem.batches]


def _cross_entropy(jax: Any, y: Any, labels: Any) -> Any:
    picked = jax.numpy.take_along_axis(jax.nn.log_softmax(y), labels[:, None], axis=1)
    return -picked.mean()


def _squared_error(jax: Any, y: Any, targets: Any) -> Any:
    return ((y - targets) ** 2).mean()


_LOSSES = {"cross_entropy": _cross_entropy, "mse": _squared_error}


def _adam(jax: Any, state: State, gradients: list[Any], b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> State:
    """Kingma and Ba 2015, section 2: the order of operations with one division an entry."""
    steps = state["steps"] + 1
    root = jax.numpy.sqrt(1 - b2**steps)
    rate = LEARNING_RATE * root / (1 - b1**steps)
    m = [b1 * old + (1 - b1) * g for old, g in zip(state["m"], gradients, strict=True)]
    v = [b2 * old + (1 - b2) * g * g for old, g in zip(state["v"], gradients, strict=True)]
    values = [
        value - (rate * a / (jax.numpy.sqrt(b) + eps * root)).astype(value.dtype)
        for value, a, b in zip(state["values"], m, v, strict=True)
    ]
    return state | {"steps": steps, "values": values, "m": m, "v": v}
