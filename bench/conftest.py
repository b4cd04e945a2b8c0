"""Shared by the benchmarks: a problem's call, checked and then timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fnnfast as fnn
from fnnfast._bench import answers
from fnnfast._bench.peers import Fnnfast
from fnnfast._bench.problems import Problem


@pytest.fixture
def time_problem(benchmark: Any) -> Callable[[Problem], None]:
    """Times fnnfast on a problem after comparing its answer with the float64 one."""

    def run(problem: Problem) -> None:
        (variant,) = Fnnfast().variants(problem, fnn.get_num_threads())
        assert answers.mistake(problem, answers.expected(problem), variant.answers()) is None
        namespace = dict(variant.namespace)
        exec(f"def call():\n    {variant.statement}", namespace)
        benchmark.extra_info |= {"work": problem.title, "flops": problem.flops, "weight_bytes": problem.weight_bytes}
        benchmark(namespace["call"])

    return run
