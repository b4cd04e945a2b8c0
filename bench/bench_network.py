"""Forward passes of whole networks and of maxout layers: I1 to I6, I8, M1, M2."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fnnfast._bench.problems import Problem, get


@pytest.mark.parametrize("name", ["I1", "I2", "I3", "I4", "I5", "I6", "I8"])
def bench_network(time_problem: Callable[[Problem], None], name: str) -> None:
    time_problem(get(name))


@pytest.mark.parametrize("name", ["M1", "M2"])
def bench_maxout(time_problem: Callable[[Problem], None], name: str) -> None:
    time_problem(get(name))
