"""Values drawn from bytes: what a fuzzer changes is then the structure of a call, not the text of one.

All zeros, and the end of the bytes, give the first choice and the smallest number, so that every input comes to an end.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import fnnfast as fnn
from factories import CASES, LAYOUTS, TAILS, Convertible
from fnnfast import reference

try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None

Array = np.ndarray[Any, Any]


class FaultError(AssertionError):
    """What should not happen."""


class Source:
    """Numbers and choices out of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many bytes, zeros beyond the end."""
        part = self._data[self._at : self._at + count]
        self._at += count
        return part.ljust(count, b"\0")

    def rest(self) -> bytes:
        """All bytes that are left."""
        part = self._data[self._at :]
        self._at = len(self._data)
        return part

    def integer(self, low: int, high: int) -> int:
        span = high - low + 1
        return low + int.from_bytes(self.take((span.bit_length() + 7) // 8), "little") % span

    def choice(self, values: Sequence[Any]) -> Any:
        return values[self.integer(0, len(values) - 1)]

    def one_in(self, count: int) -> bool:
        return self.integer(0, count - 1) == count - 1

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.integer(0, 2**16 - 1))


class SourceRandom(random.Random):
    """Python's random numbers, out of bytes."""

    def __init__(self, source: Source) -> None:
        super().__init__(0)
        self.source = source

    def random(self) -> float:
        return int.from_bytes(self.source.take(2), "little") / 2**16

    def getrandbits(self, k: int) -> int:
        return int.from_bytes(self.source.take((k + 7) // 8), "little") >> (-k % 8)


# Arrays --------------------------------------------------------------------------------------------------------------
FLOATS = ("float32", "float64", "float16", "longdouble", *(("bfloat16",) if ml_dtypes else ()))
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")
UNREAL = ("complex64", "object", "U3", "S2", "datetime64[s]", "O4")
SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 1e-45, 1e30, 3.4e38, 1e300, 5e-324, 65504.0, 1e5)
SCALES = (1.0, 1.0, 1.0, 1.0, 1e-3, 40.0, 1e20, 1e-38)
FORMS = (*LAYOUTS, "broadcast", "list", "memoryview", "convertible", "memory map")


class Drawn(NamedTuple):
    """An array in some form, and whether its numbers are such that rounding errors are known."""

    value: Any
    moderate: bool

    @property
    def array(self) -> Array:
        return self.value.array if isinstance(self.value, Convertible) else np.asarray(self.value)


def size(source: Source, low: int = 0) -> int:
    """Small most of the time, else around multiples of a tile."""
    return source.choice(TAILS) if source.one_in(6) else source.integer(low, 9)


def dtype_name(source: Source) -> str:
    kind = source.integer(0, 9)
    return "float32" if kind < 4 else source.choice(FLOATS if kind < 8 else INTEGERS)


def numbers(source: Source, shape: tuple[int, ...], name: str | None = None, tame: bool = False) -> Drawn:
    """An array of that shape, dtype and form; tame numbers are small and finite."""
    name = dtype_name(source) if name is None else name
    rng = source.rng()
    if name == "bool":
        array = np.asarray(rng.integers(0, 2, shape), bool)
    elif name in INTEGERS:
        low = 0 if name.startswith("u") else -5
        array = np.asarray(rng.integers(low, 6, shape), name)
        if not tame and source.one_in(8) and array.size:
            array.reshape(-1)[source.integer(0, array.size - 1)] = np.iinfo(name).max
            return Drawn(formed(source, array), False)
    else:
        dtype = ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)
        scale = 1.0 if tame else source.choice(SCALES)
        with np.errstate(all="ignore"):
            array = np.asarray(rng.standard_normal(shape) * scale).astype(dtype)
            special = source.integer(1, 4) if not tame and source.one_in(4) and array.size else 0
            for _ in range(special):
                array.reshape(-1)[source.integer(0, min(array.size, 2**16) - 1)] = source.choice(SPECIAL)
        return Drawn(formed(source, array), scale in (1.0, 40.0) and not special)
    return Drawn(formed(source, array), True)


def unreal(source: Source, shape: tuple[int, ...]) -> Any:
    """An array that holds no real numbers."""
    name = source.choice(UNREAL)
    return np.ones(shape).astype([("a", "f4")]) if name == "O4" else np.ones(shape, int).astype(name)


def formed(source: Source, array: Array, forms: Sequence[str] = FORMS) -> Any:
    """The array in a form that is none of C-contiguous memory of its own, or is."""
    array = np.asarray(array)  # not a number of NumPy's
    form = source.choice(forms) if source.one_in(2) else "contiguous"
    if not array.ndim:
        return array.item() if form == "list" else array
    if form == "list" and not array.size:
        return array  # a list would not tell its shape
    if array.dtype.kind == "V" and form in ("byte_swapped", "memoryview"):
        return array  # ml_dtypes has neither
    if form == "broadcast":
        return np.broadcast_to(array[:1], array.shape) if array.ndim and array.shape[0] else array
    if form == "list":
        return array.tolist()
    if form == "memoryview":
        return memoryview(np.ascontiguousarray(array))
    if form == "convertible":
        return Convertible(array)
    if form == "memory map":
        return np.asarray(array).view(np.memmap)
    return LAYOUTS[form](array)


def computed_in(*arrays: Array | None) -> np.dtype:
    """The documented rule: float32 if the floats that are float32 or float64 are all float32; else float64.

    bfloat16 counts as float32.
    """
    found = {array.dtype.newbyteorder("=").name for array in arrays if array is not None}
    if "bfloat16" in found:
        found = found - {"bfloat16"} | {"float32"}
    return np.dtype("float32" if found & {"float32", "float64"} == {"float32"} else "float64")


def plain(array: Any, dtype: Any) -> Array:
    """A contiguous copy of its numbers."""
    with np.errstate(all="ignore"):
        return np.array(np.asarray(array).astype(dtype), order="C")


# Activations ---------------------------------------------------------------------------------------------------------
def activation(source: Source, units: int, dtype: Any, names: Sequence[str] = tuple(CASES)) -> tuple[str, Any, Any]:
    """The name in the registry, the public object, and the parameter for the oracle."""
    name = source.choice(names)
    if reference.ACTIVATIONS[name].learned and not units:
        name = "identity"
    f, parameter = CASES[name].make(units, np.dtype(dtype))
    if reference.ACTIVATIONS[name].default is None and source.one_in(8):
        try:
            return name, fnn.activations.get(name, accurate=True), None
        except (TypeError, ValueError):  # of those that are exact
            return name, f, None
    return name, f, parameter


# Comparisons ---------------------------------------------------------------------------------------------------------
def told(result: Any) -> list[Array]:
    """All arrays and numbers of a result, in order."""
    if result is None:
        return []
    if isinstance(result, dict):
        return [array for key in sorted(result) for array in told(result[key])]
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in told(part)]
    if isinstance(result, (np.ndarray, float, int, np.generic)):
        return [np.asarray(result)]
    raise FaultError(f"a result of type {type(result).__name__}")


def same(got: Any, expected: Any, what: str) -> None:
    """The same bits, NaN for NaN."""
    got, expected = told(got), told(expected)
    if len(got) != len(expected):
        raise FaultError(f"{what}: {len(got)} and {len(expected)} arrays")
    for one, other in zip(got, expected, strict=True):
        if one.dtype != other.dtype or one.shape != other.shape:
            raise FaultError(f"{what}: {one.dtype} {one.shape} and {other.dtype} {other.shape}")
        differ = np.frombuffer(one.tobytes(), np.uint8) != np.frombuffer(other.tobytes(), np.uint8)
        places = differ.reshape(-1, one.dtype.itemsize).any(axis=1)
        if one.dtype.kind == "f":
            places &= ~(np.isnan(one) & np.isnan(other)).reshape(-1)
        if places.any():
            at = int(np.argmax(places))
            raise FaultError(
                f"{what}: {places.sum()} of {one.size} differ, first {one.reshape(-1)[at]!r} and "
                f"{other.reshape(-1)[at]!r} at {at} of {one.shape}"
            )


def outcome(call: Any) -> Any:
    """The result of a call, or the error of a kind that is documented."""
    try:
        return call()
    except (TypeError, ValueError, MemoryError) as error:
        if not str(error) and not isinstance(error, MemoryError):
            raise FaultError(f"{type(error).__name__} without a word") from error
        return error


def content(value: Any) -> Any:
    """The bytes of an argument, where it has some."""
    if isinstance(value, Convertible):
        value = value.array
    if isinstance(value, (np.ndarray, memoryview)):
        return np.asarray(value).tobytes() if np.asarray(value).dtype.kind != "O" else None
    return repr(value) if isinstance(value, list) else None


def agree(what: str, call: Any, given: dict[str, Any], copies: dict[str, Any]) -> Any:
    """What a call returns or raises for arrays of any form, which is as for plain copies; and they are unchanged."""
    before = {name: content(value) for name, value in given.items()}
    got = outcome(lambda: call(**given))
    for name, value in given.items():
        if content(value) != before[name]:
            raise FaultError(f"{what}: {name} was changed")
    expected = outcome(lambda: call(**copies))
    if isinstance(got, Exception) or isinstance(expected, Exception):
        if type(got) is not type(expected):
            raise FaultError(f"{what}: {got!r:.300} for {_shown(given)}, and {expected!r:.300} for plain copies")
        return got
    same(got, expected, f"{what} of {_shown(given)}, against plain copies")
    return got


def _shown(given: dict[str, Any]) -> str:
    parts = []
    for name, value in given.items():
        array = value.array if isinstance(value, Convertible) else value
        if isinstance(array, (np.ndarray, memoryview)):
            array = np.asarray(array)
            value = f"{type(value).__name__} {array.dtype} {array.shape} strides {array.strides}"
        parts.append(f"{name}: {value!s:.100}")
    return ", ".join(parts)


def within(what: str, got: Array, expected: Array, tolerance: Any) -> None:
    """|got - expected| <= tolerance."""
    excess = np.abs(got.astype(np.float64) - expected) - tolerance
    expected = np.asarray(expected)
    if got.shape != expected.shape or (excess.size and not excess.max() <= 0):
        raise FaultError(f"{what}: {got.shape}, off by {np.nanmax(excess) if excess.size else 0} more than allowed")
