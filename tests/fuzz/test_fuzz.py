"""Every target of the fuzzer on a few inputs, that it finds what it is to find, and a minute with atheris."""

import importlib.util
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
import fuzz_arguments
import fuzz_targets
from fuzz_source import FaultError, Source, numbers, same

COMMAND = Path(__file__).with_name("fuzz.py")
SECONDS = 60
"""Of all targets together."""
SLOW = {"keras_model", "torch_module", "torch_file", "keras_file"}

pytestmark = pytest.mark.filterwarnings("ignore")  # as in fuzz.py: models and random numbers warn of many things


@pytest.fixture(autouse=True)
def where_files_may_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = np.geterr()
    yield
    np.seterr(**before)


@pytest.mark.parametrize("target", fuzz_targets.TARGETS)
def test_a_few_inputs(target):
    fuzz_targets.prepare(target)
    inputs = [*fuzz_targets.seeds(target), *(random.Random(100 + i).randbytes(200) for i in range(40))]
    for data in inputs[:8] if target in SLOW else inputs:
        fuzz_targets.run(target, data)


def test_the_end_of_the_bytes():
    source = Source(b"\5")
    assert source.integer(0, 9) == 5
    assert source.integer(3, 9) == 3
    assert not source.one_in(2)
    assert source.choice("ab") == "a"
    assert source.rest() == b""


def test_every_dtype_and_form_is_drawn():
    drawn = [numbers(Source(random.Random(i).randbytes(99)), (3, 4)) for i in range(2000)]
    assert {value.array.dtype.kind for value in drawn} >= set("fiubV")
    assert {type(value.value).__name__ for value in drawn} >= {"ndarray", "list", "memoryview", "Convertible", "memmap"}
    assert {np.longdouble, np.float16} <= {value.array.dtype.type for value in drawn}
    assert any(not value.array.flags.writeable for value in drawn)
    assert any(min(value.array.strides) < 0 for value in drawn)
    assert any(0 in value.array.strides for value in drawn)
    assert any(value.array.dtype.byteorder == ">" for value in drawn)
    assert any(not np.isfinite(value.array.astype(float)).all() for value in drawn)


def faults(monkeypatch, owner, name, wrong, target, count=300):
    """How many of some inputs show that a function is wrong."""
    monkeypatch.setattr(owner, name, wrong(getattr(owner, name)))
    found = 0
    for i in range(count):
        try:
            fuzz_targets.run(target, random.Random(i).randbytes(200))
        except FaultError:
            found += 1
    return found


def off_by_one_bit(function):
    def call(*arguments, **options):
        y = function(*arguments, **options)
        x = next(iter(options.values()), None)
        if isinstance(x, np.ndarray) and not x.flags.c_contiguous and y.size:
            y = y.copy()
            y.reshape(-1)[-1] = np.nextafter(y.reshape(-1)[-1], np.inf)
        return y

    return call


def changes_its_input(function):
    def call(x, *arguments, **options):
        y = function(x, *arguments, **options)
        if isinstance(x, np.ndarray) and x.size and x.flags.writeable and x.dtype.kind == "f":
            x.reshape(-1)[0] = 12345.0
        return y

    return call


def raises_another_error(function):
    def call(*arguments, **options):
        if np.ndim(options["x"]) == 1:
            raise IndexError("list index out of range")
        return function(*arguments, **options)

    return call


def wrong_numbers(function):
    return lambda *arguments, **options: function(*arguments, **options) * np.float32(1.5)


@pytest.mark.parametrize("wrong", [off_by_one_bit, changes_its_input, wrong_numbers])
def test_a_wrong_function_is_found(monkeypatch, wrong):
    assert faults(monkeypatch, fnn, "dense", wrong, "dense") > 0


def test_another_error_is_found(monkeypatch):
    with pytest.raises(IndexError):
        faults(monkeypatch, fnn, "dense", raises_another_error, "dense")


def test_the_sign_of_zero_counts_and_that_of_nan_does_not():
    with pytest.raises(FaultError):
        same(np.array([0.0]), np.array([-0.0]), "zeros")
    same(np.array([np.nan]), -np.array([np.nan]), "NaN")


def test_the_arguments_of_every_public_function():
    assert {
        "dense",
        "conv2d",
        "maxout",
        "Sequential.fit",
        "Trainer.step",
        "Trainer.epoch",
    } <= fuzz_arguments.documented()
    assert len(fuzz_arguments.documented()) > 80


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(SECONDS * 10)
def test_a_minute_of_fuzzing(tmp_path):
    """Each target for its share of a minute, guided by coverage."""
    if not importlib.util.find_spec("atheris"):
        pytest.skip("needs atheris, the extra fuzz")
    share = max(1, SECONDS // len(fuzz_targets.TARGETS))
    for number, target in enumerate(fuzz_targets.TARGETS):
        command = [sys.executable, COMMAND, target, "--seconds", share, "--seed", number + 1]
        done = subprocess.run(
            [*map(str, command), "--corpus", tmp_path / target],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{target}: {done.stdout[-1000:]}{done.stderr[-6000:]}"
        assert re.search(r"Done \d+ runs", done.stderr), target
