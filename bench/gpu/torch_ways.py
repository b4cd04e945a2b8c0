"""The work in PyTorch: the bare products (cuBLASLt's, with its bias epilogue), eager, and through torch.compile.

``torch.addmm`` with a bias of one dimension, and ``linear``, are one cuBLASLt call; which layout of the weights is
faster is left to the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import problems
from contenders import Way
from data import LEARNING_RATE, Data, activate

Function = Callable[..., Any]
MODE = "max-autotune-no-cudagraphs"
"""As max-autotune, and captured here like every other contender: its own graphs would copy each input in first."""


def ways(data: Data) -> Iterator[Way]:
    """All but the compiled ones."""
    match data.case.kind:
        case "dense" | "network":
            yield from _forward(data)
        case "maxout":
            yield from _maxout(data)
        case "dense_backward":
            yield from _backward(data)
        case _:
            yield from _training(data)


def compiled_ways(data: Data) -> Iterator[Way]:
    """Through torch.compile; each is compiled when it is first called."""
    torch = data.torch
    torch._dynamo.reset()  # a case starts without what another has compiled

    def compiled(function: Function) -> Function:
        result: Function = torch.compile(function, mode=MODE, fullgraph=True, dynamic=False)
        return result

    name = "max-autotune"
    match data.case.kind:
        case "dense" | "network":
            yield _captured(
                problems.COMPILED, name, _call(data, compiled(_linear(data.torch, data.case.activations)), across(data))
            )
        case "maxout":
            weight, bias = pieces_outside(data)
            function = compiled(_maximum_outside(data.torch, data.case.pieces))
            yield _captured(problems.COMPILED, name, lambda i: [function(data.x[i], weight, bias)])
        case "dense_backward":
            function = compiled(_layer_gradients(data.torch, data.case.activation))
            yield _captured(problems.COMPILED, name, _backward_call(data, function))
        case _:
            yield from _training(data, compiled)


def _captured(contender: str, name: str, call: Callable[[int], list[Any]], **more: bool) -> Way:
    return Way(contender, name, call, "torch graph", **more)


def across(data: Data) -> list[Any]:
    """Weights (O, I) as nn.Linear keeps them, and biases, in turn."""
    return [p for w, b in zip(data.weights, data.biases, strict=True) for p in (w.T.contiguous(), b)]


def along(data: Data) -> list[Any]:
    """Weights (I, O), and biases, in turn."""
    return [p for pair in zip(data.weights, data.biases, strict=True) for p in pair]


def _call(data: Data, function: Function, parameters: list[Any]) -> Callable[[int], list[Any]]:
    return lambda i: [function(data.x[i], *parameters)]


# Forward -------------------------------------------------------------------------------------------------------------
# Functions of tensors alone, as torch.compile likes them: x, then weight and bias of each layer in turn.
def _linear(torch: Any, acts: tuple[str, ...]) -> Function:
    linear = torch.nn.functional.linear

    def network(x: Any, *parameters: Any) -> Any:
        for weight, bias, act in zip(parameters[::2], parameters[1::2], acts, strict=True):
            x = activate(torch, act, linear(x, weight, bias))
        return x

    return network


def _addmm(torch: Any, acts: tuple[str, ...]) -> Function:
    def network(x: Any, *parameters: Any) -> Any:
        for weight, bias, act in zip(parameters[::2], parameters[1::2], acts, strict=True):
            x = activate(torch, act, torch.addmm(bias, x, weight))
        return x

    return network


def _epilogue(torch: Any, acts: tuple[str, ...]) -> Function:
    """relu, or gelu's approximation by tanh, in cuBLASLt's epilogue."""

    def network(x: Any, *parameters: Any) -> Any:
        for weight, bias, act in zip(parameters[::2], parameters[1::2], acts, strict=True):
            if act == "identity":
                x = torch.addmm(bias, x, weight)
            else:
                x = torch._addmm_activation(bias, x, weight, use_gelu=act == "gelu")
        return x

    return network


def _forward(data: Data) -> Iterator[Way]:
    torch, case = data.torch, data.case
    if case.kind == "dense":
        weight, bias = along(data)
        turned = across(data)[0]
        yield _captured(problems.PRODUCT, "addmm", lambda i: [torch.addmm(bias, data.x[i], weight)], bare=True)
        linear = torch.nn.functional.linear
        yield _captured(problems.PRODUCT, "linear", lambda i: [linear(data.x[i], turned, bias)], bare=True)
    for name, function, parameters in (
        ("linear", _linear, across(data)),
        ("addmm", _addmm, along(data)),
        ("epilogue", _epilogue, along(data)),
    ):
        if name == "epilogue" and case.activation not in ("relu", "gelu"):
            continue
        call = _call(data, function(torch, case.activations), parameters)
        yield _captured(problems.TORCH, name, call)
        if case.kind == "network":
            yield Way(problems.LOOP, name, call, "loop")


# Maxout --------------------------------------------------------------------------------------------------------------
def pieces_outside(data: Data) -> tuple[Any, Any]:
    """(P O, I) and (P O,): the pieces one after the other."""
    weight = data.weights[0]
    return weight.transpose(1, 2).reshape(-1, weight.shape[1]).contiguous(), data.biases[0].reshape(-1)


def _pieces_inside(data: Data) -> tuple[Any, Any]:
    """(O P, I) and (O P,): the pieces of a unit beside each other."""
    weight = data.weights[0]
    return weight.permute(2, 0, 1).reshape(-1, weight.shape[1]).contiguous(), data.biases[0].T.reshape(-1)


def _maximum_outside(torch: Any, pieces: int) -> Function:
    def maxout(x: Any, weight: Any, bias: Any) -> Any:
        return torch.nn.functional.linear(x, weight, bias).view(len(x), pieces, -1).amax(1)

    return maxout


def _maxout(data: Data) -> Iterator[Way]:
    linear, pieces = data.torch.nn.functional.linear, data.case.pieces
    outside, inside = pieces_outside(data), _pieces_inside(data)
    across_pieces = [w.T.contiguous() for w in data.weights[0]]

    def pieces_inside(i: int) -> list[Any]:
        return [linear(data.x[i], *inside).view(len(data.x[i]), -1, pieces).amax(2)]

    def a_layer_each(i: int) -> list[Any]:
        y = linear(data.x[i], across_pieces[0], data.biases[0][0])
        for weight, bias in zip(across_pieces[1:], data.biases[0][1:], strict=True):
            y = data.torch.maximum(y, linear(data.x[i], weight, bias))
        return [y]

    yield _captured(problems.PRODUCT, "linear", lambda i: [linear(data.x[i], *outside)], bare=True)
    maximum = _maximum_outside(data.torch, pieces)
    yield _captured(problems.TORCH, "pieces outside", lambda i: [maximum(data.x[i], *outside)])
    yield _captured(problems.TORCH, "pieces inside", pieces_inside)
    yield _captured(problems.TORCH, "a layer each", a_layer_each)


# Backward ------------------------------------------------------------------------------------------------------------
def _layer_gradients(torch: Any, act: str) -> Function:
    """What autograd would do, without its bookkeeping; weight is (I, O)."""
    aten = torch.ops.aten

    def gradients(dy: Any, x: Any, weight: Any, z: Any) -> list[Any]:
        if act == "gelu":
            dy = aten.gelu_backward(dy, z)
        elif act == "swish":
            dy = aten.silu_backward(dy, z)
        elif act == "relu":
            dy = aten.threshold_backward(dy, z, 0)
        return [dy @ weight.T, x.T @ dy, dy.sum(0)]

    return gradients


def _backward_call(data: Data, function: Function) -> Callable[[int], list[Any]]:
    weight, bias = along(data)
    z = [data.torch.addmm(bias, x, weight) for x in data.x]
    return lambda i: list(function(data.dy[i], data.x[i], weight, z[i]))


def _backward(data: Data) -> Iterator[Way]:
    weight = data.weights[0]

    def products(i: int) -> list[Any]:
        return [data.dy[i] @ weight.T, data.x[i].T @ data.dy[i]]

    yield _captured(problems.PRODUCT, "two products", products, bare=True)
    yield _captured(problems.TORCH, "eager", _backward_call(data, _layer_gradients(data.torch, data.case.activation)))


# Training ------------------------------------------------------------------------------------------------------------
def _training(data: Data, compiled: Callable[[Function], Function] | None = None) -> Iterator[Way]:
    torch = data.torch
    parameters = [p.clone().requires_grad_() for p in across(data)]
    contender = problems.COMPILED if compiled else problems.TORCH

    network = _linear(torch, data.case.activations)

    def loss_of(x: Any, labels: Any, *parameters: Any) -> Any:
        return torch.nn.functional.cross_entropy(network(x, *parameters), labels)

    forward = compiled(loss_of) if compiled else loss_of
    name = "max-autotune" if compiled else "eager"
    if data.case.kind == "gradients":

        def gradients(i: int) -> list[Any]:
            found = torch.autograd.grad(forward(data.x[i], data.labels[i], *parameters), parameters)
            return [g.T if g.ndim == 2 else g for g in found]

        yield _captured(contender, name, gradients)
        return
    on_gpu = data.x[0].is_cuda
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True, capturable=on_gpu)

    def step(i: int) -> list[Any]:
        optimizer.zero_grad(set_to_none=True)
        loss = forward(data.x[i], data.labels[i], *parameters)
        loss.backward()
        optimizer.step()
        return [loss.detach()]

    yield _captured(contender, f"{name}, fused Adam", step, sequence=True)
