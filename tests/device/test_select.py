"""Why CUDA is off, in words: no kernels, no CuPy, no device, or one that is too old."""

import importlib.metadata
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import pytest

import fnnfast as fnn
from factories import ByDlpack, ByInterface
from fnnfast._device import select

pytestmark = pytest.mark.cuda


OLD_DRIVER = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"


def stand_in(available=True, capability="80", driver=13000, error=None):
    class Device(nullcontext):
        def __init__(self, index=None):
            super().__init__()
            self.compute_capability = capability

    module = ModuleType("cupy")

    def count():
        if error:
            raise RuntimeError(error)  # CuPy's own error is derived from it
        return int(available)

    runtime = SimpleNamespace(getDeviceCount=count, driverGetVersion=lambda: driver)
    module.cuda = SimpleNamespace(is_available=lambda: available, Device=Device, runtime=runtime)
    return module


@pytest.mark.parametrize(
    ("kernels", "cupy", "reason"),
    [
        (False, stand_in(), "this build has no CUDA kernels, and fnnfast-cuda13 is not installed"),
        (True, None, r"CuPy is not installed: pip install 'fnnfast\[cuda13\]'"),
        (True, stand_in(available=False), "no CUDA device"),
        (True, stand_in(available=False, driver=12080, error=OLD_DRIVER), f"no CUDA device: {OLD_DRIVER}"),
        (True, stand_in(available=False, driver=0, error=OLD_DRIVER), "no NVIDIA driver was found"),
        (True, stand_in(capability="75"), "compute capability 7.5 is below 8.0"),
    ],
)
def test_why_not(monkeypatch, kernels, cupy, reason):
    monkeypatch.setattr(select, "_KERNELS", "fnnfast._no_kernels")
    monkeypatch.setattr(select, "_INSTALLED", "fnnfast._none_either")
    monkeypatch.setattr(select, "_opened", {})
    if kernels:
        monkeypatch.setitem(sys.modules, "fnnfast._no_kernels", ModuleType("fnnfast._no_kernels"))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    if cupy is not None:
        cupy.ndarray = ByInterface
    with pytest.raises(RuntimeError, match=f"CUDA is off: {reason}"):
        fnn.Sequential([fnn.Input(2), fnn.Dense(1)], device="cuda")
    net = fnn.Sequential([fnn.Input(2), fnn.Dense(1)])
    with pytest.raises(RuntimeError, match=reason):
        net.to("cuda")
    with pytest.raises(TypeError, match=f"expected NumPy arrays, got a GPU array .*{reason}.*cupy.asnumpy"):
        fnn.Tanh()(ByDlpack(SimpleNamespace(__dlpack_device__=lambda: (2, 0)), 1))


@pytest.mark.parametrize(
    ("version", "reason"),
    [("1.2.3", ""), ("1.2.2", "fnnfast-cuda13 1.2.2 is not for fnnfast 1.2.3: pip install fnnfast-cuda13==1.2.3")],
)
def test_a_wheel_of_their_own(monkeypatch, version, reason):
    kernels = ModuleType("fnnfast_cuda13._cuda")
    monkeypatch.setattr(kernels, "probe", lambda: None, raising=False)
    monkeypatch.setattr(select, "_KERNELS", "fnnfast._no_kernels")
    monkeypatch.setitem(sys.modules, "fnnfast_cuda13", ModuleType("fnnfast_cuda13"))
    monkeypatch.setitem(sys.modules, "fnnfast_cuda13._cuda", kernels)
    monkeypatch.setitem(sys.modules, "cupy", stand_in())
    monkeypatch.setattr(importlib.metadata, "version", {"fnnfast": "1.2.3", "fnnfast-cuda13": version}.__getitem__)
    assert select.why_not().endswith(reason)
    assert bool(select.why_not()) == bool(reason)
    if not reason:
        assert select.kernels() is kernels


@pytest.mark.parametrize("capability", ["80", "90", "120"])
def test_capable(monkeypatch, capability):
    monkeypatch.setattr(select, "_KERNELS", "fnnfast._some_kernels")
    kernels = ModuleType("fnnfast._some_kernels")
    monkeypatch.setattr(kernels, "probe", lambda: None, raising=False)
    monkeypatch.setitem(sys.modules, "fnnfast._some_kernels", kernels)
    monkeypatch.setitem(sys.modules, "cupy", stand_in(capability=capability))
    assert select.why_not() == ""
