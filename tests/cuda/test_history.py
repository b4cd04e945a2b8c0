"""What training on a GPU records of an epoch, against what training on the CPU does: the same definitions."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import Activation, Dense, Dropout, Input, Maxout, Residual, Sequential

pytestmark = pytest.mark.cuda

ROWS, BATCH = 110, 32  # the last batch is smaller

NETWORKS = {
    "relu": [Input(12), Dense(33, "relu"), Dense(20, "relu"), Dense(4, "softmax")],
    "dead": [Input(12), Dense(33, "relu", bias_init=9.0), Dense(40, "tanh", init=4.0), Dense(4, "softmax")],
    "saturated": [Input(12), Dense(9, "tanh", init=2.0), Dense(8, "sigmoid", init=3.0), Dense(4, "softmax")],
    "smooth": [Input(12), Dense(9, "gelu"), Dense(8, "swish"), Dense(12, "selu"), Dense(4, "softmax")],
    "learned slopes": [Input(12), Dense(9, "prelu"), Activation("prelu"), Dense(4, "softmax")],
    "maxout": [Input(12), Maxout(13, pieces=3), Maxout(7, pieces=2), Dense(4, "softmax")],
    "residual": [
        Input(12),
        Dense(12, "relu"),
        Residual([Dense(9, "tanh"), Dense(12, "relu")], activation="relu"),
        Activation("elu"),
        Dropout(0.2),
        Residual([Maxout(12, pieces=2)]),
        Dense(4, "softmax"),
    ],
}
BY_LAYER = ("dead", "saturated", "linear", "gradient_norm", "gradient_rms", "update_norm")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def fit_both(cuda, layers, x, y, dtype="float64", frozen=(), sample_weight=None, **settings):
    """The histories of the same training on the CPU and on the GPU."""
    histories = []
    for device in ("cpu", "cuda"):
        of_device = dtype if device == "cuda" or dtype == "float64" else "float32"
        net = Sequential(layers, dtype=of_device, device=device, seed=1)
        if frozen:
            net.freeze(*frozen)
        place = cuda.array if device == "cuda" else np.asarray
        given = {} if sample_weight is None else {"sample_weight": place(sample_weight)}
        settings = {"epochs": 2, "batch_size": BATCH, "seed": 1, "optimizer": fnn.SGD(0.05), **settings}
        histories.append(net.fit(place(x), place(y), **given, **settings))
    return histories


def assert_same(expected, got, rtol=1e-10):
    assert got.to_dict().keys() == expected.to_dict().keys()
    for name, values in expected.to_dict().items():
        np.testing.assert_allclose(got.to_dict()[name], values, rtol=rtol, err_msg=name)


def data(rng):
    return rng.standard_normal((ROWS, 12)), rng.integers(0, 4, ROWS)


@pytest.mark.filterwarnings("ignore::fnnfast.DeadUnitsWarning")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.1, "l2": 0.1}], ids=["plain", "clipped"])
def test_a_history_is_the_cpus(cuda, rng, network, settings):
    expected, got = fit_both(cuda, NETWORKS[network], *data(rng), **settings)
    assert got.accuracy == expected.accuracy
    assert_same(expected, got)
    counted = {name for name in BY_LAYER if getattr(got, name)}
    assert {"gradient_norm", "update_norm"} < counted
    if network == "dead":
        assert got.dead["dense_1"][0] > 0.1
        assert got.saturated["dense_2"][0] > 0.1


@pytest.mark.filterwarnings("ignore::fnnfast.DeadUnitsWarning")
def test_many_rows(cuda, rng):
    """More than one block of threads for the rows and for the columns of a layer."""
    x, y = rng.standard_normal((700, 12)), rng.integers(0, 4, 700)
    layers = [Input(12), Dense(70, "relu", bias_init=9.0), Dense(65, "tanh", init=3.0), Maxout(40), Dense(4, "softmax")]
    expected, got = fit_both(cuda, layers, x, y, epochs=1, batch_size=600)
    assert got.accuracy == expected.accuracy
    assert_same(expected, got)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_other_dtypes(cuda, rng, dtype):
    """Derivatives of what is rounded to 16 bits differ by little; how many are small hardly does."""
    layers = [Input(12), Dense(33, "relu", bias_init=9.0), Dense(40, "tanh", init=4.0), Dense(4, "softmax")]
    with pytest.warns(fnn.DeadUnitsWarning, match="dense_1: .* of its units are dead"):
        expected, got = fit_both(cuda, layers, *data(rng), dtype=dtype)
    rtol = 1e-5 if dtype == "float32" else 0.2
    for name in ("gradient_norm", "gradient_rms", "update_norm", "dead", "saturated"):
        of_layers = getattr(expected, name)
        assert getattr(got, name).keys() == of_layers.keys(), name
        for layer, values in of_layers.items():
            np.testing.assert_allclose(getattr(got, name)[layer], values, rtol=rtol, atol=0.1 * rtol, err_msg=name)
    np.testing.assert_allclose(got.accuracy, expected.accuracy, atol=0 if dtype == "float32" else 0.05)


@pytest.mark.parametrize(
    ("loss", "head", "target"),
    [
        ("cross_entropy", "softmax", lambda rng: rng.integers(0, 4, ROWS)),
        ("binary_cross_entropy", "sigmoid", lambda rng: rng.integers(0, 2, (ROWS, 4))),
        ("multiclass_hinge", "identity", lambda rng: rng.integers(0, 4, ROWS)),
        ("hinge", "identity", lambda rng: rng.integers(0, 2, (ROWS, 4))),
        ("mse", "identity", lambda rng: rng.standard_normal((ROWS, 4))),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy_of_losses(cuda, rng, loss, head, target, weighted):
    """With weights also the means over the batches, whose weights are not equal."""
    x, y = rng.standard_normal((ROWS, 12)), target(rng)
    weights = rng.integers(0, 3, ROWS) * 0.7 if weighted else None
    if weights is not None:
        x[weights == 0] = np.nan  # what does not count must not show
    layers = [Input(12), Dense(9, "relu"), Dense(4, head)]
    expected, got = fit_both(cuda, layers, x, y, loss=loss, sample_weight=weights)
    assert len(got.accuracy) == (0 if loss == "mse" else 2)
    np.testing.assert_allclose(got.accuracy, expected.accuracy, rtol=1e-14)
    assert_same(expected, got)


def test_ties_go_to_the_first_class(cuda):
    """As argmax has it: with weights of zero all logits are equal."""
    layers = [Input(3), Dense(4, "softmax", init=0.0, bias_init=0.0)]
    for label, right in ((0, 1.0), (1, 0.0), (3, 0.0)):
        net = Sequential(layers, device="cuda", seed=0)
        history = net.fit(cuda.array(np.ones((8, 3))), cuda.array(np.full(8, label)), epochs=1, batch_size=8, seed=0)
        assert history.accuracy == [right]


@pytest.mark.parametrize("frozen", [["dense_1"], ["dense_2"], ["maxout_1"]])
def test_frozen_layers(cuda, rng, frozen):
    layers = [Input(12), Dense(9, "relu"), Maxout(8, pieces=2), Dense(7, "tanh"), Dense(4, "softmax")]
    expected, got = fit_both(cuda, layers, *data(rng), frozen=frozen)
    assert_same(expected, got)


def test_nothing_is_counted_after_a_nan(cuda, rng):
    """The steps that follow in the same call read what the GPU has: they are not taken."""
    x, y = data(rng)
    x[40, 3] = np.nan
    found = []
    for device in ("cpu", "cuda"):
        place = cuda.array if device == "cuda" else np.asarray
        net = Sequential(NETWORKS["saturated"], dtype="float64", device=device, seed=1)
        trainer = fnn.Trainer(net)
        trainer._core.measure_accuracy(True)
        with pytest.raises(ValueError, match="x has NaN"):
            trainer.epoch(place(x), place(y), batch_size=BATCH)
        found.append((trainer._core.take_accuracy(), trainer._diagnosis()))
    assert found[0][0] == found[1][0]
    for name, layers in found[0][1].items():
        assert found[1][1][name] == pytest.approx(layers, rel=1e-12, nan_ok=True), name


def test_counting_begins_again(cuda, rng):
    """After each epoch, and not without fit."""
    x, y = (cuda.array(values) for values in data(rng))
    trainer = fnn.Trainer(Sequential(NETWORKS["maxout"], device="cuda", seed=0), optimizer=fnn.SGD(0.1))
    trainer.epoch(x, y)
    assert trainer._core.take_diagnosis() == []
    assert trainer._core.take_accuracy() is None
    trainer._core.measure_accuracy(True)
    trainer.learning_rate = 0.0
    found = []
    for _ in range(2):
        trainer.epoch(x, y)
        found.append((trainer._core.take_accuracy(), trainer._diagnosis()))
    assert found[0] == found[1]
    trainer.epoch(x[:3], y[:3])
    assert trainer._diagnosis() != found[0][1]


def test_counting_changes_no_bit(cuda, rng):
    x, y = (cuda.array(values) for values in data(rng))
    nets = [Sequential(NETWORKS["residual"], device="cuda", seed=0) for _ in range(2)]
    for net, wanted in zip(nets, (False, True), strict=True):
        trainer = fnn.Trainer(net, seed=0)
        trainer._core.measure_accuracy(wanted)
        trainer.epoch(x, y)
    for name in nets[0].parameters:
        assert (cuda.host(nets[0].parameters[name]) == cuda.host(nets[1].parameters[name])).all(), name


def test_no_wait_for_the_gpu_per_step(cuda, rng, monkeypatch):
    """An epoch reads the losses and accuracies of its steps together, and the statistics once."""
    x, y = (cuda.array(values) for values in data(rng))
    net = Sequential(NETWORKS["relu"], device="cuda", seed=0)
    trainer = fnn.Trainer(net)
    trainer._core.measure_accuracy(True)
    trainer.epoch(x, y, batch_size=10)
    prepared, reads = _data(trainer, x, y), []
    host = type(trainer._core._device).host
    monkeypatch.setattr(type(trainer._core._device), "host", lambda self, array: reads.append(1) or host(self, array))
    trainer._epoch(prepared, np.arange(ROWS), 10, lambda _: None)
    trainer._core.take_accuracy()
    trainer._diagnosis()
    assert len(reads) == 3


def _data(trainer, x, y):
    from fnnfast._network.data import prepare

    return prepare(trainer.network._interface, trainer.loss, x, y, None)
