"""Saturation
==========

A unit saturated on the wrong side: squared error leaves it there, cross-entropy turns it round at once.

A sigmoid output layer wants cross-entropy, whose logarithm cancels the exponential. The loss of a point with label 1 is
``-log sigmoid(z) = log(1 + exp(-z))``, with a slope of nearly -1 wherever the answer is wrong. With another loss the
gradient saturates (Goodfellow, Bengio and Courville, "Deep learning", section 6.2.2). One neuron starts with large
weights of the wrong sign and learns to tell two clouds of points apart, by the same steps of gradient descent for both
losses.

Left: the two losses over the logit of a point whose label is 1, and where the neuron stands on them, on average, before
and after training. Squared error is flat where the neuron starts. Right: the mean logit towards the label, which has to
become positive, after each step.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

STEPS = 100
START = [[-4], [-4]]
LOSSES = {"cross-entropy": (fnn.BinaryCrossEntropy(), "C0"), "squared error": (fnn.MeanSquaredError(), "C1")}


def train(x: np.ndarray, y: np.ndarray, loss: fnn.losses.Loss) -> tuple[np.ndarray, float, float]:
    """Mean logit towards the label after each step, the first gradient's norm, and the last accuracy."""
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1, "sigmoid", bias_init="zeros")], seed=0)
    net.parameters["dense_1.weight"] = START
    trainer = fnn.Trainer(net, loss, fnn.SGD(lr=0.5))
    slope = float(np.linalg.norm(trainer.gradients(x, y)["dense_1.weight"]))
    margins = []
    for step in range(STEPS + 1):
        if step:
            trainer.step(x, y)
        margins.append(np.mean(net.logits(x)[:, 0] * (2 * y - 1)))
    return np.array(margins), slope, float(np.mean(net.predict(x) == y))


def main() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = rng.normal(np.where(y, 1.0, -1.0)[:, None], 0.4, (200, 2))
    z = np.linspace(-10, 10, 400)
    curves = {"cross-entropy": fnn.Softplus()(-z), "squared error": (fnn.Sigmoid()(z) - 1) ** 2}

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8))
    slopes, accuracies = {}, {}
    for name, (loss, colour) in LOSSES.items():
        margins, slopes[name], accuracies[name] = train(x, y, loss)
        print(f"{name}: first gradient {slopes[name]:.2g}, mean logit {margins[0]:.2f} -> {margins[-1]:.2f}", end=", ")
        print(f"accuracy after {STEPS} steps {accuracies[name]:.0%}")
        left.plot(z, curves[name], color=colour, label=name)
        for margin, fill in ((margins[0], "white"), (margins[-1], colour)):
            left.plot(margin, np.interp(margin, z, curves[name]), "o", color=colour, mfc=fill, markersize=8)
        right.plot(margins, color=colour, label=name)

    left.plot([], [], "o", color="grey", mfc="white", label="at the start")
    left.plot([], [], "o", color="grey", label=f"after {STEPS} steps")
    left.set(title="Loss of a point with label 1", xlabel="logit z", ylabel="loss", xticks=range(-10, 11, 5))
    left.legend()
    right.axhline(0, color="grey", linestyle="--")
    right.text(STEPS, 0.2, "right answers above", color="grey", ha="right")
    right.set(title="The same start, the same steps", xlabel="step", ylabel="mean logit towards the label")
    right.legend(loc="center right")
    save(figure, __file__)

    ratio = slopes["cross-entropy"] / slopes["squared error"]
    assert ratio > 100, f"first gradient: expected > 100 times that of squared error, got {ratio:.0f} times"
    assert accuracies["cross-entropy"] > 0.95, f"cross-entropy: expected > 95% right, got {accuracies}"
    assert accuracies["squared error"] < 0.05, f"squared error: expected to be stuck below 5%, got {accuracies}"


if __name__ == "__main__":
    main()
