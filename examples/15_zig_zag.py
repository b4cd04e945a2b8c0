"""The zig-zag
===========

Why inputs that are always positive make gradient descent zig-zag, as the outputs of a sigmoid layer do.

For a neuron n = w . x the gradient of the loss is dL/dn times x. Where x is positive its components share one sign, so
that a step goes up and right or down and left, never straight from the upper left of the weight plane to the lower
right: it gets there in zig-zags (left). Batches mix the signs (middle), and inputs around zero, tanh's, let every step
go anywhere (right). Below each path, its gradients: the shaded quadrants are those of one sign.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

START, GOAL = np.array([[-1.0], [1.0]]), np.array([[1.0], [-1.0]])
RATE = 0.3
NEAR = 0.1  # a path ends where both weights are that close


def path(inputs: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (N + 1, 2) on the way of gradient descent to the goal, and the gradients (N, 2)."""
    weight, weights, gradients = START, [START[:, 0]], []
    for first in range(0, len(inputs), batch):
        x = inputs[first : first + batch]
        n, saved = fnn.dense_forward(x, weight)
        gradient = fnn.dense_backward(2 * (n - x @ GOAL) / batch, x, weight, saved).weight  # of the mean squared error
        weight = weight - RATE * gradient
        weights.append(weight[:, 0])
        gradients.append(gradient[:, 0])
        if np.abs(weight - GOAL).max() < NEAR:
            break
    return np.array(weights), np.array(gradients)


def detour(weights: np.ndarray) -> float:
    """How many times as long as the straight line."""
    return float(np.linalg.norm(np.diff(weights, axis=0), axis=1).sum() / np.linalg.norm(weights[-1] - weights[0]))


def main() -> None:
    cases = (  # both see the same z; tanh z = 2 sigmoid(2z) - 1
        ("sigmoid outputs, one at a time", lambda z: fnn.Sigmoid()(2 * z), 1),
        ("sigmoid outputs, batches of 8", lambda z: fnn.Sigmoid()(2 * z), 8),
        ("tanh outputs, one at a time", fnn.Tanh(), 1),
    )
    draws = np.random.default_rng(0).standard_normal((100, 4000, 2))
    figure, axes = plt.subplots(2, 3, figsize=(9, 5.2), height_ratios=[1.4, 1], sharex="row", sharey="row")
    medians, shares = [], []
    for (name, activation, batch), (top, bottom) in zip(cases, axes.T, strict=True):
        paths = [path(activation(z), batch) for z in draws]
        lengths = [detour(weights) for weights, _ in paths]
        medians.append(float(np.median(lengths)))
        gradients = np.concatenate([found for _, found in paths])
        shares.append(float((gradients.prod(axis=1) > 0).mean()))
        print(f"{name}: {medians[-1]:.2f} times the straight line, {shares[-1]:.0%} of gradients of one sign")

        weights, gradients = paths[int(np.argsort(lengths)[len(lengths) // 2])]  # the median path
        top.plot(*np.hstack([START, GOAL]), color="0.6", ls="--")
        top.plot(*weights.T, "C0.-", lw=1, ms=4)
        top.plot(*START, "ks", ms=7)
        top.plot(*GOAL, "k*", ms=13)
        top.set(title=f"{name}\n{medians[-1]:.1f} times the straight line", xlabel="$w_1$")
        bottom.fill([0, 2, 2, 0, 0, -2, -2, 0], [0, 0, 2, 2, 0, 0, -2, -2], color="C1", alpha=0.2, lw=0)
        bottom.quiver(*np.zeros((2, len(gradients))), *gradients.T, angles="xy", scale_units="xy", scale=1, color="C0")
        bottom.set(title=f"gradients of one sign: {shares[-1]:.0%}", xlabel="$dL/dw_1$", xlim=(-2, 2), ylim=(-2, 2))
    axes[0, 0].set_ylabel("$w_2$")
    axes[1, 0].set_ylabel("$dL/dw_2$")
    save(figure, __file__)

    assert shares[0] == 1 > max(shares[1:]), f"all gradients of positive inputs should be of one sign: {shares}"
    assert medians[0] > 1.5 * max(medians[1:]), f"zig-zags should take much longer: {medians}"


if __name__ == "__main__":
    main()
