"""Networks in int8 on each kind of instruction: their sums are exact, so all have the same bits."""

import copy

import numpy as np
import pytest

import fnnfast as fnn
from factories import TAILS, converted, fill_biases, single_layer, wide_data, wide_network
from fnnfast import _cpu
from oracles import assert_same_bits

EXTENSIONS = {name: isa for name, isa, number_format, _ in _cpu.extensions() if number_format == "int8"}


@pytest.fixture(params=EXTENSIONS)
def extended(request):
    """Makes the same network with the kernels of an extension."""
    before = _cpu.isa()

    def make(low):
        _cpu.use_isa(EXTENSIONS[request.param])
        _cpu.use_extension(request.param)
        twin = copy.copy(low)
        _cpu.use_extension("")
        _cpu.use_isa(before)
        return twin

    return make


@pytest.mark.parametrize("inputs", [1, 3, 8, 63, 64, 257])
@pytest.mark.parametrize("units", TAILS)
def test_dense(extended, inputs, units):
    low = converted("int8", single_layer(inputs, fnn.Dense(units, "tanh")))
    x, twin = wide_data(50, inputs), extended(low)
    for rows in (1, 5, 16, 17, 32, 50):
        assert_same_bits(twin(x[:rows]), low(x[:rows]))


@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 5, 9])
def test_maxout(extended, pieces):
    low = converted("int8", single_layer(33, fnn.Maxout(20, pieces)))
    assert_same_bits(extended(low)(wide_data(40, 33)), low(wide_data(40, 33)))


def test_networks(extended):
    low = converted("int8", wide_network())
    x = wide_data(300)
    x[7, 3] = np.nan
    assert_same_bits(extended(low)(x), low(x))


@pytest.mark.parametrize("groups", [1, 2, 12])
def test_images(extended, groups):
    layers = [
        fnn.Input(9, 8, 12),
        fnn.Conv2D(24, 3, "relu", groups=groups, padding="same"),
        fnn.Flatten(),
        fnn.Dense(5),
    ]
    net = fill_biases(fnn.Sequential(layers, seed=0))
    x = wide_data(7 * 72, 12).reshape(7, 9, 8, 12)
    low = net.quantize(x)
    x[3, 2, 2, 5] = np.nan
    assert_same_bits(extended(low)(x), low(x))
