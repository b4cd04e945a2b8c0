"""Do to fnnfast, NumPy, PyTorch and ONNX Runtime what docs/robustness.md says of fnnfast, and print a table.

Usage: ``python tools/robustness_of_peers.py``, with fnnfast, torch, onnx, onnxruntime and threadpoolctl installed. Each
question is asked in processes of their own, of a network 784-512-512-10 with ReLU and the same weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WIDTHS = (784, 512, 512, 10)
PATIENCE = 30.0  # seconds until a process counts as waiting for ever
Forward = Callable[[np.ndarray], np.ndarray]


def weights() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        ((rng.standard_normal(shape) * (2 / shape[0]) ** 0.5).astype("f"), np.zeros(shape[1], "f"))
        for shape in itertools.pairwise(WIDTHS)
    ]


# The contenders: a forward pass, a file, and a file that is read again ------------------------------------------------
class OfNumPy:
    name = "NumPy"

    def __init__(self, threads: int) -> None:
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads)
        self._layers = weights()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for w, b in self._layers[:-1]:
            x = np.maximum(x @ w + b, 0)
        w, b = self._layers[-1]
        return x @ w + b

    def save(self, path: Path) -> None:
        np.savez(path, *[array for layer in self._layers for array in layer])
        path.with_suffix(".npz").replace(path)

    def load(self, path: Path) -> None:
        with np.load(path) as found:
            arrays = [found[name] for name in found.files]
        self._layers = list(zip(arrays[::2], arrays[1::2], strict=True))


class OfTorch:
    name = "PyTorch"

    def __init__(self, threads: int) -> None:
        import torch

        self._torch = torch
        torch.set_num_threads(threads)
        layers: list[Any] = []
        for w, b in weights():
            linear = torch.nn.Linear(*w.shape)
            linear.weight.data, linear.bias.data = torch.from_numpy(w.T.copy()), torch.from_numpy(b)
            layers += [linear, torch.nn.ReLU()]
        self._net = torch.nn.Sequential(*layers[:-1])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            return np.asarray(self._net(self._torch.from_numpy(x)))

    def save(self, path: Path) -> None:
        self._torch.save(self._net.state_dict(), path)

    def load(self, path: Path) -> None:
        self._net.load_state_dict(self._torch.load(path, weights_only=True))


class OfOnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, threads: int) -> None:
        import onnxruntime

        self._runtime = onnxruntime
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(self._bytes(), self._options)

    def _bytes(self) -> bytes:
        from onnx import TensorProto, helper, numpy_helper

        nodes, initial, value = [], [], "x"
        for number, (w, b) in enumerate(weights()):
            initial += [numpy_helper.from_array(w, f"w{number}"), numpy_helper.from_array(b, f"b{number}")]
            last = number == len(WIDTHS) - 2
            out = "y" if last else f"z{number}"
            nodes.append(helper.make_node("Gemm", [value, f"w{number}", f"b{number}"], [out]))
            if not last:
                nodes.append(helper.make_node("Relu", [out], [f"h{number}"]))
                value = f"h{number}"
        ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, w])] for n, w in (("x", 784), ("y", 10))]
        graph = helper.make_graph(nodes, "net", *ends, initial)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return bytes(model.SerializeToString())

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self._session.run(None, {"x": x})[0])

    def save(self, path: Path) -> None:
        path.write_bytes(self._bytes())

    def load(self, path: Path) -> None:
        self._session = self._runtime.InferenceSession(str(path), self._options)


class OfFnnfast:
    name = "fnnfast"

    def __init__(self, threads: int) -> None:
        import fnnfast as fnn

        self._fnn = fnn
        fnn.set_num_threads(threads)
        layers = [fnn.Input(784), *[fnn.Dense(w, "relu") for w in WIDTHS[1:-1]], fnn.Dense(WIDTHS[-1])]
        self._net = fnn.Sequential(layers, seed=0)
        for number, (w, b) in enumerate(weights(), 1):
            self._net.parameters[f"dense_{number}.weight"] = w
            self._net.parameters[f"dense_{number}.bias"] = b

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._net(x)

    def save(self, path: Path) -> None:
        self._net.save(path)

    def load(self, path: Path) -> None:
        self._net = self._fnn.load(path)


CONTENDERS = {cls.name: cls for cls in (OfFnnfast, OfNumPy, OfTorch, OfOnnxRuntime)}


# The questions, each answered in a process of its own -----------------------------------------------------------------
def rows(count: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, WIDTHS[0])).astype("f")


def batches(cls: Any) -> str:
    """Batches of 1 to 64 rows in which the first row has other bits than alone."""
    forward, x = cls(2), rows(64)
    alone = forward(x[:1])[0].tobytes()
    return f"{sum(forward(x[:n])[0].tobytes() != alone for n in range(2, 65))} of 63"


def places(cls: Any) -> str:
    """Places in a batch of 64 where a row has other bits than in the first."""
    forward, x = cls(2), rows(64)
    first = forward(x)[0].tobytes()
    found = 0
    for place in range(1, 64):
        turned = np.roll(x, place, axis=0)
        found += forward(turned)[place].tobytes() != first
    return f"{found} of 63"


def threads(cls: Any) -> str:
    """Batches of 1, 2, 4 ... 1024 rows that have other bits on two threads than on one."""
    sizes = [1 << i for i in range(11)]
    one = cls(1)
    wanted = [one(rows(n)).tobytes() for n in sizes]
    two = cls(2)
    return f"{sum(two(rows(n)).tobytes() != w for n, w in zip(sizes, wanted, strict=True))} of {len(sizes)}"


def exits(cls: Any) -> str:
    """Ends of a process, while a daemon thread computes, that have not the status that was asked for."""
    code = f"""
import sys, threading, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import robustness_of_peers as own
forward, x = own.CONTENDERS[{cls.name!r}](2), own.rows(500)
def work():
    while True:
        forward(x)
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
sys.exit(7)
"""
    ends = []
    for _ in range(10):
        try:
            ends.append(subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=PATIENCE).returncode)
        except subprocess.TimeoutExpired:
            ends.append(None)
    return f"{sum(end != 7 for end in ends)} of {len(ends)}"


def forks(cls: Any) -> str:
    """Children of a process that has computed on two threads which do not answer, or answer otherwise."""
    forward, x = cls(2), rows(512)
    wanted = forward(x).tobytes()
    wrong = 0
    for _ in range(5):
        child = os.fork()
        if child == 0:
            os._exit(0 if forward(x).tobytes() == wanted else 1)
        end = time.monotonic() + PATIENCE / 3
        while (done := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
            time.sleep(0.01)
        if done[0] == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        wrong += done[0] == 0 or done[1] != 0
    return f"{wrong} of 5"


def interrupts(cls: Any) -> str:
    """Seconds from Ctrl-C to KeyboardInterrupt, in a call of some seconds, and what the call takes."""
    forward, x = cls(2), np.tile(rows(1000), (200, 1))
    before = time.perf_counter()
    forward(x)
    whole = time.perf_counter() - before
    told = 0.0

    def handle(*_: object) -> None:
        nonlocal told
        told = time.perf_counter()
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    sent = time.perf_counter() + 0.2
    try:
        forward(x)
        time.sleep(0.01)
    except KeyboardInterrupt:
        pass
    return f"{told - sent:.2f} of {whole - 0.2:.2f} s"


def cut_files(cls: Any) -> str:
    """Files cut at 50 places that are read without an error, or end the process."""
    return _files(cls, lambda content, part: content[: int(part * len(content))])


def changed_files(cls: Any) -> str:
    """Files with one bit changed at 50 places that are read without an error though the answers differ."""

    def change(content: bytes, part: float) -> bytes:
        place = int(part * (len(content) - 1))
        return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]

    return _files(cls, change)


def _files(cls: Any, damage: Callable[[bytes, float], bytes]) -> str:
    forward, x = cls(1), rows(20)  # one thread, since not all that have started more can fork
    wanted = forward(x).tobytes()
    silent = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net"
        forward.save(path)
        content = path.read_bytes()
        for part in np.linspace(0.02, 0.98, 50):
            path.write_bytes(damage(content, float(part)))
            child = os.fork()  # which may die
            if child == 0:
                try:
                    forward.load(path)
                    os._exit(2 if forward(x).tobytes() != wanted else 0)
                except Exception:
                    os._exit(1)
            status = os.waitpid(child, 0)[1]
            silent += os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 2
    return f"{silent} of 50"


QUESTIONS: dict[str, Callable[[Any], str]] = {
    "a row has other bits in a batch of 2 to 64 rows than alone": batches,
    "a row has other bits at another place of a batch of 64": places,
    "a batch of 1, 2, 4, ... 1024 has other bits on two threads than on one": threads,
    "the exit status is lost while a daemon thread computes": exits,
    "a child after fork() does not answer, or answers otherwise": forks,
    "from a signal to its handler, in a call of that length": interrupts,
    "a file that was cut is read, or ends the process": cut_files,
    "a file with one bit changed is read and answers otherwise": changed_files,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ask", nargs=2, metavar=("QUESTION", "CONTENDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        question, contender = options.ask
        print(json.dumps(QUESTIONS[question](CONTENDERS[contender])))
        return
    print(f"| | {' | '.join(CONTENDERS)} |\n|---|{'---|' * len(CONTENDERS)}")
    for question in QUESTIONS:
        answers = []
        for contender in CONTENDERS:
            command = [sys.executable, __file__, "--ask", question, contender]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=20 * PATIENCE, check=False)
                answers.append(json.loads(done.stdout) if done.returncode == 0 else f"failed: {done.stderr[-200:]}")
            except subprocess.TimeoutExpired:
                answers.append("no end")
        print(f"| {question} | {' | '.join(answers)} |", flush=True)


if __name__ == "__main__":
    main()
