"""Networks in bfloat16 and int8: the bits of the first, the integers of the second, and what both are not for."""

import copy
import itertools
import json
import pickle

import numpy as np
import pytest
import safetensors.numpy

import fnnfast as fnn
from fnnfast import _cpu, reference
from fnnfast._network import file_format, layerwise
from oracles import CASES, LAYOUTS, TAILS, assert_same_bits, assert_within, eps, lipschitz, normal

F32 = np.float32
BATCHES = (*range(1, 41), 300)
LAYERS = (
    fnn.Input(37),
    fnn.Dense(70, "swish"),
    fnn.Maxout(33, pieces=3),
    fnn.Dropout(0.25),
    fnn.Dense(65, "prelu"),
    fnn.Maxout(20),
)
HEADS = ("softmax", "sigmoid", "identity", "tanh", "elu_learned")

pytestmark = pytest.mark.usefixtures("machine_restored")


def fill(net, seed=1):
    """Biases and slopes that are not all the same, so that a forgotten one shows."""
    rng = np.random.default_rng(seed)
    for name in net.parameters:
        if not name.endswith("weight"):
            net.parameters[name] = rng.normal(0, 0.5, net.parameters.shapes[name])
    return net


def network(head="softmax", dtype="float32", layers=LAYERS):
    return fill(fnn.Sequential([*layers, fnn.Dense(9, head)], dtype=dtype, seed=0))


def single(inputs, layer):
    return fill(fnn.Sequential([fnn.Input(inputs), layer], seed=inputs))


def data(rows, columns=37, seed=0):
    return normal(np.random.default_rng(seed), F32, rows, columns)


def converted(precision, net=None):
    net = net or network()
    return net.astype(precision) if precision == "bfloat16" else net.quantize(data(50, net.input.size, seed=9))


def rounded(net):
    """The float32 network with the weights that bfloat16 has."""
    twin = copy.copy(net)
    for name, values in net.parameters.items():
        if name.endswith("weight"):
            twin.parameters[name] = reference.to_bfloat16(values)
    return twin


def assert_same_answers(net, other, x):
    assert_same_bits(net(x), other(x))
    assert_same_bits(net.logits(x), other.logits(x))


both = pytest.mark.parametrize("precision", ["bfloat16", "int8"])


# float32 and float64 -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("to", ["float32", "float64", np.float32, np.dtype("float64")])
def test_astype(dtype, to):
    net = network(dtype=dtype)
    other = net.astype(to)
    assert type(other) is fnn.Sequential
    assert other.dtype == to
    assert other.compute_dtype == np.dtype(to).name
    assert other.layers == net.layers
    for name, values in net.parameters.items():
        assert_same_bits(other.parameters[name], values.astype(to))
    other.parameters["dense_1.bias"] = np.ones(70)  # a copy, even of the same dtype
    assert (net.parameters["dense_1.bias"] != 1).any()


# bfloat16 ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("head", HEADS)
def test_bfloat16_is_the_float32_network_with_rounded_weights(isa, head):
    net = network(head)
    low, expected = net.astype("bfloat16"), rounded(net)
    assert low.parameters.keys() == net.parameters.keys()
    for name, values in low.parameters.items():
        assert_same_bits(values, expected.parameters[name])
    for rows in BATCHES:
        assert_same_answers(low, expected, data(rows))


@pytest.mark.parametrize("inputs", [1, 2, 3, 5, 8, 31, 64, 257])
def test_bfloat16_of_every_width(isa, inputs):
    x = data(30, inputs)
    for layer in (*(fnn.Dense(units, "tanh") for units in TAILS), fnn.Maxout(7, pieces=5), fnn.Maxout(66, pieces=1)):
        net = single(inputs, layer)
        low, expected = net.astype("bfloat16"), rounded(net)
        for rows in (1, 5, 30):
            assert_same_bits(low(x[:rows]), expected(x[:rows]))


@pytest.mark.parametrize("inputs", [2048, 2051])
def test_bfloat16_of_long_and_wide_layers(isa, inputs):
    net = fill(fnn.Sequential([fnn.Input(inputs), fnn.Dense(130, "relu"), fnn.Dense(600, "gelu")], seed=0))
    low, expected = net.astype("bfloat16"), rounded(net)
    for rows in (1, 4, 24, 50):
        assert_same_answers(low, expected, data(rows, inputs))


def test_rounding_to_bfloat16():
    """Ties, the range's ends, subnormal numbers and what is none."""
    exact = np.array([1, -1.5, 0, -0.0, 2.0**-126, 2.0**-133, 255, 3.3895314e38, np.inf, -np.inf, np.nan], F32)
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, 2.0**-134, 3 * 2.0**-134, 3.3961775e38], F32)
    values = np.concatenate([exact, ties, np.nextafter(ties, F32(0)), np.nextafter(ties, F32(np.inf)), data(1, 99)[0]])
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(len(values))])
    net.parameters["dense_1.weight"] = values[np.newaxis]
    net.parameters["dense_1.bias"] = values
    low = net.astype("bfloat16")
    got = low.parameters["dense_1.weight"][0]
    assert_same_bits(got[: len(exact)], exact)
    assert_same_bits(got, reference.to_bfloat16(values).astype(F32))
    assert_same_bits(got[len(exact) :][:5], np.array([1, 1 + 2**-6, 0, 2.0**-132, np.inf], F32))
    assert_same_bits(low.parameters["dense_1.bias"], values)
    for again in (pickle.loads(pickle.dumps(low)), rounded(net).astype("bfloat16")):
        assert_same_bits(again.parameters["dense_1.weight"][0], got)


def test_bfloat16_from_float64_goes_through_float32():
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], dtype="float64")
    net.parameters["dense_1.weight"] = [[1 + 2**-8 + 2**-40]]
    assert net.astype("bfloat16").parameters["dense_1.weight"] == 1
    net = network(dtype="float64")
    assert_same_answers(net.astype("bfloat16"), net.astype("float32").astype("bfloat16"), data(5))


# int8 ----------------------------------------------------------------------------------------------------------------
def layer_oracle(low, x):
    """A network of one layer through the oracle, and how far it may be off: a few eps of what is added up."""
    (name, layer), *_ = low.named_layers.items()
    p, scales = low.parameters, low.quantization[name]
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    z = reference.quantized_pre_activation(x, weight, bias, scales)
    off = 32 * eps(F32) * (np.abs(z) + np.abs(bias if z.ndim == 2 else bias[:, None]) + 1)
    if layer.kind == "maxout":
        return reference.quantized_maxout(x, weight, bias, scales), off.max(axis=0)
    parameter = p[f"{name}.alpha"] if layer.activation.learned else layer.activation.parameter
    kernel = layer.activation.kernel
    if kernel == "softmax":
        off = np.broadcast_to(off.max(axis=1, keepdims=True), off.shape)
    off = off * lipschitz(kernel, parameter)
    return reference.quantized_dense(x, weight, bias, scales, kernel, parameter), off


def assert_layer_is_right(low, x):
    expected, off = layer_oracle(low, x)
    y = low(x)
    assert y.dtype == F32
    if low.head.name in ("step", "sign"):  # a last bit decides where z is nearly zero
        assert (y != expected).mean() < 0.01
    else:
        assert_within(y, expected, off)


@pytest.mark.parametrize("name", CASES)
def test_int8_with_every_activation(isa, name):
    activation, _ = CASES[name].make(19, np.dtype(F32))
    low = converted("int8", single(37, fnn.Dense(19, activation)))
    x = data(13)
    assert_layer_is_right(low, x)
    if not low.head.learned:
        assert_same_bits(low.head(low.logits(x)), low(x))
    x[5, 3] = np.nan
    np.testing.assert_array_equal(np.isnan(low(x)), np.isnan(layer_oracle(low, x)[0]))


@pytest.mark.parametrize("inputs", [1, 2, 3, 5, 8, 31, 64, 257])
def test_int8_of_every_width(isa, inputs):
    x = data(30, inputs)
    for layer in (*(fnn.Dense(units, "tanh") for units in TAILS), fnn.Maxout(7, pieces=5), fnn.Maxout(66, pieces=1)):
        low = converted("int8", single(inputs, layer))
        assert_layer_is_right(low, x)
        for rows in (1, 5):
            assert_same_bits(low(x[:rows]), low(x)[:rows])


def test_int8_layer_by_layer(isa):
    """A network is its layers one after the other, to the bit."""
    low = network("tanh").quantize(data(200, seed=9))
    tensors = low._tensors()
    h = x = data(40)
    for name, layer in low.named_layers.items():
        own = {key.replace(name, f"{layer.kind}_1"): values for key, values in tensors.items() if name in key}
        if own:
            alone = fnn.InferenceNetwork._restored((fnn.Input(h.shape[1]), layer), "int8", own)
            assert_layer_is_right(alone, h)
            h = alone(h)
    assert_same_bits(low(x), h)


def test_scales():
    """Of weights: for every output its own. Of inputs: over the range, with zero, of what reaches the layer."""
    net = network("identity")
    net.parameters["dense_1.weight"] = net.parameters["dense_1.weight"] * (np.arange(70) != 3)
    x = data(5000, seed=2)
    low = net.quantize(x)
    assert [*low.quantization] == ["dense_1", "maxout_1", "dense_2", "maxout_2", "dense_3"]
    p = net.parameters
    h = x
    for name, layer in net.named_layers.items():
        if isinstance(layer, fnn.Dropout):
            continue
        weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
        got = low.quantization[name]
        expected = reference.scales(float(min(0, h.min())), float(max(0, h.max())), weight)
        assert got.zero_point == expected.zero_point
        assert got.input_scale == pytest.approx(expected.input_scale, rel=1e-6)
        assert_same_bits(got.weight_scale, expected.weight_scale)
        codes = reference.weight_codes(weight, expected.weight_scale)
        # An integer zero has no sign.
        assert_same_bits(low.parameters[f"{name}.weight"], (codes + 0) * expected.weight_scale[..., np.newaxis, :])
        assert_same_bits(low.parameters[f"{name}.bias"], bias)
        if layer.kind == "maxout":
            h = fnn.maxout(h, weight, bias)
        else:
            learned = {"alpha": p[f"{name}.alpha"]} if layer.activation.learned else {}
            h = fnn.dense(h, weight, bias, fnn.activations.get(layer.activation.name, **learned))
    assert low.quantization["dense_1"].weight_scale[3] == 1


@pytest.mark.parametrize(
    ("values", "input_scale", "zero_point"),
    [
        ([0], 1, 0),
        ([5, 10], 10 / 255, 0),
        ([-10, -5], 10 / 255, 255),
        ([-1, 3], 4 / 255, 64),
        ([-1, 254], 1, 1),
        ([1e-40], 1, 0),
        ([-3e38, 3e38], 6e38 / 255, 128),
    ],
)
def test_ranges(values, input_scale, zero_point):
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(1)], seed=0)
    low = net.quantize(np.reshape(values, (-1, 1)))
    got = low.quantization["dense_1"]
    assert got.input_scale == F32(input_scale)
    assert got.zero_point == zero_point
    assert low([[0]]) == 0
    reach = np.array([[0 - zero_point], [255 - zero_point]]) * got.input_scale
    outside = np.array([[-np.inf], [np.inf]])
    assert_same_bits(low(outside), low(reach))  # what is beyond the range is cut


def test_calibration_goes_in_blocks(monkeypatch):
    x = data(301, seed=3)
    expected = network().quantize(x).quantization
    monkeypatch.setattr(layerwise, "_BLOCK", 700)
    for name, scales in network().quantize(x).quantization.items():
        assert scales[:2] == expected[name][:2]


@pytest.mark.parametrize("inputs", [1, 3, 65535, 65536])
def test_the_largest_sums_are_exact(isa, inputs):
    """Of 255 times 127, as often as there are inputs, and of both signs."""
    net = fnn.Sequential([fnn.Input(inputs), fnn.Dense(3), fnn.Dense(1)], seed=0)
    net.parameters["dense_1.weight"] = np.full((inputs, 3), 127) * [1, -1, 1]
    net.parameters["dense_2.weight"] = [[1], [0], [0]]
    for limit in (255, -255):
        low = net.quantize(np.full((1, inputs), limit)).quantization["dense_1"]
        assert low[:2] == (1, 0 if limit > 0 else 255)
        one = fnn.Sequential([fnn.Input(inputs), fnn.Dense(3)], seed=0)
        one.parameters["dense_1.weight"] = net.parameters["dense_1.weight"]
        y = one.quantize(np.full((1, inputs), limit))(np.full((2, inputs), limit))
        assert_same_bits(y, np.tile(np.array([1, -1, 1]) * limit * 127 * inputs, (2, 1)).astype(F32))


# One bit pattern -----------------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_a_row_answers_the_same_everywhere(precision, head):
    """On every instruction set, for any number of threads and in any batch."""
    x, net = data(300), network(head)
    expected = converted(precision, net)(x)
    for isa, threads in itertools.product(_cpu.isas(), (1, 2, 3, 8)):
        _cpu.use_isa(isa)
        fnn.set_num_threads(threads)
        low = converted(precision, net)
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
def test_nan_stays_in_its_row(isa, precision):
    low = converted(precision)
    x, rows = data(31), [0, 7, 30]
    for column in (0, 17, 36):
        for call in (low, low.logits):
            assert_same_bits(call(with_nan(x, rows, column)), with_nan(call(x), rows, slice(None)))


@both
def test_layer_by_layer_over_threads(isa, precision):
    """Wide layers, whose units and pieces the threads share."""
    layers = (fnn.Input(1001), fnn.Dense(700, "relu"), fnn.Maxout(200, pieces=3))
    low = converted(precision, network(layers=layers))
    x, rows = data(14, 1001), [2, 11]
    fnn.set_num_threads(1)
    expected = low(x)
    for threads in (2, 3, 8):
        fnn.set_num_threads(threads)
        assert any("layer by layer" in line for line in low._network.plan(14))
        for n in (1, 4, 14):
            assert_same_bits(low(x[:n]), expected[:n])
        assert_same_bits(low(with_nan(x, rows, 1000)), with_nan(expected, rows, slice(None)))


# Worth it ------------------------------------------------------------------------------------------------------------
def test_accuracy_on_digits():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / 16, y[order]
    layers = [fnn.Input(64), fnn.Dense(64, "swish"), fnn.Maxout(32, pieces=3), fnn.Dense(10, "softmax")]
    net = fnn.Sequential(layers, seed=0)
    net.fit(x[:1000], y[:1000], epochs=15, seed=0, progress=False)
    accuracy = net.evaluate(x[1000:], y[1000:])["accuracy"]
    assert accuracy > 0.93
    for low in (net.astype("bfloat16"), net.quantize(x[:200])):
        assert abs(low.evaluate(x[1000:], y[1000:])["accuracy"] - accuracy) <= 0.005


# All that a network does ---------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_answers_fit_together(precision, head):
    low = converted(precision, network(head))
    x = data(50)
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
def test_any_layout(precision, layout):
    low = converted(precision)
    x = data(9)
    assert_same_bits(low(LAYOUTS[layout](x)), low(x))
    if layout not in ("read_only", "byte_swapped"):
        out = LAYOUTS[layout](np.full((9, 9), np.nan, F32))
        assert low(x, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), low(x))


@both
def test_description(precision):
    low = converted(precision)
    assert low.compute_dtype == precision
    assert low.dtype == F32
    assert repr(low).splitlines()[::8] == ["InferenceNetwork([", f"], compute_dtype='{precision}')"]
    lines = low.summary().splitlines()
    assert lines[0] == f"5-layer network, 37 inputs, 9 outputs, {precision}"
    weights = sum(values.size for name, values in low.parameters.items() if name.endswith("weight"))
    others = sum(values.size for values in low.parameters.values()) - weights
    scales = sum(5 + 4 * scales.weight_scale.size for scales in low.quantization.values())
    nbytes = weights * (2 if precision == "bfloat16" else 1) + 4 * others + scales
    assert f"({nbytes:,} bytes)" in lines[-1]
    assert lines[1:-1] == network().summary().splitlines()[1:-1]
    assert low.summary(plan=True).count("\nbatch ") == 2
    layers = [name for name, layer in low.named_layers.items() if layer.kind != "dropout"]
    assert list(low.quantization) == ([] if precision == "bfloat16" else layers)


# One network, whatever happens to it ---------------------------------------------------------------------------------
@pytest.fixture
def through_a_file(tmp_path):
    def load(net):
        net.save(tmp_path / "net")
        return fnn.load(tmp_path / "net")

    return load


@both
@pytest.mark.parametrize("head", HEADS)
def test_copies(precision, head, through_a_file):
    low = converted(precision, network(head))
    x = data(20)
    pickled = [lambda net, p=p: pickle.loads(pickle.dumps(net, p)) for p in range(2, 6)]
    for duplicate in (copy.copy, copy.deepcopy, *pickled, through_a_file, lambda net: through_a_file(copy.copy(net))):
        twin = duplicate(low)
        assert type(twin) is fnn.InferenceNetwork
        assert twin.compute_dtype == precision
        assert twin.layers == low.layers
        assert_same_answers(twin, low, x)
        for name, values in low.parameters.items():
            assert_same_bits(twin.parameters[name], values)
        for name, scales in low.quantization.items():
            assert twin.quantization[name][:2] == scales[:2]
            assert_same_bits(twin.quantization[name].weight_scale, scales.weight_scale)


def test_files_are_as_small_as_the_weights(tmp_path):
    layers = [fnn.Input(400), fnn.Dense(300, "relu"), fnn.Maxout(100)]
    net = fnn.Sequential(layers, seed=0)
    sizes = []
    for low in (net, net.astype("bfloat16"), net.quantize(data(10, 400))):
        low.save(tmp_path / "net")
        sizes.append((tmp_path / "net").stat().st_size)
    assert sizes[1] < 0.52 * sizes[0]
    assert sizes[2] < 0.28 * sizes[0]


def test_a_plain_file_says_nothing_of_precision(tmp_path, dtype):
    network(dtype=dtype).save(tmp_path / "net")
    with safetensors.safe_open(tmp_path / "net", framework="numpy") as file:
        assert list(json.loads(file.metadata()["architecture"])) == ["dtype", "layers"]


def small(precision, seed=0):
    layers = [fnn.Input(3), fnn.Dense(2, "prelu"), fnn.Dropout(0.5), fnn.Maxout(1, pieces=2)]
    return converted(precision, fnn.Sequential(layers, seed=seed))


@both
def test_any_changed_byte_is_noticed(tmp_path, precision):
    small(precision).save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 0x01
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(ValueError, match="holds no fnnfast network"):
            fnn.load(tmp_path / "changed")


def forge(path, precision, /, edit_tensors=lambda tensors: None, **fields):
    """A file as someone would change it who makes the digest anew."""
    small(precision).save(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    edit_tensors(tensors)
    architecture = json.dumps({**json.loads(metadata["architecture"]), **fields})
    digest = file_format.digest(architecture, tensors)
    safetensors.numpy.save_file(tensors, path, {**metadata, "architecture": architecture, "sha256": digest})


def put(name, value, dtype):
    return lambda tensors: tensors.update({name: np.full_like(tensors[name], value, dtype)})


@pytest.mark.parametrize(
    ("precision", "edit", "reason"),
    [
        ("int8", {"precision": "int4"}, "precision: expected one of float32, bfloat16, int8, got 'int4'"),
        ("int8", {"precision": ["int8"]}, r"precision: expected one of .*, got \['int8'\]"),
        ("int8", {"precision": None}, "precision: expected one of .*, got None"),
        ("int8", {"precision": "float32"}, "unknown tensors dense_1.input_scale"),
        ("int8", {"precision": "bfloat16"}, r"dense_1.weight: expected uint16 \(3, 2\), got int8"),
        ("bfloat16", {"precision": "int8"}, "missing tensors dense_1.input_scale"),
        ("bfloat16", {"precision": "float32"}, r"dense_1.weight: expected float32 \(3, 2\), got uint16"),
        ("bfloat16", {"dtype": "float64"}, "precision: expected one of float64, got 'bfloat16'"),
        ("bfloat16", put("dense_1.weight", 1, np.float32), r"dense_1.weight: expected uint16 \(3, 2\), got float32"),
        ("int8", put("dense_1.input_scale", 0, F32), "dense_1.input_scale: expected a normal number > 0, got 0.0"),
        ("int8", put("dense_1.input_scale", -1, F32), "input_scale: expected a normal number > 0, got -1.0"),
        ("int8", put("dense_1.input_scale", np.nan, F32), "input_scale: expected a normal number > 0, got nan"),
        ("int8", put("dense_1.input_scale", np.inf, F32), "input_scale: expected a normal number > 0, got inf"),
        ("int8", put("dense_1.input_scale", 1e-40, F32), "input_scale: expected a normal number > 0, got 9.99"),
        ("int8", put("maxout_1.weight_scale", 0, F32), "maxout_1.weight_scale: expected finite numbers > 0"),
        ("int8", put("maxout_1.weight_scale", np.nan, F32), "maxout_1.weight_scale: expected finite numbers > 0"),
        ("int8", put("maxout_1.weight_scale", np.inf, F32), "maxout_1.weight_scale: expected finite numbers > 0"),
        ("int8", put("dense_1.zero_point", 3, np.int8), r"dense_1.zero_point: expected uint8 \(\), got int8"),
    ],
)
def test_forged_files(tmp_path, precision, edit, reason):
    forge(tmp_path / "net", precision)
    assert_same_answers(fnn.load(tmp_path / "net"), small(precision), data(3, 3))  # or the rest would prove nothing
    if callable(edit):
        forge(tmp_path / "net", precision, edit)
    else:
        forge(tmp_path / "net", precision, **edit)
    with pytest.raises(ValueError, match=f"holds no fnnfast network.*{reason}"):
        fnn.load(tmp_path / "net")


# Bad input -----------------------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize(
    ("call", "who"),
    [
        (lambda net: net.fit(data(4), [0, 1, 2, 3]), "fit"),
        (lambda net: fnn.training.fit(net, data(4), [0, 1, 2, 3]), "network"),
        (lambda net: fnn.Trainer(net), "network"),
        (lambda net: net.parameters.__setitem__("dense_1.bias", np.ones(70)), "dense_1.bias"),
        (lambda net: net.parameters.__setitem__("dense_1.bias", np.ones(7)), "dense_1.bias"),
        (lambda net: net.astype("float32"), "astype"),
        (lambda net: net.quantize(data(4)), "quantize"),
    ],
)
def test_what_is_for_inference_only(precision, call, who):
    low = converted(precision)
    expected = low(data(4))
    with pytest.raises(TypeError) as caught:
        call(low)
    assert str(caught.value) == (
        f"{who}: expected a float32 or float64 network, got one in {precision}, for inference only: train or change the"
        " float32 network and convert it again"
    )
    assert_same_bits(low(data(4)), expected)


@both
def test_bad_calls(precision):
    low = converted(precision)
    with pytest.raises(KeyError, match=r"parameter: expected one of dense_1.weight, .*, got 'bias'"):
        low.parameters["bias"] = 1
    with pytest.raises(ValueError, match="read-only"):
        low.parameters["dense_1.bias"][0] = 1
    with pytest.raises(TypeError, match="made by Sequential's astype"):
        fnn.InferenceNetwork(LAYERS)
    with pytest.raises(ValueError, match=r"x: expected shape \(B, 37\), got \(2, 36\)"):
        low(np.ones((2, 36)))
    with pytest.raises(TypeError, match="x: expected an array of real numbers, got dtype object"):
        low(None)
    with pytest.raises(TypeError, match="out: expected dtype float32, got float64"):
        low(data(2), out=np.empty((2, 9)))
    with pytest.raises(TypeError, match="out: expected a NumPy array, got list"):
        low(data(2), out=[])
    with pytest.raises(ValueError, match="n: expected an integer >= 1, got 0"):
        low.sample(data(2), 0)


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
        network().astype(dtype)


def test_only_astype_makes_bfloat16():
    with pytest.raises(ValueError, match="dtype: expected 'float32' or 'float64', got 'bfloat16'"):
        fnn.Sequential(LAYERS, dtype="bfloat16")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.empty((0, 37)), ValueError, "calibration_x: expected at least one row, got none"),
        (np.ones((2, 36)), ValueError, r"calibration_x: expected shape \(B, 37\), got \(2, 36\)"),
        (np.ones(37), ValueError, r"calibration_x: expected shape \(B, 37\), got \(37,\)"),
        (np.where(np.arange(74) == 40, np.nan, 1).reshape(2, 37), ValueError, "calibration_x: expected finite values"),
        (np.full((1, 37), np.inf), ValueError, "calibration_x: expected finite values"),
        (np.full((1, 37), 1e39), ValueError, "calibration_x: expected finite values"),
        (np.full((1, 37), 3e38), ValueError, "calibration_x: expected finite inputs of maxout_1, got .*inf"),
        (None, TypeError, "calibration_x: expected an array of real numbers, got dtype object"),
    ],
)
def test_bad_calibration(x, error, message):
    with pytest.raises(error, match=message):
        network("softmax").quantize(x)


def test_what_int8_cannot_hold():
    net = network()
    net.parameters["dense_2.weight"] = np.where(np.arange(33 * 65) == 7, np.inf, 1).reshape(33, 65)
    with pytest.raises(ValueError, match=r"dense_2.weight: expected finite values to quantize, got NaN or infinity"):
        net.quantize(data(3))
    net = fnn.Sequential([fnn.Input(65537), fnn.Dense(1)], seed=0)
    with pytest.raises(ValueError, match="at most 65536 inputs per layer, got 65537"):
        net.quantize(np.ones((1, 65537)))


# Arrays of bfloat16 --------------------------------------------------------------------------------------------------
@pytest.fixture
def bfloat16():
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def test_rounding_is_that_of_ml_dtypes(bfloat16):
    values = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32).view(F32)
    values = values[~np.isnan(values)]
    assert_same_bits(reference.to_bfloat16(values).astype(F32), values.astype(bfloat16).astype(F32))


def test_astype_takes_the_type_of_ml_dtypes(bfloat16):
    for dtype in (bfloat16, bfloat16.type):
        assert network().astype(dtype).compute_dtype == "bfloat16"


@both
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_bfloat16_in_and_out(precision, head, bfloat16):
    low = converted(precision, network(head))
    x = data(50).astype(bfloat16)
    wide = x.astype(F32)
    for method in (low, low.logits):
        assert method(x).dtype == bfloat16
        assert_same_values(method(x), method(wide).astype(bfloat16))
    assert_same_values(low(x.reshape(50, 37)[::-1]), low(x)[::-1])
    for given, kind in itertools.product((x, wide), (bfloat16, F32)):
        out = np.zeros((50, 9), kind)
        assert low(given, out=out) is out
        assert_same_values(out, low(wide).astype(kind))
    strided = np.zeros((50, 18), bfloat16)[:, ::2]
    assert low(x, out=strided) is strided
    assert_same_values(strided, low(x))
    # No class is another because an output was rounded.
    answer = low.predict(x)
    np.testing.assert_array_equal(answer, low.predict(wide).astype(answer.dtype))
    assert answer.dtype == (bfloat16 if head == "identity" else np.int64)
    np.testing.assert_array_equal(low.sample(x, 2, rng=0), low.sample(wide, 2, rng=0).astype(answer.dtype))
    targets = low.predict(wide)
    assert low.evaluate(x, targets) == low.evaluate(wide, targets)


def assert_same_values(got, expected):
    assert got.dtype == expected.dtype
    assert got.tobytes() == expected.tobytes()


def test_bad_out_in_bfloat16(bfloat16):
    low = network().astype(bfloat16)
    x = data(4).astype(bfloat16)
    with pytest.raises(ValueError, match=r"out: expected shape \(4, 9\), got \(4, 8\)"):
        low(x, out=np.empty((4, 8), bfloat16))
    with pytest.raises(TypeError, match="out: expected dtype float32, got float64"):
        low(x, out=np.empty((4, 9)))
    square = fnn.Sequential([fnn.Input(4), fnn.Dense(4)], seed=0).astype(bfloat16)
    x = x[:, :4].copy()
    with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps x"):
        square(x, out=x)
    with pytest.raises(TypeError, match="out: expected dtype float32, got bfloat16"):
        network()(data(4), out=np.empty((4, 9), bfloat16))


def test_bfloat16_is_taken_wherever_floats_are(bfloat16):
    rng = np.random.default_rng(0)
    x, w, b, y = (normal(rng, F32, *shape).astype(bfloat16) for shape in ((5, 37), (37, 6), (6,), (5, 6)))
    wide = [array.astype(F32) for array in (x, w, b)]
    assert_same_bits(fnn.dense(x, w, b, "gelu"), fnn.dense(*wide, "gelu"))
    assert_same_bits(fnn.dense(x, wide[1], b), fnn.dense(*wide))
    assert_same_bits(fnn.dense(x, wide[1].astype(np.float64)), fnn.dense(wide[0].astype(np.float64), w))
    assert_same_bits(fnn.maxout(x, w[np.newaxis]), fnn.dense(wide[0], wide[1]))
    assert_same_bits(fnn.Tanh()(x), fnn.Tanh()(wide[0]))
    for net in (network(), network(dtype="float64")):
        assert_same_bits(net(x), net(wide[0]))
        assert_same_bits(net.logits(x), net.logits(wide[0]))
        np.testing.assert_array_equal(net.predict(x), net.predict(wide[0]))
    net = fnn.Sequential([fnn.Input(37), fnn.Dense(6)], seed=0)
    net.parameters["dense_1.weight"] = w
    assert_same_bits(net.parameters["dense_1.weight"], wide[1])
    twin = copy.copy(net)
    assert net.fit(x, y, epochs=1, seed=0).loss == twin.fit(wide[0], y.astype(F32), epochs=1, seed=0).loss
    assert_same_answers(network().quantize(x), network().quantize(wide[0]), data(3))
