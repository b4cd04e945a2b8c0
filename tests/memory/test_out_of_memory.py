"""Every allocation of the kernels' library fails once, in every public call: MemoryError, and all is as before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # some 4,000 calls


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("c++")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C++ compiler on Linux")
    found = tmp_path_factory.mktemp("library") / "failing_allocations.so"
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", found, HERE / "failing_allocations.cpp"], check=True, timeout=120
    )
    return found


def run(library: Path, *calls: str) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "out_of_memory.py", library, *calls],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    assert done.stdout.count(" MemoryError") >= 4
    assert " 0 MemoryError" not in done.stdout


@pytest.mark.long
def test_calls(library: Path) -> None:
    run(library)


def test_training(library: Path) -> None:
    """A step that fails changes nothing."""
    run(library, "step")
