"""The tools that hold one build against another."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fnnfast as fnn
from digest_cases import TABLE

TOOLS = Path(__file__).resolve().parents[2] / "tools"
BUILD = Path(fnn.__file__).resolve().parent.parent


def run(tool, *arguments):
    env = os.environ | {"PYTHONPATH": str(BUILD)}
    return subprocess.run([sys.executable, TOOLS / tool, *arguments], env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_digests(tmp_path):
    table = tmp_path / "digests.txt"
    lines = TABLE.read_text().splitlines(keepends=True)
    only = ["--only", "distributions,diagnoses", "--table", str(table)]

    table.write_text("".join(lines))
    assert "28 digests" in run("digests.py", "compare", *only).stdout

    changed = next(i for i, line in enumerate(lines) if line.startswith("diagnoses"))
    table.write_text("".join([*lines[:changed], lines[changed][:-2] + "x\n", *lines[changed + 1 :]]))
    before = table.read_text()
    for action in ("compare", "write"):
        ran = run("digests.py", action, *only)
        assert ran.returncode == 1
        assert lines[changed].split()[1] in ran.stdout
    assert table.read_text() == before

    table.write_text("".join(lines[:changed] + lines[changed + 1 :]))
    assert run("digests.py", "write", *only).returncode == 0
    assert table.read_text() == "".join(lines)


@pytest.mark.slow
def test_compare_builds(tmp_path):
    quick = ["--only", "I8,T1", "--rounds", "1", "--processes", "1", "--again", "0", "--tolerance"]
    ran = run("compare_builds.py", BUILD, BUILD, *quick, "1000")
    assert ran.returncode == 0, ran.stderr
    assert run("compare_builds.py", BUILD, BUILD, *quick, "0.001").returncode == 1
    assert run("compare_builds.py", BUILD, tmp_path, *quick, "1000").returncode == 2


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs Valgrind")
def test_instructions():
    ran = run("instructions.py", BUILD, "--calls", "500")
    assert ran.returncode == 0, ran.stderr
    assert 1000 < float(ran.stdout.split()[1]) < 100_000
