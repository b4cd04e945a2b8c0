"""Dead units: when training warns of them, and when a unit is not dead."""

import warnings

import numpy as np
import pytest

import fnnfast as fnn
from factories import STILL

pytestmark = [
    pytest.mark.usefixtures("machine_restored"),
    pytest.mark.filterwarnings("ignore::fnnfast.DeadUnitsWarning"),
]


def with_dead(*dead, of=10, activation="relu"):
    """Layers of ten units, of which so many are dead."""
    net = fnn.Sequential(
        [fnn.Input(1), *[fnn.Dense(of, activation)] * len(dead), fnn.Dense(1)], dtype="float64", seed=0
    )
    for i, count in enumerate(dead, start=1):
        net.parameters[f"dense_{i}.weight"] = np.abs(net.parameters[f"dense_{i}.weight"])
        net.parameters[f"dense_{i}.bias"] = np.where(np.arange(of) < count, -100.0, 0.1)
    return net


def heard(net, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(np.ones((100, 1)), np.zeros(100), **{"optimizer": STILL, "epochs": 3, **options})
    assert all(w.category is fnn.DeadUnitsWarning for w in caught)
    assert all(w.filename == __file__ for w in caught)  # the line that called fit
    return [str(w.message) for w in caught]


def test_dead_units_are_warned_of_once_a_layer():
    assert heard(with_dead(3, 0, 10)) == [
        f"{layer}: {share} of its units are dead; a lower learning rate, leaky_relu, prelu, elu or maxout may help"
        for layer, share in (("dense_1", "30%"), ("dense_3", "100%"))
    ]
    net = with_dead(5)
    assert len(heard(net)) == len(heard(net)) == 1  # each fit anew


def test_a_tenth_is_not_yet_warned_of():
    assert heard(with_dead(1)) == []
    assert len(heard(with_dead(2))) == 1


@pytest.mark.parametrize("activation", ["leaky_relu", fnn.PReLU(0.25), "sigmoid", "identity"], ids=repr)
def test_what_does_not_die(activation):
    assert heard(with_dead(10, activation=activation)) == []


def test_a_warning_that_is_an_error_ends_training():
    net, epochs = with_dead(5), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(fnn.DeadUnitsWarning):
            net.fit(np.ones((100, 1)), np.zeros(100), callbacks=[lambda epoch, history: epochs.append(epoch)])
    assert epochs == []


def test_a_layer_that_dies_later():
    """It is warned of when it is dead, not before."""
    net, seen = with_dead(0), []

    def kill(epoch, history):
        seen.append(len(caught))
        if epoch == 1:
            net.parameters["dense_1.bias"] = np.full(10, -100.0)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(np.ones((100, 1)), np.zeros(100), optimizer=STILL, epochs=4, callbacks=[kill])
    assert seen == [0, 0, 1, 1]


def test_a_unit_that_is_nan_is_not_dead(isa):
    """In training as on data."""
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(20, "leaky_relu"), fnn.Dense(1)], seed=0)
    net.parameters["dense_1.weight"] = np.full((2, 20), np.nan)
    x = np.ones((200, 2))
    with pytest.warns(fnn.DivergenceWarning):
        history = net.fit(x, np.zeros(200), epochs=1)
    assert history.dead["dense_1"] == [net.diagnose(x)["dead"]["dense_1"]] == [0.0]


@pytest.mark.parametrize("place", [0, 299, 599])
def test_one_row_that_is_nan(isa, place):
    """Whichever block of rows it is in: nothing is known of a unit that saw it."""
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(20, "relu"), fnn.Dense(1)], dtype="float64", seed=0)
    net.parameters["dense_1.bias"] = np.full(20, -100.0)
    trainer = fnn.Trainer(net, optimizer=STILL)
    x = np.ones((600, 2))
    trainer.step(x, np.zeros(600))
    assert trainer._diagnosis()["dead"] == {"dense_1": 1.0}
    x[place] = np.nan
    with pytest.raises(ValueError, match=f"x has NaN in row {place}, column 0"):
        trainer.step(x, np.zeros(600))
    assert trainer._diagnosis()["dead"] == {"dense_1": 0.0}


def test_few_rows_do_not_show_that_a_unit_is_dead():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_dead(5).fit(np.ones((99, 1)), np.zeros(99), optimizer=STILL, epochs=1)
