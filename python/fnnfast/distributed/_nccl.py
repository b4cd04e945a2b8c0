"""Processes with a GPU each, which exchange gradients by NCCL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._device.base import gpu_of
from .._extras import needs
from ._communicator import Piece, communicator


class Nccl:
    """Processes with a GPU each: gradients go from GPU to GPU by NCCL, small things through the host.

    It is a ``Communicator`` for ``fit`` of networks on GPUs. Every process chooses its GPU before, with
    ``cupy.cuda.Device(rank).use()``. It was tested with a stand-in of NCCL, not on GPUs.

    Parameters
    ----------
    comm : communicator of mpi4py, or Communicator
        The processes. It also passes what is on the host.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        The number of processes.

    Raises
    ------
    ModuleNotFoundError
        If CuPy is not installed.

    Examples
    --------
    >>> from mpi4py import MPI                                                      # doctest: +SKIP
    >>> comm = distributed.Nccl(MPI.COMM_WORLD)                                     # doctest: +SKIP
    >>> history = distributed.fit(net.to("cuda"), x, y, comm=comm, seed=0)          # doctest: +SKIP
    """

    def __init__(self, comm: Any) -> None:
        with needs("cupy", "NCCL is used through CuPy: pip install 'fnnfast[cuda13]'"):
            import cupy
            from cupy.cuda import nccl
        self._cupy, self._nccl = cupy, nccl
        self._host = communicator(comm)
        self.rank: int = self._host.rank
        self.size: int = self._host.size
        identifier = self.share(nccl.get_unique_id() if self.rank == 0 else None)[0]
        self._ranks = nccl.NcclCommunicator(self.size, identifier, self.rank)

    def exchange(self, sends: Sequence[Piece], receives: Sequence[Piece]) -> None:
        """Send arrays to other processes and fill arrays with theirs; see ``Communicator``.

        Parameters
        ----------
        sends : sequence of (int, ndarray)
            Ranks, and contiguous arrays of one axis for them, on the GPU or the host.
        receives : sequence of (int, ndarray)
            Ranks, and arrays that are filled with what these send.
        """
        stream = self._cupy.cuda.get_current_stream().ptr
        self._nccl.groupStart()
        for call, pieces in ((self._ranks.send, sends), (self._ranks.recv, receives)):
            for rank, array in pieces:
                if gpu_of(array) is not None:
                    memory: Any = array.data  # CuPy's
                    call(memory.ptr, array.nbytes, self._nccl.NCCL_UINT8, rank, stream)
        self._nccl.groupEnd()
        self._host.exchange(_on_host(sends), _on_host(receives))

    def share(self, value: Any) -> list[Any]:
        """Return what all processes pass, by rank; see ``Communicator``.

        Parameters
        ----------
        value : object
            A small object that can be pickled.

        Returns
        -------
        list of object
            One of each process.
        """
        return self._host.share(value)


def _on_host(pieces: Sequence[Piece]) -> list[Piece]:
    return [(rank, array) for rank, array in pieces if gpu_of(array) is None]
