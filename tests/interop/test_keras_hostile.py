"""Files of Keras that are made to harm: nothing runs, nothing outside is read, and memory stays near the file."""

import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError

h5py = pytest.importorskip("h5py")

from keras_models import (  # noqa: E402
    archive,
    called,
    dense,
    entrance,
    functional,
    hdf5,
    layer,
    sequential,
    tensor,
    weights,
)

W = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
B = np.ones(4, np.float32)
DENSE = weights(dense=[W, B])
MODEL = sequential(entrance(4), dense("d", 4))
SAVED = Path(__file__).parent / "model_files" / "keras" / "tabular.keras"
MOST = 100 * 2**20  # bytes at any time


@pytest.fixture(autouse=True)
def little_memory():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST


def refuse(path, text):
    with pytest.raises(ConversionError, match=text):
        fnn.from_keras(path)


# Archives ------------------------------------------------------------------------------------------------------------
def test_what_is_no_archive(tmp_path):
    path = tmp_path / "model.keras"
    for content in (b"", b"PK\x03\x04", b"\0" * 1000, archive(tmp_path / "a", MODEL, DENSE).read_bytes()[:-30]):
        path.write_bytes(content)
        refuse(path, "model.keras': no .keras file, or one that is damaged")


def test_hdf5_of_older_versions(tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(DENSE)
    refuse(path, r"a file of HDF5, as Keras wrote whole models before; load it with Keras, keras.models.load_model")


def test_what_is_no_file(tmp_path):
    refuse(tmp_path, r"model: expected a \.keras file, got '.*', a folder; load it with Keras")
    with pytest.raises(FileNotFoundError):
        fnn.from_keras(tmp_path / "nothing.keras")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refuse(tmp_path / "pipe", "which is no file")


@pytest.mark.parametrize("name", ["metadata.json", "config.json", "model.weights.h5"])
def test_missing_members(name, tmp_path):
    refuse(archive(tmp_path / "a", MODEL, DENSE, **{name.replace(".", "__"): None}), f"a .keras file with {name}, got")


def test_weights_in_several_files(tmp_path):
    path = archive(tmp_path / "a", MODEL, DENSE, model__weights__h5=None, model__weights__json="{}")
    refuse(path, "one without, which has its weights in several files")


@pytest.mark.parametrize("version", ["2.15.0", "4.0", "", None, 3, ["3."]])
def test_versions(version, tmp_path):
    refuse(archive(tmp_path / "a", MODEL, DENSE, version=version), "metadata.json: expected a file of Keras 3, got one")


def test_other_members_are_not_read(tmp_path):
    """Neither by paths that lead outside, nor at all."""
    path = archive(tmp_path / "a", MODEL, DENSE, **{"../outside": "x", "/etc/outside": "y", "assets/a": "0" * 2**20})
    assert fnn.from_keras(path)([B]).shape == (1, 4)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods(method, tmp_path):
    refuse(archive(tmp_path / "a", MODEL, DENSE, method=method), "a member that is stored or deflated, got method")


def test_deflated_files_are_read(tmp_path):
    path = archive(tmp_path / "a", MODEL, DENSE, method=zipfile.ZIP_DEFLATED)
    np.testing.assert_allclose(fnn.from_keras(path)([B])[0], B @ W + B, rtol=1e-6)


def test_bombs(tmp_path):
    """What expands by a thousand: as weights, and as a configuration."""
    zeros = bytes(2**26)
    path = archive(tmp_path / "a", MODEL, zeros, method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**17
    refuse(path, "model.weights.h5: expected at most 16777216 bytes, got 67108864 bytes from")
    path = archive(tmp_path / "b", b" " * 2**25, DENSE, method=zipfile.ZIP_DEFLATED)
    refuse(path, "config.json: expected at most 8388608 bytes, got 33554432 bytes from")


def forged(path, name, offset, value):
    """Overwrite a field of the entry of a member in the central directory."""
    content = bytearray(path.read_bytes())
    place = content.rindex(name.encode()) - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    content[place + offset : place + offset + 4] = struct.pack("<I", value)
    path.write_bytes(content)


@pytest.mark.parametrize("size", [0, 5, 2**24, 2**31, 2**32 - 2])
@pytest.mark.parametrize("offset", [20, 24, 42])
def test_forged_sizes(offset, size, tmp_path):
    """Of compressed bytes, of bytes, and the place: more or less than there are."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = archive(tmp_path / "a", MODEL, DENSE, method=method)
        forged(path, "model.weights.h5", offset, size)
        refuse(path, "model.weights.h5: expected|no .keras file, or one that is damaged|weights that are damaged")


def test_encrypted(tmp_path):
    path = archive(tmp_path / "a", MODEL, DENSE)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"model.weights.h5") - 46
    content[place + 8] |= 1
    path.write_bytes(content)
    refuse(path, "no .keras file, or one that is damaged")


# Configurations ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["", "{", "\xff", "[" * 10**6, '{"a":' * 10**5, "1" * 10**5, "null", '"x"'])
def test_json(text, tmp_path):
    path = archive(tmp_path / "a", text.encode("latin-1"), DENSE)
    refuse(path, "config.json: (no JSON|it is nested too deep)|the model: no description of a layer")


def test_deep_models(tmp_path):
    model = dense("d", 4)
    for depth in range(60):
        model = sequential(model, name=f"m{depth}")
    model["config"]["layers"].insert(0, entrance(4))
    refuse(archive(tmp_path / "a", model, DENSE), "a model nested too deep; supported: 32 models inside each other")


def doubling(depth):
    """Models that each call another one twice."""
    inner = sequential(dense("d", 4), name="m0")
    for level in range(1, depth):
        first = {**entrance(4), "name": "entrance", "inbound_nodes": []}
        both = called(inner, [tensor("entrance")], [tensor(inner["config"]["name"])])
        inner = functional(first, both, outputs=(inner["config"]["name"], 1 if level == 1 else 2, 0))
        inner["config"]["name"] = f"m{level}"
    return inner


def test_models_that_call_each_other_twice(tmp_path):
    net = fnn.from_keras(archive(tmp_path / "a", doubling(4), nested_weights(4)))
    assert len(net.layers) == 1 + 2**3
    refuse(archive(tmp_path / "b", doubling(25), nested_weights(25)), "more than 4096 calls of layers up to here")


def nested_weights(depth):
    """Those of the dense layer in the innermost model."""
    return weights(**{"functional__layers__" * (depth - 2) + "sequential__layers__dense": [W, B]})


def test_layers_that_are_called_often(tmp_path):
    """A few weights in many places of the network would be many."""
    wide = np.zeros((1024, 1024), np.float32)
    first = {**entrance(1024), "name": "entrance", "inbound_nodes": []}
    calls = [[tensor("entrance" if index == 0 else "d", max(index - 1, 0))] for index in range(1000)]
    model = functional(first, called(dense("d", 1024), *calls), outputs=("d", 999, 0))
    tracemalloc.stop()  # of 4 MB, some hundreds of MB may be made
    refuse(archive(tmp_path / "a", model, weights(dense=[wide, wide[0]])), "far more numbers than the model holds")
    tracemalloc.start()


def test_many_scales(tmp_path):
    """Each takes as many numbers as a row, and no matrix."""
    scales = [part for _ in range(500) for part in (layer("Rescaling", scale=1.0), layer("ReLU"))]
    model = sequential(entrance(2000), *scales, dense("d", 1))
    path = archive(tmp_path / "a", model, weights(dense=[np.ones((2000, 1), np.float32), B[:1]]))
    assert len(fnn.from_keras(path).layers) > 900


@pytest.mark.parametrize("shape", [(2**31 - 1,), (2**20, 2**20), (2**62,), (10**30,)])
def test_huge_inputs(shape, tmp_path):
    model = sequential(entrance(*shape), layer("BatchNormalization"), layer("Flatten"), dense("d", 4))
    refuse(archive(tmp_path / "a", model, DENSE), "entrance.*: (rows of|an input of shape)")


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, [[]], True, 1e308, -1, "x" * 10**5])
def test_settings_of_any_kind(value, tmp_path):
    """Any value in any place: it is read, or refused."""
    model = sequential(
        entrance(4),
        layer("Normalization", axis=[-1], mean=[0.0] * 4, variance=[1.0] * 4, invert=False),
        dense("d", 4, "relu", quantization_config=None),
        layer("BatchNormalization", axis=-1, epsilon=1e-3, center=True, scale=True, renorm=False),
        layer("Dropout", rate=0.5, noise_shape=None),
        layer("ReLU", max_value=None, negative_slope=0.0, threshold=0.0),
        layer("Rescaling", scale=1.0, offset=0.0),
        layer("Reshape", target_shape=[4]),
        layer("Softmax", axis=-1),
    )
    model["build_config"] = {}
    h5 = weights(dense=[W, B], batch_normalization=[B] * 4)
    fnn.from_keras(archive(tmp_path / "a", model, h5))
    places = []

    def visit(at):
        for key, inner in at.items() if isinstance(at, dict) else enumerate(at):
            places.append((at, key))
            if isinstance(inner, (dict, list)):
                visit(inner)

    visit(model)
    assert len(places) > 60
    longest = 0
    for at, key in places:
        before, at[key] = at[key], value
        try:
            fnn.from_keras(archive(tmp_path / "a", model, h5))
        except ConversionError as error:
            longest = max(longest, len(str(error)))
        at[key] = before
    assert longest < 3000


# Weights -------------------------------------------------------------------------------------------------------------
def group(h5):
    return h5.create_group("layers/dense/vars")


def virtual(h5):
    layout = h5py.VirtualLayout((4, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4, 4))
    group(h5).create_virtual_dataset("0", layout)


def compressed(h5):
    group(h5).create_dataset("0", data=np.zeros((4, 4), np.float32), compression="gzip")


def never_written(h5):
    group(h5).create_dataset("0", (2**15, 2**15), "f4", chunks=(1, 1))


def never_written_whole(h5):
    group(h5).create_dataset("0", (2**20, 2**20), "f4")


def outside(h5, link):
    h5["layers/dense/vars/0"] = link


def external_data(h5):
    group(h5).create_dataset("0", (4, 4), "f4", external=[("/etc/passwd", 0, 64)])


def loop(h5):
    h5.create_group("layers")
    h5["layers/dense"] = h5py.SoftLink("/layers")


def texts(h5):
    group(h5).create_dataset("0", data=["x"] * 4, dtype=h5py.string_dtype())


def records(h5):
    group(h5).create_dataset("0", (4, 4), [("a", "f4"), ("b", "f8")])


def references(h5):
    group(h5).create_dataset("0", (4, 4), h5py.ref_dtype)


def a_group(h5):
    group(h5).create_group("0")


def an_array(h5):
    h5["layers/dense/vars"] = W


def many(h5):
    where = group(h5)
    for index in range(100):
        where[str(index)] = B


WEIGHTS = {
    "virtual": (virtual, "compressed, or has its data in other files"),
    "compressed": (compressed, "compressed, or has its data in other files; supported: plain arrays"),
    "external": (external_data, "compressed, or has its data in other files"),
    "never written": (never_written, r"a variable of shape \(32768, 32768\), which the file does not hold"),
    "never written, whole": (never_written_whole, "which the file does not hold"),
    "external link": (lambda h5: outside(h5, h5py.ExternalLink("/etc/passwd", "/")), "'0' is a link in the weights"),
    "soft link": (lambda h5: outside(h5, h5py.SoftLink("/layers/dense/vars/0")), "'0' is a link in the weights"),
    "loop": (loop, "'dense' is a link in the weights; supported: weights within the file"),
    "texts": (texts, "a variable of dtype object"),
    "records": (records, "a variable of dtype"),
    "references": (references, "a variable of dtype object"),
    "a group": (a_group, "'0' is no dataset"),
    "an array": (an_array, "'vars' is no group"),
    "no name": (lambda h5: h5.create_dataset("layers/dense/vars/kernel", data=W), "a variable is missing"),
    "many": (many, "100 variables; supported: layers of a few"),
    "nothing": (lambda h5: None, "0 variables"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name, tmp_path):
    fill, text = WEIGHTS[name]
    refuse(archive(tmp_path / "a", MODEL, hdf5(fill)), text)


def test_one_array_in_many_places(tmp_path):
    """By hard links, which cost the file nothing."""

    def fill(h5):
        h5["layers/dense/vars/0"] = np.zeros((1024, 1024), np.float32)
        for index in range(1, 200):
            h5[f"layers/dense_{index}/vars/0"] = h5["layers/dense/vars/0"]

    model = sequential(entrance(1024), *(dense(f"d{i}", 1024, use_bias=False) for i in range(200)))
    refuse(archive(tmp_path / "a", model, hdf5(fill)), "layer 3 of 201, Dense 'd1': a variable of shape")


def test_truncated_weights(tmp_path):
    for length in range(0, len(DENSE), 97):
        refuse(archive(tmp_path / "a", MODEL, DENSE[:length]), "weights that are damaged|0 variables|does not hold")


def test_damaged_files(tmp_path):
    """Single bytes at random, which the checksums of the archive find."""
    rng = np.random.default_rng(0)
    path = archive(tmp_path / "a", MODEL, DENSE)
    content = path.read_bytes()
    for _ in range(300):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            fnn.from_keras(path)
        except ConversionError:
            continue


def test_damaged_weights(tmp_path):
    """The same without the checksum of the archive, in another process, since HDF5 is a library of C.

    It does not return from some attributes that are damaged, so these are not read.
    """
    code = f"""if True:
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import zipfile
        import numpy as np, fnnfast as fnn
        from keras_models import archive
        path = {str(tmp_path / "a")!r}
        rng = np.random.default_rng(0)
        with zipfile.ZipFile({str(SAVED)!r}) as file:
            model, good = file.read("config.json"), file.read("model.weights.h5")
        sizes = [0, 8, 2**31, 2**32, 2**63 - 1, 2**64 - 1, len(good)]
        for index in range(400):
            changed = bytearray(good)
            if index % 2:
                for place in rng.integers(0, len(good), 20):
                    changed[place] = rng.integers(256)
            else:
                place = rng.integers(0, len(good) // 8) * 8
                changed[place : place + 8] = sizes[rng.integers(7)].to_bytes(8, "little")
            archive(path, model, bytes(changed))
            try:
                fnn.from_keras(path)
            except fnn.interop.ConversionError:
                pass
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]


# Code ----------------------------------------------------------------------------------------------------------------
def test_nothing_is_executed(tmp_path, monkeypatch):
    """Descriptions of functions, lambdas, classes and configurations that Keras would turn into objects."""
    marker = tmp_path / "marker"
    call = f"open({str(marker)!r}, 'w')"
    bad = [
        {"class_name": "__lambda__", "config": {"value": call}},
        {"class_name": "function", "module": "os", "config": "system", "registered_name": "function"},
        {"class_name": "Popen", "module": "subprocess", "config": {"args": ["touch", str(marker)]}},
        {"class_name": "run", "module": "keras.src.utils", "config": {"args": call}},
        {"class_name": "__numpy__", "config": {"value": call, "dtype": "O"}},
    ]
    for value in bad:
        for model in (
            sequential(entrance(4), dense("d", 4, value)),
            sequential(entrance(4), dense("d", 4), layer("Rescaling", scale=value)),
            sequential(entrance(4), dense("d", 4), layer("Lambda", function=value)),
            sequential(entrance(4), value, dense("d", 4)),
            {**MODEL, "config": {**MODEL["config"], "layers": value}},
        ):
            refuse(archive(tmp_path / "a", model, DENSE), "layer|Sequential")
        ignored = sequential(entrance(4), dense("d", 4, kernel_initializer=value, kernel_regularizer=value))
        fnn.from_keras(archive(tmp_path / "a", {**ignored, "compile_config": value, "build_config": value}, DENSE))
    assert not marker.exists()


def test_the_file_is_not_changed(tmp_path):
    path = archive(tmp_path / "a", MODEL, DENSE)
    before = path.read_bytes()
    path.chmod(0o400)
    fnn.from_keras(path)
    assert path.read_bytes() == before
    assert io.BytesIO(before).read(2) == b"PK"
