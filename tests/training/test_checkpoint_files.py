"""Files of checkpoints: of another run, damaged, foreign, and where they may be."""

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fnnfast as fnn
from checkpoint_run import assert_same_runs, data, network, run
from oracles import assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore::fnnfast.DeadUnitsWarning")


# Another run ---------------------------------------------------------------------------------------------------------
def altered(x, how):
    x = x.copy()
    how(x)
    return x


X, Y = data()
OTHERS = {
    "batch_size": {"batch_size": 9},
    "clip_norm": {"clip_norm": 0.25},
    "l2": {"l2": 0.02},
    "loss": {"loss": fnn.MulticlassHinge()},
    "network": {"layers": [fnn.Input(5), fnn.Dense(3)]},
    "optimizer": {"optimizer": fnn.Adam(0.03)},
    "schedule": {"schedule": fnn.Warmup(3, fnn.StepDecay(9))},
    "seed": {"seed": 1},
    "frozen": {"freeze": ["dense_1"]},
    "data": {"x": altered(X, lambda x: x.__setitem__((149, 4), np.nextafter(x[149, 4], np.float32(9))))},
    "data: labels": {"y": altered(Y, lambda y: y.__setitem__(3, (y[3] + 1) % 3))},
    "data: rows": {"x": X[:-1], "y": Y[:-1]},
    "data: weights": {"sample_weight": np.arange(150)},
    "data: classes": {"class_weight": {1: 2.0}},
    "validation: share": {"validation": 0.3},
    "validation: given": {"validation": (X[:20], Y[:20])},
    "validation: none": {"validation": None},
    "l2, optimizer": {"optimizer": "sgd", "l2": 0.0},
    "no schedule": {"schedule": None},
}


def other_run(path, changes):
    """A run like that of the table but for the changes."""
    settings = {
        "loss": fnn.CrossEntropy(),
        "optimizer": fnn.Adam(0.02),
        "epochs": 2,
        "batch_size": 10,
        "validation": 0.2,
        "schedule": fnn.Warmup(3, fnn.StepDecay(8)),
        "l2": 0.01,
        "clip_norm": 0.5,
        "seed": 0,
        **changes,
    }
    layers = settings.pop("layers", [fnn.Input(5), fnn.Dense(4, "tanh"), fnn.Dense(3)])
    net = fnn.Sequential(layers, dtype="float64", seed=0)
    if frozen := settings.pop("freeze", None):
        net.freeze(*frozen)
    before = dict(net.parameters)
    x, y = settings.pop("x", X), settings.pop("y", Y)
    return net, before, lambda: net.fit(x, y, checkpoint=path, **settings)


@pytest.mark.parametrize("what", OTHERS)
def test_another_run_is_refused(tmp_path, what):
    """It says what differs; neither the file nor the network is touched."""
    path = tmp_path / "run"
    other_run(path, {})[2]()
    other_run(path, {})[2]()  # the same run is not another
    content_before = path.read_bytes()
    net, before, fit = other_run(path, OTHERS[what])
    differs = {"no schedule": "schedule", "l2, optimizer": "optimizer, l2"}.get(what, what.partition(":")[0])
    with pytest.raises(
        ValueError, match=rf"checkpoint: expected the same run as in '.*run', got another {differs}; rem"
    ):
        fit()
    assert path.read_bytes() == content_before
    assert os.listdir(tmp_path) == ["run"]
    for name, values in before.items():
        assert_same_bits(net.parameters[name], values)


SAME = {
    "numbers that are equal": ({"l2": 1, "clip_norm": 2}, {"l2": 1.0, "clip_norm": np.float64(2)}),
    "numbers of NumPy": (
        {"l2": np.float32(0.5), "batch_size": np.int64(10)},
        {"l2": 0.5, "clip_norm": np.float32(0.5)},
    ),
    "a name for its object": ({"optimizer": "adam"}, {"optimizer": fnn.Adam()}),
    "the loss of the head": ({"loss": None}, {"loss": fnn.MeanSquaredError(), "y": np.eye(3)[Y]}),
    "a function": ({"schedule": lambda epoch: 1.0}, {"schedule": lambda epoch: 1.0}),
    "a function in a schedule": (
        {"schedule": fnn.Warmup(2, lambda epoch: 1.0)},
        {"schedule": fnn.Warmup(2, lambda epoch: 1.0)},
    ),
    "one-hot labels": ({}, {"y": np.eye(3)[Y]}),
    "another layout": ({}, {"x": np.asfortranarray(X)}),
    "more epochs": ({}, {"epochs": 3}),
    "another callback": ({"callbacks": [fnn.EarlyStopping()]}, {"callbacks": []}),
    "shown": ({}, {"progress": False}),
}


@pytest.mark.parametrize("what", SAME)
def test_the_same_run_in_other_words(tmp_path, what):
    first, second = SAME[what]
    if what == "the loss of the head":
        first = {**first, "y": np.eye(3)[Y]}
    path = tmp_path / "run"
    other_run(path, first)[2]()
    history = other_run(path, {**first, **second})[2]()
    assert len(history.loss) == second.get("epochs", 2)


# Invalid files -------------------------------------------------------------------------------------------------------
def assert_refused(path, message="holds no fnnfast checkpoint"):
    before = path.read_bytes()
    net = network()
    parameters = dict(net.parameters)
    with pytest.raises(ValueError, match=message) as caught:
        run("decay", 3, path, net=net)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    for name, values in parameters.items():
        assert_same_bits(net.parameters[name], values)


def test_damaged_files(tmp_path):
    path = tmp_path / "run"
    run("decay", 2, path)
    whole = path.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    for length in (0, 1, 7, 8, 20, header, header + 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_refused(path)
    path.write_bytes(whole + b"\0")
    assert_refused(path)
    rng = np.random.default_rng(0)
    for place in (*range(9), *rng.integers(8, header, 40), *rng.integers(header + 8, len(whole), 20)):
        broken = bytearray(whole)
        broken[place] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        assert_refused(path)
    path.write_bytes(whole)
    assert_same_runs(run("decay", 4, path), run("decay", 4))


def test_foreign_files(tmp_path):
    path = tmp_path / "file"
    network().save(path)
    assert_refused(path, r"format: expected 'fnnfast checkpoint', got 'fnnfast'")
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    assert_refused(path, r"format: expected 'fnnfast checkpoint', got None")
    path.write_text("loss 0.5\n")
    assert_refused(path)
    path.write_bytes(b"")
    assert_refused(path)


def test_a_later_format(tmp_path):
    path = tmp_path / "run"
    run("decay", 1, path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = {**file.metadata(), "format_version": "2"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    safetensors.numpy.save_file(tensors, path, metadata)
    assert_refused(path, "format_version: expected '1', got '2'")


def test_a_checkpoint_is_no_network(tmp_path):
    run("decay", 1, tmp_path / "run")
    with pytest.raises(ValueError, match="format: expected 'fnnfast', got 'fnnfast checkpoint'"):
        fnn.load(tmp_path / "run")


def test_what_an_earlier_process_left(tmp_path):
    """A temporary file of any kind is no hindrance."""
    path = tmp_path / "run"
    (tmp_path / "run.tmp").write_bytes(b"half a ")
    assert_same_runs(run("decay", 2, path), run("decay", 2))
    assert os.listdir(tmp_path) == ["run"]


# Paths ---------------------------------------------------------------------------------------------------------------
def test_forms_of_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, checkpoint in enumerate(("a", Path("b"), tmp_path / "c", fnn.Checkpoint("d"), fnn.Checkpoint(Path("e"), 2))):
        network().fit(*data(), epochs=1, checkpoint=checkpoint)
        assert len(os.listdir(tmp_path)) == i + 1


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    run("decay", 2, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_same_runs(run("decay", 3, tmp_path / "run"), run("decay", 3))


def test_nothing_is_written_for_bad_arguments(tmp_path):
    path = tmp_path / "run"
    for bad in (
        {"batch_size": 0},
        {"optimizer": "adamm"},
        {"schedule": 1.0},
        {"l2": -1.0},
        {"validation": 2.0},
        {"sample_weight": [1.0]},
        {"class_weight": {9: 1.0}},
        {"clip_norm": 0},
        {"seed": -1},
        {"loss": fnn.Hinge()},
    ):
        for saved in (False, True):
            if saved:
                run("decay", 1, path)
            before = path.read_bytes() if saved else None
            with pytest.raises((ValueError, TypeError), match="expected"):
                run("decay", 2, path, **bad)
            assert os.listdir(tmp_path) == (["run"] if saved else [])
            if saved:
                assert path.read_bytes() == before
                path.unlink()


@pytest.mark.parametrize("checkpoint", [3, True, ["run"], b"run"])
def test_invalid_checkpoints(checkpoint):
    with pytest.raises(TypeError, match=r"checkpoint: expected a path or a Checkpoint, got "):
        network().fit(*data(), checkpoint=checkpoint)


def test_bad_checkpoints(tmp_path):
    with pytest.raises(ValueError, match="every: expected an integer >= 1, got 0"):
        fnn.Checkpoint("run", every=0)
    with pytest.raises(TypeError, match=r"every: expected an integer >= 1, got 1\.5"):
        fnn.Checkpoint("run", every=1.5)
    net, heard = network(), []
    for path in (tmp_path / "none" / "run", tmp_path):
        with pytest.raises(OSError, match=r"none|directory"):
            net.fit(*data(), checkpoint=path, callbacks=[lambda *told: heard.append(told)])
    assert not heard  # said before the first epoch, not after
    assert eval(repr(fnn.Checkpoint("run", 3)), vars(fnn)) == fnn.Checkpoint(Path("run"), every=3)
