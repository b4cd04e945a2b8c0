"""What a reader needs of a model, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..._checks import Array
from ._config import Model, Store


class Source(NamedTuple):
    """The serialized model, its variables, how many numbers these have, versions, and the model itself if it is live.

    run: rows and the model as it was read; its outputs.
    """

    model: Any
    store: Store
    held: int
    versions: dict[str, str]
    run: Callable[[Model, Array], Array] | None = None
