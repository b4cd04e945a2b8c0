"""Names of modules that fnnfast has no more, and that pickles of fnnfast 0.1.0 ask for."""

import sys
from types import ModuleType
from typing import Any

from ._models.ensemble import Ensemble
from ._models.inference import InferenceNetwork
from ._models.sequential import Sequential
from .training import Checkpoint, EarlyStopping, History


def _restore(cls: Any, *arguments: Any) -> Any:
    """What a pickle of a network calls."""
    return cls._restored(*arguments)


_MODULES: dict[str, dict[str, Any]] = {
    "callbacks": {"EarlyStopping": EarlyStopping},
    "checkpoint": {"Checkpoint": Checkpoint},
    "ensemble": {"Ensemble": Ensemble},
    "history": {"History": History},
    "inference": {"InferenceNetwork": InferenceNetwork, "restore": _restore},
    "sequential": {"Sequential": Sequential, "restore": _restore},
}


def register() -> None:
    """Let pickles find them."""
    for name, contents in _MODULES.items():
        module = ModuleType(f"{__package__}.{name}", __doc__)
        vars(module).update(contents)
        sys.modules[module.__name__] = module
