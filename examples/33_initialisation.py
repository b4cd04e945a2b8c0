"""Initialisation
==============

What comes through ten layers before training, from four starts, and whether training can begin at all.

Saito's "Deep Learning from Scratch" draws histograms of the outputs of each layer of a network that has only been
initialised; here they are for small digits, 64 inputs of mean square 1, and ten layers of 64 units. A weight of
variance v over I inputs multiplies the mean square of what comes in by about I v, and a ReLU lets half of it through.
So He et al. ("Delving deep into rectifiers", 2015) take::

    v = 2 / I

and values keep their size from layer to layer. Xavier's variance, 2 / (inputs + outputs), is half of that here: the
mean square halves with every layer. Weights of standard deviation 0.05 make the values 3.5 times smaller in every
layer, of 0.4 twice as large.

Top: the positive outputs of layers 1, 4, 7 and 10 with ReLU, on a logarithmic axis, and the root mean square (rms) of
all outputs. Look whether the heap stays in its place. Below, left: the same for sigmoids, on an axis from 0 to 1, and
how much the output of a neuron varies over the digits (its standard deviation, "spread"). With weights of standard
deviation 1, most neurons sit at an end, where the derivative is nearly 0: CS231n warns of this. With Xavier's weights
few do, but all digits come out of the tenth layer alike.

Third: the rms of the gradient of each layer's weights, the geometric mean of five starts, with the start that the
library gives each activation: Xavier's for sigmoid and tanh, He's for ReLU. The gradient of sigmoids, whose derivative
is 1/4 at most, gets four times smaller with each layer on its way back, 280,000 times from the tenth layer to the
first: it vanishes. That of tanh and ReLU does not, over ten layers. Last: the training loss of the ReLU starts after 15
epochs of gradient descent, over the learning rate, the median of three seeds. From the small start nothing is learned
at any rate. The large start begins with a loss of thousands, diverges at all but the smallest rates (crosses), and
stays far behind. He's learns at rates where Xavier's does not move yet; at the highest rate here Xavier's is no worse.

Biases start at 0 in this example, as in the papers; runs that diverge count as failures, so their warning is silenced.
The library's own start of biases, uniform within 1/8 here, does not rescue the small start. Its outputs then no longer
shrink to nothing: they are the biases, and the same for all digits. To try: ``bias_init="torch"`` in ``network``, or
the start "lecun" with the activation "selu".
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits

import fnnfast as fnn

LAYERS, UNITS, EPOCHS = 10, 64, 15
SHOWN = (1, 4, 7, 10)
RATES = (0.00001, 0.0001, 0.001, 0.01, 0.03, 0.1)
STARTS = {"he": ("He", "C0"), "xavier": ("Xavier", "C1"), 0.05: ("std 0.05", "C2"), 0.4: ("std 0.4", "C3")}
SIGMOIDS = {1.0: ("std 1", "C4"), "xavier": ("Xavier", "C1")}


def network(activation: str, init: str | float | None, seed: int = 0, bias_init: str = "zeros") -> fnn.Sequential:
    hidden = [fnn.Dense(UNITS, activation, init=init, bias_init=bias_init)] * LAYERS
    return fnn.Sequential([fnn.Input(64), *hidden, fnn.Dense(10, "softmax", bias_init=bias_init)], seed=seed)


def root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def outputs(net: fnn.Sequential, x: np.ndarray) -> list[np.ndarray]:
    """What each hidden layer gives."""
    return list(net.hidden(x).values())[:-1]


def gradients(activation: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The root mean square of the gradient of each layer's weights, the geometric mean of five starts."""
    sizes = []
    for seed in range(5):
        grads = fnn.Trainer(network(activation, None, seed)).gradients(x, y)
        sizes.append([root_mean_square(grads[f"dense_{layer}.weight"]) for layer in range(1, LAYERS + 1)])
    return np.exp(np.log(sizes).mean(axis=0))


def losses(x: np.ndarray, y: np.ndarray, init: str | float) -> list[float]:
    """The loss after training at each rate, the median of three seeds; infinite where it diverged."""
    last = []
    for rate in RATES:
        nets = [network("relu", init, seed) for seed in range(3)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fnn.DeadUnitsWarning)
            warnings.simplefilter("ignore", fnn.DivergenceWarning)
            found = fnn.fit_many(nets, x, y, None, fnn.SGD(rate), EPOCHS, seed=[0, 1, 2], progress=False)
        last.append(np.median(np.nan_to_num([history.loss[-1] for history in found], nan=np.inf)))
    return last


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}" if value > 1e-3 else f"{value:.0e}"


def ridges(ax: plt.Axes, layers: list[np.ndarray], bins: np.ndarray, colour: str, measured: str) -> None:
    """A histogram of each of the layers shown, one below the other."""
    for place, layer in enumerate(SHOWN):
        values = layers[layer - 1]
        size = values.std(axis=0).mean() if measured == "spread" else root_mean_square(values)
        counts, edges = np.histogram(values[values > 0], bins)
        low = 1.75 * (len(SHOWN) - 1 - place)
        ax.stairs(low + counts / counts.max(), edges, baseline=low, fill=True, color=colour, alpha=0.75)
        ax.axhline(low, color="0.6", lw=0.8)
        text = f"layer {layer}: {measured} {number(size)}"
        ax.text(0.02, low + 1.55, text, transform=ax.get_yaxis_transform(), va="top", fontsize="small", color="0.25")
    ax.set(yticks=[], ylim=(0, 1.75 * len(SHOWN)))
    ax.spines["left"].set_visible(False)
    ax.grid(False)


def main() -> None:
    x, y = load_digits(return_X_y=True)
    x = x - x.mean(axis=0)
    x = (x / root_mean_square(x)).astype(np.float32)

    figure, (top, below) = plt.subplots(2, 4, figsize=(9.6, 7))
    histograms, (slopes, rates) = below[:2], below[2:]
    size, last = {}, {}
    for (init, (name, colour)), ax in zip(STARTS.items(), top, strict=True):
        layers = outputs(network("relu", init), x)
        size[init] = [root_mean_square(values) for values in layers]
        ridges(ax, layers, np.geomspace(1e-8, 1e5, 105), colour, "rms")
        ax.set(xscale="log", xlim=(1e-8, 1e5), xlabel="positive outputs")
        ax.set_xticks([1e-6, 1e-3, 1, 1e3], ["$10^{-6}$", "$10^{-3}$", "1", "1000"])
        ax.set_title(f"ReLU, {name}", color=colour)

        last[init] = dict(zip(RATES, losses(x, y, init), strict=True))
        finite = {rate: loss for rate, loss in last[init].items() if np.isfinite(loss)}
        rates.loglog(finite.keys(), finite.values(), "o-", ms=4, color=colour)
        rates.loglog(
            [rate for rate in RATES if rate not in finite], [30] * (len(RATES) - len(finite)), "x", color=colour
        )
        print(f"{name}: rms {size[init][0]:.2g} -> {size[init][-1]:.2g}, loss", end=" ")
        print(", ".join(f"{loss:.3g} at {rate:g}" for rate, loss in last[init].items()))

    spread = {}
    for (init, (name, colour)), ax in zip(SIGMOIDS.items(), histograms, strict=True):
        layers = outputs(network("sigmoid", init), x)
        at_an_end = np.mean((layers[0] < 0.1) | (layers[0] > 0.9))
        spread[init] = layers[-1].std(axis=0).mean()
        ridges(ax, layers, np.linspace(0, 1, 41), colour, "spread")
        ax.set(xlim=(0, 1), xlabel="outputs")
        ax.set_title(f"sigmoid, {name}", color=colour)
        print(
            f"sigmoid, {name}: {at_an_end:.0%} of layer 1 within 0.1 of an end, spread {spread[init]:.1g} in layer 10"
        )

    vanished = {}
    for activation, colour, above in (("relu", "k", 2.5), ("tanh", "0.55", 0.25), ("sigmoid", "C5", 300)):
        found = gradients(activation, x, y)
        vanished[activation] = found[-1] / found[0]
        slopes.semilogy(range(1, LAYERS + 1), found, "o-", ms=4, color=colour)
        slopes.text(1.2, found[0] * above, {"relu": "ReLU"}.get(activation, activation), color=colour)
        print(f"{activation}: gradient of layer 10 over that of layer 1: {vanished[activation]:.3g}")
    slopes.set(title="Gradient of the weights", xlabel="layer", xticks=(1, 4, 7, 10), ylim=(3e-9, 0.3))
    rates.axhline(np.log(10), color="0.5", lw=0.8, ls="--", zorder=0)
    rates.text(0.1, 2.8, "guessing", color="0.4", fontsize="small", ha="right")
    for init, place in {"he": (0.003, 0.06), "xavier": (0.018, 0.3), 0.05: (0.00002, 0.8), 0.4: (0.00002, 20)}.items():
        rates.text(
            *place, STARTS[init][0], color=STARTS[init][1], fontsize="small", ha="right" if init == "he" else "left"
        )
    rates.text(RATES[-1], 42, "diverges", color=STARTS[0.4][1], fontsize="small", ha="right")
    rates.set(title=f"Loss after {EPOCHS} epochs", xlabel="learning rate", ylim=(3e-4, 90))
    save(figure, __file__)

    layers = outputs(network("relu", 0.05, bias_init="torch"), x)
    alike = layers[-1].std(axis=0).mean() / root_mean_square(layers[-1])
    print(f"std 0.05 with the default biases: rms {root_mean_square(layers[-1]):.2g}, spread {alike:.1g} of it")
    assert 0.5 < size["he"][-1] / size["he"][0] < 2, f"He: expected about the same size, got {size['he']}"
    halved = size["xavier"][-1] / size["xavier"][0] * np.sqrt(2) ** (LAYERS - 1)
    assert 0.5 < halved < 2, f"Xavier: expected the mean square to halve with each layer, off by a factor {halved:.2f}"
    assert size[0.4][-1] > 100 > 0.01 > size[0.05][-1], "the others should grow and shrink a hundredfold"
    assert vanished["sigmoid"] > 1e5 > 10 > max(vanished["relu"], vanished["tanh"]), f"unexpected: {vanished}"
    assert spread["xavier"] < 1e-4, f"sigmoid: expected the digits to come out alike, got a spread of {spread}"
    assert alike < 1e-3, f"expected the default biases to leave the digits alike, got a spread of {alike:.1g}"
    assert last["he"][0.001] < 1.5 < 2 < last["xavier"][0.001], f"rate 0.001: expected He alone to learn, got {last}"
    assert min(last[0.05].values()) > 2.25, f"expected nothing to be learned from the small start, got {last[0.05]}"
    assert min(last[0.4].values()) > 10 * min(last["he"].values()), f"expected more from He's start, got {last}"


if __name__ == "__main__":
    main()
