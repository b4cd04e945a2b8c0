"""The command lines of bench/gpu and bench/gpu_check.sh, where there is no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import facts
import main
import problems
import pytest
import report
from timing import Settings

from gpu_host import FOLDER, ROOT, SCRIPT


@pytest.mark.parametrize(
    "arguments",
    [["--rows", "G9"], ["--rounds", "0"], ["--seconds", "0"], ["--compile-seconds", "-1"], ["--worker", "G1"]],
)
def test_invalid_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
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
def test_unknown_parts(arguments: list[str]) -> None:
    done = shell(*arguments)
    assert done.returncode == 2
    assert "expected" in done.stderr


@pytest.mark.skipif(not no_gpu(), reason="there is a CUDA device")
def test_the_script_without_a_gpu(tmp_path: Path) -> None:
    done = shell("info", OUT=str(tmp_path / "out"), PYTHON=sys.executable)
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
    assert not (tmp_path / "out").exists()
