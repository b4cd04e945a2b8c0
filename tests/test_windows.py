"""What the Python code does where only POSIX has something: Windows, as far as Linux can tell."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import fnnfast as fnn
from fnnfast._cli import bench

MODULES = "fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"
NAMES = (
    "fchmod fchown fork getegid geteuid getgid getloadavg getuid killpg mkfifo nice sched_getaffinity setsid sysconf"
)

USE = f"""
import os, sys
import numpy as np
import safetensors.numpy
for name in {MODULES!r}:
    sys.modules[name] = None
for name in {NAMES.split()!r}:
    if hasattr(os, name):
        delattr(os, name)

import fnnfast as fnn
from fnnfast import __main__
for name in fnn.__all__:
    getattr(fnn, name)
rng = np.random.default_rng(0)
x, y = rng.random((50, 3), np.float32), rng.integers(0, 2, 50).astype(np.int32)
net = fnn.Sequential([fnn.Input(3), fnn.Maxout(4, 2), fnn.Dense(2, "softmax")], seed=0)
for _ in range(2):
    net.save("net.fnn")
    net.fit(x, y, epochs=2, seed=0, checkpoint="fit.checkpoint", progress=False)
    assert fnn.load("net.fnn").layers == net.layers
assert __main__.main(["info", "--json"]) == 0
"""


def test_modules_of_posix_are_not_imported():
    package = Path(fnn.__file__).parent
    found = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(MODULES)}|posix)\b.*$", re.MULTILINE)
    assert [str(file) for file in package.rglob("*.py") if found.search(file.read_text(encoding="utf-8"))] == []


def test_use_without_them(tmp_path):
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"load_1min": null' in done.stdout


def test_bench_says_where_it_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert bench.run(argparse.Namespace(compare=None)) == 2
    assert "Linux and macOS" in capsys.readouterr().err
