"""scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from ..networks import dense
from ..problems import LEARNING_RATE, Problem
from .base import Array, Peer, Variant, training

_ACTIVATIONS = {"identity": "identity", "relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


class ScikitLearn(Peer):
    """MLPClassifier. A partial_fit over many batches shares its checks of the input among them."""

    name = "scikit-learn"
    requires = ("scikit-learn",)

    def supports(self, problem: Problem) -> bool:
        if problem.kind != "training" or problem.on_images or problem.loss != "cross_entropy" or problem.low:
            return False
        return problem.activations <= _ACTIVATIONS.keys() and problem.output_shape > (
            2,
        )  # of two classes it has one unit

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        sk: Any = import_module("sklearn.neural_network")
        hidden = dense(problem.layers)[:-1]
        model = sk.MLPClassifier(
            [len(layer.bias) for layer in hidden],
            _ACTIVATIONS[hidden[0].activation] if hidden else "identity",
            alpha=0.0,
            batch_size=problem.batch,
            learning_rate_init=LEARNING_RATE,
            shuffle=False,
        )
        model.partial_fit(*problem.batches[0], classes=np.arange(*problem.output_shape))
        # That call drew weights and made an optimizer: give it the problem's weights and let it make a fresh optimizer.
        model.coefs_ = [layer.weight.copy() for layer in dense(problem.layers)]
        model.intercepts_ = [layer.bias.copy() for layer in dense(problem.layers)]
        del model._optimizer

        def step(x: Array, labels: Array) -> float:
            return float(model.partial_fit(x, labels).loss_)

        count = max(1, 2048 // problem.batch)
        x, labels = (np.concatenate(arrays) for arrays in zip(*problem.batches[:count], strict=True))
        batch = training("partial_fit", step, list(problem.batches))
        space = {"model": model, "x": x, "labels": labels}
        yield Variant(f"partial_fit of {count} batches", "model.partial_fit(x, labels)", space, batch.answers, count)
