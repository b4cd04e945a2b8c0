"""Universal approximation
=======================

Universal approximation, learned: one hidden layer comes as close to a continuous function as its width allows.

The same function, the same training, networks of 1 to 64 sigmoid neurons (and a linear output). The figure shows what
four of them learned, and the error of all: it falls with the width. The best of three starts counts, since a small
network depends on its luck.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

X = np.linspace(-1, 1, 256)[:, None]
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
SHOWN = (2, 4, 8, 32)
EPOCHS = 1500


def f(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x) + 0.5 * np.sin(5 * np.pi * x) + 0.6 * x


def fitted(width: int, seed: int) -> np.ndarray:
    """What a network of that width answers on X after training."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(width, "sigmoid"), fnn.Dense(1)], seed=seed)
    # The steps start spread over the interval, steeper where there are more. From the usual start, of gentle slopes
    # around its middle, training and not the width would limit the error: to 0.19 with 64 neurons.
    rng = np.random.default_rng(seed)
    net.parameters["dense_1.weight"] = rng.choice([-1, 1], (1, width)) * (4.0 + 2 * width**0.5)
    net.parameters["dense_1.bias"] = net.parameters["dense_1.weight"][0] * rng.uniform(-1, 1, width)
    net.fit(
        *(X, f(X)),
        optimizer=fnn.Adam(0.03),
        epochs=EPOCHS,
        batch_size=64,
        schedule=fnn.CosineDecay(EPOCHS),
        seed=seed,
        progress=False,
    )
    return net(X)


def main() -> None:
    best, errors = {}, {}
    for width in WIDTHS:
        runs = [fitted(width, seed) for seed in range(3)]
        rms = [float(np.sqrt(np.mean((y - f(X)) ** 2))) for y in runs]
        best[width], errors[width] = runs[int(np.argmin(rms))], min(rms)

    figure, axes = plt.subplots(1, 5, figsize=(11, 3.2), width_ratios=[1, 1, 1, 1, 1.3])
    for width, ax in zip(SHOWN, axes, strict=False):
        ax.plot(X, f(X), "C1", lw=3, alpha=0.6, label="f")
        ax.plot(X, best[width], "C0", label="learned")
        ax.set(title=f"{width} neurons", xlabel="x", ylim=(-2.2, 2.2))
        ax.tick_params(labelleft=ax is axes[0])
    axes[0].legend()
    axes[4].loglog(errors.keys(), errors.values(), "C0o-")
    axes[4].set(title="root mean square error", xlabel="hidden neurons", xticks=WIDTHS, xticklabels=WIDTHS)
    axes[4].minorticks_off()
    save(figure, __file__)

    for width, error in errors.items():
        print(f"{width:3d} neurons: error {error:.4f}")
    assert errors[64] < 0.02 < 0.3 < errors[1], "64 neurons should come close, and one should not"
    assert all(errors[2 * width] < 1.1 * errors[width] for width in WIDTHS[:-1]), "a wider network did worse"


if __name__ == "__main__":
    main()
