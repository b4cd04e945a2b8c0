"""Networks of images that are written for ONNX and PyTorch, and read again."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError
from image_models import DTYPES, ENDS, INPUTS, RNG, close, conv_layers, network, rows, same


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", INPUTS, ids=str)
@pytest.mark.parametrize("end", ENDS)
def test_onnx(end, given, dtype):
    onnx = pytest.importorskip("onnx")
    net = network([*conv_layers(), *ENDS[end]], given, dtype)
    model = fnn.to_onnx(net)
    onnx.checker.check_model(model)
    same(net, fnn.from_onnx(model))
    while model.metadata_props:  # then its nodes are read as any others
        model.metadata_props.pop()
    x = rows(net)
    read = fnn.from_onnx(model)
    close(read(x), net(x), dtype)
    assert read.input.shape == given.shape


@pytest.mark.parametrize("given", INPUTS, ids=str)
@pytest.mark.parametrize("end", ENDS)
def test_onnx_runtime(end, given):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net = network([*conv_layers(), *ENDS[end]], given)
    x = rows(net)
    session = runtime.InferenceSession(fnn.to_onnx(net).SerializeToString())
    close(session.run(None, {"x": x})[0], net(x), "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", INPUTS, ids=str)
@pytest.mark.parametrize("end", ENDS)
def test_torch(end, given, dtype):
    torch = pytest.importorskip("torch")
    net = network([*conv_layers(), *ENDS[end]], given, dtype)
    module, x = fnn.to_torch(net), rows(net)
    close(module(torch.from_numpy(x)).detach().numpy(), net(x), dtype)
    same(net, fnn.from_torch(module))
    del module.fnnfast_layers  # then its calls are read as any others
    read = fnn.from_torch(module, given.shape)
    close(read(x), net(x), dtype)
    assert read.input.shape == given.shape


def test_torch_trains_as_the_network():
    """The module has the batch's statistics and the momentum of the network."""
    torch = pytest.importorskip("torch")
    net = network([fnn.Conv2D(4, 3, bias=False), fnn.BatchNorm(momentum=0.7), fnn.Activation("tanh"), fnn.Dense(2)])
    module, x = fnn.to_torch(net).train(), rows(net, 16)
    y = RNG.standard_normal((16, 2)).astype(np.float32)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    trainer = fnn.Trainer(net, loss="mse", optimizer=fnn.SGD(0.1))
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
        trainer.step(x, y)
    close(module.eval()(torch.from_numpy(x)).detach().numpy(), net(x), "float32")


def test_outputs_of_one_pixel():
    net = network([fnn.Conv2D(4, 3, "relu", strides=2), fnn.MaxPool2D(3, 2), fnn.Conv2D(5, (2, 2), "softmax")])
    x = rows(net)
    torch = pytest.importorskip("torch")
    close(fnn.to_torch(net)(torch.from_numpy(x)).detach().numpy(), net(x), "float32")
    pytest.importorskip("onnx")
    same(net, fnn.from_onnx(fnn.to_onnx(net)))


@pytest.mark.parametrize("given", INPUTS, ids=str)
def test_int8_in_onnx(given):
    """Its integers in onnxruntime: roundings to 8 bits, so both differ a little."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    chain = [layer for layer in conv_layers() if layer.kind != "local_response_norm"]
    net = network([*chain, *ENDS["flattened"]], given)
    low, x = net.quantize(rows(net, 30)), rows(net)
    session = runtime.InferenceSession(fnn.to_onnx(low).SerializeToString())
    np.testing.assert_allclose(session.run(None, {"x": x})[0], low(x), rtol=0, atol=0.02)


def test_channels_first_without_layers_of_images():
    torch = pytest.importorskip("torch")
    for chain in ([fnn.Dense(4)], [fnn.Activation("tanh"), fnn.Flatten(), fnn.Dense(4)], [fnn.Maxout(3, 2)]):
        net = network(chain, fnn.Input(3, 4, 5, channels="first"))
        x = rows(net)
        close(fnn.to_torch(net)(torch.from_numpy(x)).detach().numpy(), net(x), "float32")
        pytest.importorskip("onnx")
        close(fnn.from_onnx(fnn.to_onnx(net))(x), net(x), "float32")


def test_a_module_around_the_network_that_it_was():
    torch = pytest.importorskip("torch")
    chain = [fnn.MaxoutConv2D(4, 2, 2), fnn.AveragePool2D(2, 1, "same"), fnn.MaxPool2D(2, 1, "same"), fnn.Dense(2)]
    net = network(chain, fnn.Input(3, 5, 5, channels="first"))
    x = rows(net)
    close(fnn.from_torch(torch.nn.Sequential(fnn.to_torch(net)), (3, 5, 5))(x), net(x), "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "layer",
    [
        fnn.MaxPool2D(2, 1, "same"),
        fnn.MaxPool2D((2, 1), 1, "same"),
        fnn.MaxPool2D((3, 2), (2, 3), ((2, 1), (0, 1))),
        fnn.AveragePool2D(3, 2, ((0, 2), (1, 0)), True),
        fnn.AveragePool2D(3, 3, ((0, 2), (1, 1))),
        fnn.LocalResponseNorm(3, alpha=0.3, beta=0.7),
    ],
    ids=repr,
)
def test_operators_that_onnx_reference_has_wrong(layer, dtype):
    pytest.importorskip("onnx")
    net = network([layer, fnn.Dense(3)], fnn.Input(7, 5, 2), dtype)
    model = fnn.to_onnx(net)
    same(net, fnn.from_onnx(model))
    if dtype == "float32":
        runtime = pytest.importorskip("onnxruntime")
        x = rows(net)
        close(runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0], net(x), dtype)


def test_networks_without_images_are_written_as_vectors():
    pytest.importorskip("onnx")
    net = network([fnn.Dense(4, "relu"), fnn.Dense(2)])
    assert [node.op_type for node in fnn.to_onnx(net).graph.node] == ["Flatten", "Gemm", "Relu", "Gemm"]


def test_even_windows_of_channels_have_no_operator():
    pytest.importorskip("onnx")
    net = network([fnn.LocalResponseNorm(4), fnn.Dense(2)])
    with pytest.raises(ConversionError, match=r"layer 'local_response_norm_1': size 4, .* supported: odd sizes"):
        fnn.to_onnx(net)
