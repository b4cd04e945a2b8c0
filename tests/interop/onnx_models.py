"""ONNX models for the tests, node by node, and what onnxruntime and onnx.reference answer."""

import numpy as np
import onnx
import onnx.reference
from onnx import TensorProto, helper, numpy_helper

import fnnfast as fnn

RNG = np.random.default_rng(1)

FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64


class Model:
    """A graph with input "x" of rows of a shape; each method gives the name of a value."""

    def __init__(self, *shape, opset=20, kind=FLOAT, batch="B"):
        self.opset, self.kind, self.shape, self.batch = opset, kind, shape, batch
        self.nodes, self.tensors = [], []

    @property
    def dtype(self):
        return helper.tensor_dtype_to_np_dtype(self.kind)

    def constant(self, values, dtype=None):
        name = f"c{len(self.tensors)}"
        values = np.asarray(values)
        if dtype is None:
            dtype = self.dtype if values.dtype.kind == "f" else values.dtype
        self.tensors.append(numpy_helper.from_array(values.astype(dtype), name))
        return name

    def node(self, operator, *inputs, domain="", outputs=1, **settings):
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        out = [f"v{len(self.nodes)}" + "_" * i for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, names, out, name=f"n{len(self.nodes)}", domain=domain, **settings))
        return out[0]

    def proto(self, *outputs):
        outputs = outputs or (self.nodes[-1].output[0],)
        read = helper.make_tensor_value_info("x", self.kind, [self.batch, *self.shape])
        graph = helper.make_graph(
            self.nodes, "test", [read], [helper.make_empty_tensor_value_info(name) for name in outputs], self.tensors
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("ai.onnx.ml", 3)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def reference(model, x):
    evaluator = onnx.reference.ReferenceEvaluator(model)
    return evaluator.run(None, {evaluator.input_names[0]: x})[0]


def answers(model, x):
    """onnxruntime's outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {session.get_inputs()[0].name: x})


def outputs_of(model):
    """Names and shapes of the outputs of a model."""
    shapes = [one.type.tensor_type.shape.dim for one in model.graph.output]
    return {
        one.name: [dim.dim_value or dim.dim_param for dim in shape]
        for one, shape in zip(model.graph.output, shapes, strict=True)
    }


def rows(*shape, count=17):
    return RNG.standard_normal((count, *shape)).astype(np.float32)


def read(model, *outputs, tolerance=1e-5):
    """The network, compared with the model on rows of the tests' own."""
    proto = model.proto(*outputs)
    net = fnn.from_onnx(proto)
    x = rows(*model.shape, count=17 if model.batch == "B" else model.batch).astype(model.dtype)
    expected = reference(proto, x)
    np.testing.assert_allclose(net(x), expected, rtol=tolerance, atol=tolerance * max(1, np.abs(expected).max()))
    assert net.converted_from.source == "ONNX"
    assert net.converted_from.largest_difference <= 1e-3 * max(1, np.abs(expected).max())
    return net
