"""What a service pays for a model: start-up, memory and latency, beside ONNX Runtime.

Usage: ``python bench/deployment.py`` with fnnfast, onnx and onnxruntime installed. Each figure is the best of some
processes: the seconds from ``import numpy`` done to the first prediction, what resident memory has grown by then, and
the seconds of one prediction of one row, and of 64 rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import fnnfast as fnn

LAYERS = [fnn.Input(784), fnn.Dense(512, "relu"), fnn.Dense(512, "relu"), fnn.Dense(10, "softmax")]
PROCESSES = 7

COMMON = """
import json, resource, sys, time
import numpy as np
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
x = np.random.default_rng(0).standard_normal((64, 784)).astype(np.float32)
memory, start = resident(), time.perf_counter()
{load}
first = predict(x[:1])
ready, memory = time.perf_counter() - start, resident() - memory
def latency(rows):
    best = float("inf")
    for _ in range(30):
        begin = time.perf_counter()
        for _ in range(50):
            predict(rows)
        best = min(best, (time.perf_counter() - begin) / 50)
    return best
print(json.dumps([ready, memory, latency(x[:1]), latency(x)]))
np.save(sys.argv[2], predict(x))
"""
CONTENDERS = {
    "fnnfast": "import fnnfast\npredict = fnnfast.load(sys.argv[1] + '/net.safetensors')",
    "fnnfast bfloat16": "import fnnfast\npredict = fnnfast.load(sys.argv[1] + '/bfloat16.safetensors')",
    "fnnfast int8": "import fnnfast\npredict = fnnfast.load(sys.argv[1] + '/int8.safetensors')",
    "onnxruntime": (
        "import onnxruntime\n"
        "session = onnxruntime.InferenceSession(sys.argv[1] + '/net.onnx', providers=['CPUExecutionProvider'])\n"
        "predict = lambda x: session.run(None, {'x': x})[0]"
    ),
}
TOLERANCES = {"fnnfast bfloat16": 0.02, "fnnfast int8": 0.05}


def main() -> None:
    net = fnn.Sequential(LAYERS, seed=0)
    x = np.random.default_rng(0).standard_normal((64, 784)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        net.save(Path(folder) / "net.safetensors")
        net.astype("bfloat16").save(Path(folder) / "bfloat16.safetensors")
        net.quantize(x).save(Path(folder) / "int8.safetensors")
        fnn.to_onnx(net, Path(folder) / "net.onnx")
        measured: dict[str, list[list[float]]] = {name: [] for name in CONTENDERS}
        for _ in range(PROCESSES):  # in turns
            for name, load in CONTENDERS.items():
                answers = Path(folder) / "answers.npy"
                code = COMMON.format(load=load)
                done = subprocess.run(
                    [sys.executable, "-c", code, folder, answers], capture_output=True, text=True, check=True
                )
                measured[name].append(json.loads(done.stdout))
                np.testing.assert_allclose(np.load(answers), net(x), atol=TOLERANCES.get(name, 1e-5))
    print(f"784-512-512-10 relu, float32 model, {PROCESSES} processes each, {fnn.get_num_threads()} threads")
    print("|  | ready | memory | 1 row | 64 rows |\n|---|---|---|---|---|")
    for name, runs in measured.items():
        ready, memory, one, many = np.min(runs, axis=0)
        print(f"| {name} | {ready * 1e3:.1f} ms | {memory / 1e6:.1f} MB | {one * 1e6:.1f} us | {many * 1e6:.0f} us |")


if __name__ == "__main__":
    main()
