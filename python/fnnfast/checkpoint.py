"""Training runs on disk: saved after an epoch, taken up again with the same bits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _checks
from ._checks import Array, message
from ._frozen import Frozen

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .history import History
    from .optimizers import Schedule
    from .training import Data, Trainer

FORMAT = "fnnfast checkpoint"
FORMAT_VERSION = "1"


class Checkpoint(Frozen):
    """Where and how often ``fit`` saves a run.

    A file holds the parameters, the optimizer's state, the random state, the history and the state of callbacks. It is
    written under the name with ".tmp" and renamed, so that a process killed at any moment leaves a whole file.

    Parameters
    ----------
    path : path-like
    every : int >= 1
        Epochs from one save to the next; the end of a run is saved in any case.
    """

    path: str
    every: int

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self._store(path=os.fsdecode(path), every=_checks.integer("every", every, 1))


class Run:
    """A call of ``fit``, as its checkpoint sees it; without one, all it does is to keep the seed."""

    def __init__(self, checkpoint: str | os.PathLike[str] | Checkpoint | None, seed: int | None) -> None:
        if not (checkpoint is None or isinstance(checkpoint, (str, os.PathLike, Checkpoint))):
            raise TypeError(message("checkpoint", "a path or a Checkpoint", repr(checkpoint)))
        self._at = Checkpoint(checkpoint) if isinstance(checkpoint, (str, os.PathLike)) else checkpoint
        self._identity = ""
        self._found: tuple[dict[str, Any], dict[str, Array]] | None = None
        self.seed = seed
        if self._at is not None and os.path.exists(self._at.path):
            self._found = _read(self._at.path)
            if seed is None:
                self.seed = int(self._found[0]["seed"])
        if self._at is not None and self.seed is None:
            self.seed = int(np.random.SeedSequence().entropy)  # type: ignore[arg-type]  # an int, of fresh entropy

    def identify(
        self,
        trainer: Trainer,
        l2: float,
        clip_norm: float | None,
        batch_size: int,
        schedule: Schedule | None,
        data: Data,
        rows: NDArray[np.int64],
        held_out: Data | None,
    ) -> None:
        """Say what the run is made of; ValueError if the file is of another one."""
        if self._at is None:
            return
        from . import io

        arrays = {f"data.{name}": value for name, value in data._asdict().items() if value is not None}
        arrays["rows"] = rows
        if held_out is not None:
            arrays |= {f"held_out.{name}": value for name, value in held_out._asdict().items() if value is not None}
        parts = {
            "network": io.encode(trainer.network),
            "frozen": trainer.network.frozen,
            "loss": repr(trainer.loss),
            "optimizer": repr(trainer.optimizer),
            "schedule": repr(schedule) if isinstance(schedule, Frozen) else "",
            "l2": l2,
            "clip_norm": clip_norm,
            "batch_size": batch_size,
            "seed": self.seed,
            "data": io.digest("", arrays),
        }
        import json

        self._identity = json.dumps(parts)
        if self._found is None or self._found[0]["identity"] == self._identity:
            return
        of_file = json.loads(self._found[0]["identity"])
        other = [name for name, value in json.loads(self._identity).items() if of_file.get(name) != value]
        expected = f"the same run as in {self._at.path!r}"
        raise ValueError(message("checkpoint", expected, f"another {', '.join(other)}; remove the file to begin anew"))

    def resume(self, trainer: Trainer, rng: Generator, history: History, callbacks: Sequence[Any]) -> int:
        """Take up the run where the file left it; the number of epochs that are done."""
        if self._found is None:
            return 0
        values, tensors = self._found
        for name in trainer.network.parameters:
            trainer.network.parameters[name] = tensors[f"network.{name}"]
        trainer.set_state(_part(tensors, "optimizer."))
        trainer.learning_rate = values["learning_rate"]
        rng.bit_generator.state = values["random"]
        vars(history).update(values["history"])
        for i, callback in enumerate(callbacks):
            if hasattr(callback, "set_state") and str(i) in values["callbacks"]:
                callback.set_state(values["callbacks"][str(i)], _part(tensors, f"callback.{i}."))
        return int(values["epochs"])

    def save(
        self, epochs: int, trainer: Trainer, rng: Generator, history: History, callbacks: Sequence[Any], last: bool
    ) -> None:
        """Write the state after so many epochs, if it is time."""
        if self._at is None or (epochs % self._at.every and not last):
            return
        import json

        import safetensors.numpy

        from . import io

        tensors = {f"network.{name}": value for name, value in trainer.network.parameters.items()}
        tensors |= {f"optimizer.{name}": value for name, value in trainer.state().items()}
        states = {}
        for i, callback in enumerate(callbacks):
            if hasattr(callback, "state") and hasattr(callback, "set_state"):
                states[str(i)], arrays = callback.state()
                tensors |= {f"callback.{i}.{name}": value for name, value in arrays.items()}
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
            "sha256": io.digest(text, tensors),
        }
        path = os.path.realpath(self._at.path)
        io.replace(path, safetensors.numpy.save(tensors, metadata), f"{path}.tmp")


def _part(tensors: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _read(path: str) -> tuple[dict[str, Any], dict[str, Array]]:
    import json

    import safetensors

    from . import io

    with open(path, "rb"):  # so that what the system has against the path is said in its own words
        pass
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
        if (metadata.get("format"), metadata.get("format_version")) != (FORMAT, FORMAT_VERSION):
            raise ValueError(message("format", f"{FORMAT!r} {FORMAT_VERSION}", repr(metadata.get("format"))))
        if metadata.get("sha256") != io.digest(metadata.get("run", ""), tensors):
            raise ValueError("its sha256 does not match: the file was damaged or changed")
        return json.loads(metadata["run"]), tensors
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"{path!r} holds no fnnfast checkpoint: {error}") from error
