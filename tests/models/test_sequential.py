"""Networks: what they answer, in which shapes, and that they stay the same network when copied."""

import copy
import inspect
import pickle
import pydoc
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fnnfast as fnn
from factories import LAYOUTS, fill_biases, normal
from fnnfast import reference
from oracles import assert_same_bits, assert_within, eps


def network(dtype="float32", head="softmax", seed=0):
    return fnn.Sequential(
        [
            fnn.Input(4, 5),
            fnn.Dense(33, "swish"),
            fnn.Maxout(17, pieces=3),
            fnn.Dropout(0.2),
            fnn.Dense(12, "prelu"),
            fnn.Dense(7, head),
        ],
        dtype=dtype,
        seed=seed,
    )


def layer_by_layer(net, x, head=None):
    """The same through the oracles."""
    p = net.parameters
    h = reference.dense(x.reshape(len(x), -1), p["dense_1.weight"], p["dense_1.bias"], "swish", 1.0)
    h = reference.maxout(h, p["maxout_1.weight"], p["maxout_1.bias"])
    h = reference.dense(h, p["dense_2.weight"], p["dense_2.bias"], "prelu", p["dense_2.alpha"])
    return reference.dense(h, p["dense_3.weight"], p["dense_3.bias"], head or net.head.name)


# Answers -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity", "tanh"])
def test_forward(isa, dtype, head):
    rng = np.random.default_rng(1)
    net = fill_biases(network(dtype, head), rng)
    for rows in (1, 2, 5, 64, 301):
        x = normal(rng, dtype, rows, 4, 5)
        # Four layers of about unit scale, each with a Lipschitz constant of a few.
        tolerance = np.full((rows, 7), 4 * (20 + 33 + 17 + 12 + 4 * 8) * 16 * eps(dtype))
        y = net(x)
        assert y.dtype == dtype
        assert_within(y, layer_by_layer(net, x), tolerance)
        assert_within(net.logits(x), layer_by_layer(net, x, "identity"), tolerance)
        assert_same_bits(net.head(net.logits(x)), y)


def test_a_row_does_not_depend_on_its_batch(isa, dtype):
    net = network(dtype)
    x = normal(np.random.default_rng(2), dtype, 130, 20)
    whole = net(x)
    for first, last in ((0, 1), (7, 8), (0, 2), (3, 100), (64, 130)):
        assert_same_bits(net(x[first:last]), whole[first:last])


def test_threads_do_not_show(dtype):
    """Neither those of the kernels, nor eight of Python calling one network at once."""
    net = network(dtype)
    x = normal(np.random.default_rng(3), dtype, 1000, 20)
    with fnn.num_threads(1):
        expected = net(x)
    for n in (2, 3, 8):
        with fnn.num_threads(n):
            assert_same_bits(net(x), expected)
    with ThreadPoolExecutor(8) as pool:
        for y in pool.map(lambda _: net(x), range(64)):
            assert_same_bits(y, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("given", ["float32", "float64", "float16", "uint8", "uint16", "bool"])
def test_any_input(layout, given, dtype):
    net = network(dtype)
    x = LAYOUTS[layout](np.abs(normal(np.random.default_rng(4), "float64", 6, 4, 5) * 3).astype(given))
    before = x.copy()
    expected = net(np.array(x, dtype).reshape(6, 20))
    assert_same_bits(net(x), expected)
    assert_same_bits(net(x.tolist()), net(np.array(x.tolist())))
    np.testing.assert_array_equal(x, before)


@given(rows=st.integers(0, 9), columns=st.integers(1, 30))
def test_shapes(rows, columns):
    net = fnn.Sequential([fnn.Input(columns), fnn.Dense(3, "relu"), fnn.Dense(2)], seed=0)
    assert net(np.ones((rows, columns), np.float32)).shape == (rows, 2)
    assert net(np.ones((rows, columns))).shape == (rows, 2)


def test_an_empty_batch():
    for head, shape in (("softmax", (0,)), ("sigmoid", (0, 7)), ("identity", (0, 7))):
        net = network(head=head)
        for x in (np.empty((0, 20), np.float32), np.empty((0, 4, 5))):
            assert net(x).shape == net.logits(x).shape == (0, 7)
            assert net.predict(x).shape == shape
            assert net.sample(x, 3).shape == (3, *shape)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("read_only", "byte_swapped")])
@pytest.mark.parametrize("x_dtype", ["float32", "float64"])
def test_out(layout, x_dtype):
    """A contiguous out is filled as it is, any other through a temporary."""
    net = network("float32")
    x = normal(np.random.default_rng(5), x_dtype, 9, 20)
    out = LAYOUTS[layout](np.full((9, 7), np.nan, np.float32))
    assert net(x, out=out) is out
    assert_same_bits(out, net(x))


# Predictions ---------------------------------------------------------------------------------------------------------
def test_predict():
    x = normal(np.random.default_rng(6), "float32", 50, 20)
    net = network(head="softmax")
    assert net.predict(x).dtype == np.int64
    np.testing.assert_array_equal(net.predict(x), net(x).argmax(axis=1))
    net = network(head="sigmoid")
    np.testing.assert_array_equal(net.predict(x), (net(x) >= 0.5).astype(np.int64))
    for head in ("identity", "relu"):
        net = network(head=head)
        np.testing.assert_array_equal(net.predict(x), net(x))
    net = fnn.Sequential([fnn.Input(20), fnn.Dense(1, "sigmoid")], seed=0)
    assert net.predict(x).shape == (50,)
    assert set(net.predict(x)) == {0, 1}
    net.parameters["dense_1.weight"] = np.zeros((20, 1))
    assert net.predict(x[:1]).tolist() == [1]  # a probability of exactly 0.5


def test_sample_a_categorical():
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(3, "softmax")])
    net.parameters["dense_1.weight"] = np.array([[0, 0, 0], [-200, 0, 0]])
    net.parameters["dense_1.bias"] = np.log([0.5, 0.3, 0.2])
    x = np.array([[0, 0], [0, 1]])
    n = 20_000
    classes = net.sample(x, n, rng=0)
    assert classes.shape == (n, 2)
    assert classes.dtype == np.int64
    for row, p in enumerate(net(x)):
        share = np.bincount(classes[:, row], minlength=3) / n
        np.testing.assert_array_less(np.abs(share - p), 5 * np.sqrt(p * (1 - p) / n) + 1e-12)
    np.testing.assert_array_equal(classes, net.sample(x, n, rng=np.random.default_rng(0)))
    assert (classes != net.sample(x, n, rng=1)).any()


def test_sample_a_bernoulli():
    x, n = np.array([[-1.0], [0.0], [2.0]]), 20_000
    for units in (1, 2):
        net = fnn.Sequential([fnn.Input(1), fnn.Dense(units, "sigmoid")], seed=0)
        labels = net.sample(x, n, rng=0)
        assert labels.shape == ((n, 3) if units == 1 else (n, 3, 2))
        assert set(np.unique(labels)) == {0, 1}
        p = net(x)[:, 0] if units == 1 else net(x)
        np.testing.assert_array_less(np.abs(labels.mean(axis=0) - p), 5 * np.sqrt(p * (1 - p) / n))


def test_sample_a_gaussian(dtype):
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(2)], dtype=dtype, seed=0)
    x, n = np.array([[-1.0], [10.0]]), 20_000
    values = net.sample(x, n, rng=0)
    assert values.shape == (n, 2, 2)
    assert values.dtype == dtype
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - net(x)), 5 / np.sqrt(n))
    np.testing.assert_array_less(np.abs(values.var(axis=0) - 1), 5 * np.sqrt(2 / n))


def test_sample_what_has_no_distribution():
    x = np.ones((1, 2))
    with pytest.raises(ValueError, match="a sign head predicts no distribution"):
        fnn.Sequential([fnn.Input(2), fnn.Dense(1, "sign")]).sample(x)
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(2, "softmax")])
    with pytest.raises(ValueError, match="probabilities contain NaN"):
        net.sample(x * np.nan)


# Parameters ----------------------------------------------------------------------------------------------------------
def test_parameters(dtype):
    net = network(dtype)
    assert list(net.parameters) == [
        *("dense_1.weight", "dense_1.bias", "maxout_1.weight", "maxout_1.bias"),
        *("dense_2.weight", "dense_2.bias", "dense_2.alpha", "dense_3.weight", "dense_3.bias"),
    ]
    assert len(net.parameters) == 9
    assert net.parameters["maxout_1.weight"].shape == (3, 33, 17)
    assert net.parameters["dense_2.alpha"].shape == (12,)
    assert all(values.dtype == dtype for values in net.parameters.values())
    with pytest.raises(ValueError, match="read-only"):
        net.parameters["dense_1.bias"][0] = 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_assigning_parameters(isa, dtype, layout):
    rng = np.random.default_rng(7)
    net = network(dtype)
    x = normal(rng, dtype, 3, 20)
    for name, shape in {name: values.shape for name, values in net.parameters.items()}.items():
        before = net(x)
        others = {other: values for other, values in net.parameters.items() if other != name}
        values = LAYOUTS[layout](normal(rng, dtype, *shape))
        net.parameters[name] = values
        assert_same_bits(net.parameters[name], np.array(values, dtype))
        for other, kept in others.items():
            assert_same_bits(net.parameters[other], kept)
        after = net(x)
        assert (after != before).any()
        if values.flags.writeable:
            values[...] = 0  # the network took a copy
            assert_same_bits(net(x), after)


def test_refused_parameters():
    net = network()
    before = dict(net.parameters)
    for name, values, error, message in (
        ("dense_1.weight", np.ones((20, 32)), ValueError, r"dense_1.weight: expected shape \(20, 33\), got \(20, 32\)"),
        ("dense_1.bias", np.ones((1, 33)), ValueError, r"expected shape \(33,\), got \(1, 33\)"),
        ("dense_1.bias", 1.0, ValueError, r"expected shape \(33,\), got \(\)"),
        ("dense_1.bias", np.full(33, 1j), TypeError, "real numbers, got dtype complex128"),
        ("dense_9.bias", np.ones(33), KeyError, "one of dense_1.weight, .*, got 'dense_9.bias'"),
    ):
        with pytest.raises(error, match=message):
            net.parameters[name] = values
    with pytest.raises(KeyError, match="got 'weight'"):
        net.parameters["weight"]
    assert "weight" not in net.parameters
    for name, values in before.items():
        assert_same_bits(net.parameters[name], values)


# One network, whatever happens to it ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, *(lambda net, p=p: pickle.loads(pickle.dumps(net, p)) for p in range(2, 6))]
)
def test_copies(duplicate, dtype):
    rng = np.random.default_rng(8)
    net = fill_biases(network(dtype), rng)
    x = normal(rng, dtype, 5, 20)
    twin = duplicate(net)
    assert type(twin) is fnn.Sequential
    assert twin.layers == net.layers
    assert twin.dtype == net.dtype
    expected = net(x)
    assert_same_bits(twin(x), expected)
    twin.parameters["dense_1.bias"] = np.ones(33)
    assert (twin(x) != expected).any()
    assert_same_bits(net(x), expected)


def test_signatures():
    """What a call takes can be asked, though it is answered in C++."""
    assert str(inspect.signature(network())) == "(x: 'ArrayLike', *, out: 'Array | None' = None) -> 'Array'"
    assert list(inspect.signature(fnn.Sequential).parameters) == ["layers", "dtype", "seed", "device"]
    assert "net(x, *, out=None)" in pydoc.render_doc(fnn.Sequential).partition("Parameters")[0]


def test_repr():
    text = repr(network("float64"))
    assert text.splitlines() == [
        "Sequential([",
        "    Input(4, 5),",
        "    Dense(units=33, activation=Swish(beta=1.0)),",
        "    Maxout(units=17, pieces=3),",
        "    Dropout(rate=0.2),",
        "    Dense(units=12, activation=PReLU(alpha=0.25)),",
        "    Dense(units=7, activation=Softmax()),",
        "], dtype='float64')",
    ]
    assert eval(text, vars(fnn)).layers == network().layers
    assert "dense_2.alpha: float32 (12,)" in repr(network().parameters)


@pytest.mark.parametrize(
    ("sizes", "title", "total"),
    [
        # CS231n, "Setting up the architecture": [3 x 4] + [4 x 2] weights; [3 x 4] + [4 x 4] + [4 x 1] weights.
        ((3, 4, 2), "2-layer network, 3 inputs, 2 outputs", "6 neurons, 26 parameters"),
        ((3, 4, 4, 1), "3-layer network, 3 inputs, 1 output", "9 neurons, 41 parameters"),
    ],
)
def test_summary_counts_like_the_notes(sizes, title, total):
    net = fnn.Sequential([fnn.Input(sizes[0]), *(fnn.Dense(units, "relu") for units in sizes[1:])])
    assert title in net.summary()
    assert total in net.summary()


def test_summary():
    lines = network().summary().splitlines()
    assert lines[0] == "4-layer network, 20 inputs, 7 outputs, float32"
    row = next(line for line in lines if line.startswith("maxout_1"))
    assert row.split()[-5:] == ["(B,", "17)", "17", f"{3 * (33 * 17 + 17):,}", f"{3 * 33 * 17:,}"]
    row = next(line for line in lines if line.startswith("dropout_1"))
    assert row.split()[-2:] == ["(B,", "17)"]
    assert lines[-1].startswith("69 neurons, 2,746 parameters")
    planned = network().summary(plan=32)
    assert planned.startswith(network().summary())
    assert "batch 32:" in planned
    assert network().summary(plan=True).count("batch ") >= 2


def test_a_class_with_a_call_of_its_own():
    """Defined in a subclass or put in later, it is what runs, and reaches the call it replaces."""

    class Doubled(fnn.Sequential):
        def __call__(self, x, *, out=None):
            return 2 * super().__call__(x, out=out)

    class Replaced(fnn.Sequential):
        pass

    layers, x = [fnn.Input(4), fnn.Dense(3, "tanh")], np.ones((2, 4), np.float32)
    plain, doubled, replaced = (kind(layers, seed=0) for kind in (fnn.Sequential, Doubled, Replaced))
    expected = plain(x)
    assert np.array_equal(doubled(x), 2 * expected)
    assert np.array_equal(replaced(x), expected)
    for call in (lambda: replaced(x), lambda: replaced.__call__(x), lambda: Replaced.__call__(replaced, x)):
        Replaced.__call__ = lambda self, x: fnn.Sequential.__call__(self, x) + 1
        assert np.array_equal(call(), expected + 1)
        Replaced.__call__ = lambda self, x: fnn.Sequential.__call__(self, x) + 2
        assert np.array_equal(fnn.Sequential.__call__(replaced, x), expected)
        assert np.array_equal(replaced(x), expected + 2)
        del Replaced.__call__
        assert np.array_equal(Replaced(layers, seed=0)(x), expected)
        assert np.array_equal(replaced(x), expected)
    assert np.array_equal(plain(x), expected)

    class Unfinished(fnn.Sequential, ABC):
        @abstractmethod
        def needed(self): ...

    with pytest.raises(TypeError, match="abstract"):
        Unfinished(layers)


def test_a_call_names_what_it_does_not_take():
    net = fnn.Sequential([fnn.Input(4), fnn.Dense(3)])
    x = np.ones((2, 4), np.float32)
    name = "".join(["o", "u", "t"])  # a keyword that is equal to "out", and perhaps not the same object
    assert net(x, **{name: np.empty((2, 3), np.float32)}).shape == (2, 3)
    for args, kwargs in (
        ((), {}),
        ((x, x), {}),
        ((x,), {"outs": x}),
        ((x,), {"out": None, "more": 1}),
        ((), {"out": x}),
    ):
        with pytest.raises(TypeError, match=r"Network\.__call__"):
            net(*args, **kwargs)
    assert net(x=x).shape == (2, 3)
