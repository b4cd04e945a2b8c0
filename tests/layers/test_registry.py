"""What each kind of layer must have: a counterpart in every format, and a comparison with its oracle."""

import importlib
import inspect

import pytest

import fnnfast as fnn
from fnnfast._cli import check_cases
from fnnfast.interop import ConversionError
from fnnfast.interop._errors import layer_of
from fnnfast.layers import BY_KIND


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("package", ["onnx", "torch"])
def test_every_layer_can_be_written(package, kind):
    pytest.importorskip(package)
    assert kind in writers(package)


@pytest.mark.parametrize("package", ["onnx", "torch"])
def test_only_layers_can_be_written(package):
    pytest.importorskip(package)
    assert writers(package).keys() <= BY_KIND.keys()


def writers(package):
    return importlib.import_module(f"fnnfast.interop.{package}._layers")._KINDS


def test_a_layer_without_a_counterpart():
    with pytest.raises(ConversionError, match="layer 'dense_1': a layer Dense that has no counterpart"):
        layer_of({"a": 1, "b": 2}, "dense_1", fnn.Dense(2))


def test_every_loss_is_checked():
    """On the user's machine, by ``python -m fnnfast check``."""
    names = [name.partition(" of ")[0] for name, _ in check_cases.cases()]
    losses = [cls for cls in vars(fnn).values() if inspect.isclass(cls) and issubclass(cls, fnn.losses.Loss)]
    assert losses
    assert {cls.__name__ for cls in losses} <= set(names)
