"""PyTorch, eager and compiled. Tensors share memory with the problem's arrays and are made before the clock starts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import reduce
from importlib import import_module
from typing import Any

import numpy as np

from ..problems import LEARNING_RATE, Problem
from .base import Array, Peer, Variant, expression, training

_modes = contextlib.ExitStack()


def _stop_gradients(torch: Any) -> None:
    """For the life of this process, where nothing needs a gradient; a mode ends with its last reference."""
    _modes.enter_context(torch.inference_mode())


class Torch(Peer):
    name = "torch"
    requires = ("torch",)

    def supports(self, problem: Problem) -> bool:
        return True

    def variants(self, problem: Problem, threads: int) -> Iterator[Variant]:
        torch: Any = import_module("torch")
        torch.set_num_threads(threads)
        match problem.kind:
            case "network" if problem.precision == "int8":
                yield from self._quantized(torch, problem)
            case "network":
                yield from self._networks(torch, problem)
            case "training":
                yield self._training(torch, problem)
            case _:
                yield from self._maxouts(torch, problem)

    def wrap(self, torch: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        """What is done to the function under test; nothing, in eager mode."""
        return function

    def _networks(self, torch: Any, problem: Problem) -> Iterator[Variant]:
        functional: Any = import_module("torch.nn.functional")
        dtype = getattr(torch, problem.precision)  # of inputs and outputs too: no conversion is under the clock
        x = torch.from_numpy(problem.x).to(dtype)
        biases = [torch.from_numpy(bias).to(dtype) for _, bias in problem.layers]
        # (O, I), as nn.Linear keeps it
        across = [torch.from_numpy(weight.T.copy()).to(dtype) for weight, _ in problem.layers]
        along = [torch.from_numpy(weight).to(dtype) for weight, _ in problem.layers]
        acts = [_activation(torch, name) for name in problem.activations]

        def linear(h: Any) -> Any:
            for weight, bias, act in zip(across, biases, acts, strict=True):
                h = act(functional.linear(h, weight, bias))
            return h

        def addmm(h: Any) -> Any:
            for weight, bias, act in zip(along, biases, acts, strict=True):
                h = act(torch.addmm(bias, h, weight))
            return h

        _stop_gradients(torch)
        for function in (linear, addmm):
            yield _forward(function.__name__, self.wrap(torch, function), x)

    def _quantized(self, torch: Any, problem: Problem) -> Iterator[Variant]:
        """Dynamic quantisation: the scales of inputs are found anew in every call, in every layer."""
        quantization: Any = import_module("torch.ao.quantization")
        modules: list[Any] = []
        for (weight, bias), name in zip(problem.layers, problem.activations, strict=True):
            linear = torch.nn.Linear(*weight.shape)
            linear.load_state_dict({"weight": torch.from_numpy(weight.T.copy()), "bias": torch.from_numpy(bias)})
            modules.append(linear)
            if name != "identity":
                modules.append(_module(torch, name))
        model = torch.nn.Sequential(*modules).eval()
        x = torch.from_numpy(problem.x)
        _stop_gradients(torch)
        for name in ("x86", "onednn"):
            if name in torch.backends.quantized.supported_engines:
                torch.backends.quantized.engine = name
                configuration = {torch.nn.Linear: quantization.per_channel_dynamic_qconfig}
                quantized = quantization.quantize_dynamic(model, configuration)
                yield _forward(f"quantize_dynamic, {name}", self.wrap(torch, quantized), x)

    def _training(self, torch: Any, problem: Problem) -> Variant:
        functional: Any = import_module("torch.nn.functional")
        weights = [torch.from_numpy(weight.T.copy()).requires_grad_() for weight, _ in problem.layers]
        biases = [torch.from_numpy(bias.copy()).requires_grad_() for _, bias in problem.layers]
        optimizer = torch.optim.Adam([*weights, *biases], lr=LEARNING_RATE, fused=True)
        # The head's softmax is in cross_entropy.
        acts = [_activation(torch, name) for name in (*problem.activations[:-1], "identity")]

        def loss_of(h: Any, labels: Any) -> Any:
            for weight, bias, act in zip(weights, biases, acts, strict=True):
                h = act(functional.linear(h, weight, bias))
            return functional.cross_entropy(h, labels)

        forward = self.wrap(torch, loss_of)

        def step(x: Any, labels: Any) -> Any:
            optimizer.zero_grad(set_to_none=True)
            loss = forward(x, labels)
            loss.backward()
            optimizer.step()
            return loss

        batches = [(torch.from_numpy(x), torch.from_numpy(labels)) for x, labels in problem.batches]
        return training("fused Adam", step, batches)

    def _maxouts(self, torch: Any, problem: Problem) -> Iterator[Variant]:
        functional: Any = import_module("torch.nn.functional")
        pieces, inputs, units = problem.layers[0][0].shape

        def pieces_outside(x: Any, weight: Any, bias: Any) -> Any:
            z = functional.linear(x, weight, bias).view(-1, pieces, units)
            return z.max(1).values if problem.trains else z.amax(1)

        def pieces_inside(x: Any, weight: Any, bias: Any) -> Any:
            z = functional.linear(x, weight, bias).view(-1, units, pieces)
            return z.max(2).values if problem.trains else z.amax(2)

        def layer_per_piece(x: Any, weight: Any, bias: Any) -> Any:
            return reduce(torch.maximum, map(functional.linear, [x] * pieces, weight, bias))

        if not problem.trains:
            _stop_gradients(torch)
        for function in (pieces_outside, pieces_inside, layer_per_piece):
            weight, bias = problem.layers[0]
            if function is pieces_inside:
                weight, bias = weight.transpose(2, 0, 1), bias.T
            else:
                weight = weight.transpose(0, 2, 1)
            if function is not layer_per_piece:
                weight, bias = weight.reshape(-1, inputs), bias.reshape(-1)
            space = {
                "call": self.wrap(torch, function),
                "x": torch.from_numpy(problem.x),
                "weight": torch.from_numpy(np.ascontiguousarray(weight)),
                "bias": torch.from_numpy(np.ascontiguousarray(bias)),
            }
            if problem.trains:
                yield _maxout_training(torch, function.__name__, space, problem)
            else:
                yield expression(function.__name__, "call(x, weight, bias)", space)


def _maxout_training(torch: Any, name: str, space: dict[str, Any], problem: Problem) -> Variant:
    pieces, inputs, units = problem.layers[0][0].shape
    leaves = [space[key].requires_grad_() for key in ("x", "weight", "bias")]
    dy = torch.from_numpy(problem.dy)
    inside = name == "pieces_inside"

    def answers() -> list[Array]:
        y = space["call"](*leaves)
        dx, dweight, dbias = (g.numpy() for g in torch.autograd.grad(y, leaves, dy))
        if inside:
            dweight = dweight.reshape(units, pieces, inputs).transpose(1, 2, 0)
            dbias = dbias.reshape(units, pieces).T
        else:
            dweight = dweight.reshape(pieces, units, inputs).transpose(0, 2, 1)
            dbias = dbias.reshape(pieces, units)
        return [y.detach().numpy(), dx, dweight, dbias]

    code = "grad(call(x, weight, bias), (x, weight, bias), dy)"
    return Variant(name, code, {**space, "dy": dy, "grad": torch.autograd.grad}, answers)


def _forward(name: str, call: Callable[[Any], Any], x: Any) -> Variant:
    """NumPy has no bfloat16: outside the clock the answer goes through float32."""
    return Variant(name, "call(x)", {"call": call, "x": x}, lambda: [call(x).float().numpy()])


def _module(torch: Any, name: str) -> Any:
    """The activation as a module: what quantize_dynamic walks over."""
    table: dict[str, Callable[[], Any]] = {
        "relu": lambda: torch.nn.ReLU(inplace=True),
        "tanh": torch.nn.Tanh,
        "swish": lambda: torch.nn.SiLU(inplace=True),
        "gelu": torch.nn.GELU,
    }
    return table[name]()


def _activation(torch: Any, name: str) -> Callable[[Any], Any]:
    functional: Any = import_module("torch.nn.functional")
    table: dict[str, Callable[[Any], Any]] = {
        "identity": lambda h: h,
        "relu": torch.relu_,
        "tanh": torch.tanh_,
        "swish": lambda h: functional.silu(h, inplace=True),
        "gelu": functional.gelu,
    }
    return table[name]


class TorchCompiled(Torch):
    """The same functions through torch.compile; it needs a C++ compiler and most of a minute a problem."""

    name = "torch.compile"
    opt_in = True

    def wrap(self, torch: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = torch.compile(function, fullgraph=True, dynamic=False)
        return compiled
