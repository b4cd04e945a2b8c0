"""The losses one by one: values and derivatives against the oracle, special values, targets, heads, scores."""

import copy
import pickle

import numpy as np
import pytest
import scipy.special
import scipy.stats
from sklearn.metrics import r2_score

import fnnfast as fnn
from fnnfast import reference
from oracles import assert_within, eps

SIZES = [(1, 1), (1, 7), (5, 2), (9, 16), (33, 17), (3, 100)]


def scores(z, gaussian=False):
    """A network whose outputs for the rows of an identity matrix are the rows of z: 0 * w adds nothing to 1 * z."""
    rows, columns = z.shape
    head = fnn.Gaussian(columns // 2) if gaussian else fnn.Dense(columns)
    net = fnn.Sequential([fnn.Input(rows), head], dtype=z.dtype)
    net.parameters[next(iter(net.parameters))] = z
    return net, np.eye(rows)


def value_and_derivative(loss, z, targets, weights=None):
    """Of a loss, as it is evaluated and as it is trained, for outputs z (B, O): every row's derivative is its own."""
    net, x = scores(z, isinstance(loss, fnn.GaussianNLL) and loss.learned)
    value, grads = fnn.Trainer(net, loss).loss_and_gradients(x, targets, weights)
    assert net.evaluate(x, targets, loss=loss, sample_weight=weights)["loss"] == pytest.approx(value, rel=1e-6)
    return value, grads[next(iter(net.parameters))]


def problem(kind, rng, rows, columns, dtype):
    """A loss, its oracle, outputs around the interesting values, and targets."""
    z = (3 * rng.standard_normal((rows, columns))).astype(dtype)
    labels, bits = rng.integers(0, columns, rows), rng.integers(0, 2, (rows, columns))
    reals = (3 * rng.standard_normal((rows, columns))).astype(dtype)
    if kind == "categorical":
        return fnn.CrossEntropy(), reference.LOSSES["categorical_cross_entropy"], z, labels
    if kind == "binary":
        return fnn.BinaryCrossEntropy(), reference.LOSSES["binary_cross_entropy"], z, bits
    if kind == "squares":
        return fnn.MeanSquaredError(), reference.LOSSES["squared_error"], z, reals
    if kind == "hinge":
        return fnn.Hinge(), reference.LOSSES["hinge"], z, bits
    if kind == "multiclass hinge":
        return fnn.MulticlassHinge(), reference.LOSSES["multiclass_hinge"], z, labels
    if kind == "poisson":
        return fnn.Poisson(), reference.LOSSES["poisson"], z, np.maximum(reals, 0)  # about half of them 0
    if kind == "gaussian learned":
        return fnn.GaussianNLL("learned"), reference.LOSSES["gaussian_learned"], np.hstack([z, z[::-1] / 3]), reals
    precision = tuple(rng.uniform(0.1, 5, columns).astype(dtype).tolist())
    return fnn.GaussianNLL(precision), type(reference.LOSSES["gaussian"])(precision), z, reals


KINDS = ["categorical", "binary", "squares", "gaussian", "gaussian learned", "hinge", "multiclass hinge", "poisson"]


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_against_the_oracle(isa, dtype, kind, rows, columns):
    """A term of a row's sum is off by a few eps of the largest of its parts, a derivative of the largest in its row."""
    loss, oracle, z, targets = problem(kind, np.random.default_rng(rows * columns), rows, columns, dtype)
    value, derivative = value_and_derivative(loss, z, targets)
    largest = 1 + float(np.abs(z).max()) + float(np.abs(targets).max())
    if "gaussian" in kind:
        largest = largest**2 * (float(np.exp(np.abs(z[:, columns:])).max()) if "learned" in kind else 5)
    if kind in ("squares", "poisson"):
        largest = largest**2
    if kind == "poisson":
        largest += float(np.exp(z.max()))
    tolerance = 16 * eps(dtype) * columns * largest
    assert value == pytest.approx(oracle.value(z, targets), abs=tolerance)
    expected = oracle.gradient(z, targets)
    assert_within(derivative, expected, np.full(z.shape, tolerance / (rows * columns)) + 16 * eps(dtype) / rows)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", KINDS)
def test_many_rows(kind, weighted):
    """More than are evaluated at a time, through a layer that changes nothing."""
    rows, columns = 6001, 7
    loss, oracle, z, targets = problem(kind, np.random.default_rng(2), rows, columns, np.dtype("float64"))
    width = z.shape[1]
    head = fnn.Gaussian(columns) if kind == "gaussian learned" else fnn.Dense(columns)
    net = fnn.Sequential([fnn.Input(width), head], dtype="float64")
    net.parameters[next(iter(net.parameters))] = np.eye(width)
    times = np.random.default_rng(3).integers(1, 4, rows) if weighted else np.ones(rows, int)
    expected = oracle.value(np.repeat(z, times, axis=0), np.repeat(targets, times, axis=0))
    weights = times if weighted else None
    assert net.evaluate(z, targets, loss=loss, sample_weight=weights)["loss"] == pytest.approx(expected, rel=1e-10)
    value, _ = fnn.Trainer(net, loss).loss_and_gradients(z, targets, weights)
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_any_weights_are_a_weighted_mean(isa, kind):
    rng = np.random.default_rng(1)
    loss, oracle, z, targets = problem(kind, rng, 7, 5, np.dtype("float64"))
    weights = rng.random(7)
    weights[2] = 0
    value, derivative = value_and_derivative(loss, z, targets, weights)
    each = [oracle.value(z[i : i + 1], targets[i : i + 1]) for i in range(7)]
    assert value == pytest.approx(np.average(each, weights=weights), rel=1e-12)
    own = np.concatenate([oracle.gradient(z[i : i + 1], targets[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(derivative, own * weights[:, None] / weights.sum(), rtol=1e-12, atol=1e-14)


def test_a_large_logit_last(isa, dtype):
    """Far above the others, in every width: an exponential that overflows tells a maximum that missed it."""
    oracle = reference.LOSSES["categorical_cross_entropy"]
    for columns in range(1, 41):
        z = np.random.default_rng(columns).standard_normal((2, columns)).astype(dtype)
        z[:, -1] += dtype.type(800)
        labels = [0, columns - 1]
        value, derivative = value_and_derivative(fnn.CrossEntropy(), z, labels)
        assert value == pytest.approx(oracle.value(z, labels), rel=8 * eps(dtype))
        np.testing.assert_allclose(derivative, oracle.gradient(z, labels), rtol=8 * eps(dtype), atol=1e-30)


# One by one ----------------------------------------------------------------------------------------------------------
MARGINS = np.linspace(1, 8, 1001)


def own_gradient(margins, dtype):
    """Of the label, whose logit is so much above the other's, a row each; and what it is exactly."""
    z = np.stack([margins, np.zeros_like(margins)], axis=1).astype(dtype)
    _, derivative = value_and_derivative(fnn.CrossEntropy(), z, np.zeros(len(z), int))
    margins = z[:, 0].astype(float)
    return derivative[:, 0].astype(float) * len(z), -1 / (1 + np.exp(margins))


def test_the_label_of_a_cross_entropy_that_is_nearly_sure(isa, dtype):
    """p - 1 is off by no more than rounding the sum of the exponentials, which is between 1 and 2, takes away."""
    got, exact = own_gradient(MARGINS, dtype)
    off = np.abs(got - exact)
    assert (off <= eps(dtype) / 2 * 1.01 + 4 * eps(dtype) * np.abs(exact)).all()


@pytest.mark.xfail(strict=True, reason="sum - own cancels; adding up the other classes would change trained bits")
@pytest.mark.parametrize("margin", [8.0, 12.0, 20.0])
def test_the_label_of_a_cross_entropy_that_is_sure(isa, margin):
    """As exact, relative to itself, as the gradients of the other classes are."""
    dtype = np.dtype("float32")
    got, exact = own_gradient(np.full(3, margin), dtype)
    np.testing.assert_allclose(got, exact, rtol=16 * eps(dtype))


def test_gaussian_is_a_normal_density(dtype):
    rng = np.random.default_rng(0)
    z, t = rng.standard_normal((6, 3)).astype(dtype), rng.standard_normal((6, 3)).astype(dtype)
    for precision in (1.0, 0.25, (0.5, 1.0, 400.0), np.array([1.0, 2.0, 3.0])):
        sigma = np.asarray(precision) ** -0.5
        expected = -scipy.stats.norm.logpdf(t.astype(float), z, sigma).sum(axis=1).mean()
        value, _ = value_and_derivative(fnn.GaussianNLL(precision), z, t)
        assert value == pytest.approx(expected, rel=64 * eps(dtype))


def test_gaussian_of_precision_one_and_squared_error():
    """Gradients that are half of the squared error's, times its number of outputs."""
    rng = np.random.default_rng(0)
    z, t = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    _, of_squares = value_and_derivative(fnn.MeanSquaredError(), z, t)
    _, of_gaussian = value_and_derivative(fnn.GaussianNLL(), z, t)
    np.testing.assert_allclose(of_gaussian, of_squares * 4 / 2, rtol=1e-14)


@pytest.mark.parametrize("log_precision", [-80.0, -1.0, 0.0, 3.0, 80.0])
def test_gaussian_learned_of_any_scale(dtype, log_precision):
    z = np.array([[1.5, log_precision]], dtype)
    value, derivative = value_and_derivative(fnn.GaussianNLL("learned"), z, [[1.0]])
    beta = np.exp(log_precision)
    assert value == pytest.approx((beta / 4 - log_precision + np.log(2 * np.pi)) / 2, rel=64 * eps(dtype))
    np.testing.assert_allclose(derivative, [[beta / 2, (beta / 4 - 1) / 2]], rtol=256 * eps(dtype))


def test_gaussian_learned_finds_mean_and_variance():
    """With nothing but biases to learn, the optimum is the mean and the variance of the targets."""
    y = np.random.default_rng(0).normal(3, 2, 200)
    net = fnn.Sequential([fnn.Input(1), fnn.Gaussian(1)], dtype="float64", seed=0)
    net.fit(np.zeros((200, 1)), y, optimizer=fnn.Adam(0.1), epochs=400, batch_size=200, seed=0)
    mean, log_precision = net.parameters["gaussian_1.bias"]
    assert mean == pytest.approx(y.mean(), abs=1e-3)
    assert np.exp(-log_precision) == pytest.approx(y.var(), rel=1e-3)


def test_hinge_by_hand():
    """Two rows of two labels: margins 1 - s z of 0.5, 0, 3 and -1; at the kink the derivative is 0."""
    z, labels = np.array([[0.5, -1.0], [-2.0, 2.0]]), [[1, 0], [1, 1]]
    value, derivative = value_and_derivative(fnn.Hinge(), z, labels)
    assert value == (0.5 + 0 + 3 + 0) / 2
    np.testing.assert_array_equal(derivative, [[-0.5, 0], [-0.5, 0]])


def test_multiclass_hinge_by_hand():
    """Margins of -19 and -1, of 1 and 0, and of 0, where the derivative is 0, and -5."""
    z = np.array([[13.0, -7.0, 11.0], [3.0, 3.0, 2.0], [1.0, 0.0, -5.0]])
    value, derivative = value_and_derivative(fnn.MulticlassHinge(), z, [0, 1, 0])
    assert value == pytest.approx((0 + 1 + 0) / 3, rel=1e-15)
    np.testing.assert_allclose(derivative, np.array([[0, 0, 0], [1, -1, 0], [0, 0, 0]]) / 3, rtol=1e-15)
    value, _ = value_and_derivative(fnn.MulticlassHinge(), z[:1], [2])
    assert value == pytest.approx(13 - 11 + 1)


def test_poisson_is_a_likelihood(dtype):
    """But for what depends on the counts alone."""
    rng = np.random.default_rng(0)
    z, t = rng.standard_normal((6, 3)).astype(dtype), rng.poisson(2, (6, 3))
    expected = -(scipy.stats.poisson.logpmf(t, np.exp(z.astype(float))) + scipy.special.gammaln(t + 1)).sum(axis=1)
    value, _ = value_and_derivative(fnn.Poisson(), z, t)
    assert value == pytest.approx(expected.mean(), rel=64 * eps(dtype))


def test_poisson_by_hand():
    """Expected counts of 1, 2 and 0, and an output so small that only a count of 0 goes with it."""
    z, t = np.array([[0.0, np.log(2), -np.inf, -800.0]]), [[3, 2.5, 0, 0]]
    value, derivative = value_and_derivative(fnn.Poisson(), z, t)
    assert value == pytest.approx(1 + 2 - 2.5 * np.log(2), rel=1e-15)
    np.testing.assert_allclose(derivative, [[-2, -0.5, 0, 0]], rtol=1e-15)


def test_poisson_finds_the_rate():
    """With nothing but biases to learn, the optimum is the logarithm of the mean of the counts."""
    y = np.random.default_rng(0).poisson([0.3, 20.0], (200, 2))
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(2)], dtype="float64", seed=0)
    net.fit(np.zeros((200, 1)), y, fnn.Poisson(), fnn.Adam(0.1), epochs=400, batch_size=200, seed=0)
    np.testing.assert_allclose(np.exp(net([[0.0]]))[0], y.mean(axis=0), rtol=1e-3)


# Infinity and NaN ----------------------------------------------------------------------------------------------------
INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("loss", "z", "target", "expected"),
    [
        (fnn.CrossEntropy(), [INF, 0], 0, 0.0),
        (fnn.CrossEntropy(), [INF, 0], 1, INF),
        (fnn.CrossEntropy(), [0, -INF], 0, 0.0),
        (fnn.CrossEntropy(), [NAN, 0], 1, NAN),
        (fnn.Hinge(), [INF, -INF], [1, 0], 0.0),
        (fnn.Hinge(), [INF, 0], [0, 0], INF),
        (fnn.Hinge(), [NAN, 0], [0, 0], NAN),
        (fnn.MulticlassHinge(), [INF, 0], 0, 0.0),
        (fnn.MulticlassHinge(), [INF, 0], 1, INF),
        (fnn.MulticlassHinge(), [0, -INF], 0, 0.0),
        (fnn.MulticlassHinge(), [NAN, 0], 1, NAN),
        (fnn.Poisson(), [-INF, 0], [0, 0], 1.0),
        (fnn.Poisson(), [-INF, 0], [1, 0], INF),
        (fnn.Poisson(), [INF, 0], [0, 0], INF),
        (fnn.Poisson(), [INF, 0], [3, 0], INF),
        (fnn.Poisson(), [1000, 0], [3, 0], INF),
        (fnn.Poisson(), [NAN, 0], [0, 0], NAN),
        (fnn.MeanSquaredError(), [INF, 0], [0, 0], INF),
        (fnn.MeanSquaredError(), [NAN, 0], [0, 0], NAN),
        (fnn.GaussianNLL(2.0), [-INF, 0], [0, 0], INF),
        (fnn.GaussianNLL(2.0), [NAN, 0], [0, 0], NAN),
    ],
)
def test_special_outputs(isa, dtype, loss, z, target, expected):
    """Outputs of a single row: the weights themselves."""
    net, x = scores(np.array([z], dtype))
    value, _ = fnn.Trainer(net, loss).loss_and_gradients(x, [target])
    np.testing.assert_equal(value, expected)
    np.testing.assert_equal(net.evaluate(x, [target], loss=loss)["loss"], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_derivative_of_nan_is_nan(isa, dtype, kind):
    """Never 0, with which training would go on as if nothing were wrong. A single row: the weights themselves."""
    for columns in (1, 2, 17, 40):
        loss, _, z, targets = problem(kind, np.random.default_rng(columns), 1, columns, dtype)
        z[0, columns - 1] = NAN
        net, x = scores(z, kind == "gaussian learned")
        value, grads = fnn.Trainer(net, loss).loss_and_gradients(x, targets)
        assert np.isnan(value)
        if kind != "multiclass hinge" or columns > 1:
            assert np.isnan(grads[next(iter(net.parameters))][0, columns - 1]), columns


# Which goes with what ------------------------------------------------------------------------------------------------
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
        with pytest.raises(ValueError, match=r"(Entropy|Hinge|Poisson|Error|precision): expected .* head, got "):
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
def test_losses_that_cannot_be_meant(make, error, message):
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
        (fnn.Hinge(), 1, [-1, 1], ValueError, "y: expected labels 0 and 1, got other values"),
        (fnn.Hinge(), 2, [0, 1], ValueError, r"y: expected shape \(B, 2\), got \(2,\)"),
        (fnn.Poisson(), 1, [1.0, -0.5], ValueError, "y: expected targets >= 0, got -0.5"),
        (fnn.Poisson(), 1, [1.0, np.inf], ValueError, "y: expected finite targets, got NaN or infinity"),
        (fnn.Poisson(), 2, [1, 1], ValueError, r"y: expected shape \(B, 2\), got \(2,\)"),
        (fnn.GaussianNLL(), 1, [0.0, np.nan], ValueError, "y: expected finite targets, got NaN or infinity"),
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
def test_targets_that_cannot_be_meant(loss, outputs, y, error, message):
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
