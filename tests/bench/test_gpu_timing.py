"""The GPU benchmark takes turns, excludes what fails, and records what it measured; run on the CPU."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import contenders
import data as data_
import measure
import problems
import pytest
import report
import timing
from place import Runner
from timing import Outcome, Settings

from gpu_host import FAST, LIMITS, SMALL, Host, faulty


def test_a_way_that_fails_is_excluded_and_the_others_go_on(host: Host) -> None:
    data = data_.Data(SMALL[0], host.torch, "cpu", host.cache_bytes)
    answers = timing.Answers(data)
    ways = list(contenders.ours(host, data))
    bad = [
        dataclasses.replace(ways[0], name="broken", call=faulty("no such kernel\nmore")),
        dataclasses.replace(ways[0], name="wrong", call=lambda i: [data.x[i]]),
    ]
    (one,) = timing.ready(host, data, answers, "fnnfast", iter([bad[0], ways[0], bad[1]]), FAST)
    timing.take_turns(host, [one], FAST)
    assert one.outcome.excluded is None
    assert len(one.outcome.seconds) == 2
    assert one.outcome.faults["broken, cupy graph"] == "RuntimeError: no such kernel"
    assert one.outcome.faults["wrong, cupy graph"].startswith("wrong answer to input 0: array 0: expected shape")
    assert list(one.outcome.ways) == ["fnnfast.dense, cupy graph"]
    (none,) = timing.ready(host, data, answers, "fnnfast", iter(bad), FAST)
    timing.take_turns(host, [none], FAST)
    assert none.outcome.excluded == "RuntimeError: no such kernel"
    assert none.outcome.best is None


def test_without_a_graph_it_is_a_loop(host: Host) -> None:
    data = data_.Data(SMALL[0], host.torch, "cpu", host.cache_bytes)

    def refused(calls: object, count: int) -> Runner:
        raise RuntimeError("not permitted when stream is capturing")

    host.cupy_graph = refused
    (one,) = timing.ready(host, data, timing.Answers(data), "fnnfast", contenders.ours(host, data), FAST)
    assert (one.outcome.excluded, one.outcome.manner) == (None, "loop")
    assert list(one.outcome.ways) == ["fnnfast.dense, loop"]
    assert "not permitted" in one.outcome.faults["fnnfast.dense, cupy graph"]


def test_who_has_a_goal_against_torch_compile_is_compiled_first() -> None:
    settings = Settings(compile_seconds=60)
    shown, wanted = problems.get("G1 gelu bf16"), problems.get("G2 bf16")
    assert measure.compile_seconds(shown, [wanted], settings, 40) < 0
    assert measure.compile_seconds(wanted, [shown], settings, 40) == 40 - 2 * measure.A_CASE_SECONDS
    assert measure.compile_seconds(wanted, [shown], settings, 400) == 60


def test_ways_that_cannot_be_had_are_the_contenders_fault(host: Host) -> None:
    def ways() -> Iterator[contenders.Way]:
        raise TypeError("no bfloat16")
        yield

    data = data_.Data(SMALL[0], host.torch, "cpu", host.cache_bytes)
    (none,) = timing.ready(host, data, timing.Answers(data), "fnnfast", ways(), FAST)
    assert (none.outcome.name, none.outcome.excluded) == ("fnnfast", "TypeError: no bfloat16")


def test_a_device_that_is_unusable_ends_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_.Data(SMALL[0], host.torch, "cpu", host.cache_bytes)
    (way,) = contenders.ours(host, data)
    monkeypatch.setattr(host, "synchronize", lambda: faulty("illegal address")(0))
    with pytest.raises(timing.BrokenDeviceError, match="no kernel; the device is unusable"):
        timing.ready(
            host,
            data,
            timing.Answers(data),
            "fnnfast",
            iter([dataclasses.replace(way, call=faulty("no kernel"))]),
            FAST,
        )


def test_the_time_limit() -> None:
    start = time.monotonic()

    def compiler() -> None:
        while time.monotonic() < start + 5:
            with contextlib.suppress(Exception):  # what it does with errors
                time.sleep(0.01)

    with pytest.raises(timing.OutOfTimeError), timing.limited(0.05):
        compiler()
    assert time.monotonic() - start < 1
    with timing.limited(0.05):
        pass
    time.sleep(0.1)


def test_a_case_from_data_to_record(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "CASES", SMALL)
    record = report.Record(tmp_path / "bench.json")
    measure.work(host, SMALL, FAST, record, time.monotonic() + 60)
    read = json.loads(record.path.read_text())
    assert [r["id"] for r in read["results"]] == [case.id for case in SMALL]
    for r in read["results"]:
        assert r["finished"], r["note"]
        assert r["note"] == ""
        (ours,) = (c for c in r["contenders"] if c["name"] == "fnnfast")
        assert ours["excluded"] is None
        assert 0 < ours["best"] <= ours["median"]
        assert r["share"] == pytest.approx(r["limit_seconds"] / ours["best"])
    assert "fnnfast beside the machine's measured limits" in report.table(read)


def test_a_case_that_fails_or_breaks_the_device(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "CASES", SMALL)
    record = report.Record(tmp_path / "bench.json")
    record.put(report.result(SMALL[0], [Outcome("fnnfast", seconds=[1.0])], LIMITS, 1))  # of an earlier run
    monkeypatch.setattr(measure, "Data", lambda *_: faulty("out of memory")(0))
    measure.work(host, SMALL[:1], FAST, record, time.monotonic() + 60)
    (result,) = record.content["results"]
    assert (result["note"], result["finished"]) == ("stopped: RuntimeError: out of memory", True)
    assert result["contenders"] == []
    monkeypatch.setattr(host, "synchronize", lambda: faulty("illegal address")(0))
    with pytest.raises(timing.BrokenDeviceError):
        measure.work(host, SMALL[:2], FAST, record, time.monotonic() + 60)
    (result,) = record.content["results"]
    assert "out of memory; the device is unusable since" in result["note"]
    assert result["finished"]


def test_torch_compile_gets_what_time_is_left(host: Host) -> None:
    saved: list[report.Result] = []
    case = dataclasses.replace(SMALL[0], compiled=True)
    measure.measure(host, case, LIMITS, FAST, saved.append, 1.0)
    assert [r["note"] for r in saved] == ["", "torch.compile: no time left"]
    assert saved[1]["contenders"][0]["rounds"]
