"""Any number of ranks
===================

One network, trained by 1, 2, 3 and 4 MPI processes, with the same bits.

Data-parallel training divides each batch between processes (ranks) and adds their gradients. Sums of floating-point
numbers depend on their order, so with most frameworks the weights depend on the number of ranks, and a run that is
repeated on another machine is another run. ``fnnfast.distributed.fit`` cuts the batch into a fixed number of shards
and adds their gradients in one binary tree, whichever rank holds them. The script starts itself with ``mpiexec``, and
every rank writes down what it has learned.

Left: the training loss of the four runs, in curves that lie on each other. Right: how far the weights of 1, 2 and 4
shards are from those of 8, in units in the last place (ulp). The number of ranks would do that, too, if each rank
simply summed its own rows. One shard is ``fit`` in a single process.

To try: a rank that is killed, with a checkpoint to resume from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from common import save
from mpi4py import MPI

import fnnfast as fnn
from fnnfast import distributed

RANKS, SHARDS, EPOCHS = (1, 2, 3, 4), (1, 2, 4, 8), 6


def of_rank(folder: Path) -> None:
    """What each process of a run does."""
    comm = MPI.COMM_WORLD
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")
    layers = [fnn.Input(64), fnn.Dense(64, "relu"), fnn.Dropout(0.2), fnn.Dense(10, "softmax")]
    for shards in SHARDS if comm.size == 1 else (8,):
        net = fnn.Sequential(layers, seed=0)
        history = distributed.fit(net, x, y, epochs=EPOCHS, batch_size=64, seed=0, comm=comm, shards=shards)
        np.savez(folder / f"{comm.size}-{comm.rank}-{shards}.npz", loss=history.loss, **net.parameters)


def run(ranks: int, folder: Path) -> None:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    mpiexec = shutil.which("mpiexec", path=beside)
    assert mpiexec is not None, "expected mpiexec: pip install mpich"
    command = [mpiexec, "-n", str(ranks), sys.executable, __file__, str(folder)]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)


def main() -> None:
    from sklearn.datasets import load_digits  # not in every rank

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x, y = load_digits(return_X_y=True)
        np.save(folder / "x.npy", (x / 16).astype(np.float32))
        np.save(folder / "y.npy", y)
        for ranks in RANKS:
            run(ranks, folder)
        found = {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}
    one = found["1-0-8"]
    for ranks in RANKS:
        copies = [found[f"{ranks}-{rank}-8"] for rank in range(ranks)]
        same = all(np.array_equal(copy[name], one[name]) for copy in copies for name in one)
        print(f"{ranks} rank{'s' if ranks > 1 else ''}: loss {copies[0]['loss'][-1]:.17g}, same bits {same}")
        assert same, f"{ranks} ranks: expected the bits of one"
    apart = {}
    for shards in SHARDS:
        a, b = found[f"1-0-{shards}"]["dense_1.weight"], one["dense_1.weight"]
        apart[shards] = np.abs(a.view(np.int32).astype(np.int64) - b.view(np.int32))[np.sign(a) == np.sign(b)]

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8))
    for width, ranks in zip((9, 6, 3.5, 1.2), RANKS, strict=True):
        left.plot(
            range(1, EPOCHS + 1), found[f"{ranks}-0-8"]["loss"], lw=width, label=f"{ranks} rank{'s'[: ranks - 1]}"
        )
    left.set(xlabel="epoch", yscale="log", title="Training loss")
    left.legend()
    bins = np.logspace(0, 4, 17)
    for shards in SHARDS[:-1]:
        right.hist(apart[shards] + 1, bins, histtype="step", lw=1.6, label=f"{shards} shard{'s'[: shards - 1]}")
    right.set(xscale="log", xlabel="distance + 1 from the weights of 8 shards, ulp", ylabel="weights")
    right.set(title="The bits depend on the number of shards")
    right.legend()
    save(figure, __file__)
    assert (apart[8] == 0).all()
    assert all((apart[shards] > 0).mean() > 0.2 for shards in SHARDS[:-1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        of_rank(Path(sys.argv[1]))
    else:
        main()
