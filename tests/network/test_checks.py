"""Invalid layers, inputs, outputs and arguments of a network, by table."""

import numpy as np
import pytest

import fnnfast as fnn
from factories import BAD_X, CHECKED_X, Convertible, checked_network, read_only


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
        (
            [fnn.Input(2), fnn.Dense(2)],
            {"dtype": "float16"},
            ValueError,
            "'float32', 'float64' or 'bfloat16', got 'float16'",
        ),
        ([fnn.Input(2), fnn.Dense(2)], {"dtype": None}, ValueError, "'float32', 'float64' or 'bfloat16', got None"),
        ([fnn.Input(2), fnn.Dense(2)], {"dtype": ">f4"}, ValueError, "'float32', 'float64' or 'bfloat16', got '>f4'"),
        ([fnn.Input(2), fnn.Dense(2)], {"seed": -1}, ValueError, "seed: expected an integer >= 0, got -1"),
        ([fnn.Input(2), fnn.Dense(2, fnn.Swish(1e39))], {}, ValueError, r"swish: .* float32's range, got 1e\+39"),
        ([fnn.Input(2), fnn.Dense(2, fnn.PReLU(1e39))], {}, ValueError, r"prelu: .* float32's range, got 1e\+39"),
        ([fnn.Input(2), fnn.Dense(2)], {"seed": 0.5}, TypeError, "seed: expected an integer >= 0, got 0.5"),
    ],
)
def test_invalid_layers(layers, options, error, message):
    with pytest.raises(error, match=message):
        fnn.Sequential(layers, **options)


@pytest.mark.parametrize(("x", "error", "message"), BAD_X)
@pytest.mark.parametrize("method", ["__call__", "logits", "predict", "sample"])
def test_bad_x(method, x, error, message):
    with pytest.raises(error, match=message):
        getattr(checked_network(), method)(x)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros((5, 5), np.float32), ValueError, r"out: expected shape \(6, 5\), got \(5, 5\)"),
        (np.zeros((7, 5), np.float32), ValueError, r"out: expected shape \(6, 5\), got \(7, 5\)"),
        (np.zeros(30, np.float32), ValueError, r"out: expected shape \(6, 5\), got \(30,\)"),
        (np.zeros((6, 5)), TypeError, "out: expected dtype float32, got float64"),
        (np.zeros((6, 5), ">f4"), TypeError, "out: expected dtype float32, got >f4"),
        (np.zeros((6, 5), np.int32), TypeError, "out: expected dtype float32, got int32"),
        (read_only(np.zeros((6, 5), np.float32)), ValueError, "out: expected a writeable array, got a read-only one"),
        ([[0.0] * 5] * 6, TypeError, "out: expected a NumPy array, got list"),
    ],
)
@pytest.mark.parametrize("x", [CHECKED_X.reshape(6, 12), CHECKED_X.astype(np.float64)], ids=["ready", "to convert"])
def test_bad_out(x, out, error, message):
    before = np.array(out)
    with pytest.raises(error, match=message):
        checked_network()(x, out=out)
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
        (lambda net: net.sample(CHECKED_X, 0), ValueError, "n: expected an integer >= 1, got 0"),
        (lambda net: net.sample(CHECKED_X, 2.5), TypeError, "n: expected an integer >= 1, got 2.5"),
        (lambda net: net.summary(plan=-1), ValueError, "plan: expected an integer >= 1, got -1"),
        (lambda net: fnn.Trainer("net"), TypeError, "network: expected a Sequential, got 'net'"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(checked_network())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net(), r"Network.__call__\(\) missing 1 required positional argument: 'x'"),
        (lambda net: net(CHECKED_X, foo=1), r"Network.__call__\(\) got an unexpected keyword argument 'foo'"),
        (lambda net: net(CHECKED_X, None), r"Network.__call__\(\) takes 2 positional arguments but 3 were given"),
        (lambda net: net(out=CHECKED_X), r"Network.__call__\(\) missing 1 required positional argument: 'x'"),
    ],
)
def test_calls_that_do_not_match_the_signature(call, message):
    with pytest.raises(TypeError, match=message):
        call(checked_network())


@pytest.mark.parametrize("name", ["result", "ou", "outs", "x"])
def test_no_other_keyword_is_out(name):
    """Not for arrays either that would fit."""
    result = np.zeros((6, 5), np.float32)
    with pytest.raises(TypeError, match=f"'{name}'"):
        checked_network()(CHECKED_X.reshape(6, 12), **{name: result})
    assert not result.any()


def test_beyond_the_range_of_float32():
    """Infinite without a word, as what a sum overflows to."""
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1, "relu")])
    net.parameters["dense_1.weight"] = [[1.0]]
    assert net([[1e39]]) == np.inf
    assert fnn.dense(np.ones((1, 1), np.float32), np.full((1, 1), 1e39, np.longdouble)) == np.inf
    with pytest.raises(ValueError, match="y: expected finite targets"):
        net.fit([[1.0]], [1e39])
    assert fnn.Sequential([fnn.Input(2), fnn.Dense(2, fnn.Swish(1e39), bias=False)], dtype="float64")(
        [[0, 0]]
    ).tolist() == [[0, 0]]
