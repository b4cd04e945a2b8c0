"""CS231n's forward pass
=====================

The course's 3-4-4-1 network, drawn with the numbers on its neurons, by hand in NumPy and by fnnfast.

CS231n's notes show a network of three inputs, two hidden layers of four sigmoid neurons and one output, and say that
its forward pass is three matrix products and two activations::

    h1 = f(W1 x + b1),   h2 = f(W2 h1 + b2),   out = W3 h2 + b3,   f(z) = 1 / (1 + exp(-z))

By the notes' convention it is a 3-layer network, since inputs are not counted, of 4 + 4 + 1 = 9 neurons and 41
parameters: 12 + 16 + 4 weights and 9 biases. Their smaller one, 3-4-2, has 6 neurons and 26 parameters.

Above, the network. On each neuron stands its output; an edge is blue for a positive weight, red for a negative one, and
as wide as the weight is large. Below, the same as matrices: a row of W holds the weights of one neuron, so that W1 has
the shape 4 x 3. The weights are drawn at random and rounded to one decimal, so that one neuron can be checked with
pencil and paper. Follow the first hidden neuron: the first row of W1 times x, plus b1, gives z, and f(z) its output.

The notes stand inputs in columns. fnnfast has a sample in each row, X W + b, as most libraries: its weights are the
transposes, (3, 4), (4, 4) and (4, 1), and whole batches go through in one call. Both give the same numbers. So they do
for the notes' other network, s = W2 max(0, W1 x) with 3072 pixels, 100 hidden neurons and 10 scores, which is checked
here on 256 random inputs and not drawn.

To try: ``net.plot()`` draws any small network, and ``net.hidden(x)`` gives the outputs of its layers.
"""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.patches import Rectangle

import fnnfast as fnn

BLUE, RED = "#2F76B5", "#C8503C"
X = np.array([[1.0], [-0.5], [2.0]])


def f(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def random(sizes: tuple[int, ...], rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """W and b of each layer as the course writes them: W is (units, inputs), b a column."""
    return [
        (1.5 / np.sqrt(inputs) * rng.standard_normal((units, inputs)), rng.standard_normal((units, 1)))
        for inputs, units in pairwise(sizes)
    ]


def in_fnnfast(by_hand: list[tuple[np.ndarray, np.ndarray]], hidden: str) -> fnn.Sequential:
    """The same network: transposed weights, and biases without the second dimension."""
    layers = [fnn.Dense(len(w), hidden) for w, _ in by_hand[:-1]]
    net = fnn.Sequential([fnn.Input(by_hand[0][0].shape[1]), *layers, fnn.Dense(len(by_hand[-1][0]))], dtype="float64")
    for layer, (w, b) in enumerate(by_hand, start=1):
        net.parameters[f"dense_{layer}.weight"] = w.T
        net.parameters[f"dense_{layer}.bias"] = b[:, 0]
    return net


def size(net: fnn.Sequential) -> tuple[int, int]:
    """Neurons, of which each has one bias, and parameters."""
    shapes = net.parameters.shapes
    return sum(shape[0] for shape in shapes.values() if len(shape) == 1), sum(map(np.prod, shapes.values()))


def draw_network(ax: plt.Axes, outputs: list[np.ndarray], weights: list[np.ndarray]) -> None:
    height = [[1.5 - i + (4 - len(values)) * -0.5 for i in range(len(values))] for values in outputs]
    for layer, w in enumerate(weights):
        for j, row in enumerate(w):
            for i, weight in enumerate(row):
                colour, width = BLUE if weight > 0 else RED, 0.4 + 2 * abs(weight)
                ax.plot([layer, layer + 1], [height[layer][i], height[layer + 1][j]], color=colour, lw=width, alpha=0.7)
    for layer, values in enumerate(outputs):
        for place, value in zip(height[layer], values[:, 0], strict=True):
            ax.plot(layer, place, "o", ms=38, mfc="#FFF4DC" if layer else "#E8E8E8", mec="0.3", zorder=3)
            ax.text(layer, place, f"{value:.2f}" if layer else f"{value:g}", ha="center", va="center", zorder=4)
    texts = (
        "input x\n3 x 1",
        "first hidden layer\n$W_1$: 4 x 3",
        "second hidden layer\n$W_2$: 4 x 4",
        "output\n$W_3$: 1 x 4",
    )
    for layer, text in enumerate(texts):
        ax.text(layer, 1.95, text, ha="center", va="bottom")
    ax.set(xlim=(-0.4, 3.4), ylim=(-1.85, 2.6))
    ax.axis("off")


def draw_table(ax: plt.Axes, left: float, name: str, values: np.ndarray, decimals: int = 1) -> float:
    """A matrix as coloured cells; returns where it ends."""
    rows, columns = values.shape
    for (i, j), value in np.ndenumerate(values):
        colour, place = BLUE if value > 0 else RED, (left + j, rows / 2 - 1 - i)
        ax.add_patch(Rectangle(place, 1, 1, fc=colour, ec="white", alpha=min(0.15 + 0.25 * abs(value), 0.8)))
        ax.text(place[0] + 0.5, place[1] + 0.5, f"{value:.{decimals}f}", ha="center", va="center", fontsize=7.5)
    ax.text(left + columns / 2, rows / 2 + 0.2, name, ha="center", va="bottom")
    return left + columns


def draw_products(ax: plt.Axes, outputs: list[np.ndarray], by_hand: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """f(W x + b) = h for every layer, one after the other."""
    at = 0.0
    for layer, (w, b) in enumerate(by_hand, start=1):
        last, x, y = layer == len(by_hand), outputs[layer - 1], outputs[layer]
        at = draw_table(ax, at, f"$W_{layer}$", w) + 0.2
        at = draw_table(ax, at, "x" if layer == 1 else f"$h_{layer - 1}$", x, 1 if layer == 1 else 2)
        ax.text(at + 0.4, 0, "+", ha="center", va="center")
        at = draw_table(ax, at + 0.8, f"$b_{layer}$", b)
        if not last:
            ax.text(at + 0.4, 0, "=", ha="center", va="center")
            at = draw_table(ax, at + 0.8, f"$z_{layer}$", w @ x + b, 2)
        ax.text(at + 0.55, 0, "=" if last else r"$f\to$", ha="center", va="center")
        at = draw_table(ax, at + 1.1, "out" if last else f"$h_{layer}$", y, 2) + 1.2
    ax.set(xlim=(-0.2, at - 1), ylim=(-2.1, 2.7), aspect="equal")
    ax.axis("off")


def main() -> None:
    rng = np.random.default_rng(144)
    by_hand = [(w.round(1), b.round(1)) for w, b in random((3, 4, 4, 1), rng)]
    (w1, b1), (w2, b2), (w3, b3) = by_hand
    h1 = f(np.dot(w1, X) + b1)
    h2 = f(np.dot(w2, h1) + b2)
    out = np.dot(w3, h2) + b3

    net = in_fnnfast(by_hand, "sigmoid")
    found = net.hidden(X.T)
    small = max(float(np.abs(found[f"dense_{k}"].T - h).max()) for k, h in enumerate((h1, h2, out), start=1))
    sizes = [size(net), size(in_fnnfast(random((3, 4, 2), rng), "sigmoid"))]
    print(f"3-4-4-1: by hand {out.item():.7f}, fnnfast {net(X.T).item():.7f}; largest difference anywhere {small:.1e}")
    for name, (neurons, parameters) in zip(("3-4-4-1", "3-4-2"), sizes, strict=True):
        print(f"{name}: {neurons} neurons, {parameters} parameters")

    figure, (above, below) = plt.subplots(2, 1, figsize=(9.6, 6.6), height_ratios=[2.6, 1])
    draw_network(above, [X, h1, h2, out], [w1, w2, w3])
    draw_products(below, [X, h1, h2, out], by_hand)
    above.set_title(f"A 3-layer network of {sizes[0][0]} neurons and {sizes[0][1]} parameters")
    save(figure, __file__)

    (w1, b1), (w2, b2) = wide = random((3072, 100, 10), rng)
    images = rng.uniform(-1, 1, (3072, 256))
    scores = w2 @ np.maximum(0, w1 @ images + b1) + b2
    large = float(np.abs(in_fnnfast(wide, "relu")(images.T).T - scores).max())
    print(f"3072-100-10: 256 inputs, largest difference {large:.1e}")
    assert sizes == [(9, 41), (6, 26)], f"expected 9 neurons and 41 parameters, 6 and 26, got {sizes}"
    assert small < 1e-14, f"3-4-4-1 differs by {small:.1e}"
    # A sum of 3072 products in another order: sqrt(3072) roundings of numbers around 1, generously.
    tolerance = 16 * np.sqrt(3072) * np.finfo(np.float64).eps
    assert large < tolerance, f"3072-100-10 differs by {large:.1e}, more than rounding explains ({tolerance:.1e})"


if __name__ == "__main__":
    main()
