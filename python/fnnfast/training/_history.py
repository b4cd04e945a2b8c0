"""What is recorded in training."""

from __future__ import annotations

from collections.abc import Mapping


class History:
    """What was recorded in training: lists with one entry per finished epoch.

    Attributes
    ----------
    loss : list of float
        The weighted mean over the rows of the epoch, each before the update of its batch; without the term of l2.
    validation_loss : list of float
        The loss after the epoch; empty without validation data.
    validation_accuracy, validation_r2 : list of float
        The score after the epoch: the one of the loss, the other list is empty.
    learning_rate : list of float
        The learning rate.
    dead, saturated : dict of str to list of float
        By layer, in training: the share of dead units in layers of the ReLU family, and of saturated values in layers
        of sigmoid and tanh, as ``Sequential.diagnose`` defines them. Counted only where gradients pass: not in a head
        whose loss is computed from logits, and not before the first layer that is not frozen.
    gradient_norm, update_norm : dict of str to list of float
        By layer, the root mean square over the steps of the Euclidean norm of the gradient of weights and biases
        (before l2 and clipping, without learned slopes), and of their change.
    stopped : str
        Why training ended: "completed", "early" (a callback stopped it) or "interrupted" (Ctrl-C).

    Examples
    --------
    >>> import numpy as np
    >>> import fnnfast as fnn
    >>> x = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(4, "relu"), fnn.Dense(1)], seed=0)
    >>> history = net.fit(x, x, epochs=3, validation=0.2, seed=0)
    >>> len(history.loss), len(history.validation_r2), history.stopped
    (3, 3, 'completed')
    >>> list(history.gradient_norm)
    ['dense_1', 'dense_2']
    """

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.validation_loss: list[float] = []
        self.validation_accuracy: list[float] = []
        self.validation_r2: list[float] = []
        self.learning_rate: list[float] = []
        self.dead: dict[str, list[float]] = {}
        self.saturated: dict[str, list[float]] = {}
        self.gradient_norm: dict[str, list[float]] = {}
        self.update_norm: dict[str, list[float]] = {}
        self.stopped = "completed"

    def record(self, of_layers: Mapping[str, Mapping[str, float]] | None = None, **values: float) -> None:
        """Append the values of one epoch.

        Parameters
        ----------
        of_layers : mapping of str to mapping of str to float, optional
            Values by name and layer.
        **values : float
            Values by name.
        """
        lists = [getattr(self, name) for name in values]
        numbers = list(values.values())
        for name, layers in (of_layers or {}).items():
            lists += [getattr(self, name).setdefault(layer, []) for layer in layers]
            numbers += layers.values()
        list(map(list.append, lists, numbers))  # in C, so that Ctrl-C cannot interrupt it

    def __repr__(self) -> str:
        epochs = len(self.loss)
        last = {name: values[-1] for name, values in vars(self).items() if isinstance(values, list) and values}
        text = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in last.items())
        return f"<History: {epochs} epoch{'' if epochs == 1 else 's'}, {self.stopped}{text}>"
