"""Bayesian search
===============

Bayesian search: Optuna learns from its trials where to look, which random search does not.

Lectures say that depth and width have to be found by trial and error. Optuna's TPE, the tree-structured Parzen
estimator (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011), draws its first ten trials at random.
From then on it estimates two densities, of the parameters of good trials and of all others, and tries what is likely
under the first and unlikely under the second. Here it looks for the learning rate of Adam, the width and the depth of a
network that learns small digits for five epochs, against as many trials drawn at random from the same ranges.

Left and middle: forty trials of each, the later the darker; large ones have ended with a loss below 0.2. TPE soon gives
up the regions where nothing is to be found. Right: the best validation loss so far, the mean of ten searches with its
standard error; the first ten trials are the same.
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import optuna
from common import save
from sklearn.datasets import load_digits

import fnnfast as fnn

TRIALS, SEARCHES, GOOD = 40, 10, 0.2
SAMPLERS = {"random": (optuna.samplers.RandomSampler, "C1"), "TPE": (optuna.samplers.TPESampler, "C0")}


def search(data: list[np.ndarray], sampler: optuna.samplers.BaseSampler) -> list[optuna.trial.FrozenTrial]:
    x, y, x_new, y_new = data

    def loss(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1, log=True)
        width = trial.suggest_int("width", 4, 64, log=True)
        depth = trial.suggest_int("depth", 1, 5)
        hidden = [fnn.Dense(width, "relu")] * depth
        net = fnn.Sequential([fnn.Input(64), *hidden, fnn.Dense(10, "softmax")], seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # at rates that the search tries and leaves
            net.fit(x, y, None, fnn.Adam(rate), epochs=5, seed=0, progress=False)
        return net.evaluate(x_new, y_new)["loss"]

    study = optuna.create_study(sampler=sampler)
    study.optimize(loss, TRIALS)
    return study.trials


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    data = [x[:1200], y[:1200], x[1200:], y[1200:]]

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.9))
    best, good = {}, {}
    for (name, (sampler, colour)), ax in zip(SAMPLERS.items(), (left, middle), strict=True):
        searches = [search(data, sampler(seed=seed)) for seed in range(SEARCHES)]
        losses = np.array([[trial.value for trial in trials] for trials in searches])
        best[name], good[name] = np.minimum.accumulate(losses, axis=1), np.mean(losses < GOOD)
        found = min(searches[0], key=lambda trial: trial.value)
        print(f"{name}: best of {TRIALS} trials {best[name][:, -1].mean():.3f}", end=", ")
        print(f"{good[name]:.0%} of all below {GOOD}; in one search {found.value:.3f} with {found.params}")

        rates, widths = np.transpose([(trial.params["rate"], trial.params["width"]) for trial in searches[0]])
        dots = ax.scatter(rates, widths, np.where(losses[0] < GOOD, 60, 18), range(1, TRIALS + 1), cmap="viridis_r")
        ax.set(title=f"{name}: {np.sum(losses[0] < GOOD)} of {TRIALS} trials below {GOOD}", xlabel="learning rate")
        ax.set(xscale="log", yscale="log", xlim=(7e-5, 1.4), ylim=(3.5, 75))
        ax.set_yticks((4, 8, 16, 32, 64), (4, 8, 16, 32, 64))
        ax.minorticks_off()
        mean, error = best[name].mean(axis=0), best[name].std(axis=0, ddof=1) / np.sqrt(SEARCHES)
        trial = np.arange(1, TRIALS + 1)
        right.plot(trial, mean, color=colour, label=name)
        right.fill_between(trial, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
    left.set(ylabel="width")
    figure.colorbar(dots, ax=middle, label="trial")
    right.set(title="Best validation loss so far", xlabel="trials", yscale="log")
    right.set_yticks((0.1, 0.2, 0.5, 1, 2), (0.1, 0.2, 0.5, 1, 2))
    right.minorticks_off()
    right.legend()
    save(figure, __file__)

    last = {name: losses[:, -1].mean() for name, losses in best.items()}
    assert last["TPE"] < last["random"], f"expected TPE to end with a lower loss than random search, got {last}"
    assert good["TPE"] > 2 * good["random"], f"expected TPE to have more than twice as many good trials, got {good}"


if __name__ == "__main__":
    main()
