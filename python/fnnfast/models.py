"""Known architectures of convolutional networks, as untrained ``Sequential`` networks.

Each function is the definition of its architecture: the layers as the paper lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _checks
from ._models.sequential import Sequential
from .layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    Input,
    LocalResponseNorm,
    MaxPool2D,
    Parallel,
    Residual,
)
from .layers._base import Layer
from .typing import DTypeLike

__all__ = ["alexnet", "deep_mnist", "googlenet", "resnet", "vgg"]

IMAGENET = (224, 224, 3)

_VGG = {
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    13: ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    16: ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
    19: ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}

# Of an inception block: 1 x 1; 1 x 1 and 3 x 3; 1 x 1 and 5 x 5; 1 x 1 after the pool.
_INCEPTIONS: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)

_DEEP_RESNETS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_SMALL_RESNETS = {20: 3, 32: 5, 44: 7, 56: 9}


def deep_mnist(
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    *,
    dtype: DTypeLike = "float32",
    seed: int | None = None,
) -> Sequential:
    """Return a deep network for handwritten digits: six 3 x 3 convolutions in pairs, and two dense layers.

    Saitoh, "Deep learning from scratch", 2016, chapter 8, where it reaches 99.38 % on MNIST.

    Parameters
    ----------
    input_shape : sequence of int
        Height, width and channels of an image.
    classes : int >= 1
        The number of classes.
    dtype : str or dtype
        As for ``Sequential``.
    seed : int >= 0, optional
        Seed of the initial parameters.

    Returns
    -------
    Sequential
        The network.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> fnn.models.deep_mnist(seed=0).outputs
    10
    """
    layers: list[Layer] = []
    for filters, padding in ((16, 1), (32, 2), (64, 1)):  # 28, 14, 8 and 4 pixels
        layers += [Conv2D(filters, 3, "relu", padding=1), Conv2D(filters, 3, "relu", padding=padding), MaxPool2D(2)]
    layers += [Flatten(), Dense(50, "relu"), Dropout(0.5), Dense(classes, "softmax")]
    return _network(input_shape, layers, dtype, seed)


def alexnet(
    input_shape: Sequence[int] = IMAGENET, classes: int = 1000, *, dtype: DTypeLike = "float32", seed: int | None = None
) -> Sequential:
    """Return AlexNet in one tower: five convolutions and three dense layers.

    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012; the
    widths of one tower are those of Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
    2014.

    Parameters
    ----------
    input_shape : sequence of int
        Height, width and channels of an image.
    classes : int >= 1
        The number of classes.
    dtype : str or dtype
        As for ``Sequential``.
    seed : int >= 0, optional
        Seed of the initial parameters.

    Returns
    -------
    Sequential
        The network.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.models.alexnet((67, 67, 3), classes=10, seed=0)
    >>> net.parameters.shapes["conv2d_1.weight"]
    (11, 11, 3, 64)
    """
    layers: list[Layer] = [
        Conv2D(64, 11, "relu", strides=4, padding=2),
        MaxPool2D(3, 2),
        Conv2D(192, 5, "relu", padding=2),
        MaxPool2D(3, 2),
        Conv2D(384, 3, "relu", padding=1),
        Conv2D(256, 3, "relu", padding=1),
        Conv2D(256, 3, "relu", padding=1),
        MaxPool2D(3, 2),
        Flatten(),
        Dropout(0.5),
        Dense(4096, "relu"),
        Dropout(0.5),
        Dense(4096, "relu"),
        Dense(classes, "softmax"),
    ]
    return _network(input_shape, layers, dtype, seed)


def vgg(
    depth: int,
    input_shape: Sequence[int] = IMAGENET,
    classes: int = 1000,
    hidden: int = 4096,
    *,
    dtype: DTypeLike = "float32",
    seed: int | None = None,
) -> Sequential:
    """Return a VGG network: 3 x 3 convolutions in five groups, and three dense layers.

    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        The number of layers with weights.
    input_shape : sequence of int
        Height, width and channels of an image.
    classes : int >= 1
        The number of classes.
    hidden : int >= 1
        The units of the first two dense layers.
    dtype : str or dtype
        As for ``Sequential``.
    seed : int >= 0, optional
        Seed of the initial parameters.

    Returns
    -------
    Sequential
        The network.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.models.vgg(16, input_shape=(32, 32, 3), classes=10, hidden=512, seed=0)
    >>> net.parameters.shapes["dense_1.weight"]
    (512, 512)
    """
    layers: list[Layer] = []
    for group in _VGG[_depth(depth, _VGG)]:
        layers += [*(Conv2D(filters, 3, "relu", padding="same") for filters in group), MaxPool2D(2)]
    layers.append(Flatten())
    for _ in range(2):
        layers += [Dense(hidden, "relu"), Dropout(0.5)]
    return _network(input_shape, [*layers, Dense(classes, "softmax")], dtype, seed)


def googlenet(
    input_shape: Sequence[int] = IMAGENET, classes: int = 1000, *, dtype: DTypeLike = "float32", seed: int | None = None
) -> Sequential:
    """Return GoogLeNet, without the auxiliary heads: nine inception blocks of four parallel branches.

    Szegedy et al., "Going deeper with convolutions", 2014, table 1.

    Parameters
    ----------
    input_shape : sequence of int
        Height, width and channels of an image.
    classes : int >= 1
        The number of classes.
    dtype : str or dtype
        As for ``Sequential``.
    seed : int >= 0, optional
        Seed of the initial parameters.

    Returns
    -------
    Sequential
        The network.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.models.googlenet((64, 64, 3), classes=10, seed=0)
    >>> net.parameters.shapes["parallel_1.branch_2.conv2d_2.weight"]
    (3, 3, 96, 128)
    """
    layers: list[Layer] = [
        Conv2D(64, 7, "relu", strides=2, padding="same"),
        MaxPool2D(3, 2, padding="same"),
        LocalResponseNorm(),
        Conv2D(64, 1, "relu"),
        Conv2D(192, 3, "relu", padding="same"),
        LocalResponseNorm(),
    ]
    for blocks in _INCEPTIONS:
        layers.append(MaxPool2D(3, 2, padding="same"))
        layers += [_inception(*block) for block in blocks]
    layers += [GlobalAveragePool2D(), Dropout(0.4), Dense(classes, "softmax")]
    return _network(input_shape, layers, dtype, seed)


def resnet(
    depth: int,
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
    *,
    dtype: DTypeLike = "float32",
    seed: int | None = None,
) -> Sequential:
    """Return a residual network with batch normalization.

    Of 18, 34 or 50 layers for images of 224 x 224 pixels, or of 20, 32, 44 or 56 for those of 32 x 32. Where a block
    changes the shape, its shortcut is a 1 x 1 convolution. He et al., "Deep residual learning for image recognition",
    2016; with 50 layers, the stride is in the 3 x 3 convolution of a block.

    Parameters
    ----------
    depth : {18, 34, 50, 20, 32, 44, 56}
        The number of layers with weights, shortcuts not counted.
    input_shape : sequence of int, optional
        Height, width and channels of an image. (224, 224, 3) or (32, 32, 3) by default, by the depth.
    classes : int >= 1, optional
        The number of classes. 1000 or 10 by default, by the depth.
    dtype : str or dtype
        As for ``Sequential``.
    seed : int >= 0, optional
        Seed of the initial parameters.

    Returns
    -------
    Sequential
        The network.

    Examples
    --------
    >>> import fnnfast as fnn
    >>> net = fnn.models.resnet(20, seed=0)
    >>> sum(values.size for values in net.parameters.values())
    272474
    """
    small = _depth(depth, _DEEP_RESNETS | _SMALL_RESNETS) in _SMALL_RESNETS
    if small:
        counts: Sequence[int] = (_SMALL_RESNETS[depth],) * 3
        layers = _normalized(16, 3, 1)
    else:
        counts = _DEEP_RESNETS[depth]
        layers = [*_normalized(64, 7, 2), MaxPool2D(3, 2, padding=1)]
    filters = channels = 16 if small else 64
    block = _bottleneck if depth == 50 else _basic
    for group, count in enumerate(counts):
        for index in range(count):
            layers.append(block(channels, filters, 2 if group > 0 and index == 0 else 1))
            channels = filters * (4 if depth == 50 else 1)
        filters *= 2
    layers += [GlobalAveragePool2D(), Dense(classes or (10 if small else 1000), "softmax")]
    return _network(input_shape or ((32, 32, 3) if small else IMAGENET), layers, dtype, seed)


def _network(input_shape: Sequence[int], layers: Sequence[Layer], dtype: DTypeLike, seed: int | None) -> Sequential:
    return Sequential([Input(*input_shape), *layers], dtype=dtype, seed=seed)


def _depth(depth: Any, known: dict[int, Any]) -> int:
    if depth not in known:
        raise ValueError(_checks.message("depth", f"one of {', '.join(map(str, known))}", repr(depth)))
    return int(depth)


def _inception(one: int, three_in: int, three: int, five_in: int, five: int, pool: int) -> Parallel:
    return Parallel(
        [
            [Conv2D(one, 1, "relu")],
            [Conv2D(three_in, 1, "relu"), Conv2D(three, 3, "relu", padding="same")],
            [Conv2D(five_in, 1, "relu"), Conv2D(five, 5, "relu", padding="same")],
            [MaxPool2D(3, 1, padding="same"), Conv2D(pool, 1, "relu")],
        ]
    )


def _normalized(filters: int, kernel: int, stride: int, relu: bool = True) -> list[Layer]:
    """A convolution and batch normalization."""
    layers: list[Layer] = [
        Conv2D(filters, kernel, strides=stride, padding=kernel // 2, bias=False, init="he"),
        BatchNorm(),
    ]
    return [*layers, Activation("relu")] if relu else layers


def _basic(channels: int, filters: int, stride: int) -> Residual:
    block = [*_normalized(filters, 3, stride), *_normalized(filters, 3, 1, relu=False)]
    return Residual(block, _shortcut(channels, filters, stride), activation="relu")


def _bottleneck(channels: int, filters: int, stride: int) -> Residual:
    wide = 4 * filters
    block = [*_normalized(filters, 1, 1), *_normalized(filters, 3, stride), *_normalized(wide, 1, 1, relu=False)]
    return Residual(block, _shortcut(channels, wide, stride), activation="relu")


def _shortcut(channels: int, filters: int, stride: int) -> list[Layer] | None:
    return None if stride == 1 and channels == filters else _normalized(filters, 1, stride, relu=False)
