"""Training a network on a GPU: the arrays that ``_cuda.Trainer`` works in, and its steps over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._checks import Array
from .cuda_network import CudaNetwork

_STATES = ("first", "second")


class CudaTrainer:
    """What Trainer asks of ``_cpu.Trainer``, on a GPU.

    Arrays may be on the host or on the GPU. A step neither waits for the GPU nor, once it has run with as many rows,
    allocates more than the loss that it returns, (), on the GPU.
    """

    def __init__(
        self,
        network: CudaNetwork,
        loss: str,
        optimizer: str,
        settings: Mapping[str, float],
        seed: int,
        precision: Array | None,
        frozen: Sequence[int],
    ) -> None:
        self._network = network
        self._device = device = network.device
        self._sum_type = network.full.dtype
        values = [] if precision is None else precision.tolist()
        self._core = device.kernels.Trainer(network.core, loss, optimizer, settings, seed, values, frozen)
        size = network.core.size
        self._arrays: dict[str, Any] = {
            "full": network.full,
            "products": network.products,
            **{name: self._zeros(size) for name in _STATES[: self._core.states]},
            "state": self._zeros(self._core.state_bytes, np.dtype(np.uint8)),
            "gradient": self._zeros(size),
            "precision": None if precision is None else self._fit(precision, self._sum_type),
            "workspace": self._zeros(2**16, np.dtype(np.uint8)),
            "tally": None,
        }
        self._right = self._scored = 0.0
        self._rates = {"learning_rate": 0.0, "l2": settings["l2"]}
        self._kept: tuple[Array, Array] | None = None
        self._captured: list[Array] = []
        device.synchronize()  # the first step may be on another stream

    # Steps -----------------------------------------------------------------------------------------------------------
    def step(
        self, x: Array, targets: Array, learning_rate: float, rows: Array | None = None, weights: Array | None = None
    ) -> Array:
        """As ``_cpu.Trainer``, but for the loss, which is an array () on the GPU."""
        loss = self._device.empty((1,), self._sum_type)
        settings = {"learning_rate": self._own_rate(learning_rate), "loss": loss, "accuracy": None, "follows": False}
        self._launch(self._core.step, x, self._targets(targets), rows, _relative(weights), **settings)
        return loss.reshape(())

    def try_step(self, x: object, labels: object, learning_rate: float) -> None:
        """As ``_cpu.Trainer``; never."""

    def epoch(
        self,
        x: Array,
        targets: Array,
        learning_rate: float,
        rows: NDArray[np.int64],
        weights: Array | None,
        batch_size: int,
    ) -> tuple[float, float]:
        """As ``_cpu.Trainer``. Data on the host is copied once, not for every call."""
        targets = self._keep(targets)
        count = -(-len(rows) // batch_size)
        losses = self._device.empty((count,), self._sum_type)
        accuracies = self._device.empty((count,), np.float64) if self._measures_accuracy() else None
        order, weighed = self._fit(rows, np.dtype(np.int64)), None
        parts = [slice(first, first + batch_size) for first in range(0, len(rows), batch_size)]
        totals = np.array([len(rows[part]) for part in parts], np.float64)
        if weights is not None:
            of_rows = np.empty(len(rows), self._sum_type)
            for batch, part in enumerate(parts):
                of_rows[part], unit = _checks.relative(weights[rows[part]])
                totals[batch] = of_rows[part].sum(dtype=np.float64) * unit
            weighed = self._fit(of_rows, self._sum_type)
        for size in (len(rows) - (count - 1) * batch_size, min(batch_size, len(rows))):  # of the last one, and others
            self._reserve(self._core.workspace_bytes(size, True, weights is not None))
        settings = {"learning_rate": learning_rate, "batch_size": batch_size}
        recorded = {"losses": losses, "accuracies": accuracies}
        self._device.launch(self._core.epoch, self._arrays, x, targets, order, weighed, **settings, **recorded)
        means = self._device.host(losses).astype(np.float64)
        if accuracies is not None:
            taken = ~np.logical_or.accumulate(np.isnan(means))
            self._right += float(self._device.host(accuracies)[taken] @ totals[taken])
            self._scored += float(totals[taken].sum())
        return float(means @ totals), float(totals.sum())

    def gradients(
        self, x: Array, targets: Array, rows: Array | None = None, weights: Array | None = None
    ) -> tuple[Array, list[Array]]:
        """As ``_cpu.Trainer``, in arrays on the GPU, the loss () as well."""
        loss = self._device.empty((1,), self._sum_type)
        self._launch(self._core.gradients, x, self._targets(targets), rows, _relative(weights), loss=loss)
        with self._device.current():
            return loss.reshape(()), [
                self._network.view(self._arrays["gradient"], *place).copy() for place in self._all()
            ]

    def apply(self, gradients: Sequence[Array], learning_rate: float) -> None:
        """As ``_cpu.Trainer``."""
        self._fill("gradient", gradients)
        self._device.launch(self._core.apply, self._arrays, self._own_rate(learning_rate))

    # State -----------------------------------------------------------------------------------------------------------
    def set_l2(self, l2: float) -> None:
        """As ``_cpu.Trainer``, on the current stream."""
        self._set_rates(l2=l2)

    def set_learning_rate(self, learning_rate: float) -> None:
        """That of captured steps, on the current stream."""
        self._set_rates(learning_rate=learning_rate)

    def _set_rates(self, **changed: float) -> None:
        self._rates |= changed
        self._device.launch(self._core.set_rates, self._arrays, **self._rates)

    def _own_rate(self, learning_rate: float) -> float | None:
        """The learning rate of a step, or None: what a graph is to read from the GPU's memory.

        Other steps bring theirs, so that they do not depend on the stream on which it was set.
        """
        return None if self._device.is_capturing() else learning_rate

    @property
    def steps(self) -> int:
        """As ``_cpu.Trainer``."""
        return int(self._device.host(self._counter())[0])

    def state(self) -> tuple[int, list[list[Array]]]:
        """As ``_cpu.Trainer``, in arrays on the host."""
        states = [
            [self._device.host(self._network.view(self._arrays[name], *place)) for place in self._all()]
            for name in _STATES[: self._core.states]
        ]
        return self.steps, states

    def set_state(self, steps: int, states: Sequence[Sequence[Array]]) -> None:
        """As ``_cpu.Trainer``."""
        for name, arrays in zip(_STATES, states, strict=False):
            self._fill(name, arrays)
        with self._device.current():
            self._counter()[...] = steps

    def measure_accuracy(self, wanted: bool) -> None:
        """As ``_cpu.Trainer``; and whether anything is counted for ``take_diagnosis``.

        On a GPU that takes a launch for each layer, so steps outside ``fit`` do without.
        """
        self._right = self._scored = 0.0
        self._arrays["tally"] = self._zeros(self._core.tally_bytes, np.dtype(np.uint8)) if wanted else None
        self._device.synchronize()  # the first step may be on another stream

    def take_accuracy(self) -> float | None:
        """As ``_cpu.Trainer``."""
        right, scored, self._right, self._scored = self._right, self._scored, 0.0, 0.0
        return right / scored if scored > 0 else None

    def take_diagnosis(self) -> list[tuple[int, float, float, float, float, float]]:
        """As ``_cpu.Trainer``, of what was counted since ``measure_accuracy(True)``; waits for the GPU."""
        tally = self._arrays["tally"]
        if tally is None:
            return []
        counted = self._device.host(tally)
        with self._device.current():
            tally.fill(0)
        return self._core.statistics(counted)  # type: ignore[no-any-return]

    def _measures_accuracy(self) -> bool:
        return self._arrays["tally"] is not None and self._core.classifies

    # Arrays ----------------------------------------------------------------------------------------------------------
    def _launch(self, kernel: Any, x: Array, targets: Array, rows: Any, weights: Any, **settings: Any) -> None:
        if rows is not None:
            rows = self._fit(rows, np.dtype(np.int64))
        if weights is not None:
            weights = self._fit(weights, self._sum_type)
        count = len(x) if rows is None else len(rows)
        self._reserve(self._core.workspace_bytes(count, rows is not None, weights is not None))
        self._device.launch(kernel, self._arrays, x, targets, rows, weights, **settings)

    def _reserve(self, needed: int) -> None:
        """A workspace of at least so many bytes.

        Graphs replay in the workspace that they were captured with, so that one is kept. No other is given back before
        all streams are done with it.
        """
        workspace = self._arrays["workspace"]
        capturing = self._device.is_capturing()
        if workspace.nbytes < needed:
            if not capturing and not self._is_captured(workspace):
                with self._device.current():
                    self._device.xp.cuda.Device().synchronize()
            workspace = self._arrays["workspace"] = self._device.empty((needed,), np.uint8)
        if capturing and not self._is_captured(workspace):
            self._captured.append(workspace)

    def _is_captured(self, workspace: Array) -> bool:
        return any(workspace is other for other in self._captured)

    def _targets(self, targets: Array) -> Array:
        return self._fit(targets, np.dtype(np.int64) if targets.dtype.kind in "iu" else self._sum_type)

    def _keep(self, targets: Array) -> Array:
        """Targets on the GPU; the same array as before for the same one on the host."""
        if self._kept is None or self._kept[0] is not targets:
            self._kept = targets, self._targets(targets)
        return self._kept[1]

    def _fit(self, array: Any, dtype: _checks.DType) -> Array:
        return self._device.fit(self._device.array("array", array), dtype)

    def _zeros(self, size: int, dtype: _checks.DType | None = None) -> Array:
        return self._fit(np.zeros(size, dtype or self._sum_type), dtype or self._sum_type)

    def _counter(self) -> Array:
        """The number of steps, (1,), in the state that the kernels keep."""
        return self._arrays["state"][:8].view(np.int64)  # type: ignore[no-any-return]

    def _all(self) -> list[tuple[int, str]]:
        """All parameters, in order."""
        return self._network.all()

    def _fill(self, name: str, arrays: Sequence[Array]) -> None:
        with self._device.current():
            for place, values in zip(self._all(), arrays, strict=True):
                self._network.view(self._arrays[name], *place)[...] = self._fit(values, self._sum_type)


def _relative(weights: Array | None) -> Array | None:
    """Weights in a unit of their own, where they are on the host; the kernel sees to it where they are on the GPU."""
    return _checks.relative(weights)[0] if isinstance(weights, np.ndarray) else weights
