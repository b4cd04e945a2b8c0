"""Files that Keras saved (data/keras/make.py), read without Keras, against the outputs that Keras gave."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn

pytest.importorskip("h5py")

FOLDER = Path(__file__).parent / "model_files" / "keras"
LAYERS = {
    "sequential": (fnn.Input(4), fnn.Dense(5, fnn.LeakyReLU(0.2)), fnn.Dense(3, "softmax")),
    "tabular": (
        fnn.Input(4),
        fnn.Dense(6, "gelu"),
        fnn.Dropout(0.25),
        fnn.Dense(5, fnn.LeakyReLU(0.3)),
        fnn.GaussianNoise(0.1),
        fnn.Dense(2, "sigmoid"),
    ),
    "residual": (
        fnn.Input(4),
        fnn.Dense(6),
        fnn.Residual([fnn.Dense(6, "swish"), fnn.Dense(6, "tanh"), fnn.Dropout(0.5)]),
        fnn.Activation(fnn.PReLU()),
        fnn.Maxout(5, 2),
        fnn.Dense(3, "relu"),
    ),
    "image": (fnn.Input(3, 4, 2), fnn.Dense(4, "elu"), fnn.Dense(2)),
    "double": (fnn.Input(4), fnn.Dense(5, "mish"), fnn.Dense(2)),
    "half": (fnn.Input(4), fnn.Dense(5, "relu"), fnn.Dense(2)),
}
LAYERS["tabular-3.0.5"], LAYERS["residual-3.0.5"] = LAYERS["tabular"], LAYERS["residual"]
# The largest difference of outputs near 1: Keras computes in float32 at most.
TOLERANCES = {"half": 2e-2}


def rows(name):
    with np.load(FOLDER / f"{name}.npz") as file:
        return file["x"], file["y"]


@pytest.mark.parametrize("name", LAYERS)
def test_outputs(name):
    x, y = rows(name)
    net = fnn.from_keras(FOLDER / f"{name}.keras")
    tolerance = TOLERANCES.get(name, 2e-6) * (1 + np.abs(y).max())
    np.testing.assert_allclose(net(x), y, rtol=0, atol=tolerance)
    assert net.dtype == ("float64" if name == "double" else "float32")
    assert [str(layer) for layer in net.layers] == [str(layer) for layer in LAYERS[name]]
    assert net.converted_from.largest_difference < tolerance
    given = fnn.from_keras(FOLDER / f"{name}.keras", check=(x, y)).converted_from
    assert given.check == "6 given outputs"
    assert given.largest_difference <= tolerance


def test_what_it_says():
    found = fnn.from_keras(str(FOLDER / "tabular.keras")).converted_from
    assert found.source == "Keras"
    assert found.versions == {"keras": "3.15.1"}
    assert found.check == "the layers in NumPy on 32 random rows"
    assert found.folded == (
        "layer 2 of 11, Normalization 'normalization': folded into layer 3 of 11, Dense 'dense_2'",
        "layer 4 of 11, BatchNormalization 'batch_normalization': folded into layer 3 of 11, Dense 'dense_2'",
        "layer 10 of 11, BatchNormalization 'batch_normalization_1': folded into layer 11 of 11, Dense 'dense_4'",
    )


def test_deployment_with_numpy_alone(tmp_path):
    """Neither Keras nor h5py nor a framework is loaded where the saved network predicts."""
    fnn.from_keras(FOLDER / "tabular.keras").save(tmp_path / "tabular.safetensors")
    code = f"""if True:
        import sys
        import numpy as np, fnnfast as fnn
        net = fnn.load({str(tmp_path / "tabular.safetensors")!r})
        with np.load({str(FOLDER / "tabular.npz")!r}) as file:
            print(float(np.abs(net(file["x"]) - file["y"]).max()) < 1e-5)
        print([name for name in ("keras", "h5py", "torch", "tensorflow", "jax") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True", "[]"]


def test_keras_is_not_imported():
    code = f"""if True:
        import sys, fnnfast as fnn
        fnn.from_keras({str(FOLDER / "residual.keras")!r})
        print("keras" in sys.modules, "torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
