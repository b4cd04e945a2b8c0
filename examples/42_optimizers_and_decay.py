"""Optimizers and learning-rate decay
==================================

SGD, momentum and Adam, each at its own best rate, and what a decaying rate does at the end.

CS231n trains by stochastic gradient descent; Saito's "Deep learning from scratch" uses Adam, and names a decaying
learning rate as one of the ways to a higher accuracy (chapter 8). The steps of the three are::

    SGD: w -= rate g,    momentum: v = 0.9 v - rate g, w += v,    Adam: w -= rate mean(g) / sqrt(mean(g^2))

Here g is the gradient on a batch and Adam's means forget (Kingma and Ba, "Adam: a method for stochastic optimization",
2015). Left and middle: small digits, two hidden layers of 64 ReLUs, ten epochs; the median of nine seeds and their
range. Left, the loss of the last epoch over the rate. At low rates momentum does what SGD does at rates ten times as
high, as 1 / (1 - 0.9) = 10 steps add up: whoever compares the two at one rate compares two rates. Middle, each at its
best rate of that grid. Adam is ahead in the first epochs; after ten the three are close to each other.

Right: a constant rate keeps the noise of the batches for ever. The minimum is known for one softmax layer with L2 (a
penalty on the squares of the weights), and so is how far above it the loss is, three seeds each. A high rate is soon
near it and stays there, shaken; a low one comes nearer, but late; one that decays is fast at first and calm at last.

To try: ``fnn.StepDecay(8)``, a tenth of the rate after every eight epochs, in the place of ``fnn.CosineDecay``.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.axes import Axes
from sklearn.datasets import load_digits

import fnnfast as fnn

EPOCHS, SEEDS = 10, 9
OPTIMIZERS = {
    "SGD": (fnn.SGD, (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), "C1"),
    "momentum": (lambda rate: fnn.SGD(rate, momentum=0.9), (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3), "C0"),
    "Adam": (fnn.Adam, (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03), "C2"),
}
LONG, EVERY, L2, HIGH, LOW = 24, 8, 0.01, 1.0, 0.1
WAYS = {
    f"constant, {HIGH:g}": (HIGH, lambda epoch: 1, "C1"),
    f"constant, {LOW:g}": (LOW, lambda epoch: 1, "0.5"),
    f"from {HIGH:g} to 0": (HIGH, fnn.CosineDecay(LONG), "C0"),
}


def losses(x: np.ndarray, y: np.ndarray, optimizer: fnn.optimizers.Optimizer) -> np.ndarray:
    """The training loss by seed and epoch."""
    hidden = [fnn.Dense(64, "relu")] * 2
    nets = [fnn.Sequential([fnn.Input(64), *hidden, fnn.Dense(10, "softmax")], seed=seed) for seed in range(SEEDS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # at rates that are too high
        histories = fnn.fit_many(nets, x, y, None, optimizer, EPOCHS, seed=list(range(SEEDS)), progress=False)
    return np.array([history.loss for history in histories])


def line(ax: Axes, where: np.ndarray, values: np.ndarray, colour: str, label: str) -> None:
    """The median of the rows, and their range."""
    ax.fill_between(where, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0)
    ax.plot(where, np.median(values, axis=0), color=colour, marker="o", ms=3.5 if len(where) < 20 else 0, label=label)


def objective(net: fnn.Sequential, x: np.ndarray, y: np.ndarray) -> float:
    return net.evaluate(x, y)["loss"] + L2 / 2 * float(np.sum(net.parameters["dense_1.weight"] ** 2))


def minimum(x: np.ndarray, y: np.ndarray) -> float:
    """Of one softmax layer with L2, by steps over all rows at once. There is only one: the objective is convex."""
    net = fnn.Sequential([fnn.Input(64), fnn.Dense(10, "softmax")], dtype="float64", seed=0)
    trainer = fnn.Trainer(net, optimizer=fnn.SGD(1, momentum=0.9, nesterov=True), l2=L2)
    for _ in range(600):
        trainer.step(x, y)
    return objective(net, x, y)


def path(x: np.ndarray, y: np.ndarray, rate: float, schedule: fnn.optimizers.Schedule, seed: int) -> list[float]:
    """The objective after every eighth step."""
    net = fnn.Sequential([fnn.Input(64), fnn.Dense(10, "softmax")], seed=seed)
    trainer = fnn.Trainer(net, optimizer=fnn.SGD(rate), l2=L2)
    rng, found = np.random.default_rng(seed), []
    for epoch in range(LONG):
        trainer.learning_rate = rate * schedule(epoch)
        for step, rows in enumerate(np.array_split(rng.permutation(len(x)), len(x) // 32), start=1):
            trainer.step(x[rows], y[rows])
            if step % EVERY == 0:
                found.append(objective(net, x, y))
    return found


def main() -> None:
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.9), width_ratios=[1.1, 1, 1.1])
    last, best, early = {}, {}, {}
    for name, (optimizer, rates, colour) in OPTIMIZERS.items():
        curves = {rate: losses(x, y, optimizer(rate)) for rate in rates}
        last[name] = {rate: float(np.median(curve[:, -1])) for rate, curve in curves.items()}
        best[name] = rate = min(rates, key=last[name].__getitem__)
        early[name] = np.median(curves[rate][:, 2])
        line(left, np.array(rates), np.transpose([curve[:, -1] for curve in curves.values()]), colour, name)
        left.plot(rate, last[name][rate], "o", ms=11, mfc="none", mec=colour, mew=2)
        line(middle, np.arange(1, EPOCHS + 1), curves[rate], colour, f"{name}, {rate:g}")
        print(
            f"{name}: best rate {rate:g}, after three epochs {early[name]:.3f}, after ten {last[name][rate]:.3f}",
            end="; ",
        )
        print(", ".join(f"{value:.3f} at {key:g}" for key, value in last[name].items()))
    left.set(title=f"Loss of epoch {EPOCHS}, best ringed", xlabel="learning rate", ylabel="training loss")
    left.set(xscale="log", yscale="log", ylim=(0.008, 5))
    middle.set(title="Each at its best rate", xlabel="epoch", yscale="log", ylim=(0.008, 5))
    left.legend(loc="lower left")
    middle.legend(loc="upper right")

    lowest, ends = minimum(x, y), {}
    for name, (rate, schedule, colour) in WAYS.items():
        above = np.array([path(x, y, rate, schedule, seed) for seed in range(3)]) - lowest
        line(right, np.arange(1, above.shape[1] + 1) * LONG / above.shape[1], above, colour, name)
        end = above[:, -above.shape[1] // LONG * 2 :]  # of the last two epochs
        ends[name] = end.mean()
        print(f"{name}: above the minimum at the end {end.mean():.4f}, standard deviation {end.std(axis=1).mean():.5f}")
    right.set(title="Rates that decay: loss above the minimum", xlabel="epoch", yscale="log")
    right.legend(title="rate of SGD", loc="upper right")
    save(figure, __file__)

    ratio = last["momentum"][0.003] / last["SGD"][0.03]
    assert 0.8 < ratio < 1.25, f"momentum should do what SGD does at ten times the rate: losses differ by {ratio:.2f}"
    final = [last[name][rate] for name, rate in best.items()]
    assert early["Adam"] < 0.9 * min(early["SGD"], early["momentum"]), (
        f"expected Adam to be ahead at first, got {early}"
    )
    assert max(final) < 1.6 * min(final), f"expected the three to be close after ten epochs, got {final}"
    high, low, decayed = ends.values()
    assert decayed < low / 3 < high, f"expected the decaying rate to end lowest, got {ends}"


if __name__ == "__main__":
    main()
