"""A training step of several processes: gradients of shards, added in one tree, and the same update everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _cpu
from .._checks import Array
from . import _gpu
from ._communicator import Communicator, Piece
from ._tree import Node, cut, nodes_within, total

if TYPE_CHECKING:
    from .._network.data import Data
    from ..training import Trainer

# What a process says of itself in each step.
FINE, FAILED, INTERRUPTED = 0.0, 1.0, 2.0


class Outcome(NamedTuple):
    """Of a step: loss and accuracy of its batch before the update, the batch's weight, and the ranks' states."""

    loss: float
    accuracy: float
    weight: float
    states: tuple[float, ...]


class Step:
    """Training steps of one trainer on the shards of all ranks.

    Each rank has contiguous shards. It adds their gradients as far as its shards make whole nodes of the tree. Every
    rank then receives a slice of all nodes' gradients, adds what is left of the tree there, and sends the sum to all:
    a sum that each element passes to its one place and back, as in the best algorithms for MPI_Allreduce, but in an
    order that does not depend on the ranks. Losses, accuracies and statistics are small and go to all.
    """

    def __init__(self, trainer: Trainer, comm: Communicator, shards: int, narrow: bool) -> None:
        self._trainer, self._comm, self._shards, self._narrow = trainer, comm, shards, narrow
        network, core = trainer.network, trainer._core
        self._device = network._device
        shapes = network.parameters.shapes.values()
        sizes = [math.prod(shape) for shape in shapes]
        self._size = sum(sizes)
        ranks = range(comm.size)
        of_ranks = cut(shards, comm.size)
        self._nodes = [list(nodes_within(of_ranks[r], of_ranks[r + 1], (0, shards))) for r in ranks]
        self._slices = [
            slice(first, last) for first, last in zip(*_neighbours(cut(self._size, comm.size)), strict=True)
        ]
        ends = np.cumsum([0, *sizes]).tolist()
        views = [
            (slice(*place), shape) for place, shape in zip(zip(*_neighbours(ends), strict=True), shapes, strict=True)
        ]

        def flat() -> tuple[Array, list[Array]]:
            buffer = self._device.empty((self._size,), trainer._dtype)
            return buffer, [buffer[place].reshape(shape) for place, shape in views]

        self._own = {node: flat() for node in self._nodes[comm.rank]}
        self._result = next(iter(self._own.values()))  # when it is made, all sums have been sent
        # One record of a shard: whether it has rows, loss, accuracy, the weight of the batch, and statistics.
        self._units = core.normalized_units() if isinstance(core, _cpu.Trainer) else []
        self._record = 4 + sum(1 + 2 * units for units in self._units)
        self._tails = [np.zeros(1 + self._record * (of_ranks[r + 1] - of_ranks[r])) for r in ranks]
        self._first_shard = of_ranks
        self._memory: dict[tuple[int, Node | None], Array] = {}

    def run(self, data: Data, rows: NDArray[np.int64], rate: float, state: float) -> tuple[Outcome, Exception | None]:
        """Take a step on a batch; what failed here is returned after the others know of it, and nothing changes."""
        ends = cut(len(rows), self._shards)
        filled = [[node for node in nodes if ends[node[0]] < ends[node[1]]] for nodes in self._nodes]
        rank, error = self._comm.rank, None
        tail = self._tails[rank]
        tail[:] = 0.0
        try:
            for node in filled[rank]:
                self._sum(node, data, rows, ends)
        except Exception as failure:  # told to the others first, who wait for this step
            error, state = failure, FAILED
        tail[0] = state
        sums = self._collect(filled)
        states = tuple(float(tail[0]) for tail in self._tails)
        records = self._records()
        outcome = Outcome(float(records[1]), float(records[2]), float(records[3]), states)
        if any(states) or outcome.loss != outcome.loss:
            return outcome, error
        self._spread(sums)
        core = self._trainer._core
        if isinstance(core, _cpu.Trainer):
            core.set_batch_statistics(records[4:].tolist())
        core.apply(self._result[1], rate)
        return outcome, None

    def _sum(self, node: Node, data: Data, rows: NDArray[np.int64], ends: Sequence[int]) -> None:
        """The gradients of one node's shards, and their records."""
        core, out = self._trainer._core, self._own[node][1]
        batch = (data.x, data.targets, rows, data.weights, ends[node[0] : node[1] + 1], out)
        with self._device.current():
            if isinstance(core, _cpu.Trainer):
                weight, parts = core.sum_parts(*batch, self._narrow)
            else:
                weight, parts = _gpu.sum_parts(core, *batch)
        for part, loss, accuracy, statistics in parts:
            at = 1 + self._record * (node[0] + part - self._first_shard[self._comm.rank])
            self._tails[self._comm.rank][at : at + self._record] = (1.0, loss, accuracy, weight, *statistics)

    def _collect(self, filled: Sequence[Sequence[Node]]) -> dict[Node, Array]:
        """The slices of this rank of all nodes' gradients; and all tails."""
        rank, others = self._comm.rank, [r for r in range(self._comm.size) if r != self._comm.rank]
        mine = self._slices[rank]
        sums = {node: self._own[node][0][mine] for node in filled[rank]}
        sends: list[Piece] = []
        receives: list[Piece] = []
        for r in others:
            sends += [(r, self._packed(self._own[node][0][self._slices[r]])) for node in filled[rank]]
            sends.append((r, self._tails[rank]))
            arrived = [(node, self._received(r, node, mine.stop - mine.start)) for node in filled[r]]
            receives += [(r, array) for _, array in arrived]
            receives.append((r, self._tails[r]))
            sums |= dict(arrived)
        self._comm.exchange(sends, receives)
        return {node: self._unpacked(array) for node, array in sums.items()}

    def _spread(self, sums: dict[Node, Array]) -> None:
        """The sum of all nodes on all ranks."""
        rank, result = self._comm.rank, self._result[0]
        if self._comm.size == 1:
            return
        with self._device.current():
            found = total((0, self._shards), sums, self._add)
        assert found is not None  # a batch has rows
        result[self._slices[rank]] = found
        packed = self._packed(found)
        others = [r for r in range(self._comm.size) if r != rank]
        sizes = {r: self._slices[r].stop - self._slices[r].start for r in others if self._narrow}
        places = {r: self._received(r, None, size) for r, size in sizes.items()}
        self._comm.exchange(
            [(r, packed) for r in others], [(r, places.get(r, result[self._slices[r]])) for r in others]
        )
        for r, array in places.items():
            result[self._slices[r]] = self._unpacked(array)

    def _records(self) -> NDArray[np.float64]:
        """The record of the batch: sums, and statistics joined, in the tree."""
        known = {}
        for r, tail in enumerate(self._tails):
            for i, record in enumerate(tail[1:].reshape(-1, self._record)):
                if record[0]:
                    shard = self._first_shard[r] + i
                    known[shard, shard + 1] = record
        found = total((0, self._shards), known, self._join)
        return np.full(self._record, np.nan) if found is None else found  # None: all failed

    def _join(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        joined = one.copy()
        joined[1:3] += other[1:3]
        at = 4
        for units in self._units:
            count, more = one[at], other[at]
            mean, squares = slice(at + 1, at + 1 + units), slice(at + 1 + units, at + 1 + 2 * units)
            if count == 0.0:
                joined[at : squares.stop] = other[at : squares.stop]
            elif more:
                share, off = more / (count + more), other[mean] - one[mean]
                joined[at] += more
                joined[mean] += off * share
                joined[squares] += other[squares] + off * off * (count * share)
            at = squares.stop
        return joined

    # bfloat16 --------------------------------------------------------------------------------------------------------
    # Numbers of 8 bits as float32: their upper halves are those numbers in bfloat16.
    def _received(self, rank: int, node: Node | None, size: int) -> Array:
        """Memory for a node's slice from a rank, or for that rank's sum: the same in every step."""
        if (rank, node) not in self._memory:
            dtype = np.uint16 if self._narrow else self._trainer._dtype
            self._memory[rank, node] = self._device.empty((size,), dtype)
        return self._memory[rank, node]

    def _packed(self, values: Array) -> Array:
        if not self._narrow:
            return values
        return (values.view(np.uint32) >> 16).astype(np.uint16)

    def _unpacked(self, values: Array) -> Array:
        return (values.astype(np.uint32) << 16).view(np.float32) if values.dtype == np.uint16 else values

    def _add(self, one: Array, other: Array) -> Array:
        """Into the first, which no other node needs any more."""
        one += other
        if self._narrow:
            bits = one.view(np.uint32)
            rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
            bits[:] = np.where(np.isnan(one), np.uint32(0x7FC00000), rounded)
        return one


def _neighbours(ends: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    return ends[:-1], ends[1:]
