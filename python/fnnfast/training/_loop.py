"""The loop over epochs, and its warnings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .._network.data import Data, hold_out, prepare, validation_not_finite
from .._network.network import Network
from ..losses import Loss
from ..typing import LossName
from . import _progress
from ._callbacks import begin
from ._checkpoint import Run
from ._history import History
from ._settings import FitSettings
from ._trainer import Trainer

# fit warns of a larger share of dead units in a layer: 10 to 20 % is a problem.
_DEAD_SHARE = 0.1
_MANY_ROWS = 100  # in an epoch; with fewer it happens by chance


class DeadUnitsWarning(UserWarning):
    """Warning that more than a tenth of the units of a layer are dead.

    The derivative of a dead unit is near zero for all rows of an epoch.

    Examples
    --------
    >>> import warnings
    >>> import fnnfast as fnn
    >>> warnings.simplefilter("ignore", fnn.DeadUnitsWarning)
    """


class DivergenceWarning(UserWarning):
    """Warning that the loss or the validation loss of an epoch is infinite or NaN.

    Examples
    --------
    >>> import warnings
    >>> import fnnfast as fnn
    >>> warnings.simplefilter("error", fnn.DivergenceWarning)  # stop training with an exception
    """


@_checks.advised("fit", *FitSettings.__annotations__, "sample_weight")
def fit(
    network: Network, x: ArrayLike, y: ArrayLike, *settings: Any, sample_weight: ArrayLike | None = None, **named: Any
) -> History:
    """Train a network, see ``Sequential.fit``.

    Parameters
    ----------
    network : Sequential
        The network.
    x : array_like of shape (N, *shape) or (N, I)
        Inputs.
    y : array_like
        Targets.
    *settings : optional
        The arguments of ``Sequential.fit`` after y, by position.
    sample_weight : array_like of shape (N,), optional
        Weights of the rows, >= 0.
    **named : optional
        The arguments of ``Sequential.fit`` after y, by name.

    Returns
    -------
    History
        What was recorded in each epoch.
    """
    return run(network, x, y, FitSettings(*settings, **named), sample_weight)


def evaluate(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    loss: LossName | Loss | None = None,
    sample_weight: ArrayLike | None = None,
) -> dict[str, float]:
    """Compute the mean loss and the score of a network on data, see ``Sequential.evaluate``.

    Parameters
    ----------
    network : Network
        The network.
    x : array_like of shape (N, *shape) or (N, I)
        Inputs.
    y : array_like
        Targets.
    loss : Loss, optional
        The loss. By default the one that belongs to the head.
    sample_weight : array_like of shape (N,), optional
        Weights of the rows, >= 0.

    Returns
    -------
    dict of str to float
        "loss", and "accuracy" for classes or "r2" for reals.
    """
    if not isinstance(network, Network):
        raise TypeError(_checks.message("network", "a Sequential or InferenceNetwork", repr(network)))
    return network.evaluate(x, y, loss=loss, sample_weight=sample_weight)


class Team:
    """The processes that train a network: here this one alone. ``fnnfast.distributed`` has one of several."""

    first = True
    """Whether this is the process that shows the progress."""

    def run(self, settings: FitSettings) -> Run:
        """The checkpoint of the run, and its seed."""
        return Run(settings)

    def begin(self, trainer: Trainer, data: Data) -> None:
        """Called before training begins, or goes on."""

    def epoch(
        self,
        trainer: Trainer,
        data: Data,
        order: NDArray[np.int64],
        batch_size: int,
        after_steps: Callable[[int], object],
    ) -> dict[str, float]:
        """Train for an epoch; the loss, and of classes the accuracy."""
        values = {"loss": trainer._epoch(data, order, batch_size, after_steps)}
        if (accuracy := trainer._core.take_accuracy()) is not None:
            values["accuracy"] = accuracy
        return values

    def agree(self, stop: bool) -> bool:
        """Whether any process wants to stop after the epoch."""
        return stop

    def end(self) -> None:
        """Called when the last epoch is saved."""


def run(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    settings: FitSettings,
    sample_weight: ArrayLike | None = None,
    team: Team | None = None,
) -> History:
    """``fit`` with its settings in one object."""
    team = team or Team()
    epochs, batch_size, callbacks = settings.epochs, settings.batch_size, settings.callbacks
    schedule = settings.schedule
    kept = team.run(settings)
    rng = np.random.default_rng(kept.seed)
    seed = int(rng.integers(2**63))
    trainer = Trainer(
        network, settings.loss, settings.optimizer, l2=settings.l2, seed=seed, clip_norm=settings.clip_norm
    )

    trainer._core.measure_accuracy(True)

    history = History()
    try:
        with ExitStack() as ending:  # always ends what was started
            data = prepare(network._interface, trainer.loss, x, y, sample_weight, settings.class_weight)
            rows, held_out = hold_out(network._interface, trainer.loss, data, settings.validation, rng)
            kept.identify(trainer, data, rows, held_out)
            display = _progress.choose(settings.progress if team.first else False, epochs, -(-len(rows) // batch_size))
            ending.callback(display.close)
            for callback in callbacks:
                begin(callback, network, ending)
            first = kept.resume(trainer, rng, history, callbacks)
            display.skip(first)
            team.begin(trainer, data)
            warned: set[str] = set()
            for epoch in range(first, epochs if history.stopped != "early" else 0):
                if schedule is not None:
                    trainer.learning_rate = trainer.optimizer.lr * _checks.not_negative("schedule", schedule(epoch))
                values = team.epoch(trainer, data, rng.permutation(rows), batch_size, display.steps)
                if held_out is not None:
                    measured = network._measure(trainer.loss, held_out)
                    values |= {f"validation_{name}": value for name, value in measured.items()}
                diagnosis = trainer._diagnosis()
                history.record(diagnosis, **values, learning_rate=trainer.learning_rate)
                display.epoch(values | _in_short(diagnosis))
                dead = {name: share for name, share in diagnosis["dead"].items() if name not in diagnosis["linear"]}
                _warn(values["loss"], dead, len(rows), warned)  # a piece of maxout that does not win harms nothing
                if not math.isfinite(values.get("validation_loss", 0.0)) and "validation" not in warned:
                    warned.add("validation")
                    place = validation_not_finite(network._interface, trainer.loss, data, settings.validation, rows)
                    _warn_of_validation(values, place)
                wishes = [callback(epoch, history) for callback in callbacks]  # call all of them in every epoch
                stops = team.agree(any(wishes))
                history.stopped = "early" if stops else "completed"
                kept.save(epoch + 1, trainer, rng, history, callbacks, last=epoch + 1 == epochs or stops)
                if stops:
                    break
            team.end()
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    return history


def _in_short(diagnosis: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The values for which a progress bar has room: norms over all layers, and the largest shares if they are not 0.

    They have two digits, since only their magnitude matters.
    """
    norms = {
        name: math.hypot(*of_layers.values())
        for name in ("gradient", "update")
        if (of_layers := diagnosis[f"{name}_norm"])
    }
    shares = {name: max(diagnosis[name].values(), default=0.0) for name in ("dead", "saturated")}
    shown = norms | {name: share for name, share in shares.items() if share}
    return {name: float(f"{value:.2g}") for name, value in shown.items()}


def _warn(loss: float, dead: Mapping[str, float], rows: int, warned: set[str]) -> None:
    """Warn of problems in an epoch, once for each entry of ``warned``."""
    if not math.isfinite(loss):  # other warnings would be of no use
        if "" not in warned:
            warned.add("")
            advice = "a lower learning rate, clip_norm or a smaller init may help"
            _progress.warn(f"the loss is {loss}: {advice}", DivergenceWarning)
        return
    for layer, share in dead.items():
        if share > _DEAD_SHARE and rows >= _MANY_ROWS and layer not in warned:
            warned.add(layer)
            advice = "a lower learning rate, leaky_relu, prelu, elu or maxout may help"
            _progress.warn(f"{layer}: {share:.0%} of its units are dead; {advice}", DeadUnitsWarning)


def _warn_of_validation(values: Mapping[str, float], place: str | None) -> None:
    loss = values["validation_loss"]
    if place is not None:
        cause = f"validation x has {place}"
    elif math.isfinite(values["loss"]):
        cause = "the network's outputs for validation x are too large, or NaN"
    else:
        cause = "so is the loss"
    text = f"the validation loss is {loss}: {cause}; no epoch can be judged by it"
    _progress.warn(text, DivergenceWarning)
