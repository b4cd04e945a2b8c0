"""Training in bfloat16: products of rounded copies, everything else in float32."""

import copy
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from bfloat16_products import EXTENSIONS, oracle_of, products_by
from factories import fill_biases
from fnnfast import _cpu, reference
from oracles import assert_same_bits

F32 = np.float32


@pytest.fixture(params=EXTENSIONS)
def oracle(request):
    with products_by(request.param):
        yield oracle_of(request.param)


@pytest.fixture
def widened():
    """The CPUs whose instructions multiply bfloat16 no faster than float32."""
    before = _cpu.isa()
    _cpu.use_isa("scalar")
    _cpu.use_extension("")
    yield
    _cpu.use_isa(before)


def network(*layers, dtype="bfloat16"):
    return fill_biases(fnn.Sequential(layers, dtype=dtype, seed=1))


def rows_of(rows, inputs, outputs):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, inputs), F32), rng.standard_normal((rows, outputs), F32)


def weights_of(rows):
    """Weights of 1 and 2 whose sum is a power of two, so that the gradients of rows are scaled exactly."""
    total = 1 << (rows - 1).bit_length()
    return np.where(np.arange(rows) < total - rows, 2.0, 1.0), total


def gradients_of_z(net, x, y, weights, total):
    """Those of each layer and row: the gradient of the bias for that row alone, times its weight."""
    trainer = fnn.Trainer(net, "mse")
    names = [name for name in net.parameters if name.endswith(".bias")]
    alone = [trainer.gradients(x[r : r + 1], y[r : r + 1]) for r in range(len(x))]
    scale = (weights / total).astype(F32)[:, np.newaxis]
    return [np.stack([found[name] for found in alone]) * scale for name in names]


@pytest.mark.parametrize("rows", [1, 2, 15, 32, 33, 130])
@pytest.mark.parametrize(("inputs", "hidden", "outputs"), [(1, 1, 1), (37, 70, 3), (100, 33, 64), (3, 130, 17)])
def test_gradients(oracle, rows, inputs, hidden, outputs):
    net = network(fnn.Input(inputs), fnn.Dense(hidden, "relu"), fnn.Dense(outputs))
    x, y = rows_of(rows, inputs, outputs)
    weights, total = weights_of(rows)
    first, second = gradients_of_z(net, x, y, weights, total)
    found = fnn.Trainer(net, "mse").gradients(x, y, weights)
    w1, b1, w2, _ = net.parameters.values()
    z = oracle(x, w1, b1)
    dx = oracle(second, w2.T, np.zeros(hidden, F32))
    assert_same_bits(first, np.where(z > 0, dx, 0))
    assert_same_bits(found["dense_1.weight"], oracle(x.T, first, np.zeros(hidden, F32)))
    assert_same_bits(found["dense_2.weight"], oracle(np.maximum(z, 0).T, second, np.zeros(outputs, F32)))
    exact = second.sum(axis=0, dtype=np.float64)
    assert np.allclose(found["dense_2.bias"], exact, rtol=1e-5, atol=1e-6)


def test_many_rows(oracle):
    """Whose sums are kept between parts of the batch."""
    rows, inputs, outputs = 2100, 5, 33
    net = network(fnn.Input(inputs), fnn.Dense(outputs))
    x, y = rows_of(rows, inputs, outputs)
    weights, total = weights_of(rows)
    z = oracle(x, *net.parameters.values())
    (alone,) = gradients_of_z(net, x[:1], y[:1], np.ones(1), 1)
    dz = (F32(2 / outputs) * (z - y)).astype(F32)
    assert_same_bits(alone, dz[:1])
    dz *= (weights / total).astype(F32)[:, np.newaxis]
    found = fnn.Trainer(net, "mse").gradients(x, y, weights)
    assert_same_bits(found["dense_1.weight"], oracle(x.T, dz, np.zeros(outputs, F32)))


@pytest.mark.parametrize(
    "layers",
    [
        (fnn.Input(32), fnn.Maxout(20, 3)),
        (fnn.Input(4, 4, 2), fnn.Conv2D(5, 3, padding=1), fnn.Flatten()),
        (fnn.Input(4, 4, 2), fnn.MaxoutConv2D(4, 2, 2), fnn.Flatten()),
    ],
)
def test_other_layers(oracle, layers):
    """Their backward pass is that of float32. The numbers are such that no product is rounded."""
    net, full = network(*layers), network(*layers, dtype="float32")
    rng = np.random.default_rng(0)
    for name, values in net.parameters.items():
        net.parameters[name] = full.parameters[name] = rng.integers(-16, 17, values.shape) / 8
    x = rng.integers(-4, 5, (40, 32)).astype(F32)
    y = rng.standard_normal((40, net.outputs), F32)
    assert_same_bits(net(x), full(x))
    found, wanted = fnn.Trainer(net, "mse").gradients(x, y), fnn.Trainer(full, "mse").gradients(x, y)
    for name in found:
        assert_same_bits(found[name], wanted[name])


def rounded(weight):
    return reference.to_bfloat16(weight).astype(F32)


def with_weights(net, of, f):
    for name, values in of.parameters.items():
        net.parameters[name] = f(values) if name.endswith(".weight") else values
    return net


LAYERS = {
    "dense": (fnn.Input(32), fnn.Dense(70, "swish"), fnn.Dense(40, "gelu"), fnn.Dense(3)),
    "maxout": (fnn.Input(32), fnn.Maxout(20, 3), fnn.Maxout(5, 5), fnn.Dense(3)),
    "residual": (
        fnn.Input(32),
        fnn.Dense(16, "relu"),
        fnn.Residual([fnn.Dense(16, "tanh"), fnn.Dense(16)]),
        fnn.Dense(3),
    ),
    "convolution": (
        fnn.Input(4, 4, 2),
        fnn.Conv2D(6, 3, "relu", padding=1),
        fnn.MaxoutConv2D(4, 2, 2),
        fnn.Flatten(),
        fnn.Dense(3),
    ),
    "normalized": (fnn.Input(32), fnn.Dense(30), fnn.BatchNorm(), fnn.Activation("relu"), fnn.Dense(3)),
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_widened(widened, layers):
    """Outputs and gradients are those of a float32 network whose weights are rounded, to the bit."""
    net = network(*layers)
    full = with_weights(network(*layers, dtype="float32"), net, rounded)
    x, y = rows_of(50, 32, 3)
    assert_same_bits(net(x), full(x))
    found, wanted = fnn.Trainer(net, "mse").gradients(x, y), fnn.Trainer(full, "mse").gradients(x, y)
    for name in found:
        assert_same_bits(found[name], wanted[name])


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_update(oracle, layers, clip_norm):
    """After each step the network answers as one made of its parameters."""
    net = network(*layers)
    x, y = rows_of(50, 32, 3)
    trainer = fnn.Trainer(net, "mse", clip_norm=clip_norm)
    for rows in (50, 31, 50):
        before = dict(net.parameters)
        gradients = trainer.gradients(x[:rows], y[:rows])
        trainer.step(x[:rows], y[:rows])
        fresh = with_weights(network(*layers), net, lambda weight: weight)
        for name, values in net.buffers.items():
            fresh.buffers[name] = values
        assert_same_bits(net(x), fresh(x))
        for name, values in net.parameters.items():
            assert not np.array_equal(values, before[name])
        again = fnn.Trainer(fresh, "mse").gradients(x, y)
        for name, gradient in trainer.gradients(x, y).items():
            assert_same_bits(gradient, again[name])
        assert gradients.keys() == again.keys()


def test_assigned_weights(oracle):
    net = network(fnn.Input(9), fnn.Dense(5, "tanh"), fnn.Dense(3))
    x, y = rows_of(20, 9, 3)
    trainer = fnn.Trainer(net, "mse")
    trainer.step(x, y)
    net.parameters["dense_2.weight"] = np.ones((5, 3), F32)
    fresh = with_weights(network(fnn.Input(9), fnn.Dense(5, "tanh"), fnn.Dense(3)), net, lambda weight: weight)
    wanted = fnn.Trainer(fresh, "mse").gradients(x, y)
    for name, gradient in trainer.gradients(x, y).items():
        assert_same_bits(gradient, wanted[name])


def digits():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((600, 20), F32)
    return x, (x[:, :4].argmax(axis=1)).astype(np.int64)


def trained(**settings):
    net = fnn.Sequential([fnn.Input(20), fnn.Dense(64, "relu"), fnn.Dense(4, "softmax")], seed=0, **settings)
    history = net.fit(*digits(), epochs=8, seed=0, progress=False)
    return net, history


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(oracle, threads):
    expected, _ = trained(dtype="bfloat16")
    before = fnn.get_num_threads()
    fnn.set_num_threads(threads)
    try:
        net, _ = trained(dtype="bfloat16")
    finally:
        fnn.set_num_threads(before)
    for name, values in net.parameters.items():
        assert_same_bits(values, expected.parameters[name])


def test_accuracy(oracle):
    net, history = trained(dtype="bfloat16")
    full, reference_history = trained()
    x, y = digits()
    assert net.evaluate(x, y)["accuracy"] > full.evaluate(x, y)["accuracy"] - 0.02
    assert abs(history.loss[-1] - reference_history.loss[-1]) < 0.05 * reference_history.loss[0]
    assert (net.compute_dtype, net.dtype) == ("bfloat16", F32)


def test_learns_small_steps(oracle):
    """Steps that a bfloat16 could not hold add up in the float32 parameters."""
    net = network(fnn.Input(4), fnn.Dense(3))
    before = net.parameters["dense_1.weight"]
    trainer = fnn.Trainer(net, "mse", fnn.SGD(1e-5))
    for _ in range(10):
        trainer.step(*rows_of(30, 4, 3))
    after = net.parameters["dense_1.weight"]
    assert (after != before).all()
    assert np.abs(after - before).max() < 1e-3


def test_copies(oracle, tmp_path):
    net, _ = trained(dtype="bfloat16")
    x, _ = digits()
    net.save(tmp_path / "net.fnn")
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), fnn.load(tmp_path / "net.fnn")):
        assert (type(other), other.compute_dtype) == (fnn.Sequential, "bfloat16")
        assert_same_bits(other(x), net(x))
        for name, values in net.parameters.items():
            assert_same_bits(other.parameters[name], values)
    for low in (net.freeze(), net.astype("bfloat16")):
        assert not low.trainable
        assert_same_bits(low(x), net(x))
    full = net.astype("float32")
    assert full.compute_dtype == "float32"
    for name, values in net.parameters.items():
        assert_same_bits(full.parameters[name], values)
    assert net.quantize(x).compute_dtype == full.quantize(x).compute_dtype == "int8"
    assert_same_bits(net.quantize(x)(x), full.quantize(x)(x))
    assert net.replace_head(fnn.Dense(2), seed=0).compute_dtype == "bfloat16"
    assert "bfloat16" in net.summary()
    assert "bfloat16" in repr(net)
    assert "(6,416 bytes)" in net.summary()  # float32


def test_checkpoint(oracle, tmp_path):
    """A run that was interrupted ends with the same bits."""
    x, y = digits()

    def fit(epochs, path):
        net = fnn.Sequential([fnn.Input(20), fnn.Dense(64, "relu"), fnn.Dense(4, "softmax")], dtype="bfloat16", seed=0)
        net.fit(x, y, epochs=epochs, seed=0, progress=False, checkpoint=path)
        return net

    whole = fit(4, None)
    fit(2, tmp_path / "run")
    resumed = fit(4, tmp_path / "run")
    for name, values in whole.parameters.items():
        assert_same_bits(resumed.parameters[name], values)


def test_checkpoint_of_another_format(tmp_path):
    x, y = digits()
    layers = [fnn.Input(20), fnn.Dense(4, "softmax")]
    fnn.Sequential(layers, dtype="bfloat16", seed=0).fit(
        x, y, epochs=1, seed=0, progress=False, checkpoint=tmp_path / "a"
    )
    with pytest.raises(ValueError, match="network"):
        fnn.Sequential(layers, seed=0).fit(x, y, epochs=2, seed=0, progress=False, checkpoint=tmp_path / "a")


def test_not_a_number(oracle):
    net = network(fnn.Input(4), fnn.Dense(3))
    x, y = rows_of(33, 4, 3)
    before = dict(net.parameters)
    bad = x.copy()
    bad[20, 2] = np.nan
    trainer = fnn.Trainer(net, "mse")
    with pytest.raises(ValueError, match="20"):
        trainer.step(bad, y)
    for name, values in net.parameters.items():
        assert_same_bits(values, before[name])
    wanted = fnn.Trainer(net, "mse").gradients(x[:10], y[:10])  # nothing of those rows is left
    for name, gradient in trainer.gradients(x[:10], y[:10]).items():
        assert_same_bits(gradient, wanted[name])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimator(oracle):
    from fnnfast.sklearn import FNNClassifier

    x, y = digits()
    model = FNNClassifier((32,), dtype="bfloat16", max_iter=20, random_state=0).fit(x, y)
    full = FNNClassifier((32,), dtype="float32", max_iter=20, random_state=0).fit(x, y)
    assert model.network_.compute_dtype == "bfloat16"
    assert abs(model.score(x, y) - full.score(x, y)) < 0.02
    with pytest.raises(ValueError, match="dtype"):
        model.set_params(dtype="float32", warm_start=True).fit(x, y)
