"""Ranks over TCP: here they are threads; test_dask.py and test_ray.py have processes."""

import queue
import socket
import threading
import time

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import distributed
from fnnfast.distributed import _tcp
from oracles import assert_same_networks

X = np.random.default_rng(0).standard_normal((99, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 99)


class Meeting:
    """Where ranks learn what rank 0 says, and what it has said."""

    def __init__(self, size):
        self.size, self._queue, self.said = size, queue.Queue(), None

    def broadcast(self, value):
        if value is None:
            return self._queue.get(timeout=30)
        self.said = value
        for _ in range(self.size - 1):
            self._queue.put(value)
        return value


def run(size, work, meeting=None, absent=(), **options):
    """The results of work(communicator), by rank; an exception is a result, too."""
    meeting = meeting or Meeting(size)
    results = [None] * size

    def of_rank(rank):
        comm = None
        try:
            comm = distributed.Tcp(rank, size, meeting.broadcast, **options)
            results[rank] = work(comm)
        except Exception as error:
            results[rank] = error.with_traceback(None)
        finally:
            if comm is not None:
                comm.close()

    threads = [
        threading.Thread(target=of_rank, args=(rank,), daemon=True) for rank in range(size) if rank not in absent
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a rank waits for ever"
    return results


def network():
    layers = [fnn.Input(6), fnn.Dense(33, "relu"), fnn.BatchNorm(), fnn.Dropout(0.3), fnn.Dense(3, "softmax")]
    return fnn.Sequential(layers, seed=1)


def trained(comm, **options):
    net = network()
    distributed.fit(net, X, Y, comm=comm, **{"epochs": 2, "seed": 0, "progress": False, **options})
    return net


# Arrays and objects --------------------------------------------------------------------------------------------------
SIZES = (0, 1, 7, 1001, 0, 3_000_001)  # the last one is more than connections hold: all send at once


def arrays_from(rank, to, dtype):
    return [np.random.default_rng([rank, to, size]).integers(0, 200, size).astype(dtype) for size in SIZES]


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_exchange(size, dtype):
    def work(comm):
        others = [rank for rank in range(size) if rank != comm.rank]
        for turn in range(3):
            time.sleep(0.02 * (comm.rank == turn))  # others begin the next exchange before this one
            got = {rank: [np.full(length, 255, dtype) for length in SIZES] for rank in others}
            sends = [(rank, array) for rank in others for array in arrays_from(comm.rank, rank, dtype)]
            comm.exchange(sends, [(rank, array) for rank in others for array in got[rank]])
            for rank in others:
                for array, expected in zip(got[rank], arrays_from(rank, comm.rank, dtype), strict=True):
                    np.testing.assert_array_equal(array, expected)
        return others

    assert run(size, work) == [[rank for rank in range(size) if rank != own] for own in range(size)]


def test_exchange_of_some_ranks_with_some():
    """In a circle, and nothing with the one behind."""

    def work(comm):
        got = np.zeros(5)
        comm.exchange([((comm.rank + 1) % 3, np.full(5, comm.rank))], [((comm.rank - 1) % 3, got.view(np.int64))])
        comm.exchange([], [])
        return got.view(np.int64).tolist()

    assert run(3, work) == [[2] * 5, [0] * 5, [1] * 5]


@pytest.mark.parametrize("several", [True, False])
def test_more_arrays_than_one_call_of_the_system_takes(several, monkeypatch):
    monkeypatch.setattr(_tcp, "_SEVERAL", several)

    def work(comm):
        got = [np.zeros(3) for _ in range(3000)]
        comm.exchange([(1 - comm.rank, np.full(3, float(i))) for i in range(3000)], [(1 - comm.rank, a) for a in got])
        return all((array == i).all() for i, array in enumerate(got))

    assert run(2, work) == [True, True]


def test_share():
    large = np.arange(400_000.0)

    def work(comm):
        first = comm.share((comm.rank, large * comm.rank))
        return [rank for rank, _ in first], [float(array[-1]) for _, array in first], comm.share(None)

    assert run(3, work) == [([0, 1, 2], [0.0, 399_999.0, 799_998.0], [None] * 3)] * 3


def test_a_message_of_another_length_is_refused():
    def work(comm):
        comm.exchange([(1 - comm.rank, np.zeros(3 + comm.rank))], [(1 - comm.rank, np.zeros(3))])

    first, second = run(2, work)
    assert str(first) == "rank 1 sent 32 bytes, where 24 were expected"
    assert second is None or "rank 0 is gone" in str(second)


# Training ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1, 2, 3])
def test_fit_has_the_same_bits(size):
    alone = trained(None)
    for net in run(size, trained):
        assert_same_networks(net, alone)
        assert all((net.buffers[name] == values).all() for name, values in alone.buffers.items())


def test_errors_of_a_rank_in_fit_end_all():
    def work(comm):
        distributed.fit(network(), X, Y if comm.rank != 1 else Y[::-1], comm=comm, epochs=1, seed=0, progress=False)

    assert {str(error) for error in run(3, work)} == {
        "rank 1 was given another y or weights than rank 0: expected the same on all"
    }

    def failing(epoch, history):
        raise OSError("no space")

    def other(comm):
        return trained(comm, callbacks=[failing] if comm.rank == 2 else [])

    first, second, third = run(3, other)
    assert str(first) == str(second) == "rank 2 failed: OSError: no space"
    assert str(third) == "no space"


# A rank is gone ------------------------------------------------------------------------------------------------------
GONE = "rank 2 is gone: it was killed, or ended while others were waiting for it"


def test_a_rank_that_is_gone_ends_fit_on_all():
    """In the second epoch, where the others wait for it; the sockets of a killed process are closed like this."""

    def work(comm):
        def leaving(epoch, history):
            if comm.rank == 2 and epoch == 1:
                comm.close()

        trained(comm, epochs=5, callbacks=[leaving])

    first, second, third, fourth = run(4, work)
    for error in (first, second, fourth):
        assert type(error) is RuntimeError
        assert str(error) == GONE
    assert str(third) == "the communicator is closed"


def test_who_waits_for_another_hears_who_is_gone():
    """Rank 0 talks to rank 1 alone, which waits for rank 2, and itself is never in between two arrays."""

    def work(comm):
        if comm.rank == 2:
            time.sleep(0.1)
            return None
        comm.exchange([], [(comm.rank + 1, np.zeros(10))])

    first, second, _ = run(3, work)
    assert str(first) == str(second) == GONE


def test_who_sends_to_a_rank_that_reads_nothing_hears_that_it_is_gone():
    def work(comm):
        if comm.rank == 2:
            time.sleep(0.1)
            return
        comm.exchange([(2, np.zeros(10_000_000))], [])

    first, second, _ = run(3, work)
    assert str(first) == str(second) == GONE


def test_what_was_said_before_is_still_heard():
    """A rank that is told who is gone, and hears nothing more, names that rank: not the one that told."""

    def work(comm):
        if comm.rank == 2:
            return  # closed
        if comm.rank == 0:
            time.sleep(0.3)  # rank 1 has said so and closed its connections
        comm.share(np.zeros(1_000_000))

    first, second, _ = run(3, work)
    assert str(first) == str(second) == GONE


def test_afterwards_there_is_nobody():
    def work(comm):
        if comm.rank == 1:
            return []
        errors = []
        for _ in range(2):
            with pytest.raises(RuntimeError) as caught:
                comm.share(1)
            errors.append(str(caught.value))
        return errors

    errors = run(2, work)[0]
    assert errors[0] == errors[1] == GONE.replace("2", "1")


def test_a_communicator_that_nobody_uses_is_closed():
    kept, gone = [], threading.Event()

    def work(comm):
        if comm.rank == 0:
            kept.append(comm)
            gone.wait(30)
            return comm.share(1)
        return None

    meeting = Meeting(2)

    def second():
        comm = distributed.Tcp(1, 2, meeting.broadcast)
        assert comm.size == 2
        del comm
        gone.set()

    other = threading.Thread(target=second)
    other.start()
    first = run(2, work, meeting, absent=[1])[0]
    other.join()
    assert str(first) == GONE.replace("2", "1")


def test_a_slow_rank_is_not_given_up(monkeypatch):
    """It reads nothing for longer than a silent machine has, while more is sent to it than connections hold."""
    monkeypatch.setattr("fnnfast.distributed._tcp._SILENCE", (1, 1, 1))

    def work(comm):
        got = np.zeros(3_000_000)
        if comm.rank == 1:
            time.sleep(4)
        comm.exchange([(1 - comm.rank, np.full(3_000_000, 1.0))], [(1 - comm.rank, got)])
        return got.sum()

    assert run(2, work) == [3e6, 3e6]


# Meeting -------------------------------------------------------------------------------------------------------------
def test_a_rank_that_does_not_come():
    begun = time.monotonic()
    first, second, _ = run(3, lambda comm: None, absent=[2], timeout=0.5)
    assert time.monotonic() - begun < 20
    assert str(first) == "rank 2 did not connect to rank 0 within 0.5 s"
    assert str(second) == GONE


def test_a_rank_that_finds_nobody():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RuntimeError, match=f"rank 1 could not connect to rank 0 at 127.0.0.1, port {port}: "):
        distributed.Tcp(1, 2, lambda _: ("127.0.0.1", port, "00"), timeout=5)


def test_strangers_are_turned_away(monkeypatch):
    """Some say nothing, some say anything, some have another key: the ranks meet all the same."""
    monkeypatch.setattr("fnnfast.distributed._tcp._STRANGER", 0.2)
    closed, errors, meeting = [], [], Meeting(2)

    def strangers():
        while meeting.said is None:
            time.sleep(0.01)
        host, port, key = meeting.said
        connections = [socket.create_connection((host, port), 10) for _ in range(3)]
        connections[1].sendall(bytes(100))
        connections[2].close()
        closed.extend(len(connection.recv(1000)) for connection in connections[:2])  # the challenge
        for connection in connections[:2]:
            try:
                closed.append(len(connection.recv(1000)))
            except ConnectionResetError:
                closed.append(0)
            connection.close()
        try:
            distributed.Tcp(1, 2, lambda _: (host, port, key[::-1]), timeout=10)
        except RuntimeError as error:
            errors.append(str(error))
        meeting._queue.put(meeting.said)

    class Late(Meeting):
        def broadcast(self, value):
            if value is None:
                return meeting._queue.get(timeout=30)
            meeting.said = value
            return value

    thread = threading.Thread(target=strangers)
    thread.start()
    results = run(2, lambda comm: comm.share(comm.rank), Late(2))
    thread.join()
    assert results == [[0, 1], [0, 1]]
    assert closed == [32, 32, 0, 0]
    assert len(errors) == 1
    assert errors[0].startswith("rank 1 could not connect to rank 0 at 127.0.0.1")


def test_a_host_that_does_not_have_the_key_is_refused():
    """It could be anybody at that port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def host():
            connection = listener.accept()[0]
            with connection:
                connection.sendall(bytes(32))
                connection.recv(1000)
                connection.sendall(bytes(32))
                time.sleep(0.2)

        thread = threading.Thread(target=host)
        thread.start()
        with pytest.raises(RuntimeError, match="it is none of this job"):
            distributed.Tcp(1, 2, lambda _: (*listener.getsockname(), "ab" * 32), timeout=10)
        thread.join()


def test_nothing_but_the_host_is_listened_at_and_keys_are_new(monkeypatch):
    places, create = [], socket.create_server
    monkeypatch.setattr(
        socket, "create_server", lambda place, **options: places.append(place) or create(place, **options)
    )
    meetings = [Meeting(2), Meeting(2)]
    for meeting in meetings:
        run(2, lambda comm: comm.share(1), meeting)
    assert set(places) == {("127.0.0.1", 0)}
    keys = [bytes.fromhex(meeting.said[2]) for meeting in meetings]
    assert [len(key) for key in keys] == [32, 32]
    assert keys[0] != keys[1]


def test_arguments():
    def alone(rank, size, **options):
        return distributed.Tcp(rank, size, lambda value: value, **options)

    with pytest.raises(ValueError, match="rank: expected less than size, 2, got 2"):
        alone(2, 2)
    with pytest.raises(ValueError, match="size: expected an integer >= 1, got 0"):
        alone(0, 0)
    with pytest.raises(ValueError, match="timeout: expected a number > 0, got 0"):
        alone(0, 1, timeout=0)
    with pytest.raises(TypeError, match=r"client: expected a dask\.distributed\.Client, got 3"):
        distributed.run_on_dask(3, print)
    comm = alone(0, 1)
    assert isinstance(comm, distributed.Communicator)
    comm.close()
