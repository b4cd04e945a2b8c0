"""Training over epochs: what is recorded, what may stop it, and what it warns of."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from .._network.data import hold_out, prepare
from .._network.network import Network
from ..losses import Loss
from . import _progress
from ._callbacks import begin
from ._checkpoint import Run
from ._history import History
from ._settings import FitSettings
from ._trainer import Trainer

# The share of dead units in a layer that fit warns of: the notes call 10 to 20 % a problem.
_DEAD_SHARE = 0.1
_MANY_ROWS = 100  # fewer in an epoch show it by chance


class DeadUnitsWarning(UserWarning):
    """More than a tenth of a layer's units are dead: their derivative is near zero for every row of an epoch."""


class DivergenceWarning(UserWarning):
    """The loss of an epoch is infinite or NaN."""


def fit(
    network: Network, x: ArrayLike, y: ArrayLike, *settings: Any, sample_weight: ArrayLike | None = None, **named: Any
) -> History:
    """``network.fit``: see ``Sequential.fit``, also for the parameters."""
    return run(network, x, y, FitSettings(*settings, **named), sample_weight)


def evaluate(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss | None = None,
    sample_weight: ArrayLike | None = None,
) -> dict[str, float]:
    """``network.evaluate``."""
    return network.evaluate(x, y, loss=loss, sample_weight=sample_weight)


def run(
    network: Network, x: ArrayLike, y: ArrayLike, settings: FitSettings, sample_weight: ArrayLike | None = None
) -> History:
    """``fit`` with its settings in one object."""
    epochs, batch_size, callbacks = settings.epochs, settings.batch_size, settings.callbacks
    schedule = settings.schedule
    kept = Run(settings)
    rng = np.random.default_rng(kept.seed)
    seed = int(rng.integers(2**63))
    trainer = Trainer(
        network, settings.loss, settings.optimizer, l2=settings.l2, seed=seed, clip_norm=settings.clip_norm
    )

    history = History()
    try:
        with ExitStack() as ending:  # what has begun is ended, whatever happens
            data = prepare(network._interface, trainer.loss, x, y, sample_weight, settings.class_weight)
            rows, held_out = hold_out(network._interface, trainer.loss, data, settings.validation, rng)
            kept.identify(trainer, data, rows, held_out)
            display = _progress.choose(settings.progress, epochs, -(-len(rows) // batch_size))
            ending.callback(display.close)
            for callback in callbacks:
                begin(callback, network, ending)
            first = kept.resume(trainer, rng, history, callbacks)
            display.skip(first)
            warned: set[str] = set()
            for epoch in range(first, epochs if history.stopped != "early" else 0):
                if schedule is not None:
                    trainer.learning_rate = trainer.optimizer.lr * _checks.not_negative("schedule", schedule(epoch))
                values = {"loss": trainer._epoch(data, rng.permutation(rows), batch_size, display.steps)}
                if held_out is not None:
                    measured = network._measure(trainer.loss, held_out)
                    values |= {f"validation_{name}": value for name, value in measured.items()}
                diagnosis = trainer._diagnosis()
                history.record(diagnosis, **values, learning_rate=trainer.learning_rate)
                display.epoch(values | _in_short(diagnosis))
                _warn(values["loss"], diagnosis["dead"], len(rows), warned)
                wishes = [callback(epoch, history) for callback in callbacks]  # all hear of every epoch
                history.stopped = "early" if any(wishes) else "completed"
                kept.save(epoch + 1, trainer, rng, history, callbacks, last=epoch + 1 == epochs or any(wishes))
                if any(wishes):
                    break
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    return history


def _in_short(diagnosis: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """What a progress bar has room for: the norms over all layers, and the largest shares of any, where they are not 0.

    To two digits: of these it is the magnitude that tells.
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
    """Of what went wrong in an epoch, once for each thing in ``warned``."""
    if not math.isfinite(loss):  # nor does anything else mean much then
        if not warned:
            warned.add("")
            advice = "a lower learning rate, clip_norm or a smaller init may help"
            warnings.warn(f"the loss is {loss}: {advice}", DivergenceWarning, stacklevel=4)
        return
    for layer, share in dead.items():
        if share > _DEAD_SHARE and rows >= _MANY_ROWS and layer not in warned:
            warned.add(layer)
            advice = "a lower learning rate, leaky_relu, prelu, elu or maxout may help"
            warnings.warn(f"{layer}: {share:.0%} of its units are dead; {advice}", DeadUnitsWarning, stacklevel=4)
