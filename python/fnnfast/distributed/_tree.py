"""The binary tree in which the sums of shards are added, whoever holds them.

A node is a range [first, last) of shards. The left one of its two parts has as many as the largest power of two below
their number; ``sum_parts`` of the compiled trainer splits in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")
Node = tuple[int, int]


def middle(first: int, last: int) -> int:
    """Where the two parts of a node meet."""
    return first + (1 << (last - first - 1).bit_length() - 1)


def nodes_within(first: int, last: int, of: Node) -> Iterator[Node]:
    """The largest nodes of the tree over ``of`` whose shards are all in [first, last)."""
    if max(first, of[0]) >= min(last, of[1]):
        return
    if first <= of[0] and of[1] <= last:
        yield of
        return
    half = middle(*of)
    yield from nodes_within(first, last, (of[0], half))
    yield from nodes_within(first, last, (half, of[1]))


def total(node: Node, known: Mapping[Node, T], add: Callable[[T, T], T]) -> T | None:
    """The sum of a node from those of nodes below it; what is missing in ``known`` has no rows."""
    if node in known:
        return known[node]
    if node[1] - node[0] <= 1:
        return None
    half = middle(*node)
    left, right = total((node[0], half), known, add), total((half, node[1]), known, add)
    if left is None or right is None:
        return right if left is None else left
    return add(left, right)


def cut(count: int, parts: int) -> list[int]:
    """Where so many things are cut into contiguous parts, equal but for one: parts + 1 numbers."""
    return [count * part // parts for part in range(parts + 1)]
