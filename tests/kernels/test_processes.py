"""Calls in many threads, in processes by fork, spawn and loky and under Ctrl-C: the same bits, and
an end.
"""

import copy
import multiprocessing
import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time

import numpy as np
import pytest

import fnnfast as fnn
from oracles import assert_same_bits, bits_of

SECONDS = 120
"""Nothing here takes more than a few seconds, if it ends at all."""

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((300, 40)).astype(np.float32), RNG.integers(0, 5, 300)
LAYERS = [fnn.Input(40), fnn.Dense(64, "gelu"), fnn.Maxout(30, 2), fnn.Dense(5, "softmax")]


def network(seed=0):
    return fnn.Sequential(LAYERS, seed=seed)


def trained(seed):
    net = network(seed)
    net.fit(X, Y, epochs=2, batch_size=32, seed=seed, progress=False)
    return net


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


# Threads -------------------------------------------------------------------------------------------------------------
def in_threads(work, count=16):
    """What work(index) gives in that many threads, which all start at once."""
    start, results, errors = threading.Barrier(count), [None] * count, []

    def run(index):
        start.wait()
        try:
            results[index] = work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + SECONDS
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads)
    assert not errors
    return results


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("threads", [1, 3])
def test_sixteen_threads_over_one_network(kind, threads):
    net = network()
    net = {"float32": net, "bfloat16": net.astype("bfloat16"), "int8": net.quantize(X)}[kind]
    alone = [net(X[i : i + 150 + i]) for i in range(16)]
    with fnn.num_threads(threads):
        found = in_threads(lambda i: [net(X[i : i + 150 + i]) for _ in range(8)])
    for expected, results in zip(alone, found, strict=True):
        for result in results:
            assert_same_bits(result, expected)


def test_sixteen_threads_over_many_networks():
    nets = [network(seed) for seed in range(16)]
    alone = [net(X) for net in nets]
    found = in_threads(lambda i: [nets[i](X), fnn.dense(X, nets[i].parameters["dense_1.weight"])])
    for net, expected, (result, product) in zip(nets, alone, found, strict=True):
        assert_same_bits(result, expected)
        assert_same_bits(product, fnn.dense(X, net.parameters["dense_1.weight"]))


def test_sixteen_threads_that_fit():
    alone = [bits_of(trained(seed)) for seed in range(16)]
    assert in_threads(lambda i: bits_of(trained(i))) == alone


def test_sixteen_threads_while_the_number_of_threads_changes():
    net, before = network(), fnn.get_num_threads()
    expected = net(X)

    def work(index):
        if index:
            return [net(X) for _ in range(10)]
        for count in (1, 4, 2, 3) * 5:
            fnn.set_num_threads(count)
        return [net(X)]

    try:
        for results in in_threads(work):
            for result in results:
                assert_same_bits(result, expected)
    finally:
        fnn.set_num_threads(before)


def test_sixteen_threads_that_share_everything(tmp_path):
    """A network, an ensemble, a trainer, a file and the number of threads, in any order; without a GIL, at once."""
    net, trainer, path, before = network(), fnn.Trainer(network()), tmp_path / "net", fnn.get_num_threads()
    ensemble = fnn.Ensemble([network(seed) for seed in range(3)])
    net.save(path)
    weight, expected, voted = net.parameters["dense_1.weight"].copy(), bits_of(net), ensemble(X)
    steps = []

    def step(index):
        try:
            steps.append(trainer.step(X[: 20 + index], Y[: 20 + index]))
        except RuntimeError as error:
            assert "in use by another thread" in str(error)  # noqa: PT017

    def assign(index):
        own = copy.deepcopy(net)
        own.parameters["dense_1.weight"] = -weight
        own.parameters["dense_1.weight"] = weight
        assert bits_of(own) == expected

    def save_and_load(index):
        net.save(path if index % 2 else tmp_path / f"net-{index}")
        assert bits_of(fnn.load(path)) == expected

    work = [
        lambda index: assert_same_bits(ensemble(X), voted),
        lambda index: assert_same_bits(net.parameters["dense_1.weight"], weight),
        lambda index: fnn.set_num_threads(1 + index % 3),
        lambda index: net.astype("bfloat16")(X[:5]),
        lambda index: (net.evaluate(X, Y), repr(net), net.summary()),
        *(step, assign, save_and_load),
    ]
    try:
        in_threads(lambda index: [work[(index + 7 * i) % len(work)](index) for i in range(3 * len(work))])
    finally:
        fnn.set_num_threads(before)
    assert bits_of(net) == expected
    assert len(steps) == trainer._core.steps > 0
    assert np.isfinite(steps).all()


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded Python")
def test_an_import_does_not_bring_the_gil_back():
    done = python("import sys, fnnfast; print(sys._is_gil_enabled())")
    assert (done.stdout, done.stderr) == ("False\n", "")


# Processes -----------------------------------------------------------------------------------------------------------
FORK = """
    import os, sys, threading, time
    import numpy as np
    import fnnfast as fnn

    net = fnn.Sequential([fnn.Input(200), fnn.Dense(300, "gelu"), fnn.Dense(10, "softmax")], seed=0)
    x = np.random.default_rng(0).standard_normal((500, 200)).astype(np.float32)
    y = np.zeros(len(x), int)
    fnn.set_num_threads(2)
    expected = net(x).tobytes()
    stop = threading.Event()

    def work():
        twin = fnn.Sequential(net.layers, seed=0)
        while not stop.is_set():
            {call}

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(6):
        time.sleep(0.01)
        pid = os.fork()
        if not pid:
            same = net(x).tobytes() == expected
            mine = fnn.Sequential(net.layers, seed=0)
            mine.fit(x[:100], y[:100], epochs=1, progress=False)
            os._exit(0 if same else 3)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop.set()
    for thread in threads:
        thread.join()
    print(set(codes), net(x).tobytes() == expected)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("call", ["net(x)", "twin.fit(x, y, epochs=1, batch_size=100, progress=False)"])
def test_fork_while_other_threads_compute(call):
    done = python(FORK.replace("{call}", call))
    assert done.stdout == "{0} True\n", done.stderr


POOLS = """
import multiprocessing, sys
import numpy as np
import fnnfast as fnn

def answer(seed):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 40), np.float32), rng.integers(0, 5, 300)
    net = fnn.Sequential([fnn.Input(40), fnn.Dense(50, "swish"), fnn.Maxout(20, 3), fnn.Dense(5, "softmax")], seed=seed)
    before = net(x).tobytes()
    net.fit(x, y, epochs=2, seed=seed)
    return before, net(x).tobytes()

if __name__ == "__main__":
    expected = [answer(seed) for seed in range(4)]
    with multiprocessing.get_context(sys.argv[1]).Pool(int(sys.argv[2])) as pool:
        assert pool.map(answer, range(4)) == expected
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_pools(method, workers, tmp_path):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this machine")
    script = tmp_path / "pools.py"
    script.write_text(POOLS)
    done = subprocess.run(
        [sys.executable, script, method, str(workers)], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Loky-backed parallel loops cannot be nested")  # joblib then takes one process
@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize(("outside", "inside"), [("loky", "threading"), ("threading", "loky"), ("threading",) * 2])
def test_nested_joblib(outside, inside, workers):
    joblib = pytest.importorskip("joblib")
    layers, x = LAYERS, X

    def answer(seed):  # nested, so that it travels by value
        import fnnfast

        return fnnfast.Sequential(layers, seed=seed)(x).tobytes()

    def several(first):
        return joblib.Parallel(n_jobs=workers, backend=inside)(joblib.delayed(answer)(first + i) for i in range(3))

    expected = [[answer(first + i) for i in range(3)] for first in range(4)]
    pool = joblib.Parallel(n_jobs=workers, backend=outside, timeout=SECONDS)
    assert pool(joblib.delayed(several)(first) for first in range(4)) == expected


INSIDE = """
try:
    import fnnfast
except ImportError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("before", [True, False])
def test_subinterpreters_are_refused(before):
    """With an error in words, whether or not fnnfast was imported before; and the main interpreter goes on."""
    use = "import fnnfast, numpy; assert fnnfast.ReLU()(numpy.ones(3)).sum() == 3\n"
    module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    done = python(
        f"import {module} as interpreters\n"
        + (use if before else "")
        + f"inner = interpreters.create()\ninterpreters.run_string(inner, {INSIDE!r})\ninterpreters.destroy(inner)\n"
        + use
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout == "refused: fnnfast: expected the main interpreter, got a subinterpreter, which is not supported\n"
    )


# Ctrl-C --------------------------------------------------------------------------------------------------------------
INTERRUPTED = """
    import sys, time
    import numpy as np
    import fnnfast as fnn

    net = fnn.Sequential([fnn.Input(784), fnn.Dense(1024, "gelu"), fnn.Dense(10, "softmax")], seed=0)
    x = np.random.default_rng(0).standard_normal((20_000, 784)).astype(np.float32)
    y = np.zeros(len(x), int)
    print("begun", flush=True)
    try:
        while True:
            result = {call}
            if getattr(result, "stopped", None) == "interrupted":
                break
    except KeyboardInterrupt:
        pass
    print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "call", ["net(x)", "net.predict(x)", "net.evaluate(x, y)", "net.fit(x, y, epochs=100, batch_size=64)"]
)
def test_ctrl_c_from_outside(call):
    """SIGINT, as a terminal sends it; how soon is measured in test_exits.py."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED.replace("{call}", call))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "begun\n"
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=SECONDS)[0] == "ended\n"
        assert child.returncode == 0
    finally:
        child.kill()
        child.wait()
