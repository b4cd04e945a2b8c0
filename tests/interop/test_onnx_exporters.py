"""Files by the exporters of PyTorch, Keras and scikit-learn, with their answers; model_files/make_onnx.py made them."""

from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn

pytest.importorskip("onnx")

FOLDER = Path(__file__).with_name("model_files") / "onnx"
DENSE = {"torch_sequential": 5, "torch_skips": 7, "keras": 3, "sklearn_classifier": 3, "sklearn_regressor": 3}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.onnx")), ids=lambda path: path.stem)
def test_exported_files(path):
    with np.load(path.with_suffix(".npz")) as data:
        x, y = data["x"], data["y"]
    net = fnn.from_onnx(path)
    np.testing.assert_allclose(net(x), y, rtol=1e-4, atol=1e-5)
    assert net.converted_from.largest_difference < 1e-5
    # Nothing but what was trained: scalers, normalization and statistics are part of the layers.
    weights = [name for name in net.parameters if name.endswith("weight")]
    assert len(weights) == next(count for name, count in DENSE.items() if path.stem.startswith(name))


def test_all_are_there():
    assert len(list(FOLDER.glob("*.onnx"))) == 7
