"""``python -m fnnfast demo``: the main job on real data, from digits to a saved network.

The data are the 1797 handwritten digits of 8 x 8 pixels that scikit-learn ships (E. Alpaydin and C. Kaynak, "Optical
recognition of handwritten digits", UCI Machine Learning Repository, 1998).
"""

from __future__ import annotations

import argparse
import sys
import time
import timeit
from collections.abc import Callable
from functools import partial
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fnnfast as fnn

from .._bench.report import duration

Array = NDArray[Any]

NEEDS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "tqdm": "tqdm"}
EPOCHS = 60
BATCH = 32
RATE = 5e-3
GOAL = 0.97


def run(options: argparse.Namespace) -> int:
    missing = [name for module, name in NEEDS.items() if util.find_spec(module) is None]
    if missing:
        print(f"the demo needs its extra (missing: {', '.join(missing)}): pip install 'fnnfast[demo]'", file=sys.stderr)
        return 2
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)

    x, x_test, y, y_test = digits()
    net = network(options.seed)
    print(f"{len(x)} digits to train on, {len(x_test)} held out\n\n{net.summary()}\n", flush=True)
    start = timeit.default_timer()
    history = net.fit(
        x,
        y,
        optimizer=fnn.Adam(RATE),
        epochs=EPOCHS,
        batch_size=BATCH,
        validation=0.1,
        schedule=fnn.CosineDecay(EPOCHS),
        seed=options.seed,
    )
    spent = timeit.default_timer() - start
    scores = net.evaluate(x_test, y_test)
    print(f"trained {len(history.loss)} epochs of batch {BATCH} in {duration(spent)}")
    print(f"accuracy on the digits held out: {scores['accuracy']:.2%} (loss {scores['loss']:.4f})\n")
    times(net, x[:BATCH], y[:BATCH], x_test, options.seed)

    model, picture = folder / "digits.safetensors", folder / "digits.png"
    net.save(model)
    same = np.array_equal(fnn.load(model)(x_test).view(np.uint32), net(x_test).view(np.uint32))
    print(f"\nmodel written to {model}; reloaded, its answers are {'the same to the bit' if same else 'DIFFERENT'}")
    draw(history, x_test, y_test, net.predict(x_test), scores["accuracy"], picture)
    print(f"loss curve and sample predictions: {picture}")
    if scores["accuracy"] < GOAL:
        print(f"the accuracy is below the {GOAL:.0%} that this network reaches", file=sys.stderr)
    return int(not same or scores["accuracy"] < GOAL)


def digits() -> tuple[Array, Array, Array, Array]:
    """Train and test images (N, 8, 8) in [0, 1], float32, and their labels (N,): three quarters and one quarter."""
    data: Any = import_module("sklearn.datasets").load_digits()
    split: Any = import_module("sklearn.model_selection").train_test_split
    images = (data.images / 16).astype(np.float32)
    x, x_test, y, y_test = split(images, data.target, test_size=0.25, stratify=data.target, random_state=0)
    return x, x_test, y, y_test


def network(seed: int) -> fnn.Sequential:
    """A swish layer, a maxout layer and a softmax head."""
    return fnn.Sequential(
        [
            fnn.Input(8, 8),
            fnn.Dense(128, "swish"),
            fnn.Maxout(64, pieces=4),
            fnn.Dropout(0.4),
            fnn.Dense(10, "softmax"),
        ],
        dtype="float32",
        seed=seed,
    )


def numpy_network(net: fnn.Sequential) -> Callable[[Array], Array]:
    """The same network as one writes it in NumPy, on the trained weights."""
    p = dict(net.parameters)
    flat = np.ascontiguousarray(p["maxout_1.weight"].transpose(1, 0, 2)).reshape(128, -1)

    def forward(x: Array) -> Array:
        z = x.reshape(len(x), -1) @ p["dense_1.weight"] + p["dense_1.bias"]
        h = z / (1 + np.exp(-z))
        pieces = (h @ flat).reshape(len(x), 4, -1) + p["maxout_1.bias"]
        logits = pieces.max(axis=1) @ p["dense_2.weight"] + p["dense_2.bias"]
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Array = e / e.sum(axis=1, keepdims=True)
        return probabilities

    return forward


def times(net: fnn.Sequential, x: Array, y: Array, x_test: Array, seed: int) -> None:
    """Print what a step, one row and the whole test set take, the latter two beside NumPy."""
    # A network of its own, and next to no learning: ten thousand real steps on one batch would end in subnormals.
    trainer = fnn.Trainer(network(seed), optimizer=fnn.Adam(1e-7), seed=seed)
    rows = x.reshape(len(x), -1)
    print(f"training step, batch {len(x)}: {duration(best(partial(trainer.step, rows, y))[0])}")
    plain = numpy_network(net)
    test = x_test.reshape(len(x_test), -1)
    apart = float(np.abs(net(test) - plain(test)).max())
    for name, batch in (("one row", test[:1]), (f"all {len(test)} test rows", test)):
        ours, theirs = best(partial(net, batch), partial(plain, batch))
        print(f"{name}: {duration(ours)}, NumPy {duration(theirs)}: {theirs / ours:.1f} times as fast")
    print(f"probabilities differ from NumPy's by at most {apart:.1e}")


def best(*calls: Callable[[], object], rounds: int = 10) -> list[float]:
    """Seconds of each call: the best of some rounds of about 30 ms, in turns with a pause for thread pools to sleep."""
    timers = [timeit.Timer(call) for call in calls]
    numbers = [max(1, round(0.03 / (timer.timeit(3) / 3))) for timer in timers]
    times = []
    for _ in range(rounds):
        for timer, number in zip(timers, numbers, strict=True):
            time.sleep(0.02)
            times.append(timer.timeit(number) / number)
    return [min(times[index :: len(calls)]) for index in range(len(calls))]


def draw(history: fnn.History, x: Array, y: Array, predicted: Array, accuracy: float, file: Path) -> None:
    """The loss by epoch, and images with their predictions: up to eight that are wrong, then right ones."""
    figure_module: Any = import_module("matplotlib.figure")
    figure = figure_module.Figure(figsize=(13, 5.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.2))
    axes = left.subplots()
    epochs = np.arange(1, len(history.loss) + 1)
    axes.plot(epochs, history.loss, label="training (with dropout)")
    axes.plot(epochs, history.validation_loss, label="validation")
    axes.set(xlabel="epoch", ylabel="cross-entropy", yscale="log", title="Loss")
    axes.legend()

    wrong = np.flatnonzero(predicted != y)[:8]
    shown = np.concatenate([wrong, np.flatnonzero(predicted == y)])[:32]
    right.suptitle(f"Held-out digits: {accuracy:.2%} right (mistakes in red: predicted, in brackets the truth)")
    for index, axis in zip(shown, right.subplots(4, 8).flat, strict=True):
        axis.imshow(x[index].reshape(8, 8), cmap="gray_r")
        mistaken = predicted[index] != y[index]
        truth = f" ({y[index]})" if mistaken else ""
        axis.set_title(f"{predicted[index]}{truth}", color="tab:red" if mistaken else "black", fontsize=11)
        axis.set_axis_off()
    figure.savefig(file, dpi=110)
