"""Sample and class weights: a weight is how often a row counts, in losses, gradients, scores and all of a training."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import HEADS, ROWS, training_data, training_network
from oracles import assert_same_bits, assert_same_networks


def network(kind="classes", dtype="float64", seed=0):
    """Without dropout, which drops other units where a row is repeated."""
    return training_network(kind, dtype, seed, dropout=False)


def weights(rows=ROWS, zeros=True, seed=1):
    w = np.random.default_rng(seed).random(rows) + 0.1
    if zeros:
        w[[2, 3, rows - 1]] = 0
    return w


def assert_close(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-10, atol=1e-14, err_msg=name)


# A batch -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", HEADS)
def test_a_weight_is_how_often_a_row_counts(isa, kind):
    (x, y), loss = training_data(kind), HEADS[kind][1]
    times = np.random.default_rng(2).integers(0, 4, ROWS)
    trainer = fnn.Trainer(network(kind), loss)
    value, grads = trainer.loss_and_gradients(x, y, times)
    expected, expected_grads = trainer.loss_and_gradients(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0))
    assert value == pytest.approx(expected, rel=1e-12)
    assert_close(expected_grads, grads)
    measured = trainer.network.evaluate(x, y, loss=loss, sample_weight=times)
    assert_close(
        trainer.network.evaluate(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0), loss=loss), measured
    )


@pytest.mark.parametrize("kind", HEADS)
def test_equal_weights_are_none(kind, dtype):
    """To the bit for ones; any other number scales both the sum and what it is divided by."""
    (x, y), loss = training_data(kind), HEADS[kind][1]
    trainer = fnn.Trainer(network(kind, dtype), loss)
    value, grads = trainer.loss_and_gradients(x, y)
    same, same_grads = trainer.loss_and_gradients(x, y, np.ones(ROWS))
    assert same == value
    for name, grad in grads.items():
        assert_same_bits(same_grads[name], grad)
    close, close_grads = trainer.loss_and_gradients(x, y, np.full(ROWS, 1e-3))
    rtol = 1e-12 if dtype == np.float64 else 1e-4
    assert close == pytest.approx(value, rel=rtol)
    for name, grad in grads.items():
        np.testing.assert_allclose(close_grads[name], grad, rtol=rtol, atol=rtol * np.abs(grad).max())


def test_step_is_gradients_and_apply_with_weights(dtype):
    x, y = training_data()
    whole, halves = fnn.Trainer(network(dtype=dtype)), fnn.Trainer(network(dtype=dtype))
    for seed in range(3):
        w = weights(seed=seed)
        grads = halves.gradients(x, y, w)
        halves.apply(grads)
        whole.step(x, y, w)
        assert_same_networks(whole.network, halves.network)


@pytest.mark.parametrize("form", [list, tuple, lambda w: w.astype(">f4"), lambda w: np.repeat(w, 2)[::2]])
def test_forms_of_weights(form):
    x, y = training_data()
    w = weights().astype(np.float32)
    expected = fnn.Trainer(network()).loss_and_gradients(x, y, w)[0]
    assert fnn.Trainer(network()).loss_and_gradients(x, y, form(w))[0] == expected
    counts = np.arange(ROWS) % 3
    assert network().evaluate(x, y, sample_weight=counts) == network().evaluate(
        x, y, sample_weight=counts.astype(float)
    )
    assert network().evaluate(x, y, sample_weight=counts > 0)["loss"] == pytest.approx(
        network().evaluate(x[counts > 0], y[counts > 0])["loss"], rel=1e-12
    )


# Rows of weight 0 ----------------------------------------------------------------------------------------------------
FIRST_LAYERS = [
    *(fnn.Dense(9, name) for name in ("relu", "tanh", "prelu", "identity")),
    fnn.Maxout(9, pieces=3),
    fnn.Residual([fnn.Dense(9, "gelu")]),
    fnn.Dropout(0.3),
    fnn.GaussianNoise(0.1),
]


@pytest.mark.parametrize("hidden", FIRST_LAYERS, ids=repr)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -3e38])
@pytest.mark.parametrize("kind", ["classes", "squares"])
def test_rows_of_weight_0_count_for_nothing(isa, hidden, bad, kind):
    """Whatever they hold: NaN, what is infinite, what becomes so in the first layer."""
    layers = [fnn.Input(4), hidden, fnn.Dense(70, "relu"), HEADS[kind][0]]
    net, twin = fnn.Sequential(layers, seed=0), fnn.Sequential(layers, seed=0)
    (x, y), w = training_data(kind, 60), weights(60)
    broken = x.copy()
    broken[w == 0] = bad
    trainer = fnn.Trainer(net, seed=1)
    value, grads = trainer.loss_and_gradients(broken, y, w)
    expected, expected_grads = trainer.loss_and_gradients(x, y, w)
    assert value == expected
    for name, grad in grads.items():
        assert_same_bits(grad, expected_grads[name])
        assert np.isfinite(grad).all()
    assert net.evaluate(broken, y, sample_weight=w) == net.evaluate(x, y, sample_weight=w)
    order = np.random.default_rng(0).permutation(60)
    assert trainer.epoch(broken, y, order, 7, w) == fnn.Trainer(twin, seed=1).epoch(x, y, order, 7, w)
    assert_same_networks(net, twin)


@pytest.mark.parametrize("kind", HEADS)
def test_rows_of_weight_0_after_a_step_that_counted_them(isa, kind):
    """What the trainer's memory still holds of the step before does not show."""
    (x, y), w, loss = training_data(kind), weights(), HEADS[kind][1]
    kept = w > 0
    one, other = (fnn.Trainer(network(kind), loss, fnn.SGD(0.01)) for _ in range(2))
    for trainer in (one, other):
        trainer.step(x, y)
    for _ in range(2):
        value, grads = one.loss_and_gradients(x, y, w)
        expected, expected_grads = other.loss_and_gradients(x[kept], y[kept], w[kept])
        assert value == pytest.approx(expected, rel=1e-12)
        assert_close(expected_grads, grads)
        assert one.step(x, y, w) == pytest.approx(other.step(x[kept], y[kept], w[kept]), rel=1e-12)
        one.epoch(x, y, batch_size=ROWS, sample_weight=w)  # a single batch, of the same rows for both
        other.epoch(x[kept], y[kept], batch_size=ROWS, sample_weight=w[kept])
        assert_close(dict(other.network.parameters), dict(one.network.parameters))


@pytest.mark.parametrize("kind", ["classes", "squares"])
def test_fit_leaves_rows_of_weight_0_out(kind, dtype):
    """The same bits, history and diagnosis included, as without these rows."""
    (x, y), w = training_data(kind, 60), weights(60)
    x[w == 0] = np.nan
    settings = {"epochs": 3, "batch_size": 8, "seed": 5}
    one, other = network(kind, dtype), network(kind, dtype)
    for validation in (None, 0.3):
        history = one.fit(x, y, sample_weight=w, validation=validation, **settings)
        kept = w > 0
        expected = other.fit(x[kept], y[kept], sample_weight=w[kept], validation=validation, **settings)
        assert vars(history) == vars(expected)
        assert_same_networks(one, other)
    if kind == "classes":
        one.fit(x, y, sample_weight=w, class_weight="balanced", **settings)
        other.fit(x[kept], y[kept], sample_weight=w[kept], class_weight="balanced", **settings)
        assert_same_networks(one, other)
    assert one.fit(x, y, sample_weight=w, validation=(x, y, w), epochs=1).validation_loss == [
        one.evaluate(x[kept], y[kept], sample_weight=w[kept])["loss"]
    ]


def test_a_batch_of_weight_0():
    """Nothing to learn from: a step of 0, of loss 0, and an epoch that leaves it out of its mean."""
    x, y = training_data()
    net, twin = network(), network()
    assert fnn.Trainer(net, optimizer="sgd").step(x, y, np.zeros(ROWS)) == 0
    assert_same_networks(net, twin)
    w = np.ones(ROWS)
    w[:8] = 0
    value = fnn.Trainer(net, optimizer=fnn.SGD(1e-300)).epoch(x, y, batch_size=8, sample_weight=w)
    assert value == pytest.approx(twin.evaluate(x[8:], y[8:])["loss"], rel=1e-12)
    assert fnn.Trainer(net).epoch(x, y, sample_weight=np.zeros(ROWS)) == 0


def test_only_rows_of_weight_0():
    x, y = training_data()
    net, twin = network(), network()
    with pytest.raises(ValueError, match="weights: expected one above 0, got zeros for all rows"):
        net.fit(x, y, sample_weight=np.zeros(ROWS))
    with pytest.raises(ValueError, match="weights: expected one above 0"):
        net.fit(x, y, sample_weight=y == 1, class_weight={1: 0})
    with pytest.raises(ValueError, match="weights: expected one above 0"):
        net.fit(x, y, validation=(x, y, np.zeros(ROWS)))
    with pytest.raises(ValueError, match="weights: expected one above 0"):
        net.evaluate(x, y, sample_weight=np.zeros(ROWS))
    assert_same_networks(net, twin)


# The whole training --------------------------------------------------------------------------------------------------
def test_the_loss_of_an_epoch_is_the_weighted_mean_of_its_rows():
    """Over all batches together, not of the batches' means."""
    x, y = training_data()
    net, w = network(), weights(zeros=False) * np.arange(1, ROWS + 1)
    history = net.fit(x, y, sample_weight=w, optimizer=fnn.SGD(1e-300), epochs=2, batch_size=5)
    expected = net.evaluate(x, y, sample_weight=w)["loss"]
    np.testing.assert_allclose(history.loss, [expected] * 2, rtol=1e-12)
    each = [net.evaluate(x[i : i + 1], y[i : i + 1])["loss"] for i in range(ROWS)]
    assert expected == pytest.approx(np.average(each, weights=w), rel=1e-12)


def test_weights_of_given_validation_data():
    x, y = training_data()
    net, w = network(), weights()
    history = net.fit(x, y, validation=(*training_data(seed=3), w), epochs=2, seed=0)
    measured = net.evaluate(*training_data(seed=3), sample_weight=w)
    assert (history.validation_loss[-1], history.validation_accuracy[-1]) == tuple(measured.values())
    assert measured != net.evaluate(*training_data(seed=3))
    with pytest.raises(ValueError, match=r"validation: expected \(x, y\), \(x, y, sample_weight\) or .*, got 4 things"):
        net.fit(x, y, validation=(x, y, w, w))
    with pytest.raises(ValueError, match=r"sample_weight: expected shape \(37,\), got \(36,\)"):
        net.fit(x, y, validation=(x, y, w[1:]))


def test_rows_held_out_keep_their_weights():
    """Of all ways to hold two of eight rows out, one explains both losses, with the weights of rows and classes."""
    x, y = training_data(rows=8)
    net, w, of_class = network(), weights(8, zeros=False), {0: 0.5, 1: 3.0}
    history = net.fit(
        x, y, sample_weight=w, class_weight=of_class, validation=0.25, optimizer=fnn.SGD(1e-300), epochs=1, seed=0
    )
    product = w * [of_class.get(label, 1.0) for label in y]
    losses = np.array([net.evaluate(x[i : i + 1], y[i : i + 1])["loss"] for i in range(8)])
    explained = []
    for i, j in zip(*np.triu_indices(8, 1), strict=True):
        held_out = np.isin(np.arange(8), (i, j))
        means = [np.average(losses[part], weights=product[part]) for part in (~held_out, held_out)]
        explained.append(np.allclose(means, [history.loss[0], history.validation_loss[0]], rtol=1e-9))
    assert sum(explained) == 1


# Classes -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["indices", "one-hot"])
def test_class_weights_are_weights_of_rows(form):
    x, y = training_data()
    given = np.eye(3)[y] if form == "one-hot" else y
    own = np.array([0.25, 1.0, 3.0])[y]
    settings = {"epochs": 2, "seed": 0, "batch_size": 7}
    for sample_weight in (None, weights()):
        one, other = network(), network()
        one.fit(x, given, class_weight={2: 3, 0: 0.25}, sample_weight=sample_weight, **settings)
        other.fit(x, y, sample_weight=own * (1 if sample_weight is None else sample_weight), **settings)
        assert_same_networks(one, other)


def test_class_weights_of_one_sigmoid():
    x, y = training_data()
    labels = y == 1
    one, other = (fnn.Sequential([fnn.Input(4), fnn.Dense(1, "sigmoid")], seed=0) for _ in range(2))
    one.fit(x, labels, class_weight={1: 5.0}, epochs=2, seed=0)
    other.fit(x, labels[:, None].astype(float), sample_weight=np.where(labels, 5.0, 1.0), epochs=2, seed=0)
    assert_same_networks(one, other)


@pytest.mark.parametrize("counts", [(15, 10, 5), (28, 1, 1), (20, 0, 10)])
def test_balanced(counts):
    """Each class that there is weighs the same together, and the mean weight of a row is 1."""
    x, y = np.random.default_rng(0).standard_normal((30, 4)), np.repeat(np.arange(3), counts)
    w = np.array([30 / (np.count_nonzero(counts) * counts[label]) for label in y])
    assert w.mean() == pytest.approx(1)
    one, other = network(), network()
    one.fit(x, y, class_weight="balanced", epochs=2, seed=0)
    other.fit(x, y, sample_weight=w, epochs=2, seed=0)
    assert_same_networks(one, other)


def test_class_weights_are_not_for_given_validation_data():
    x, y = training_data()
    net = network()
    history = net.fit(x, y, class_weight={0: 9.0}, validation=(x, y), epochs=1, seed=0)
    assert history.validation_loss == [net.evaluate(x, y)["loss"]]


# Invalid arguments ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"sample_weight": -np.ones(ROWS)},
            ValueError,
            "sample_weight: expected finite numbers >= 0, got -1.0 at",
        ),
        ({"sample_weight": np.full(ROWS, np.nan)}, ValueError, "sample_weight: expected finite numbers >= 0"),
        ({"sample_weight": np.full(ROWS, np.inf)}, ValueError, "sample_weight: expected finite numbers >= 0"),
        ({"sample_weight": np.full(ROWS, 1e308)}, ValueError, "weights: expected weights of a finite sum, got inf"),
        ({"sample_weight": np.ones(ROWS + 1)}, ValueError, r"sample_weight: expected shape \(37,\), got \(38,\)"),
        ({"sample_weight": np.ones((ROWS, 1))}, ValueError, r"sample_weight: expected shape \(37,\), got \(37, 1\)"),
        ({"sample_weight": 2.0}, ValueError, r"sample_weight: expected shape \(37,\), got \(\)"),
        ({"sample_weight": ["1"] * ROWS}, TypeError, "sample_weight: expected an array of real numbers"),
        ({"sample_weight": np.ones(ROWS, complex)}, TypeError, "sample_weight: expected an array of real numbers"),
        ({"class_weight": {3: 1.0}}, ValueError, "class_weight: expected an integer <= 2, got 3"),
        ({"class_weight": {-1: 1.0}}, ValueError, "class_weight: expected an integer >= 0, got -1"),
        ({"class_weight": {"a": 1.0}}, TypeError, "class_weight: expected an integer >= 0, got 'a'"),
        ({"class_weight": {0: -1.0}}, ValueError, "class_weight: expected a number >= 0, got -1.0"),
        ({"class_weight": {0: np.nan}}, ValueError, "class_weight: expected a number >= 0, got nan"),
        ({"class_weight": {0: 1e308}}, ValueError, "weights: expected weights of a finite sum, got inf"),
        ({"class_weight": "balance"}, ValueError, "class_weight: expected a mapping or 'balanced', got 'balance'"),
        ({"class_weight": [1.0, 2.0, 3.0]}, TypeError, "class_weight: expected a mapping or 'balanced', got \\[1.0"),
    ],
)
def test_invalid_weights(options, error, message):
    x, y = training_data()
    net, twin = network(dtype="float32"), network(dtype="float32")
    with pytest.raises(error, match=message):
        net.fit(x, y, **options)
    if "sample_weight" in options:
        for call in (net.evaluate, fnn.Trainer(net).step, fnn.Trainer(net).gradients, fnn.Trainer(net).epoch):
            with pytest.raises(error, match=message):
                call(x, y, **options)
    assert_same_networks(net, twin)


@pytest.mark.parametrize("kind", ["labels", "squares", "gaussian learned"])
def test_class_weights_without_classes(kind):
    with pytest.raises(ValueError, match=r"class_weight: expected targets of one class per row, got \w+ of \d outputs"):
        network(kind).fit(*training_data(kind), class_weight="balanced")
