"""Processes that exchange arrays over TCP, for engines that start processes and no more."""

from __future__ import annotations

import hmac
import pickle
import secrets
import selectors
import socket
import struct
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from .. import _checks
from .._checks import message
from ._communicator import Piece

# Before what a rank sends to another in one call: its number of bytes, or -1 - rank if that rank is gone.
_HEADER = struct.Struct("<q")
_NONCE = 32  # bytes, as of a proof by SHA-256
_STRANGER = 10.0  # seconds that somebody who connects has to prove that it is a rank
_SILENCE = 60, 10, 6  # seconds until a silent machine is asked, seconds between questions, and their number
_PIECES = 64  # given to the system in one call; it takes at least so many
_SEVERAL = hasattr(socket.socket, "sendmsg")  # else one piece in one call: Python has no more of Windows

Address = tuple[str, int]


class Tcp:
    """Processes that exchange arrays over TCP, with no MPI.

    A ``Communicator`` for ``fit``, for engines that start processes and can pass a few words between them. Any two
    processes have one connection. ``ray_communicator`` and ``run_on_dask`` make it for Ray Train and Dask.

    Parameters
    ----------
    rank : int >= 0
        The number of this process.
    size : int >= 1
        The number of processes.
    broadcast : callable
        ``broadcast(value)`` returns what rank 0 passes to it, on all ranks; others pass None. It is called once. The
        value is a tuple of strings and an integer: where rank 0 is, and the secret key of the job.
    host : str
        The address of this machine at which the other ranks reach it, and the only one that is listened at. The port is
        the system's choice.
    timeout : float > 0
        Seconds in which all ranks must have come.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        The number of processes.

    Raises
    ------
    RuntimeError
        If another rank does not come in time or is gone, here or later. A connection says at once that a process has
        ended. A machine that is switched off is given up after two minutes of silence, or when the system no longer
        repeats what it was sent (Linux: after a quarter of an hour).

    Notes
    -----
    The key is random, and new for each job: both ends of a connection prove that they have it (HMAC-SHA256) before
    anything else is read. What is sent is neither encrypted nor signed, as with MPI: use a network that you trust.

    Examples
    --------
    >>> from fnnfast import distributed
    >>> comm = distributed.Tcp(0, 1, lambda value: value)
    >>> comm.share("a value")
    ['a value']
    >>> comm.close()

    Two processes of one machine, of which the first tells the other through a pipe of ``multiprocessing``:

    >>> comm = distributed.Tcp(0, 2, lambda value: pipe.send(value) or value)       # doctest: +SKIP
    >>> comm = distributed.Tcp(1, 2, lambda _: pipe.recv())                         # doctest: +SKIP
    """

    def __init__(
        self,
        rank: int,
        size: int,
        broadcast: Callable[[Any], Any],
        *,
        host: str = "127.0.0.1",
        timeout: float = 60.0,
    ) -> None:
        self.size: int = _checks.integer("size", size, 1)
        self.rank: int = _checks.integer("rank", rank, 0)
        if self.rank >= self.size:
            raise ValueError(message("rank", f"less than size, {size}", rank))
        self._timeout = _checks.positive("timeout", timeout)
        self._deadline = time.monotonic() + self._timeout
        self._sockets: dict[int, socket.socket] = {}
        self._end: str | None = None  # why there is nobody to talk to any more
        self._finish = weakref.finalize(self, _close, self._sockets)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family, backlog=max(16, self.size)) as listener:
            place = host, listener.getsockname()[1]
            first = broadcast((*place, secrets.token_hex(_NONCE)) if self.rank == 0 else None)
            try:
                self._meet(listener, place, (first[0], first[1]), bytes.fromhex(first[2]))
            except BaseException:
                self.close()
                raise

    # Meeting ---------------------------------------------------------------------------------------------------------
    def _meet(self, listener: socket.socket, place: Address, first: Address, key: bytes) -> None:
        """All come to rank 0, hear from it where the others are, and go to those of lower ranks."""
        everybody = range(self.size)
        if self.rank == 0:
            self._welcome(listener, key, everybody[1:])
            places = {rank: pickle.loads(told) for rank, told in self._move({}, dict.fromkeys(everybody[1:])).items()}
            told = memoryview(pickle.dumps(places))
            self._move({rank: [told] for rank in everybody[1:]}, {})
        else:
            self._visit(first, key, 0)
            places = pickle.loads(self._move({0: [memoryview(pickle.dumps(place))]}, {0: None})[0])
            for rank in everybody[1 : self.rank]:
                self._visit(places[rank], key, rank)
            self._welcome(listener, key, everybody[self.rank + 1 :])

    def _visit(self, place: Address, key: bytes, rank: int) -> None:
        """Connect to a rank, and prove to each other to be ranks of this job."""
        try:
            connection = socket.create_connection(place, self._left())
            try:
                challenge, own, number = _read(connection, _NONCE), secrets.token_bytes(_NONCE), _HEADER.pack(self.rank)
                connection.sendall(number + own + _proof(key, b"visitor", challenge, own, number))
                if not hmac.compare_digest(_read(connection, _NONCE), _proof(key, b"host", own, _HEADER.pack(rank))):
                    raise ConnectionError("it is none of this job")
                _settle(connection)
            except BaseException:
                connection.close()
                raise
        except OSError as error:
            where = f"rank {rank} at {place[0]}, port {place[1]}"
            raise RuntimeError(f"rank {self.rank} could not connect to {where}: {error}") from error
        self._sockets[rank] = connection

    def _welcome(self, listener: socket.socket, key: bytes, ranks: Iterable[int]) -> None:
        """Wait for these ranks, and turn away whoever does not prove to be one."""
        missing = set(ranks)
        while missing:
            try:
                listener.settimeout(self._left())
                connection = listener.accept()[0]
            except TimeoutError:
                self._part(min(missing))
                text = f"rank {min(missing)} did not connect to rank {self.rank} within {self._timeout:g} s"
                raise RuntimeError(text) from None
            try:
                connection.settimeout(min(_STRANGER, self._left()))
                challenge = secrets.token_bytes(_NONCE)
                connection.sendall(challenge)
                number, own, proof = (_read(connection, length) for length in (_HEADER.size, _NONCE, _NONCE))
                known = hmac.compare_digest(proof, _proof(key, b"visitor", challenge, own, number))
                rank = _HEADER.unpack(number)[0]
                if not known or rank not in missing:
                    raise ConnectionError
                connection.sendall(_proof(key, b"host", own, _HEADER.pack(self.rank)))
                _settle(connection)
            except OSError:
                connection.close()
            else:
                self._sockets[rank] = connection
                missing.remove(rank)

    def _left(self) -> float:
        """Seconds until all ranks must be here."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not within {self._timeout:g} s")
        return left

    # Talking ---------------------------------------------------------------------------------------------------------
    def exchange(self, sends: Sequence[Piece], receives: Sequence[Piece]) -> None:
        """Send arrays to other processes and fill arrays with theirs; see ``Communicator``.

        Parameters
        ----------
        sends : sequence of (int, ndarray)
            Ranks, and contiguous arrays of one axis for them.
        receives : sequence of (int, ndarray)
            Ranks, and arrays that are filled with what these send.
        """
        self._move(_by_rank(sends), _by_rank(receives))

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
        own = memoryview(pickle.dumps(value, protocol=5))
        others = [rank for rank in range(self.size) if rank != self.rank]
        said = self._move({rank: [own] for rank in others}, dict.fromkeys(others))
        return [value if rank == self.rank else pickle.loads(said[rank]) for rank in range(self.size)]

    def close(self) -> None:
        """Close the connections. Without it they are closed when nobody uses the object any more."""
        self._end = self._end or "the communicator is closed"
        self._finish()

    def _move(
        self, sends: Mapping[int, list[memoryview]], receives: Mapping[int, list[memoryview] | None]
    ) -> dict[int, bytearray]:
        """Send to and receive from all of these ranks at once; what comes from a rank that has None is returned."""
        if self._end is not None:
            raise RuntimeError(self._end)
        leaving = {rank: _Outgoing(self._sockets[rank], pieces) for rank, pieces in sends.items()}
        coming = {rank: _Incoming(self._sockets[rank], places) for rank, places in receives.items()}
        deaf: set[int] = set()  # ranks that hear nothing more, but may have said why
        try:
            with selectors.DefaultSelector() as selector:
                for rank in leaving.keys() | coming.keys():
                    events = selectors.EVENT_WRITE * (rank in leaving) | selectors.EVENT_READ * (rank in coming)
                    selector.register(self._sockets[rank], events, rank)
                while selector.get_map():
                    for entry, events in selector.select():
                        rank, rest = entry.data, entry.events
                        if events & selectors.EVENT_READ and coming[rank].move(rank):
                            rest &= ~selectors.EVENT_READ
                        if events & selectors.EVENT_WRITE:
                            try:
                                sent = leaving[rank].move()
                            except OSError:
                                sent = True
                                deaf.add(rank)
                            if sent:
                                rest &= ~selectors.EVENT_WRITE
                        if not rest:
                            selector.unregister(entry.fileobj)
                        elif rest != entry.events:
                            selector.modify(entry.fileobj, rest, rank)
            if deaf:
                raise _GoneError(min(deaf))
        except BaseException as error:
            gone = error.rank if isinstance(error, _GoneError) else self.rank
            self._part(gone, except_for=[rank for rank, parcel in leaving.items() if parcel.is_under_way])
            if isinstance(error, _GoneError):
                assert self._end is not None
                raise RuntimeError(self._end) from None
            raise
        return {rank: parcel.body for rank, parcel in coming.items() if parcel.body is not None}

    def _part(self, gone: int, except_for: Iterable[int] = ()) -> None:
        """Say to the other ranks which one is gone, where they do not take it for data, and close the connections."""
        for rank in self._sockets.keys() - set(except_for):
            with suppress(OSError):
                self._sockets[rank].send(_HEADER.pack(-1 - gone))
        self._end = f"rank {gone} is gone: it was killed, or ended while others were waiting for it"
        self.close()


class _GoneError(Exception):
    """The connection to a rank is closed, or another rank says so."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank)
        self.rank = rank


class _Outgoing:
    """What goes to one rank in one call."""

    def __init__(self, connection: socket.socket, pieces: list[memoryview]) -> None:
        self._connection = connection
        self._header = _HEADER.pack(sum(piece.nbytes for piece in pieces))
        self._rest = [memoryview(self._header), *pieces]
        self.is_under_way = False

    def move(self) -> bool:
        """Send some; whether nothing is left."""
        with suppress(BlockingIOError):
            connection = self._connection
            count = connection.sendmsg(self._rest[:_PIECES]) if _SEVERAL else connection.send(self._rest[0])
            self._rest = _after(self._rest, count)
            self.is_under_way = bool(self._rest)
        return not self._rest


class _Incoming:
    """What comes from one rank in one call: a header, then what fills these places, or a new one."""

    def __init__(self, connection: socket.socket, places: list[memoryview] | None) -> None:
        self._connection, self._places = connection, places
        self._header: bytearray | None = bytearray(_HEADER.size)
        self._rest = [memoryview(self._header)]
        self.body: bytearray | None = None

    def move(self, rank: int) -> bool:
        """Receive some; whether all is here."""
        try:
            connection, rest = self._connection, self._rest
            count = connection.recvmsg_into(rest[:_PIECES])[0] if _SEVERAL else connection.recv_into(rest[0])
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if count == 0:
            raise _GoneError(rank)
        self._rest = _after(self._rest, count)
        if self._header is not None and not self._rest:
            length, self._header = _HEADER.unpack(self._header)[0], None
            if length < 0:
                raise _GoneError(-1 - length)
            if self._places is None:
                self.body = bytearray(length)
                self._places = [memoryview(self.body)]
            if (expected := sum(place.nbytes for place in self._places)) != length:
                raise RuntimeError(f"rank {rank} sent {length} bytes, where {expected} were expected")
            self._rest = _after(self._places, 0)
        return not self._rest


def _after(pieces: Sequence[memoryview], count: int) -> list[memoryview]:
    """What is left of pieces of memory after so many bytes: the first one is not empty."""
    for i, piece in enumerate(pieces):
        if count < piece.nbytes:
            return [piece[count:], *pieces[i + 1 :]]
        count -= piece.nbytes
    return []


def _by_rank(pieces: Sequence[Piece]) -> dict[int, list[memoryview]]:
    found: dict[int, list[memoryview]] = {}
    for rank, array in pieces:
        found.setdefault(rank, []).append(memoryview(array.view(np.uint8)))  # type: ignore[arg-type]
    return found


def _proof(key: bytes, *said: bytes) -> bytes:
    """That its maker has the key, of words of known lengths."""
    return hmac.digest(key, b"".join(said), "sha256")


def _read(connection: socket.socket, length: int) -> bytes:
    """So many bytes, in the time that the connection has for each part."""
    found = b""
    while len(found) < length:
        part = connection.recv(length - len(found))
        if not part:
            raise ConnectionError("it ended the connection")
        found += part
    return found


def _settle(connection: socket.socket) -> None:
    """Wait for several at once, send small things at once, and notice when the other machine is gone without a word."""
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Not TCP_USER_TIMEOUT: Linux then also gives up a rank that computes for long and does not read what it is sent.
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), _SILENCE, strict=True):
        if (option := getattr(socket, name, None)) is not None:  # Linux has all of them
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _close(connections: dict[int, socket.socket]) -> None:
    for connection in connections.values():
        connection.close()
    connections.clear()
