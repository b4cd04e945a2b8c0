"""Digests of what fnnfast computes, to hold one build against another: see tests/kept/test_digests.py.

A digest is the first 16 hexadecimal digits of a SHA-256 over dtype, shape and bytes of arrays. It belongs to a Key:
name, dtype, batch and kind, as a line of the table has them. Only what our kernels compute is digested, and what exact
arithmetic makes of that: no result of NumPy's exponentials, sums or matrix products, which differ between its versions
and between machines. Only public names of the package are used, so that the same file serves later versions.
"""

import hashlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fnnfast as fnn
from digest_networks import (
    ACTIVATIONS,
    CASES,
    JUMPS,
    MIXED,
    Array,
    Case,
    classes,
    integers,
    reals,
    row_weights,
    set_parameters,
)
from fnnfast import _cpu

TABLE = Path(__file__).parent / "digests.txt"

FLOATS = ("float32", "float64")
STEPS, LONG = 20, 200
SIZES = (48, 33, 64, 7, 1)  # of the batches of a training, in turn


class Key(NamedTuple):
    """What a digest is of; ``batch`` is "-" where there is none."""

    name: str
    dtype: str
    batch: str
    kind: str


Digests = Iterator[tuple[Key, str]]


def digest(arrays: Any) -> str:
    """Of an array, a number, or a mapping or sequence of these, in order."""
    sha = hashlib.sha256()
    for name, value in _leaves("", arrays):
        array = np.asarray(value)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name or 'value'}: only finite numbers have a digest")  # a NaN's payload may differ
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()[:16]


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(f"{name}.{key}", part)
    elif isinstance(value, (list, tuple)) and not all(isinstance(part, (int, float)) for part in value):
        for key, part in enumerate(value):
            yield from _leaves(f"{name}.{key}", part)
    else:
        yield name, value


# Answers -------------------------------------------------------------------------------------------------------------
def answers(case: Case) -> Digests:
    for dtype in FLOATS:
        net = case.network(dtype)
        x = case.inputs(net, max(case.batches))
        for batch in case.batches:
            yield Key(case.name, dtype, f"{batch}", "answers"), digest(_answers(net, x[:batch]))
        if net.head.name in ("softmax", "sigmoid") or isinstance(net.layers[-1], fnn.Gaussian):
            yield Key(case.name, dtype, f"{batch}", "predict"), digest(net.predict(x))
        if case.own:
            yield Key(case.name, dtype, "-", "parameters"), digest(net.parameters)
        if dtype == "float32" and case.low:
            quantized = net.quantize(case.inputs(net, 40, "calibration"))
            for compute_dtype, low in {
                "bfloat16": net.astype("bfloat16", weights_only=True),
                "int8": quantized,
            }.items():
                for batch in case.batches:
                    yield Key(case.name, compute_dtype, f"{batch}", "answers"), digest(_answers(low, x[:batch]))


def _answers(net: fnn.Sequential, x: Array) -> dict[str, Array]:
    return {"call": net(x), "logits": net.logits(x)}


# Training ------------------------------------------------------------------------------------------------------------
def training(case: Case, steps: int = STEPS) -> Digests:
    if not case.trains:
        return
    for dtype in FLOATS:
        net = case.network(dtype)
        rows = sum(SIZES)
        x, y = case.inputs(net, rows, "training"), case.targets(net, rows)
        weights = row_weights(case.name, rows) if case.weighted else None
        settings = {"optimizer": fnn.Adam(0.01), "seed": 3, **case.trainer}
        trainer = fnn.Trainer(net, case.loss, **settings)
        if steps == STEPS:
            yield Key(case.name, dtype, f"{rows}", "gradients"), digest(trainer.loss_and_gradients(x, y, weights))
        losses = []
        for step in range(steps):
            size = SIZES[step % len(SIZES)]
            first = sum(SIZES[: step % len(SIZES)])
            part = slice(first, first + size)
            if weights is not None and not weights[part].any():
                continue
            losses.append(trainer.step(x[part], y[part], None if weights is None else weights[part]))
        trained = {"losses": losses, "parameters": net.parameters}
        if case.trainer:
            trained["state"] = trainer.state()
        yield Key(case.name, dtype, "-", f"steps-{steps}"), digest(trained)


# Fits ----------------------------------------------------------------------------------------------------------------
ROWS = 150
HISTORY = ("loss", "validation_loss", "learning_rate", "dead", "saturated")
NORMS = "norms-"  # a sum for each lane of a register: these differ between instruction sets, and the kind names it


def _of_history(history: fnn.History) -> dict[str, str]:
    """By kind: what the kernels measured, and shares, which are quotients of counts; r2 is a sum of NumPy's."""
    measured = {name: getattr(history, name) for name in HISTORY} | {"stopped": list(history.stopped.encode())}
    measured["dead"] = _without_maxout(measured["dead"])
    norms = [history.gradient_norm, history.update_norm]
    return {"history": digest(measured), f"{NORMS}{_cpu.isa()}": digest(norms)}


def _without_maxout(shares: dict[str, Any]) -> dict[str, Any]:
    """What 0.1.0 counted as well."""
    return {layer: share for layer, share in shares.items() if "maxout" not in layer}


def _problem(labels: int, dtype: str = "float64", rows: int = ROWS) -> tuple[Array, Array]:
    return reals("x fit", rows, 13).astype(dtype), classes("y fit", rows, labels)


def _network(dtype: str, *layers: Any, key: str = "fit") -> fnn.Sequential:
    net = fnn.Sequential([fnn.Input(13), *layers], dtype=dtype, seed=0)
    set_parameters(net, key)
    return net


PLAIN = (fnn.Dense(20, "relu"), fnn.Dense(11, "tanh"), fnn.Dense(3, "softmax"))

# Schedules without a cosine or a power that a machine's library might round another way.
FITS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "sgd": (PLAIN, {"optimizer": fnn.SGD(0.05, momentum=0.9), "batch_size": 7}),
    "one-batch": (PLAIN, {"batch_size": ROWS}),
    "share": (PLAIN, {"validation": 0.25}),
    "data": (PLAIN, {"validation": (reals("x valid", 40, 13), classes("y valid", 40, 3))}),
    "weights": (PLAIN, {"sample_weight": row_weights("fit", ROWS), "validation": 0.25}),
    "balanced": (PLAIN, {"class_weight": "balanced"}),
    "classes": (PLAIN, {"class_weight": {0: 2.0, 2: 0.0}, "sample_weight": row_weights("fit", ROWS)}),
    "schedule": (PLAIN, {"schedule": fnn.Warmup(1, fnn.StepDecay(1, 0.5))}),
    "mixed": ((*MIXED, fnn.Dense(3, "softmax")), {"validation": 0.25, "l2": 0.01}),
    "clipped": ((*MIXED, fnn.Dense(3, "softmax")), {"clip_norm": 0.25, "optimizer": fnn.AdamW(0.01)}),
    "binary": ((fnn.Dense(9, "prelu"), fnn.Dense(1, "sigmoid")), {"validation": 0.25, "class_weight": "balanced"}),
    "early": (PLAIN, {"validation": 0.5, "epochs": 12, "optimizer": fnn.Adam(0.05)}),
    "reals": ((fnn.Maxout(9), fnn.Dense(1)), {"validation": 0.25}),
    "gaussian": ((fnn.Dense(9, "swish"), fnn.Gaussian(1)), {"l2": 0.125}),
}


def fits() -> Digests:
    for dtype in FLOATS:
        for name, (layers, settings) in FITS.items():
            net = _network(dtype, *layers)
            x, y = _problem(net.outputs if net.head.name == "softmax" else 2)
            callbacks = [fnn.EarlyStopping(2)] if name == "early" else []
            wanted = {"epochs": 4, "batch_size": 16, "seed": 5, "callbacks": callbacks, **settings}
            history = net.fit(x, y, progress=False, **wanted)
            yield Key(f"fit-{name}", dtype, "-", "parameters"), digest(net.parameters)
            for kind, value in _of_history(history).items():
                yield Key(f"fit-{name}", dtype, "-", kind), value
            measured = net.evaluate(x.astype(dtype), y)
            yield Key(f"fit-{name}", dtype, "-", "loss"), digest(measured["loss"])
        yield from _epochs(dtype)
        yield from _resumed(dtype)
        yield from _many(dtype)


def _epochs(dtype: str) -> Digests:
    """What a Trainer does but single steps: epochs in an order, gradients that are applied, a state that is set."""
    net = _network(dtype, *MIXED, fnn.Dense(3, "softmax"))
    x, y = _problem(3, dtype)
    weights = row_weights("fit", ROWS)
    trainer = fnn.Trainer(net, optimizer=fnn.Adam(0.01), seed=3, l2=0.01)
    order = np.argsort(integers("order", ROWS), kind="stable")[:100]
    losses = [trainer.epoch(x, y, batch_size=32), trainer.epoch(x, y, order, 16, weights)]
    for _ in range(3):
        loss, gradients = trainer.loss_and_gradients(x, y, weights)
        losses.append(loss)
        trainer.apply(gradients)
    other = fnn.Trainer(net, optimizer=fnn.Adam(0.01), seed=4)
    other.set_state(trainer.state())
    other.l2, other.learning_rate = 0.5, 0.005
    losses.append(other.step(x, y))
    yield Key("trainer", dtype, "-", "losses"), digest(losses)
    yield Key("trainer", dtype, "-", "parameters"), digest(net.parameters)
    yield Key("trainer", dtype, "-", "state"), digest(other.state())


RESUMED_LAYERS = (  # small, since a checkpoint of it is kept as a file
    fnn.GaussianNoise(0.125),
    fnn.Dense(7, "swish"),
    fnn.Maxout(6),
    fnn.Dropout(0.25),
    fnn.Residual([fnn.Dense(5, "prelu"), fnn.Dropout(0.125), fnn.Dense(7)]),
    fnn.Dense(3, "softmax"),
)
RESUMED: dict[str, Any] = {
    "batch_size": 8,
    "validation": 0.25,
    "seed": 5,
    "clip_norm": 0.5,
    "l2": 0.01,
    "schedule": fnn.StepDecay(2, 0.5),
    "optimizer": fnn.Adam(0.02),
    "class_weight": "balanced",
    "progress": False,
}


def resumed(path: Path | str, dtype: str, epochs: int) -> dict[str, str]:
    """Begin the run, or go on with it if there is a checkpoint; digests by kind."""
    net, (x, y) = _network(dtype, *RESUMED_LAYERS), _problem(3, rows=80)
    callbacks = [fnn.EarlyStopping(20)]
    history = net.fit(x, y, epochs=epochs, checkpoint=fnn.Checkpoint(path), callbacks=callbacks, **RESUMED)
    return {"parameters": digest(net.parameters), **_of_history(history)}


def _resumed(dtype: str) -> Digests:
    with tempfile.TemporaryDirectory() as folder:
        for name, stops in (("whole", (5,)), ("interrupted", (2, 4, 5))):
            for epochs in stops:
                digests = resumed(f"{folder}/{name}", dtype, epochs)
            for kind, value in digests.items():
                yield Key(f"checkpoint-{name}", dtype, "-", kind), value


def _many(dtype: str) -> Digests:
    """Networks side by side, and an ensemble of them."""
    hidden = [fnn.Dense(20, "relu"), fnn.Maxout(12), fnn.Dense(9, "prelu"), fnn.Residual([fnn.Dense(13, "tanh")])]
    nets = [_network(dtype, layer, fnn.Dense(3, "softmax"), key=f"many {i}") for i, layer in enumerate(hidden)]
    x, y = _problem(3, dtype)
    histories = fnn.fit_many(nets, x, y, epochs=[2, 3, 2, 1], batch_size=16, seed=[1, 2, 3, 4], progress=False)
    yield Key("fit_many", dtype, "-", "parameters"), digest([net.parameters for net in nets])
    for i, history in enumerate(histories):
        for kind, value in _of_history(history).items():
            yield Key(f"fit_many-{i}", dtype, "-", kind), value
    ensemble = fnn.Ensemble(nets)
    yield Key("ensemble", dtype, f"{ROWS}", "call"), digest(ensemble(x))
    yield Key("ensemble", dtype, f"{ROWS}", "predict"), digest(ensemble.predict(x))
    if dtype == "float32":
        low = fnn.Ensemble([nets[0], nets[1].astype("bfloat16", weights_only=True), nets[2].quantize(x)])
        yield Key("ensemble", "mixed", f"{ROWS}", "call"), digest(low(x))
    changed = nets[3].replace_head(fnn.Dense(4, "softmax", bias_init="zeros"), seed=1)
    changed.freeze("residual_1")
    changed.fit(x, classes("y head", ROWS, 4), epochs=2, seed=1, progress=False)
    yield Key("replace_head", dtype, "-", "parameters"), digest(changed.parameters)


# What is not a network's answer --------------------------------------------------------------------------------------
def diagnoses() -> Digests:
    for dtype in FLOATS:
        for name in ("hidden-relu", "hidden-sigmoid", "hidden-prelu", "hidden-selu", "mixed", "residual-beside"):
            case = next(case for case in CASES if case.name == name)
            net = case.network(dtype)
            found = net.diagnose(case.inputs(net, 90, "diagnose"))
            counted = {"dead": _without_maxout(found["dead"]), "saturated": found["saturated"]}
            yield Key(name, dtype, "90", "diagnose"), digest(counted)


def distributions() -> Digests:
    """What they take from the network, and log-probabilities of those that our softplus or exact arithmetic gives."""
    y = classes("y distributions", 60, 2)
    for dtype in FLOATS:
        x = reals("x distributions", 60, 13).astype(dtype)
        for head in (fnn.Dense(1, "sigmoid"), fnn.Dense(4, "softmax"), fnn.Dense(2), fnn.Gaussian(2)):
            net = _network(dtype, fnn.Dense(16, "tanh"), head)
            name = f"distribution-{'gaussian' if isinstance(head, fnn.Gaussian) else net.head.name}"
            found = net.distribution(x)
            yield Key(name, dtype, "60", "mean"), digest([found.mean, found.mode])
            if net.head.name == "sigmoid":
                parts = [found.log_prob(y), found.log_probabilities, found.entropy(), found.logits]
                yield Key(name, dtype, "60", "log_prob"), digest(parts)
                # Uniform draws against probabilities: NumPy promises the draws' stream for its legacy generator only,
                # but it has kept this one since it came.
                yield Key(name, dtype, "60", "sample"), digest(found.sample(3, rng=1))
            if name == "distribution-softmax":
                yield Key(name, dtype, "60", "logits"), digest(found.logits)
            if name == "distribution-identity":
                log_density = found.log_prob(reals("y gaussian", 60, 2))  # of precision 1, whose logarithm is 0
                yield Key(name, dtype, "60", "log_prob"), digest(log_density)


SHAPES = ((1, 50, 40), (7, 33, 65), (70, 20, 130), (257, 31, 9), (200, 64, 3))
MAXOUT_SHAPES = ((1, 2, 50, 40), (7, 3, 33, 65), (150, 4, 20, 30), (130, 5, 31, 9), (9, 1, 12, 8))


def _activation(name: str, units: int) -> Any:
    f = ACTIVATIONS[name]
    if name.endswith("_each"):
        slopes = reals("slopes of", units) * 0.5
        return fnn.PReLU(slopes) if name.startswith("prelu") else fnn.ELU(slopes, learn=True)
    return f


def functions() -> Digests:
    """The kernels as functions, forward and backward, and activations on their own."""
    names = [*ACTIVATIONS, "softmax"]
    for dtype in FLOATS:
        for b, i, o in SHAPES:
            x = reals("x function", b, i).astype(dtype)
            weight, bias = reals("w function", i, o).astype(dtype) / 8, reals("b function", o).astype(dtype)
            dy = reals("dy function", b, o).astype(dtype)
            for name in names:
                f = fnn.Softmax() if name == "softmax" else _activation(name, o)
                key = Key(f"dense-{i}x{o}-{name}", dtype, f"{b}", "forward")
                if name in JUMPS:
                    yield key, digest(fnn.dense(x, weight, bias, f))
                    continue
                y, saved = fnn.dense_forward(x, weight, bias, f)
                yield key, digest([y, saved, fnn.dense(x, weight, None, f)])
                grads = fnn.dense_backward(dy, x, weight, saved, f)
                parts = {k: v for k, v in grads._asdict().items() if v is not None}
                yield key._replace(kind="backward"), digest(parts)
        for b, p, i, o in MAXOUT_SHAPES:
            x = reals("x function", b, i).astype(dtype)
            weight, bias = reals("w maxout", p, i, o).astype(dtype) / 8, reals("b maxout", p, o).astype(dtype)
            dy = reals("dy function", b, o).astype(dtype)
            y, saved = fnn.maxout_forward(x, weight, bias)
            key = Key(f"maxout-{p}x{i}x{o}", dtype, f"{b}", "forward")
            yield key, digest([y, saved, fnn.maxout(x, weight)])
            grads = fnn.maxout_backward(dy, x, weight, saved)
            yield key._replace(kind="backward"), digest([grads.x, grads.weight, grads.bias])
        # All magnitudes, of both signs, and 0.
        exponents = (integers("e activation", 64, 37) % np.uint64(40)).astype(np.int64) - 34
        z = np.ldexp(reals("z activation", 64, 37), exponents).astype(dtype)
        z[0, :5] = 0.0
        for name in names:
            f = fnn.Softmax() if name == "softmax" else _activation(name, 37)
            yield Key(f"activation-{name}", dtype, "64", "forward"), digest(f(z))
            if name not in (*JUMPS, "softmax"):
                yield Key(f"activation-{name}", dtype, "64", "derivative"), digest(f.derivative(z))


# All of it -----------------------------------------------------------------------------------------------------------
def _of_cases(compute: Callable[[Case], Digests]) -> Digests:
    for case in CASES:
        yield from compute(case)


def _long() -> Digests:
    for case in CASES:
        if case.long:
            yield from training(case, LONG)


GROUPS: dict[str, Callable[[], Digests]] = {
    "answers": lambda: _of_cases(answers),
    "training": lambda: _of_cases(training),
    "fits": fits,
    "diagnoses": diagnoses,
    "distributions": distributions,
    "functions": functions,
    "long": _long,
}
"""What is computed together; "long", the trainings of 200 steps, takes a minute on the slowest instruction set."""


def compute(group: str) -> dict[Key, str]:
    """The digests of a group, from the kernels in use now."""
    found: dict[Key, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fnn.DeadUnitsWarning)
        for key, value in GROUPS[group]():
            if key in found:
                raise ValueError(f"two digests of {' '.join(key)}")
            found[key] = value
    return found


def _elsewhere(key: Key) -> bool:
    """Whether another instruction set than that in use gives it."""
    return key.kind.startswith(NORMS) and key.kind != f"{NORMS}{_cpu.isa()}"


def read(path: Path = TABLE) -> dict[Key, tuple[str, str]]:
    """By key, the group and the digest that a table holds."""
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {Key(*row[1:5]): (row[0], row[5]) for row in rows}


def differences(stored: Mapping[Key, tuple[str, str]], found: Mapping[Key, str], group: str) -> list[str]:
    """What a group's digests do not have in common with the table, in words, by network."""
    wrong: dict[str, list[str]] = {}
    expected = {key: value for key, (of, value) in stored.items() if of == group and not _elsewhere(key)}
    if not any(key.kind.startswith(NORMS) for key in expected):  # the table's machine did not have this one
        found = {key: value for key, value in found.items() if not key.kind.startswith(NORMS)}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) == found.get(key):
            continue
        how = "" if key in expected and key in found else " (not in the table)" if key in found else " (not computed)"
        wrong.setdefault(key.name, []).append(f"{key.dtype} {key.batch} {key.kind}{how}")
    return [f"{name}: {', '.join(kinds)}" for name, kinds in wrong.items()]
