"""The families of kernels, each called once over small, awkward shapes.

``python bench/gpu/families.py NAME ... --seconds 60`` prints one line per family: the number of calls, or the first
error. Without names it runs all. ``probe.py`` runs them in parallel, alone or under compute-sanitizer.

CuPy's memory pool is off, so that an array ends where its memory ends and a stray access is seen. Answers are compared
with the CPU's, with a wide tolerance: the tests check precision. Data come from the host and go back there, so that
almost no kernel of CuPy's is watched too. Exit status: 0; 1 if a family failed; 2 without a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from itertools import product
from typing import Any

import facts
import numpy as np

SHAPES = ((1, 1, 1), (3, 5, 7), (17, 33, 65), (65, 130, 129), (130, 72, 136), (129, 65, 10))
"""Batch, inputs, outputs: below and beyond a tile, odd, and divisible by 8."""

DTYPES = ("float32", "tf32", "float16", "bfloat16", "float64")
Family = Callable[["Subject"], int]


class OutOfTimeError(Exception):
    """The time for all families is over."""


class Subject:
    """fnnfast under examination: its modules, and arrays for it, for as long as there is time."""

    deadline = float("inf")
    is_hopper = False

    def __init__(self) -> None:
        emulated = facts.emulate()
        self.fnn: Any = import_module("fnnfast")
        self.xp: Any = import_module("cupy")
        self._rng = np.random.default_rng(0)
        if not emulated:
            self.xp.cuda.set_allocator(None)
            self.is_hopper = self.xp.cuda.Device().compute_capability == "90"

    def activations(self) -> list[str]:
        """All that can be trained through, of the registry."""
        return [info["name"] for info in self.registry if info["differentiable"]]

    def kinks(self, activation: str) -> tuple[float, ...]:
        """Where its derivative jumps."""
        return import_module("fnnfast.reference").ACTIVATIONS[activation].kinks  # type: ignore[no-any-return]

    @property
    def registry(self) -> list[Any]:
        return import_module("fnnfast._cpu").activations()  # type: ignore[no-any-return]

    def normal(self, dtype: str, *shape: int) -> tuple[Any, np.ndarray]:
        """The same numbers on the device, and on the host in float32 or float64."""
        if time.monotonic() > self.deadline:
            raise OutOfTimeError
        host = self._rng.standard_normal(shape).astype(_numpy_dtype(dtype))
        return self.xp.asarray(host), host.astype(np.float64 if dtype == "float64" else np.float32)

    def precision(self, dtype: str) -> Any:
        return self.fnn.tf32() if dtype == "tf32" else nullcontext()

    def agree(self, what: str, got: Any, right: np.ndarray) -> None:
        host = got.get().astype(np.float64)
        if host.shape != right.shape:
            raise AssertionError(f"{what}: shape {host.shape}, on the CPU {right.shape}")
        off = float(np.abs(host - right).max(initial=0.0)) / max(1.0, float(np.abs(right).max(initial=0.0)))
        if not off < 0.05:
            raise AssertionError(f"{what}: off by {off:.2g} of the largest")


def _number(scalar: Any) -> float:
    """A loss that lies on the device, or on the host."""
    return float(scalar.get() if hasattr(scalar, "get") else scalar)


def _numpy_dtype(name: str) -> Any:
    if name == "bfloat16":
        return import_module("ml_dtypes").bfloat16
    return np.dtype("float32" if name == "tf32" else name)


# The families --------------------------------------------------------------------------------------------------------
def _dense(s: Subject, dtype: str, batch: int, inputs: int, outputs: int, act: str) -> int:
    """Forward and backward. The backward pass on the host starts from what was saved there."""
    (x, hx), (w, hw), (b, hb), (dy, hdy) = (
        s.normal(dtype, *shape) for shape in ((batch, inputs), (inputs, outputs), (outputs,), (batch, outputs))
    )
    what = f"{act} {dtype} {batch} x {inputs} x {outputs}"
    with s.precision(dtype):
        y, saved = s.fnn.dense_forward(x, w, b, act)
        grads = s.fnn.dense_backward(dy, x, w, saved, act)
        bare = s.fnn.dense(x, w, None, act)
    hy, hsaved = s.fnn.dense_forward(hx, hw, hb, act)
    right = s.fnn.dense_backward(hdy, hx, hw, hsaved, act)
    if dtype == "float16" and np.abs(hy).max() > 1e3:  # an exponential's, whose gradients overflow
        return 3
    s.agree(f"dense, {what}", y, hy)
    s.agree(f"dense without bias, {what}", bare, s.fnn.dense(hx, hw, None, act))
    if not s.kinks(act):  # where the side of one is not sure
        for name, got, host in zip(("dx", "dweight", "dbias"), grads, right, strict=False):
            s.agree(f"{name}, {what}", got, host)
    return 3


def dense_shapes(s: Subject) -> int:
    return sum(_dense(s, dtype, *shape, "swish") for dtype, shape in product(DTYPES, SHAPES))


def dense_activations(s: Subject) -> int:
    return sum(_dense(s, dtype, 33, 19, 21, act) for dtype, act in product(DTYPES, s.activations()))


def softmax(s: Subject) -> int:
    """Narrow enough for a tile's epilogue, and wider."""
    return sum(_dense(s, dtype, 37, 18, outputs, "softmax") for dtype, outputs in product(DTYPES, (2, 10, 64, 65, 300)))


def _maxout(s: Subject, dtype: str, batch: int, inputs: int, outputs: int, pieces: int) -> int:
    (x, hx), (w, hw), (b, hb), (dy, _) = (
        s.normal(dtype, *shape)
        for shape in ((batch, inputs), (pieces, inputs, outputs), (pieces, outputs), (batch, outputs))
    )
    with s.precision(dtype):
        y, saved = s.fnn.maxout_forward(x, w, b)
        s.fnn.maxout_backward(dy, x, w, saved)
    s.agree(f"maxout of {pieces} {dtype} {batch} x {inputs} x {outputs}", y, s.fnn.maxout(hx, hw, hb))
    return 2


def maxout(s: Subject) -> int:
    cases = product(DTYPES, SHAPES[1:5], (1, 2, 3, 5))
    return sum(_maxout(s, dtype, *shape, pieces) for dtype, shape, pieces in cases)


def activations(s: Subject) -> int:
    """On their own; step and sign are forward only, softmax has no elementwise derivative."""
    calls = 0
    names = [info["name"] for info in s.registry]
    for dtype, name in product(("float32", "float16", "bfloat16", "float64"), names):
        z, hz = s.normal(dtype, 3, 67)
        act = s.fnn.activations.get(name)
        s.agree(f"{name}({dtype})", act(z), act(hz))
        calls += 1
        if act.differentiable and not act.rowwise:
            act.derivative(z)
            calls += 1
    return calls


def _layers(fnn: Any, kind: str) -> list[Any]:
    """Small enough for the network in one launch, or not; with every kind of layer."""
    width = 300 if kind == "wide" else 33
    return [
        fnn.Input(19),
        fnn.Dense(width, "swish"),
        fnn.Residual([fnn.Dense(width, "gelu"), fnn.Dense(width)]),
        fnn.Maxout(17, pieces=3),
        fnn.Dropout(0.2),
        fnn.GaussianNoise(0.1),
        fnn.Dense(21, "prelu"),
        fnn.Dense(10, "softmax"),
    ]


def small_networks(s: Subject) -> int:
    return _networks(s, "small")


def wide_networks(s: Subject) -> int:
    return _networks(s, "wide")


def _networks(s: Subject, kind: str) -> int:
    calls = 0
    for dtype in DTYPES:
        net = s.fnn.Sequential(_layers(s.fnn, kind), dtype=dtype, device="cuda", seed=0)
        host = s.fnn.Sequential(_layers(s.fnn, kind), dtype="float64" if dtype == "float64" else "float32", seed=0)
        for batch in (1, 3, 16, 33, 130):
            x, hx = s.normal(dtype, batch, 19)
            what = f"{kind} network, {dtype}, batch {batch}"
            s.agree(what, net(x), host(hx))
            net.logits(x)
            net.predict(x)
            calls += 3
    return calls


def training_small(s: Subject) -> int:
    return _training(s, "small")


def training_wide(s: Subject) -> int:
    return _training(s, "wide")


def _training(s: Subject, kind: str) -> int:
    """Steps with dropout, noise, a skip connection, weights of samples, L2 and clipping, under every optimizer."""
    fnn, calls = s.fnn, 0
    optimizers = (fnn.SGD(0.01), fnn.SGD(0.01, momentum=0.9, nesterov=True), fnn.Adam(1e-3), fnn.AdamW(1e-3))
    for dtype, optimizer in product(DTYPES, optimizers):
        net = fnn.Sequential(_layers(fnn, kind), dtype=dtype, device="cuda", seed=0)
        trainer = fnn.Trainer(net, optimizer=optimizer, l2=1e-4, seed=1, clip_norm=1.0)
        for batch in (1, 37):
            x, _ = s.normal(dtype, batch, 19)
            labels = s.xp.asarray(np.arange(batch) % 10)
            weights = s.xp.asarray(np.linspace(0.5, 1.5, batch, dtype=np.float64 if dtype == "float64" else np.float32))
            losses = [trainer.step(x, labels), trainer.step(x, labels, sample_weight=weights)]
            trainer.gradients(x, labels)
            if not all(np.isfinite(_number(loss)) for loss in losses):
                raise AssertionError(f"{kind} network, {dtype}, {optimizer}: losses {losses}")
            calls += 3
    return calls


def losses(s: Subject) -> int:
    """Each with the head it is for."""
    fnn, calls = s.fnn, 0
    y, _ = s.normal("float32", 37, 3)
    kinds = (
        ("sigmoid", fnn.BinaryCrossEntropy(), s.xp.asarray((np.arange(111) % 2).reshape(37, 3).astype(np.float32))),
        ("identity", fnn.MeanSquaredError(), y),
        ("identity", fnn.GaussianNLL(2.0), y),
        ("identity", fnn.MulticlassHinge(), s.xp.asarray(np.arange(37) % 3)),
    )
    for (head, loss, targets), dtype in product(kinds, ("float32", "bfloat16")):
        net = fnn.Sequential(
            [fnn.Input(19), fnn.Dense(8, "tanh"), fnn.Dense(3, head)], dtype=dtype, device="cuda", seed=0
        )
        x, _ = s.normal(dtype, 37, 19)
        if not np.isfinite(_number(fnn.Trainer(net, loss).step(x, targets))):
            raise AssertionError(f"{loss}, {dtype}: not finite")
        calls += 1
    return calls


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables that the plans read at each call."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def large_tiles(s: Subject) -> int:
    """The tiles that large products take: on a GPU of one multiprocessor, products of this size do."""
    calls = 0
    with environment(FNNFAST_CUDA_MULTIPROCESSORS="1"):
        for dtype, shape in product(DTYPES, ((300, 72, 264), (256, 64, 256), (301, 73, 265))):
            calls += _dense(s, dtype, *shape, "gelu")
        for dtype, shape in product(DTYPES, ((256, 64, 256), (150, 33, 137))):
            calls += _maxout(s, dtype, *shape, 3)
    return calls


def hopper(s: Subject) -> int:
    """Hopper's own products, which small shapes take by order only; on other devices nothing."""
    if not s.is_hopper:
        return 0
    calls = 0
    half = ("float16", "bfloat16")
    for multiprocessors in ("1", "1000"):
        with environment(FNNFAST_CUDA_PRODUCT="hopper_only", FNNFAST_CUDA_MULTIPROCESSORS=multiprocessors):
            for dtype, shape, act in product(half, ((300, 72, 264), (8, 8, 8), (129, 200, 136)), ("relu", "gelu")):
                calls += _dense(s, dtype, *shape, act)
            for dtype, pieces in product(half, (2, 4, 5)):
                (x, hx), (w, hw) = (s.normal(dtype, *dims) for dims in ((150, 72), (pieces, 72, 136)))
                s.agree(f"hopper maxout of {pieces} {dtype}", s.fnn.maxout(x, w, None), s.fnn.maxout(hx, hw, None))
                calls += 1
        with environment(FNNFAST_CUDA_PRODUCT="hopper", FNNFAST_CUDA_MULTIPROCESSORS=multiprocessors):
            for dtype in half:
                net = s.fnn.Sequential(_layers(s.fnn, "wide"), dtype=dtype, device="cuda", seed=0)
                trainer = s.fnn.Trainer(net, optimizer=s.fnn.Adam(1e-3), seed=1)
                x, _ = s.normal(dtype, 137, 19)
                if not np.isfinite(_number(trainer.step(x, s.xp.asarray(np.arange(137) % 10)))):
                    raise AssertionError(f"hopper training, {dtype}: not finite")
                calls += 1
    return calls


def resident_networks(s: Subject) -> int:
    """Networks in one launch whose blocks take several blocks of rows, so that weights stay in shared memory."""
    calls = 0
    with environment(FNNFAST_CUDA_MULTIPROCESSORS="1"):
        for dtype, act in product(DTYPES, ("relu", "swish")):
            layers = [s.fnn.Input(64), *(s.fnn.Dense(64, act) for _ in range(3)), s.fnn.Dense(16)]
            net = s.fnn.Sequential(layers, dtype=dtype, device="cuda", seed=0)
            host = s.fnn.Sequential(layers, dtype="float64" if dtype == "float64" else "float32", seed=0)
            for batch in (130, 700):
                x, hx = s.normal(dtype, batch, 64)
                s.agree(f"resident {act} network, {dtype}, batch {batch}", net(x), host(hx))
                calls += 1
    return calls


def grid_networks(s: Subject) -> int:
    """Networks for a few rows, spread over blocks that meet at a barrier after every layer."""
    calls = 0
    with environment(FNNFAST_CUDA_FUSED="grid"):
        for dtype in DTYPES:
            layers = [s.fnn.Input(84), s.fnn.Dense(200, "relu"), s.fnn.Dense(128, "tanh"), s.fnn.Dense(10, "softmax")]
            net = s.fnn.Sequential(layers, dtype=dtype, device="cuda", seed=0)
            host = s.fnn.Sequential(layers, dtype="float64" if dtype == "float64" else "float32", seed=0)
            for batch in (1, 3, 16):
                x, hx = s.normal(dtype, batch, 84)
                s.agree(f"network on a grid, {dtype}, batch {batch}", net(x), host(hx))
                calls += 1
    return calls


FAMILIES: tuple[Family, ...] = (
    dense_shapes, large_tiles, hopper, maxout, softmax, small_networks, wide_networks, resident_networks, grid_networks,
    training_small, training_wide, dense_activations, losses, activations,
)  # fmt: skip


def examine(subject: Subject, families: tuple[Family, ...], deadline: float) -> Iterator[tuple[str, str, bool]]:
    """Name, what came of it, and whether it went well."""
    subject.deadline = deadline
    for family in families:
        start = time.monotonic()
        try:
            calls = family(subject)
        except OutOfTimeError:
            yield family.__name__, "not covered, or not to its end: out of time", True
        except Exception as error:  # the next family may tell more
            traceback.print_exc()
            yield family.__name__, f"FAILED: {type(error).__name__}: {error}", False
        else:
            yield family.__name__, f"{calls} calls in {time.monotonic() - start:.1f} s", True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [family.__name__ for family in FAMILIES]
    parser.add_argument("family", nargs="*", help=f"of {', '.join(names)}; all")
    parser.add_argument("--seconds", type=float, default=600.0, help="stop after so many")
    options = parser.parse_args()
    if unknown := [name for name in options.family if name not in names]:
        parser.error(f"expected families out of {', '.join(names)}, got {unknown[0]}")
    if facts.device_count() == 0:
        print("no CUDA device: nothing can be examined here", file=sys.stderr)
        return 2
    good = True
    chosen = tuple(family for family in FAMILIES if not options.family or family.__name__ in options.family)
    for name, words, went_well in examine(Subject(), chosen, time.monotonic() + options.seconds):
        print(f"{name}: {words}", flush=True)
        good &= went_well
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
