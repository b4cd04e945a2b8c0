"""FNNClassifier beside MLPClassifier on digits, and 64 small networks by fit_many: accuracies and times, as a table.

Usage: ``python bench/estimators.py [--rounds N]``, with fnnfast[sklearn] installed. Contenders take turns; a time is
the best of the rounds, scikit-learn's networks of the search are timed on a sample of eight.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import fnnfast as fnn
from fnnfast.sklearn import FNNClassifier

SETTINGS: dict[str, Any] = {"hidden_layer_sizes": (64,), "max_iter": 40, "tol": 0, "n_iter_no_change": 100}
NETWORKS, EPOCHS, SAMPLE = 64, 20, 8


def timed(f: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = f()
    return time.perf_counter() - begun, result


def estimators(x: np.ndarray, y: np.ndarray, rounds: int) -> None:
    best = {MLPClassifier: np.inf, FNNClassifier: np.inf}
    scores: dict[type, list[float]] = {MLPClassifier: [], FNNClassifier: []}
    for _ in range(rounds):
        for kind in scores:
            of_round, total = [], 0.0
            for seed in range(5):
                x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=seed, stratify=y)
                estimator = kind(**SETTINGS, random_state=seed)
                seconds, _ = timed(lambda e=estimator, a=x_train, b=y_train: e.fit(a, b))
                total += seconds
                of_round.append(estimator.score(x_test, y_test))
            best[kind] = min(best[kind], total)
            scores[kind] = of_round
    for kind, accuracies in scores.items():
        spread = f"{100 * min(accuracies):.2f} to {100 * max(accuracies):.2f}"
        print(f"{kind.__name__}: accuracy {100 * np.mean(accuracies):.2f} % ({spread}), {best[kind]:.3f} s for 5 seeds")
    print(f"ratio of fit times: {best[MLPClassifier] / best[FNNClassifier]:.1f}")


def many(x: np.ndarray, y: np.ndarray, rounds: int) -> None:
    rng = np.random.default_rng(1)
    widths = rng.integers(8, 65, NETWORKS).tolist()
    rates = (10 ** rng.uniform(-4, -1, NETWORKS)).tolist()
    optimizers, seeds = [fnn.Adam(rate) for rate in rates], list(range(NETWORKS))

    def networks() -> list[fnn.Sequential]:
        layers = [[fnn.Input(64), fnn.Dense(width, "relu"), fnn.Dense(10, "softmax")] for width in widths]
        return [fnn.Sequential(of_one, seed=seed) for seed, of_one in enumerate(layers)]

    def by_scikit_learn() -> None:
        for width, rate in list(zip(widths, rates, strict=True))[:SAMPLE]:
            settings = {"learning_rate_init": rate, "max_iter": EPOCHS, "tol": 0, "n_iter_no_change": 100}
            MLPClassifier((width,), batch_size=32, **settings).fit(x, y)

    def one_by_one(nets: list[fnn.Sequential]) -> None:
        for net, optimizer, seed in zip(nets, optimizers, seeds, strict=True):
            net.fit(x, y, optimizer=optimizer, epochs=EPOCHS, seed=seed, progress=False)

    def side_by_side(nets: list[fnn.Sequential]) -> None:
        fnn.fit_many(nets, x, y, optimizer=optimizers, epochs=EPOCHS, seed=seeds, progress=False)

    theirs = min(timed(by_scikit_learn)[0] for _ in range(max(1, rounds // 2))) * NETWORKS / SAMPLE
    alone = together = np.inf
    same = True
    for _ in range(rounds):
        first, second = networks(), networks()
        alone = min(alone, timed(lambda nets=first: one_by_one(nets))[0])
        together = min(together, timed(lambda nets=second: side_by_side(nets))[0])
        for a, b in zip(first, second, strict=True):
            same &= all(np.array_equal(a.parameters[name], b.parameters[name]) for name in a.parameters)
    print(f"{NETWORKS} networks of 8 to 64 units, {EPOCHS} epochs, {fnn.get_num_threads()} threads: ", end="")
    print(f"scikit-learn {theirs:.2f} s, fit one by one {alone:.2f} s, fit_many {together:.2f} s")
    print(f"fit_many is {alone / together:.2f} and {theirs / together:.1f} times as fast; the same bits: {same}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs, and no more, for all
    warnings.simplefilter("ignore", fnn.DeadUnitsWarning)  # pixels that are always 0, and high rates
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    estimators(x, y, rounds)
    many(x, y, rounds)


if __name__ == "__main__":
    main()
