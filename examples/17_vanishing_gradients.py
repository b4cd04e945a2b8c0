"""Vanishing gradients
===================

The gradient of every layer before training: a sigmoid divides it by four, layer after layer, and tanh does not.

The notes give it as the fault of sigmoid and tanh: on its way back the gradient gets smaller and smaller, and hardly
reaches the layers by the input. Backpropagation multiplies by the derivative of the activation f in every layer::

    dL/dx = W^T (f'(z) dL/dy),    y = f(z),    z = W x + b

The derivative of a sigmoid is at most 1/4. Here are ten layers of 64 units on small digits, each activation with
the start that the library chooses for it (``activation.init``). Left: the root mean square of the weights' gradient,
as the geometric mean of ten seeds and the range of all ten. The sigmoid loses a factor of four per layer, which is what
its derivative says. The surprise is tanh: its derivative is 1 at zero, its start keeps values near there, and at ten
layers nothing vanishes.

Right: thirty layers. Of the gradient of the sigmoid nothing is left. With skip connections, x + f(W x + b), the same
layers have a gradient of a useful size everywhere, and learn; the plain ones only guess after the same steps. (Saito,
"Deep learning from scratch", chapter 8, gives this as the reason for the skip connections of ResNet.)

To try: ``fnn.Dense(UNITS, activation, init=0.5)``, weights four times those of tanh's start. They saturate tanh, and
still its gradient does not vanish but grows towards the input: large weights outdo small derivatives.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.axes import Axes
from sklearn.datasets import load_digits

import fnnfast as fnn

UNITS, DEEP, DEEPER, SEEDS = 64, 10, 30, 10
COLOURS = {"sigmoid": "C3", "tanh": "C0", "relu": "C1", "elu": "C2", "swish": "C4"}
LABELS = {"elu": 0.09, "relu": 0.02, "tanh": 0.0066, "swish": 0.0021}  # where names are, so that none covers another


def network(activation: str, depth: int, seed: int, residual: bool = False) -> fnn.Sequential:
    layer = fnn.Dense(UNITS, activation)
    others = [fnn.Residual([layer]) if residual else layer] * (depth - 1)
    return fnn.Sequential([fnn.Input(64), layer, *others, fnn.Dense(10, "softmax")], seed=seed)


def sizes(nets: list[fnn.Sequential], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The root mean square of the gradient of the weights, by network and hidden layer."""
    found = []
    for net in nets:
        gradients = fnn.Trainer(net).gradients(x, y)
        weights = [values for name, values in gradients.items() if name.endswith("weight")]
        found.append([np.sqrt(np.mean(np.square(values, dtype=np.float64))) for values in weights[:-1]])
    return np.array(found)


def draw(ax: Axes, found: np.ndarray, colour: str, line: str = "o-") -> np.ndarray:
    """Geometric mean and range over the networks; returns the mean."""
    layers, middle = range(1, found.shape[1] + 1), np.exp(np.log(found).mean(axis=0))
    ax.fill_between(layers, found.min(axis=0), found.max(axis=0), color=colour, alpha=0.25, lw=0)
    ax.semilogy(layers, middle, line, color=colour, ms=3.5)
    return middle


def main() -> None:
    x, y = load_digits(return_X_y=True)
    x = x - x.mean(axis=0)
    x = (x / np.sqrt(np.mean(x**2))).astype(np.float32)
    train, test = (x[:1400], y[:1400]), (x[1400:], y[1400:])

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2))
    ratios = {}
    for activation, colour in COLOURS.items():
        nets = [network(activation, DEEP, seed) for seed in range(SEEDS)]
        middle = draw(left, sizes(nets, *test), colour)
        ratios[activation] = middle[-1] / middle[0]
        print(f"{activation}: layer 1 {middle[0]:.2g}, layer {DEEP} {middle[-1]:.2g}", end=", ")
        print(f"{ratios[activation] ** (1 / (DEEP - 1)):.2f} times per layer")
        if activation in LABELS:
            left.text(0.6, LABELS[activation], activation, color=colour, ha="right", va="center")
    left.text(4.4, 3e-7, "sigmoid:\nfour times smaller\nwith every layer", color=COLOURS["sigmoid"], va="top")
    left.set(title=f"{DEEP} layers", xlabel="layer (1 is next to the input)", xticks=range(1, DEEP + 1))
    left.set(xlim=(-0.9, DEEP + 0.3), ylim=(3e-9, 0.5), ylabel="gradient of the weights (rms)")

    ends, errors = {}, {}
    for residual, colour in ((False, "C3"), (True, "C0")):
        nets = [network("sigmoid", DEEPER, seed, residual) for seed in range(5)]
        middle = draw(right, sizes(nets, *test), colour)
        ends[residual] = middle[-1] / middle[0]
        nets = nets[:3]
        fnn.fit_many(nets, *train, optimizer=fnn.SGD(0.1), epochs=20, seed=[0, 1, 2], progress=False)
        errors[residual] = np.mean([1 - net.evaluate(*test)["accuracy"] for net in nets])
        name = "with skip connections" if residual else "plain"
        print(f"{DEEPER} layers of sigmoid, {name}: layer 1 {middle[0]:.2g}, layer {DEEPER} {middle[-1]:.2g}", end=", ")
        print(f"test error after 20 epochs {errors[residual]:.1%}")
        place = (3, 3e-6) if residual else (13, 3e-17)
        text = f"{name}:\n{errors[residual]:.0%} test errors after 20 epochs"
        right.text(*place, text, color=colour, va="top")
    right.set(title=f"{DEEPER} layers of sigmoid", xlabel="layer", xticks=[1, 5, 10, 15, 20, 25, 30], ylim=(1e-22, 30))
    save(figure, __file__)

    factor = ratios["sigmoid"] ** (1 / (DEEP - 1))
    assert 3.5 < factor < 4.7, f"sigmoid: expected a factor of about 4 per layer, got {factor:.2f}"
    assert 0.5 < ratios["tanh"] < 2, f"tanh: expected the same size everywhere, got a ratio of {ratios['tanh']:.2f}"
    assert all(0.2 < ratios[name] < 10 for name in LABELS), f"only the sigmoid should vanish: {ratios}"
    assert ends[False] > 1e14 > 1e3 > ends[True], f"skip connections should keep the gradient: {ends}"
    assert errors[True] < 0.2 < 0.8 < errors[False], f"only with skip connections should it learn: {errors}"


if __name__ == "__main__":
    main()
