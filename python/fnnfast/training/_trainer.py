"""The training step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks, _cpu, losses, optimizers
from .._checks import Array, message
from .._network.data import Data, prepare, prepare_batch, row_numbers
from .._network.network import Network
from .._network.tensors import refusal
from ..losses import Loss
from ..optimizers import Optimizer

if TYPE_CHECKING:
    from .._device.cuda_trainer import CudaTrainer

# Steps are taken so many at a time that a call has about so much to do, in multiply-adds: some hundredths of a second,
# short for Ctrl-C and long beside a call. They are counted and not timed, since how an epoch's losses are grouped shows
# in the last bits of their sum, which are to be the same in every run. A row and a step cost more than what they
# multiply.
_CALL, _ROW, _STEP = 100_000_000, 200, 20_000


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
        network: Network,
        loss: Loss | None = None,
        optimizer: str | Optimizer = "adam",
        *,
        l2: float = 0.0,
        seed: int | None = None,
        clip_norm: float | None = None,
    ) -> None:
        if not isinstance(network, Network):
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
            f"{name}.{key}": value
            for name, layer in network.named_layers.items()
            for key, value in layer.settings().items()
        }
        self._dtype = _checks.sum_type(network.dtype)
        _require_in_range({"lr": self.learning_rate, **settings, **noise}, self._dtype)
        precision = self.loss.precision_array(network.outputs, self._dtype)
        frozen = [i for i, name in enumerate(network.named_layers) if name in network.frozen]
        dropout_seed = int(np.random.default_rng(seed).integers(2**63))
        trained = (self.loss.kernel, self.optimizer.kernel, settings, dropout_seed, precision, frozen)
        self._core: _cpu.Trainer | CudaTrainer
        if isinstance(network._network, _cpu.Network):
            self._core = _cpu.Trainer(network._network, *trained)
        else:
            from .._device.cuda_trainer import CudaTrainer

            self._core = CudaTrainer(network._network, *trained)
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
        data = prepare_batch(self.network._interface, self.loss, x, y, sample_weight)
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
        data = prepare(self.network._interface, self.loss, x, y, sample_weight)
        return self._epoch(data, row_numbers(order, len(data.x)), batch_size, lambda steps: None)

    def gradients(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> dict[str, Array]:
        """The gradient of the mean loss by parameter name; nothing is updated."""
        return self.loss_and_gradients(x, y, sample_weight)[1]

    def loss_and_gradients(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, dict[str, Array]]:
        """The mean loss and its gradient by parameter name; nothing is updated. Frozen parameters have zeros."""
        data = prepare_batch(self.network._interface, self.loss, x, y, sample_weight)
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


def _require_trainable(network: Network) -> None:
    if not network.trainable:
        raise TypeError(refusal("network", network.compute_dtype))
    for name, layer in network.named_layers.items():
        layer.require_trainable(name)
    if all(name.rpartition(".")[0] in network.frozen for name in network.parameters):
        raise ValueError(message("network", "a layer to train", "only frozen ones; unfreeze() some"))


def _require_in_range(settings: Mapping[str, float], dtype: _checks.DType) -> None:
    """Raise ValueError for a setting that the network's dtype makes infinite, or an eps that it makes 0."""
    for name, value in settings.items():
        number = float(_checks.fit(np.array(value), dtype))
        if not math.isfinite(number) or (name == "eps" and number == 0):
            raise ValueError(message(name, f"a number in {dtype}'s range", value))
