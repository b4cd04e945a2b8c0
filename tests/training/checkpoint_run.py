"""A training with everything that a checkpoint has to keep: for test_checkpoint, and for processes that it kills.

``python checkpoint_run.py PATH CASE WHERE`` trains without end. WHERE is "anywhere", to be killed from outside after
the line that says that training begins, or a place in the writing of the third checkpoint, where it kills itself.
"""

import os
import signal
import sys

import numpy as np

import fnnfast as fnn
from fnnfast._network import file_format

FOREVER = 10**9

CASES = {
    "all at once": {
        "optimizer": fnn.Adam(0.02),
        "schedule": fnn.Warmup(3, fnn.CosineDecay(20, final=0.1)),
        "validation": 0.25,
        "l2": 0.01,
        "clip_norm": 0.5,
        "class_weight": "balanced",
        "patience": FOREVER,
    },
    "momentum": {"optimizer": fnn.SGD(0.05, momentum=0.9, nesterov=True), "dtype": "float64", "every": 3},
    "decay": {"optimizer": fnn.AdamW(0.01), "schedule": fnn.StepDecay(2, 0.9), "patience": FOREVER},
    "images": {"optimizer": fnn.Adam(0.01), "images": True, "validation": 0.25, "patience": FOREVER},
}


def data(rows=150):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 5)), rng.integers(0, 3, rows)


def network(dtype="float32", images=False, seed=0):
    """Of rows, or of images with running statistics."""
    if images:
        layers = [
            fnn.Conv2D(6, (1, 3), bias=False),
            fnn.BatchNorm(),
            fnn.Activation("prelu"),
            fnn.Parallel([[fnn.Conv2D(4, 1, bias=False), fnn.BatchNorm(0.5)], [fnn.MaxPool2D((1, 3), 1, "same")]]),
            fnn.Dropout(0.2),
            fnn.Dense(3, "softmax"),
        ]
        return fnn.Sequential([fnn.Input(1, 5, 1), *layers], dtype=dtype, seed=seed)
    layers = [
        fnn.GaussianNoise(0.1),
        fnn.Dense(16, "prelu"),
        fnn.Dropout(0.3),
        fnn.Residual([fnn.Maxout(9, pieces=3), fnn.Dropout(0.2), fnn.Dense(16, "tanh")]),
    ]
    return fnn.Sequential([fnn.Input(5), *layers, fnn.Dense(3, "softmax")], dtype=dtype, seed=seed)


def run(case, epochs, path=None, seed=3, callbacks=(), net=None, **changes):
    """Train; gives the network and the history."""
    settings = {"batch_size": 8, **CASES[case], **changes}
    dtype, images = settings.pop("dtype", "float32"), settings.pop("images", False)
    net = net or network(dtype, images)
    patience, every = settings.pop("patience", None), settings.pop("every", 1)
    if patience is not None:
        callbacks = [*callbacks, fnn.EarlyStopping(patience)]
    checkpoint = None if path is None else fnn.Checkpoint(path, every)
    return net, net.fit(*data(), epochs=epochs, seed=seed, callbacks=callbacks, checkpoint=checkpoint, **settings)


def assert_same_runs(one, other):
    """Every bit of two networks, and everything in their histories."""
    (net, history), (twin, other_history) = one, other
    assert vars(history) == vars(other_history)
    for kind in ("parameters", "buffers"):
        for name, values in getattr(net, kind).items():
            assert values.tobytes() == getattr(twin, kind)[name].tobytes(), name


def kill_at(where):
    """Have the process end, as by kill -9, in the writing of the third checkpoint."""
    whole, saves = file_format.replace, 0

    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    def replace(path, content, temporary=None):
        nonlocal saves
        saves += 1
        if saves == 3 and where == "half written":
            with open(temporary, "wb") as file:
                file.write(content[: len(content) // 2])
            die()
        if saves == 3 and where == "written":
            os.replace = die
        whole(path, content, temporary)
        if saves == 3 and where == "renamed":
            die()

    file_format.replace = replace


class Begun:
    """A callback that says on standard output when training begins."""

    def start(self, network):
        print("begun", flush=True)

    def __call__(self, epoch, history):
        pass


if __name__ == "__main__":
    _, path, case, where = sys.argv
    kill_at(where)
    run(case, FOREVER, path, callbacks=[Begun()])
