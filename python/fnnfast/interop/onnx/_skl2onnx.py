"""Converters of fnnfast's estimators for skl2onnx."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ..._checks import FLOAT32, FLOAT64
from ..._extras import needs
from ...sklearn import FNNClassifier, FNNRegressor
from ._estimators import describe
from ._export import body
from ._package import onnx
from ._writer import Writer

# What MLPClassifier takes.
_OPTIONS = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [True, False]}


@cache
def register() -> None:
    """Make the converters known."""
    with needs("skl2onnx", "register_skl2onnx needs the package skl2onnx: pip install skl2onnx"):
        import skl2onnx
        from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    def classifier_shapes(operator: Any) -> None:
        calculate_linear_classifier_output_shapes(operator)
        estimator = operator.raw_operator
        if estimator._multilabel:
            operator.outputs[0].type.shape = [operator.inputs[0].get_first_dimension(), estimator.n_outputs_]

    def regressor_shapes(operator: Any) -> None:
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

        rows = operator.inputs[0].get_first_dimension()
        kind = DoubleTensorType if isinstance(operator.inputs[0].type, DoubleTensorType) else FloatTensorType
        operator.outputs[0].type = kind([rows, operator.raw_operator.n_outputs_])

    name = "Fnnfast{}".format
    update = skl2onnx.update_registered_converter
    update(FNNClassifier, name("Classifier"), classifier_shapes, _convert, options=_OPTIONS)
    update(FNNRegressor, name("Regressor"), regressor_shapes, _convert)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """The nodes of an estimator, in the numbers of its input: double for double, else float."""
    from skl2onnx.common.data_types import DoubleTensorType

    estimator = describe(operator.raw_operator)
    if estimator is None:
        raise TypeError(f"{operator.raw_operator!r} is no estimator of fnnfast.sklearn")
    dtype = FLOAT64 if isinstance(operator.inputs[0].type, DoubleTensorType) else FLOAT32
    writer = Writer(container.target_opset_onnx, dtype, scope.get_unique_variable_name("fnnfast") + ".")
    x = writer.node("Cast", operator.inputs[0].full_name, to=writer.float_type)
    outputs = estimator.outputs(writer, body(writer, estimator.network, x, plain=False), probabilities=True)
    for output, variable in zip(outputs, operator.outputs, strict=True):
        writer.named(output.value, variable.full_name)
    for tensor in writer.initializers.values():
        strings = [text.decode() for text in tensor.string_data]
        values = np.array(strings) if strings else onnx().numpy_helper.to_array(tensor).reshape(-1)
        container.add_initializer(tensor.name, tensor.data_type, list(tensor.dims), values)
    helper = onnx().helper
    for node in writer.nodes:
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        name = scope.get_unique_operator_name(node.name)
        container.add_node(node.op_type, list(node.input), list(node.output), name=name, **settings)
