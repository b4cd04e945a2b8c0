"""A single neuron
===============

One neuron is a linear classifier: with cross-entropy logistic regression, with hinge a support vector machine (SVM).

CS231n: a neuron can like or dislike a linear region of its inputs, and the loss on its output makes it a classifier.
Left, the sigmoid turns the score into a probability, and every point pulls at the line a little. Middle and right, the
hinge loss only counts points that lie on the wrong side of their margin, or within it: the support vectors, ringed. L2,
which adds half its strength times ``|w|^2`` to the loss, pulls the weights w towards 0, gradual forgetting in CS231n's
words, and the margin ``1 / |w|`` gets wider for it. All three are held against scikit-learn's solvers, and the middle
one is trained again on its support vectors alone.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from matplotlib.colors import LinearSegmentedColormap
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

import fnnfast as fnn

N, STEPS = 80, 3000
SHADES = LinearSegmentedColormap.from_list("blue to orange", ["C0", "white", "C1"])


def neuron(x: np.ndarray, y: np.ndarray, head: str, loss: fnn.losses.Loss, l2: float) -> fnn.Sequential:
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1, head)], dtype="float64", seed=0)
    schedule = fnn.CosineDecay(STEPS)  # hinge has a kink where the points of the margin lie: only small steps settle
    net.fit(x, y, loss, fnn.SGD(0.5), STEPS, batch_size=N, schedule=schedule, l2=l2, progress=False)
    return net


def line(net: fnn.Sequential) -> np.ndarray:
    """w1, w2 and b of the score w . x + b."""
    return np.append(net.parameters["dense_1.weight"], net.parameters["dense_1.bias"])


def supports(net: fnn.Sequential, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points are within the margin or on its wrong side; on it counts, up to what training left."""
    return net(x)[:, 0] * (2 * y - 1) < 1.001


def main() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    x = rng.normal(np.where(y, 1.0, -1.0)[:, None] * [1, 0.6], 0.75, (N, 2))
    x1, x2 = np.meshgrid(np.linspace(-3.4, 3.4, 137), np.linspace(-2.7, 2.7, 109))
    plane = np.stack([x1.ravel(), x2.ravel()], axis=1)

    neurons = {
        ("logistic regression", 0.001): neuron(x, y, "sigmoid", fnn.BinaryCrossEntropy(), 0.001),
        ("SVM", 0.01): neuron(x, y, "identity", fnn.Hinge(), 0.01),
        ("SVM", 0.3): neuron(x, y, "identity", fnn.Hinge(), 0.3),
    }
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharex=True, sharey=True)
    distances, widths = [], []
    for ((name, l2), net), ax in zip(neurons.items(), axes, strict=True):
        margin = 1 / np.linalg.norm(line(net)[:2])
        score = net.logits(plane).reshape(x1.shape)
        if name == "SVM":
            support = supports(net, x, y)
            kind, said = SVC(kernel="linear", C=1 / (N * l2)), f"margin {margin:.2f}, {support.sum()} support vectors"
            ax.contourf(x1, x2, score, [-1e9, 0, 1e9], colors=["#C9DFEF", "#FFDDBF"])
            ax.contour(x1, x2, score, [-1, 1], colors="0.3", linestyles="--", linewidths=1)
            ax.scatter(*x[support].T, facecolors="none", edgecolors="k", s=60, linewidths=1)
            widths.append(margin)
        else:
            kind, said = LogisticRegression(C=1 / (N * l2), tol=1e-8), "dashed: p = 0.1 and 0.9"
            ax.contourf(x1, x2, net(plane).reshape(x1.shape), np.linspace(0, 1, 11), cmap=SHADES, alpha=0.6)
            ax.contour(x1, x2, score, fnn.logit([0.1, 0.9]), colors="0.3", linestyles="--", linewidths=1)
        ax.contour(x1, x2, score, [0], colors="k")
        for label, marker, colour in ((0, "o", "C0"), (1, "s", "C1")):
            ax.plot(*x[y == label].T, marker, color=colour, mec="k", mew=0.5, ms=5)
        ax.set(title=f"{name}, L2 {l2:g}\n{said}", xticks=[], yticks=[], aspect="equal")

        solved = kind.fit(x, y)
        theirs = np.append(solved.coef_, solved.intercept_)
        distances.append(np.abs(line(net) - theirs).max())
        accuracy = np.mean((net.logits(x)[:, 0] >= 0) == y)
        print(f"{name}, L2 {l2:g}: w and b {line(net).round(3)}, scikit-learn {theirs.round(3)}, right {accuracy:.1%}")
    save(figure, __file__)

    weak = neurons["SVM", 0.01]
    support = supports(weak, x, y)
    alone = neuron(x[support], y[support], "identity", fnn.Hinge(), 0.01 * N / support.sum())
    moved = np.abs(line(alone) - line(weak)).max()
    print(f"trained on its {support.sum()} support vectors alone, w and b change by {moved:.4f}")
    assert max(distances) < 0.02, f"expected the weights of scikit-learn's solvers within 0.02, got {distances}"
    assert moved < 0.02, f"expected the same line from the support vectors alone, it moved by {moved:.4f}"
    assert widths[1] > 1.5 * widths[0], f"expected stronger L2 to widen the margin 1.5 times, got {widths}"


if __name__ == "__main__":
    main()
