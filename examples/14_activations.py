"""Activations
===========

The activation functions and their derivatives, drawn from the library's own kernels, with their ranges and means.

An activation f turns a neuron's sum z into its output. Backpropagation sees of it only the derivative f'(z), by which
it multiplies what comes back through the neuron::

    dL/dz = f'(z) dL/dy

CS231n's notes on neural networks list sigmoid, tanh, ReLU, leaky ReLU and maxout. Lectures add ELU, swish and its
relatives, and begin with the step function of McCulloch and Pitts, which gradients cannot train. Each panel shows f in
blue, and below it f' in orange, with the same axes in a row.

What to look for. The first row has two ends: there f is flat, f' is nearly 0 (shaded where it is less than 0.01), and
nothing is learned: the neuron is saturated. The derivative of a sigmoid is 1/4 at most, a factor that every layer of
sigmoids takes off what comes back, whatever its weights add; that of tanh reaches 1. The second and third row have one
such end at most. ReLU's is exactly 0: a unit that is there for all data is dead. A leaky ReLU keeps a slope, 0.1 on one
slide of the lectures and 0.01 (dotted) elsewhere. Maxout is the largest of several linear pieces, here three, and
passes on the slope of the one that wins.

"Mean" is the mean output for inputs from a standard normal distribution. The lectures say of ELU that its outputs have
mean zero. That is so of SELU, whose two constants were chosen for it; ELU's mean, 0.16, is only nearer to zero than
ReLU's, 0.40, about as near as swish's, 0.21.

Not drawn are what differs little from these (CELU, Mish, softsign, the hard variants, ...), but the derivatives of all
are checked against difference quotients. To try: ``fnn.ELU(alpha=0.3)``, ``fnn.Swish(beta=5)`` or ``fnn.Mish()`` as a
panel of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import save

import fnnfast as fnn

Z = np.linspace(-6, 6, 2401)
STEP = 1e-6  # half the width of the difference quotient
SATURATED = 0.01


class Panel(NamedTuple):
    title: str
    formula: str
    activation: fnn.Activation
    remark: str = ""  # beside f'
    at: tuple[float, float] = (0, 0)  # where


ROWS = {
    "Sigmoids: flat at both ends": [
        Panel("step", "0 or 1", fnn.Step(), "no gradient passes", (0, 0.75)),
        Panel("sigmoid", r"$\sigma(z)=1/(1+e^{-z})$", fnn.Sigmoid(), "at most 1/4", (0, 0.5)),
        Panel("tanh", r"$\tanh(z)=2\sigma(2z)-1$", fnn.Tanh(), "at most 1", (4.2, 0.75)),
        Panel("softmax", r"$p_1$ of scores $(z, 0, 1)$", fnn.Softmax(), "$p_1(1-p_1)$, at most 1/4", (0, 0.75)),
    ],
    "ReLU, and what keeps it alive": [
        Panel("ReLU", r"$\max(0, z)$", fnn.ReLU(), "dead: exactly 0", (-3, 0.4)),
        Panel(
            "leaky ReLU, PReLU", r"$\max(\alpha z, z)$, $\alpha=0.1$", fnn.LeakyReLU(0.1), "a slope is left", (-3, 0.4)
        ),
        Panel("ELU", r"$\alpha(e^z-1)$ below 0, $\alpha=1$", fnn.ELU()),
        Panel("maxout", "the largest of 3 pieces", fnn.Identity()),
    ],
    "Smooth relatives of ReLU, and SELU": [
        Panel("SELU", r"$1.05\,$ELU$(z)$, $\alpha=1.67$", fnn.SELU(), "up to 1.76", (-3.6, 1.4)),
        Panel("GELU", r"$z\,\Phi(z)$", fnn.GELU()),
        Panel("swish, SiLU", r"$z\,\sigma(z)$", fnn.Swish()),
        Panel("softplus", r"$\log(1+e^z)$", fnn.Softplus(), "the sigmoid", (-2.5, 0.75)),
    ],
}
LIMITS = [((-1.3, 1.3), (-0.2, 1.2)), ((-2.2, 4.2), (-0.7, 1.4)), ((-2.2, 4.2), (-0.3, 1.9))]
REMARK = {"fontsize": "small", "color": "0.25"}


def normal_mean(f: fnn.Activation) -> float:
    """The mean output for a standard normal z."""
    z = np.linspace(-12, 12, 24001)
    density = np.exp(-(z**2) / 2)
    return round(float(f(z) @ density / density.sum()), 4) + 0.0  # no -0


def outputs(f: fnn.Activation) -> tuple[float, float]:
    """The smallest and the largest output."""
    y = f(np.concatenate([np.linspace(-1000, -20, 981), np.linspace(-20, 20, 4001), np.linspace(20, 1000, 981)]))
    return float(y.min()), float(y.max())


def as_text(end: float) -> str:
    if abs(end) > 5:
        return r"$\infty$" if end > 0 else r"$-\infty$"
    return f"${round(end, 2) + 0.0:g}$"


def worst_quotient(f: fnn.Activation) -> float:
    """The largest difference between f' and a difference quotient, away from kinks."""
    slope, above, below = f.derivative(Z), Z + STEP, Z - STEP
    smooth = (np.abs(f.derivative(above) - f.derivative(below)) < 0.01) & (np.abs(Z) > STEP)
    quotient = (f(above) - f(below)) / (2 * STEP)
    return float((np.abs(quotient - slope) / np.maximum(1, np.abs(slope)))[smooth].max())


def softmax() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of scores (z, 0, 1), and dp_1/dz out of the backward kernel."""
    scores = np.stack([Z, np.zeros_like(Z), np.ones_like(Z)], axis=1)
    p, saved = fnn.dense_forward(scores, np.eye(3), activation="softmax")
    first = np.broadcast_to([1.0, 0.0, 0.0], p.shape)
    return p, fnn.dense_backward(first, scores, np.eye(3), saved, "softmax").x[:, 0]


def maxout() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The linear pieces, their maximum, who wins, and the slope: that of the winner."""
    z, weight, bias = Z[:, None], np.array([[[-0.5]], [[0.2]], [[1.0]]]), np.array([[-0.9], [0.3], [-0.9]])
    y, winner = fnn.maxout_forward(z, weight, bias)
    slope = fnn.maxout_backward(np.ones_like(y), z, weight, winner).x
    return z * weight[:, 0, 0] + bias[:, 0], y[:, 0], winner[:, 0], slope[:, 0]


def draw(top: plt.Axes, bottom: plt.Axes, panel: Panel) -> np.ndarray:
    """f above f'; returns f'."""
    f = panel.activation
    if panel.title == "softmax":
        p, slope = softmax()
        y = p[:, 0]
        top.plot(Z, p[:, 1:], "0.55", lw=1.2)
        for left, at, text in ((-5.7, 0.33, "$p_2$"), (-5.7, 0.78, "$p_3$"), (4.9, 0.72, "$p_1$")):
            top.text(left, at, text, color="C0" if text == "$p_1$" else "0.35", fontsize="small")
    elif panel.title == "maxout":
        pieces, y, winner, slope = maxout()
        top.plot(Z, pieces, "0.55", lw=1.2, zorder=1)
        for piece, middle in ((piece, np.median(Z[winner == piece])) for piece in range(3)):
            top.text(middle, np.interp(middle, Z, y) + 0.5, f"{piece + 1}", color="C0", ha="center", weight="bold")
            height = np.interp(middle, Z, slope) + 0.14
            bottom.text(middle, height, f"{piece + 1}", color="C1", ha="center", weight="bold")
    else:
        y, slope = f(Z), f.derivative(Z) if f.differentiable else np.zeros_like(Z)
    if panel.title.startswith("leaky"):
        leak = fnn.LeakyReLU(0.01)
        for ax, values in ((top, leak(Z)), (bottom, leak.derivative(Z))):
            ax.plot(Z[Z < 0], values[Z < 0], "C0:" if ax is top else "C1:", lw=1.4)
    for ax, values, colour, jump in ((top, y, "C0", 0.5), (bottom, slope, "C1", 0.05)):
        whole = np.abs(np.diff(values, prepend=values[0])) < jump  # a gap where the function jumps
        ax.plot(Z, np.where(whole, values, np.nan), colour, lw=2.2)
        flat = np.abs(slope) < SATURATED
        ax.fill_between(Z, 0, 1, where=flat, color="0.87", lw=0, transform=ax.get_xaxis_transform())
        ax.axvline(0, color="0.5", lw=0.8, zorder=0)
        ax.axhline(0, color="0.5", lw=0.8, zorder=0)
    return slope


def main() -> None:
    figure = plt.figure(figsize=(9.6, 10.4))
    means, peaks = {}, {}
    for rows, (family, panels), (ylim, slopes) in zip(figure.subfigures(3, 1), ROWS.items(), LIMITS, strict=True):
        axes = rows.subplots(2, 4, sharex=True, sharey="row", height_ratios=[1.3, 1])
        rows.suptitle(family, weight="bold", size="medium")
        for panel, (top, bottom) in zip(panels, axes.T, strict=True):
            peaks[panel.title] = float(draw(top, bottom, panel).max())
            top.set_title(f"{panel.title}\n{panel.formula}", fontsize="small")
            bottom.text(*panel.at, panel.remark, ha="center", **REMARK)
            if panel.title in ("softmax", "maxout"):
                continue
            low, high = outputs(panel.activation)
            means[panel.title] = normal_mean(panel.activation)
            text = f"{as_text(low)} to {as_text(high)}\nmean {means[panel.title]:.2f}"
            corner = (0.03, 0.95, "left", "top") if high > 5 else (0.97, 0.05, "right", "bottom")
            top.text(*corner[:2], text, ha=corner[2], va=corner[3], transform=top.transAxes, **REMARK)
            print(f"{panel.title}: from {low:.4g} to {high:.4g}, mean {means[panel.title]:.3f}", end=", ")
            print(f"derivative at most {peaks[panel.title]:.3f}")
        axes[0, 0].set(ylim=ylim, ylabel="$f(z)$")
        axes[1, 0].set(ylim=slopes, ylabel="$f'(z)$", xlim=(-6, 6), xticks=range(-6, 7, 2))
        for ax in axes[1]:
            ax.set_xlabel("z", labelpad=0)
    save(figure, __file__)

    found = vars(fnn.activations).items()
    public = [cls() for name, cls in found if name in fnn.__all__ and cls is getattr(fnn, name)]
    checked = [f for f in public if f.differentiable and not f.rowwise]
    worst = max(map(worst_quotient, checked))
    print(f"{len(checked)} derivatives against difference quotients: {worst:.1e} at most")
    assert worst < 1e-8, f"a derivative is off by {worst:.1e}"
    for name, peak in (("sigmoid", 1 / 4), ("softmax", 1 / 4), ("tanh", 1)):
        assert abs(peaks[name] - peak) < 1e-5, f"{name}: expected a derivative of at most {peak}, got {peaks[name]}"
    assert abs(means["SELU"]) < 1e-3, f"SELU: expected a mean output of 0, got {means['SELU']}"
    assert 0.1 < means["ELU"] < means["swish, SiLU"] < means["ReLU"], f"unexpected means: {means}"


if __name__ == "__main__":
    main()
