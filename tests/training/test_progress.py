"""No failure of a progress display ends the training: every entry point, with streams of every kind."""

import io
import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.training import _progress

X = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def network():
    return fnn.Sequential([fnn.Input(3), fnn.Dense(4, "tanh"), fnn.Dense(2, "softmax")], seed=0)


def estimator(kind, **settings):
    sklearn = pytest.importorskip("fnnfast.sklearn")
    return getattr(sklearn, kind)(
        hidden_layer_sizes=(4,), max_iter=3, random_state=0, tol=0, n_iter_no_change=9, **settings
    )


# What trains; each gives the losses. A new one joins by a line.
ENTRIES = {
    "fit": lambda progress: network().fit(X, Y, epochs=3, seed=0, progress=progress).loss,
    "training.fit": lambda progress: fnn.training.fit(network(), X, Y, epochs=3, seed=0, progress=progress).loss,
    "fit_many": lambda progress: fnn.fit_many([network()], X, Y, epochs=3, seed=0, progress=progress)[0].loss,
    "FNNClassifier": lambda progress: estimator("FNNClassifier", progress=progress).fit(X, Y).loss_curve_,
    "FNNRegressor": lambda progress: estimator("FNNRegressor", progress=progress).fit(X, Y * 1.0).loss_curve_,
    "FNNRegressor lbfgs": lambda progress: (
        estimator("FNNRegressor", progress=progress, solver="lbfgs").fit(X, Y * 1.0).loss_curve_
    ),
    "FNNClassifier verbose": lambda progress: estimator("FNNClassifier", verbose=True).fit(X, Y).loss_curve_,
}


class WriteOnly:
    """Like a logger: it takes text, and is no file."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Gone(io.StringIO):
    """A terminal that was closed after so many lines."""

    def __init__(self, writes, terminal=True):
        super().__init__()
        self.writes, self.terminal = writes, terminal

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.writes -= 1
        if self.writes < 0:
            raise OSError(5, "Input/output error")
        return super().write(text)


class Ascii(io.TextIOWrapper):
    def __init__(self):
        super().__init__(io.BytesIO(), encoding="ascii", errors="strict")


class Broken:
    def __getattr__(self, name):
        raise RuntimeError(name)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


STREAMS = {
    "none": lambda: None,
    "no isatty": WriteOnly,
    "closed": closed,
    "gone at once": lambda: Gone(0),
    "gone later": lambda: Gone(3),
    "no terminal": lambda: Gone(0, terminal=False),
    "ascii": Ascii,
    "broken": Broken,
}


@pytest.mark.parametrize("tqdm", ["tqdm", "lines", "tqdm fails"])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("entry", ENTRIES)
def test_training_goes_on(monkeypatch, entry, stream, tqdm):
    """To the same losses as without, and nothing comes up when what is left of the bar is collected."""
    with warnings.catch_warnings(action="ignore"):
        expected = ENTRIES[entry](False)
    if tqdm == "lines":
        monkeypatch.setitem(sys.modules, "tqdm", None)
    if tqdm == "tqdm fails":
        module = pytest.importorskip("tqdm")
        monkeypatch.setattr(module, "tqdm", lambda **_: 1 / 0)
    for progress in (None, True):
        with monkeypatch.context() as streams, warnings.catch_warnings(action="ignore"):
            streams.setattr(sys, "stderr", STREAMS[stream]())
            streams.setattr(sys, "stdout", STREAMS[stream]())
            assert ENTRIES[entry](progress) == expected


def test_it_is_silent_once_it_failed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    stream = Gone(2)
    stream.failed = 0
    monkeypatch.setattr(sys, "stderr", stream)
    network().fit(X, Y, epochs=6, progress=True)
    assert stream.getvalue().count("epoch") == 1
    assert stream.writes == -1  # it was not tried again


def test_without_stderr_stdout_stays_clean(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", None)
    network().fit(X, Y, epochs=2, progress=True)
    assert capsys.readouterr().out == ""


def test_a_stream_without_isatty_is_written_to_when_asked(monkeypatch):
    pytest.importorskip("tqdm")
    stream = WriteOnly()
    monkeypatch.setattr(sys, "stderr", stream)
    network().fit(X, Y, epochs=2, progress=True)
    assert "epoch 2/2" in stream.text
    shown = stream.text
    network().fit(X, Y, epochs=2)
    assert stream.text == shown


def test_ctrl_c_still_ends_training():
    class Interrupted(_progress.Silent):
        def epoch(self, values):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _progress.Guarded(Interrupted()).epoch({})


@pytest.mark.parametrize("entry", ["fit", "FNNClassifier"])
def test_a_warning_that_cannot_be_written(monkeypatch, entry):
    """It is lost, and training is not; as an error it is one."""

    def train():
        if entry == "fit":
            return network().fit(X, Y, epochs=9, optimizer=fnn.SGD(1e38), seed=0)
        return estimator("FNNClassifier").fit(X, Y)

    category = fnn.DivergenceWarning if entry == "fit" else UserWarning
    with pytest.raises(category):
        train()
    with warnings.catch_warnings(action="always"), monkeypatch.context() as streams:
        warnings.showwarning = lambda *_: closed().write("")
        streams.setattr(sys, "stderr", closed())
        train()


def test_a_reader_of_the_command_line_that_goes_away():
    """As of ``python -m fnnfast info | head -1``: no traceback."""
    reading, writing = os.pipe()
    os.close(reading)  # before the first line, so that it never depends on who is faster
    done = subprocess.run(
        [sys.executable, "-u", "-m", "fnnfast", "info"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 141


# In a notebook -------------------------------------------------------------------------------------------------------
def in_a_shell(monkeypatch, application="IPKernelApp"):
    module = type(sys)("IPython")
    module.get_ipython = lambda: SimpleNamespace(config={application: {}})
    monkeypatch.setitem(sys.modules, "IPython", module)


def test_a_notebook_is_watched(monkeypatch, capsys):
    pytest.importorskip("tqdm")
    assert not _progress.is_watched()
    in_a_shell(monkeypatch)
    assert _progress.is_watched()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # without ipywidgets, tqdm would warn
        network().fit(X, Y, epochs=2, seed=0)
    captured = capsys.readouterr()
    assert "epoch 2/2" in captured.err + captured.out


def test_ipython_in_a_terminal_is_a_terminal(monkeypatch):
    in_a_shell(monkeypatch, "TerminalIPythonApp")
    assert not _progress.in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert not _progress.in_notebook()
