"""The optimizers, one array at a time, in float64: ``update`` returns new arrays and changes none.

``l2`` and ``weight_decay`` apply to weights only, not to biases or slopes. l2 adds the gradient of l2/2 |w|^2, which is
part of the moving averages. weight_decay is decoupled from them (Loshchilov and Hutter 2019, arXiv:1711.05101,
algorithm 2) and multiplies the weight by 1 - learning_rate weight_decay.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from ._xp import Array, as_float64, namespace


class State(NamedTuple):
    """The state of an optimizer for one array.

    Parameters
    ----------
    steps : int
        The number of updates.
    first : ndarray
        Moving average of the gradient, or the velocity.
    second : ndarray
        Moving average of the squared gradient.
    """

    steps: int
    first: Array
    second: Array


def start(parameter: Array) -> State:
    """Return the state before the first update.

    Parameters
    ----------
    parameter : ndarray
        The array to optimize.

    Returns
    -------
    State
        The state, with zeros.
    """
    zeros = namespace(parameter).zeros_like(parameter, dtype="float64")
    return State(0, zeros, zeros)


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """Base class of the reference optimizers.

    Parameters
    ----------
    l2 : float
        Coefficient of the penalty l2/2 |w|^2.
    weight_decay : float
        Decay rate of the weights.
    """

    l2: float = 0.0
    weight_decay: float = 0.0

    def update(
        self, parameter: Array, gradient: Array, state: State, learning_rate: float, *, is_weight: bool
    ) -> tuple[Array, State]:
        """Compute one update.

        Parameters
        ----------
        parameter : ndarray
            The array.
        gradient : ndarray
            Its gradient.
        state : State
            The state of the optimizer.
        learning_rate : float
            The learning rate.
        is_weight : bool
            Whether l2 and weight decay apply.

        Returns
        -------
        parameter : ndarray
            The array after the update.
        state : State
            The state for the next update.
        """
        xp = namespace(parameter)
        w, g = as_float64(xp, parameter), as_float64(xp, gradient)
        if is_weight:
            g = g + self.l2 * w
        change, state = self._change(g, state)
        if is_weight:
            w = w * (1.0 - learning_rate * self.weight_decay)
        return w - learning_rate * change, state

    @abstractmethod
    def _change(self, g: Array, state: State) -> tuple[Array, State]:
        """What the learning rate multiplies, from the gradient."""


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum v + g; w -= lr v, or with Nesterov momentum w -= lr (g + momentum v).

    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning", 2013,
    section 2, in the form in which v is a sum of gradients, the learning rate is outside of it, and the weights that
    are kept are those after looking ahead.

    Parameters
    ----------
    l2 : float
        Coefficient of the penalty l2/2 |w|^2.
    weight_decay : float
        Decay rate of the weights.
    momentum : float
        Decay rate of the velocity.
    nesterov : bool
        Whether to use Nesterov momentum.
    """

    momentum: float = 0.0
    nesterov: bool = False

    def _change(self, g: Array, state: State) -> tuple[Array, State]:
        v = self.momentum * state.first + g
        change = g + self.momentum * v if self.nesterov else v
        return change, State(state.steps + 1, v, state.second)


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adam: m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= lr m' / (sqrt(v') + eps).

    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) for update t = 1, 2, ... Kingma and Ba, "Adam: a method for
    stochastic optimization", 2015, arXiv:1412.6980, algorithm 1. With weight_decay it is AdamW.

    Parameters
    ----------
    l2 : float
        Coefficient of the penalty l2/2 |w|^2.
    weight_decay : float
        Decay rate of the weights.
    beta1 : float
        Decay rate of the first moment.
    beta2 : float
        Decay rate of the second moment.
    eps : float
        Added to the denominator.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def _change(self, g: Array, state: State) -> tuple[Array, State]:
        xp = namespace(g)
        t = state.steps + 1
        m = self.beta1 * state.first + (1.0 - self.beta1) * g
        v = self.beta2 * state.second + (1.0 - self.beta2) * g * g
        change = (m / (1.0 - self.beta1**t)) / (xp.sqrt(v / (1.0 - self.beta2**t)) + self.eps)
        return change, State(t, m, v)
