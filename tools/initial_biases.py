"""What training reaches from different initial biases: the table behind the default of ``bias_init``.

    python tools/initial_biases.py [--seeds 6]

Each number is a mean over seeds with its standard error, the worst seed in brackets: the training loss for spirals, the
error in % for classes, and the root mean square error in standard deviations of the target for regression, both on rows
that were held out.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

import fnnfast as fnn

STARTS = ("zeros", "torch", "xavier_uniform")
Layers = Callable[[dict[str, Any]], list[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    seeds = range(parser.parse_args().seeds)
    row("problem", *STARTS)
    row(*["---"] * (1 + len(STARTS)))
    for activation in ("tanh", "sigmoid", "relu", "swish", "maxout"):
        for turns in (1.0, 1.5):
            x, y = spirals(turns)
            losses = [
                [
                    history.loss[-1]
                    for history in trained(x, y, dense(2, 20, 20, activation), start, seeds, 400, 0.01)[1]
                ]
                for start in STARTS
            ]
            row(f"spirals of {2 * turns:g} half turns, {activation}, loss", *(text(values, 4) for values in losses))
    for name, data in (("digits", load_digits()), ("cancer", load_breast_cancer()), ("wine", load_wine())):
        for activation in ("tanh", "relu"):
            row(
                f"{name}, {activation}, error %", *(text(errors(data, activation, start, seeds), 2) for start in STARTS)
            )
    for activation in ("tanh", "relu"):
        row(f"diabetes, {activation}, rms error", *(text(distances(activation, start, seeds), 3) for start in STARTS))
    row("digits, convolutions, error %", *(text(errors(load_digits(), None, start, seeds), 2) for start in STARTS))


def row(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


def text(values: Sequence[float], digits: int) -> str:
    spread = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} +- {spread:.{digits}f} ({max(values):.{digits}f})"


def spirals(turns: float) -> tuple[Any, Any]:
    """Two arms of 200 points each, from the origin to radius 1."""
    t = np.linspace(0.05, 1, 200)
    angle = 2 * np.pi * turns * t
    arm = np.stack([t * np.cos(angle), t * np.sin(angle)], axis=1)
    return np.concatenate([arm, -arm]), np.repeat([0, 1], len(t))


def dense(inputs: int, first: int, second: int, activation: str, outputs: int = 1, head: str = "sigmoid") -> Layers:
    def layers(biases: dict[str, Any]) -> list[Any]:
        def hidden(units: int) -> Any:
            return fnn.Maxout(units, **biases) if activation == "maxout" else fnn.Dense(units, activation, **biases)

        return [fnn.Input(inputs), hidden(first), hidden(second), fnn.Dense(outputs, head, **biases)]

    return layers


def convolutions(biases: dict[str, Any]) -> list[Any]:
    return [
        fnn.Input(8, 8, 1),
        fnn.Conv2D(16, 3, "relu", padding="same", **biases),
        fnn.MaxPool2D(2),
        fnn.Conv2D(32, 3, "relu", padding="same", **biases),
        fnn.GlobalAveragePool2D(),
        fnn.Dense(10, "softmax", **biases),
    ]


def trained(x: Any, y: Any, layers: Layers, start: str, seeds: Sequence[int], epochs: int, rate: float) -> Any:
    """A network of each seed, and their histories."""
    nets = [fnn.Sequential(layers({"bias_init": start}), seed=seed) for seed in seeds]
    histories = fnn.fit_many(
        nets, x, y, optimizer=fnn.Adam(rate), epochs=epochs, batch_size=32, seed=list(seeds), progress=False
    )
    return nets, histories


def held_out(data: Any, seed: int) -> Any:
    """Standardized rows for training and for the test, a third of all, another third for each seed."""
    order = np.random.default_rng(seed).permutation(len(data.data))
    test, train = np.split(order, [len(order) // 3])
    deviation = data.data[train].std(axis=0)
    x = (data.data - data.data[train].mean(axis=0)) / np.where(deviation == 0, 1, deviation)
    return x[train], data.target[train], x[test], data.target[test]


def errors(data: Any, activation: str | None, start: str, seeds: Sequence[int]) -> list[float]:
    found = []
    for seed in seeds:
        x, y, x_test, y_test = held_out(data, seed)
        layers = dense(x.shape[1], 32, 32, activation, int(y.max()) + 1, "softmax") if activation else convolutions
        (net,), _ = trained(x, y, layers, start, [seed], 30, 0.003)
        found.append(100 * float((net.predict(x_test) != y_test).mean()))
    return found


def distances(activation: str, start: str, seeds: Sequence[int]) -> list[float]:
    found = []
    for seed in seeds:
        x, y, x_test, y_test = held_out(load_diabetes(), seed)
        mean, deviation = y.mean(), y.std()
        layers = dense(x.shape[1], 16, 16, activation, 1, "identity")
        (net,), _ = trained(x, ((y - mean) / deviation)[:, None], layers, start, [seed], 30, 0.003)
        found.append(float(np.sqrt((((y_test - mean) / deviation - net(x_test)[:, 0]) ** 2).mean())))
    return found


if __name__ == "__main__":
    main()
