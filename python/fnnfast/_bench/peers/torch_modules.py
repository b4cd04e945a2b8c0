"""A network of the problems as a module of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from ..networks import NORM_EPS, Conv, Dense, GlobalAverage, Layer, MaxPool, Norm, Parallel, Residual
from .base import Array


def module(torch: Any, layers: Iterable[Layer]) -> Any:
    """The layers in sequence, with copies of their parameters; without layers the identity."""
    return torch.nn.Sequential(*(part for layer in layers for part in _parts(torch, layer)))


def _parts(torch: Any, layer: Layer) -> list[Any]:
    nn = torch.nn
    match layer:
        case Dense():
            flatten = [nn.Flatten()] if layer.weight.ndim == 4 else []
            weight = layer.rows_channels_first
            linear = _filled(torch, nn.Linear(*weight.shape), weight.T, layer.bias)
            return [*flatten, linear, *_elementwise(torch, layer.activation)]
        case Conv():
            kernel, _, channels, filters = layer.weight.shape
            settings = {"stride": layer.stride, "padding": layer.padding, "bias": layer.bias is not None}
            convolution = nn.Conv2d(channels, filters, kernel, **settings)
            norm = [] if layer.norm is None else [_norm(torch, layer.norm)]
            filled = _filled(torch, convolution, layer.weight.transpose(3, 2, 0, 1), layer.bias)
            return [filled, *norm, *_elementwise(torch, layer.activation)]
        case MaxPool():
            return [nn.MaxPool2d(layer.size, layer.stride, layer.padding)]
        case GlobalAverage():
            return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case Residual():
            branches = [module(torch, branch) for branch in (layer.body, layer.shortcut)]
            return [_joined(torch, branches, lambda outputs: torch.relu_(outputs[0] + outputs[1]))]
        case Parallel():
            branches = [module(torch, branch) for branch in layer.branches]
            return [_joined(torch, branches, lambda outputs: torch.cat(outputs, 1))]
    raise ValueError(f"no module for {layer}")


def _filled(torch: Any, module: Any, weight: Array, bias: Array | None) -> Any:
    values = {"weight": weight} | ({} if bias is None else {"bias": bias})
    module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in values.items()})
    return module


def _norm(torch: Any, norm: Norm) -> Any:
    module = torch.nn.BatchNorm2d(len(norm.scale), eps=NORM_EPS)
    values = {"weight": norm.scale, "bias": norm.shift, "running_mean": norm.mean, "running_var": norm.variance}
    module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in values.items()}, strict=False)
    return module


def _joined(torch: Any, branches: Sequence[Any], join: Callable[[list[Any]], Any]) -> Any:
    """Modules on one input, and what becomes of their outputs."""

    class Joined(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.branches = torch.nn.ModuleList(branches)

        def forward(self, x: Any) -> Any:
            return join([branch(x) for branch in self.branches])

    return Joined()


def activation(torch: Any, name: str, trains: bool = False) -> Callable[[Any], Any]:
    """The fastest function for an activation: in place, but in training only where its gradient needs no input."""
    functional: Any = import_module("torch.nn.functional")
    into = {"inplace": not trains}
    table: dict[str, Callable[[Any], Any]] = {
        "identity": lambda h: h,
        "relu": torch.relu_,
        "leaky_relu": functional.leaky_relu_,
        "relu6": partial(functional.relu6, inplace=True),
        "elu": functional.elu_,
        "selu": torch.selu_,
        "sigmoid": torch.sigmoid_,
        "tanh": torch.tanh_,
        "swish": partial(functional.silu, **into),
        "gelu": functional.gelu,
        "gelu_tanh": partial(functional.gelu, approximate="tanh"),
        "softplus": functional.softplus,
        "mish": partial(functional.mish, **into),
        "softsign": functional.softsign,
        "hard_tanh": functional.hardtanh_,
        "hard_swish": partial(functional.hardswish, **into),
    }
    return table[name]


def _elementwise(torch: Any, name: str) -> list[Any]:
    """The activation as a module; none for the identity."""
    function = activation(torch, name)

    class Elementwise(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return function(x)

    return [] if name == "identity" else [Elementwise()]
