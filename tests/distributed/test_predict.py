"""Answers for data in parts, without workers of their own: those are in test_dask.py and test_ray.py."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import distributed
from oracles import assert_same_bits

X = np.random.default_rng(0).standard_normal((1000, 6)).astype(np.float32)
NET = fnn.Sequential([fnn.Input(6), fnn.Dense(50, "swish"), fnn.Dense(3, "softmax")], seed=0)
METHODS = {"predict": NET.predict, "outputs": NET, "logits": NET.logits}


@pytest.fixture
def small_tasks(monkeypatch):
    from fnnfast.distributed import _predict

    monkeypatch.setattr(_predict, "_TASK_BYTES", 24 * 70)  # 15 tasks


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_numpy(small_tasks, tmp_path, method, n_jobs):
    pytest.importorskip("joblib")
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    expected = METHODS[method](X)
    assert_same_bits(distributed.predict(NET, x, method, n_jobs=n_jobs), expected)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", expected.dtype, expected.shape)
    assert distributed.predict(NET, x, method, out=out, n_jobs=n_jobs) is out
    out.flush()
    assert_same_bits(np.load(tmp_path / "out.npy"), expected)


def test_other_models(small_tasks):
    pytest.importorskip("joblib")
    ensemble = fnn.Ensemble([NET, fnn.Sequential(NET.layers, seed=1)])
    assert_same_bits(distributed.predict(ensemble, X, "outputs"), ensemble(X))
    assert_same_bits(distributed.predict(NET.astype("bfloat16"), X, "outputs"), NET.astype("bfloat16")(X))
    images = fnn.Sequential([fnn.Input(3, 2), fnn.Dense(2)], seed=0)
    assert_same_bits(distributed.predict(images, X.reshape(-1, 3, 2)), images.predict(X))


def test_no_rows():
    pytest.importorskip("joblib")
    assert distributed.predict(NET, X[:0], "outputs").shape == (0, 3)


def test_out():
    pytest.importorskip("joblib")
    for out, error, text in (
        (np.empty((999, 3), np.float32), ValueError, r"out: expected shape \(1000, 3\), got \(999, 3\)"),
        (np.empty((1000, 3)), TypeError, "out: expected dtype float32, got float64"),
        ([1.0], TypeError, "out: expected a NumPy array, got list"),
    ):
        with pytest.raises(error, match=text):
            distributed.predict(NET, X, "outputs", out=out)


def test_arguments():
    with pytest.raises(TypeError, match=r"data: expected a dask\.array\.Array, a dask\.dataframe\.DataFrame, a ray"):
        distributed.predict(NET, X.tolist())
    with pytest.raises(TypeError, match="method: expected a method of Sequential, or 'outputs' of a network, got 'pre"):
        distributed.predict(NET, X, "predict_proba")
    with pytest.raises(TypeError, match="method: expected a method"):
        distributed.predict(NET, X, "_tensors")
    with pytest.raises(TypeError, match="options: expected none but for a data set of Ray, got num_cpus"):
        distributed.predict(NET, X, num_cpus=2)
    with pytest.raises(
        ValueError, match=r"data: expected rows of inputs, \(N, I\) or \(N, \*shape\), got shape \(6,\)"
    ):
        distributed.predict(NET, X[0])


def test_joblib_is_an_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "joblib", None)
    with pytest.raises(ModuleNotFoundError, match=r"need joblib: pip install 'fnnfast.sklearn.'"):
        distributed.predict(NET, X)


# Dask, by the scheduler of this process ------------------------------------------------------------------------------
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunks", [(1000, 6), (70, 6), (333, 4), ((1, 998, 1), (6,))], ids=repr)
def test_dask_arrays(method, chunks):
    da = pytest.importorskip("dask.array")
    lazy = distributed.predict(NET, da.from_array(X, chunks=chunks), method)
    expected = METHODS[method](X)
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
    assert_same_bits(lazy.compute(), expected)
    assert_same_bits(lazy[5:200].compute(), expected[5:200])


def test_dask_arrays_of_images_and_of_unknown_lengths():
    da = pytest.importorskip("dask.array")
    net = fnn.Sequential([fnn.Input(3, 2), fnn.Dense(2)], seed=0)
    x = da.from_array(X.reshape(-1, 3, 2), chunks=(70, 2, 1))
    assert_same_bits(distributed.predict(net, x, "outputs").compute(), net(X))
    some = da.from_array(X, chunks=(70, 6))[da.from_array(X[:, 0] > 0, chunks=70)]
    assert_same_bits(distributed.predict(NET, some, "outputs").compute(), NET(X[X[:, 0] > 0]))
    with pytest.raises(ValueError, match="data: expected rows of inputs"):
        distributed.predict(NET, da.from_array(X[0]))


@pytest.mark.parametrize("method", METHODS)
def test_dask_tables(method):
    dd = pytest.importorskip("dask.dataframe")
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcdef"), index=[f"row {i:04}" for i in range(len(X))])
    table["name"] = "text"
    parts = dd.from_pandas(table, npartitions=7)
    lazy = distributed.predict(NET, parts, method, columns=list("abcdef"))
    got, expected = lazy.compute(), METHODS[method](X)
    assert isinstance(lazy, dd.Series if expected.ndim == 1 else dd.DataFrame)
    assert list(got.index) == list(table.index)
    assert_same_bits(got.to_numpy(), expected)
    assert got.to_numpy().dtype == lazy._meta.to_numpy().dtype
    with pytest.raises(ValueError, match="column: expected one of a, b, c, d, e, f, name, got 'g'"):
        distributed.predict(NET, parts, columns=["a", "g"])


def test_dask_tables_for_estimators():
    """They are called with tables, whose names they check."""
    dd = pytest.importorskip("dask.dataframe")
    pd = pytest.importorskip("pandas")
    estimators = pytest.importorskip("fnnfast.sklearn")
    table = pd.DataFrame(X, columns=list("abcdef"))
    model = estimators.FNNRegressor(hidden_layer_sizes=4, solver="lbfgs", max_iter=900, tol=1.0, random_state=0).fit(
        table, X[:, 0]
    )
    lazy = distributed.predict(model, dd.from_pandas(table, npartitions=3))
    assert_same_bits(lazy.compute().to_numpy(), model.predict(table))
