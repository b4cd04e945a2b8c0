"""Networks of images from and to other packages: convolutions, pools, branches and batch normalization."""

from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError

RNG = np.random.default_rng(0)
DTYPES = ["float32", "float64"]
INPUTS = [fnn.Input(13, 11, 3), fnn.Input(3, 13, 11, channels="first"), fnn.Input(13, 11, 1)]


def conv_layers():
    """One of each kind, with uneven padding where a layer has padding."""
    return [
        fnn.Conv2D(6, 3, "relu", padding="same"),
        fnn.MaxPool2D(3, 2, "same"),
        fnn.BatchNorm(),
        fnn.Conv2D(8, (3, 2), "prelu", strides=(2, 1), padding=((0, 1), (1, 0)), bias=False),
        fnn.BatchNorm(momentum=0.8, eps=1e-3),
        fnn.Activation("swish"),
        fnn.Parallel([[fnn.Conv2D(4, 1, "tanh")], [], [fnn.MaxPool2D(3, 1, 1), fnn.Conv2D(3, 3, "gelu", padding=1)]]),
        fnn.Residual([fnn.Conv2D(15, 3, padding=1), fnn.BatchNorm()], activation="relu"),
        fnn.Residual([fnn.Conv2D(9, 3, padding=1)]),
        fnn.Conv2D(18, 3, "relu", groups=3),
        fnn.Conv2D(18, 2, groups=18, padding="same"),
        fnn.Residual([fnn.Conv2D(4, 1)], [fnn.Conv2D(4, 3, padding=2, dilation=2)]),
        fnn.LocalResponseNorm(3),
        fnn.AveragePool2D(2, 1, ((0, 1), (0, 1))),
        fnn.AveragePool2D(2, 1, 1, count_padding=True),
        fnn.MaxoutConv2D(5, 2, 3, padding=((0, 1), (0, 0))),
        fnn.Activation(fnn.activations.ELU(learn=True)),
        fnn.Dropout(0.3),
    ]


ENDS = {
    "flattened": [fnn.Flatten(), fnn.Dense(7, "relu"), fnn.Maxout(4, 2), fnn.Dense(3, "softmax")],
    "dense": [fnn.Dense(3, "softmax")],
    "maxout": [fnn.Maxout(3, 2)],
    "pooled": [fnn.GlobalAveragePool2D(), fnn.Dense(2, "sigmoid")],
}


def network(layers, given=INPUTS[0], dtype="float32"):
    net = fnn.Sequential([given, *layers], dtype=dtype, seed=1)
    for name, values in net.buffers.items():
        net.buffers[name] = RNG.uniform(0.5, 2, values.shape)
    for name, values in net.parameters.items():
        net.parameters[name] = values + RNG.normal(size=values.shape) * 0.1
    return net


def rows(net, count=5):
    return RNG.standard_normal((count, *net.input.shape)).astype(net.dtype)


def same(net, other):
    assert other.layers == net.layers
    for kind in ("parameters", "buffers"):
        for name, values in getattr(net, kind).items():
            np.testing.assert_array_equal(getattr(other, kind)[name], values, err_msg=name)


def close(got, expected, dtype):
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)


# Round trips ---------------------------------------------------------------------------------------------------------
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


def test_vectors_side_by_side_of_an_input_that_could_be_images():
    torch = pytest.importorskip("torch")

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.end = torch.nn.Linear(210, 3)

        def forward(self, x):
            flat = x.flatten(1)
            return self.end(torch.cat([flat, torch.relu(flat)], 1))

    module, x = Both(), RNG.standard_normal((4, 3, 7, 5)).astype(np.float32)
    close(fnn.from_torch(module, (3, 7, 5))(x), module(torch.from_numpy(x)).detach().numpy(), "float32")


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


def test_networks_without_images_are_written_as_vectors():
    pytest.importorskip("onnx")
    net = network([fnn.Dense(4, "relu"), fnn.Dense(2)])
    assert [node.op_type for node in fnn.to_onnx(net).graph.node] == ["Flatten", "Gemm", "Relu", "Gemm"]


def test_even_windows_of_channels_have_no_operator():
    pytest.importorskip("onnx")
    net = network([fnn.LocalResponseNorm(4), fnn.Dense(2)])
    with pytest.raises(ConversionError, match=r"layer 'local_response_norm_1': size 4, .* supported: odd sizes"):
        fnn.to_onnx(net)


# PyTorch -------------------------------------------------------------------------------------------------------------
def stirred(module):
    import torch

    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_()
    return module.eval()


def _written(copy, images):
    """A copy is another value than what it was made of."""
    return copy.relu_() + images


def _copied_before_a_write(images):
    copy = images.permute(0, 2, 3, 1).contiguous()
    images.relu_()
    return copy.flatten(1)


def torch_modules():
    import torch
    from torch import nn
    from torch.nn import functional

    def calls(forward, **parts):
        class Calls(nn.Module):
            def forward(self, x):
                return forward(self, x)

        module = Calls()
        for name, part in parts.items():
            setattr(module, name, part)
        return module

    conv, end = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8 * 64, 4)
    return {
        "flatten": nn.Sequential(conv, nn.ReLU(inplace=True), nn.Flatten(), end),
        "view": calls(lambda m, x: m.end(m.conv(x).view(x.size(0), -1)), conv=conv, end=end),
        "reshape": calls(lambda m, x: m.end(functional.relu_(m.conv(x)).reshape(-1, 512)), conv=conv, end=end),
        "norm": nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.SiLU(), nn.Flatten(), nn.Linear(288, 4)
        ),
        "norm first": nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), conv, nn.Flatten(), end),
        "norm before padding": nn.Sequential(nn.BatchNorm2d(3), conv, nn.Flatten(), end),
        "norm before windows": nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 4)),
        "slopes": nn.Sequential(conv, nn.PReLU(8), nn.MaxPool2d(2), nn.PReLU(), nn.Flatten(), nn.Linear(128, 4)),
        "rounded up": nn.Sequential(conv, nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(), nn.Linear(128, 4)),
        "rounded up with padding": nn.Sequential(
            nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), nn.Flatten(), nn.Linear(75, 4)
        ),
        "counted padding": nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Flatten(), nn.Linear(192, 4)),
        "adaptive": nn.Sequential(conv, nn.AdaptiveAvgPool2d((4, 2)), nn.Flatten(), nn.Linear(64, 4)),
        "adaptive to the same": nn.Sequential(conv, nn.AdaptiveAvgPool2d(8), nn.Flatten(), end),
        "adaptive maximum": nn.Sequential(conv, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
        "mean": calls(lambda m, x: m.end(m.conv(x).mean((2, 3))), conv=conv, end=nn.Linear(8, 4)),
        "pixels after the mean": nn.Sequential(
            conv, nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 6, 1, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(6, 4)
        ),
        "same": nn.Sequential(nn.Conv2d(3, 8, (2, 3), padding="same", dilation=2), nn.Flatten(), end),
        "zeros": nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(504, 4)),
        "zeros before a maximum": nn.Sequential(
            conv, nn.ReLU(), nn.ZeroPad2d(1), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(128, 4)
        ),
        "local response": nn.Sequential(conv, nn.LocalResponseNorm(4), nn.Flatten(), end),
        "branches": calls(
            lambda m, x: m.end(
                functional.relu(torch.cat([m.conv(x), x, functional.max_pool2d(x, 3, 1, 1)], 1)).flatten(1)
            ),
            conv=conv,
            end=nn.Linear(14 * 64, 4),
        ),
        "branches of vectors": calls(
            lambda m, x: m.end(torch.cat([m.conv(x).flatten(1), x.flatten(1)], 1)),
            conv=conv,
            end=nn.Linear(11 * 64, 4),
        ),
        "residual": calls(
            lambda m, x: m.end(functional.relu(m.b(functional.relu(m.a(x))) + x).flatten(1)),
            a=nn.Conv2d(3, 6, 3, padding=1),
            b=nn.Conv2d(6, 3, 3, padding=1),
            end=nn.Linear(192, 4),
        ),
        "channels last": calls(
            lambda m, x: m.end(m.conv(x).permute(0, 2, 3, 1).flatten(1)), conv=conv, end=nn.Linear(512, 4)
        ),
        "scaled channels": calls(
            lambda m, x: m.end(m.conv((x - m.mean) / m.deviation).flatten(1)),
            conv=conv,
            end=end,
            mean=torch.tensor([0.4, 0.5, 0.6]).reshape(3, 1, 1),
            deviation=torch.tensor([0.2, 0.3, 0.25]).reshape(1, 3, 1, 1),
        ),
        "maximum of convolutions": calls(
            lambda m, x: m.end(torch.maximum(m.a(x), m.b(x)).flatten(1)),
            a=nn.Conv2d(3, 8, 3, padding=1),
            b=nn.Conv2d(3, 8, 3, padding=1),
            end=end,
        ),
        "groups": nn.Sequential(
            conv,
            nn.Conv2d(8, 12, 3, padding=1, groups=4),
            nn.Conv2d(12, 12, 3, groups=12),
            nn.Flatten(),
            nn.Linear(432, 4),
        ),
        "groups of one pixel": nn.Sequential(
            conv, nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 6, 1, groups=2), nn.Flatten(), nn.Linear(6, 4)
        ),
        "last images of one pixel": nn.Sequential(
            nn.Conv2d(3, 8, 8), nn.Conv2d(8, 8, 1, groups=4), nn.Flatten(), nn.Linear(8, 4)
        ),
        "two pools": calls(
            lambda m, x: m.end(
                torch.cat([functional.adaptive_max_pool2d(x, 1), functional.adaptive_avg_pool2d(x, 1)], 1).flatten(1)
            ),
            end=nn.Linear(6, 4),
        ),
        "minus infinity": nn.Sequential(
            conv, nn.ConstantPad2d((0, 1, 1, 0), -float("inf")), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(512, 4)
        ),
        "copies of pools": calls(
            lambda m, x: m.end(_written(functional.adaptive_avg_pool2d(m.conv(x), 8), m.conv(x)).flatten(1)),
            conv=conv,
            end=end,
        ),
        "a copy in another order": calls(
            lambda m, x: m.end(_copied_before_a_write(m.conv(x))), conv=conv, end=nn.Linear(512, 4)
        ),
        "permuted beside": calls(
            lambda m, x: m.end(m.conv(x).flatten(1)) + m.other(x.permute(0, 2, 3, 1).flatten(1)),
            conv=conv,
            end=end,
            other=nn.Linear(192, 4),
        ),
        "dropout": nn.Sequential(conv, nn.Dropout2d(0.2), nn.Flatten(), nn.Dropout(0.5), end),
    }


def test_modules():
    pytest.importorskip("torch")
    for name, module in torch_modules().items():
        for dtype in DTYPES:
            import torch

            module = stirred(module).to(getattr(torch, dtype))
            for part in vars(module):
                if isinstance(getattr(module, part), torch.Tensor):
                    setattr(module, part, getattr(module, part).to(getattr(torch, dtype)))
            net = fnn.from_torch(module, (3, 8, 8))
            assert net.input == fnn.Input(3, 8, 8, channels="first"), name
            x = RNG.standard_normal((7, 3, 8, 8)).astype(dtype)
            close(net(x), module(torch.from_numpy(x)).detach().numpy(), dtype)


def test_modules_that_are_refused():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    for module, text in [
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "the output: rows of shape"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), "the output: the pixels of images"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), "padding_mode 'reflect'"),
        (nn.Sequential(nn.MaxPool2d(2, dilation=2)), "dilation .* of a pool"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(3)), "3 x 3 windows of 8 x 8 pixels"),
        (nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(75, 2)), "zeros around an image that"),
        (
            nn.Sequential(nn.ReLU(), nn.ZeroPad2d(2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(108, 2)),
            "zeros around an",
        ),
        (nn.Sequential(nn.AvgPool2d(3, 2, 1, ceil_mode=True)), "ceil_mode with count_include_pad"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Unflatten(1, (2, 2)), nn.Conv2d(2, 2, 1)), "."),
    ]:
        with pytest.raises((ConversionError, ValueError), match=text):
            fnn.from_torch(module, (3, 8, 8))


def test_a_write_to_images_that_are_also_vectors():
    torch = pytest.importorskip("torch")

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.end = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Linear(256, 2)

        def forward(self, x):
            images = self.conv(x)
            vectors = images.flatten(1)
            images.relu_()
            return self.end(vectors)

    with pytest.raises(ConversionError, match="a write in place to images"):
        fnn.from_torch(Both(), (3, 8, 8))


def test_a_residual_network_of_torch():
    torch = pytest.importorskip("torch")
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.a, self.b = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
            self.c, self.d = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
            self.skip = nn.Identity()
            if stride > 1:
                self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            return functional.relu(self.d(self.c(functional.relu(self.b(self.a(x))))) + self.skip(x))

    stem = [nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks = [Block(8, 8, 1), Block(8, 16, 2), Block(16, 16, 1)]
    module = stirred(nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)))
    net = fnn.from_torch(module, (3, 32, 32))
    x = RNG.standard_normal((3, 3, 32, 32)).astype(np.float32)
    close(net(x), module(torch.from_numpy(x)).detach().numpy(), "float32")
    assert [layer.kind for layer in net.layers[1:]] == [
        "conv2d",
        "max_pool2d",
        *["residual"] * 3,
        "global_average_pool2d",
        "dense",
    ]
    assert not any(layer.kind == "batch_norm" for layer in net.named_layers.values())


# Keras ---------------------------------------------------------------------------------------------------------------
def keras_models():
    import keras

    layers = keras.layers
    whole = keras.Input((12, 10, 3))
    a = layers.Conv2D(6, 3, activation="relu", padding="same")(whole)
    b = layers.Concatenate()([layers.Conv2D(4, 1)(a), layers.MaxPooling2D(3, 1, padding="same")(a)])
    c = layers.Add()([layers.BatchNormalization()(layers.Conv2D(10, 3, padding="same", use_bias=False)(b)), b])
    branches = keras.Model(
        whole, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(layers.ReLU()(c)))
    )
    return {
        "branches": branches,
        "scaled": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.Rescaling(1 / 255.0, offset=-0.5),
                layers.Conv2D(4, 3, activation="swish"),
                layers.AveragePooling2D(2, padding="same"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
        "zeros": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.ZeroPadding2D(((1, 2), (0, 1))),
                layers.Conv2D(4, (3, 2), strides=2),
                layers.PReLU(shared_axes=[1, 2]),
                layers.SpatialDropout2D(0.5),
                layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation="relu"),
                layers.ZeroPadding2D(1),
                layers.MaxPooling2D(3, strides=2),
                layers.GlobalMaxPooling2D(),
                layers.Dense(3),
            ]
        ),
        "channels": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.DepthwiseConv2D(3, padding="same", activation="relu", depth_multiplier=2),
                layers.SeparableConv2D(5, 3, strides=2, depth_multiplier=3, activation="tanh"),
                layers.DepthwiseConv2D((3, 2), use_bias=False),
                layers.Conv2D(10, 2, groups=5),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
        "reshaped": keras.Sequential(
            [
                keras.Input((120,)),
                layers.Reshape((12, 10, 1)),
                layers.Conv2D(4, 3),
                layers.MaxPooling2D(2),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
        "turned": keras.Sequential(
            [keras.Input((4, 4, 3)), layers.Permute((2, 1, 3)), layers.Reshape((48,)), layers.Dense(3)]
        ),
        "kept axes": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.Conv2D(4, 3),
                layers.GlobalAveragePooling2D(keepdims=True),
                layers.Dense(5),
                layers.Reshape((5,)),
                layers.Dense(3),
            ]
        ),
        "groups of one pixel": keras.Sequential(
            [
                keras.Input((12, 10, 3)),
                layers.Conv2D(4, 3),
                layers.GlobalAveragePooling2D(keepdims=True),
                layers.Conv2D(6, 1, 2, "same", groups=2, activation="relu"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        ),
    }


@pytest.mark.filterwarnings("ignore")
def test_keras(tmp_path):
    pytest.importorskip("keras")
    for name, model in keras_models().items():
        for weight in model.weights:
            if any(part in weight.path for part in ("variance", "mean", "beta", "bias")):
                weight.assign(RNG.uniform(0.5, 2, weight.shape))
        net = fnn.from_keras(model)
        x = RNG.standard_normal((5, *model.input_shape[1:])).astype(np.float32)
        close(net(x.reshape(5, *net.input.shape)), model.predict(x, verbose=0), "float32")
        if pytest.importorskip("h5py"):
            model.save(tmp_path / f"{name}.keras")
            read = fnn.from_keras(tmp_path / f"{name}.keras")
            same(net, read)


@pytest.mark.filterwarnings("ignore")
def test_keras_refusals():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    for chain, text in [
        ([layers.Conv2D(4, 3)], "the model: outputs of shape"),
        (
            [layers.ZeroPadding2D(1), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(2)],
            "zeros around an image that",
        ),
        (
            [layers.Conv2D(4, 3), layers.PReLU(), layers.Flatten(), layers.Dense(2)],
            "slopes that differ from pixel to pixel",
        ),
        ([layers.Conv2D(4, 3), layers.Reshape((4, 36)), layers.Dense(2)], "rows of shape"),
    ]:
        model = keras.Sequential([keras.Input((8, 8, 3)), *chain])
        for weight in model.weights:
            weight.assign(RNG.uniform(0.5, 2, weight.shape))
        with pytest.raises(ConversionError, match=text):
            fnn.from_keras(model)


# The models that the package onnx brings -----------------------------------------------------------------------------
LIGHT = [
    *("bvlc_alexnet", "zfnet512", "vgg19", "resnet50", "inception_v1", "inception_v2", "squeezenet", "densenet121")
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
