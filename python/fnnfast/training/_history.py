"""What is recorded in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SCORES = {"accuracy": "accuracy", "r2": "R²"}  # titles; with data for validation also as validation_accuracy, ...
_NAMES = ("loss", "accuracy", "validation_loss", "validation_accuracy", "validation_r2", "learning_rate")
_BY_LAYER = ("dead", "saturated", "linear", "gradient_norm", "gradient_rms", "update_norm")


class History:
    """What was recorded in training: lists with one entry per finished epoch.

    Attributes
    ----------
    loss : list of float
        The weighted mean over the rows of the epoch, each before the update of its batch; without the term of l2.
    accuracy : list of float
        For losses of classes, the weighted share of the rows whose class the network knew, each before the update of
        its batch, with dropout and noise; so it is often below the accuracy of ``evaluate`` on the same rows. Empty for
        other losses, and for ``fnnfast.distributed`` on a GPU.
    validation_loss : list of float
        The loss after the epoch; empty without validation data.
    validation_accuracy, validation_r2 : list of float
        The score after the epoch: the one of the loss, the other list is empty.
    learning_rate : list of float
        The learning rate.
    dead, saturated, linear : dict of str to list of float
        By layer, in training: the share of dead units in layers of the ReLU family, of saturated values in layers of
        sigmoid and tanh, and of maxout the shares of pieces that won in no row ("dead") and of units of which one piece
        won in all rows ("linear"), as ``Sequential.diagnose`` defines them. Counted only where gradients pass: not in a
        head whose loss is computed from logits, not before the first layer that is not frozen, and not in a maxout
        layer that is frozen.
    gradient_norm, update_norm : dict of str to list of float
        By layer, the root mean square over the steps of the Euclidean norm of the gradient of weights and biases
        (before l2 and clipping, without learned slopes), and of their change.
    gradient_rms : dict of str to list of float
        By layer, ``gradient_norm`` divided by the square root of the number of weights and biases: the size of one
        derivative, which can be compared between layers of different sizes.
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
        self.accuracy: list[float] = []
        self.validation_loss: list[float] = []
        self.validation_accuracy: list[float] = []
        self.validation_r2: list[float] = []
        self.learning_rate: list[float] = []
        self.dead: dict[str, list[float]] = {}
        self.saturated: dict[str, list[float]] = {}
        self.linear: dict[str, list[float]] = {}
        self.gradient_norm: dict[str, list[float]] = {}
        self.gradient_rms: dict[str, list[float]] = {}
        self.update_norm: dict[str, list[float]] = {}
        self.stopped = "completed"

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]  # pickles of earlier versions do not have all
        vars(self).update(state)

    def record(self, of_layers: Mapping[str, Mapping[str, float]] | None = None, **values: float) -> None:
        """Append the values of one epoch.

        Parameters
        ----------
        of_layers : mapping of str to mapping of str to float, optional
            Values by name and layer.
        **values : float
            Values by name.
        """
        for name in values.keys() - {"loss"}:  # checkpoints of earlier versions have no accuracy
            recorded = getattr(self, name)
            recorded += [math.nan] * (len(self.loss) - len(recorded))
        lists = [getattr(self, name) for name in values]
        numbers = list(values.values())
        for name, layers in (of_layers or {}).items():
            lists += [getattr(self, name).setdefault(layer, []) for layer in layers]
            numbers += layers.values()
        list(map(list.append, lists, numbers))  # in C, so that Ctrl-C cannot interrupt it

    def to_dict(self) -> dict[str, list[float]]:
        """Return all that was recorded, in lists of one length.

        Returns
        -------
        dict of str to list of float
            The epoch from 1 on, and each quantity that was recorded. Those of a layer have its name after theirs, as
            in "gradient_norm.dense_1".

        See Also
        --------
        plot

        Examples
        --------
        >>> import fnnfast as fnn
        >>> net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], seed=0)
        >>> history = net.fit([[0.0], [1.0]], [[0.0], [1.0]], epochs=2, seed=0)
        >>> list(history.to_dict())
        ['epoch', 'loss', 'learning_rate', 'gradient_norm.dense_1', 'gradient_rms.dense_1', 'update_norm.dense_1']

        ``pandas.DataFrame(history.to_dict())`` has a row for each epoch.
        """
        found: dict[str, list[float]] = {"epoch": list(range(1, len(self.loss) + 1))}
        found |= {name: list(getattr(self, name)) for name in _NAMES if getattr(self, name)}
        for name in _BY_LAYER:
            found |= {f"{name}.{layer}": list(values) for layer, values in getattr(self, name).items()}
        return found

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses, and the score if there is one, over the epochs.

        Parameters
        ----------
        axes : matplotlib Axes or sequence of Axes, optional
            Where to draw: one for the losses, and one for the score. By default new ones in a new figure.

        Returns
        -------
        ndarray of Axes
            Those that were drawn on.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.

        See Also
        --------
        to_dict

        Examples
        --------
        >>> history = net.fit(x, y, epochs=30, validation=0.2)     # doctest: +SKIP
        >>> history.plot()                                         # doctest: +SKIP
        """
        import numpy as np

        from .._extras import pyplot

        scores = [score for score in _SCORES if self._of(score) or self._of(f"validation_{score}")]
        names = ["loss", *scores]
        if axes is None:
            axes = pyplot().subplots(1, len(names), figsize=(4.5 * len(names), 3.2), layout="constrained")[1]
        drawn = np.atleast_1d(axes)
        for name, ax in zip(names, drawn, strict=False):
            self._draw(name, ax)
        return drawn

    def _of(self, name: str) -> list[float]:
        """What was recorded under a name, nothing under others: R² is known of data for validation alone."""
        return getattr(self, name, [])

    def _draw(self, name: str, ax: Axes) -> None:
        epochs = range(1, len(self.loss) + 1)
        for prefix, label, color in (("", "training", "C0"), ("validation_", "validation", "C1")):
            if values := self._of(f"{prefix}{name}"):
                ax.plot(epochs, values, label=label, color=color)
        if ax.lines:
            ax.legend(frameon=False)
        ax.set(xlabel="epoch", title=_SCORES.get(name, name))

    def _repr_html_(self) -> str:
        """The first, the best and the last of each quantity: for notebooks."""
        rows = ""
        for name in _NAMES:
            values = getattr(self, name)
            if values:
                best = max(values) if name.removeprefix("validation_") in _SCORES else min(values)
                cells = "" if name == "learning_rate" else f"{best:.4g}"
                rows += f"<tr><td>{name.replace('_', ' ')}</td><td>{values[0]:.4g}</td><td>{cells}</td>"
                rows += f"<td>{values[-1]:.4g}</td></tr>"
        count = len(self.loss)
        return (
            f"<p><b>History</b>: {count} epoch{'' if count == 1 else 's'}, {self.stopped}</p>"
            f"<table><tr><th></th><th>first</th><th>best</th><th>last</th></tr>{rows}</table>"
        )

    def __repr__(self) -> str:
        epochs = len(self.loss)
        last = {name: values[-1] for name, values in vars(self).items() if isinstance(values, list) and values}
        text = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in last.items())
        return f"<History: {epochs} epoch{'' if epochs == 1 else 's'}, {self.stopped}{text}>"
