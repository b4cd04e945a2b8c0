"""XOR
===

XOR, which no linear model can learn and one hidden layer of two neurons can.

Left, the probability that the best linear model gives: 1/2 everywhere, a loss of log 2. Middle, that of a network with
two tanh neurons. Right, how it did it: the four points where the hidden layer puts them, and there a line is enough.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.colors import LinearSegmentedColormap

import fnnfast as fnn

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([0, 1, 1, 0])


def trained(*hidden: fnn.Dense) -> fnn.Sequential:
    net = fnn.Sequential([fnn.Input(2), *hidden, fnn.Dense(1, "sigmoid")], dtype="float64", seed=0)
    net.fit(X, Y, optimizer=fnn.Adam(0.05), epochs=1000, batch_size=4, seed=0, progress=False)
    return net


def draw_points(ax: plt.Axes, points: np.ndarray) -> None:
    for label, marker, colour in ((0, "o", "C0"), (1, "s", "C1")):
        chosen = points[label == Y]
        ax.plot(*chosen.T, marker, color=colour, mec="k", ms=11, label=f"XOR = {label}", clip_on=False, zorder=3)


def main() -> None:
    line = trained()
    hidden = trained(fnn.Dense(2, "tanh"))

    axis = np.linspace(-0.5, 1.5, 101)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1)
    shades = LinearSegmentedColormap.from_list("blue to orange", ["C0", "white", "C1"])
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    losses = {}
    for name, net, ax in (("a linear model", line, axes[0]), ("two hidden neurons", hidden, axes[1])):
        losses[name] = net.evaluate(X, Y)["loss"]
        p = net(plane.reshape(-1, 2)).reshape(101, 101)
        filled = ax.contourf(axis, axis, p, levels=np.linspace(0, 1, 11), cmap=shades, alpha=0.6)
        draw_points(ax, X)
        ax.set(title=f"{name}: loss {losses[name]:.3f}", xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        ax.set(xticks=(0, 1), yticks=(0, 1))
    figure.colorbar(filled, ax=axes[1], label="probability of 1", shrink=0.8, ticks=(0, 0.5, 1))

    ax = axes[2]
    parameters = hidden.parameters
    draw_points(ax, fnn.dense(X, parameters["dense_1.weight"], parameters["dense_1.bias"], "tanh"))
    (w1, w2), b = parameters["dense_2.weight"][:, 0], parameters["dense_2.bias"][0]
    h1 = np.array([-1.2, 1.2])
    ax.plot(h1, -(w1 * h1 + b) / w2, "k--", label="the output neuron's line")
    ax.annotate("both of 0", (-1, -1), (12, 4), textcoords="offset points")
    ax.set(title="what the hidden layer makes of it", xlabel="$h_1$", ylabel="$h_2$", aspect="equal")
    ax.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    ax.legend(loc="upper right", fontsize="small")
    save(figure, __file__)

    for name, loss in losses.items():
        print(f"{name}: loss {loss:.4f} (log 2 = {np.log(2):.4f})")
    print(f"the network answers {hidden.predict(X)} where XOR is {Y}")
    assert losses["a linear model"] > np.log(2) - 1e-9, "no linear model does better than log 2"
    assert hidden.predict(X).tolist() == Y.tolist(), "two hidden neurons should have learned XOR"


if __name__ == "__main__":
    main()
