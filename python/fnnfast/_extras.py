"""Packages that extras bring, and what to do where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def needs(package: str, text: str) -> Iterator[None]:
    """Around imports: a ModuleNotFoundError with this text if the package itself is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(text, name=package) from error


def pyplot() -> Any:
    """matplotlib.pyplot."""
    with needs("matplotlib", "plots need matplotlib: pip install 'fnnfast[examples]'"):
        from matplotlib import pyplot as found
    return found
