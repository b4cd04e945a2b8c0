"""Checkpoints: training runs are saved after an epoch and resumed with the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from .._checks import Array, message
from .._frozen import Frozen
from .._network import file_format

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .._network.data import Data
    from ..optimizers import Schedule
    from ._history import History
    from ._settings import FitSettings
    from ._trainer import Trainer

FORMAT = "fnnfast checkpoint"
FORMAT_VERSION = "1"


class Checkpoint(Frozen):
    """Where and how often ``fit`` saves a run.

    The file contains the parameters, the states of the optimizer, the random number generator and the callbacks, and
    the history. It is written to a file with the suffix ".tmp" and renamed, so a process that is killed at any moment
    leaves a complete file. An epoch that is ended by Ctrl-C or an error is not saved: the next run starts this epoch
    again.

    To resume a run, ``fit`` needs the same layers, data and settings; functions as schedules or callbacks are assumed
    to be the same. The number of epochs, the callbacks, the number of threads and the machine may differ.

    Parameters
    ----------
    path : path-like
        The file.
    every : int >= 1
        Number of epochs between two saves. The end of a run is always saved.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> checkpoint = fnn.Checkpoint("run.ckpt", every=2)
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], seed=0)
    >>> history = net.fit(x, 2 * x, epochs=4, seed=0, checkpoint=checkpoint)
    >>> history = net.fit(x, 2 * x, epochs=6, seed=0, checkpoint=checkpoint)  # two more epochs
    >>> len(history.loss)
    6
    """

    path: str
    every: int

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self._store(path=os.fsdecode(path), every=_checks.integer("every", every, 1))


def checkpoint_at(checkpoint: str | os.PathLike[str] | Checkpoint | None) -> Checkpoint | None:
    """The argument of ``fit`` as a Checkpoint."""
    if not (checkpoint is None or isinstance(checkpoint, (str, os.PathLike, Checkpoint))):
        raise TypeError(message("checkpoint", "a path or a Checkpoint", repr(checkpoint)))
    return Checkpoint(checkpoint) if isinstance(checkpoint, (str, os.PathLike)) else checkpoint


class Run:
    """A call of ``fit`` for its checkpoint; without a checkpoint it only keeps the seed."""

    def __init__(self, settings: FitSettings) -> None:
        self._settings = settings
        self._at, seed = settings.checkpoint, settings.seed
        self._identity = ""
        self._found: tuple[dict[str, Any], dict[str, Array]] | None = None
        self.seed = seed
        if self._at is not None and file_format.is_there(self._at.path):
            self._found = _read(self._at.path)
            if seed is None:
                self.seed = int(self._found[0]["seed"])
        if self._at is not None and self.seed is None:
            self.seed = int(np.random.SeedSequence().entropy)  # type: ignore[arg-type]  # an int, of fresh entropy

    def identify(
        self,
        trainer: Trainer,
        data: Data,
        rows: NDArray[np.int64],
        held_out: Data | None,
    ) -> None:
        """Set the identity of the run; ValueError if the file is of another one, OSError if there can be no file."""
        if self._at is None:
            return
        import json

        folder = os.path.dirname(os.path.realpath(self._at.path))
        if not os.path.isdir(folder):  # reported now, not after the first epoch
            raise FileNotFoundError(message("checkpoint", "a folder that exists", repr(folder)))
        shared = held_out is not None and len(rows) < len(data.that_count())  # a share of the rows, drawn with the seed
        network, settings = trainer.network, self._settings
        host = network._device.host
        parts = {
            "network": file_format.encode(network.layers, network.dtype.name, network.compute_dtype),
            "frozen": network.frozen,
            "loss": repr(trainer.loss),
            "optimizer": repr(trainer.optimizer),
            "schedule": _described(settings.schedule),
            "l2": settings.l2,
            "clip_norm": settings.clip_norm,
            "batch_size": settings.batch_size,
            "seed": self.seed,
            "data": _digest(data, host),
            "validation": len(data.that_count()) - len(rows) if shared else _digest(held_out, host),
        }
        self._identity = json.dumps(parts)
        if self._found is None or self._found[0]["identity"] == self._identity:
            if self._found is None or self._found[0]["epochs"] < settings.epochs:
                file_format.require_replaceable(self._at.path)  # said now, not after the first epoch
            return
        of_file = json.loads(self._found[0]["identity"])
        other = [name for name, value in json.loads(self._identity).items() if of_file.get(name) != value]
        expected = f"the same run as in {self._at.path!r}"
        raise ValueError(message("checkpoint", expected, f"another {', '.join(other)}; remove the file to begin anew"))

    def resume(self, trainer: Trainer, rng: Generator, history: History, callbacks: Sequence[Any]) -> int:
        """Restore the state of the file; the number of epochs that are done."""
        if self._found is None:
            return 0
        values, tensors = self._found
        for name in trainer.network.parameters:
            trainer.network.parameters[name] = tensors[f"network.{name}"]
        trainer.set_state(_part(tensors, "optimizer."))
        trainer.learning_rate = values["learning_rate"]
        rng.bit_generator.state = values["random"]
        vars(history).update(values["history"])
        for name, callback in _with_state(callbacks).items():
            if name in values["callbacks"]:
                callback.set_state(values["callbacks"][name], _part(tensors, f"callback.{name}."))
        return int(values["epochs"])

    def save(
        self, epochs: int, trainer: Trainer, rng: Generator, history: History, callbacks: Sequence[Any], last: bool
    ) -> None:
        """Write the state after some epochs, if it is time."""
        if self._at is None or (epochs % self._at.every and not last):
            return
        import json

        import safetensors.numpy

        host = trainer.network._device.host
        tensors = {f"network.{name}": host(value) for name, value in trainer.network.parameters.items()}
        tensors |= {f"optimizer.{name}": value for name, value in trainer.state().items()}
        states = {}
        for name, callback in _with_state(callbacks).items():
            states[name], arrays = callback.state()
            tensors |= {f"callback.{name}.{key}": host(value) for key, value in arrays.items()}
        values = {
            "epochs": epochs,
            "seed": self.seed,
            "identity": self._identity,
            "learning_rate": trainer.learning_rate,
            "random": rng.bit_generator.state,
            "history": vars(history),
            "callbacks": states,
        }
        text = json.dumps(values)
        metadata = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "run": text,
            "sha256": file_format.digest(text, tensors),
        }
        path = self._at.path
        file_format.replace(path, safetensors.numpy.save(tensors, metadata), file_format.temporary_name(path))


def _digest(data: Data | None, host: Callable[[Array], Array]) -> str:
    arrays = {} if data is None else data._asdict()
    return file_format.digest("", {name: host(array) for name, array in arrays.items() if array is not None})


def _described(schedule: Schedule | None) -> str:
    """A schedule as text that is the same in every process; objects of other packages are only called a callable."""
    if schedule is None:
        return "None"
    if not isinstance(schedule, Frozen):
        return "a callable"
    fields = {name: _described(value) if callable(value) else repr(value) for name, value in vars(schedule).items()}
    return f"{type(schedule).__name__}({', '.join(f'{name}={text}' for name, text in fields.items())})"


def _with_state(callbacks: Sequence[Any]) -> dict[str, Any]:
    """The callbacks that are part of a checkpoint, by kind and number: EarlyStopping_1, wherever it is in the list."""
    named: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for callback in callbacks:
        if hasattr(callback, "state") and hasattr(callback, "set_state"):
            kind = type(callback).__name__
            counts[kind] = counts.get(kind, 0) + 1
            named[f"{kind}_{counts[kind]}"] = callback
    return named


def _part(tensors: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _read(path: str) -> tuple[dict[str, Any], dict[str, Array]]:
    import json

    try:
        metadata, places, content = file_format.parts(path)
        for name, expected in (("format", FORMAT), ("format_version", FORMAT_VERSION)):
            if metadata.get(name) != expected:
                raise ValueError(message(name, repr(expected), repr(metadata.get(name))))
        tensors = {name: place.array(content) for name, place in places.items()}
        if metadata.get("sha256") != file_format.digest(metadata.get("run", ""), tensors):
            raise ValueError("its sha256 does not match: the file was damaged or changed")
        return json.loads(metadata["run"]), tensors
    except ValueError as error:
        raise ValueError(f"{path!r} holds no fnnfast checkpoint: {error}") from error
