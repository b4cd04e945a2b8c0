"""Scaling, simulated
==================

What 8, 64 and 512 ranks would gain, from step times measured here and the latency and bandwidth of three networks.

A step of ``fnnfast.distributed.fit`` is the gradients of a rank's rows, two exchanges of gradients, and an update.
Times of gradients for 1 row up to the whole batch, of the update, of the additions, and of sending a message are
measured on the machine that runs the script, with one thread. In each exchange a rank sends one message to every other
rank, and all gradients but its own slice. An exchange takes the latency, the time of the messages one after the other,
and that of its bytes at the bandwidth of the network. Nothing overlaps, and no two ranks share a link. The networks:

- 1 Gb/s Ethernet: 24.6 us, 116 MB/s, MPICH over TCP (https://gist.github.com/jfgrimm/3af692a5475bdd4ed836b5a18197a209);
- 40 Gb/s Ethernet: 1.93 us, 37.2 Gb/s, Open MPI over usNIC
  (https://blogs.cisco.com/performance/mpi-over-40gb-ethernet);
- 100 Gb/s InfiniBand: 0.9 us, 10.3 GB/s, Open MPI (the first source).

Two networks of the benchmark: T2, 784-512-512-10 with batches of 128 and 2.7 MB of gradients, and T3,
784-2048-2048-10 with batches of 1024 and 23 MB. Solid: the batch stays as it is, so that each rank has fewer rows.
Dotted: every rank has a whole batch, so that steps are larger. Adding ranks pays as long as twice as many take less
than 0.8 of the time for as many rows; a dot marks where that ends.

To try: a thread count of several, or gradients in bfloat16, which halve the bytes.
"""

from __future__ import annotations

import timeit
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import save
from mpi4py import MPI

import fnnfast as fnn
from fnnfast.distributed._communicator import Mpi

NETWORKS = {  # latency in seconds, bytes per second
    "1 Gb/s Ethernet": (24.6e-6, 116e6),
    "40 Gb/s Ethernet": (1.93e-6, 37.23e9 / 8),
    "100 Gb/s InfiniBand": (0.9e-6, 10.3e9),
}
PROBLEMS = {"T2": ((784, 512, 512, 10), 128), "T3": ((784, 2048, 2048, 10), 1024)}
RANKS = [2**n for n in range(10)]
GAIN = 0.8


class Times(NamedTuple):
    """Measured, in seconds: gradients of so many rows, the update, an addition of two gradients; and their bytes."""

    rows: np.ndarray
    gradients: np.ndarray
    update: float
    addition: float
    size: int


def best(call, repeats: int) -> float:
    """The shortest of several turns, since what else a machine does can only make them longer."""
    return min(timeit.repeat(call, number=1, repeat=repeats))


def measured(widths: tuple[int, ...], batch: int) -> Times:
    layers = [fnn.Input(widths[0]), *(fnn.Dense(width, "relu") for width in widths[1:-1])]
    net = fnn.Sequential([*layers, fnn.Dense(widths[-1], "softmax")], seed=0)
    trainer = fnn.Trainer(net, optimizer=fnn.Adam(1e-4))
    rng = np.random.default_rng(0)
    x, y = rng.random((batch, widths[0]), dtype=np.float32), rng.integers(0, widths[-1], batch)
    rows = [2**n for n in range(batch.bit_length())]
    grads = trainer.gradients(x[:1], y[:1])
    out = list(grads.values())
    core, order = trainer._core, np.arange(batch)
    repeats = 30 if batch < 1000 else 7
    times = [best(lambda n=n: core.sum_parts(x, y, order[:n], None, [0, n], out), repeats) for n in rows]
    one, other = (np.ones(sum(array.size for array in out), np.float32) for _ in range(2))
    return Times(
        np.array(rows),
        np.array(times),
        best(lambda: core.apply(out, 1e-4), repeats),
        best(lambda: np.add(one, other, out=one), repeats),
        one.nbytes,
    )


def message_time() -> float:
    """What it costs a process to send a message and to receive one, here to and from itself."""
    comm, count = Mpi(MPI.COMM_SELF), 200
    a, b = np.zeros(8), np.zeros(8)
    return best(lambda: comm.exchange([(0, a)] * count, [(0, b)] * count), 20) / count


def step_time(times: Times, rows: float, ranks: int, network: tuple[float, float], message: float) -> float:
    """Of one rank of so many, with so many rows for each."""
    latency, bandwidth = network
    own = float(np.interp(max(rows, 1.0), times.rows, times.gradients))
    if ranks == 1:
        return own + times.update
    exchange = latency + (ranks - 1) * message + times.size * (ranks - 1) / ranks / bandwidth
    return own + 2 * exchange + times.addition * (ranks - 1) / ranks + times.update


def main() -> None:
    message = message_time()
    print(f"a message: {message * 1e6:.1f} us")
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.2), sharey=True)
    with fnn.num_threads(1):
        for ax, (name, (widths, batch)) in zip(axes, PROBLEMS.items(), strict=True):
            times = measured(widths, batch)
            alone = step_time(times, batch, 1, (0, 1), message)
            print(f"{name}: {alone * 1e3:.2f} ms, update {times.update * 1e3:.2f} ms, {times.size / 1e6:.1f} MB")
            for color, (network, figures) in enumerate(NETWORKS.items()):
                for style, each in (("-", False), (":", True)):
                    per_row = [
                        step_time(times, batch if each else batch / ranks, ranks, figures, message)
                        / (ranks if each else 1)
                        for ranks in RANKS
                    ]
                    gains = alone / np.array(per_row)
                    ends = next(
                        (i for i in range(len(RANKS) - 1) if per_row[i + 1] > GAIN * per_row[i]), len(RANKS) - 1
                    )
                    ax.plot(RANKS, gains, style, color=f"C{color}", label=None if each else network)
                    ax.plot(RANKS[ends], gains[ends], "o", color=f"C{color}", mfc="white" if each else f"C{color}")
                    kind = "a batch each" if each else "one batch"
                    shown = ", ".join(f"{ranks} ranks {gains[RANKS.index(ranks)]:.2f}" for ranks in (8, 64, 512))
                    print(f"  {network}, {kind}: {shown}; pays up to {RANKS[ends]}")
                    assert np.isfinite(gains).all()
            ax.plot(RANKS, RANKS, color="0.8", lw=1, zorder=0)
            ax.set(title=f"{name}: {'-'.join(map(str, widths))}, batch {batch}")
            ax.set(xscale="log", yscale="log", xlabel="ranks")
            ax.set_xticks([1, 8, 64, 512], ["1", "8", "64", "512"])
            ax.minorticks_off()
    axes[0].set(ylabel="rows per second, beside one rank")
    axes[0].legend()
    save(figure, __file__)


if __name__ == "__main__":
    main()
