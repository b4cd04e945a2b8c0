"""One bit pattern for whole networks: answers and trained weights, for any batch, threads and instruction set."""

import itertools

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import _cpu

THREADS = (1, 2, 3, 8)
LAYERS = (
    fnn.Input(37),
    fnn.GaussianNoise(0.1),
    fnn.Dense(70, "swish"),
    fnn.Maxout(33, pieces=3),
    fnn.Dropout(0.25),
    fnn.Residual([fnn.Dense(20, "gelu"), fnn.Dropout(0.1), fnn.Dense(33, "sigmoid")]),
    fnn.Residual([fnn.Maxout(40, pieces=2)]),
    fnn.Dense(65, "prelu"),
    fnn.Dense(20, "tanh"),
)
HEADS = {"softmax": fnn.Dense(10, "softmax"), "sigmoid": fnn.Dense(1, "sigmoid"), "gelu": fnn.Dense(3, "gelu")}

pytestmark = pytest.mark.usefixtures("machine_restored")


def network(head, dtype):
    return fnn.Sequential([*LAYERS, HEADS[head]], dtype=dtype, seed=1)


def variants(threads=THREADS):
    """Selects every instruction set with every number of threads, in turn."""
    for isa, n in itertools.product(_cpu.isas(), threads):
        _cpu.use_isa(isa)
        fnn.set_num_threads(n)
        yield isa, n


def data(rows, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, 37)).astype(dtype)


def bits(array):
    return array.view(np.uint32 if array.dtype == np.float32 else np.uint64)


def assert_same_bits(a, b, where):
    assert a.shape == b.shape
    differing = int((bits(np.ascontiguousarray(a)) != bits(np.ascontiguousarray(b))).sum())
    assert differing == 0, f"{differing} of {a.size} differ: {where}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("head", HEADS)
def test_a_row_answers_the_same_in_any_batch(head, dtype):
    x = data(300, dtype)
    expected = network(head, dtype)(x)
    for variant in variants():
        net = network(head, dtype)
        for rows in (1, 2, 5, 6, 7, 12, 13, 24, 25, 47, 96, 97, 257, 300):
            assert_same_bits(net(x[:rows]), expected[:rows], (variant, rows))
            assert_same_bits(net(x[300 - rows :]), expected[300 - rows :], (variant, rows, "from the end"))


def train(head, dtype, steps, optimizer, rows=160, clip_norm=None, weighted=False):
    net = network(head, dtype)
    x = data(rows, dtype)
    rng = np.random.default_rng(5)
    y = {
        "softmax": rng.integers(0, 10, rows),
        "sigmoid": rng.integers(0, 2, rows),
        "gelu": rng.standard_normal((rows, 3)),
    }[head]
    weights = rng.random(rows) if weighted else None
    trainer = fnn.Trainer(net, optimizer=optimizer, l2=1e-4, seed=3, clip_norm=clip_norm)
    batches = [slice(0, rows - i % 3) for i in range(steps)]
    losses = [trainer.step(x[rows], y[rows], None if weights is None else weights[rows]) for rows in batches]
    return np.array(losses), {name: values.copy() for name, values in net.parameters.items()}


def assert_trains_to_the_same_bits(head, dtype, steps, optimizer, threads, **options):
    runs = {variant: train(head, dtype, steps, optimizer, **options) for variant in variants(threads)}
    (first, (losses, parameters)), *others = runs.items()
    assert np.isfinite(losses).all()
    for variant, (other_losses, other_parameters) in others:
        assert_same_bits(other_losses, losses, (first, variant, "losses"))
        for name, values in parameters.items():
            assert_same_bits(other_parameters[name], values, (first, variant, name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("head", "optimizer"),
    [("softmax", fnn.Adam(1e-3)), ("sigmoid", fnn.SGD(0.05, momentum=0.9, nesterov=True)), ("gelu", fnn.AdamW(1e-3))],
)
def test_training_gives_the_same_bits(head, optimizer, dtype):
    assert_trains_to_the_same_bits(head, dtype, 5, optimizer, (1, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_and_weights_give_the_same_bits(dtype):
    assert_trains_to_the_same_bits("softmax", dtype, 5, fnn.Adam(1e-3), (1, 3), clip_norm=0.1, weighted=True)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_thousand_steps_give_the_same_bits(dtype):
    assert_trains_to_the_same_bits("softmax", dtype, 1000, fnn.Adam(1e-3), (1, 2, 8))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_batch_size_gives_the_same_bits(dtype):
    x = data(4096, dtype)
    expected = network("softmax", dtype)(x)
    for variant in variants():
        net = network("softmax", dtype)
        assert_same_bits(net(x), expected, (variant, 4096))
        for rows in range(1, 258):
            assert_same_bits(net(x[:rows]), expected[:rows], (variant, rows))
        if variant[1] == 1:
            alone = np.concatenate([net(x[i : i + 1]) for i in range(257)])
            assert_same_bits(alone, expected[:257], (variant, "alone"))
