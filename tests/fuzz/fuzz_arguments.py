"""Every argument of every public function, as tests/models/test_arguments.py lists them, with values of any kind."""

import contextlib
import inspect
import io
from functools import cache
from typing import Any

import numpy as np

import fnnfast as fnn
import test_arguments
from fuzz_source import FaultError, Source, numbers, unreal

INTEGERS = (-1, 0, 1, 2, 3, 4, 7, 2**31, 2**32, 2**63, 10**400, -(2**63))
FLOATS = (0.0, -0.0, 0.5, 1.0, 1.5, -1.0, np.nan, np.inf, -np.inf, 1e-320, 1e300)
WORDS = (
    "",
    "x",
    "relu",
    "softmax",
    "prelu",
    "same",
    "valid",
    "adam",
    "mse",
    "cpu",
    "cuda",
    "float32",
    "auto",
    "\0",
    "é",
)
SIDE_EFFECTS = ("path", "checkpoint", "n_jobs")


class Hollow:
    """An object with a length and without elements."""

    def __len__(self) -> int:
        return 3


OBJECTS = (
    None,
    True,
    1j,
    slice(1, 2),
    range(3),
    object(),
    int,
    np.float32,
    np.dtype("float16"),
    np.float64(0.5),
    np.int64(2),
    np.bool_(True),
    np.datetime64("2026-01-01"),
    Hollow(),
    Ellipsis,
    NotImplemented,
    b"bytes",
    bytearray(b"x"),
    fnn.ReLU(),
    fnn.Softmax(),
    fnn.Dense(2),
    fnn.Conv2D(2, 2),
    fnn.CrossEntropy(),
    fnn.Adam(),
    fnn.CosineDecay(3),
    fnn.Input(2),
    np.ma.masked_array([1.0, 2.0], [False, True]),
)


def value(source: Source, depth: int = 0) -> Any:
    match source.integer(0, 9 if depth < 3 else 5):
        case 0:
            return source.choice(INTEGERS)
        case 1:
            return source.choice(FLOATS)
        case 2:
            return source.choice(WORDS)
        case 3:
            return source.choice(OBJECTS)
        case 4:
            shape = tuple(source.integer(0, 4) for _ in range(source.integer(0, 4)))
            return unreal(source, shape) if source.one_in(3) else numbers(source, shape).value
        case 5:
            return source.integer(0, 6)
        case 6:
            return [value(source, depth + 1) for _ in range(source.integer(0, 4))]
        case 7:
            return tuple(value(source, depth + 1) for _ in range(source.integer(0, 4)))
        case 8:
            return {source.choice(WORDS): value(source, depth + 1) for _ in range(source.integer(0, 2))}
        case _:
            return iter([value(source, depth + 1) for _ in range(source.integer(0, 2))])


@cache
def cases() -> list[str]:
    return [name for name in test_arguments.CALLS if name not in ("set_num_threads", "num_threads")]


@cache
def arguments_of(name: str) -> list[str]:
    return [argument for argument in test_arguments.arguments_of(name) if argument not in SIDE_EFFECTS]


def arguments(source: Source) -> None:
    """TypeError or ValueError in words, or an answer."""
    name = source.choice(cases())
    known = arguments_of(name)
    if not known:
        return
    replaced = {source.choice(known): value(source) for _ in range(source.integer(1, 2))}
    shown = f"{name}({', '.join(f'{key}={item!r:.200}' for key, item in replaced.items())})"
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            test_arguments.call(name, **replaced)
        except (TypeError, ValueError, MemoryError) as error:
            if len(str(error)) > 2000:
                raise FaultError(f"{shown}: an error of {len(str(error))} letters") from error
        except RuntimeError as error:
            if "device" not in replaced:
                raise FaultError(f"{shown}: {error!r:.300}") from error
        except Exception as error:
            raise FaultError(f"{shown}: {error!r:.300}") from error


def documented() -> set[str]:
    """Names of the public functions that are called."""
    return {name for name in cases() if inspect.signature(test_arguments.function_of(name)).parameters}


TARGETS = {"arguments": arguments}
