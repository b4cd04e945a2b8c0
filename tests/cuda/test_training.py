"""Training on a GPU against training on the CPU: the same steps, from the same draws."""

import pickle

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import Activation, Dense, Dropout, GaussianNoise, Input, Maxout, Residual, Sequential

pytestmark = pytest.mark.cuda

ROWS = 37

NETWORKS = {
    "chain": [Input(17), Dense(33, "relu"), Dense(20, "swish"), Dense(10, "softmax")],
    "saves": [
        Input(7),
        Dense(9, "tanh"),
        Dense(8, "gelu"),
        Dense(12, "softplus"),
        Dense(6, fnn.LeakyReLU(0.1)),
        Dense(5, "selu"),
        Dense(10, "softmax"),
    ],
    "learned slopes": [Input(7), Dense(9, "prelu"), Dense(4, fnn.ELU(1.0, learn=True)), Dense(10, "softmax")],
    "maxout": [Input(11), Maxout(13, pieces=3), Maxout(7, pieces=2), Dense(10, "softmax")],
    "residual": [
        Input(8),
        Dense(16, "relu"),
        Residual([Dense(12, "tanh"), Dense(16, "relu")]),
        Residual([Dense(9, "swish"), Maxout(10, pieces=2)]),
        Dense(10, "softmax"),
    ],
    "tree": [
        Input(8),
        Activation("tanh"),
        Dense(16, bias=False),
        Residual([Residual([Dense(16, "swish")]), Dense(9, "tanh")], [Dense(9, bias=False), Activation("elu")], "gelu"),
        Activation("prelu"),
        Residual([Maxout(9, bias=False)], activation="relu"),
        Residual([Dense(10, "tanh")]),
        Activation("softmax"),
    ],
    "perturbed": [
        Input(8),
        GaussianNoise(0.1),
        Dense(16, "relu"),
        Dropout(0.3),
        Dense(12, "tanh"),
        Dropout(0.2),
        Dense(10, "softmax"),
    ],
}
OPTIMIZERS = {
    "adam": fnn.Adam(1e-2),
    "adamw": fnn.AdamW(1e-2, weight_decay=0.1),
    "momentum": fnn.SGD(0.05, momentum=0.9),
    "nesterov": fnn.SGD(0.05, momentum=0.9, nesterov=True),
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def classes(rng, shape, count=10):
    return rng.integers(0, count, shape)


def pair(cuda, layers, dtype="float32"):
    """The same network on the CPU, in float32 or float64, and on the GPU."""
    cpu = Sequential(layers, dtype="float64" if dtype == "float64" else "float32", seed=1)
    return cpu, Sequential(layers, dtype=dtype, seed=1, device="cuda")


def assert_close(cuda, on_cpu, on_gpu, atol):
    for name in on_cpu.parameters:
        np.testing.assert_allclose(cuda.host(on_gpu.parameters[name]), on_cpu.parameters[name], atol=atol, err_msg=name)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_the_cpus(cuda, rng, network, dtype):
    """Sums over the batch may be taken in another order, nothing else differs: dropout and noise draw the same."""
    cpu, gpu = pair(cuda, NETWORKS[network], dtype)
    trainers = [fnn.Trainer(net, optimizer=fnn.SGD(0.1, momentum=0.9), seed=3) for net in (cpu, gpu)]
    for _ in range(3):
        x, y = rng.standard_normal((ROWS, cpu.input.size)), classes(rng, ROWS)
        expected, got = trainers[0].step(x, y), trainers[1].step(cuda.array(x), cuda.array(y))
        assert got.shape == ()
        assert float(cuda.host(got)) == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-13)
    assert_close(cuda, cpu, gpu, 2e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("dtype", "off"), [("tf32", 4e-3), ("float16", 4e-3), ("bfloat16", 4e-2)])
def test_gradients_in_narrow_types(cuda, rng, network, dtype, off):
    """Of the size that rounding every factor of every product makes them differ by, and now and then a winner."""
    within = 0.1 if any("Maxout" in repr(layer) for layer in NETWORKS[network]) else 7 * off
    cpu, gpu = pair(cuda, NETWORKS[network], dtype)
    x, y = rng.standard_normal((ROWS, cpu.input.size)), classes(rng, ROWS)
    expected = fnn.Trainer(cpu, seed=3).gradients(x, y)
    got = fnn.Trainer(gpu, seed=3).gradients(cuda.array(x), cuda.array(y))
    for name, gradient in expected.items():
        assert got[name].dtype == np.float32
        error = np.linalg.norm(cuda.host(got[name]) - gradient) / np.linalg.norm(gradient)
        assert error < within, name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("settings", [{}, {"l2": 0.01}, {"clip_norm": 0.1}, {"clip_norm": 0.1, "l2": 0.1}])
def test_optimizers(cuda, rng, optimizer, settings):
    cpu, gpu = pair(cuda, NETWORKS["chain"], "float64")
    x, y = rng.standard_normal((ROWS, 17)), classes(rng, ROWS)
    trainers = [fnn.Trainer(net, optimizer=OPTIMIZERS[optimizer], **settings) for net in (cpu, gpu)]
    for _ in range(3):
        trainers[0].step(x, y)
        trainers[1].step(cuda.array(x), cuda.array(y))
    assert_close(cuda, cpu, gpu, 1e-13)


@pytest.mark.parametrize(
    ("loss", "head", "target"),
    [
        (fnn.CrossEntropy(), "softmax", lambda rng: classes(rng, ROWS, 4)),
        (fnn.CrossEntropy(), "softmax", lambda rng: np.eye(4)[classes(rng, ROWS, 4)]),
        (fnn.BinaryCrossEntropy(), "sigmoid", lambda rng: classes(rng, (ROWS, 4), 2)),
        (fnn.MeanSquaredError(), "tanh", lambda rng: rng.standard_normal((ROWS, 4))),
        (fnn.MeanSquaredError(), "softmax", lambda rng: rng.standard_normal((ROWS, 4))),
        (fnn.GaussianNLL([1.0, 2.0, 0.5, 3.0]), "identity", lambda rng: rng.standard_normal((ROWS, 4))),
        (fnn.Hinge(), "identity", lambda rng: classes(rng, (ROWS, 4), 2)),
        (fnn.MulticlassHinge(), "identity", lambda rng: classes(rng, ROWS, 4)),
        (fnn.Poisson(), "identity", lambda rng: rng.poisson(2.0, (ROWS, 4))),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, fnn.losses.Loss) else None,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_losses(cuda, rng, loss, head, target, weighted):
    cpu, gpu = pair(cuda, [Input(8), Dense(16, "relu"), Dense(4, head)], "float64")
    x, y = rng.standard_normal((ROWS, 8)), target(rng)
    weights = rng.integers(0, 3, ROWS).astype(float) if weighted else None
    if weights is not None:
        x[weights == 0] = np.nan  # what does not count must not show
    expected, gradients = fnn.Trainer(cpu, loss).loss_and_gradients(x, y, weights)
    on_gpu = None if weights is None else cuda.array(weights)
    got, of_gpu = fnn.Trainer(gpu, loss).loss_and_gradients(cuda.array(x), cuda.array(y), on_gpu)
    assert float(cuda.host(got)) == pytest.approx(expected, rel=1e-13)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(cuda.host(of_gpu[name]), gradient, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("units", [70, 150])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_wide_softmax(cuda, rng, units, dtype):
    """Wider than a tile: the rows have a kernel of their own."""
    cpu, gpu = pair(cuda, [Input(8), Dense(16, "relu"), Dense(units, "softmax")], dtype)
    x, y = rng.standard_normal((ROWS, 8)), rng.standard_normal((ROWS, units))
    expected = fnn.Trainer(cpu, fnn.MeanSquaredError()).gradients(x, y)
    got = fnn.Trainer(gpu, fnn.MeanSquaredError()).gradients(cuda.array(x), cuda.array(y))
    for name, gradient in expected.items():
        error = np.linalg.norm(cuda.host(got[name]) - gradient) / np.linalg.norm(gradient)
        assert error < (1e-13 if dtype == "float64" else 0.1), name


def test_many_rows_are_summed_in_slices(cuda, rng):
    cpu, gpu = pair(cuda, [Input(8), Dense(5, "relu"), Dense(3, "softmax")], "float64")
    x, y = rng.standard_normal((1500, 8)), classes(rng, 1500, 3)
    expected = fnn.Trainer(cpu).gradients(x, y)
    got = fnn.Trainer(gpu).gradients(cuda.array(x), cuda.array(y))
    for name, gradient in expected.items():
        np.testing.assert_allclose(cuda.host(got[name]), gradient, atol=1e-13, err_msg=name)


def test_apply_after_gradients_is_a_step(cuda, rng):
    _, one = pair(cuda, NETWORKS["learned slopes"])
    _, two = pair(cuda, NETWORKS["learned slopes"])
    x, y = cuda.array(rng.standard_normal((ROWS, 7))), cuda.array(classes(rng, ROWS))
    first, second = fnn.Trainer(one), fnn.Trainer(two)
    for _ in range(2):
        first.step(x, y)
        second.apply(second.gradients(x, y))
    for name in one.parameters:
        assert (cuda.host(one.parameters[name]) == cuda.host(two.parameters[name])).all(), name


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_is_its_steps(cuda, rng, weighted, clip_norm):
    """In their bits, whatever the order of the rows and the size of the last batch."""
    _, whole = pair(cuda, NETWORKS["perturbed"])
    _, stepped = pair(cuda, NETWORKS["perturbed"])
    x, y = rng.standard_normal((ROWS, 8)).astype(np.float32), classes(rng, ROWS)
    weights = rng.integers(1, 4, ROWS).astype(float) if weighted else None
    order = rng.permutation(ROWS)
    trainer, other = (fnn.Trainer(net, seed=3, clip_norm=clip_norm) for net in (whole, stepped))
    on_gpu = None if weights is None else cuda.array(weights)
    loss = trainer.epoch(cuda.array(x), cuda.array(y), order, batch_size=10, sample_weight=on_gpu)
    losses, totals = [], []
    for first in range(0, ROWS, 10):
        rows = order[first : first + 10]
        own = None if weights is None else weights[rows]
        step = other.step(cuda.array(x[rows]), cuda.array(y[rows]), None if own is None else cuda.array(own))
        losses.append(float(cuda.host(step)))
        totals.append(len(rows) if own is None else own.sum())
    assert loss == pytest.approx(np.average(losses, weights=totals), rel=1e-6)
    for name in whole.parameters:
        assert (cuda.host(whole.parameters[name]) == cuda.host(stepped.parameters[name])).all(), name


def test_frozen_layers_stay(cuda, rng):
    _, gpu = pair(cuda, NETWORKS["chain"])
    gpu.freeze("dense_1")
    before = {name: cuda.host(values) for name, values in gpu.parameters.items()}
    fnn.Trainer(gpu).step(cuda.array(rng.standard_normal((ROWS, 17))), cuda.array(classes(rng, ROWS)))
    changed = {name for name, values in gpu.parameters.items() if (cuda.host(values) != before[name]).any()}
    assert changed == {name for name in gpu.parameters if not name.startswith("dense_1")}


def test_a_label_that_is_no_class_makes_the_loss_nan(cuda, rng):
    _, gpu = pair(cuda, NETWORKS["chain"])
    trainer = fnn.Trainer(gpu)
    for wrong in (10, -1, 2**40):
        labels = np.full(ROWS, 3)
        labels[5] = wrong
        got, gradients = trainer.loss_and_gradients(cuda.array(rng.standard_normal((ROWS, 17))), cuda.array(labels))
        assert np.isnan(cuda.host(got))
        assert np.isnan(cuda.host(gradients["dense_3.bias"])).all()


def test_wrong_targets(cuda, rng):
    _, gpu = pair(cuda, NETWORKS["chain"])
    trainer, x = fnn.Trainer(gpu), cuda.array(rng.standard_normal((ROWS, 17)))
    with pytest.raises(ValueError, match=r"y: expected .* got 36"):
        trainer.step(x, cuda.array(classes(rng, ROWS - 1)))
    with pytest.raises(ValueError, match="y: expected class indices"):
        trainer.step(x, cuda.array(np.zeros((ROWS, 3))))
    with pytest.raises(TypeError, match="y: expected integers"):
        trainer.step(x, cuda.array(np.zeros(ROWS)))
    with pytest.raises(ValueError, match="x: expected at least one row"):
        trainer.step(x[:0], cuda.array(classes(rng, 0)))
    with pytest.raises(TypeError, match="CuPy"):
        trainer.step(cuda.host(x), classes(rng, ROWS))


def test_a_step_allocates_no_more_than_its_loss(cuda, rng):
    """After the first one with as many rows, so that it can be captured in a graph."""
    stand_in = pytest.importorskip("cupy_stand_in", reason="counts allocations")
    _, gpu = pair(cuda, NETWORKS["perturbed"])
    x = cuda.array(rng.standard_normal((ROWS, 8)).astype(np.float32))
    y = cuda.array(classes(rng, ROWS))
    trainer = fnn.Trainer(gpu)
    trainer.step(x, y)
    stand_in.allocations.clear()
    trainer.step(x, y)
    assert stand_in.allocations == [4]


def test_a_captured_step_goes_on_training(cuda, rng):
    """One graph of a forward pass and a step, launched three times, is three passes and three steps."""
    if cuda.emulated:
        pytest.skip("the emulator has no graphs")
    _, captured = pair(cuda, NETWORKS["perturbed"])
    _, stepped = pair(cuda, NETWORKS["perturbed"])
    x, y = cuda.array(rng.standard_normal((ROWS, 8)).astype(np.float32)), cuda.array(classes(rng, ROWS))
    out = cuda.xp.empty((ROWS, 10), np.float32)
    trainer, other = fnn.Trainer(captured, seed=3), fnn.Trainer(stepped, seed=3)
    stream = cuda.xp.cuda.Stream(non_blocking=True)
    cuda.xp.cuda.Device().synchronize()
    with stream:
        captured(x, out=out)
        trainer.step(x, y)
        stream.begin_capture()
        captured(x, out=out)
        loss = trainer.step(x, y)
        graph = stream.end_capture()
        for _ in range(3):
            graph.launch(stream)
    stream.synchronize()
    for _ in range(3):
        other.step(x, y)
    assert (cuda.host(out) == cuda.host(stepped(x))).all()
    assert float(cuda.host(loss)) == float(cuda.host(other.step(x, y)))
    for name in captured.parameters:
        assert (cuda.host(captured.parameters[name]) == cuda.host(stepped.parameters[name])).all(), name


SCHEDULE = [(0.01, 0.0), (0.02, 0.1), (0.005, 0.1), (0.0, 0.3)]  # learning rate and l2


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.1}], ids=["plain", "clipped"])
def test_a_captured_step_follows_a_schedule(cuda, rng, optimizer, settings):
    """In the bits of a step that is not captured."""
    if cuda.emulated:
        pytest.skip("the emulator has no graphs")
    _, captured = pair(cuda, NETWORKS["chain"])
    _, stepped = pair(cuda, NETWORKS["chain"])
    x, y = cuda.array(rng.standard_normal((ROWS, 17)).astype(np.float32)), cuda.array(classes(rng, ROWS))
    trainer, other = (fnn.Trainer(net, optimizer=OPTIMIZERS[optimizer], **settings) for net in (captured, stepped))
    stream = cuda.xp.cuda.Stream(non_blocking=True)
    cuda.xp.cuda.Device().synchronize()
    with stream:
        trainer.step(x, y)
        stream.begin_capture()
        trainer.step(x, y)
        graph = stream.end_capture()
        for trainer.learning_rate, trainer.l2 in SCHEDULE:
            graph.launch(stream)
    stream.synchronize()
    other.step(x, y)
    for other.learning_rate, other.l2 in SCHEDULE:
        other.step(x, y)
    for name in captured.parameters:
        assert (cuda.host(captured.parameters[name]) == cuda.host(stepped.parameters[name])).all(), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.1}], ids=["plain", "clipped"])
def test_a_step_reads_its_rates_from_memory_while_it_is_captured(cuda, rng, optimizer, settings):
    """Each launch of a graph has the arguments of its capture, which here are wrong."""
    stand_in = pytest.importorskip("cupy_stand_in", reason="runs what is captured")
    _, captured = pair(cuda, NETWORKS["chain"])
    _, stepped = pair(cuda, NETWORKS["chain"])
    x, y = cuda.array(rng.standard_normal((ROWS, 17)).astype(np.float32)), cuda.array(classes(rng, ROWS))
    trainer, other = (fnn.Trainer(net, optimizer=OPTIMIZERS[optimizer], **settings) for net in (captured, stepped))
    with stand_in.Stream(5) as stream:
        for trainer.learning_rate, trainer.l2 in SCHEDULE:
            stream.capturing = True
            trainer._core.step(x, y, 1e3)
            stream.capturing = False
    for other.learning_rate, other.l2 in SCHEDULE:
        other.step(x, y)
    for name in captured.parameters:
        assert (cuda.host(captured.parameters[name]) == cuda.host(stepped.parameters[name])).all(), name


def test_other_steps_bring_their_rates(cuda, rng):
    """After them the memory has them, too; and a copy of a trainer has those of the trainer."""
    stand_in = pytest.importorskip("cupy_stand_in", reason="runs what is captured")
    x, y = cuda.array(rng.standard_normal((ROWS, 17)).astype(np.float32)), cuda.array(classes(rng, ROWS))
    nets = []
    for captures in (False, True):
        _, net = pair(cuda, NETWORKS["chain"])
        trainer = fnn.Trainer(net, l2=0.2)
        trainer._core.step(x, y, 0.03)
        trainer.learning_rate = 0.04
        trainer = pickle.loads(pickle.dumps(trainer))
        with stand_in.Stream(5) as stream:
            stream.capturing = captures
            trainer._core.step(x, y, 0.04)
            stream.capturing = False
            trainer._core._core.step(
                trainer._core._arrays, x, y, None, None, 0.05, cuda.xp.empty((1,), np.float32), None, False, stream=5
            )
            stream.capturing = captures
            trainer._core.step(x, y, 0.05)
            stream.capturing = False
        nets.append(trainer.network)
    for name in nets[0].parameters:
        assert (cuda.host(nets[0].parameters[name]) == cuda.host(nets[1].parameters[name])).all(), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fit(cuda, rng, dtype):
    """The same batches as on the CPU, held-out rows and weights among them."""
    x = rng.standard_normal((200, 12))
    y = (x @ rng.standard_normal((12, 4))).argmax(axis=1)
    layers = [Input(12), Dense(16, "relu"), Dropout(0.1), Dense(4, "softmax")]
    cpu, gpu = pair(cuda, layers, dtype)
    weights = rng.integers(0, 3, 200).astype(float)
    settings = {"epochs": 3, "seed": 1, "validation": 0.2, "class_weight": "balanced", "clip_norm": 1.0}
    expected = cpu.fit(x, y, sample_weight=weights, **settings)
    got = gpu.fit(cuda.array(x), cuda.array(y), sample_weight=cuda.array(weights), **settings)
    off = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(got.loss, expected.loss, rtol=off)
    np.testing.assert_allclose(got.validation_loss, expected.validation_loss, rtol=off)
    assert_close(cuda, cpu, gpu, off)


def test_checkpoint_and_early_stopping(cuda, rng, tmp_path):
    """Three epochs and then three more end in the bits of six."""
    x, y = cuda.array(rng.standard_normal((100, 12))), cuda.array(classes(rng, 100, 4))
    layers = [Input(12), Dense(16, "relu"), Dropout(0.1), Dense(4, "softmax")]
    whole, parts = (Sequential(layers, seed=0, device="cuda") for _ in range(2))

    def train(net, epochs, **settings):
        stop = fnn.EarlyStopping(patience=10)
        return net.fit(x, y, epochs=epochs, seed=1, validation=0.2, callbacks=[stop], **settings)

    history = train(whole, 6)
    train(parts, 3, checkpoint=tmp_path / "run")
    again = Sequential(layers, seed=5, device="cuda")
    assert train(again, 6, checkpoint=tmp_path / "run").loss == history.loss
    for name in whole.parameters:
        assert (cuda.host(whole.parameters[name]) == cuda.host(again.parameters[name])).all(), name
