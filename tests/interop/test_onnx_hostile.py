"""from_onnx on files that someone made to do harm, or that were damaged."""

import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnnfast as fnn
from fnnfast.interop import ConversionError

onnx = pytest.importorskip("onnx")

from onnx import TensorProto  # noqa: E402

from onnx_models import FLOAT, Model  # noqa: E402

W = np.random.default_rng(0).standard_normal((4, 4))


def dense(model, value="x"):
    return model.node("Gemm", value, W)


GB = 2**30


@pytest.fixture(autouse=True)
def little_memory():
    """A refusal must come before what it refuses is allocated."""
    resource = pytest.importorskip("resource")
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + GB, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def tensor(dims, kind=FLOAT, **fields):
    found = TensorProto(name="w", data_type=kind, dims=dims)
    for key, value in fields.items():
        if isinstance(value, list):
            getattr(found, key).extend(value)
        else:
            setattr(found, key, value)
    return found


def of_tensor(one):
    model = Model(4)
    model.node("Gemm", "x", "w")
    model.tensors.append(one)
    return model.proto()


def large(operator, *inputs, **settings):
    def build():
        model = Model(4)
        model.node("Gemm", "x", model.node(operator, *inputs, **settings))
        return model.proto()

    return build


def doubling():
    """Each node twice as much as the one before."""
    model = Model(4)
    value = model.constant(np.ones((64, 64)))
    for _ in range(40):
        value = model.node("Concat", value, value, axis=0)
    model.node("Gemm", "x", value)
    return model.proto()


def wide_input(*consumers):
    def build():
        model = Model(2**30)
        value = "x"
        for consumer in consumers:
            value = model.node(consumer, value)
        return model.proto()

    return build


def given_twice():
    model = Model(4)
    dense(model)
    dense(model)
    model.nodes[1].output[0] = "v0"
    return model.proto("v0")


def named_twice():
    proto = of_tensor(tensor([4, 4], raw_data=bytes(64)))
    proto.graph.initializer.append(tensor([4, 4], raw_data=bytes(64)))
    return proto


def in_a_circle():
    model = Model(4)
    model.node("Add", "x", "v1")
    model.node("Relu", "v0")
    return model.proto()


def many_nodes():
    model = Model(4)
    value = dense(model)
    for _ in range(20_000):
        value = model.node("Relu", value)
    return model.proto()


def many_rows():
    model = Model(4, batch=2**40)
    dense(model)
    return model.proto()


HOSTILE = {
    "raw data too short": (
        lambda: of_tensor(tensor([2**20, 2**20], raw_data=b"1234")),
        "tensor 'w': expected .* bytes",
    ),
    "raw data too long": (lambda: of_tensor(tensor([1, 1], raw_data=bytes(64))), "tensor 'w': expected 4 bytes"),
    "numbers too few": (lambda: of_tensor(tensor([2**31, 2**31], float_data=[1.0])), "expected 4611686018427387904"),
    "negative length": (lambda: of_tensor(tensor([-4, -4], raw_data=bytes(64))), "a whole tensor of lengths >= 0"),
    "many axes": (lambda: of_tensor(tensor([1] * 10_000, raw_data=bytes(4))), "a whole tensor of lengths >= 0"),
    "no numbers": (lambda: of_tensor(tensor([4, 4], kind=8)), "tensor 'w': expected numbers of"),
    "unknown type": (lambda: of_tensor(tensor([4, 4], kind=77, raw_data=bytes(64))), "got type 77"),
    "numbers out of range": (
        lambda: of_tensor(tensor([1, 1], kind=10, int32_data=[-1])),
        "Gemm 'n0': its input is a vector of 4",
    ),
    "ConstantOfShape": (large("ConstantOfShape", [2**20, 2**20]), "ConstantOfShape 'n0': a constant of"),
    "ConstantOfShape beyond 64 bits": (large("ConstantOfShape", [2**62, 2**62]), "ConstantOfShape 'n0': a constant"),
    "Expand": (large("Expand", np.ones(1), [2**20, 2**20]), "Expand 'n0'"),
    "Add": (large("Add", np.ones((2**12, 1)), np.ones((1, 2**16))), "Add 'n0': a constant of"),
    "Gather": (large("Gather", np.ones((4, 2**14)), np.zeros(2**16, np.int64)), "Gather 'n0': a constant of"),
    "Unsqueeze": (large("Unsqueeze", W, list(range(100))), "Unsqueeze 'n0': invalid constants"),
    "Concat": (doubling, "Concat 'n.*': a constant of"),
    "a wide input": (wide_input("Relu"), "input 'x': 1073741824 values in a row, more than the file has bytes"),
    "a value given twice": (given_twice, "the model: two nodes give 'v0'"),
    "a name given twice": (named_twice, "two initializers of one name"),
    "a circle": (in_a_circle, "its input 'v1' is not computed before it"),
    "many nodes": (many_nodes, "the model: 20001 nodes; supported: at most 16384"),
    "many rows": (many_rows, "input 'x': 1099511627776 rows"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_models(name):
    build, text = HOSTILE[name]
    with pytest.raises(ConversionError, match=text):
        fnn.from_onnx(build())


# External data -------------------------------------------------------------------------------------------------------
def external(location, shape=(4, 4), **fields):
    found = TensorProto(name="w", data_type=FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **fields}.items():
        found.external_data.add(key=key, value=str(value))
    return of_tensor(found)


@pytest.fixture
def folder(tmp_path):
    """A model's folder, with 64 bytes of data in it and outside."""
    inside = tmp_path / "model"
    (inside / "deep").mkdir(parents=True)
    for path in (tmp_path / "secret", inside / "data", inside / "deep" / "data"):
        path.write_bytes(W.astype("<f4").tobytes())
    os.symlink(tmp_path / "secret", inside / "link")
    os.symlink(tmp_path, inside / "up")
    os.mkfifo(inside / "pipe")
    return inside


def load(folder, proto):
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return fnn.from_onnx(path)


@pytest.mark.parametrize("location", ["data", "deep/data", "./data"])
def test_external_data(folder, location):
    net = load(folder, external(location, offset=0, length=64))
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], W.astype(np.float32))
    net = load(folder, external(location, shape=(4, 2), offset=32))
    np.testing.assert_array_equal(net.parameters["dense_1.weight"].ravel(), W.astype(np.float32).ravel()[8:])


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "deep/../../secret",
        "deep/../data",
        "link",
        "up/secret",
        "",
        ".",
        "deep",
        "/etc/hosts",
        "a\\b",
        "\0",
    ],
)
def test_external_data_outside_the_folder(folder, location):
    text = "external data in the model's folder|cannot be read|in a file of 0"
    with pytest.raises(ConversionError, match=text):
        load(folder, external(location))
    absolute = external(str(folder.parent / "secret"))
    with pytest.raises(ConversionError, match="external data in the model's folder"):
        load(folder, absolute)


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": 4},
        {"offset": -4},
        {"length": 2**40},
        {"length": 4},
        {"offset": 2**62},
        {"length": "many"},
        {"offset": "1e3"},
    ],
)
def test_external_data_of_another_size(folder, fields):
    with pytest.raises(ConversionError, match="external data"):
        load(folder, external("data", **fields))
    with pytest.raises(ConversionError, match="bytes of external data for shape"):
        load(folder, external("data", shape=(2**20, 2**20)))


def test_external_data_that_is_no_file(folder):
    for location in ("pipe", "gone"):
        with pytest.raises(ConversionError, match="external data"):
            load(folder, external(location))


def test_external_data_of_bytes():
    with pytest.raises(ConversionError, match="give the path of the model, or load it with"):
        fnn.from_onnx(external("data").SerializeToString())


def test_external_data_through_a_link_to_the_model(folder, tmp_path):
    (folder / "model.onnx").write_bytes(external("data").SerializeToString())
    os.symlink(folder / "model.onnx", tmp_path / "other.onnx")
    assert fnn.from_onnx(tmp_path / "other.onnx").layers[1:] == (fnn.Dense(4, bias=False),)


def test_sixteen_bits_outside(folder):
    (folder / "half").write_bytes(W.astype("<f2").tobytes())
    proto = external("half")
    proto.graph.initializer[0].data_type = TensorProto.FLOAT16
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    net = load(folder, proto)
    np.testing.assert_array_equal(net.parameters["dense_1.weight"], W.astype(np.float16).astype(np.float32))


# Files ---------------------------------------------------------------------------------------------------------------
def test_files_that_are_no_models(tmp_path):
    path = tmp_path / "model.onnx"
    for content in (b"", b"no model", bytes(100), struct.pack("<q", -1) * 9, b"\x0a" * 1000):
        path.write_bytes(content)
        for given_as in (path, content):
            with pytest.raises(ConversionError, match="no ONNX model"):
                fnn.from_onnx(given_as)
    with pytest.raises(OSError, match="gone"):
        fnn.from_onnx(tmp_path / "gone.onnx")
    with pytest.raises(TypeError, match=r"model: expected a path, bytes or an onnx.ModelProto, got int"):
        fnn.from_onnx(3)


def whole():
    layers = [fnn.Input(3), fnn.Dense(4, "gelu"), fnn.Residual([fnn.Maxout(4)]), fnn.Dense(2, "softmax")]
    return fnn.to_onnx(fnn.Sequential(layers, seed=0), opset=18).SerializeToString()


@given(data=st.data())
@settings(max_examples=300)
def test_damaged_files(data):
    """Any change of some bytes is refused, or is a model of other numbers."""
    content = bytearray(whole())
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(content) - 1))
        content[where] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    try:
        net = fnn.from_onnx(bytes(content))
    except ConversionError:
        return
    assert net.converted_from is not None


def test_an_attribute_without_a_value():
    proto = of_tensor(tensor([4, 4], raw_data=bytes(64)))
    proto.graph.node[0].attribute.add(name="alpha").s = b"\xff\xfe"
    with pytest.raises(ConversionError, match="Gemm 'n0': attribute 'alpha': no value"):
        fnn.from_onnx(proto)


@pytest.mark.parametrize("kind", ["Constant", "LeakyRelu"])
def test_an_attribute_of_no_kind(kind):
    proto = of_tensor(tensor([4, 4], raw_data=bytes(64)))
    node = proto.graph.node.add(op_type=kind, name="odd", output=["odd"])
    node.input.extend(["x"] if kind == "LeakyRelu" else [])
    node.attribute.add(name="value" if kind == "Constant" else "alpha")
    proto.graph.node.add(op_type="Add", input=[proto.graph.output[0].name, "odd"], output=["sum"])
    proto.graph.output[0].name = "sum"
    with pytest.raises(ConversionError, match="odd"):
        fnn.from_onnx(proto)
