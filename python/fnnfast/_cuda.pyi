"""The compiled CUDA kernels: thin, unchecked but for memory safety.

Every array is a C-contiguous CuPy array on the current device, or has CuPy's attributes. ``E`` is what arrays hold:
float32, float64, float16 or bfloat16 (ml_dtypes), the same for all of one call. ``S`` is what products are summed in,
and biases and slopes are kept in: float64 for float64, else float32. With tf32, factors in float32 are rounded to it.

stream is the pointer of a CUDA stream, on which all work is queued; nothing here waits for it. allocate takes a number
of bytes and returns an object whose ``ptr`` is so much memory, aligned to 256 bytes; it is kept until the call returns.
``fnnfast._backends`` makes arrays fit and words the errors a user reads. MemoryError where memory runs out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any
Allocate = Callable[[int], Any]

class DeviceError(RuntimeError):
    """A CUDA error, with the name of the kernel or function that met it."""

def probe() -> None:
    """DeviceError where the CUDA runtime of this extension cannot use the current GPU."""

# Plans, which need no GPU ----------------------------------------------------------------------------------------
def tile_grid(
    rows: int, columns: int, layers: int, multiprocessors: int, large: int, small: int
) -> tuple[bool, int, int]:
    """How a product is cut: whether its tiles are the large ones, and how many stand over rows and over columns."""

def slices(rows: int, tiles: int, multiprocessors: int) -> tuple[int, int]:
    """How a sum over rows is cut: into how many slices, and the rows of all but the last."""

# Kernels ---------------------------------------------------------------------------------------------------------
def activation_forward(
    name: str, parameter: Array | None, z: Array, out: Array, allocate: Allocate, stream: int
) -> None:
    """z, out (B, O); parameter S (1,) or (O,), None for an activation without one. out may be z."""

def activation_derivative(
    name: str, parameter: Array | None, z: Array, out: Array, allocate: Allocate, stream: int
) -> None: ...
def dense_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    activation: str,
    parameter: Array | None,
    out: Array,
    saved: Array | None,
    tf32: bool,
    allocate: Allocate,
    stream: int,
) -> None:
    """x (B, I), weight (I, O), bias S (O,), out (B, O). saved (B, O) receives z where the activation saves that."""

def dense_backward(
    dy: Array,
    x: Array,
    weight: Array,
    saved: Array,
    activation: str,
    parameter: Array | None,
    dx: Array,
    dweight: Array,
    dbias: Array,
    dparameter: Array | None,
    tf32: bool,
    allocate: Allocate,
    stream: int,
) -> None:
    """dbias E (O,); dparameter S (O,): per neuron, summed over rows; None where it is not wanted."""

def maxout_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array,
    argmax: Array | None,
    tf32: bool,
    allocate: Allocate,
    stream: int,
) -> None:
    """x (B, I), weight (P, I, O), bias S (P, O), out (B, O), argmax (B, O) uint8 (P <= 256)."""

def maxout_backward(
    dy: Array,
    x: Array,
    weight: Array,
    argmax: Array,
    dx: Array,
    dweight: Array,
    dbias: Array,
    tf32: bool,
    allocate: Allocate,
    stream: int,
) -> None:
    """An argmax that names no piece leaves the gradients wrong, and memory safe."""

# Networks --------------------------------------------------------------------------------------------------------
class Network:
    """The plan of a network. Its parameters are the caller's: ``full``, S (size,), and for float16 and bfloat16

    ``products``, E (size,), the same rounded, else None. Both begin as zeros, ``full`` with the ``constants`` in it.

    compute_dtype: "float32", "float64", "tf32", "float16" or "bfloat16". layers: as for ``_cpu.Network``.
    """

    def __init__(
        self, compute_dtype: str, inputs: int | tuple[int, int, int], layers: Sequence[tuple[Any, ...]]
    ) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def layers(self) -> int:
        """How many there are, those inside others included."""

    @property
    def outputs(self) -> int: ...
    def places(self, layer: int) -> list[tuple[str, tuple[int, list[int], list[int]]]]:
        """Name, and offset, shape and strides in ``full``, in elements, of each parameter of a layer.

        Names and shapes are those of ``_cpu.Network``.
        """

    @property
    def constants(self) -> list[tuple[int, float]]:
        """Where in ``full`` the fixed parameters of activations stand, and what they are."""

    def round(self, full: Array, products: Array | None, stream: int) -> None:
        """Bring products up to date with full."""

    def forward(
        self,
        full: Array,
        products: Array | None,
        x: Array,
        out: Array,
        logits: bool,
        allocate: Allocate,
        stream: int,
    ) -> None:
        """x E (B, I), out E (B, O). With logits, the last layer before its activation."""

    def plan(self, batch: int) -> list[str]:
        """One line a stage: how a batch of that size is run."""

class Trainer:
    """A network's training step: forward, loss, backward and update queued in one call.

    loss, optimizer, settings and frozen: as for ``_cpu.Trainer``; precision: float64 (O,) or empty. The arrays of a
    call are its caller's: a mapping with "full" and "products" of the network; "first" and, for two states, "second",
    S (size,), the optimizer's; "state", uint8 (state_bytes,); "gradient", S (size,); "precision", S (O,) or None;
    "workspace", uint8 of workspace_bytes at least; and "tally", uint8 (tally_bytes,), where steps and updates count, or
    None.
    """

    def __init__(
        self,
        network: Network,
        loss: str,
        optimizer: str,
        settings: Mapping[str, float],
        seed: int,
        precision: Sequence[float],
        frozen: Sequence[int],
    ) -> None: ...
    @property
    def states(self) -> int: ...
    @property
    def state_bytes(self) -> int: ...
    def workspace_bytes(self, rows: int, indices: bool, weights: bool) -> int: ...
    @property
    def tally_bytes(self) -> int: ...
    @property
    def classifies(self) -> bool: ...
    def statistics(self, tally: NDArray[np.uint8]) -> list[tuple[int, float, float, float, float, float]]:
        """``_cpu.Trainer.take_diagnosis`` of a tally in the host's memory."""

    def set_rates(self, arrays: Mapping[str, Array], learning_rate: float, l2: float, stream: int) -> None:
        """Those of updates without a learning rate of their own, and their l2; in "state"."""

    def step(
        self,
        arrays: Mapping[str, Array],
        x: Array,
        targets: Array,
        rows: Array | None,
        weights: Array | None,
        learning_rate: float | None,
        loss: Array,
        accuracy: Array | None,
        follows: bool,
        stream: int,
    ) -> None:
        """x E (N, I); targets int64 (N,) or S (N, T); rows int64 (B,) or None: all; weights S (B,); loss S (1,).

        learning_rate: None for what set_rates has written, also for l2: so does a captured step follow a schedule.
        accuracy: float64 (1,), written where the loss classifies.

        Where the loss is NaN, nothing is updated, and with ``follows`` neither where the step before was skipped.
        """

    def epoch(
        self,
        arrays: Mapping[str, Array],
        x: Array,
        targets: Array,
        rows: Array,
        weights: Array | None,
        learning_rate: float,
        batch_size: int,
        losses: Array,
        accuracies: Array | None,
        stream: int,
    ) -> None:
        """A step for each batch_size of the rows, which weights belong to; a loss and an accuracy of each step.

        Nothing is updated from a step on whose loss is NaN. Without Python's lock.
        """

    def gradients(
        self,
        arrays: Mapping[str, Array],
        x: Array,
        targets: Array,
        rows: Array | None,
        weights: Array | None,
        loss: Array,
        stream: int,
    ) -> None: ...
    def apply(self, arrays: Mapping[str, Array], learning_rate: float | None, stream: int) -> None: ...
