"""Models of other packages: damaged files, and models of random parts, which the source itself answers as well.

Each target needs its partner and is left out without it.
"""

import importlib.util
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import fnnfast as fnn
import fuzz_models
from fuzz_files import folder
from fuzz_source import Array, FaultError, Source, SourceRandom

ALLOWED = (ValueError, OSError, MemoryError)
MOST = 1e4
"""Outputs up to here are compared: beyond, sums of numbers of both signs may have lost what distinguishes them."""


def converted(what: str, read: Any) -> Any:
    """The network, or None if the model was refused."""
    try:
        return read()
    except ALLOWED as error:
        if "bug of the conversion" in str(error) or not str(error):
            raise FaultError(f"{what}: {error!r}") from error
        return None


def compare(what: str, net: Any, x: Array, expected: Array) -> None:
    """As close as roundings in float32 allow in networks of a few small layers."""
    got = net(x)
    expected = np.asarray(expected).reshape(len(x), -1)
    if got.shape != expected.shape:
        raise FaultError(f"{what}: {got.shape}, expected {expected.shape}")
    largest = np.abs(expected).max(initial=1.0)
    if largest < MOST and not np.abs(got - expected).max(initial=0) <= 1e-3 * largest:
        raise FaultError(f"{what}: {got} and {expected}")


def rows(source: Source, *shape: int) -> Array:
    return source.rng().standard_normal((5, *shape)).astype(np.float32)


def weights(source: Source, *shape: int) -> Array:
    return (source.rng().standard_normal(shape) / 2).astype(np.float32)


# Damaged files -------------------------------------------------------------------------------------------------------
@cache
def files(kind: str) -> list[bytes]:
    return [data for data in fuzz_models.KINDS[kind][1]() if len(data) < 200_000]


def damaged(kind: str) -> Any:
    """A target that reads a file which other bytes damage."""

    def target(source: Source) -> None:
        _, _, read, damages = fuzz_models.KINDS[kind]
        path = folder() / f"model{fuzz_models.SUFFIXES[kind]}"
        damage = source.choice(list(dict.fromkeys(damages)))
        path.write_bytes(damage(source.choice(files(kind)), SourceRandom(source)))
        try:
            read(str(path))
        except ALLOWED as error:
            if not str(error) and not isinstance(error, MemoryError):
                raise FaultError(f"{error!r}") from error

    return target


# ONNX ----------------------------------------------------------------------------------------------------------------
UNARY = (
    ("Relu", {}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("Elu", {"alpha": 0.5}),
    ("Elu", {}),
    ("Selu", {}),
    ("Selu", {"alpha": 1.0, "gamma": 2.0}),
    ("Celu", {"alpha": 0.7}),
    ("LeakyRelu", {"alpha": 0.2}),
    ("LeakyRelu", {}),
    ("LeakyRelu", {"alpha": -0.5}),
    ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.1}),
    ("HardSwish", {}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("Mish", {}),
    ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"}),
    ("Identity", {}),
    ("Neg", {}),
    ("Exp", {}),
    ("Abs", {}),
    ("Sqrt", {}),
    ("Erf", {}),
    ("Dropout", {}),
    ("ThresholdedRelu", {"alpha": 0.5}),
    ("Shrink", {}),
    ("Sign", {}),
    ("Log", {}),
    ("Reciprocal", {}),
    ("Flatten", {"axis": 1}),
    ("Flatten", {"axis": 0}),
    ("Softmax", {"axis": -1}),
    ("Softmax", {"axis": 0}),
    ("LogSoftmax", {}),
)


def onnx_graph(source: Source) -> None:
    """A graph of random nodes: refused, or with the answers of onnxruntime."""
    from onnx_models import Model, answers

    width = source.integer(1, 6)
    model = Model(width, opset=source.choice([20, 13, 17, 21]))
    values: list[tuple[str, int]] = [("x", width)]
    for _ in range(source.integer(1, 6)):
        name, size = values[-1 if not source.one_in(4) else source.integer(0, len(values) - 1)]
        match source.integer(0, 9):
            case 0 | 1:
                units, turned = source.integer(1, 5), source.one_in(2)
                w = weights(source, *((units, size) if turned else (size, units)))
                settings = source.choice([{}, {"alpha": 0.5}, {"beta": 2.0}, {"beta": 0.0}, {"transA": 1}])
                bias = source.choice([(units,), (1, units), (1,), (5, units)])
                operands = [name, w, *([weights(source, *bias)] if source.one_in(2) else [])]
                values.append((model.node("Gemm", *operands, transB=int(turned), **settings), units))
            case 2:
                units = source.integer(1, 5)
                values.append((model.node("MatMul", name, weights(source, size, units)), units))
            case 3 | 4:
                operator, settings = source.choice(UNARY)
                values.append((model.node(operator, name, **settings), size))
            case 5:
                operator = source.choice(["Add", "Mul", "Sub", "Div", "Max", "Min", "PRelu", "Pow"])
                operand = weights(source, *source.choice([(size,), (1, size), (), (1,), (size, 1), (2, 1, size)]))
                if operator in ("Add", "Mul", "Sub", "Max") and source.one_in(2):
                    values.append((model.node(operator, operand, name), size))
                else:
                    values.append((model.node(operator, name, operand), size))
            case 6:
                other, width = source.choice(values)
                operator = source.choice(["Add", "Mul", "Sub", "Max"])
                values.append((model.node(operator, name, other), max(size, width)))
            case 7:
                other, width = source.choice(values)
                values.append((model.node("Concat", name, other, axis=source.choice([1, -1, 0])), size + width))
            case 8:
                operands = [np.abs(weights(source, size)) + 0.5 for _ in range(4)]
                values.append((model.node("BatchNormalization", name, *operands, epsilon=1e-3), size))
            case _:
                bounds = source.choice([(0.0, 6.0), (-1.0, 1.0), (0.0,), (2.0, -2.0), (0.5, 1.5)])
                values.append((model.node("Clip", name, *(np.float32(bound) for bound in bounds)), size))
    proto = model.proto()
    what = " ".join(f"{node.op_type}({', '.join(node.input)})" for node in model.nodes)
    net = converted(what, lambda: fnn.from_onnx(proto))
    if net is None:
        return
    x = rows(source, *net.input.shape)
    try:
        (expected,) = answers(proto, x)
    except Exception:  # of onnxruntime: what it does not take is nothing to compare with
        return
    compare(f"{what}: {net.layers}", net, x, expected)


# PyTorch -------------------------------------------------------------------------------------------------------------
def torch_module(source: Source) -> None:
    """A module of random layers: refused, or with the answers of PyTorch."""
    import torch
    from torch import nn

    from torch_models import Traced, answers, stirred

    torch.manual_seed(source.integer(0, 255))

    def activation(width: int) -> Any:
        return source.choice(
            [
                nn.ReLU,
                nn.Sigmoid,
                nn.Tanh,
                nn.GELU,
                lambda: nn.GELU("tanh"),
                nn.SiLU,
                nn.Mish,
                lambda: nn.ELU(0.5),
                lambda: nn.ELU(-0.5),
                nn.SELU,
                lambda: nn.CELU(0.5),
                lambda: nn.LeakyReLU(0.3),
                lambda: nn.LeakyReLU(-0.3),
                nn.PReLU,
                lambda: nn.PReLU(width),
                nn.Softplus,
                lambda: nn.Softplus(2.0, 3.0),
                nn.Softsign,
                nn.LogSigmoid,
                nn.Hardtanh,
                lambda: nn.Hardtanh(-2.0, 0.5),
                nn.ReLU6,
                nn.Hardsigmoid,
                nn.Hardswish,
                nn.Identity,
                nn.Tanhshrink,
                lambda: nn.Threshold(0.1, 2.0),
                lambda: nn.Softmax(1),
                lambda: nn.Softmax(0),
                lambda: nn.LogSoftmax(1),
            ]
        )()

    width = source.integer(1, 6)
    shape: Any = (width,)
    layers: list[Any] = []
    if source.one_in(3):
        channels, side = source.integer(1, 3), source.integer(2, 7)
        shape = (channels, side, source.integer(2, 7))
        for _ in range(source.integer(1, 2)):
            outputs = source.integer(1, 4)
            window, stride, around = source.integer(1, 3), source.integer(1, 2), source.integer(0, 2)
            more = {"dilation": source.integer(1, 2), "bias": not source.one_in(3)}
            if source.one_in(4):
                more["padding_mode"] = "reflect"
            layers.append(nn.Conv2d(channels, outputs, window, stride, around, **more))
            channels = outputs
            if source.one_in(2):
                layers.append(activation(channels))
            kind = source.integer(0, 4)
            if kind == 1:
                layers.append(nn.MaxPool2d(2, ceil_mode=source.one_in(3), padding=source.integer(0, 1)))
            elif kind == 2:
                layers.append(nn.AvgPool2d(2, count_include_pad=source.one_in(2), padding=source.integer(0, 1)))
            elif kind == 3:
                layers.append(nn.BatchNorm2d(channels, affine=not source.one_in(3)))
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(source.choice([1, 1, 0]))]
        width = channels
    for _ in range(source.integer(1, 4)):
        match source.integer(0, 6):
            case 0 | 1:
                units = source.integer(1, 6)
                layers.append(nn.Linear(width, units, bias=not source.one_in(3)))
                width = units
            case 2 | 3:
                layers.append(activation(width))
            case 4:
                layers.append(nn.BatchNorm1d(width, eps=source.choice([1e-5, 0.1]), affine=not source.one_in(3)))
            case 5:
                layers.append(source.choice([nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.Flatten(), nn.LayerNorm(width)]))
            case _:
                inner = nn.Sequential(nn.Linear(width, width), activation(width))
                combine = source.choice(
                    [
                        lambda m, x: x + m.inner(x),
                        lambda m, x: m.inner(x) - x,
                        lambda m, x: torch.cat([x, m.inner(x)], 1),
                        lambda m, x: torch.maximum(x, m.inner(x)),
                        lambda m, x: torch.relu(m.inner(x) * 2 + x),
                        lambda m, x: m.inner(x).clamp(-1, 1),
                    ]
                )
                layers.append(Traced(combine, inner=inner))
                if "cat" in combine.__code__.co_names:
                    width *= 2
    module = stirred(nn.Sequential(*layers)).eval()
    wide = source.one_in(4)
    if wide:
        module = module.double()
    what = f"{module} of {shape}".replace("\n", "")
    net = converted(what, lambda: fnn.from_torch(module, shape))
    if net is None:
        return
    x = rows(source, *shape).astype(np.float64 if wide else np.float32)  # also without parameters
    expected = answers(module, x)
    if len(shape) == 3 and net.input.shape != shape:  # channels last
        x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    compare(what, net, x, expected)


# Keras ---------------------------------------------------------------------------------------------------------------
def keras_model(source: Source) -> None:
    """A model of random layers: refused, or with the answers of Keras, live and from its file."""
    from keras_models import import_keras, randomize

    keras = import_keras()
    kl = keras.layers
    names = ("relu", "sigmoid", "tanh", "elu", "selu", "gelu", "silu", "softplus", "softsign", "mish", "leaky_relu")
    names += ("hard_sigmoid", "relu6", "exponential", "softmax", "linear", "log_softmax", "hard_silu", "celu", "glu")
    shape: Any = (source.integer(1, 6),)
    layers: list[Any] = []
    if source.one_in(3):
        shape = (source.integer(2, 7), source.integer(2, 7), source.integer(1, 3))
        layers.append(
            kl.Conv2D(
                source.integer(1, 4),
                source.integer(1, 3),
                strides=source.integer(1, 2),
                padding=source.choice(["same", "valid"]),
                activation=source.choice(names[:11]),
                use_bias=not source.one_in(3),
            )
        )
        pools = [
            None,
            kl.MaxPooling2D(2),
            kl.AveragePooling2D(2, padding="same"),
            kl.BatchNormalization(),
            kl.BatchNormalization(axis=1),
            kl.ZeroPadding2D(1),
        ]
        layers += [layer for layer in [source.choice(pools)] if layer is not None]
        layers.append(source.choice([kl.Flatten(), kl.GlobalAveragePooling2D(), kl.GlobalMaxPooling2D()]))
    for _ in range(source.integer(1, 3)):
        match source.integer(0, 4):
            case 0 | 1:
                layers.append(kl.Dense(source.integer(1, 5), source.choice(names), use_bias=not source.one_in(3)))
            case 2:
                layers.append(
                    source.choice(
                        [
                            lambda: kl.LeakyReLU(0.1),
                            lambda: kl.ELU(0.5),
                            lambda: kl.PReLU(),
                            lambda: kl.ReLU(6.0),
                            lambda: kl.ReLU(1.0, 0.1, 0.5),
                            lambda: kl.Softmax(),
                            lambda: kl.Activation("tanh"),
                        ]
                    )()
                )
            case 3:
                layers.append(kl.BatchNormalization(epsilon=source.choice([1e-3, 0.1]), center=not source.one_in(3)))
            case _:
                layers.append(
                    source.choice([kl.Dropout(0.5), kl.GaussianNoise(0.1), kl.Rescaling(0.5, 1.0), kl.Flatten()])
                )
    try:
        model = randomize(keras.Sequential([keras.Input(shape), *layers]), source.integer(0, 99))
    except ValueError:  # of Keras: the layers do not fit together
        return
    what = f"{[(type(layer).__name__, layer.get_config()) for layer in model.layers]} of {shape}"
    net = converted(what, lambda: fnn.from_keras(model))
    if net is None:
        return
    x = rows(source, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(what, net, x, model(x).detach().numpy())
    path = folder() / "model.keras"
    model.save(path)
    again = converted(what, lambda: fnn.from_keras(str(path)))
    if again is None:
        raise FaultError(f"{what}: taken live and refused as a file")
    compare(f"{what}, from a file", again, x, net(x))


def prepare() -> None:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "interop"))
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    np.seterr(all="ignore")


NEEDS = {"onnx_file": "onnx", "onnx_graph": "onnxruntime", "torch_file": "torch", "torch_module": "torch"}
NEEDS |= {"keras_file": "h5py", "keras_model": "keras"}
TARGETS = {
    name: function
    for name, function in {
        "onnx_file": damaged("onnx"),
        "onnx_graph": onnx_graph,
        "torch_file": damaged("torch"),
        "torch_module": torch_module,
        "keras_file": damaged("keras"),
        "keras_model": keras_model,
    }.items()
    if importlib.util.find_spec(NEEDS[name]) and importlib.util.find_spec("onnx" if "onnx" in name else NEEDS[name])
}
