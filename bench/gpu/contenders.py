"""Those that are timed: fnnfast, and the same work by cuBLASLt and PyTorch (``torch_ways``) and CuPy.

A contender may have several ways; the fastest that is right takes part. Everything that can be prepared is prepared
before the clock starts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import problems
from data import LEARNING_RATE, Data
from problems import Case

Array = Any


@dataclass(frozen=True)
class Way:
    """One way of a contender.

    Attributes
    ----------
    contender, name
        Whose it is, and how it does it.
    call
        Takes input number i; the arrays of its answer.
    manner
        How it is captured: by CuPy, by PyTorch, or not at all.
    bare
        It does the products and biases alone.
    sequence
        A training step: what it answers depends on the steps before.
    """

    contender: str
    name: str
    call: Callable[[int], list[Array]]
    manner: Literal["cupy graph", "torch graph", "loop"]
    bare: bool = False
    sequence: bool = False


def ours(place: Any, data: Data) -> Iterator[Way]:
    """fnnfast, called as a user would, on CuPy's arrays and stream, captured by CuPy."""
    fnn: Any = import_module("fnnfast")
    case = data.case
    xs = [place.array(x) for x in data.x]
    if case.kind in ("dense", "maxout", "dense_backward"):
        layer = _our_layer(fnn, place, data, xs)

        def in_tf32(i: int) -> list[Array]:
            with fnn.tf32():
                return layer(i)

        call = in_tf32 if case.precision == "tf32" else layer
        yield Way(problems.OURS, f"fnnfast.{case.kind}", call, "cupy graph")
        return
    net = our_network(fnn, place, data)
    if case.kind == "network":
        outs = [place.array(_output(data)) for _ in xs]
        yield Way(problems.OURS, "net(x, out=)", lambda i: [net(xs[i], out=outs[i])], "cupy graph")
        return
    labels = [place.array(label) for label in data.labels]
    trainer = fnn.Trainer(net, loss=fnn.CrossEntropy(), optimizer=fnn.Adam(LEARNING_RATE))
    if case.kind == "gradients":

        def gradients(i: int) -> list[Array]:
            return list(trainer.gradients(xs[i], labels[i]).values())

        yield Way(problems.OURS, "trainer.gradients", gradients, "cupy graph")
    else:
        yield Way(
            problems.OURS, "trainer.step", lambda i: [trainer.step(xs[i], labels[i])], "cupy graph", sequence=True
        )


def _our_layer(fnn: Any, place: Any, data: Data, xs: list[Array]) -> Callable[[int], list[Array]]:
    weight, bias, act = place.array(data.weights[0]), place.array(data.biases[0]), data.case.activation
    if data.case.kind == "dense_backward":
        saved = [fnn.dense_forward(x, weight, bias, act)[1] for x in xs]
        dys = [place.array(dy) for dy in data.dy]
        return lambda i: list(fnn.dense_backward(dys[i], xs[i], weight, saved[i], act)[:3])
    outs = [place.array(_output(data)) for _ in xs]
    if data.case.kind == "maxout":
        return lambda i: [fnn.maxout(xs[i], weight, bias, out=outs[i])]
    return lambda i: [fnn.dense(xs[i], weight, bias, act, out=outs[i])]


def our_network(fnn: Any, place: Any, data: Data) -> Any:
    """The case's network with its parameters. The head of one that is trained is a softmax, which the loss takes in."""
    case = data.case
    trained = case.kind in ("gradients", "step")
    acts = (*case.activations[:-1], "softmax") if trained else case.activations
    units = zip(case.widths[1:], acts, strict=True)
    layers = [fnn.Input(case.widths[0]), *(fnn.Dense(width, act) for width, act in units)]
    where = {} if place.device == "cpu" else {"device": place.device}
    net = fnn.Sequential(layers, dtype=case.precision, seed=0, **where)
    values = [value for pair in zip(data.weights, data.biases, strict=True) for value in pair]
    for name, value in zip(net.parameters, values, strict=True):
        net.parameters[name] = place.array(value)
    return net


def _output(data: Data) -> Any:
    """Memory for an answer of (B, O); NaN, so that what is not written is seen."""
    x, case = data.x[0], data.case
    return data.torch.full((case.batch, case.widths[-1]), float("nan"), dtype=x.dtype, device=x.device)


def cupy_ways(place: Any, data: Data) -> Iterator[Way]:
    """CuPy's product, then NumPy's functions on its result. Its products cannot be captured, and are not in TF32."""
    xp, case = place.xp, data.case
    if case.precision == "tf32":
        return
    xs = [place.array(x) for x in data.x]
    weights, biases = ([place.array(a) for a in arrays] for arrays in (data.weights, data.biases))

    def layers(i: int) -> list[Array]:
        z = xs[i]
        for weight, bias, act in zip(weights, biases, case.activations, strict=True):
            z = xp.matmul(z, weight)
            z += bias
            z = _elementwise(xp, act, z)
        return [z]

    def maxout(i: int) -> list[Array]:
        z = xp.matmul(xs[i], weights[0])
        z += biases[0][:, None]
        return [z.max(0)]

    if case.kind in ("dense", "network"):
        yield Way(problems.CUPY, "matmul and functions", layers, "loop")
    elif case.kind == "maxout":
        yield Way(problems.CUPY, "matmul and max", maxout, "loop")


def _elementwise(xp: Any, name: str, z: Array) -> Array:
    match name:
        case "relu":
            return xp.maximum(z, 0, out=z)
        case "swish":
            return z / (1 + xp.exp(-z))
        case "gelu":
            from cupyx.scipy.special import erf

            return 0.5 * z * (1 + erf(z * 2**-0.5))
    return z


@contextlib.contextmanager
def no_gradients(torch: Any, case: Case) -> Iterator[None]:
    """Inference is not slowed down by what PyTorch keeps for a backward pass."""
    if case.kind in ("gradients", "step"):
        yield
    else:
        with torch.no_grad():
            yield
