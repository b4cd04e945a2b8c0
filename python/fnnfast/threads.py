"""How many threads the kernels use.

The default is OMP_NUM_THREADS where it is set, else what CPU affinity and the cgroup's quota allow; a number set here
wins over both. Results do not depend on it, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import _checks, _cpu

# The kernels' own limit.
_MAX_THREADS = 1024


def get_num_threads() -> int:
    """The number of threads that a call may use, the calling one included."""
    return _cpu.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads that later calls may use, the calling one included.

    Parameters
    ----------
    n : int from 1 to 1024
    """
    _cpu.set_num_threads(_checks.integer("n", n, 1, _MAX_THREADS))


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """``with num_threads(n): ...``: set the number of threads, and set it back.

    The number is the process's: other Python threads see it as well.
    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)
