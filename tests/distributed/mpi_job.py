"""What a rank does in the tests with mpiexec: ``python -m mpi4py mpi_job.py folder [what]``."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

import fnnfast as fnn
from fnnfast import distributed

COMM = MPI.COMM_WORLD
FOLDER = Path(sys.argv[1])
WHAT = sys.argv[2] if len(sys.argv) > 2 else ""


def network():
    layers = [fnn.Input(6), fnn.Dense(40, "relu"), fnn.BatchNorm(), fnn.Dropout(0.2), fnn.Maxout(9, pieces=3)]
    return fnn.Sequential([*layers, fnn.Dense(70, "tanh"), fnn.Dense(3, "softmax")], seed=COMM.rank)


def misfortune(epoch, history):
    if epoch != 3 or COMM.rank != 1:
        return
    if WHAT == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if WHAT == "interrupted":
        os.kill(os.getpid(), signal.SIGINT)
    if WHAT == "slow":
        time.sleep(1)
    if WHAT == "failing":
        raise OSError("no space")


def main():
    x = np.load(FOLDER / "x.npy", mmap_mode="r")
    y = np.load(FOLDER / "y.npy", mmap_mode="r")
    net = network()
    settings = {"epochs": 6, "seed": 0, "batch_size": 32, "callbacks": [misfortune]}
    if WHAT == "bfloat16":
        settings["gradients"] = "bfloat16"
    if WHAT in ("checkpoint", "killed"):
        settings["checkpoint"] = FOLDER / "run.ckpt"
    history = distributed.fit(net, x, y, comm=COMM, **settings)
    net.save(FOLDER / f"rank{COMM.rank}.safetensors")
    print(f"rank {COMM.rank}: {len(history.loss)} epochs, {history.stopped}, threads {fnn.get_num_threads()}")


main()
