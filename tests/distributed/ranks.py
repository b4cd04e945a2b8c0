"""Several ranks in one process: a thread each, and a communicator that passes arrays between them.

And a model and a training whose process dies.
"""

import pickle
import queue
import threading
import time

import numpy as np


class Fake:
    """One rank of a group of threads; ``delay`` seconds before all that it sends."""

    def __init__(self, rank, queues, delay=0.0):
        self.rank, self.size, self._queues, self._delay = rank, len(queues), queues, delay
        self.sent = 0

    def exchange(self, sends, receives):
        time.sleep(self._delay)
        for rank, array in sends:
            assert array.ndim == 1
            assert array.flags.c_contiguous
            self.sent += array.nbytes
            self._queues[self.rank][rank].put(np.array(array))
        for rank, array in receives:
            arrived = self._queues[rank][self.rank].get(timeout=60)
            assert (arrived.shape, arrived.dtype) == (array.shape, array.dtype)
            array[...] = arrived

    def share(self, value):
        time.sleep(self._delay)
        for rank in range(self.size):
            self._queues[self.rank][rank].put(pickle.loads(pickle.dumps(value)))
        return [self._queues[rank][self.rank].get(timeout=60) for rank in range(self.size)]


def run(size, work, delays=None):
    """The results of work(communicator), by rank; an exception is a result, too."""
    queues = [[queue.Queue() for _ in range(size)] for _ in range(size)]
    results = [None] * size

    def of_rank(rank):
        try:
            results[rank] = work(Fake(rank, queues, (delays or {}).get(rank, 0.0)))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=of_rank, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def killed_once(network, mark, flag):
    """A model that kills its process the first time that it sees an input; the flag is a file that is there then.

    Its class is local, so that it travels by value: workers cannot import the tests.
    """
    import os
    import signal
    import time

    class Killed:
        def predict(self, x):
            time.sleep(0.05)
            if (x == mark).any():
                try:
                    os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return network.predict(x)

    return Killed()


def training(x, y):
    """A function that trains on a rank and returns the network. It is local, so that it travels by value.

    With a flag, a path, the last rank is killed in the fourth epoch if nothing is there. ``seen`` is called with each
    epoch.
    """
    import os
    import signal

    import fnnfast as fnn
    from fnnfast import distributed

    def train(comm, checkpoint=None, flag=None, seen=None):
        layers = [fnn.Input(6), fnn.Dense(40, "relu"), fnn.BatchNorm(), fnn.Dropout(0.2), fnn.Maxout(9, pieces=3)]
        net = fnn.Sequential([*layers, fnn.Dense(3, "softmax")], seed=0 if comm is None else comm.rank)

        def misfortune(epoch, history):
            if seen is not None:
                seen(epoch)
            if flag is None or epoch != 3 or comm.rank != comm.size - 1:
                return
            try:
                os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)

        settings = {"epochs": 6, "seed": 0, "progress": False, "checkpoint": checkpoint, "callbacks": [misfortune]}
        distributed.fit(net, x, y, comm=comm, **settings)
        return net

    return train
