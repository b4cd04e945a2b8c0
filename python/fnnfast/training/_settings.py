"""The settings of ``fit``, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _checks, optimizers
from .._checks import message
from .._frozen import Frozen
from ._checkpoint import Checkpoint, checkpoint_at
from ._progress import Silent

if TYPE_CHECKING:
    from os import PathLike

    from .._network.data import Validation
    from ..losses import Loss
    from ..optimizers import Optimizer, Schedule
    from ..typing import ClassWeight, LossName, OptimizerName
    from ._callbacks import Callback


class FitSettings(Frozen):
    """The checked parameters of ``Sequential.fit`` except the data, with its defaults; see there."""

    loss: LossName | Loss | None
    optimizer: Optimizer
    epochs: int
    batch_size: int
    validation: Validation
    schedule: Schedule | None
    l2: float
    callbacks: Sequence[Callback]
    seed: int | None
    progress: bool | Silent | None
    class_weight: ClassWeight | None
    clip_norm: float | None
    checkpoint: Checkpoint | None

    def __init__(
        self,
        loss: LossName | Loss | None = None,
        optimizer: OptimizerName | Optimizer = "adam",
        epochs: int = 10,
        batch_size: int = 32,
        validation: Validation = None,
        schedule: Schedule | None = None,
        l2: float = 0.0,
        callbacks: Sequence[Callback] = (),
        seed: int | None = None,
        progress: bool | Silent | None = None,
        *,
        class_weight: ClassWeight | None = None,
        clip_norm: float | None = None,
        checkpoint: str | PathLike[str] | Checkpoint | None = None,
    ) -> None:
        if not (schedule is None or callable(schedule)):
            raise TypeError(message("schedule", "None or a callable", repr(schedule)))
        if not (_checks.is_sequence(callbacks) and all(map(callable, callbacks))):
            raise TypeError(message("callbacks", "a sequence of callables", repr(callbacks)))
        self._store(
            loss=loss,
            optimizer=optimizers.get(optimizer),
            epochs=_checks.integer("epochs", epochs, 0),
            batch_size=_checks.integer("batch_size", batch_size, 1),
            validation=validation,
            schedule=schedule,
            l2=_checks.not_negative("l2", l2),
            callbacks=callbacks,
            seed=_checks.seed(seed),
            progress=progress
            if progress is None or isinstance(progress, Silent)
            else _checks.flag("progress", progress),
            class_weight=class_weight,
            clip_norm=None if clip_norm is None else _checks.positive("clip_norm", clip_norm),
            checkpoint=checkpoint_at(checkpoint),
        )


def spread(
    networks: int, each: Mapping[str, Any], shared: Mapping[str, Any], own: Callable[[int], Mapping[str, Any]]
) -> list[FitSettings]:
    """The settings of networks: each of ``each`` is one for all networks, or a list or tuple with one per network."""
    for name, value in each.items():
        if isinstance(value, (list, tuple)) and len(value) != networks:
            raise ValueError(message(name, f"one setting, or one for each of {networks} networks", f"{len(value)}"))
    return [
        FitSettings(
            **shared,
            **own(i),
            **{name: value[i] if isinstance(value, (list, tuple)) else value for name, value in each.items()},
        )
        for i in range(networks)
    ]
