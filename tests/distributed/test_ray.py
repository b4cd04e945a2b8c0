"""Ray with worker processes: answers, training, killed workers, CPUs and threads, and searches."""

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import distributed
from oracles import assert_same_bits, assert_same_networks
from ranks import killed_once, training

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),  # those of the engine are its own
]

X = np.random.default_rng(0).standard_normal((4000, 6)).astype(np.float32)
NET = fnn.Sequential([fnn.Input(6), fnn.Dense(50, "swish"), fnn.Dense(3, "softmax")], seed=0)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        # Workers inherit it, and Dask sets it in this process: Ray itself sets it to a task's CPUs.
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")  # on a busy machine
        ray.init(num_cpus=4, include_dashboard=False, logging_level="error", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


def numbered():
    """Rows with their numbers, in eight blocks."""
    rows = {"x": list(X), "number": np.arange(len(X))}
    return ray.data.from_items(
        [{"x": x, "number": n} for x, n in zip(rows["x"], rows["number"], strict=True)], override_num_blocks=8
    )


def answers(lazy):
    """The numbers of the rows and their answers, in the order of the numbers."""
    rows = sorted(lazy.take_all(), key=lambda row: row["number"])
    return np.array([row["number"] for row in rows]), np.stack([row["prediction"] for row in rows])


def test_the_same_bits():
    lazy = distributed.predict(NET, numbered(), "outputs", columns=["x"], batch_size=300)
    assert isinstance(lazy, ray.data.Dataset)
    numbers, got = answers(lazy)
    assert (numbers == np.arange(len(X))).all()
    assert_same_bits(got, NET(X))


def test_columns_of_numbers():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcdef")).assign(number=np.arange(len(X)))
    _, got = answers(distributed.predict(NET, ray.data.from_pandas(table), columns=list("abcdef")))
    assert_same_bits(got, NET.predict(X))


@pytest.mark.parametrize("cpus", [1, 2])
def test_an_actor_has_as_many_threads_as_cpus(cpus):
    class Threads:  # local, so that it travels by value
        def predict(self, x):
            return np.full(len(x), fnn.get_num_threads())

    lazy = distributed.predict(
        Threads(), numbered(), columns=["x"], num_cpus=cpus, compute=ray.data.ActorPoolStrategy(size=1)
    )
    assert set(answers(lazy)[1].tolist()) == {cpus}


def test_a_killed_worker(tmp_path):
    """Its blocks are computed again: nothing is lost or doubled."""
    model = killed_once(NET, X[2000, 0], str(tmp_path / "flag"))
    numbers, got = answers(distributed.predict(model, numbered(), columns=["x"], batch_size=300))
    assert (numbers == np.arange(len(X))).all()
    assert_same_bits(got, NET.predict(X))
    assert (tmp_path / "flag").exists(), "no worker was killed"


def test_joblib_and_a_search():
    import joblib
    from ray.util.joblib import register_ray
    from sklearn.model_selection import GridSearchCV

    from fnnfast.sklearn import FNNClassifier

    register_ray()
    y = (X[:, 0] > 0).astype(int)
    model = FNNClassifier((8,), max_iter=300, n_iter_no_change=2, tol=0.1, random_state=0)
    grid = {"alpha": [0.0, 0.01]}
    alone = GridSearchCV(model, grid, cv=2).fit(X[:400], y[:400])
    with joblib.parallel_config("ray", n_jobs=2):
        assert_same_bits(distributed.predict(NET, X, "outputs"), NET(X))
        search = GridSearchCV(model, grid, cv=2).fit(X[:400], y[:400])
    assert_same_bits(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_objects_and_read_only_arrays():
    """Ray gives tasks arrays in shared memory, which they may only read."""

    @ray.remote(num_cpus=2)
    def train(net, x, y):
        history = net.fit(x, y, epochs=1, seed=0, progress=False)
        return x.flags.writeable, fnn.get_num_threads(), history.loss, net

    y = (X[:, 0] > 0).astype(int)
    writeable, threads, loss, trained = ray.get(train.remote(NET, ray.put(X), ray.put(y)))
    net = fnn.Sequential(NET.layers, seed=0)
    assert (writeable, threads) == (False, 2)
    assert loss == net.fit(X, y, epochs=1, seed=0, progress=False).loss
    assert_same_bits(trained(X), net(X))


# Training ------------------------------------------------------------------------------------------------------------
ROWS, LABELS = X[:330], np.arange(330) % 3


@pytest.fixture
def job(tmp_path):
    """Ray Train with so many workers; the networks of all ranks."""
    try:
        import ray.train
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    except ImportError as error:
        pytest.skip(f"no Ray Train: {error}")
    train, folder = training(ROWS, LABELS), str(tmp_path)

    def loop(config):
        comm = distributed.ray_communicator(timeout=300)
        net = train(comm, **config)
        net.save(f"{folder}/rank{comm.rank}.safetensors")

    def run(ranks, retries=0, **config):
        storage = ray.train.RunConfig(
            storage_path=folder, failure_config=ray.train.FailureConfig(max_failures=retries), name=f"{ranks} ranks"
        )
        workers = ray.train.ScalingConfig(num_workers=ranks)
        DataParallelTrainer(loop, train_loop_config=config, scaling_config=workers, run_config=storage).fit()
        return [fnn.load(f"{folder}/rank{rank}.safetensors") for rank in range(ranks)]

    return run


@pytest.mark.parametrize("ranks", [1, 2])
def test_training_has_the_same_bits(job, ranks):
    alone = training(ROWS, LABELS)(None)
    for net in job(ranks):
        assert_same_networks(net, alone)
        assert_same_bits(net.buffers["batch_norm_1.mean"], alone.buffers["batch_norm_1.mean"])


@pytest.mark.long
def test_a_killed_rank_ends_the_job_and_the_checkpoint_resumes(job, tmp_path):
    config = {"checkpoint": str(tmp_path / "run.ckpt"), "flag": str(tmp_path / "flag")}
    with pytest.raises(ray.train.TrainingFailedError, match="RuntimeError: rank 1 is gone"):
        job(2, **config)
    assert (tmp_path / "flag").exists(), "no worker was killed"
    assert not list(tmp_path.glob("rank*"))
    assert_same_networks(job(1, **config)[0], training(ROWS, LABELS)(None))


@pytest.mark.long
def test_ray_train_resumes_by_itself(job, tmp_path):
    nets = job(2, retries=1, checkpoint=str(tmp_path / "run.ckpt"), flag=str(tmp_path / "flag"))
    assert (tmp_path / "flag").exists(), "no worker was killed"
    for net in nets:
        assert_same_networks(net, training(ROWS, LABELS)(None))


def test_outside_of_ray_train(job):
    with pytest.raises(RuntimeError, match="cannot be used outside of a Ray Train training function"):
        distributed.ray_communicator()
