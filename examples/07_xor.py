"""XOR
===

XOR, which no linear model can learn and one hidden layer of two neurons can.

Left, the probability that the best linear model gives: 1/2 everywhere, a loss of log 2. Middle, that of a network with
two tanh neurons. Right, how it did it: the four points where the hidden layer puts them, and there a line is enough.

Small networks depend on how they start (CS231n): of 20 starts of two neurons 10 end there. The others end where two of
the points are answered right and two with 1/2, at a loss of (log 2) / 2 = 0.347 or more. The best start is drawn. Try
four hidden neurons: nearly every start then learns XOR.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.colors import LinearSegmentedColormap

import fnnfast as fnn

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([0, 1, 1, 0])
STARTS = 20


def trained(*hidden: fnn.Dense) -> list[fnn.Sequential]:
    """Networks from all starts, the best first."""
    layers = [fnn.Input(2), *hidden, fnn.Dense(1, "sigmoid")]
    nets = [fnn.Sequential(layers, dtype="float64", seed=seed) for seed in range(STARTS)]
    for seed, net in enumerate(nets):
        net.fit(X, Y, optimizer=fnn.Adam(0.05), epochs=1000, batch_size=4, seed=seed, progress=False)
    return sorted(nets, key=loss)


def loss(net: fnn.Sequential) -> float:
    return net.evaluate(X, Y)["loss"]


def draw_points(ax: plt.Axes, points: np.ndarray) -> None:
    for label, marker, colour in ((0, "o", "C0"), (1, "s", "C1")):
        chosen = points[label == Y]
        ax.plot(*chosen.T, marker, color=colour, mec="k", ms=11, label=f"XOR = {label}", clip_on=False, zorder=3)


def main() -> None:
    line = trained()[0]
    networks = trained(fnn.Dense(2, "tanh"))
    hidden, learned = networks[0], sum(loss(net) < 0.01 for net in networks)

    axis = np.linspace(-0.5, 1.5, 101)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1)
    shades = LinearSegmentedColormap.from_list("blue to orange", ["C0", "white", "C1"])
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    losses = {}
    for name, net, ax in (("a linear model", line, axes[0]), ("two hidden neurons", hidden, axes[1])):
        losses[name] = loss(net)
        p = net(plane.reshape(-1, 2)).reshape(101, 101)
        filled = ax.contourf(axis, axis, p, levels=np.linspace(0, 1, 12), cmap=shades, alpha=0.6)
        draw_points(ax, X)
        ax.set(title=f"{name}: loss {losses[name]:.3f}", xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        ax.set(xticks=(0, 1), yticks=(0, 1))
    figure.colorbar(filled, ax=axes[1], label="probability of 1", shrink=0.8, ticks=(0, 0.5, 1))

    ax = axes[2]
    parameters = hidden.parameters
    points = hidden.hidden(X)["dense_1"]
    draw_points(ax, points)
    (w1, w2), b = parameters["dense_2.weight"][:, 0], parameters["dense_2.bias"][0]
    h1 = np.array([-1.2, 1.2])
    ax.plot(h1, -(w1 * h1 + b) / w2, "k--", label="the output neuron's line")
    pairs = [points[label == Y] for label in (0, 1)]
    nearest = int(np.argmin([np.linalg.norm(one - other) for one, other in pairs]))
    place = pairs[nearest].mean(axis=0)
    side, aligned = (-12, "right") if place[0] > 0 else (12, "left")
    ax.annotate(f"both of {nearest}", place, (side, 0), textcoords="offset points", ha=aligned, va="center")
    ax.set(title="what the hidden layer makes of it", xlabel="$h_1$", ylabel="$h_2$", aspect="equal")
    ax.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    ax.legend(loc="best", fontsize="small")
    save(figure, __file__)

    for name, least in losses.items():
        print(f"{name}: loss {least:.4f} (log 2 = {np.log(2):.4f})")
    print(f"XOR is learned from {learned} of {STARTS} starts, a loss of {loss(networks[-1]):.3f} is the worst")
    print(f"the network answers {hidden.predict(X)} where XOR is {Y}")
    assert losses["a linear model"] > np.log(2) - 1e-9, "no linear model does better than log 2"
    assert hidden.predict(X).tolist() == Y.tolist(), "two hidden neurons should have learned XOR"
    assert 3 <= learned <= STARTS - 3, f"expected some starts to learn XOR, and some not, got {learned} of {STARTS}"


if __name__ == "__main__":
    main()
