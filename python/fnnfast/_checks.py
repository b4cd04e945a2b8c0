"""Arguments of users, checked and converted for the kernels: shapes, dtypes and the wording of errors.

An invalid value raises ``ValueError``, an invalid type ``TypeError``. Both name the argument, what is allowed, and the
value that was passed, of an array the first invalid one and its index.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeGuard, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
DType = np.dtype[Any]
P = ParamSpec("P")
R = TypeVar("R")
Float = TypeVar("Float", np.float32, np.float64)

FLOAT32: DType = np.dtype(np.float32)
FLOAT64: DType = np.dtype(np.float64)

# Sizes and counts stay below 2**31, so that products of two of them fit into 64 bits.
MAX_SIZE = 2**31 - 1

# Exact overlap of strided arrays is NP-complete; beyond this effort two arrays count as overlapping.
_OVERLAP_EFFORT = 10_000

# The exponent of a power of two that is finite, as is its inverse.
_LARGEST_EXPONENT = 1000

# A search for a value copies so many rows at a time.
_ROWS_AT_A_TIME = 4096


def message(name: str, expected: object, got: object) -> str:
    """The one form of an error: the argument, what is allowed, what was passed; at most a line or two."""
    try:
        return f"{short(name)}: expected {short(expected, 1000)}, got {short(got)}"
    except ValueError:  # Python writes out no integer of more than some thousand digits
        return f"{short(name)}: expected {short(expected, 1000)}, got a number too long to show"


def short(text: object, most: int = 300) -> str:
    """The text, cut in its middle where it is longer than that: names and values come from users and files."""
    text = f"{text}"
    return text if len(text) <= most else f"{text[: most * 2 // 3]} ... {text[len(text) - most // 4 :]}"


def listed(names: Iterable[object], most: int = 10) -> str:
    """Names with commas between, the first ones where they are many."""
    texts = list(map(short, names))
    rest = f", ... ({len(texts)} in all)" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest


# Scalars -------------------------------------------------------------------------------------------------------------
def integer(name: str, value: Any, minimum: int, maximum: int | None = MAX_SIZE) -> int:
    """An integer from ``minimum`` to ``maximum``, NumPy's included, bool not."""
    expected = f"an integer >= {minimum}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(message(name, expected, repr(value)))
    number = operator.index(value)
    if number < minimum:
        raise ValueError(message(name, expected, number))
    if maximum is not None and number > maximum:
        raise ValueError(message(name, f"an integer <= {maximum}", number))
    return number


def finite(name: str, value: Any) -> float:
    """A finite number."""
    return _number(name, value, "a finite number", math.isfinite)


def positive(name: str, value: Any) -> float:
    """A finite number > 0."""
    return _number(name, value, "a number > 0", lambda number: number > 0)


def not_negative(name: str, value: Any) -> float:
    """A finite number >= 0."""
    return _number(name, value, "a number >= 0", lambda number: number >= 0)


def share(name: str, value: Any) -> float:
    """A number in [0, 1)."""
    return _number(name, value, "a number in [0, 1)", lambda number: 0 <= number < 1)


def proportion(name: str, value: Any) -> float:
    """A number in [0, 1]."""
    return _number(name, value, "a number in [0, 1]", lambda number: 0 <= number <= 1)


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(message(name, "True or False", repr(value)))
    return bool(value)


def _number(name: str, value: Any, expected: str, valid: Callable[[float], bool]) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(message(name, expected, repr(value)))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and valid(number)):
        raise ValueError(message(name, expected, value))
    return number


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """A sequence of objects. A memoryview is one of numbers, and raises NotImplementedError if it has several axes."""
    return isinstance(value, Sequence) and not isinstance(value, memoryview)


def path(name: str, value: Any) -> str:
    """A path, as text; TypeError for what is none, such as the number of an open file."""
    try:
        text = os.fsdecode(os.fspath(value))
    except TypeError:
        raise TypeError(message(name, "a path", repr(value))) from None
    if not text or "\0" in text:
        raise ValueError(message(name, "the path of a file", repr(text)))
    return text


def seed(value: Any) -> int | None:
    """A seed for a NumPy Generator: None (fresh entropy) or an integer >= 0."""
    return None if value is None else integer("seed", value, 0, None)


def key(name: str) -> str:
    """A name without upper case and without what stands between words: "Leaky-ReLU" and "leaky_relu" are one."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def advised(context: str, *more: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function say what to write instead of keywords that other libraries have, as ``_vocabulary`` knows them.

    more are the names that it takes by ``**``.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        code: Any = function.__code__
        known = {*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount], *more}

        @wraps(function)
        def called(*arguments: P.args, **named: P.kwargs) -> R:
            if not named.keys() <= known:
                from . import _vocabulary

                for name in named.keys() - known:
                    if advice := _vocabulary.KEYWORDS[context].get(name):
                        what = function.__qualname__.removesuffix(".__init__")
                        raise TypeError(f"{what}() got an unexpected keyword argument {name!r}: {advice}")
            return function(*arguments, **named)

        return called

    return wrap


def generator(value: Any) -> np.random.Generator:
    """NumPy's Generator of an argument ``rng``."""
    try:
        return np.random.default_rng(value)
    except (TypeError, ValueError) as error:
        raise type(error)(message("rng", "None, an integer >= 0 or a Generator", repr(value))) from None


def unknown(name: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known: lists those that are and guesses what was meant."""
    import difflib  # only on the way to an error

    from . import _vocabulary

    names = list(known)
    word = key(short(value))
    close = difflib.get_close_matches(short(value), names, n=1, cutoff=0.75)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    if name in ("activation", "optimizer", "loss") and (word in _vocabulary.OTHERS or word in _vocabulary.ADVICE):
        hint = f"; {_vocabulary.ADVICE[word]}" if word in _vocabulary.ADVICE else ""
    return ValueError(message(name, f"one of {listed(names, 100)}", repr(value)) + hint)


def dtype(value: Any, expected: str = "'float32' or 'float64'") -> DType:
    """float32 or float64, of native byte order."""
    for known in (FLOAT32, FLOAT64):
        if same_dtype(known, value):
            return known
    raise ValueError(message("dtype", expected, repr(value)))


def same_dtype(known: DType, value: Any) -> bool:
    """Whether a value says that dtype; NumPy takes None for float64, and compares with the elements of an array."""
    return value is not None and not isinstance(value, np.ndarray) and bool(known == value)


def sum_type(dtype: DType) -> DType:
    """What products of numbers of that dtype are summed in, and biases and slopes kept in."""
    return dtype if dtype.itemsize > 2 else FLOAT32


def is_bfloat16(value: Any) -> bool:
    """Whether it names the bfloat16 of ml_dtypes, which is neither needed nor imported to say so."""
    if isinstance(value, str):
        return value == "bfloat16"
    try:
        return bool(np.dtype(value).name == "bfloat16")
    except (TypeError, ValueError):
        return False


# Arrays in -----------------------------------------------------------------------------------------------------------
def any_array(name: str, value: ArrayLike) -> Array:
    """``np.asarray``, whose errors name the argument: of a list whose rows have different lengths, say."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(message(name, "an array", f"a sequence that NumPy cannot convert: {short(error)}")) from error


def real_array(name: str, value: ArrayLike) -> Array:
    """An array of booleans, integers or floats, not yet converted, except bfloat16, which NumPy knows no rules for."""
    if type(value) is not np.ndarray:
        refuse_mask(name, value)
    array = any_array(name, value)
    if array.dtype.kind == "V" and is_bfloat16(array.dtype):
        array = array.astype(FLOAT32)
    if array.dtype.kind not in "biuf":
        array = _of_columns(name, value, array)
    return array


def require_all(name: str, values: Array, valid: NDArray[np.bool_], expected: str) -> None:
    """Raise ValueError with the first value that is not valid, and its index."""
    if not valid.all():
        place = tuple(np.argwhere(~valid)[0].tolist())
        at = f" at index {place[0] if len(place) == 1 else place}" if place else ""
        raise ValueError(message(name, expected, f"{values[place]}{at}"))


def refuse_mask(name: str, value: object) -> None:
    """Raise ValueError for a masked array that masks something: as an array it would show what is behind the mask."""
    if isinstance(value, np.ndarray) and np.any(mask := getattr(value, "mask", False)):
        place = tuple(np.argwhere(mask)[0].tolist())
        got = f"a masked array of {np.sum(mask)} masked, the first at index {place}; filled() gives them values"
        raise ValueError(message(name, "a value for every element", got))


def _of_columns(name: str, value: Any, array: Array) -> Array:
    """A table or column of pandas whose ``array`` holds objects, since its columns are of several dtypes.

    What is missing becomes NaN, as pandas has it. TypeError for what is no such table, or where a column is no number.
    """
    if hasattr(value, "toarray"):
        got = f"a sparse {type(value).__name__}; toarray() makes it dense"
        raise TypeError(message(name, "a dense array of real numbers", got))
    if array.dtype.kind != "O" or not (hasattr(value, "iloc") and hasattr(value, "to_numpy")):
        hint = '; .astype("float32") converts what holds numbers' if isinstance(value, np.ndarray) else ""
        raise TypeError(message(name, "an array of real numbers", f"dtype {array.dtype}{hint}"))
    if array.ndim == 1:
        return _column(name, value.name, value)
    columns = [_column(name, label, value.iloc[:, i]) for i, label in enumerate(value.columns)]
    return np.stack(columns, axis=1)


def _column(name: str, label: object, column: Any) -> Array:
    numbers = column.to_numpy()
    if numbers.dtype.kind == "O":
        missing = column.isna().to_numpy()
        if all(isinstance(value, (bool, int, float, np.bool_, np.number)) for value in numbers[~missing].tolist()):
            numbers = np.where(missing, np.nan, numbers)
            numbers = np.array(numbers.tolist())  # of the dtype that these have together
    if numbers.dtype.kind not in "biuf":
        got = f'column {label!r} of dtype {column.dtype}; encode or drop it, or .astype("float32") if it holds numbers'
        raise TypeError(message(name, "columns of real numbers", got))
    return numbers  # type: ignore[no-any-return]


def not_finite(rows: Array, indices: NDArray[np.int64], shape: tuple[int, ...]) -> str | None:
    """Describe the first infinite or NaN value in some of the rows (N, I) of inputs of that shape, and its place."""
    for start in range(0, len(indices), _ROWS_AT_A_TIME):
        part = rows[indices[start : start + _ROWS_AT_A_TIME]]
        bad = np.flatnonzero(~np.isfinite(part))
        if bad.size:
            row, place = divmod(int(bad[0]), part.shape[1])
            value = "NaN" if np.isnan(part[row, place]) else f"{part[row, place]} in {part.dtype}"
            column = f"column {place}" if len(shape) == 1 else f"at {tuple(map(int, np.unravel_index(place, shape)))}"
            return f"{value} in row {indices[start + row]}, {column}"
    return None


def relative(weights: Array) -> tuple[Array, float]:
    """Weights in a unit near the largest, and that unit: a power of two, so that they change by it and nothing else.

    What is small among such weights is negligible, and the inverse of their sum is finite, in float32 as well.
    """
    exponent = math.frexp(float(weights.max(initial=0.0)))[1]
    exponent = max(-_LARGEST_EXPONENT, min(exponent, _LARGEST_EXPONENT))
    return weights * math.ldexp(1.0, -exponent), math.ldexp(1.0, exponent)


def promote(*arrays: Array | None) -> DType:
    """The dtype that the kernels compute in: float32 if the floats among the arrays are, else float64.

    Only float32 and float64 arrays decide, as NumPy promotes them; integers and other floats follow.
    """
    decisive = {array.dtype.newbyteorder("=") for array in arrays if array is not None} & {FLOAT32, FLOAT64}
    return FLOAT32 if decisive == {FLOAT32} else FLOAT64


def fit(array: Array, dtype: DType) -> Array:
    """The same numbers as the kernels take them: C-contiguous, aligned, native. No copy where they already are.

    What is beyond the range of the dtype becomes infinite.
    """
    if array.dtype != dtype:
        with np.errstate(over="ignore"):
            array = array.astype(dtype)
    array = np.asarray(array, order="C")
    return array if array.flags.aligned else array.copy()


def matrix(array: Array) -> Array:
    """A contiguous (..., N) as (B, N), without a copy; a scalar as (1, 1)."""
    shape = array.shape or (1,)
    return array.reshape(math.prod(shape[:-1]), shape[-1])


def same_shape(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape != shape:
        raise ValueError(message(name, f"shape {shape}", array.shape))
    return array


def row_size(name: str, got: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """The I of a network's input, which is (B, \\*shape) or already flat (B, I)."""
    size = math.prod(shape)
    if got[1:] not in (shape, (size,)):
        flat = "" if len(shape) == 1 else f" or (B, {size})"
        raise ValueError(message(name, f"shape (B, {', '.join(map(str, shape))}){flat}", got))
    return size


# Arrays out ----------------------------------------------------------------------------------------------------------
def output(out: object, shape: tuple[int, ...], dtype: DType, **inputs: Array | None) -> Array:
    """The array for a kernel to fill: ``out`` where it fits, else a new one, which ``deliver`` copies to ``out``.

    The inputs are those that ``real_array`` returned: what they were made from may be no array, yet share its memory.

    Raises
    ------
    TypeError
        ``out`` is no NumPy array, or of another dtype.
    ValueError
        ``out`` has another shape, is read-only, or shares memory with an input.
    """
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(message("out", "a NumPy array", type(out).__name__))
    check_output(out, shape, dtype, **inputs)
    fits = out.flags.c_contiguous and out.flags.aligned
    return np.asarray(out) if fits else np.empty(shape, dtype)  # of a subclass, such as a memory map, the plain array


def check_output(out: Array, shape: tuple[int, ...], dtype: DType, **inputs: Array | None) -> None:
    """Raise what ``output`` raises for an array."""
    if out.dtype != dtype:
        raise TypeError(message("out", f"dtype {dtype}", out.dtype))
    same_shape("out", out, shape)
    if not out.flags.writeable:
        raise ValueError(message("out", "a writeable array", "a read-only one"))
    for name, array in inputs.items():
        if array is not None and overlap(out, array):
            raise ValueError(message("out", "memory of its own", f"an array that overlaps {name}"))


def deliver(result: Array, out: Any) -> Array:
    """Hand the filled array to the caller: through ``out`` if one was given."""
    if out is None or out is result:
        return result
    if not same_memory(result, out):
        out[...] = result
    return out  # type: ignore[no-any-return]


def overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share an element; True where finding out is too hard."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=_OVERLAP_EFFORT)  # type: ignore[arg-type]  # the stub knows 0 and -1
    except np.exceptions.TooHardError:
        return True


def same_memory(a: Array, b: object) -> bool:
    """Whether ``b`` is an array of the same elements in the same order, so that working in place is safe."""
    return a is b or (isinstance(b, np.ndarray) and a.__array_interface__ == b.__array_interface__)


# Targets -------------------------------------------------------------------------------------------------------------
def class_labels(y: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Class indices (B,), or one-hot rows (B, K), as indices."""
    array = real_array("y", y)
    expected = f"class indices (B,) or one-hot (B, {classes})"
    if array.ndim == 2 and array.shape[1] == classes:
        hot = array == 1
        bad = np.flatnonzero((hot.sum(axis=1) != 1) | ((array != 0) & ~hot).any(axis=1))
        if bad.size:
            raise ValueError(message("y", "one-hot rows: a single 1, else 0", f"{array[bad[0]]} at index {bad[0]}"))
        return fit(hot.argmax(axis=1), np.dtype(np.int64))
    if array.ndim != 1:
        raise ValueError(message("y", expected, f"shape {array.shape}"))
    if array.dtype.kind not in "biu":
        raise TypeError(message("y", f"integers for {expected}", f"dtype {array.dtype}"))
    labels = fit(array, np.dtype(np.int64))
    # One pass for both bounds: a negative index is a huge one without its sign.
    if labels.size and labels.view(np.uint64).max() >= classes:
        raise ValueError(message("y", f"class indices 0 to {classes - 1}", f"{array.min()} to {array.max()}"))
    return labels


def binary_labels(y: ArrayLike, outputs: int, dtype: DType) -> Array:
    """0 or 1 for each output, (B, O), or (B,) where there is one."""
    array = _columns(y, outputs)
    require_all("y", array, (array == 0) | (array == 1), "labels 0 and 1")
    return fit(array, dtype)


def real_targets(y: ArrayLike, outputs: int, dtype: DType) -> Array:
    """Finite reals, (B, O), or (B,) where there is one output."""
    array = fit(_columns(y, outputs), dtype)
    require_all("y", array, np.isfinite(array), "finite targets")
    return array


def _columns(y: ArrayLike, outputs: int) -> Array:
    array = real_array("y", y)
    if outputs == 1 and array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] != outputs:
        one = "(B,) or " if outputs == 1 else ""
        raise ValueError(message("y", f"shape {one}(B, {outputs})", array.shape))
    return array
