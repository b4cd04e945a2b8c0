"""Training by mpiexec, with real processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec")]
JOB = Path(__file__).with_name("mpi_job.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.standard_normal((330, 6)).astype(np.float32))
    np.save(folder / "y.npy", rng.integers(0, 3, 330))
    return folder


def run(ranks, folder, what="", **environment):
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "mpi4py", str(JOB), str(folder), what],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def saved(data, tmp_path, ranks, what="", **environment):
    """The parameters and running statistics of a run, the same on all ranks, and what the ranks print."""
    for name in ("x.npy", "y.npy"):
        if not (tmp_path / name).exists():
            shutil.copy(data / name, tmp_path)
    done = run(ranks, tmp_path, what, **environment)
    assert done.returncode == 0, done.stderr
    networks = [fnn.load(tmp_path / f"rank{rank}.safetensors") for rank in range(ranks)]
    first, *others = [{name: bytes(array) for name, array in {**n.parameters, **n.buffers}.items()} for n in networks]
    assert all(other == first for other in others)
    return first, done.stdout


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    network, said = saved(data, tmp_path_factory.mktemp("alone"), 1)
    assert "rank 0: 6 epochs, completed, threads 1" in said  # OMP_NUM_THREADS
    return network


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_same_bits(data, alone, tmp_path, ranks):
    assert saved(data, tmp_path, ranks)[0] == alone


def test_the_same_bits_with_other_threads_and_instructions(data, alone, tmp_path):
    assert saved(data, tmp_path, 2, OMP_NUM_THREADS="2", FNNFAST_ISA="scalar")[0] == alone


def test_the_same_bits_in_bfloat16(data, alone, tmp_path):
    one, two = (saved(data, tmp_path, ranks, "bfloat16")[0] for ranks in (1, 2))
    assert one == two != alone


def test_a_slow_rank_changes_no_bit(data, alone, tmp_path):
    assert saved(data, tmp_path, 2, "slow")[0] == alone


def test_a_killed_rank_ends_the_job_and_the_checkpoint_resumes(data, alone, tmp_path):
    for name in ("x.npy", "y.npy"):
        shutil.copy(data / name, tmp_path)
    done = run(3, tmp_path, "killed")
    assert done.returncode != 0
    assert "KILLED" in done.stdout + done.stderr or "signal 9" in done.stdout + done.stderr
    assert (tmp_path / "run.ckpt").exists()
    assert not list(tmp_path.glob("rank*"))
    network, said = saved(data, tmp_path, 2, "checkpoint")
    assert "rank 1: 6 epochs, completed" in said
    assert network == alone


def test_a_failing_rank_ends_all(data, tmp_path):
    for name in ("x.npy", "y.npy"):
        shutil.copy(data / name, tmp_path)
    done = run(3, tmp_path, "failing")
    assert done.returncode != 0
    assert "OSError: no space" in done.stderr


def test_ctrl_c_on_one_rank_stops_all(data, tmp_path):
    _, said = saved(data, tmp_path, 3, "interrupted")
    assert said.count(": 3 epochs, interrupted") == 3 or said.count(": 4 epochs, interrupted") == 3
