"""Training in several processes: here ranks are threads, see ranks.py; test_mpi.py has processes."""

import itertools

import numpy as np
import pytest

import fnnfast as fnn
import ranks
from fnnfast import _cpu, distributed
from oracles import assert_same_bits, assert_same_networks

RNG = np.random.default_rng(0)
X = RNG.standard_normal((99, 6)).astype(np.float32)  # in batches of 32: the last one has 3 rows
Y = RNG.integers(0, 3, 99)
WEIGHTS = RNG.uniform(0, 2, 99)
WEIGHTS[::7] = 0
QUICK = {"epochs": 2, "seed": 0, "progress": False}


def dense(dtype="float32"):
    """All sums of its parts are computed at once."""
    layers = [fnn.Input(6), fnn.Dense(33, "relu"), fnn.Dropout(0.3), fnn.Dense(300, "tanh"), fnn.Dense(3, "softmax")]
    return fnn.Sequential(layers, dtype=dtype, seed=1)


def mixed():
    """Pieces, slopes and statistics of its own: each part has a step."""
    block = fnn.Residual([fnn.Dense(20, "prelu"), fnn.BatchNorm(), fnn.GaussianNoise(0.1), fnn.Dense(20)])
    layers = [fnn.Input(6), fnn.Dense(20, bias=False), fnn.BatchNorm(), fnn.Activation("prelu")]
    return fnn.Sequential([*layers, block, fnn.Maxout(9, pieces=3), fnn.Dense(3, "softmax")], seed=1)


def images():
    layers = [fnn.Input(3, 2, 1), fnn.Conv2D(5, 2, padding="same"), fnn.BatchNorm(), fnn.MaxoutConv2D(4, 2, pieces=2)]
    return fnn.Sequential([*layers, fnn.Flatten(), fnn.Dense(3, "softmax")], seed=1)


def frozen():
    net = mixed()
    net.freeze("dense_1", "residual_1")
    return net


MAKERS = {make.__name__: make for make in (dense, mixed, images, frozen)}
OPTIONS = {
    "plain": {},
    "sgd": {"optimizer": fnn.SGD(0.1, momentum=0.9), "clip_norm": 0.1, "l2": 0.01},
    "weights": {"sample_weight": WEIGHTS, "class_weight": "balanced"},
    "validation": {"validation": 0.2, "batch_size": 7},
    "three shards": {"shards": 5},
    "accumulate": {"accumulate": 3, "batch_size": 10},
    "bfloat16": {"gradients": "bfloat16"},
}


def trained(make, comm=None, **options):
    net = make()
    history = distributed.fit(net, X, Y, comm=comm, **{**QUICK, **options})
    return net, history


def of_ranks(size, make, delays=None, **options):
    results = ranks.run(size, lambda comm: trained(make, comm, **options), delays)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def assert_same(results):
    (first, history), *others = results
    for net, other in others:
        assert_same_networks(net, first)
        for name, values in first.buffers.items():
            assert_same_bits(net.buffers[name], values)
        assert other.to_dict() == history.to_dict()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_any_number_of_ranks_has_the_same_bits(make, options):
    sizes = [size for size in (2, 3, 4, 8) if size <= options.get("shards", 8)]
    alone = trained(make, **options)
    assert_same([alone, *itertools.chain(*(of_ranks(size, make, **options) for size in sizes))])
    assert np.isfinite(alone[1].loss).all()


@pytest.mark.parametrize("options", [OPTIONS[name] for name in ("plain", "sgd", "weights", "validation")], ids=repr)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_one_shard_is_fit(make, options):
    net = make()
    history = net.fit(X, Y, **QUICK, **options)
    other, of_ranks = trained(make, shards=1, **options)
    assert_same_networks(other, net)
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate", "stopped"):
        assert getattr(of_ranks, name) == getattr(history, name)
    for layer, norms in history.gradient_norm.items():  # the same numbers, summed in another order
        np.testing.assert_allclose(of_ranks.gradient_norm[layer], norms, rtol=1e-5)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_several_shards_are_close_to_one(make):
    """They are the same sums, but for batch normalizations, whose batches are shards."""
    rtol = 1e-4 if make in (dense,) else 0.2
    one, many = trained(make, shards=1)[1], trained(make, shards=8, batch_size=64)[1]
    again = trained(make, shards=1, batch_size=64)[1]
    np.testing.assert_allclose(many.loss, again.loss, rtol=rtol)
    assert one.loss != again.loss


def test_dropout_is_that_of_fit():
    """The draws are those of a row's place in its batch: in float64 nothing else could come so close."""
    x, few = X.astype(np.float64), {"epochs": 1, "seed": 5, "progress": False, "batch_size": 32}
    one, many = dense("float64"), dense("float64")
    one.fit(x, Y, **few)
    distributed.fit(many, x, Y, shards=4, **few)
    for name, values in one.parameters.items():
        np.testing.assert_allclose(many.parameters[name], values, rtol=1e-9, atol=1e-12)


def test_losses_with_a_constant_and_of_reals():
    def make():
        return fnn.Sequential([fnn.Input(6), fnn.Dense(8, "relu"), fnn.Gaussian(2)], seed=1)

    y = X[:, :2]
    one, many = make(), make()
    history = one.fit(X, y, **QUICK)
    others = distributed.fit(many, X, y, shards=8, **QUICK)
    np.testing.assert_allclose(others.loss, history.loss, rtol=1e-5)
    assert others.accuracy == []


def test_running_statistics_are_of_all_shards():
    net = fnn.Sequential([fnn.Input(6), fnn.BatchNorm(momentum=0.5), fnn.Dense(3, "softmax")], seed=0)
    distributed.fit(net, X, Y, epochs=1, batch_size=len(X), shards=8, seed=0, progress=False)
    np.testing.assert_allclose(net.buffers["batch_norm_1.mean"], 0.5 * X.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(net.buffers["batch_norm_1.variance"], 0.5 + 0.5 * X.var(0, ddof=1), rtol=1e-5)


def test_each_shard_is_normalized_by_itself():
    """With the gradients of the mean over all rows."""

    def make():
        return fnn.Sequential([fnn.Input(6), fnn.BatchNorm(), fnn.Dense(3, "softmax")], seed=0)

    net, shards = make(), 4
    start = dict(net.parameters)
    distributed.fit(net, X[:80], Y[:80], optimizer=fnn.SGD(1.0), epochs=1, batch_size=80, shards=shards, seed=0)
    order = np.random.default_rng(0)
    order.integers(2**63)
    rows = order.permutation(80).reshape(shards, -1)
    grads = [fnn.Trainer(make()).gradients(X[part], Y[part]) for part in rows]
    for name, values in net.parameters.items():
        expected = start[name] - np.mean([grad[name] for grad in grads], axis=0)
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


def test_instruction_sets_may_differ_between_ranks(machine_restored):
    """Gradients travel in the users' layout, not in the panels of an instruction set."""
    alone = trained(mixed)
    made = []
    for isa in _cpu.isas()[:4]:
        _cpu.use_isa(isa)
        made.append(mixed())
    if len(made) < 2:
        pytest.skip("one instruction set")
    results = ranks.run(
        len(made), lambda comm: (made[comm.rank], distributed.fit(made[comm.rank], X, Y, comm=comm, **QUICK))
    )
    for net, history in results:
        assert_same_networks(net, alone[0])
        assert (history.loss, history.accuracy) == (alone[1].loss, alone[1].accuracy)


def test_a_slow_rank_changes_no_bit():
    assert_same([trained(mixed, epochs=1), *of_ranks(3, mixed, delays={1: 0.02}, epochs=1)])


def test_accumulated_batches_are_one_batch_of_more_shards():
    one = trained(mixed, batch_size=16, accumulate=2, shards=4)
    assert_same(
        [one, trained(mixed, batch_size=32, shards=8), *of_ranks(2, mixed, batch_size=16, accumulate=2, shards=4)]
    )


def test_bfloat16_sends_half_and_rounds():
    sent = {}

    def work(gradients):
        def of_rank(comm):
            net = trained(dense, comm, gradients=gradients, optimizer=fnn.SGD(0.1))[0]
            sent[gradients] = comm.sent
            return net

        return of_rank

    full, narrow = ranks.run(2, work("full"))[0], ranks.run(2, work("bfloat16"))[0]
    assert 0.5 < sent["bfloat16"] / sent["full"] < 0.55
    start = dense()
    for name, values in full.parameters.items():  # leaves and three levels are rounded, each to 2**-9 at most
        moved, off = (np.linalg.norm(values - other.parameters[name]) for other in (start, narrow))
        assert 0 < off < 4 * 2**-9 * moved
    with pytest.raises(ValueError, match="gradients: expected 'full' or 'bfloat16', got 'half'"):
        trained(dense, gradients="half")
    with pytest.raises(ValueError, match="one in float64"):
        trained(lambda: dense("float64"), gradients="bfloat16")


def test_all_begin_with_the_parameters_and_the_seed_of_rank_0():
    def work(comm):
        net = fnn.Sequential([fnn.Input(6), fnn.Dense(8, "relu"), fnn.Dense(3, "softmax")], seed=comm.rank)
        distributed.fit(net, X, Y, epochs=2, progress=False, comm=comm)
        return net

    first, second = ranks.run(2, work)
    assert_same_networks(second, first)


def test_callbacks_of_any_rank_stop_all():
    def work(comm):
        return trained(dense, comm, epochs=9, callbacks=[lambda epoch, history: comm.rank == 1 and epoch == 2])

    results = ranks.run(3, work)
    assert [(len(history.loss), history.stopped) for _, history in results] == [(3, "early")] * 3
    assert_same(results)


def test_early_stopping_restores_the_same_weights():
    options = {"epochs": 30, "validation": 0.3, "optimizer": fnn.Adam(0.1)}
    alone = trained(dense, **options, callbacks=[fnn.EarlyStopping(patience=2)])
    results = ranks.run(2, lambda comm: trained(dense, comm, **options, callbacks=[fnn.EarlyStopping(patience=2)]))
    assert_same([alone, *results])
    assert alone[1].stopped == "early"


def test_only_rank_0_shows_progress(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    of_ranks(2, dense, progress=True)
    assert capsys.readouterr().err.count("epoch 1/2") == 1


# Checkpoints ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("before", "after"), [(2, 3), (4, 1), (1, 4)])
def test_resuming_with_another_number_of_ranks(tmp_path, before, after):
    path = tmp_path / "run.ckpt"
    whole = trained(mixed, epochs=5)

    def failing(epoch, history):
        if epoch == 3:
            raise OSError("the machine is gone")

    results = ranks.run(before, lambda comm: trained(mixed, comm, epochs=5, checkpoint=path, callbacks=[failing]))
    assert all(isinstance(result, OSError) for result in results)
    assert_same([whole, *of_ranks(after, mixed, epochs=5, checkpoint=path)])


def test_a_checkpoint_of_other_shards_is_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    trained(dense, checkpoint=path)
    with pytest.raises(ValueError, match="another shards; remove the file"):
        trained(dense, checkpoint=path, shards=4, epochs=3)
    with pytest.raises(ValueError, match="another shards, gradients"):
        dense().fit(X, Y, checkpoint=path, **QUICK)


# Failures ------------------------------------------------------------------------------------------------------------
def failures(size, work):
    return [f"{type(result).__name__}: {result}" for result in ranks.run(size, work)]


def test_bad_data_of_one_rank_ends_all():
    def work(comm):
        x = X[:, :4] if comm.rank == 1 else X
        distributed.fit(dense(), x, Y, comm=comm, **QUICK)

    first, second, third = failures(3, work)
    assert second.startswith("ValueError: x: expected shape (B, 6)")
    assert first == third
    assert first.startswith("RuntimeError: rank 1 failed: ValueError: x: expected shape (B, 6)")


def test_nan_in_the_data_of_one_rank_ends_all():
    def work(comm):
        x = X.copy()
        if comm.rank == 1:
            x[:, 3] = np.nan
        net = dense()
        try:
            distributed.fit(net, x, Y, comm=comm, **QUICK)
        finally:
            assert_same_networks(net, dense())

    first, second = failures(2, work)
    assert (
        second
        == "ValueError: x has NaN in row 0, column 3: the loss is NaN, and the network stays as it was before that step"
    )
    assert first.startswith("RuntimeError: rank 1 failed: ValueError: x has NaN in row 0")


def test_nan_in_the_data_of_all_ranks():
    x = X.copy()
    x[50, 2] = np.inf
    texts = failures(2, lambda comm: distributed.fit(dense(), x, Y, comm=comm, **QUICK))
    assert texts[0] == texts[1]
    assert "x has inf in float32 in row 50, column 2" in texts[0]


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("where", ["callbacks", "schedule"])
def test_an_error_of_a_callback_or_schedule_ends_all(where, epoch):
    def work(comm):
        def broken(at, *_):
            if at == epoch and comm.rank == 2:
                raise OSError("no space")
            return 1.0 if where == "schedule" else None

        settings = {"schedule": broken} if where == "schedule" else {"callbacks": [broken]}
        distributed.fit(dense(), X, Y, comm=comm, **QUICK, **settings)

    assert failures(3, work) == ["RuntimeError: rank 2 failed: OSError: no space"] * 2 + ["OSError: no space"]


def test_an_error_in_a_step_ends_all(monkeypatch):
    from fnnfast.distributed._step import Step

    def work(comm):
        net = dense()
        try:
            distributed.fit(net, X, Y, comm=comm, **QUICK)
        finally:
            work.nets.append(net)

    work.nets = []
    compute, calls = Step._sum, []

    def broken(self, *arguments):
        compute(self, *arguments)
        if self._comm.rank == 1:
            calls.append(1)
            if len(calls) == 3:
                raise MemoryError("too much")

    monkeypatch.setattr(Step, "_sum", broken)
    first, second = failures(2, work)
    assert second == "MemoryError: too much"
    assert first == "RuntimeError: rank 1 failed: MemoryError: too much"
    assert_same_networks(*work.nets)


def test_other_data_or_settings_on_a_rank():
    def other_targets(comm):
        distributed.fit(dense(), X, Y if comm.rank == 0 else Y[::-1], comm=comm, **QUICK)

    assert (
        failures(2, other_targets)
        == ["ValueError: rank 1 was given another y or weights than rank 0: expected the same on all"] * 2
    )

    def other_optimizer(comm):
        distributed.fit(dense(), X, Y, optimizer=fnn.SGD(0.1 + comm.rank), comm=comm, **QUICK)

    assert all("rank 1 was given another optimizer" in text for text in failures(2, other_optimizer))


def test_arguments():
    with pytest.raises(TypeError, match="comm: expected None, a communicator of mpi4py or a fnnfast"):
        trained(dense, comm=3)
    with pytest.raises(TypeError, match="network: expected a Sequential"):
        distributed.fit(dense().freeze(), X, Y)
    for name in ("shards", "accumulate", "batch_size"):
        with pytest.raises(ValueError, match=f"{name}: expected an integer >= 1, got 0"):
            trained(dense, **{name: 0})
    assert all(
        "shards: expected at least one for each of 3 ranks, got 2" in text
        for text in failures(3, lambda comm: trained(dense, comm, shards=2))
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'lr'"):
        trained(dense, lr=0.1)
