"""``python -m fnnfast``: the commands as a user starts them, and what they do when something is wrong."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import _cpu, reference
from fnnfast.__main__ import main
from fnnfast._bench import timing
from fnnfast._cli import check, check_cases


def start(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "fnnfast", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# info --------------------------------------------------------------------------------------------------------------
def test_info(tmp_path: Path) -> None:
    done = start("info", cwd=tmp_path, OMP_NUM_THREADS="3", FNNFAST_ISA="scalar")
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(re.split(r"\s+", line, maxsplit=1) for line in done.stdout.splitlines())
    assert lines["isa"].startswith("scalar (FNNFAST_ISA)")
    assert all(isa in lines["isa"] for isa in _cpu.isas())
    assert lines["products"] == "bfloat16 by float32, int8 by general instructions"
    assert lines["threads"] == "3 (default: OMP_NUM_THREADS=3)"
    assert lines["numpy"].startswith(np.__version__)
    assert lines["cuda"].startswith(("off: ", "on"))


def test_info_as_json(tmp_path: Path) -> None:
    done = start("info", "--json", cwd=tmp_path, OMP_NUM_THREADS="3", FNNFAST_ISA="scalar")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert (facts["isa"], facts["isa_by"], facts["isas"]) == ("scalar", "FNNFAST_ISA", _cpu.isas())
    assert facts["extensions"] == {"bfloat16": None, "int8": None}
    assert (facts["threads"], facts["threads_by"]) == (3, "OMP_NUM_THREADS=3")
    assert facts["numpy"] == np.__version__
    assert facts["cuda_off"] is None or facts["cuda_off"]
    text = start("info", cwd=tmp_path).stdout
    assert all(f"{name} {version}" in text for name, version in facts["extras"].items() if version)


def test_info_tells_that_the_affinity_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    from fnnfast._cli import machine

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "affinity", _cpu.default_num_threads)
    assert "affinity mask" in machine.threads_reason()
    monkeypatch.setattr(machine, "affinity", lambda: _cpu.default_num_threads() + 1)
    assert "quota" in machine.threads_reason()


# check -------------------------------------------------------------------------------------------------------------
def test_check(tmp_path: Path) -> None:
    done = start("check", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("all ")
    for isa in _cpu.isas():
        assert f"{isa} float32" in lines[2]
        assert f"{isa} float64" in lines[2]
    for name in reference.ACTIVATIONS:
        assert any(line.startswith(f"dense {name} ") for line in lines)
    for name in ("bfloat16 dense tanh", "int8 dense tanh", "bfloat16 maxout of 3", "int8 maxout of 3"):
        assert any(line.startswith(f"{name} ") for line in lines)


class WrongReLU(reference.Activation):
    """Leaks 1 % below zero."""

    __slots__ = ()
    name = "relu"

    def _value(self, xp, z, a):
        return xp.where(z > 0, z, 0.01 * z)


def test_check_fails_where_a_kernel_and_its_oracle_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(reference.ACTIVATIONS, "relu", WrongReLU())
    before = _cpu.isa()
    assert main(["check"]) == 1
    assert _cpu.isa() == before
    out = capsys.readouterr().out
    failed = {line.split("  ")[0] for line in out.splitlines() if "FAIL" in line}
    assert failed == {"relu", "relu derivative", "dense relu", "dense relu gradients"}
    assert "relu: error" in out
    assert "TypeError: relu has no elementwise derivative" in out


def test_check_fails_for_an_activation_without_oracle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A copy without it: deleting an item and putting it back would change the order that other tests see.
    rest = {name: oracle for name, oracle in reference.ACTIVATIONS.items() if name != "selu"}
    monkeypatch.setattr(reference, "ACTIVATIONS", rest)
    assert main(["check"]) == 1
    assert re.search("^every activation has an oracle .*FAIL", capsys.readouterr().out, re.MULTILINE)


# demo --------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    for module in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(module)
    done = start("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    accuracy = re.search(r"held out: ([\d.]+)%", done.stdout)
    assert accuracy
    assert float(accuracy[1]) >= 97
    assert "the same to the bit" in done.stdout
    for line in ("training step", "one row", "all 450 test rows"):
        assert re.search(rf"{line}.*: [\d.]+ (us|ms)", done.stdout)
    folder = tmp_path / "fnnfast-demo"
    assert (folder / "digits.png").read_bytes().startswith(b"\x89PNG")
    net = fnn.load(folder / "digits.safetensors")
    assert [layer.kind for layer in net.layers] == ["input", "dense", "maxout", "dropout", "dense"]
    assert net.input.shape == (8, 8)


def test_demo_names_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from fnnfast._cli import demo

    monkeypatch.setitem(demo.NEEDS, "a_module_that_is_not_there", "a-package")
    assert main(["demo", "--output", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "a-package" in err
    assert "pip install 'fnnfast[demo]'" in err
    assert not (tmp_path / "out").exists()


# bench -------------------------------------------------------------------------------------------------------------
RESULT = {
    "id": str, "work": str, "precision": str, "threads": int, "flops": int, "weight_bytes": int, "weights_in": str,
    "limits": dict, "contenders": list, "goal_ratio": float, "goal_share": float, "limit_kind": str, "best_peer": str,
    "ratio": float, "limit_seconds": float, "limit": str, "share": float, "passes": bool,
}  # fmt: skip
CONTENDER = {
    "name": str, "version": str, "variant": str, "counts": bool, "excluded": type(None), "best": float,
    "median": float, "rounds": list,
}  # fmt: skip


def test_bench(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = "--only I2 --peers numpy --rounds 2 --threads 1 --goals --json figures.json --plot p.png --markdown t.md"
    done = start("bench", *options.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^I2 .*\d us .*\d us", done.stdout, re.MULTILINE)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    title, _, row = (tmp_path / "t.md").read_text().splitlines()
    assert title == "| | work | fnnfast | numpy | ratio | share |"
    assert row.startswith("| I2 | batch 1, 4-64-64-2 tanh | ")
    record = json.loads((tmp_path / "figures.json").read_text())
    assert record.keys() == {"schema", "machine", "settings", "results"}
    assert record["schema"] == 1
    assert record["settings"]["rounds"] == 2
    assert record["machine"]["threads"] == record["settings"]["threads"] == 1
    assert record["machine"]["isa"] in record["machine"]["isas"]
    (result,) = record["results"]
    assert {key: type(value) for key, value in result.items()} == RESULT
    assert [c["name"] for c in result["contenders"]] == ["fnnfast", "numpy"]
    for contender in result["contenders"]:
        assert {key: type(value) for key, value in contender.items()} == CONTENDER
        assert 0 < contender["best"] == min(contender["rounds"]) <= contender["median"]
        assert len(contender["rounds"]) == 2
    ours, numpy = result["contenders"]
    assert result["best_peer"] == "numpy"
    assert result["ratio"] == pytest.approx(numpy["best"] / ours["best"])
    assert result["limits"]["fma"] > 1e8
    assert result["limits"]["bandwidth"] > 1e8


def test_bench_prints_json_alone(tmp_path: Path) -> None:
    done = start("bench", "--only", "i2", "--peers", "", "--rounds", "1", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert (result["best_peer"], result["ratio"], result["passes"]) == (None, None, None)
    assert "I2" in done.stderr


@pytest.mark.slow
def test_bench_beside_a_busy_core(tmp_path: Path) -> None:
    options = "--busy --goals --only I2 --peers numpy --threads 1 --json figures.json"
    done = start("bench", *options.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^I2 .* \d+\.\d\dx .* 2\.5x ", done.stdout, re.MULTILINE)
    (entry,) = json.loads((tmp_path / "figures.json").read_text())["contention"]
    for contender in entry["contenders"]:
        assert contender["slowdown"] == pytest.approx(contender["busy"][0] / contender["calm"][0])


@pytest.mark.parametrize(
    ("wrong", "status"), [((), 0), (("numpy",), 0), (("fnnfast",), 1), (("fnnfast", "numpy"), 1)], ids=str
)
def test_the_status_of_bench_tells_of_wrong_answers(
    wrong: tuple[str, ...], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of ours: a peer's are said, and are not our fault."""

    def measure(problem, contenders, settings, caches, note):
        outcomes = [
            timing.Outcome(peer.name, "1", True, "", [1e-3], "wrong answer: off by 1" if peer.name in wrong else None)
            for peer in contenders
        ]
        limits = {"fma": 1e9, "bandwidth": 1e9}
        return timing.Measurement(problem, outcomes, limits, "L1")

    monkeypatch.setattr(timing, "measure", measure)
    assert main(["bench", "--only", "I1,I2", "--peers", "numpy", "--rounds", "1"]) == status
    assert ("off by 1" in capsys.readouterr().out) == bool(wrong)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--busy", "--plot", "p.png"], "no --plot"),
        (["--threads", "1,2", "--markdown", "t.md"], "no --markdown"),
        (["--threads", "1,2", "--busy"], "one number of threads"),
        (["--threads", "1,2", "--goals"], "one number of threads"),
        (["784-x-10"], "expected widths such as 784-512-10, got '784-x-10'"),
        (["784"], "expected widths such as"),
        (["784-0-10"], "expected widths such as"),
        (["4-3", "--activation", "swash"], "expected an activation out of identity, relu"),
        (["4-3", "--train", "--dtype", "int8"], "float32, float64 or bfloat16"),
        (["4-3", "--only", "I1"], "or --only, got both"),
        (["4-3", "--loss", "mse"], "--loss needs --train"),
        (["--batch", "3"], "--batch needs a network"),
        (["--compare", "none.json", "none.json"], "none.json: No such file"),
        (["--compare", __file__, __file__], "expected a record that bench --json wrote"),
        (["--only", "I2,X9"], "expected a problem out of I1 I2"),
        (["--peers", "numpy,abacus"], "expected a contender out of fnnfast, numpy"),
    ],
)
def test_bench_refuses_names_it_does_not_know(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["bench", "--rounds", "0"],
        ["bench", "--threads", "many"],
        ["bench", "--threads", "1,,2"],
        ["bench", "4-3", "--batch", "0"],
        ["bench", "4-3", "--dtype", "float8"],
    ],
)
def test_bad_command_lines(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m fnnfast")
    assert (arguments or ["command"])[-1] in line


def test_bench_of_a_work_of_ones_own(tmp_path: Path) -> None:
    """Also with several numbers of threads, and then the record beside itself."""
    options = "bench 5-7-3 --batch 4 --activation mish --train --loss mse --dtype float64 --peers torch"
    done = start(*options.split(), "--rounds", "1", "--threads", "1,2", "--json", "a.json", cwd=tmp_path)
    if done.returncode == 2:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "t(1)/t(2)" in done.stdout
    assert "Excluded" not in done.stdout
    assert re.search(r"^own .* fnnfast .* [\d.]+x$", done.stdout, re.MULTILINE)
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["machine"]["threads"] == record["settings"]["threads"] == [1, 2]
    assert [result["threads"] for result in record["results"]] == [1, 2]
    assert {result["work"] for result in record["results"]} == {"batch 4, 5-7-3 mish, mse, Adam, float64"}
    beside = start("bench", "--compare", "a.json", "a.json", cwd=tmp_path)
    assert beside.returncode == 0, beside.stderr
    assert len(re.findall(r"^own .* 1\.00x$", beside.stdout, re.MULTILINE)) == 4
    assert "not of the same machine" not in beside.stdout


def test_bench_shows_goals_when_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(problem, contenders, settings, caches, note):
        outcomes = [timing.Outcome(peer.name, "1", True, "", [1e-3]) for peer in contenders]
        return timing.Measurement(problem, outcomes, {"fma": 1e9, "bandwidth": 1e9}, "L1", settings.threads)

    monkeypatch.setattr(timing, "measure", measure)
    command = ["bench", "--only", "I1", "--peers", "numpy", "--threads", "1"]
    assert main(command) == 0
    plain = capsys.readouterr().out
    assert main([*command, "--goals"]) == 0
    full = capsys.readouterr().out
    for word in ("goal", "share", "%"):
        assert word not in plain
        assert word in full
    assert "1.00x" in plain


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert re.fullmatch(r"fnnfast (\d+\.\d+\..+|\(source tree\))\n", capsys.readouterr().out)


def test_every_command_is_there() -> None:
    from importlib import import_module

    from fnnfast.__main__ import parser

    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert list(commands.choices) == ["info", "check", "bench", "demo", "certify", "playground", "convert"]
    assert all(callable(import_module(f"fnnfast._cli.{name}").run) for name in commands.choices)


def test_check_where_inputs_of_bfloat16_are_rounded() -> None:
    """As on CPUs that multiply bfloat16, where outputs have other bits unless only weights are rounded."""
    before = _cpu.isa()
    _cpu.use_isa("scalar")
    _cpu.use_extension("plain_pairs")
    try:
        results = {
            name: check._compare(body, "scalar", dtype)
            for name, body in check_cases.cases()
            if name.startswith("bfloat16")
            for dtype in check.DTYPES
        }
    finally:
        _cpu.use_extension("")
        _cpu.use_isa(before)
    assert len(results) > 2
    assert max(ratio for ratio, _ in results.values()) < 1
