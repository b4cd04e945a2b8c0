"""The neutral description of models: what folds into what, what joins, and what is refused where."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fnnfast as fnn
from fnnfast.interop import ConversionError
from fnnfast.interop._build import build, checked
from fnnfast.interop._graph import Add, Concat, Graph, Maximum, dominators
from fnnfast.interop._operations import Apply, Keep, MaxPieces, Scale
from fnnfast.interop._products import Affine

RNG = np.random.default_rng(0)
X = RNG.standard_normal((9, 4))


def affine(inputs=4, units=4, bias=True):
    return Affine(RNG.standard_normal((inputs, units)), RNG.standard_normal(units) if bias else None)


def scale(width=4):
    return Scale(RNG.uniform(0.5, 2, width) * RNG.choice([-1, 1], width), RNG.standard_normal(width))


def apply(name):
    return Apply(fnn.activations.get(name))


def run(operation, x):
    """What an operation on one value computes, said once more."""
    if isinstance(operation, Affine):
        return x @ operation.weight + (0 if operation.bias is None else operation.bias)
    if isinstance(operation, Scale):
        return x * operation.scale + operation.shift
    if isinstance(operation, Keep):
        return x
    if operation.alpha is not None:
        return np.where(x > 0, x, operation.alpha * x)
    return operation.activation(x)


def chain(*operations, inputs=4):
    graph, value, x = Graph((inputs,)), 0, X[:, :inputs]
    for number, operation in enumerate(operations, 1):
        value, x = graph.add(operation, [value], f"part {number}"), run(operation, x)
    net = build(graph, value, fnn.Input(inputs), np.dtype("float64"))
    np.testing.assert_allclose(net(X[:, :inputs]), x, rtol=1e-12, atol=1e-12)
    return net, graph


def kinds(net):
    return [layer.kind for layer in net.layers[1:]]


# Scales --------------------------------------------------------------------------------------------------------------
def test_a_scale_folds_into_the_layer_before_it():
    net, graph = chain(affine(), scale(), apply("relu"))
    assert net.layers[1:] == (fnn.Dense(4, "relu"),)
    assert graph.folded == ["part 2: folded into part 1"]


def test_a_scale_folds_into_the_next_layer():
    net, graph = chain(affine(), apply("relu"), scale(), affine(), apply("tanh"))
    assert net.layers[1:] == (fnn.Dense(4, "relu"), fnn.Dense(4, "tanh"))
    assert graph.folded == ["part 3: folded into part 4"]


def test_a_scale_before_the_first_layer():
    assert chain(scale(), scale(), affine(bias=False))[0].layers[1:] == (fnn.Dense(4),)


def test_scales_go_by_dropout_and_activations_do_not():
    net, _ = chain(affine(), Keep(fnn.Dropout(0.5)), scale(), apply("relu"))
    assert kinds(net) == ["dense", "dropout", "activation"]
    net, _ = chain(affine(), apply("relu"), scale(), Keep(fnn.Dropout(0.5)), affine())
    assert kinds(net) == ["dense", "dropout", "dense"]


def test_a_scale_that_no_layer_takes_becomes_one():
    net, graph = chain(affine(), apply("relu"), scale(), apply("tanh"))
    assert kinds(net) == ["dense", "batch_norm", "activation"]
    assert "a BatchNorm, since" in graph.folded[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_such_a_layer_has_the_numbers_of_the_scale(dtype):
    norm = scale(3)
    graph = Graph((3,))
    net = build(graph, graph.add(norm, [0], "the norm"), fnn.Input(3), np.dtype(dtype))
    x = X[:, :3].astype(dtype)
    np.testing.assert_array_equal(net(np.zeros_like(x))[0], norm.shift.astype(dtype))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(net(x), run(norm, x), rtol=4 * eps, atol=4 * eps)  # sums may cancel


def test_a_shift_is_the_bias_of_a_layer_without():
    assert [layer.bias for layer in chain(affine(bias=False), affine())[0].layers[1:]] == [False, True]
    graph = Graph((4,))
    value = graph.add(affine(bias=False), [0], "a")
    value = graph.add(Scale(None, np.arange(4.0)), [value], "b")
    net = build(graph, value, fnn.Input(4), np.dtype("float64"))
    np.testing.assert_array_equal(net.parameters["dense_1.bias"], np.arange(4.0))
    assert graph.folded == []  # as it is said in other words


def test_a_maxout_layer_takes_positive_scales_only():
    for sign, expected in ((1, ["maxout"]), (-1, ["maxout", "batch_norm"])):
        graph = Graph((4,))
        layers = [affine(), affine()]
        value = graph.add(Maximum(), [graph.add(layer, [0], "a piece") for layer in layers], "max")
        norm = Scale(np.array([1, 2, 3, sign * 4.0]), np.ones(4))
        net = build(graph, graph.add(norm, [value], "norm"), fnn.Input(4), np.dtype("float64"))
        assert kinds(net) == expected
        top = np.maximum(*(run(layer, X) for layer in layers))
        np.testing.assert_allclose(net(X), run(norm, top), rtol=1e-12)


OPERATIONS = {
    "affine": affine,
    "plain": lambda: affine(bias=False),
    "scale": scale,
    "relu": lambda: apply("relu"),
    "tanh": lambda: apply("tanh"),
    "prelu": lambda: Apply(fnn.PReLU(), RNG.uniform(0, 1, 4)),
    "dropout": lambda: Keep(fnn.Dropout(0.5)),
    "flatten": lambda: Keep(fnn.Flatten()),
}


@pytest.mark.parametrize("names", [*itertools.product(("affine", "scale", "relu", "dropout"), repeat=3)])
def test_every_order_of_three(names):
    chain(*(OPERATIONS[name]() for name in names), affine(units=3))


@given(names=st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=9))
def test_any_order(names):
    net, _ = chain(*(OPERATIONS[name]() for name in names), affine(units=2))
    assert sum(kind == "dense" for kind in kinds(net)) <= 1 + sum(n in ("affine", "plain", "scale") for n in names)


def test_a_model_without_a_dense_layer():
    with pytest.raises(ConversionError, match="the model: its output is its input"):
        build(Graph((4,)), 0, fnn.Input(2, 2), np.dtype("float64"))
    graph = Graph((4,))  # an activation alone is one
    net = build(graph, graph.add(apply("relu"), [0], "relu"), fnn.Input(4), np.dtype("float64"))
    np.testing.assert_array_equal(net(X), np.maximum(X, 0))


# Branches ------------------------------------------------------------------------------------------------------------
def block(graph, value, *paths, join=Add):
    ends = []
    for number, path in enumerate(paths):
        end = value
        for operation in path:
            end = graph.add(operation, [end], f"path {number}")
        ends.append(end)
    return graph.add(join(), ends, "the sum")


@pytest.mark.parametrize("swapped", [False, True])
def test_a_residual_block(swapped):
    graph, path = Graph((4,)), [affine(4, 7), apply("relu"), affine(7, 4)]
    value = block(graph, 0, *([[], path] if swapped else [path, []]))
    net = build(graph, graph.add(apply("relu"), [value], "after"), fnn.Input(4), np.dtype("float64"))
    assert net.layers[1:] == (fnn.Residual([fnn.Dense(7, "relu"), fnn.Dense(4)], activation="relu"),)
    y = run(path[2], np.maximum(run(path[0], X), 0)) + X
    np.testing.assert_allclose(net(X), np.maximum(y, 0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("first", [False, True])
def test_a_projection(first):
    graph, path, other = Graph((4,)), [affine(4, 7), apply("relu")], [affine(4, 7)]
    net = build(graph, block(graph, 0, *([other, path] if first else [path, other])), fnn.Input(4), np.dtype("float64"))
    assert net.layers[1:] == (fnn.Residual([fnn.Dense(7, "relu")]),)
    np.testing.assert_allclose(net(X), np.maximum(run(path[0], X), 0) + run(other[0], X), rtol=1e-12, atol=1e-12)


def test_a_shortcut_and_blocks_inside():
    graph = Graph((4,))
    start = graph.add(affine(), [0], "first")
    inner = block(graph, start, [affine()], [])
    end = graph.add(apply("tanh"), [inner], "tanh")
    other = graph.add(affine(), [graph.add(apply("relu"), [graph.add(affine(), [start], "s")], "s")], "s")
    net = build(graph, graph.add(Add(), [end, other], "outer"), fnn.Input(4), np.dtype("float32"))
    inner_block = fnn.Residual([fnn.Dense(4)], activation="tanh")
    assert net.layers[1:] == (fnn.Dense(4), fnn.Residual([inner_block], [fnn.Dense(4, "relu"), fnn.Dense(4)]))


def test_more_than_two_terms():
    graph, layers = Graph((4,)), [affine() for _ in range(3)]
    net = build(graph, block(graph, 0, *([layer] for layer in layers), [], []), fnn.Input(4), np.dtype("float64"))
    np.testing.assert_allclose(net(X), sum(run(layer, X) for layer in layers) + 2 * X, rtol=1e-12, atol=1e-12)
    graph = Graph((4,))
    net = build(graph, graph.add(Add(), [0, 0, 0], "thrice"), fnn.Input(4), np.dtype("float64"))
    np.testing.assert_allclose(net(X), 3 * X, rtol=1e-12)


def test_maxout_of_pieces():
    weight, bias = RNG.standard_normal((4, 6)), RNG.standard_normal(6)
    for first in (True, False):
        graph = Graph((4,))
        value = graph.add(Affine(weight, bias), [0], "dense")
        net = build(graph, graph.add(MaxPieces(3, first), [value], "max"), fnn.Input(4), np.dtype("float64"))
        z = (X @ weight + bias).reshape(len(X), *((3, 2) if first else (2, 3)))
        np.testing.assert_allclose(net(X), z.max(axis=1 if first else 2), rtol=1e-12)
        assert net.layers[1:] == (fnn.Maxout(2, 3),)


def test_a_maximum_of_a_maximum():
    """As torch.maximum of more than two layers is written."""
    graph, layers = Graph((4,)), [affine(), affine(bias=False), affine()]
    first, second, third = (graph.add(layer, [0], "a piece") for layer in layers)
    inner = graph.add(Maximum(), [first, second], "inner")
    net = build(graph, graph.add(Maximum(), [third, inner], "outer"), fnn.Input(4), np.dtype("float64"))
    assert net.layers[1:] == (fnn.Maxout(4, 3),)
    np.testing.assert_allclose(net(X), np.max([run(layer, X) for layer in layers], axis=0), rtol=1e-12)


def refused(make, text):
    graph = Graph((4,))
    with pytest.raises(ConversionError, match=text):
        build(graph, make(graph), fnn.Input(4), np.dtype("float32"))


def test_what_is_refused_and_where():
    refused(lambda g: block(g, 0, [affine()], [apply("relu")], join=Maximum), "the sum: a maximum of what")
    refused(lambda g: g.add(MaxPieces(2, True), [g.add(apply("relu"), [0], "r")], "m"), "m: a maximum over pieces")
    refused(lambda g: g.add(MaxPieces(3, True), [0], "m"), "m: a maximum over 3 pieces of a vector of 4 values")
    refused(lambda g: g.add(affine(5), [0], "wrong"), "wrong: its input is a vector of 4 values")
    refused(lambda g: g.add(affine(), [g.add(apply("softmax"), [0], "mid")], "end"), "mid: softmax before the end")
    refused(lambda g: block(g, 0, [apply("softmax")], []), "path 0: softmax")
    refused(
        lambda g: block(g, 0, [affine(units=3)], [affine()]), "the sum: a vector of 3 values and a vector of 4 values"
    )


def test_values_side_by_side():
    graph, layers = Graph((4,)), [affine(units=2), affine(units=3)]
    net = build(graph, block(graph, 0, [layers[0]], [], [layers[1]], join=Concat), fnn.Input(4), np.dtype("float64"))
    assert net.layers[1:] == (fnn.Parallel([[fnn.Dense(2)], [], [fnn.Dense(3)]]),)
    np.testing.assert_allclose(net(X), np.hstack([run(layers[0], X), X, run(layers[1], X)]), rtol=1e-12)


def test_values_that_branches_share():
    """Not series-parallel: what two blocks that overlap would need."""
    graph = Graph((4,))
    a = graph.add(affine(), [0], "a")
    b = graph.add(Add(), [a, graph.add(affine(), [0], "b")], "c")
    with pytest.raises(ConversionError, match="a: its output is used by branches"):
        build(graph, graph.add(Add(), [b, graph.add(apply("relu"), [a], "d")], "e"), fnn.Input(4), np.dtype("float32"))


def test_blocks_are_not_nested_without_end():
    graph, value = Graph((4,)), 0
    for _ in range(70):
        value = graph.add(Add(), [graph.add(apply("relu"), [value], "deep"), 0], "deep")
    with pytest.raises(ConversionError, match="deep: it is nested too deep"):
        build(graph, value, fnn.Input(4), np.dtype("float32"))


def test_dominators():
    assert dominators([(0,), (1,), (1,), (2, 3), (4, 0)]) == [0, 0, 1, 1, 1, 0]


# Checks --------------------------------------------------------------------------------------------------------------
def a_net():
    return fnn.Sequential([fnn.Input(4), fnn.Dense(2)], seed=0)


def test_a_check_reports_the_largest_difference():
    net = a_net()
    assert net.converted_from is None
    assert checked(net, lambda x: net(x) + 1e-6, "Elsewhere", {"elsewhere": "2.0"}, folded=["norm"]) is net
    found = net.converted_from
    assert (found.source, found.versions, found.folded) == ("Elsewhere", {"elsewhere": "2.0"}, ("norm",))
    assert 0 < found.largest_difference < 2e-6
    assert found.check == "Elsewhere on 32 random rows"
    assert "converted_from" not in repr(net)
    assert net.to("cpu").converted_from is None


@pytest.mark.parametrize(("scale", "wrong"), [(1.0, True), (1e3, True), (1e9, False)])
def test_logits_whose_roundings_decide(scale, wrong):
    """Whichever of two equal logits of some 1e9 is larger by a rounding takes all."""
    net = fnn.Sequential([fnn.Input(4), fnn.Dense(2, "softmax")], seed=0)
    net.parameters["dense_1.weight"] = np.full((4, 2), scale, np.float32)
    net.parameters["dense_1.bias"] = np.zeros(2, np.float32)
    x = np.abs(X) + 1
    takes_all = np.eye(9, 2)[np.zeros(9, int)]
    if not wrong:
        checked(net, lambda x: x, "Elsewhere", {}, (x, takes_all))
        return
    with pytest.raises(ConversionError, match=r"differs from its source by 0.5 on 9 of 9 rows"):
        checked(net, lambda x: x, "Elsewhere", {}, (x, takes_all))


def test_a_check_on_rows_and_outputs_of_ones_own():
    net = a_net()
    checked(net, lambda x: net(x), "Elsewhere", {}, X)
    assert net.converted_from.check == "Elsewhere on 9 given rows"
    checked(net, lambda x: 1 / 0, "Elsewhere", {}, (X, net(X)))
    assert net.converted_from.check == "9 given outputs"
    with pytest.raises(ConversionError, match=r"differs from its source by 1 on 1 of 9 rows"):
        checked(net, lambda x: x, "Elsewhere", {}, (X, net(X) + np.eye(9, 2)[::-1] * [0, 1]))
    with pytest.raises(ConversionError, match=r"outputs of shape \(9, 2\) .* got \(9, 3\)"):
        checked(net, lambda x: x, "Elsewhere", {}, (X, np.ones((9, 3))))
    with pytest.raises(ValueError, match="check: expected shape"):
        checked(net, lambda x: x, "Elsewhere", {}, X[:, :3])
    with pytest.raises(ValueError, match="check: expected rows, or"):
        checked(net, lambda x: x, "Elsewhere", {}, (X, X, X))


def test_a_check_knows_infinities_and_jumps():
    net = fnn.Sequential([fnn.Input(4), fnn.Dense(2, "exponential")], seed=0)
    net.parameters["dense_1.weight"] = np.full((4, 2), 1e9)
    checked(net, lambda x: net(x), "Elsewhere", {})
    assert net.converted_from.largest_difference == 0
    net = fnn.Sequential([fnn.Input(4), fnn.Dense(8, "step"), fnn.Dense(1)], seed=0)
    checked(net, lambda x: net(x) + (np.arange(len(x)) == 3)[:, np.newaxis], "Elsewhere", {})
    assert net.converted_from.largest_difference == pytest.approx(1)


def test_dropout_ends_no_network():
    net, _ = chain(affine(), Keep(fnn.Dropout(0.5)), scale(), Keep(fnn.GaussianNoise(0.1)))
    assert kinds(net) == ["dense"]


def test_random_rows_are_around_the_data():
    """As a first scale says; what its mean takes in rounding is allowed, and refused where it takes all."""
    mean, deviation = np.array([100.0, -3.0, 0.0, 1e6]), np.array([5.0, 1.0, 0.0, 0.5])
    first = Scale(1 / np.where(deviation, deviation, 1e-7), -mean / np.where(deviation, deviation, 1e-7))
    graph = Graph((4,))
    layer = affine()
    value = graph.add(layer, [graph.add(first, [0], "scaler")], "dense")
    seen = []

    def source(x):
        seen.append(x)
        return run(layer, run(first, x))

    net = build(graph, value, fnn.Input(4), np.dtype("float64"))
    checked(net, source, "test", {}, around=graph.around())
    np.testing.assert_allclose(seen[0].mean(axis=0), mean, atol=0.5 * (deviation + 1).max())
    np.testing.assert_allclose(seen[0].std(axis=0), [5, 1, 1e-7, 0.5], rtol=0.5)
    narrow = build(graph, value, fnn.Input(4), np.dtype("float32"))
    with pytest.raises(
        ConversionError, match=r"column 3 of the input: its mean 1e\+06 is 2e\+06 times the standard dev"
    ):
        checked(narrow, source, "test", {}, around=graph.around())
    assert Graph((4,)).around() is None
