"""A softmax head
==============

Ten classes: a softmax head predicts a categorical distribution, a probability for each digit, which can be drawn from.

The notes (their parts on multiclass classification) generalise the Bernoulli distribution of two outcomes to K, the
categorical distribution p(y = k) = p_k, where p_1 + ... + p_K = 1. The network gives K scores z, the logits, softmax
makes them the probabilities, and cross-entropy, the negative logarithm of the probability of the right class, is small
if that class was expected::

    p_k = exp(z_k) / sum_j exp(z_j),        loss = -log p_label

The digits are 5,000 of MNIST, 14 x 14 pixels. Each is answered by a network that was not trained on it (five folds).
Top: four of them, with their probabilities (bars, that of the label green) and the shares of 1,000 draws from the
distribution (dots): drawing is how the notes get different answers to the same input. Below left: the confusion matrix.
Which digits are taken for which?

Below right: are the probabilities calibrated, that is, do digits answered with p = 0.8 turn out right 8 times in 10?
One number: the mean of the largest p less the share of right answers. After 10 epochs it is about 0. After 60 the share
of right answers has grown by a point, and p by five: the network has learned to be sure of the digits that it was
trained on, and is as sure of others. Cross-entropy notices (it rises), the share of right answers does not. Try: weight
decay, ``l2=1e-3`` in ``fit``, takes most of the difference away.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import save
from digits import mnist
from matplotlib.axes import Axes

import fnnfast as fnn
from fnnfast.distributions import Categorical

SIDE, FOLDS, DRAWS = 14, 5, 1000
EPOCHS = {10: "C0", 60: "C1"}
EDGES = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.97])


def out_of_fold(x: np.ndarray, y: np.ndarray, epochs: int) -> Categorical:
    """The distribution that is predicted for each image by a network trained on the other folds."""
    logits = np.empty((len(x), 10))
    for k in range(FOLDS):
        test = np.arange(len(x)) % FOLDS == k
        layers = [fnn.Dense(64, "relu"), fnn.Dense(64, "relu"), fnn.Dense(10, "softmax")]
        net = fnn.Sequential([fnn.Input(SIDE, SIDE, 1), fnn.Flatten(), *layers], seed=k)
        settings = {"schedule": fnn.CosineDecay(epochs), "seed": k, "progress": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # a few of the 64
            net.fit(x[~test], y[~test], None, fnn.Adam(0.002), epochs, 50, **settings)
        logits[test] = net.distribution(x[test]).logits
    return Categorical(logits)


def show(axes: np.ndarray, image: np.ndarray, p: np.ndarray, shares: np.ndarray, label: int) -> None:
    """An image above its ten probabilities and what was drawn from them."""
    top, bottom = axes
    top.imshow(image, cmap="gray_r")
    top.set_axis_off()
    bottom.bar(np.arange(10), p, color=["C2" if k == label else "0.75" for k in range(10)])
    bottom.plot(np.arange(10), shares, "k.", ms=6)
    bottom.set(xticks=range(10), ylim=(0, 1.05), yticks=[0, 0.5, 1])
    bottom.grid(visible=False, axis="x")
    bottom.set_title(f"label {label}: $-\\log p = {abs(np.log(p[label])):.2f}$", fontsize=9, pad=2)


def confusion(ax: Axes, labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Draw how often each digit was taken for each; the wrong answers as a matrix."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, answers), 1)
    wrong = counts * (1 - np.eye(10, dtype=int))
    ax.imshow(wrong, cmap="Oranges", vmax=1.3 * wrong.max())
    for (label, answer), count in np.ndenumerate(counts):
        if count:
            colour = "0.6" if label == answer else "k"
            ax.text(answer, label, count, ha="center", va="center", fontsize=8, color=colour)
    ax.set(title="Digits by label and answer, 10 epochs", xlabel="answer", ylabel="label")
    ax.set(xticks=range(10), yticks=range(10))
    ax.grid(visible=False)
    return wrong


def calibration(ax: Axes, p: np.ndarray, right: np.ndarray, colour: str) -> None:
    """The share of right answers in groups of similar p, with its standard error."""
    groups = [np.digitize(p, EDGES) == k for k in range(len(EDGES) + 1)]
    centres, shares = zip(*((p[group].mean(), right[group].mean()) for group in groups), strict=True)
    errors = [np.sqrt(share * (1 - share) / group.sum()) for share, group in zip(shares, groups, strict=True)]
    ax.errorbar(centres, shares, errors, fmt=f"{colour}o-", capsize=3)


def main() -> None:
    images, labels = mnist(SIDE)
    found = {epochs: out_of_fold(images, labels, epochs) for epochs in EPOCHS}

    figure = plt.figure(figsize=(9.6, 7.6))
    upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.3])
    left, diagram = lower.subplots(1, 2)
    diagram.plot([0.35, 1], [0.35, 1], "0.6", lw=1)
    share, gap, entropy = {}, {}, {}
    for (epochs, distribution), colour in zip(found.items(), EPOCHS.values(), strict=True):
        p, right = distribution.probabilities.max(axis=1), distribution.mode == labels
        share[epochs], gap[epochs] = right.mean(), p.mean() - right.mean()
        entropy[epochs] = -distribution.log_prob(labels).mean()
        print(f"{epochs} epochs: {share[epochs]:.1%} right, mean largest p {p.mean():.1%}", end=", ")
        print(f"difference {gap[epochs]:+.1%}, cross-entropy {entropy[epochs]:.3f}")
        calibration(diagram, p, right, colour)
    diagram.text(0.36, 0.76, "10 epochs:\nas sure as right", color="C0")
    diagram.text(0.78, 0.42, "60 epochs:\nsurer than right", color="C1")
    diagram.set(title="Calibration", xlabel="mean largest p of a group", ylabel="share of right answers")
    wrong = confusion(left, labels, found[10].mode)

    chosen, right, draws = found[10].probabilities, found[10].mode == labels, found[10].sample(DRAWS, rng=0)
    first, second = np.sort(chosen, axis=1)[:, :-3:-1].T
    cases = {
        "sure, and right": np.argmax(np.where(right, first, 0)),
        "torn between two": np.argmax(second),
        "at a loss": np.argmax(found[10].entropy()),
        "sure, and wrong": np.argmax(np.where(right, 0, first)),
    }
    axes, drawn = upper.subplots(2, 4, height_ratios=[1.3, 1], sharey="row"), {}
    for (title, row), column in zip(cases.items(), axes.T, strict=True):
        drawn[title] = np.bincount(draws[:, row], minlength=10) / DRAWS
        show(column, images[row, ..., 0], chosen[row], drawn[title], labels[row])
        column[0].set_title(title)
    axes[1, 0].set_ylabel("p, and drawn")
    save(figure, __file__)

    pair = np.unravel_index((wrong + wrong.T).argmax(), wrong.shape)
    print(f"most often taken for each other: {pair[0]} and {pair[1]}, {(wrong + wrong.T)[pair]} times")
    # Five standard deviations of the share of the draws, and one draw more.
    off = {title: np.abs(drawn[title] - chosen[row]) for title, row in cases.items()}
    bound = {title: 5 * np.sqrt(chosen[row] * (1 - chosen[row]) / DRAWS) + 1 / DRAWS for title, row in cases.items()}
    assert all((off[title] <= bound[title]).all() for title in cases), f"draws and p differ by {off}"
    assert abs(gap[10]) < 0.015, f"10 epochs: expected p to be within 1.5% of the share right, got {gap[10]:+.1%}"
    assert gap[60] > 0.025, f"60 epochs: expected p > 2.5% above the share right, got {gap[60]:+.1%}"
    assert share[60] > share[10] > 0.9, f"expected more right answers after 60 epochs than after 10, got {share}"
    assert entropy[60] > entropy[10] + 0.03, f"expected a higher cross-entropy after 60 epochs, got {entropy}"


if __name__ == "__main__":
    main()
