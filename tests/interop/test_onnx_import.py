"""from_onnx: the forms in which exporters write layers, activations and normalisation."""

import itertools

import numpy as np
import pytest

import fnnfast as fnn

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, numpy_helper  # noqa: E402

from onnx_models import DOUBLE, FLOAT, Model, answers, read, rows  # noqa: E402

RNG = np.random.default_rng(0)
W, B = RNG.standard_normal((4, 3)), RNG.standard_normal(3)


# Products ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("beta", [1.0, 2.0, 0.0])
@pytest.mark.parametrize("bias", [None, (), (1,), (3,), (1, 3)])
def test_gemm(flip, alpha, beta, bias):
    model = Model(4)
    inputs = [] if bias is None else [RNG.standard_normal(bias)]
    model.node("Gemm", "x", W.T.copy() if flip else W, *inputs, transB=flip, alpha=alpha, beta=beta)
    assert read(model).layers[1:] == (fnn.Dense(3, bias=bias is not None),)


def test_gemm_with_a_value_for_c():
    model = Model(4)
    model.node("Gemm", "x", W, model.node("Gemm", "x", W), beta=2.0)
    read(model)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("bias", [B, B[np.newaxis], np.ones(1), np.float64(0.5)])
def test_matmul_and_add(first, bias):
    model = Model(4)
    product = model.node("MatMul", "x", W)
    model.node("Add", *((bias, product) if first else (product, bias)))
    net = read(model)
    assert net.layers[1:] == (fnn.Dense(3),)
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], W.astype(np.float32))
    assert net.converted_from.folded == ()


def test_matmul_alone():
    model = Model(4)
    model.node("MatMul", "x", W)
    assert read(model).layers[1:] == (fnn.Dense(3, bias=False),)


def test_rows_last():
    """W x + b on the transpose, and a Gemm that transposes its first or second operand."""
    model = Model(4)
    turned = model.node("Transpose", "x", perm=[1, 0])
    z = model.node("Add", model.node("MatMul", W.T.copy(), turned), B[:, np.newaxis])
    z = model.node("Gemm", W[:3].copy(), model.node("Relu", z), B[:, np.newaxis], transA=1)
    z = model.node("PRelu", z, np.full((3, 1), 0.3))
    model.node("Gemm", z, W[:3].copy(), transA=1)
    net = read(model)
    assert net.layers[1:] == (fnn.Dense(3, "relu"), fnn.Dense(3, fnn.PReLU()), fnn.Dense(3, bias=False))
    model = Model(4)
    model.node("Gemm", W, "x", transA=1, transB=1)
    model.node("Transpose", "v0")
    assert read(model).layers[1:] == (fnn.Dense(3, bias=False),)


# Activations ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("opset", "axis"), [(11, None), (11, 1), (11, -1), (13, None), (13, 1)])
def test_softmax(opset, axis):
    model = Model(4, opset=opset)
    model.node("Softmax", model.node("Gemm", "x", W, B), **({} if axis is None else {"axis": axis}))
    assert read(model).layers[1:] == (fnn.Dense(3, "softmax"),)


def test_clip_of_older_opsets():
    model = Model(4, opset=10)
    z = model.node("Clip", model.node("Gemm", "x", W, B), min=0.0, max=6.0)
    model.node("Clip", model.node("Gemm", z, W[:3].copy()), min=0.0, max=float(np.finfo(np.float32).max))
    assert read(model).layers[1:] == (fnn.Dense(3, "relu6"), fnn.Dense(3, "relu", bias=False))


# Normalisation -------------------------------------------------------------------------------------------------------
def norm(model, value, width, **settings):
    constants = [RNG.standard_normal(width), RNG.standard_normal(width), RNG.standard_normal(width)]
    return model.node("BatchNormalization", value, *constants, RNG.uniform(0.5, 2, width), **settings)


PARTS = {
    "dense": lambda m, v: m.node("Gemm", v, RNG.standard_normal((4, 4)), RNG.standard_normal(4)),
    "norm": lambda m, v: norm(m, v, 4, epsilon=1e-3),
    "relu": lambda m, v: m.node("Relu", v),
    "dropout": lambda m, v: m.node("Dropout", v, 0.5),
}


@pytest.mark.parametrize("names", [*itertools.product(PARTS, repeat=3)])
def test_batch_normalization_in_every_position(names):
    model, value = Model(4), "x"
    for name in (*names, "dense"):
        value = PARTS[name](model, value)
    read(model, tolerance=5e-5)


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 14])
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "epsilon": 1e-3}])
def test_batch_normalization_of_older_opsets(opset, settings):
    """By onnxruntime: onnx.reference takes those before 14 for training."""
    pytest.importorskip("onnxruntime")
    model = Model(4, opset=opset)
    model.node("Gemm", norm(model, "x", 4, **settings), W, B)
    x = rows(4)
    net = fnn.from_onnx(model.proto())
    np.testing.assert_allclose(net(x), answers(model.proto(), x)[0], rtol=1e-5, atol=1e-5)
    assert net.converted_from.largest_difference < 1e-5


def test_batch_normalization_of_channels():
    model = Model(2, 3)
    model.node("Gemm", model.node("Flatten", norm(model, "x", 2)), RNG.standard_normal((6, 2)))
    net = read(model)
    assert net.layers == (fnn.Input(2, 3), fnn.Dense(2))
    assert net.converted_from.folded == ("node 1 of 3, BatchNormalization 'n0': folded into node 3 of 3, Gemm 'n2'",)


def test_arithmetic_is_a_scale():
    model = Model(4)
    z = model.node("Div", model.node("Sub", "x", RNG.standard_normal(4)), RNG.uniform(1, 2, (1, 4)))
    z = model.node("Sub", 1.0, model.node("Neg", model.node("Mul", RNG.standard_normal(4), z)))
    model.node("Gemm", z, W, B)
    assert read(model).layers[1:] == (fnn.Dense(3),)


@pytest.mark.parametrize("offset", [[0.5], [1.0, 2.0, 3.0, 4.0]])
def test_scaler(offset):
    model = Model(4)
    z = model.node("Scaler", "x", domain="ai.onnx.ml", offset=offset, scale=[2.0] * len(offset))
    model.node("Gemm", z, W, B)
    assert read(model).layers[1:] == (fnn.Dense(3),)


# Branches ------------------------------------------------------------------------------------------------------------
def test_residual_blocks():
    model = Model(4)
    z = model.node("Relu", model.node("Gemm", "x", np.eye(4) * 0.5))
    a = model.node("Gemm", model.node("Tanh", model.node("Gemm", z, W, B)), W.T.copy())
    y = model.node("Relu", model.node("Add", z, a))
    b = model.node("Gemm", y, W, B)
    model.node("Sum", model.node("Relu", model.node("Gemm", y, W, B)), b)
    net = read(model)
    block = fnn.Residual([fnn.Dense(3, "tanh"), fnn.Dense(4, bias=False)], activation="relu")
    assert net.layers[1:] == (fnn.Dense(4, "relu", bias=False), block, fnn.Residual([fnn.Dense(3, "relu")]))


def test_differences_of_branches():
    model = Model(4)
    model.node("Sub", model.node("Relu", model.node("Gemm", "x", np.eye(4))), "x")
    read(model)


@pytest.mark.parametrize("pieces", [2, 3])
def test_maxout_by_max(pieces):
    model = Model(4)
    parts = [model.node("Gemm", "x", RNG.standard_normal((4, 3)), *([B] if p else [])) for p in range(pieces)]
    model.node("Max", *parts)
    assert read(model).layers[1:] == (fnn.Maxout(3, pieces),)


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("first", [False, True])
def test_maxout_by_reduce_max(opset, keepdims, first):
    model = Model(4, opset=opset)
    z = model.node("Reshape", model.node("Gemm", "x", RNG.standard_normal((4, 6))), [0, 3, 2] if first else [-1, 2, 3])
    axis = 1 if first else -1
    if opset < 18:
        z = model.node("ReduceMax", z, axes=[axis], keepdims=keepdims)
    else:
        z = model.node("ReduceMax", z, [axis], keepdims=keepdims)
    if keepdims:
        z = model.node("Squeeze", z, [axis])
    model.node("Relu", z)
    assert read(model).layers[1:] == (fnn.Maxout(2, 3, bias=False), fnn.Activation("relu"))


# Constants and shapes ------------------------------------------------------------------------------------------------
def test_constants_are_computed():
    model = Model(4)
    zeros = model.node("ConstantOfShape", [3], value=numpy_helper.from_array(np.array([0.5], np.float32)))
    weight = model.node("Transpose", model.node("Mul", W.T.copy(), model.node("Constant", value_float=2.0)))
    weight = model.node("Reshape", model.node("Squeeze", model.node("Unsqueeze", weight, [0]), [0]), [-1, 3])
    bias = model.node("Div", model.node("Sub", model.node("Add", zeros, B), 1.0), model.node("Sqrt", 4.0))
    bias = model.node("Identity", model.node("Cast", bias, to=FLOAT))
    bias = model.node("Concat", model.node("Gather", bias, [0, 1], axis=0), model.node("Gather", bias, [2]), axis=0)
    model.node("Gemm", "x", weight, model.node("Expand", model.node("Neg", bias), [1, 3]))
    net = read(model)
    np.testing.assert_allclose(net.parameters["dense_1.weight"], 2 * W, rtol=1e-6)
    np.testing.assert_allclose(net.parameters["dense_1.bias"], -(B - 0.5) / 2, rtol=1e-5)


def flat_by_shape(m):
    """torch's x.view(x.size(0), -1)."""
    batch = m.node("Gather", m.node("Shape", "x"), np.int64(0), axis=0)
    return m.node("Reshape", "x", m.node("Concat", m.node("Unsqueeze", batch, [0]), [-1], axis=0))


def flat_by_slice(m):
    batch = m.node("Slice", m.node("Shape", "x"), [0], [1])
    return m.node("Reshape", "x", m.node("Concat", batch, [6], axis=0))


FLAT = {
    "Flatten": lambda m: m.node("Flatten", "x"),
    "Flatten from the end": lambda m: m.node("Flatten", "x", axis=-2),
    "Reshape": lambda m: m.node("Reshape", "x", [-1, 6]),
    "Reshape the rest": lambda m: m.node("Reshape", "x", [0, -1]),
    "Reshape twice": lambda m: m.node("Reshape", m.node("Reshape", "x", [0, 6, 1]), [-1, 6]),
    "Unsqueeze and Squeeze": lambda m: m.node("Flatten", m.node("Squeeze", m.node("Unsqueeze", "x", [1]), [1])),
    "Transpose of an axis of one": lambda m: m.node(
        "Flatten", m.node("Transpose", m.node("Unsqueeze", "x", [1]), perm=[0, 2, 1, 3])
    ),
    "Shape and Gather": flat_by_shape,
    "Shape and Slice": flat_by_slice,
}


@pytest.mark.parametrize("name", FLAT)
def test_flattening(name):
    model = Model(2, 3)
    model.node("Gemm", FLAT[name](model), RNG.standard_normal((6, 2)), RNG.standard_normal(2))
    net = read(model)
    assert net.layers == (fnn.Input(2, 3), fnn.Dense(2))
    assert net.input == fnn.Input(2, 3)


@pytest.mark.parametrize("batch", [1, 5])
def test_a_fixed_number_of_rows(batch):
    model = Model(2, 3, batch=batch)
    model.node("Gemm", model.node("Reshape", "x", [batch, 6]), RNG.standard_normal((6, 2)))
    net = read(model)
    assert net(rows(2, 3, count=8)).shape == (8, 2)


@pytest.mark.parametrize("flip", [0, 1])
def test_an_input_that_does_not_say_its_width(flip):
    model = Model("I")
    model.node("Gemm", "x", W.T.copy() if flip else W, transB=flip)
    assert fnn.from_onnx(model.proto()).input == fnn.Input(4)
    proto = model.proto()
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    assert fnn.from_onnx(proto).input == fnn.Input(4)


# Number formats ------------------------------------------------------------------------------------------------------
def test_double():
    model = Model(4, kind=DOUBLE)
    model.node("LeakyRelu", model.node("Gemm", "x", W, B), alpha=0.1)
    net = read(model, tolerance=1e-12)
    assert net.dtype == np.float64
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], W)
    assert net.layers[1].activation.alpha == np.float32(0.1)  # what the model computes with


def test_double_in_and_float_weights():
    """scikit-learn's exports."""
    model = Model(4, kind=DOUBLE)
    z = model.node("Cast", "x", to=FLOAT)
    model.node("Gemm", z, model.constant(W, np.float32), model.constant(B, np.float32))
    assert fnn.from_onnx(model.proto()).dtype == np.float32


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_sixteen_bits(kind):
    model = Model(4, kind=kind)
    model.node("Gemm", model.node("Gelu", model.node("Gemm", "x", W, B)), W[:3].copy())
    net = fnn.from_onnx(model.proto())
    assert net.dtype == np.float32
    assert net.layers[1:] == (fnn.Dense(3, "gelu"), fnn.Dense(3, bias=False))
    rounded = W.astype(model.dtype).astype(np.float32)
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], rounded)
    assert net.converted_from.largest_difference < 0.1


def test_weights_of_sixteen_bits_that_are_widened():
    model = Model(4)
    model.node("Gemm", "x", model.node("Cast", model.constant(W, np.float16), to=FLOAT))
    net = read(model)
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], W.astype(np.float16).astype(np.float32))


# What is asked for ---------------------------------------------------------------------------------------------------
def test_one_of_several_outputs():
    model = Model(4)
    hidden = model.node("Relu", model.node("Gemm", "x", W, B))
    last = model.node("NonMaxSuppression", hidden)  # not needed, so not read
    model.node("Gemm", hidden, W[:3].copy())
    proto = model.proto(hidden, last)
    with pytest.raises(ValueError, match=r"outputs \['v1', 'v2'\]; supported: one; choose it with output="):
        fnn.from_onnx(proto)
    assert fnn.from_onnx(proto, output=hidden).layers[1:] == (fnn.Dense(3, "relu"),)
    with pytest.raises(ValueError, match="output: expected one of"):
        fnn.from_onnx(proto, output="v3")


def test_rows_to_check_on():
    model = Model(4)
    model.node("Gemm", "x", W, B)
    x = rows(4)
    net = fnn.from_onnx(model.proto(), check=x)
    assert net.converted_from.check == "onnx.reference on 17 given rows"
    y = x @ W.astype(np.float32) + B.astype(np.float32)
    assert fnn.from_onnx(model.proto(), check=(x, y)).converted_from.check == "17 given outputs"
    with pytest.raises(ValueError, match="the network differs from its source by 1"):
        fnn.from_onnx(model.proto(), check=(x, y + 1))
    assert net.converted_from.versions["onnx"] == onnx.__version__
    assert net.converted_from.versions["opset"] == "20"


def test_jumps_may_fall_to_the_other_side():
    model = Model(4)
    step = model.node("GreaterOrEqual", model.node("Gemm", "x", W, B), 0.0)
    model.node("Gemm", model.node("Cast", step, to=FLOAT), W[:3].copy())
    assert fnn.from_onnx(model.proto()).layers[1].activation == fnn.Step()


# Before opset 7 ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("constant", "axis", "as_numpy"), [((3,), 1, (3, 1)), ((4,), 2, (4,)), ((3, 4), 1, (3, 4)), ((4,), -1, (4,))]
)
@pytest.mark.parametrize("operator", ["Add", "Mul", "Sub", "Div"])
def test_constants_from_an_axis_on(operator, constant, axis, as_numpy):
    values = RNG.uniform(1, 2, constant)
    model = Model(3, 4, opset=6)
    model.node("Relu", model.node(operator, "x", values, broadcast=1, axis=axis))
    x = rows(3, 4, count=5)
    arithmetic = {"Add": np.add, "Mul": np.multiply, "Sub": np.subtract, "Div": np.divide}[operator]
    expected = np.maximum(arithmetic(x, values.reshape(as_numpy)), 0).reshape(5, -1)
    net = fnn.from_onnx(model.proto(), check=(x, expected))
    np.testing.assert_allclose(net(x), expected, rtol=1e-5, atol=1e-6)
    assert net.converted_from.folded[-1] == "output 'v1': rows of shape (3, 4) are 12 values"


def test_slopes_of_channels():
    slopes = np.array([0.1, 0.2, 0.3])
    model = Model(3, 4, opset=6)
    model.node("PRelu", "x", slopes)
    x = rows(3, 4, count=5)
    expected = np.where(x > 0, x, x * slopes[:, np.newaxis]).reshape(5, -1)
    np.testing.assert_allclose(fnn.from_onnx(model.proto(), check=(x, expected))(x), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda m: m.node("BatchNormalization", m.node("MatMul", "x", np.eye(4)), *np.ones((4, 4))), "is_test=0"),
        (lambda m: m.node("Add", "x", np.ones(4), broadcast=1, axis=2), "from axis 2 of 2"),
        (lambda m: m.node("Add", "x", m.node("Add", np.eye(4), np.ones(4), axis=0)), "this operator on constants"),
    ],
)
def test_refused_before_opset_7(build, message):
    model = Model(4, opset=6)
    build(model)
    with pytest.raises(fnn.interop.ConversionError, match=message):
        fnn.from_onnx(model.proto())
