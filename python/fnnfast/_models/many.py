"""Many small networks trained side by side on the same data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

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


def fit_many(
    networks: Sequence[Sequential],
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss | None = None,
    optimizer: str | Optimizer | Sequence[str | Optimizer] = "adam",
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
    class_weight: Mapping[int, float] | str | None = None,
    clip_norm: float | Sequence[float | None] | None = None,
) -> list[History]:
    """Train networks on the same data, as many at a time as there are threads.

    Each ends with the same bits as by its own ``fit`` with the same settings. Small networks leave most of a machine
    idle one after the other, since their steps are too short to share; side by side they do not.

    Parameters
    ----------
    networks : sequence of Sequential
        All different objects; what they are made of may differ.
    x, y, loss, validation, sample_weight, class_weight
        As for ``Sequential.fit``, the same for all networks.
    optimizer, epochs, batch_size, schedule, l2, seed, clip_norm
        As for ``Sequential.fit``: one setting for all, or a list or tuple with one for each network.
    callbacks : callable, optional
        Given a network's index, the callbacks of that network: ``lambda i: [EarlyStopping()]``.
    progress : bool, optional
        Show how many of all epochs are done.

    Returns
    -------
    list of History
        One for each network. Ctrl-C ends all training, with the histories so far.

    Raises
    ------
    ValueError, TypeError
        What ``Sequential.fit`` raises for a network; the others may then have been trained in part.
    """
    import threading
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    if not isinstance(networks, Sequence) or not all(isinstance(net, Sequential) for net in networks):
        raise TypeError(message("networks", "a sequence of Sequential", repr(networks)))
    if len({id(net) for net in networks}) < len(networks):
        raise ValueError(message("networks", "different networks", "the same one more than once"))
    if not (callbacks is None or callable(callbacks)):
        raise TypeError(message("callbacks", "None or a callable of a network's index", repr(callbacks)))
    each = {"optimizer": optimizer, "epochs": epochs, "batch_size": batch_size, "schedule": schedule, "l2": l2}
    stop = threading.Event()
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
        return run(networks[i], x, y, settings[i], sample_weight)

    # The widest first: a long one that began last would be waited for alone.
    order = sorted(range(len(networks)), key=lambda i: -_work(networks[i]))
    with ThreadPoolExecutor(max(1, min(get_num_threads(), len(networks)))) as pool:
        futures = {i: pool.submit(train, i) for i in order}
        try:
            wait(futures.values(), return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            stop.set()
        finally:
            if any(future.done() and future.exception() for future in futures.values()):
                stop.set()
    display.close()
    return [futures[i].result() for i in range(len(networks))]


class _Part(_progress.Silent):
    """The progress of one network of many: it ends its training where all are to end."""

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
