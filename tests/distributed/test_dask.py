"""Dask with worker processes: answers, killed workers, threads, and searches."""

import itertools
import os

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import distributed
from oracles import assert_same_bits
from ranks import killed_once

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
