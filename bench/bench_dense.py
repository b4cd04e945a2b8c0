"""The dense kernel: every activation fused into a product, and one large layer (I7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import reference
from fnnfast._bench.problems import Problem, get

BATCH, UNITS = 256, 256


@pytest.mark.parametrize("inputs", [256, 1024])
@pytest.mark.parametrize("activation", list(reference.ACTIVATIONS))
def bench_activation(benchmark: Any, activation: str, inputs: int) -> None:
    """A layer of 256 rows and 256 units: what does each activation add to the same product with relu?"""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, inputs), np.float32)
    weight = rng.standard_normal((inputs, UNITS), np.float32) / np.float32(inputs**0.5)
    bias = rng.standard_normal(UNITS, np.float32)
    net = fnn.Sequential([fnn.Input(inputs), fnn.Dense(UNITS, activation)])
    net.parameters["dense_1.weight"], net.parameters["dense_1.bias"] = weight, bias
    out = np.empty((BATCH, UNITS), np.float32)

    wanted = reference.dense(x, weight, bias, activation)
    magnitude = reference.dense(np.abs(x), np.abs(weight), np.abs(bias))
    tolerance = 4 * (inputs + 8) * np.finfo(np.float32).eps * (magnitude + 1)
    assert np.all(np.abs(net(x, out=out) - wanted) <= tolerance)

    benchmark.group = f"dense, batch {BATCH}, {inputs} -> {UNITS}"
    benchmark(net, x, out=out)


def bench_large_layer(time_problem: Callable[[Problem], None]) -> None:
    time_problem(get("I7"))
