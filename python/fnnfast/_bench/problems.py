"""The problems: what is done with a network and how often, their random data, their cost and their goals.

Those of ``PROBLEMS`` have names and goals; ``custom`` makes others. Units: time in seconds, work in FLOP (one
multiply-add is two), sizes in bytes. All data are float32 or, of a problem in float64, that, and come from a generator
seeded by the problem's name, so that every process builds the same arrays; a problem in low precision says what a
contender makes of them.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import architectures
from .activations import formula
from .float64 import LOSSES, converted
from .networks import Conv, Draw, Layers, Maxout, Network, Norm, Shape, chain, flow, headed, maxout, products

Array = NDArray[Any]
Kind = Literal["network", "training", "maxout", "maxout_training"]
Limit = Literal["fma", "bandwidth", "time", "product"]
Precision = Literal["float32", "float64", "bfloat16", "int8"]
Loss = Literal["cross_entropy", "mse"]

ITEM_BYTES: dict[Precision, int] = {"float32": 4, "float64": 8, "bfloat16": 2, "int8": 1}
"""Of a weight. These are the precisions."""

CUSTOM = "own"
"""The id of a problem that has no name."""

MOST_NUMBERS = 2**31
"""In the weights, or in the inputs and outputs of all layers, of a problem that has no name: 8 GiB."""

LEARNING_RATE = 1e-4
"""Adam's, in the training problems: small, so that thousands of timed steps do not saturate the network."""


@dataclass(frozen=True)
class Problem:
    """One row of the table.

    Attributes
    ----------
    kind
        ``network``: forward pass. ``training``: forward, ``loss``, backward and Adam. ``maxout``: one maxout layer,
        forward. ``maxout_training``: the same, forward and backward.
    goal_ratio
        The best peer's time over ours. None: the ratio is shown and has no goal.
    limit
        What the share is a share of: ``fma``, FLOP over peak FMA rate; ``bandwidth``, bytes of weights over the read
        bandwidth of the cache that holds them; ``time``, ``limit_seconds``; ``product``, the time of the same bare
        matrix product. None: there is none, as for int8, whose multiply-adds are not those of float32.
    goal_share
        None: the share is shown and has no goal.
    precision
        Of the weights. All peers count in the same, and take inputs as they like them best. Training in bfloat16 is
        that of products: parameters, which Adam changes, are float32.
    loss
        Of training: ``cross_entropy`` after a softmax, or ``mse``, the mean squared error.
    recipe
        The arguments of ``custom``, which made it; None: it is in ``PROBLEMS``.
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
    loss: Loss = "cross_entropy"
    recipe: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def key(self) -> str | Mapping[str, Any]:
        """What ``get`` makes the same problem of, in another process; a JSON value."""
        return self.recipe or self.id

    @property
    def title(self) -> str:
        loss = "" if self.loss == "cross_entropy" else f", {self.loss}"
        adds = {"training": f"{loss}, Adam", "maxout_training": ", forward + backward"}.get(self.kind, "")
        precision = "" if self.precision == "float32" else f", {self.precision}"
        return f"batch {self.batch}, {self.network.title}{adds}{precision}"

    @property
    def low(self) -> bool:
        """Whether the weights have less than float32's precision."""
        return ITEM_BYTES[self.precision] < ITEM_BYTES["float32"]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all arrays here."""
        return np.dtype(np.float64 if self.precision == "float64" else np.float32)

    @property
    def trains(self) -> bool:
        return self.kind in ("training", "maxout_training")

    @property
    def on_images(self) -> bool:
        """Whether a sample is an image, (H, W, C); else it is a vector, and all layers are dense or one is maxout."""
        return len(self.network.input_shape) == 3

    @cached_property
    def layers(self) -> Layers:
        """With their parameters; the head of a training problem is a softmax, or with ``mse`` no activation."""
        layers = tuple(self.network.make(Draw(self._rng(0))))
        if self.precision == "float64":
            layers = converted(layers)
        if self.kind != "training":
            return layers
        return headed(layers, "softmax" if self.loss == "cross_entropy" else "identity")

    @property
    def activations(self) -> set[str]:
        """The activations of its layers, but for a softmax before the loss."""
        return {layer.activation for layer in products(self.layers) if not isinstance(layer, Maxout)} - {"softmax"}

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
        size = ITEM_BYTES[self.precision]
        bias = max(size, 4)  # in low precision, too
        return sum(
            layer.weight.size * size + bias * layer.weight.size // layer.terms for layer in products(self.layers)
        )

    @cached_property
    def x(self) -> Array:
        """(B, I) or (B, H, W, C)."""
        return self._normal(self._rng(1), (self.batch, *self.network.input_shape))

    @cached_property
    def dy(self) -> Array:
        """(B, O): the gradient that enters ``maxout_training``."""
        return self._normal(self._rng(2), (self.batch, *self.output_shape))

    @cached_property
    def batches(self) -> tuple[tuple[Array, Array], ...]:
        """The batches that a training problem goes through in turn: as ``x``, and the targets of the loss.

        These are class indices (B,), or of ``mse`` numbers (B, O).
        """
        rng = self._rng(3)
        count = max(4, min(64, 8192 // self.batch))
        shape, (outputs,) = (self.batch, *self.network.input_shape), self.output_shape

        def targets() -> Array:
            if self.loss == "mse":
                return self._normal(rng, (self.batch, outputs))
            return rng.integers(0, outputs, self.batch)

        return tuple((self._normal(rng, shape), targets()) for _ in range(count))

    def _normal(self, rng: np.random.Generator, shape: Shape) -> Array:
        return rng.standard_normal(shape, np.float32).astype(self.dtype, copy=False)

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


def get(name: str | Mapping[str, Any]) -> Problem:
    """The problem of that id, in any case of letters, or of that recipe (``Problem.key``)."""
    if not isinstance(name, str):
        return custom(**name)
    for problem in PROBLEMS:
        if problem.id.upper() == name.upper():
            return problem
    raise ValueError(f"expected a problem out of {' '.join(p.id for p in PROBLEMS)}, got {name!r}")


PROBLEMS += tuple(
    problem
    for name, goal_ratio in (
        ("I1", None),
        ("I3", 1.5),
        ("I4", 1.5),
        ("I5", 1.0),
        ("I6", 1.5),
        ("I7", 1.0),
        ("I8", None),
    )
    for problem in _lowered(name, goal_ratio)
)
PROBLEMS += tuple(
    replace(get(name), id=f"{name}b", precision="bfloat16", goal_ratio=goal_ratio)
    for name, goal_ratio in (("T2", 1.5), ("T3", 1.1))
)


def select(names: str | None) -> Iterator[Problem]:
    """The problems of a comma-separated list, in its order; None: all."""
    if names is None:
        yield from PROBLEMS
    else:
        yield from (get(name.strip()) for name in names.split(","))


def custom(
    widths: Sequence[int],
    batch: int,
    activation: str,
    precision: Precision = "float32",
    trains: bool = False,
    loss: Loss = "cross_entropy",
) -> Problem:
    """A network of dense layers that someone asks about: no goals, else as the named problems.

    ``widths`` are the inputs, then the units of each layer.
    """
    recipe = {"widths": list(widths), "batch": batch, "activation": activation, "precision": precision}
    recipe |= {"trains": trains, "loss": loss}
    formula(activation)
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"expected widths such as 784-512-10, got {'-'.join(map(str, widths))!r}")
    if batch < 1:
        raise ValueError(f"expected a batch of at least one row, got {batch}")
    numbers = max(sum(i * o for i, o in itertools.pairwise(widths)), batch * sum(widths))
    if numbers > MOST_NUMBERS:
        raise ValueError(f"expected at most 2^31 weights, and inputs and outputs of all layers, got {numbers}")
    if precision not in ITEM_BYTES:
        raise ValueError(f"expected a precision out of {', '.join(ITEM_BYTES)}, got {precision!r}")
    if trains and precision == "int8":
        raise ValueError(f"expected float32, float64 or bfloat16 to train in, got {precision!r}")
    if loss not in LOSSES:
        raise ValueError(f"expected a loss out of {', '.join(LOSSES)}, got {loss!r}")
    if trains and loss == "cross_entropy" and widths[-1] < 2:
        raise ValueError(f"expected at least two outputs for cross_entropy, got {widths[-1]}")
    limit: Limit | None = "fma" if precision == "float32" else None  # the rate that is measured is float32's
    kind: Kind = "training" if trains else "network"
    network = chain(widths, activation)
    return Problem(CUSTOM, kind, batch, network, None, limit, precision=precision, loss=loss, recipe=recipe)
