"""One public place for each name, whatever file it is written in."""

from collections.abc import Iterable, Mapping
from typing import Any


def publish(module: str, namespace: Mapping[str, Any], names: Iterable[str]) -> None:
    """Let classes and functions of private modules say that they belong to a public one.

    Pickles then name no private module, so that code may move between files; and ``help`` names what a user imports.
    """
    for name in names:
        value = namespace[name]
        home = getattr(value, "__module__", None)
        if home is not None and any(part.startswith("_") for part in home.split(".")):
            value.__module__ = module
