"""Checkpoints: training runs are saved after an epoch and resumed with the same bits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from .._checks import Array, message
from .._frozen import Frozen
from .._network import file_format
from ._history import History

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .._network.data import Data
    from .._network.network import Network
    from ..optimizers import Schedule
    from ._settings import FitSettings
    from ._trainer import Trainer

FORMAT = "fnnfast checkpoint"
FORMAT_VERSION = "1"

# Of a history, what version 0.1.0 did not record.
_YOUNGER = frozenset(("accuracy", "linear", "gradient_rms"))
_VALUES = {"epochs", "seed", "identity", "learning_rate", "random", "history", "callbacks"}


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
        self._store(path=_checks.path("path", path), every=_checks.integer("every", every, 1))


def checkpoint_at(checkpoint: str | os.PathLike[str] | Checkpoint | None) -> Checkpoint | None:
    """The argument of ``fit`` as a Checkpoint."""
    if not (checkpoint is None or isinstance(checkpoint, (str, os.PathLike, Checkpoint))):
        raise TypeError(message("checkpoint", "a path or a Checkpoint", repr(checkpoint)))
    if checkpoint is None or isinstance(checkpoint, Checkpoint):
        return checkpoint
    return Checkpoint(_checks.path("checkpoint", checkpoint))


Found = tuple[dict[str, Any], dict[str, Array]]  # the values and tensors of a checkpoint


class Run:
    """A call of ``fit`` for its checkpoint; without a checkpoint it only keeps the seed.

    more is what the bits depend on besides the settings. given are the ``seed`` and what was ``found`` by another
    process, which also writes the file.
    """

    def __init__(
        self,
        settings: FitSettings,
        more: Mapping[str, object] | None = None,
        given: tuple[int | None, Found | None] | None = None,
    ) -> None:
        self._settings = settings
        self._at, seed = settings.checkpoint, settings.seed
        self._more = more or {}
        self._identity = ""
        self.found: Found | None = None
        self.seed = seed
        self._writes = given is None
        if given is not None:
            self.seed, self.found = given
            return
        if self._at is not None and file_format.is_there(self._at.path):
            self.found = _read(self._at.path)
            if seed is None:
                self.seed = self.found[0]["seed"]
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
        if self._writes and not os.path.isdir(folder):  # reported now, not after the first epoch
            raise FileNotFoundError(message("checkpoint", "a folder that exists", repr(folder)))
        shared = held_out is not None and len(rows) < len(data.that_count())  # a share of the rows, drawn with the seed
        network, settings = trainer.network, self._settings
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
            "data": _digest(data, network),
            "validation": len(data.that_count()) - len(rows) if shared else _digest(held_out, network),
            **self._more,
        }
        self._identity = json.dumps(parts)
        if self.found is None or self.found[0]["identity"] == self._identity:
            if self._writes and (self.found is None or self.found[0]["epochs"] < settings.epochs):
                file_format.require_replaceable(self._at.path)  # said now, not after the first epoch
            return
        of_file, of_this = json.loads(self.found[0]["identity"]), json.loads(self._identity)
        other = [name for name in of_file | of_this if of_file.get(name) != of_this.get(name)]
        expected = f"the same run as in {self._at.path!r}"
        got = f"another {', '.join(other) or 'one'}; remove the file to begin anew"
        raise ValueError(message("checkpoint", expected, got))

    def resume(self, trainer: Trainer, rng: Generator, history: History, callbacks: Sequence[Any]) -> int:
        """Restore the state of the file; the number of epochs that are done."""
        if self.found is None:
            return 0
        assert self._at is not None
        values, tensors = self.found
        stateful = _with_state(callbacks)
        states = {
            name: (values["callbacks"][name], _part(tensors, f"callback.{name}."))
            for name in stateful
            if name in values["callbacks"]
        }
        try:  # whole before anything is changed
            _check_tensors(tensors, trainer._dtype)
            parameters = _part(tensors, "network.")
            trainer._like_parameters("parameters", parameters)
            buffers = trainer._like_buffers(_part(tensors, "buffer."))
            steps, moments = trainer._checked_state(_part(tensors, "optimizer."))
            np.random.default_rng(0).bit_generator.state = values["random"]
            for name, state in states.items():
                check = getattr(stateful[name], "_checked_state", None)
                if check is not None:
                    check(*state)
        except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
            raise _unfit(self._at.path, error) from error
        for name, value in parameters.items():
            trainer.network.parameters[name] = value
        for name, value in buffers.items():
            trainer.network.buffers[name] = value
        trainer._core.set_state(steps, moments)
        trainer.learning_rate = values["learning_rate"]
        rng.bit_generator.state = values["random"]
        vars(history).update(values["history"])
        for name, state in states.items():
            stateful[name].set_state(*state)
        return int(values["epochs"])

    def save(
        self, epochs: int, trainer: Trainer, rng: Generator, history: History, callbacks: Sequence[Any], last: bool
    ) -> None:
        """Write the state after some epochs, if it is time."""
        if self._at is None or not self._writes or (epochs % self._at.every and not last):
            return
        import json

        import safetensors.numpy

        host = trainer.network._device.host
        tensors = {f"network.{name}": host(value) for name, value in trainer.network.parameters.items()}
        tensors |= {f"buffer.{name}": value for name, value in trainer.network.buffers.items()}
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


def _digest(data: Data | None, network: Network) -> str:
    arrays = {} if data is None else data._asdict()
    host = network._device.host
    if data is not None and data.weights is not None:  # fnnfast 0.1.0 kept them in the network's dtype
        narrow = _checks.fit(data.weights, _checks.sum_type(network.dtype))
        normal = (narrow >= np.finfo(narrow.dtype).tiny) & np.isfinite(narrow)
        arrays["weights"] = narrow if (normal | (data.weights == 0)).all() else data.weights
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
    """Copies of those under that name, which a callback may keep and change."""
    return {name.removeprefix(prefix): value.copy() for name, value in tensors.items() if name.startswith(prefix)}


def _unfit(path: str, error: Exception) -> ValueError:
    return ValueError(f"{path!r} holds no fnnfast checkpoint: {_checks.short(error, 1000)}")


def _read(path: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """The values and tensors of a checkpoint, of the types that they are to have."""
    import json

    try:
        metadata, places, content = file_format.parts(path)
        for name, expected in (("format", FORMAT), ("format_version", FORMAT_VERSION)):
            if metadata.get(name) != expected:
                raise ValueError(message(name, repr(expected), repr(metadata.get(name))))
        tensors = {name: place.array(content) for name, place in places.items()}
        text = metadata.get("run", "")
        if metadata.get("sha256") != file_format.digest(text, tensors):
            raise ValueError("its sha256 does not match: the file was damaged or changed")
        values = _table("run", json.loads(text))
        if missing := _VALUES - values.keys():
            raise ValueError(f"missing values {', '.join(sorted(missing))}")
        epochs = _checks.integer("epochs", values["epochs"], 0)
        _checks.integer("seed", values["seed"], 0, None)
        _checks.not_negative("learning_rate", values["learning_rate"])
        for name in ("random", "callbacks"):
            _table(name, values[name])
        _table("identity", json.loads(values["identity"]))
        _check_history(values["history"], epochs)
        return values, tensors
    except (ValueError, TypeError, RecursionError) as error:
        raise _unfit(path, error) from error


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(message(name, "a table", repr(value)))
    return value


def _check_tensors(tensors: dict[str, Array], dtype: _checks.DType) -> None:
    for name, values in tensors.items():
        of, _, rest = name.partition(".")
        if of not in ("network", "buffer", "optimizer", "callback"):
            raise ValueError(message("tensor", "one of network, buffer, optimizer or callback", repr(name)))
        if of != "callback" and rest != "steps" and values.dtype != dtype:
            raise ValueError(message(name, f"dtype {dtype}", values.dtype))


def _check_history(history: Any, epochs: int) -> None:
    """Of so many epochs, with what a new one has, and what callbacks may have added to it.

    What earlier versions did not record may be missing.
    """
    found = _table("history", history)
    for name, empty in vars(History()).items():
        value = found.get(name, empty if name in _YOUNGER else None)
        if isinstance(empty, str):
            if value not in ("completed", "early", "interrupted"):
                raise ValueError(message(name, "how a run ended", repr(value)))
            continue
        lists = {name: value} if isinstance(empty, list) else _table(name, value)
        for key, numbers in lists.items():
            whole = key in ("loss", "learning_rate")
            if not (isinstance(numbers, list) and (len(numbers) == epochs if whole else len(numbers) <= epochs)):
                raise ValueError(message(key, f"numbers of {epochs} epochs", repr(numbers)))
            if not all(type(number) in (int, float) for number in numbers):
                raise TypeError(message(key, "numbers", repr(numbers)))
