"""Backpropagation by hand
=======================

The chain rule, written layer by layer in NumPy for CS231n's 3-4-4-1 network: the gradients that fnnfast computes.

CS231n ("Neural Networks Part 1", example feed-forward computation) gives the three lines of the forward pass with
sigmoid neurons, and leaves the gradients to "chain rule and backpropagation". Here is the way back. With the squared
error L = (y - t)^2 of the output y, let d be the derivative of L by the net input z of a layer, what its neurons add up
before their activation. The last layer has none, so that its d is 2 (y - t). From there on back, for each layer::

    dL/dW = h^T d,    dL/db = d,    d of the layer before = (d W^T) * h (1 - h)

where h are the outputs of the layer before, and h (1 - h) is the derivative of the sigmoid. Rows are samples, as
everywhere in fnnfast; the course stands them in columns.

Left: one sample. In the circles what the forward pass computes and, in green, d; on each edge the gradient of its
weight, which is h where the edge begins times d where it ends. Look for: the gradients become smaller towards the
input, as each sigmoid on the way back multiplies by h (1 - h), at most 1/4. Right: the check that needs no calculus,
(L(w + s) - L(w - s)) / 2s for every parameter w. It approaches the gradient with the square of the step s, until
rounding takes over, which grows as 1/s. Try: ``tanh``, whose derivative is 1 - h^2.
"""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.axes import Axes

import fnnfast as fnn

SIZES = (3, 4, 4, 1)
STEPS = 10.0 ** np.arange(-11, 0.5, 0.5)
LABELS = 0.79  # where on an edge its number stands: there, all edges between two layers are evenly spaced


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def forward(p: dict[str, np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """The inputs, the outputs of both hidden layers, and the output."""
    h1 = sigmoid(x @ p["dense_1.weight"] + p["dense_1.bias"])
    h2 = sigmoid(h1 @ p["dense_2.weight"] + p["dense_2.bias"])
    return [x, h1, h2, h2 @ p["dense_3.weight"] + p["dense_3.bias"]]


def backward(
    p: dict[str, np.ndarray], values: list[np.ndarray], t: np.ndarray
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """The d of each layer, and the gradients of the mean loss by the parameters."""
    x, h1, h2, y = values
    d3 = 2 * (y - t) / len(x)
    d2 = (d3 @ p["dense_3.weight"].T) * h2 * (1 - h2)
    d1 = (d2 @ p["dense_2.weight"].T) * h1 * (1 - h1)
    gradients = {}
    for layer, (h, d) in enumerate([(x, d1), (h1, d2), (h2, d3)], start=1):
        gradients[f"dense_{layer}.weight"] = h.T @ d
        gradients[f"dense_{layer}.bias"] = d.sum(axis=0)
    return [d1, d2, d3], gradients


def numerical(p: dict[str, np.ndarray], x: np.ndarray, t: np.ndarray, step: float) -> dict[str, np.ndarray]:
    """Central differences, one parameter at a time."""
    found = {name: np.empty_like(values) for name, values in p.items()}
    for name, values in p.items():
        for place in np.ndindex(values.shape):
            losses = []
            for shift in (step, -step):
                moved = values.copy()
                moved[place] += shift
                losses.append(np.mean((forward(p | {name: moved}, x)[-1] - t) ** 2))
            found[name][place] = (losses[0] - losses[1]) / (2 * step)
    return found


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def draw(ax: Axes, values: list[np.ndarray], ds: list[np.ndarray], gradients: dict[str, np.ndarray]) -> None:
    """The network with h and d in its circles, and on its edges the gradients: red > 0, blue < 0."""
    heights = [np.arange(size)[::-1] - (size - 1) / 2 for size in SIZES]
    for layer, (before, after) in enumerate(pairwise(heights)):
        for (i, j), gradient in np.ndenumerate(gradients[f"dense_{layer + 1}.weight"]):
            colour, width = "C3" if gradient > 0 else "C0", 0.4 + 6 * np.sqrt(abs(gradient))
            ax.plot((layer, layer + 1), (before[i], after[j]), color=colour, lw=width, alpha=0.3, zorder=1)
            place = layer + LABELS, (1 - LABELS) * before[i] + LABELS * after[j]
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            ax.text(*place, f"${gradient:.3f}$", color=colour, fontsize=7.5, ha="center", va="center", bbox=box)
    named = ("x", "$h_1 = f(x W_1 + b_1)$", "$h_2 = f(h_1 W_2 + b_2)$", "$y = h_2 W_3 + b_3$")
    for layer, (height, value, name) in enumerate(zip(heights, values, named, strict=True)):
        ax.scatter([layer] * len(height), height, s=1450, color="white", edgecolors="0.3", zorder=3)
        for unit, y in enumerate(height):
            ax.text(layer, y + 0.08 * (layer > 0), f"${value[0, unit]:.2f}$", ha="center", va="center", fontsize=9)
            if layer:
                d = f"${ds[layer - 1][0, unit]:.3f}$"
                ax.text(layer, y - 0.11, d, ha="center", va="center", fontsize=7.5, color="C2")
        ax.text(layer, 1.93, name, ha="center", fontsize=10)
    ax.text(3, -0.75, "black: h or y", ha="center", fontsize=9)
    ax.text(3, -0.95, "green: d", ha="center", fontsize=9, color="C2")
    ax.set(xlim=(-0.2, 3.25), ylim=(-1.85, 2.1))
    ax.set_axis_off()


def main() -> None:
    rng = np.random.default_rng(0)
    layers = [fnn.Dense(units, "sigmoid") for units in SIZES[1:-1]]
    net = fnn.Sequential([fnn.Input(SIZES[0]), *layers, fnn.Dense(SIZES[-1])], dtype="float64")
    for name, values in net.parameters.items():
        net.parameters[name] = rng.standard_normal(values.shape)
    p = {name: np.array(values) for name, values in net.parameters.items()}
    trainer = fnn.Trainer(net, fnn.MeanSquaredError())

    x, t = rng.standard_normal((1, 3)), np.array([[1.0]])
    values = forward(p, x)
    ds, gradients = backward(p, values, t)
    many, targets = rng.standard_normal((64, 3)), rng.standard_normal((64, 1))
    differences = {
        "one sample": apart(gradients, trainer.gradients(x, t)),
        "the mean of 64": apart(backward(p, forward(p, many), targets)[1], trainer.gradients(many, targets)),
    }
    errors = np.array([apart(numerical(p, x, t, step), gradients) for step in STEPS])
    sizes = [np.abs(gradients[f"dense_{layer}.weight"]).mean() for layer in (1, 2, 3)]

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), width_ratios=[3.1, 1])
    draw(left, values, ds, gradients)
    left.set_title(f"Target 1, output {values[-1].item():.2f}: the gradient of the loss by each weight, on its edge")
    right.loglog(STEPS, STEPS**2, "0.6", lw=1, ls="--")
    right.loglog(STEPS, np.finfo(np.float64).eps / STEPS, "0.6", lw=1, ls="--")
    right.text(3e-4, 3e-6, "$s^2$", color="0.4")
    right.text(3e-11, 1e-7, "$\\epsilon / s$", color="0.4")
    right.loglog(STEPS, errors, "C0o-", ms=4)
    right.set(
        title="Differences of the loss", xlabel="step s", ylabel="largest distance to the gradient", ylim=(1e-12, 1)
    )
    right.set_xticks([1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1])
    right.minorticks_off()
    save(figure, __file__)

    for name, difference in differences.items():
        print(f"by hand and by fnnfast, {name}: at most {difference:.1e} apart")
    print(f"central differences: {errors.min():.1e} apart at best, with a step of {STEPS[errors.argmin()]:.0e}")
    print("mean size of the weights' gradients, layer by layer:", ", ".join(f"{size:.3f}" for size in sizes))
    assert max(differences.values()) < 1e-14, f"by hand and by fnnfast: expected rounding apart, got {differences}"
    assert errors.min() < 1e-9, f"central differences: expected within 1e-9 at the best step, got {errors.min():.1e}"
    assert sizes[0] < sizes[1] < sizes[2], f"expected smaller gradients towards the input, got {sizes}"


if __name__ == "__main__":
    main()
