"""Dask with worker processes: answers, training, killed workers, threads, and searches."""

import itertools
import os
import time

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import distributed
from oracles import assert_same_bits, assert_same_networks
from ranks import killed_once, training

da = pytest.importorskip("dask.array")
dask_distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # those of the engine are its own
]

X = np.random.default_rng(0).standard_normal((4000, 6)).astype(np.float32)
NET = fnn.Sequential([fnn.Input(6), fnn.Dense(50, "swish"), fnn.Dense(3, "softmax")], seed=0)


@pytest.fixture(scope="module")
def client():
    cluster = dask_distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None)
    with cluster, dask_distributed.Client(cluster) as client:
        yield client


@pytest.mark.parametrize("chunk", [100, 1500])
def test_the_same_bits(client, chunk):
    lazy = distributed.predict(NET, da.from_array(X, chunks=(chunk, 6)), "outputs")
    assert_same_bits(lazy.compute(), NET(X))


def test_workers_obey_the_limits_of_threads(client):
    """Dask sets OMP_NUM_THREADS to 1 in its workers, and runs two tasks at a time in each."""
    assert set(client.run(fnn.get_num_threads).values()) == {1}
    assert set(client.run(os.environ.get, "OMP_NUM_THREADS").values()) == {"1"}


def test_arrays_travel_beside_the_stream(client):
    """Dask's serialization passes buffers on without copying them into a stream."""
    from distributed.protocol import serialize

    net = fnn.Sequential([fnn.Input(500), fnn.Dense(500)], seed=0)
    header, frames = serialize(net, serializers=("pickle",))
    assert header["serializer"] == "pickle"
    assert len(frames) > 1
    assert len(frames[0]) < 4000
    assert_same_bits(
        client.submit(lambda other, x: other(x), net, X[:5].repeat(84, 1)[:, :500]).result(),
        net(X[:5].repeat(84, 1)[:, :500]),
    )


def test_a_killed_worker(client, tmp_path):
    """Its partitions are computed again: nothing is lost or doubled."""
    model = killed_once(NET, X[2000, 0], str(tmp_path / "flag"))
    lazy = distributed.predict(model, da.from_array(X, chunks=(200, 6))[1000:])
    assert_same_bits(lazy.compute(), NET.predict(X[1000:]))
    flag = (tmp_path / "flag").exists()
    assert flag, "no worker was killed"


def test_joblib(client):
    import joblib

    with joblib.parallel_config("dask"):
        assert_same_bits(distributed.predict(NET, X, "outputs"), NET(X))


def test_a_search(client):
    import joblib
    from sklearn.model_selection import GridSearchCV

    from fnnfast.sklearn import FNNClassifier

    y = (X[:, 0] > 0).astype(int)
    grid = {"hidden_layer_sizes": [(4,), (16,)], "alpha": [0.0, 0.01]}
    model = FNNClassifier(max_iter=300, n_iter_no_change=2, tol=0.1, random_state=0)
    search = GridSearchCV(model, grid, cv=2)
    alone = GridSearchCV(model, grid, cv=2).fit(X[:400], y[:400])
    with joblib.parallel_config("dask"):
        search.fit(X[:400], y[:400])
    assert_same_bits(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_fit_many_is_a_unit_of_work(client):
    y = (X[:, 0] > 0).astype(int)

    def train(widths):
        layers = [[fnn.Input(6), fnn.Dense(width, "relu"), fnn.Dense(1, "sigmoid")] for width in widths]
        networks = [fnn.Sequential(of, seed=0) for of in layers]
        fnn.fit_many(networks, X, y, epochs=1, seed=0, progress=False)
        return networks

    futures = client.map(train, [[2, 3, 4], [5, 6, 7]])
    for got, expected in zip(
        itertools.chain(*client.gather(futures)), [*train([2, 3, 4]), *train([5, 6, 7])], strict=True
    ):
        assert_same_bits(got(X), expected(X))


# Training ------------------------------------------------------------------------------------------------------------
ROWS, LABELS = X[:330], np.arange(330) % 3


@pytest.fixture(scope="module")
def alone():
    return training(ROWS, LABELS)(None)


@pytest.fixture
def whole_client(client):
    client.wait_for_workers(2, timeout=60)  # some may have been killed
    return client


@pytest.mark.parametrize("ranks", [1, 2, None])
def test_training_has_the_same_bits(whole_client, alone, ranks):
    networks = distributed.run_on_dask(whole_client, training(ROWS, LABELS), ranks=ranks)
    assert len(networks) == (ranks or 2)
    for net in networks:
        assert_same_networks(net, alone)
        assert_same_bits(net.buffers["batch_norm_1.mean"], alone.buffers["batch_norm_1.mean"])


def test_ranks_are_processes_and_get_what_futures_hold(whole_client):
    x = whole_client.scatter(X, broadcast=True)
    got = distributed.run_on_dask(whole_client, lambda comm, x, more: (os.getpid(), comm.rank, x.shape, more), x, "y")
    assert [found[1:] for found in got] == [(0, X.shape, "y"), (1, X.shape, "y")]
    assert len({os.getpid(), *(found[0] for found in got)}) == 3


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_killed_rank_ends_the_job_and_the_checkpoint_resumes(whole_client, alone, tmp_path, ranks):
    train, path, flag, begun = training(ROWS, LABELS), tmp_path / "run.ckpt", str(tmp_path / "flag"), time.monotonic()
    with pytest.raises(RuntimeError, match=f"rank {ranks - 1} is gone: "):
        distributed.run_on_dask(whole_client, train, path, flag, ranks=ranks)
    assert time.monotonic() - begun < 60
    assert (tmp_path / "flag").exists(), "no worker was killed"
    whole_client.wait_for_workers(2, timeout=60)

    def resumed(comm):
        epochs = []
        return train(comm, path, seen=epochs.append), epochs

    for net, epochs in distributed.run_on_dask(whole_client, resumed):
        assert_same_networks(net, alone)
        assert epochs == [3, 4, 5]


def test_an_error_of_a_rank_is_that_of_the_job(whole_client):
    def failing(comm):
        def broken(epoch, history):
            if comm.rank == 1:
                raise OSError("no space")

        net = fnn.Sequential([fnn.Input(6), fnn.Dense(3, "softmax")], seed=0)
        distributed.fit(net, X, np.zeros(len(X), int), epochs=3, progress=False, comm=comm, callbacks=[broken])

    with pytest.raises(OSError, match="no space") as caught:
        distributed.run_on_dask(whole_client, failing)
    assert caught.value.__notes__[-1].startswith("on rank 1, Dask's worker tcp://127.0.0.1:")

    def outside(comm):
        if comm.rank == 0:
            raise KeyError("a column")
        return comm.share(1)

    with pytest.raises(KeyError, match="a column"):
        distributed.run_on_dask(whole_client, outside)


def test_a_worker_that_is_busy(whole_client):
    worker = sorted(whole_client.nthreads())[1]
    busy = [whole_client.submit(time.sleep, 20, workers=[worker], pure=False) for _ in range(2)]
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="rank 1 did not connect to rank 0 within 1 s"):
        distributed.run_on_dask(whole_client, training(ROWS, LABELS), timeout=1)
    assert time.monotonic() - begun < 18
    whole_client.gather(busy)


def test_more_ranks_than_workers(whole_client):
    with pytest.raises(ValueError, match="ranks: expected at most one for each of 2 workers, got 3"):
        distributed.run_on_dask(whole_client, training(ROWS, LABELS), ranks=3)
