"""The loop over epochs: what it learns and records, that it repeats itself, and everything that ends it."""

import itertools
import math
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import fnnfast as fnn
from factories import normal
from fnnfast import _cpu
from fnnfast.training import _progress
from oracles import assert_same_bits


# The loop over epochs ------------------------------------------------------------------------------------------------
def blobs(rows=120, dtype="float32", seed=0):
    """Three clouds of points that a small network tells apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    return (np.array([[0, 3], [3, 0], [-3, -3]])[y] + rng.standard_normal((rows, 2))).astype(dtype), y


def small(dtype="float32", seed=0, dropout=0.2):
    layers = [fnn.Input(2), fnn.Dense(16, "relu"), fnn.Dropout(dropout), fnn.Maxout(8), fnn.Dense(3, "softmax")]
    return fnn.Sequential(layers, dtype=dtype, seed=seed)


def test_fit_learns(isa, dtype):
    x, y = blobs()
    net = small(dtype)
    history = net.fit(x, y, optimizer=fnn.Adam(0.01), epochs=30, batch_size=16, seed=0, validation=blobs(seed=1))
    assert history.stopped == "completed"
    assert len(history.loss) == len(history.validation_loss) == len(history.validation_accuracy) == 30
    assert history.validation_r2 == []
    assert history.learning_rate == [0.01] * 30
    assert history.loss[-1] < 0.3 < history.loss[0]
    measured = net.evaluate(*blobs(seed=1))
    assert measured == {"loss": history.validation_loss[-1], "accuracy": history.validation_accuracy[-1]}
    assert measured["accuracy"] > 0.9


def test_evaluate():
    x, y = blobs()
    net = small()
    assert net.evaluate(x, y)["accuracy"] == pytest.approx((net.predict(x) == y).mean())
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(2, "sigmoid")], seed=0)
    labels = np.stack([y == 1, y == 2], axis=1)
    assert net.evaluate(x, labels)["accuracy"] == pytest.approx((net.predict(x) == labels).mean())
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(2)], dtype="float64", seed=0)
    targets = x @ [[1.0, 2.0], [3.0, -1.0]] + np.random.default_rng(0).standard_normal((len(x), 2))
    metrics = pytest.importorskip("sklearn.metrics")
    assert net.evaluate(x, targets)["r2"] == pytest.approx(metrics.r2_score(targets, net(x)), rel=1e-9)
    assert net.evaluate(x, targets)["loss"] == pytest.approx(((net(x) - targets) ** 2).mean(), rel=1e-9)
    assert net.evaluate(x, net(x)) == {"loss": 0.0, "r2": 1.0}
    assert net.evaluate(x, np.ones((len(x), 2)))["r2"] == 0.0  # a constant is not explained
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(3)], seed=0)
    accuracy = net.evaluate(x, y, loss=fnn.CrossEntropy())["accuracy"]
    assert accuracy == pytest.approx((net(x).argmax(axis=1) == y).mean())


def test_accuracy_from_binary_logits():
    """An identity head trained with binary cross-entropy decides at 0, not at 1/2."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)])
    net.parameters["dense_1.weight"] = [[1]]
    x = np.array([[-1.0], [0.25], [1.0], [-0.25]])
    assert net.evaluate(x, [0, 1, 1, 1], loss=fnn.BinaryCrossEntropy())["accuracy"] == 0.75


def test_same_seed_same_bits(dtype):
    x, y = blobs()

    def run(seed, **options):
        net = small(dtype)
        return net.fit(x, y, epochs=3, seed=seed, validation=0.2, **options), net

    (first, net), (second, twin), (other, _) = run(7), run(7), run(8)
    assert first.loss == second.loss
    assert first.validation_loss == second.validation_loss
    assert first.loss != other.loss
    for name, values in net.parameters.items():
        assert_same_bits(values, twin.parameters[name])
    assert run(None)[0].loss != run(None)[0].loss


def test_threads_and_instruction_sets_do_not_show(dtype):
    rng = np.random.default_rng(0)
    x, y = normal(rng, dtype, 300, 40), rng.integers(0, 10, 300)

    def run():
        layers = [fnn.Input(40), fnn.Dense(70, "gelu"), fnn.Dropout(0.3), fnn.Maxout(33, 3), fnn.Dense(10, "softmax")]
        net = fnn.Sequential(layers, dtype=dtype, seed=0)
        return net.fit(x, y, epochs=2, batch_size=128, seed=0).loss, dict(net.parameters)

    selected = _cpu.isa()
    expected = None
    try:
        for isa, threads in itertools.product(_cpu.isas(), (1, 2, 5)):
            _cpu.use_isa(isa)
            with fnn.num_threads(threads):
                loss, parameters = run()
            expected = expected or (loss, parameters)
            assert loss == expected[0], (isa, threads)
            for name, values in parameters.items():
                assert_same_bits(values, expected[1][name])
    finally:
        _cpu.use_isa(selected)


def test_the_last_batch_may_be_smaller():
    """Three equal rows in batches of two: a step on two, then one on the last, and a loss that counts rows."""
    x, y = np.full((3, 2), [[1.0, 2.0]]), np.full(3, 3.0)

    def linear():
        return fnn.Sequential([fnn.Input(2), fnn.Dense(1)], dtype="float64", seed=0)

    net, twin = linear(), linear()
    history = net.fit(x, y, optimizer=fnn.SGD(0.01), epochs=1, batch_size=2)
    trainer = fnn.Trainer(twin, optimizer=fnn.SGD(0.01))
    losses = [trainer.step(x[:2], y[:2]), trainer.step(x[:1], y[:1])]
    assert losses[0] != losses[1]
    assert history.loss[0] == pytest.approx((2 * losses[0] + losses[1]) / 3, rel=1e-12)
    for name, values in net.parameters.items():
        np.testing.assert_allclose(values, twin.parameters[name], rtol=1e-12)


def test_every_row_once_an_epoch_in_a_new_order(monkeypatch):
    batches = []

    class Spy(_cpu.Trainer):
        def epoch(self, x, targets, learning_rate, rows, weights, batch_size):
            batches.extend(rows[first : first + batch_size].tolist() for first in range(0, len(rows), batch_size))
            return super().epoch(x, targets, learning_rate, rows, weights, batch_size)

    monkeypatch.setattr(_cpu, "Trainer", Spy)
    small().fit(*blobs(12), epochs=3, batch_size=5, seed=0)
    assert [len(batch) for batch in batches] == [5, 5, 2] * 3
    epochs = [list(itertools.chain(*batches[first : first + 3])) for first in (0, 3, 6)]
    assert all(sorted(order) == list(range(12)) for order in epochs)
    assert len({tuple(order) for order in (*epochs, range(12))}) == 4


def test_dropout_is_for_training_only(dtype):
    x, y = blobs()
    net = small(dtype, dropout=0.5)
    assert_same_bits(net(x), small(dtype, dropout=0)(x))
    losses = {fnn.Trainer(small(dtype, dropout=0.5), seed=seed).step(x, y) for seed in range(4)}
    assert len(losses) == 4
    trainer = fnn.Trainer(small(dtype, dropout=0.5), optimizer=fnn.SGD(1e-300), seed=0)
    assert trainer.step(x, y) != trainer.step(x, y)  # another mask for each step


def test_dropout_scales_what_it_keeps():
    """Ones through an identity: the dropped share of them, and a mean that stays."""
    units, rate = 20_000, 0.25
    layers = [fnn.Dense(units, bias=False), fnn.Dropout(rate), fnn.Dense(1, bias=False)]
    net = fnn.Sequential([fnn.Input(1), *layers], dtype="float64")
    net.parameters["dense_1.weight"] = np.ones((1, units))
    net.parameters["dense_2.weight"] = np.zeros((units, 1))
    # The loss is (0 - 1)^2, so that the gradient of dense_2.weight is -2 times what dropout let through.
    passed = fnn.Trainer(net, seed=0).gradients([[1.0]], [1.0])["dense_2.weight"][:, 0] / -2
    assert set(np.round(np.unique(passed), 12)) == {0.0, np.round(1 / (1 - rate), 12)}
    assert abs((passed == 0).mean() - rate) < 5 * math.sqrt(rate * (1 - rate) / units)


def test_l2_shrinks_weights():
    x, y = blobs()
    norms = []
    for l2 in (0.0, 0.1):
        net = small()
        net.fit(x, y, optimizer=fnn.SGD(0.1), epochs=20, l2=l2, seed=0)
        norms.append(sum(float((v**2).sum()) for name, v in net.parameters.items() if name.endswith("weight")))
    assert norms[1] < 0.5 * norms[0]


def test_any_optimizer_by_name():
    x, y = blobs()
    for name in ("sgd", "adam", "adamw"):
        history = small().fit(x, y, optimizer=name, epochs=10, seed=0)
        assert history.loss[-1] < history.loss[0]


def test_no_epochs():
    net = small()
    history = net.fit(*blobs(), epochs=0)
    assert history.loss == []
    assert repr(history) == "<History: 0 epochs, completed>"


# Validation, schedules, callbacks ------------------------------------------------------------------------------------
def test_validation_share():
    """A quarter of the rows is held out, for all epochs, and the rest is trained on."""
    # Squares of targets that are distinct powers of 2 tell from a sum which rows are in it.
    targets = 2.0 ** np.arange(16)
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)], dtype="float64", seed=0)
    history = net.fit(np.zeros((16, 1)), targets, optimizer=fnn.SGD(1e-300), epochs=2, validation=0.25, seed=0)
    trained, held_out = np.array(history.loss) * 12, np.array(history.validation_loss) * 4
    np.testing.assert_allclose(trained + held_out, (targets**2).sum(), rtol=1e-12)
    assert held_out[0] == held_out[1]
    assert int(held_out[0]).bit_count() == 4
    assert held_out[0] not in ((targets[:4] ** 2).sum(), (targets[-4:] ** 2).sum())  # drawn at random
    x, y = blobs(100)
    assert len(small().fit(x, y, epochs=2, validation=0.25).validation_accuracy) == 2


def test_schedules():
    assert [fnn.StepDecay(2, 0.5)(epoch) for epoch in range(5)] == [1, 1, 0.5, 0.5, 0.25]
    assert [fnn.ExponentialDecay(0.5)(epoch) for epoch in range(4)] == [1, 0.5, 0.25, 0.125]
    cosine = fnn.CosineDecay(4, final=0.2)
    expected = [1.0, 0.2 + 0.4 * (1 + math.sqrt(0.5)), 0.6, 0.2 + 0.4 * (1 - math.sqrt(0.5)), 0.2, 0.2]
    np.testing.assert_allclose([cosine(epoch) for epoch in range(6)], expected, rtol=1e-12)
    x, y = blobs()
    net, twin = small(), small()
    history = net.fit(x, y, epochs=4, schedule=fnn.StepDecay(2, 0.5), seed=0)
    np.testing.assert_allclose(history.learning_rate, [1e-3, 1e-3, 5e-4, 5e-4])
    frozen = twin.fit(x, y, epochs=4, schedule=lambda epoch: 1.0 if epoch < 1 else 0.0, seed=0)
    assert frozen.learning_rate == [1e-3, 0, 0, 0]
    once = small()
    once.fit(x, y, epochs=1, seed=0)
    for name, values in once.parameters.items():
        assert_same_bits(twin.parameters[name], values)


def test_callbacks_hear_of_every_epoch_and_may_stop():
    calls = []

    def note(epoch, history):
        calls.append(("note", epoch, len(history.loss)))

    def stop(epoch, history):
        calls.append(("stop", epoch, len(history.loss)))
        return epoch == 1

    history = small().fit(*blobs(), epochs=9, callbacks=[stop, note])
    assert history.stopped == "early"
    assert len(history.loss) == 2
    assert calls == [("stop", 0, 1), ("note", 0, 1), ("stop", 1, 2), ("note", 1, 2)]


class Scripted:
    """Gives history the validation losses it is told to, and remembers the parameters of each epoch."""

    def __init__(self, losses):
        self.losses = losses
        self.parameters = []

    def start(self, network):
        self.network = network

    def __call__(self, epoch, history):
        history.validation_loss[-1] = self.losses[epoch]
        self.parameters.append(dict(self.network.parameters))


@pytest.mark.parametrize(
    ("losses", "settings", "epochs", "best"),
    [
        ([5, 4, 3, 4, 4, 4, 4], {"patience": 2}, 5, 2),
        ([5, 4, 3, 4, 2, 4, 4], {"patience": 2}, 7, 4),
        ([5, 4.9, 4.8, 4.7, 4], {"patience": 2, "min_delta": 0.5}, 3, 0),
        ([5, 4, 3, 2, 1], {"patience": 1}, 5, 4),
        ([math.nan] * 5, {"patience": 3}, 5, None),
        ([3, math.nan, math.inf, 4, 1], {"patience": 2}, 5, 4),
        ([3, math.nan, 4, math.inf, 4, 1], {"patience": 2}, 5, 0),
        ([5, 4, 3, 4, 4, 4, 4], {"patience": 2, "restore_best": False}, 5, 2),
    ],
)
def test_early_stopping(losses, settings, epochs, best):
    x, y = blobs()
    net, script, stopping = small(), Scripted(losses), fnn.EarlyStopping(**settings)
    for _ in range(2):  # it can be used again
        script.parameters.clear()
        history = net.fit(x, y, epochs=len(losses), validation=0.2, seed=0, callbacks=[script, stopping])
        assert len(history.loss) == epochs
        assert history.stopped == ("early" if epochs < len(losses) or best == epochs - 3 else "completed")
        assert stopping.best_epoch == best
        restored = best if stopping.restore_best and best is not None else -1
        for name, values in script.parameters[restored].items():
            assert_same_bits(net.parameters[name], values)


def test_early_stopping_without_validation():
    x, y = np.zeros((4, 1)), np.zeros(4)
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, bias=False)])
    history = net.fit(x, y, epochs=50, callbacks=[fnn.EarlyStopping(patience=3)])
    assert len(history.loss) == 4  # the first epoch is the best, and no later one is better than 0
    assert history.stopped == "early"


# Ctrl-C --------------------------------------------------------------------------------------------------------------
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def ctrl_c():
    """SIGINT raises KeyboardInterrupt, also where the parent has it ignored: a shell's `command &`, nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_the_history():
    net = small()
    timer = threading.Timer(0.3, interrupt)
    timer.start()
    history = net.fit(*blobs(), epochs=10**9, callbacks=[fnn.EarlyStopping(patience=10**9)])
    timer.join()
    assert history.stopped == "interrupted"
    assert len(history.loss) >= 1
    assert "interrupted" in repr(history)
    assert np.isfinite(net(blobs()[0])).all()


def test_an_interrupt_ends_after_the_finished_epochs():
    def callback(epoch, history):
        if epoch == 2:
            raise KeyboardInterrupt

    net, stopping = small(), fnn.EarlyStopping()
    history = net.fit(*blobs(), epochs=9, callbacks=[callback, stopping], seed=0)
    assert (history.stopped, len(history.loss)) == ("interrupted", 3)
    seen = stopping.best_epoch + 1  # the best of the two epochs that early stopping heard of
    assert seen in (1, 2)
    twin = small()
    assert twin.fit(*blobs(), epochs=seen, seed=0).loss == history.loss[:seen]
    for name, values in twin.parameters.items():
        assert_same_bits(net.parameters[name], values)


def test_other_errors_pass():
    def callback(epoch, history):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        small().fit(*blobs(), callbacks=[callback])


# Progress ------------------------------------------------------------------------------------------------------------
def test_silent_where_nobody_looks(capfd):
    small().fit(*blobs(), epochs=2)
    small().fit(*blobs(), epochs=2, progress=False)
    assert capfd.readouterr() == ("", "")


def test_lines_without_tqdm(capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    history = small().fit(*blobs(), epochs=2, validation=0.2, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(
        f"epoch 2/2: loss {history.loss[1]:.4g}, accuracy {history.accuracy[1]:.4g}, "
        f"validation loss {history.validation_loss[1]:.4g}, accuracy "
    )
    assert all(re.search(r", gradient \S+, update \S+, .* s$", line) for line in lines)


def test_a_bar_with_tqdm(capfd):
    pytest.importorskip("tqdm")
    history = small().fit(*blobs(), epochs=3, batch_size=50, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    last = err.splitlines()[-1].rsplit("\r", 1)[-1]
    assert "epoch 3/3: 100%" in last
    assert f"loss {history.loss[-1]:.4g}" in last
    assert "update" in last


def test_a_bar_fits_into_120_columns():
    """Of which tqdm leaves the last empty; in the demo, with the longest numbers that it shows."""
    tqdm = pytest.importorskip("tqdm").tqdm
    values = {"loss": 0.0001234, "validation_loss": 0.001234, "validation_accuracy": 0.9876}
    text = _progress._text({**values, "gradient": 0.012, "update": 1.2e-05})
    assert text == "loss 0.0001234, validation loss 0.001234, accuracy 0.9876, gradient 0.012, update 1.2e-05"
    line = tqdm.format_meter(
        2280, 2280, 60, ncols=119, prefix="epoch 60/60: ", bar_format=_progress.Bar.FORMAT, postfix=text
    )
    assert line.endswith(text)
    assert len(line) == 119


def test_a_terminal_gets_a_bar(monkeypatch, capfd):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    small().fit(*blobs(), epochs=1)
    assert "epoch 1/1" in capfd.readouterr().err


def test_repr_of_history():
    history = fnn.History()
    history.record(loss=0.5, validation_loss=0.25, learning_rate=0.001)
    assert repr(history) == "<History: 1 epoch, completed, loss 0.5, validation loss 0.25, learning rate 0.001>"


def test_gradients_of_many_rows():
    """A narrow last part of the inputs is copied where the others are too large for it.

    In a fresh process, whose memory no other call has made larger.
    """
    program = """
import numpy as np
import fnnfast as fnn

rng = np.random.default_rng(0)
x, y = rng.standard_normal((3000, 868), np.float32), rng.standard_normal((3000, 2048), np.float32)
net = fnn.Sequential([fnn.Input(868), fnn.Dense(2048)], seed=0)
gradients = fnn.Trainer(net, "mse").gradients(x, y)
wanted = x.T @ (2 * (net(x) - y) / y.size)
assert np.abs(gradients["dense_1.weight"] - wanted).max() < 1e-4 * np.abs(wanted).max()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
