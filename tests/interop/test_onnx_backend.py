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
    ],
}


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


@pytest.mark.parametrize("kind", READ)
def test_models_of_onnx(kind):
    read, refused = set(), []
    for name, model, inputs, outputs in cases(kind):
        model = of_one_input(model, inputs)
        if model is None:
            continue
        try:
            net = fnn.from_onnx(model, output=model.graph.output[0].name)
        except ConversionError as error:
            refused.append(str(error))
            continue
        np.testing.assert_allclose(net(inputs[0]), outputs[0].reshape(len(inputs[0]), -1), 1e-5, 1e-6, err_msg=name)
        read.add(name.removeprefix("test_"))
    assert read >= set(READ[kind])
    assert refused
    assert max(map(len, refused)) < 2000
