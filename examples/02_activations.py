"""Activations
===========

The activation functions of the notes and their derivatives, drawn from the library's own kernels.

The figure shows each function (blue) and its derivative (orange, dashed), which is all that backpropagation sees of it:
where the orange line lies at 0, a neuron does not learn, and step and sign let no gradient pass at all. Softmax is
shown for three classes whose first score moves: its probability is a shifted sigmoid, the others (grey) make room.
Maxout is shown with three linear pieces (grey), of which the largest wins and alone has the slope.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

Z = np.linspace(-4, 4, 801)
STEP = 1e-6  # half the width of the difference quotient
COLUMNS = 6


def softmax() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of scores (z, 0, 1), and dp_0/dz out of the backward kernel."""
    scores = np.stack([Z, np.zeros_like(Z), np.ones_like(Z)], axis=1)
    p, saved = fnn.dense_forward(scores, np.eye(3), activation="softmax")
    first = np.broadcast_to([1.0, 0.0, 0.0], p.shape)
    return p, fnn.dense_backward(first, scores, np.eye(3), saved, "softmax").x[:, 0]


def maxout() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The linear pieces, their maximum, and its slope: that of the winner."""
    z, weight, bias = Z[:, None], np.array([[[-0.8]], [[0.2]], [[1.2]]]), np.array([[-1.6], [0.2], [-1.0]])
    y, winner = fnn.maxout_forward(z, weight, bias)
    slope = fnn.maxout_backward(np.ones_like(y), z, weight, winner).x
    return z * weight[:, 0, 0] + bias[:, 0], y[:, 0], slope[:, 0]


def main() -> None:
    found = vars(fnn.activations).items()
    public = [cls() for name, cls in found if name in fnn.__all__ and cls is getattr(fnn, name)]
    elementwise = [act for act in public if not act.rowwise]

    rows = -(-(len(elementwise) + 2) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(9.6, 1.75 * rows), sharex=True, sharey=True)
    worst = 0.0
    for act, ax in zip(elementwise, axes.flat, strict=False):
        ax.set_title(act.name)
        y = act(Z)
        jump = np.abs(np.diff(y, prepend=y[0])) > 0.5
        ax.plot(Z, np.where(jump, np.nan, y), "C0", lw=2, label="f(z)")
        if not act.differentiable:
            ax.text(0, 1.7, "no gradient passes", ha="center", color="0.4", fontsize="small")
            continue
        slope = act.derivative(Z)
        ax.plot(Z, slope, "C1--", lw=1.8, label="f'(z)")
        above, below = Z + STEP, Z - STEP
        smooth = (np.abs(act.derivative(above) - act.derivative(below)) < 0.01) & (np.abs(Z) > STEP)  # away from kinks
        quotient = (act(above) - act(below)) / (2 * STEP)
        worst = max(worst, (np.abs(quotient - slope) / np.maximum(1, np.abs(slope)))[smooth].max())

    ax = axes.flat[len(elementwise)]
    p, slope = softmax()
    ax.set_title("softmax of (z, 0, 1)")
    ax.plot(Z, p[:, 0], "C0", lw=2)
    ax.plot(Z, p[:, 1:], "0.6", lw=1)
    ax.plot(Z, slope, "C1--", lw=1.8)
    worst = max(worst, np.abs(slope - p[:, 0] * (1 - p[:, 0])).max())

    ax = axes.flat[len(elementwise) + 1]
    pieces, y, slope = maxout()
    ax.set_title("maxout of 3 pieces")
    ax.plot(Z, pieces, "0.6", lw=1)
    ax.plot(Z, y, "C0", lw=2)
    ax.plot(Z, slope, "C1--", lw=1.8)

    for ax in axes.flat[len(elementwise) + 2 :]:
        ax.set_visible(False)
    for ax in axes.flat:
        ax.axvline(0, color="0.5", lw=0.8, zorder=0)
        ax.set(xlim=(-4, 4), xticks=(-4, -2, 0, 2, 4), ylim=(-1.3, 2.3))
        ax.axhline(0, color="0.5", lw=0.8, zorder=0)
    for ax in axes[-1]:
        ax.set_xlabel("z")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize="large")
    save(figure, __file__)

    print(f"{len(elementwise)} elementwise activations; derivative against difference quotient: {worst:.1e} at most")
    assert worst < 1e-8, f"a derivative is off by {worst:.1e}"


if __name__ == "__main__":
    main()
