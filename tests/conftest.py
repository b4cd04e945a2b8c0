"""Fixtures: a test that asks for `backend`, `isa` or `dtype` runs for each one this machine has.

`backend` and `isa` together give each instruction set on the CPU and, once, the GPU. The names come from the compiled
extension, which is imported only for tests that ask, so the oracles can be tested without it.

FNNFAST_EMULATED=path/to/_cuda.so runs the GPU's tests without a GPU: on that extension, compiled for the host
(FNNFAST_CUDA=EMULATED), with tests/cuda/cupy_stand_in.py for CuPy.
"""

import importlib
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import backends
from backends import EMULATED, Backend

# The same examples in every run, so that a failure is seen again; no deadline, because the scalar kernels are slow; the
# fixtures below are the same for all examples of a test.
settings.register_profile(
    "fnnfast",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("fnnfast")

if EMULATED:
    # The kernels that every GPU has; tests of Hopper's ask for those.
    os.environ.setdefault("FNNFAST_CUDA_PRODUCT", "general")
    os.environ.setdefault("FNNFAST_CUDA_WGMMA", "off")
    sys.path.append(str(Path(__file__).parent / "cuda"))  # no package: one of that name belongs to CuPy's libraries
    importlib.import_module("cupy_stand_in").install(EMULATED)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, metavar="N", help="run one test in N, always the same ones")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep one test in N, by its name: another compiler or a sanitizer need not see every tail of every kernel."""
    every = config.getoption("--one-in")
    left_out = [item for item in items if zlib.crc32(item.nodeid.encode()) % every]
    if left_out:
        items[:] = [item for item in items if zlib.crc32(item.nodeid.encode()) % every == 0]
        config.hook.pytest_deselected(items=left_out)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Pair backends with instruction sets: the GPU has none."""
    asked = [name for name in ("backend", "isa") if name in metafunc.fixturenames]
    if not asked:
        return
    isas = importlib.import_module("fnnfast._cpu").isas() if "isa" in asked else [None]
    gpu = pytest.mark.cuda
    if asked == ["backend", "isa"]:
        rows = [pytest.param("cpu", isa, id=isa) for isa in isas]
        metafunc.parametrize(asked, [*rows, pytest.param("cuda", None, id="cuda", marks=gpu)], indirect=True)
    elif asked == ["backend"]:
        metafunc.parametrize("backend", ["cpu", pytest.param("cuda", marks=gpu)], indirect=True)
    else:
        metafunc.parametrize("isa", isas, indirect=True)


@pytest.fixture(autouse=True)
def _same_numbers_in_every_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws without a seed draws the same in every run of a test, so that a failure is seen again."""
    default_rng = np.random.default_rng
    of_this_test = np.random.SeedSequence(zlib.crc32(request.node.nodeid.encode()))
    monkeypatch.setattr(
        np.random, "default_rng", lambda seed=None: default_rng(of_this_test.spawn(1)[0] if seed is None else seed)
    )


@pytest.fixture(autouse=True)
def _device_still_answers(request: pytest.FixtureRequest) -> Iterator[None]:
    """End this process when a test leaves the GPU unusable, since every later test would fail.

    Under pytest-xdist another process takes its place and goes on with the tests that are left.
    """
    yield
    if EMULATED or request.node.get_closest_marker("cuda") is None or "cupy" not in sys.modules:
        return
    cupy = sys.modules["cupy"]
    try:
        if cupy.cuda.is_available():
            cupy.cuda.Device().synchronize()
    except Exception as error:
        words = f"the GPU is unusable after {request.node.nodeid}: {error}"
        if "PYTEST_XDIST_WORKER" in os.environ:
            print(words, file=sys.__stderr__, flush=True)
            os._exit(70)
        pytest.exit(words, returncode=70)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    """A Backend: cpu, and cuda where there is a GPU."""
    return Backend("cpu", np) if request.param == "cpu" else backends.cuda()


@pytest.fixture
def cuda() -> Backend:
    """The GPU, or what stands in for it; skips where there is none."""
    return backends.cuda()


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The name of the instruction set that the CPU kernels use in this test; None on the GPU."""
    if request.param is None:
        yield None
        return
    cpu = importlib.import_module("fnnfast._cpu")
    before = cpu.isa()
    cpu.use_isa(request.param)
    yield request.param
    cpu.use_isa(before)


@pytest.fixture
def machine_restored() -> Iterator[None]:
    """Instruction set and threads, which the test may change, are afterwards as they were."""
    cpu = importlib.import_module("fnnfast._cpu")
    isa, threads = cpu.isa(), cpu.get_num_threads()
    yield
    cpu.use_isa(isa)
    cpu.set_num_threads(threads)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    """The dtype of the arrays."""
    return np.dtype(request.param)
