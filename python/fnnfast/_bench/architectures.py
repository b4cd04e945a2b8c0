"""The convolutional networks of the problems: those of ``fnnfast.models``, with scores as outputs and without dropout.

They are written once more because a peer's process loads nothing of fnnfast.
"""

from __future__ import annotations

from .networks import Conv, Draw, GlobalAverage, Layer, MaxPool, Network, Parallel, Residual


def _deep_mnist(draw: Draw) -> list[Layer]:
    layers: list[Layer] = []
    channels = 1
    for filters, padding in ((16, 1), (32, 2), (64, 1)):  # 28, 14, 8 and 4 pixels
        layers += [draw.conv(channels, filters), draw.conv(filters, filters, padding=padding), MaxPool(2, 2)]
        channels = filters
    return [*layers, draw.dense((4, 4, 64), 50, "relu", gain=2.0), draw.dense(50, 10)]


def _vgg16(draw: Draw) -> list[Layer]:
    layers: list[Layer] = []
    channels = 3
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers.append(draw.conv(channels, filters))
            channels = filters
        layers.append(MaxPool(2, 2))
    hidden = [draw.dense(inputs, 512, "relu", gain=2.0) for inputs in ((1, 1, 512), 512)]
    return [*layers, *hidden, draw.dense(512, 10)]


def _resnet18(draw: Draw) -> list[Layer]:
    head = [draw.conv(3, 64, 7, stride=2, norm=True), MaxPool(3, 2, padding=1)]
    return [*head, *_blocks(draw, (64, 128, 256, 512), 2), GlobalAverage(), draw.dense(512, 1000)]


def _resnet20(draw: Draw) -> list[Layer]:
    return [draw.conv(3, 16, norm=True), *_blocks(draw, (16, 32, 64), 3), GlobalAverage(), draw.dense(64, 10)]


def _blocks(draw: Draw, groups: tuple[int, ...], count: int) -> list[Layer]:
    """Residual blocks, ``count`` to a group; the first of each group but the first halves the image."""
    blocks: list[Layer] = []
    channels = groups[0]
    for filters in groups:
        for _ in range(count):
            stride = 1 if filters == channels else 2
            body: list[Conv] = [
                draw.conv(channels, filters, stride=stride, norm=True),
                draw.conv(filters, filters, activation="identity", norm=True),
            ]
            shortcut = [draw.conv(channels, filters, 1, "identity", stride=stride, norm=True)] if stride > 1 else []
            blocks.append(Residual(tuple(body), tuple(shortcut)))
            channels = filters
    return blocks


def _inception_3a(draw: Draw) -> list[Layer]:
    return [
        Parallel(
            (
                (draw.conv(192, 64, 1),),
                (draw.conv(192, 96, 1), draw.conv(96, 128, 3)),
                (draw.conv(192, 16, 1), draw.conv(16, 32, 5)),
                (MaxPool(3, 1, padding=1), draw.conv(192, 32, 1)),
            )
        )
    ]


DEEP_MNIST = Network("deep MNIST network", (28, 28, 1), _deep_mnist)
VGG16 = Network("VGG-16 at 32 x 32", (32, 32, 3), _vgg16)
RESNET18 = Network("ResNet-18 at 224 x 224", (224, 224, 3), _resnet18)
RESNET20 = Network("ResNet-20 at 32 x 32", (32, 32, 3), _resnet20)
INCEPTION = Network("inception block at 28 x 28 x 192", (28, 28, 192), _inception_3a)
CONVOLUTION = Network("3 x 3, 64-64 at 56 x 56 relu", (56, 56, 64), lambda draw: [draw.conv(64, 64)])
