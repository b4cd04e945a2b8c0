"""The known architectures of fnnfast.models."""

import math

import numpy as np
import pytest

import fnnfast as fnn


@pytest.mark.parametrize(
    ("name", "depth", "parameters"),
    [
        ("alexnet", None, 61_100_840),
        ("googlenet", None, 6_998_552),
        ("resnet", 18, 11_689_512),
        ("resnet", 34, 21_797_672),
        ("resnet", 50, 25_557_032),
        ("resnet", 20, 272_474),
        ("vgg", 16, 138_357_544),
        ("vgg", 19, 143_667_240),
    ],
)
def test_parameters_of_models(name, depth, parameters):
    from fnnfast._network import summary
    from fnnfast._network.structure import Structure

    def count(layers, **_):
        if name in ("resnet", "vgg"):
            assert summary._depth(layers[1:]) == depth
        shapes = Structure(layers).parameter_shapes
        return sum(math.prod(shape) for of_layer in shapes.values() for shape in of_layer.values())

    make = getattr(fnn.models, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fnn.models, "Sequential", count)  # without the memory of a network
        assert (make() if depth is None else make(depth)) == parameters


def test_models_run():
    rng = np.random.default_rng(0)
    for net in (
        fnn.models.deep_mnist(seed=0),
        fnn.models.resnet(20, seed=0),
        fnn.models.vgg(11, (32, 32, 3), 10, hidden=16, seed=0),
        fnn.models.googlenet((64, 64, 3), 10, seed=0),
        fnn.models.resnet(50, (32, 32, 3), 10, seed=0),
    ):
        x = rng.standard_normal((2, *net.input.shape)).astype(np.float32)
        np.testing.assert_allclose(net(x).sum(axis=1), 1, rtol=1e-5)
        assert math.isfinite(fnn.Trainer(net).step(x, [0, 1]))
    with pytest.raises(ValueError, match="depth: expected one of 18, 34, 50, 20, 32, 44, 56, got 21"):
        fnn.models.resnet(21)
