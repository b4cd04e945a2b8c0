"""The test models that the package onnx brings: what is read gives their outputs, all else is refused in words."""

from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper  # noqa: E402

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
pytestmark = pytest.mark.filterwarnings("ignore")

# Models of one layer or a few, some of them of opset 6, whose rows may have several axes.
READ = {
    "pytorch-converted": [
        *(f"BatchNorm{name}_eval" for name in ("1d_3d_input", "2d", "2d_momentum", "3d", "3d_momentum")),
        *(f"PReLU_{n}d{name}" for n in (1, 2, 3) for name in ("", "_multiparam")),
        *("ELU", "LeakyReLU", "LeakyReLU_with_negval", "ReLU", "SELU", "Sigmoid", "Softplus", "Softsign", "Tanh"),
        *("Linear", "Linear_no_bias", "Softmax", "Softmin", "softmax_lastdim"),
        *(f"Conv2d{name}" for name in ("", "_dilated", "_no_bias", "_padding", "_strided")),
        *("AvgPool2d", "AvgPool2d_stride", "MaxPool2d", "PixelShuffle"),
    ],
    "pytorch-operator": [
        *(f"operator_add{name}" for name in ("_broadcast", "_size1_right_broadcast", "_size1_singleton_broadcast")),
        *("operator_addconstant", "operator_addmm", "operator_exp", "operator_mm", "operator_selu"),
    ],
    "simple": ["single_relu_model"],
    "node": [
        *(f"gemm_{name}" for name in ("alpha", "beta", "transposeB")),
        *(f"gemm_default_{name}_bias" for name in ("zero", "no", "scalar", "single_elem_vector", "vector")),
        *("matmul_2d", "add_bcast", "sub_bcast", "mul_bcast", "div_bcast", "neg", "prelu_broadcast"),
        *("batchnorm_example", "batchnorm_epsilon", "softmax_example", "softmax_large_number"),
        *("celu", "elu", "elu_default", "exp", "gelu_default_2", "gelu_tanh_2", "hardsigmoid", "hardsigmoid_default"),
        *("hardswish", "hardswish_expanded", "leakyrelu", "leakyrelu_default", "relu", "selu_default", "sigmoid"),
        *("softplus", "softsign", "tanh"),
        *(f"averagepool_2d_precomputed_{name}" for name in ("pads", "pads_count_include_pad", "strides", "same_upper")),
        *(f"averagepool_2d_{name}" for name in ("default", "same_upper", "same_lower", "pads", "strides", "ceil")),
        *("averagepool_2d_pads_count_include_pad", "averagepool_2d_ceil_last_window_starts_on_pad"),
        *("basic_conv_with_padding", "basic_conv_without_padding", "conv_with_strides_padding"),
        *("conv_with_strides_no_padding", "conv_with_strides_and_asymmetric_padding", "conv_with_autopad_same"),
        *("globalaveragepool", "globalaveragepool_precomputed", "globalmaxpool", "globalmaxpool_precomputed"),
        *("lrn", "lrn_default", "depthtospace_example_expanded", "spacetodepth_example_expanded"),
        *(f"maxpool_2d_precomputed_{name}" for name in ("pads", "strides", "same_upper")),
        *(f"maxpool_2d_{name}" for name in ("default", "same_upper", "same_lower", "pads", "strides", "ceil")),
        *("maxpool_2d_ceil_output_size_reduce_by_one", "maxpool_with_argmax_2d_precomputed_pads"),
    ],
}

ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad"}  # whose outputs have four digits


def arrays(folder, kind):
    paths = (folder / f"{kind}_{i}.pb" for i in range(len(list(folder.glob(f"{kind}_*.pb")))))
    return [numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())) for path in paths]


def cases(kind):
    """Name, model, inputs and outputs."""
    if kind == "node":
        from onnx.backend.test.case.node import collect_testcases

        for case in collect_testcases(None):
            for inputs, outputs in case.data_sets:
                yield case.name, case.model, inputs, outputs
        return
    for folder in sorted((DATA / kind).iterdir()):
        for data in sorted(folder.glob("test_data_set_*")):
            try:
                inputs, outputs = arrays(data, "input"), arrays(data, "output")
            except Exception:  # a sequence or a map
                continue
            yield folder.name, onnx.load(folder / "model.onnx"), inputs, outputs


def of_one_input(model, inputs):
    """A copy whose other inputs are constants; None for a model without inputs, or with some that are no arrays."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    given = {tensor.name for tensor in copy.graph.initializer}
    free = [one.name for one in copy.graph.input if one.name not in given]
    if not free or not all(isinstance(array, np.ndarray) for array in inputs[: len(free)]):
        return None
    for name, array in zip(free[1:], inputs[1:], strict=False):
        copy.graph.initializer.append(numpy_helper.from_array(array, name))
    return copy


def ended(model, output):
    """Append a Flatten and a MatMul that changes no number: a network ends in vectors, not in images."""
    if not isinstance(output, np.ndarray) or output.ndim != 4 or output.dtype != np.float32 or output[0].size > 3100:
        return model.graph.output[0].name
    make = onnx.helper.make_node
    model.graph.initializer.append(numpy_helper.from_array(np.eye(output[0].size, dtype=np.float32), "end.weight"))
    model.graph.node.append(make("Flatten", [model.graph.output[0].name], ["end.flat"], axis=1))
    model.graph.node.append(make("MatMul", ["end.flat", "end.weight"], ["end"]))
    model.graph.output.insert(0, onnx.helper.make_tensor_value_info("end", onnx.TensorProto.FLOAT, None))
    return "end"


@pytest.mark.parametrize("kind", READ)
def test_models_of_onnx(kind):
    read, refused = set(), []
    for name, model, inputs, outputs in cases(kind):
        model = of_one_input(model, inputs)
        if model is None:
            continue
        try:
            net = fnn.from_onnx(model, output=ended(model, outputs[0]))
        except ConversionError as error:
            refused.append(str(error))
            continue
        digits = 1e-3 if name in ROUNDED else 1e-5
        np.testing.assert_allclose(net(inputs[0]), outputs[0].reshape(len(inputs[0]), -1), digits, 1e-6, err_msg=name)
        read.add(name.removeprefix("test_"))
    assert read >= set(READ[kind])
    assert refused
    assert max(map(len, refused)) < 2000
