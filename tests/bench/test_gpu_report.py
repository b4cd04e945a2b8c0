"""What the GPU benchmark makes of figures, of the compiler's log, and of the sanitizer's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import families
import numpy as np
import probe
import problems
import ptxas
import pytest
import report
from timing import Outcome


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


# Sanitizer ---------------------------------------------------------------------------------------------------------
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
