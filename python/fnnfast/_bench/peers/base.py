"""One class a contender: how fnnfast and each peer do a named problem, as fast as each can do it from Python.

Every contender gets the same arrays. Whatever a peer can prepare before the clock starts (transposed weights, tensors,
sessions, bound buffers) is prepared; where it has several good ways of doing a thing, each is a variant, and the
fastest is the one that takes turns. A peer's library is imported in ``variants``, so only in the process that runs it.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..answers import CHECKED_STEPS
from ..problems import Problem

Array = NDArray[Any]


@dataclass(frozen=True)
class Variant:
    """One way of doing a problem.

    Attributes
    ----------
    statement
        The Python that is timed, in ``namespace``: a statement and not a function, so that a call of under a
        microsecond is not timed with a second call around it.
    answers
        Runs the same code once and returns the arrays that ``answers.expected`` describes.
    calls
        How often the statement does the problem.
    """

    name: str
    statement: str
    namespace: dict[str, Any]
    answers: Callable[[], list[Array]]
    calls: int = 1


def channels_first(x: Array) -> Array:
    """Images (B, H, W, C) as (B, C, H, W); rows (B, I) stay."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def as_rows(y: Array) -> Array:
    """An answer (B, C, H, W) as the rows of (B, H, W, C), as ``answers.expected`` has it; rows (B, O) stay."""
    return y.transpose(0, 2, 3, 1).reshape(len(y), -1) if y.ndim == 4 else y


def expression(name: str, code: str, namespace: dict[str, Any]) -> Variant:
    """A variant whose timed code is an expression with the output as its value."""
    compiled = compile(code, name, "eval")
    return Variant(name, code, namespace, lambda: [as_rows(np.asarray(eval(compiled, namespace)))])


def training(name: str, step: Callable[[Any, Any], Any], batches: list[tuple[Any, Any]]) -> Variant:
    """A variant whose timed code is one training step, on each batch in turn; ``step`` returns the loss."""
    return Variant(
        name,
        "step(*next(batches))",
        {"step": step, "batches": itertools.cycle(batches)},
        lambda: [np.array([float(step(*batch)) for batch in batches[:CHECKED_STEPS]])],
    )


class Peer(ABC):
    """A contender.

    Attributes
    ----------
    name
        In tables and on the command line.
    requires
        The distributions that must be installed; the first is the one whose version is told.
    opt_in
        Runs only when asked for by name.
    """

    name: str
    requires: tuple[str, ...]
    opt_in = False

    def version(self) -> str | None:
        """The version installed; None where something is missing."""
        try:
            return {name: metadata.version(name) for name in self.requires}[self.requires[0]]
        except metadata.PackageNotFoundError:
            return None

    @abstractmethod
    def supports(self, problem: Problem) -> bool:
        """Whether this peer can run the problem."""

    def counts(self, problem: Problem) -> bool:
        """Whether the goal is set against this peer; the others are shown beside it."""
        return True

    @abstractmethod
    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        """The good ways of running it."""
