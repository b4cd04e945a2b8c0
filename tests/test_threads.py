"""The number of threads: set, asked for, set back, and limited by threadpoolctl."""

import os
import subprocess
import sys

import pytest

import fnnfast as fnn
from fnnfast import _cpu


@pytest.fixture(autouse=True)
def set_back():
    before = fnn.get_num_threads()
    yield
    fnn.set_num_threads(before)


def test_set_and_get():
    for n in (1, 3, 2):
        fnn.set_num_threads(n)
        assert fnn.get_num_threads() == n
        assert _cpu.get_num_threads() == n


def test_as_a_context():
    fnn.set_num_threads(2)
    with fnn.num_threads(3):
        assert fnn.get_num_threads() == 3
        with fnn.num_threads(1):
            assert fnn.get_num_threads() == 1
        assert fnn.get_num_threads() == 3
    assert fnn.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError), fnn.num_threads(5):
        raise ZeroDivisionError
    assert fnn.get_num_threads() == 2
    with pytest.raises(ValueError, match="n: expected an integer >= 1, got 0"), fnn.num_threads(0):
        pass
    assert fnn.get_num_threads() == 2


def test_the_largest_number():
    fnn.set_num_threads(1024)
    assert fnn.get_num_threads() == 1024
    with pytest.raises(ValueError, match="n: expected an integer <= 1024, got 1025"):
        fnn.set_num_threads(1025)
    assert fnn.get_num_threads() == 1024


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_refused(n, error):
    before = fnn.get_num_threads()
    with pytest.raises(error, match="n: expected an integer >= 1"):
        fnn.set_num_threads(n)
    assert fnn.get_num_threads() == before


def answer(code, **environment):
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.split()


def test_omp_num_threads_is_the_default():
    code = "import fnnfast as fnn; print(fnn.get_num_threads()); fnn.set_num_threads(2); print(fnn.get_num_threads())"
    assert answer(code, OMP_NUM_THREADS="1") == ["1", "2"]


THREADPOOLCTL = """
import sys
import fnnfast as fnn
from fnnfast.interop.threadpoolctl import register

assert "threadpoolctl" not in sys.modules
register()
register()
from threadpoolctl import threadpool_info, threadpool_limits

fnn.set_num_threads(3)
(info,) = [info for info in threadpool_info() if info["user_api"] == "fnnfast"]
print(info["num_threads"])
with threadpool_limits(limits=1):
    print(fnn.get_num_threads())
print(fnn.get_num_threads())
with threadpool_limits(limits={"fnnfast": 2}):
    print(fnn.get_num_threads())
with threadpool_limits(limits=1, user_api="blas"):
    print(fnn.get_num_threads())
"""


def test_threadpoolctl():
    pytest.importorskip("threadpoolctl")
    assert answer(THREADPOOLCTL) == ["3", "1", "3", "2", "3"]
