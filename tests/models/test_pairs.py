"""Products of bfloat16 in pairs: the bits of the instruction, whatever the batch, the threads and the tile."""

import copy
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from bfloat16_products import EXTENSIONS, oracle_of, oracle_of_pairs, products_by
from factories import TAILS, fill_biases, single_layer, wide_data, wide_network
from fnnfast import _cpu
from oracles import assert_same_answers, assert_same_bits

F32 = np.float32


@pytest.fixture(params=EXTENSIONS)
def extension(request):
    """Each kind of instruction, on this CPU or in plain C++."""
    with products_by(request.param):
        yield request.param


@pytest.fixture
def oracle(extension):
    return oracle_of(extension)


def pairs(net):
    low = net.astype("bfloat16")
    assert _cpu.multiplies_pairs()
    return low


def pre_activation(oracle, net, x):
    """That of the only layer, a dense one."""
    weight, bias = net.parameters.values()
    return oracle(x, weight, bias)


@pytest.mark.parametrize("inputs", [1, 2, 3, 31, 64, 257])
@pytest.mark.parametrize("units", TAILS)
def test_dense(oracle, inputs, units):
    net = single_layer(inputs, fnn.Dense(units))
    x = wide_data(30, inputs)
    low, wanted = pairs(net), pre_activation(oracle, net, x)
    for rows in (1, 5, 30):
        assert_same_bits(low(x[:rows]), wanted[:rows])


@pytest.mark.parametrize(("rows", "inputs", "units"), [(40, 2048, 70), (40, 2051, 70), (18, 66001, 2)])
def test_long_layers(oracle, rows, inputs, units):
    """Of which sums are kept between parts of the inputs; where a vector is one number, in the last one only."""
    net = single_layer(inputs, fnn.Dense(units))
    x = wide_data(rows, inputs)
    assert_same_bits(pairs(net)(x), pre_activation(oracle, net, x))


def test_numbers_of_all_sizes(oracle):
    """Overflow to infinity, subnormal numbers that count as zeros, what is not a number."""
    rng = np.random.default_rng(0)
    sizes = np.array([2.0**-149, 2.0**-130, 2.0**-126, 2.0**-64, 2.0**-62, 1, 2.0**63, 2.0**100, 3.4e38], F32)
    x = (rng.choice(sizes, (200, 6)) * rng.choice([-1, 1], (200, 6))).astype(F32)
    x[0, 0], x[1, 1], x[2, 2] = np.inf, -np.inf, np.nan
    net = single_layer(6, fnn.Dense(40))
    net.parameters["dense_1.weight"] = rng.choice(sizes[:-1], (6, 40)) * rng.choice([-1, 1], (6, 40))
    net.parameters["dense_1.bias"] = rng.choice(sizes, 40)
    with np.errstate(all="ignore"):
        wanted = pre_activation(oracle, net, x)
    assert_same_bits(pairs(net)(x), wanted)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "prelu"])
def test_epilogues(oracle, activation):
    net = single_layer(37, fnn.Dense(65, activation))
    linear = single_layer(37, fnn.Dense(65))
    for name in linear.parameters:
        linear.parameters[name] = net.parameters[name]
    x = wide_data(50)
    if activation == "prelu":
        slopes = net.parameters["dense_1.alpha"]
        z = pre_activation(oracle, linear, x)
        assert_same_bits(pairs(net)(x), np.where(z > 0, z, z * slopes))
    else:
        assert_same_bits(pairs(net)(x), fnn.activations.get(activation)(pre_activation(oracle, linear, x)))


@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 5, 9])
def test_maxout(oracle, pieces):
    net = single_layer(33, fnn.Maxout(20, pieces))
    x = wide_data(40, 33)
    weight, bias = net.parameters.values()
    z = [oracle(x, weight[p], bias[p]) for p in range(pieces)]
    assert_same_bits(pairs(net)(x), np.max(z, axis=0))


def windows(x, size, padding):
    """The windows of images of (B, H, W, C), as rows."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    found = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.moveaxis(found, 3, -1).reshape(*found.shape[:3], -1)


@pytest.mark.parametrize(("channels", "filters", "size"), [(1, 5, 3), (3, 16, 3), (8, 7, 1), (5, 40, 5), (64, 8, 3)])
def test_convolution(oracle, channels, filters, size):
    net = fill_biases(
        fnn.Sequential([fnn.Input(9, 8, channels), fnn.Conv2D(filters, size, padding="same"), fnn.Flatten()], seed=0)
    )
    x = wide_data(3 * 72, channels).reshape(3, 9, 8, channels)
    weight, bias = net.parameters.values()
    wanted = oracle(windows(x, size, size // 2), weight.reshape(-1, filters), bias)
    assert_same_bits(pairs(net)(x), wanted.reshape(3, -1))


@pytest.mark.parametrize("size", [3, 2])
def test_filters_of_single_channels(extension, size):
    """They are no products of matrices: of pairs with every extension."""
    net = fill_biases(fnn.Sequential([fnn.Input(9, 8, 21), fnn.Conv2D(21, size, groups=21), fnn.Flatten()], seed=0))
    x = wide_data(2 * 72, 21).reshape(2, 9, 8, 21)
    weight, bias = net.parameters.values()
    taps = windows(x, size, 0).reshape(2, 10 - size, 9 - size, size * size, 21)
    weight = weight.reshape(size * size, 21)
    oracle = oracle_of_pairs(extension)
    wanted = [oracle(taps[..., c], weight[:, c : c + 1], bias[c : c + 1])[..., 0] for c in range(21)]
    assert_same_bits(pairs(net)(x), np.stack(wanted, -1).reshape(2, -1))


def test_groups_of_channels(oracle):
    """Each group is a convolution of its own."""
    net = fill_biases(fnn.Sequential([fnn.Input(6, 6, 8), fnn.Conv2D(20, 3, groups=2), fnn.Flatten()], seed=0))
    x = wide_data(36, 8).reshape(1, 6, 6, 8)
    weight, bias = net.parameters.values()
    parts = []
    for g in range(2):
        read = windows(x[..., 4 * g : 4 * g + 4], 3, 0)
        own = slice(10 * g, 10 * g + 10)
        parts.append(oracle(read, weight[..., own].reshape(36, 10), bias[own]))
    assert_same_bits(pairs(net)(x), np.concatenate(parts, -1).reshape(1, -1))


def test_a_network_has_the_same_bits_for_any_batch_and_threads(extension, machine_restored):
    low = pairs(wide_network())
    x = wide_data(300)
    _cpu.set_num_threads(1)
    wanted = low(x)
    for threads in (1, 2, 3):
        _cpu.set_num_threads(threads)
        for rows in (*range(1, 30), 64, 131, 300):
            assert_same_bits(low(x[:rows]), wanted[:rows])
            assert_same_bits(low(x[300 - rows :]), wanted[300 - rows :])
    assert np.abs(wanted - wide_network()(x)).max() < 0.05


def layer_by_layer(net, layers, x):
    """The answers of a network for each layer, one after the other."""
    parameters, buffers = iter(net.parameters.values()), iter(net.buffers.values())
    for layer in layers:
        alone = fnn.Sequential([fnn.Input(x.shape[1]), layer], dtype="bfloat16", seed=0)
        for name in alone.parameters:
            alone.parameters[name] = next(parameters)
        for name in alone.buffers:
            alone.buffers[name] = next(buffers)
        x = alone(x)
    return x


# The layers, and how many outputs are stored as the next layer multiplies them.
CHAINS = {
    "narrow": ([fnn.Dense(64, "relu"), fnn.Dense(64, "relu"), fnn.Dense(1)], 2),
    "tails": ([fnn.Dense(1, "tanh"), fnn.Dense(3, "swish"), fnn.Dense(17), fnn.Dense(33, "prelu"), fnn.Dense(2)], 4),
    "wide": ([fnn.Dense(300, "gelu"), fnn.Dense(128), fnn.Dense(9, "softmax")], 2),
    "maxout": ([fnn.Maxout(20, 2), fnn.Maxout(33, 9), fnn.Maxout(5, 3)], 2),
    "normalized": ([fnn.Dense(40, None), fnn.BatchNorm(), fnn.Activation("relu"), fnn.Dense(6)], 1),
    "skipped": ([fnn.Dense(37, "relu"), fnn.Residual([fnn.Dense(50, "relu"), fnn.Dense(37)]), fnn.Dense(3)], 2),
    "joined": ([fnn.Dense(30, "relu"), fnn.Parallel([[fnn.Dense(7), fnn.Dense(5)], [fnn.Dense(20)]]), fnn.Dense(3)], 2),
}


@pytest.mark.parametrize("name", CHAINS)
def test_outputs_are_stored_rounded_where_products_read_them(extension, machine_restored, name):
    layers, stored = CHAINS[name]
    net = fill_biases(fnn.Sequential([fnn.Input(21), *layers], dtype="bfloat16", seed=0))
    x = wide_data(130, 21)
    assert net.summary(plan=130).count("outputs in bfloat16") == stored
    wanted = layer_by_layer(net, layers, x)
    for threads in (1, 2):
        _cpu.set_num_threads(threads)
        for rows in (1, 2, 33, 49, 130):
            assert_same_bits(net(x[:rows]), wanted[:rows])


def test_stored_outputs_are_read_in_parts(extension):
    layers = [fnn.Dense(66001, "relu"), fnn.Dense(2)]
    net = fill_biases(fnn.Sequential([fnn.Input(3), *layers], dtype="bfloat16", seed=0))
    x = wide_data(18, 3)
    assert_same_bits(net(x), layer_by_layer(net, layers, x))


# Which form it is ----------------------------------------------------------------------------------------------------
def test_weights_only_is_kept(tmp_path):
    net = wide_network()
    for only in (True, False):
        low = net.astype("bfloat16", weights_only=only)
        assert low.weights_only is only
        assert ("weights_only=True" in repr(low)) is only
        low.save(tmp_path / "low.safetensors")
        for again in (fnn.load(tmp_path / "low.safetensors"), pickle.loads(pickle.dumps(low)), copy.deepcopy(low)):
            assert again.weights_only is only
            assert again.compute_dtype == "bfloat16"
            assert_same_answers(again, low, wide_data(7))
    assert net.quantize(wide_data(20)).weights_only is False


def test_without_the_instruction_nothing_but_weights_is_rounded():
    if _cpu.multiplies_pairs():
        pytest.skip("this CPU has it")
    net = wide_network()
    assert_same_answers(net.astype("bfloat16"), net.astype("bfloat16", weights_only=True), wide_data(20))


def test_bad_weights_only():
    with pytest.raises(ValueError, match="weights_only: expected dtype 'bfloat16' on the CPU, got 'float64' on cpu"):
        wide_network().astype("float64", weights_only=True)
    with pytest.raises(TypeError, match="weights_only: expected True or False"):
        wide_network().astype("bfloat16", weights_only=1)
