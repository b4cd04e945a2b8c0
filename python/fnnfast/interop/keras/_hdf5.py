"""The weights of .keras files, HDF5 in memory: plain arrays only, of the sizes that the file has.

Attributes, such as the names of layers, are not read: HDF5 does not return from some that are damaged.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ..._checks import Array, short
from ..._extras import needs
from .._errors import ConversionError, refusal

T = TypeVar("T")


def h5py() -> ModuleType:
    """The package; ModuleNotFoundError naming the extra without it."""
    with needs("h5py", "files of Keras need the package h5py: pip install 'fnnfast[keras]'"):
        import h5py
    return h5py  # type: ignore[no-any-return]


class Weights:
    """The bytes of such a file; held is how many numbers it can have at most."""

    def __init__(self, content: bytes) -> None:
        self.held = len(content) // 2
        self._left = len(content)
        self._h5 = h5py()
        self._file = _guarded("model.weights.h5", lambda: self._h5.File(io.BytesIO(content), "r"))

    def root(self) -> Group:
        return Group(self, ())

    def read(self, path: tuple[str, ...], place: str) -> list[Array]:
        """The arrays "0", "1", ... in the group of a path; none where there is no such group."""
        return _guarded(place, lambda: self._read(path, place))

    def _read(self, path: tuple[str, ...], place: str) -> list[Array]:
        group = self._file
        for key in (*path, "vars"):
            group = self._follow(group, key, self._h5.Group, place)
            if group is None:
                return []
        count = len(group)
        if count > 16:
            raise refusal(place, f"{count} variables", "layers of a few")
        return [self._array(self._follow(group, str(index), self._h5.Dataset, place), place) for index in range(count)]

    def _follow(self, group: Any, key: str, kind: Any, place: str) -> Any:
        """What a group has under a key, if it has it itself: links could lead outside, or in circles."""
        link = group.get(key, getlink=True)
        if link is None:
            return None
        if not isinstance(link, self._h5.HardLink):
            raise refusal(place, f"{key!r} is a link in the weights", "weights within the file")
        found = group.get(key)
        if not isinstance(found, kind):
            raise refusal(place, f"{key!r} is no {kind.__name__.lower()}", "weights as Keras 3 writes them")
        return found

    def _array(self, dataset: Any, place: str) -> Array:
        if dataset is None:
            raise refusal(place, "a variable is missing", "variables 0, 1, ...")
        settings = dataset.id.get_create_plist()
        layouts = (self._h5.h5d.COMPACT, self._h5.h5d.CONTIGUOUS, self._h5.h5d.CHUNKED)
        if settings.get_external_count() or settings.get_layout() not in layouts or settings.get_nfilters():
            raise refusal(place, "a variable that is compressed, or has its data in other files", "plain arrays")
        bfloat16 = dataset.dtype == np.dtype("V2")
        if dataset.dtype.kind not in "fiu" and not bfloat16:
            raise refusal(place, f"a variable of dtype {dataset.dtype}", "floats")
        size = dataset.size * dataset.dtype.itemsize
        if dataset.ndim > 32 or size > self._left or (size and dataset.id.get_storage_size() < size):
            raise refusal(place, f"a variable of shape {dataset.shape}, which the file does not hold", "whole arrays")
        self._left -= size
        values = np.asarray(dataset[()])
        return (values.view("<u2").astype(np.uint32) << 16).view(np.float32) if bfloat16 else values


class Group:
    """A layer's place in the file."""

    def __init__(self, weights: Weights, path: tuple[str, ...]) -> None:
        self._weights, self._path = weights, path

    def variables(self, place: str) -> list[Array]:
        return self._weights.read(self._path, place)

    def inside(self, key: str, name: str) -> Group:
        return Group(self._weights, (*self._path, "layers", key))

    def activation(self) -> Group:
        return Group(self._weights, (*self._path, "activation"))


def _guarded(place: str, call: Callable[[], T]) -> T:
    """What h5py finds wrong in a file as ConversionError."""
    try:
        return call()
    except ConversionError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ConversionError(f"{place}: weights that are damaged ({short(error)})") from error
