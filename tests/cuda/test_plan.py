"""How work is cut for a GPU: plain arithmetic, which needs none."""

import numpy as np
import pytest

_cuda = pytest.importorskip("fnnfast._cuda", reason="this build has no CUDA kernels")

SIZES = [0, 1, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, 4096, 65537, 2**20 + 1, 2**31 - 1]


@pytest.mark.parametrize("multiprocessors", [1, 4, 108, 132])
@pytest.mark.parametrize("sides", [(128, 64), (64, 32)])
def test_tiles_cover_the_result(multiprocessors, sides):
    for m in SIZES:
        for n in SIZES:
            for layers in (1, 3, 64):
                large, rows, columns = _cuda.tile_grid(m, n, layers, multiprocessors, *sides)
                side = sides[0] if large else sides[1]
                assert rows == max(1, -(-m // side))
                assert columns == max(1, -(-n // side))
                if large:  # no multiprocessor is idle for it
                    assert rows * columns * layers >= multiprocessors


def test_a_narrow_result_takes_the_small_tile():
    """So that a row of softmax that fits one is never shared by two."""
    for n in range(1, 65):
        assert _cuda.tile_grid(10**6, n, 1, 132, 128, 64) == (False, -(-(10**6) // 64), 1)


def test_slices_cover_the_rows():
    rng = np.random.default_rng(0)
    for rows in [*SIZES, *(2 ** rng.uniform(0, 31, 3000)).astype(int).tolist()]:
        tiles, multiprocessors = int(2 ** rng.uniform(0, 16)), int(rng.integers(1, 200))
        count, each = _cuda.slices(rows, tiles, multiprocessors)
        assert 1 <= count <= 64
        assert each % 64 == 0
        assert count * each >= rows
        assert (count - 1) * each < max(rows, 1)
        if count > 1:
            assert each >= 256  # long beside the cost of adding it


def test_few_tiles_are_cut_into_slices():
    assert _cuda.slices(2**18, 1, 132)[0] == 64
    assert _cuda.slices(2**18, 1000, 132)[0] == 1
    assert _cuda.slices(500, 1, 132)[0] == 1


def test_no_slice_waits_for_the_others():
    """All tiles of all slices run at the same time, two a multiprocessor: 784 x 512 outputs are 28 tiles."""
    assert _cuda.slices(65536, 28, 132) == (9, 7296)
    for tiles in range(1, 400):
        count, _ = _cuda.slices(65536, tiles, 132)
        assert count == 1 or count * tiles <= 2 * 132
