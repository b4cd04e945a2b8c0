"""Modules of PyTorch that read images."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast.interop import ConversionError
from image_models import DTYPES, RNG, close


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
