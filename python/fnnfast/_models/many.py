"""Training of many small networks side by side on the same data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from .. import _checks, _cpu
from .._checks import message
from ..threads import get_num_threads
from ..training import _progress
from ..training._loop import run
from ..training._settings import spread
from .sequential import Sequential

if TYPE_CHECKING:
    import threading

    from .._network.data import Validation
    from ..losses import Loss
    from ..optimizers import Optimizer, Schedule
    from ..training import Callback, History
    from ..typing import ClassWeight, LossName, OptimizerName


@_checks.advised("fit")
def fit_many(
    networks: Sequence[Sequential],
    x: ArrayLike,
    y: ArrayLike,
    loss: LossName | Loss | None = None,
    optimizer: OptimizerName | Optimizer | Sequence[OptimizerName | Optimizer] = "adam",
    epochs: int | Sequence[int] = 10,
    batch_size: int | Sequence[int] = 32,
    validation: Validation = None,
    schedule: Schedule | Sequence[Schedule | None] | None = None,
    l2: float | Sequence[float] = 0.0,
    callbacks: Callable[[int], Sequence[Callback]] | None = None,
    seed: int | Sequence[int | None] | None = None,
    progress: bool | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    clip_norm: float | Sequence[float | None] | None = None,
) -> list[History]:
    """Train networks on the same data, as many at a time as there are threads.

    Each network ends with the same bits as after its own ``fit`` with the same settings. The steps of small networks
    are too short to be shared by threads, so training them one after the other leaves most cores idle; side by side
    they use all cores.

    Parameters
    ----------
    networks : sequence of Sequential
        Different objects; their layers may differ.
    x : array_like of shape (N, *shape) or (N, I)
        Inputs, the same for all networks.
    y : array_like
        Targets, see ``Sequential.fit``; the same for all networks.
    loss : Loss, optional
        The loss of all networks. By default the one that belongs to each head.
    optimizer : Optimizer or {"adam", "adamw", "sgd"}, or a list or tuple of these
        Here and below: one setting for all networks, or a list or tuple with one per network.
    epochs : int >= 0, or a list or tuple
        Number of passes over the data.
    batch_size : int >= 1, or a list or tuple
        Number of rows per step.
    validation : (x, y), (x, y, sample_weight) or float in (0, 1), optional
        Data to evaluate after each epoch, or the share of the rows to hold out for this; the same for all networks.
    schedule : callable, optional, or a list or tuple
        A function of the epoch, from 0, that returns what the learning rate is multiplied by.
    l2 : float >= 0, or a list or tuple
        Adds l2/2 times the sum of squared weights to the loss that is minimized.
    callbacks : callable, optional
        A function of the index of a network that returns its callbacks: ``lambda i: [EarlyStopping()]``.
    seed : int >= 0, optional, or a list or tuple
        Seed of the order of the rows, the rows held out, and dropout.
    progress : bool, optional
        Whether to show how many of all epochs are done.
    sample_weight : array_like of shape (N,), optional
        Weights of the rows, >= 0, the same for all networks.
    class_weight : mapping of int to float >= 0, or "balanced", optional
        Weights of the classes, the same for all networks.
    clip_norm : float > 0, optional, or a list or tuple
        Maximum Euclidean norm of the gradient.

    Returns
    -------
    list of History
        One per network. Ctrl-C ends all training, and the histories so far are returned.

    Raises
    ------
    ValueError
        If ``Sequential.fit`` raises it for a network, or if a network occurs twice. The other networks may have been
        trained in part.
    TypeError
        If an argument has a wrong type.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x = np.random.default_rng(0).random((50, 2))
    >>> networks = [fnn.Sequential([fnn.Input(2), fnn.Dense(n, "relu"), fnn.Dense(1)], seed=0) for n in (4, 8)]
    >>> histories = fnn.fit_many(networks, x, x.sum(axis=1), epochs=[3, 5], seed=0)
    >>> [len(history.loss) for history in histories]
    [3, 5]
    """
    import threading
    from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

    if not _checks.is_sequence(networks) or not all(isinstance(net, Sequential) for net in networks):
        raise TypeError(message("networks", "a sequence of Sequential", repr(networks)))
    if len({id(net) for net in networks}) < len(networks):
        raise ValueError(message("networks", "different networks", "the same one more than once"))
    if not (callbacks is None or callable(callbacks)):
        raise TypeError(message("callbacks", "None or a callable of a network's index", repr(callbacks)))
    if not (progress is None or isinstance(progress, _progress.Silent)):
        progress = _checks.flag("progress", progress)
    each = {"optimizer": optimizer, "epochs": epochs, "batch_size": batch_size, "schedule": schedule, "l2": l2}
    stop, cancellation = threading.Event(), _cpu.Cancellation()
    displays = [_Part(stop) for _ in networks]
    settings = spread(
        len(networks),
        {**each, "seed": seed, "clip_norm": clip_norm},
        {"loss": loss, "validation": validation, "class_weight": class_weight},
        lambda i: {"callbacks": () if callbacks is None else callbacks(i), "progress": displays[i]},
    )
    display = _progress.choose(progress, 1, sum(of.epochs for of in settings))
    for part in displays:
        part.display = display

    def train(i: int) -> History:
        with cancellation:
            return run(networks[i], x, y, settings[i], sample_weight)

    # The largest first: if a long training started last, the other threads would be idle.
    order = sorted(range(len(networks)), key=lambda i: -_work(networks[i]))
    with ThreadPoolExecutor(max(1, min(get_num_threads(), len(networks)))) as pool:
        futures: dict[int, Future[History]] = {}
        try:
            for i in order:
                futures[i] = pool.submit(train, i)
            wait(futures.values(), return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            stop.set()
            cancellation.cancel()
            for i in order:  # those that it kept from beginning have a history, too
                if i not in futures:
                    futures[i] = pool.submit(train, i)
        finally:
            if any(future.done() and future.exception() for future in futures.values()):
                stop.set()
    display.close()
    return [futures[i].result() for i in range(len(networks))]


class _Part(_progress.Silent):
    """The progress of one network of many; it ends its training if all are to end."""

    def __init__(self, stop: threading.Event) -> None:
        self.display = _progress.Silent()
        self._stop = stop

    def steps(self, count: int) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt

    def skip(self, epochs: int) -> None:
        self.steps(0)

    def epoch(self, values: dict[str, float]) -> None:
        self.display.steps(1)


def _work(net: Sequential) -> int:
    return sum(values.size for values in net.parameters.values())
