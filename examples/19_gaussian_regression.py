"""Gaussian regression
===================

Regression on real data: a Gaussian head says how sure it is, row by row.

The notes: a regression network predicts a Gaussian distribution, with precision beta = 1 / sigma^2. Squared error is
its likelihood with one beta for all; with the head `fnn.Gaussian(1)` the network learns the logarithm of beta as a
second output. The data are scikit-learn's: 442 patients, ten measurements, and how far their diabetes went within a
year, here in standard deviations. Networks of 10-8-1 answer for patients that they were not trained on (ten folds, ten
times). The one beta is that of the residuals on training data.

Left: what was measured over the predicted mean, and the intervals that should hold 90% of it. One precision gives all
the same width (grey); the learned width grows with the mean (blue, a line for each patient). Right: the share that the
intervals hold, of all patients and of thirds of them by predicted mean, with twice its standard error. Of all, both
hold nearly 90%. One width does so by holding too many of those with little progress and too few of the others; the
learned one is more even, and gives what was measured a higher likelihood.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from common import save
from sklearn.datasets import load_diabetes

import fnnfast as fnn

FOLDS, REPEATS, EPOCHS, L2 = 10, 10, 60, 0.03


def trained(x: np.ndarray, y: np.ndarray, head: fnn.layers.Layer, seed: int) -> fnn.Sequential:
    net = fnn.Sequential([fnn.Input(10), fnn.Dense(8, "tanh"), head], seed=seed)
    loss = fnn.GaussianNLL("learned" if isinstance(head, fnn.Gaussian) else 1.0)
    schedule = fnn.CosineDecay(EPOCHS)
    net.fit(x, y, loss, fnn.Adam(0.01), EPOCHS, schedule=schedule, l2=L2, seed=seed, progress=False)
    return net


def out_of_fold(x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """For each patient the mean, both bounds and the log-likelihood, (4, N), by networks that did not see it."""
    found = {"one precision": np.empty((4, len(y))), "learned precision": np.empty((4, len(y)))}
    folds = np.random.default_rng(seed).permutation(len(x)) % FOLDS
    for test in (folds == k for k in range(FOLDS)):
        fixed = trained(x[~test], y[~test], fnn.Dense(1), seed)
        learned = trained(x[~test], y[~test], fnn.Gaussian(1), seed)
        precision = 1 / np.mean((fixed.predict(x[~test])[:, 0] - y[~test]) ** 2)
        predicted = (fixed.distribution(x[test], precision=precision), learned.distribution(x[test]))
        for name, says in zip(found, predicted, strict=True):
            found[name][:, test] = np.hstack([says.mean, *says.interval(0.9), says.log_prob(y[test])]).T
    return found


def main() -> None:
    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(axis=0), (y - y.mean()) / y.std()
    runs = [out_of_fold(x, y, seed) for seed in range(REPEATS)]

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), width_ratios=[1.3, 1])
    held, likelihood = {}, {}
    for name, colour, shift in (("one precision", "0.5", -0.08), ("learned precision", "C0", 0.08)):
        mean, low, high, log_p = np.mean([run[name] for run in runs], axis=0)
        within = np.mean([(run[name][1] <= y) & (y <= run[name][2]) for run in runs], axis=0)
        if name == "one precision":
            order = np.argsort(mean)
            left.fill_between(mean[order], low[order], high[order], color="0.85", lw=0, label=name)
        else:
            left.vlines(mean, low, high, color=colour, lw=0.6, alpha=0.5, label=name)
            left.plot(mean, y, "k.", ms=4)

        groups = [np.arange(len(y)), *np.array_split(np.argsort(mean), 3)]
        held[name], likelihood[name] = np.array([within[group].mean() for group in groups]), log_p.mean()
        errors = [2 * within[group].std() / np.sqrt(len(group)) for group in groups]
        right.errorbar(np.arange(4) + shift, held[name], errors, fmt="o", color=colour, capsize=3, label=name)
        print(f"{name}: the 90% intervals hold {held[name][0]:.1%} of all, ", end="")
        print(f"{', '.join(f'{share:.1%}' for share in held[name][1:])} of the thirds; ", end="")
        print(f"mean log-likelihood {likelihood[name]:.3f}")

    left.set(title="90% intervals", xlabel="predicted mean", ylabel="measured")
    left.legend(loc="upper left")
    right.axhline(0.9, color="k", lw=0.8)
    right.set(title="Share within the 90% interval", xlabel="patients by predicted mean", ylim=(0.7, 1.02))
    right.set_xticks(range(4), ["all", "low", "middle", "high"])
    right.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    right.legend(loc="lower left")
    save(figure, __file__)

    uneven = {name: np.ptp(shares[1:]) for name, shares in held.items()}
    for name, shares in held.items():
        assert 0.85 < shares[0] < 0.95, f"{name}: expected to hold 90% of all within 5%, got {shares[0]:.1%}"
    assert uneven["learned precision"] < 0.8 * uneven["one precision"], f"expected a more even share, got {uneven}"
    assert likelihood["learned precision"] > likelihood["one precision"], f"expected a higher one, got {likelihood}"


if __name__ == "__main__":
    main()
