"""The accurate forms of the activations: float32 computed in float64 and rounded once."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import _cpu, activations
from fnnfast.reference import ACTIVATIONS
from oracles import assert_same_bits

INFO = {info["name"]: info for info in _cpu.activations()}
ROUNDED = [name for name, info in INFO.items() if not info["exact"]]
ELEMENTWISE = [name for name in ROUNDED if not INFO[name]["rowwise"]]
NETWORK = [fnn.Input(5), fnn.Dense(300, fnn.Swish(1.5, accurate=True)), fnn.Dense(7, fnn.Tanh(accurate=True))]


@pytest.fixture
def z():
    """Values of all sizes, limits among them: more columns than are widened at a time."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, (3, 700), dtype=np.uint64).astype(np.uint32).view(np.float32)
    near = rng.normal(0, 3, (3, 700)).astype(np.float32)
    values = np.concatenate([np.where(np.isnan(bits), 0, bits), near])
    values[0, :5] = [np.inf, -np.inf, np.nan, 0.0, -0.0]
    return values


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_float64_rounded_once(isa, name, z):
    f = activations.get(name, accurate=True)
    with np.errstate(over="ignore"):
        wanted = f(z.astype(np.float64)).astype(np.float32)
        slope = f.derivative(z.astype(np.float64)).astype(np.float32)
    assert f.accurate
    assert_same_bits(f(z), wanted)
    assert_same_bits(f(z[:, :3]), wanted[:, :3])
    assert_same_bits(f.derivative(z), slope)
    assert f(z, out=z) is z
    assert_same_bits(z, wanted)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_it_is_the_float_next_to_the_exact_value(name):
    z = np.linspace(-9, 9, 4001, dtype=np.float32)
    wanted = ACTIVATIONS[name].forward(z.astype(np.float64))
    assert np.all(
        np.abs(activations.get(name, accurate=True)(z) - wanted) <= 0.5000001 * np.spacing(np.abs(wanted).astype("f"))
    )


@pytest.mark.parametrize("columns", [1, 10, 256, 257, 1000])
def test_softmax(isa, columns):
    """Of rows that are longer than what is widened at a time, too, and of infinite logits."""
    z = np.random.default_rng(columns).normal(0, 8, (4, columns)).astype(np.float32)
    z[1, 0], z[2, -1] = np.inf, -np.inf
    z[3, columns // 2] = np.nan
    y = fnn.Softmax(accurate=True)(z)
    wanted = ACTIVATIONS["softmax"].forward(z.astype(np.float64))
    error = np.abs(y[:3] - wanted[:3])
    assert np.all(error <= 0.500001 * np.spacing(np.abs(wanted[:3]).astype(np.float32)))
    assert np.isnan(y[3]).all()
    assert fnn.Softmax(accurate=True)(z, out=z) is z
    assert_same_bits(z, y)


def test_a_parameter_per_neuron(isa):
    slopes = np.linspace(-1, 2, 600).astype(np.float32)
    z = np.random.default_rng(1).normal(size=(40, 600)).astype(np.float32)
    f = fnn.ELU(slopes, learn=True, accurate=True)
    assert f(z).tobytes() == f(z.astype(np.float64)).astype(np.float32).tobytes()


def test_exact_activations_have_no_other_form():
    for name in INFO.keys() - set(ROUNDED):
        assert activations.get(name, accurate=True) == activations.get(name)


def test_what_it_is(tmp_path):
    """It differs from the usual form in comparisons, its repr, pickles and files."""
    f = fnn.Tanh(accurate=True)
    assert f != fnn.Tanh()
    assert repr(f) == "Tanh(accurate=True)"
    assert (fnn.Tanh(accurate=False), repr(fnn.Tanh())) == (fnn.Tanh(), "Tanh()")
    assert pickle.loads(pickle.dumps(f)) == f == activations.get("tanh", accurate=True)
    net = fnn.Sequential(NETWORK, seed=0)
    net.save(tmp_path / "net.safetensors")
    assert fnn.load(tmp_path / "net.safetensors").layers == net.layers
    assert net.layers[1].format_version == 2 > fnn.Dense(3, "tanh").format_version
    with pytest.raises(TypeError, match="accurate"):
        fnn.Tanh(accurate=1)


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_in_a_network(isa, rows):
    """Behind a product, for one row and many, with the bits of the activation alone."""
    net = fnn.Sequential(NETWORK, seed=0)
    x = np.random.default_rng(2).normal(size=(rows, 5)).astype(np.float32)
    hidden = fnn.dense(x, net.parameters["dense_1.weight"], net.parameters["dense_1.bias"])
    hidden = NETWORK[1].activation(hidden)
    z = fnn.dense(hidden, net.parameters["dense_2.weight"], net.parameters["dense_2.bias"])
    assert net(x).tobytes() == fnn.Tanh(accurate=True)(z).tobytes()


def test_it_trains():
    """Backward as always: the gradients differ from those of the usual form by roundings."""
    layers = [fnn.Input(5), fnn.Dense(30, "swish"), fnn.Dense(7, "tanh")]
    usual = fnn.Sequential(layers, seed=0)
    forms = [fnn.Dense(30, fnn.Swish(accurate=True)), fnn.Dense(7, fnn.Tanh(accurate=True))]
    accurate = fnn.Sequential([fnn.Input(5), *forms], seed=0)
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(50, 5)).astype(np.float32), rng.normal(size=(50, 7)).astype(np.float32)
    wanted = fnn.Trainer(usual, "mse", "sgd").gradients(x, y)
    for name, got in fnn.Trainer(accurate, "mse", "sgd").gradients(x, y).items():
        np.testing.assert_allclose(got, wanted[name], rtol=1e-4, atol=1e-6)
    assert accurate.fit(x, y, epochs=2, seed=0).loss[1] < accurate.evaluate(x, y)["loss"] * 2


def test_other_number_formats():
    net = fnn.Sequential(NETWORK, seed=0)
    x = np.random.default_rng(4).normal(size=(20, 5)).astype(np.float32)
    assert np.abs(net.astype("bfloat16")(x) - net(x)).max() < 0.05
    assert np.abs(net.quantize(x)(x) - net(x)).max() < 0.2
    assert net.astype("float64")(x).dtype == np.float64


def test_on_a_gpu_it_is_refused():
    net = fnn.Sequential(NETWORK, seed=0)
    with pytest.raises(ValueError, match=r"dense_1: Swish\(beta=1.5, accurate=True\) runs on the CPU only"):
        net._structure.require_gpu()
