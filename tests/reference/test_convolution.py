"""The oracles of images: against finite differences, PyTorch in float64, and calculations by hand."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fnnfast import reference
from oracles import central_difference

INF, NAN = math.inf, math.nan
RNG = np.random.default_rng(0)
# Kernel, strides, padding, dilation, groups.
GEOMETRIES = [
    (1, 1, "valid", 1, 1),
    (3, 1, "same", 1, 1),
    (3, 2, "same", 1, 1),
    ((2, 3), (3, 2), "valid", 1, 1),
    ((3, 2), 1, 2, (1, 2), 1),
    (3, (1, 2), (1, 0), 2, 1),
    (2, 2, ((0, 3), (2, 1)), 1, 1),
    (3, 2, 1, 1, 2),
    (3, 1, "same", 1, 4),
]


def close(got, expected):
    assert_allclose(got, expected, rtol=1e-12, atol=1e-12 * max(1.0, np.abs(expected).max(initial=0)))


def problem(geometry, outputs=8):
    kernel, strides, padding, dilation, groups = geometry
    kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    x = RNG.standard_normal((2, 7, 8, 4))
    weight, bias = RNG.standard_normal((*kernel, 4 // groups, outputs)), RNG.standard_normal(outputs)
    return x, weight, bias, {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}


# Windows -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_gather_by_hand_and_scatter_is_its_transpose(geometry):
    kernel, strides, padding, dilation, _ = geometry
    plan = reference.windows((7, 8), kernel, strides, padding, dilation)
    x = RNG.standard_normal((2, 7, 8, 3))
    got = plan.gather(x, fill=9.0)
    assert got.shape == (2, *plan.outputs, *plan.kernel, 3)
    for y, x_, ky, kx in itertools.product(*map(range, (*plan.outputs, *plan.kernel))):
        row = y * plan.strides[0] + ky * plan.dilation[0] - plan.padding[0][0]
        column = x_ * plan.strides[1] + kx * plan.dilation[1] - plan.padding[1][0]
        inside = 0 <= row < 7 and 0 <= column < 8
        assert_array_equal(got[:, y, x_, ky, kx], x[:, row, column] if inside else 9.0)
    other = RNG.standard_normal(got.shape)
    assert (plan.gather(x) * other).sum() == pytest.approx((x * plan.scatter(other)).sum(), rel=1e-12)


@pytest.mark.parametrize("length", range(1, 9))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("taps", [1, 2, 3, 5])
def test_same_padding(length, stride, taps):
    plan = reference.windows((length, length), taps, stride, "same")
    assert plan.outputs == (math.ceil(length / stride),) * 2
    before, after = plan.padding[0]
    assert 0 <= after - before <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": 0}, "expected kernel, strides and dilation >= 1"),
        ({"kernel": 3, "strides": (1, 0)}, "expected kernel, strides and dilation >= 1"),
        ({"kernel": 9}, "kernel: expected at most the padded image, got .9, 9. .dilation .1, 1.. for .7, 8."),
        ({"kernel": 3, "padding": "full"}, "padding: expected 'valid', 'same' or numbers, got 'full'"),
        ({"kernel": 3, "padding": -1}, "padding: expected numbers >= 0, got -1"),
    ],
)
def test_windows_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        reference.windows((7, 8), **arguments)


# Convolution ---------------------------------------------------------------------------------------------------------
def test_a_convolution_of_one_pixel_is_a_dense_layer():
    x, weight, bias, _ = problem((1, 1, "valid", 1, 1))
    assert_array_equal(reference.conv2d(x, weight, bias, "tanh"), reference.dense(x, weight[0, 0], bias, "tanh"))


@pytest.mark.parametrize("activation", ["identity", "tanh", "prelu"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_conv2d_backward(geometry, activation):
    x, weight, bias, settings = problem(geometry)
    parameter = RNG.uniform(0.2, 0.8, 8) if activation == "prelu" else None
    y, z = reference.conv2d_forward(x, weight, bias, activation, parameter, **settings)
    assert y.shape == z.shape
    dy = RNG.standard_normal(y.shape)
    gradients = reference.conv2d_backward(dy, x, weight, z, activation, parameter, **settings)

    def loss(x=x, weight=weight, bias=bias, parameter=parameter):
        return float(np.sum(dy * reference.conv2d(x, weight, bias, activation, parameter, **settings)))

    assert_allclose(gradients.x, central_difference(lambda a: loss(x=a), x), atol=1e-6)
    assert_allclose(gradients.weight, central_difference(lambda a: loss(weight=a), weight), atol=1e-6)
    assert_allclose(gradients.bias, central_difference(lambda a: loss(bias=a), bias), atol=1e-6)
    if parameter is not None:
        assert_allclose(gradients.alpha, central_difference(lambda a: loss(parameter=a), parameter), atol=1e-6)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_conv2d_beside_pytorch(geometry):
    torch = pytest.importorskip("torch")
    x, weight, bias, settings = problem(geometry)
    plan = reference.windows((7, 8), *geometry[:4])
    (top, bottom), (left, right) = plan.padding
    of_torch = [torch.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    padded = torch.nn.functional.pad(of_torch[0].permute(0, 3, 1, 2), (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(
        padded, of_torch[1].permute(3, 2, 0, 1), of_torch[2], plan.strides, 0, plan.dilation, geometry[4]
    ).permute(0, 2, 3, 1)
    y, z = reference.conv2d_forward(x, weight, bias, **settings)
    close(y, expected.detach().numpy())
    dy = RNG.standard_normal(y.shape)
    expected.backward(torch.from_numpy(dy))
    gradients = reference.conv2d_backward(dy, x, weight, z, **settings)
    for got, tensor in zip(gradients[:3], of_torch, strict=True):
        close(got, tensor.grad.numpy())


@pytest.mark.parametrize("geometry", [g for g in GEOMETRIES if g[4] == 1], ids=str)
def test_maxout_conv2d(geometry):
    x, weight, _, settings = problem(geometry, outputs=5)
    del settings["groups"]
    weight = np.stack([weight, RNG.standard_normal(weight.shape)])
    bias = RNG.standard_normal((2, 5))
    y, argmax = reference.maxout_conv2d_forward(x, weight, bias, **settings)
    pieces = np.stack([reference.conv2d(x, piece, b, **settings) for piece, b in zip(weight, bias, strict=True)])
    close(y, pieces.max(axis=0))
    assert_array_equal(argmax, pieces.argmax(axis=0))
    dy = RNG.standard_normal(y.shape)
    gradients = reference.maxout_conv2d_backward(dy, x, weight, argmax, **settings)

    def loss(x=x, weight=weight, bias=bias):
        return float(np.sum(dy * reference.maxout_conv2d_forward(x, weight, bias, **settings)[0]))

    assert_allclose(gradients.x, central_difference(lambda a: loss(x=a), x), atol=1e-6)
    assert_allclose(gradients.weight, central_difference(lambda a: loss(weight=a), weight), atol=1e-6)
    assert_allclose(gradients.bias, central_difference(lambda a: loss(bias=a), bias), atol=1e-6)


def test_channels_that_do_not_fit():
    x, weight = np.ones((1, 5, 5, 4)), np.ones((3, 3, 3, 2))
    with pytest.raises(ValueError, match="expected 1 groups of 3 channels, got 4 channels"):
        reference.conv2d(x, weight)
    with pytest.raises(ValueError, match="groups"):
        reference.conv2d(x, np.ones((3, 3, 2, 3)), groups=2)


# Pooling -------------------------------------------------------------------------------------------------------------
POOLS = [(2, None, "valid"), (3, 2, "valid"), (3, 2, 1), ((2, 3), (1, 2), "same"), (3, 1, "same")]


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_pools(pool):
    torch = pytest.importorskip("torch")
    x = RNG.standard_normal((2, 7, 8, 3))
    kernel, strides, padding = pool
    plan = reference.windows((7, 8), kernel, kernel if strides is None else strides, padding)
    (top, bottom), (left, right) = plan.padding
    image = torch.from_numpy(x).requires_grad_()
    channels_first = image.permute(0, 3, 1, 2)
    border = (left, right, top, bottom)
    padded = torch.nn.functional.pad(channels_first, border, value=-INF)
    largest = torch.nn.functional.max_pool2d(padded, plan.kernel, plan.strides).permute(0, 2, 3, 1)
    y, choice = reference.max_pool2d_forward(x, *pool)
    assert_array_equal(y, largest.detach().numpy())
    dy = RNG.standard_normal(y.shape)
    largest.backward(torch.from_numpy(dy))
    close(reference.max_pool2d_backward(dy, x, choice, *pool), image.grad.numpy())
    zeros = torch.nn.functional.pad(channels_first, border)
    ones = torch.nn.functional.pad(torch.ones_like(channels_first), border)
    sums, counts = (torch.nn.functional.avg_pool2d(a, plan.kernel, plan.strides) for a in (zeros, ones))
    for counted, mean in ((True, sums), (False, sums / counts)):
        image.grad = None
        mean = mean.permute(0, 2, 3, 1)
        close(reference.average_pool2d(x, *pool, count_padding=counted), mean.detach().numpy())
        mean.backward(torch.from_numpy(dy), retain_graph=True)
        close(reference.average_pool2d_backward(dy, x, *pool, count_padding=counted), image.grad.numpy())


def test_who_wins_a_pool():
    """The first of equal numbers, the first NaN, and -inf over the padding."""
    x = np.array([[1.0, 2.0, NAN, NAN], [2.0, 0.0, -INF, 5.0]])[None, :, :, None]
    y, choice = reference.max_pool2d_forward(x)
    assert_array_equal(y[0, 0, :, 0], [2.0, NAN])
    assert_array_equal(choice[0, 0, :, 0], [1, 0])
    x = np.full((1, 1, 1, 1), -INF)
    y, choice = reference.max_pool2d_forward(x, 3, 1, 1)
    assert y.item() == -INF
    assert choice.item() == 4  # the middle: the only number there is


# Normalization -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(6, 3), (2, 4, 5, 3)])
def test_batch_norm(shape):
    torch = pytest.importorskip("torch")
    x, gamma, beta = RNG.standard_normal(shape) * 3 + 1, RNG.standard_normal(3), RNG.standard_normal(3)
    layer = (torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d)(3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(gamma))
        layer.bias.copy_(torch.from_numpy(beta))
    image = torch.from_numpy(x).requires_grad_()
    expected = torch.movedim(layer(torch.movedim(image, -1, 1)), 1, -1)
    mean, variance = reference.batch_statistics(x)
    y = reference.batch_norm(x, gamma, beta, mean, variance)
    close(y, expected.detach().numpy())
    running = reference.running_statistics(x, np.zeros(3), np.ones(3))
    close(running[0], layer.running_mean.numpy())
    close(running[1], layer.running_var.numpy())
    dy = RNG.standard_normal(shape)
    expected.backward(torch.from_numpy(dy))
    gradients = reference.batch_norm_backward(dy, x, gamma)
    for got, tensor in zip(gradients, (image, layer.weight, layer.bias), strict=True):
        close(got, tensor.grad.numpy())
    layer.eval()
    expected = torch.movedim(layer(torch.movedim(image, -1, 1)), 1, -1)
    close(reference.batch_norm(x, gamma, beta, *running), expected.detach().numpy())


def test_one_value_leaves_the_running_statistics():
    mean, variance = reference.running_statistics(np.full((1, 2), 7.0), np.zeros(2), np.ones(2))
    assert_array_equal(mean, [0, 0])
    assert_array_equal(variance, [1, 1])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_local_response_norm(size):
    torch = pytest.importorskip("torch")
    x = RNG.standard_normal((2, 3, 4, 6)) * 3
    constants = {"alpha": 0.3, "beta": 0.75, "k": 2.0}
    image = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.local_response_norm(image.permute(0, 3, 1, 2), size, **constants).permute(0, 2, 3, 1)
    close(reference.local_response_norm(x, size, **constants), expected.detach().numpy())
    dy = RNG.standard_normal(x.shape)
    expected.backward(torch.from_numpy(dy))
    close(reference.local_response_norm_backward(dy, x, size, **constants), image.grad.numpy())
