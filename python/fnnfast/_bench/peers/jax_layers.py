"""A network of the problems as a function of JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from ..networks import NORM_EPS, Conv, Dense, GlobalAverage, Layer, MaxPool, Parallel, Residual


def apply(
    jax: Any, layers: Iterable[Layer], values: Iterable[Any], x: Any, trains: bool = False
) -> tuple[Any, list[Any]]:
    """The outputs, and of training the mean and variance of each batch normalization.

    ``values`` replace the layers' own parameters, in the order of ``networks.parameters``. Images are (B, H, W, C).
    """
    walk = _Walk(jax, iter(values), trains)
    return walk.through(layers, x), walk.statistics


class _Walk:
    """Takes the parameters as it comes to their layers."""

    def __init__(self, jax: Any, values: Iterator[Any], trains: bool) -> None:
        self.statistics: list[Any] = []
        self._jax, self._values, self._trains = jax, values, trains

    def through(self, layers: Iterable[Layer], x: Any) -> Any:
        for layer in layers:
            x = self._layer(layer, x)
        return x

    def _layer(self, layer: Layer, x: Any) -> Any:
        match layer:
            case Dense():
                weight, bias = next(self._values), next(self._values)
                y = x.reshape(len(x), -1) @ weight.reshape(layer.rows.shape) + bias
                return activation(self._jax, layer.activation)(y)
            case Conv():
                return self._conv(layer, x)
            case MaxPool():
                window, strides = (1, layer.size, layer.size, 1), (1, layer.stride, layer.stride, 1)
                edge = (layer.padding, layer.padding)
                lax = self._jax.lax
                return lax.reduce_window(
                    x, -self._jax.numpy.inf, lax.max, window, strides, ((0, 0), edge, edge, (0, 0))
                )
            case GlobalAverage():
                return x.mean(axis=(1, 2))
            case Residual():
                return self._jax.nn.relu(self.through(layer.body, x) + self.through(layer.shortcut, x))
            case Parallel():
                return self._jax.numpy.concatenate([self.through(branch, x) for branch in layer.branches], axis=-1)
        raise ValueError(f"no function for {layer}")

    def _conv(self, layer: Conv, x: Any) -> Any:
        edge, order = (layer.padding, layer.padding), ("NHWC", "HWIO", "NHWC")
        convolve = self._jax.lax.conv_general_dilated
        y = convolve(x, next(self._values), (layer.stride, layer.stride), (edge, edge), dimension_numbers=order)
        if layer.bias is not None:
            y += next(self._values)
        if layer.norm is not None:
            assert self._trains  # else it is folded
            mean, variance = y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))
            self.statistics.append((mean, variance))
            factor = next(self._values) * self._jax.lax.rsqrt(variance + NORM_EPS)
            y = (y - mean) * factor + next(self._values)
        return activation(self._jax, layer.activation)(y)


def activation(jax: Any, name: str) -> Callable[[Any], Any]:
    """The function of an activation."""
    nn = jax.nn
    table: dict[str, Callable[[Any], Any]] = {
        "identity": lambda h: h,
        "relu": nn.relu,
        "leaky_relu": nn.leaky_relu,
        "relu6": nn.relu6,
        "elu": nn.elu,
        "selu": nn.selu,
        "sigmoid": nn.sigmoid,
        "tanh": jax.numpy.tanh,
        "swish": nn.silu,
        "gelu": partial(nn.gelu, approximate=False),
        "gelu_tanh": nn.gelu,
        "softplus": nn.softplus,
        "mish": nn.mish,
        "softsign": nn.soft_sign,
        "hard_tanh": nn.hard_tanh,
        "hard_swish": nn.hard_silu,
    }
    return table[name]
