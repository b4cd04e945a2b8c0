"""Networks, drawn and counted
===========================

Neurons are circles, weights are edges: the networks of the notes, drawn by ``net.plot`` and counted by ``net.summary``.

CS231n ("Neural Networks Part 1", layer-wise organization) arranges neurons in layers: each neuron is connected with all
of the layer before, with none of its own. The course draws two such networks, and measures their size in two ways. An
N-layer network does not count its input layer, as inputs compute nothing. So 3-4-2 has two layers and 4 + 2 = 6
neurons, 3-4-4-1 has three layers and 4 + 4 + 1 = 9. A layer of U neurons with I inputs has an edge for every pair, its
weights, and a bias in every neuron::

    parameters of a layer = I U + U = (I + 1) U

That is 26 parameters for 3-4-2 and 41 for 3-4-4-1, as in the notes. Without a hidden layer a network is a linear
classifier, such as logistic regression: drawn first.

Drawn: inputs grey, neurons and their edges in the colour of the layer, above them weights + biases = parameters. Look
for: the edges of a drawing are its weights, the coloured circles its biases. Try: change ``SIZES``. With 40 neurons
instead of 4 a second layer has ten times the weights on both sides, and ``net.plot`` draws the first and the last ones.
"""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
from common import save
from matplotlib.axes import Axes

import fnnfast as fnn

SIZES = {
    "1 layer: logistic regression": (3, 1),
    "a 2-layer network, 3-4-2": (3, 4, 2),
    "a 3-layer network, 3-4-4-1": (3, 4, 4, 1),
}
COLOURS = ("0.65", "C0", "C1", "C2")


def network(sizes: tuple[int, ...]) -> fnn.Sequential:
    """Sigmoid neurons, as in the course; scores need no activation, a probability does."""
    head = fnn.Dense(sizes[-1], "sigmoid" if len(sizes) == 2 else "identity")
    return fnn.Sequential([fnn.Input(sizes[0]), *(fnn.Dense(units, "sigmoid") for units in sizes[1:-1]), head])


def counts(net: fnn.Sequential) -> tuple[int, int, int]:
    """Layers, neurons and parameters, as the first and the last line of the summary have them."""
    first, *_, last = net.summary().splitlines()
    found = re.match(r"(\d+)-layer", first), re.match(r"(\d+) neurons?, (\d+) parameters", last)
    assert all(found), net.summary()
    return int(found[0][1]), int(found[1][1]), int(found[1][2])


def draw(net: fnn.Sequential, ax: Axes) -> tuple[int, int]:
    """Draw a network, weights + biases above each layer's edges; return the numbers of circles and edges."""
    net.plot(axes=ax)
    for column, (circles, colour) in enumerate(zip(ax.collections, COLOURS, strict=False)):
        circles.set(facecolor=colour, edgecolor=colour, sizes=[260])
        if column:
            inputs, units = net.parameters[f"dense_{column}.weight"].shape
            total = f"{inputs * units} + {units} = {(inputs + 1) * units}"
            ax.text(column - 0.5, 1.25, total, ha="center", color=colour, fontsize=10)
    for line in ax.lines:
        line.set(color=COLOURS[int(line.get_xdata()[1])], alpha=0.6, lw=0.9)
    for text in ax.texts[: len(ax.collections)]:
        text.set(fontsize=9, y=-1.22)
    ax.set(ylim=(-1.95, 1.45))
    return sum(len(circles.get_offsets()) for circles in ax.collections), len(ax.lines)


def main() -> None:
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.6), width_ratios=[len(sizes) + 0.2 for sizes in SIZES.values()])
    counted = {}
    for (name, sizes), ax in zip(SIZES.items(), axes, strict=True):
        net = network(sizes)
        circles, edges = draw(net, ax)
        layers, neurons, parameters = counted[sizes] = counts(net)
        ax.set_title(f"{name}\n{neurons} neuron{'s' * (neurons > 1)}, {parameters} parameters", fontsize=11)
        print(f"{'-'.join(map(str, sizes))}: {layers} layers, {neurons} neurons, {parameters} parameters;", end=" ")
        print(f"drawn: {circles - sizes[0]} neurons, {edges} edges")

        stored = {name: values.size for name, values in net.parameters.items()}
        assert parameters == sum(stored.values()), f"{sizes}: the summary has {parameters}, the network {stored}"
        assert edges == sum(size for name, size in stored.items() if name.endswith("weight")), f"{sizes}: {edges} edges"
        assert circles - sizes[0] == neurons == parameters - edges, f"{sizes}: {circles} circles, {neurons} neurons"
    save(figure, __file__)

    assert counted == {(3, 1): (1, 1, 4), (3, 4, 2): (2, 6, 26), (3, 4, 4, 1): (3, 9, 41)}, counted


if __name__ == "__main__":
    main()
