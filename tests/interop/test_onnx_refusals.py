"""from_onnx on models that are no networks: what it says, and where."""

import subprocess
import sys

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError

onnx = pytest.importorskip("onnx")

from onnx import helper  # noqa: E402

from onnx_models import FLOAT, INT64, Model  # noqa: E402

W = np.random.default_rng(0).standard_normal((4, 4))


def dense(model, value="x"):
    return model.node("Gemm", value, W)


def nodes(*kinds, **settings):
    """A function that puts nodes of one input after a dense layer."""

    def build(model):
        value = dense(model)
        for kind in kinds:
            value = model.node(kind, value, **settings)

    return build


def loop(model):
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "body", [], [])
    model.node("If", model.node("Cast", dense(model), to=9), then_branch=body, else_branch=body)


def two_inputs(model):
    proto = model.proto(model.node("Add", dense(model), "z"))
    proto.graph.input.append(helper.make_tensor_value_info("z", FLOAT, ["B", 4]))
    return proto


def function(model):
    dense(model)
    proto = model.proto()
    proto.functions.append(helper.make_function("ours", "F", ["a"], ["b"], [], [helper.make_opsetid("", 20)]))
    return proto


def integers(model):
    dense(model)
    proto = model.proto()
    proto.graph.input[0].type.tensor_type.elem_type = INT64
    return proto


def shaped(*dims):
    def build(model):
        dense(model)
        proto = model.proto()
        proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", FLOAT, dims))
        return proto

    return build


def opset(version):
    def build(model):
        model.opset = version
        dense(model)

    return build


REFUSED = {
    # Operators
    "recurrent": (lambda m: m.node("LSTM", "x", W, W), "node 1 of 1, LSTM 'n0': an operator that is not supported"),
    "control flow": (loop, r"If 'n\d': an operator|Cast 'n1': a conversion to a type that is not float"),
    "unknown domain": (
        lambda m: m.node("Thing", "x", domain="com.example"),
        "an operator of the domain 'com.example' that is not supported",
    ),
    "scikit-learn": (lambda m: m.node("Normalizer", "x", domain="ai.onnx.ml"), "Normalizer 'n0': an operator of the"),
    "layer norm": (lambda m: m.node("LayerNormalization", "x", W[0]), "LayerNormalization 'n0'.*supported: Abs, Add"),
    "log softmax": (nodes("LogSoftmax"), "LogSoftmax 'n1': logarithms of probabilities; supported: Softmax"),
    "softmax inside": (lambda m: dense(m, m.node("Softmax", dense(m))), "Softmax 'n1': softmax before the end"),
    "softmax of rows": (nodes("Softmax", axis=0), "Softmax 'n1': axis 0; supported: the last axis"),
    "sign": (nodes("Sign"), "Sign 'n1'"),
    "erf": (nodes("Erf"), "Erf 'n1': it is no activation, nor part"),
    "above 0": (lambda m: m.node("Cast", m.node("Greater", dense(m), 0.0), to=FLOAT), "Greater 'n1'"),
    "limits": (lambda m: m.node("Clip", dense(m), -2.0, 3.0), "Clip 'n1': limits that no activation has"),
    "selu": (nodes("Selu", alpha=1.5), "Selu 'n1': constants other than those of the paper"),
    "slope": (nodes("LeakyRelu", alpha=-0.5), "LeakyRelu 'n1': a negative alpha"),
    "slope of no number": (nodes("LeakyRelu", alpha=float("nan")), "LeakyRelu 'n1'"),
    "elu": (nodes("Elu", alpha=-1.0), "Elu 'n1'"),
    "maximum": (lambda m: m.node("Max", dense(m), 1.0), "Max 'n1': a maximum with a constant other than 0"),
    "maximum of others": (lambda m: m.node("Max", dense(m), m.node("Relu", "x")), "Max 'n2': a maximum of what are"),
    "product": (lambda m: m.node("Mul", dense(m), dense(m)), "Mul 'n2': a product of two values"),
    "division": (lambda m: m.node("Div", 1.0, dense(m)), "Div 'n1': a division by a value"),
    "attention": (lambda m: m.node("MatMul", dense(m), "x"), "MatMul 'n1': a product of two values"),
    "concatenation": (
        lambda m: m.node("Concat", dense(m), "x", axis=0),
        "Concat 'n1': axis 0; supported: the last axis",
    ),
    "dropout": (lambda m: m.node("Dropout", dense(m), 0.5, np.bool_(True)), "Dropout 'n1': training_mode"),
    "norm": (
        lambda m: m.node("BatchNormalization", dense(m), *W, training_mode=1),
        "BatchNormalization 'n1': training_mode=1; supported: inference; export it after model.eval",
    ),
    "cast": (nodes("Cast", to=INT64), "Cast 'n1': a conversion to a type that is not float"),
    "reduction of rows": (lambda m: m.node("ReduceMax", dense(m), [0]), r"ReduceMax 'n1': axes \[0\]"),
    # Shapes
    "batch": (lambda m: m.node("Reshape", dense(m), [4, -1]), r"Reshape 'n1': rows of shape \(4,\) as \[4, -1\]"),
    "split rows": (lambda m: m.node("Reshape", dense(m), [-1, 2]), "shapes that keep the rows apart"),
    "flat rows": (lambda m: m.node("Flatten", dense(m), axis=0), "Flatten 'n1': axis 0"),
    "transposed": (lambda m: m.node("Transpose", dense(m)), "output 'v1': rows along the last axis"),
    "over rows": (lambda m: m.node("Gemm", "x", W, transA=1), "Gemm 'n0': a product over the rows"),
    "from the left": (lambda m: m.node("MatMul", W, "x"), "MatMul 'n0': a product over the rows"),
    "width": (
        lambda m: m.node("Gemm", "x", W[:3].copy()),
        "Gemm 'n0': its input is a vector of 4 values; supported: a weight",
    ),
    "bias": (lambda m: m.node("Gemm", "x", W, np.ones(3)), r"Gemm 'n0': a constant of shape \(3,\) beside rows"),
    "bias of rows": (lambda m: m.node("Add", dense(m), np.ones((5, 4))), r"constant of shape \(5, 4\) beside rows"),
    "more axes": (lambda m: m.node("Add", dense(m), np.ones((1, 2, 4))), r"constant of shape \(1, 2, 4\)"),
    "wider": (lambda m: dense(m, m.node("Add", m.node("Gemm", "x", W[:, :1].copy()), np.ones(4))), "constant of shape"),
    "weight": (lambda m: m.node("MatMul", "x", W[np.newaxis]), r"a weight of shape \(1, 4, 4\)"),
    "channels": (lambda m: m.node("BatchNormalization", "x", *np.ones((4, 3))), r"input 1 of shape \(3,\)"),
    # The whole
    "two inputs": (two_inputs, "the model: inputs 'x', 'z'; supported: one input"),
    "functions": (function, "local functions.*inline_local_functions"),
    "integers": (integers, "input 'x': not a float type; supported: float"),
    "a vector": (shaped(4), r"input 'x': shape \[4\]; supported: values \(B"),
    "a length that is not fixed": (shaped("B", "H", 4), r"input 'x': shape \[None, None, 4\]"),
    "no columns": (shaped("B", 0), "input 'x'"),
    "old": (opset(5), r"the model: opset 5; supported: 6 to \d+; convert it"),
    "new": (opset(999), "the model: opset 999; supported: 6 to .*; update the package onnx"),
    "nothing": (lambda m: m.proto("x"), "output 'x': no node computes it"),
    "a constant": (lambda m: m.node("Identity", np.ones(4)), "inputs none; supported: one input"),
    "no dense layer": (lambda m: m.node("Identity", "x"), "the model: its output is its input"),
    "missing": (lambda m: m.node("Gemm", "x", "gone"), "Gemm 'n0': its input 'gone' is not computed before it"),
    "nonsense": (nodes("LeakyRelu", alpha="steep"), "LeakyRelu 'n1': invalid attributes or constants"),
    "axis of text": (nodes("Softmax", axis="last"), "Softmax 'n1': axis last"),
    "perm": (nodes("Transpose", perm=[0, 5]), "Transpose 'n1'"),
    "steps": (lambda m: m.node("Gemm", "x", m.node("Sin", W)), "Sin 'n0': this operator on constants"),
    "folding": (lambda m: m.node("Gemm", "x", m.node("Reshape", W, [5, 5])), "Reshape 'n0': invalid constants"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_node(name):
    build, text = REFUSED[name]
    model = Model(4)
    proto = build(model)
    with pytest.raises(ConversionError, match=text):
        fnn.from_onnx(proto if isinstance(proto, onnx.ModelProto) else model.proto())


# Without the package -------------------------------------------------------------------------------------------------
def test_without_the_package():
    code = """if True:
        import sys
        sys.modules["onnx"] = None
        import fnnfast as fnn
        net = fnn.Sequential([fnn.Input(2), fnn.Dense(1)])
        for call in (lambda: fnn.from_onnx(b""), lambda: fnn.to_onnx(net)):
            try:
                call()
            except ModuleNotFoundError as error:
                print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["ONNX models need the package onnx: pip install 'fnnfast[onnx]'"] * 2


def test_nothing_is_imported_before_it_is_used():
    code = """if True:
        import sys
        import fnnfast as fnn
        print("fnnfast.interop" in sys.modules, "from_onnx" in dir(fnn))
        fnn.from_onnx, fnn.to_onnx
        print("onnx" in sys.modules, "sklearn" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "False"]


# What onnx.reference does not run ------------------------------------------------------------------------------------
def dense_of(kind, **settings):
    model = Model(4, **settings)
    model.node(kind, model.node("Gemm", "x", np.eye(4)))
    return model.proto()


def test_a_model_without_versions_of_operators():
    proto = dense_of("Relu")
    del proto.opset_import[:]
    with pytest.raises(ConversionError, match=r"the model: opset_import is missing"):
        fnn.from_onnx(proto)


def test_operators_of_a_later_opset():
    """The numbers are clear, and onnx.reference does not run it; outputs that are given will do."""
    proto = dense_of("Mish", opset=13)
    with pytest.raises(ConversionError, match="reference, with which it is compared, does not run it"):
        fnn.from_onnx(proto)
    x = np.ones((2, 4), np.float32)
    y = x * np.tanh(np.log1p(np.exp(x)))
    assert fnn.from_onnx(proto, check=(x, y)).layers == (fnn.Input(4), fnn.Dense(4, "mish", bias=False))


def test_the_other_name_of_the_default_domain():
    proto = dense_of("Relu")
    for node in proto.graph.node:
        node.domain = "ai.onnx"
    proto.opset_import[0].domain = "ai.onnx"
    assert fnn.from_onnx(proto).layers == (fnn.Input(4), fnn.Dense(4, "relu", bias=False))
