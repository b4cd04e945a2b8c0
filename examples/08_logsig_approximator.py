"""The logsig approximator
=======================

A 2-layer function approximator, 1-2-1: two logsig neurons (sigmoids), then a linear one.

It is an example of Hagan et al., "Neural Network Design" (the chapter on backpropagation), with the weights printed
there. The first panel is the response with these weights: two steps, one at p = 1 and one at p = -1, where the net
input of a neuron is 0 (p = -b/w). In each of the others one parameter moves and the rest stay (black: the printed
value): first-layer biases move a step, first-layer weights make it steeper and move it as well, second-layer weights
set its height, and the last bias lifts it all.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

P = np.linspace(-2, 2, 801)
# Parameter, its index, its name in the book, and the values it takes, the printed one among them.
MOVES = [
    ("dense_1.weight", (0, 0), "$w^1_{1,1}$", [5, 10, 20, 40]),
    ("dense_1.weight", (0, 1), "$w^1_{2,1}$", [5, 10, 20, 40]),
    ("dense_1.bias", (0,), "$b^1_1$", [-20, -10, -5, 0]),
    ("dense_1.bias", (1,), "$b^1_2$", [0, 5, 10, 20]),
    ("dense_2.weight", (0, 0), "$w^2_{1,1}$", [-1, -0.5, 0, 0.5, 1]),
    ("dense_2.weight", (1, 0), "$w^2_{1,2}$", [-1, -0.5, 0, 0.5, 1]),
    ("dense_2.bias", (0,), "$b^2$", [-1, -0.5, 0, 0.5, 1]),
]


def network() -> fnn.Sequential:
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(2, "sigmoid"), fnn.Dense(1)], dtype="float64")
    net.parameters["dense_1.weight"] = [[10, 10]]
    net.parameters["dense_1.bias"] = [-10, 10]
    net.parameters["dense_2.weight"] = [[1], [1]]
    net.parameters["dense_2.bias"] = [0]
    return net


def response(net: fnn.Sequential) -> np.ndarray:
    return net(P[:, None])[:, 0]


def moved(name: str, index: tuple[int, ...], value: float) -> np.ndarray:
    """The response with one parameter at another value."""
    net = network()
    values = net.parameters[name].copy()
    values[index] = value
    net.parameters[name] = values
    return response(net)


def main() -> None:
    nominal = response(network())
    slope = np.gradient(nominal, P)
    centres = [P[half][slope[half].argmax()] for half in (P > 0, P < 0)]  # the steepest point of either step

    figure, axes = plt.subplots(2, 4, figsize=(9.6, 4.4), sharex=True, sharey=True)
    first, *others = axes.flat
    first.set(title="with the printed weights", ylim=(-1.3, 4.4), yticks=range(-1, 4))
    first.plot(P, nominal, "k", lw=2)
    for centre in centres:
        first.plot(centre, np.interp(centre, P, nominal), "o", color="C1", ms=8)
        first.annotate(f"p = {centre:g}", (centre, np.interp(centre, P, nominal)), (8, -12), textcoords="offset points")

    for (name, index, label, values), ax in zip(MOVES, others, strict=True):
        ax.set_title(f"{label} from {values[0]:g} to {values[-1]:g}")
        colours = plt.get_cmap("viridis")(np.linspace(0.1, 0.9, len(values)))
        for value, colour in zip(values, colours, strict=True):
            y = moved(name, index, value)
            ax.plot(P, y, color="k" if np.array_equal(y, nominal) else colour, label=f"{value:g}")
        ax.legend(fontsize="small", ncols=2, handlelength=1, columnspacing=1, loc="upper left")
    for ax in axes[-1]:
        ax.set_xlabel("p")
    for ax in axes[:, 0]:
        ax.set_ylabel("response")
    save(figure, __file__)

    print(f"the steps are centred at p = {centres[0]:g} and p = {centres[1]:g}")
    assert np.allclose(centres, [1, -1], atol=P[1] - P[0]), f"steps expected at 1 and -1, found at {centres}"


if __name__ == "__main__":
    main()
