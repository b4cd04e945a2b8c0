"""Two linear layers are one
=========================

Without a nonlinearity between them two matrices are one, and the scores are a linear function of the input again.

CS231n ("Neural Networks Part 1", quick intro) writes a 2-layer network as s = W2 max(0, W1 x), and says what the
nonlinearity is for: without it the two matrices could be collapsed into one; the wiggles of the function come from it.
With biases, and with samples in rows as in fnnfast::

    (x W1 + b1) W2 + b2  =  x (W1 W2) + (b1 W2 + b2)

Left, the course's sizes, 3072 pixels, 100 hidden neurons, 10 scores, with random numbers: a score on the way from one
image to another, a + t (b - a). Two linear layers go straight, and so does the one layer made of their product, with
30,720 weights in place of 308,200. With ReLU the score bends wherever a hidden neuron starts or stops to answer.

Middle and right, what follows from it: networks of 2-16-1 learn two arcs from twelve starts each. Two linear layers can
only cut the plane in two halves, and err as often as a single neuron; ReLU lets them bend. Look for: twelve linear
networks of 65 parameters found the line that a neuron with its three found, too. Try: ten linear layers.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.axes import Axes
from sklearn.datasets import make_moons

import fnnfast as fnn

STARTS, EPOCHS = 12, 200
HIDDEN = {"one neuron": None, "two linear layers": "identity", "with ReLU": "relu"}


def course(hidden: str) -> fnn.Sequential:
    return fnn.Sequential([fnn.Input(3072), fnn.Dense(100, hidden), fnn.Dense(10)], dtype="float64", seed=0)


def collapsed(net: fnn.Sequential) -> fnn.Sequential:
    """The one layer that two linear ones are."""
    w1, b1, w2, b2 = (net.parameters[f"dense_{layer}.{kind}"] for layer in (1, 2) for kind in ("weight", "bias"))
    one = fnn.Sequential([fnn.Input(len(w1)), fnn.Dense(w2.shape[1])], dtype="float64")
    one.parameters["dense_1.weight"] = w1 @ w2
    one.parameters["dense_1.bias"] = b1 @ w2 + b2
    return one


def learned(hidden: str | None, x: np.ndarray, y: np.ndarray) -> list[fnn.Sequential]:
    """Classifiers of the plane, from STARTS starts."""
    layers = [] if hidden is None else [fnn.Dense(16, hidden)]
    nets = [fnn.Sequential([fnn.Input(2), *layers, fnn.Dense(1, "sigmoid")], seed=seed) for seed in range(STARTS)]
    settings = {"schedule": fnn.CosineDecay(EPOCHS), "seed": list(range(STARTS)), "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", fnn.DeadUnitsWarning
        )  # some starts lose a few of the 16, and learn with the rest
        fnn.fit_many(nets, x, y, None, fnn.Adam(0.02), EPOCHS, 40, **settings)
    return nets


def draw(ax: Axes, nets: list[fnn.Sequential], points: np.ndarray, labels: np.ndarray, width: float) -> None:
    """The regions of the first network, and the boundaries of all."""
    across, up = np.meshgrid(np.linspace(-1.6, 2.6, 161), np.linspace(-1.2, 1.7, 121))
    grid = np.stack([across, up], axis=-1).reshape(-1, 2)
    probabilities = [net(grid).reshape(across.shape) for net in nets]
    ax.contourf(across, up, probabilities[0], levels=[0, 0.5, 1], colors=["C0", "C1"], alpha=0.2)
    for probability in probabilities:
        ax.contour(across, up, probability, levels=[0.5], colors="k", linewidths=width, alpha=0.6)
    for label, colour in ((0, "C0"), (1, "C1")):
        ax.plot(*points[labels == label].T, ".", color=colour, ms=4)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", xticks=range(-1, 3), yticks=range(-1, 2))


def main() -> None:
    rng = np.random.default_rng(0)
    linear, bent = course("identity"), course("relu")
    one = collapsed(linear)
    images = rng.standard_normal((1000, 3072))
    difference = float(np.abs(linear(images) - one(images)).max())
    sizes = [sum(values.size for name, values in net.parameters.items() if "weight" in name) for net in (linear, one)]
    print(f"3072-100-10: {sizes[0]:,} weights and {sizes[1]:,}, scores at most {difference:.1e} apart")

    figure, (left, *others) = plt.subplots(1, 3, figsize=(11, 3.7), width_ratios=[1.1, 1, 1])
    t = np.linspace(-1, 2, 601)
    way = images[0] + t[:, None] * (images[1] - images[0])
    scores = {name: net(way)[:, 0] for name, net in (("linear", linear), ("one", one), ("bent", bent))}
    left.plot(t, scores["linear"], "C1", lw=5, alpha=0.5)
    left.plot(t, scores["one"], "k--", lw=1)
    left.plot(t, scores["bent"], "C0", lw=2)
    left.text(-0.6, 0.75, "two linear layers, and\ntheir product (dashed)", color="C1")
    left.text(1.45, 0.35, "with ReLU", color="C0", ha="right")
    left.set(title="3072-100-10: one of the scores", xlabel="t, from image a (0) to image b (1)", ylabel="score")

    points, labels = make_moons(400, noise=0.15, random_state=0)
    new, new_labels = make_moons(2000, noise=0.15, random_state=1)
    nets = {name: learned(hidden, points, labels) for name, hidden in HIDDEN.items()}
    wrong = {name: np.array([1 - net.evaluate(new, new_labels)["accuracy"] for net in of]) for name, of in nets.items()}
    for name, shares in wrong.items():
        print(f"{name}: {shares.mean():.2%} of new points wrong, from {shares.min():.2%} to {shares.max():.2%}")
    for ax, (name, shares), width in zip(others, list(wrong.items())[1:], (3, 0.8), strict=True):
        draw(ax, nets[name], points, labels, width)
        ax.set_title(f"{name}, {STARTS} starts: {shares.mean():.1%} wrong")
    single = nets["one neuron"][0].parameters
    (across,), (up,) = single["dense_1.weight"]
    others[0].axline((0, -single["dense_1.bias"][0] / up), slope=-across / up, color="w", ls="--", lw=1.2)
    others[0].text(-1.5, -1.1, "black: 12 networks\nwhite: one neuron", fontsize=9)
    save(figure, __file__)

    # A sum of 3072 products of numbers around 1, in another order: a few hundred roundings, and generously.
    assert difference < 1e-12, f"two linear layers and their product: expected rounding apart, got {difference:.1e}"
    kinks = {name: int(np.sum(np.abs(np.diff(values, n=2)) > 1e-9)) for name, values in scores.items()}
    print("bends of the score on the way:", kinks)
    assert kinks["linear"] == 0 < 10 < kinks["bent"], f"expected a straight line and a bent one, got {kinks}"
    apart = np.abs(wrong["two linear layers"] - wrong["one neuron"].mean()).max()
    assert apart < 0.005, f"expected two linear layers to err as one neuron does, got {wrong}"
    assert wrong["with ReLU"].max() < 0.03, f"with ReLU: expected < 3% wrong, got {wrong['with ReLU']}"


if __name__ == "__main__":
    main()
