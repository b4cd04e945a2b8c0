"""Initialisation
==============

Initialisation: what comes through ten layers before training, and whether training can begin at all.

Small digits, 64 inputs of mean square 1, and ten layers of 64 ReLUs. He et al. ("Delving deep into rectifiers", 2015)
give the weights the variance 2 / inputs, because a ReLU lets half of the mean square through: then values and gradients
keep their size. Xavier's variance, 2 / (inputs + outputs), is half of that here, so the mean square halves with every
layer. Weights of standard deviation 0.05 make the values 3.5 times smaller in every layer, of 0.4 twice as large.

Left: the root mean square of the activations of each layer, before training. Middle: that of the gradient of its
weights. Right: the loss while training by gradient descent, each at the best of four rates. He learns at once, Xavier
later; from the small start nothing moves. The large start begins at a loss of thousands, bears only the smallest of the
rates, and stays far behind.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits

import fnnfast as fnn

LAYERS, UNITS, EPOCHS = 10, 64, 15
RATES = (0.0001, 0.001, 0.01, 0.03)
STARTS = {"he": "C0o-", "xavier": "C1s--", 0.05: "C2^-.", 0.4: "C3v:"}


def network(init: str | float) -> fnn.Sequential:
    hidden = [fnn.Dense(UNITS, "relu", init=init)] * LAYERS
    return fnn.Sequential([fnn.Input(64), *hidden, fnn.Dense(10, "softmax")], seed=0)


def root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def activations(net: fnn.Sequential, x: np.ndarray) -> list[float]:
    """The root mean square of what each hidden layer gives."""
    sizes = []
    for layer in range(1, LAYERS + 1):
        x = fnn.dense(x, net.parameters[f"dense_{layer}.weight"], net.parameters[f"dense_{layer}.bias"], "relu")
        sizes.append(root_mean_square(x))
    return sizes


def losses(x: np.ndarray, y: np.ndarray, init: str | float, rate: float) -> np.ndarray:
    net = network(init)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fnn.DeadUnitsWarning)
        return np.array(net.fit(x, y, None, fnn.SGD(rate), EPOCHS, seed=0, progress=False).loss)


def main() -> None:
    x, y = load_digits(return_X_y=True)
    x = x - x.mean(axis=0)
    x = (x / root_mean_square(x)).astype(np.float32)

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.8))
    layers = range(1, LAYERS + 1)
    through, first, last = {}, {}, {}
    for init, style in STARTS.items():
        name = init if isinstance(init, str) else f"std {init}"
        net = network(init)
        through[init] = activations(net, x)
        grads = fnn.Trainer(net).gradients(x, y)
        first[init] = [root_mean_square(grads[f"dense_{layer}.weight"]) for layer in layers]
        left.semilogy(layers, through[init], style, label=name)
        middle.semilogy(layers, first[init], style, label=name)

        curves = {rate: losses(x, y, init, rate) for rate in RATES}
        rate = min(RATES, key=lambda rate: np.nan_to_num(curves[rate][-1], nan=np.inf))
        last[init] = curves[rate][-1]
        right.semilogy(range(1, EPOCHS + 1), curves[rate], style, ms=4, label=f"{name}, rate {rate:g}")
        print(f"{name}: activations {through[init][0]:.2g} -> {through[init][-1]:.2g}", end=", ")
        print(f"first layer's gradient {first[init][0]:.2g}, loss {last[init]:.3g} at rate {rate:g}")

    left.set(title="Activations before training (rms)", xlabel="layer", xticks=layers)
    middle.set(title="Gradient of the weights (rms)", xlabel="layer", xticks=layers)
    right.axhline(np.log(10), color="0.5", lw=0.8, label="log 10: guessing")
    right.set(title="Training loss", xlabel="epoch", xticks=(1, 5, 10, 15))
    left.legend(fontsize="small")
    right.legend(fontsize="small")
    save(figure, __file__)

    assert 0.5 < through["he"][-1] / through["he"][0] < 2, f"He: expected about the same size, got {through['he']}"
    halved = through["xavier"][-1] / through["xavier"][0] * np.sqrt(2) ** (LAYERS - 1)
    assert 0.5 < halved < 2, f"Xavier: expected the mean square to halve with each layer, off by a factor {halved:.2f}"
    assert through[0.4][-1] > 100 > 0.01 > through[0.05][-1], "the others should grow and shrink a hundredfold"
    assert last["he"] < min(last["xavier"], last[0.4] / 100), f"expected the lowest loss from He's start, got {last}"
    assert last[0.05] > 2.29, f"expected nothing to be learned from the small start, got {last[0.05]:.3f}"


if __name__ == "__main__":
    main()
