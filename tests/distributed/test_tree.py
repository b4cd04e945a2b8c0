"""The tree that sums are added in."""

import itertools

import numpy as np
import pytest

from fnnfast.distributed import _tree


def written(first, last):
    """The sum of shards with its brackets."""
    if last - first == 1:
        return str(first)
    half = _tree.middle(first, last)
    return f"({written(first, half)} {written(half, last)})"


@pytest.mark.parametrize(
    ("shards", "expected"),
    [(1, "0"), (2, "(0 1)"), (3, "((0 1) 2)"), (5, "(((0 1) (2 3)) 4)"), (7, "(((0 1) (2 3)) ((4 5) 6))")],
)
def test_left_parts_are_powers_of_two(shards, expected):
    assert written(0, shards) == expected


@pytest.mark.parametrize("shards", range(1, 20))
def test_any_ranks_add_in_the_same_order(shards):
    whole = written(0, shards)
    for ranks in range(1, shards + 1):
        known = {}
        ends = _tree.cut(shards, ranks)
        for first, last in itertools.pairwise(ends):
            nodes = list(_tree.nodes_within(first, last, (0, shards)))
            assert [place for node in nodes for place in range(*node)] == list(range(first, last))
            known |= {node: written(*node) for node in nodes}
        assert _tree.total((0, shards), known, lambda one, other: f"({one} {other})") == whole


def test_what_has_no_rows_is_left_out():
    values = np.array([1e8, -1e8, 1.0], np.float32)
    known = {(0, 1): values[0], (5, 6): values[1], (7, 8): values[2]}
    assert _tree.total((0, 8), known, np.add) == values[0] + (values[1] + values[2])
    assert _tree.total((0, 8), {}, np.add) is None


def test_parts_are_equal_but_for_one():
    assert _tree.cut(3, 8) == [0, 0, 0, 1, 1, 1, 2, 2, 3]
    assert _tree.cut(10, 4) == [0, 2, 5, 7, 10]
