"""Skip connections
================

Skip connections: twenty layers that do not learn, and the same twenty with F(x) + x, that do.

Very deep networks learn badly. ResNet adds a block's input to its output, F(x) + x, so that each block only has to
learn what to change, and gradients have a way past it (Saito, "Deep Learning from Scratch", chapter 8). Here a first
layer of 32 ReLUs is followed by plain layers of 32, or by residual blocks of two, a ReLU layer and a linear one, on
small digits with gradient descent.

The last layer of each block starts at zero, so that a block starts as the identity (so do "Accurate, large minibatch
SGD", Goyal et al., 2017, and "Fixup initialization", Zhang et al., 2019). With the usual start F(x) + x has twice the
variance of x, ten blocks multiply it by a thousand, and the same steps end in a loss of NaN, of which `fit` would warn;
ResNet normalises against that.

Left: the loss of twenty layers, from five seeds. Middle: how alike digits are after each layer before training, as the
mean cosine between two of them. Plain layers make all digits alike, and what is alike the rest can hardly tell apart.
Right: the error on test digits over the depth, the median of the seeds. (Adam takes twenty plain layers to 11%.)
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_digits

import fnnfast as fnn

WIDTH, RATE, EPOCHS, SEEDS = 32, 0.03, 15, 5
DEPTHS = (2, 6, 10, 20, 30)
STYLES = {"plain": "C1s--", "residual": "C0o-"}


def network(kind: str, depth: int, seed: int, start: float | None = 0.0) -> fnn.Sequential:
    """``depth`` layers of that kind, between a first one and the head; ``start`` is that of a block's last layer."""
    relu = fnn.Dense(WIDTH, "relu")
    block = fnn.Residual([relu, fnn.Dense(WIDTH, init=start, bias_init=start)])
    layers = [relu] * depth if kind == "plain" else [block] * (depth // 2)
    return fnn.Sequential([fnn.Input(64), relu, *layers, fnn.Dense(10, "softmax")], seed=seed)


def likeness(net: fnn.Sequential, x: np.ndarray) -> list[float]:
    """The mean cosine between two rows after the first layer, and after each layer or block that follows."""
    found = []
    for outputs in list(net.hidden(x).values())[:-1]:
        rows = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
        found.append(float((rows @ rows.T)[np.triu_indices(len(x), 1)].mean()))
    return found


def fit(net: fnn.Sequential, x: np.ndarray, y: np.ndarray, seed: int, optimizer: str | fnn.SGD) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fnn.DeadUnitsWarning)
        warnings.simplefilter("ignore", fnn.DivergenceWarning)  # blocks with the usual start, as the text says
        return net.fit(x, y, None, optimizer, EPOCHS, seed=seed, progress=False).loss


def main() -> None:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = ((x - x.mean(axis=0)) / 16)[order].astype(np.float32), y[order]
    x, y, x_test, y_test = x[:1200], y[:1200], x[1200:], y[1200:]

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.8))
    alike, medians, last = {}, {}, {}
    for kind, style in STYLES.items():
        found = []
        for depth in DEPTHS:
            errors = []
            for seed in range(SEEDS):
                net = network(kind, depth, seed)
                losses = fit(net, x, y, seed, fnn.SGD(RATE))
                errors.append(1 - net.evaluate(x_test, y_test)["accuracy"])
                if depth == 20:
                    left.semilogy(range(1, EPOCHS + 1), losses, style[:2] + style[3:], label=None if seed else kind)
                    last.setdefault(kind, []).append(losses[-1])
            found.append(errors)
            print(f"{kind}, {depth} layers: test error {np.median(errors):.1%}")
        medians[kind] = dict(zip(DEPTHS, np.median(found, axis=1), strict=True))
        right.plot(DEPTHS, medians[kind].values(), style, label=kind)
        alike[kind] = likeness(network(kind, 20, 0), x_test)
        middle.plot(np.linspace(0, 20, len(alike[kind])), alike[kind], style, ms=4, label=kind)

    usual = network("residual", 20, 0, start=None)
    middle.plot(np.linspace(0, 20, 11), likeness(usual, x_test), color="0.6", label="residual, usual start")
    print(f"residual, 20 layers, usual start: loss {fit(usual, x, y, 0, fnn.SGD(RATE))[-1]}")
    by_adam = [network("plain", 20, seed) for seed in range(SEEDS)]
    adam_loss = np.median([fit(net, x, y, seed, "adam")[-1] for seed, net in enumerate(by_adam)])
    adam_error = np.median([1 - net.evaluate(x_test, y_test)["accuracy"] for net in by_adam])
    print(f"plain, 20 layers, Adam: loss {adam_loss:.2f}, test error {adam_error:.1%}")

    left.set(title="Training loss, 20 layers", xlabel="epoch", xticks=(1, 5, 10, 15))
    middle.set(title="Likeness of digits before training", xlabel="layer", ylim=(0, 1.02))
    right.set(title="Error on test digits", xlabel="layers", xticks=DEPTHS, ylim=(0, None))
    right.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    for ax in (left, middle, right):
        ax.legend(fontsize="small")
    save(figure, __file__)

    assert max(last["residual"]) < min(last["plain"]) / 5, f"20 layers: expected residual far lower, got {last}"
    assert medians["residual"][20] < 0.06, f"residual, 20 layers: expected < 6%, got {medians['residual'][20]:.1%}"
    assert medians["plain"][20] > 0.1, f"plain, 20 layers: expected > 10%, got {medians['plain'][20]:.1%}"


if __name__ == "__main__":
    main()
