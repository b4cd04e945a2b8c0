"""Layers of images: shapes, parameters, what they hold and refuse, files, and what they are to the compiled network."""

import copy
import math
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast._models.scaling import compound_scale
from fnnfast._network import file_format, summary
from fnnfast._network.structure import Structure
from fnnfast._network.tensors import stored

IMAGE = (9, 12, 4)
ZERO = ((0, 0), (0, 0))

# A layer, the shape that it gives for IMAGE, the shapes of its parameters, its spec.
LAYERS = [
    (
        fnn.Conv2D(6, 3),
        (7, 10, 6),
        {"weight": (3, 3, 4, 6), "bias": (6,)},
        ("convolution", 6, 1, False, (3, 3), (1, 1), ZERO, (1, 1), 1, "identity", None, True),
    ),
    (
        fnn.Conv2D(6, (3, 2), fnn.LeakyReLU(0.2), strides=2, padding="same", bias=False),
        (5, 6, 6),
        {"weight": (3, 2, 4, 6)},
        ("convolution", 6, 1, False, (3, 2), (2, 2), ((1, 1), (0, 0)), (1, 1), 1, "leaky_relu", 0.2, False),
    ),
    (
        fnn.Conv2D(6, 3, "prelu", dilation=(2, 1), padding=((1, 2), (0, 3)), groups=2, init="he_uniform"),
        (8, 13, 6),
        {"weight": (3, 3, 2, 6), "bias": (6,), "alpha": (6,)},
        ("convolution", 6, 1, False, (3, 3), (1, 1), ((1, 2), (0, 3)), (2, 1), 2, "prelu", None, True),
    ),
    (
        fnn.Conv2D(4, 3, padding=1, groups=4),
        (9, 12, 4),
        {"weight": (3, 3, 1, 4), "bias": (4,)},
        ("convolution", 4, 1, False, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 4, "identity", None, True),
    ),
    (
        fnn.MaxoutConv2D(5, 3),
        (7, 10, 5),
        {"weight": (2, 3, 3, 4, 5), "bias": (2, 5)},
        ("convolution", 5, 2, True, (3, 3), (1, 1), ZERO, (1, 1), 1, "identity", None, True),
    ),
    (
        fnn.MaxoutConv2D(5, 1, pieces=1, strides=(1, 3), padding=(0, 1), dilation=2, bias=False),
        (9, 5, 5),
        {"weight": (1, 1, 1, 4, 5)},
        ("convolution", 5, 1, True, (1, 1), (1, 3), ((0, 0), (1, 1)), (2, 2), 1, "identity", None, False),
    ),
    (fnn.MaxPool2D(), (4, 6, 4), {}, ("max_pool", (2, 2), (2, 2), ZERO)),
    (fnn.MaxPool2D(3, 2, "same"), (5, 6, 4), {}, ("max_pool", (3, 3), (2, 2), ((1, 1), (0, 1)))),
    (fnn.MaxPool2D((3, 1), padding=(1, 0)), (3, 12, 4), {}, ("max_pool", (3, 1), (3, 1), ((1, 1), (0, 0)))),
    (fnn.AveragePool2D(), (4, 6, 4), {}, ("average_pool", (2, 2), (2, 2), ZERO, False)),
    (
        fnn.AveragePool2D(3, strides=1, padding="same", count_padding=True),
        (9, 12, 4),
        {},
        ("average_pool", (3, 3), (1, 1), ((1, 1), (1, 1)), True),
    ),
    (fnn.GlobalAveragePool2D(), (4,), {}, ("average_pool", (9, 12), (9, 12), ZERO, False)),
    (fnn.LocalResponseNorm(), IMAGE, {}, ("local_response", 5, 1e-4, 0.75, 1.0)),
    (fnn.LocalResponseNorm(3, 1e-3, 0.5, k=2), IMAGE, {}, ("local_response", 3, 1e-3, 0.5, 2.0)),
]
ALL = [row[0] for row in LAYERS]


def test_every_layer_of_images_is_here():
    kinds = {layer.kind for layer in ALL}
    assert kinds == {kind for kind, layer in fnn.layers.BY_KIND.items() if layer.reads_images}


@pytest.mark.parametrize(("layer", "shape", "parameters", "spec"), LAYERS, ids=[repr(row[0]) for row in LAYERS])
def test_shapes_and_specs(layer, shape, parameters, spec):
    assert layer.output_shape(IMAGE) == shape
    assert layer.parameter_shapes(IMAGE) == parameters
    assert layer.spec(IMAGE) == spec
    initial = layer.initial(IMAGE, np.random.default_rng(0))
    assert {name: values.shape for name, values in initial.items()} == parameters
    assert all(values.dtype == np.float64 for values in initial.values())
    assert not layer.is_head
    assert layer.format_version == 2


@pytest.mark.parametrize("layer", ALL, ids=repr)
def test_layers_are_values(layer):
    for twin in (
        copy.copy(layer),
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        eval(repr(layer), vars(fnn)),
    ):
        assert twin == layer
        assert hash(twin) == hash(layer)
        assert repr(twin) == repr(layer)
    assert all(other != layer for other in ALL if other is not layer)
    with pytest.raises(AttributeError, match="immutable"):
        layer.strides = 1
    assert b"._" not in pickle.dumps(layer)


def test_only_what_differs_is_stored():
    assert vars(fnn.Conv2D(6, 3)) == {"filters": 6, "kernel_size": (3, 3)}
    plain = fnn.Conv2D(6, (3, 3), None, strides=(1, 1), padding=0, dilation=1, groups=1, bias=np.True_)
    assert plain == fnn.Conv2D(6, 3, padding=((0, 0), (0, 0))) == fnn.Conv2D(6, 3)
    assert fnn.MaxPool2D((2, 2), (2, 2), 0) == fnn.MaxPool2D(strides=2)
    assert vars(fnn.MaxPool2D((2, 2), (2, 2), 0)) == vars(fnn.AveragePool2D()) == vars(fnn.LocalResponseNorm()) == {}
    assert vars(fnn.MaxPool2D(3, 2)) == {"pool_size": (3, 3), "strides": (2, 2)}
    assert repr(fnn.MaxoutConv2D(6, 3, 4)) == "MaxoutConv2D(filters=6, kernel_size=(3, 3), pieces=4)"
    assert fnn.MaxPool2D().strides is None


# Initial parameters --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("layer", "variance"),
    [
        (fnn.Conv2D(64, 5, "relu"), 2 / (25 * 16)),
        (fnn.Conv2D(64, 5, "selu"), 1 / (25 * 16)),
        (fnn.Conv2D(64, 5), 2 / (25 * (16 + 64))),
        (fnn.Conv2D(64, 5, groups=4), 2 / (25 * (4 + 16))),
        (fnn.Conv2D(64, 5, "relu", groups=4), 2 / (25 * 4)),
        (fnn.Conv2D(64, (5, 3), "relu", init="lecun"), 1 / (15 * 16)),
        (fnn.Conv2D(64, 5, init=0.5), 0.25),
        (fnn.MaxoutConv2D(64, 5), 1 / (25 * 16)),
    ],
    ids=repr,
)
def test_initial_weights(layer, variance):
    weight = layer.initial((9, 9, 16), np.random.default_rng(0))["weight"]
    assert abs(weight.mean()) < 5 * np.sqrt(variance / weight.size)
    assert abs(weight.var() / variance - 1) < 5 * np.sqrt(2 / weight.size)


def test_other_initial_values():
    initial = fnn.Conv2D(3, 1, fnn.PReLU([0.1, 0.2, 0.3])).initial(IMAGE, np.random.default_rng(0))
    assert initial["alpha"].tolist() == [0.1, 0.2, 0.3]
    assert initial["bias"].shape == (3,)
    assert not fnn.Conv2D(3, 1, init=0.0).initial(IMAGE, np.random.default_rng(0))["weight"].any()


def test_a_convolution_of_one_pixel_starts_as_dense():
    conv = fnn.Conv2D(7, 1, "relu").initial((1, 1, 5), np.random.default_rng(0))["weight"]
    dense = fnn.Dense(7, "relu").initial((5,), np.random.default_rng(0))["weight"]
    np.testing.assert_array_equal(conv[0, 0], dense)


# What is refused -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fnn.Conv2D(0, 3), ValueError, "filters: expected an integer >= 1, got 0"),
        (lambda: fnn.Conv2D(3, 0), ValueError, "kernel_size: expected an integer >= 1, got 0"),
        (lambda: fnn.Conv2D(3, (3, 3, 3)), ValueError, "kernel_size: expected an integer, or a pair of them"),
        (lambda: fnn.Conv2D(3, 2.5), TypeError, "kernel_size: expected an integer >= 1, got 2.5"),
        (lambda: fnn.Conv2D(3, 3, "rleu"), ValueError, "did you mean 'relu'"),
        (lambda: fnn.Conv2D(3, 3, fnn.PReLU([0.1, 0.2])), ValueError, "prelu alpha: expected 1 or 3 values"),
        (lambda: fnn.Conv2D(3, 3, strides=0), ValueError, "strides: expected an integer >= 1, got 0"),
        (lambda: fnn.Conv2D(3, 3, dilation=(1, 0)), ValueError, "dilation: expected an integer >= 1, got 0"),
        (lambda: fnn.Conv2D(3, 3, padding="full"), ValueError, "padding: expected 'valid', 'same' or integers"),
        (lambda: fnn.Conv2D(3, 3, padding=-1), ValueError, "padding: expected an integer >= 0, got -1"),
        (lambda: fnn.Conv2D(3, 3, groups=2), ValueError, "groups: expected a divisor of the 3 filters, got 2"),
        (lambda: fnn.Conv2D(4, 3, groups=0), ValueError, "groups: expected an integer >= 1, got 0"),
        (lambda: fnn.Conv2D(4, 3, bias=1), TypeError, "bias: expected True or False, got 1"),
        (lambda: fnn.Conv2D(4, 3, init="hee"), ValueError, "init: expected one of"),
        (lambda: fnn.MaxoutConv2D(4, 3, 0), ValueError, "pieces: expected an integer >= 1, got 0"),
        (lambda: fnn.MaxPool2D(0), ValueError, "pool_size: expected an integer >= 1, got 0"),
        (
            lambda: fnn.MaxPool2D(2, padding=2),
            ValueError,
            r"padding: expected less than the pool_size \(2, 2\) on each",
        ),
        (lambda: fnn.AveragePool2D((2, 3), padding=((0, 0), (3, 0))), ValueError, "padding: expected less than"),
        (lambda: fnn.MaxPool2D(17), ValueError, r"pool_size: expected at most 256 pixels, got \(17, 17\)"),
        (lambda: fnn.AveragePool2D(count_padding=1), TypeError, "count_padding: expected True or False, got 1"),
        (lambda: fnn.LocalResponseNorm(0), ValueError, "size: expected an integer >= 1, got 0"),
        (lambda: fnn.LocalResponseNorm(alpha=-1), ValueError, "alpha: expected a number >= 0, got -1"),
        (lambda: fnn.LocalResponseNorm(k=0), ValueError, "k: expected a number > 0, got 0"),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


VECTOR = r"expected an image \(height, width, channels\), got a vector of"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([fnn.Input(28, 28), fnn.Conv2D(3, 3)], rf"^conv2d_1: {VECTOR} 784 values; write Input\(28, 28, 1\)$"),
        ([fnn.Input(20, 30), fnn.MaxPool2D()], rf"^max_pool2d_1: {VECTOR} 600 values; write Input\(20, 30, 1\)$"),
        (
            [fnn.Input(784), fnn.MaxoutConv2D(3, 3)],
            rf"^maxout_conv2d_1: {VECTOR} 784 values; write Input\(28, 28, 1\)$",
        ),
        ([fnn.Input(12), fnn.AveragePool2D()], rf"^average_pool2d_1: {VECTOR} 12 .*; write Input\(height, width, chan"),
        (
            [fnn.Input(2, 2, 2, 2), fnn.GlobalAveragePool2D()],
            rf"^global_average_pool2d_1: {VECTOR} 16 values; write In",
        ),
        (
            [fnn.Input(9, 9, 1), fnn.Flatten(), fnn.Conv2D(3, 3)],
            rf"^conv2d_1: {VECTOR} 81 values; write it before Flat",
        ),
        ([fnn.Input(9), fnn.Dense(4), fnn.LocalResponseNorm()], rf"^local_response_norm_1: {VECTOR} 4 .* before Flat"),
        (
            [fnn.Input(2, 2, 1), fnn.Conv2D(3, 3)],
            r"^conv2d_1: kernel: expected a window that fits 2 x 2 pixels .* \(3, 3\)",
        ),
        (
            [fnn.Input(3, 3, 1), fnn.Conv2D(3, 2, dilation=3)],
            r"^conv2d_1: kernel: .* got \(2, 2\) with dilation \(3, 3\)",
        ),
        ([fnn.Input(9, 9, 1), fnn.MaxPool2D(), fnn.MaxPool2D(5)], r"^max_pool2d_2: kernel: .* 4 x 4 pixels"),
        (
            [fnn.Input(9, 9, 3), fnn.Conv2D(4, 3, groups=2)],
            "^conv2d_1: groups: expected a divisor of the 3 channels .* 2$",
        ),
        (
            [fnn.Input(9, 9, 3), fnn.Residual([fnn.Conv2D(4, 3)])],
            r"^residual_1: its layers give an image \(7, 7, 4\), its input is an image \(9, 9, 3\); write padding=",
        ),
        (
            [fnn.Input(9, 9, 3), fnn.Residual([fnn.Conv2D(3, 3)], [fnn.MaxPool2D()])],
            r"^residual_1: its layers give an image \(7, 7, 3\), its shortcut an image \(4, 4, 3\)$",
        ),
        (
            [fnn.Input(9, 9, 3), fnn.Residual([fnn.Conv2D(3, 3), fnn.MaxPool2D(9)])],
            r"^residual_1\.max_pool2d_1: kernel: expected a window that fits 7 x 7 pixels",
        ),
        (
            [fnn.Input(9, 9, 3), fnn.Conv2D(5, 3)],
            r"^conv2d_1: expected outputs that are a vector, got an image \(7, 7, 5\); add Flatten\(\) or Global",
        ),
    ],
)
def test_layers_that_do_not_fit(layers, message):
    for build in (Structure, fnn.Sequential, lambda layers: fnn.Sequential(layers, dtype="float64")):
        with pytest.raises(ValueError, match=message):
            build(layers)


def test_pieces_for_training():
    fnn.MaxoutConv2D(2, 1, 256).require_trainable("a")
    with pytest.raises(ValueError, match="a: expected at most 256 pieces for training, got 257"):
        fnn.MaxoutConv2D(2, 1, 257).require_trainable("a")
    with pytest.raises(ValueError, match="a: step is not differentiable"):
        fnn.Conv2D(2, 1, "step").require_trainable("a")


@pytest.mark.parametrize("layer", ALL, ids=repr)
def test_refused_on_a_gpu(layer):
    structure = Structure([fnn.Input(*IMAGE), fnn.Residual([fnn.Dropout(0.1)]), layer, fnn.Dense(2)])
    with pytest.raises(
        ValueError, match=rf"^{layer.kind}_1: {type(layer).__name__} runs on the CPU only; write device="
    ):
        structure.require_gpu()
    Structure([fnn.Input(*IMAGE), fnn.Dense(2)]).require_gpu()


# Networks ------------------------------------------------------------------------------------------------------------
NETWORK = [
    fnn.Input(28, 28, 1),
    fnn.Conv2D(16, 3, "relu", padding="same"),
    fnn.Residual([fnn.Conv2D(32, 3, "relu", padding="same"), fnn.LocalResponseNorm()]),
    fnn.MaxPool2D(),
    fnn.Residual([fnn.MaxoutConv2D(8, 3, strides=2, padding="same")], [fnn.AveragePool2D(), fnn.Conv2D(8, 1)]),
    fnn.Activation("prelu"),
    fnn.GlobalAveragePool2D(),
    fnn.Dense(10, "softmax"),
]


def test_structure():
    structure = Structure(NETWORK)
    assert structure.outputs == 10
    assert structure.input_shapes["residual_2.shortcut.conv2d_1"] == (7, 7, 32)
    assert structure.output_shapes["residual_2"] == (7, 7, 8)
    assert structure.parameter_shapes["residual_1"] == {"weight": (16, 32), "bias": (32,)}
    assert structure.parameter_shapes["residual_2"] == {}
    assert structure.parameter_shapes["activation_1"] == {"alpha": (8,)}
    assert structure.specs()[1][2] == 32
    assert [spec[0] for spec in structure.specs()] == [
        *("convolution", "residual", "max_pool", "residual", "activation", "average_pool", "dense"),
    ]


def test_an_image_of_one_pixel_is_a_vector():
    structure = Structure([fnn.Input(4, 4, 3), fnn.Conv2D(5, 4, "softmax")])
    assert structure.output_shapes["conv2d_1"] == (1, 1, 5)
    assert structure.outputs == 5
    assert Structure([fnn.Input(4, 4, 3), fnn.GlobalAveragePool2D()]).outputs == 3


def test_files():
    text = file_format.encode(NETWORK, "float32", "float32")
    dtype, compute_dtype, layers = file_format.decode(text)
    assert layers == NETWORK
    assert (dtype, compute_dtype) == ("float32", "float32")
    assert file_format.encode(layers, dtype, compute_dtype) == text
    assert '{"kind": "conv2d", "filters": 8, "kernel_size": [1, 1]}' in text
    assert '{"kind": "max_pool2d"}' in text


@pytest.mark.parametrize("layer", ALL, ids=repr)
def test_files_of_every_layer(layer):
    layers = [fnn.Input(*IMAGE), layer, fnn.Dense(2)]
    assert file_format.decode(file_format.encode(layers, "float64", "float64"))[2] == layers


def test_int8_tensors():
    shapes = Structure([fnn.Input(*IMAGE), fnn.Conv2D(6, 3), fnn.MaxoutConv2D(5, 3), fnn.Maxout(2)]).parameter_shapes
    tensors = stored(shapes, "float32", "int8")
    assert tensors["conv2d_1.weight"] == ("int8", (3, 3, 4, 6))
    assert tensors["conv2d_1.weight_scale"] == ("float32", (6,))
    assert tensors["maxout_conv2d_1.weight_scale"] == ("float32", (2, 5))
    assert tensors["maxout_1.weight_scale"] == ("float32", (2, 2))


def test_summary():
    """Shapes, and multiply-adds: pixels of the output * taps * channels / groups * filters * pieces."""
    table = summary.table(Structure(NETWORK), "float32", "float32", "float32", "cpu").splitlines()
    rows = {line.split()[0]: line for line in table[4:-2]}
    assert "(B, 28, 28, 1)" in rows["input"]
    assert "(B, 28, 28, 16) " in rows["conv2d_1"]
    counts = {
        "conv2d_1": 28 * 28 * 9 * 1 * 16,
        "residual_1": 28 * 28 * 16 * 32,
        "residual_1.conv2d_1": 28 * 28 * 9 * 16 * 32,
        "residual_2.maxout_conv2d_1": 7 * 7 * 9 * 32 * 8 * 2,
        "residual_2.shortcut.conv2d_1": 7 * 7 * 32 * 8,
        "dense_1": 8 * 10,
    }
    for name, line in rows.items():
        if name in counts:
            assert line.split()[-1] == f"{counts[name]:,}", name
        else:
            assert line.endswith(")") or name == "activation_1", name
    assert table[-1].endswith(f", {sum(counts.values()):,} multiply-adds per sample")
    grouped = summary.table(
        Structure([fnn.Input(9, 9, 4), fnn.Conv2D(6, 9, groups=2)]), "float32", "float32", "float32", "cpu"
    )
    assert grouped.endswith(f", {81 * 2 * 6:,} multiply-adds per sample")


@pytest.mark.parametrize(
    ("name", "layers", "parameters"),
    [
        (
            "VGG-16",
            [
                *(
                    layer
                    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
                    for layer in (*[fnn.Conv2D(filters, 3, "relu", padding=1)] * count, fnn.MaxPool2D())
                ),
                *(fnn.Dense(4096, "relu"), fnn.Dense(4096, "relu"), fnn.Dense(1000, "softmax")),
            ],
            138_357_544,
        ),
        (
            "AlexNet",
            [
                *(fnn.Conv2D(64, 11, "relu", strides=4, padding=2), fnn.MaxPool2D(3, 2)),
                *(fnn.Conv2D(192, 5, "relu", padding=2), fnn.MaxPool2D(3, 2), fnn.Conv2D(384, 3, "relu", padding=1)),
                *(fnn.Conv2D(256, 3, "relu", padding=1), fnn.Conv2D(256, 3, "relu", padding=1), fnn.MaxPool2D(3, 2)),
                *(fnn.Dense(4096, "relu"), fnn.Dense(4096, "relu"), fnn.Dense(1000, "softmax")),
            ],
            61_100_840,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parameters_of_known_networks(name, layers, parameters):
    """As torchvision counts them."""
    shapes = Structure([fnn.Input(224, 224, 3), *layers]).parameter_shapes
    assert sum(math.prod(shape) for of_layer in shapes.values() for shape in of_layer.values()) == parameters


# Scaling -------------------------------------------------------------------------------------------------------------
def test_filters_scale_like_units():
    assert fnn.Conv2D(10, 3, "relu", strides=2, init="he", bias=False).scaled(1.5) == fnn.Conv2D(
        15, 3, "relu", strides=2, init="he", bias=False
    )
    assert fnn.Conv2D(8, 3, groups=4, padding="same", dilation=2).scaled(1.6) == fnn.Conv2D(
        12, 3, groups=4, padding="same", dilation=2
    )
    assert fnn.MaxoutConv2D(10, (3, 1), 4, padding=1).scaled(0.01) == fnn.MaxoutConv2D(1, (3, 1), 4, padding=1)
    assert fnn.MaxPool2D(3).scaled(2) == fnn.MaxPool2D(3)


def test_compound_scale():
    pair = [fnn.Conv2D(8, 3, padding="same"), fnn.MaxPool2D(), fnn.Dropout(0.1)]
    base = [fnn.Input(32, 32, 3), *pair, *pair, fnn.GlobalAveragePool2D(), fnn.Dense(10, "softmax")]
    same = compound_scale(base, 0)
    assert same == base
    conv, pool, dropout = fnn.Conv2D(16, 3, padding="same"), *pair[1:]
    deeper = compound_scale(base, 1, depth=2, width=2, resolution=1.5)
    twice = [conv, dropout, conv, pool, dropout]
    end = [conv, dropout, conv, pool, dropout, fnn.GlobalAveragePool2D(), base[-1]]
    assert deeper == [fnn.Input(48, 48, 3), *twice, *end]
    Structure(deeper)


# What runs -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layer", ALL, ids=repr)
def test_networks_run(layer):
    """Built, called and trained."""
    net = fnn.Sequential([fnn.Input(*IMAGE), layer, fnn.Dense(2)], seed=0)
    x = np.random.default_rng(0).standard_normal((5, *IMAGE)).astype(np.float32)
    assert net(x).shape == (5, 2)
    net.fit(x, x[:, 0, 0, :2], epochs=1, seed=0)
