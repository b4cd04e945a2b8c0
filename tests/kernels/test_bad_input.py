"""Bad input to the kernel functions, by table: the error, what was expected and what came; nothing is changed."""

import re

import numpy as np
import pytest

import fnnfast as fnn
from factories import Convertible, read_only

F32 = np.float32
X, W, B = np.ones((4, 3), F32), np.full((3, 5), 2, F32), np.ones(5, F32)
PIECES, PIECE_BIASES = np.ones((2, 3, 5), F32), np.ones((2, 5), F32)
DY, SAVED = np.ones((4, 5), F32), np.ones((4, 5), F32)
WINNERS = np.zeros((4, 5), np.uint8)
SQUARE = np.eye(3, dtype=F32)
FUNCTIONS = {
    "dense": (fnn.dense, {"x": X, "weight": W, "bias": B, "activation": "relu"}),
    "dense_forward": (fnn.dense_forward, {"x": X, "weight": W, "bias": B, "activation": "relu"}),
    "dense_backward": (fnn.dense_backward, {"dy": DY, "x": X, "weight": W, "saved": SAVED, "activation": "relu"}),
    "maxout": (fnn.maxout, {"x": X, "weight": PIECES, "bias": PIECE_BIASES}),
    "maxout_forward": (fnn.maxout_forward, {"x": X, "weight": PIECES, "bias": PIECE_BIASES}),
    "maxout_backward": (fnn.maxout_backward, {"dy": DY, "x": X, "weight": PIECES, "saved": WINNERS}),
}
AFFINE = ("dense", "dense_forward", "dense_backward", "maxout", "maxout_forward", "maxout_backward")
"""Functions of x and weight."""
BIASED = ("dense", "dense_forward", "maxout", "maxout_forward")
DENSE = ("dense", "dense_forward", "dense_backward")
MAXOUT = ("maxout", "maxout_forward", "maxout_backward")
BACKWARD = ("dense_backward", "maxout_backward")
OUT = ("dense", "maxout")

# functions, arguments, error, what the message says: the argument, what was expected, what came
TABLE = [
    (AFFINE, {"x": np.ones((4, 2), F32)}, ValueError, "x", "(..., 3)", "(4, 2)"),
    (AFFINE, {"x": np.ones((3, 4), F32)}, ValueError, "x", "(..., 3)", "(3, 4)"),
    (AFFINE, {"x": np.ones(4, F32)}, ValueError, "x", "(..., 3)", "(4,)"),
    (AFFINE, {"x": np.array(1.0, F32)}, ValueError, "x", "(..., 3)", "()"),
    (AFFINE, {"x": 1.0}, ValueError, "x", "(..., 3)", "()"),
    (AFFINE, {"x": X.astype(object)}, TypeError, "x", "real", "object"),
    (AFFINE, {"x": X.astype(complex)}, TypeError, "x", "real", "complex128"),
    (AFFINE, {"x": np.full((4, 3), "1")}, TypeError, "x", "real", "<U1"),
    (AFFINE, {"x": np.zeros((4, 3), "datetime64[s]")}, TypeError, "x", "real", "datetime64"),
    (AFFINE, {"x": np.zeros((4, 3), [("a", F32)])}, TypeError, "x", "real", "'a'"),
    (AFFINE, {"x": None}, TypeError, "x", "real", "object"),
    (AFFINE, {"weight": PIECES.astype(complex)}, TypeError, "weight", "real", "complex128"),
    (AFFINE, {"weight": np.ones(3, F32)}, ValueError, "weight", "I, O)", "(3,)"),
    (AFFINE, {"weight": np.array(2.0)}, ValueError, "weight", "I, O)", "()"),
    (AFFINE, {"weight": np.ones((1, 1, 3, 5), F32)}, ValueError, "weight", "I, O)", "(1, 1, 3, 5)"),
    (DENSE, {"weight": PIECES}, ValueError, "weight", "(I, O)", "(2, 3, 5)"),
    (MAXOUT, {"weight": W}, ValueError, "weight", "(P, I, O)", "(3, 5)"),
    (MAXOUT, {"weight": PIECES[:0], "bias": PIECE_BIASES[:0]}, ValueError, "weight", "piece", "(0, 3, 5)"),
    (("dense", "dense_forward"), {"bias": np.ones(4, F32)}, ValueError, "bias", "(5,)", "(4,)"),
    (("dense", "dense_forward"), {"bias": np.ones((4, 5), F32)}, ValueError, "bias", "(5,)", "(4, 5)"),
    (("dense", "dense_forward"), {"bias": 1.0}, ValueError, "bias", "(5,)", "()"),
    (("maxout", "maxout_forward"), {"bias": B}, ValueError, "bias", "(2, 5)", "(5,)"),
    (("maxout", "maxout_forward"), {"bias": np.ones((5, 2), F32)}, ValueError, "bias", "(2, 5)", "(5, 2)"),
    (BIASED, {"bias": np.full(5, "b")}, TypeError, "bias", "real", "<U1"),
    (DENSE, {"activation": "rellu"}, ValueError, "activation", "relu", "'rellu'"),
    (DENSE, {"activation": ""}, ValueError, "activation", "relu", "''"),
    (DENSE, {"activation": 3}, TypeError, "activation", "name", "3"),
    (DENSE, {"activation": 3}, TypeError, "activation", "name", "3"),
    (DENSE, {"activation": fnn.PReLU([0.1, 0.2, 0.3])}, ValueError, "prelu", "5", "3"),
    (DENSE, {"activation": fnn.ELU([0.1] * 6, learn=True)}, ValueError, "elu", "5", "6"),
    (("dense_forward", "dense_backward"), {"activation": "step"}, ValueError, "step", "not differentiable", ""),
    (("dense_forward", "dense_backward"), {"activation": fnn.Sign()}, ValueError, "sign", "not differentiable", ""),
    (BACKWARD, {"dy": np.ones((4, 4), F32)}, ValueError, "dy", "(4, 5)", "(4, 4)"),
    (BACKWARD, {"dy": np.ones(5, F32)}, ValueError, "dy", "(4, 5)", "(5,)"),
    (BACKWARD, {"dy": DY.astype(complex)}, TypeError, "dy", "real", "complex128"),
    (BACKWARD, {"saved": SAVED[:3]}, ValueError, "saved", "(4, 5)", "(3, 5)"),
    (BACKWARD, {"saved": DY.astype(object)}, TypeError, "saved", "", "object"),
    (("maxout_backward",), {"saved": SAVED}, TypeError, "saved", "uint8", "float32"),
    (("maxout_backward",), {"saved": np.full((4, 5), 2, np.uint8)}, ValueError, "saved", "1", "2"),
    (("maxout_forward",), {"weight": np.ones((257, 3, 5)), "bias": None}, ValueError, "weight", "256 pieces", "257"),
    (OUT, {"out": np.zeros((4, 4), F32)}, ValueError, "out", "(4, 5)", "(4, 4)"),
    (OUT, {"out": np.zeros((5,), F32)}, ValueError, "out", "(4, 5)", "(5,)"),
    (OUT, {"out": np.zeros((4, 5))}, TypeError, "out", "float32", "float64"),
    (OUT, {"out": np.zeros((4, 5), np.int32)}, TypeError, "out", "float32", "int32"),
    (OUT, {"out": [[0.0] * 5] * 4}, TypeError, "out", "array", "list"),
    (OUT, {"out": read_only(np.zeros((4, 5), F32))}, ValueError, "out", "writ", "read-only"),
]
ROWS = [
    pytest.param(function, *row[1:], id=f"{function}-{'-'.join(row[1])}-{number}")
    for number, row in enumerate(TABLE)
    for function in row[0]
]


def copies(arguments):
    return {name: value.copy() for name, value in arguments.items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize(("function", "replaced", "error", "who", "expected", "got"), ROWS)
def test_bad_input(backend, function, replaced, error, who, expected, got):
    if backend.name == "cuda" and not all(map(goes_to_a_gpu, replaced.values())):
        pytest.skip("CuPy has no such array")
    if backend.name == "cuda" and function == "maxout_backward" and expected == "1":
        pytest.skip("a GPU's arrays are not looked into")
    call, good = FUNCTIONS[function]
    call(**there(backend, good))  # or the row would prove nothing
    arguments = {**good, **{k: v for k, v in replaced.items() if k in good or k == "out"}}
    given, before = there(backend, arguments), copies(arguments)
    with pytest.raises(error) as caught:
        call(**given)
    assert type(caught.value) is error
    assert re.search(".*".join(map(re.escape, (who, expected, got))), str(caught.value)), str(caught.value)
    for name, value in before.items():
        np.testing.assert_array_equal(backend.host(given[name]), value)


def goes_to_a_gpu(value):
    return not isinstance(value, np.ndarray) or (value.dtype.kind in "biufc" and value.flags.writeable)


def there(backend, arguments):
    """The arrays on the device."""
    return {k: backend.array(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


@pytest.mark.parametrize("function", OUT)
@pytest.mark.parametrize("which", ["x", "weight", "bias"])
def test_out_that_overlaps_an_operand(function, which):
    """The whole of it, or a single element."""
    call = getattr(fnn, function)
    memory = np.arange(40, dtype=F32)
    shape = {"x": (3, 3), "weight": (3, 3), "bias": (3,)}[which]
    if function == "maxout" and which != "x":
        shape = (1, *shape)
    operands = {
        "x": SQUARE.copy(),
        "weight": SQUARE.copy() if function == "dense" else SQUARE[None].copy(),
        "bias": np.ones(3, F32) if function == "dense" else np.ones((1, 3), F32),
    }
    size = int(np.prod(shape))
    for first in (0, size - 1):
        operands[which] = memory[:size].reshape(shape)
        out = memory[first : first + 9].reshape(3, 3)
        kept = memory.copy()
        with pytest.raises(ValueError, match=rf"out.*expected.*got.*overlaps {which}"):
            call(**operands, out=out)
        np.testing.assert_array_equal(memory, kept)
    out = memory[size : size + 9].reshape(3, 3)
    assert call(**operands, out=out) is out


@pytest.mark.parametrize("disguise", [memoryview, Convertible])
@pytest.mark.parametrize("function", OUT)
@pytest.mark.parametrize("which", ["x", "weight", "bias"])
def test_out_that_overlaps_an_operand_in_disguise(function, which, disguise):
    call, good = FUNCTIONS[function]
    memory = np.ones(64, F32)
    shape = good[which].shape
    operand = memory[: int(np.prod(shape))].reshape(shape)
    out = memory[operand.size - 1 : operand.size + 19].reshape(4, 5)
    with pytest.raises(ValueError, match=rf"out.*expected.*got.*overlaps {which}"):
        call(**{**good, which: disguise(operand)}, out=out)
    assert (memory == 1).all()
    call(**{**good, which: disguise(operand)}, out=memory[-20:].reshape(4, 5))


@pytest.mark.parametrize("disguise", [memoryview, Convertible])
def test_an_activation_into_its_input_in_disguise(disguise):
    memory = np.arange(10, dtype=F32)
    with pytest.raises(ValueError, match=r"out.*expected.*got.*overlaps z"):
        fnn.Tanh()(disguise(memory[:8]), out=memory[2:])
    assert memory.tolist() == list(range(10))
    expected = np.tanh(memory)
    assert fnn.Tanh()(disguise(memory), out=memory) is memory
    np.testing.assert_allclose(memory, expected, rtol=1e-6)


CONSTRUCTORS = [
    (lambda: fnn.LeakyReLU(alpha=-0.1), ValueError, "alpha.*-0.1"),
    (lambda: fnn.LeakyReLU(alpha=np.nan), ValueError, "alpha.*nan"),
    (lambda: fnn.LeakyReLU(alpha="0.1"), TypeError, "alpha.*'0.1'"),
    (lambda: fnn.LeakyReLU(alpha=[0.1, 0.2]), TypeError, "alpha"),
    (lambda: fnn.ELU(alpha=0.0), ValueError, "alpha.*0"),
    (lambda: fnn.ELU(alpha=-1.0), ValueError, "alpha.*-1"),
    (lambda: fnn.ELU(alpha=np.inf), ValueError, "alpha.*inf"),
    (lambda: fnn.PReLU(alpha=[[0.1], [0.2]]), ValueError, "alpha"),
    (lambda: fnn.PReLU(alpha=[]), ValueError, "alpha"),
    (lambda: fnn.PReLU(alpha=[0.1, np.nan]), ValueError, "alpha.*nan"),
    (lambda: fnn.PReLU(alpha=1j), TypeError, "alpha.*complex"),
    (lambda: fnn.PReLU(alpha=10**400), ValueError, "alpha.*1000"),
    (lambda: fnn.LeakyReLU(alpha=10**400), ValueError, "alpha.*1000"),
    (lambda: fnn.Swish(beta=np.inf), ValueError, "beta.*inf"),
    (lambda: fnn.Swish(beta=np.nan), ValueError, "beta.*nan"),
    (lambda: fnn.Swish(beta=None), TypeError, "beta.*None"),
    (lambda: fnn.GELU(approximate="erf"), ValueError, "approximate.*none.*tanh.*'erf'"),
    (lambda: fnn.activations.get("rellu"), ValueError, "activation.*relu.*'rellu'"),
    (lambda: fnn.activations.get(3.0), TypeError, "activation.*name.*3.0"),
    (lambda: fnn.Step().derivative([1.0]), ValueError, "step is not differentiable"),
    (lambda: fnn.Softmax().derivative([[1.0]]), ValueError, "softmax has no elementwise derivative"),
    (lambda: fnn.Softmax()(1.0), ValueError, r"z.*\(\.\.\., O\).*\(\)"),
    (lambda: fnn.Tanh()(np.ones(3, complex)), TypeError, "z.*real.*complex"),
    (lambda: fnn.Tanh()(["a"]), TypeError, "z.*real"),
    (lambda: fnn.Tanh()(None), TypeError, "z.*real.*object"),
    (lambda: fnn.PReLU([0.1, 0.2])(np.ones((4, 3))), ValueError, "alpha.*3.*2"),
    (lambda: fnn.Tanh()(np.ones(3), out=np.ones(4)), ValueError, r"out.*\(3,\).*\(4,\)"),
    (lambda: fnn.Tanh()(np.ones(3), out=np.ones(3, F32)), TypeError, "out.*float64.*float32"),
    (lambda: fnn.Tanh()(np.ones(3, F32), out=read_only(np.zeros(3, F32))), ValueError, "out.*read-only"),
    (lambda: fnn.set_num_threads(0), ValueError, "0"),
    (lambda: fnn.set_num_threads(-2), ValueError, "-2"),
    (lambda: fnn.set_num_threads(1.5), TypeError, "1.5"),
    (lambda: fnn.set_num_threads(1025), ValueError, "n: expected an integer <= 1024, got 1025"),
    (lambda: fnn.set_num_threads(2**40), ValueError, "n: expected an integer <= 1024, got 1099511627776"),
    (lambda: fnn.Swish(1e39)(np.ones(3, F32)), ValueError, r"swish: .* float32's range, got 1e\+39"),
    (lambda: fnn.Swish(1e39).derivative(np.ones(3, F32)), ValueError, "swish: .* float32's range"),
    (lambda: fnn.PReLU([1, 1e39, 1])(np.ones(3, F32)), ValueError, "prelu: .* float32's range"),
    (lambda: fnn.dense(X, W, B, fnn.ELU(1e39)), ValueError, "elu: .* float32's range"),
    (lambda: fnn.dense_forward(X, W, B, fnn.ELU(1e39)), ValueError, "elu: .* float32's range"),
    (lambda: fnn.dense_backward(DY, X, W, SAVED, fnn.LeakyReLU(1e39)), ValueError, "leaky_relu: .* float32's range"),
]


@pytest.mark.parametrize(("call", "error", "message"), CONSTRUCTORS)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_activation_into_memory_that_overlaps_its_input():
    """In place is allowed, shifted is not."""
    memory = np.arange(10, dtype=F32)
    with pytest.raises(ValueError, match=r"out.*expected.*got.*overlaps z"):
        fnn.Tanh()(memory[:8], out=memory[2:])
    assert memory.tolist() == list(range(10))
    with pytest.raises(ValueError, match=r"out.*expected.*got.*overlaps z"):
        fnn.Tanh()(memory, out=memory[::-1])
    assert fnn.ReLU()(memory, out=memory) is memory
