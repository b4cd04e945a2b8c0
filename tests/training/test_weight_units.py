"""Sample weights of any size: only their ratios count, in every entry point; a new one joins by a line in a table."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fnnfast as fnn
from factories import SMALL_INPUTS, SMALL_ROWS, small_data, small_network
from fnnfast.sklearn import FNNClassifier, FNNRegressor
from oracles import assert_same_bits, assert_same_networks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def trained(**options):
    def train(dtype, weights):
        (x, y), net = small_data(dtype=dtype), small_network(dtype)
        history = net.fit(x, y, epochs=2, batch_size=7, seed=0, sample_weight=weights, **options)
        return [*net.parameters.values(), np.array(history.loss), np.array(history.validation_loss)]

    return train


def trained_side_by_side(dtype, weights):
    (x, y), net = small_data(dtype=dtype), small_network(dtype)
    history = fnn.fit_many([net], x, y, epochs=2, seed=0, sample_weight=weights)[0]
    return [*net.parameters.values(), np.array(history.loss)]


def stepped(dtype, weights):
    trainer = fnn.Trainer(small_network(dtype))
    x, y = small_data(dtype=dtype)
    return [np.array(trainer.step(x, y, weights)), *trainer.network.parameters.values()]


def stepped_through(dtype, weights):
    trainer = fnn.Trainer(small_network(dtype))
    x, y = small_data(dtype=dtype)
    return [np.array(trainer.epoch(x, y, batch_size=1, sample_weight=weights)), *trainer.network.parameters.values()]


def gradients(dtype, weights):
    loss, grads = fnn.Trainer(small_network(dtype)).loss_and_gradients(*small_data(dtype=dtype), weights)
    return [np.array(loss), *grads.values()]


def measured(dtype, weights):
    return [
        np.array(v) for v in small_network(dtype).evaluate(*small_data(dtype=dtype), sample_weight=weights).values()
    ]


def measured_after_epochs(dtype, weights):
    (x, y), net = small_data(dtype=dtype), small_network(dtype)
    history = net.fit(x, y, epochs=2, seed=0, validation=(x, y, weights))
    return [np.array(history.validation_loss), np.array(history.validation_r2)]


def fitted(cls, solver="adam", **options):
    def fit(dtype, weights):
        x, y = small_data(dtype=dtype)
        y = y if cls is FNNRegressor else y > 0
        settings = {"solver": solver, "alpha": 0, "max_iter": 3, "batch_size": 7, "random_state": 0}
        model = cls(8, **{**settings, **options}) if cls is FNNClassifier else cls(hidden_layer_sizes=8, **settings)
        model.fit(x, y, weights, X_val=x, y_val=y, sample_weight_val=weights)
        return [*model.coefs_, np.array(model.loss_curve_), np.array(model.validation_scores_)]

    return fit


WEIGHTED = {
    "fit": trained(),
    "fit with a share held out": trained(validation=0.25),
    "fit that clips": trained(clip_norm=1.0),
    "fit_many": trained_side_by_side,
    "step": stepped,
    "epoch": stepped_through,
    "gradients": gradients,
    "evaluate": measured,
    "validation": measured_after_epochs,
    "classifier": fitted(FNNClassifier),
    "balanced classifier": fitted(FNNClassifier, class_weight="balanced"),
    "regressor": fitted(FNNRegressor),
    "regressor by lbfgs": fitted(FNNRegressor, "lbfgs"),
}


@pytest.mark.parametrize("exponent", [-1000, -300, -140, -60, 60, 140, 300, 1000])
@pytest.mark.parametrize("name", WEIGHTED)
def test_the_unit_of_weights_does_not_show(dtype, name, exponent):
    """To the bit for powers of two."""
    weights = np.random.default_rng(1).random(SMALL_ROWS).astype(np.float32).astype(np.float64)
    weights[[3, 8]] = 0
    for expected, got in zip(
        WEIGHTED[name](dtype, weights), WEIGHTED[name](dtype, weights * 2.0**exponent), strict=True
    ):
        assert np.isfinite(got).all()
        assert_same_bits(got, expected)


@pytest.mark.parametrize("weight", [2.0**-133, 2.0**-149, 2.0**-160, 2.0**-1000, 5e-324])
@pytest.mark.parametrize("name", ["fit", "epoch"])
def test_a_row_alone_in_its_batch_counts_as_any(isa, dtype, name, weight):
    """However small its weight is: a batch's loss is the mean of its rows'. Only the mean of the batches is another."""
    (x, y), weights = small_data(dtype=dtype), np.ones(SMALL_ROWS)
    weights[5] = weight
    networks = small_network(dtype), small_network(dtype)
    for net, of_rows in zip(networks, (None, weights), strict=True):
        if name == "fit":
            net.fit(x, y, epochs=1, batch_size=1, seed=0, sample_weight=of_rows)
        else:
            fnn.Trainer(net).epoch(x, y, batch_size=1, sample_weight=of_rows)
    assert_same_networks(*networks)


@pytest.mark.parametrize("weight", [1e-40, 1e-300])
def test_estimators_take_a_small_weight(weight):
    x, y = small_data()
    weights = np.ones(SMALL_ROWS)
    weights[5] = weight
    for cls, targets in ((FNNClassifier, y > 0), (FNNRegressor, y)):
        model = cls(hidden_layer_sizes=8, batch_size=1, max_iter=3, random_state=0).fit(x, targets, weights)
        assert np.isfinite(model.loss_curve_).all()
        assert model.score(x, targets) > cls(hidden_layer_sizes=8, max_iter=1, random_state=0).fit(x, targets).score(
            x, targets
        )


@pytest.mark.parametrize("cls", [FNNClassifier, FNNRegressor])
def test_weights_of_an_infinite_sum(cls):
    x, y = small_data()
    with pytest.raises(ValueError, match="sample_weight: expected weights of a finite sum"):
        cls().fit(x, y > 0, np.full(SMALL_ROWS, 1e308))


def unequal():
    """Rows, of which those of weight 0 would turn "balanced" about."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SMALL_ROWS, SMALL_INPUTS))
    y = np.where(np.arange(SMALL_ROWS) < SMALL_ROWS // 2, np.arange(SMALL_ROWS) % 2, 1)
    return x, y, (np.arange(SMALL_ROWS) < SMALL_ROWS // 2).astype(float)


def balanced_network(x, y, weights):
    net = fnn.Sequential([fnn.Input(SMALL_INPUTS), fnn.Dense(2, "softmax")], seed=0)
    net.fit(x, y, sample_weight=weights, class_weight="balanced", seed=0)
    return net(unequal()[0])


def balanced_networks(x, y, weights):
    net = fnn.Sequential([fnn.Input(SMALL_INPUTS), fnn.Dense(2, "softmax")], seed=0)
    fnn.fit_many([net], x, y, sample_weight=weights, class_weight="balanced", seed=0)
    return net(unequal()[0])


def balanced_classifier(**settings):
    def fit(x, y, weights):
        model = FNNClassifier(8, class_weight="balanced", max_iter=5, random_state=0, **settings)
        return model.fit(x, y, weights).fit(x, y, weights).predict_proba(unequal()[0])

    return fit


def balanced_labels(x, y, weights):
    model = FNNClassifier(8, class_weight="balanced", max_iter=5, random_state=0)
    return model.fit(x, np.stack([y, y[::-1]], 1), weights).predict_proba(unequal()[0])


BALANCED = {
    "fit": balanced_network,
    "fit_many": balanced_networks,
    "classifier": balanced_classifier(),
    "sgd": balanced_classifier(solver="sgd"),
    "lbfgs": balanced_classifier(solver="lbfgs"),
    "early stopping": balanced_classifier(early_stopping=True, validation_fraction=0.2),
    "warm start": balanced_classifier(warm_start=True),
}


@pytest.mark.parametrize("name", BALANCED)
def test_rows_of_weight_0_are_not_counted(name):
    """For "balanced" classes they might as well not be there."""
    x, y, weights = unequal()
    there = weights > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        expected = BALANCED[name](x[there], y[there], None if "fit" in name else np.ones(there.sum()))
        assert_same_bits(BALANCED[name](x, y, weights), expected)


@pytest.mark.cuda
@pytest.mark.parametrize("exponent", [-149 + 24, -100, 100])
@pytest.mark.parametrize("there", [False, True], ids=["host", "gpu"])
def test_the_unit_of_weights_on_a_gpu(cuda, there, exponent):
    x, y = map(cuda.array, small_data())
    weights = np.random.default_rng(1).integers(1, 2**20, SMALL_ROWS) / 2.0**20
    found = []
    for of_rows in (weights, weights * 2.0**exponent):
        trainer = fnn.Trainer(small_network(device="cuda"))
        given = cuda.array(of_rows.astype(np.float32)) if there else of_rows.tolist()
        trainer.step(x, y, given)
        trainer.epoch(x, y, batch_size=1, sample_weight=given)
        measured = list(trainer.network.evaluate(x, y, sample_weight=given).values())
        found.append([*map(cuda.host, trainer.network.parameters.values()), *map(np.array, measured)])
    for expected, got in zip(*found, strict=True):
        assert_same_bits(got, expected)
