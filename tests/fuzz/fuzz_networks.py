"""Networks of random layers: answers, training, losses and distributions, on arrays of every dtype and form."""

import contextlib
import copy
import pickle
from typing import Any

import numpy as np

import fnnfast as fnn
from factories import CASES, DIFFERENTIABLE, HEADS, JUMPS
from fnnfast import reference
from fuzz_operations import padding, pair
from fuzz_source import Array, FaultError, Source, agree, numbers, outcome, plain, same, size, unreal, within
from oracles import reference_layers

HIDDEN = [name for name in CASES if name not in ("softmax", "exponential")]
SMOOTH = [name for name in HIDDEN if name in DIFFERENTIABLE]


# Layers --------------------------------------------------------------------------------------------------------------
def vector_layer(source: Source, width: int, names: list[str], depth: int = 0) -> tuple[Any, int]:
    """A layer for that many inputs, and its number of outputs."""
    units = source.integer(1, 9) if depth or not source.one_in(6) else size(source, 1)
    match source.integer(0, 8 if depth < 2 else 5):
        case 0 | 1:
            return fnn.Dense(units, source.choice(names), bias=not source.one_in(4)), units
        case 2:
            return fnn.Maxout(units, source.integer(1, 4), bias=not source.one_in(4)), units
        case 3:
            return fnn.Activation(source.choice([name for name in names if not reference.ACTIVATIONS[name].learned])), (
                width
            )
        case 4:
            return source.choice([fnn.Dropout(0.25), fnn.GaussianNoise(0.5)]), width
        case 5:
            return fnn.BatchNorm(), width
        case 6 | 7:
            inner, end = vector_layers(source, width, names, depth + 1)
            shortcut = [fnn.Dense(end)] if source.one_in(4) else None
            return fnn.Residual(inner, shortcut, source.choice(["identity", "relu", "tanh"])), end
        case _:
            branches = [vector_layers(source, width, names, depth + 1) for _ in range(source.integer(1, 3))]
            return fnn.Parallel([inner for inner, _ in branches]), sum(end for _, end in branches)


def vector_layers(source: Source, width: int, names: list[str], depth: int = 0) -> tuple[list[Any], int]:
    layers = []
    for _ in range(source.integer(1, 3)):
        layer, width = vector_layer(source, width, names, depth)
        layers.append(layer)
    return layers, width


def pool(source: Source, kind: Any) -> Any:
    window = pair(source, 1, 3)
    layer = outcome(lambda: kind(window, pair(source, 1, 3), padding(source)))
    return kind(window) if isinstance(layer, ValueError) else layer  # more padding than a window has pixels


def image_layers(source: Source) -> list[Any]:
    """Layers on images, which may or may not fit together."""
    layers: list[Any] = []
    for _ in range(source.integer(1, 3)):
        match source.integer(0, 6):
            case 0 | 1:
                groups = source.choice([1, 1, 2, 3])
                layers.append(
                    fnn.Conv2D(
                        groups * source.integer(1, 4),
                        pair(source, 1, 3),
                        source.choice(SMOOTH),
                        strides=pair(source, 1, 2),
                        padding=padding(source),
                        dilation=pair(source, 1, 2),
                        groups=groups,
                    )
                )
            case 2:
                layers.append(fnn.MaxoutConv2D(source.integer(1, 4), pair(source, 1, 3), padding=padding(source)))
            case 3:
                layers.append(pool(source, fnn.MaxPool2D))
            case 4:
                layers.append(pool(source, fnn.AveragePool2D))
            case 5:
                layers.append(fnn.LocalResponseNorm(source.integer(1, 5)))
            case _:
                layers.append(fnn.BatchNorm())
    return [*layers, source.choice([fnn.Flatten(), fnn.GlobalAveragePool2D()])]


def network(source: Source, head: Any, names: list[str]) -> Any:
    """A network, or None where the layers do not fit together."""
    if source.one_in(3):
        shape = source.integer(1, 8), source.integer(1, 8), source.integer(1, 6)
        layers = image_layers(source)
    else:
        shape = (source.integer(1, 3), source.integer(1, 5)) if source.one_in(4) else (size(source, 1),)
        layers, _ = vector_layers(source, int(np.prod(shape)), names)
    dtype = source.choice(["float32", "float64"])
    net = outcome(lambda: fnn.Sequential([fnn.Input(*shape), *layers, head], dtype=dtype, seed=1))
    if isinstance(net, Exception):
        if not isinstance(net, ValueError):
            raise FaultError(f"{layers} of {shape}: {net!r}")
        return None
    rng = source.rng()
    for name, values in net.parameters.items():
        if not name.endswith("weight"):
            net.parameters[name] = values + rng.normal(0, 0.3, values.shape)
    return net


def rows(source: Source, net: Any, count: int | None = None, tame: bool = False) -> tuple[Any, Any, bool]:
    """Rows for the network in some form, a plain copy of them, and whether they are moderate."""
    count = size(source) if count is None else count
    flat = int(np.prod(net.input.shape))
    shape = (count, flat) if source.one_in(3) else (count, *net.input.shape)
    drawn = numbers(source, shape, tame=tame)
    return drawn.value, plain(drawn.array, net.dtype).reshape(count, flat), drawn.moderate


def threads(source: Source) -> Any:
    return fnn.num_threads(source.choice([1, 2, 3])) if source.one_in(3) else contextlib.nullcontext()


def in_the_dtype_of_the_network(call: Any) -> Any:
    """For a bfloat16 array, an inference network rounds its answer to bfloat16."""

    def called(x: Any) -> Any:
        if getattr(x, "dtype", None) is None or x.dtype.name != "bfloat16":
            return call(x)
        answer, wide = call(x), call(np.asarray(x).astype(np.float32))
        same(answer.astype(np.float32), wide.astype(answer.dtype).astype(np.float32), "an answer in bfloat16")
        return wide

    return called


# Answers -------------------------------------------------------------------------------------------------------------
def answers(source: Source) -> None:
    head = source.choice(
        [fnn.Dense(3, "softmax"), fnn.Dense(1), fnn.Dense(2, "sigmoid"), fnn.Gaussian(2), fnn.Dense(4, "tanh")]
    )
    net = network(source, head, HIDDEN)
    if net is None:
        return
    x, copied, moderate = rows(source, net)
    if source.one_in(8):
        bad = source.choice([np.ones(3), np.ones((2, 3, 1, 1, 1)), unreal(source, (2, *net.input.shape)), None, "x"])
        if not isinstance(outcome(lambda: net(bad)), (TypeError, ValueError)) and np.shape(bad)[1:] != net.input.shape:
            raise FaultError(f"{net.layers}: took {bad!r}")
    count = len(copied)
    seed = source.integer(0, 99)
    calls = {
        "call": lambda x: net(x),
        "logits": lambda x: net.logits(x),
        "predict": lambda x: net.predict(x),
        "hidden": lambda x: net.hidden(x),
        "sample": lambda x: net.sample(x, 2, seed),
        "mode": lambda x: net.distribution(x).mode,
        "diagnose": lambda x: net.diagnose(x),
        "ensemble": lambda x: fnn.Ensemble([net, net])(x),
        "frozen": lambda x: net.freeze()(x),
        "bfloat16": lambda x: net.astype("bfloat16")(x),
        "int8": lambda x: net.quantize(x)(x),
        "pickled": lambda x: pickle.loads(pickle.dumps(net))(x),
    }
    for name in ("frozen", "bfloat16", "int8"):
        calls[name] = in_the_dtype_of_the_network(calls[name])
    what = f"{net.layers} {net.dtype}"
    with threads(source):
        y = agree(f"{what}: call", calls["call"], {"x": x}, {"x": copied})
    if isinstance(y, Exception):
        raise FaultError(f"{what}: refused {count} good rows: {y}") from y
    name = source.choice(list(calls))
    result = agree(f"{what}: {name}", calls[name], {"x": x}, {"x": copied})
    if name == "pickled" or (name == "frozen" and not net.buffers):  # batch normalization is folded into layers
        same(result, y, f"{what}: {name}")
    if count:
        first = source.integer(0, count - 1)
        last = source.integer(first, count)
        same(net(copied[first:last]), y[first:last], f"{what}: rows {first}:{last} alone")
    out = np.full(y.shape, 7, y.dtype)
    if source.one_in(2):
        out = np.full((*y.shape[::-1],), 7, y.dtype).T
    same(np.ascontiguousarray(net(x, out=out)), y, f"{what}: out")
    if moderate and count:
        _against_the_oracle(net, copied, what)


def _against_the_oracle(net: Any, x: Array, what: str) -> None:
    """In float64, where the layers are such that the reference has them and nothing jumps."""
    plain_kinds = (fnn.Dense, fnn.Maxout, fnn.Residual, fnn.Activation)

    def known(layers: Any) -> bool:
        return all(
            isinstance(layer, plain_kinds)
            and getattr(getattr(layer, "activation", None), "name", "") not in JUMPS
            and (not isinstance(layer, fnn.Residual) or (known(layer.layers) and known(layer.shortcut or ())))
            for layer in layers
        )

    if known(net.layers[1:]):
        twin = net if net.dtype == np.float64 else net.to("cpu", dtype="float64")
        x = x.astype(np.float64)
        expected = reference.forward(reference_layers(twin), x)
        if np.abs(expected).max(initial=0) < 1e6:
            within(what, twin(x), expected, 1e-9 * (1 + np.abs(expected).max(initial=0)) * (1 + np.abs(x).max()))


# Training ------------------------------------------------------------------------------------------------------------
def targets(source: Source, kind: str, count: int) -> Any:
    """Targets for a head of HEADS, now and then of no use."""
    outputs = 3 if kind in ("classes", "multiclass hinge") else 2
    rng = source.rng()
    if outputs == 3:
        y = rng.integers(0, 3, count)
        if source.one_in(3):
            y = np.eye(3)[y]
        elif source.one_in(2):
            y = y.astype(source.choice(["uint8", "int16", ">i4", "uint64", "int8"]))
    elif kind in ("labels", "hinge", "poisson"):
        y = rng.integers(0, 2, (count, 2)).astype(source.choice(["int64", "bool", "float32", "float16", "uint8"]))
    else:
        return numbers(source, (count, 2), tame=not source.one_in(8)).value
    if source.one_in(8) and y.size:
        y = y.astype("int64" if y.ndim == 1 else "float64")
        y.reshape(-1)[source.integer(0, y.size - 1)] = source.choice([-1, 3, 2**40, 7])
    elif source.one_in(16):
        y = source.choice([y[1:], y.astype(str), y.astype(complex), None, y[..., np.newaxis]])
    return y


def optimizer(source: Source) -> Any:
    return source.choice(
        [
            lambda: fnn.SGD(0.1),
            lambda: fnn.SGD(0.01, momentum=0.9, nesterov=True),
            lambda: fnn.Adam(),
            lambda: fnn.AdamW(0.01),
        ]
    )()


def training(source: Source) -> None:
    """Trained on arrays of any form, a network has the bits of one trained on plain copies."""
    kind = source.choice(list(HEADS))
    head, loss = HEADS[kind]
    net = network(source, head, SMOOTH)
    if net is None:
        return
    count = source.integer(0, 40)
    x, copied, _ = rows(source, net, count, tame=not source.one_in(4))
    y = targets(source, kind, count)
    weight = numbers(source, (count,), tame=True).value if source.one_in(4) else None
    if weight is not None and source.one_in(2):
        weight = np.abs(np.asarray(weight, np.float64))
    plain_weight = None if weight is None else np.array(np.asarray(weight), np.float64)
    how = {"optimizer": optimizer(source), "l2": source.choice([0.0, 0.01]), "clip_norm": source.choice([None, 0.5])}
    batch = source.choice([1, 3, 8, 32, 1000])
    order = source.rng().permutation(count)
    method = source.choice(["fit", "step", "epoch", "gradients", "evaluate", "fit_many"])
    learns = method in ("fit", "step", "epoch", "fit_many")
    nets = copy.deepcopy(net), copy.deepcopy(net)
    start = dict(net.parameters)

    def trained(which: int, x: Any, weight: Any) -> Any:
        twin = nets[which]
        if method in ("fit", "fit_many"):
            options = {"loss": loss, "epochs": 2, "batch_size": batch, "seed": 3, "progress": False, **how}
            if method == "fit_many":
                return fnn.fit_many([twin], x, y, sample_weight=weight, **options)[0].loss
            return twin.fit(x, y, sample_weight=weight, **options).loss
        if method == "evaluate":
            return twin.evaluate(x, y, loss=loss, sample_weight=weight)
        trainer = fnn.Trainer(twin, loss, seed=3, **how)
        if method == "step":
            return trainer.step(x, y, weight)
        if method == "epoch":
            return trainer.epoch(x, y, order, batch, weight)
        return trainer.gradients(x, y, weight)

    what = f"{method} of {net.layers} {net.dtype} {kind}"
    with threads(source):
        got = outcome(lambda: trained(0, x, weight))
    expected = outcome(lambda: trained(1, copied, plain_weight))
    if isinstance(got, Exception) or isinstance(expected, Exception):
        if type(got) is not type(expected):
            raise FaultError(f"{what}: {got!r:.300}, and {expected!r:.300} for plain copies")
        learns = False  # a step that is refused changes nothing, and what came before it has
    else:
        same(got, expected, what)
    for name, values in nets[0].parameters.items():
        same(values, nets[1].parameters[name], f"{what}: {name}")
        if not learns and not (isinstance(got, Exception) and method in ("fit", "epoch", "fit_many")):
            same(values, start[name], f"{what}: {name} before and after")


# Distributions -------------------------------------------------------------------------------------------------------
def distributions(source: Source) -> None:
    count, width = size(source), source.integer(1, 5)
    z = numbers(source, (count, width))
    dtype = np.asarray(z.array).dtype
    copied = np.array(z.array) if dtype.kind == "f" else z.array.copy()
    kind = source.choice(["Bernoulli", "Categorical", "Gaussian", "logistic", "logit"])
    if kind in ("logistic", "logit"):
        agree(
            kind,
            getattr(fnn, kind),
            {"z" if kind == "logistic" else "p": z.value},
            {"z" if kind == "logistic" else "p": copied},
        )
        return
    make = getattr(fnn.distributions, kind)
    y = numbers(source, (count,) if kind == "Categorical" else (count, width), source.choice(["int64", "float32"]))
    seed = source.integer(0, 99)
    q = source.choice([0.0, 0.5, 1.0, 0.25, -1.0, np.nan])
    calls = {
        "log_prob": lambda d: d.log_prob(y.value),
        "quantile": lambda d: d.quantile(q),
        "interval": lambda d: d.interval(),
        "sample": lambda d: d.sample(rng=seed),
        "mode": lambda d: d.mode,
        "mean": lambda d: d.mean,
    }
    name = source.choice(list(calls))
    agree(f"{kind} of {dtype}: {name}", lambda z: calls[name](make(z)), {"z": z.value}, {"z": copied})


TARGETS = {"answers": answers, "training": training, "distributions": distributions}
