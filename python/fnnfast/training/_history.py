"""What training recorded."""

from __future__ import annotations

from collections.abc import Mapping


class History:
    """What training recorded: lists with one entry for each finished epoch.

    Attributes
    ----------
    loss : list of float
        Mean over the epoch's rows, by their weights, each measured before the update it took part in; without l2's
        term.
    validation_loss : list of float
        After the epoch; empty without validation data.
    validation_accuracy, validation_r2 : list of float
        After the epoch, whichever goes with the loss; else empty.
    learning_rate : list of float
    dead, saturated : dict of layer name to list of float
        Of the epoch's rows in training: the share of dead units in layers of the ReLU family, of saturated values in
        layers of sigmoid and tanh, as ``Sequential.diagnose`` defines them. Counted where gradients pass: not in a head
        whose loss is computed from the logits, and not below the first layer that is not frozen.
    gradient_norm, update_norm : dict of layer name to list of float
        Root mean square over the epoch's steps of the Euclidean norm of the gradient of a layer's weights and biases
        (before l2 and clipping; learned slopes are not in it), and of what the step changed in them.
    stopped : str
        Why training ended: "completed", "early" (a callback asked for it) or "interrupted" (Ctrl-C).
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
        """Append the values of one epoch: those by name, and by name those of each layer."""
        lists = [getattr(self, name) for name in values]
        numbers = list(values.values())
        for name, layers in (of_layers or {}).items():
            lists += [getattr(self, name).setdefault(layer, []) for layer in layers]
            numbers += layers.values()
        list(map(list.append, lists, numbers))  # all in C, so that Ctrl-C cannot come in between

    def __repr__(self) -> str:
        epochs = len(self.loss)
        last = {name: values[-1] for name, values in vars(self).items() if isinstance(values, list) and values}
        text = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in last.items())
        return f"<History: {epochs} epoch{'' if epochs == 1 else 's'}, {self.stopped}{text}>"
