"""Layer specifications: what they hold, what they refuse, and the parameters that a network starts from."""

import copy
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import reference
from fnnfast.activations import _base

SPECS = [
    fnn.Input(28, 28),
    fnn.Dense(3),
    fnn.Dense(3, "swish"),
    fnn.Dense(2, fnn.PReLU([0.1, 0.2])),
    fnn.Maxout(4, pieces=3),
    fnn.Dropout(0.25),
    fnn.SGD(0.1, momentum=0.9, nesterov=True),
    fnn.AdamW(weight_decay=0.1),
    fnn.CrossEntropy(),
    fnn.CosineDecay(10),
]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_specs_are_values(spec):
    for twin in (copy.copy(spec), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert twin == spec
        assert hash(twin) == hash(spec)
    assert all(other != spec for other in SPECS if other is not spec)
    assert eval(repr(spec), vars(fnn)) == spec
    for name in (*vars(spec), "new"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(spec, name, 1)


def test_what_a_spec_holds():
    assert fnn.Input(28, 28).shape == (28, 28)
    assert fnn.Input(28, 28).size == 784
    assert fnn.Dense(3).activation == fnn.Identity()
    assert fnn.Dense(3, "silu").activation == fnn.Swish(beta=1.0)
    assert fnn.Dense(np.int64(3)).units == 3
    assert fnn.Maxout(4, pieces=3).pieces == 3
    assert fnn.Maxout(4).activation == fnn.Identity()
    assert fnn.Dropout(0).rate == 0.0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.Input(), ValueError, "at least one dimension"),
        (lambda: fnn.Input(0), ValueError, "Input: expected an integer >= 1, got 0"),
        (lambda: fnn.Input((28, 28)), TypeError, r"Input: expected an integer >= 1, got \(28, 28\)"),
        (lambda: fnn.Dense(0), ValueError, "units: expected an integer >= 1, got 0"),
        (lambda: fnn.Dense(-3), ValueError, "units: .*, got -3"),
        (lambda: fnn.Dense(2.0), TypeError, "units: .*, got 2.0"),
        (lambda: fnn.Dense(True), TypeError, "units: .*, got True"),
        (lambda: fnn.Dense("relu"), TypeError, "units: .*, got 'relu'"),
        (lambda: fnn.Dense(2, "rleu"), ValueError, "one of identity, .*silu, got 'rleu'; did you mean 'relu'"),
        (lambda: fnn.Dense(2, "zzzzzzz"), ValueError, "got 'zzzzzzz'$"),
        (lambda: fnn.Dense(2, 3), TypeError, "a name or an activation object, got 3"),
        (lambda: fnn.Dense(2, fnn.Swish), TypeError, "a name or an activation object, got <class"),
        (lambda: fnn.Dense(2, fnn.PReLU([0.1, 0.2, 0.3])), ValueError, "prelu alpha: expected 1 or 2 values"),
        (lambda: fnn.Maxout(0, pieces=2), ValueError, "units: .*, got 0"),
        (lambda: fnn.Maxout(2, pieces=0), ValueError, "pieces: expected an integer >= 1, got 0"),
        (lambda: fnn.Dropout(1.0), ValueError, r"rate: expected a number in \[0, 1\), got 1.0"),
        (lambda: fnn.Dropout(-0.1), ValueError, "rate: .*, got -0.1"),
        (lambda: fnn.Dropout(float("nan")), ValueError, "rate: .*, got nan"),
        (lambda: fnn.Dropout("0.1"), TypeError, "rate: .*, got '0.1'"),
        (lambda: fnn.Input(2**31), ValueError, "Input: expected an integer <= 2147483647, got 2147483648"),
        (lambda: fnn.Input(2**70), ValueError, "Input: expected an integer <= 2147483647, got 1180591620717411303424"),
        (lambda: fnn.Input(10**9999), ValueError, "Input: expected an integer <= .*, got a number too long to show"),
        (lambda: fnn.Input(2**16, 2**15), ValueError, r"Input: .* 2147483647 values, got shape \(65536, 32768\)"),
        (lambda: fnn.Dense(2**70), ValueError, "units: expected an integer <= 2147483647, got 1180591620717411303424"),
        (lambda: fnn.Dense(np.uint64(2**63)), ValueError, "units: .*, got 9223372036854775808"),
        (lambda: fnn.Maxout(2, pieces=2**31), ValueError, "pieces: expected an integer <= 2147483647, got 2147483648"),
        (lambda: fnn.Dropout(10**400), ValueError, r"rate: expected a number in \[0, 1\), got 1000"),
        (lambda: fnn.Dropout(10**9999), ValueError, r"rate: expected a number in \[0, 1\), got a number too long"),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: fnn.ReLU(alpha=0.3),
        lambda: fnn.Tanh(name="relu"),
        lambda: fnn.Softmax(-1),
        lambda: fnn.CrossEntropy(label_smoothing=0.1),
        lambda: fnn.MeanSquaredError(kernel="huber"),
        lambda: fnn.Swish(alpha=1.0),
        lambda: fnn.activations.get("relu", alpha=0.3),
    ],
)
def test_fields_that_a_spec_does_not_have(make):
    with pytest.raises(TypeError, match="argument"):
        make()


def test_the_largest_sizes():
    assert fnn.Input(2**31 - 1).size == 2**31 - 1
    assert fnn.Dense(2**31 - 1).units == fnn.Maxout(2**31 - 1).units == 2**31 - 1
    assert fnn.PReLU(2**70).alpha == 2.0**70


def test_an_activation_that_only_the_kernels_know(monkeypatch):
    """A name in the registry is enough, with a parameter or without."""
    entry = {"name": "cube", "init": "he", "saves": "input", "differentiable": True, "rowwise": False}
    entry |= {"parameter": False, "learned": False, "default": 1.0}
    registry = _base.REGISTRY
    monkeypatch.setitem(registry, "cube", entry)
    monkeypatch.setitem(registry, "root", {**entry, "name": "root", "parameter": True, "default": 0.5})
    monkeypatch.setitem(registry, "side", {**registry["root"], "name": "side", "saves": "output"})
    monkeypatch.setitem(registry, "each", {**registry["root"], "name": "each", "learned": True})
    cube = fnn.activations.get("cube")
    assert (cube.name, cube.kernel, cube.parameter, cube.learned, cube.init) == ("cube", "cube", None, False, "he")
    assert cube == pickle.loads(pickle.dumps(cube)) == fnn.activations.get("Cube")
    assert fnn.Dense(3, "cube").spec((4,)) == ("dense", 3, "cube", None, True)
    weights = [
        fnn.Dense(3, "cube", init=init).initial((4,), np.random.default_rng(0))["weight"] for init in ("he", None)
    ]
    np.testing.assert_array_equal(*weights)
    root = fnn.activations.get("root", alpha=-2.0)
    assert (root.parameter, fnn.activations.get("root").parameter) == (-2.0, 0.5)
    assert fnn.Dense(3, root).spec((4,)) == ("dense", 3, "root", -2.0, True)
    each = fnn.activations.get("each", alpha=[1.0, -2.0])
    assert each.learned
    assert each.parameter.tolist() == [1.0, -2.0]
    with pytest.raises(ValueError, match=r"alpha: .*> 0"):
        fnn.activations.get("side", alpha=-2.0)
    for name, parameters in (("cube", {"alpha": 1.0}), ("root", {"beta": 1.0})):
        with pytest.raises(TypeError, match="argument"):
            fnn.activations.get(name, **parameters)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_initialisation_is_the_one_that_the_activation_names(name):
    activation = fnn.activations.get(name)
    named = fnn.Dense(7, activation, init=activation.init)
    np.testing.assert_array_equal(initial(fnn.Dense(7, activation))["weight"], initial(named)["weight"])


I, O, P = 300, 200, 4  # noqa: E741 - the project's names for dimensions


def initial(layer, dtype="float64", seed=0):
    net = fnn.Sequential([fnn.Input(I), layer], dtype=dtype, seed=seed)
    return {name.partition(".")[2]: values for name, values in net.parameters.items()}


@pytest.mark.parametrize(
    ("layer", "variance"),
    [
        *((fnn.Dense(O, name), 2 / I) for name in ("relu", "leaky_relu", "prelu", "elu", "gelu", "softplus", "swish")),
        (fnn.Dense(O, fnn.ELU(learn=True)), 2 / I),
        (fnn.Dense(O, "selu"), 1 / I),
        (fnn.Maxout(O, pieces=P), 1 / I),
    ],
    ids=repr,
)
def test_normal_initialisation(layer, variance):
    weight = initial(layer)["weight"]
    n = weight.size
    assert abs(weight.mean()) < 5 * np.sqrt(variance / n)
    assert abs(weight.var() / variance - 1) < 5 * np.sqrt(2 / n)  # five standard errors of a normal sample's variance
    assert 2.5 < np.abs(weight).max() / np.sqrt(variance) < 7  # with tails, unlike a uniform


@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh", "softmax", "step", "sign"])
def test_uniform_initialisation(name):
    weight = initial(fnn.Dense(O, name))["weight"]
    limit = np.sqrt(6 / (I + O))
    assert 0.999 * limit < np.abs(weight).max() <= limit
    assert abs(weight.var() / (limit**2 / 3) - 1) < 5 / np.sqrt(weight.size)


def test_biases_and_slopes():
    assert initial(fnn.Dense(O, "relu"))["bias"].shape == (O,)
    assert initial(fnn.Maxout(O, pieces=P))["bias"].shape == (P, O)
    assert set(initial(fnn.Dense(O, "leaky_relu"))) == {"weight", "bias"}
    assert initial(fnn.Dense(O, "prelu"))["alpha"].tolist() == [0.25] * O
    assert initial(fnn.Dense(2, fnn.PReLU([0.5, -1])))["alpha"].tolist() == [0.5, -1.0]
    assert initial(fnn.Dense(O, fnn.ELU(0.5, learn=True)))["alpha"].tolist() == [0.5] * O


@pytest.mark.parametrize("layer", [fnn.Dense(O, "swish"), fnn.Dense(O, "tanh"), fnn.Maxout(O, pieces=P)], ids=repr)
def test_seed(layer):
    double, single = initial(layer)["weight"], initial(layer, "float32")["weight"]
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, double.astype(np.float32))
    np.testing.assert_array_equal(double, initial(layer)["weight"])
    assert (double != initial(layer, seed=1)["weight"]).any()
    assert (initial(layer, seed=None)["weight"] != initial(layer, seed=None)["weight"]).any()
