"""The training accuracy: of each batch before its update, weighted, and independent of how it is computed."""

import itertools
import math
import pickle
import sys

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import _cpu

ROWS = 83
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, 5))
CLASSES = RNG.integers(0, 3, ROWS)
LABELS = RNG.integers(0, 2, (ROWS, 4))
WEIGHTS = RNG.uniform(0.1, 3.0, ROWS)

MANY = RNG.integers(0, 11, ROWS)  # they are counted in another way than few

CASES = {
    "cross_entropy": (fnn.Dense(3, "softmax"), CLASSES),
    "categorical_crossentropy": (fnn.Dense(11, "softmax"), MANY),
    "multiclass_hinge": (fnn.Dense(3), CLASSES),
    "binary_crossentropy": (fnn.Dense(4, "sigmoid"), LABELS),
    "hinge": (fnn.Dense(1), LABELS[:, :1]),
}


def network(head, dtype="float64"):
    return fnn.Sequential([fnn.Input(5), fnn.Dense(7, "tanh"), head], dtype=dtype, seed=1)


def score(net, loss, x, y, weights):
    return net.evaluate(x, y, loss=loss, sample_weight=weights)["accuracy"]


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("loss", CASES)
def test_it_is_that_of_each_batch_before_its_update(loss, weights, clip_norm):
    head, y = CASES[loss]
    trainer = fnn.Trainer(network(head), loss, fnn.SGD(0.1), clip_norm=clip_norm)
    trainer._core.measure_accuracy(True)
    order = np.random.default_rng(2).permutation(ROWS)
    trainer.epoch(X, y, order, batch_size=16, sample_weight=weights)
    found = trainer._core.take_accuracy()

    twin = fnn.Trainer(network(head), loss, fnn.SGD(0.1), clip_norm=clip_norm)
    right = total = 0.0
    for first in range(0, ROWS, 16):
        rows = order[first : first + 16]
        own = None if weights is None else weights[rows]
        of_batch = len(rows) if own is None else own.sum()
        right += score(twin.network, loss, X[rows], y[rows], own) * of_batch
        total += of_batch
        twin.step(X[rows], y[rows], sample_weight=own)
    assert found == pytest.approx(right / total, rel=1e-12)
    assert trainer._core.take_accuracy() is None  # it starts again
    trainer._core.measure_accuracy(False)
    trainer.epoch(X, y)
    assert trainer._core.take_accuracy() is None


@pytest.mark.parametrize("loss", CASES)
def test_in_a_fit(loss):
    head, y = CASES[loss]
    history = network(head).fit(X, y, loss, fnn.SGD(1e-12), epochs=3, validation=(X, y), seed=0)
    assert history.accuracy == pytest.approx(history.validation_accuracy)  # nothing has changed
    assert list(history.to_dict())[:5] == ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"]


def test_a_regression_has_none():
    history = network(fnn.Dense(1)).fit(X, X[:, :1], epochs=2, validation=0.2, seed=0)
    assert history.accuracy == []
    assert "accuracy" not in history.to_dict()


@pytest.mark.usefixtures("machine_restored")
def test_one_result_over_instruction_sets_and_threads():
    found = set()
    for isa, threads in itertools.product(_cpu.isas(), (1, 2, 3)):
        _cpu.use_isa(isa)
        fnn.set_num_threads(threads)
        history = network(CASES["cross_entropy"][0]).fit(X, CLASSES, epochs=3, seed=0)
        found.add(tuple(history.accuracy))
    assert len(found) == 1


def test_of_equal_outputs_the_first_counts():
    """As for argmax; a network of zeros gives all classes the same."""
    for classes, y in ((3, CLASSES), (11, MANY)):
        net = fnn.Sequential([fnn.Input(5), fnn.Dense(classes, "softmax", init=0.0, bias=False)], seed=0)
        history = net.fit(X, y, optimizer=fnn.SGD(1e-12), epochs=1, batch_size=ROWS, seed=0)
        assert history.accuracy == [pytest.approx(np.mean(y == 0))]
    net = fnn.Sequential([fnn.Input(5), fnn.Dense(4, "sigmoid", init=0.0, bias=False)], seed=0)
    history = net.fit(X, LABELS, optimizer=fnn.SGD(1e-12), epochs=1, batch_size=ROWS, seed=0)
    assert history.accuracy == [pytest.approx(np.mean(LABELS == 1))]  # 0.5 is on the side of 1


def test_of_the_batches_with_dropout():
    """It is of the network as it trains."""
    net = fnn.Sequential([fnn.Input(5), fnn.Dropout(0.9), fnn.Dense(3, "softmax")], seed=0)
    rows = X[np.arange(ROWS).repeat(20)]
    history = net.fit(
        rows, net.predict(rows), optimizer=fnn.SGD(1e-12), epochs=1, validation=(X, net.predict(X)), seed=0
    )
    assert history.validation_accuracy == [1.0]
    assert 0.2 < history.accuracy[0] < 0.9


def test_gradients_do_not_count():
    head, y = CASES["cross_entropy"]
    trainer = fnn.Trainer(network(head))
    trainer._core.measure_accuracy(True)
    trainer.gradients(X, y)
    trainer.step(X, y)
    assert trainer._core.take_accuracy() is None


def test_it_is_shown(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    network(*CASES["cross_entropy"][:1]).fit(X, CLASSES, epochs=1, validation=0.2, seed=0, progress=True)
    shown = capsys.readouterr().err
    assert [part.split()[:-1] for part in shown.split(": ")[1].split(", ")[:4]] == [
        ["loss"],
        ["accuracy"],
        ["validation", "loss"],
        ["accuracy"],
    ]


def test_histories_of_earlier_versions():
    """What they did not record is empty, and NaN in a run that goes on."""
    history = fnn.History()
    history.record(loss=1.0, learning_rate=0.1)
    state = vars(history).copy()
    del state["accuracy"]
    old = fnn.History.__new__(fnn.History)
    old.__setstate__(state)
    assert old.accuracy == []
    assert pickle.loads(pickle.dumps(old)).to_dict() == old.to_dict()
    old.record(loss=0.5, accuracy=0.75, learning_rate=0.1)
    assert math.isnan(old.accuracy[0])
    assert old.accuracy[1:] == [0.75]
    assert {len(values) for values in old.to_dict().values()} == {2}
