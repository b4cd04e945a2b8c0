"""bench/gpu is no package: its scripts import each other by name, and so do their tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "gpu"))


@pytest.fixture
def host():
    """The CPU in a GPU's place; skips without PyTorch."""
    from gpu_host import Host

    return Host()
