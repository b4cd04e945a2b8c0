"""from_keras on models that are no networks: what it says, and where. The files are written without Keras."""

import subprocess
import sys

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError

pytest.importorskip("h5py")

from keras_models import (
    archive,
    called,
    dense,
    entrance,
    functional,
    layer,
    sequential,
    snake,
    tensor,
    weights,
)

W = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
B = np.ones(4, np.float32)
DENSE = weights(dense=[W, B], dense_1=[W, B], dense_2=[W, B])


def refuse(tmp_path, model, h5, text):
    with pytest.raises(ConversionError, match=text):
        fnn.from_keras(archive(tmp_path / "model.keras", model, h5))


def after(*layers):
    """Layers after a dense one."""
    return sequential(entrance(4), dense("d", 4), *layers)


def test_what_the_helpers_write_is_read(tmp_path):
    x = np.ones((2, 4), np.float32)
    net = fnn.from_keras(archive(tmp_path / "a.keras", after(dense("e", 4, "relu")), DENSE))
    np.testing.assert_allclose(net(x), np.maximum((x @ W + B) @ W + B, 0), rtol=1e-5)
    model = functional(
        entrance_layer(),
        called(dense("d", 4, "relu"), [tensor("entrance")]),
        called(layer("Add", "end"), [[tensor("d"), tensor("entrance")]]),
    )
    net = fnn.from_keras(archive(tmp_path / "b.keras", model, DENSE))
    np.testing.assert_allclose(net(x), np.maximum(x @ W + B, 0) + x, rtol=1e-5)


def entrance_layer(**config):
    return {**entrance(4, **config), "name": "entrance", "inbound_nodes": []}


# Layers --------------------------------------------------------------------------------------------------------------
UNSUPPORTED = [
    "Conv1D", "Conv3D", "Embedding", "LSTM", "GRU", "SimpleRNN", "MultiHeadAttention", "LayerNormalization",
    "UnitNormalization", "GroupNormalization", "MaxPooling3D", "GlobalAveragePooling1D", "Masking", "Dot", "Minimum",
    "EinsumDense", "RandomFlip", "CategoryEncoding", "StringLookup", "Discretization", "RepeatVector",
    "TimeDistributed",
]  # fmt: skip


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_layers_that_are_not_supported(kind, tmp_path):
    text = f"layer 3 of 3, {kind} 'n': a layer {kind} that is not supported; supported: .*BatchNormalization, .*Dense"
    refuse(tmp_path, after(layer(kind, "n")), DENSE, text)


SETTINGS = {
    # Activations
    "glu": (dense("e", 4, "glu"), "layer 3 of 3, Dense 'e': the activation 'glu'; supported: celu, elu"),
    "tanh_shrink": (layer("Activation", activation="tanh_shrink"), "Activation 'activation': the activation 'tanh_shr"),
    "log_softmax": (dense("e", 4, "log_softmax"), "the activation 'log_softmax'"),
    "a function of others": (
        dense("e", 4, {"module": "builtins", "class_name": "function", "config": "x>f", "registered_name": "x>f"}),
        "Dense 'e': the activation 'x>f'; supported: celu",
    ),
    "a lambda": (
        dense("e", 4, {"class_name": "__lambda__", "config": {"value": "4wEA"}}),
        "Dense 'e': the activation 'of a function'",
    ),
    "a list": (dense("e", 4, ["relu"]), "Dense 'e': the activation 'of a function'"),
    "an activation of others": (
        dense("e", 4, {**layer("LeakyReLU", "a"), "module": "pack"}),
        "Dense 'e', LeakyReLU 'a': a class that is not Keras's own",
    ),
    "maximum": (
        layer("ReLU", max_value=5),
        "ReLU 'relu': max_value=5, negative_slope=0, threshold=0; supported: max_v",
    ),
    "threshold": (layer("ReLU", threshold=1.0), "threshold=1; supported: max_value None, or 6"),
    "maximum and slope": (layer("ReLU", max_value=6, negative_slope=0.1), "max_value=6, negative_slope=0.1"),
    "negative slope": (layer("LeakyReLU", negative_slope=-0.1), "negative_slope -0.1; supported: slopes >= 0"),
    "elu": (layer("ELU", alpha=-1.0), "alpha -1; supported: alpha > 0"),
    "slope of text": (layer("LeakyReLU", negative_slope="steep"), "negative_slope 'steep'; supported: finite numbers"),
    "slope of nothing": (layer("LeakyReLU", negative_slope=float("nan")), "negative_slope nan"),
    "slopes": (layer("LeakyReLU", negative_slope=[0.1, 0.2]), r"negative_slope of shape \(2,\)"),
    "softmax axis": (layer("Softmax", axis=0), "axis 0; supported: axes 1 to 1"),
    "softmax axes": (layer("Softmax", axis=[1, -1]), r"axis \[1, -1\]"),
    # Normalization
    "renorm": (layer("BatchNormalization", renorm=True), "renorm=True; supported: renorm=False"),
    "batch axis": (layer("BatchNormalization", axis=0), "axis 0; supported: axes 1 to 1, not that of the rows"),
    "axis of text": (layer("BatchNormalization", axis="last"), "axis 'last'; supported: integers"),
    "flag": (layer("BatchNormalization", center=1), "center 1; supported: true or false"),
    "mean": (layer("Normalization", mean=[1.0, 2.0], variance=[1.0, 2.0]), r"a mean of shape \(2,\)"),
    "mean alone": (layer("Normalization", mean=[1.0] * 4), "variance None; supported: finite numbers"),
    "shapes": (layer("Normalization", mean=1.0, variance=[1.0] * 4), "mean and variance of shapes"),
    "negative variance": (layer("Normalization", mean=1.0, variance=-1.0), "or a negative variance"),
    "scales": (layer("Rescaling", scale=[1.0, 2.0]), r"scale of shape \(2,\) for rows of shape \(4,\)"),
    "ragged scales": (layer("Rescaling", scale=[[1.0], [1.0, 2.0]]), "scale that is no array"),
    "scale of text": (layer("Rescaling", scale="1/255"), "scale '1/255'; supported: finite numbers"),
    # Shapes
    "reshape": (layer("Reshape", target_shape=[3]), r"rows of shape \(4,\) as \[3\]"),
    "reshape to rows": (layer("Reshape", target_shape=[-1, 3]), r"rows of shape \(4,\) as \[-1, 3\]"),
    "two open": (layer("Reshape", target_shape=[-1, -1]), r"as \[-1, -1\]"),
    "no shape": (layer("Reshape", target_shape=[]), r"as \[\]"),
    "reshape of zeros": (layer("Reshape", target_shape=[-1, 0]), r"as \[-1, 0\]"),
    "permute": (layer("Permute", dims=[2, 1]), r"dims \[2, 1\]; supported: each axis"),
    "format": (layer("Flatten", data_format="sideways"), "a data_format that is not known"),
    "concatenate": (layer("Concatenate", axis=3), r"Concatenate 'concatenate': axis \[3\] of rows"),
    # Variables
    "missing": (dense("e", 4, use_bias=False), r"Dense 'e': 2 variables; supported: 1 \(kernel\)"),
    "wrong width": (dense("e", 4), "Dense 'e'"),
    # Code
    "lambda": (
        layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEA"}}),
        "Lambda 'lambda': a layer Lambda that is not supported; supported: layers without code of their own",
    ),
    "of others": (layer("Dense", "e", "my_package.layers"), "Dense 'e': a class that is not Keras's own"),
    "in main": (layer("Mine", module=None), "layer 3 of 3, Mine 'mine': a class that is not Keras's own"),
    "registered": ({**layer("Dense", "e"), "registered_name": "mine>Dense"}, "a class that is registered by others"),
    "no layer": ({"module": "keras.layers"}, "layer 3 of 3: no description of a layer"),
    "text": ("Dense", "layer 3 of 3: no description of a layer"),
    # Number formats
    "int8": (
        dense("e", 4, dtype={"class_name": "QuantizedDTypePolicy", "config": {"name": "int8_from_float32"}}),
        "Dense 'e': the dtype policy 'QuantizedDTypePolicy'; supported: float64, float32, .*; save the model without",
    ),
    "a policy of integers": (dense("e", 4, dtype="int8"), "the dtype policy 'int8'"),
    "quantized": (
        dense("e", 4, quantization_config={"mode": "int4"}),
        "a kernel that is quantized or has LoRA weights",
    ),
    "lora": (dense("e", 4, lora_rank=2), "a kernel that is quantized or has LoRA weights"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_refusals_name_the_layer(name, tmp_path):
    what, text = SETTINGS[name]
    h5 = weights(dense=[W, B], dense_1=[W[:3], B] if name == "wrong width" else [W, B], batch_normalization=[B] * 4)
    refuse(tmp_path, after(what), h5, text)


def test_positions(tmp_path):
    refuse(
        tmp_path, after(layer("Softmax"), dense("e", 4)), DENSE, "layer 3 of 4, Softmax 'softmax': softmax before th"
    )
    refuse(tmp_path, sequential(entrance(4), layer("Identity")), DENSE, "the model: its output is its input")
    inner = sequential(dense("e", 4), layer("Conv1D", "c"), name="inner")
    text = "layer 3 of 3, Sequential 'inner', layer 2 of 2, Conv1D 'c': a layer Conv1D"
    refuse(tmp_path, after(inner), weights(dense=[W, B], sequential__layers__dense=[W, B]), text)


def test_rows_that_are_no_vectors(tmp_path):
    text = r"Dense 'd': rows of shape \(2, 2\), of which it would read the last axis; .*; put a Flatten before it"
    refuse(tmp_path, sequential(entrance(2, 2), dense("d", 4)), DENSE, text)
    model = sequential(entrance(4), dense("d", 4), layer("Reshape", target_shape=[2, 2]))
    refuse(tmp_path, model, DENSE, r"the model: outputs of shape \(2, 2\); supported: outputs that are vectors")


VARIABLES = {
    "none": ([], "Dense 'd': 0 variables; supported: 2 .kernel, bias.; a model has its weights once it is built"),
    "one": ([W], "1 variables"),
    "a vector": ([B, B], "variables of shapes"),
    "a bias": ([W, B[:3]], "variables of shapes"),
    "empty": ([W[:, :0], B[:0]], "variables of shapes"),
    "integers": ([W.astype(np.int8), B], "Dense 'd': a variable of dtype int8; supported: float16"),
    "complex": ([W.astype(complex), B], "a variable of dtype complex128"),
    "text": ([np.array([b"x"]), B], "a variable of dtype"),
    "rows": ([W[:3], B], r"a kernel of shape \(3, 4\) for 4 values"),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_variables(name, tmp_path):
    arrays, text = VARIABLES[name]
    refuse(tmp_path, sequential(entrance(4), dense("d", 4)), weights(dense=arrays, more=[W]), text)


def test_normalization_variables(tmp_path):
    model = sequential(entrance(4), layer("BatchNormalization", "n", axis=-1), dense("d", 4))
    for arrays, text in (
        ([B, B, B, -B], "BatchNormalization 'n': a variance that is not positive"),
        ([B, B, B, B[:2]], "variables of shapes"),
        ([B[:2]] * 4, r"a variable of shape \(2,\) for rows of shape \(4,\)"),
        ([B, B], r"2 variables; supported: 4 \(gamma, beta, mean, variance\)"),
    ):
        refuse(tmp_path, model, weights(dense=[W, B], batch_normalization=arrays), text)


# Models --------------------------------------------------------------------------------------------------------------
INPUTS = {
    "open": (entrance(None), r"InputLayer 'entrance': an input of shape \[None, None\]; supported: \(None, I\)"),
    "scalars": (entrance(), r"an input of shape \[None\]"),
    "zero": (entrance(0), r"an input of shape \[None, 0\]"),
    "text": (entrance("4"), r"an input of shape \[None, '4'\]"),
    "true": (entrance(True), r"an input of shape \[None, True\]"),
    "many axes": (entrance(*[1] * 9), "an input of shape"),
    "no shape": (layer("InputLayer", "entrance"), "an input whose shape is not known"),
    "huge": (entrance(2**40), f"rows of {2**40} numbers in a model of"),
    "integers": (entrance(4, dtype="int32"), "the dtype policy 'int32'"),
    "sparse": (entrance(4, sparse=True), "sparse or ragged rows"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(name, tmp_path):
    what, text = INPUTS[name]
    refuse(tmp_path, sequential(what, dense("d", 4)), DENSE, text)


def test_models_that_are_not_built(tmp_path):
    text = "an input whose shape is not known; .*; build the model with keras.Input"
    refuse(tmp_path, sequential(dense("d", 4)), DENSE, text)
    net = fnn.from_keras(archive(tmp_path / "a.keras", sequential(dense("d", 4), build_input_shape=[None, 4]), DENSE))
    assert net.layers == (fnn.Input(4), fnn.Dense(4))


D = called(dense("d", 4), [tensor("entrance")])
END = called(dense("end", 4), [tensor("d")])
GRAPHS = {
    "two inputs": (
        [entrance_layer(), D, END],
        {"inputs": [["entrance", 0, 0], ["d", 0, 0]]},
        "Functional 'functional': inputs 'entrance', 'd'; supported: one input; make a keras.Model of one",
    ),
    "another input": (
        [entrance_layer(), {**entrance(4), "name": "z", "inbound_nodes": []}, D, END],
        {},
        "a second inp",
    ),
    "two outputs": (
        [entrance_layer(), D, END],
        {"outputs": [["d", 0, 0], ["end", 0, 0]]},
        "outputs 'd', 'end'; suppor",
    ),
    "no outputs": ([entrance_layer(), D, END], {"outputs": []}, "outputs none"),
    "an unknown layer": ([entrance_layer(), END], {}, "call 0 of a layer 'd'; supported: calls of layers of the model"),
    "an unknown call": ([entrance_layer(), D, END], {"outputs": ["end", 1, 0]}, "call 1 of a layer 'end'"),
    "a second output": ([entrance_layer(), D, END], {"outputs": ["end", 0, 1]}, "output 1 of 'end'"),
    "no reference": ([entrance_layer(), D, END], {"outputs": ["end", "0", 0]}, "a reference that names no output"),
    "a circle": (
        [entrance_layer(), called(layer("Add", "d"), [[tensor("entrance"), tensor("end")]]), END],
        {},
        "calls in a circle",
    ),
    "of itself": ([entrance_layer(), called(dense("end", 4), [tensor("end")])], {}, "calls in a circle"),
    "one name": ([entrance_layer(), D, D, END], {}, "layers of the same name"),
    "training": (
        [entrance_layer(), D, called(layer("Dropout", "end", rate=0.5), [tensor("d")], training=True)],
        {},
        "layer 3 of 3, Dropout 'end': a call with training=True; supported: calls of layers on values alone",
    ),
    "mask": (
        [entrance_layer(), D, called(layer("Softmax", "end"), [tensor("d")], mask=tensor("entrance"))],
        {},
        "a call with mask=",
    ),
    "two values": (
        [entrance_layer(), D, called(dense("end", 4), [tensor("d"), tensor("entrance")])],
        {},
        "Dense 'end': a call on 2 values; supported: a call on one",
    ),
    "a constant": ([entrance_layer(), called(dense("end", 4), [3.0])], {}, "a call on what is no output of a layer"),
    "no calls": ([entrance_layer(), {**dense("end", 4), "name": "end"}], {}, "call 0 of a layer 'end'"),
    "old calls": (
        [entrance_layer(), {**dense("end", 4), "name": "end", "inbound_nodes": [[["entrance", 0, 0, {}]]]}],
        {},
        "calls in a form that is not known",
    ),
    "no layers": ([], {}, "a model without layers"),
    "a model of two values": (
        [entrance_layer(), D, called(sequential(dense("e", 4), name="end"), [tensor("d"), tensor("entrance")])],
        {},
        "Sequential 'end': a model that is called on 2 values",
    ),
    "product": (
        [entrance_layer(), D, called(layer("Multiply", "end"), [[tensor("d"), tensor("entrance")]])],
        {},
        "Multiply 'end': a layer Multiply that is not supported; supported: Add, Average and Maximum",
    ),
    "difference": (
        [entrance_layer(), D, called(layer("Subtract", "end"), [[tensor("d"), tensor("entrance")]])],
        {},
        "Subtract 'end': a layer Subtract .*; let a Dense before it give the negative",
    ),
    "another axis": (
        [entrance_layer(), D, called(layer("Concatenate", "end", axis=0), [[tensor("d"), tensor("entrance")]])],
        {},
        r"Concatenate 'end': axis \[0\] of rows",
    ),
    "maximum": (
        [entrance_layer(), D, called(layer("Maximum", "end"), [[tensor("d"), tensor("entrance")]])],
        {},
        "Maximum 'end': a maximum of what are not dense layers of one value",
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name, tmp_path):
    layers, settings, text = GRAPHS[name]
    refuse(tmp_path, functional(*layers, **settings), DENSE, text)


def operation(kind, *arguments, module="keras.src.ops.numpy", **config):
    return called(layer(kind, "end", module, **config), list(arguments))


OPERATIONS = {
    "product": operation("Multiply", tensor("d"), tensor("entrance")),
    "quotient": operation("TrueDivide", 1.0, tensor("d")),
    "by zero": operation("TrueDivide", tensor("d"), 0.0),
    "of a third": operation("Add", tensor("d"), 1.0, 2.0),
    "power": operation("Power", tensor("d"), 2.0),
    "product of matrices": operation("Matmul", tensor("d"), tensor("entrance")),
    "no number": operation("Add", tensor("d"), "1"),
    "no value": operation("Add", 1.0, 2.0),
    "too wide": operation("Add", tensor("d"), [1.0, 2.0]),
    "more axes": operation("Add", tensor("d"), [[1.0] * 4, [1.0] * 4]),
    "concatenation": operation("Concatenate", [tensor("d"), tensor("d")]),
    "erf": operation("Erf", tensor("d"), module="keras.src.ops.math"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name, tmp_path):
    refuse(tmp_path, functional(entrance_layer(), D, OPERATIONS[name]), DENSE, "layer 3 of 3, ")


def test_what_is_no_model(tmp_path):
    refuse(tmp_path, dense("d", 4), DENSE, "Dense 'd': a layer; supported: Sequential and Functional models")
    refuse(tmp_path, [], DENSE, "the model: no description of a layer")
    refuse(
        tmp_path, {**sequential(), "class_name": "Net", "module": "mine"}, DENSE, "Net 'sequential': a class that is"
    )


def test_snake_case():
    from fnnfast.interop.keras._parse import snake_case

    for kind, key in (("Dense", "dense"), ("PReLU", "p_re_lu"), ("BatchNormalization", "batch_normalization")):
        assert snake_case(kind) == snake(kind) == key


# Arguments -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", [None, 3, b"model.keras", fnn.Dense, object()])
def test_what_is_neither_a_model_nor_a_path(model):
    with pytest.raises(TypeError, match=r"model: expected a Keras 3 model or the path of a \.keras file, got"):
        fnn.from_keras(model)


def test_without_the_packages(tmp_path):
    path = archive(tmp_path / "model.keras", after(), DENSE)
    code = f"""if True:
        import sys
        sys.modules["keras"] = None
        import fnnfast as fnn
        print("fnnfast.interop" in sys.modules, "from_keras" in dir(fnn))
        fnn.from_keras
        print("h5py" in sys.modules)
        print(fnn.from_keras({str(path)!r})([[1, 2, 3, 4]]).shape)
        sys.modules["h5py"] = None
        try:
            fnn.from_keras({str(path)!r})
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "False True", "False", "(1, 4)", "files of Keras need the package h5py: pip install 'fnnfast[keras]'",
    ]  # fmt: skip
