"""The training step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks, _cpu, losses, optimizers
from .._checks import Array, message
from .._network.data import Data, prepare, prepare_batch, row_numbers
from .._network.network import Network
from .._network.tensors import refusal
from ..losses import Loss
from ..optimizers import Optimizer
from ..typing import LossName, OptimizerName

if TYPE_CHECKING:
    from .._device.cuda_trainer import CudaTrainer

# The number of multiply-adds per call into compiled code: some hundredths of a second, which is short for Ctrl-C and
# long compared with the overhead of a call. They are counted, not timed, since the last bits of the sum of the losses
# of an epoch depend on their grouping, and must be the same in every run. _ROW and _STEP are the additional costs of a
# row and of a step.
_CALL, _ROW, _STEP = 100_000_000, 200, 20_000


class Trainer:
    """The training step of a network: forward, loss, backward and update in one call into compiled code.

    Parameters
    ----------
    network : Sequential
        The network. Each step changes its parameters.
    loss : Loss, optional
        The loss. By default the one that belongs to the head of the network.
    optimizer : Optimizer or {"adam", "adamw", "sgd"}
        The optimizer.
    l2 : float >= 0
        Adds l2/2 times the sum of squared weights (not biases) to the loss that is minimized. It is not part of the
        loss that is returned.
    seed : int >= 0, optional
        Seed of dropout and noise.
    clip_norm : float > 0, optional
        Maximum Euclidean norm of the gradient of all parameters together. A longer gradient is scaled down to it.

    Attributes
    ----------
    learning_rate : float
        The learning rate, at first that of the optimizer. It may be changed between steps.
    l2 : float
        The coefficient of the penalty. It may be changed between steps. On a GPU, launches of a CUDA graph with a step
        follow both, if they are changed while the stream of the launches is CuPy's current one.

    Raises
    ------
    ValueError
        If a layer is not differentiable, all layers are frozen, the loss does not fit the head, or a setting is
        infinite, or eps is 0, in the dtype of the network.
    TypeError
        If the network is an InferenceNetwork.

    Notes
    -----
    A trainer can be copied and pickled, with its network and the state of the optimizer. The copy goes on with the same
    bits.

    Layers that are frozen when the trainer is created do not change. With sample weights, the loss of a batch is the
    weighted mean of the losses of its rows; a row of weight 0 has no effect, whatever x contains there.

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x = np.linspace(-1, 1, 32)[:, np.newaxis]
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], seed=0)
    >>> trainer = fnn.Trainer(net, optimizer=fnn.SGD(0.1))
    >>> losses = [trainer.step(x, 2 * x) for _ in range(100)]
    >>> losses[-1] < losses[0]
    True
    """

    @_checks.advised("Trainer")
    def __init__(
        self,
        network: Network,
        loss: LossName | Loss | None = None,
        optimizer: OptimizerName | Optimizer = "adam",
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
        self.loss: Loss = losses.get(loss, network._last)
        self.optimizer: Optimizer = optimizers.get(optimizer)
        vars(self)["learning_rate"] = self.optimizer.lr
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
        self._made_of = (dropout_seed, precision, frozen)
        self._settings = settings
        self._compile()
        self._work_a_row = _ROW + 3 * sum(math.prod(shape) for shape in network.parameters.shapes.values())

    def _compile(self) -> None:
        made_of = (self.loss.kernel, self.optimizer.kernel, self._settings, *self._made_of)
        compiled = self.network._network
        self._core: _cpu.Trainer | CudaTrainer
        if isinstance(compiled, _cpu.Network):
            self._core = _cpu.Trainer(compiled, *made_of)
        else:
            from .._device.cuda_trainer import CudaTrainer

            self._core = CudaTrainer(compiled, *made_of)
            self._core.set_learning_rate(self.learning_rate)

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name != "_core"}
        return state | {"state": self.state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        moments = state.pop("state")
        vars(self).update(state)
        self._compile()
        self.set_state(moments)

    def __repr__(self) -> str:
        steps = self._core.steps
        return f"<Trainer: {steps} step{'' if steps == 1 else 's'}, {self.loss!r}, {self.optimizer!r}>"

    @property
    def learning_rate(self) -> float:
        """The learning rate; it may be changed between steps."""
        return vars(self)["learning_rate"]  # type: ignore[no-any-return]  # where pickles have it

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        rate = _checks.not_negative("learning_rate", value)
        if not isinstance(self._core, _cpu.Trainer):
            self._core.set_learning_rate(rate)
        vars(self)["learning_rate"] = rate

    @property
    def l2(self) -> float:
        """The coefficient of the penalty; it may be changed between steps."""
        return self._settings["l2"]

    @l2.setter
    def l2(self, value: float) -> None:
        l2 = _checks.not_negative("l2", value)
        _require_in_range({"l2": l2}, self._dtype)
        self._core.set_l2(l2)
        self._settings["l2"] = l2

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Update the network for one batch.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        y : array_like
            Targets, as the loss accepts them.
        sample_weight : array_like of shape (B,), optional
            Weights of the rows, >= 0.

        Returns
        -------
        float
            The mean loss before the update. If it is NaN, there is no update: network and optimizer are unchanged. On a
            GPU it is a CuPy array of shape () that will contain the loss: the step is queued on the current stream of
            CuPy and is not waited for, so it can be captured in a CUDA graph after a first step with the same number of
            rows. Values on the GPU are not checked: an invalid label makes the loss NaN.

        Raises
        ------
        ValueError
            If the shapes do not match, if a target or a weight is invalid, or if x contains NaN or infinity and the
            loss is therefore NaN. The network is unchanged.
        TypeError
            If an argument has a wrong type. The network is unchanged.
        """
        rate = self.learning_rate
        loss: float | Array | None = self._core.try_step(x, y, rate) if sample_weight is None else None
        if loss is not None and loss == loss:
            return loss  # type: ignore[return-value]
        data = prepare_batch(self.network._interface, self.loss, x, y, sample_weight)
        if loss is None:
            loss = self._core.step(data.x, data.targets, rate, None, data.weights)
        if isinstance(loss, float) and loss != loss:
            self._blame(data)
        return loss  # type: ignore[return-value]

    def epoch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        order: ArrayLike | None = None,
        batch_size: int = 32,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Update the network for all batches of data.

        Parameters
        ----------
        x : array_like of shape (N, *shape) or (N, I)
            Inputs.
        y : array_like
            Targets, as the loss accepts them.
        order : array_like of ints, optional
            The indices of the rows to use, in this order. By default all rows in their order.
        batch_size : int >= 1
            Number of rows per step; the last batch may be smaller.
        sample_weight : array_like of shape (N,), optional
            Weights of the rows, >= 0.

        Returns
        -------
        float
            The mean over the rows of the losses of their batches, each before the update. The epoch ends at a step
            whose loss is NaN, without an update; the mean is then NaN.

        Raises
        ------
        ValueError
            If the shapes do not match or if a target, a weight or an index is invalid: the network is unchanged. If x
            contains NaN or infinity and the loss is therefore NaN: the network is as the steps before left it.
        TypeError
            If an argument has a wrong type. The network is unchanged.
        """
        batch_size = _checks.integer("batch_size", batch_size, 1)
        data = prepare(self.network._interface, self.loss, x, y, sample_weight)
        return self._epoch(data, row_numbers(order, len(data.x)), batch_size, lambda steps: None)

    def gradients(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> dict[str, Array]:
        """Compute the gradient of the mean loss, without an update.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        y : array_like
            Targets, as the loss accepts them.
        sample_weight : array_like of shape (B,), optional
            Weights of the rows, >= 0.

        Returns
        -------
        dict of str to ndarray
            The gradients by name of the parameter; zeros for frozen layers.
        """
        return self.loss_and_gradients(x, y, sample_weight)[1]

    def loss_and_gradients(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, dict[str, Array]]:
        """Compute the mean loss and its gradient, without an update.

        Parameters
        ----------
        x : array_like of shape (B, *shape) or (B, I)
            Inputs.
        y : array_like
            Targets, as the loss accepts them.
        sample_weight : array_like of shape (B,), optional
            Weights of the rows, >= 0.

        Returns
        -------
        loss : float
            The mean loss.
        gradients : dict of str to ndarray
            The gradients by name of the parameter; zeros for frozen layers.
        """
        data = prepare_batch(self.network._interface, self.loss, x, y, sample_weight)
        loss, arrays = self._core.gradients(data.x, data.targets, None, data.weights)
        if isinstance(loss, float) and loss != loss:
            self._blame(data)
        return loss, dict(zip(self.network.parameters, arrays, strict=True))  # type: ignore[return-value]

    def apply(self, grads: Mapping[str, ArrayLike]) -> None:
        """Update the network with given gradients.

        ``step`` is ``gradients`` followed by ``apply``.

        Parameters
        ----------
        grads : mapping of str to array_like
            Gradients for all parameters by name.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape does not match.
        """
        self._core.apply(self._like_parameters("grads", grads), self.learning_rate)

    def state(self) -> dict[str, Array]:
        """Return the state of the optimizer.

        Returns
        -------
        dict of str to ndarray
            "steps", and the moments as "first." and "second." followed by the name of the parameter.
        """
        steps, states = self._core.state()
        named = {"steps": np.array(steps)}
        for prefix, arrays in zip(("first", "second"), states, strict=False):
            named |= {f"{prefix}.{name}": array for name, array in zip(self.network.parameters, arrays, strict=True)}
        return named

    def set_state(self, state: Mapping[str, ArrayLike]) -> None:
        """Set the state of the optimizer.

        Parameters
        ----------
        state : mapping of str to array_like
            The result of ``state`` of a trainer with the same layers and optimizer.

        Raises
        ------
        ValueError
            If an entry is missing, unknown or invalid.
        """
        self._core.set_state(*self._checked_state(state))

    def _checked_state(self, state: Mapping[str, ArrayLike]) -> tuple[int, list[list[Array]]]:
        """A state as the compiled trainer takes it."""
        known = self.state().keys()
        if not isinstance(state, Mapping):
            raise TypeError(message("state", "a mapping as state() gives it", repr(state)))
        if state.keys() != known:
            raise ValueError(message("state", f"entries for {_checks.listed(known, 100)}", _checks.listed(state, 100)))
        steps = _checks.integer("steps", np.asarray(state["steps"]).tolist(), 0, 2**63 - 1)
        states = []
        for prefix in ("first", "second"):
            part = {n.partition(".")[2]: value for n, value in state.items() if n.startswith(f"{prefix}.")}
            if part:
                states.append(self._like_parameters(prefix, part))
        return steps, states

    def _like_parameters(self, what: str, values: Mapping[str, ArrayLike]) -> list[Array]:
        """Arrays for all parameters, in their order, checked and in the dtype of the parameters."""
        shapes = self.network.parameters.shapes
        if not isinstance(values, Mapping):
            raise TypeError(message(what, "a mapping of parameter names to arrays", repr(values)))
        if values.keys() != shapes.keys():
            raise ValueError(message(what, f"entries for {_checks.listed(shapes, 100)}", _checks.listed(values, 100)))
        device = self.network._device
        arrays = [_checks.same_shape(name, device.array(name, values[name]), shapes[name]) for name in shapes]
        return [device.fit(array, self._dtype) for array in arrays]

    def _like_buffers(self, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """The same, checked: arrays for all buffers."""
        shapes = self.network.buffers.shapes
        if values.keys() != shapes.keys():
            raise ValueError(message("buffers", f"entries for {_checks.listed(shapes)}", _checks.listed(values)))
        for name, shape in shapes.items():
            _checks.same_shape(name, values[name], shape)
        return values

    def _epoch(
        self,
        data: Data,
        order: NDArray[np.int64],
        batch_size: int,
        after_steps: Callable[[int], object],
        call: Callable[[NDArray[np.int64]], tuple[float, float]] | None = None,
    ) -> float:
        """``epoch`` on prepared data, some steps per call; Ctrl-C and the progress bar are handled in between.

        ``call`` is what takes the steps of some rows, and returns the sum of their losses and of their weights.
        """
        rate, total, weight = self.learning_rate, 0.0, 0.0

        def of_core(rows: NDArray[np.int64]) -> tuple[float, float]:
            return self._core.epoch(data.x, data.targets, rate, rows, data.weights, batch_size)

        call = call or of_core
        rows_a_call = batch_size * self._steps_a_call(batch_size)
        for first in range(0, len(order), rows_a_call):
            rows = order[first : first + rows_a_call]
            of_rows, their_weight = call(rows)
            total, weight = total + of_rows, weight + their_weight
            if of_rows != of_rows:
                self._blame(data, order)
                break
            after_steps(-(-len(rows) // batch_size))
        return total / weight if weight else total

    def _steps_a_call(self, batch_size: int) -> int:
        """The number of steps whose losses are summed together."""
        return max(1, _CALL // (batch_size * self._work_a_row + _STEP))

    def _blame(self, data: Data, order: NDArray[np.int64] | None = None) -> None:
        """Raise ValueError if a step's loss is NaN because of x."""
        which = np.arange(len(data.x)) if order is None else order
        place = data.not_finite(np.sort(which), self.network.input.shape)
        if place is not None:
            raise ValueError(f"x has {place}: the loss is NaN, and the network stays as it was before that step")

    def _diagnosis(self) -> dict[str, dict[str, float]]:
        """What was counted since the last call: by name of ``History``, then by layer."""
        kinds = ("gradient_norm", "update_norm", "dead", "saturated", "linear")
        found: dict[str, dict[str, float]] = {kind: {} for kind in (*kinds, "gradient_rms")}
        names = list(self.network.named_layers)
        for layer, *values in self._core.take_diagnosis():
            for kind, value in zip(kinds, values, strict=True):
                if value >= 0 or value != value:
                    found[kind][names[layer]] = value
        for name, norm in found["gradient_norm"].items():
            shapes = self.network._structure.parameter_shapes[name]
            if count := sum(math.prod(shape) for key, shape in shapes.items() if key != "alpha"):
                found["gradient_rms"][name] = norm / math.sqrt(count)
        return found


def _require_trainable(network: Network) -> None:
    if not network.trainable:
        raise TypeError(refusal("network", network.compute_dtype))
    for name, layer in network.named_layers.items():
        layer.require_trainable(name)
    if all(name.rpartition(".")[0] in network.frozen for name in network.parameters):
        raise ValueError(message("network", "a layer to train", "only frozen ones; unfreeze() some"))


def _require_in_range(settings: Mapping[str, float], dtype: _checks.DType) -> None:
    """Raise ValueError for a setting that is infinite in the dtype of the network, or an eps that is 0 in it."""
    for name, value in settings.items():
        number = float(_checks.fit(np.array(value), dtype))
        if not math.isfinite(number) or (name == "eps" and number == 0):
            raise ValueError(message(name, f"a number in {dtype}'s range", value))
