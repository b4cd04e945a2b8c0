"""Invalid targets, data, options and gradients in training, by table; nothing is changed."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import BAD_X, CHECKED_LABELS, CHECKED_X, checked_network

NAN = np.array([0, 1, np.nan, 0, 1, 0])
BAD_TARGETS = [
    ("softmax", 5, [0, 1, 5, 2, 3, 0], ValueError, "y: expected class indices 0 to 4, got 0 to 5"),
    ("softmax", 5, [0, 1, -1, 2, 3, 0], ValueError, "y: expected class indices 0 to 4, got -1 to 3"),
    ("softmax", 5, np.array([0, 1, 2**63, 2, 3, 0], np.uint64), ValueError, "y: expected class indices 0 to 4, got 0"),
    ("softmax", 5, NAN, TypeError, "y: expected integers .*, got dtype float64"),
    ("softmax", 5, CHECKED_LABELS[:5], ValueError, "y: expected 6 targets, one for each row of x, got 5"),
    (
        "softmax",
        5,
        CHECKED_LABELS[:, None],
        ValueError,
        r"y: expected class indices \(B,\) or one-hot \(B, 5\), got shape",
    ),
    ("softmax", 5, np.eye(6), ValueError, r"y: expected class indices \(B,\) or one-hot \(B, 5\), got shape \(6, 6\)"),
    ("softmax", 5, np.zeros((6, 5)), ValueError, "y: expected one-hot rows"),
    ("softmax", 5, np.ones((6, 5)), ValueError, "y: expected one-hot rows"),
    ("softmax", 5, np.full((6, 5), 0.2), ValueError, "y: expected one-hot rows"),
    ("softmax", 5, np.eye(5)[CHECKED_LABELS] * [1, np.nan, 1, 1, 1], ValueError, "y: expected one-hot rows"),
    (
        "softmax",
        5,
        np.eye(5)[CHECKED_LABELS] + 0.5 * np.eye(5)[(CHECKED_LABELS + 1) % 5],
        ValueError,
        "y: expected one-hot rows",
    ),
    (
        "softmax",
        5,
        np.where(np.eye(5)[CHECKED_LABELS], 1, [0, 0, np.nan, 0, 0]),
        ValueError,
        "y: expected one-hot rows",
    ),
    ("softmax", 5, ["a"] * 6, TypeError, "y: expected an array of real numbers, got dtype <U1"),
    ("softmax", 5, 3, ValueError, r"got shape \(\)"),
    ("sigmoid", 1, [0, 1, 2, 0, 1, 0], ValueError, "y: expected labels 0 and 1"),
    ("sigmoid", 1, [0, 1, -1, 0, 1, 0], ValueError, "y: expected labels 0 and 1"),
    ("sigmoid", 1, [0, 1, 0.5, 0, 1, 0], ValueError, "y: expected labels 0 and 1"),
    ("sigmoid", 1, NAN, ValueError, "y: expected labels 0 and 1"),
    ("sigmoid", 1, np.zeros((6, 2)), ValueError, r"y: expected shape \(B,\) or \(B, 1\), got \(6, 2\)"),
    ("sigmoid", 3, np.zeros(6), ValueError, r"y: expected shape \(B, 3\), got \(6,\)"),
    ("sigmoid", 1, None, TypeError, "got dtype object"),
    ("identity", 1, NAN, ValueError, "y: expected finite targets, got (nan|inf) at index"),
    ("identity", 1, [0, 1, np.inf, 0, 1, 0], ValueError, "y: expected finite targets"),
    ("identity", 2, np.zeros(6), ValueError, r"y: expected shape \(B, 2\), got \(6,\)"),
    ("identity", 1, np.zeros((6, 1, 1)), ValueError, r"y: expected shape \(B,\) or \(B, 1\), got \(6, 1, 1\)"),
    ("identity", 1, np.zeros(7), ValueError, "y: expected 6 targets, one for each row of x, got 7"),
    ("identity", 1, np.zeros(6, complex), TypeError, "got dtype complex128"),
]


def unchanged(net, call, error, message):
    before = dict(net.parameters)
    with pytest.raises(error, match=message):
        call()
    for name, values in before.items():
        np.testing.assert_array_equal(net.parameters[name], values)


@pytest.mark.parametrize(("head", "units", "y", "error", "message"), BAD_TARGETS)
def test_bad_targets(head, units, y, error, message):
    net = checked_network(head, units)
    good = {"softmax": CHECKED_LABELS, "sigmoid": np.zeros((6, units)), "identity": np.zeros((6, units))}[head]
    trainer = fnn.Trainer(net)
    for call in (
        lambda: net.fit(CHECKED_X, y),
        lambda: net.fit(CHECKED_X, good, validation=(CHECKED_X, y)),
        lambda: net.evaluate(CHECKED_X, y),
        lambda: trainer.step(CHECKED_X, y),
        lambda: trainer.gradients(CHECKED_X, y),
    ):
        unchanged(net, call, error, message)
    trainer.step(CHECKED_X, good)


@pytest.mark.parametrize("label", [5, -1, 2**40])
def test_labels_of_a_batch_that_is_ready(label):
    """Arrays that a step takes as they are go by without Python's checks."""
    net = checked_network()
    trainer, labels = fnn.Trainer(net), np.array([0, 1, label, 2, 3, 0])
    x = np.ascontiguousarray(CHECKED_X.reshape(6, 12), np.float32)
    assert trainer._core.try_step(x, labels, 0.1) is None
    unchanged(net, lambda: trainer.step(x, labels), ValueError, "y: expected class indices 0 to 4, got")
    assert trainer._core.try_step(x, labels.clip(0, 4), 0.1) > 0


@pytest.mark.parametrize(("x", "error", "message"), BAD_X)
def test_bad_training_x(x, error, message):
    net = checked_network()
    unchanged(net, lambda: net.fit(x, CHECKED_LABELS), error, message)
    unchanged(net, lambda: net.fit(CHECKED_X, CHECKED_LABELS, validation=(x, CHECKED_LABELS)), error, message)
    unchanged(net, lambda: net.evaluate(x, CHECKED_LABELS), error, message)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "epochs: expected an integer >= 0, got -1"),
        ({"epochs": 1.5}, TypeError, "epochs: expected an integer >= 0, got 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1, got 0"),
        ({"batch_size": -32}, ValueError, "batch_size: expected an integer >= 1, got -32"),
        ({"epochs": 2**31}, ValueError, "epochs: expected an integer <= 2147483647, got 2147483648"),
        ({"batch_size": 2**70}, ValueError, "batch_size: expected an integer <= 2147483647, got 118059"),
        ({"l2": 10**400}, ValueError, "l2: expected a number >= 0, got 1000"),
        ({"l2": 1e39}, ValueError, r"l2: expected a number in float32's range, got 1e\+39"),
        ({"optimizer": fnn.Adam(eps=1e-50)}, ValueError, "eps: expected a number in float32's range, got 1e-50"),
        ({"optimizer": fnn.AdamW(eps=1e39)}, ValueError, "eps: expected a number in float32's range, got 1e"),
        ({"optimizer": fnn.SGD(1e39)}, ValueError, "lr: expected a number in float32's range, got 1e"),
        ({"batch_size": "32"}, TypeError, "batch_size: expected an integer >= 1, got '32'"),
        ({"optimizer": "adamm"}, ValueError, "one of sgd, adam, adamw, got 'adamm'; did you mean 'adam'"),
        ({"optimizer": fnn.Adam}, TypeError, "a name or an optimizer object, got <class"),
        ({"loss": 0}, TypeError, "loss: expected None or a loss such as .*, got 0"),
        ({"loss": fnn.BinaryCrossEntropy()}, ValueError, "BinaryCrossEntropy: expected a sigmoid or identity head"),
        ({"validation": 0.0}, ValueError, "validation: expected a share that splits 6 rows, got 0.0"),
        ({"validation": 0.01}, ValueError, "validation: expected a share that splits 6 rows, got 0.01"),
        ({"validation": 0.99}, ValueError, "validation: expected a share that splits 6 rows, got 0.99"),
        ({"validation": 1.0}, ValueError, r"validation: expected a number in \[0, 1\), got 1.0"),
        ({"validation": (CHECKED_X,)}, ValueError, r"validation: expected \(x, y\)"),
        ({"validation": CHECKED_X}, TypeError, "validation: expected a number"),
        ({"schedule": 0.5}, TypeError, "schedule: expected None or a callable, got 0.5"),
        ({"schedule": lambda epoch: -1.0}, ValueError, "schedule: expected a number >= 0, got -1.0"),
        ({"schedule": lambda epoch: None}, TypeError, "schedule: expected a number >= 0, got None"),
        ({"l2": -0.1}, ValueError, "l2: expected a number >= 0, got -0.1"),
        ({"l2": float("nan")}, ValueError, "l2: expected a number >= 0, got nan"),
        ({"callbacks": fnn.EarlyStopping()}, TypeError, "callbacks: expected a sequence of callables"),
        ({"callbacks": [3]}, TypeError, r"callbacks: expected a sequence of callables, got \[3\]"),
        ({"seed": -1}, ValueError, "seed: expected an integer >= 0, got -1"),
        ({"seed": "0"}, TypeError, "seed: expected an integer >= 0, got '0'"),
    ],
)
def test_bad_fit_options(options, error, message):
    net = checked_network()
    unchanged(net, lambda: net.fit(CHECKED_X, CHECKED_LABELS, **options), error, message)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.SGD(0), ValueError, "lr: expected a number > 0, got 0"),
        (lambda: fnn.SGD(-0.1), ValueError, "lr: expected a number > 0, got -0.1"),
        (lambda: fnn.SGD("fast"), TypeError, "lr: expected a number > 0, got 'fast'"),
        (lambda: fnn.SGD(0.1, momentum=1), ValueError, r"momentum: expected a number in \[0, 1\), got 1"),
        (lambda: fnn.SGD(0.1, nesterov=True), ValueError, r"momentum: expected a number in \(0, 1\) for nesterov"),
        (lambda: fnn.SGD(0.1, 0.9, nesterov=1), TypeError, "nesterov: expected True or False, got 1"),
        (lambda: fnn.Adam(float("inf")), ValueError, "lr: expected a number > 0, got inf"),
        (lambda: fnn.Adam(betas=(0.9, 1.0)), ValueError, r"betas: expected a number in \[0, 1\), got 1.0"),
        (lambda: fnn.Adam(betas=0.9), ValueError, "betas: expected two numbers"),
        (lambda: fnn.Adam(eps=0), ValueError, "eps: expected a number > 0, got 0"),
        (lambda: fnn.AdamW(weight_decay=-1), ValueError, "weight_decay: expected a number >= 0, got -1"),
        (lambda: fnn.StepDecay(0), ValueError, "every: expected an integer >= 1, got 0"),
        (lambda: fnn.ExponentialDecay(0), ValueError, "factor: expected a number > 0, got 0"),
        (lambda: fnn.CosineDecay(10, final=-1), ValueError, "final: expected a number >= 0, got -1"),
        (lambda: fnn.Adam(10**400), ValueError, "lr: expected a number > 0, got 1000"),
        (lambda: fnn.Adam(betas=(0.9, 10**400)), ValueError, r"betas: expected a number in \[0, 1\), got 1000"),
        (lambda: fnn.StepDecay(2**70), ValueError, "every: expected an integer <= 2147483647"),
        (lambda: fnn.EarlyStopping(patience=0), ValueError, "patience: expected an integer >= 1, got 0"),
        (lambda: fnn.EarlyStopping(min_delta=-1), ValueError, "min_delta: expected a number >= 0, got -1"),
    ],
)
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_no_rows_to_train_on():
    net = checked_network()
    for call in (net.fit, net.evaluate, fnn.Trainer(net).step):
        with pytest.raises(ValueError, match="x: expected at least one row, got none"):
            call(np.empty((0, 12)), np.empty(0, int))


def test_networks_that_cannot_be_trained():
    for name in ("step", "sign"):
        net = checked_network("identity", 1, hidden=name)
        with pytest.raises(ValueError, match=f"dense_1: {name} is not differentiable"):
            net.fit(CHECKED_X, np.zeros(6))
        with pytest.raises(ValueError, match=f"dense_2: {name} is not differentiable"):
            fnn.Trainer(checked_network(name, 1))
    net = fnn.Sequential([fnn.Input(12), fnn.Maxout(2, pieces=257), fnn.Dense(1)])
    assert net(CHECKED_X.reshape(6, 12)).shape == (6, 1)
    with pytest.raises(ValueError, match="maxout_1: expected at most 256 pieces for training, got 257"):
        fnn.Trainer(net)


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda grads: grads.pop("dense_1.bias"), ValueError, "grads: expected entries for dense_1.weight, "),
        (lambda grads: grads.update(more=1), ValueError, "grads: expected entries for .*, got .*more"),
        (lambda grads: grads.update({"dense_1.bias": np.ones(5)}), ValueError, r"dense_1.bias: expected shape \(6,\)"),
        (lambda grads: grads.update({"dense_1.bias": ["a"] * 6}), TypeError, "dense_1.bias: expected an array of real"),
    ],
)
def test_bad_gradients(edit, error, message):
    net = checked_network()
    trainer = fnn.Trainer(net)
    grads = trainer.gradients(CHECKED_X, CHECKED_LABELS)
    edit(grads)
    unchanged(net, lambda: trainer.apply(grads), error, message)
