"""Callbacks: they see each epoch and can stop training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from .. import _checks
from .._checks import Array, message
from .._network.network import Network
from ._history import History

Callback = Callable[[int, History], Any]


def is_better(latest: float, best: float, margin: float = 0.0) -> bool | None:
    """Whether a loss is below the best so far; None for one that is infinite or NaN, which says neither."""
    return latest < best - margin if math.isfinite(latest) else None


class EarlyStopping:
    """Callback that stops training when the validation loss does not decrease any more.

    Without validation data it uses the training loss.

    An epoch whose validation loss is infinite or NaN does not count towards ``patience``. A training loss of NaN stops
    the training.

    Parameters
    ----------
    patience : int >= 1
        Number of epochs without a new minimum after which training stops.
    min_delta : float >= 0
        Minimum decrease that counts as a new minimum.
    restore_best : bool
        Whether to restore the parameters of the best epoch when training ends, for any reason.

    Attributes
    ----------
    best_epoch : int or None
        The epoch with the minimum, counted from 0.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], seed=0)
    >>> stopping = fnn.EarlyStopping(patience=3)
    >>> history = net.fit(x, 2 * x, optimizer=fnn.Adam(0.1), epochs=1000, callbacks=[stopping], seed=0)
    >>> history.stopped
    'early'
    """

    _skipped = 0  # epochs since the best one whose loss was not finite

    @_checks.advised("EarlyStopping")
    def __init__(self, patience: int = 5, min_delta: float = 0.0, restore_best: bool = True) -> None:
        self.patience: int = _checks.integer("patience", patience, 1)
        self.min_delta: float = _checks.not_negative("min_delta", min_delta)
        self.restore_best: bool = _checks.flag("restore_best", restore_best)
        self.best_epoch: int | None = None
        self._best_loss = math.inf
        self._best_parameters: dict[str, Array] = {}
        self._network: Network | None = None

    def start(self, network: Network) -> None:
        """Prepare for training; called by ``fit`` before the first epoch.

        Parameters
        ----------
        network : Sequential
            The network that is trained.
        """
        self._best_parameters, self._best_loss, self.best_epoch, self._skipped = {}, math.inf, None, 0
        self._network = network

    def __call__(self, epoch: int, history: History) -> bool:
        """Record an epoch; called by ``fit`` after each one.

        Parameters
        ----------
        epoch : int
            The epoch, counted from 0.
        history : History
            The history so far.

        Returns
        -------
        bool
            True if training should stop.
        """
        loss = (history.validation_loss or history.loss)[-1]
        better = is_better(loss, self._best_loss, self.min_delta)
        if better:
            if self.restore_best and self._network is not None:
                self._best_parameters = dict(self._network._state)
            # After the copy, which Ctrl-C may interrupt.
            self._best_loss, self.best_epoch, self._skipped = loss, epoch, 0
        elif better is None:
            self._skipped += 1
        waited = epoch - (-1 if self.best_epoch is None else self.best_epoch) - self._skipped
        return waited >= self.patience or math.isnan(history.loss[-1])

    def finish(self, network: Network) -> None:
        """Restore the best parameters, if requested; called by ``fit`` after the last epoch.

        Parameters
        ----------
        network : Sequential
            The network that was trained.
        """
        try:
            self._restore(network)
        except KeyboardInterrupt:
            self._restore(network)  # again: parameters of two epochs must not be mixed
            raise

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the state, for a checkpoint.

        Returns
        -------
        values : dict
            Values that can be written as JSON.
        arrays : dict of str to ndarray
            The best parameters by name.
        """
        values = {"best_epoch": self.best_epoch, "best_loss": self._best_loss, "skipped": self._skipped}
        return values, self._best_parameters

    def set_state(self, values: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Continue from a state; called after ``start``.

        Parameters
        ----------
        values : mapping
            The first result of ``state``.
        arrays : mapping of str to ndarray
            The second result of ``state``.
        """
        self.best_epoch, self._best_loss, self._skipped, self._best_parameters = self._checked_state(values, arrays)

    def _checked_state(
        self, values: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> tuple[int | None, float, int, dict[str, Array]]:
        """ValueError or TypeError for what is no state of a run with that network."""
        for name, value in (("values", values), ("arrays", arrays)):
            if not isinstance(value, Mapping):
                raise TypeError(message(name, "a mapping as state() gives it", repr(value)))
        values = {"skipped": 0, **values}  # not in files of fnnfast 0.1.0
        if values.keys() != self.state()[0].keys():
            raise ValueError(message("values", f"entries {', '.join(self.state()[0])}", _checks.listed(values)))
        epoch, loss = values["best_epoch"], values["best_loss"]
        if epoch is not None:
            epoch = _checks.integer("best_epoch", epoch, 0)
        if isinstance(loss, bool) or not isinstance(loss, (int, float)):
            raise TypeError(message("best_loss", "a number", repr(loss)))
        skipped = _checks.integer("skipped", values["skipped"], 0)
        if arrays and self._network is not None:
            shapes = self._network._state.shapes
            if arrays.keys() != shapes.keys():
                raise ValueError(message("arrays", f"entries for {_checks.listed(shapes)}", _checks.listed(arrays)))
            for name, shape in shapes.items():
                _checks.same_shape(name, _checks.real_array(name, arrays[name]), shape)
        return epoch, loss, skipped, dict(arrays)

    def _restore(self, network: Network) -> None:
        for name, values in self._best_parameters.items():
            network._state[name] = values

    def __repr__(self) -> str:
        return f"EarlyStopping(patience={self.patience}, min_delta={self.min_delta}, restore_best={self.restore_best})"


def begin(callback: Any, network: Network, ending: ExitStack) -> None:
    """Call ``start`` of a callback that has it, and register its ``finish``."""
    if hasattr(callback, "start"):
        callback.start(network)
    if hasattr(callback, "finish"):
        ending.callback(callback.finish, network)
