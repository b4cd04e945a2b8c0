"""Optimizers and learning rate schedules.

The classes hold the settings; the kernels compute the updates.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from . import _checks
from ._frozen import Frozen


# Optimizers ----------------------------------------------------------------------------------------------------------
class Optimizer(Frozen, ABC):
    """Base class of all optimizers.

    Attributes
    ----------
    lr : float
        The learning rate, which a schedule multiplies.
    """

    kernel: ClassVar[str]
    lr: float

    @abstractmethod
    def settings(self) -> dict[str, float]:
        """Return what the kernels need besides the learning rate.

        Returns
        -------
        dict of str to float
            The settings by name.
        """


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    For the gradient g of a parameter w, the velocity becomes v = momentum v + g, and w becomes w - lr v, or, with
    Nesterov momentum, w - lr (g + momentum v). Sutskever et al., "On the importance of initialization and momentum in
    deep learning", 2013.

    Parameters
    ----------
    lr : float > 0
        Learning rate.
    momentum : float in [0, 1)
        Decay rate of the velocity.
    nesterov : bool
        Whether to use Nesterov momentum. It needs ``momentum`` > 0.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.SGD(lr=0.1, momentum=0.9, nesterov=True)
    SGD(lr=0.1, momentum=0.9, nesterov=True)
    """

    kernel = "sgd"
    momentum: float
    nesterov: bool

    @_checks.advised("optimizer")
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
    """Adam, an optimizer that scales the step of each parameter by estimates of the moments of its gradient.

    A step is the first moment, divided by the root of the second moment plus eps, both corrected for bias. Kingma and
    Ba, "Adam: a method for stochastic optimization", 2015.

    Parameters
    ----------
    lr : float > 0
        Learning rate.
    betas : pair of floats in [0, 1)
        Decay rates of the first and the second moment.
    eps : float > 0
        Added to the denominator.
    eps_hat : bool
        Whether eps is added before the bias of the second moment is corrected: the "epsilon hat" of section 2 of the
        paper, as in TensorFlow and scikit-learn.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.Adam(lr=0.01)
    Adam(lr=0.01, betas=(0.9, 0.999), eps=1e-08)
    """

    kernel = "adam"
    betas: tuple[float, float]
    eps: float
    eps_hat: bool = False

    @_checks.advised("optimizer")
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
    """Adam with decoupled weight decay.

    A weight w becomes w - lr (s + weight_decay w), where s is the step of Adam. Biases do not decay. Loshchilov and
    Hutter, "Decoupled weight decay regularization", 2019.

    Parameters
    ----------
    lr : float > 0
        Learning rate.
    betas : pair of floats in [0, 1)
        Decay rates of the first and the second moment.
    eps : float > 0
        Added to the denominator.
    weight_decay : float >= 0
        Decay rate of the weights.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.AdamW(lr=0.01, weight_decay=0.1)
    AdamW(lr=0.01, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.1)
    """

    kernel = "adam"
    betas: tuple[float, float]
    eps: float
    weight_decay: float

    @_checks.advised("optimizer")
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
    """Return an optimizer by name.

    Parameters
    ----------
    optimizer : {"sgd", "adam", "adamw"} or Optimizer
        A name stands for the optimizer with its default settings. An optimizer object is returned as it is.

    Returns
    -------
    Optimizer
        The optimizer.

    Raises
    ------
    ValueError
        If there is no optimizer of this name.
    TypeError
        If ``optimizer`` is neither a name nor an optimizer object.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.optimizers.get("sgd")
    SGD(lr=0.01, momentum=0.0, nesterov=False)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        called = getattr(optimizer, "__name__", type(optimizer).__name__)
        hint = f"; write fnnfast.{_BY_NAME[called.lower()].__name__}()" if called.lower() in _BY_NAME else ""
        raise TypeError(_checks.message("optimizer", "a name or an optimizer object", repr(optimizer)) + hint)
    name = optimizer.lower()
    if name not in _BY_NAME:
        raise _checks.unknown("optimizer", optimizer, _BY_NAME)
    return _BY_NAME[name]()


# Schedules: epoch (from 0) -> what the learning rate is multiplied by ------------------------------------------------
Schedule = Callable[[int], float]


class StepDecay(Frozen):
    """Schedule that decreases the learning rate every few epochs: factor ** (epoch // every).

    Parameters
    ----------
    every : int >= 1
        Number of epochs between two changes.
    factor : float > 0
        What the learning rate is multiplied by at each change.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> schedule = fnn.StepDecay(every=2, factor=0.5)
    >>> [schedule(epoch) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: int
    factor: float

    def __init__(self, every: int, factor: float = 0.1) -> None:
        self._store(every=_checks.integer("every", every, 1), factor=_checks.positive("factor", factor))

    def __call__(self, epoch: int) -> float:
        """Return the factor of the learning rate for an epoch.

        Parameters
        ----------
        epoch : int >= 0
            The epoch, counted from 0.

        Returns
        -------
        float
            What the learning rate is multiplied by.
        """
        return self.factor ** (epoch // self.every)


class ExponentialDecay(Frozen):
    """Schedule that decreases the learning rate exponentially: factor ** epoch.

    Parameters
    ----------
    factor : float > 0
        What the learning rate is multiplied by after each epoch.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> schedule = fnn.ExponentialDecay(0.5)
    >>> [schedule(epoch) for epoch in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    factor: float

    def __init__(self, factor: float) -> None:
        self._store(factor=_checks.positive("factor", factor))

    def __call__(self, epoch: int) -> float:
        """Return the factor of the learning rate for an epoch.

        Parameters
        ----------
        epoch : int >= 0
            The epoch, counted from 0.

        Returns
        -------
        float
            What the learning rate is multiplied by.
        """
        return self.factor**epoch


class CosineDecay(Frozen):
    """Schedule that follows half a cosine from 1 to ``final``, and stays there.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Parameters
    ----------
    epochs : int >= 1
        Number of epochs until ``final`` is reached.
    final : float >= 0
        The factor at the end.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> schedule = fnn.CosineDecay(epochs=4)
    >>> [round(schedule(epoch), 4) for epoch in range(6)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]
    """

    epochs: int
    final: float

    def __init__(self, epochs: int, final: float = 0.0) -> None:
        self._store(epochs=_checks.integer("epochs", epochs, 1), final=_checks.not_negative("final", final))

    def __call__(self, epoch: int) -> float:
        """Return the factor of the learning rate for an epoch.

        Parameters
        ----------
        epoch : int >= 0
            The epoch, counted from 0.

        Returns
        -------
        float
            What the learning rate is multiplied by.
        """
        progress = min(epoch, self.epochs) / self.epochs
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


class Warmup(Frozen):
    """Schedule that increases the learning rate linearly in the first epochs, before another schedule.

    The factor of epoch e is (e + 1) / (epochs + 1). Goyal et al., "Accurate, large minibatch SGD", 2017.

    Parameters
    ----------
    epochs : int >= 1
        Number of epochs of the increase.
    schedule : callable, optional
        The schedule that follows. Its epochs are counted from the end of the increase. By default, the factor is 1.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> schedule = fnn.Warmup(3, fnn.ExponentialDecay(0.5))
    >>> [schedule(epoch) for epoch in range(6)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    epochs: int
    schedule: Schedule | None

    def __init__(self, epochs: int, schedule: Schedule | None = None) -> None:
        if not (schedule is None or callable(schedule)):
            raise TypeError(_checks.message("schedule", "None or a callable", repr(schedule)))
        self._store(epochs=_checks.integer("epochs", epochs, 1), schedule=schedule)

    def __call__(self, epoch: int) -> float:
        """Return the factor of the learning rate for an epoch.

        Parameters
        ----------
        epoch : int >= 0
            The epoch, counted from 0.

        Returns
        -------
        float
            What the learning rate is multiplied by.
        """
        if epoch < self.epochs:
            return (epoch + 1) / (self.epochs + 1)
        return 1.0 if self.schedule is None else self.schedule(epoch - self.epochs)
