"""The rows G1 to G7: what is computed, what it costs, and the goals.

A row has several cases: the same work with another activation, dtype or size. Units: time in seconds, work in FLOP (a
multiply-add is two), sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["dense", "network", "maxout", "dense_backward", "gradients", "step"]
Precision = Literal["float32", "tf32", "float16", "bfloat16"]

ELEMENT_BYTES = {"float32": 4, "tf32": 4, "float16": 2, "bfloat16": 2}
SHORT: dict[Precision, str] = {"float32": "fp32", "tf32": "tf32", "float16": "fp16", "bfloat16": "bf16"}

NARROW: tuple[Precision, ...] = ("bfloat16", "float16")

OURS = "fnnfast"
PRODUCT = "cublaslt"
"""The bare products with their bias, without activation or maximum: what the arithmetic costs in the best library."""
TORCH, LOOP, COMPILED, CUPY = "torch", "torch loop", "torch.compile", "cupy"


@dataclass(frozen=True)
class Goal:
    """What a case is to reach.

    Attributes
    ----------
    kind
        ``peer``: that contender's time over ours, at least ``value``. ``case``: our time over our time in the case
        named, at most. ``time``: our seconds, at most.
    of
        The contender or the case; nothing for a time.
    """

    kind: Literal["peer", "case", "time"]
    value: float
    of: str = ""


@dataclass(frozen=True)
class Case:
    """One measurement of a row.

    Attributes
    ----------
    kind
        ``dense`` and ``maxout``: one layer. ``network``: dense layers, ``activation`` after all but the last.
        ``dense_backward``: gradients of one layer's x, weight and bias from that of y. ``gradients``: forward, softmax
        cross-entropy and backward of a network. ``step``: the same and Adam.
    widths
        Inputs, then the units of each layer.
    compiled
        torch.compile(max-autotune) is a contender. It takes long to get ready, so not everywhere.
    sets
        How many inputs take turns; by default as many as the L2 cache cannot hold.
    launch_bound
        So small that a launch is the limit.
    """

    row: str
    variant: str
    kind: Kind
    batch: int
    widths: tuple[int, ...]
    activation: str
    precision: Precision
    goals: tuple[Goal, ...] = ()
    pieces: int = 1
    compiled: bool = False
    sets: int | None = None
    launch_bound: bool = False

    @property
    def id(self) -> str:
        return f"{self.row} {self.variant}"

    @property
    def title(self) -> str:
        shape = "-".join(map(str, self.widths))
        what = {
            "maxout": f"maxout of {self.pieces}",
            "dense_backward": f"{self.activation}, backward",
            "gradients": f"{self.activation}, forward + backward",
            "step": f"{self.activation}, Adam step",
        }.get(self.kind, self.activation)
        return f"batch {self.batch}, {shape} {what}, {SHORT[self.precision]}"

    @property
    def layers(self) -> int:
        return len(self.widths) - 1

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each layer; softmax is in the loss of a network that is trained."""
        return (self.activation,) if self.layers == 1 else (*(self.activation,) * (self.layers - 1), "identity")

    @property
    def flops(self) -> int:
        """Of the products alone. No gradient of a network's input."""
        products = [2 * self.batch * i * o for i, o in zip(self.widths, self.widths[1:], strict=False)]
        match self.kind:
            case "dense_backward":
                return 2 * sum(products)
            case "gradients" | "step":
                return 3 * sum(products) - products[0]
            case _:
                return self.pieces * sum(products)

    @property
    def bytes(self) -> int:
        """The least that is moved: inputs read once, outputs written once; between layers nothing.

        Of Adam parameters, two moments and no gradients: read and written, in float32.
        """
        size = ELEMENT_BYTES[self.precision]
        first, last = self.batch * self.widths[0] * size, self.batch * self.widths[-1] * size
        match self.kind:
            case "dense_backward":  # x, weight, dy and what was saved; dx, dweight
                return 2 * (first + last + self.parameters * size)
            case "gradients":
                return first + 2 * self.parameters * size
            case "step":
                return first + 6 * self.parameters * 4
            case _:
                return first + last + self.parameters * size

    @property
    def parameters(self) -> int:
        return self.pieces * sum((i + 1) * o for i, o in zip(self.widths, self.widths[1:], strict=False))

    def rotation(self, cache_bytes: int) -> int:
        """How many inputs take turns, so that none is found in the cache when its turn comes again."""
        if self.sets is not None:
            return self.sets
        a_call = self.batch * (self.widths[0] + self.widths[-1]) * ELEMENT_BYTES[self.precision]
        return max(2, min(16, -(-3 * cache_bytes // a_call)))


def _dense() -> Iterable[Case]:
    square = (4096, 4096)
    two = ("identity", "gelu")
    acts: dict[Precision, tuple[str, ...]] = {
        "bfloat16": ("identity", "relu", "gelu", "swish"),
        "float16": two,
        "tf32": two,
        "float32": two,
    }
    for precision, names in acts.items():
        short = SHORT[precision]
        for act in names:
            goals: tuple[Goal, ...] = ()
            if precision in NARROW:
                goals = (Goal("peer", 0.97, PRODUCT),)
                if act != "identity":
                    goals += (Goal("case", 1.03, f"G1 identity {short}"),)
            compiled = (act, short) == ("gelu", "bf16")
            yield Case("G1", f"{act} {short}", "dense", 4096, square, act, precision, goals, compiled=compiled)


def _networks() -> Iterable[Case]:
    for precision in NARROW:
        short, first = SHORT[precision], precision == "bfloat16"
        wide, narrow = (784, 512, 512, 10), (64, 64, 64, 64, 64, 16)
        faster = Goal("peer", 1.5, COMPILED)
        yield Case("G2", short, "network", 65536, wide, "relu", precision, (faster,), compiled=True)
        goals = (Goal("time", 20e-6), Goal("peer", 3.0, COMPILED))
        yield Case("G3", short, "network", 2**18, narrow, "relu", precision, goals, compiled=first)
    digits = (784, 256, 128, 10)
    goals = (Goal("time", 5e-6), Goal("peer", 10.0, CUPY))
    many = Case("G4", "fp32", "network", 1, digits, "relu", "float32", goals, sets=16, launch_bound=True)
    yield many
    # One call a graph, as an application would replay it: the host's cost of a replay is in it.
    yield Case("G4", "one a graph", "network", 1, digits, "relu", "float32", goals[1:], sets=1, launch_bound=True)


def _maxouts() -> Iterable[Case]:
    for inputs, goal in ((4096, 1.03), (512, 1.3)):
        for precision in NARROW:
            short = SHORT[precision]
            name, widths, goals = f"K={inputs} {short}", (inputs, 1024), (Goal("peer", goal, TORCH),)
            compiled = short == "bf16"
            yield Case("G5", name, "maxout", 8192, widths, "maxout", precision, goals, pieces=4, compiled=compiled)


def _backwards() -> Iterable[Case]:
    faster = (Goal("peer", 1.1, COMPILED),)
    for precision in NARROW:
        short = SHORT[precision]
        compiled = short == "bf16"
        yield Case(
            "G6", f"G1 {short}", "dense_backward", 4096, (4096, 4096), "gelu", precision, faster, compiled=compiled
        )
        if precision == "float16":  # without a scaled loss, gradients of so many rows are too small for it
            continue
        yield Case(
            "G6", f"G2 {short}", "gradients", 65536, (784, 512, 512, 10), "relu", precision, faster, compiled=compiled
        )
    level = (Goal("peer", 1.0, TORCH),)
    more: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
    for precision in more:
        yield Case("G7", SHORT[precision], "step", 1024, (784, 512, 512, 10), "relu", precision, level, sets=4)


CASES: tuple[Case, ...] = tuple(
    sorted((*_dense(), *_networks(), *_maxouts(), *_backwards()), key=lambda case: case.row)
)
ROWS = tuple(dict.fromkeys(case.row for case in CASES))


def get(name: str) -> Case:
    """The case of that id."""
    for case in CASES:
        if case.id == name:
            return case
    raise ValueError(f"expected a case out of {', '.join(case.id for case in CASES)}, got {name!r}")


def select(rows: Iterable[str], against: str = "") -> list[Case]:
    """The cases of the rows, or of all rows; with ``against`` only those with a goal against that contender.

    First the first case of every row, then the second ones, and so on: when time runs out, every row has a figure.
    """
    wanted = [row.upper() for row in rows]
    for row in wanted:
        if row not in ROWS:
            raise ValueError(f"expected rows out of {' '.join(ROWS)}, got {row!r}")
    chosen = [
        (number, case)
        for row in dict.fromkeys(wanted) or ROWS
        for number, case in enumerate(case for case in CASES if case.row == row)
        if not against or any(goal.of == against for goal in case.goals)
    ]
    return [case for _, case in sorted(chosen, key=lambda pair: pair[0])]
