"""The cases of the GPU benchmark, and every way to compute them, run on the CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import contenders
import data as data_
import problems
import pytest
import report
import timing
import torch_ways
from problems import Case

from gpu_host import SMALL, Host


def test_rows_and_cases() -> None:
    assert " ".join(problems.ROWS) == "G1 G2 G3 G4 G5 G6 G7"
    assert len({case.id for case in problems.CASES}) == len(problems.CASES)
    assert sorted(problems.select([]), key=list(problems.CASES).index) == list(problems.CASES)
    assert {case.row for case in problems.select(["g4", "G1", "G4"])} == {"G1", "G4"}
    assert problems.get("G3 bf16").row == "G3"
    with pytest.raises(ValueError, match=r"expected rows out of G1 .* got 'G8'"):
        problems.select(["G8"])
    with pytest.raises(ValueError, match="expected a case out of"):
        problems.get("G1")


@pytest.mark.parametrize(
    ("name", "microseconds"),
    [("G1 gelu bf16", 174), ("G2 bf16", 111), ("G3 bf16", 11.55), ("G5 K=4096 bf16", 348), ("G6 G1 bf16", 348)],
)
def test_the_roof_of_790_tflops(name: str, microseconds: float) -> None:
    seconds, kind = report.roof(problems.get(name), {"bfloat16": 790e12, "copy": 4.3e12, "launch": 2e-6})
    assert seconds is not None
    assert seconds * 1e6 == pytest.approx(microseconds, rel=5e-3)
    assert kind == "flop"


def test_goals_name_what_there_is() -> None:
    peers = {problems.PRODUCT, problems.TORCH, problems.COMPILED, problems.CUPY}
    for case in problems.CASES:
        for goal in case.goals:
            if goal.kind == "peer":
                assert goal.of in peers
            if goal.kind == "case":
                assert problems.get(goal.of).activation == "identity"


def test_inputs_outgrow_the_cache() -> None:
    cache = 60 << 20
    for case in problems.CASES:
        sets = case.rotation(cache)
        moved = sets * case.batch * (case.widths[0] + case.widths[-1]) * problems.ELEMENT_BYTES[case.precision]
        assert 1 <= sets <= 16
        assert case.sets is not None or moved > 2 * cache


# The contenders ----------------------------------------------------------------------------------------------------
def all_ways(host: Host, data: Any) -> Iterator[contenders.Way]:
    yield from contenders.ours(host, data)
    yield from torch_ways.ways(data)
    if data.case.activation != "gelu":  # for which CuPy has a special function, and NumPy has not
        yield from contenders.cupy_ways(host, data)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.kind}-{case.activation}")
def test_every_way_gives_the_answer(host: Host, case: Case) -> None:
    with contenders.no_gradients(host.torch, case):
        data = data_.Data(case, host.torch, "cpu", host.cache_bytes)
        answers = timing.Answers(data)
        names = set()
        for way in all_ways(host, data):
            runner = host.loop(lambda call=way.call: [call(i) for i in range(data.sets)], data.sets)
            assert answers.mistake(host, way, runner) is None, way
            names.add(way.contender)
    assert {problems.OURS, problems.TORCH} <= names
    if case.kind in ("dense", "maxout", "dense_backward"):
        assert problems.PRODUCT in names


@pytest.mark.slow
@pytest.mark.parametrize("case", SMALL[1:], ids=lambda case: case.kind)
@pytest.mark.filterwarnings("ignore")  # the compiler's
def test_compiled_ways_give_the_answer(host: Host, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_ways, "MODE", "default")
    with contenders.no_gradients(host.torch, case):
        data = data_.Data(case, host.torch, "cpu", host.cache_bytes)
        (way,) = torch_ways.compiled_ways(data)
        runner = host.loop(lambda: [way.call(i) for i in range(data.sets)], data.sets)
        assert timing.Answers(data).mistake(host, way, runner) is None


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.kind}-{case.activation}")
def test_wrong_answers_are_noticed(host: Host, case: Case) -> None:
    data = data_.Data(case, host.torch, "cpu", host.cache_bytes)
    right = data.expected(data.sets - 1)
    assert data.mistake(right, right) is None
    assert "expected" in (data.mistake(right, right[:-1]) or "")
    for number, array in enumerate(right):
        wrong = [a.clone() for a in right]
        wrong[number].view(-1)[-1] = float("nan")
        assert data.mistake(right, wrong) == f"array {number}: not finite"
        wrong[number] = 1.2 * array + 0.1
        assert "off by" in (data.mistake(right, wrong) or "")
        assert "shape" in (data.mistake(right, [a if i != number else a[None] for i, a in enumerate(right)]) or "")


def test_one_wrong_entry_among_millions_is_noticed(host: Host) -> None:
    case = dataclasses.replace(SMALL[0], precision="bfloat16", batch=4096, widths=(2, 256))
    data = data_.Data(case, host.torch, "cpu", host.cache_bytes)
    (right,) = data.expected(0)
    wrong = right.clone()
    wrong[77, 3] += float(right.square().mean().sqrt())
    assert "an entry off" in (data.mistake([right], [wrong]) or "")
