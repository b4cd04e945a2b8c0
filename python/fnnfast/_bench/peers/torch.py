"""PyTorch, eager and compiled. Tensors share memory with the problem's arrays and are made before the clock starts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from importlib import import_module
from typing import Any

import numpy as np

from ..networks import Dense, dense, folded, headed
from ..problems import LEARNING_RATE, Problem
from .base import Array, Peer, Variant, as_rows, channels_first, expression, training
from .torch_modules import activation, module

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
            case "network" if problem.on_images:
                yield from self._images(torch, problem)
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
        biases = [torch.from_numpy(layer.bias).to(dtype) for layer in dense(problem.layers)]
        # (O, I), as nn.Linear keeps it
        across = [torch.from_numpy(layer.weight.T.copy()).to(dtype) for layer in dense(problem.layers)]
        along = [torch.from_numpy(layer.weight).to(dtype) for layer in dense(problem.layers)]
        acts = [activation(torch, layer.activation) for layer in dense(problem.layers)]

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

    def _images(self, torch: Any, problem: Problem) -> Iterator[Variant]:
        x = torch.from_numpy(channels_first(problem.x))
        layers = folded(problem.layers)
        _stop_gradients(torch)
        for name in ("channels_last", "contiguous_format"):
            order = {"memory_format": getattr(torch, name)}
            model = module(torch, layers).eval().to(**order)
            yield _forward(name, self.wrap(torch, model), x.to(**order))

    def _quantized(self, torch: Any, problem: Problem) -> Iterator[Variant]:
        """Dynamic quantisation: the scales of inputs are found anew in every call, in every layer."""
        quantization: Any = import_module("torch.ao.quantization")
        model = module(torch, problem.layers).eval()
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
        layers = headed(problem.layers, "identity")  # the head's softmax is in cross_entropy
        loss_of = {"cross_entropy": functional.cross_entropy, "mse": functional.mse_loss}[problem.loss]
        order = {"memory_format": torch.channels_last} if problem.on_images else {}
        network = module(torch, layers).train().to(**order) if problem.on_images else _Linear(torch, dense(layers))
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
        low = problem.precision == "bfloat16"
        forward = self.wrap(torch, lambda x, targets: loss_of(network(x), targets))
        if low:
            forward = torch.autocast("cpu", torch.bfloat16)(forward)

        def step(x: Any, targets: Any) -> Any:
            optimizer.zero_grad(set_to_none=True)
            loss = forward(x, targets)
            loss.backward()
            optimizer.step()
            return loss

        batches = [(torch.from_numpy(channels_first(x)).to(**order), torch.from_numpy(t)) for x, t in problem.batches]
        return training("fused Adam, autocast" if low else "fused Adam", step, batches)

    def _maxouts(self, torch: Any, problem: Problem) -> Iterator[Variant]:
        functional: Any = import_module("torch.nn.functional")
        pieces, inputs, units = problem.maxout.weight.shape

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
            weight, bias = problem.maxout.weight, problem.maxout.bias
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


class _Linear:
    """Dense layers in training without modules, whose calls cost as much as a small layer."""

    def __init__(self, torch: Any, layers: Sequence[Dense]) -> None:
        functional: Any = import_module("torch.nn.functional")
        self._linear = functional.linear
        self._weights = [torch.from_numpy(layer.weight.T.copy()).requires_grad_() for layer in layers]
        self._biases = [torch.from_numpy(layer.bias.copy()).requires_grad_() for layer in layers]
        self._acts = [activation(torch, layer.activation, trains=True) for layer in layers]

    def parameters(self) -> list[Any]:
        return [*self._weights, *self._biases]

    def __call__(self, h: Any) -> Any:
        for weight, bias, act in zip(self._weights, self._biases, self._acts, strict=True):
            h = act(self._linear(h, weight, bias))
        return h


def _maxout_training(torch: Any, name: str, space: dict[str, Any], problem: Problem) -> Variant:
    pieces, inputs, units = problem.maxout.weight.shape
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
    return Variant(name, "call(x)", {"call": call, "x": x}, lambda: [as_rows(_numpy(call(x)))])


def _numpy(y: Any) -> Array:
    """NumPy has no bfloat16: outside the clock such an answer goes through float32."""
    return np.asarray(y if y.itemsize > 2 else y.float())


class TorchCompiled(Torch):
    """The same functions through torch.compile; it needs a C++ compiler and most of a minute a problem."""

    name = "torch.compile"
    opt_in = True

    def wrap(self, torch: Any, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = torch.compile(function, fullgraph=True, dynamic=False)
        return compiled
