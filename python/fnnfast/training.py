"""Training: the single step, the loop over epochs, what it records and what may stop it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks, _cpu, _progress, losses, optimizers
from . import callbacks as callbacks_
from ._checks import Array, message
from .callbacks import Callback
from .checkpoint import Checkpoint, Run
from .data import Data, Validation, hold_out, prepare, prepare_batch, row_numbers
from .history import History
from .inference import InferenceNetwork, refusal
from .layers import GaussianNoise, Maxout
from .losses import Loss
from .ops import MAX_SAVED_PIECES
from .optimizers import Optimizer, Schedule
from .sequential import Sequential

if TYPE_CHECKING:
    from ._device_trainer import DeviceTrainer

# The share of dead units in a layer that fit warns of: the notes call 10 to 20 % a problem.
_DEAD_SHARE = 0.1
_MANY_ROWS = 100  # fewer in an epoch show it by chance

# Steps are taken so many at a time that a call has about so much to do, in multiply-adds: some hundredths of a second,
# short for Ctrl-C and long beside a call. They are counted and not timed, since how an epoch's losses are grouped shows
# in the last bits of their sum, which are to be the same in every run. A row and a step cost more than what they
# multiply.
_CALL, _ROW, _STEP = 100_000_000, 200, 20_000


class DeadUnitsWarning(UserWarning):
    """More than a tenth of a layer's units are dead: their derivative is near zero for every row of an epoch."""


class DivergenceWarning(UserWarning):
    """The loss of an epoch is infinite or NaN."""


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
        Fixes dropout and noise.
    clip_norm : float > 0, optional
        Scale the gradient of all parameters together down to this Euclidean norm where it is longer.

    Attributes
    ----------
    learning_rate : float
        May be changed between steps; the optimizer's at first.
    l2 : float

    Raises
    ------
    ValueError
        A layer that gradients do not pass, no layer that is not frozen, a loss that does not go with the network's
        head, or a setting that is infinite, or an eps that is 0, in the network's dtype.
    TypeError
        An InferenceNetwork.

    Notes
    -----
    Layers that are frozen when the trainer is made stay as they are. Sample weights, where they are given, make a
    batch's loss the weighted mean of its rows' losses; a row of weight 0 counts for nothing, whatever its x holds.
    """

    def __init__(
        self,
        network: Sequential,
        loss: Loss | None = None,
        optimizer: str | Optimizer = "adam",
        *,
        l2: float = 0.0,
        seed: int | None = None,
        clip_norm: float | None = None,
    ) -> None:
        if not isinstance(network, Sequential):
            raise TypeError(message("network", "a Sequential", repr(network)))
        _require_trainable(network)
        seed = _checks.seed(seed)
        self.network = network
        self.loss = losses.get(loss, network._last)
        self.optimizer = optimizers.get(optimizer)
        self.learning_rate = self.optimizer.lr
        settings = {**self.optimizer.settings(), "l2": _checks.not_negative("l2", l2)}
        if clip_norm is not None:
            settings["clip_norm"] = _checks.positive("clip_norm", clip_norm)
        noise = {
            f"{name}.stddev": layer.stddev
            for name, layer in network.named_layers.items()
            if isinstance(layer, GaussianNoise)
        }
        self._dtype = _checks.sum_type(network.dtype)
        _require_in_range({"lr": self.learning_rate, **settings, **noise}, self._dtype)
        precision = self.loss.precision_array(network.outputs, self._dtype)
        frozen = [i for i, name in enumerate(network.named_layers) if name in network.frozen]
        dropout_seed = int(np.random.default_rng(seed).integers(2**63))
        trained = (self.loss.kernel, self.optimizer.kernel, settings, dropout_seed, precision, frozen)
        self._core: _cpu.Trainer | DeviceTrainer
        if isinstance(network._network, _cpu.Network):
            self._core = _cpu.Trainer(network._network, *trained)
        else:
            from ._device_trainer import DeviceTrainer

            self._core = DeviceTrainer(network._network, *trained)
        self._settings = settings
        self._work_a_row = _ROW + 3 * sum(math.prod(shape) for shape in network.parameters.shapes.values())

    @property
    def l2(self) -> float:
        """May be changed between steps, as the learning rate may."""
        return self._settings["l2"]

    @l2.setter
    def l2(self, value: float) -> None:
        l2 = _checks.not_negative("l2", value)
        _require_in_range({"l2": l2}, self._dtype)
        self._core.set_l2(l2)
        self._settings["l2"] = l2

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Update the network on one batch.

        Parameters
        ----------
        x : array_like (B, *shape) or (B, I)
        y : array_like
            Targets as the loss takes them.
        sample_weight : array_like (B,) of floats >= 0, optional

        Returns
        -------
        float
            The mean loss before the update. On a GPU a CuPy array () that will hold it: a step is queued on CuPy's
            current stream and not waited for, so that it can be captured in a graph after a first one with as many
            rows. What is on the GPU is then not looked into: a label that is no class makes the loss NaN.
        """
        rate = self._rate()
        loss = self._core.step_if_ready(x, y, rate) if sample_weight is None else None
        if loss is not None:
            return loss
        data = prepare_batch(self.network, self.loss, x, y, sample_weight)
        return self._core.step(data.x, data.targets, rate, None, data.weights)  # type: ignore[return-value]

    def epoch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        order: ArrayLike | None = None,
        batch_size: int = 32,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Step through data in batches.

        Parameters
        ----------
        x : array_like (N, *shape) or (N, I)
        y : array_like
            Targets as the loss takes them.
        order : array_like of ints, optional
            The rows to take, in this order; by default all, as they come.
        batch_size : int >= 1
            The last batch may be smaller.
        sample_weight : array_like (N,) of floats >= 0, optional

        Returns
        -------
        float
            The mean over the rows taken of their batches' losses, each before its update.
        """
        batch_size = _checks.integer("batch_size", batch_size, 1)
        data = prepare(self.network, self.loss, x, y, sample_weight)
        return self._epoch(data, row_numbers(order, len(data.x)), batch_size, lambda steps: None)

    def gradients(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> dict[str, Array]:
        """The gradient of the mean loss by parameter name; nothing is updated."""
        return self.loss_and_gradients(x, y, sample_weight)[1]

    def loss_and_gradients(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, dict[str, Array]]:
        """The mean loss and its gradient by parameter name; nothing is updated. Frozen parameters have zeros."""
        data = prepare_batch(self.network, self.loss, x, y, sample_weight)
        loss, arrays = self._core.gradients(data.x, data.targets, None, data.weights)
        return loss, dict(zip(self.network.parameters, arrays, strict=True))  # type: ignore[return-value]

    def apply(self, grads: Mapping[str, ArrayLike]) -> None:
        """Update the network with gradients for all its parameters: ``step`` is ``gradients``, then ``apply``."""
        self._core.apply(self._like_parameters("grads", grads), self._rate())

    def state(self) -> dict[str, Array]:
        """The optimizer's state: "steps", and by "first." and "second." with a parameter's name its moments."""
        steps, states = self._core.state()
        named = {"steps": np.array(steps)}
        for prefix, arrays in zip(("first", "second"), states, strict=False):
            named |= {f"{prefix}.{name}": array for name, array in zip(self.network.parameters, arrays, strict=True)}
        return named

    def set_state(self, state: Mapping[str, ArrayLike]) -> None:
        """Go on with the state that ``state()`` of a trainer of the same kind gave."""
        known = self.state().keys()
        if state.keys() != known:
            raise ValueError(message("state", f"entries for {', '.join(known)}", ", ".join(map(str, state))))
        steps = _checks.integer("steps", np.asarray(state["steps"]).tolist(), 0, 2**63 - 1)
        states = []
        for prefix in ("first", "second"):
            part = {n.partition(".")[2]: value for n, value in state.items() if n.startswith(f"{prefix}.")}
            if part:
                states.append(self._like_parameters(prefix, part))
        self._core.set_state(steps, states)

    def _like_parameters(self, what: str, values: Mapping[str, ArrayLike]) -> list[Array]:
        """Arrays for all parameters, in their order, checked and of the dtype that parameters have."""
        shapes = self.network.parameters.shapes
        if values.keys() != shapes.keys():
            raise ValueError(message(what, f"entries for {', '.join(shapes)}", ", ".join(map(str, values))))
        device = self.network._device
        arrays = [_checks.same_shape(name, device.array(name, values[name]), shapes[name]) for name in shapes]
        return [device.fit(array, self._dtype) for array in arrays]

    def _epoch(
        self, data: Data, order: NDArray[np.int64], batch_size: int, after_steps: Callable[[int], object]
    ) -> float:
        """``epoch`` on prepared data, some steps a call, so that Ctrl-C and the progress bar get their turn."""
        rate, total, weight = self._rate(), 0.0, 0.0
        rows_a_call = batch_size * max(1, _CALL // (batch_size * self._work_a_row + _STEP))
        for first in range(0, len(order), rows_a_call):
            rows = order[first : first + rows_a_call]
            of_rows, their_weight = self._core.epoch(data.x, data.targets, rate, rows, data.weights, batch_size)
            total, weight = total + of_rows, weight + their_weight
            after_steps(-(-len(rows) // batch_size))
        return total / weight if weight else 0.0

    def _diagnosis(self) -> dict[str, dict[str, float]]:
        """What was counted since it was last asked: by name of ``History``, then by layer."""
        found: dict[str, dict[str, float]] = {"gradient_norm": {}, "update_norm": {}, "dead": {}, "saturated": {}}
        names = list(self.network.named_layers)
        for layer, *values in self._core.take_diagnosis():
            for of_layers, value in zip(found.values(), values, strict=True):
                if value >= 0 or value != value:
                    of_layers[names[layer]] = value
        return found

    def _rate(self) -> float:
        return _checks.not_negative("learning_rate", self.learning_rate)


def fit(
    network: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss | None = None,
    optimizer: str | Optimizer = "adam",
    epochs: int = 10,
    batch_size: int = 32,
    validation: Validation = None,
    schedule: Schedule | None = None,
    l2: float = 0.0,
    callbacks: Sequence[Callback] = (),
    seed: int | None = None,
    progress: bool | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: Mapping[int, float] | str | None = None,
    clip_norm: float | None = None,
    checkpoint: str | PathLike[str] | Checkpoint | None = None,
) -> History:
    """Train a network by minibatch gradient descent.

    The rows are shuffled for every epoch; the last batch of an epoch may be smaller and counts by its rows. Rows of
    weight 0 are left out from the start: batches, validation and diagnosis are those of the other rows alone. Ctrl-C
    ends training within a fraction of a second, between two steps, with the history so far. See ``Sequential.fit`` for
    the parameters.

    A callback may also have methods ``start(network)`` and ``finish(network)``, called before the first and after the
    last epoch, even one that was interrupted; ``finish`` only if ``start`` was called, and in the reverse order. With
    methods ``state()`` and ``set_state(values, arrays)`` as EarlyStopping has them it is part of a checkpoint.

    Returns
    -------
    History

    Raises
    ------
    ValueError, TypeError
        Data, targets or settings that cannot be meant; the network is unchanged then.

    Warns
    -----
    DeadUnitsWarning
        When more than a tenth of a layer's units are dead in an epoch of a hundred rows or more; once for each layer.
    DivergenceWarning
        When the loss of an epoch is not finite; once.
    """
    epochs, batch_size = _checks.integer("epochs", epochs, 0), _checks.integer("batch_size", batch_size, 1)
    if not (schedule is None or callable(schedule)):
        raise TypeError(message("schedule", "None or a callable", repr(schedule)))
    if not (isinstance(callbacks, Sequence) and all(map(callable, callbacks))):
        raise TypeError(message("callbacks", "a sequence of callables", repr(callbacks)))
    run = Run(checkpoint, _checks.seed(seed))
    rng = np.random.default_rng(run.seed)
    trainer = Trainer(network, loss, optimizer, l2=l2, seed=int(rng.integers(2**63)), clip_norm=clip_norm)

    history = History()
    try:
        with ExitStack() as ending:  # what has begun is ended, whatever happens
            data = prepare(network, trainer.loss, x, y, sample_weight, class_weight)
            rows, held_out = hold_out(network, trainer.loss, data, validation, rng)
            run.identify(trainer, batch_size, schedule, data, rows, held_out)
            display = _progress.choose(progress, epochs, -(-len(rows) // batch_size))
            ending.callback(display.close)
            for callback in callbacks:
                callbacks_.begin(callback, network, ending)
            first = run.resume(trainer, rng, history, callbacks)
            display.skip(first)
            warned: set[str] = set()
            for epoch in range(first, epochs if history.stopped != "early" else 0):
                if schedule is not None:
                    trainer.learning_rate = trainer.optimizer.lr * _checks.not_negative("schedule", schedule(epoch))
                values = {"loss": trainer._epoch(data, rng.permutation(rows), batch_size, display.steps)}
                if held_out is not None:
                    measured = measure(network, trainer.loss, held_out)
                    values |= {f"validation_{name}": value for name, value in measured.items()}
                diagnosis = trainer._diagnosis()
                history.record(diagnosis, **values, learning_rate=trainer.learning_rate)
                display.epoch(values | _in_short(diagnosis))
                _warn(values["loss"], diagnosis["dead"], len(rows), warned)
                wishes = [callback(epoch, history) for callback in callbacks]  # all hear of every epoch
                history.stopped = "early" if any(wishes) else "completed"
                run.save(epoch + 1, trainer, rng, history, callbacks, last=epoch + 1 == epochs or any(wishes))
                if any(wishes):
                    break
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    return history


def evaluate(
    network: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss | None = None,
    sample_weight: ArrayLike | None = None,
) -> dict[str, float]:
    """Mean loss ("loss") and score ("accuracy" or "r2") of a network on data."""
    loss = losses.get(loss, network._last)
    return measure(network, loss, prepare(network, loss, x, y, sample_weight))


def measure(network: Sequential, loss: Loss, data: Data) -> dict[str, float]:
    """``evaluate`` on data that is prepared."""
    outputs = network._device.host(network.logits(data.x) if loss.from_logits else network(data.x))
    data = data._replace(x=outputs).without_zeros()
    outputs = data.x
    precision = loss.precision_array(network.outputs, outputs.dtype)
    value = _cpu.loss_value(loss.kernel, outputs, data.targets, precision, data.weights)
    if loss.from_logits:
        outputs = network.head(outputs)  # cheaper than a second pass, with the same bits
    return {"loss": value, loss.metric: loss.score(outputs, data.targets, network.head, data.weights)}


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


def _require_trainable(network: Sequential) -> None:
    if isinstance(network, InferenceNetwork):
        raise refusal("network", network.precision)
    for name, layer in network.named_layers.items():
        if not layer.activation.differentiable:
            raise ValueError(f"{name}: {layer.activation.name} is not differentiable, so the network cannot be trained")
        if isinstance(layer, Maxout) and layer.pieces > MAX_SAVED_PIECES:
            raise ValueError(message(name, f"at most {MAX_SAVED_PIECES} pieces for training", layer.pieces))
    if all(name.rpartition(".")[0] in network.frozen for name in network.parameters):
        raise ValueError(message("network", "a layer to train", "only frozen ones; unfreeze() some"))


def _require_in_range(settings: Mapping[str, float], dtype: _checks.DType) -> None:
    """Raise ValueError for a setting that the network's dtype makes infinite, or an eps that it makes 0."""
    for name, value in settings.items():
        number = float(_checks.fit(np.array(value), dtype))
        if not math.isfinite(number) or (name == "eps" and number == 0):
            raise ValueError(message(name, f"a number in {dtype}'s range", value))
