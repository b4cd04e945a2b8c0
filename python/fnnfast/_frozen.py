"""Immutable value objects, without the import time and generated code of dataclasses."""

from __future__ import annotations

from typing import Any


class Frozen:
    """Base of small records that are equal when their type and fields are.

    A subclass with fields checks and stores them in its ``__init__``; they come back as attributes, in ``repr``, in
    ``hash``, and, as ``vars(record)``, wherever a record is written down. One without fields takes no arguments.
    """

    def _store(self, **fields: Any) -> None:
        """Set the fields, once and for all."""
        vars(self).update(fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot set {name!r}; make a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"
