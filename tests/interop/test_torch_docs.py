"""The snippets of docs/interop/torch.md run."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

PAGE = Path(__file__).parents[2] / "docs" / "interop" / "torch.md"


class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Linear(20, 3))


def test_snippets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(Net().state_dict(), "state.pt")
    names = {"Net": Net}
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 9
    for snippet in snippets:
        if "check=" in snippet:
            names["x"] = np.zeros((3, 28, 28), np.float32)
            names["y"] = names["module"](torch.zeros(3, 28, 28)).detach().numpy()
        if "fnn.load" in snippet:
            names["x"] = np.zeros((2, 20), np.float32)
        exec(snippet, names)
        if "print(module)" in snippet:
            assert repr(names["module"]) in PAGE.read_text(encoding="utf-8")
            names["module"] = Net()
