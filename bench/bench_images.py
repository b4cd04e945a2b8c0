"""Convolutional networks: forward passes (C1 to C7) and training steps (TC1, TC2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fnnfast._bench.problems import Problem, get


@pytest.mark.parametrize("name", ["C1", "C2", "C3", "C4", "C5", "C6", "C7"])
def bench_images(time_problem: Callable[[Problem], None], name: str) -> None:
    time_problem(get(name))


@pytest.mark.parametrize("name", ["TC1", "TC2"])
def bench_step(time_problem: Callable[[Problem], None], name: str) -> None:
    time_problem(get(name))
