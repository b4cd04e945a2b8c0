"""A sigmoid head
==============

Binary classification on real data: a sigmoid head predicts a Bernoulli distribution, and its p means something.

Lecture slides on feedforward networks ask whether a tissue sample is malignant. The network gives a score, the logit;
the sigmoid makes it the p of a Bernoulli distribution, and cross-entropy trains it. The data are scikit-learn's breast
cancer set: 569 samples, 30 measurements of cell nuclei each. Every sample is answered by a network that was not trained
on it (ten folds).

Left: the ROC curve (receiver operating characteristic): the share of malignant samples found over the share of benign
ones called malignant, for every threshold. The area below it is the probability that a malignant sample has a larger p
than a benign one: 0.995 here. The dot is the threshold of 0.5, at which 96.8% of the answers are right. Right: is p a
probability (calibration)? Of the samples with a similar p, the share that is malignant, beside what Bernoulli draws
with these p give in 90% of all cases (bars).
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_breast_cancer

import fnnfast as fnn

FOLDS = 10
EDGES = np.array([0.02, 0.1, 0.3, 0.7, 0.9, 0.98])


def out_of_fold(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """p of each sample, from a network trained on the other folds."""
    p = np.empty(len(x))
    fold = np.random.default_rng(0).permutation(len(x)) % FOLDS
    for test in (fold == k for k in range(FOLDS)):
        mean, std = x[~test].mean(axis=0), x[~test].std(axis=0)
        net = fnn.Sequential([fnn.Input(30), fnn.Dense(16, "relu"), fnn.Dense(1, "sigmoid")], seed=0)
        net.fit((x[~test] - mean) / std, y[~test], epochs=40, l2=1e-3, seed=0, progress=False)
        p[test] = net((x[test] - mean) / std)[:, 0]
    return p


def main() -> None:
    x, benign = load_breast_cancer(return_X_y=True)
    y = 1 - benign
    p = out_of_fold(x, y)

    called = y[np.argsort(-p)]  # for the threshold below the k-th largest p, the first k are called malignant
    found = np.concatenate([[0], np.cumsum(called)]) / y.sum()
    false = np.concatenate([[0], np.cumsum(1 - called)]) / benign.sum()
    area = np.sum((found[1:] + found[:-1]) / 2 * np.diff(false))
    accuracy, at_half = np.mean((p >= 0.5) == y), int(np.sum(p >= 0.5))
    print(f"accuracy {accuracy:.3f}, area under the ROC curve {area:.4f}")
    print(f"mean p {p.mean():.3f}, share malignant {y.mean():.3f}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6))
    zoom = left.inset_axes((0.38, 0.3, 0.58, 0.5), xlim=(-0.004, 0.12), ylim=(0.88, 1.004))
    for ax in (left, zoom):
        ax.plot(false, found, "C0", lw=2)
        ax.plot(false[at_half], found[at_half], "C1o", markersize=8, label=f"threshold 0.5: {accuracy:.1%} right")
    zoom.set(xticks=[0, 0.05, 0.1], yticks=[0.9, 0.95, 1])
    left.indicate_inset_zoom(zoom)
    left.set(title=f"ROC curve, area {area:.3f}", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    left.set(xlabel="share of benign samples called malignant", ylabel="share of malignant samples found")
    left.legend(loc="lower right")

    bins = np.digitize(p, EDGES)
    draws = np.random.default_rng(0).random((2000, len(p))) < p
    groups = [bins == k for k in range(len(EDGES) + 1)]
    centres, shares = zip(*((p[group].mean(), y[group].mean()) for group in groups), strict=True)
    ranges = [np.quantile(draws[:, group].mean(axis=1), [0.05, 0.95]) for group in groups]
    right.vlines(centres, *np.transpose(ranges), color="0.8", lw=8, label="90% of draws with these p")
    right.plot([0, 1], [0, 1], color="0.5", lw=0.8)
    right.plot(centres, shares, "C0o", label="samples")
    sizes = [group.sum() for group in groups]
    right.set(title=f"Calibration, groups of {min(sizes)} to {max(sizes)} samples")
    right.set(xlabel="mean predicted p of a group", ylabel="share malignant")
    right.legend()
    save(figure, __file__)

    assert accuracy > 0.95, f"accuracy: expected > 0.95, got {accuracy:.3f}"
    assert area > 0.98, f"area under the ROC curve: expected > 0.98, got {area:.4f}"
    assert abs(p.mean() - y.mean()) < 0.02, f"mean p: expected {y.mean():.3f} within 0.02, got {p.mean():.3f}"


if __name__ == "__main__":
    main()
