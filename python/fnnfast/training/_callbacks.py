"""What may watch and stop training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from .. import _checks
from .._checks import Array
from .._network.network import Network
from ._history import History

Callback = Callable[[int, History], Any]


class EarlyStopping:
    """A callback that stops training when the validation loss (without validation data: the loss) gets no better.

    Parameters
    ----------
    patience : int >= 1
        Epochs to go on without a new best.
    min_delta : float >= 0
        How much better counts as better.
    restore_best : bool
        Give the network the parameters of its best epoch when training ends, for whatever reason.

    Attributes
    ----------
    best_epoch : int or None
        Counted from 0.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0, restore_best: bool = True) -> None:
        self.patience = _checks.integer("patience", patience, 1)
        self.min_delta = _checks.not_negative("min_delta", min_delta)
        self.restore_best = _checks.flag("restore_best", restore_best)
        self.best_epoch: int | None = None
        self._best_loss = math.inf
        self._best_parameters: dict[str, Array] = {}
        self._network: Network | None = None

    def start(self, network: Network) -> None:
        """Called by ``fit`` before the first epoch."""
        self._best_parameters, self._best_loss, self.best_epoch = {}, math.inf, None
        self._network = network

    def __call__(self, epoch: int, history: History) -> bool:
        """Take note of an epoch; True if training should stop."""
        loss = (history.validation_loss or history.loss)[-1]
        if loss < self._best_loss - self.min_delta:
            if self.restore_best and self._network is not None:
                self._best_parameters = dict(self._network.parameters)
            self._best_loss, self.best_epoch = loss, epoch  # after the copy, which Ctrl-C may prevent
        waited = epoch - (-1 if self.best_epoch is None else self.best_epoch)
        return waited >= self.patience

    def finish(self, network: Network) -> None:
        """Called by ``fit`` after the last epoch."""
        try:
            self._restore(network)
        except KeyboardInterrupt:
            self._restore(network)  # again: a part of it would be the parameters of no epoch
            raise

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a checkpoint keeps of it: values for JSON, and arrays by name."""
        return {"best_epoch": self.best_epoch, "best_loss": self._best_loss}, self._best_parameters

    def set_state(self, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Go on from a state of ``state()``, after ``start``."""
        self.best_epoch = values["best_epoch"]
        self._best_loss = values["best_loss"]
        self._best_parameters = dict(arrays)

    def _restore(self, network: Network) -> None:
        for name, values in self._best_parameters.items():
            network.parameters[name] = values

    def __repr__(self) -> str:
        return f"EarlyStopping(patience={self.patience}, min_delta={self.min_delta}, restore_best={self.restore_best})"


def begin(callback: Any, network: Network, ending: ExitStack) -> None:
    """``start`` a callback that can be, and put its ``finish`` where it will be called."""
    if hasattr(callback, "start"):
        callback.start(network)
    if hasattr(callback, "finish"):
        ending.callback(callback.finish, network)
