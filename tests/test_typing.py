"""The names of ``fnnfast.typing`` are those of the registries, and all of them are accepted."""

from typing import get_args

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import _cpu, activations, optimizers, typing
from fnnfast._device.cpu import Cpu
from fnnfast._device.cuda import Cuda
from fnnfast.activations import _names
from fnnfast.layers import _initial


def names(alias):
    found = get_args(alias)
    assert len(set(found)) == len(found)
    return set(found)


def test_activations():
    """The public ones and their synonyms; one of the kernels alone is no name to write."""
    assert names(typing.ActivationName) == set(_names.BY_NAME)
    kernels = {info["name"] for info in _cpu.activations()}
    assert {activations.get(name).formula for name in names(typing.ActivationName)} <= kernels


def test_optimizers():
    assert names(typing.OptimizerName) == set(optimizers._BY_NAME)


def test_initialisations():
    assert names(typing.InitName) == {
        name + form for name in _initial._VARIANCES for form in ("", "_normal", "_uniform")
    }
    assert names(typing.BiasInitName) == names(typing.InitName) | {"zeros", "torch"}


def test_devices_and_dtypes():
    assert names(typing.DeviceName) == {Cpu.name, Cuda.name}
    assert names(typing.DTypeName) == set(Cuda.compute_dtypes) >= set(Cpu.compute_dtypes)
    assert names(typing.ComputeDType) == names(typing.DTypeName) | {"int8"}


HEADS = (fnn.Dense(2, "softmax"), fnn.Dense(1, "sigmoid"), fnn.Dense(1), fnn.layers.Gaussian(1))


def losses_called(name):
    """The classes that the name stands for, over the heads."""
    found = set()
    for head in HEADS:
        try:
            found.add(type(fnn.losses.get(name, head)))
        except ValueError:  # the loss does not fit the head, or there is none of that name
            continue
    return found


def test_losses():
    called = {name: losses_called(name) for name in names(typing.LossName)}
    assert not [name for name, found in called.items() if not found]
    classes = {cls for cls in vars(fnn).values() if isinstance(cls, type) and issubclass(cls, fnn.losses.Loss)}
    assert set().union(*called.values()) == classes


@pytest.mark.parametrize("padding", get_args(typing.PaddingName))
def test_paddings(padding):
    assert fnn.Conv2D(2, 3, padding=padding).output_shape((8, 8, 1))[0] in (6, 8)


@pytest.mark.parametrize("channels", get_args(typing.ChannelOrder))
def test_channel_orders(channels):
    assert fnn.Input(3, 8, 8, channels=channels).channels_first == (channels == "first")


@pytest.mark.parametrize("dtype", ["float32", np.dtype(np.float32), np.float32, np.float64, float])
def test_dtypes_of_all_kinds(dtype):
    """What ``DTypeLike`` says is accepted."""
    assert fnn.Sequential([fnn.Input(1), fnn.Dense(1)], dtype=dtype).dtype == np.dtype(dtype)


def test_the_types_are_public():
    assert set(typing.__all__) == {name for name in vars(typing) if name[0].isupper()} - {"Any", "Literal", "Mapping"}
