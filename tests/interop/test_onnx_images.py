"""Models of images that are read from ONNX, some of them large ones that the package onnx brings."""

from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError
from image_models import RNG, close


def test_pools_that_are_rounded_up():
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    make = onnx.helper
    for kind, more in (("AveragePool", {"count_include_pad": 0}), ("MaxPool", {})):
        for kernel, strides in ((3, 3), (2, 3), (3, 2)):
            pool = make.make_node(
                kind, ["x"], ["p"], kernel_shape=[kernel] * 2, strides=[strides] * 2, ceil_mode=1, **more
            )
            sizes = [-(-(n - kernel) // strides) + 1 for n in (7, 5)]
            count = np.prod([s - ((s - 1) * strides >= n) for s, n in zip(sizes, (7, 5), strict=True)])
            weight = onnx.numpy_helper.from_array(RNG.standard_normal((2 * count, 3)).astype(np.float32), "w")
            nodes = [pool, make.make_node("Flatten", ["p"], ["f"]), make.make_node("MatMul", ["f", "w"], ["y"])]
            info = [make.make_tensor_value_info(n, 1, s) for n, s in (("x", ["B", 2, 7, 5]), ("y", ["B", 3]))]
            graph = make.make_graph(nodes, "g", info[:1], info[1:], [weight])
            model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
            x = RNG.standard_normal((4, 2, 7, 5)).astype(np.float32)
            expected = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
            close(fnn.from_onnx(model)(x), expected, "float32")


def pooled_in_onnx(onnx, groups, kernel=1, **settings):
    """A convolution of what a pool over the whole image gives, beside its ReLU."""
    make = onnx.helper
    weights = {"w": RNG.standard_normal((6, 8 // groups, kernel, kernel)), "v": RNG.standard_normal((12, 3))}
    nodes = [
        make.make_node("GlobalAveragePool", ["x"], ["p"]),
        make.make_node("Conv", ["p", "w"], ["c"], group=groups, **settings),
        make.make_node("Relu", ["c"], ["r"]),
        make.make_node("Concat", ["c", "r"], ["b"], axis=1),
        make.make_node("Flatten", ["b"], ["f"]),
        make.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    info = [make.make_tensor_value_info(n, 1, s) for n, s in (("x", ["B", 8, 5, 4]), ("y", ["B", 3]))]
    tensors = [onnx.numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()]
    graph = make.make_graph(nodes, "g", info[:1], info[1:], tensors)
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)


def test_convolutions_of_one_pixel():
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    for groups, more in ((1, {}), (2, {}), (1, {"auto_pad": "SAME_UPPER", "strides": [2, 2]})):
        model = pooled_in_onnx(onnx, groups, **more)
        x = RNG.standard_normal((4, 8, 5, 4)).astype(np.float32)
        expected = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
        close(fnn.from_onnx(model)(x), expected, "float32")
    for kernel in (1, 3):
        with pytest.raises(ConversionError, match=r"node 2 of 6, Conv.*: rows of shape \(8, 1, 1\) as images"):
            fnn.from_onnx(pooled_in_onnx(onnx, 1, kernel, pads=[1, 1, 1, 1]))


# The models that the package onnx brings -----------------------------------------------------------------------------
LIGHT = [
    *("resnet50", "inception_v1", "inception_v2", "squeezenet"),
    *(pytest.param(name, marks=pytest.mark.long) for name in ("bvlc_alexnet", "zfnet512", "vgg19", "densenet121")),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", LIGHT)
def test_light_models(name):
    """Their outputs; and, with random numbers for the constant ones, those of onnxruntime."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    net = fnn.from_onnx(path)
    assert net.input == fnn.Input(3, 224, 224, channels="first")
    model = randomized(onnx, onnx.load(path))
    x = RNG.standard_normal((1, 3, 224, 224)).astype(np.float32)
    given = [one.name for one in model.graph.input if one.name not in {t.name for t in model.graph.initializer}]
    expected = runtime.InferenceSession(model.SerializeToString()).run(None, {given[0]: x})[0].reshape(1, -1)
    net = fnn.from_onnx(model, check=(x, expected))
    assert np.abs(net(x) - expected).max() <= 1e-4 * np.abs(expected).max()


def randomized(onnx, model):
    """Random weights, for which values stay of one size, in the place of ConstantOfShape."""
    rng, readers, kept = np.random.default_rng(0), {}, []
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            readers.setdefault(name, (node.op_type, index))
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in values:
            kept.append(node)
            continue
        shape = values[node.input[0]].tolist()
        kind, index = readers[node.output[0]]
        array = rng.standard_normal(shape)
        if kind in ("Conv", "Gemm") and index == 1:
            array *= np.sqrt(2 / np.prod(shape[1:]))
        elif kind == "BatchNormalization" and index in (1, 4):
            array = rng.uniform(0.5, 1.5, shape)
        else:
            array *= 0.1
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def test_light_models_that_are_refused():
    onnx = pytest.importorskip("onnx")
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    with pytest.raises(ConversionError, match=r"node \d+ of \d+, Conv .*rows of shape \(112, 56, 56\) as images"):
        fnn.from_onnx(folder / "light_shufflenet.onnx")
