"""How the files in onnx/ were made: ``python make_onnx.py``, with the versions that each file names.

Each NAME.onnx has a NAME.npz beside it, with some rows x and what the framework itself answered to them, y.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")
FOLDER = Path(__file__).with_name("onnx")
X = np.random.default_rng(0).standard_normal((16, 6)).astype(np.float32)


def torch_sequential():
    """Batch normalization after a dense layer and after an activation; dropout; softmax."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(6, 12, bias=False),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(12, 10),
        nn.GELU(),
        nn.BatchNorm1d(10),
        nn.Linear(10, 8),
        nn.SiLU(),
        nn.Linear(8, 8),
        nn.PReLU(8),
        nn.Linear(8, 3),
        nn.Softmax(dim=1),
    )
    return of_torch(module)


def torch_skips():
    """Residual blocks, one with a projection, and maxout."""
    import torch
    from torch import nn

    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 8)
            self.inner = nn.Sequential(nn.Linear(8, 5), nn.Hardswish(), nn.Linear(5, 8))
            self.wider, self.projection = nn.Linear(8, 10), nn.Linear(8, 10)
            self.pieces = nn.Linear(10, 12)
            self.last = nn.Linear(4, 2)

        def forward(self, x):
            x = torch.tanh(self.first(x))
            x = torch.relu(x + self.inner(x))
            x = torch.nn.functional.elu(self.wider(x)) + self.projection(x)
            x = self.pieces(x).view(-1, 4, 3).amax(dim=2)
            return torch.sigmoid(self.last(x))

    torch.manual_seed(1)
    return of_torch(Skips())


def of_torch(module):
    """The module with statistics of some batches, and its answers."""
    import torch

    with torch.no_grad():
        for _ in range(20):
            module(3 * torch.randn(64, 6) + 1)
        module.eval()
        return module, module(torch.from_numpy(X)).numpy()


def export_torch(module, path, dynamo):
    import torch

    options = {"dynamic_shapes": ({0: "B"},)} if dynamo else {"dynamic_axes": {"x": {0: "B"}}}
    torch.onnx.export(
        module, (torch.from_numpy(X),), path, input_names=["x"], output_names=["y"], dynamo=dynamo, **options
    )
    without_traces(path)


def without_traces(path):
    """One file, without the stack traces that name the files of whoever exported it."""
    import onnx

    model = onnx.load(path)
    Path(f"{path}.data").unlink(missing_ok=True)
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


def keras_model():
    """Normalization first, batch normalization, activations as layers."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Normalization(mean=[0.1] * 6, variance=[2.0] * 6),
            keras.layers.Dense(10, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.LeakyReLU(),
            keras.layers.Dense(8, "swish"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    model.compile("sgd", "categorical_crossentropy")
    model.fit(np.tile(X, (8, 1)), np.eye(3)[np.arange(128) % 3], epochs=5, verbose=0)
    return model


def sklearn_pipelines():
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    settings = {"hidden_layer_sizes": (9, 5), "random_state": 0, "max_iter": 300}
    classes, reals = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0), X[:, 0] - X[:, 1]
    yield "sklearn_classifier", make_pipeline(StandardScaler(), MLPClassifier(activation="tanh", **settings)), classes
    yield "sklearn_regressor", make_pipeline(MinMaxScaler(), MLPRegressor(**settings)), reals


def save(name, answers):
    np.savez_compressed(FOLDER / f"{name}.npz", x=X, y=np.asarray(answers, np.float32))


def main():
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    for name, (module, answers) in {"sequential": torch_sequential(), "skips": torch_skips()}.items():
        for exporter, dynamo in (("torchscript", False), ("dynamo", True)):
            path = FOLDER / f"torch_{name}_{exporter}.onnx"
            export_torch(module, path, dynamo)
            save(path.stem, answers)
    model = keras_model()
    model.export(FOLDER / "keras.onnx", format="onnx", verbose=False)
    without_traces(FOLDER / "keras.onnx")
    save("keras", model.predict(X, verbose=0))
    import skl2onnx

    for name, pipeline, targets in sklearn_pipelines():
        pipeline.fit(X, targets)
        proto = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False} if "classifier" in name else None)
        (FOLDER / f"{name}.onnx").write_bytes(proto.SerializeToString())
        save(name, pipeline.predict_proba(X) if "classifier" in name else pipeline.predict(X)[:, np.newaxis])


if __name__ == "__main__":
    main()
