"""Paths that are none, and files that are forged with all their digests right: refused, in few words."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fnnfast as fnn
from fnnfast import _checks
from fnnfast._network import file_format
from oracles import assert_same_bits
from test_replacing import WRITERS, X, Y, network, train

# Paths ---------------------------------------------------------------------------------------------------------------
# All that takes a path; a new one joins by a line.
TAKERS = {
    "load": fnn.load,
    "checkpoint": lambda path: fnn.Checkpoint(path),
    **{name: write for name, write in WRITERS.items() if name in ("Sequential.save", "bfloat16", "int8")},
}


class Path9:
    def __fspath__(self):
        return 9


@pytest.mark.parametrize(
    "path", [1, 0, True, 1.0, None, [], ["a"], io.StringIO(), np.int64(1), Path9(), bytearray(b"a")]
)
@pytest.mark.parametrize("taker", TAKERS)
def test_what_is_no_path(taker, path):
    with pytest.raises(TypeError, match="path: expected a path, got "):
        TAKERS[taker](path)


@pytest.mark.parametrize("path", ["", "a\0b", b"", b"a\0b", os.fspath(Path("a\0"))])
@pytest.mark.parametrize("taker", TAKERS)
def test_paths_of_no_file(tmp_path, monkeypatch, taker, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="path: expected the path of a file, got "):
        TAKERS[taker](path)
    assert os.listdir(tmp_path) == []


def test_the_number_of_an_open_file_is_not_closed():
    code = "import fnnfast\ntry: fnnfast.load(1)\nexcept TypeError: print('still open')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "still open\n")


class Disguised:
    """A path-like of bytes."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return os.fsencode(self.path)


@pytest.mark.parametrize("form", [str, Path, os.fsencode, Disguised])
@pytest.mark.parametrize("writer", ["Sequential.save", "bfloat16", "int8", "Checkpoint"])
def test_all_forms_of_a_path(tmp_path, writer, form):
    WRITERS[writer](form(str(tmp_path / "file")))
    assert os.listdir(tmp_path) == ["file"]
    if writer != "Checkpoint":
        assert fnn.load(form(str(tmp_path / "file"))).outputs == 2


# Forged checkpoints --------------------------------------------------------------------------------------------------
def forge(path, edit):
    """A checkpoint of two epochs, changed as by someone who keeps to the format."""
    train(path, 2, callbacks=[fnn.EarlyStopping(9), fnn.EarlyStopping(8)], optimizer=fnn.SGD(0.1, momentum=0.5))
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    values = json.loads(metadata["run"])
    values = edit(values, tensors) or values
    text = values if isinstance(values, str) else json.dumps(values)
    metadata |= {"run": text, "sha256": file_format.digest(text, tensors)}
    try:
        safetensors.numpy.save_file(tensors, path, metadata)
    except safetensors.SafetensorError as error:
        if "complex64" not in str(error):
            raise
        pytest.skip("this safetensors has no complex numbers")


def put(*keys, to):
    """Replace a value; without ``to``'s keys there, add it."""

    def edit(values, tensors):
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = to

    return edit


def drop(*keys):
    def edit(values, tensors):
        for key in keys[:-1]:
            values = values[key]
        del values[keys[-1]]

    return edit


def tensor(name, to):
    def edit(values, tensors):
        if to is None:
            del tensors[name]
        else:
            tensors[name] = to

    return edit


STOPPING = ("callbacks", "EarlyStopping_2")
WEIGHT = np.zeros((2, 3), np.float32)
FORGED = {
    "a list": lambda values, tensors: [1],
    "no JSON": lambda values, tensors: "{",
    "nested": lambda values, tensors: "[" * 100_000,
    **{f"no {name}": drop(name) for name in ("epochs", "seed", "identity", "learning_rate", "random", "history")},
    "no callbacks": drop("callbacks"),
    "epochs -5": put("epochs", to=-5),
    "epochs true": put("epochs", to=True),
    "epochs text": put("epochs", to="2"),
    "epochs 2.0": put("epochs", to=2.0),
    "epochs 1": put("epochs", to=1),
    "epochs 10**400": put("epochs", to=10**400),
    "seed text": put("seed", to="3"),
    "seed -1": put("seed", to=-1),
    "seed list": put("seed", to=[1]),
    "rate text": put("learning_rate", to="1"),
    "rate NaN": put("learning_rate", to=float("nan")),
    "rate -1": put("learning_rate", to=-1.0),
    "identity number": put("identity", to=3),
    "identity list": put("identity", to="[]"),
    "identity no JSON": put("identity", to="{"),
    "random none": put("random", to=None),
    "random empty": put("random", to={}),
    "random other": put("random", "bit_generator", to="MT19937"),
    "random state": put("random", "state", to=3),
    "random state text": put("random", "state", "state", to="x"),
    "random state large": put("random", "state", "state", to=2**200),
    "history list": put("history", to=[]),
    "history without loss": drop("history", "loss"),
    "history loss text": put("history", "loss", to="ab"),
    "history loss of texts": put("history", "loss", to=["a", "b"]),
    "history loss long": put("history", "loss", to=[1.0] * 3),
    "history dead list": put("history", "dead", to=[]),
    "history dead text": put("history", "dead", to={"dense_1": "ab"}),
    "history stopped": put("history", "stopped", to=3),
    "callbacks list": put("callbacks", to=[]),
    "stopping none": put(*STOPPING, to=None),
    "stopping empty": put(*STOPPING, to={}),
    "stopping epoch": put(*STOPPING, "best_epoch", to="1"),
    "stopping epoch -1": put(*STOPPING, "best_epoch", to=-1),
    "stopping loss": put(*STOPPING, "best_loss", to=None),
    "stopping more": put(*STOPPING, "more", to=1),
    "weight missing": tensor("network.dense_2.weight", None),
    "weight more": tensor("network.dense_9.weight", WEIGHT),
    "weight turned": tensor("network.dense_1.weight", WEIGHT.T.copy()),
    "weight float64": tensor("network.dense_1.weight", WEIGHT.astype(np.float64)),
    "weight ints": tensor("network.dense_1.weight", WEIGHT.astype(np.int32)),
    "weight complex": tensor("network.dense_1.weight", WEIGHT.astype(np.complex64)),
    "moment missing": tensor("optimizer.first.dense_2.bias", None),
    "moment turned": tensor("optimizer.first.dense_1.weight", WEIGHT.T.copy()),
    "moment float64": tensor("optimizer.first.dense_1.weight", WEIGHT.astype(np.float64)),
    "moment more": tensor("optimizer.second.dense_1.weight", WEIGHT),
    "steps missing": tensor("optimizer.steps", None),
    "steps -1": tensor("optimizer.steps", np.array(-1)),
    "steps float": tensor("optimizer.steps", np.array(1.5)),
    "steps many": tensor("optimizer.steps", np.array([1, 2])),
    "best turned": tensor("callback.EarlyStopping_2.dense_1.weight", WEIGHT.T.copy()),
    "best missing": tensor("callback.EarlyStopping_2.dense_1.weight", None),
    "best complex": tensor("callback.EarlyStopping_2.dense_1.weight", WEIGHT.astype(np.complex64)),
    "a tensor of nobody": tensor("more", WEIGHT),
}


def resume(path, net, seed):
    """Go on with the forged run."""
    callbacks = [fnn.EarlyStopping(9), fnn.EarlyStopping(8)]
    optimizer = fnn.SGD(0.1, momentum=0.5)
    net.fit(X, Y, epochs=5, seed=seed, checkpoint=path, callbacks=callbacks, optimizer=optimizer)


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("what", FORGED)
def test_forged_checkpoints(tmp_path, what, seed):
    """Refused as a whole before anything is changed, by early stopping at the end neither."""
    path = tmp_path / "run"
    forge(path, FORGED[what])
    net, content = network(seed=7), path.read_bytes()
    before = dict(net.parameters)
    with pytest.raises(ValueError, match="holds no fnnfast checkpoint: ") as caught:
        resume(path, net, seed)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000 + len(str(path))
    assert path.read_bytes() == content
    for name, values in before.items():
        assert_same_bits(net.parameters[name], values)


def test_a_forgery_that_changes_nothing_is_taken(tmp_path):
    """Or the tests above would prove nothing; and what is merely additional is."""
    for edit in (lambda values, tensors: None, put("history", "mine", to=[1, 2, 3]), put("more", to=1)):
        path = tmp_path / "run"
        forge(path, edit)
        resume(path, network(seed=7), 0)
        path.unlink()


# Few words -----------------------------------------------------------------------------------------------------------
LONG = "x" * 1_000_000


def long_network(tmp_path):
    """Files of the format of networks that would make a message long."""
    path = tmp_path / "file"
    net = network()
    net.save(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    architecture = json.loads(metadata["architecture"])

    def changed(edit):
        edited = json.loads(json.dumps(architecture))
        edit(edited["layers"])
        return json.dumps(edited)

    many = {f"t{i}": np.zeros(1, np.int8) for i in range(20_000)}
    deep = [{"kind": "dense", "units": 2, "activation": {"name": "relu"}}] * 20_000
    for change, more in [
        ({"format": LONG}, {}),
        ({"format_version": LONG}, {}),
        ({}, many),
        ({}, {LONG: np.zeros(1, np.int8)}),
        ({"architecture": changed(lambda layers: layers[1].update(kind=LONG))}, {}),
        ({"architecture": changed(lambda layers: layers[1].update({LONG: 1}))}, {}),
        ({"architecture": changed(lambda layers: layers[1].update(units=LONG))}, {}),
        ({"architecture": changed(lambda layers: layers[1].update(units=[1] * 500_000))}, {}),
        ({"architecture": changed(lambda layers: layers[1]["activation"].update(name=LONG))}, {}),
        ({"architecture": changed(lambda layers: layers[0].update(shape=[1] * 500_000))}, {}),
        ({"architecture": changed(lambda layers: layers.extend(deep))}, {}),
    ]:
        safetensors.numpy.save_file(tensors | more, path, metadata | change)
        yield path


def test_errors_about_files_stay_short(tmp_path):
    for path in long_network(tmp_path):
        with pytest.raises(ValueError, match="holds no fnnfast network: ") as caught:
            fnn.load(path)
        assert len(str(caught.value)) < 2000 + len(str(path))
        with pytest.raises(ValueError, match="holds no fnnfast checkpoint: ") as caught:
            train(path, 3)
        assert len(str(caught.value)) < 2000 + len(str(path))


CALLS = {
    "parameter": lambda net: net.parameters[LONG],
    "activation": lambda net: fnn.Dense(1, LONG),
    "activation's parameter": lambda net: fnn.activations.get("relu", **{LONG: 1}),
    "layer": lambda net: net.freeze(LONG),
    "layers": lambda net: fnn.Sequential([fnn.Input(2), LONG]),
    "many": lambda net: fnn.Sequential([1] * 1_000_000),
    "gradients": lambda net: fnn.Trainer(net).apply({LONG: 1}),
    "many gradients": lambda net: fnn.Trainer(net).apply({str(i): 1 for i in range(100_000)}),
    "state": lambda net: fnn.Trainer(net).set_state({LONG: 1}),
    "many states": lambda net: fnn.Trainer(net).set_state({str(i): 1 for i in range(100_000)}),
    "optimizer": lambda net: net.fit(X, Y, optimizer=LONG),
    "callbacks": lambda net: net.fit(X, Y, callbacks=[1] * 1_000_000),
    "dtype": lambda net: fnn.Sequential(net.layers, dtype=LONG),
    "device": lambda net: net.to(LONG),
    "betas": lambda net: fnn.Adam(betas=[1] * 1_000_000),
    "path": lambda net: net.save([1] * 1_000_000),
    "shape": lambda net: net(np.zeros((1,) * 60)),
    "networks": lambda net: fnn.Ensemble([1] * 1_000_000),
}


@pytest.mark.parametrize("call", CALLS)
def test_errors_stay_short(call):
    with pytest.raises((ValueError, TypeError, KeyError)) as caught:
        CALLS[call](network())
    assert len(str(caught.value)) < 2000


def test_short():
    assert _checks.short("a" * 300) == "a" * 300
    assert _checks.short("a" * 299 + "bc") == "a" * 200 + " ... " + "a" * 73 + "bc"
    assert len(_checks.short("a" * 10**6)) < 300
    assert _checks.listed("abc") == "a, b, c"
    assert _checks.listed(range(11)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (11 in all)"
