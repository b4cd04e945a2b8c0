"""``python -m fnnfast certify``: that it finds the errors there are, and no others."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fnnfast import _cpu
from fnnfast.__main__ import main

pytest.importorskip("mpmath", reason="mpmath is not installed (extra certify)")

from fnnfast._certify import sweep
from fnnfast._certify.exact import Formulas
from fnnfast._certify.sweep import Case, measure

EVERY = 1 << 15


@pytest.fixture(scope="module")
def formulas() -> Formulas:
    return Formulas()


def test_a_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "certificate.json"
    assert main(["certify", "--activation", "tanh,relu,step", "--sample", "20000", "--json", str(path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.endswith("same")]
    assert [line[0].rstrip(",") for line in lines] == ["tanh", "tanh", "relu", "step"]
    found = json.loads(path.read_text())
    assert found["machine"]["isa"] == _cpu.isa()
    assert len(found["results"]) == 7
    tanh, slope, accurate, _, relu, *_ = found["results"]
    assert (tanh["activation"], tanh["derivative"], tanh["accurate"], tanh["wrong"]) == ("tanh", False, False, "")
    assert 0.5 < tanh["largest_ulp"] <= 0.9
    assert 1 < slope["largest_ulp"] < 5
    assert 0.499 < accurate["largest_ulp"] <= 0.5001
    assert accurate["correctly_rounded"] > 0.9999
    assert (relu["largest_ulp"], relu["correctly_rounded"]) == (0, 1)
    assert abs(tanh["tested"] - 20000) < 200


@pytest.mark.parametrize("name", Formulas().value)
def test_float32(name: str, formulas: Formulas) -> None:
    """No more than the documented errors; for derivatives, which may cross zero, in eps."""
    for accurate in (False, True):
        found = measure(Case(name, accurate=accurate), every=EVERY, formulas=formulas)
        assert found.wrong == ""
        assert found.largest <= (0.5001 if accurate and not _is_exact(name) else 3.5)
        assert found.reference < 1e-7
        if name in formulas.derivative:
            slope = measure(Case(name, True, accurate), every=EVERY, formulas=formulas)
            assert slope.wrong == ""
            assert slope.absolute <= (0.5001 if accurate and not _is_exact(name) else 2)


def _is_exact(name: str) -> bool:
    return next(info["exact"] for info in _cpu.activations() if info["name"] == name)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "hard_sigmoid", "gelu"])
def test_float64(name: str, formulas: Formulas) -> None:
    """In extended precision where that can be had, else by mpmath alone."""
    found = measure(Case(name, dtype="float64"), count=400_000 if name == "gelu" else 30_000, formulas=formulas)
    assert found.tested > (3900 if name == "gelu" else 29_000)
    assert found.wrong == ""
    assert 0.4 < found.largest < 3
    assert found.reference < 0.01


@pytest.mark.parametrize("name", ["tanh", "relu", "exponential", "gelu"])
def test_blocks_of_one_exponent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast way says what the other one says, also of results that are off."""
    taken = 0
    for case in (Case(name), Case(name, True), Case(name, accurate=True)):
        kernel, exact = case.kernel("float32", case.accurate), case.kernel("float64")
        for first in range(0, 1 << 32, (1 << 32) // 41):
            z = sweep.float32_values(first, 1 << 12, 1)
            got = kernel(z)
            for off in (0, 1, -3, np.nan):
                got[77] += off * np.spacing(got[77])
                found = sweep._of_one_exponent(z, got, exact(z))
                taken += found is not None
                with monkeypatch.context() as patch:
                    patch.setattr(sweep, "_of_one_exponent", lambda *arguments: None)
                    assert found in (None, sweep._float32_errors(z, got, exact(z)))
    assert taken > 150


def test_extended_precision_of_any_exponent(formulas: Formulas) -> None:
    """Those of mpmath are unlimited: gelu of -1e300 has one of 2000 bits."""
    tiny = formulas.at("gelu", False, -1e300, 1.0)
    assert formulas.longdouble(tiny) == 0
    assert np.signbit(formulas.longdouble(tiny))
    assert formulas.longdouble(formulas.at("exponential", False, 1e9, 1.0)) == np.inf


def test_an_error_is_found(formulas: Formulas) -> None:
    """Of the size that it has, in a single float."""
    kernel, place = Case("tanh").kernel("float32"), sweep.float32_values(0x3F000000, 1, EVERY)[0]

    def off(z: np.ndarray) -> np.ndarray:
        y = kernel(z)
        return np.where(z == place, y + 7 * np.spacing(y), y)

    found = measure(Case("tanh"), off, every=EVERY, formulas=formulas)
    assert found.at == place
    assert 6.4 < found.largest < 7.6


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda z, y: np.where(np.isnan(z), np.float32(0), y), "0.0 instead of nan"),
        (lambda z, y: np.where(z == np.inf, np.float32(np.nan), y), "nan instead of inf at z = inf"),
        (lambda z, y: np.where(z > 3e38, np.float32(np.inf), y), "inf instead of 3.0"),
        (lambda z, y: np.where(y == 0, np.abs(y), y), "0.0 instead of -0.0"),
    ],
    ids=["nan", "infinity", "overflow", "sign of zero"],
)
def test_what_is_no_rounding_error(wrong, words: str, formulas: Formulas) -> None:
    kernel = Case("swish").kernel("float32")
    found = measure(Case("swish"), lambda z: wrong(z, kernel(z)), every=1 << 13, formulas=formulas)
    assert found.wrong.startswith(words) or (found.largest == np.inf and words.startswith("inf"))


def test_other_bits_are_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if len(_cpu.isas()) < 2:
        pytest.skip("this CPU has one instruction set")
    before = _cpu.isa(), _cpu.get_num_threads()
    monkeypatch.setattr(sweep, "bits", lambda *arguments, **options: _cpu.isa())
    assert main(["certify", "--activation", "relu", "--sample", "1000"]) == 1
    assert "the bits depend on the instruction set" in capsys.readouterr().out
    assert (_cpu.isa(), _cpu.get_num_threads()) == before


def test_float64_has_one_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", "--activation", "tanh", "--dtype", "float64", "--sample", "20000"]) == 0
    assert capsys.readouterr().out.count("tanh") == 1


def test_bad_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", "--activation", "tanhh"]) == 2
    assert "'tanh'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "mpmath", None)
    assert main(["certify"]) == 2
    assert "pip install 'fnnfast[certify]'" in capsys.readouterr().err
