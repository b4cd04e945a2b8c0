"""bench/gpu without a GPU: the problems, the contenders on the CPU, the judgement of figures, and the command lines."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bench" / "gpu"
SCRIPT = ROOT / "bench" / "gpu_check.sh"
sys.path.insert(0, str(FOLDER))

import contenders  # noqa: E402
import data as data_  # noqa: E402
import facts  # noqa: E402
import families  # noqa: E402
import main  # noqa: E402
import measure  # noqa: E402
import probe  # noqa: E402
import problems  # noqa: E402
import ptxas  # noqa: E402
import report  # noqa: E402
import timing  # noqa: E402
import torch_ways  # noqa: E402
from place import Runner  # noqa: E402
from problems import Case  # noqa: E402
from timing import Outcome, Settings  # noqa: E402

SMALL = (
    Case("G1", "gelu fp32", "dense", 40, (24, 16), "gelu", "float32", sets=3),
    Case("G1", "relu fp32", "dense", 40, (24, 16), "relu", "float32", sets=3),
    Case("G2", "fp32", "network", 33, (24, 16, 12, 10), "swish", "float32", sets=2),
    Case("G5", "fp32", "maxout", 33, (24, 16), "maxout", "float32", pieces=4, sets=2),
    Case("G6", "layer", "dense_backward", 40, (24, 16), "gelu", "float32", sets=2),
    Case("G6", "network", "gradients", 40, (24, 16, 10), "relu", "float32", sets=2),
    Case("G7", "fp32", "step", 40, (24, 16, 10), "relu", "float32", sets=3),
)
FAST = Settings(rounds=2, turn_seconds=1e-4, compile_seconds=0.0)
LIMITS = {"float32": 1e11, "copy": 1e10, "launch": 2e-6}


class Host:
    """The CPU in the GPU's place: NumPy for CuPy, loops for graphs."""

    device = "cpu"
    cache_bytes = 1 << 20

    def __init__(self) -> None:
        self.torch: Any = pytest.importorskip("torch")
        self.xp = np
        self.cupy_graph = self.torch_graph = self.loop

    def array(self, tensor: Any) -> np.ndarray:
        return tensor.detach().numpy()

    def tensor(self, array: Any) -> Any:
        return array.detach() if isinstance(array, self.torch.Tensor) else self.torch.as_tensor(array)

    def loop(self, calls: Callable[[], list[list[Any]]], count: int) -> Runner:
        last: list[list[list[Any]]] = []

        def run() -> None:
            last[:] = [calls()]

        for _ in range(data_.WARM_UPS):
            run()
        return Runner(run, count, lambda: last[0])

    def seconds(self, run: Callable[[], object], times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            run()
        return time.perf_counter() - start

    def synchronize(self) -> None:
        pass

    def free(self) -> None:
        pass

    def limits(self, precisions: set[str]) -> dict[str, float]:
        return LIMITS


@pytest.fixture
def host() -> Host:
    return Host()


# Problems ----------------------------------------------------------------------------------------------------------
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


# Turns -------------------------------------------------------------------------------------------------------------
def faulty(message: str) -> Callable[[int], list[Any]]:
    def call(index: int) -> list[Any]:
        raise RuntimeError(message)

    return call


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


# Judgement and words -----------------------------------------------------------------------------------------------
def a_result(name: str, **seconds: float) -> report.Result:
    outcomes = [Outcome(key.replace("_", "."), "way", seconds=[2 * value, value]) for key, value in seconds.items()]
    limits = dict.fromkeys(problems.ELEMENT_BYTES, 790e12) | {"copy": 4.3e12, "launch": 1e-6}
    return report.result(problems.get(name), outcomes, limits, 2)


def met(result: report.Result, others: list[report.Result]) -> list[bool | None]:
    return [goal["met"] for goal in report.judge(result, [result, *others])]


def test_goals() -> None:
    identity = a_result("G1 identity bf16", fnnfast=200e-6, cublaslt=198e-6)
    assert met(identity, []) == [True]
    assert met(a_result("G1 identity bf16", fnnfast=200e-6, cublaslt=190e-6), []) == [False]
    gelu = a_result("G1 gelu bf16", fnnfast=205e-6, cublaslt=198e-6)
    assert met(gelu, [identity]) == [False, True]
    assert met(gelu, []) == [False, None]
    assert met(a_result("G3 bf16", fnnfast=19e-6), []) == [True, None]
    assert met(a_result("G3 bf16", fnnfast=21e-6, torch_compile=60e-6), []) == [False, False]
    assert met(a_result("G4 fp32", fnnfast=4e-6, cupy=50e-6), []) == [True, True]


def test_the_table() -> None:
    good = a_result("G1 identity bf16", fnnfast=200e-6, cublaslt=198e-6)
    bad = report.result(problems.get("G1 relu bf16"), [Outcome("fnnfast", excluded="wrong answer")], {}, 2, "a note")
    for r in (good, bad):
        r["goals"] = report.judge(r, [good, bad])
    text = report.table({"results": [good, bad]})
    first, second = (line for line in text.splitlines() if line.startswith("G1 identity bf16"))
    assert first.endswith("200 us  198 us (0.99)")
    assert " 87%  flop " in second
    assert second.endswith("0.97x cublaslt: 0.99x, met")
    assert "0.97x cublaslt: not comparable; at most 1.03x G1 identity bf16: not comparable" in text
    assert text.endswith("Excluded, and notes:\nG1 relu bf16 fnnfast: excluded: wrong answer\nG1 relu bf16: a note\n")
    assert "none" in report.table({"results": []})


def test_the_record_grows_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bench.json"
    report.Record(path).put(a_result("G3 bf16", fnnfast=19e-6))
    report.Record(path).put(a_result("G1 identity bf16", fnnfast=200e-6))
    report.Record(path).put(a_result("G3 bf16", fnnfast=21e-6))
    read = json.loads(path.read_text())
    assert [r["id"] for r in read["results"]] == ["G1 identity bf16", "G3 bf16"]
    assert read["results"][1]["goals"][0] == {"goal": "at most 20.0 us", "unit": "s", "value": 21e-6, "met": False}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.85e-6, "1.85 us"), (1.74e-4, "174 us"), (2.5e-3, "2.50 ms"), (4e-7, "0.400 us")]
)
def test_duration(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_the_summary_of_ptxas() -> None:
    log = """
[3/9] nvcc ...
ptxas info    : Compiling entry function '_Z4mainPf' for 'sm_90a'
ptxas info    : Function properties for _Z4mainPf
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 8 bytes cumulative stack size, 49152 bytes smem, 384 bytes cmem[0]
ptxas info    : Compiling entry function '_Z5otherPf' for 'sm_90a'
ptxas info    : Function properties for _Z5otherPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, 384 bytes cmem[0]
ptxas info    : Compiling entry function '_Z5thirdPf' for 'sm_90a'
ptxas info    : Function properties for _Z5thirdPf
    752 bytes stack frame, 752 bytes spill stores, 616 bytes spill loads
ptxas info    : Used 128 registers, 384 bytes cmem[0]
ptxas info    : Function properties for _Z6calledPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Function properties for _Z5againPf
    16 bytes stack frame, 8 bytes spill stores, 0 bytes spill loads
"""
    first, second, third = ptxas.kernels(log)
    assert (first.name, first.registers, first.spill_stores, first.spill_loads) == ("_Z4mainPf", 168, 4, 12)
    assert (first.stack, first.shared, second.shared, second.registers) == (8, 49152, 0, 32)
    assert (third.stack, third.spill_stores, third.spill_loads, third.registers) == (752, 760, 616, 128)
    text = ptxas.summary([first, second, third])
    assert "3 kernels, 2 with spills" in text
    assert text.index("main") < text.index("other")


# The sanitizer's subject -------------------------------------------------------------------------------------------
class Listed(np.ndarray):
    """A NumPy array with CuPy's way to the host."""

    def get(self) -> np.ndarray:
        return np.asarray(self)


def test_the_families_of_kernels_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script itself is right: on the CPU, in float32 and float64, with fnnfast in CuPy's place too."""
    fnn = pytest.importorskip("fnnfast")
    monkeypatch.setattr(families, "DTYPES", ("float32", "float64"))

    class Subject(families.Subject):
        def __init__(self) -> None:
            self.fnn = SimpleNamespace(**{name: getattr(fnn, name) for name in (*fnn.__all__, "activations")})
            self.fnn.Sequential = self.network
            self.xp = SimpleNamespace(asarray=np.asarray)
            self._rng = np.random.default_rng(0)

        def network(self, layers: list[Any], dtype: str, seed: int, device: str = "cpu") -> Any:
            return fnn.Sequential(layers, dtype=dtype if dtype == "float64" else "float32", seed=seed)

        def normal(self, dtype: str, *shape: int) -> tuple[Any, np.ndarray]:
            return super().normal(dtype if dtype == "float64" else "float32", *shape)

        def agree(self, what: str, got: Any, right: np.ndarray) -> None:
            super().agree(what, np.asarray(got).view(Listed), right)

    found = list(families.examine(Subject(), families.FAMILIES, time.monotonic() + 60))
    assert [name for name, _, good in found if not good] == []
    assert all("calls" in words for _, words, _ in found)
    late = list(families.examine(Subject(), families.FAMILIES[:1], time.monotonic() - 1))
    assert late == [("dense_shapes", "not covered, or not to its end: out of time", True)]


@pytest.mark.parametrize(
    ("tool", "status", "output", "good"),
    [
        (None, 0, "softmax: 25 calls in 1.0 s\n", True),
        (None, 1, "softmax: FAILED: AssertionError: off by 3\n", False),
        (None, -11, "", False),
        (None, None, "", False),
        ("memcheck", 0, "softmax: 25 calls in 1.0 s\n========= ERROR SUMMARY: 0 errors\n", True),
        ("memcheck", 86, "softmax: 25 calls in 1.0 s\n========= ERROR SUMMARY: 3 errors\n", False),
        ("memcheck", 0, "softmax: 25 calls in 1.0 s\n", False),
        ("memcheck", 0, "softmax: not covered\n========= ERROR SUMMARY: 0 errors\n", False),
        (
            "racecheck",
            0,
            "softmax: 25 calls in 1.0 s\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n",
            True,
        ),
        (
            "racecheck",
            0,
            "softmax: 25 calls in 1.0 s\n========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)\n",
            False,
        ),
        ("initcheck", 86, "softmax: 25 calls in 1.0 s\n========= ERROR SUMMARY: 3 errors\n", True),
    ],
)
def test_what_a_probe_makes_of_a_process(tool: str | None, status: int | None, output: str, good: bool) -> None:
    result = probe.judge("softmax", tool, status, output, 1.0)
    assert (result.family, result.good) == ("softmax", good)
    assert result.words


@pytest.mark.parametrize(
    ("name", "short"),
    [
        (
            "void fnnfast::(anonymous namespace)::kernel<float, (int)3>(Task<(bool)1>, int)",
            "fnnfast::kernel<float, (int)3>",
        ),
        ("other", "other"),
    ],
)
def test_names_of_kernels(name: str, short: str) -> None:
    assert ptxas._without_arguments(name) == short


# The command lines -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments",
    [["--rows", "G9"], ["--rounds", "0"], ["--seconds", "0"], ["--compile-seconds", "-1"], ["--worker", "G1"]],
)
def test_arguments_that_cannot_be_meant(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main.parse(arguments)
    assert stop.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_arguments() -> None:
    options = main.parse(["--rows", "G4", "g1", "--out", "there", "--seconds", "100"])
    assert {case.row for case in options.cases} == {"G1", "G4"}
    assert (options.out, options.seconds, options.rounds) == (Path("there"), 100.0, Settings.rounds)
    everything = main.parse([]).cases
    assert [case.row for case in everything[:7]] == list(problems.ROWS)
    assert sorted(everything, key=list(problems.CASES).index) == list(problems.CASES)
    compiled = main.parse(["--goals-against", problems.COMPILED]).cases
    assert {case.row for case in compiled} == {"G2", "G3", "G6"}


def test_the_list_of_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--list", "--rows", "G2"]) == 0
    first, _ = capsys.readouterr().out.splitlines()
    assert first.split(maxsplit=2) == ["G2", "bf16", "batch 65536, 784-512-512-10 relu, bf16"]


def test_a_process_that_dies_keeps_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It measures one case, half of the second, and dies; the next process goes on behind."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        f"""
import sys
sys.path[:0] = [{str(FOLDER)!r}, {str(ROOT / "tests")!r}]
import problems, report
from pathlib import Path
from timing import Outcome
names = sys.argv[sys.argv.index("--worker") + 1:sys.argv.index("--out")]
record = report.Record(Path({str(tmp_path)!r}) / "bench.json")
for name in names:
    outcomes = [Outcome("fnnfast", seconds=[1e-5])] if name != "G5 K=512 bf16" else []
    result = report.result(problems.get(name), outcomes, {{}}, 1)
    record.put(result | {{"finished": name != "G5 K=4096 fp16"}})
    if name == "G5 K=4096 fp16":
        sys.exit(139)
"""
    )
    monkeypatch.setattr(main, "__file__", str(worker))
    monkeypatch.setattr(facts, "device_count", lambda: 1)
    assert main.main(["--rows", "G5", "--out", str(tmp_path)]) == 1  # G5 K=512 bf16 has no time of ours
    read = json.loads((tmp_path / "bench.json").read_text())
    notes = {r["id"]: r["note"] for r in read["results"]}
    assert notes == {
        "G5 K=4096 bf16": "",
        "G5 K=4096 fp16": "its process ended with status 139; see the log",
        "G5 K=512 bf16": "",
        "G5 K=512 fp16": "",
    }
    assert report.best(read["results"][1], "fnnfast") == 1e-5
    assert "see the log" in (tmp_path / "bench.txt").read_text()
    assert read["machine"]["python"]


def no_gpu() -> bool:
    return facts.device_count() == 0


@pytest.mark.skipif(not no_gpu(), reason="there is a CUDA device")
@pytest.mark.parametrize("script", ["main.py", "families.py", "profiled.py", "facts.py"])
def test_without_a_gpu_it_says_so(script: str) -> None:
    done = subprocess.run([sys.executable, str(FOLDER / script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)


def test_the_script_is_bash() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, timeout=60).returncode == 0
    assert os.access(SCRIPT, os.X_OK)


def test_help() -> None:
    done = shell("--help")
    assert done.returncode == 0
    for part in ("build", "info", "probe", "checks", "tests", "sanitizer", "bench", "profile", "compile", "cpu"):
        assert part in done.stdout


@pytest.mark.parametrize("arguments", [["buidl"], ["build", "G1"], ["bench", "G9"]])
def test_parts_that_there_are_not(arguments: list[str]) -> None:
    done = shell(*arguments)
    assert done.returncode == 2
    assert "expected" in done.stderr


@pytest.mark.skipif(not no_gpu(), reason="there is a CUDA device")
def test_the_script_without_a_gpu(tmp_path: Path) -> None:
    done = shell("info", OUT=str(tmp_path / "out"), PYTHON=sys.executable)
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
    assert not (tmp_path / "out").exists()
