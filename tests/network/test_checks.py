"""Bad input to networks and training, by table: the error, what was expected and what came; nothing is changed."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import _checks
from fnnfast._device import select
from fnnfast._device.cpu import CPU
from oracles import Convertible

X = np.ones((6, 3, 4), np.float32)
LABELS = np.array([0, 1, 4, 2, 3, 0])
NAN = np.array([0, 1, np.nan, 0, 1, 0])


def network(head="softmax", units=5, hidden="relu"):
    return fnn.Sequential([fnn.Input(3, 4), fnn.Dense(6, hidden), fnn.Dense(units, head)], seed=0)


def read_only(shape):
    array = np.zeros(shape, np.float32)
    array.flags.writeable = False
    return array


# Building ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("layers", "options", "error", "message"),
    [
        ([], {}, ValueError, "layers: expected an Input first, got no layers"),
        ([fnn.Dense(2)], {}, ValueError, "an Input first, got Dense"),
        ([fnn.Dropout(0.5), fnn.Input(2), fnn.Dense(2)], {}, ValueError, "an Input first, got Dropout"),
        ([fnn.Input(2)], {}, ValueError, r"a Dense, Maxout, Activation or Residual last, got Input\(2\)"),
        ([fnn.Input(2), fnn.Dropout(0.5)], {}, ValueError, "a Dense, Maxout, Activation or Residual last, got Dropout"),
        (
            [fnn.Input(2), fnn.Dense(2), fnn.Dropout(0.5)],
            {},
            ValueError,
            "a Dense, Maxout, Activation or Residual last, got Dropout",
        ),
        ([fnn.Input(2), fnn.Input(2), fnn.Dense(2)], {}, TypeError, r"after the Input, got Input\(2\)"),
        ([fnn.Input(2), fnn.Dense], {}, TypeError, "after the Input, got <class"),
        ([fnn.Input(2), "relu"], {}, TypeError, "after the Input, got 'relu'"),
        ([fnn.Input(2), fnn.ReLU()], {}, TypeError, r"after the Input, got ReLU\(\)"),
        ([fnn.Input(2), fnn.Dense(2, "softmax"), fnn.Dense(2)], {}, ValueError, "dense_1: softmax is an output head"),
        (fnn.Input(2), {}, TypeError, r"a sequence of layers, got Input\(2\)"),
        (None, {}, TypeError, "a sequence of layers, got None"),
        ([fnn.Input(2), fnn.Dense(2)], {"dtype": "float16"}, ValueError, "'float32' or 'float64', got 'float16'"),
        ([fnn.Input(2), fnn.Dense(2)], {"dtype": None}, ValueError, "'float32' or 'float64', got None"),
        ([fnn.Input(2), fnn.Dense(2)], {"dtype": ">f4"}, ValueError, "'float32' or 'float64', got '>f4'"),
        ([fnn.Input(2), fnn.Dense(2)], {"seed": -1}, ValueError, "seed: expected an integer >= 0, got -1"),
        ([fnn.Input(2), fnn.Dense(2, fnn.Swish(1e39))], {}, ValueError, r"swish: .* float32's range, got 1e\+39"),
        ([fnn.Input(2), fnn.Dense(2, fnn.PReLU(1e39))], {}, ValueError, r"prelu: .* float32's range, got 1e\+39"),
        ([fnn.Input(2), fnn.Dense(2)], {"seed": 0.5}, TypeError, "seed: expected an integer >= 0, got 0.5"),
    ],
)
def test_layers_that_make_no_network(layers, options, error, message):
    with pytest.raises(error, match=message):
        fnn.Sequential(layers, **options)


# Calling -------------------------------------------------------------------------------------------------------------
BAD_X = [
    (np.ones((6, 11), np.float32), ValueError, r"x: expected shape \(B, 3, 4\) or \(B, 12\), got \(6, 11\)"),
    (np.ones((6, 4, 3), np.float32), ValueError, r"\(B, 3, 4\) or \(B, 12\), got \(6, 4, 3\)"),
    (np.ones(12, np.float32), ValueError, r"\(B, 3, 4\) or \(B, 12\), got \(12,\)"),
    (np.ones((3, 4)), ValueError, r"\(B, 3, 4\) or \(B, 12\), got \(3, 4\)"),
    (np.ones((1, 6, 3, 4)), ValueError, r"got \(1, 6, 3, 4\)"),
    (np.array(1.0), ValueError, r"got \(\)"),
    (1.0, ValueError, r"got \(\)"),
    (None, TypeError, "x: expected an array of real numbers, got dtype object"),
    (X.astype(object), TypeError, "got dtype object"),
    (X.astype(complex), TypeError, "got dtype complex128"),
    (X.astype(str), TypeError, "got dtype <U"),
    (X.astype("datetime64[s]"), TypeError, "got dtype datetime64"),
    (np.zeros((6, 12), [("a", "f4")]), TypeError, "got dtype"),
]


@pytest.mark.parametrize(("x", "error", "message"), BAD_X)
@pytest.mark.parametrize("method", ["__call__", "logits", "predict", "sample"])
def test_bad_x(method, x, error, message):
    with pytest.raises(error, match=message):
        getattr(network(), method)(x)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros((5, 5), np.float32), ValueError, r"out: expected shape \(6, 5\), got \(5, 5\)"),
        (np.zeros((7, 5), np.float32), ValueError, r"out: expected shape \(6, 5\), got \(7, 5\)"),
        (np.zeros(30, np.float32), ValueError, r"out: expected shape \(6, 5\), got \(30,\)"),
        (np.zeros((6, 5)), TypeError, "out: expected dtype float32, got float64"),
        (np.zeros((6, 5), ">f4"), TypeError, "out: expected dtype float32, got >f4"),
        (np.zeros((6, 5), np.int32), TypeError, "out: expected dtype float32, got int32"),
        (read_only((6, 5)), ValueError, "out: expected a writeable array, got a read-only one"),
        ([[0.0] * 5] * 6, TypeError, "out: expected a NumPy array, got list"),
    ],
)
@pytest.mark.parametrize("x", [X.reshape(6, 12), X.astype(np.float64)], ids=["ready", "to convert"])
def test_bad_out(x, out, error, message):
    before = np.array(out)
    with pytest.raises(error, match=message):
        network()(x, out=out)
    np.testing.assert_array_equal(out, before)


def test_out_that_overlaps_x():
    net = fnn.Sequential([fnn.Input(4), fnn.Dense(4)], seed=0)
    memory = np.arange(40, dtype=np.float32)
    before = memory.copy()
    x = memory[:16].reshape(4, 4)
    for out in (x, memory[1:17].reshape(4, 4), memory[15:31].reshape(4, 4), x.T, memory[4:36].reshape(4, 8)[:, ::2]):
        with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
            net(x, out=out)
        np.testing.assert_array_equal(memory, before)
    for disguised in (memoryview(x), Convertible(x), Convertible(x[:, ::-1])):
        with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
            net(disguised, out=x)
        np.testing.assert_array_equal(memory, before)
    apart = memory[16:32].reshape(4, 4)
    assert net(x, out=apart) is apart
    # Bounds that overlap are not yet an overlap: x and out take turns here.
    memory = np.ones((4, 8), np.float32)
    x, out = memory[:, ::2], memory[:, 1::2]
    assert net(x, out=out) is out
    np.testing.assert_array_equal(out, net(x))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: net.sample(X, 0), ValueError, "n: expected an integer >= 1, got 0"),
        (lambda net: net.sample(X, 2.5), TypeError, "n: expected an integer >= 1, got 2.5"),
        (lambda net: net.summary(plan=-1), ValueError, "plan: expected an integer >= 1, got -1"),
        (lambda net: fnn.Trainer("net"), TypeError, "network: expected a Sequential, got 'net'"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(network())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net(), r"Network.__call__\(\) missing 1 required positional argument: 'x'"),
        (lambda net: net(X, foo=1), r"Network.__call__\(\) got an unexpected keyword argument 'foo'"),
        (lambda net: net(X, None), r"Network.__call__\(\) takes 2 positional arguments but 3 were given"),
        (lambda net: net(out=X), r"Network.__call__\(\) missing 1 required positional argument: 'x'"),
    ],
)
def test_calls_that_do_not_match_the_signature(call, message):
    with pytest.raises(TypeError, match=message):
        call(network())


@pytest.mark.parametrize("name", ["result", "ou", "outs", "x"])
def test_no_other_keyword_is_out(name):
    """Not for arrays either that would fit."""
    result = np.zeros((6, 5), np.float32)
    with pytest.raises(TypeError, match=f"'{name}'"):
        network()(X.reshape(6, 12), **{name: result})
    assert not result.any()


# Training ------------------------------------------------------------------------------------------------------------
BAD_TARGETS = [
    ("softmax", 5, [0, 1, 5, 2, 3, 0], ValueError, "y: expected class indices 0 to 4, got 0 to 5"),
    ("softmax", 5, [0, 1, -1, 2, 3, 0], ValueError, "y: expected class indices 0 to 4, got -1 to 3"),
    ("softmax", 5, np.array([0, 1, 2**63, 2, 3, 0], np.uint64), ValueError, "y: expected class indices 0 to 4, got 0"),
    ("softmax", 5, NAN, TypeError, "y: expected integers .*, got dtype float64"),
    ("softmax", 5, LABELS[:5], ValueError, "y: expected 6 targets, one for each row of x, got 5"),
    ("softmax", 5, LABELS[:, None], ValueError, r"y: expected class indices \(B,\) or one-hot \(B, 5\), got shape"),
    ("softmax", 5, np.eye(6), ValueError, r"y: expected class indices \(B,\) or one-hot \(B, 5\), got shape \(6, 6\)"),
    ("softmax", 5, np.zeros((6, 5)), ValueError, "y: expected one-hot rows"),
    ("softmax", 5, np.ones((6, 5)), ValueError, "y: expected one-hot rows"),
    ("softmax", 5, np.full((6, 5), 0.2), ValueError, "y: expected one-hot rows"),
    ("softmax", 5, np.eye(5)[LABELS] * [1, np.nan, 1, 1, 1], ValueError, "y: expected one-hot rows"),
    ("softmax", 5, np.eye(5)[LABELS] + 0.5 * np.eye(5)[(LABELS + 1) % 5], ValueError, "y: expected one-hot rows"),
    ("softmax", 5, np.where(np.eye(5)[LABELS], 1, [0, 0, np.nan, 0, 0]), ValueError, "y: expected one-hot rows"),
    ("softmax", 5, ["a"] * 6, TypeError, "y: expected an array of real numbers, got dtype <U1"),
    ("softmax", 5, 3, ValueError, r"got shape \(\)"),
    ("sigmoid", 1, [0, 1, 2, 0, 1, 0], ValueError, "y: expected labels 0 and 1"),
    ("sigmoid", 1, [0, 1, -1, 0, 1, 0], ValueError, "y: expected labels 0 and 1"),
    ("sigmoid", 1, [0, 1, 0.5, 0, 1, 0], ValueError, "y: expected labels 0 and 1"),
    ("sigmoid", 1, NAN, ValueError, "y: expected labels 0 and 1"),
    ("sigmoid", 1, np.zeros((6, 2)), ValueError, r"y: expected shape \(B,\) or \(B, 1\), got \(6, 2\)"),
    ("sigmoid", 3, np.zeros(6), ValueError, r"y: expected shape \(B, 3\), got \(6,\)"),
    ("sigmoid", 1, None, TypeError, "got dtype object"),
    ("identity", 1, NAN, ValueError, "y: expected finite targets, got NaN or infinity"),
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
    net = network(head, units)
    good = {"softmax": LABELS, "sigmoid": np.zeros((6, units)), "identity": np.zeros((6, units))}[head]
    trainer = fnn.Trainer(net)
    for call in (
        lambda: net.fit(X, y),
        lambda: net.fit(X, good, validation=(X, y)),
        lambda: net.evaluate(X, y),
        lambda: trainer.step(X, y),
        lambda: trainer.gradients(X, y),
    ):
        unchanged(net, call, error, message)
    trainer.step(X, good)


@pytest.mark.parametrize("label", [5, -1, 2**40])
def test_labels_of_a_batch_that_is_ready(label):
    """Arrays that a step takes as they are go by without Python's checks."""
    net = network()
    trainer, labels = fnn.Trainer(net), np.array([0, 1, label, 2, 3, 0])
    x = np.ascontiguousarray(X.reshape(6, 12), np.float32)
    assert trainer._core.step_if_ready(x, labels, 0.1) is None
    unchanged(net, lambda: trainer.step(x, labels), ValueError, "y: expected class indices 0 to 4, got")
    assert trainer._core.step_if_ready(x, labels.clip(0, 4), 0.1) > 0


@pytest.mark.parametrize(("x", "error", "message"), BAD_X)
def test_bad_training_x(x, error, message):
    net = network()
    unchanged(net, lambda: net.fit(x, LABELS), error, message)
    unchanged(net, lambda: net.fit(X, LABELS, validation=(x, LABELS)), error, message)
    unchanged(net, lambda: net.evaluate(x, LABELS), error, message)


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
        ({"loss": "mse"}, TypeError, "loss: expected None or a loss such as .*, got 'mse'"),
        ({"loss": fnn.BinaryCrossEntropy()}, ValueError, "BinaryCrossEntropy: expected a sigmoid or identity head"),
        ({"validation": 0.0}, ValueError, "validation: expected a share that splits 6 rows, got 0.0"),
        ({"validation": 0.01}, ValueError, "validation: expected a share that splits 6 rows, got 0.01"),
        ({"validation": 0.99}, ValueError, "validation: expected a share that splits 6 rows, got 0.99"),
        ({"validation": 1.0}, ValueError, r"validation: expected a number in \[0, 1\), got 1.0"),
        ({"validation": (X,)}, ValueError, r"validation: expected \(x, y\)"),
        ({"validation": X}, TypeError, "validation: expected a number"),
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
    net = network()
    unchanged(net, lambda: net.fit(X, LABELS, **options), error, message)


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
    net = network()
    for call in (net.fit, net.evaluate, fnn.Trainer(net).step):
        with pytest.raises(ValueError, match="x: expected at least one row, got none"):
            call(np.empty((0, 12)), np.empty(0, int))


def test_networks_that_cannot_be_trained():
    for name in ("step", "sign"):
        net = network("identity", 1, hidden=name)
        with pytest.raises(ValueError, match=f"dense_1: {name} is not differentiable"):
            net.fit(X, np.zeros(6))
        with pytest.raises(ValueError, match=f"dense_2: {name} is not differentiable"):
            fnn.Trainer(network(name, 1))
    net = fnn.Sequential([fnn.Input(12), fnn.Maxout(2, pieces=257), fnn.Dense(1)])
    assert net(X.reshape(6, 12)).shape == (6, 1)
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
    net = network()
    trainer = fnn.Trainer(net)
    grads = trainer.gradients(X, LABELS)
    edit(grads)
    unchanged(net, lambda: trainer.apply(grads), error, message)


# Arrays from elsewhere -----------------------------------------------------------------------------------------------
class OnGpu:
    """An array as CuPy's would look."""

    __cuda_array_interface__ = {"shape": (6, 12), "typestr": "<f4", "data": (0, False), "version": 3}  # noqa: RUF012

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


def test_gpu_arrays_in_a_build_for_the_cpu(monkeypatch):
    monkeypatch.setattr(select, "_opened", {})
    monkeypatch.setattr(select, "_KERNELS", "fnnfast._no_cuda")
    x, weight = np.ones((6, 12), np.float32), np.ones((12, 5), np.float32)
    for call in (lambda: fnn.dense(OnGpu(), OnGpu()), lambda: fnn.Tanh()(OnGpu())):
        with pytest.raises(TypeError, match=r"expected NumPy arrays, got a GPU array .*this build has no CUDA kernels"):
            call()
    for call in (
        lambda: fnn.dense(OnGpu(), weight),
        lambda: fnn.maxout(x, OnGpu()),
        lambda: fnn.Tanh()(x, out=OnGpu()),
    ):
        with pytest.raises(TypeError, match="expected NumPy or CuPy arrays in one call, got both"):
            call()
    assert select.of(x=x, weight=None) is CPU


def test_gpu_arrays_and_a_network_on_the_cpu():
    net = network()
    x = np.ones((6, 12), np.float32)
    for call, name in (
        (lambda: net(OnGpu()), "x"),
        (lambda: net(x, out=OnGpu()), "out"),
        (lambda: net.predict(OnGpu()), "x"),
        (lambda: net.fit(OnGpu(), OnGpu()), "x, y"),
        (lambda: net.fit(OnGpu(), LABELS), "x"),
    ):
        expected = rf"expected NumPy arrays for a network on the CPU, got a GPU array \({name}\): cupy.asnumpy\(\)"
        with pytest.raises(TypeError, match=expected):
            call()


def test_beyond_the_range_of_float32():
    """Infinite without a word, as what a sum overflows to."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, "relu")])
    net.parameters["dense_1.weight"] = [[1.0]]
    assert net([[1e39]]) == np.inf
    assert fnn.dense(np.ones((1, 1), np.float32), np.full((1, 1), 1e39, np.longdouble)) == np.inf
    with pytest.raises(ValueError, match="y: expected finite targets"):
        net.fit([[1.0]], [1e39])
    assert fnn.Sequential([fnn.Input(2), fnn.Dense(2, fnn.Swish(1e39))], dtype="float64")([[0, 0]]).tolist() == [[0, 0]]


# The tools themselves ------------------------------------------------------------------------------------------------
def test_no_copy_where_an_array_fits():
    for dtype in (np.float32, np.float64):
        array = np.ones((3, 4), dtype)
        assert _checks.fit(array, array.dtype) is array
        assert np.shares_memory(CPU.network_input(array, (2, 2), array.dtype), array)
        assert np.shares_memory(CPU.network_input(array.reshape(3, 2, 2), (2, 2), array.dtype), array)
        assert np.shares_memory(_checks.matrix(array.reshape(3, 2, 2)), array)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["f4"], "f4"),
        (["f8"], "f8"),
        ([">f4"], "f4"),
        (["f4", "f8"], "f8"),
        (["f4", "i8"], "f4"),
        (["f4", "f2", "?", "u1"], "f4"),
        (["i4"], "f8"),
        (["f2", "?"], "f8"),
        (["g"], "f8"),
        (["f4", "g"], "f4"),
    ],
)
def test_promotion(dtypes, expected):
    arrays = [np.ones(1, dtype) for dtype in dtypes]
    assert _checks.promote(*arrays, None) == np.dtype(expected)
    assert _checks.promote(None, *reversed(arrays)) == np.dtype(expected)


def test_overlap():
    memory = np.zeros((4, 8))
    assert _checks.overlap(memory[1:], memory[:2])
    assert not _checks.overlap(memory[:2], memory[2:])
    assert not _checks.overlap(memory[:, ::2], memory[:, 1::2])


def test_overlap_that_is_too_hard_to_tell_counts_as_one():
    memory = np.zeros(3_000_000, np.int8)
    shape, strides = (8,) * 6, (59230, 71124, 40694, 46873, 89776, 74399)
    a, b = (np.lib.stride_tricks.as_strided(memory[first:], shape, strides) for first in (0, 3))
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(a, b, max_work=_checks._OVERLAP_EFFORT)
    assert _checks.overlap(a, b)
