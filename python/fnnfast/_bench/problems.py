"""The named problems: their shapes, their random data, their cost and their goals.

Units: time in seconds, work in FLOP (one multiply-add is two), sizes in bytes. All data are float32 and come from a
generator seeded by the problem's name, so that every process builds the same arrays; a problem in low precision says
what a contender makes of them.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Kind = Literal["network", "training", "maxout", "maxout_training"]
Limit = Literal["fma", "bandwidth", "time", "product"]
Precision = Literal["float32", "bfloat16", "int8"]

LEARNING_RATE = 1e-4
"""Adam's, in the training problems: small, so that thousands of timed steps do not saturate the network."""


@dataclass(frozen=True)
class Problem:
    """One row of the table.

    Attributes
    ----------
    kind
        ``network``: forward pass of dense layers, ``activation`` after all but the last (after the only one of a single
        layer). ``training``: forward, softmax cross-entropy, backward and Adam. ``maxout``: one maxout layer, forward.
        ``maxout_training``: the same, forward and backward.
    widths
        Inputs, then the units of each layer.
    goal_ratio
        The best peer's time over ours. None: the ratio is shown and has no goal.
    limit
        What the share is a share of: ``fma``, FLOP over peak FMA rate; ``bandwidth``, bytes of weights over the read
        bandwidth of the cache that holds them; ``time``, ``limit_seconds``; ``product``, the time of the same bare
        matrix product. None: there is none, as for int8, whose multiply-adds are not those of float32.
    goal_share
        None: the share is shown and has no goal.
    precision
        Of the weights. All peers count in the same, and take inputs as they like them best.
    """

    id: str
    kind: Kind
    batch: int
    widths: tuple[int, ...]
    activation: str
    goal_ratio: float | None
    pieces: int = 1
    limit: Limit | None = "fma"
    goal_share: float | None = None
    limit_seconds: float | None = None
    precision: Precision = "float32"

    @property
    def title(self) -> str:
        shape = "-".join(map(str, self.widths))
        if self.pieces > 1:
            direction = ", forward + backward" if self.kind == "maxout_training" else ""
            return f"batch {self.batch}, {shape} maxout of {self.pieces}{direction}"
        optimizer = ", Adam" if self.kind == "training" else ""
        precision = f", {self.precision}" if self.low else ""
        return f"batch {self.batch}, {shape} {self.activation}{optimizer}{precision}"

    @property
    def low(self) -> bool:
        """Whether the weights have less than float32's precision."""
        return self.precision != "float32"

    @property
    def trains(self) -> bool:
        return self.kind in ("training", "maxout_training")

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each layer; a training problem's head is a softmax."""
        layers = len(self.widths) - 1
        if layers == 1:
            return (self.activation,)
        head = "softmax" if self.kind == "training" else "identity"
        return (self.activation,) * (layers - 1) + (head,)

    @property
    def flops(self) -> int:
        """The arithmetic that the result needs: dx of the first layer is not wanted in training; of maxout's backward
        only the winning piece is."""
        products = [2 * self.batch * i * o for i, o in zip(self.widths, self.widths[1:], strict=False)]
        match self.kind:
            case "network":
                return sum(products)
            case "training":
                return 3 * sum(products) - products[0]
            case "maxout":
                return self.pieces * products[0]
            case "maxout_training":
                return (self.pieces + 2) * products[0]

    @property
    def weight_bytes(self) -> int:
        size = {"float32": 4, "bfloat16": 2, "int8": 1}[self.precision]  # a bias has four bytes in any
        return self.pieces * sum((i * size + 4) * o for i, o in zip(self.widths, self.widths[1:], strict=False))

    @cached_property
    def layers(self) -> tuple[tuple[Float32, Float32], ...]:
        """(weight, bias) a layer: (I, O) and (O,); of maxout (P, I, O) and (P, O)."""
        rng = self._rng(0)
        gain = 2.0 if self.activation == "relu" and self.pieces == 1 else 1.0
        lead = (self.pieces,) if self.kind in ("maxout", "maxout_training") else ()
        return tuple(
            (
                rng.standard_normal((*lead, i, o), np.float32) * np.float32(math.sqrt(gain / i)),
                rng.standard_normal((*lead, o), np.float32) * np.float32(0.1),
            )
            for i, o in zip(self.widths, self.widths[1:], strict=False)
        )

    @cached_property
    def x(self) -> Float32:
        """(B, I)."""
        return self._rng(1).standard_normal((self.batch, self.widths[0]), np.float32)

    @cached_property
    def dy(self) -> Float32:
        """(B, O): the gradient that enters ``maxout_training``."""
        return self._rng(2).standard_normal((self.batch, self.widths[-1]), np.float32)

    @cached_property
    def batches(self) -> tuple[tuple[Float32, NDArray[np.int64]], ...]:
        """The batches that a training problem goes through in turn: (B, I) and class indices (B,)."""
        rng = self._rng(3)
        count = max(4, min(64, 8192 // self.batch))
        return tuple(
            (
                rng.standard_normal((self.batch, self.widths[0]), np.float32),
                rng.integers(0, self.widths[-1], self.batch),
            )
            for _ in range(count)
        )

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(self.id.encode()), stream])


PROBLEMS: tuple[Problem, ...] = (
    Problem("I1", "network", 1, (784, 256, 128, 10), "relu", 2.5, limit="bandwidth", goal_share=0.70),
    Problem("I2", "network", 1, (4, 64, 64, 2), "tanh", 6.0, limit="time", goal_share=1.0, limit_seconds=0.75e-6),
    Problem("I3", "network", 32, (784, 512, 512, 10), "relu", 1.3, goal_share=0.80),
    Problem("I4", "network", 256, (784, 512, 512, 10), "swish", 1.2, goal_share=0.85),
    Problem("I5", "network", 8192, (784, 512, 512, 10), "gelu", 1.15, goal_share=0.88),
    Problem("I6", "network", 65536, (32, 64, 64, 64, 1), "relu", 2.0, goal_share=0.80),
    Problem("I7", "network", 1024, (4096, 4096), "relu", 1.1, goal_share=0.88),
    Problem("I8", "network", 4096, (64, 64, 64, 64), "swish", 1.6, goal_share=0.70),
    Problem("M1", "maxout", 4096, (1024, 512), "maxout", 1.35, pieces=4, limit="product", goal_share=1 / 1.05),
    Problem("M2", "maxout", 8192, (64, 64), "maxout", 1.6, pieces=2),
    Problem("T1", "training", 32, (64, 100, 10), "relu", 14.0),
    Problem("T2", "training", 128, (784, 512, 512, 10), "relu", 1.5),
    Problem("T3", "training", 1024, (784, 2048, 2048, 10), "relu", 1.1),
    Problem("T4", "maxout_training", 4096, (1024, 512), "maxout", 2.2, pieces=4),
)


def _lowered(name: str, goal_ratio: float | None) -> Iterator[Problem]:
    """A forward problem in bfloat16 (I4b) and in int8 (I4q)."""
    of = get(name)
    yield replace(of, id=f"{of.id}b", precision="bfloat16", goal_ratio=goal_ratio, goal_share=None)
    limit: Limit | None = "bandwidth" if of.limit == "bandwidth" else None
    yield replace(of, id=f"{of.id}q", precision="int8", goal_ratio=None, goal_share=None, limit=limit)


def get(name: str) -> Problem:
    """The problem of that id, in any case of letters."""
    for problem in PROBLEMS:
        if problem.id.upper() == name.upper():
            return problem
    raise ValueError(f"expected a problem out of {' '.join(p.id for p in PROBLEMS)}, got {name!r}")


PROBLEMS += tuple(
    problem
    for name, goal_ratio in (("I1", None), ("I4", 1.5), ("I5", 1.0), ("I6", 1.5), ("I7", 1.0), ("I8", None))
    for problem in _lowered(name, goal_ratio)
)


def select(names: str | None) -> Iterator[Problem]:
    """The problems of a comma-separated list, in its order; None: all."""
    if names is None:
        yield from PROBLEMS
    else:
        yield from (get(name.strip()) for name in names.split(","))
