"""Batch normalization folded into the weights of the layer before it, for inference."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np

from .._checks import Array
from .._network.network import Network
from ..layers import BatchNorm, Input, Layer, Parallel, Residual

# Layers whose outputs a scale and a shift can go into, if they have no activation.
_PRODUCTS = ("dense", "conv2d")

_Tensors = dict[str, Array]
_Folded = list[tuple[Layer, list[_Tensors]]]
"""Layers, each with the tensors of its own and of the layers inside it, in the order of their names."""


def folded(source: Network) -> Network:
    """The network without those batch normalizations that directly follow a dense layer or a convolution.

    Their scale goes into its weight, their shift into its bias. The network itself if there are none.
    """
    if not any(isinstance(layer, BatchNorm) for layer in source.named_layers.values()):
        return source
    tensors = iter([_tensors_of(source, name) for name in source.named_layers])
    first, *chain = source.layers
    assert isinstance(first, Input)
    found = _fold(chain, tensors)
    net = Network._restored([first, *(layer for layer, _ in found)], source.compute_dtype, {})
    values = (of_layer for _, inside in found for of_layer in inside)
    for name, of_layer in zip(net.named_layers, values, strict=True):
        for key, value in of_layer.items():
            net._state[f"{name}.{key}"] = value
    return net


def _tensors_of(source: Network, name: str) -> _Tensors:
    return {key: source._state[f"{name}.{key}"] for key in source._structure.state_shapes[name]}


def _fold(chain: Sequence[Layer | Input], tensors: Iterator[_Tensors]) -> _Folded:
    found: _Folded = []
    for layer in chain:
        assert isinstance(layer, Layer)
        own = next(tensors)
        if isinstance(layer, BatchNorm) and found and _takes(found[-1][0]):
            before, (product,) = found.pop()
            found.append((_with_bias(before), [_scaled(product, own, layer.eps)]))
            continue
        branches = {prefix: _fold(inner, tensors) for prefix, inner in layer.children().items()}
        inside = [of_layer for branch in branches.values() for _, parts in branch for of_layer in parts]
        found.append(
            (_made_of(layer, [[inner for inner, _ in branch] for branch in branches.values()]), [own, *inside])
        )
    return found


def _takes(layer: Layer) -> bool:
    return layer.kind in _PRODUCTS and layer.activation.name == "identity"


def _with_bias(layer: Layer) -> Layer:
    made = copy.copy(layer)
    vars(made).pop("bias", None)  # stored only where there is none
    return made


def _scaled(product: _Tensors, norm: _Tensors, eps: float) -> _Tensors:
    gamma, beta, mean, variance = (norm[key].astype(np.float64) for key in ("gamma", "beta", "mean", "variance"))
    scale = gamma / np.sqrt(variance + eps)
    bias = product.get("bias", 0.0)
    return {"weight": product["weight"] * scale, "bias": (bias - mean) * scale + beta}


def _made_of(layer: Layer, branches: list[list[Layer]]) -> Layer:
    """The layer with other layers inside it."""
    if isinstance(layer, Residual):
        return Residual(branches[0], branches[1] if len(branches) > 1 else None, layer.activation)
    return Parallel(branches) if isinstance(layer, Parallel) else layer
