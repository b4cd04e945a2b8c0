"""Training on data or networks that make a loss NaN or infinite; a new entry point joins by a line in a table."""

import functools
import warnings

import numpy as np
import pytest

import fnnfast as fnn
from factories import SMALL_INPUTS, SMALL_ROWS, small_data, small_network, with_nan
from oracles import assert_same_bits, assert_same_networks


def assert_same_states(one, other):
    for name, values in one.items():
        assert_same_bits(other[name], values)


# NaN in x ------------------------------------------------------------------------------------------------------------
TRAINING = {
    "fit": lambda net, x, y: net.fit(x, y, epochs=2),
    "fit with weights": lambda net, x, y: net.fit(x, y, epochs=2, sample_weight=np.ones(len(x))),
    "fit that clips": lambda net, x, y: net.fit(x, y, epochs=2, clip_norm=1.0),
    "fit and stop": lambda net, x, y: net.fit(x, y, epochs=2, callbacks=[fnn.EarlyStopping(1)]),
    "fit_many": lambda net, x, y: fnn.fit_many([net, small_network(net.dtype)], x, y, epochs=2),
    "step": lambda net, x, y: fnn.Trainer(net).step(x, y),
    "step with weights": lambda net, x, y: fnn.Trainer(net).step(x, y, np.ones(len(x))),
    "step that clips": lambda net, x, y: fnn.Trainer(net, clip_norm=1.0).step(x, y),
    "epoch": lambda net, x, y: fnn.Trainer(net).epoch(x, y),
    "gradients": lambda net, x, y: fnn.Trainer(net).gradients(x, y),
}


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "inf in float32"), (-np.inf, "-inf in float32")])
def test_nan_in_x_is_said(name, value, said):
    x, y = small_data()
    layers = [fnn.Input(SMALL_INPUTS), fnn.Dense(8, "swish"), fnn.Dense(1)]
    net = fnn.Sequential(layers, seed=0)
    x = with_nan(with_nan(x, 7, 1, value), 7, 2, -value)  # swish of both together: inf - inf, or 0 inf
    with pytest.raises(ValueError, match=f"^x has {said} in row 7, column 1: "):
        TRAINING[name](net, x, y)
    assert all(np.isfinite(values).all() for values in net.parameters.values())


def test_nan_in_a_step_with_labels():
    """Which has a shorter way into compiled code."""
    net = fnn.Sequential([fnn.Input(SMALL_INPUTS), fnn.Dense(2, "softmax")], seed=0)
    trainer, before = fnn.Trainer(net), dict(net.parameters)
    with pytest.raises(ValueError, match="x has NaN in row 5, column 0"):
        trainer.step(with_nan(small_data()[0], 5, 0), np.zeros(SMALL_ROWS, np.int64))
    assert trainer.state()["steps"] == 0
    for name, values in before.items():
        assert_same_bits(net.parameters[name], values)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("optimizer", ["adam", fnn.SGD(0.1, momentum=0.9)], ids=repr)
def test_the_network_is_as_before_that_step(isa, optimizer, clip_norm):
    """Parameters and optimizer; what follows has the same bits as without the step."""
    x, y = small_data()
    layers = [fnn.Input(SMALL_INPUTS), fnn.Dense(8, "prelu"), fnn.Dropout(0.2), fnn.Dense(1)]
    spoilt, whole = (
        fnn.Trainer(fnn.Sequential(layers, seed=0), optimizer=optimizer, clip_norm=clip_norm, seed=1) for _ in range(2)
    )
    with pytest.raises(ValueError, match="x has NaN in row 25, column 2"):
        spoilt.epoch(with_nan(x, 25, 2), y, batch_size=10)
    whole.epoch(x[:20], y[:20], batch_size=10)
    for _ in range(2):
        assert_same_networks(whole.network, spoilt.network)
        assert_same_states(whole.state(), spoilt.state())
        assert spoilt.step(x, y) == whole.step(x, y)


def test_a_loss_that_is_nan_without_x():
    """Nobody is to blame but the parameters: no step is taken, and NaN comes back."""
    x, y = small_data()
    net = small_network()
    net.parameters["dense_2.bias"] = [np.nan]
    trainer, before = fnn.Trainer(net), dict(net.parameters)
    assert np.isnan(trainer.step(x, y))
    assert np.isnan(trainer.epoch(x, y))
    assert trainer.state()["steps"] == 0
    for name, values in before.items():
        assert_same_bits(net.parameters[name], values)


def test_rows_that_do_not_count_are_not_to_blame():
    x, y = small_data()
    net, weights = small_network(), np.ones(SMALL_ROWS)
    x[3, 0], x[9, 1] = np.nan, np.nan
    weights[3] = 0
    with pytest.raises(ValueError, match="x has NaN in row 9, column 1"):
        net.fit(x, y, sample_weight=weights)
    with pytest.raises(ValueError, match="x has NaN in row 9, column 1"):
        fnn.Trainer(net).epoch(x, y, sample_weight=weights)
    order = np.delete(np.arange(SMALL_ROWS), 9)
    assert np.isfinite(fnn.Trainer(net).epoch(x, y, order, sample_weight=weights))


def test_the_first_of_several_is_named():
    """The first in x, not in the order of the steps."""
    x, y = small_data()
    x = with_nan(with_nan(x, 30, 0), 5, 2)
    with pytest.raises(ValueError, match="x has NaN in row 5, column 2"):
        fnn.Trainer(small_network()).epoch(x, y, np.arange(len(x))[::-1])
    for seed in range(5):
        with pytest.raises(ValueError, match="x has NaN in row 5, column 2"):
            small_network().fit(x, y, seed=seed)


def test_the_place_in_a_row_of_more_dimensions():
    x = np.zeros((4, 2, 5), np.float32)
    x[2, 1, 3] = np.nan
    with pytest.raises(ValueError, match=r"x has NaN in row 2, at \(1, 3\)"):
        small_network(inputs=(2, 5)).fit(x, np.zeros(4))


# NaN in validation data ----------------------------------------------------------------------------------------------
def with_validation(validate):
    """Training with these validation data: 12 epochs that a callback may end after 3."""
    x, y = small_data()
    return validate(functools.partial(small_network().fit, x, y), {"epochs": 12, "callbacks": [fnn.EarlyStopping(3)]})


def validated_side_by_side(xv, yv):
    x, y = small_data()
    options = {"epochs": 12, "callbacks": lambda i: [fnn.EarlyStopping(3)], "validation": (xv, yv)}
    return fnn.fit_many([small_network()], x, y, **options)[0]


VALIDATED = {
    "two": lambda xv, yv: with_validation(lambda fit, options: fit(**options, validation=(xv, yv))),
    "three": lambda xv, yv: with_validation(
        lambda fit, options: fit(**options, validation=(xv, yv, np.arange(len(xv))))
    ),
    "fit_many": validated_side_by_side,
}


@pytest.mark.parametrize("name", VALIDATED)
def test_nan_in_validation_data_is_said(name):
    """And no epoch passes for one that is no better."""
    xv, yv = small_data(seed=1)
    with pytest.warns(
        fnn.DivergenceWarning, match="validation loss is nan: validation x has NaN in row 4, column 2"
    ) as w:
        history = VALIDATED[name](with_nan(xv, 4, 2), yv)
    assert len(w) == 1
    assert len(history.loss) == 12
    assert history.stopped == "completed"


def test_nan_in_rows_that_are_held_out():
    """The row is that of x."""
    x, y = small_data()
    said = {"trained on": 0, "held out": 0}
    for row in range(SMALL_ROWS):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                small_network().fit(with_nan(x, row, 1), y, epochs=1, validation=0.25, seed=0)
            except ValueError as error:
                said["trained on"] += f"x has NaN in row {row}, column 1" in str(error)
            else:
                said["held out"] += f"validation x has NaN in row {row}, column 1" in str(caught[0].message)
    assert said == {"trained on": 30, "held out": 10}


def test_validation_that_overflows_is_said():
    x, y = small_data()
    with pytest.warns(fnn.DivergenceWarning, match="the validation loss is inf: the network's outputs"):
        small_network().fit(x, y, epochs=2, validation=(x, 1e30 * y))


# What is kept --------------------------------------------------------------------------------------------------------
class Spoil:
    """Makes the network one that has no loss, after so many epochs."""

    def __init__(self, after):
        self.after = after

    def start(self, network):
        self.network = network

    def __call__(self, epoch, history):
        if epoch == self.after:
            self.network.parameters["dense_2.bias"] = [np.nan]


def test_early_stopping_keeps_the_best_finite_epoch():
    x, y = small_data()
    stopping = fnn.EarlyStopping(5)
    net, expected = small_network(), small_network()
    with pytest.warns(fnn.DivergenceWarning, match="the loss is nan"):
        history = net.fit(x, y, epochs=20, seed=0, callbacks=[stopping, Spoil(3)])
    assert history.stopped == "early"
    assert len(history.loss) == 5
    assert stopping.best_epoch == 3
    expected.fit(x, y, epochs=4, seed=0)
    assert_same_networks(expected, net)


def test_a_checkpoint_does_not_keep_a_spoilt_epoch(tmp_path):
    x, y = small_data()
    net, path = small_network(), tmp_path / "run"
    with pytest.raises(ValueError, match="x has NaN"):
        net.fit(with_nan(x, 3, 1), y, seed=0, checkpoint=path)
    assert not path.exists()


def test_a_checkpoint_keeps_what_was_not_judged(tmp_path):
    x, y = small_data()
    runs = []
    for path, epochs in ((None, 9), (tmp_path / "run", 4), (tmp_path / "run", 9)):
        stopping = fnn.EarlyStopping(3)
        with pytest.warns(fnn.DivergenceWarning, match="validation"):
            runs.append(
                small_network().fit(
                    x, y, epochs=epochs, seed=0, validation=(x * np.nan, y), callbacks=[stopping], checkpoint=path
                )
            )
    assert len(runs[2].loss) == len(runs[0].loss) == 9
    assert_same_bits(np.array(runs[2].loss), np.array(runs[0].loss))


# Classes -------------------------------------------------------------------------------------------------------------
CLASSES = {
    "predict": lambda net, x: net.predict(x),
    "mode": lambda net, x: net.distribution(x).mode,
    "Ensemble": lambda net, x: fnn.Ensemble([net]).predict(x),
    "bfloat16": lambda net, x: net.astype("bfloat16").predict(x),
    "int8": lambda net, x: net.quantize(np.nan_to_num(x)).predict(x),
}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(("head", "outputs"), [("softmax", 3), ("sigmoid", 1), ("sigmoid", 2)])
def test_nan_is_no_class(head, outputs, name):
    """A comparison with NaN would make it class 0."""
    x, _ = small_data()
    net = fnn.Sequential([fnn.Input(SMALL_INPUTS), fnn.Dense(outputs, head)], seed=0)
    with pytest.raises(ValueError, match="outputs: expected numbers to choose a class by, got NaN in row 7"):
        CLASSES[name](net, with_nan(x, 7, 1))
    assert len(CLASSES[name](net, x)) == len(x)
    assert len(net.predict(x[:0])) == 0


@pytest.mark.parametrize(("head", "outputs"), [("softmax", 3), ("sigmoid", 1), ("sigmoid", 2)])
def test_nan_is_counted_as_wrong(head, outputs):
    x, _ = small_data()
    net = fnn.Sequential([fnn.Input(SMALL_INPUTS), fnn.Dense(outputs, head)], seed=0)
    labels = net.predict(x)
    row = np.flatnonzero(labels.reshape(len(x), -1).sum(axis=1) == 0)[0]  # that which NaN would be taken for
    assert net.evaluate(x, labels)["accuracy"] == 1
    accuracy = net.evaluate(with_nan(x, row, 1), labels)["accuracy"]
    assert accuracy == pytest.approx((len(x) - 1) / len(x))


# On a GPU ------------------------------------------------------------------------------------------------------------
@pytest.mark.cuda
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_nan_on_a_gpu(cuda, clip_norm):
    """The network is as before that step there, too, although nothing waits for the loss."""
    x, y = small_data()
    spoilt, whole = (fnn.Trainer(small_network(device="cuda"), clip_norm=clip_norm, seed=1) for _ in range(2))
    with pytest.raises(ValueError, match="x has NaN in row 25, column 2"):
        spoilt.epoch(cuda.array(with_nan(x, 25, 2)), cuda.array(y), batch_size=10)
    whole.epoch(cuda.array(x[:20]), cuda.array(y[:20]), batch_size=10)
    for _ in range(2):
        for name, values in whole.network.parameters.items():
            assert_same_bits(cuda.host(spoilt.network.parameters[name]), cuda.host(values))
        assert_same_states(whole.state(), spoilt.state())
        for trainer in (spoilt, whole):
            trainer.step(cuda.array(x), cuda.array(y))


@pytest.mark.cuda
def test_fit_with_nan_on_a_gpu(cuda):
    x, y = small_data()
    net = small_network(device="cuda")
    with pytest.raises(ValueError, match="x has NaN in row 25, column 2"):
        net.fit(cuda.array(with_nan(x, 25, 2)), cuda.array(y))
    validation = cuda.array(with_nan(x, 4, 2)), cuda.array(y)
    with pytest.warns(fnn.DivergenceWarning, match="validation x has NaN in row 4, column 2"):
        net.fit(cuda.array(x), cuda.array(y), epochs=1, validation=validation)


@pytest.mark.cuda
def test_a_step_of_nan_on_a_gpu_is_not_taken(cuda):
    x, y = small_data()
    trainer = fnn.Trainer(small_network(device="cuda"))
    assert np.isnan(cuda.host(trainer.step(cuda.array(with_nan(x, 1, 1)), cuda.array(y))))
    assert trainer.state()["steps"] == 0
    assert all(np.isfinite(cuda.host(values)).all() for values in trainer.network.parameters.values())
    assert np.isfinite(cuda.host(trainer.step(cuda.array(x), cuda.array(y))))
    assert trainer.state()["steps"] == 1
