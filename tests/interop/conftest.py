"""The same weights in every run, whichever tests ran before."""

import sys

import pytest


@pytest.fixture(autouse=True)
def seeds():
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)  # PyTorch's, too
    elif "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
