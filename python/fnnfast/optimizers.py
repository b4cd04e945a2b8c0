"""Optimizers and the schedules of their learning rate: settings only, the updates are in the kernels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from . import _checks
from ._frozen import Frozen


# Optimizers ----------------------------------------------------------------------------------------------------------
class Optimizer(Frozen, ABC):
    """Base of all optimizers.

    Attributes
    ----------
    lr : float
        The learning rate, which a schedule multiplies.
    """

    kernel: ClassVar[str]
    lr: float

    @abstractmethod
    def settings(self) -> dict[str, float]:
        """What the kernels need besides the learning rate."""


class SGD(Optimizer):
    """Stochastic gradient descent: v+ = momentum v + g, w+ = w - lr v+, or with Nesterov's w - lr (g + momentum v+).

    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    lr : float > 0
    momentum : float in [0, 1)
    nesterov : bool
        Needs momentum.
    """

    kernel = "sgd"
    momentum: float
    nesterov: bool

    def __init__(self, lr: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        self._store(
            lr=_checks.positive("lr", lr),
            momentum=_checks.share("momentum", momentum),
            nesterov=_checks.flag("nesterov", nesterov),
        )
        if self.nesterov and not self.momentum:
            raise ValueError(_checks.message("momentum", "a number in (0, 1) for nesterov", momentum))

    def settings(self) -> dict[str, float]:
        return {"momentum": self.momentum, "nesterov": float(self.nesterov)}


class Adam(Optimizer):
    """Adam: steps of the first moment over the root of the second, both bias-corrected; eps stands outside the root.

    Kingma and Ba, "Adam: a method for stochastic optimization", 2015.

    Parameters
    ----------
    lr : float > 0
    betas : pair of floats in [0, 1)
        Decay of the first and second moment.
    eps : float > 0
    eps_hat : bool
        eps stands beside the root of the second moment as it is, before its bias is corrected: the "epsilon hat" of the
        paper's section 2, which TensorFlow and scikit-learn have.
    """

    kernel = "adam"
    betas: tuple[float, float]
    eps: float
    eps_hat: bool = False

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        eps_hat: bool = False,
    ) -> None:
        self._store(**_adam_fields(lr, betas, eps))
        if _checks.flag("eps_hat", eps_hat):
            self._store(eps_hat=True)

    def settings(self) -> dict[str, float]:
        return {"beta1": self.betas[0], "beta2": self.betas[1], "eps": self.eps, "eps_hat": float(self.eps_hat)}


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient: w+ = w - lr (Adam's step + weight_decay w), for weights only.

    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.

    Parameters
    ----------
    lr, betas, eps
        As for Adam.
    weight_decay : float >= 0
    """

    kernel = "adam"
    betas: tuple[float, float]
    eps: float
    weight_decay: float

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        self._store(**_adam_fields(lr, betas, eps), weight_decay=_checks.not_negative("weight_decay", weight_decay))

    def settings(self) -> dict[str, float]:
        return {
            "beta1": self.betas[0],
            "beta2": self.betas[1],
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }


def _adam_fields(lr: float, betas: tuple[float, float], eps: float) -> dict[str, Any]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(_checks.message("betas", "two numbers in [0, 1)", repr(betas)))
    return {
        "lr": _checks.positive("lr", lr),
        "betas": tuple(_checks.share("betas", beta) for beta in betas),
        "eps": _checks.positive("eps", eps),
    }


_BY_NAME: dict[str, type[SGD | Adam | AdamW]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def get(optimizer: str | Optimizer) -> Optimizer:
    """The optimizer itself, or by name ("sgd", "adam", "adamw") the one with default settings."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(_checks.message("optimizer", "a name or an optimizer object", repr(optimizer)))
    if optimizer not in _BY_NAME:
        raise _checks.unknown("optimizer", optimizer, _BY_NAME)
    return _BY_NAME[optimizer]()


# Schedules: epoch (from 0) -> what the learning rate is multiplied by ------------------------------------------------
Schedule = Callable[[int], float]


class StepDecay(Frozen):
    """factor ** (epoch // every): a drop every few epochs.

    Parameters
    ----------
    every : int >= 1
    factor : float > 0
    """

    every: int
    factor: float

    def __init__(self, every: int, factor: float = 0.1) -> None:
        self._store(every=_checks.integer("every", every, 1), factor=_checks.positive("factor", factor))

    def __call__(self, epoch: int) -> float:
        return self.factor ** (epoch // self.every)


class ExponentialDecay(Frozen):
    """factor ** epoch.

    Parameters
    ----------
    factor : float > 0
    """

    factor: float

    def __init__(self, factor: float) -> None:
        self._store(factor=_checks.positive("factor", factor))

    def __call__(self, epoch: int) -> float:
        return self.factor**epoch


class CosineDecay(Frozen):
    """Half a cosine from 1 down to ``final`` over ``epochs``, and ``final`` from there on.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Parameters
    ----------
    epochs : int >= 1
    final : float >= 0
    """

    epochs: int
    final: float

    def __init__(self, epochs: int, final: float = 0.0) -> None:
        self._store(epochs=_checks.integer("epochs", epochs, 1), final=_checks.not_negative("final", final))

    def __call__(self, epoch: int) -> float:
        progress = min(epoch, self.epochs) / self.epochs
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


class Warmup(Frozen):
    """A straight rise to 1 over the first epochs, then another schedule, or 1.

    Epoch e of the rise has (e + 1) / (epochs + 1). Goyal et al., "Accurate, large minibatch SGD", 2017.

    Parameters
    ----------
    epochs : int >= 1
    schedule : callable, optional
        What follows; its epochs are counted from the end of the rise.
    """

    epochs: int
    schedule: Schedule | None

    def __init__(self, epochs: int, schedule: Schedule | None = None) -> None:
        if not (schedule is None or callable(schedule)):
            raise TypeError(_checks.message("schedule", "None or a callable", repr(schedule)))
        self._store(epochs=_checks.integer("epochs", epochs, 1), schedule=schedule)

    def __call__(self, epoch: int) -> float:
        if epoch < self.epochs:
            return (epoch + 1) / (self.epochs + 1)
        return 1.0 if self.schedule is None else self.schedule(epoch - self.epochs)
