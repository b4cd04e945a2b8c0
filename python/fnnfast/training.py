"""Training: the single step, the loop over epochs, what it records and what may stop it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _backends, _checks, _cpu, _progress, losses, optimizers
from ._checks import Array, message
from .inference import InferenceNetwork, refusal
from .layers import Maxout
from .losses import Loss
from .ops import MAX_SAVED_PIECES
from .optimizers import Optimizer
from .sequential import Sequential

Schedule = Callable[[int], float]


class Trainer:
    """A network's training step: forward, loss, backward and update in one call into compiled code.

    Parameters
    ----------
    network : Sequential
        Its parameters change with every step.
    loss : Loss, optional
        By default the one that belongs to the network's head.
    optimizer : Optimizer or str
    l2 : float >= 0
        Adds l2/2 times the sum of squared weights (not biases) to what is minimised; it is not in the loss returned.
    seed : int >= 0, optional
        Fixes dropout.

    Attributes
    ----------
    learning_rate : float
        May be changed between steps; the optimizer's at first.

    Raises
    ------
    ValueError
        A layer that gradients do not pass, a loss that does not go with the network's head, or a setting that is
        infinite, or an eps that is 0, in the network's dtype.
    TypeError
        An InferenceNetwork.
    """

    def __init__(
        self,
        network: Sequential,
        loss: Loss | None = None,
        optimizer: str | Optimizer = "adam",
        *,
        l2: float = 0.0,
        seed: int | None = None,
    ) -> None:
        if not isinstance(network, Sequential):
            raise TypeError(message("network", "a Sequential", repr(network)))
        _require_trainable(network)
        seed = _checks.seed(seed)
        self.network = network
        self.loss = losses.get(loss, network.head)
        self.optimizer = optimizers.get(optimizer)
        self.learning_rate = self.optimizer.lr
        settings = {**self.optimizer.settings(), "l2": _checks.not_negative("l2", l2)}
        _require_in_range({"lr": self.learning_rate, **settings}, network.dtype)
        rng = np.random.default_rng(seed)
        self._core = _cpu.Trainer(
            network._network, self.loss.kernel, self.optimizer.kernel, settings, int(rng.integers(2**63))
        )

    def step(self, x: ArrayLike, y: ArrayLike) -> float:
        """Update the network on one batch.

        Parameters
        ----------
        x : array_like (B, *shape) or (B, I)
        y : array_like
            Targets as the loss takes them.

        Returns
        -------
        float
            The mean loss before the update.
        """
        rate = self._rate()
        loss = self._core.step_if_ready(x, y, rate)
        return self._core.step(*prepare(self.network, self.loss, x, y), rate) if loss is None else loss

    def gradients(self, x: ArrayLike, y: ArrayLike) -> dict[str, Array]:
        """The gradient of the mean loss by parameter name; nothing is updated."""
        _, arrays = self._core.gradients(*prepare(self.network, self.loss, x, y))
        return dict(zip(self.network.parameters, arrays, strict=True))

    def apply(self, grads: Mapping[str, ArrayLike]) -> None:
        """Update the network with gradients for all its parameters: ``step`` is ``gradients``, then ``apply``."""
        shapes = self.network.parameters.shapes
        if grads.keys() != shapes.keys():
            raise ValueError(message("grads", f"entries for {', '.join(shapes)}", ", ".join(map(str, grads))))
        arrays = [_checks.same_shape(name, _checks.real_array(name, grads[name]), shapes[name]) for name in shapes]
        self._core.apply([_checks.fit(array, self.network.dtype) for array in arrays], self._rate())

    def _epoch(
        self, x: Array, targets: Array, order: NDArray[np.int64], batch_size: int, after_step: Callable[[], None]
    ) -> float:
        """Step through prepared data in that order; the mean loss over its rows."""
        step, rate, total = self._core.step, self._rate(), 0.0
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            total += len(rows) * step(x, targets, rate, rows)
            after_step()
        return total / len(order)

    def _rate(self) -> float:
        return _checks.not_negative("learning_rate", self.learning_rate)


class History:
    """What training recorded: lists with one entry for each finished epoch.

    Attributes
    ----------
    loss : list of float
        Mean over the epoch's rows, each measured before the update it took part in; without l2's term.
    validation_loss : list of float
        After the epoch; empty without validation data.
    validation_accuracy, validation_r2 : list of float
        After the epoch, whichever goes with the loss; else empty.
    learning_rate : list of float
    stopped : str
        Why training ended: "completed", "early" (a callback asked for it) or "interrupted" (Ctrl-C).
    """

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.validation_loss: list[float] = []
        self.validation_accuracy: list[float] = []
        self.validation_r2: list[float] = []
        self.learning_rate: list[float] = []
        self.stopped = "completed"

    def record(self, **values: float) -> None:
        """Append the values of one epoch."""
        lists = [getattr(self, name) for name in values]
        list(map(list.append, lists, values.values()))  # all in C, so that Ctrl-C cannot come in between

    def __repr__(self) -> str:
        epochs = len(self.loss)
        last = {name: values[-1] for name, values in vars(self).items() if isinstance(values, list) and values}
        text = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in last.items())
        return f"<History: {epochs} epoch{'' if epochs == 1 else 's'}, {self.stopped}{text}>"


Callback = Callable[[int, History], Any]


class EarlyStopping:
    """A callback that stops training when the validation loss (without validation data: the loss) gets no better.

    Parameters
    ----------
    patience : int >= 1
        Epochs to go on without a new best.
    min_delta : float >= 0
        How much better counts as better.
    restore_best : bool
        Give the network the parameters of its best epoch when training ends, for whatever reason.

    Attributes
    ----------
    best_epoch : int or None
        Counted from 0.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0, restore_best: bool = True) -> None:
        self.patience = _checks.integer("patience", patience, 1)
        self.min_delta = _checks.not_negative("min_delta", min_delta)
        self.restore_best = _checks.flag("restore_best", restore_best)
        self.best_epoch: int | None = None
        self._best_loss = math.inf
        self._best_parameters: dict[str, Array] = {}
        self._network: Sequential | None = None

    def start(self, network: Sequential) -> None:
        """Called by ``fit`` before the first epoch."""
        self._best_parameters, self._best_loss, self.best_epoch = {}, math.inf, None
        self._network = network

    def __call__(self, epoch: int, history: History) -> bool:
        """Take note of an epoch; True if training should stop."""
        loss = (history.validation_loss or history.loss)[-1]
        if loss < self._best_loss - self.min_delta:
            if self.restore_best and self._network is not None:
                self._best_parameters = dict(self._network.parameters)
            self._best_loss, self.best_epoch = loss, epoch  # after the copy, which Ctrl-C may prevent
        waited = epoch - (-1 if self.best_epoch is None else self.best_epoch)
        return waited >= self.patience

    def finish(self, network: Sequential) -> None:
        """Called by ``fit`` after the last epoch."""
        try:
            self._restore(network)
        except KeyboardInterrupt:
            self._restore(network)  # again: a part of it would be the parameters of no epoch
            raise

    def _restore(self, network: Sequential) -> None:
        for name, values in self._best_parameters.items():
            network.parameters[name] = values

    def __repr__(self) -> str:
        return f"EarlyStopping(patience={self.patience}, min_delta={self.min_delta}, restore_best={self.restore_best})"


def fit(
    network: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss | None = None,
    optimizer: str | Optimizer = "adam",
    epochs: int = 10,
    batch_size: int = 32,
    validation: tuple[ArrayLike, ArrayLike] | float | None = None,
    schedule: Schedule | None = None,
    l2: float = 0.0,
    callbacks: Sequence[Callback] = (),
    seed: int | None = None,
    progress: bool | None = None,
) -> History:
    """Train a network by minibatch gradient descent.

    The rows are shuffled for every epoch; the last batch of an epoch may be smaller and counts by its rows. Ctrl-C ends
    training after the current step, with the history so far. See ``Sequential.fit`` for the parameters.

    A callback may also have methods ``start(network)`` and ``finish(network)``, called before the first and after the
    last epoch, even one that was interrupted; ``finish`` only if ``start`` was called, and in the reverse order.

    Returns
    -------
    History

    Raises
    ------
    ValueError, TypeError
        Data, targets or settings that cannot be meant; the network is unchanged then.
    """
    epochs, batch_size = _checks.integer("epochs", epochs, 0), _checks.integer("batch_size", batch_size, 1)
    if not (schedule is None or callable(schedule)):
        raise TypeError(message("schedule", "None or a callable", repr(schedule)))
    if not (isinstance(callbacks, Sequence) and all(map(callable, callbacks))):
        raise TypeError(message("callbacks", "a sequence of callables", repr(callbacks)))
    seed = _checks.seed(seed)
    rng = np.random.default_rng(seed)
    trainer = Trainer(network, loss, optimizer, l2=l2, seed=int(rng.integers(2**63)))

    history = History()
    try:
        with ExitStack() as ending:  # what has begun is ended, whatever happens
            x, targets = prepare(network, trainer.loss, x, y)
            rows, held_out = _hold_out(network, trainer.loss, x, targets, validation, rng)
            display = _progress.choose(progress, epochs, -(-len(rows) // batch_size))
            ending.callback(display.close)
            for callback in callbacks:
                _begin(callback, network, ending)
            for epoch in range(epochs):
                if schedule is not None:
                    trainer.learning_rate = trainer.optimizer.lr * _checks.not_negative("schedule", schedule(epoch))
                values = {"loss": trainer._epoch(x, targets, rng.permutation(rows), batch_size, display.step)}
                if held_out is not None:
                    measured = measure(network, trainer.loss, *held_out)
                    values |= {f"validation_{name}": value for name, value in measured.items()}
                history.record(**values, learning_rate=trainer.learning_rate)
                display.epoch(values)
                wishes = [callback(epoch, history) for callback in callbacks]  # all hear of every epoch
                if any(wishes):
                    history.stopped = "early"
                    break
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    return history


def evaluate(network: Sequential, x: ArrayLike, y: ArrayLike, loss: Loss | None = None) -> dict[str, float]:
    """Mean loss ("loss") and score ("accuracy" or "r2") of a network on data."""
    loss = losses.get(loss, network.head)
    return measure(network, loss, *prepare(network, loss, x, y))


def measure(network: Sequential, loss: Loss, x: Array, targets: Array) -> dict[str, float]:
    """``evaluate`` on data that is prepared."""
    outputs = network.logits(x) if loss.from_logits else network(x)
    value = _cpu.loss_value(loss.kernel, outputs, targets)
    if loss.from_logits:
        outputs = network.head(outputs)  # cheaper than a second pass, with the same bits
    return {"loss": value, loss.metric: loss.score(outputs, targets, network.head)}


def prepare(network: Sequential, loss: Loss, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Inputs and targets, checked and converted once, as the compiled trainer takes them."""
    _backends.of(x=x, y=y)
    rows = _checks.network_input(x, network.input.shape, network.dtype)
    targets = loss.targets(y, network.outputs, network.dtype)
    if len(targets) != len(rows):
        raise ValueError(message("y", f"{len(rows)} targets, one for each row of x", len(targets)))
    if not len(rows):
        raise ValueError(message("x", "at least one row", "none"))
    return rows, targets


def _hold_out(
    network: Sequential,
    loss: Loss,
    x: Array,
    targets: Array,
    validation: tuple[ArrayLike, ArrayLike] | float | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], tuple[Array, Array] | None]:
    """The rows to train on, and the data to validate on."""
    rows = np.arange(len(x), dtype=np.int64)
    if validation is None:
        return rows, None
    if isinstance(validation, (tuple, list)):
        if len(validation) != 2:
            raise ValueError(message("validation", "(x, y) or a share in (0, 1)", f"{len(validation)} things"))
        return rows, prepare(network, loss, *validation)
    count = round(_checks.share("validation", validation) * len(x))
    if not 0 < count < len(x):
        raise ValueError(message("validation", f"a share that splits {len(x)} rows", validation))
    rows = rng.permutation(rows)
    held_out = rows[:count]
    return rows[count:], (x[held_out], targets[held_out])


def _require_trainable(network: Sequential) -> None:
    if isinstance(network, InferenceNetwork):
        raise refusal("network", network.precision)
    for name, layer in network.named_layers.items():
        if not layer.activation.differentiable:
            raise ValueError(f"{name}: {layer.activation.name} is not differentiable, so the network cannot be trained")
        if isinstance(layer, Maxout) and layer.pieces > MAX_SAVED_PIECES:
            raise ValueError(message(name, f"at most {MAX_SAVED_PIECES} pieces for training", layer.pieces))


def _require_in_range(settings: Mapping[str, float], dtype: _checks.DType) -> None:
    """Raise ValueError for a setting that the network's dtype makes infinite, or an eps that it makes 0."""
    for name, value in settings.items():
        number = float(_checks.fit(np.array(value), dtype))
        if not math.isfinite(number) or (name == "eps" and number == 0):
            raise ValueError(message(name, f"a number in {dtype}'s range", value))


def _begin(callback: Any, network: Sequential, ending: ExitStack) -> None:
    """``start`` a callback that can be, and put its ``finish`` where it will be called."""
    if hasattr(callback, "start"):
        callback.start(network)
    if hasattr(callback, "finish"):
        ending.callback(callback.finish, network)
