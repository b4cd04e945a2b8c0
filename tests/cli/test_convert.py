"""``python -m fnnfast convert``."""

from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.__main__ import main
from oracles import assert_same_bits

X = np.random.default_rng(1).standard_normal((9, 4)).astype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def network(**options):
    layers = [fnn.Input(4), fnn.Dense(6, "relu"), fnn.Residual([fnn.Dense(6, "tanh")]), fnn.Dense(3, "softmax")]
    return fnn.Sequential(layers, seed=0, **options)


def test_to_onnx_and_back(folder, capsys):
    pytest.importorskip("onnx")
    net = network()
    net.save("net.safetensors")
    assert main(["convert", "net.safetensors", "net.onnx"]) == 0
    out = capsys.readouterr().out
    assert "3-layer network, 4 inputs, 3 outputs, float32" in out
    assert "read it again: largest difference 0" in out
    assert main(["convert", "net.onnx", "again.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "source: ONNX (onnx " in out
    assert "checked: onnx.reference on 32 random rows: largest difference " in out
    again = fnn.load("again.safetensors")
    assert again.layers == net.layers
    assert_same_bits(again(X), net(X))


def test_options_of_onnx(folder, capsys):
    onnx = pytest.importorskip("onnx")
    net = network()
    net.save("net.safetensors")
    np.save("rows.npy", X)
    arguments = ["--logits", "--opset", "17", "--rows", "rows.npy"]
    assert main(["convert", "net.safetensors", "net.onnx", *arguments]) == 0
    model = onnx.load("net.onnx")
    assert model.opset_import[0].version == 17
    assert "Softmax" not in [node.op_type for node in model.graph.node]
    assert "read it again: largest difference 0" in capsys.readouterr().out
    np.testing.assert_allclose(fnn.from_onnx("net.onnx")(X), net.logits(X), rtol=1e-5, atol=1e-6)


def test_folds_are_listed(folder, capsys):
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = pytest.importorskip("onnx.helper"), pytest.importorskip("onnx.numpy_helper")
    w, two = np.eye(4, dtype=np.float32), np.full(4, 2, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["s"]), helper.make_node("Gemm", ["s", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["B", 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["B", 4])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(two, "two")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), "m.onnx")
    assert main(["convert", "m.onnx", "m.safetensors"]) == 0
    assert "folded: node " in capsys.readouterr().out
    assert_same_bits(fnn.load("m.safetensors")(X), 2 * X)


def test_keras(folder, capsys):
    pytest.importorskip("h5py")
    data = Path(__file__).parents[1] / "interop" / "model_files" / "keras"
    assert main(["convert", str(data / "sequential.keras"), "net.safetensors"]) == 0
    assert "source: Keras (" in capsys.readouterr().out
    with np.load(data / "sequential.npz") as known:
        np.testing.assert_allclose(fnn.load("net.safetensors")(known["x"]), known["y"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int8"])
def test_dtypes(folder, capsys, dtype):
    pytest.importorskip("onnx")
    net = network(dtype="float64") if dtype == "float64" else network()
    net = {"bfloat16": lambda: net.astype("bfloat16"), "int8": lambda: net.quantize(X)}.get(dtype, lambda: net)()
    net.save("net.safetensors")
    assert main(["convert", "net.safetensors", "net.onnx"]) == 0
    out = capsys.readouterr().out
    assert ("not compared, since int8" if dtype == "int8" else "largest difference") in out


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("net.safetensors", "net.pb", "net.pb: expected a file name that ends in .safetensors or .onnx, got '.pb'"),
        ("net.pt", "net.onnx", "got '.pt'; load it into its torch module, and use fnnfast.from_torch"),
        ("net.joblib", "net.onnx", "use fnnfast.from_sklearn"),
        ("net", "net.onnx", "net: expected a file name that ends in .keras or .onnx"),
        ("net.safetensors", "net.safetensors", "expected another file than the source"),
        ("broken.safetensors", "b.safetensors", "holds no fnnfast network"),
        ("missing.safetensors", "b.safetensors", "No such file or directory: 'missing.safetensors'"),
    ],
)
def test_errors(folder, capsys, source, target, said):
    network().save("net.safetensors")
    Path("broken.safetensors").write_bytes(b"\0" * 7)
    before = sorted(folder.iterdir())
    assert main(["convert", source, target]) == 1
    err = capsys.readouterr().err
    assert err.startswith("convert: ")
    assert said in err
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_without_the_package(folder, capsys, monkeypatch):
    import sys

    network().save("net.safetensors")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["convert", "net.safetensors", "net.onnx"]) == 1
    assert "pip install 'fnnfast[onnx]'" in capsys.readouterr().err
