"""Files that change while they are read, that are no files, and that are forged: for all that reads one."""

import json
import os
import struct
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fnnfast as fnn
from fnnfast._network import file_format
from oracles import assert_same_bits
from test_replacing import READERS, WRITERS, network, train

# Rewritten while it is read ------------------------------------------------------------------------------------------
LOAD = """
import sys, time
import fnnfast as fnn

outcomes, end = {True: 0, False: 0}, time.monotonic() + 5
while time.monotonic() < end and min(outcomes.values()) < 50:
    try:
        outcomes[fnn.load(sys.argv[1]).outputs == 2] += 1
    except ValueError as error:
        assert "holds no fnnfast network" in str(error), error
        outcomes[False] += 1
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_a_file_that_is_rewritten_while_it_is_loaded(tmp_path, kind):
    """It is read or refused, and nobody gets SIGBUS."""
    path = tmp_path / "file"
    net = fnn.Sequential([fnn.Input(500), fnn.Dense(2000), fnn.Dense(2)], seed=0)
    (net if kind == "float32" else net.astype("bfloat16")).save(path)
    whole = path.read_bytes()
    with subprocess.Popen([sys.executable, "-c", LOAD, path], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            with open(path, "r+b") as file:  # in place, as cp and rsync --inplace do
                file.truncate(0)
                file.write(whole)
            time.sleep(0.005)
        assert process.returncode == 0, process.stderr.read()[-2000:]


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_cut_after_it_was_read(tmp_path, monkeypatch, name):
    """What was read stays as it was, without a mapping that would go with the file."""
    path = tmp_path / "file"
    WRITERS[name](path)
    parts = file_format.parts

    def cut(asked):
        found = parts(asked)
        os.truncate(path, 10)
        return found

    monkeypatch.setattr(file_format, "parts", cut)
    READERS[name](path)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_pipe_can_be_loaded(tmp_path):
    """As of ``<(zcat ...)`` in a shell, which no mapping could be made of."""
    network().save(tmp_path / "net")
    code = "import sys, fnnfast; print(fnnfast.load('/dev/fd/0').outputs)"
    done = subprocess.run(
        [sys.executable, "-c", code], input=(tmp_path / "net").read_bytes(), capture_output=True, check=True
    )
    assert done.stdout.strip() == b"2"


def test_a_long_file_of_others_is_not_read(tmp_path):
    """One that begins with no header, 256 MiB without a byte on disk."""
    with open(tmp_path / "long", "wb") as file:
        file.truncate(2**28)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="does not begin with the size of a header"):
            fnn.load(tmp_path / "long")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


# The format ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "dtype",
    ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_what_safetensors_writes_is_read(tmp_path, dtype, shape):
    rng = np.random.default_rng(0)
    tensors = {name: rng.integers(0, 2, shape).astype(dtype) for name in ("b", "a", "é\n")}
    tensors["between"] = np.ones(3, np.int8)  # so that others begin at odd places
    safetensors.numpy.save_file(tensors, tmp_path / "file", {"k": "v"})
    metadata, places, content = file_format.parts(str(tmp_path / "file"))
    assert metadata == {"k": "v"}
    assert places.keys() == tensors.keys()
    for name, values in tensors.items():
        got = places[name].array(content)
        assert got.dtype == values.dtype
        np.testing.assert_array_equal(got, values)


def container(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(first, last, shape, dtype="U8", **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last], **more}


NO_CONTAINERS = {
    "empty": b"",
    "short": b"\x02\0\0\0",
    "no header": struct.pack("<Q", 0) + b"{}",
    "a longer header": struct.pack("<Q", 9) + b"{}",
    "a huge header": struct.pack("<Q", 2**63) + b"{}",
    "no JSON": container(b"{,}"),
    "no UTF-8": container(b'{"\xff":1}'),
    "a list": container([]),
    "a number": container(b"17"),
    "nested": container(b"[" * 100_000),
    "nested tensors": container(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "metadata of numbers": container({"__metadata__": {"a": 1}}),
    "metadata of lists": container({"__metadata__": []}),
    "a tensor that is a number": container({"a": 1}),
    "a tensor without a shape": container({"a": {"dtype": "U8", "data_offsets": [0, 1]}}, b"1"),
    "a tensor without a place": container({"a": {"dtype": "U8", "shape": [1]}}, b"1"),
    "one offset": container({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0]}}, b"1"),
    "offsets of text": container({"a": tensor("0", "1", [1])}, b"1"),
    "offsets of floats": container({"a": tensor(0.0, 1.0, [1])}, b"1"),
    "true for an offset": container({"a": tensor(0, True, [1])}, b"1"),
    "a negative offset": container({"a": tensor(-1, 1, [2])}, b"1"),
    "offsets that are turned around": container({"a": tensor(1, 0, [1])}, b"1"),
    "a hole": container({"a": tensor(0, 1, [1]), "b": tensor(2, 3, [1])}, b"123"),
    "an overlap": container({"a": tensor(0, 2, [2]), "b": tensor(1, 3, [2])}, b"123"),
    "twice the same place": container({"a": tensor(0, 1, [1]), "b": tensor(0, 1, [1])}, b"1"),
    "a start that is none": container({"a": tensor(1, 2, [1])}, b"12"),
    "bytes that are missing": container({"a": tensor(0, 3, [3])}, b"12"),
    "bytes that are left": container({"a": tensor(0, 1, [1])}, b"12"),
    "a shape that is larger": container({"a": tensor(0, 1, [2])}, b"1"),
    "a shape that is smaller": container({"a": tensor(0, 2, [1])}, b"12"),
    "a shape that overflows": container({"a": tensor(0, 0, [2**40, 2**40])}),
    "a negative shape": container({"a": tensor(0, 1, [-1])}, b"1"),
    "a shape of floats": container({"a": tensor(0, 1, [1.0])}, b"1"),
    "a shape that is a number": container({"a": tensor(0, 1, 1)}, b"1"),
    "an empty float": container({"a": tensor(0, 2, [], "F32")}, b"12"),
    "a dtype that is a list": container({"a": tensor(0, 1, [1], ["U8"])}, b"1"),
}


def read_checkpoint(path):
    return train(path, 3)


@pytest.mark.parametrize("what", NO_CONTAINERS)
@pytest.mark.parametrize("read", [fnn.load, read_checkpoint])
def test_files_that_are_no_containers(tmp_path, read, what):
    path = tmp_path / "file"
    path.write_bytes(NO_CONTAINERS[what])
    with pytest.raises(ValueError, match=r"holds no fnnfast (network|checkpoint): not a whole safetensors file \("):
        read(path)
    assert path.read_bytes() == NO_CONTAINERS[what]


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "Q", "U8 "])
def test_tensors_of_other_dtypes(tmp_path, dtype):
    path = tmp_path / "file"
    size = 2 if dtype == "BF16" else 1
    fields = {"a": tensor(0, size, [1], dtype)}
    metadata = {"format": "fnnfast", "format_version": "1", "architecture": network_architecture()}
    path.write_bytes(container({**fields, "__metadata__": metadata}, b"1" * size))
    with pytest.raises(ValueError, match="unknown tensors a"):
        fnn.load(path)
    metadata = {"format": "fnnfast checkpoint", "format_version": "1"}
    path.write_bytes(container({**fields, "__metadata__": metadata}, b"1" * size))
    with pytest.raises(ValueError, match=f"dtype: expected one of BOOL, .*, got {dtype}"):
        read_checkpoint(path)


def network_architecture():
    net = network()
    return file_format.encode(net.layers, net.dtype.name, net.compute_dtype)


def test_tensors_at_odd_places(tmp_path):
    """What the format allows and our own files do not have."""
    net = network()
    tensors = {name: np.asarray(values) for name, values in net.parameters.items()}
    architecture = network_architecture()
    metadata = {
        "format": "fnnfast",
        "format_version": "1",
        "architecture": architecture,
        "sha256": file_format.digest(architecture, tensors),
    }
    header, data = {"__metadata__": metadata}, b""
    for name in reversed(list(tensors)):
        raw = tensors[name].tobytes()
        header[name] = tensor(len(data), len(data) + len(raw), list(tensors[name].shape), "F32")
        data += raw
    text = json.dumps(header).encode()
    path = tmp_path / "file"
    for spaces in range(4):
        path.write_bytes(container(text + b" " * spaces, data))
        loaded = fnn.load(path)
        for name, values in net.parameters.items():
            assert_same_bits(loaded.parameters[name], values)
