"""Losses and the layers they follow: which go together, invalid targets, and scores."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.metrics import r2_score

import fnnfast as fnn
from oracles import scores

LOSSES = [
    fnn.CrossEntropy(),
    fnn.MulticlassHinge(),
    fnn.BinaryCrossEntropy(),
    fnn.Hinge(),
    fnn.Poisson(),
    fnn.MeanSquaredError(),
    fnn.GaussianNLL(2.0),
    fnn.GaussianNLL((1.0, 2.0)),
    fnn.GaussianNLL("learned"),
]
HEADS = {
    "softmax": fnn.Dense(2, "softmax"),
    "sigmoid": fnn.Dense(2, "sigmoid"),
    "identity": fnn.Dense(2),
    "tanh": fnn.Dense(2, "tanh"),
    "maxout": fnn.Maxout(2),
    "gaussian": fnn.Gaussian(2),
}
GO_TOGETHER = {
    "CrossEntropy": {"softmax", "identity", "maxout"},
    "MulticlassHinge": {"identity", "maxout"},
    "BinaryCrossEntropy": {"sigmoid", "identity", "maxout"},
    "Hinge": {"identity", "maxout"},
    "Poisson": {"identity", "maxout"},
    "MeanSquaredError": {"softmax", "sigmoid", "identity", "tanh", "maxout"},
    "GaussianNLL": {"softmax", "sigmoid", "identity", "tanh", "maxout"},
}


def test_every_loss_is_here():
    kinds = {cls for cls in vars(fnn).values() if isinstance(cls, type) and issubclass(cls, fnn.losses.Loss)}
    assert set(map(type, LOSSES)) == kinds
    assert GO_TOGETHER.keys() == {cls.__name__ for cls in kinds}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_heads(loss, head):
    net = fnn.Sequential([fnn.Input(3), HEADS[head]], seed=0)
    x, labels = np.ones((4, 3)), [0, 1, 1, 0]
    y = labels if loss.kernel in ("categorical_cross_entropy", "multiclass_hinge") else np.eye(2)[labels]
    fits = {"gaussian"} if loss == fnn.GaussianNLL("learned") else GO_TOGETHER[type(loss).__name__]
    if head in fits:
        before = net.evaluate(x, y, loss=loss)
        assert fnn.Trainer(net, loss).step(x, y) == pytest.approx(before["loss"], rel=1e-6)
        assert before.keys() == {"loss", loss.metric}
        return
    for call in (lambda: fnn.Trainer(net, loss), lambda: net.evaluate(x, y, loss=loss), lambda: net.fit(x, y, loss)):
        with pytest.raises(ValueError, match=rf"({type(loss).__name__}|precision): expected .* head, got "):
            call()


@pytest.mark.parametrize(
    ("head", "loss"),
    [
        ("softmax", "CrossEntropy()"),
        ("sigmoid", "BinaryCrossEntropy()"),
        ("gaussian", "GaussianNLL(precision='learned')"),
        *((head, "MeanSquaredError()") for head in ("identity", "tanh", "maxout")),
    ],
)
def test_the_loss_that_belongs_to_a_head(head, loss):
    assert repr(fnn.Trainer(fnn.Sequential([fnn.Input(3), HEADS[head]])).loss) == loss


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.GaussianNLL(0), ValueError, "precision: expected a number > 0, got 0"),
        (lambda: fnn.GaussianNLL(-1.0), ValueError, "precision: expected a number > 0, got -1.0"),
        (lambda: fnn.GaussianNLL(np.nan), ValueError, "precision: expected a number > 0, got nan"),
        (lambda: fnn.GaussianNLL([1.0, np.inf]), ValueError, "precision: expected a number > 0, got inf"),
        (lambda: fnn.GaussianNLL("learnt"), ValueError, "precision: expected numbers > 0 or 'learned', got 'learnt'"),
        (lambda: fnn.GaussianNLL(None), TypeError, "precision: expected a number > 0, got None"),
        (lambda: fnn.GaussianNLL(True), TypeError, "precision: expected a number > 0, got True"),
        (lambda: fnn.GaussianNLL(np.array(2.0)), TypeError, r"precision: expected a number > 0, got array"),
        (lambda: fnn.GaussianNLL(np.ones((2, 2))), TypeError, "precision: expected a number > 0, got array"),
        (lambda: fnn.Hinge(2), TypeError, "argument"),
    ],
)
def test_invalid_losses(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("precision", "dtype", "message"),
    [
        ((1.0, 2.0, 3.0), "float64", "precision: expected 1 or 2 values, one an output, got 3"),
        ((), "float64", "precision: expected 1 or 2 values, one an output, got 0"),
        (1e39, "float32", r"precision: expected numbers > 0 in float32's range, got 1e\+39"),
        ((1.0, 1e-60), "float32", r"precision: expected numbers > 0 in float32's range, got \(1.0, 1e-60\)"),
    ],
)
def test_precisions_that_do_not_fit_a_network(precision, dtype, message):
    net, loss = fnn.Sequential([fnn.Input(1), fnn.Dense(2)], dtype=dtype), fnn.GaussianNLL(precision)
    for call in (lambda: fnn.Trainer(net, loss), lambda: net.evaluate([[1.0]], [[1.0, 1.0]], loss=loss)):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("loss", "outputs", "y", "error", "message"),
    [
        (fnn.MulticlassHinge(), 3, [0, 3], ValueError, "y: expected class indices 0 to 2, got 0 to 3"),
        (fnn.MulticlassHinge(), 3, [0.0, 1.0], TypeError, "y: expected integers for class indices"),
        (fnn.MulticlassHinge(), 3, [[1, 1, 0], [0, 0, 1]], ValueError, "y: expected one-hot rows"),
        (fnn.Hinge(), 1, [-1, 1], ValueError, "y: expected labels 0 and 1, got "),
        (fnn.Hinge(), 2, [0, 1], ValueError, r"y: expected shape \(B, 2\), got \(2,\)"),
        (fnn.Poisson(), 1, [1.0, -0.5], ValueError, "y: expected targets >= 0, got -0.5"),
        (fnn.Poisson(), 1, [1.0, np.inf], ValueError, "y: expected finite targets, got (nan|inf) at index"),
        (fnn.Poisson(), 2, [1, 1], ValueError, r"y: expected shape \(B, 2\), got \(2,\)"),
        (fnn.GaussianNLL(), 1, [0.0, np.nan], ValueError, "y: expected finite targets, got (nan|inf) at index"),
        (
            fnn.GaussianNLL("learned"),
            2,
            np.ones((2, 2)),
            ValueError,
            r"y: expected shape \(B,\) or \(B, 1\), got \(2, 2\)",
        ),
        (fnn.GaussianNLL("learned"), 4, np.ones(2), ValueError, r"y: expected shape \(B, 2\), got \(2,\)"),
    ],
)
def test_invalid_targets(loss, outputs, y, error, message):
    learned = loss == fnn.GaussianNLL("learned")
    net = fnn.Sequential([fnn.Input(1), fnn.Gaussian(outputs // 2) if learned else fnn.Dense(outputs)])
    with pytest.raises(error, match=message):
        fnn.Trainer(net, loss).step(np.ones((2, 1)), y)


def test_losses_are_values():
    assert fnn.GaussianNLL([1, 2]) == fnn.GaussianNLL((1.0, 2.0)) == fnn.GaussianNLL(np.array([1.0, 2.0]))
    assert fnn.GaussianNLL(1) != fnn.GaussianNLL("learned")
    for loss in LOSSES:
        for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), eval(repr(loss), vars(fnn))):
            assert twin == loss
            assert hash(twin) == hash(loss)
    assert len(set(LOSSES)) == len(LOSSES)


# Scores --------------------------------------------------------------------------------------------------------------
def test_accuracy_of_hinge_decides_at_zero():
    net, x = scores(np.array([[0.0], [-0.1], [0.6], [2.0]]))
    assert net.evaluate(x, [1, 1, 0, 1], loss=fnn.Hinge())["accuracy"] == 0.5


def test_accuracy_of_multiclass_hinge():
    net, x = scores(np.array([[1.0, 2.0, 0.0], [5.0, 4.0, 3.0], [0.0, 0.0, 0.0]]))
    assert net.evaluate(x, [1, 2, 0], loss=fnn.MulticlassHinge())["accuracy"] == pytest.approx(2 / 3)


def test_r2_of_constant_targets():
    """1 where they are met, else 0; averaged with the other outputs."""
    z = np.array([[2.0, 1.0], [2.0, 3.0], [2.0, 4.0]])
    for y, weights, expected in (
        ([[2, 1], [2, 3], [2, 4]], None, 1.0),
        ([[3, 1], [3, 3], [3, 4]], None, 0.5),
        ([[2, 1], [2, 3], [2, 5]], None, (1 + r2_score([1, 3, 5], z[:, 1])) / 2),
        ([[2, 1], [2, 3], [9, 5]], [1, 2, 0], 1.0),
        ([[3, 1], [3, 3], [2, 5]], [1, 2, 0], 0.5),
        ([[2, 1], [2, 3], [2, 5]], [1, 2, 3], (1 + r2_score([1, 3, 5], z[:, 1], sample_weight=[1, 2, 3])) / 2),
    ):
        net, x = scores(z)
        assert net.evaluate(x, y, sample_weight=weights)["r2"] == pytest.approx(expected, rel=1e-12)
    net, x = scores(z[:, :1])
    assert net.evaluate(x, [2.0] * 3)["r2"] == 1.0
    assert net.evaluate(x, [3.0] * 3)["r2"] == 0.0


def test_r2_of_poisson_is_that_of_the_expected_counts():
    rng = np.random.default_rng(0)
    z, y, w = rng.standard_normal((20, 2)), rng.poisson(2, (20, 2)), rng.random(20)
    net, x = scores(z)
    expected = r2_score(y, np.exp(z), sample_weight=w)
    assert net.evaluate(x, y, loss=fnn.Poisson(), sample_weight=w)["r2"] == pytest.approx(expected, rel=1e-12)
    z[0, 0] = 1000
    net, x = scores(z)
    assert net.evaluate(x, y, loss=fnn.Poisson())["r2"] == -np.inf


def test_r2_of_a_gaussian_head_is_that_of_the_means():
    rng = np.random.default_rng(0)
    means, log_precision, y = rng.standard_normal((3, 20, 2))
    net, x = scores(np.hstack([means, log_precision]), gaussian=True)
    expected = 1 - ((means - y) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert net.evaluate(x, y)["r2"] == pytest.approx(expected.mean(), rel=1e-12)
    np.testing.assert_array_equal(net.predict(x), means)
