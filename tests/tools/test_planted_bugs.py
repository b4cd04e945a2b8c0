"""tools/plant_bugs.py: its entries find their places in the sources as they are, and it plants and judges."""

import dataclasses
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")  # where its processes find it, too
    yield import_module("plant_bugs")
    del sys.modules["plant_bugs"]


def test_every_bug_has_its_place(tool):
    """Whoever changes the code they are planted in mends the entries: python tools/plant_bugs.py --check."""
    assert tool.faults(tool.load()) == []


def test_entries_that_have_lost_their_place(tool, tmp_path):
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc/one.hpp").write_text("int one(int a) {\n  return a +\n      1;\n}\nint two = 2, more = 2;\n")
    (tmp_path / "csrc/two.hpp").write_text("int gone = 3;\n")
    (tmp_path / "tests/core").mkdir(parents=True)
    (tmp_path / "tests/core/test_sums.py").touch()
    bug = tool.Bug("sum", "csrc/one.hpp", "sums are wrong", "core/sums", "return a + 1;", "return PLANTED ? a : a + 1;")
    assert tool.faults([bug], tmp_path) == []
    changed = [
        dataclasses.replace(bug, id="twice", old="= 2"),
        dataclasses.replace(bug, id="gone", old="gone = 3"),
        dataclasses.replace(bug, id="nowhere", file="csrc/three.hpp", old="nothing"),
        dataclasses.replace(bug, id="untested", old="a)", tests="core/sums core/products"),
        dataclasses.replace(bug, id="beside", old="+ 1; }"),
    ]
    assert tool.faults([bug, *changed], tmp_path) == [
        "twice: its old text is found 2 times in csrc/one.hpp",
        "gone: its old text is found not in csrc/one.hpp; it is in csrc/two.hpp",
        "nowhere: its old text is found not: no such file in csrc/three.hpp",
        "sum and beside: their old texts overlap in csrc/one.hpp",
        "untested: there is no tests/core/test_products.py",
    ]


@pytest.mark.slow
def test_a_bug_of_the_python_sources(tool, tmp_path):
    """Planted in a copy, noticed by a test, and not by one that it does not concern."""
    bug = tool.Bug("epochs", "python/fnnfast/training/_history.py", "", "own", "epochs = len(self.loss)", "epochs = 7")
    assert tool.faults([dataclasses.replace(bug, tests="")]) == []
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_own.py").write_text(
        "import fnnfast as fnn\ndef test_loss():\n    assert fnn.History().loss == []\n"
    )
    (folder / "test_repr.py").write_text(
        "import fnnfast as fnn\ndef test_repr():\n    assert '0 epochs' in repr(fnn.History())\n"
    )
    from fnnfast import _cpu

    for quick, noticed in ((True, ""), (False, "test_repr.py::test_repr")):
        tests = tool.Tests(folder, Path(_cpu.__file__), quick)
        outcome = tests.judge(bug)
        assert outcome.noticed == noticed
    tests.require_success([bug])
    assert "epochs = len(self.loss)" in (ROOT / bug.file).read_text()
    assert tool.table([outcome]).endswith("1 of   1 noticed: 100.0%")
