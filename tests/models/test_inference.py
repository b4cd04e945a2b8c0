"""Networks for inference, in bfloat16 and int8: one bit pattern, all that a network answers, and what is refused."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from factories import LAYOUTS, WIDE_LAYERS, converted, digits, wide_data, wide_network
from fnnfast import _cpu
from fnnfast._models import inference
from oracles import assert_same_bits

pytestmark = pytest.mark.usefixtures("machine_restored")

F32 = np.float32
both = pytest.mark.parametrize("compute_dtype", ["bfloat16", "int8"])


# float32 and float64 -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("to", ["float32", "float64", np.float32, np.dtype("float64")])
def test_astype(dtype, to):
    net = wide_network(dtype=dtype)
    other = net.astype(to)
    assert type(other) is fnn.Sequential
    assert other.dtype == to
    assert other.compute_dtype == np.dtype(to).name
    assert other.layers == net.layers
    for name, values in net.parameters.items():
        assert_same_bits(other.parameters[name], values.astype(to))
    other.parameters["dense_1.bias"] = np.ones(70)  # a copy, even of the same dtype
    assert (net.parameters["dense_1.bias"] != 1).any()


@pytest.mark.parametrize("make", [lambda net: net, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_freeze(dtype, make):
    net = wide_network(dtype=dtype)
    frozen = make(net.freeze())
    assert type(frozen) is fnn.InferenceNetwork
    assert (frozen.dtype, frozen.compute_dtype, frozen.layers) == (net.dtype, net.compute_dtype, net.layers)
    x = wide_data(30)
    assert_same_bits(frozen(x), net(x))
    assert_same_bits(frozen.logits(x), net.logits(x))
    assert frozen.quantization == {}
    with pytest.raises(TypeError, match=r"dense_1\.bias: expected a network that can be trained, got one in"):
        frozen.parameters["dense_1.bias"] = np.ones(70)
    with pytest.raises(TypeError, match="for inference only"):
        fnn.Trainer(frozen)
    with pytest.raises(TypeError, match="for inference only"):
        frozen.fit(x, x)
    net.parameters["dense_1.bias"] = np.ones(70)  # another network from then on
    assert (frozen.parameters["dense_1.bias"] != 1).all()
    assert net.frozen == ()


def test_a_file_of_a_frozen_network(tmp_path, dtype):
    net = wide_network(dtype=dtype)
    net.freeze().save(tmp_path / "n.safetensors")
    again = fnn.load(tmp_path / "n.safetensors")
    assert type(again) is fnn.Sequential
    assert_same_bits(again(wide_data(9)), net(wide_data(9)))


# One bit pattern -----------------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_a_row_answers_the_same_everywhere(compute_dtype, head):
    """On every instruction set, for any number of threads and in any batch.

    Of bfloat16, this is the form with rounded weights alone: products in bfloat16 have the bits of their instruction.
    """
    x, net = wide_data(300), wide_network(head)

    def low_precision():
        return net.astype("bfloat16", weights_only=True) if compute_dtype == "bfloat16" else converted("int8", net)

    expected = low_precision()(x)
    for isa, threads in itertools.product(_cpu.isas(), (1, 2, 3, 8)):
        _cpu.use_isa(isa)
        fnn.set_num_threads(threads)
        low = low_precision()
        for rows in (1, 2, 5, 6, 7, 12, 13, 24, 25, 47, 97, 257, 300):
            assert_same_bits(low(x[:rows]), expected[:rows])
            assert_same_bits(low(x[300 - rows :]), expected[300 - rows :])
        if threads == 1:  # and alone
            assert_same_bits(np.concatenate([low(x[i : i + 1]) for i in range(300)]), expected)


def with_nan(x, rows, column):
    x = x.copy()
    x[rows, column] = np.nan
    return x


@both
def test_nan_stays_in_its_row(isa, compute_dtype):
    low = converted(compute_dtype)
    x, rows = wide_data(31), [0, 7, 30]
    for column in (0, 17, 36):
        for call in (low, low.logits):
            assert_same_bits(call(with_nan(x, rows, column)), with_nan(call(x), rows, slice(None)))


@both
def test_layer_by_layer_over_threads(isa, compute_dtype):
    """Wide layers, whose units and pieces the threads share."""
    layers = (fnn.Input(1001), fnn.Dense(700, "relu"), fnn.Maxout(200, pieces=3))
    low = converted(compute_dtype, wide_network(layers=layers))
    x, rows = wide_data(14, 1001), [2, 11]
    fnn.set_num_threads(1)
    expected = low(x)
    for threads in (2, 3, 8):
        fnn.set_num_threads(threads)
        assert any("layer by layer" in line for line in low._network.plan(14))
        for n in (1, 4, 14):
            assert_same_bits(low(x[:n]), expected[:n])
        assert_same_bits(low(with_nan(x, rows, 1000)), with_nan(expected, rows, slice(None)))


# Accuracy ------------------------------------------------------------------------------------------------------------
def test_accuracy_on_digits():
    x, y = digits(None)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    layers = [fnn.Input(64), fnn.Dense(64, "swish"), fnn.Maxout(32, pieces=3), fnn.Dense(10, "softmax")]
    net = fnn.Sequential(layers, seed=0)
    net.fit(x[:1000], y[:1000], epochs=15, seed=0, progress=False)
    accuracy = net.evaluate(x[1000:], y[1000:])["accuracy"]
    assert accuracy > 0.93
    for low in (net.astype("bfloat16"), net.quantize(x[:200])):
        assert abs(low.evaluate(x[1000:], y[1000:])["accuracy"] - accuracy) <= 0.005


# Answers -------------------------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_answers_fit_together(compute_dtype, head):
    low = converted(compute_dtype, wide_network(head))
    x = wide_data(50)
    assert_same_bits(low.head(low.logits(x)), low(x))
    wanted = {"softmax": low(x).argmax(axis=1), "sigmoid": (low(x) >= 0.5).astype(np.int64)}.get(head, low(x))
    np.testing.assert_array_equal(low.predict(x), wanted)
    assert low.sample(x, 3, rng=0).shape == (3, 50) + (9,) * (head != "softmax")
    targets = {"softmax": low.predict(x), "sigmoid": low.predict(x)}.get(head, low(x))
    score = low.evaluate(x, targets)
    assert score["r2" if head == "identity" else "accuracy"] == 1
    assert low(np.empty((0, 37))).shape == (0, 9)
    with fnn.num_threads(1):
        assert_same_bits(low(x.astype(np.float64)), low(x))
    assert_same_bits(low(x.tolist()), low(x))


@both
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(compute_dtype, layout):
    low = converted(compute_dtype)
    x = wide_data(9)
    assert_same_bits(low(LAYOUTS[layout](x)), low(x))
    if layout not in ("read_only", "byte_swapped"):
        out = LAYOUTS[layout](np.full((9, 9), np.nan, F32))
        assert low(x, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), low(x))


@both
def test_description(compute_dtype):
    low = converted(compute_dtype)
    assert low.compute_dtype == compute_dtype
    assert low.dtype == F32
    assert repr(low).splitlines()[::8] == ["InferenceNetwork([", f"], compute_dtype='{compute_dtype}')"]
    lines = low.summary().splitlines()
    assert lines[0] == f"5-layer network, 37 inputs, 9 outputs, {compute_dtype}"
    weights = sum(values.size for name, values in low.parameters.items() if name.endswith("weight"))
    others = sum(values.size for values in low.parameters.values()) - weights
    scales = sum(5 + 4 * scales.weight_scale.size for scales in low.quantization.values())
    nbytes = weights * (2 if compute_dtype == "bfloat16" else 1) + 4 * others + scales
    assert f"({nbytes:,} bytes)" in lines[-1]
    assert lines[1:-1] == wide_network().summary().splitlines()[1:-1]
    assert low.summary(plan=True).count("\nbatch ") == 2
    layers = [name for name, layer in low.named_layers.items() if layer.kind != "dropout"]
    assert list(low.quantization) == ([] if compute_dtype == "bfloat16" else layers)


# Invalid arguments ---------------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize(
    ("call", "who"),
    [
        (lambda net: net.fit(wide_data(4), [0, 1, 2, 3]), "fit"),
        (lambda net: fnn.training.fit(net, wide_data(4), [0, 1, 2, 3]), "network"),
        (lambda net: fnn.Trainer(net), "network"),
        (lambda net: net.parameters.__setitem__("dense_1.bias", np.ones(70)), "dense_1.bias"),
        (lambda net: net.parameters.__setitem__("dense_1.bias", np.ones(7)), "dense_1.bias"),
        (lambda net: net.astype("float32"), "astype"),
        (lambda net: net.quantize(wide_data(4)), "quantize"),
    ],
)
def test_what_is_for_inference_only(compute_dtype, call, who):
    low = converted(compute_dtype)
    expected = low(wide_data(4))
    with pytest.raises(TypeError) as caught:
        call(low)
    assert str(caught.value) == (
        f"{who}: expected a network that can be trained, got one in {compute_dtype} for inference only; train or change"
        " the network that it was made from"
    )
    assert_same_bits(low(wide_data(4)), expected)


@both
def test_bad_calls(compute_dtype):
    low = converted(compute_dtype)
    with pytest.raises(KeyError, match=r"parameter: expected one of dense_1.weight, .*, got 'bias'"):
        low.parameters["bias"] = 1
    with pytest.raises(ValueError, match="read-only"):
        low.parameters["dense_1.bias"][0] = 1
    with pytest.raises(TypeError, match="made by Sequential's astype"):
        fnn.InferenceNetwork(WIDE_LAYERS)
    with pytest.raises(ValueError, match=r"x: expected shape \(B, 37\), got \(2, 36\)"):
        low(np.ones((2, 36)))
    with pytest.raises(TypeError, match="x: expected an array of real numbers, got dtype object"):
        low(None)
    with pytest.raises(TypeError, match="out: expected dtype float32, got float64"):
        low(wide_data(2), out=np.empty((2, 9)))
    with pytest.raises(TypeError, match="out: expected a NumPy array, got list"):
        low(wide_data(2), out=[])
    with pytest.raises(ValueError, match="n: expected an integer >= 1, got 0"):
        low.sample(wide_data(2), 0)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("float16", "dtype: expected 'float32', 'float64' or 'bfloat16' .*, got 'float16'"),
        ("int8", r"\(quantize\(\) makes int8\), got 'int8'"),
        (None, "got None"),
        (">f4", "got '>f4'"),
        (np.int64, "got <class 'numpy.int64'>"),
        (3, "got 3"),
    ],
)
def test_no_such_dtype(dtype, message):
    with pytest.raises(ValueError, match=message):
        wide_network().astype(dtype)


def test_every_other_method_of_a_sequential_says_why_it_is_missing():
    """What a new method of Sequential needs, too: its name in _VERBS, or a place in Network."""
    missing = {name for name in dir(fnn.Sequential) if not name.startswith("_")} - set(dir(fnn.InferenceNetwork))
    assert missing == set(inference._VERBS)
