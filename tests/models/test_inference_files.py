"""Networks for inference that are copied, pickled, saved and loaded, and files that were tampered with."""

import copy
import json
import pickle

import numpy as np
import pytest
import safetensors.numpy

import fnnfast as fnn
from factories import WIDE_HEADS, converted, wide_data, wide_network
from fnnfast._network import file_format
from oracles import assert_same_answers, assert_same_bits

pytestmark = pytest.mark.usefixtures("machine_restored")

F32 = np.float32
both = pytest.mark.parametrize("compute_dtype", ["bfloat16", "int8"])


@pytest.fixture
def through_a_file(tmp_path):
    def load(net):
        net.save(tmp_path / "net")
        return fnn.load(tmp_path / "net")

    return load


@both
@pytest.mark.parametrize("head", WIDE_HEADS)
def test_copies(compute_dtype, head, through_a_file):
    low = converted(compute_dtype, wide_network(head))
    x = wide_data(20)
    pickled = [lambda net, p=p: pickle.loads(pickle.dumps(net, p)) for p in range(2, 6)]
    for duplicate in (copy.copy, copy.deepcopy, *pickled, through_a_file, lambda net: through_a_file(copy.copy(net))):
        twin = duplicate(low)
        assert type(twin) is fnn.InferenceNetwork
        assert twin.compute_dtype == compute_dtype
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
    for low in (net, net.astype("bfloat16"), net.quantize(wide_data(10, 400))):
        low.save(tmp_path / "net")
        sizes.append((tmp_path / "net").stat().st_size)
    assert sizes[1] < 0.52 * sizes[0]
    assert sizes[2] < 0.28 * sizes[0]


def test_a_plain_file_says_nothing_of_precision(tmp_path, dtype):
    wide_network(dtype=dtype).save(tmp_path / "net")
    with safetensors.safe_open(tmp_path / "net", framework="numpy") as file:
        assert list(json.loads(file.metadata()["architecture"])) == ["dtype", "layers"]


def small(compute_dtype, seed=0):
    layers = [fnn.Input(3), fnn.Dense(2, "prelu"), fnn.Dropout(0.5), fnn.Maxout(1, pieces=2)]
    return converted(compute_dtype, fnn.Sequential(layers, seed=seed))


@both
def test_any_changed_byte_is_noticed(tmp_path, compute_dtype):
    small(compute_dtype).save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 0x01
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(ValueError, match="holds no fnnfast network"):
            fnn.load(tmp_path / "changed")


def forge(path, compute_dtype, /, edit_tensors=lambda tensors: None, **fields):
    """A file as someone would change it who makes the digest anew."""
    small(compute_dtype).save(path)
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
    ("compute_dtype", "edit", "reason"),
    [
        (
            "int8",
            {"precision": "int4"},
            "precision: expected one of float32, mixed bfloat16, bfloat16, bfloat16 products, int8, got 'int4'",
        ),
        ("int8", {"precision": ["int8"]}, r"precision: expected one of .*, got \['int8'\]"),
        ("int8", {"precision": None}, "precision: expected one of .*, got None"),
        ("int8", {"precision": "float32"}, "unknown tensors dense_1.input_scale"),
        ("int8", {"precision": "bfloat16"}, r"dense_1.weight: expected uint16 \(3, 2\), got int8"),
        ("bfloat16", {"precision": "int8"}, "missing tensors dense_1.input_scale"),
        ("bfloat16", {"precision": "float32"}, r"dense_1.weight: expected float32 \(3, 2\), got uint16"),
        ("bfloat16", {"dtype": "float64"}, "precision: expected one of float64, got 'bfloat16 products'"),
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
def test_forged_files(tmp_path, compute_dtype, edit, reason):
    forge(tmp_path / "net", compute_dtype)
    assert_same_answers(
        fnn.load(tmp_path / "net"), small(compute_dtype), wide_data(3, 3)
    )  # or the rest would prove nothing
    if callable(edit):
        forge(tmp_path / "net", compute_dtype, edit)
    else:
        forge(tmp_path / "net", compute_dtype, **edit)
    with pytest.raises(ValueError, match=f"holds no fnnfast network.*{reason}"):
        fnn.load(tmp_path / "net")
