"""The networks whose digests are kept, and the numbers they get.

Inputs, targets and parameters are made from the raw integers of NumPy's PCG64 and from exact arithmetic alone. So they
are the same with every version of NumPy and on every machine, and no change of fnnfast can reach them. A case with
``own`` keeps the parameters that the library draws itself with seed 0: how they are drawn is a promise too.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import fnnfast as fnn

Array = np.ndarray[Any, Any]

INPUTS = 13
BATCHES = (1, 7, 256)


# Numbers -------------------------------------------------------------------------------------------------------------
def integers(key: str, *shape: int) -> Array:
    """Unsigned 64-bit integers that depend on the key alone."""
    raw = np.random.PCG64(zlib.crc32(key.encode())).random_raw(math.prod(shape))
    return np.asarray(raw, np.uint64).reshape(shape)


def reals(key: str, *shape: int) -> Array:
    """Multiples of 2**-20 between -1.75 and 1.75, of variance about 1: float32 and float64 hold the same numbers."""
    steps = (integers(key, *shape) % np.uint64(7 << 19)).astype(np.int64) - (7 << 18)
    return steps * 2.0**-20


def classes(key: str, rows: int, count: int) -> Array:
    return (integers(key, rows) % np.uint64(count)).astype(np.int64)


def row_weights(key: str, rows: int) -> Array:
    """Multiples of 1/8 from 0 to 2; about one in four is 0."""
    values = (integers(key, rows) % np.uint64(22)).astype(np.int64)
    return np.maximum(values - 5, 0) / 8.0


def inputs(name: str, width: int, rows: int, dtype: str) -> Array:
    return reals(f"x {name}", rows, width).astype(dtype)


def targets(name: str, net: fnn.Sequential, loss: fnn.losses.Loss | None, rows: int) -> Array:
    """What the loss takes; for None the loss that belongs to the head."""
    key, outputs = f"y {name}", net.outputs
    head = type(net.layers[-1]).__name__ if isinstance(net.layers[-1], fnn.Gaussian) else net.head.name
    if loss is None and head in ("softmax", "sigmoid"):
        loss = fnn.CrossEntropy() if head == "softmax" else fnn.BinaryCrossEntropy()
    match loss:
        case fnn.CrossEntropy() | fnn.MulticlassHinge():
            return classes(key, rows, outputs)
        case fnn.BinaryCrossEntropy() | fnn.Hinge():
            return classes(key, rows * outputs, 2).reshape(rows, outputs)
        case fnn.Poisson():
            return classes(key, rows * outputs, 5).reshape(rows, outputs)
    return reals(key, rows, outputs // 2 if head == "Gaussian" else outputs)


def set_parameters(net: fnn.Sequential, key: str) -> None:
    """Explicit values for all parameters: weights of variance about 1/I, biases and slopes of both signs."""
    for name, shape in net.parameters.shapes.items():
        values = reals(f"{key} {name}", *shape)
        if name.endswith(".weight"):
            values = values * 2.0 ** -round(math.log2(shape[-2]) / 2)
        elif name.endswith(".alpha"):
            values = values * 0.5 + 0.25
        else:
            values = values * 0.25
        net.parameters[name] = values


# Networks ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    """A network, and how it is trained: 20 steps, unless it ends in something without a derivative.

    Attributes
    ----------
    own
        The weights are the library's own, of seed 0.
    weighted
        Steps get sample weights, some of them 0.
    trainer
        Arguments of ``Trainer``.
    low
        Also in bfloat16 and int8.
    long
        Also trained for 200 steps, in a slow run.
    """

    name: str
    layers: tuple[Any, ...]
    loss: fnn.losses.Loss | None = None
    own: bool = False
    trains: bool = True
    frozen: tuple[str, ...] = ()
    weighted: bool = False
    trainer: Mapping[str, Any] = field(default_factory=dict)
    batches: tuple[int, ...] = BATCHES
    low: bool = True
    long: bool = False

    def network(self, dtype: str) -> fnn.Sequential:
        first = self.layers if isinstance(self.layers[0], fnn.Input) else (fnn.Input(INPUTS), *self.layers)
        net = fnn.Sequential(first, dtype=dtype, seed=0)
        if self.own:
            for name, shape in net.parameters.shapes.items():
                if name.endswith(".bias"):
                    net.parameters[name] = np.zeros(shape)  # where 0.1.0 started them
        else:
            set_parameters(net, self.name)
        if self.frozen:
            net.freeze(*self.frozen)
        return net

    def inputs(self, net: fnn.Sequential, rows: int, purpose: str = "answers") -> Array:
        return inputs(f"{self.name} {purpose}", net.input.size, rows, net.dtype.name)

    def targets(self, net: fnn.Sequential, rows: int) -> Array:
        return targets(self.name, net, self.loss, rows)


def _slopes(units: int) -> list[float]:
    return [float(v) for v in reals("slopes", units) * 0.5]


ACTIVATIONS: dict[str, Any] = {
    "identity": fnn.Identity(),
    "step": fnn.Step(),
    "sign": fnn.Sign(),
    "sigmoid": fnn.Sigmoid(),
    "tanh": fnn.Tanh(),
    "relu": fnn.ReLU(),
    "leaky_relu": fnn.LeakyReLU(),
    "leaky_relu_0.3": fnn.LeakyReLU(0.3),
    "prelu": fnn.PReLU(),
    "prelu_each": fnn.PReLU(_slopes(37)),
    "elu": fnn.ELU(),
    "elu_1.7": fnn.ELU(1.7),
    "elu_learned": fnn.ELU(0.8, learn=True),
    "elu_learned_each": fnn.ELU(_slopes(37), learn=True),
    "selu": fnn.SELU(),
    "gelu": fnn.GELU(),
    "gelu_tanh": fnn.GELU("tanh"),
    "softplus": fnn.Softplus(),
    "swish": fnn.Swish(),
    "swish_1.7": fnn.Swish(1.7),
    "swish_-0.5": fnn.Swish(-0.5),
}
JUMPS = ("step", "sign")

# Loss, and the last layer that it stands behind.
LOSSES: dict[str, tuple[fnn.losses.Loss, Any]] = {
    "cross_entropy-softmax": (fnn.CrossEntropy(), fnn.Dense(5, "softmax")),
    "cross_entropy-identity": (fnn.CrossEntropy(), fnn.Dense(5)),
    "cross_entropy-2": (fnn.CrossEntropy(), fnn.Dense(2, "softmax")),
    "cross_entropy-130": (fnn.CrossEntropy(), fnn.Dense(130, "softmax")),
    "binary_cross_entropy-sigmoid": (fnn.BinaryCrossEntropy(), fnn.Dense(1, "sigmoid")),
    "binary_cross_entropy-identity": (fnn.BinaryCrossEntropy(), fnn.Dense(3)),
    "hinge": (fnn.Hinge(), fnn.Dense(2)),
    "multiclass_hinge": (fnn.MulticlassHinge(), fnn.Dense(9)),
    "squared_error-identity": (fnn.MeanSquaredError(), fnn.Dense(11)),
    "squared_error-softmax": (fnn.MeanSquaredError(), fnn.Dense(6, "softmax")),
    "squared_error-sigmoid": (fnn.MeanSquaredError(), fnn.Dense(6, "sigmoid")),
    "squared_error-maxout": (fnn.MeanSquaredError(), fnn.Maxout(6, pieces=3)),
    "gaussian": (fnn.GaussianNLL(2.5), fnn.Dense(3)),
    "gaussian-each": (fnn.GaussianNLL((0.5, 2.0, 3.0)), fnn.Dense(3, "tanh")),
    "gaussian-learned": (fnn.GaussianNLL("learned"), fnn.Gaussian(3)),
    "poisson": (fnn.Poisson(), fnn.Dense(2)),
}

OPTIMIZERS: dict[str, Any] = {
    "sgd": fnn.SGD(0.05),
    "momentum": fnn.SGD(0.02, momentum=0.9),
    "nesterov": fnn.SGD(0.02, momentum=0.875, nesterov=True),
    "adam": fnn.Adam(0.01),
    "adam-betas": fnn.Adam(0.005, betas=(0.75, 0.875), eps=1e-3),
    "adam-eps_hat": fnn.Adam(0.01, eps_hat=True),
    "adamw": fnn.AdamW(0.01, weight_decay=0.1),
}

# Everything that a network can hold, once.
MIXED = (
    fnn.GaussianNoise(0.125),
    fnn.Dense(24, "swish"),
    fnn.Maxout(20, pieces=3),
    fnn.Dropout(0.25),
    fnn.Residual([fnn.Dense(17, "gelu"), fnn.Dropout(0.125), fnn.Dense(20, "prelu")]),
    fnn.Residual([fnn.Maxout(30)]),
    fnn.Dense(18, fnn.ELU(0.7, learn=True)),
)

# The last layer of a residual block, of the width it is to have.
_LAST: dict[str, Any] = {
    "relu": lambda units: fnn.Dense(units, "relu"),
    "prelu": lambda units: fnn.Dense(units, "prelu"),
    "maxout": lambda units: fnn.Maxout(units, pieces=3),
    "identity": lambda units: fnn.Dense(units),
    "tanh": lambda units: fnn.Dense(units, "tanh"),
}


def _cases() -> list[Case]:
    dense, maxout, residual, dropout = fnn.Dense, fnn.Maxout, fnn.Residual, fnn.Dropout
    noise, take = fnn.GaussianNoise, fnn.Input
    relu, last, softmax = dense(26, "relu"), dense(4), dense(5, "softmax")
    cases = []
    for name, f in ACTIVATIONS.items():
        trains = name not in JUMPS
        cases.append(Case(f"hidden-{name}", (dense(37, f), dense(21, "tanh"), last), trains=trains))
        cases.append(
            Case(f"head-{name}", (dense(19, "tanh"), dense(37, f)), trains=trains, loss=fnn.MeanSquaredError())
        )
    for name, (loss, head) in LOSSES.items():
        cases.append(Case(f"loss-{name}", (relu, dense(18, "tanh"), head), loss=loss, long=True))
        cases.append(Case(f"loss-{name}-weighted", (relu, head), loss=loss, weighted=True, low=False, batches=(7,)))
    for name, optimizer in OPTIMIZERS.items():
        more = {"optimizer": optimizer, "l2": 0.01}
        cases.append(Case(f"optimizer-{name}", (*MIXED, softmax), trainer=more, long=True, low=False, batches=(7,)))

    # Maxout
    cases += [
        *(Case(f"maxout-{n}", (maxout(23, pieces=n), maxout(11, pieces=n), last)) for n in (1, 2, 3, 5, 9)),
        Case("maxout-wide", (maxout(300, pieces=3), maxout(70, pieces=2), last), batches=(1, 7, 256, 1500)),
        Case("maxout-narrow", (maxout(6, pieces=2), maxout(3, pieces=5), maxout(1, pieces=2))),
        Case("maxout-last", (relu, maxout(12, pieces=4))),
    ]

    # Residual blocks
    for name, of in _LAST.items():
        cases += [
            Case(f"residual-{name}", (relu, residual([dense(31, "relu"), of(26)]), last)),
            Case(f"residual-{name}-projection", (relu, residual([dense(31, "relu"), of(22)]), last)),
            Case(f"residual-{name}-alone", (relu, residual([of(26)]), residual([of(9)]), last)),
        ]
    block = residual([dense(20, "tanh"), dense(26)])
    cases += [
        Case("residual-start", (residual([dense(20, "relu"), dense(INPUTS, "tanh")]), last)),
        Case("residual-start-projection", (residual([dense(20, "relu"), dense(33, "tanh")]), last)),
        Case("residual-start-one", (residual([maxout(INPUTS)]), last)),
        Case("residual-beside", (relu, block, block, residual([maxout(26)]), last)),
        Case(
            "residual-beside-projection",
            (residual([dense(20, "relu")]), residual([dense(9), dense(30, "relu")]), residual([dense(30)]), last),
        ),
        Case("residual-deep", (relu, *(residual([dense(26, "swish"), dense(26, "swish")]) for _ in range(6)), softmax)),
        Case("residual-long", (relu, residual([dense(n, "elu") for n in (12, 40, 7, 26)]), maxout(8), last)),
        Case(
            "residual-dropout",
            (relu, dropout(0.25), residual([dense(30, "relu"), dropout(0.5), dense(26)]), dropout(0.25), last),
        ),
        Case(
            "residual-dropout-projection",
            (dropout(0.125), residual([dense(30, "relu"), dropout(0.5), dense(16)]), dropout(0.25), last),
        ),
        Case(
            "residual-noise",
            (relu, noise(0.25), residual([maxout(30), noise(0.125), dense(26, "relu")]), noise(0.25), softmax),
        ),
        Case("residual-narrow", (dense(6, "tanh"), residual([dense(5, "relu"), dense(6)]), residual([dense(3)]), last)),
    ]

    # What training adds
    cases += [
        Case("dropout", (relu, dropout(0.5), dense(18, "tanh"), dropout(0.125), softmax)),
        Case("dropout-input", (dropout(0.25), relu, softmax)),
        Case("noise", (relu, noise(0.5), dense(18, "tanh"), noise(0.125), softmax)),
        Case("noise-input", (noise(0.25), relu, softmax)),
        Case("dropout-noise", (noise(0.25), dropout(0.25), relu, dropout(0.25), noise(0.5), dropout(0.125), softmax)),
        Case("gaussian-1", (relu, fnn.Gaussian(1))),
        Case("gaussian-40", (relu, fnn.Gaussian(40))),
        Case("mixed", (*MIXED, softmax), batches=(1, 7, 256, 1500), long=True),
        Case("mixed-weighted", (*MIXED, softmax), weighted=True, long=True, low=False, batches=(7,)),
        Case("mixed-gaussian", (*MIXED, fnn.Gaussian(2)), long=True),
        Case("mixed-clipped", (*MIXED, softmax), trainer={"clip_norm": 0.25, "l2": 0.125}, batches=(7,), low=False),
        Case(
            "clipped-sgd",
            (relu, residual([maxout(30)]), dense(18, "prelu"), last),
            trainer={"clip_norm": 0.5, "optimizer": fnn.SGD(0.1)},
        ),
        Case("l2", (dense(26, "prelu"), softmax), trainer={"l2": 0.5}),
    ]
    frozen = {
        "first": ("dense_1",),
        "middle": ("maxout_1", "residual_2"),
        "last": ("dense_3",),
        "block": ("residual_1",),
        "projection": ("residual_2.maxout_1", "dense_2"),
        "all-but-last": ("dense_1", "maxout_1", "residual_1", "residual_2", "dense_2"),
        "to-block": ("dense_1", "maxout_1", "residual_1"),
    }
    for name, names in frozen.items():
        for clip in ({}, {"clip_norm": 0.25}):
            kept = Case(
                f"frozen-{name}{'-clipped' if clip else ''}",
                (*MIXED, softmax),
                frozen=names,
                trainer=clip,
                low=False,
                batches=(7,),
            )
            cases.append(kept)

    # Widths, lengths and shapes
    cases += [
        Case("linear", (last,)),
        Case("linear-1", (take(1), dense(1))),
        Case("softmax-only", (dense(3, "softmax"),)),
        Case("narrow-4-8-8-2", (take(4), dense(8, "tanh"), dense(8, "relu"), dense(2))),
        Case("narrow-3-1-1", (take(3), dense(1, "sigmoid"), dense(1))),
        Case("narrow-5-7-3-1", (take(5), dense(7, "swish"), dense(3, "prelu"), dense(1, "sigmoid"))),
        Case(
            "narrow-wide-narrow", (take(2), dense(8, "gelu"), dense(90, "relu"), dense(8, "elu"), dense(5, "softmax"))
        ),
        Case("units-9-17-33", (dense(9, "relu"), dense(17, "relu"), dense(33, "relu"), dense(16))),
        Case("units-64", (take(64), dense(64, "swish"), dense(64, "relu"), dense(64)), batches=(1, 7, 256, 1500)),
        Case("units-128-255", (take(31), dense(128, "relu"), dense(255, "gelu"), softmax), batches=(1, 7, 256)),
        Case("shape-4-5-3", (take(4, 5, 3), dense(20, "relu"), maxout(7), last)),
        Case("long", (take(3500), dense(40, "tanh"), last), batches=(1, 7, 60)),
        Case("long-narrow", (take(9000), dense(5, "tanh"), last), batches=(1, 7, 60)),
        Case("long-maxout", (take(2500), maxout(20, pieces=3), last), batches=(1, 7, 60)),
        Case("long-residual", (take(2100), residual([dense(30, "relu"), dense(2100)]), last), batches=(1, 7, 60)),
        Case("wide", (take(20), dense(3000, "relu"), dense(10, "softmax")), batches=(1, 7, 100)),
        Case("wide-maxout", (take(11), maxout(3000, pieces=2), dense(10, "softmax")), batches=(1, 7, 100)),
        Case(
            "wide-residual",
            (take(20), dense(12, "tanh"), residual([dense(2900, "relu"), dense(12)]), dense(4, "softmax")),
            batches=(1, 7, 100),
        ),
        Case(
            "wide-residual-projection",
            (take(12), residual([dense(6, "tanh"), dense(2900, "relu")]), residual([dense(5)]), dense(4, "softmax")),
            batches=(1, 7, 100),
        ),
        Case("wide-slabs", (take(4), dense(3000, "relu"), dense(2)), trains=False, low=False, batches=(3000,)),
        Case("work", (take(150), dense(200, "relu"), dense(160, "swish"), dense(10, "softmax")), batches=(1, 7, 600)),
        Case("work-mixed", (take(90), *MIXED, dense(150, "relu"), maxout(90, pieces=2), softmax), batches=(7, 600)),
    ]

    # The library's own parameters
    for init in ("he", "lecun", "xavier", "he_uniform", "lecun_uniform", "xavier_normal", 0.125, 0.0):
        cases.append(Case(f"own-{init}", (dense(20, "tanh", init=init), last), own=True, low=False, batches=(7,)))
    cases += [
        Case("own-selu", (dense(20, "selu"), softmax), own=True),
        Case("own-relu", (dense(20, "relu"), dense(20, "swish"), softmax), own=True),
        Case("own-slopes", (dense(37, fnn.PReLU(_slopes(37))), dense(9, fnn.ELU(0.7, learn=True)), last), own=True),
        Case("own-maxout", (maxout(20, pieces=3), last), own=True),
        Case("own-gaussian", (relu, fnn.Gaussian(2)), own=True),
        Case("own-mixed", (*MIXED, softmax), own=True, long=True),
    ]
    assert len({case.name for case in cases}) == len(cases)
    return cases


CASES = _cases()
