"""Dropout and noise, which training draws from counters, and the two kinds of weight decay."""

import itertools

import numpy as np
import pytest
import scipy.stats

import fnnfast as fnn
from fnnfast import _cpu
from oracles import assert_same_bits

pytestmark = pytest.mark.usefixtures("machine_restored")


# Random draws --------------------------------------------------------------------------------------------------------
class Probe:
    """Shows what the next layer sees of ``x`` behind some layers, in training.

    The last layer has a unit for each row, and all weights zero. With the target -1 in a row's own unit, the gradient
    of that unit's weights is 2 / B^2 times the row, to the bit if B is a power of 2.
    """

    def __init__(self, layers, x, dtype="float64", seed=0):
        self.x = np.asarray(x, dtype)
        rows, columns = self.x.shape
        assert rows & (rows - 1) == 0
        net = fnn.Sequential([fnn.Input(columns), *layers, fnn.Dense(rows, bias_init="zeros")], dtype=dtype, seed=0)
        self.name, _ = list(net.parameters)[-2:]
        net.parameters[self.name] = np.zeros(net.parameters.shapes[self.name])
        self.trainer = fnn.Trainer(net, fnn.MeanSquaredError(), fnn.SGD(1e-300), seed=seed)

    def look(self):
        rows = len(self.x)
        return self.trainer.gradients(self.x, -np.eye(rows))[self.name].T * (rows**2 / 2)

    def step(self):
        """Count a step without a change."""
        shapes = self.trainer.network.parameters.shapes
        self.trainer.apply({name: np.zeros(shape) for name, shape in shapes.items()})


def noise(rows, columns, dtype="float64", seed=0, stddev=1.0):
    return Probe([fnn.GaussianNoise(stddev)], np.zeros((rows, columns)), dtype, seed).look()


def test_the_probe_sees_what_is_there():
    x = np.random.default_rng(0).standard_normal((16, 7))
    assert_same_bits(Probe([fnn.Dropout(0), fnn.GaussianNoise(0)], x).look(), x)


def philox(column, row, stream, step, key):
    """The words of Philox4x32-10 for a counter (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011)."""
    low = np.uint64(0xFFFFFFFF)
    x = [np.asarray(v, np.uint64) for v in np.broadcast_arrays(column, row, stream, step)]
    k0, k1 = np.uint64(key) & low, np.uint64(key) >> np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [p1 >> np.uint64(32) ^ x[1] ^ k0, p1 & low, p0 >> np.uint64(32) ^ x[3] ^ k1, p0 & low]
        k0, k1 = k0 + np.uint64(0x9E3779B9) & low, k1 + np.uint64(0xBB67AE85) & low
    return np.stack(x, axis=-1)


def words(rows, columns, stream, step, seed):
    """A random word for each element of a layer's batch: four neighbours share a counter."""
    key = np.random.default_rng(seed).integers(2**63)
    groups = np.arange(-(-columns // 4))
    all_words = philox(groups[None, :], np.arange(rows)[:, None], stream, step, key)
    return all_words.reshape(rows, -1)[:, :columns]


def test_philox():
    """The authors' known answers."""
    assert [f"{word:08x}" for word in philox(0, 0, 0, 0, 0)] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    ones = 0xFFFFFFFF
    answer = philox(ones, ones, ones, ones, 2**64 - 1)
    assert [f"{word:08x}" for word in answer] == ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.99])
def test_what_dropout_drops(isa, dtype, rate, seed):
    """Of the second of two layers, in the first and the second step: what is counted is the layer, row and column."""
    x = np.ones((8, 37))
    probe = Probe([fnn.Dropout(0), fnn.Dropout(rate)], x, dtype, seed)
    for step in range(2):
        kept = words(8, 37, 1, step, seed) >= rate * 2**32
        assert_same_bits(probe.look(), np.where(kept, dtype.type(1 / (1 - rate)), 0).astype(dtype))
        probe.step()


def test_what_noise_adds(isa, dtype):
    """The quantile of 23 bits of a word, and a bit for the sign: to what so many bits ask for."""
    w = words(16, 45, 0, 0, 3)
    tail = 0.5 - ((w >> np.uint64(9)).astype(float) + 0.5) * 2.0**-24
    expected = np.where(w & np.uint64(1), -1.0, 1.0) * scipy.stats.norm.isf(tail)
    np.testing.assert_allclose(noise(16, 45, dtype, seed=3), expected, rtol=2e-6, atol=1e-7)
    stretched = noise(16, 45, dtype, seed=3, stddev=0.25)
    np.testing.assert_allclose(stretched, expected / 4, rtol=2e-6, atol=1e-7)


def test_noise_is_standard_normal(dtype):
    draws = noise(256, 400, dtype).ravel().astype(float)
    assert scipy.stats.kstest(draws, "norm").pvalue > 0.01
    n = draws.size
    assert abs(draws.mean()) < 5 / np.sqrt(n)
    assert abs(draws.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs((draws**4).mean() - 3) < 5 * np.sqrt(96 / n)
    assert 4 < np.abs(draws).max() < 5.5  # of 100,000


def test_draws_are_not_like_each_other():
    """Neighbouring rows, columns, steps, layers and seeds: correlations as of independent draws."""
    probe = Probe([fnn.GaussianNoise(1)], np.zeros((256, 256)))
    first = probe.look()
    probe.step()
    later = probe.look()
    behind = Probe([fnn.Dropout(0), fnn.GaussianNoise(1)], np.zeros((256, 256))).look()
    pairs = {
        "rows": (first[1:], first[:-1]),
        "columns": (first[:, 1:], first[:, :-1]),
        "four columns": (first[:, 4:], first[:, :-4]),
        "transposed": (first, first.T),
        "steps": (first, later),
        "layers": (first, behind),
        "seeds": (first, noise(256, 256, seed=1)),
    }
    for name, (a, b) in pairs.items():
        a, b = a.ravel(), b.ravel()
        if name == "transposed":
            aside = ~np.eye(256, dtype=bool).ravel()
            a, b = a[aside], b[aside]
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size), name
        assert abs(np.corrcoef(np.abs(a), np.abs(b))[0, 1]) < 5 / np.sqrt(a.size), name
        assert (a == b).mean() < 1e-4, name


@pytest.mark.parametrize("layers", [[fnn.GaussianNoise(0.7)], [fnn.Dense(90), fnn.Dropout(0.4)]], ids=repr)
def test_where_a_batch_is_split_does_not_show(dtype, layers):
    """Draws of a row are those of its place in the batch, for any batch, threads and instruction set."""
    x = np.ones((256, 90))
    expected = None
    for isa, threads in itertools.product(_cpu.isas(), (1, 2, 3)):
        _cpu.use_isa(isa)
        fnn.set_num_threads(threads)
        seen = Probe(layers, x, dtype).look()
        expected = seen if expected is None else expected
        assert_same_bits(seen, expected)
    for rows in (1, 32, 128):
        assert_same_bits(Probe(layers, x[:rows], dtype).look(), expected[:rows])


@pytest.mark.parametrize("layer", [fnn.Dropout(0.5), fnn.GaussianNoise(1)], ids=repr)
def test_another_draw_each_step(layer):
    probe = Probe([layer], np.ones((8, 50)))
    first = probe.look()
    assert_same_bits(probe.look(), first)  # gradients count no step
    probe.step()
    second = probe.look()
    assert (first != second).mean() > 0.3
    twin = Probe([layer], np.ones((8, 50)))
    assert_same_bits(twin.look(), first)
    assert (Probe([layer], np.ones((8, 50)), seed=1).look() != first).mean() > 0.3
    state = probe.trainer.state()
    twin.trainer.set_state(state)
    assert_same_bits(twin.look(), second)  # so that a run can be taken up again


# Order ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("place", ["input", "hidden", "block"])
def test_dropout_and_noise_come_in_the_order_they_stand_in(dtype, place):
    """What is dropped after the noise is 0; what is dropped before it is noise."""
    units = 80
    own = {"input": [], "hidden": [fnn.Dense(units)], "block": [fnn.Residual([fnn.Dense(units)])]}[place]
    x = np.ones((4, units))

    def seen(*layers):
        probe = Probe([*own, *layers], x, dtype)
        net = probe.trainer.network
        for name in list(net.parameters)[:-2]:
            values = np.zeros(net.parameters.shapes[name])
            if name.endswith("weight") and place == "hidden":
                values = np.eye(units)
            net.parameters[name] = values  # of a block: outputs are its inputs
        return probe.look()

    noise_last = seen(fnn.Dropout(0.5), fnn.GaussianNoise(0.01))
    assert (noise_last != 0).all()
    assert set(np.round(noise_last).ravel()) == {0, 2}
    dropout_last = seen(fnn.GaussianNoise(0.01), fnn.Dropout(0.5))
    dropped = dropout_last == 0
    assert 0.3 < dropped.mean() < 0.7
    np.testing.assert_allclose(dropout_last[~dropped], 2, atol=0.1)
    assert np.unique(dropout_last[~dropped]).size > 100
    twice = seen(fnn.Dropout(0.5), fnn.Dropout(0.5))
    assert set(np.unique(twice)) == {0, 4}
    assert 0.6 < (twice == 0).mean() < 0.9
    np.testing.assert_allclose(seen(fnn.GaussianNoise(3), fnn.GaussianNoise(4)).std(), 5, rtol=0.15)


STACKS = {
    "several dropouts": [fnn.Dropout(0.2), fnn.Dense(9, "tanh"), fnn.Dropout(0.5), fnn.Dropout(0.3)],
    "noise and dropout": [fnn.GaussianNoise(0.2), fnn.Dense(9, "swish"), fnn.GaussianNoise(0.5), fnn.Dropout(0.4)],
    "dropout and noise": [fnn.Dense(9, "gelu"), fnn.Dropout(0.4), fnn.GaussianNoise(0.5)],
    "before maxout": [fnn.Dense(9, "tanh"), fnn.Dropout(0.4), fnn.Maxout(7, pieces=3), fnn.GaussianNoise(0.3)],
    "in blocks": [
        fnn.Dense(6, "tanh"),
        fnn.Dropout(0.3),
        fnn.Residual([fnn.Dense(7, "swish"), fnn.Dropout(0.4), fnn.GaussianNoise(0.1), fnn.Dense(6, "tanh")]),
        fnn.GaussianNoise(0.3),
        fnn.Residual([fnn.Dense(9, "tanh"), fnn.Dropout(0.5), fnn.Dense(8)]),
        fnn.Dropout(0.2),
    ],
}


@pytest.mark.parametrize("stack", STACKS)
def test_gradients_against_finite_differences(isa, stack):
    """Of the loss under the draws of one step, which repeat until a step is counted."""
    rng = np.random.default_rng(0)
    net = fnn.Sequential([fnn.Input(5), *STACKS[stack], fnn.Dense(2)], dtype="float64", seed=1)
    x, y = rng.standard_normal((9, 5)), rng.standard_normal((9, 2))
    trainer = fnn.Trainer(net, seed=0)
    _, grads = trainer.loss_and_gradients(x, y)
    h = 1e-6
    for name, grad in grads.items():
        values, direction = net.parameters[name], rng.standard_normal(grad.shape)
        around = []
        for step in (h, -h):
            net.parameters[name] = values + step * direction
            around.append(trainer.loss_and_gradients(x, y)[0])
        net.parameters[name] = values
        assert (grad * direction).sum() == pytest.approx((around[0] - around[1]) / (2 * h), rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_drawn_in_inference(isa, dtype, stack):
    def network(layers):
        return fnn.Sequential([fnn.Input(5), *layers, fnn.Dense(3, "softmax")], dtype=dtype, seed=1)

    def without(layers):
        kept = [layer for layer in layers if not isinstance(layer, (fnn.Dropout, fnn.GaussianNoise))]
        return [fnn.Residual(without(layer.layers)) if isinstance(layer, fnn.Residual) else layer for layer in kept]

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)).astype(dtype), rng.integers(0, 3, 40)
    net, plain = network(STACKS[stack]), network(without(STACKS[stack]))
    for values, others in zip(net.parameters.values(), plain.parameters.values(), strict=True):
        assert_same_bits(values, others)
    assert_same_bits(net(x), plain(x))
    assert_same_bits(net.logits(x), plain.logits(x))
    assert net.evaluate(x, y) == plain.evaluate(x, y)
    history = net.fit(x, y, validation=(x, y), optimizer=fnn.SGD(1e-300), epochs=1, seed=0)
    assert history.validation_loss == [plain.evaluate(x, y)["loss"]]
    assert history.loss != history.validation_loss
    if dtype == np.float32:
        assert_same_bits(net.quantize(x)(x), plain.quantize(x)(x))
        assert_same_bits(net.astype("bfloat16")(x), plain.astype("bfloat16")(x))


# Specifications ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.GaussianNoise(-0.1), ValueError, "stddev: expected a number >= 0, got -0.1"),
        (lambda: fnn.GaussianNoise(np.inf), ValueError, "stddev: expected a number >= 0, got inf"),
        (lambda: fnn.GaussianNoise("1"), TypeError, "stddev: expected a number >= 0, got '1'"),
        (lambda: fnn.GaussianNoise(), TypeError, "argument"),
        (
            lambda: fnn.Sequential([fnn.Input(2), fnn.Dense(2), fnn.GaussianNoise(1)]),
            ValueError,
            r"layers: expected a Dense, Maxout, Activation or Residual last, got GaussianNoise\(stddev=1.0\)",
        ),
        (
            lambda: fnn.Trainer(fnn.Sequential([fnn.Input(2), fnn.GaussianNoise(1e39), fnn.Dense(1)])),
            ValueError,
            r"gaussian_noise_1.stddev: expected a number in float32's range, got 1e\+39",
        ),
    ],
)
def test_invalid_noise(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_noise_in_files_and_summaries(tmp_path):
    net = fnn.Sequential([fnn.Input(2), fnn.GaussianNoise(0.5), fnn.Dense(1)], seed=0)
    net.save(tmp_path / "net")
    assert fnn.load(tmp_path / "net").layers == net.layers
    assert eval(repr(net.layers[1]), vars(fnn)) == fnn.GaussianNoise(0.5)
    assert "gaussian_noise_1" in net.summary()


# Weight decay --------------------------------------------------------------------------------------------------------
def still(seed=0):
    """A network that learns nothing, for its inputs are 0 and its outputs the targets: only decay moves it."""
    layers = [fnn.Dense(4, "prelu"), fnn.Residual([fnn.Maxout(3, pieces=2), fnn.Dense(5)]), fnn.Dense(2)]
    net = fnn.Sequential([fnn.Input(3), *layers], dtype="float64", seed=seed)
    for name, shape in net.parameters.shapes.items():
        if name.endswith("bias"):
            net.parameters[name] = np.zeros(shape)
    return net, np.zeros((6, 3)), np.zeros((6, 2))


def decayed(optimizer, l2=0.0):
    """The factors by which a step changes weights, and the other parameters unchanged."""
    net, x, y = still()
    net.parameters["dense_1.alpha"] = np.full(4, 0.5)
    before = dict(net.parameters)
    trainer = fnn.Trainer(net, optimizer=optimizer, l2=l2)
    assert trainer.step(x, y) == 0
    for name, values in before.items():
        if not name.endswith("weight"):
            assert_same_bits(net.parameters[name], values)
    names = [name for name in before if name.endswith("weight")]
    assert "residual_1.weight" in names
    return before, {name: net.parameters[name] for name in names}


def test_l2_is_part_of_the_gradient_and_decay_is_not():
    before, after = decayed(fnn.SGD(0.1), l2=0.3)
    for name, values in after.items():
        np.testing.assert_allclose(values, before[name] * (1 - 0.1 * 0.3), rtol=1e-14)
    before, after = decayed(fnn.AdamW(0.1, weight_decay=0.3))
    for name, values in after.items():
        np.testing.assert_allclose(values, before[name] * (1 - 0.1 * 0.3), rtol=1e-14)
    # Adam's first step is the sign of the gradient, however small l2 makes it: the decoupled one keeps its size.
    for l2 in (0.3, 0.01):
        before, after = decayed(fnn.Adam(0.1, eps=1e-300), l2=l2)
        for name, values in after.items():
            np.testing.assert_allclose(values, before[name] - 0.1 * np.sign(before[name]), rtol=1e-12)
    before, after = decayed(fnn.AdamW(0.1, weight_decay=0.5, eps=1e-300), l2=0.3)
    for name, values in after.items():
        np.testing.assert_allclose(values, before[name] * (1 - 0.05) - 0.1 * np.sign(before[name]), rtol=1e-12)


def test_l2_is_in_no_loss():
    net, x, y = still()
    history = net.fit(x, y, l2=0.5, epochs=3, validation=(x, y))
    assert history.loss == history.validation_loss == [0, 0, 0]
    net, x, y = still()
    grads = fnn.Trainer(net, l2=0.5).gradients(x, y)
    assert not any(grad.any() for grad in grads.values())


@pytest.mark.parametrize("setting", [{"l2": -0.1}, {"l2": np.inf}, {"l2": "0.1"}, {"l2": 1e39}])
def test_invalid_l2(setting):
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1)])
    with pytest.raises((ValueError, TypeError), match="l2: expected a number "):
        fnn.Trainer(net, **setting)
