"""The number of threads that the kernels use.

The default is OMP_NUM_THREADS if it is set, else what the CPU affinity and the quota of the cgroup allow. A number set
here takes precedence over both. Results have the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import _checks, _cpu

# The limit of the kernels.
_MAX_THREADS = 1024


def get_num_threads() -> int:
    """Return the number of threads that a call may use, including the calling thread.

    Returns
    -------
    int
        The number of threads.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.get_num_threads() >= 1
    True
    """
    return _cpu.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads that later calls may use, including the calling thread.

    Parameters
    ----------
    n : int from 1 to 1024
        The number of threads.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> before = fnn.get_num_threads()
    >>> fnn.set_num_threads(2)
    >>> fnn.get_num_threads()
    2
    >>> fnn.set_num_threads(before)
    """
    _cpu.set_num_threads(_checks.integer("n", n, 1, _MAX_THREADS))


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Return a context manager that sets the number of threads, and restores it at the end.

    The number belongs to the process: other Python threads use it as well.

    Parameters
    ----------
    n : int from 1 to 1024
        The number of threads.

    Yields
    ------
    None
        Nothing.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> with fnn.num_threads(1):
    ...     fnn.get_num_threads()
    1
    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)
