"""Attributes that users and subclasses set come along wherever an object is copied, pickled or converted."""

import copy
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from oracles import assert_same_bits

X = np.random.default_rng(0).standard_normal((12, 2)).astype(np.float32)
Y = np.arange(12) % 2
LAYERS = [fnn.Input(2), fnn.Dense(3, "prelu"), fnn.Dense(2, "softmax")]


class Scored(fnn.Sequential):
    threshold = 0.5

    def __init__(self, *arguments, labels=("no", "yes"), **named):
        super().__init__(*arguments, **named)
        self.labels = labels


class Slotted(fnn.Sequential):
    __slots__ = ("note",)


class Chosen(fnn.Sequential):
    """With a state of its own, as pickle lets it have one."""

    def __getstate__(self):
        return {**vars(self), "threshold": vars(self).get("threshold", 0) + 1}

    def __setstate__(self, state):
        vars(self).update(state)


class Committee(fnn.Ensemble):
    threshold = 0.5


def estimator(kind):
    sklearn = pytest.importorskip("fnnfast.sklearn")
    with pytest.warns(Warning, match="iterations"):
        return getattr(sklearn, kind)(hidden_layer_sizes=(3,), max_iter=1, random_state=0).fit(X, Y)


# What there is to copy; a new kind joins by a line.
KINDS = {
    "Sequential": lambda: fnn.Sequential(LAYERS, seed=0),
    "a subclass": lambda: Scored(LAYERS, seed=0),
    "a subclass in float64": lambda: Scored(LAYERS, seed=0, dtype="float64"),
    "bfloat16": lambda: fnn.Sequential(LAYERS, seed=0).astype("bfloat16"),
    "int8": lambda: fnn.Sequential(LAYERS, seed=0).quantize(X),
    "FNNClassifier": lambda: estimator("FNNClassifier"),
    "FNNRegressor": lambda: estimator("FNNRegressor"),
    "History": lambda: fnn.Sequential(LAYERS, seed=0).fit(X, Y, epochs=1),
    "EarlyStopping": fnn.EarlyStopping,
}
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", KINDS)
def test_attributes_survive(kind, how):
    original = KINDS[kind]()
    original.threshold, original.notes, original._private = 0.9, ["a", {"b": X[:2]}], None
    got = COPIES[how](original)
    assert type(got) is type(original)
    assert (got.threshold, got.notes[0], got._private) == (0.9, "a", None)
    assert (got.notes is original.notes) == (how == "copy")
    assert_same_bits(got.notes[1]["b"], X[:2])
    if isinstance(original, fnn.Network):
        assert_same_bits(got(X), original(X))
        for name, values in original.parameters.items():
            assert_same_bits(got.parameters[name], values)
    if kind.startswith("a subclass"):
        assert got.labels == ("no", "yes")


@pytest.mark.parametrize("how", COPIES)
def test_networks_of_their_own(how):
    """A copy is another network: to train it does not change the original; what is frozen stays so."""
    net = Scored(LAYERS, seed=0)
    net.freeze("dense_1")
    net.me, net.other = net, fnn.Sequential(LAYERS, seed=1)
    before = net(X)
    got = COPIES[how](net)
    assert got.frozen == ("dense_1",)
    if how != "copy":
        assert got.me is got
        assert got.other is not net.other
    assert_same_bits(got.other(X), net.other(X))
    got.fit(X, Y, epochs=1)
    assert_same_bits(net(X), before)
    assert not np.array_equal(got(X), before)


CONVERSIONS = {"to": lambda net: net.to("cpu"), "astype": lambda net: net.astype("float32")}


@pytest.mark.parametrize("how", {**COPIES, **CONVERSIONS})
def test_slots_and_states_of_their_own(how):
    copied = {**COPIES, **CONVERSIONS}[how]
    net = Slotted(LAYERS, seed=0)
    net.note, net.threshold = "kept", 0.9
    got = copied(net)
    assert (got.note, got.threshold) == ("kept", 0.9)
    chosen = Chosen(LAYERS, seed=0)
    chosen.threshold = 0.5
    got = copied(chosen)
    assert got.threshold == 1.5
    np.testing.assert_allclose(got(X), chosen(X), rtol=1e-5)


@pytest.mark.parametrize("how", COPIES)
def test_objects_that_take_no_attributes_say_so(how):
    ensemble = Committee([fnn.Sequential(LAYERS, seed=seed) for seed in range(2)])
    for value in (ensemble, LAYERS[1], fnn.ReLU(), fnn.Adam(), fnn.CrossEntropy(), ensemble.distribution(X)):
        with pytest.raises(AttributeError, match="immutable: cannot set 'threshold'"):
            value.threshold = 0.9
        got = COPIES[how](value)
        assert type(got) is type(value)
    object.__setattr__(ensemble, "threshold", 0.9)  # as a subclass may
    assert COPIES[how](ensemble).threshold == 0.9


CONVERSIONS = {
    "to": lambda net: net.to("cpu"),
    "to float64": lambda net: net.to("cpu", "float64"),
    "astype": lambda net: net.astype("float64"),
}


@pytest.mark.parametrize("how", CONVERSIONS)
def test_conversions_keep_them(how):
    net = Scored(LAYERS, seed=0, labels=("a", "b"))
    net.threshold = 0.9
    got = CONVERSIONS[how](net)
    assert type(got) is Scored
    assert (got.threshold, got.labels) == (0.9, ("a", "b"))
    np.testing.assert_allclose(got(X), net(X), rtol=1e-5)


@pytest.mark.cuda
def test_on_a_gpu():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no CUDA device")
    net = Scored(LAYERS, seed=0)
    net.threshold = 0.9
    there = net.to("cuda")
    for got in (there, copy.copy(there), copy.deepcopy(there), pickle.loads(pickle.dumps(there)), there.to("cpu")):
        assert got.threshold == 0.9
