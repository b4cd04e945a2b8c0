"""The GPU as the contenders see it: one stream for PyTorch, CuPy and fnnfast, graphs, a clock, and the limits."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from data import WARM_UPS

Calls = Callable[[], list[list[Any]]]
"""Takes every input once, in turn; the outputs of each."""


@dataclass
class Runner:
    """Calls made ready to be timed.

    Attributes
    ----------
    run
        Take every input once.
    calls
        How many calls that is.
    outputs
        What ``run`` writes, or wrote last: a list of arrays an input.
    launches
        Nodes of the graph a call: kernels, copies, fills. None where it is no graph, or one that does not tell.
    """

    run: Callable[[], object]
    calls: int
    outputs: Callable[[], list[list[Any]]]
    launches: float | None = None
    keep: list[Any] = field(default_factory=list)


class Gpu:
    """The current CUDA device, through PyTorch and CuPy in one context.

    Everything is queued on one stream that is the current one of both libraries, so no contender's work overlaps with
    another's, and what one writes the other may read.
    """

    device = "cuda"

    def __init__(self) -> None:
        self.torch: Any = import_module("torch")
        self.xp: Any = import_module("cupy")
        torch, cupy = self.torch, self.xp
        self.stream = torch.cuda.Stream()
        torch.cuda.set_stream(self.stream)
        self._cupy_stream = cupy.cuda.ExternalStream(self.stream.cuda_stream)
        self._cupy_stream.use()
        self.cache_bytes = int(torch.cuda.get_device_properties(0).L2_cache_size)

    # The same memory for all --------------------------------------------------------------------------------------
    def array(self, tensor: Any) -> Any:
        """The tensor's memory as a CuPy array. CuPy knows bfloat16 as ml_dtypes' and does not read it from a tensor."""
        tensor = tensor.detach()
        if tensor.dtype != self.torch.bfloat16:
            return self.xp.asarray(tensor)
        bfloat16 = import_module("ml_dtypes").bfloat16
        return self.xp.asarray(tensor.view(self.torch.int16)).view(bfloat16)

    def tensor(self, array: Any) -> Any:
        """A CuPy array's memory as a tensor; a tensor as it is."""
        if isinstance(array, self.torch.Tensor):
            return array.detach()
        if array.dtype.name == "bfloat16":
            return self.torch.as_tensor(array.view("int16"), device=self.device).view(self.torch.bfloat16)
        return self.torch.as_tensor(array, device=self.device)

    # Graphs -------------------------------------------------------------------------------------------------------
    def loop(self, calls: Calls, count: int) -> Runner:
        """The calls as they are, one launch after the other from the host."""
        last: list[list[list[Any]]] = []

        def run() -> None:
            last[:] = [calls()]

        for _ in range(WARM_UPS):
            run()
        self.synchronize()
        return Runner(run, count, lambda: last[0])

    def torch_graph(self, calls: Calls, count: int) -> Runner:
        """Captured by PyTorch, with memory of the graph's own."""
        torch = self.torch
        for _ in range(WARM_UPS):
            calls()
        self.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Relaxed, as CuPy captures: memory of a contender that has lost may be freed at any time.
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="relaxed"):
            outputs = calls()
        self.synchronize()
        return Runner(graph.replay, count, lambda: outputs, keep=[graph])

    def cupy_graph(self, calls: Calls, count: int) -> Runner:
        """Captured by CuPy. The pool is the graph's own: nobody else is given the workspace that a replay writes."""
        pool = self.xp.cuda.MemoryPool()
        stream = self._cupy_stream
        with self.xp.cuda.using_allocator(pool.malloc):
            for _ in range(WARM_UPS):
                calls()
            self.synchronize()
            stream.begin_capture()
            try:
                outputs = calls()
            except BaseException:
                with contextlib.suppress(Exception):  # of the capture that failed; its cause is on its way
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        self.synchronize()
        launches = _nodes(graph)
        a_call = None if launches is None else launches / count
        return Runner(lambda: graph.launch(stream), count, lambda: outputs, a_call, keep=[graph, pool])

    # The clock ----------------------------------------------------------------------------------------------------
    def seconds(self, run: Callable[[], object], times: int) -> float:
        """What ``times`` runs take on the device, or the host's time to queue them where that is longer."""
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        run()  # the clock starts behind work, not behind a device that sleeps
        start.record()
        for _ in range(times):
            run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e-3

    def synchronize(self) -> None:
        self.torch.cuda.synchronize()

    def free(self) -> None:
        """Give memory back between cases."""
        self.synchronize()
        self.torch.cuda.empty_cache()
        self.xp.get_default_memory_pool().free_all_blocks()

    # The limits ---------------------------------------------------------------------------------------------------
    def limits(self, precisions: set[str]) -> dict[str, float]:
        """The best of several: FLOP/s of an 8192^3 product by precision, a copy's bytes/s, a small launch's seconds."""
        found = {}
        for precision in sorted(precisions):
            with matmul_precision(self.torch, precision):
                found[precision] = 2 * 8192**3 / self._product(precision)
        source = self.torch.randn(2**30, device=self.device)  # 4 GiB, far more than the cache
        target = self.torch.empty_like(source)
        best = min(self.seconds(lambda: target.copy_(source), 2) / 2 for _ in range(5))
        found["copy"] = 2 * source.nbytes / best
        small = self.torch.zeros(1, device=self.device)
        graph = self.torch_graph(lambda: [[small.add_(1)] for _ in range(64)], 64)
        found["launch"] = min(self.seconds(graph.run, 20) / 20 / 64 for _ in range(5))
        return found

    def _product(self, precision: str) -> float:
        dtype = getattr(self.torch, "float32" if precision == "tf32" else precision)
        a, b = (self.torch.randn(8192, 8192, device=self.device).to(dtype) for _ in range(2))
        out = self.torch.empty_like(a)
        return min(self.seconds(lambda: self.torch.mm(a, b, out=out), 4) / 4 for _ in range(5))


@contextlib.contextmanager
def matmul_precision(torch: Any, precision: str) -> Iterator[None]:
    """PyTorch multiplies float32 in TF32 for a case of that precision, else in float32."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def _nodes(graph: Any) -> int | None:
    """How many nodes a CuPy graph has: the driver tells."""
    try:
        count = ctypes.c_size_t()
        handle = ctypes.c_void_p(int(graph.graph))
        status = ctypes.CDLL("libcuda.so.1").cuGraphGetNodes(handle, None, ctypes.byref(count))
    except (AttributeError, OSError, TypeError):
        return None
    return count.value if status == 0 else None
