"""The compiled CPU kernels: thin, unchecked but for memory safety.

Every array is C-contiguous, aligned, of native byte order; ``T`` is float32 or float64 and the same for all arrays of
one call. ``fnnfast._checks`` makes arrays fit and words the errors a user reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .typing import ComputeDType

T = np.float32 | np.float64
Array = NDArray[Any]

class ActivationInfo(TypedDict):
    name: str
    init: str  # "xavier", "he" or "lecun": how the weights of a layer before it start
    saves: str  # "input", "output" or "nothing": what backward reads
    differentiable: bool
    rowwise: bool  # softmax: needs whole rows
    exact: bool  # rounds at most once, so that there is no accurate form
    parameter: bool  # takes alpha or beta
    default: float  # of the parameter
    learned: bool  # the parameter is trained, one per neuron
    watch: str  # "dead", "saturated" or "": what training counts of small derivatives
    small: float  # what small is

# The machine -----------------------------------------------------------------------------------------------------
def isa() -> str: ...
def isas() -> list[str]:
    """The variants compiled in that this CPU can run, slowest first."""

def use_isa(name: str) -> None:
    """Select the variant for later calls and networks (tests; FNNFAST_ISA is for users)."""

def extensions() -> list[tuple[str, str, str, bool]]:
    """The extensions of this CPU and this build: name, the variant that each is for, format of its products, is chosen.

    Those named plain compute in C++ what the instructions do, for tests, and are never chosen.
    """

def use_extension(name: str) -> None:
    """Select an extension for networks made from now on, and no other, with its variant (tests); "": the fastest."""

def multiplies_pairs() -> bool:
    """Whether there are kernels that multiply bfloat16 faster than float32, or those of ``use_extension``."""

class Cancellation:
    """``with cancellation: ...`` lets calls of this thread be ended with KeyboardInterrupt, by any other's cancel()."""

    def __init__(self) -> None: ...
    def cancel(self) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...

def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def default_num_threads() -> int: ...
def processor_limit(root: str = "") -> int:
    """The processors that the CPU quota of this process's cgroups allows; 2**31 - 1 without a limit.

    root is put before the paths of all files read (tests).
    """

def cache_sizes() -> tuple[int, int, int]:
    """Bytes of L1d, L2 and L3 (0 where unknown)."""

def measure_fma_peak(seconds: float) -> float:
    """float32 FLOP/s that the selected ISA reaches on register-only FMA chains, on the current number of threads."""

def measure_read_bandwidth(nbytes: int, seconds: float) -> float:
    """Bytes a second that one thread reads from a buffer of nbytes with vector loads."""

MAX_SAVED_PIECES: int

# Kernels ---------------------------------------------------------------------------------------------------------
def activations() -> list[ActivationInfo]: ...
def activation_forward(name: str, parameter: Array | None, z: Array, out: Array) -> None:
    """z, out (B, O); parameter (1,) or (O,), None for an activation without one. out may be z.

    The accurate form of "tanh" is "accurate tanh"; so everywhere.
    """

def activation_derivative(name: str, parameter: Array | None, z: Array, out: Array) -> None: ...
def dense_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    activation: str,
    parameter: Array | None,
    out: Array,
    saved: Array | None,
) -> None:
    """x (B, I), weight (I, O), bias (O,), out (B, O). saved (B, O) receives z where the activation saves its input."""

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
) -> None:
    """dparameter (O,): per neuron, summed over rows; None where the activation has no parameter or it is not wanted."""

def maxout_forward(x: Array, weight: Array, bias: Array | None, out: Array, argmax: NDArray[np.uint8] | None) -> None:
    """x (B, I), weight (P, I, O), bias (P, O), out (B, O), argmax (B, O) uint8 (P <= 256)."""

def maxout_backward(
    dy: Array, x: Array, weight: Array, argmax: NDArray[np.uint8], dx: Array, dweight: Array, dbias: Array
) -> None: ...
def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    dilation: tuple[int, int],
    groups: int,
    activation: str,
    parameter: Array | None,
    out: Array,
    saved: Array | None,
) -> None:
    """x (B, H, W, C), weight (KH, KW, C / groups, O), padding ((above, below), (left, right)); as dense_forward."""

def conv2d_backward(
    dy: Array,
    x: Array,
    weight: Array,
    saved: Array,
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    dilation: tuple[int, int],
    groups: int,
    activation: str,
    parameter: Array | None,
    dx: Array,
    dweight: Array,
    dbias: Array,
    dparameter: Array | None,
) -> None: ...
def maxout_conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    dilation: tuple[int, int],
    out: Array,
    argmax: NDArray[np.uint8] | None,
) -> None:
    """weight (P, KH, KW, C, O), bias (P, O), argmax of the shape of out."""

def maxout_conv2d_backward(
    dy: Array,
    x: Array,
    weight: Array,
    argmax: NDArray[np.uint8],
    strides: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    dilation: tuple[int, int],
    dx: Array,
    dweight: Array,
    dbias: Array,
) -> None: ...
def loss_value(
    loss: str, outputs: Array, targets: Array, precision: Array | None = None, weights: Array | None = None
) -> float:
    """Mean loss. loss, targets, precision and weights as in Trainer; outputs (B, O) are logits where it takes those."""

# Networks --------------------------------------------------------------------------------------------------------
class Network:
    """The plan of a network and its packed weights.

    layers: tuples, in order
        ("dense", units, activation, parameter, bias)   parameter: float (fixed alpha or beta) or None
        ("maxout", units, pieces, bias)
        ("dropout", rate)
        ("gaussian_noise", stddev)
        ("activation", activation, parameter)
        ("flatten",)
        ("convolution", filters, pieces, is_maxout, kernel, strides, padding, dilation, groups, activation, parameter,
            bias)   kernel, strides, dilation: (height, width); padding: ((above, below), (left, right))
        ("max_pool", size, strides, padding)
        ("average_pool", size, strides, padding, count_padding)
        ("local_response", size, alpha, beta, k)
        ("batch_norm", momentum, eps)
        ("parallel", branches)   a list of layers for each branch
        ("residual", layers, units, shortcut, activation, parameter)   units > 0: with a projection, a dense layer, to
            so many; shortcut: layers that the input passes instead, or None
    inputs: I, or (height, width, channels). channels_first: the caller's images are (channels, height, width).
    Layers are counted in preorder: a residual block, its layers, those of its shortcut; a parallel layer, those of its
    branches.
    Weights, biases and slopes are zero until set. A prelu or elu_learned layer has a parameter array "alpha" (O,).
    """

    def __init__(
        self,
        dtype: str,
        inputs: int | tuple[int, int, int],
        layers: Sequence[tuple[Any, ...]],
        channels_first: bool = False,
    ) -> None: ...
    def names(self, layer: int) -> list[str]:
        """dense: weight, bias(, alpha); maxout, residual with projection: weight, bias;
        batch_norm: gamma, beta; others: none. A convolution has those of dense or maxout."""

    def buffer_names(self, layer: int) -> list[str]:
        """batch_norm: mean, variance; others: none. get and set take them as well."""

    def get(self, layer: int, name: str) -> Array:
        """A fresh copy: weight (I, O) or (P, I, O), of a convolution with (KH, KW, I) for I; bias (O,) or (P, O); all
        others (O,)."""

    def set(self, layer: int, name: str, value: Array) -> None: ...
    def try_forward(self, x: object, out: object = None, logits: bool = False) -> Array | None:
        """(B, I) -> (B, O) in a new array, or in out.

        None, with nothing done, unless x is a (B, I) array, and out (if given) a writeable (B, O) array that does not
        overlap x, both C-contiguous, aligned, native and of the network's dtype.
        """

    def plan(self, batch: int) -> list[str]:
        """One line per stage: how a batch of that size is run."""

    def trace(self, x: Array) -> list[tuple[int, int, str, Array | None, Array, Array]]:
        """What each step does with the rows of x (B, I), in order.

        The layer of its product, and that of its activation, -1 for none; the activation and its parameter; what the
        product reads, (B, I), and what the activation reads, (B, O). Of images the pixels are rows.
        """

    def bfloat16(self, pairs: bool) -> Network:
        """The same with weights rounded to bfloat16, to nearest even; biases and slopes stay float32, x and out too.

        pairs: the inputs of products are rounded as well, and multiplied by an instruction for bfloat16. ``reference``
        has its roundings. ValueError where ``multiplies_pairs()`` is false. ValueError for a float64 network.
        What this and ``quantized`` return is for ``try_forward``: ``set`` raises TypeError, and no Trainer takes it.
        """

    def quantized(self, layers: Sequence[tuple[float, int, Array]]) -> Network:
        """The same with int8 weights and 8-bit inputs of its layers; biases and slopes stay float32, x and out too.

        layers: (input_scale, zero_point, weight_scale) for each dense and maxout layer, in order; weight_scale float32
        (O,) or (P, O). A layer computes, exactly but for the float32 roundings written out,
            qx = clip(rint(x * f32(1 / input_scale)) + zero_point, 0, 255)
            qw = clip(rint(weight / weight_scale), -127, 127)
            z = fma(f32(sum(qx * qw) - zero_point * sum(qw)), f32(input_scale * weight_scale), bias)
        and its activation as ever; a row of x that holds NaN has NaN for z. ValueError for more than 65536 inputs.
        """

    @property
    def compute_dtype(self) -> ComputeDType:
        """float32, float64, bfloat16 or int8."""

    def quantization(self, layer: int) -> tuple[float, int, Array]:
        """(input_scale, zero_point, weight_scale) of a dense or maxout layer in int8."""

class Forward:
    """Base of Sequential: a call that a Network answers without a Python frame in between.

    Whatever the network does not take as it is goes to the derived class's ``_call``, with the same arguments.
    """

    def _attach(self, network: Network, /) -> None:
        """Answer calls with this network."""

    def __call__(self, x: ArrayLike, *, out: Array | None = None) -> Array: ...

class Trainer:
    """A network's training step: forward, loss, backward and update in one call, and the optimizer's state.

    loss: from logits "categorical_cross_entropy", "multiclass_hinge" (targets int64 (B,)), "binary_cross_entropy",
    "hinge", "poisson" (targets T (B, O)); on the outputs "squared_error", "gaussian" (targets T (B, O)) and
    "gaussian_learned" (targets T (B, O / 2)). precision: float64 (O,), for "gaussian" alone.
    optimizer: "sgd" with momentum, nesterov; "adam" with beta1, beta2, eps, eps_hat; both take l2 (added to the
    gradient of weights), weight_decay (decoupled, weights only) and clip_norm (0: none).
    frozen: indices of layers that are left as they are.
    """

    def __init__(
        self,
        network: Network,
        loss: str,
        optimizer: str,
        settings: Mapping[str, float],
        seed: int = 0,
        precision: Array | None = None,
        frozen: Sequence[int] = ...,
    ) -> None: ...
    def step(
        self,
        x: Array,
        targets: Array,
        learning_rate: float,
        rows: NDArray[np.int64] | None = None,
        weights: Array | None = None,
    ) -> float:
        """x (N, I), targets of N rows; rows picks the batch from them (None: all). The mean loss before the update.

        weights: float64 (N,), how much a row counts. l2's term is not in the loss. Where the loss is NaN, nothing is
        updated. Dropout and noise draw from (seed, step, layer, element).
        """

    def epoch(
        self,
        x: Array,
        targets: Array,
        learning_rate: float,
        rows: NDArray[np.int64] | None,
        weights: Array | None,
        batch_size: int,
    ) -> tuple[float, float]:
        """A step for every batch_size rows; the sums over batches of loss times weight, and of weight.

        It ends at a step whose loss is NaN.
        """

    def try_step(self, x: object, labels: object, learning_rate: float) -> float | None:
        """step, if x (B, I) and class labels (B,) int64 can be used as they are; else None, and nothing is done."""

    def gradients(
        self, x: Array, targets: Array, rows: NDArray[np.int64] | None = None, weights: Array | None = None
    ) -> tuple[float, list[Array]]:
        """The loss and the gradients, in the order of the layers and of names(); nothing is updated."""

    def sum_parts(
        self,
        x: Array,
        targets: Array,
        rows: NDArray[np.int64] | None,
        weights: Array | None,
        ends: Sequence[int],
        out: Sequence[Array],
        round: bool = False,
    ) -> tuple[float, list[tuple[int, float, float, NDArray[np.float64]]]]:
        """Parts of the batch that rows picks: part i has its rows ends[i] to ends[i + 1]; a part may have none.

        out, arrays of the parameters' shapes, gets the sum of what the parts add to the gradient of the batch, in a
        binary tree whose left subtree has as many leaves as the largest power of two below their number; a part without
        rows is no leaf. round: each sum of the tree is rounded to bfloat16. Dropout and noise are those of the rows'
        places in the batch. Returns the weight of the batch, and of each part that has rows its index, what it adds to
        the mean loss and to the accuracy (NaN unless that is measured), and the statistics of its batch normalizations:
        for each the number of values, the means and the sums of squared deviations. Without rows, out stays as it is.
        """

    def set_batch_statistics(self, statistics: Sequence[float]) -> None:
        """What the next apply() moves running statistics by: those of the parts, joined."""

    def normalized_units(self) -> list[int]:
        """The channels of each batch normalization, in the order of these statistics."""

    def apply(self, gradients: Sequence[Array], learning_rate: float) -> None:
        """One optimizer update with those gradients; step(x, t) is gradients and then apply, to the bit."""

    def set_l2(self, l2: float) -> None:
        """For the steps to come."""

    def sum_weight_squares(self, wanted: bool) -> None:
        """Whether steps sum the squares of all weights (not biases), before their update; starts from 0."""

    def take_weight_squares(self) -> float:
        """That sum, over the steps since it was last taken."""

    def measure_accuracy(self, wanted: bool) -> None:
        """Whether epoch() finds out the accuracy of a loss that classifies; starts again."""

    def take_accuracy(self) -> float | None:
        """That over the rows of epoch() since it was last taken: the mean of the batches', each before its update.

        None if the loss does not classify, or without rows.
        """

    def state(self) -> tuple[int, list[list[Array]]]:
        """The number of steps, and the optimizer's one or two states, each in the order of gradients()."""

    def set_state(self, steps: int, states: Sequence[Sequence[Array]]) -> None: ...
    def take_diagnosis(self) -> list[tuple[int, float, float, float, float, float]]:
        """Of every layer with weights, since the last call: its index, the root mean squares over the steps of the
        norms of gradient and update, the shares of dead units or pieces, of saturated values and of linear units (-1
        where not counted)."""

    @property
    def steps(self) -> int: ...
