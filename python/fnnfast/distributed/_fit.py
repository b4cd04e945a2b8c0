"""Training of one network in several processes, with the same bits for any number of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .._checks import message
from .._models.sequential import Sequential
from .._network import file_format
from ..layers import Dropout, GaussianNoise
from ..training._checkpoint import Run
from ..training._loop import Team, run
from ..training._settings import FitSettings
from ._communicator import communicator
from ._step import FAILED, FINE, INTERRUPTED, Step

if TYPE_CHECKING:
    from os import PathLike
    from types import FrameType

    from .._network.data import Data, Validation
    from ..losses import Loss
    from ..optimizers import Optimizer, Schedule
    from ..training import Callback, Checkpoint, History, Trainer
    from ..typing import ClassWeight, LossName, OptimizerName


@_checks.advised("fit")
def fit(
    network: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    loss: LossName | Loss | None = None,
    optimizer: OptimizerName | Optimizer = "adam",
    epochs: int = 10,
    batch_size: int = 32,
    validation: Validation = None,
    schedule: Schedule | None = None,
    l2: float = 0.0,
    callbacks: Sequence[Callback] = (),
    seed: int | None = None,
    progress: bool | None = None,
    *,
    comm: Any = None,
    shards: int = 8,
    accumulate: int = 1,
    gradients: Literal["full", "bfloat16"] = "full",
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    clip_norm: float | None = None,
    checkpoint: str | PathLike[str] | Checkpoint | None = None,
) -> History:
    """Train a network in several processes, with the same bits for any number of them.

    Every process (rank) calls it with the same network, data and settings, and ends with the same parameters. The rows
    of a batch are cut into a fixed number of shards. Each rank computes the gradients of its shards, one after the
    other, and all gradients are added in one binary tree over the shards, whoever holds them. So parameters, losses and
    running statistics do not depend on the number of ranks, nor on their threads and instruction sets.

    Parameters
    ----------
    network : Sequential
        The network. All ranks begin with the parameters of rank 0.
    x : array_like of shape (N, *shape) or (N, I)
        Inputs, all rows on every rank: a memory map of a file that all ranks read does not take their memory. A rank
        reads the rows of its shards only, in the order in which they are drawn.
    y : array_like
        Targets, all rows on every rank.
    loss : Loss or str, optional
        Here and below without other words: as in ``Sequential.fit``.
    optimizer : Optimizer or {"adam", "adamw", "sgd"}
        The optimizer.
    epochs : int >= 0
        Number of passes over the data.
    batch_size : int >= 1
        Number of rows per batch, over all ranks together.
    validation : (x, y), (x, y, sample_weight) or float in (0, 1), optional
        Data to evaluate after each epoch, which every rank does for itself, or the share of the rows to hold out.
    schedule : callable, optional
        A function of the epoch, from 0, that returns what the learning rate is multiplied by.
    l2 : float >= 0
        Adds l2/2 times the sum of squared weights (not biases) to the loss that is minimized.
    callbacks : sequence of callables
        Called on every rank; training stops if one returns True on any rank.
    seed : int >= 0, optional
        Seed of the order of the rows, the rows held out, and dropout. By default one that rank 0 draws.
    progress : bool, optional
        Whether rank 0 shows progress.
    comm : communicator of mpi4py or Communicator, optional
        The processes, for example ``MPI.COMM_WORLD``, ``ray_communicator()`` or what ``run_on_dask`` passes. By default
        this one alone, with the bits that several would have.
    shards : int >= 1
        Number of parts of a batch, at least as many as ranks. The bits depend on it. With one, they are those of
        ``Sequential.fit``.
    accumulate : int >= 1
        Number of batches per step: gradients are accumulated over that many before an update. It is the same as
        ``accumulate * batch_size`` rows in ``accumulate * shards`` shards.
    gradients : {"full", "bfloat16"}
        The number format in which gradients are sent. With "bfloat16", which halves what is sent, each sum of the tree
        is rounded to bfloat16, so the bits are others, but again the same for any number of ranks. For float32 on the
        CPU.
    sample_weight : array_like of shape (N,), optional
        Weights of the rows, >= 0.
    class_weight : mapping of int to float >= 0, or "balanced", optional
        Weights of the classes.
    clip_norm : float > 0, optional
        Maximum Euclidean norm of the gradient of all parameters together.
    checkpoint : path-like or Checkpoint, optional
        Where rank 0 saves the run after each epoch. If rank 0 finds a checkpoint of the same run there, all ranks
        resume from it. The number of ranks may be another one.

    Returns
    -------
    History
        What was recorded in each epoch, the same on all ranks. Dead and saturated units are not counted.

    Raises
    ------
    ValueError
        If ``Sequential.fit`` raises it, if there are fewer shards than ranks, or if the ranks were given different data
        or settings.
    TypeError
        If an argument has a wrong type, or the network is not a Sequential.
    RuntimeError
        If another rank failed or is gone; the message says which and why.

    Notes
    -----
    A batch normalization computes the statistics of each shard by itself, as the ranks of PyTorch's
    DistributedDataParallel do, but of shards instead of ranks. Running statistics move by the joint statistics of all
    shards. A shard of one row has a variance of 0.

    Dropout and noise are drawn for the place of a row in its batch, the same as in ``Sequential.fit``.

    If a step's loss is NaN, no rank changes, and an error of one rank is raised on all. A process that is killed takes
    the others with it: by the launcher, as mpiexec does, or by ``Tcp``, which Ray Train and Dask use. The checkpoint
    then resumes. Start scripts of MPI with ``python -m mpi4py`` if other code than ``fit`` may fail on one rank.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> from fnnfast import distributed
    >>> x = np.random.default_rng(0).random((100, 4), dtype=np.float32)
    >>> net = fnn.Sequential([fnn.Input(4), fnn.Dense(8, "relu"), fnn.Dense(1)], seed=0)
    >>> history = distributed.fit(net, x, x.sum(axis=1), epochs=3, seed=0)     # as mpiexec with any number of ranks
    >>> len(history.loss)
    3

    In several processes, started by ``mpiexec -n 4 python train.py``:

    >>> from mpi4py import MPI                                                         # doctest: +SKIP
    >>> history = distributed.fit(net, x, y, epochs=3, seed=0, comm=MPI.COMM_WORLD)    # doctest: +SKIP
    """
    ranks = _Ranks(comm)
    with ranks:
        if not isinstance(network, Sequential):
            raise TypeError(message("network", "a Sequential", repr(network)))
        accumulate = _checks.integer("accumulate", accumulate, 1)
        settings = FitSettings(
            loss,
            optimizer,
            epochs,
            _checks.integer("batch_size", batch_size, 1) * accumulate,
            validation,
            schedule,
            l2,
            callbacks,
            seed,
            progress,
            class_weight=class_weight,
            clip_norm=clip_norm,
            checkpoint=checkpoint,
        )
        ranks.set(network, _checks.integer("shards", shards, 1) * accumulate, gradients)
        return run(network, x, y, settings, sample_weight, ranks)


class _Ranks(Team):
    """The ranks of a call of ``fit``, and what they say to each other.

    Between two points at which all ranks talk, one rank may fail or be interrupted. It says so at the next point, where
    the others wait for it, and all end together.
    """

    def __init__(self, comm: Any) -> None:
        self._comm = communicator(comm)
        self._agreed = False
        self._interrupted = False
        self._step: Step | None = None
        self._before: Any = None

    def set(self, network: Sequential, shards: int, gradients: str) -> None:
        """Check and keep the settings of the ranks."""
        if gradients not in ("full", "bfloat16"):
            raise ValueError(message("gradients", "'full' or 'bfloat16'", repr(gradients)))
        self._narrow = gradients == "bfloat16"
        if shards < self._comm.size:
            raise ValueError(message("shards", f"at least one for each of {self._comm.size} ranks", shards))
        if self._narrow and (network.device != "cpu" or network.dtype != np.float32):
            got = f"one in {network.dtype} on {network.device}"
            raise ValueError(message("network", "one in float32 on the CPU for gradients='bfloat16'", got))
        perturbs = [n for n, layer in network.named_layers.items() if isinstance(layer, (Dropout, GaussianNoise))]
        if network.device != "cpu" and perturbs:
            raise ValueError(message("network", "no layers that draw numbers on a GPU", perturbs[0]))
        self._shards = shards

    # All together ----------------------------------------------------------------------------------------------------
    @property
    def first(self) -> bool:  # type: ignore[override]
        return self._comm.rank == 0

    def run(self, settings: FitSettings) -> Run:
        more = {"shards": self._shards, "gradients": "bfloat16" if self._narrow else "full"}
        if self.first:
            kept = Run(settings, more)
            seed = np.random.SeedSequence().entropy if kept.seed is None else kept.seed
            given = self._share((seed, kept.found))[0]
            kept.seed = given[0]
            return kept
        return Run(settings, more, given=self._share(None)[0])

    def begin(self, trainer: Trainer, data: Data) -> None:
        self._step = Step(trainer, self._comm, self._shards, self._narrow)
        if self._comm.size == 1:
            return
        network = trainer.network
        host = network._device.host
        state = {**network.parameters, **network.buffers}
        about = {
            "network": file_format.encode(network.layers, network.dtype.name, network.compute_dtype),
            "frozen": network.frozen,
            "optimizer": repr(trainer.optimizer),
            "loss": repr(trainer.loss),
            "shards": self._shards,
            "shape of x": data.x.shape,
            "y or weights": file_format.digest(
                "", {"y": data.targets, "w": np.zeros(0) if data.weights is None else data.weights}
            ),
        }
        said = self._share((about, {name: host(array) for name, array in state.items()} if self.first else None))
        for rank, (other, _) in enumerate(said):
            wrong = [name for name in about if other[name] != said[0][0][name]]
            if wrong:
                self._agreed = True
                raise ValueError(
                    f"rank {rank} was given another {', '.join(wrong)} than rank 0: expected the same on all"
                )
        if not self.first:
            for name, array in said[0][1].items():
                network._state[name] = array

    def epoch(
        self,
        trainer: Trainer,
        data: Data,
        order: NDArray[np.int64],
        batch_size: int,
        after_steps: Callable[[int], object],
    ) -> dict[str, float]:
        step, rate, right, scored = self._step, trainer.learning_rate, 0.0, 0.0
        assert step is not None
        self._share(None)  # all have come here: the next thing that they talk about is a step

        def call(rows: NDArray[np.int64]) -> tuple[float, float]:
            nonlocal right, scored
            loss = weight = 0.0
            for first in range(0, len(rows), batch_size):
                batch = rows[first : first + batch_size]
                outcome, error = step.run(data, batch, rate, INTERRUPTED if self._interrupted else FINE)
                if any(outcome.states):
                    self._part(outcome.states, error)
                loss, weight = loss + outcome.loss * outcome.weight, weight + outcome.weight
                if outcome.loss != outcome.loss:
                    break
                right, scored = right + outcome.accuracy * outcome.weight, scored + outcome.weight
            return loss, weight

        values = {"loss": trainer._epoch(data, order, batch_size, after_steps, call)}
        if values["loss"] != values["loss"]:
            self._share(None)  # another rank may have found the cause in its data
        if scored and right == right:  # NaN: the loss does not classify
            values["accuracy"] = right / scored
        return values

    def agree(self, stop: bool) -> bool:
        return any(self._share(stop))

    def end(self) -> None:
        self._share(None)
        self._agreed = True  # nobody waits for what happens from now on

    # Failing together ------------------------------------------------------------------------------------------------
    def _share(self, value: Any) -> list[Any]:
        """What all ranks pass, unless one has failed or is interrupted: then all raise."""
        said = self._comm.share((INTERRUPTED if self._interrupted else FINE, value))
        if any(state for state, _ in said):
            self._raise(said)
        return [value for _, value in said]

    def _part(self, states: Sequence[float], error: Exception | None) -> None:
        """After a step in which a rank failed or was interrupted: say why, and raise."""
        own = states[self._comm.rank]
        said = self._comm.share((own, None if error is None else _text(error)))
        if error is not None:
            self._agreed = True
            raise error
        self._raise(said)

    def _raise(self, said: Sequence[tuple[float, Any]]) -> None:
        self._agreed = True
        for rank, (state, text) in enumerate(said):
            if state == FAILED:
                raise RuntimeError(f"rank {rank} failed: {text}")
        raise KeyboardInterrupt

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread() and self._comm.size > 1:
            self._before = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C: said to the others in the next step, so that all stop after the same one."""
        self._interrupted = True

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if error is not None and not self._agreed:
            with suppress(RuntimeError):  # the others may be gone, and this error says so
                self._comm.share((FAILED, _text(error)))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {_checks.short(error, 1000)}"
