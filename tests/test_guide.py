"""The code in the pages of the documentation runs as it is printed; each page is one session.

Blocks that need another package or a GPU are marked ``py`` instead of ``python``.
"""

import re
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [DOCS / "index.md", DOCS / "quickstart.md", *sorted((DOCS / "guide").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs(page, tmp_path, monkeypatch, capsys):
    """Printed comparisons are true: "True" is what the reader should see."""
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for code in BLOCK.findall(page.read_text()):
            exec(compile(code, str(page), "exec"), session)
    assert "False" not in capsys.readouterr().out
