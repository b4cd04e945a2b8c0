"""Train, save, load and predict with the installed fnnfast, where NumPy and safetensors are all that it has."""

import tempfile
from pathlib import Path

import numpy as np

import fnnfast as fnn
from fnnfast import _cpu

rng = np.random.default_rng(0)
x = rng.random((2000, 2), dtype=np.float32)
y = (((x - 0.5) ** 2).sum(axis=1) < 0.1).astype(np.intp)
net = fnn.Sequential([fnn.Input(2), fnn.Maxout(16, 3), fnn.Dense(16, "swish"), fnn.Dense(2, "softmax")], seed=0)
net.fit(x, y, "cross_entropy", epochs=30, seed=0, progress=False)
with tempfile.TemporaryDirectory() as folder:
    net.save(Path(folder) / "net.fnn")
    loaded = fnn.load(Path(folder) / "net.fnn")
answers = loaded(x)
assert answers.tobytes() == net(x).tobytes()
accuracy = (answers.argmax(axis=1) == y).mean()
assert accuracy > 0.95, accuracy
print(f"fnnfast {fnn.__version__} of {fnn.__file__}, {_cpu.isa()}: accuracy {accuracy:.3f}, the same after load")
