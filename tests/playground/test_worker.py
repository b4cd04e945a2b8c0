"""The thread that trains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from fnnfast._playground import data
from fnnfast._playground.run import Run
from fnnfast._playground.script import digest
from fnnfast._playground.settings import DEFAULTS, Hidden, Settings
from fnnfast._playground.widths import WIDTHS, Widths
from fnnfast._playground.worker import Worker

PLANE = DEFAULTS["classification"]


@pytest.fixture
def started() -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def start(settings: Settings = PLANE, limit: int | None = None) -> Worker:
        made.append(Worker(Run(settings, data.make(settings)), limit))
        return made[-1]

    yield start
    for worker in made:
        worker.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fnnfast-playground")]


def wait(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def test_it_trains_until_it_is_paused(started: Callable[..., Worker]) -> None:
    worker = started()
    assert worker.state.steps == 0
    assert not worker.running
    worker.start()
    wait(lambda: worker.state.steps > 1000)
    worker.pause()
    steps, changes, parameters = worker.finished()
    assert changes == [(0, PLANE.learning_rate, PLANE.l2)]
    time.sleep(0.05)
    assert worker.state.steps == steps == worker.finished()[0]
    run = Run(PLANE, data.make(PLANE))
    run.advance(steps)
    assert digest(parameters) == digest(run.network.parameters)
    assert set(worker.state.gradient_norm) == {"dense_1", "dense_2", "dense_3"}


def test_no_more_steps_a_frame_than_it_may(started: Callable[..., Worker]) -> None:
    worker = started(limit=7)
    worker.start()
    time.sleep(0.05)
    assert worker.state.steps == 0
    for frames in range(1, 4):
        worker.frame()
        wait(lambda frames=frames: worker.state.steps == 7 * frames)  # type: ignore[misc]
    worker.limit(None)
    wait(lambda: worker.state.steps > 500)


def test_single_steps(started: Callable[..., Worker]) -> None:
    worker = started()
    worker.step()
    wait(lambda: worker.state.steps == 1)
    worker.step(20)
    wait(lambda: worker.state.steps == 21)


def test_rates_change_between_two_steps(started: Callable[..., Worker]) -> None:
    worker = started()
    worker.step(10)
    wait(lambda: worker.state.steps == 10)
    worker.change(replace(PLANE, learning_rate=0.1))
    worker.step(5)
    wait(lambda: worker.state.steps == 15)
    assert worker.finished()[1] == [(0, 0.01, 0.0), (10, 0.1, 0.0)]


def test_why_it_stops(started: Callable[..., Worker]) -> None:
    wild = replace(
        DEFAULTS["regression"], learning_rate=100.0, optimizer="momentum", layers=(Hidden("identity", 8),) * 3
    )
    empty = replace(PLANE, data="drawn")
    for settings, message in ((wild, "diverged"), (empty, "no point to train on")):
        worker = started(settings)
        worker.start()
        wait(lambda worker=worker: bool(worker.state.message))  # type: ignore[misc]
        assert message in worker.state.message
        assert not worker.running
        worker.start()
        assert not worker.running


def test_widths() -> None:
    settings = replace(DEFAULTS["regression"], noise=0.0)
    compared = Widths(settings, data.make(settings))
    wait(lambda: compared.finished, 60)
    found = dict(compared.found)
    assert tuple(found) == WIDTHS
    assert found[1] > 0.5
    assert min(found.values()) < 0.1
    ended = Widths(settings, data.make(settings))
    ended.close()
    assert ended.finished
