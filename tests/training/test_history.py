"""What was recorded in training: as columns, as a drawing, and in a notebook."""

import sys

import numpy as np
import pytest

import fnnfast as fnn

X = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
CLASSES = (X[:, 0] > 0).astype(int)


def network(last=None):
    return fnn.Sequential([fnn.Input(4), fnn.Dense(6, "relu"), last or fnn.Dense(2, "softmax")], seed=0)


def trained(epochs=4, validation=0.25):
    return network().fit(X, CLASSES, epochs=epochs, validation=validation, seed=0)


def test_columns_of_one_length():
    columns = trained().to_dict()
    assert list(columns)[:5] == ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"]
    assert {"dead.dense_1", "gradient_norm.dense_1", "gradient_norm.dense_2", "update_norm.dense_2"} <= set(columns)
    assert {len(values) for values in columns.values()} == {4}
    assert columns["epoch"] == [1, 2, 3, 4]
    frame = pytest.importorskip("pandas").DataFrame(columns)
    assert frame.shape == (4, len(columns))


def test_columns_are_copies_and_only_of_what_was_recorded():
    history = trained(validation=None)
    columns = history.to_dict()
    assert not any("validation" in name for name in columns)
    columns["loss"].append(0.0)
    assert len(history.loss) == 4
    assert trained(0).to_dict() == {"epoch": []}


def test_a_run_that_is_stopped_has_fewer_rows():
    def stop(epoch, history):
        return epoch == 2

    history = network().fit(X, CLASSES, epochs=9, callbacks=[stop], seed=0)
    assert {len(values) for values in history.to_dict().values()} == {3}


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    history = trained()
    losses, accuracy = history.plot()
    assert [line.get_label() for line in losses.lines] == ["training", "validation"]
    np.testing.assert_array_equal(losses.lines[0].get_ydata(), history.loss)
    assert [line.get_label() for line in accuracy.lines] == ["training", "validation"]
    np.testing.assert_array_equal(accuracy.lines[0].get_ydata(), history.accuracy)
    np.testing.assert_array_equal(accuracy.lines[1].get_ydata(), history.validation_accuracy)
    assert accuracy.get_title() == "accuracy"
    own = pyplot.figure().add_subplot()
    (drawn,) = history.plot(own)
    assert drawn is own
    targets = X[:, :1]
    assert len(network(fnn.Dense(1)).fit(X, targets, epochs=2, seed=0).plot()) == 1
    _, r2 = network(fnn.Dense(1)).fit(X, targets, epochs=2, validation=0.25, seed=0).plot()
    assert (r2.get_title(), [line.get_label() for line in r2.lines]) == ("R²", ["validation"])
    trained(0).plot()
    pyplot.close("all")


def test_plot_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"plots need matplotlib: pip install 'fnnfast\[examples\]'"):
        trained().plot()


def test_in_a_notebook():
    history = trained()
    text = history._repr_html_()
    assert "<b>History</b>: 4 epochs, completed" in text
    first, best, last = (
        history.validation_accuracy[0],
        max(history.validation_accuracy),
        history.validation_accuracy[-1],
    )
    row = f"<tr><td>validation accuracy</td><td>{first:.4g}</td><td>{best:.4g}</td><td>{last:.4g}</td></tr>"
    assert row in text
    assert "0 epochs" in trained(0)._repr_html_()


def test_trainers_say_what_they_do():
    trainer = fnn.Trainer(network(), optimizer=fnn.SGD(0.1))
    assert repr(trainer) == "<Trainer: 0 steps, CrossEntropy(), SGD(lr=0.1, momentum=0.0, nesterov=False)>"
    trainer.step(X, CLASSES)
    assert repr(trainer).startswith("<Trainer: 1 step, ")
