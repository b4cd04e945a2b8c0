"""A whole network, layer by layer, and one training step, in float64.

A layer is a dict:

``{"kind": "dense", "weight": (I, O), "bias": (O,), "activation": name}``
    with ``"parameter"`` for a fixed alpha or beta, or ``"alpha"`` (O,) for a learned one;
``{"kind": "maxout", "weight": (P, I, O), "bias": (P, O)}``;
``{"kind": "dropout", "mask": (B, I)}``
    where the mask is already scaled: 0 for a unit that is dropped, 1/(1 - rate) for one that is kept (inverted dropout,
    Srivastava et al. 2014, section 10). The mask is used in training only;
``{"kind": "activation", "activation": name}``
    an activation as a layer of its own, with ``"parameter"`` or ``"alpha"`` as a dense layer;
``{"kind": "flatten"}``
    no operation on rows;
``{"kind": "residual", "layers": [...]}``
    F(x) + x; with ``"weight"`` (I, O) and ``"bias"`` (O,) F(x) + x weight + bias (He et al. 2016, equations 1 and 2),
    with ``"shortcut"`` [...] F(x) + shortcut(x). ``"activation"`` and ``"parameter"`` are applied to the sum.

``"bias"`` is optional.
"""

from collections.abc import Sequence
from typing import Any

from ._xp import Array, as_float64, namespace
from .activations import ACTIVATIONS
from .dense import dense_backward, dense_forward
from .losses import LOSSES, Loss
from .maxout import maxout_backward, maxout_forward
from .optimizers import Optimizer, State, start

Layer = dict[str, Any]
LEARNED = ("weight", "bias", "alpha")


def _parameter(layer: Layer) -> Array:
    return layer.get("alpha", layer.get("parameter"))


def forward(layers: Sequence[Layer], x: Array, *, logits: bool = False) -> Array:
    """Compute the outputs of a network, without dropout.

    Parameters
    ----------
    layers : sequence of dict
        The layers.
    x : ndarray of shape (B, I)
        Inputs.
    logits : bool
        Whether to return the outputs of the last layer before its activation.

    Returns
    -------
    ndarray of shape (B, O)
        The outputs.
    """
    layers = [*layers[:-1], _without_activation(layers[-1])] if logits else layers
    return _forward(layers, as_float64(namespace(x), x), training=False)[0]


def _without_activation(layer: Layer) -> Layer:
    return {**layer, "activation": "identity"} if "activation" in layer else layer


def _forward(layers: Sequence[Layer], y: Array, training: bool) -> tuple[Array, list[tuple[Array, Any]]]:
    """The outputs, and for each layer its inputs and what its backward pass needs."""
    tape = []
    for layer in layers:
        inputs, saved = y, None
        if layer["kind"] == "dense":
            y, saved = dense_forward(y, layer["weight"], layer.get("bias"), layer["activation"], _parameter(layer))
        elif layer["kind"] == "maxout":
            y, saved = maxout_forward(y, layer["weight"], layer.get("bias"))
        elif layer["kind"] == "activation":
            y = ACTIVATIONS[layer["activation"]].forward(y, _parameter(layer))
        elif layer["kind"] == "residual":
            f, of_layers = _forward(layer["layers"], y, training)
            skip, of_shortcut = _forward(_shortcut(layer), y, training)
            saved = of_layers, of_shortcut, f + skip
            y = ACTIVATIONS[layer.get("activation", "identity")].forward(f + skip, layer.get("parameter"))
        elif layer["kind"] == "dropout" and training:
            y = y * layer["mask"]
        tape.append((inputs, saved))
    return y, tape


def gradients(
    layers: Sequence[Layer], x: Array, targets: Array, loss: str | Loss
) -> tuple[float, list[dict[str, Array]]]:
    """Compute the mean loss of a batch and its gradients by backpropagation.

    A cross-entropy is computed from the logits of the softmax or sigmoid that it belongs to, so the gradient enters
    before the last activation. For other losses it passes through the last layer.

    Parameters
    ----------
    layers : sequence of dict
        The layers.
    x : ndarray of shape (B, I)
        Inputs.
    targets : ndarray
        Targets, as the loss accepts them.
    loss : str or Loss
        A name of ``LOSSES``, or a reference loss.

    Returns
    -------
    loss : float
        The mean loss.
    gradients : list of dict
        For each layer the gradients by name (weight, bias, alpha). A residual block has those of its projection, and
        lists of those of its layers and its shortcut, "layers" and "shortcut".
    """
    criterion = LOSSES[loss] if isinstance(loss, str) else loss
    if layers[-1].get("activation") in criterion.from_logits:
        layers = [*layers[:-1], _without_activation(layers[-1])]
    outputs, tape = _forward(layers, as_float64(namespace(x), x), training=True)
    value, dy = criterion.value(outputs, targets), criterion.gradient(outputs, targets)
    return value, _backward(layers, tape, dy)[1]


def _backward(
    layers: Sequence[Layer], tape: Sequence[tuple[Array, Any]], dy: Array
) -> tuple[Array, list[dict[str, Array]]]:
    """The gradient of the inputs, and the gradients of the layers."""
    result: list[dict[str, Any]] = []
    for layer, (inputs, saved) in zip(reversed(layers), reversed(tape), strict=True):
        found: dict[str, Any] = {}
        if layer["kind"] == "dense":
            activation = ACTIVATIONS[layer["activation"]]
            dense = dense_backward(dy, inputs, layer["weight"], saved, activation, _parameter(layer))
            dy, found = dense.x, {"weight": dense.weight, "bias": dense.bias, "alpha": dense.alpha}
        elif layer["kind"] == "maxout":
            maxout = maxout_backward(dy, inputs, layer["weight"], saved)
            dy, found = maxout.x, {"weight": maxout.weight, "bias": maxout.bias}
        elif layer["kind"] == "activation":
            f = ACTIVATIONS[layer["activation"]]
            if f.learned:
                found["alpha"] = (dy * f.parameter_gradient(inputs, _parameter(layer))).sum(axis=0)
            dy = f.backward(dy, inputs, _parameter(layer))
        elif layer["kind"] == "residual":
            of_layers, of_shortcut, total = saved
            f = ACTIVATIONS[layer.get("activation", "identity")]
            dy = f.backward(dy, total, layer.get("parameter"))
            inner, in_layers = _backward(layer["layers"], of_layers, dy)
            skip, in_shortcut = _backward(_shortcut(layer), of_shortcut, dy)
            dy = inner + skip
            found = in_shortcut[0] if "weight" in layer else {"shortcut": in_shortcut} if in_shortcut else {}
            found["layers"] = in_layers
        elif layer["kind"] == "dropout":
            dy = dy * layer["mask"]
        result.insert(0, {name: value for name, value in found.items() if name not in LEARNED or name in layer})
    return dy, result


def _shortcut(layer: Layer) -> list[Layer]:
    """What x passes through before the addition; a projection is a dense layer."""
    if "weight" in layer:
        return [{**layer, "kind": "dense", "activation": "identity"}]
    shortcut: list[Layer] = layer.get("shortcut", [])
    return shortcut


def training_step(
    layers: Sequence[Layer],
    x: Array,
    targets: Array,
    loss: str,
    optimizer: Optimizer,
    states: Sequence[dict[str, State]] | None,
    learning_rate: float,
) -> tuple[float, list[Layer], list[dict[str, State]]]:
    """Compute one training step.

    Parameters
    ----------
    layers : sequence of dict
        The layers.
    x : ndarray of shape (B, I)
        Inputs.
    targets : ndarray
        Targets, as the loss accepts them.
    loss : str
        A name of ``LOSSES``.
    optimizer : Optimizer
        The optimizer.
    states : sequence of dict, or None
        The states of the optimizer; None before the first step.
    learning_rate : float
        The learning rate.

    Returns
    -------
    loss : float
        The mean loss before the update, without the term of l2.
    layers : list of dict
        The layers after the update.
    states : list of dict
        The states of the optimizer for the next step.
    """
    value, found = gradients(layers, x, targets, loss)
    if states is None:
        states = [{name: start(layer[name]) for name in LEARNED if name in layer} for layer in layers]
    new_layers, new_states = [], []
    for layer, gradient, state in zip(layers, found, states, strict=True):
        new_layer, new_state = dict(layer), {}
        for name, g in gradient.items():
            new_layer[name], new_state[name] = optimizer.update(
                layer[name], g, state[name], learning_rate, is_weight=name == "weight"
            )
        new_layers.append(new_layer)
        new_states.append(new_state)
    return value, new_layers, new_states
