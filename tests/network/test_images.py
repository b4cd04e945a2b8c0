"""Convolutional networks: the bits of the single operations, gradients, one bit pattern, and what they are kept as."""

import copy
import math
import pickle

import numpy as np
import pytest

import fnnfast as fnn
from factories import normal
from fnnfast import _cpu, reference
from oracles import assert_same_bits

IMAGE = (9, 8, 3)
ISAS = _cpu.isas()


@pytest.fixture
def isas():
    before = _cpu.isa()
    yield ISAS
    _cpu.use_isa(before)


def normalized(filters, kernel=3, activation="relu", **settings):
    return [fnn.Conv2D(filters, kernel, bias=False, **settings), fnn.BatchNorm(), fnn.Activation(activation)]


def layers(norm=True):
    """All kinds of layers, of widths that fill no vector and such that do."""
    prelu = fnn.PReLU(0.2)
    block = [*normalized(13, padding="same"), fnn.Conv2D(13, 3, padding="same")]
    branches = [
        [fnn.Conv2D(4, 1, "tanh")],
        [fnn.Conv2D(5, 1, "relu"), fnn.Conv2D(16, 3, prelu, padding="same")],
        [fnn.MaxPool2D(3, 1, padding="same"), fnn.MaxoutConv2D(7, 1, 3)],
        [],
    ]
    found = [
        fnn.Input(*IMAGE),
        *normalized(13, padding="same"),
        fnn.Residual(block, activation="relu"),
        fnn.Residual([fnn.Conv2D(16, 3, "swish", padding="same")]),  # with a projection of each pixel
        fnn.Parallel(branches),
        fnn.LocalResponseNorm(3),
        fnn.MaxPool2D(2),
        fnn.Dropout(0.1),
        fnn.Residual(
            normalized(24, strides=2, padding=1), [fnn.Conv2D(24, 1, strides=2), fnn.BatchNorm(0.5)], "leaky_relu"
        ),
        fnn.MaxoutConv2D(10, 2, 2, padding=1, strides=(1, 2)),
        fnn.Conv2D(15, (2, 3), "tanh", groups=5, padding="same"),
        *normalized(15, groups=15, strides=(2, 1), padding=1),
        fnn.AveragePool2D(2, 1, padding=1),
        fnn.Flatten(),
        fnn.Dense(12, bias=False),
        fnn.BatchNorm(),
        fnn.Activation(prelu),
        fnn.Dense(4, "softmax"),
    ]
    if norm:
        return found
    without = [layer for layer in found if layer.kind not in ("batch_norm", "dropout")]
    return [layer for layer in without if layer.kind != "residual"]


def network(dtype="float64", norm=True):
    net = fnn.Sequential(layers(norm), dtype=dtype, seed=0)
    rng = np.random.default_rng(1)
    for name, shape in net.parameters.shapes.items():
        net.parameters[name] = net.parameters[name] + rng.normal(0, 0.1, shape)
    for name, shape in net.buffers.shapes.items():
        net.buffers[name] = rng.normal(1, 0.2, shape) ** 2
    return net


def data(rows, dtype="float64"):
    rng = np.random.default_rng([rows, 5])
    return normal(rng, np.dtype(dtype), rows, *IMAGE), rng.integers(0, 4, rows)


def all_of(net):
    return [*net.parameters.values(), *net.buffers.values()]


# Against the single operations ---------------------------------------------------------------------------------------
CHAIN = [
    fnn.Input(*IMAGE),
    fnn.Conv2D(16, 3, "tanh", padding="same"),
    fnn.Conv2D(24, 3, "prelu", strides=2, padding=1),
    fnn.Conv2D(9, 1, "relu"),
    fnn.Conv2D(36, 2, "prelu", groups=9, padding=1),
    fnn.Conv2D(36, 3, "swish", groups=36, strides=(1, 2), padding=1),
    fnn.Conv2D(48, 1, groups=3),
    fnn.MaxoutConv2D(12, 2, 3, dilation=2),
    fnn.Flatten(),
    fnn.Dense(4),
]


def steps(net):
    """(name, layer) of the layers with parameters."""
    return [(name, layer) for name, layer in net.named_layers.items() if f"{name}.weight" in net.parameters]


def window_settings(layer):
    groups = {} if layer.kind == "maxout_conv2d" else {"groups": layer.groups}
    return {name: getattr(layer, name) for name in ("strides", "padding", "dilation")} | groups


def forward(net, x):
    """What each operation saves, and the outputs."""
    saved = []
    for name, layer in steps(net):
        weight, bias = net.parameters[f"{name}.weight"], net.parameters[f"{name}.bias"]
        if layer.kind == "conv2d":
            act = fnn.PReLU(net.parameters[f"{name}.alpha"]) if layer.activation.learned else layer.activation
            y, kept = fnn.conv2d_forward(x, weight, bias, act, **window_settings(layer))
        elif layer.kind == "maxout_conv2d":
            act = None
            y, kept = fnn.maxout_conv2d_forward(x, weight, bias, **window_settings(layer))
        else:
            x, act = x.reshape(len(x), -1), layer.activation
            y, kept = fnn.dense_forward(x, weight, bias, act)
        saved.append((layer, x, weight, kept, act))
        x = y
    return saved, x


@pytest.mark.parametrize("rows", [1, 2, 7, 65])
def test_bits_of_the_single_operations(isa, dtype, rows):
    net = fnn.Sequential(CHAIN, dtype=dtype, seed=0)
    x, _ = data(rows, dtype)
    assert_same_bits(net(x), forward(net, x)[1])
    assert_same_bits(net(x.reshape(rows, -1)), net(x))


@pytest.mark.parametrize("rows", [5, 70])
def test_gradients_of_the_single_operations(isa, rows):
    """With 70 images, blocks of them share no sums."""
    net = fnn.Sequential(CHAIN, dtype="float64", seed=0)
    x, _ = data(rows)
    y = normal(np.random.default_rng(2), np.float64, rows, 4)
    got = fnn.Trainer(net, "mse").gradients(x, y)
    saved, outputs = forward(net, x)
    dy = 2 * (outputs - y) / outputs.size
    for (name, _), (layer, inputs, weight, kept, act) in reversed(list(zip(steps(net), saved, strict=True))):
        dy = dy.reshape(kept.shape)
        if layer.kind == "conv2d":
            grads = fnn.conv2d_backward(dy, inputs, weight, kept, act, **window_settings(layer))
        elif layer.kind == "maxout_conv2d":
            grads = fnn.maxout_conv2d_backward(dy, inputs, weight, kept, **window_settings(layer))
        else:
            grads = fnn.dense_backward(dy, inputs, weight, kept, act)
        for key in ("weight", "bias", "alpha"):
            if (value := getattr(grads, key)) is not None:
                np.testing.assert_allclose(got[f"{name}.{key}"], value, rtol=1e-12, atol=1e-13 * np.abs(value).max())
        dy = grads.x


@pytest.mark.parametrize("batch", range(1, 66))
def test_images_do_not_depend_on_the_batch(batch):
    net = network("float32")
    x, _ = data(65, "float32")
    assert_same_bits(net(x[65 - batch :]), net(x)[65 - batch :])


# Gradients -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("norm", [True, False])
def test_finite_differences(norm):
    """Of the loss in training, so with the statistics of the batch."""
    net = network(norm=norm)
    net = fnn.Sequential([layer for layer in net.layers if layer.kind != "dropout"], dtype="float64", seed=0)
    x, y = data(11)
    trainer = fnn.Trainer(net)
    _, grads = trainer.loss_and_gradients(x, y)
    assert grads.keys() == net.parameters.keys()
    rng = np.random.default_rng(0)
    for name, gradient in grads.items():
        values = net.parameters[name].copy()
        for place in rng.choice(values.size, min(4, values.size), replace=False):
            losses = []
            for step in (1e-7, -1e-7):  # small: there are many kinks
                moved = values.copy()
                moved.reshape(-1)[place] += step
                net.parameters[name] = moved
                losses.append(trainer.loss_and_gradients(x, y)[0])
            net.parameters[name] = values
            slope = (losses[0] - losses[1]) / 2e-7
            assert gradient.reshape(-1)[place] == pytest.approx(slope, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("groups", [1, 2, 8, 16])
def test_images_of_one_pixel(isa, dtype, groups):
    """They are vectors, whose rows may be written in whole vectors: not those of a group."""
    chain = [fnn.Conv2D(16, 2, "prelu", groups=groups), fnn.Conv2D(48, 1, "tanh", groups=groups), fnn.Dense(3)]
    net = fnn.Sequential([fnn.Input(2, 2, 16), *chain], dtype=dtype, seed=0)
    x = normal(np.random.default_rng(0), np.dtype(dtype), 70, 2, 2, 16)
    alone = np.concatenate([net(row[np.newaxis]) for row in x])
    assert_same_bits(net(x), alone)
    assert_same_bits(net.freeze()(x), alone)
    saved, outputs = forward(net, x)
    assert_same_bits(alone, outputs)
    y = normal(np.random.default_rng(1), np.dtype(dtype), 70, 3)
    before = {name: values.copy() for name, values in net.parameters.items()}
    got = fnn.Trainer(net, "mse").gradients(x, y)
    dy = (2 * (outputs - y) / outputs.size).astype(dtype)
    for (name, _), (layer, inputs, weight, kept, act) in reversed(list(zip(steps(net), saved, strict=True))):
        dy = dy.reshape(kept.shape)
        settings = window_settings(layer) if layer.kind == "conv2d" else None
        grads = (
            fnn.dense_backward(dy, inputs, weight, kept, act)
            if settings is None
            else fnn.conv2d_backward(dy, inputs, weight, kept, act, **settings)
        )
        atol = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(got[f"{name}.weight"], grads.weight, rtol=0, atol=atol)
        dy = grads.x
    net.fit(x, y, epochs=3, batch_size=70, loss="mse", seed=0)
    assert all(np.isfinite(values).all() for values in net.parameters.values())
    assert any((values != before[name]).any() for name, values in net.parameters.items())


def trained(dtype, rows, count, weights=None):
    net = network(dtype)
    x, y = data(rows, dtype)
    trainer = fnn.Trainer(net, seed=3)
    _, grads = trainer.loss_and_gradients(x, y, sample_weight=weights)
    losses = [trainer.step(x, y, sample_weight=weights) for _ in range(count)]
    return [net(x), np.array(losses), *grads.values(), *all_of(net)]


@pytest.mark.parametrize(("dtype", "rows", "count"), [("float32", 37, 20), ("float64", 37, 5), ("float32", 3, 5)])
def test_one_bit_pattern(isas, dtype, rows, count):
    """Answers, gradients, and weights and statistics after training: any instruction set, any threads."""
    expected = trained(dtype, rows, count)
    assert all(np.isfinite(values).all() for values in expected)
    for isa in isas:
        _cpu.use_isa(isa)
        for threads in (1, 2, 5):
            with fnn.num_threads(threads):
                for got, wanted in zip(trained(dtype, rows, count), expected, strict=True):
                    assert_same_bits(got, wanted)


@pytest.mark.slow
def test_one_bit_pattern_after_200_steps(isas):
    expected = trained("float32", 70, 200)
    for isa in isas:
        _cpu.use_isa(isa)
        for threads in (1, 3):
            with fnn.num_threads(threads):
                for got, wanted in zip(trained("float32", 70, 200), expected, strict=True):
                    assert_same_bits(got, wanted)


# Batch normalization -------------------------------------------------------------------------------------------------
def small(**settings):
    chain = [fnn.Input(4, 4, 2), fnn.Conv2D(5, 3, bias=False), fnn.BatchNorm(**settings), fnn.Activation("relu")]
    return fnn.Sequential([*chain, fnn.Flatten(), fnn.Dense(3, "softmax")], dtype="float64", seed=0)


def small_data(rows):
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, 4, 4, 2)), rng.integers(0, 3, rows)


def test_running_statistics():
    net = small(momentum=0.8)
    x, y = small_data(21)
    z = reference.conv2d(x, net.parameters["conv2d_1.weight"])
    mean, variance = reference.running_statistics(z, np.zeros(5), np.ones(5), 0.8)
    fnn.Trainer(net).step(x, y)
    np.testing.assert_allclose(net.buffers["batch_norm_1.mean"], mean, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(net.buffers["batch_norm_1.variance"], variance, rtol=1e-13)


def test_inference_takes_the_running_statistics():
    net = small(eps=1e-3)
    rng = np.random.default_rng(0)
    for name in ("gamma", "beta"):
        net.parameters[f"batch_norm_1.{name}"] = rng.normal(1, 0.3, 5)
    for name in ("mean", "variance"):
        net.buffers[f"batch_norm_1.{name}"] = rng.normal(1, 0.1, 5)
    x, _ = small_data(6)
    p, b = net.parameters, net.buffers
    z = reference.conv2d(x, p["conv2d_1.weight"])
    z = reference.batch_norm(
        z,
        p["batch_norm_1.gamma"],
        p["batch_norm_1.beta"],
        b["batch_norm_1.mean"],
        b["batch_norm_1.variance"],
        eps=1e-3,
    )
    y = reference.dense(np.maximum(z, 0).reshape(6, -1), p["dense_1.weight"], p["dense_1.bias"], "softmax")
    np.testing.assert_allclose(net(x), y, rtol=1e-13)


def test_samples_of_weight_0_are_not_in_the_batch():
    """Nor do they have a gradient, which the layer before would take up."""
    x, y = small_data(23)
    weights = np.ones(23)
    weights[[0, 4, 5, 22]] = 0
    x[4] = np.nan
    chain = [fnn.Input(4, 4, 2), fnn.Conv2D(5, 2, "tanh"), *normalized(7, 2), *normalized(4, 2), fnn.Flatten()]
    whole, part = (
        fnn.Trainer(fnn.Sequential([*chain, fnn.Dense(3, "softmax")], dtype="float64", seed=0)) for _ in range(2)
    )
    got = whole.loss_and_gradients(x, y, sample_weight=weights)
    expected = part.loss_and_gradients(x[weights > 0], y[weights > 0])
    assert got[0] == pytest.approx(expected[0], rel=1e-14)
    for name, gradient in expected[1].items():
        np.testing.assert_allclose(got[1][name], gradient, rtol=1e-11, atol=1e-14)
    whole.step(x, y, sample_weight=weights)
    part.step(x[weights > 0], y[weights > 0])
    for name, values in part.network.buffers.items():
        np.testing.assert_allclose(whole.network.buffers[name], values, rtol=1e-13, atol=1e-15)


def test_a_frozen_layer_keeps_its_statistics():
    net = small()
    x, y = small_data(12)
    net.fit(x, y, epochs=1, seed=0)
    before = dict(net.buffers)
    net.freeze("batch_norm_1")
    gamma = net.parameters["batch_norm_1.gamma"]
    trainer = fnn.Trainer(net)
    loss, _ = trainer.loss_and_gradients(x, y)
    assert loss == pytest.approx(-np.log(net(x)[np.arange(12), y]).mean(), rel=1e-12)  # the running ones are used
    trainer.step(x, y)
    for name, values in before.items():
        assert_same_bits(net.buffers[name], values)
    assert_same_bits(net.parameters["batch_norm_1.gamma"], gamma)


def test_gradients_move_no_statistics_and_apply_does():
    one, other = fnn.Trainer(small()), fnn.Trainer(small())
    x, y = small_data(10)
    for _ in range(3):
        one.step(x, y)
        before = dict(other.network.buffers)
        grads = other.gradients(x, y)
        for name, values in before.items():
            assert_same_bits(other.network.buffers[name], values)
        other.apply(grads)
    for got, wanted in zip(all_of(other.network), all_of(one.network), strict=True):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize("clip_norm", [None, 1e30])
def test_scale_and_shift_do_not_decay(clip_norm):
    x, y = small_data(10)
    nets = [small(), small()]
    for net, decay in zip(nets, (0.0, 0.3), strict=True):
        optimizer = fnn.AdamW(1e-2, weight_decay=decay)
        fnn.Trainer(net, optimizer=optimizer, clip_norm=clip_norm).step(x, y)
    for name in ("gamma", "beta"):
        assert_same_bits(*(net.parameters[f"batch_norm_1.{name}"] for net in nets))
    assert not np.array_equal(*(net.parameters["conv2d_1.weight"] for net in nets))


def test_one_value_per_channel_moves_no_statistics():
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(3), fnn.BatchNorm(), fnn.Dense(2, "softmax")], seed=0)
    trainer = fnn.Trainer(net)
    assert math.isfinite(trainer.step(np.ones((1, 2)), [0]))
    assert not net.buffers["batch_norm_1.mean"].any()


def test_a_step_that_is_not_taken_moves_nothing():
    net = small()
    x, y = small_data(8)
    x[2] = np.nan
    before = [values.copy() for values in all_of(net)]
    with pytest.raises(ValueError, match="x has NaN in row 2"):
        fnn.Trainer(net).step(x, y)
    for got, wanted in zip(all_of(net), before, strict=True):
        assert_same_bits(got, wanted)


def test_norms_of_gradients():
    """Of the weights alone, not of what lies between their vectors in memory."""
    net = network("float32", norm=False)
    x, y = data(9, "float32")
    trainer = fnn.Trainer(net, optimizer=fnn.SGD(1e-3))
    grads = trainer.gradients(x, y)
    trainer.step(x, y)
    found = trainer._diagnosis()["gradient_norm"]
    for layer, norm in found.items():
        parts = [grads[f"{layer}.{key}"] for key in ("weight", "bias") if f"{layer}.{key}" in grads]
        assert norm == pytest.approx(math.sqrt(sum(float((part**2).sum()) for part in parts)), rel=1e-4), layer


# What it is kept as --------------------------------------------------------------------------------------------------
def test_copies(tmp_path):
    net = network("float32")
    x, y = data(20, "float32")
    net.fit(x, y, epochs=1, seed=0)
    net.save(tmp_path / "net.safetensors")
    copies = {
        "loaded": fnn.load(tmp_path / "net.safetensors"),
        "pickled": pickle.loads(pickle.dumps(net)),
        "copied": copy.deepcopy(net),
        "moved": net.to("cpu"),
    }
    for name, other in copies.items():
        assert list(other.buffers) == list(net.buffers), name
        for got, wanted in zip(all_of(other), all_of(net), strict=True):
            assert_same_bits(got, wanted)
        assert_same_bits(other(x), net(x))
    head = net.replace_head(fnn.Dense(2), seed=0)
    for name, values in net.buffers.items():
        assert_same_bits(head.buffers[name], values)
    double = net.astype("float64")
    assert double.buffers["batch_norm_1.mean"].dtype == np.float64
    np.testing.assert_allclose(double(x), net(x), atol=1e-5)
    np.testing.assert_allclose(net.astype("bfloat16")(x), net(x), atol=0.03)
    with pytest.raises(KeyError, match=r"buffer: expected one of batch_norm_1\.mean, batch_norm_1\.variance"):
        net.buffers["batch_norm_1.gamma"]
    with pytest.raises(ValueError, match=r"batch_norm_1.mean: expected shape \(13,\), got \(12,\)"):
        net.buffers["batch_norm_1.mean"] = np.zeros(12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalization_is_folded(tmp_path, dtype):
    """Where it follows a product without activation; elsewhere it stays."""
    after_pool = [fnn.MaxPool2D(2, padding="same"), fnn.BatchNorm(), fnn.Conv2D(5, 1, "tanh"), fnn.BatchNorm()]
    chain = [*layers()[:-5], *after_pool, fnn.Dense(6), fnn.BatchNorm(eps=1e-2), fnn.Dense(4, "softmax")]
    chain = [layer for layer in chain if layer.kind != "flatten"]
    net = fnn.Sequential(chain, dtype=dtype, seed=0)
    rng = np.random.default_rng(1)
    for name, shape in {**net.parameters.shapes, **net.buffers.shapes}.items():
        of = net.buffers if name in net.buffers else net.parameters
        of[name] = np.abs(of[name] + rng.normal(0, 0.1, shape))
    x, _ = data(20, dtype)
    fast = net.freeze()
    kinds = [layer.kind for layer in fast.named_layers.values()]
    assert kinds.count("batch_norm") == 2
    assert fast.parameters["conv2d_1.bias"].any()
    np.testing.assert_allclose(fast(x), net(x), rtol=1e-3 if dtype == "float32" else 1e-11)
    fast.save(tmp_path / "fast.safetensors")
    assert_same_bits(fnn.load(tmp_path / "fast.safetensors")(x), fast(x))
    assert_same_bits(pickle.loads(pickle.dumps(fast))(x), fast(x))
    for name in fast.buffers:
        with pytest.raises(TypeError, match="expected a network that can be trained"):
            fast.buffers[name] = np.zeros(fast.buffers.shapes[name])
    if dtype == "float32":
        assert [layer.kind for layer in net.astype("bfloat16").named_layers.values()] == kinds


@pytest.mark.parametrize("before", [[fnn.Dense(16)], [fnn.Dense(16, "tanh")], [fnn.Maxout(16, 3)]], ids=repr)
def test_low_precision(before):
    """Folded, in an epilogue and on its own."""
    chain = [fnn.Input(12), *before, fnn.BatchNorm(), fnn.Activation("relu"), fnn.Dense(5)]
    net = fnn.Sequential(chain, seed=0)
    rng = np.random.default_rng(0)
    for name, shape in net.buffers.shapes.items():
        net.buffers[name] = rng.normal(1, 0.3, shape) ** 2
    x = rng.standard_normal((300, 12)).astype(np.float32)
    y = net(x)
    for low, error in ((net.astype("bfloat16"), 0.01), (net.quantize(x), 0.04)):
        np.testing.assert_allclose(low(x), y, atol=error * np.abs(y).max())


def test_checkpoint(tmp_path):
    x, y = data(24, "float32")
    whole = network("float32")
    whole.fit(x, y, epochs=4, seed=0, batch_size=8)
    path = tmp_path / "run.safetensors"
    network("float32").fit(x, y, epochs=2, seed=0, batch_size=8, checkpoint=path)
    resumed = network("float32")
    resumed.fit(x, y, epochs=4, seed=0, batch_size=8, checkpoint=path)
    for got, wanted in zip(all_of(resumed), all_of(whole), strict=True):
        assert_same_bits(got, wanted)


def test_the_best_of_early_stopping_has_its_statistics():
    x, y = small_data(40)
    net, seen = small(), []

    def remember(epoch, history):
        seen.append([values.copy() for values in all_of(net)])

    stopping = fnn.EarlyStopping(patience=3)
    net.fit(x, y, optimizer=fnn.Adam(0.05), validation=0.25, epochs=40, callbacks=[remember, stopping], seed=0)
    for got, wanted in zip(all_of(net), seen[stopping.best_epoch], strict=True):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize(
    ("name", "depth", "parameters"),
    [
        ("alexnet", None, 61_100_840),
        ("googlenet", None, 6_998_552),
        ("resnet", 18, 11_689_512),
        ("resnet", 34, 21_797_672),
        ("resnet", 50, 25_557_032),
        ("resnet", 20, 272_474),
        ("vgg", 16, 138_357_544),
        ("vgg", 19, 143_667_240),
    ],
)
def test_parameters_of_models(name, depth, parameters):
    from fnnfast._network import summary
    from fnnfast._network.structure import Structure

    def count(layers, **_):
        if name in ("resnet", "vgg"):
            assert summary._depth(layers[1:]) == depth
        shapes = Structure(layers).parameter_shapes
        return sum(math.prod(shape) for of_layer in shapes.values() for shape in of_layer.values())

    make = getattr(fnn.models, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fnn.models, "Sequential", count)  # without the memory of a network
        assert (make() if depth is None else make(depth)) == parameters


def test_models_run():
    rng = np.random.default_rng(0)
    for net in (
        fnn.models.deep_mnist(seed=0),
        fnn.models.resnet(20, seed=0),
        fnn.models.vgg(11, (32, 32, 3), 10, hidden=16, seed=0),
        fnn.models.googlenet((64, 64, 3), 10, seed=0),
        fnn.models.resnet(50, (32, 32, 3), 10, seed=0),
    ):
        x = rng.standard_normal((2, *net.input.shape)).astype(np.float32)
        np.testing.assert_allclose(net(x).sum(axis=1), 1, rtol=1e-5)
        assert math.isfinite(fnn.Trainer(net).step(x, [0, 1]))
    with pytest.raises(ValueError, match="depth: expected one of 18, 34, 50, 20, 32, 44, 56, got 21"):
        fnn.models.resnet(21)


# Channels first ------------------------------------------------------------------------------------------------------
def with_channels_first(net):
    height, width, channels = net.input.shape
    given = fnn.Input(channels, height, width, channels="first")
    other = fnn.Sequential([given, *net.layers[1:]], dtype=net.dtype)
    for name, values in net._state.items():
        other._state[name] = values
    return other


@pytest.mark.parametrize("rows", [1, 3, 70])
def test_channels_first(isa, rows):
    """The same bits as for images with their channels last, in inference and in training."""
    net = network("float32")
    other = with_channels_first(net)
    x, y = data(rows, "float32")
    turned = x.transpose(0, 3, 1, 2)  # with strides
    assert_same_bits(other(turned), net(x))
    assert_same_bits(other(np.ascontiguousarray(turned).reshape(rows, -1)), net(x))
    assert_same_bits(other.freeze()(turned), net.freeze()(x))
    assert_same_bits(other.astype("bfloat16")(turned), net.astype("bfloat16")(x))
    trainers = [fnn.Trainer(each, seed=3) for each in (net, other)]
    for _ in range(3):
        losses = [trainer.step(images, y) for trainer, images in zip(trainers, (x, turned), strict=True)]
        assert losses[0] == losses[1]
    for name, values in net._state.items():
        assert_same_bits(other._state[name], values)


def test_channels_first_is_kept(tmp_path):
    net = with_channels_first(network("float32"))
    x = data(3, "float32")[0].transpose(0, 3, 1, 2)
    net.save(tmp_path / "net.safetensors")
    for again in (fnn.load(tmp_path / "net.safetensors"), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert again.layers == net.layers
        assert_same_bits(again(x), net(x))
    assert eval(repr(net.input), {"Input": fnn.Input}) == net.input
    assert "Input(3, 9, 8, channels='first')" in net.summary()
    assert net.input.format_version == 2


def test_fit_with_channels_first():
    """Rows by index, shuffled, as fit takes them."""
    net = network("float32")
    other = with_channels_first(net)
    x, y = data(60, "float32")
    net.fit(x, y, epochs=2, batch_size=16, seed=0)
    other.fit(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), y, epochs=2, batch_size=16, seed=0)
    for name, values in net._state.items():
        assert_same_bits(other._state[name], values)


def test_what_takes_networks_keeps_the_order_of_channels():
    net = with_channels_first(network("float32"))
    scaled = fnn.compound_scale([net.input, fnn.Conv2D(4, 3, "relu"), fnn.Dense(3, "softmax")], phi=3)
    assert scaled[0] == fnn.Input(3, 14, 12, channels="first")
    other = fnn.Sequential([fnn.Input(*IMAGE), *net.layers[1:]], seed=0)
    with pytest.raises(ValueError, match="216 inputs, channels first"):
        fnn.Ensemble([net, other])
    x = data(3, "float32")[0].transpose(0, 3, 1, 2)
    assert fnn.Ensemble([net, net])(x).shape == (3, 4)


def test_channels_first_of_what_are_no_images():
    expected = r"expected \(channels, height, width\) for channels='first', got shape \(9, 8\)"
    with pytest.raises(ValueError, match=expected):
        fnn.Input(9, 8, channels="first")
    with pytest.raises(ValueError, match="channels: expected one of last, first, got 'frist'; did you mean 'first'"):
        fnn.Input(3, 9, 8, channels="frist")
    net = with_channels_first(network("float32"))
    with pytest.raises(ValueError, match=r"x: expected shape \(B, 3, 9, 8\) or \(B, 216\), got \(2, 9, 8, 3\)"):
        net(data(2, "float32")[0])
    with pytest.raises(ValueError, match="runs on the CPU only"):
        net._structure.require_gpu()
    # A dense layer reads the pixels in the order of layers, channels last.
    dense = fnn.Sequential([fnn.Input(2, 3, 4, channels="first"), fnn.Dense(24)], seed=0, dtype="float64")
    x = np.random.default_rng(0).standard_normal((5, 2, 3, 4))
    np.testing.assert_allclose(dense(x), x.transpose(0, 2, 3, 1).reshape(5, -1) @ dense.parameters["dense_1.weight"])
