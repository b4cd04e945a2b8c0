"""Every allocation of the kernels' library fails once, in every public call: run with failing_allocations preloaded.

``python out_of_memory.py LIBRARY [step]`` prints a line for each call, of training steps or of all else. A failure is
to be a MemoryError, or nothing where the call can do without the memory. What the call was to change is as before, and
the same call then answers as ever.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fnnfast as fnn
from fnnfast import _cpu

RNG = np.random.default_rng(0)
LIBRARY = ctypes.CDLL(sys.argv[1])
Answer = Callable[[], Any]


def f32(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


X, Y, IMAGES = f32(70, 12), f32(70, 3), f32(6, 9, 9, 4)
LABELS = RNG.integers(0, 3, 70)
DENSE = [fnn.Input(12), fnn.Dense(40, "swish"), fnn.Maxout(20, 3), fnn.Dense(3)]
CLASSES = [
    fnn.Input(12),
    fnn.Dense(40, "relu"),
    fnn.Residual([fnn.Dense(40, "tanh")]),
    fnn.Dropout(0.1),
    fnn.Dense(3, "softmax"),
]
IMAGE = [
    fnn.Input(9, 9, 4),
    fnn.Conv2D(8, 3, padding="same"),
    fnn.BatchNorm(),
    fnn.Activation("relu"),
    fnn.MaxPool2D(2),
    fnn.Flatten(),
    fnn.Dense(3, "softmax"),
]
NETS = {"dense": (DENSE, X, Y), "classes": (CLASSES, X, LABELS), "images": (IMAGE, IMAGES, LABELS[:6])}


def network(kind: str) -> fnn.Sequential:
    return fnn.Sequential(NETS[kind][0], seed=0)


def state(net: fnn.Sequential) -> bytes:
    return pickle.dumps({**net.parameters, **net.buffers})


def calls() -> dict[str, Callable[[], tuple[Answer, Answer]]]:
    """By name, a function that prepares a call: the call, and what the call must not change if it fails."""
    found: dict[str, Callable[[], tuple[Answer, Answer]]] = {}

    def add(name: str, call: Answer) -> None:
        found[name] = lambda: (call, lambda: None)

    w, b = f32(12, 90), f32(90)
    pieces, biases = f32(3, 12, 90), f32(3, 90)
    filters = f32(3, 3, 4, 8)
    add("activation", lambda: fnn.Tanh()(X))
    add("activation, accurate", lambda: fnn.Tanh(accurate=True)(X))
    add("softmax", lambda: fnn.Softmax()(X))
    for rows in (1, 4, 70):
        add(f"dense of {rows}", lambda rows=rows: fnn.dense(X[:rows], w, b, "gelu"))
        add(f"maxout of {rows}", lambda rows=rows: fnn.maxout(X[:rows], pieces, biases))

    def dense_both() -> Any:
        y, saved = fnn.dense_forward(X, w, b, "swish")
        return fnn.dense_backward(y, X, w, saved, "swish")

    def maxout_both() -> Any:
        y, saved = fnn.maxout_forward(X, pieces, biases)
        return fnn.maxout_backward(y, X, pieces, saved)

    def conv2d_both() -> Any:
        y, saved = fnn.conv2d_forward(IMAGES, filters, None, "relu")
        return fnn.conv2d_backward(y, IMAGES, filters, saved, "relu")

    add("dense, backward", dense_both)
    add("maxout, backward", maxout_both)
    add("conv2d, backward", conv2d_both)
    add("conv2d", lambda: fnn.conv2d(IMAGES, filters, strides=2, padding="same"))
    for kind, (layers, x, y) in NETS.items():
        add(f"{kind}: made", lambda layers=layers: state(fnn.Sequential(layers, seed=0)))
        net = network(kind)
        many = np.concatenate([x] * 9)
        for name in ("float64", "bfloat16"):
            add(f"{kind}: {name}", lambda net=net, name=name, x=x: net.astype(name)(x))
        add(f"{kind}: quantized", lambda net=net, x=x: net.quantize(x)(x))
        add(f"{kind}: frozen", lambda net=net, x=x: net.freeze()(x))
        add(f"{kind}: copied", lambda net=net, x=x: copy.deepcopy(net)(x))
        add(f"{kind}: pickled", lambda net=net, x=x: pickle.loads(pickle.dumps(net))(x))
        add(f"{kind}: hidden", lambda net=net, x=x: net.hidden(x))
        add(f"{kind}: logits", lambda net=net, x=x: net.logits(x))
        add(f"{kind}: evaluate", lambda net=net, x=x, y=y: net.evaluate(x, y))
        add(f"{kind}: diagnose", lambda net=net, x=x: net.diagnose(x))
        add(f"{kind}: ensemble", lambda net=net, x=x: fnn.Ensemble([net, net])(x))

        def saved(net: fnn.Sequential = net, x: Any = x) -> Any:
            with tempfile.TemporaryDirectory() as folder:
                net.save(Path(folder) / "net.safetensors")
                return fnn.load(Path(folder) / "net.safetensors")(x)

        add(f"{kind}: saved", saved)
        for rows in (1, len(x), len(many)):

            def first_call(kind: str = kind, rows: int = rows, many: Any = many) -> tuple[Answer, Answer]:
                net = network(kind)
                return lambda: net(many[:rows]), lambda: state(net)

            found[f"{kind}: a first call of {rows}"] = first_call

        def step(kind: str = kind, x: Any = x, y: Any = y) -> tuple[Answer, Answer]:
            net = network(kind)
            trainer = fnn.Trainer(net, None, "adam", seed=1)
            return lambda: trainer.step(x, y), lambda: state(net)

        def trainer(kind: str = kind, x: Any = x, y: Any = y) -> tuple[Answer, Answer]:
            net = network(kind)
            return lambda: fnn.Trainer(net, None, "adam", seed=1).gradients(x, y), lambda: state(net)

        def fit(kind: str = kind, x: Any = x, y: Any = y) -> tuple[Answer, Answer]:
            net = network(kind)
            return lambda: (net.fit(x, y, epochs=2, batch_size=5, seed=0).loss, state(net)), lambda: None

        found |= {f"{kind}: step": step, f"{kind}: gradients": trainer, f"{kind}: fit": fit}
    return found


def told(value: Any) -> bytes:
    """The bytes of an answer."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, dict):
        return b"".join(told(value[key]) for key in sorted(value))
    if isinstance(value, (tuple, list)):
        return b"".join(map(told, value))
    return value if isinstance(value, bytes) else repr(value).encode()


def in_a_thread(call: Answer) -> Any:
    """The answer, or the exception, in a thread that has no scratch memory yet."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(told(call()))
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


def main() -> int:
    code = [
        line.split()[0]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if _cpu.__file__ in line and "r-xp" in line
    ]
    first, last = (int(part, 16) for part in code[0].split("-"))
    LIBRARY.failing_arm.restype = ctypes.c_long
    LIBRARY.failing_watch(ctypes.c_ulong(first), ctypes.c_ulong(last))
    wrong = 0
    of_steps = sys.argv[2:] == ["step"]
    for name, prepare in calls().items():
        if name.endswith((": step", ": fit")) != of_steps:
            continue
        call, kept = prepare()
        wanted = in_a_thread(call)
        assert isinstance(wanted, bytes), (name, wanted)
        after = kept()
        LIBRARY.failing_arm(0)
        failed = done_without = 0
        problems = []
        for n in range(1, 10**6):
            call, kept = prepare()
            before = kept()
            gc.collect()
            LIBRARY.failing_arm(0)
            LIBRARY.failing_arm(n)
            answer = in_a_thread(call)
            reached = LIBRARY.failing_arm(0)
            if isinstance(answer, MemoryError):
                failed += 1
                if kept() != before:
                    problems.append(f"allocation {n}: changed what it was to keep")
                again = in_a_thread(call if before is not None else prepare()[0])
                if again != wanted or kept() != after:
                    problems.append(f"allocation {n}: then {again!r:.200}")
            elif answer == wanted and kept() == after:
                done_without += reached >= n
            else:
                problems.append(f"allocation {n}: {answer!r:.300}")
            if reached < n:
                break
        print(
            f"{name:<32}{failed:>5} MemoryError{done_without:>5} done without",
            *problems[:3],
            sep="\n   " if problems else "",
            flush=True,
        )
        wrong += len(problems)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
