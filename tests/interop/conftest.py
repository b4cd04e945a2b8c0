"""The same weights and numbers in every test, whichever tests ran before in its process."""

import sys

import numpy as np
import pytest

HELPERS = ("image_models", "onnx_models", "torch_models")


@pytest.fixture(autouse=True)
def seeds(request):
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)  # PyTorch's, too
    elif "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    start = np.random.default_rng(0).bit_generator.state
    for module in (request.module, *map(sys.modules.get, HELPERS)):
        if isinstance(rng := getattr(module, "RNG", None), np.random.Generator):
            rng.bit_generator.state = start
