"""Training runs on disk: whatever ends a run, it goes on from its checkpoint to the bits of one that nothing ended."""

import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors

import checkpoint_run
import fnnfast as fnn
from checkpoint_run import CASES, assert_same_runs, data, network, run
from fnnfast import _cpu
from fnnfast._network import file_format
from fnnfast.training import _progress, _trainer
from oracles import assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore::fnnfast.DeadUnitsWarning")


def content(path):
    """What a file says of its run."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["run"])


def epochs_in(path):
    return content(path)["epochs"]


# Killed --------------------------------------------------------------------------------------------------------------
def killed(path, case, where, after=None):
    """Run in another process, until it is killed."""
    command = [sys.executable, checkpoint_run.__file__, path, case, where]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        if after is not None:
            time.sleep(after)
            process.kill()
    assert process.returncode == -9


def assert_resumes(path, case):
    """For some more epochs, in two goes, to the run that was never interrupted."""
    done = epochs_in(path) if os.path.exists(path) else 0
    run(case, done + 1, path)
    assert_same_runs(run(case, done + 3, path), run(case, done + 3))
    return done


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("where", "done"), [("half written", 2), ("written", 2), ("renamed", 3)])
def test_killed_while_it_saves(tmp_path, where, done):
    """What was begun is left beside the file, which is the last whole one, and overwritten by the next save."""
    path = tmp_path / "run"
    killed(path, "all at once", where)
    assert sorted(os.listdir(tmp_path)) == (["run"] if where == "renamed" else ["run", "run.tmp"])
    assert assert_resumes(path, "all at once") == done
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_moment(tmp_path, case):
    killed(tmp_path / "run", case, "anywhere", after=random.Random(case).uniform(0, 0.1))
    assert_resumes(tmp_path / "run", case)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("moment", range(20))
def test_killed_at_many_moments(tmp_path, moment):
    case = list(CASES)[moment % len(CASES)]
    for _ in range(2):  # killed, resumed and killed again
        killed(tmp_path / "run", case, "anywhere", after=random.Random().uniform(0, 0.3))
    assert_resumes(tmp_path / "run", case)


# Resumed -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", CASES)
def test_one_epoch_at_a_time(tmp_path, case):
    """Extending a finished run, again and again, is the long run, early stopping's best parameters included."""
    for epochs in (1, 2, 5, 6):
        got = run(case, epochs, tmp_path / "run")
        assert_same_runs(got, run(case, epochs))


@pytest.mark.parametrize(("epochs", "saves"), [(7, [3, 6, 7]), (6, [3, 6]), (2, [2])])
def test_every_third_epoch_and_the_last(tmp_path, monkeypatch, epochs, saves):
    saved, replace = [], file_format.replace

    def note(path, *arguments):
        replace(path, *arguments)
        saved.append(epochs_in(path))

    monkeypatch.setattr(file_format, "replace", note)
    run("momentum", epochs, tmp_path / "run", every=3)
    assert saved == saves


def test_a_run_without_a_seed(tmp_path):
    """What it drew is in the file: it goes on by itself, and could be begun anew."""
    path = tmp_path / "run"
    run("all at once", 2, path, seed=None)
    seed = content(path)["seed"]
    resumed = run("all at once", 4, path, seed=None)
    assert_same_runs(resumed, run("all at once", 4, seed=seed))
    run("all at once", 2, tmp_path / "other", seed=None)
    assert content(tmp_path / "other")["seed"] != seed


def test_a_finished_run_returns_at_once(tmp_path):
    path, expected = tmp_path / "run", run("all at once", 4)
    run("all at once", 4, path)
    before, heard = path.read_bytes(), []
    for epochs in (4, 3, 0):
        assert_same_runs(run("all at once", epochs, path, callbacks=[lambda *told: heard.append(told)]), expected)
    assert not heard
    assert path.read_bytes() == before


def test_a_run_that_was_stopped_early_stays_so(tmp_path):
    path, options = tmp_path / "run", {"patience": 1, "optimizer": fnn.SGD(0.0001)}
    stops = [lambda epoch, history: epoch == 2]
    expected = run("all at once", 9, callbacks=stops, **options)
    assert expected[1].stopped == "early"
    first = run("all at once", 9, path, callbacks=stops, **options)
    assert_same_runs(first, expected)
    assert_same_runs(run("all at once", 9, path, callbacks=stops, **options), expected)


def test_early_stopping_counts_on(tmp_path):
    """Its patience, its best epoch and the parameters of that epoch, whatever happens in between."""

    class Scripted:
        def __call__(self, epoch, history):
            history.validation_loss[-1] = [5.0, 3.0, 4.0, 4.0, 4.0, 4.0][epoch]

    def once(epochs, path, stopping):
        return run("all at once", epochs, path, callbacks=[Scripted(), stopping], patience=None)

    stopping = fnn.EarlyStopping(3)
    expected = once(6, None, stopping)
    assert (len(expected[1].loss), expected[1].stopped, stopping.best_epoch) == (5, "early", 1)
    for interrupted in (1, 2, 3, 4):
        path = tmp_path / f"run{interrupted}"
        once(interrupted, path, fnn.EarlyStopping(3))
        stopping = fnn.EarlyStopping(3)
        assert_same_runs(once(6, path, stopping), expected)
        assert stopping.best_epoch == 1


def test_the_network_at_the_start_is_not_asked(tmp_path):
    """Its parameters come from the file: the seed of the network is no part of a run."""
    path = tmp_path / "run"
    run("decay", 2, path)
    assert_same_runs(run("decay", 4, path, net=network(seed=9)), run("decay", 4))


def test_frozen_layers(tmp_path):
    def once(epochs, path):
        net = network()
        net.freeze("residual_1", "dense_1")
        return run("decay", epochs, path, net=net)

    once(2, tmp_path / "run")
    assert_same_runs(once(4, tmp_path / "run"), once(4, None))


def test_on_another_machine(tmp_path, machine_restored):
    """Another number of threads, another instruction set: the same bits of parameters and losses."""
    path = tmp_path / "run"
    _cpu.use_isa("scalar")
    fnn.set_num_threads(1)
    run("all at once", 2, path)
    _cpu.use_isa(_cpu.isas()[-1])
    fnn.set_num_threads(3)
    (net, history), (twin, expected) = run("all at once", 4, path), run("all at once", 4)
    assert (history.loss, history.validation_loss) == (expected.loss, expected.validation_loss)
    for name, values in net.parameters.items():
        assert_same_bits(values, twin.parameters[name])


def test_lines_of_a_run_that_goes_on(tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    run("decay", 2, tmp_path / "run")
    run("decay", 4, tmp_path / "run", progress=True)
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 3/4", "epoch 4/4"]


def test_the_bar_of_a_run_that_goes_on(tmp_path, capfd):
    pytest.importorskip("tqdm")
    run("decay", 2, tmp_path / "run")
    run("decay", 4, tmp_path / "run", progress=True)
    last = capfd.readouterr().err.rsplit("\r", 1)[-1]
    assert "epoch 4/4: 100%" in last


# Ctrl-C --------------------------------------------------------------------------------------------------------------
class Interrupting(_progress.Silent):
    """Ctrl-C after so many calls for steps: in the middle of an epoch."""

    def __init__(self, calls):
        self.calls = calls

    def steps(self, count):
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("calls", [0, 3, 14, 15, 40])
def test_ctrl_c_and_on(tmp_path, monkeypatch, calls):
    monkeypatch.setattr(_trainer, "_CALL", 1)  # a call for each of the 15 steps of an epoch
    path = tmp_path / "run"
    net = network()
    stopped = net.fit(
        *data(), epochs=4, validation=0.2, batch_size=8, seed=0, checkpoint=path, progress=Interrupting(calls)
    )
    assert (stopped.stopped, len(stopped.loss)) == ("interrupted", calls // 15)
    assert path.exists() == (calls >= 15)
    settings = {"epochs": 4, "validation": 0.2, "batch_size": 8, "seed": 0}
    other, twin = network(), network()
    resumed = other.fit(*data(), checkpoint=path, **settings), twin.fit(*data(), **settings)
    assert_same_runs((other, resumed[0]), (twin, resumed[1]))


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_ctrl_c_while_it_saves(tmp_path, monkeypatch, function):
    path, calls, whole = tmp_path / "run", 0, getattr(os, function)

    def interrupt(*arguments):
        nonlocal calls
        calls += 1
        if calls == {"fsync": 5, "replace": 3}[function]:  # the third file's; each file is synced, and its folder
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(os, function, interrupt)
    _, history = run("momentum", 6, path, every=1)
    assert (history.stopped, len(history.loss)) == ("interrupted", 3)
    assert os.listdir(tmp_path) == ["run"]
    assert epochs_in(path) == 2
    assert_same_runs(run("momentum", 6, path, every=1), run("momentum", 6))


def test_a_run_goes_on_in_the_same_network(tmp_path):
    """After Ctrl-C a network is in the middle of an epoch; the checkpoint is not."""
    path = tmp_path / "run"

    def stop(epoch, history):
        if epoch == 2:
            raise KeyboardInterrupt

    net, history = run("decay", 5, path, callbacks=[stop])
    assert (history.stopped, len(history.loss)) == ("interrupted", 3)
    assert_same_runs(run("decay", 5, path, net=net), run("decay", 5))


# Callbacks -----------------------------------------------------------------------------------------------------------
class Counting:
    """A callback that keeps a number and an array."""

    def __init__(self):
        self.count, self.sums = 0, np.zeros(2)

    def __call__(self, epoch, history):
        self.count += 1
        self.sums = self.sums + np.array([epoch, history.loss[-1]])

    def state(self):
        return {"count": self.count}, {"sums": self.sums}

    def set_state(self, values, arrays):
        self.count, self.sums = values["count"], arrays["sums"]


def test_callbacks_with_a_state(tmp_path):
    """Each kind by itself, in order: what is added to the list takes nobody's state."""
    path, first = tmp_path / "run", [Counting(), Counting()]
    run("decay", 2, path, callbacks=[first[0], lambda *_: None, first[1]])
    first[1].count = 0
    later = [Counting(), Counting(), Counting()]
    run("decay", 5, path, callbacks=[lambda *_: None, *later])
    assert [callback.count for callback in later] == [5, 5, 3]
    assert later[0].sums[0] == later[1].sums[0] == 0 + 1 + 2 + 3 + 4
    assert later[2].sums[0] == 2 + 3 + 4


def test_a_callback_that_was_not_there(tmp_path):
    path = tmp_path / "run"
    run("momentum", 2, path)
    stopping = fnn.EarlyStopping()
    run("momentum", 4, path, callbacks=[stopping])
    assert stopping.best_epoch in (2, 3)  # of those that it heard of
