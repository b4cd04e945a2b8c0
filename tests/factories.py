"""Networks, data and parameter values for tests: what more than one file makes."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st

import fnnfast as fnn
from fnnfast import reference

Array = np.ndarray[Any, Any]

# Sizes around every multiple that a register tile, vector, panel or row block could have, up to 300.
TAILS = sorted({*range(1, 20), *(n + d for n in (24, 32, 48, 64, 96, 128, 192, 256) for d in (-1, 0, 1)), 72, 144, 300})


# Activations ---------------------------------------------------------------------------------------------------------
class Case(NamedTuple):
    """An activation to try: its name in the registry, and a parameter, if it has one, that is not the default."""

    name: str

    def make(self, units: int, dtype: np.dtype) -> tuple[Any, Any]:
        """The public object, and the parameter for the oracle: rounded to dtype, as the kernels have it."""
        oracle = reference.ACTIVATIONS[self.name]
        if oracle.default is None:
            return fnn.activations.get(self.name), None
        parameter = _slopes(units, dtype) if oracle.learned else OTHER.get(self.name, 1.3 * oracle.default)
        return self.of(parameter), parameter if oracle.learned else float(dtype.type(parameter))

    def of(self, parameter: Any) -> Any:
        """The public object with that parameter."""
        word = "beta" if "beta" in vars(fnn.activations.get(self.name)) else "alpha"
        return fnn.activations.get(self.name, **{word: parameter})


def _slopes(units: int, dtype: np.dtype) -> Array:
    """Learned slopes of both signs and zero; all magnitudes below 2."""
    slopes = np.random.default_rng(units).uniform(-0.5, 1.9, units).astype(dtype)
    slopes[::5] = 0
    return slopes


def _is_negative_zero(y: Array) -> bool:
    return bool(y == 0 and np.signbit(y))


OTHER = {"leaky_relu": 0.1, "swish": 1.7}
"""Parameters to try, where that is not 1.3 times the default."""
CASES = {name: Case(name) for name in reference.ACTIVATIONS}
DIFFERENTIABLE = [name for name, f in reference.ACTIVATIONS.items() if f.differentiable]
ELEMENTWISE = [name for name, f in reference.ACTIVATIONS.items() if not f.rowwise]
SMOOTH = [name for name in ELEMENTWISE if name in DIFFERENTIABLE]
JUMPS = [name for name in ELEMENTWISE if name not in DIFFERENTIABLE]
KINKS = {name: f.kinks for name, f in reference.ACTIVATIONS.items()}
VANISHING = [  # z times a factor that vanishes on the left, as for swish: the limit is -0.0, and the slope changes sign
    name for name in ELEMENTWISE if _is_negative_zero(reference.ACTIVATIONS[name].forward(np.array(-np.inf)))
]
THROUGH_ZERO = [  # f(-0.0) is -0.0
    name for name in ELEMENTWISE if _is_negative_zero(reference.ACTIVATIONS[name].forward(np.array(-0.0)))
]


# Data ----------------------------------------------------------------------------------------------------------------
def normal(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def dense_problem(rng: np.random.Generator, b: int, i: int, o: int, dtype: Any) -> tuple[Array, Array, Array]:
    """x (B, I), weight (I, O), bias (O,), so that pre-activations are around 1."""
    return normal(rng, dtype, b, i), normal(rng, dtype, i, o) / dtype.type(np.sqrt(i)), normal(rng, dtype, o)


def maxout_problem(rng: np.random.Generator, b: int, p: int, i: int, o: int, dtype: Any) -> tuple[Array, Array, Array]:
    """x (B, I), weight (P, I, O), bias (P, O)."""
    return normal(rng, dtype, b, i), normal(rng, dtype, p, i, o) / dtype.type(np.sqrt(i)), normal(rng, dtype, p, o)


def _spread(array: Array) -> Array:
    """Every second element, along each axis, of a larger array that is NaN, or all ones, in between."""
    larger = np.full(tuple(2 * n + 1 for n in array.shape), np.nan if array.dtype.kind == "f" else 255)
    larger = larger.astype(array.dtype)
    view = larger[tuple(slice(1, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def _reversed(array: Array) -> Array:
    """Negative strides along every axis."""
    back = (slice(None, None, -1),) * array.ndim
    return array[back].copy()[back]


def read_only(array: Array) -> Array:
    """A copy that cannot be written to."""
    array = array.copy()
    array.flags.writeable = False
    return array


def _misaligned(array: Array) -> Array:
    """One byte off any alignment."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


class Convertible:
    """Not an array, but what has its memory."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.array


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "spread": _spread,
    "reversed": _reversed,
    "read_only": read_only,
    "misaligned": _misaligned,
    "byte_swapped": lambda array: array.astype(array.dtype.newbyteorder()),
}

sizes = st.one_of(st.integers(1, 20), st.sampled_from(TAILS))
layouts = st.sampled_from(sorted(LAYOUTS))
seeds = st.integers(0, 2**32 - 1)
leading = st.lists(st.integers(0, 4), max_size=3).map(tuple)
"""The axes of x before the last: none for a vector, and any of them may be empty."""


# Parameters ----------------------------------------------------------------------------------------------------------
def fill_biases(net: Any, rng: Any = 1) -> Any:
    """Biases and slopes that are not all the same, so that a forgotten one shows; from a seed or generator."""
    rng = np.random.default_rng(rng)
    for name, shape in net.parameters.shapes.items():
        if not name.endswith("weight"):
            net.parameters[name] = rng.normal(0, 0.5, shape)
    return net


def move_parameters(net: Any, rng: Any = 1) -> Any:
    """Every parameter a little away from where it starts, so that none is zero; from a seed or generator."""
    rng = np.random.default_rng(rng)
    for name, shape in net.parameters.shapes.items():
        net.parameters[name] = net.parameters[name] + rng.normal(0, 0.1, shape)
    return net


# Networks that are trained -------------------------------------------------------------------------------------------
ROWS = 37
"""Rows of ``training_data``: a prime number, so that the last batch of an epoch is smaller than the others."""
HEADS: dict[str, tuple[Any, Any]] = {
    "classes": (fnn.Dense(3, "softmax"), fnn.CrossEntropy()),
    "multiclass hinge": (fnn.Dense(3), fnn.MulticlassHinge()),
    "labels": (fnn.Dense(2, "sigmoid"), fnn.BinaryCrossEntropy()),
    "hinge": (fnn.Dense(2), fnn.Hinge()),
    "poisson": (fnn.Dense(2), fnn.Poisson()),
    "squares": (fnn.Dense(2, "tanh"), fnn.MeanSquaredError()),
    "gaussian": (fnn.Dense(2), fnn.GaussianNLL((0.5, 2.0))),
    "gaussian learned": (fnn.Gaussian(2), fnn.GaussianNLL("learned")),
}
"""A last layer for each loss, and the loss."""


def training_network(kind: str = "classes", dtype: Any = "float64", seed: int = 0, dropout: bool = True) -> Any:
    """Everything that is learned: weights and biases of dense layers, maxout and a projection, and slopes."""
    branch = [fnn.Maxout(7, pieces=3), fnn.Dropout(0.2), fnn.Dense(33, fnn.ELU(learn=True))]
    layers = [
        fnn.Input(4),
        fnn.Dense(9, "prelu"),
        fnn.Residual([layer for layer in branch if dropout or layer.kind != "dropout"]),  # with a projection
        fnn.Residual([fnn.Dense(5, "swish"), fnn.Dense(33, "tanh")]),  # without
        fnn.Dense(6, "sigmoid"),
        HEADS[kind][0],
    ]
    return fnn.Sequential(layers, dtype=dtype, seed=seed)


def training_data(
    kind: str = "classes", rows: int = ROWS, dtype: Any = "float64", seed: int = 0
) -> tuple[Array, Array]:
    """Rows for that network and targets for its loss."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 4)).astype(dtype)
    if kind in ("classes", "multiclass hinge"):
        return x, rng.integers(0, 3, rows)
    if kind in ("labels", "hinge", "poisson"):
        return x, rng.integers(0, 2, (rows, 2))
    return x, rng.standard_normal((rows, 2))


SMALL_ROWS, SMALL_INPUTS = 40, 3


def small_network(dtype: Any = "float32", device: str = "cpu", inputs: tuple[int, ...] = (SMALL_INPUTS,)) -> Any:
    layers = [fnn.Input(*inputs), fnn.Dense(8, "tanh"), fnn.Dense(1)]
    return fnn.Sequential(layers, dtype=dtype, seed=0, device=device)


def small_data(rows: int = SMALL_ROWS, dtype: Any = "float32", seed: int = 0) -> tuple[Array, Array]:
    """Rows for that network, and targets that are nearly linear in them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, SMALL_INPUTS)).astype(dtype)
    return x, (x @ [1.0, -2.0, 0.5] + 0.1 * rng.standard_normal(rows)).astype(dtype)


def with_nan(x: Array, row: int, column: int, value: float = np.nan) -> Array:
    """A copy with that value in one place."""
    x = x.copy()
    x[row, column] = value
    return x


WATCHED_INPUTS = 5
STILL = fnn.SGD(1e-300)
"""An optimizer with which training counts, and changes nothing."""


def watched_network(hidden: Sequence[Any], head: Any = None, dtype: Any = "float64", seed: int = 0) -> Any:
    """With biases from -18 to 18, so that some units are dead, some saturated, and most neither."""
    layers = [fnn.Input(WATCHED_INPUTS), *hidden, head or fnn.Dense(3, "softmax")]
    net = fnn.Sequential(layers, dtype=dtype, seed=seed)
    rng = np.random.default_rng(seed)
    for name, values in net.parameters.items():
        if name.endswith("bias"):
            net.parameters[name] = rng.permutation(np.linspace(-18, 18, values.size)).reshape(values.shape)
    return net


def watched_data(dtype: Any = "float64", rows: int = 60) -> tuple[Array, Array]:
    rng = np.random.default_rng(7)
    return rng.standard_normal((rows, WATCHED_INPUTS)).astype(dtype), rng.integers(0, 3, rows)


# Networks that answer ------------------------------------------------------------------------------------------------
ANSWERS = [("softmax", 7), ("sigmoid", 3), ("sigmoid", 1), ("identity", 2), ("tanh", 2)]
"""Activations of a last layer with as many units as go with them."""


def answering_network(
    head: Any = "softmax", units: int = 7, dtype: Any = "float32", seed: int = 0, inputs: tuple[int, ...] = (4, 5)
) -> Any:
    layers = [fnn.Input(*inputs), fnn.Dense(33, "swish"), fnn.Dense(units, head)]
    return fnn.Sequential(layers, dtype=dtype, seed=seed)


def targets(head: str, units: int, rows: int = 40) -> Array:
    """Of the loss that belongs to a head of ANSWERS."""
    rng = np.random.default_rng(2)
    if head == "softmax":
        return rng.integers(0, units, rows)
    return rng.integers(0, 2, (rows, units)) if head == "sigmoid" else rng.standard_normal((rows, units))


CHECKED_X = np.ones((6, 3, 4), np.float32)
CHECKED_LABELS = np.array([0, 1, 4, 2, 3, 0])


def checked_network(head: Any = "softmax", units: int = 5, hidden: Any = "relu") -> Any:
    """For invalid arguments: takes CHECKED_X and learns CHECKED_LABELS."""
    return fnn.Sequential([fnn.Input(3, 4), fnn.Dense(6, hidden), fnn.Dense(units, head)], seed=0)


BAD_X = [
    (np.ones((6, 11), np.float32), ValueError, r"x: expected shape \(B, 3, 4\) or \(B, 12\), got \(6, 11\)"),
    (np.ones((6, 4, 3), np.float32), ValueError, r"\(B, 3, 4\) or \(B, 12\), got \(6, 4, 3\)"),
    (np.ones(12, np.float32), ValueError, r"\(B, 3, 4\) or \(B, 12\), got \(12,\)"),
    (np.ones((3, 4)), ValueError, r"\(B, 3, 4\) or \(B, 12\), got \(3, 4\)"),
    (np.ones((1, 6, 3, 4)), ValueError, r"got \(1, 6, 3, 4\)"),
    (np.array(1.0), ValueError, r"got \(\)"),
    (1.0, ValueError, r"got \(\)"),
    (None, TypeError, "x: expected an array of real numbers, got dtype object"),
    (CHECKED_X.astype(object), TypeError, "got dtype object"),
    (CHECKED_X.astype(complex), TypeError, "got dtype complex128"),
    (CHECKED_X.astype(str), TypeError, "got dtype <U"),
    (CHECKED_X.astype("datetime64[s]"), TypeError, "got dtype datetime64"),
    (np.zeros((6, 12), [("a", "f4")]), TypeError, "got dtype"),
]
"""Of no use to that network: x, the error and its message."""


# bfloat16 and int8 ---------------------------------------------------------------------------------------------------
WIDE_LAYERS = (
    fnn.Input(37),
    fnn.Dense(70, "swish"),
    fnn.Maxout(33, pieces=3),
    fnn.Dropout(0.25),
    fnn.Dense(65, "prelu"),
    fnn.Maxout(20),
)
WIDE_HEADS = ("softmax", "sigmoid", "identity", "tanh", "elu_learned")


def wide_network(head: Any = "softmax", dtype: Any = "float32", layers: Sequence[Any] = WIDE_LAYERS) -> Any:
    """To be converted: no width is a whole number of registers."""
    return fill_biases(fnn.Sequential([*layers, fnn.Dense(9, head)], dtype=dtype, seed=0))


def wide_data(rows: int, columns: int = 37, seed: int = 0) -> Array:
    return normal(np.random.default_rng(seed), np.float32, rows, columns)


def single_layer(inputs: int, layer: Any) -> Any:
    return fill_biases(fnn.Sequential([fnn.Input(inputs), layer], seed=inputs))


def converted(compute_dtype: str, net: Any = None) -> Any:
    """The network in bfloat16 or int8."""
    net = net or wide_network()
    if compute_dtype == "bfloat16":
        return net.astype("bfloat16")
    return net.quantize(wide_data(50, net.input.size, seed=9))


# GPU -----------------------------------------------------------------------------------------------------------------
GPU_DTYPES = ["float32", "float64", "tf32", "float16", "bfloat16"]


def numpy_dtype(name: str) -> np.dtype:
    """The dtype of the arrays; skips the test where bfloat16's is not installed."""
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype("float32" if name == "tf32" else name)


def every_layer(head: Any = "softmax") -> list[Any]:
    return [
        fnn.Input(4, 5),
        fnn.Dense(33, "swish"),
        fnn.Maxout(17, pieces=3),
        fnn.Dropout(0.2),
        fnn.Residual([fnn.Dense(17, "gelu")]),
        fnn.Residual([fnn.Dense(9, fnn.ELU(1.5))]),
        fnn.Dense(12, "prelu"),
        fnn.Dense(7, head),
    ]


def on_gpu_and_cpu(compute_dtype: str = "float32", head: Any = "softmax") -> tuple[Any, Any]:
    """A network on the GPU and the same on the CPU, with parameters none of which is zero."""
    dtype = "float64" if compute_dtype == "float64" else "float32"
    net = move_parameters(fnn.Sequential(every_layer(head), dtype=dtype, seed=0))
    return net.to("cuda", compute_dtype), net


class _Foreign:
    """Another library's array on the GPU."""

    def __init__(self, array: Any, stream: int) -> None:
        self.array, self.stream = array, stream
        self.asked: list[Any] = []


class ByDlpack(_Foreign):
    """One that is exchanged by DLPack."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        self.asked.append(stream)
        capsule = getattr(self.array, "__dlpack__", None)
        return self.array._host if capsule is None else capsule(stream=stream, **options)


class ByInterface(_Foreign):
    """One that is exchanged by the CUDA array interface."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.array.__cuda_array_interface__, "stream": self.stream}


class OnGpu:
    """What an array of CuPy looks like from outside, where there is none."""

    def __init__(self, *shape: int) -> None:
        self.__cuda_array_interface__ = {"shape": shape, "typestr": "<f4", "data": (0, False), "version": 3}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


# Distributions -------------------------------------------------------------------------------------------------------
def logits(*shape: int, dtype: Any = "float64", scale: float = 4.0) -> Array:
    return (scale * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


def distributions() -> dict[str, Any]:
    """One of each kind and shape."""
    return {
        "bernoulli": fnn.distributions.Bernoulli(logits(6)),
        "bernoullis": fnn.distributions.Bernoulli(logits(6, 3)),
        "categorical": fnn.distributions.Categorical(logits(6, 4)),
        "gaussian": fnn.distributions.Gaussian(logits(6, 2), [0.5, 4.0]),
    }


# Data sets of scikit-learn -------------------------------------------------------------------------------------------
@cache
def digits(rows: int | None = 600) -> tuple[Array, Array]:
    """Images of digits (B, 64), from 0 to 1, and their classes; None for all of them."""
    x, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    return (x / 16)[:rows], y[:rows]


@cache
def digit_labels() -> dict[str, Array]:
    """Targets for the images of each kind that a classifier takes."""
    _, y = digits()
    return {"classes": y, "binary": np.where(y > 4, "large", "small"), "labels": np.stack([y > 4, y % 2 == 0], 1)}


@cache
def diabetes() -> tuple[Array, Array]:
    """Standardized measurements, and two targets for each."""
    x, y = pytest.importorskip("sklearn.datasets").load_diabetes(return_X_y=True)
    scale = pytest.importorskip("sklearn.preprocessing").StandardScaler().fit_transform
    x = scale(x)
    return x, scale(np.stack([y, x[:, 2] ** 2], 1))
