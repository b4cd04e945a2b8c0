"""How processes that train together exchange arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from .._checks import Array, message

Piece = tuple[int, Array]
"""Another process's rank, and an array that goes to it or comes from it."""


@runtime_checkable
class Communicator(Protocol):
    """What ``fit`` needs of the processes that train together.

    mpi4py's communicators are taken as they are; ``Tcp`` needs no MPI, and ``Nccl`` is for GPUs. An object with these
    attributes and methods lets ``fit`` run on anything else that can pass arrays. A RuntimeError that it raises ends
    ``fit`` on this rank.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        The number of processes.

    Examples
    --------
    >>> from fnnfast import distributed
    >>> class Alone:
    ...     rank, size = 0, 1
    ...     def exchange(self, sends, receives): ...
    ...     def share(self, value):
    ...         return [value]
    >>> isinstance(Alone(), distributed.Communicator)
    True
    """

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """The number of processes."""
        ...

    def exchange(self, sends: Sequence[Piece], receives: Sequence[Piece]) -> None:
        """Send arrays to other processes and fill arrays with theirs.

        All processes call it together. Between two processes, arrays are matched in their order.

        Parameters
        ----------
        sends : sequence of (int, ndarray)
            Ranks, and contiguous arrays of one axis for them.
        receives : sequence of (int, ndarray)
            Ranks, and arrays that are filled with what these send.
        """
        ...

    def share(self, value: Any) -> list[Any]:
        """Return what all processes pass, by rank.

        Parameters
        ----------
        value : object
            A small object that can be pickled.

        Returns
        -------
        list of object
            One of each process.
        """
        ...


class Alone:
    """One process."""

    rank, size = 0, 1

    def exchange(self, sends: Sequence[Piece], receives: Sequence[Piece]) -> None:
        """There is nobody."""

    def share(self, value: Any) -> list[Any]:
        return [value]


class Mpi:
    """A communicator of mpi4py."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()

    def exchange(self, sends: Sequence[Piece], receives: Sequence[Piece]) -> None:
        requests = [self._comm.Irecv(array, source=rank) for rank, array in receives]
        requests += [self._comm.Isend(array, dest=rank) for rank, array in sends]
        for request in requests:
            request.Wait()

    def share(self, value: Any) -> list[Any]:
        return list(self._comm.allgather(value))


def communicator(comm: Any) -> Communicator:
    """The argument of ``fit``: a Communicator as it is, mpi4py's wrapped, None for one process."""
    if comm is None:
        return Alone()
    if isinstance(comm, Communicator):
        return comm
    if all(hasattr(comm, name) for name in ("Irecv", "Isend", "allgather", "Get_rank", "Get_size")):
        return Mpi(comm)
    raise TypeError(message("comm", "None, a communicator of mpi4py or a fnnfast.distributed.Communicator", repr(comm)))
