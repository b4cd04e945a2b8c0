"""Networks on disk: the same bits come back, and nothing but a whole, unchanged file of ours is taken."""

import json
import os
import re
import stat
import sys

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fnnfast as fnn
from factories import CASES, normal
from fnnfast._network import file_format
from oracles import assert_same_bits


def small(seed=0):
    return fnn.Sequential([fnn.Input(2), fnn.Dense(2, "prelu"), fnn.Dropout(0.5), fnn.Maxout(1, pieces=2)], seed=seed)


def parts(path):
    """Tensors and metadata of a file."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


@pytest.mark.parametrize("name", CASES)
def test_round_trip(tmp_path, dtype, name):
    activation, _ = CASES[name].make(5, dtype)
    rng = np.random.default_rng(0)
    hidden = "relu" if name == "softmax" else activation
    net = fnn.Sequential([fnn.Input(3, 2), fnn.Dense(5, hidden), fnn.Maxout(4), fnn.Dense(5, activation)], dtype=dtype)
    for key, values in net.parameters.items():
        net.parameters[key] = normal(rng, dtype, *values.shape)
    path = tmp_path / "net.safetensors"
    net.save(path)
    for loaded in (fnn.load(path), fnn.load(str(path)), fnn.load(os.fsencode(path))):
        assert loaded.layers == net.layers
        assert loaded.dtype == net.dtype
        x = normal(rng, dtype, 9, 3, 2)
        assert_same_bits(loaded(x), net(x))
        for key, values in net.parameters.items():
            assert_same_bits(loaded.parameters[key], values)


def test_special_values_survive(tmp_path):
    net = fnn.Sequential([fnn.Input(1), fnn.Dense(6)], dtype="float32")
    net.parameters["dense_1.bias"] = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], np.float32)
    net.save(tmp_path / "net")
    assert_same_bits(fnn.load(tmp_path / "net").parameters["dense_1.bias"], net.parameters["dense_1.bias"])


def test_a_loaded_network_trains_on(tmp_path):
    net = small()
    net.save(tmp_path / "net")
    loaded = fnn.load(tmp_path / "net")
    x, y = np.random.default_rng(0).random((20, 2)), np.ones((20, 1))
    assert loaded.fit(x, y, seed=1, epochs=2).loss == net.fit(x, y, seed=1, epochs=2).loss


def test_others_can_read_the_file(tmp_path):
    net = small()
    net.save(tmp_path / "net")
    tensors, metadata = parts(tmp_path / "net")
    assert tensors.keys() == net.parameters.keys()
    for name, values in net.parameters.items():
        assert_same_bits(tensors[name], values)
    assert metadata["format"] == "fnnfast"
    assert json.loads(metadata["architecture"])["layers"][1] == {
        "kind": "dense",
        "units": 2,
        "activation": {"name": "prelu", "alpha": 0.25},
    }


# Writing -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_saving_replaces_all_or_nothing(tmp_path, monkeypatch, fails):
    path = tmp_path / "net"
    small(seed=0).save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, fails, fail)
    with pytest.raises(OSError, match="disk full"):
        small(seed=1).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net"]
    small(seed=1).save(path)
    assert path.read_bytes() != before
    assert os.listdir(tmp_path) == ["net"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
def test_saving_keeps_to_the_umask_and_follows_links(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "net")
    before = os.umask(0o027)
    try:
        small().save(tmp_path / "link")
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "net").stat().st_mode) == 0o640


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        small().save(tmp_path / "none" / "net")


# Invalid files -------------------------------------------------------------------------------------------------------
def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        fnn.load(tmp_path / "none")
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):
        fnn.load(tmp_path)


def refused(path, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        fnn.load(path)
    assert str(path) in str(caught.value)


def test_truncated(tmp_path):
    small().save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "net").write_bytes(content[:length])
        refused(tmp_path / "net", "not a whole safetensors file")
    (tmp_path / "net").write_bytes(content + b"\0")
    refused(tmp_path / "net", "not a whole safetensors file")


def test_any_changed_byte_is_noticed(tmp_path):
    small().save(tmp_path / "net")
    content = (tmp_path / "net").read_bytes()
    for place in range(len(content)):
        for mask in (0x01, 0x80):
            changed = bytearray(content)
            changed[place] ^= mask
            (tmp_path / "changed").write_bytes(changed)
            refused(tmp_path / "changed", "holds no fnnfast network")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"{}", b"\xff" * 64, bytes(64)])
def test_other_files(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    refused(tmp_path / "other", "not a whole safetensors file")


def test_other_safetensors(tmp_path):
    safetensors.numpy.save_file({"w": np.ones(3)}, tmp_path / "other")
    refused(tmp_path / "other", "format: expected 'fnnfast', got None")
    safetensors.numpy.save_file({"w": np.ones(3)}, tmp_path / "other", {"format": "pt"})
    refused(tmp_path / "other", "format: expected 'fnnfast', got 'pt'")


def forge(path, edit_tensors=None, edit_architecture=None, **metadata):
    """Save a network, then change the file as someone would who keeps to its format."""
    small().save(path)
    tensors, found = parts(path)
    architecture = json.loads(found["architecture"])
    if edit_tensors:
        edit_tensors(tensors)
    if edit_architecture:
        edit_architecture(architecture)
        metadata = {"architecture": json.dumps(architecture), **metadata}
    safetensors.numpy.save_file(tensors, path, {**found, **metadata})


def test_a_forgery_that_changes_nothing_loads(tmp_path):
    """Or the tests below would prove nothing."""
    forge(tmp_path / "net", lambda tensors: None, lambda architecture: None)
    assert fnn.load(tmp_path / "net").layers == small().layers


def reshaped(tensors):
    tensors["dense_1.weight"] = tensors["dense_1.weight"].reshape(1, 4)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda tensors: tensors.pop("maxout_1.bias"), "missing tensors maxout_1.bias"),
        (lambda tensors: tensors.update(more=np.ones(1)), "unknown tensors more"),
        (reshaped, r"dense_1.weight: expected float32 \(2, 2\), got float32 \(1, 4\)"),
        (lambda t: t.update({"dense_1.bias": np.ones(2)}), r"dense_1.bias: expected float32 \(2,\), got float64"),
        (lambda t: t.update({"dense_1.bias": np.ones(2, np.int32)}), "dense_1.bias: expected float32 .*, got I32"),
        (lambda tensors: tensors["dense_1.bias"].__iadd__(1), "sha256 does not match"),
    ],
)
def test_forged_tensors(tmp_path, edit, reason):
    forge(tmp_path / "net", edit)
    refused(tmp_path / "net", reason)


def layer(index, **fields):
    return lambda architecture: architecture["layers"][index].update(fields)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (layer(1, kind="convolution"), "layer: expected one of dense, maxout, dropout, .*, got 'convolution'"),
        (layer(1, kind=["dense"]), "makes no sense"),
        (layer(1, units=3), r"dense_1.weight: expected float32 \(2, 3\), got float32 \(2, 2\)"),
        (layer(1, units=2**31 - 1), "dense_1.weight: expected"),  # and nothing of that size is allocated
        (layer(1, units=2**31), "units: expected an integer <= 2147483647, got 2147483648"),
        (layer(1, units=10**400), "units: expected an integer <= 2147483647, got 1000"),
        (layer(0, shape=[2**16, 2**16]), "Input: expected at most 2147483647 values"),
        (layer(2, rate=10**400), "rate: expected a number in"),
        (layer(1, activation={"name": "swish", "beta": 10**400}), "beta: expected a finite number"),
        (layer(1, units="2"), "units: expected an integer"),
        (layer(1, units=-2), "units: expected an integer >= 1, got -2"),
        (layer(1, bias=False), "unknown tensors dense_1.bias"),
        (layer(1, bias="no"), "bias: expected a bool, got 'no'"),
        (layer(1, biases=False), "makes no sense.*biases"),
        (layer(1, activation={"name": "os.system"}), "activation: expected one of"),
        (layer(1, activation={"name": "prelu", "beta": 1}), "makes no sense.*beta"),
        (layer(1, activation="prelu"), "makes no sense"),
        (layer(1, activation={"name": "relu"}), "unknown tensors dense_1.alpha"),
        (layer(1, activation={"name": "prelu", "alpha": 0.5}), "sha256 does not match"),
        (layer(2, rate=2), "rate: expected a number in"),
        (layer(0, shape=[3]), "dense_1.weight: expected"),
        (layer(0, shape=[]), "at least one dimension"),
        (lambda a: a["layers"].pop(0), "an Input first"),
        (lambda a: a["layers"].clear(), "an Input first, got no layers"),
        (lambda a: a["layers"].append(None), "makes no sense"),
        (lambda a: a.update(layers=None), "makes no sense"),
        (lambda a: a.pop("layers"), "makes no sense.*layers"),
        (lambda a: a.update(dtype="float16"), "dtype: expected 'float32' or 'float64', got 'float16'"),
    ],
)
def test_forged_architecture(tmp_path, edit, reason):
    forge(tmp_path / "net", edit_architecture=edit)
    refused(tmp_path / "net", reason)


def test_a_forged_parameter_out_of_range(tmp_path):
    small().save(tmp_path / "net")
    tensors, found = parts(tmp_path / "net")
    architecture = json.loads(found["architecture"])
    architecture["layers"][1]["activation"]["alpha"] = 1e39
    text = json.dumps(architecture)
    forge(tmp_path / "net", architecture=text, sha256=file_format.digest(text, tensors))
    refused(tmp_path / "net", "prelu: expected a parameter in float32's range")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"format_version": "3"}, "format_version: expected 1 or 2, got '3'"),
        ({"architecture": "{"}, "makes no sense"),
        ({"architecture": "[" * 100_000}, "makes no sense"),
        ({"architecture": "7"}, "makes no sense"),
        ({"sha256": ""}, "sha256 does not match"),
    ],
)
def test_forged_metadata(tmp_path, metadata, reason):
    forge(tmp_path / "net", **metadata)
    refused(tmp_path / "net", reason)
