"""What ``check`` compares: each case runs a part of the public API and its oracle on the same data.

The tolerances are the project's: 4 (n + 8) eps of what a sum of n products adds up in magnitude, plus 1. Data come from
fixed seeds, so that every instruction set sees the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fnnfast as fnn

from .. import _cpu, reference
from .._device.base import Device
from .._device.cpu import CPU

Array = NDArray[Any]
DType = np.dtype[Any]

SHAPES = ((1, 1, 1), (7, 33, 5), (19, 64, 65), (50, 129, 40))  # B, I, O: around tiles and vectors
PIECES = (1, 2, 5)
IMAGE = (3, 9, 8)  # B, H, W
WINDOWS: tuple[dict[str, Any], ...] = ({"padding": "same"}, {"strides": 2, "padding": 1}, {"dilation": 2, "groups": 3})
LOW_INPUTS = (1, 33, 129)  # around the pairs and the quads of low precision
SPECIAL = (0.0, -0.0, 1e-45, -1e-45, 1e-30, 1e30, -1e30, np.inf, -np.inf, np.nan)


class Comparison:
    """Gathers a case's arrays: the worst error in units of its tolerance, and a digest of all bits (of NaN, one)."""

    def __init__(self, dtype: DType, device: Device = CPU) -> None:
        self.dtype = dtype
        self._device = device
        self.eps = float(np.finfo(dtype).eps)
        self.worst = 0.0
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def there(self, array: Array) -> Array:
        """The array where the kernels to be compared are."""
        return self._device.array("array", array)

    def add(self, got: Any, wanted: Array, tolerance: Any) -> None:
        got = np.asarray(self._device.host(got))
        self._digest.update(np.where(np.isnan(got), np.nan, got).astype(got.dtype).tobytes())
        if got.shape != wanted.shape:
            self.worst = np.inf
            return
        with np.errstate(invalid="ignore"):
            same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
            ratio = np.where(same, 0.0, np.abs(got - wanted) / tolerance)
        self.worst = max(self.worst, float(np.nan_to_num(ratio, nan=np.inf).max(initial=0.0)))

    def sum_tolerance(self, terms: int, magnitude: Any) -> Any:
        return 4 * (terms + 8) * self.eps * (magnitude + 1)


def cases() -> Iterator[tuple[str, Callable[[Comparison], None]]]:
    """Name and body of each."""
    yield "every activation has an oracle", registry
    for name, formula in reference.ACTIVATIONS.items():
        yield f"{name}", partial(activation, name)
        if formula.differentiable and not formula.rowwise:
            yield f"{name} derivative", partial(derivative, name)
        yield f"dense {name}", partial(dense, name)
        if formula.differentiable:
            yield f"dense {name} gradients", partial(dense_gradients, name)
    for pieces in PIECES:
        yield f"maxout of {pieces}", partial(maxout, pieces)
        yield f"maxout of {pieces} gradients", partial(maxout_gradients, pieces)
    for setting in WINDOWS:
        words = ", ".join(f"{name} {value}" for name, value in setting.items())
        yield f"convolution, {words}", partial(convolution, setting)
        yield f"convolution, {words}, gradients", partial(convolution_gradients, setting)
    yield "maxout convolution", maxout_convolution
    yield "convolutional network", image_network
    for loss, head in (
        (fnn.CrossEntropy(), "softmax"),
        (fnn.CrossEntropy(), "identity"),
        (fnn.BinaryCrossEntropy(), "sigmoid"),
        (fnn.BinaryCrossEntropy(), "identity"),
        (fnn.MeanSquaredError(), "identity"),
        (fnn.MeanSquaredError(), "tanh"),
        (fnn.GaussianNLL(2.0), "identity"),
        (fnn.GaussianNLL("learned"), "gaussian"),
        (fnn.Hinge(), "identity"),
        (fnn.MulticlassHinge(), "identity"),
        (fnn.Poisson(), "identity"),
    ):
        yield f"{type(loss).__name__} of {head}", partial(network_gradients, loss, head)
    for block in ((fnn.Dense(20, "tanh"), fnn.Dense(13, "gelu")), (fnn.Maxout(9, pieces=2),)):
        kinds = ", ".join(f"{layer.kind} {layer.units}" for layer in block)
        yield f"residual block of {kinds}", partial(residual, block)
    for layer in (fnn.Dense(5, "tanh"), fnn.Dense(40, "softmax"), fnn.Maxout(33, pieces=3)):
        words = f"maxout of {layer.pieces}" if isinstance(layer, fnn.Maxout) else f"dense {layer.activation.formula}"
        yield f"bfloat16 {words}", partial(bfloat16_layer, layer)
        yield f"int8 {words}", partial(int8_layer, layer)
    adam = {"beta1": 0.8, "beta2": 0.95, "eps": 1e-2}  # a large eps: where g is next to nothing, g/|g| is all rounding
    betas = (0.8, 0.95)
    for name, ours, oracle, l2 in (
        ("SGD", fnn.SGD(0.1), reference.SGD(), 0.0),
        ("SGD, momentum", fnn.SGD(0.1, momentum=0.9), reference.SGD(momentum=0.9), 0.0),
        ("SGD, Nesterov", fnn.SGD(0.1, 0.9, nesterov=True), reference.SGD(momentum=0.9, nesterov=True), 0.0),
        ("SGD, l2", fnn.SGD(0.1), reference.SGD(l2=0.1), 0.1),
        ("Adam", fnn.Adam(1e-2, betas, eps=1e-2), reference.Adam(**adam), 0.0),
        ("AdamW", fnn.AdamW(1e-2, betas, 1e-2, 0.1), reference.Adam(**adam, weight_decay=0.1), 0.0),
    ):
        yield name, partial(optimizer_steps, ours, oracle, l2)


def registry(result: Comparison) -> None:
    """The kernels' names against the oracles'."""
    names = sorted(info["name"] for info in _cpu.activations())
    if names != sorted(reference.ACTIVATIONS):
        result.worst = np.inf


# Layers ------------------------------------------------------------------------------------------------------------
def activation(name: str, result: Comparison) -> None:
    """The activation alone, at 1001 points and the special ones."""
    there = result.there
    act, parameter = _activation(name, 7, result.dtype)
    z = _points(name, result.dtype)
    wanted = reference.ACTIVATIONS[name].forward(z, parameter)
    result.add(act(there(z)), wanted, 8 * result.eps * np.maximum(1, np.abs(wanted)))


def derivative(name: str, result: Comparison) -> None:
    """Its derivative at the same points."""
    there = result.there
    act, parameter = _activation(name, 7, result.dtype)
    z = _points(name, result.dtype)
    wanted = reference.ACTIVATIONS[name].derivative(z, parameter)
    result.add(act.derivative(there(z)), wanted, 8 * result.eps * np.maximum(1, np.abs(wanted)))


def dense(name: str, result: Comparison) -> None:
    """The fused layer."""
    there = result.there
    for shape in SHAPES:
        x, weight, bias, _ = _layer(shape, 0, result.dtype)
        act, parameter = _activation(name, shape[2], result.dtype)
        wanted, z = reference.dense_forward(x, weight, bias, name, parameter)
        magnitude = reference.dense(np.abs(x), np.abs(weight), np.abs(bias)) * _steepness(name, z, parameter)
        result.add(
            fnn.dense(there(x), there(weight), there(bias), act), wanted, result.sum_tolerance(shape[1], magnitude)
        )


def dense_gradients(name: str, result: Comparison) -> None:
    """Forward for training, and backward."""
    there = result.there
    for shape in SHAPES:
        x, weight, bias, dy = _layer(shape, 0, result.dtype)
        act, parameter = _activation(name, shape[2], result.dtype)
        y, saved = fnn.dense_forward(there(x), there(weight), there(bias), act)
        grads = fnn.dense_backward(there(dy), there(x), there(weight), saved, act)
        wanted_y, z = reference.dense_forward(x, weight, bias, name, parameter)
        wanted = reference.dense_backward(dy, x, weight, z, name, parameter)
        steepness = _steepness(name, z, parameter)
        magnitude = reference.dense(np.abs(x), np.abs(weight), np.abs(bias)) * steepness
        result.add(y, wanted_y, result.sum_tolerance(shape[1], magnitude))
        # dz carries z's error, of I terms, and a softmax's row, of O; the sums over it add their own O or B.
        terms = sum(shape)
        dy = np.abs(dy) * steepness
        result.add(grads.x, wanted.x, result.sum_tolerance(terms, dy @ np.abs(weight).T))
        result.add(grads.weight, wanted.weight, result.sum_tolerance(terms, np.abs(x).T @ dy))
        result.add(grads.bias, wanted.bias, result.sum_tolerance(terms, dy.sum(axis=0)))
        if wanted.alpha is not None:
            slopes = reference.ACTIVATIONS[name].parameter_gradient(z, parameter)
            result.add(grads.alpha, wanted.alpha, result.sum_tolerance(terms, np.abs(dy * slopes).sum(axis=0)))


def maxout(pieces: int, result: Comparison) -> None:
    """The fused layer."""
    there = result.there
    for shape in SHAPES:
        x, weight, bias, _ = _layer(shape, pieces, result.dtype)
        magnitude = reference.pieces(np.abs(x), np.abs(weight), np.abs(bias)).max(axis=0)
        wanted = reference.maxout(x, weight, bias)
        result.add(fnn.maxout(there(x), there(weight), there(bias)), wanted, result.sum_tolerance(shape[1], magnitude))


def convolution(setting: dict[str, Any], result: Comparison) -> None:
    """A convolution with an activation."""
    x, weight, bias = _images(setting, result.dtype)
    magnitude = reference.conv2d(np.abs(x), np.abs(weight), np.abs(bias), **setting)
    wanted = reference.conv2d(x, weight, bias, "tanh", **setting)
    got = fnn.conv2d(x, weight, bias, "tanh", **setting)
    result.add(got, wanted, result.sum_tolerance(weight[..., 0].size, magnitude))


def convolution_gradients(setting: dict[str, Any], result: Comparison) -> None:
    """Its backward pass, linear, so that only sums are rounded."""
    x, weight, bias = _images(setting, result.dtype)
    y, saved = fnn.conv2d_forward(x, weight, bias, **setting)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(result.dtype)
    got = fnn.conv2d_backward(dy, x, weight, saved, **setting)
    wanted = reference.conv2d_backward(dy, x, weight, saved, **setting)
    sizes = reference.conv2d_backward(np.abs(dy), np.abs(x), np.abs(weight), saved, **setting)
    terms = max(y[..., 0].size, weight[:, :, 0].size)
    for part in ("x", "weight", "bias"):
        result.add(getattr(got, part), getattr(wanted, part), result.sum_tolerance(terms, getattr(sizes, part)))


def maxout_convolution(result: Comparison) -> None:
    """The fused layer over windows."""
    x, weight, bias = _images({}, result.dtype)
    weight, bias = np.stack([weight, weight[::-1], -weight]), np.stack([bias, -bias, bias])
    magnitude = reference.conv2d(np.abs(x), np.abs(weight[0]), np.abs(bias[0]))
    magnitude = np.maximum(magnitude, reference.conv2d(np.abs(x), np.abs(weight[1]), np.abs(bias[1])))
    wanted = reference.maxout_conv2d_forward(x, weight, bias)[0]
    result.add(fnn.maxout_conv2d(x, weight, bias), wanted, result.sum_tolerance(weight[0, ..., 0].size, magnitude))


def image_network(result: Comparison) -> None:
    """Convolution, batch normalization, pooling and a dense layer."""
    x, weight, bias = _images({}, result.dtype)
    chain: list[Any] = [fnn.Conv2D(10, 3), fnn.BatchNorm(), fnn.Activation("relu"), fnn.MaxPool2D(2), fnn.Flatten()]
    net = fnn.Sequential([fnn.Input(*x.shape[1:]), *chain, fnn.Dense(4, bias=False)], dtype=result.dtype, seed=0)
    rng = np.random.default_rng(2)
    p, b = net.parameters, net.buffers
    p["conv2d_1.weight"], p["conv2d_1.bias"] = weight, bias
    for name in ("gamma", "beta"):
        p[f"batch_norm_1.{name}"] = rng.normal(1, 0.2, 10)
    for name in ("mean", "variance"):
        b[f"batch_norm_1.{name}"] = rng.normal(1, 0.1, 10)
    norm = (p["batch_norm_1.gamma"], p["batch_norm_1.beta"], b["batch_norm_1.mean"], b["batch_norm_1.variance"])

    def answer(x: Array, weight: Array, bias: Array, last: Array) -> Array:
        z = reference.batch_norm(reference.conv2d(x, weight, bias), *norm)
        pooled = reference.max_pool2d_forward(np.maximum(z, 0))[0]
        return np.asarray(reference.dense(pooled.reshape(len(x), -1), last))

    last = p["dense_1.weight"]
    magnitude = answer(np.abs(x), np.abs(weight), np.abs(bias) + 2, np.abs(last))
    result.add(net(x), answer(x, weight, bias, last), result.sum_tolerance(len(last) + weight[..., 0].size, magnitude))


def _images(setting: dict[str, Any], dtype: DType) -> tuple[Array, Array, Array]:
    """x (B, H, W, 6), weight (3, 3, 6 / groups, 10 or 9) and bias."""
    rng = np.random.default_rng(7)
    groups = setting.get("groups", 1)
    shape = (3, 3, 6 // groups, 10 if groups == 1 else 9)
    x, weight, bias = (rng.standard_normal(size) for size in ((*IMAGE, 6), shape, shape[-1:]))
    return x.astype(dtype), (weight / 7).astype(dtype), bias.astype(dtype)


def maxout_gradients(pieces: int, result: Comparison) -> None:
    """Forward for training, and backward of the pieces that the oracle sees win."""
    there = result.there
    for shape in SHAPES:
        x, weight, bias, dy = _layer(shape, pieces, result.dtype)
        _, winner = reference.maxout_forward(x, weight, bias)
        wanted = reference.maxout_backward(dy, x, weight, winner)
        _, saved = fnn.maxout_forward(there(x), there(weight), there(bias))
        result.add(saved, winner, result.eps)
        grads = fnn.maxout_backward(there(dy), there(x), there(weight), saved)
        terms = sum(shape)
        sizes = reference.maxout_backward(np.abs(dy), np.abs(x), np.abs(weight), winner)
        for got, right, size in zip(grads[:3], wanted, sizes, strict=True):
            result.add(got, right, result.sum_tolerance(terms, size))


LAYERS = (activation, derivative, dense, dense_gradients, maxout, maxout_gradients)
"""What runs on a GPU as well."""


# Low precision -----------------------------------------------------------------------------------------------------
def bfloat16_layer(layer: Any, result: Comparison) -> None:
    """A layer's network with weights in bfloat16, and nothing else, as some CPUs would have it."""
    for inputs in LOW_INPUTS:
        net, x, bias = _low(layer, inputs, result)
        low = net.astype("bfloat16", weights_only=True)
        weight = reference.to_bfloat16(next(iter(net.parameters.values())).astype(np.float32))
        size = np.abs(x), np.abs(weight), np.abs(bias)
        if layer.kind == "maxout":
            wanted, magnitude = reference.maxout(x, weight, bias), reference.pieces(*size).max(axis=0)
        else:
            wanted, magnitude = reference.dense(x, weight, bias, layer.activation.formula), reference.dense(*size)
        result.add(low(x), wanted, result.sum_tolerance(inputs, magnitude))


def int8_layer(layer: Any, result: Comparison) -> None:
    """A layer's network in int8, its scales found by the oracle as well."""
    for inputs in LOW_INPUTS:
        net, x, bias = _low(layer, inputs, result)
        low = net.quantize(x)
        weight = next(iter(net.parameters.values())).astype(np.float32)
        scales = reference.scales(min(0.0, float(x.min())), max(0.0, float(x.max())), weight)
        z = reference.quantized_pre_activation(x, weight, bias, scales)
        if layer.kind == "maxout":
            wanted = reference.quantized_maxout(x, weight, bias, scales)
        else:
            wanted = reference.quantized_dense(x, weight, bias, scales, layer.activation.formula)
        result.add(low(x), wanted, result.sum_tolerance(0, np.abs(z).max()))  # the sums are exact


def _low(layer: Any, inputs: int, result: Comparison) -> tuple[fnn.Sequential, Array, Array]:
    """The network to convert, x and the bias as it will be, in float32: that is what any of them answers in."""
    result.eps = float(np.finfo(np.float32).eps)
    net = fnn.Sequential([fnn.Input(inputs), layer], dtype=result.dtype, seed=inputs)
    rng = np.random.default_rng(inputs)
    bias = f"{layer.kind}_1.bias"
    net.parameters[bias] = rng.standard_normal(net.parameters.shapes[bias])
    x = rng.standard_normal((BATCH, inputs)).astype(np.float32)
    return net, x, net.parameters[bias].astype(np.float32)


# Networks ----------------------------------------------------------------------------------------------------------
WIDTHS = (13, 17, 9, 4)
BATCH = 21


def network_gradients(loss: Any, head: str, result: Comparison) -> None:
    """A network's loss and its gradients."""
    net, layers = _network(head, result.dtype)
    x, y = _data(loss, result.dtype)
    oracle = reference.Gaussian(2.0) if loss.kernel == "gaussian" else loss.kernel
    value, wanted = reference.gradients(layers, x, y, oracle)
    grads = fnn.Trainer(net, loss, "sgd").gradients(x, y)
    _add_network(result, np.array(net.evaluate(x, y, loss=loss)["loss"]), np.array(value))
    for name, got in grads.items():
        _add_network(result, got, _parameter_of(wanted, name))


def residual(block: Any, result: Comparison) -> None:
    """The gradients of a residual block between the input and a head; one of other width has a projection."""
    layers: list[Any] = [fnn.Input(WIDTHS[0]), fnn.Residual(block), fnn.Dense(WIDTHS[-1])]
    net = fnn.Sequential(layers, dtype=result.dtype, seed=1)
    p, loss = net.parameters, fnn.MeanSquaredError()
    described: dict[str, list[dict[str, Any]]] = {"": [], "residual_1": []}
    for name, layer in net.named_layers.items():
        own: dict[str, Any] = {key.rpartition(".")[2]: p[key] for key in p if key.rpartition(".")[0] == name}
        own["kind"] = layer.kind
        if layer.kind == "dense":
            own["activation"] = layer.activation.formula
        described[name.rpartition(".")[0]].append(own)
    described[""][0]["layers"] = described["residual_1"]
    x, y = _data(loss, result.dtype)
    value, wanted = reference.gradients(described[""], x, y, loss.kernel)
    got_value, grads = fnn.Trainer(net, loss, "sgd").loss_and_gradients(x, y)
    _add_network(result, np.array(got_value), np.array(value))
    oracles = dict(zip(("residual_1", "dense_1"), wanted, strict=True))
    inner = [name for name in net.named_layers if "." in name]
    oracles |= zip(inner, wanted[0]["layers"], strict=True)
    for name, got in grads.items():
        layer_name, _, key = name.rpartition(".")
        _add_network(result, got, oracles[layer_name][key])


def optimizer_steps(ours: Any, oracle: Any, l2: float, result: Comparison) -> None:
    """The losses and the parameters of four steps."""
    loss = fnn.CrossEntropy()
    net, layers = _network("softmax", result.dtype)
    x, y = _data(loss, result.dtype)
    trainer = fnn.Trainer(net, loss, ours, l2=l2)
    states = None
    for _ in range(4):
        value, layers, states = reference.training_step(layers, x, y, loss.kernel, oracle, states, ours.lr)
        _add_network(result, np.array(trainer.step(x, y)), np.array(value))
    for name, got in net.parameters.items():
        _add_network(result, got, _parameter_of(layers, name))


def _network(head: str, dtype: DType) -> tuple[fnn.Sequential, list[dict[str, Any]]]:
    """dense, maxout, dense; and the same for the oracle."""
    inputs, hidden, pieces_units, outputs = WIDTHS
    last = fnn.Gaussian(outputs // 2) if head == "gaussian" else fnn.Dense(outputs, fnn.activations.get(head))
    layers: list[Any] = [fnn.Input(inputs), fnn.Dense(hidden, "swish"), fnn.Maxout(pieces_units, pieces=3), last]
    net = fnn.Sequential(layers, dtype=dtype, seed=1)
    p = net.parameters
    if head == "gaussian":
        weight, bias, activation = p["gaussian_1.weight"], p["gaussian_1.bias"], "identity"
    else:
        weight, bias, activation = p["dense_2.weight"], p["dense_2.bias"], head
    return net, [
        {"kind": "dense", "weight": p["dense_1.weight"], "bias": p["dense_1.bias"], "activation": "swish"},
        {"kind": "maxout", "weight": p["maxout_1.weight"], "bias": p["maxout_1.bias"]},
        {"kind": "dense", "weight": weight, "bias": bias, "activation": activation},
    ]


def _parameter_of(layers: list[dict[str, Any]], name: str) -> Array:
    layer, _, key = name.partition(".")
    place = {"dense_1": 0, "maxout_1": 1}.get(layer, 2)
    array: Array = layers[place][key]
    return array


def _data(loss: Any, dtype: DType) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((BATCH, WIDTHS[0])).astype(dtype)
    match loss.kernel:
        case "categorical_cross_entropy" | "multiclass_hinge":
            return x, rng.integers(0, WIDTHS[-1], BATCH)
        case "gaussian_learned":
            return x, rng.standard_normal((BATCH, WIDTHS[-1] // 2)).astype(dtype)
        case "binary_cross_entropy" | "hinge":
            return x, rng.integers(0, 2, (BATCH, WIDTHS[-1])).astype(dtype)
        case "poisson":
            return x, rng.poisson(2.0, (BATCH, WIDTHS[-1])).astype(dtype)
    return x, rng.standard_normal((BATCH, WIDTHS[-1])).astype(dtype)


def _add_network(result: Comparison, got: Array, wanted: Array) -> None:
    """Every sum that an entry goes through counts: all widths and the batch."""
    result.add(got, wanted, result.sum_tolerance(sum(WIDTHS) + BATCH, np.abs(wanted).max()))


# Data --------------------------------------------------------------------------------------------------------------
def _layer(shape: tuple[int, int, int], pieces: int, dtype: DType) -> tuple[Array, Array, Array, Array]:
    """x, weight, bias and dy; with pieces, a maxout layer's."""
    batch, inputs, units = shape
    rng = np.random.default_rng(shape)
    lead = (pieces,) if pieces else ()
    return (
        rng.standard_normal((batch, inputs)).astype(dtype),
        (rng.standard_normal((*lead, inputs, units)) / np.sqrt(inputs)).astype(dtype),
        rng.standard_normal((*lead, units)).astype(dtype),
        rng.standard_normal((batch, units)).astype(dtype),
    )


def _activation(name: str, units: int, dtype: DType) -> tuple[Any, Any]:
    """The public object and the oracle's parameter, other than by default where there is one."""
    oracle = reference.ACTIVATIONS[name]
    if oracle.default is None:
        return fnn.activations.get(name), None
    word = "beta" if "beta" in vars(fnn.activations.get(name)) else "alpha"
    if oracle.learned:
        slopes = np.linspace(-0.5, 1.5, units).astype(dtype)
        return fnn.activations.get(name, **{word: slopes}), slopes
    other = dtype.type(oracle.default + 0.3)
    return fnn.activations.get(name, **{word: float(other)}), other


def _steepness(name: str, z: Array, parameter: Any) -> float:
    """What an error of z is multiplied by at most, as far as it is above 1."""
    oracle = reference.ACTIVATIONS[name]
    if oracle.rowwise or not oracle.differentiable:
        return 1.0
    return max(1.0, float(np.abs(oracle.derivative(z, parameter)).max(initial=0.0)))


def _points(name: str, dtype: DType) -> Array:
    """Rows of 7 points from -30 to 30, and special values where an output does not depend on its neighbours."""
    grid = np.linspace(-30, 30, 7 * 143)
    if reference.ACTIVATIONS[name].rowwise:
        return np.random.default_rng(0).permutation(grid).reshape(-1, 7).astype(dtype)
    special = np.repeat(SPECIAL, 7)
    return np.concatenate([grid, special]).reshape(-1, 7).astype(dtype)
