"""The named problems: what is done with a network and how often, their random data, their cost and their goals.

Units: time in seconds, work in FLOP (one multiply-add is two), sizes in bytes. All data are float32 and come from a
generator seeded by the problem's name, so that every process builds the same arrays; a problem in low precision says
what a contender makes of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from . import architectures
from .networks import Conv, Draw, Layers, Maxout, Network, Norm, Shape, chain, flow, headed, maxout, products

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
        ``network``: forward pass. ``training``: forward, softmax cross-entropy, backward and Adam. ``maxout``: one
        maxout layer, forward. ``maxout_training``: the same, forward and backward.
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
    network: Network
    goal_ratio: float | None
    limit: Limit | None = "fma"
    goal_share: float | None = None
    limit_seconds: float | None = None
    precision: Precision = "float32"

    @property
    def title(self) -> str:
        adds = {"training": ", Adam", "maxout_training": ", forward + backward"}.get(self.kind, "")
        precision = f", {self.precision}" if self.low else ""
        return f"batch {self.batch}, {self.network.title}{adds}{precision}"

    @property
    def low(self) -> bool:
        """Whether the weights have less than float32's precision."""
        return self.precision != "float32"

    @property
    def trains(self) -> bool:
        return self.kind in ("training", "maxout_training")

    @property
    def on_images(self) -> bool:
        """Whether a sample is an image, (H, W, C); else it is a vector, and all layers are dense or one is maxout."""
        return len(self.network.input_shape) == 3

    @cached_property
    def layers(self) -> Layers:
        """With their parameters; a training problem's head is a softmax."""
        layers = tuple(self.network.make(Draw(self._rng(0))))
        return headed(layers, "softmax") if self.kind == "training" else layers

    @property
    def maxout(self) -> Maxout:
        """The layer of a problem with maxout."""
        (layer,) = self.layers
        assert isinstance(layer, Maxout)
        return layer

    @property
    def norms(self) -> tuple[Norm, ...]:
        """The batch normalizations."""
        convolutions = (layer for layer in products(self.layers) if isinstance(layer, Conv))
        return tuple(layer.norm for layer in convolutions if layer.norm is not None)

    @property
    def output_shape(self) -> Shape:
        """The shape of a sample's outputs."""
        return flow(self.layers, self.network.input_shape)[0]

    @property
    def flops(self) -> int:
        """The arithmetic that the result needs: dx of the first layer is not wanted in training; of maxout's backward
        only the winning piece is."""
        shape = self.network.input_shape
        forward, first = (2 * self.batch * flow(layers, shape)[1] for layers in (self.layers, self.layers[:1]))
        match self.kind:
            case "training":
                return 3 * forward - first
            case "maxout_training":
                return forward + 2 * forward // len(self.maxout.weight)
        return forward

    @property
    def weight_bytes(self) -> int:
        size = {"float32": 4, "bfloat16": 2, "int8": 1}[self.precision]  # a bias has four bytes in any
        return sum(layer.weight.size * size + 4 * layer.weight.size // layer.terms for layer in products(self.layers))

    @cached_property
    def x(self) -> Float32:
        """(B, I) or (B, H, W, C)."""
        return self._rng(1).standard_normal((self.batch, *self.network.input_shape), np.float32)

    @cached_property
    def dy(self) -> Float32:
        """(B, O): the gradient that enters ``maxout_training``."""
        return self._rng(2).standard_normal((self.batch, *self.output_shape), np.float32)

    @cached_property
    def batches(self) -> tuple[tuple[Float32, NDArray[np.int64]], ...]:
        """The batches that a training problem goes through in turn: as ``x``, and class indices (B,)."""
        rng = self._rng(3)
        count = max(4, min(64, 8192 // self.batch))
        shape, (classes,) = (self.batch, *self.network.input_shape), self.output_shape
        return tuple(
            (rng.standard_normal(shape, np.float32), rng.integers(0, classes, self.batch)) for _ in range(count)
        )

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(self.id.encode()), stream])


_SMALL, _LARGE = (784, 256, 128, 10), (784, 512, 512, 10)

PROBLEMS: tuple[Problem, ...] = (
    Problem("I1", "network", 1, chain(_SMALL, "relu"), 2.5, limit="bandwidth", goal_share=0.70),
    Problem(
        "I2", "network", 1, chain((4, 64, 64, 2), "tanh"), 6.0, limit="time", goal_share=1.0, limit_seconds=0.75e-6
    ),
    Problem("I3", "network", 32, chain(_LARGE, "relu"), 1.3, goal_share=0.80),
    Problem("I4", "network", 256, chain(_LARGE, "swish"), 1.2, goal_share=0.85),
    Problem("I5", "network", 8192, chain(_LARGE, "gelu"), 1.15, goal_share=0.88),
    Problem("I6", "network", 65536, chain((32, 64, 64, 64, 1), "relu"), 2.0, goal_share=0.80),
    Problem("I7", "network", 1024, chain((4096, 4096), "relu"), 1.1, goal_share=0.88),
    Problem("I8", "network", 4096, chain((64, 64, 64, 64), "swish"), 1.6, goal_share=0.70),
    Problem("M1", "maxout", 4096, maxout(1024, 512, 4), 1.35, limit="product", goal_share=1 / 1.05),
    Problem("M2", "maxout", 8192, maxout(64, 64, 2), 1.6),
    Problem("T1", "training", 32, chain((64, 100, 10), "relu"), 14.0),
    Problem("T2", "training", 128, chain(_LARGE, "relu"), 1.5),
    Problem("T3", "training", 1024, chain((784, 2048, 2048, 10), "relu"), 1.1),
    Problem("T4", "maxout_training", 4096, maxout(1024, 512, 4), 2.2),
    Problem("C1", "network", 1, architectures.DEEP_MNIST, 1.3),
    Problem("C2", "network", 256, architectures.DEEP_MNIST, 1.0),
    Problem("C3", "network", 32, architectures.VGG16, None, goal_share=0.90),
    Problem("C4", "network", 1, architectures.RESNET18, 1.0),
    Problem("C5", "network", 128, architectures.RESNET20, 1.0),
    Problem("C6", "network", 8, architectures.INCEPTION, 1.1),
    Problem("C7", "network", 1, architectures.CONVOLUTION, 1.0),
    Problem("TC1", "training", 100, architectures.DEEP_MNIST, 1.3),
    Problem("TC2", "training", 128, architectures.RESNET20, 1.3),
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
