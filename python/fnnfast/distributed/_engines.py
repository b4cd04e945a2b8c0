"""Ranks that Ray Train and Dask start: where they find each other."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .. import _checks
from .._checks import message
from .._extras import needs
from ._tcp import Tcp

T = TypeVar("T")
_POLL = 1.0  # seconds between two looks at Dask's workers
_GRACE = 5.0  # seconds that other ranks have to say more, when one has failed


def ray_communicator(*, timeout: float = 60.0) -> Tcp:
    """Connect the workers of a Ray Train run, each of which is a rank of ``fit``.

    Call it in the training function of a trainer of Ray Train, on all workers. They talk over TCP between the nodes, at
    the addresses that Ray has for these.

    Parameters
    ----------
    timeout : float > 0
        Seconds in which all workers must have come.

    Returns
    -------
    Tcp
        The argument ``comm`` of ``fit``.

    Raises
    ------
    ModuleNotFoundError
        If Ray is not installed.
    RuntimeError
        If it is not called in a training function of Ray Train, or another worker does not come.

    Examples
    --------
    >>> def train():                                                                # doctest: +SKIP
    ...     x, y = np.load("x.npy", mmap_mode="r"), np.load("y.npy", mmap_mode="r")
    ...     comm = distributed.ray_communicator()
    ...     distributed.fit(net, x, y, seed=0, comm=comm, checkpoint="/shared/run.ckpt")
    ...     if comm.rank == 0:
    ...         net.save("/shared/net.safetensors")
    >>> workers = ray.train.ScalingConfig(num_workers=4)                            # doctest: +SKIP
    >>> DataParallelTrainer(train, scaling_config=workers).fit()                    # doctest: +SKIP
    """
    with needs("ray", "Ray Train is needed: pip install 'fnnfast[ray]'"):
        import ray.train
        import ray.train.collective
        import ray.util
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    broadcast = ray.train.collective.broadcast_from_rank_zero
    return Tcp(rank, size, broadcast, host=ray.util.get_node_ip_address(), timeout=timeout)


def run_on_dask(
    client: Any,
    function: Callable[..., T],
    *arguments: Any,
    ranks: int | None = None,
    timeout: float = 60.0,
) -> list[T]:
    """Run a function on several workers of Dask at once, each of which is a rank of ``fit``.

    The workers talk over TCP, at the addresses that Dask has for them. Each runs the function in one of its threads.

    Parameters
    ----------
    client : dask.distributed.Client
        The cluster.
    function : callable
        ``function(comm, *arguments)``, which passes comm on to ``fit`` and returns what is wanted of the rank.
    *arguments : optional
        More arguments, the same on all ranks. Of a future of Dask, such as ``client.scatter(x, broadcast=True)``, the
        function gets the result.
    ranks : int >= 1, optional
        The number of ranks, each on a worker of its own. By default all workers.
    timeout : float > 0
        Seconds in which all ranks must have begun: workers that are busy begin later.

    Returns
    -------
    list
        What the function returned, by rank.

    Raises
    ------
    ValueError
        If there are fewer workers than ranks.
    RuntimeError
        If Dask loses a worker, or a rank does not begin in time. An error of the function is raised as it is.

    Notes
    -----
    An interrupted call leaves running ranks to themselves; ``client.restart()`` ends them.

    Examples
    --------
    >>> def train(comm):                                                            # doctest: +SKIP
    ...     x, y = np.load("x.npy", mmap_mode="r"), np.load("y.npy", mmap_mode="r")
    ...     history = distributed.fit(net, x, y, seed=0, comm=comm, checkpoint="/shared/run.ckpt")
    ...     return net, history
    >>> net, history = distributed.run_on_dask(client, train)[0]                    # doctest: +SKIP
    """
    if not all(hasattr(client, name) for name in ("submit", "nthreads", "gather")):
        raise TypeError(message("client", "a dask.distributed.Client", repr(client)))
    from distributed import Variable

    workers = sorted(client.nthreads())
    size = len(workers) if ranks is None else _checks.integer("ranks", ranks, 1)
    if not 1 <= size <= len(workers):
        raise ValueError(message("ranks", f"at most one for each of {len(workers)} workers", size))
    timeout = _checks.positive("timeout", timeout)
    name = f"fnnfast-{uuid.uuid4().hex}"
    futures = [
        client.submit(
            _run_rank, function, rank, size, name, timeout, *arguments,
            workers=[worker], key=f"{name}-rank-{rank}", pure=False,
        )
        for rank, worker in enumerate(workers[:size])
    ]  # fmt: skip
    try:
        return _results(client, futures, workers)
    except BaseException:
        client.cancel(futures)
        raise
    finally:
        Variable(name, client).delete()


def _run_rank(function: Callable[..., T], rank: int, size: int, name: str, timeout: float, *arguments: Any) -> T:
    """On a worker of Dask."""
    from distributed import Variable, get_worker

    meeting = Variable(name)

    def broadcast(value: Any) -> Any:
        if rank == 0:
            meeting.set(value)
            return value
        try:
            return meeting.get(timeout)
        except TimeoutError:
            raise RuntimeError(f"rank 0 did not begin within {timeout:g} s") from None

    comm = Tcp(rank, size, broadcast, host=urlsplit(get_worker().address).hostname or "", timeout=timeout)
    try:
        return function(comm, *arguments)
    finally:
        comm.close()


def _results(client: Any, futures: list[Any], workers: list[str]) -> list[Any]:
    """What all ranks return; the error of one of them, that of the cause if that is known."""
    from distributed import wait

    end: float | None = None
    while waiting := [rank for rank, future in enumerate(futures) if not future.done()]:
        with suppress(TimeoutError):
            wait([futures[rank] for rank in waiting], _POLL, "FIRST_COMPLETED")
        known = client.nthreads()
        # Dask would wait for a worker of the same address.
        if gone := [rank for rank in waiting if workers[rank] not in known and not futures[rank].done()]:
            raise RuntimeError(f"rank {gone[0]} is gone: Dask lost its worker {workers[gone[0]]}")
        if end is None and any(future.status == "error" for future in futures):
            end = time.monotonic() + _GRACE
        if end is not None and time.monotonic() > end:
            break
    errors = {rank: future.exception() for rank, future in enumerate(futures) if future.status == "error"}
    if errors:
        rank = min(errors, key=lambda rank: isinstance(errors[rank], RuntimeError))  # "rank 1 failed", say others
        errors[rank].add_note(f"on rank {rank}, Dask's worker {workers[rank]}")
        raise errors[rank]
    return list(client.gather(futures))
