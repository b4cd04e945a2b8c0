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


@pytest.mark.parametrize(
    ("value", "threads"),
    [
        *(("4,2", 4), ("7", 7), (" 3 ", 3), ("3 , 2", 3), ("\t5\t", 5), ("5000", 1024)),
        *(("0", None), ("-2", None), ("x", None), ("2x", None), ("1.5", None), ("", None), (",4", None), (" ", None)),
    ],
)
def test_omp_num_threads_of_any_form(monkeypatch, value, threads):
    """The first number of a list of levels; what is none counts as not set."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    unset = _cpu.default_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert _cpu.default_num_threads() == (unset if threads is None else threads)


# The quota of cgroups ------------------------------------------------------------------------------------------------
UNLIMITED = 2**31 - 1


def tree(root, groups, mounts, files):
    """A machine's files as Linux has them: of this process its groups and mounts, and of the groups their limits."""
    lines = [f"{36 + i} 25 0:{i} {mount}" for i, mount in enumerate(mounts)]
    files = {"proc/self/cgroup": "\n".join(groups) + "\n", "proc/self/mountinfo": "\n".join(lines) + "\n", **files}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return _cpu.processor_limit(str(root))


V2 = "/ /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw"
V1 = "/ /sys/fs/cgroup/cpu,cpuacct rw shared:4 - cgroup cgroup rw,cpu,cpuacct"
OTHERS = [
    "/ / rw - ext4 /dev/sda1 rw",
    "/ /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "/ /proc rw - proc proc rw",
]


@pytest.mark.parametrize(
    ("limits", "processors"),
    [
        ({"a/b": "200000 100000"}, 2),
        ({"a/b": "150000 100000"}, 2),  # rounded up
        ({"a/b": "100001 100000"}, 2),
        ({"a/b": "1000 100000"}, 1),
        ({"a/b": "max 100000"}, UNLIMITED),
        ({}, UNLIMITED),
        ({"a": "300000 100000", "a/b": "max 100000"}, 3),  # a group above may allow less
        ({"a": "300000 100000", "a/b": "400000 100000"}, 3),
        ({"a": "300000 100000", "a/b": "50000 25000"}, 2),
        ({"": "100000 100000", "a/b": "400000 100000"}, 1),
        ({"c": "100000 100000"}, UNLIMITED),  # not ours
    ],
)
def test_quota_of_version_2(tmp_path, limits, processors):
    files = {f"sys/fs/cgroup/{group}/cpu.max": f"{text}\n" for group, text in limits.items()}
    assert tree(tmp_path, ["0::/a/b"], [*OTHERS, V2], files) == processors


@pytest.mark.parametrize(
    ("limits", "processors"),
    [
        ({"a/b": (250000, 100000)}, 3),
        ({"a/b": (-1, 100000)}, UNLIMITED),
        ({"a": (100000, 50000), "a/b": (-1, 100000)}, 2),
        ({"a": (100000, 50000), "a/b": (10, 100000)}, 1),
        ({"a/b": (100000, 0)}, UNLIMITED),
        ({}, UNLIMITED),
    ],
)
def test_quota_of_version_1(tmp_path, limits, processors):
    """Of the hierarchy that has the cpu controller, whatever other controllers share it."""
    files = {}
    for group, (quota, period) in limits.items():
        files[f"sys/fs/cgroup/cpu,cpuacct/{group}/cpu.cfs_quota_us"] = f"{quota}\n"
        files[f"sys/fs/cgroup/cpu,cpuacct/{group}/cpu.cfs_period_us"] = f"{period}\n"
    groups = ["12:memory:/m", "5:cpuset:/s", "4:cpuacct,cpu:/a/b", "0::/a/b"]
    assert tree(tmp_path, groups, [*OTHERS, V1], files) == processors
    assert tree(tmp_path, ["4:cpuset,cpuacct:/a/b"], [*OTHERS, V1], files) == UNLIMITED


@pytest.mark.parametrize(
    ("ours", "mounted", "processors"),
    [
        ("/docker/1/x", "/docker/1", 2),  # the mount shows a part of the hierarchy, as in a container
        ("/docker/1", "/docker/1", 3),
        ("/docker/12/x", "/docker/1", 3),  # no group that it shows: what it begins with counts
        ("/../other", "/", 3),  # outside of the cgroup namespace
        ("/x", "/", 2),
    ],
)
def test_quota_where_a_part_is_mounted(tmp_path, ours, mounted, processors):
    files = {"sys/fs/cgroup/cpu.max": "300000 100000\n", "sys/fs/cgroup/x/cpu.max": "200000 100000\n"}
    files["sys/fs/cgroup/../other/cpu.max"] = "100000 100000\n"
    assert tree(tmp_path, [f"0::{ours}"], [V2.replace("/", mounted, 1)], files) == processors


def test_no_cgroups(tmp_path):
    assert _cpu.processor_limit(str(tmp_path)) == UNLIMITED
    assert tree(tmp_path, ["nonsense", "0::/a"], OTHERS, {}) == UNLIMITED
    assert 1 <= _cpu.default_num_threads() <= max(_cpu.processor_limit(), 1024)


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
with threadpool_limits(limits={"fnnfast": 5000}):
    print(fnn.get_num_threads())
"""


def test_threadpoolctl():
    pytest.importorskip("threadpoolctl")
    assert answer(THREADPOOLCTL) == ["3", "1", "3", "2", "3", "1024"]
