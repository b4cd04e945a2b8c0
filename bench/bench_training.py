"""Training steps (T1 to T3), and maxout forward and backward (T4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fnnfast._bench.problems import Problem, get


@pytest.mark.parametrize("name", ["T1", "T2", "T3"])
def bench_step(time_problem: Callable[[Problem], None], name: str) -> None:
    time_problem(get(name))


def bench_maxout_backward(time_problem: Callable[[Problem], None]) -> None:
    time_problem(get("T4"))
