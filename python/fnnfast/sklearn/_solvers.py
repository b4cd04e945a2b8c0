"""The two kinds of training: epochs of steps, and L-BFGS. The results are attributes of the estimator."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import issparse
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning

from .._checks import FLOAT64, Array, message
from ..losses import Loss, MeanSquaredError, Poisson
from ..optimizers import SGD, Adam
from ..training import Trainer, _progress
from ..training._callbacks import is_better
from ._callbacks import Tasks

# The learning rate at which "adaptive" stops dividing.
SLOWEST_RATE = 1e-6


class Data(NamedTuple):
    """Rows, dense or CSR, their targets and their weights."""

    x: Any
    targets: Array
    weights: Array | None = None

    def take(self, rows: Array) -> Data:
        """Some of the rows."""
        return Data(self.x[rows], self.targets[rows], None if self.weights is None else self.weights[rows])

    def without_zeros(self) -> Data:
        """Without the rows of weight 0."""
        return self if self.weights is None or self.weights.all() else self.take(np.flatnonzero(self.weights))

    def dense(self) -> Data:
        """The same with a dense x."""
        return self._replace(x=self.x.toarray()) if issparse(self.x) else self

    def total(self, rows: Array | None = None) -> float:
        """The sum of the weights, which are 1 by default."""
        if self.weights is None:
            return float(len(self.targets if rows is None else rows))
        return float(np.sum(self.weights if rows is None else self.weights[rows], dtype=np.float64))


class Units(NamedTuple):
    """The gradient and the loss of scikit-learn as multiples of those of fnnfast.

    For the squared error, scikit-learn uses the gradient of half the sum over outputs, and reports half the mean.
    """

    gradient: float
    loss: float

    @classmethod
    def of(cls, loss: Loss, outputs: int) -> Units:
        return cls(outputs / 2, 0.5) if isinstance(loss, MeanSquaredError) else cls(1.0, 1.0)


def _perfect(loss: Loss, data: Data) -> float:
    """The mean loss if all predictions are exact, which half the deviance, the Poisson loss of scikit-learn, lacks."""
    if not isinstance(loss, Poisson):
        return 0.0
    t = data.targets.astype(FLOAT64)
    return float(np.average((t - xlogy(t, t)).sum(axis=1), weights=data.weights))


# Steps ---------------------------------------------------------------------------------------------------------------
def descend(
    estimator: Any,
    data: Data,
    held_out: Data | None,
    random: np.random.RandomState,
    tasks: Tasks,
    *,
    incremental: bool,
) -> None:
    """Train by SGD or Adam: one epoch if ``incremental``, else until there is no progress or a callback says so."""
    rows, network = len(data.targets), estimator.network_
    batch = _batch_rows(estimator.batch_size, rows)
    trainer = estimator._trainer = _trainer(estimator, _l2(estimator, data, batch), random, incremental)
    core: Any = trainer._core  # of the CPU, as all estimators
    core.sum_weight_squares(estimator.alpha > 0)
    shown, perfect = Units.of(estimator._loss, estimator.n_outputs_).loss, _perfect(estimator._loss, data)
    order, best, total = np.arange(rows, dtype=np.int64), dict(network.parameters), data.total()
    estimator.n_iter_ = 0
    try:
        with closing(_progress.choose(bool(estimator.progress), estimator.max_iter, 1)) as display:
            for _ in range(1 if incremental else estimator.max_iter):
                tasks.begin_iteration()
                if estimator.shuffle:  # with the same random numbers as sklearn.utils.shuffle
                    shuffled = np.arange(rows)
                    random.shuffle(shuffled)
                    order = order[shuffled]
                mean = _epoch(estimator, data, order, batch)
                penalty = estimator.alpha / 2 * core.take_weight_squares()  # of all batches together
                estimator.t_ += rows
                _record(estimator, shown * mean - perfect + penalty / total, held_out)
                display.steps(1)
                display.epoch(_latest(estimator))
                if _improved(estimator) and estimator.early_stopping:
                    best = dict(network.parameters)
                stop = tasks.end_iteration()
                if _exhausted(estimator, trainer) or stop:
                    break
            else:
                if not incremental:
                    text = f"{estimator.max_iter} iterations (max_iter) were not enough to converge"
                    _progress.warn(text, ConvergenceWarning)
    except KeyboardInterrupt:
        _progress.warn("training was interrupted; the network is as the last step left it", UserWarning)
    if estimator.early_stopping:
        for name, values in best.items():
            network.parameters[name] = values


def _trainer(estimator: Any, l2: float, random: np.random.RandomState, incremental: bool) -> Trainer:
    """The trainer to use: for ``partial_fit`` that of the last call, with the parameters set since, else a new one.

    The moments of the optimizer, the divisions of the learning rate by "adaptive", and the steps counted for dropout
    are kept, unless the solver or the loss changed.
    """
    before: Trainer | None = estimator._trainer if incremental else None
    optimizer, loss, schedule = _optimizer(estimator), estimator._loss, _schedule(estimator)
    if before is not None and not (before.loss == loss and type(before.optimizer) is type(optimizer)):
        before = None
    seed_of = estimator.random_state if np.any(estimator.dropout) else None
    if before is None or getattr(estimator, "_seed_of", seed_of) != seed_of:
        # Only dropout needs a seed; without it, the order of the rows is that of scikit-learn.
        seed = int(random.randint(2**31 - 1)) if np.any(estimator.dropout) else 0
    else:
        seed = estimator._fixed["seed"]
    trainer = before
    if before is None or before.optimizer != optimizer or estimator._fixed["seed"] != seed:
        estimator._fixed = {"loss": loss, "optimizer": optimizer, "l2": l2, "seed": seed}
        trainer = Trainer(estimator.network_, **estimator._fixed)
    assert trainer is not None
    if before is not None:
        if trainer is not before:
            trainer.set_state(before.state())
            trainer.learning_rate = optimizer.lr * (before.learning_rate / before.optimizer.lr)
        if schedule == "invscaling":
            trainer.learning_rate = optimizer.lr / (estimator.t_ + 1) ** estimator.power_t
        elif schedule != getattr(estimator, "_schedule", schedule):
            trainer.learning_rate = optimizer.lr
    estimator._seed_of, estimator._schedule = seed_of, schedule
    return trainer


def _optimizer(estimator: Any) -> SGD | Adam:
    """The optimizer of scikit-learn for our gradient: it uses ``Units.gradient`` times that."""
    factor = Units.of(estimator._loss, estimator.n_outputs_).gradient
    rate, momentum = estimator.learning_rate_init, estimator.momentum
    if estimator.solver == "sgd":
        return SGD(rate * factor, momentum, nesterov=bool(estimator.nesterovs_momentum and momentum))
    # A multiple of the gradient changes the steps of Adam only through eps.
    return Adam(rate, (estimator.beta_1, estimator.beta_2), estimator.epsilon / factor, eps_hat=True)


def _schedule(estimator: Any) -> str:
    return str(estimator.learning_rate) if estimator.solver == "sgd" else "constant"


def _l2(estimator: Any, data: Data, batch: int) -> float:
    """alpha divided by the weight of this number of rows, for our loss."""
    weight = data.total() * batch / len(data.targets)
    return float(estimator.alpha / weight / Units.of(estimator._loss, estimator.n_outputs_).gradient)


def _batch_rows(batch_size: Any, rows: int) -> int:
    if batch_size == "auto":
        return min(200, rows)
    if batch_size > rows:
        _progress.warn(message("batch_size", f"at most {rows}, the number of rows", batch_size), UserWarning)
    return min(int(batch_size), rows)


def _epoch(estimator: Any, data: Data, order: Array, batch: int) -> float:
    """One step for each batch of rows in that order; the mean loss."""
    whole = len(order) - len(order) % batch
    parts = [(order[:whole], batch), (order[whole:], len(order) - whole)]  # the last, smaller batch has its own l2
    losses = 0.0
    for rows, size in parts:
        if size and losses == losses:  # after NaN there are no more steps
            losses += data.total(rows) * _steps(estimator, data, rows, size)
    return losses / data.total()


def _steps(estimator: Any, data: Data, order: Array, batch: int) -> float:
    trainer: Trainer = estimator._trainer
    trainer.l2 = _l2(estimator, data, batch)
    if not issparse(data.x):
        return trainer.epoch(data.x, data.targets, order, batch, data.weights)
    losses = 0.0
    for first in range(0, len(order), batch):
        part = data.take(order[first : first + batch]).dense()  # sparse rows are converted batch by batch
        losses += part.total() * trainer.step(*part)
        if losses != losses:
            break
    return losses / data.total(order)


def _improved(estimator: Any) -> bool:
    """Whether the last iteration was the best so far, by score or by loss; counts those without progress by ``tol``.

    ValueError if the score or the loss is not finite.
    """
    _require_finite(estimator, "loss", estimator.loss_)
    if estimator.early_stopping:
        name, latest, sign = "best_validation_score_", estimator.validation_scores_[-1], 1
        _require_finite(estimator, "validation score", latest)
    else:
        name, latest, sign = "best_loss_", estimator.loss_, -1
    before = getattr(estimator, name)
    best = -math.inf if before is None else sign * before
    count = estimator._no_improvement_count
    estimator._no_improvement_count = count + 1 if sign * latest < best + estimator.tol else 0
    improved = bool(is_better(-sign * latest, -best))
    if improved:
        setattr(estimator, name, latest)
    return improved


def _require_finite(estimator: Any, what: str, value: float) -> None:
    """Raise ValueError if the loss or score of an iteration is not finite: that is not a worse value, it is the end."""
    if not math.isfinite(value):
        advice = "weights that are not finite, or too large: scale the inputs, or lower learning_rate_init"
        raise ValueError(f"the {what} of iteration {estimator.n_iter_} is {value}: training made {advice}")


def _exhausted(estimator: Any, trainer: Trainer) -> bool:
    """Whether to stop; sets the learning rate of the next epoch."""
    start = trainer.optimizer.lr
    schedule = _schedule(estimator)
    if schedule == "invscaling":
        _change_rate(trainer, start / (estimator.t_ + 1) ** estimator.power_t)
    if estimator._no_improvement_count <= estimator.n_iter_no_change:
        return False
    text = f"no better by tol={estimator.tol:g} for {estimator.n_iter_no_change} iterations"
    slowest = trainer.learning_rate / start * estimator.learning_rate_init <= SLOWEST_RATE
    if schedule != "adaptive" or slowest:
        _say(estimator, f"{text}: stopping")
        return True
    _say(estimator, f"{text}: a fifth of the learning rate")
    _change_rate(trainer, trainer.learning_rate / 5)
    estimator._no_improvement_count = 0
    return False


def _change_rate(trainer: Trainer, rate: float) -> None:
    """Set the learning rate and rescale the velocity: in scikit-learn it is a sum of steps, here of gradients."""
    if trainer.optimizer.settings()["momentum"]:
        factor = trainer.learning_rate / rate
        state = trainer.state()
        trainer.set_state({name: a * factor if name.startswith("first.") else a for name, a in state.items()})
    trainer.learning_rate = rate


# L-BFGS --------------------------------------------------------------------------------------------------------------
def lbfgs(estimator: Any, data: Data, held_out: Data | None, tasks: Tasks) -> None:
    """Train on all rows at once with the L-BFGS-B of SciPy, in float64."""
    if np.any(estimator.dropout):
        raise ValueError(message("dropout", "0 for solver 'lbfgs', which needs one fixed function", estimator.dropout))
    data, network = data.dense(), estimator.network_
    trainer = Trainer(network, estimator._loss, "sgd")
    factor, perfect = Units.of(estimator._loss, estimator.n_outputs_).gradient, _perfect(estimator._loss, data)
    shapes = network.parameters.shapes
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    decay = np.zeros(ends[-1])  # alpha for weights, 0 for other parameters
    for name, part in zip(shapes, np.split(decay, ends[:-1]), strict=True):
        part[:] = estimator.alpha / data.total() if name.endswith(".weight") else 0.0

    def place(flat: Array) -> None:
        for (name, shape), part in zip(shapes.items(), np.split(flat, ends[:-1]), strict=True):
            network.parameters[name] = part.reshape(shape)

    def objective(flat: Array) -> tuple[float, Array]:
        place(flat)
        loss, gradients = trainer.loss_and_gradients(*data)
        flow = np.concatenate([gradient.ravel() for gradient in gradients.values()])
        shrink = decay * flat
        return factor * loss - perfect + float(shrink @ flat) / 2, factor * flow + shrink

    stopped = False

    def after_iteration(intermediate_result: Any) -> None:
        nonlocal stopped
        place(intermediate_result.x)
        _record(estimator, float(intermediate_result.fun), held_out)
        display.steps(1)
        display.epoch(_latest(estimator))
        if tasks.end_iteration():
            stopped = True
            raise StopIteration
        tasks.begin_iteration()

    start = np.concatenate([values.ravel() for values in network.parameters.values()])
    options = {"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol}
    estimator.n_iter_ = 0
    tasks.begin_iteration()
    with closing(_progress.choose(bool(estimator.progress), estimator.max_iter, 1)) as display:
        result = minimize(objective, start, method="L-BFGS-B", jac=True, callback=after_iteration, options=options)
    place(result.x)
    estimator.loss_ = float(result.fun)
    _require_finite(estimator, "loss", estimator.loss_)
    if not stopped:
        tasks.end_iteration()  # of one that did not happen
    if result.status and not stopped:
        text = f"L-BFGS did not converge in {result.nit} iterations: {result.message}"
        _progress.warn(text, ConvergenceWarning)


# Recording -----------------------------------------------------------------------------------------------------------
def _record(estimator: Any, loss: float, held_out: Data | None) -> None:
    estimator.n_iter_ += 1
    estimator.loss_ = loss
    estimator.loss_curve_.append(loss)
    _say(estimator, f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
    if held_out is None:
        return
    if estimator.validation_scores_ is None:
        estimator.validation_scores_, estimator.validation_loss_curve_ = [], []
    value, score = estimator._measure(held_out)
    shown, perfect = Units.of(estimator._loss, estimator.n_outputs_).loss, _perfect(estimator._loss, held_out)
    estimator.validation_loss_curve_.append(shown * value - perfect)
    estimator.validation_scores_.append(score)
    _say(estimator, f"Validation score: {score:f}")


def _latest(estimator: Any) -> dict[str, float]:
    """What a progress bar shows."""
    values = {"loss": estimator.loss_}
    if estimator.validation_scores_:
        values["validation_score"] = estimator.validation_scores_[-1]
    return values


def _say(estimator: Any, text: str) -> None:
    if estimator.verbose:
        _progress.say(text)
