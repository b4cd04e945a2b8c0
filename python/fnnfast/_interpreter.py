"""Raises ImportError where it is imported in a subinterpreter.

There the compiled extension would not be refused but wait forever: it takes the GIL as PyGILState_Ensure does, for a
thread state of the main interpreter.
"""

from importlib import import_module
from typing import Any


def in_main() -> bool:
    """Whether this is the main interpreter; True where there is no way to tell."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # CPython 3.13, and before
        try:
            interpreters: Any = import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() == interpreters.get_main())
    return True


if not in_main():
    raise ImportError("fnnfast: expected the main interpreter, got a subinterpreter, which is not supported")
