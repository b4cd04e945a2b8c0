"""tools/fuzz_models.py: damaged model files are refused in words, and what is not is found."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "fuzz_models.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("fuzz_models", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_models"] = module  # its processes find it by this name
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fuzz_models"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["keras", "onnx", "torch"])
def test_some_seconds_of_damaged_files(tool, kind, monkeypatch):
    pytest.importorskip(tool.KINDS[kind][0])
    monkeypatch.syspath_prepend(str(TOOL.parent))  # for the processes
    outcomes, faults = tool.fuzz(kind, 6, 0)
    assert not faults
    assert outcomes["ConversionError"] > 20
    assert (outcomes["a network"] > 0) == (kind != "torch")  # whose state files hold no layers
