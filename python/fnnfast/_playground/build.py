"""The network and the optimizer of settings, as layers and as the text that makes them."""

from __future__ import annotations

from typing import Any

import fnnfast as fnn

from .settings import MAXOUT, Hidden, Settings

_OPTIMIZERS = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
}
_ENDS = {
    "cross_entropy": ('Dense({outputs}, "{head}"{init})', "None"),
    "hinge": ("Dense({outputs}{init})", "fnn.Hinge()"),
    "multiclass_hinge": ("Dense({outputs}{init})", "fnn.MulticlassHinge()"),
    "squared_error": ('Dense({outputs}, "{head}"{init})', "fnn.MeanSquaredError()"),
    "gaussian": ("Gaussian(1)", "None"),
}
_INPUTS = {"classification": "2", "regression": "1", "8x8": "8, 8, 1", "28x28": "28, 28, 1"}


def layer_texts(settings: Settings) -> list[str]:
    """The layers from the input on, as a script writes them."""
    texts = [f"fnn.Input({_INPUTS[settings.data if settings.part == 'digits' else settings.part]})"]
    if settings.input_noise:
        texts.append(f"fnn.GaussianNoise({settings.input_noise!r})")
    if settings.filters:
        texts += [f'fnn.Conv2D({settings.filters}, 3, "relu"{_init(settings)})', "fnn.MaxPool2D(2)", "fnn.Flatten()"]
    for layer in settings.layers:
        texts.append(_hidden_text(layer, settings))
        if settings.dropout:
            texts.append(f"fnn.Dropout({settings.dropout!r})")
    head = {"classification": "sigmoid", "regression": "identity", "digits": "softmax"}[settings.part]
    outputs = 10 if settings.part == "digits" else 1
    end = _ENDS[settings.head][0].format(outputs=outputs, head=head, init=_init(settings))
    return [*texts, f"fnn.{end}".replace(', "identity"', "")]


def _hidden_text(layer: Hidden, settings: Settings) -> str:
    if layer.kind == MAXOUT:
        return f"fnn.Maxout({layer.units}, pieces={layer.pieces}{_init(settings, weights=False)})"
    return f'fnn.Dense({layer.units}, "{layer.kind}"{_init(settings)})'


def _init(settings: Settings, *, weights: bool = True) -> str:
    """The arguments for the initial parameters; those that are the defaults are left out."""
    given = {"init": settings.init} if weights and settings.init != "default" else {}
    given |= {"bias_init": settings.bias_init} if settings.bias_init != "torch" else {}
    return "".join(f", {name}={_literal(value)}" for name, value in given.items())


def _literal(value: str) -> str:
    return f'"{value}"' if value.isalpha() else value


def loss_text(settings: Settings) -> str:
    """The loss as a script writes it: None for the one that belongs to the head."""
    return _ENDS[settings.head][1]


def optimizer_text(settings: Settings) -> str:
    """The optimizer as a script writes it."""
    name, arguments = _OPTIMIZERS[settings.optimizer]
    return f"fnn.{name}({', '.join([repr(settings.learning_rate), *(f'{k}={v!r}' for k, v in arguments.items())])})"


def _made(text: str) -> Any:
    """The object that a text of this module makes: what a script contains is what the page trains."""
    return eval(text, {"fnn": fnn})


def network(settings: Settings) -> fnn.Sequential:
    """The network, with its initial parameters."""
    return fnn.Sequential([_made(text) for text in layer_texts(settings)], seed=settings.seed)


def trainer(settings: Settings, net: fnn.Sequential) -> fnn.Trainer:
    """The trainer of a network of these settings."""
    loss, optimizer = _made(loss_text(settings)), _made(optimizer_text(settings))
    return fnn.Trainer(net, loss, optimizer, l2=settings.l2, seed=settings.seed)
