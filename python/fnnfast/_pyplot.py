"""Matplotlib, where it is installed."""

from __future__ import annotations

from typing import Any


def pyplot() -> Any:
    """matplotlib.pyplot, or a ModuleNotFoundError that says how to get it."""
    try:
        from matplotlib import pyplot as found
    except ModuleNotFoundError as error:
        text = "plots need matplotlib: pip install 'fnnfast[examples]'"
        raise ModuleNotFoundError(text, name="matplotlib") from error
    return found
