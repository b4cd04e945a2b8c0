"""A case's random data, its answers in float64, and how far from them a contender may be.

Tensors are PyTorch's; CuPy's arrays and fnnfast's are views of them, so that every contender reads the same memory.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

from problems import Case

LEARNING_RATE = 1e-4
"""Adam's: small, so that thousands of timed steps do not saturate the network."""

WARM_UPS = 3
"""Times that all inputs go through a contender before its graph is captured. Training starts from there."""

ROUNDOFF = {"float32": 2.0**-24, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Half a unit in the last place of 1, of what a product's factors are rounded to."""


def torch_dtype(torch: Any, case: Case) -> Any:
    return getattr(torch, "float32" if case.precision == "tf32" else case.precision)


class Data:
    """Inputs, parameters and answers of a case, on the device of ``torch``'s tensors.

    Attributes
    ----------
    sets : int
        How many inputs take turns.
    x : list of tensor (B, I)
    dy : list of tensor (B, O), for ``dense_backward``
    labels : list of tensor (B,) of int64, for networks that are trained
    weights, biases : list of tensor
        (I, O) and (O,) a layer; of maxout (P, I, O) and (P, O).
    """

    def __init__(self, case: Case, torch: Any, device: str, cache_bytes: int) -> None:
        self.case, self.torch = case, torch
        self.sets = case.rotation(cache_bytes)
        generator = torch.Generator(device=device).manual_seed(zlib.crc32(case.id.encode()))
        dtype = torch_dtype(torch, case)

        def normal(*shape: int, scale: float = 1.0) -> Any:
            return (torch.randn(shape, generator=generator, device=device) * scale).to(dtype)

        batch, inputs, outputs = case.batch, case.widths[0], case.widths[-1]
        lead = (case.pieces,) if case.kind == "maxout" else ()
        gain = 2.0 if case.activation == "relu" else 1.0
        pairs = list(zip(case.widths, case.widths[1:], strict=False))
        self.weights = [normal(*lead, i, o, scale=math.sqrt(gain / i)) for i, o in pairs]
        self.biases = [normal(*lead, o, scale=0.1) for _, o in pairs]
        self.x = [normal(batch, inputs) for _ in range(self.sets)]
        self.dy = [normal(batch, outputs) for _ in range(self.sets)] if case.kind == "dense_backward" else []
        self.labels: list[Any] = []
        if case.kind in ("gradients", "step"):
            size = {"generator": generator, "device": device}
            self.labels = [torch.randint(0, outputs, (batch,), **size) for _ in range(self.sets)]

    def expected(self, index: int, bare: bool = False) -> list[Any]:
        """The float64 answer to input ``index``; ``bare``: of the products and biases alone."""
        case, torch = self.case, self.torch
        x = self.x[index].double()
        match case.kind:
            case "maxout":
                z = torch.baddbmm(self.biases[0].double().unsqueeze(1), x.expand(case.pieces, *x.shape), self._weight())
                return [z.transpose(0, 1).reshape(case.batch, -1)] if bare else [z.amax(0)]
            case "dense_backward":
                dy = self.dy[index].double()
                if not bare:
                    z = (x @ self._weight() + self.biases[0].double()).requires_grad_()
                    with torch.enable_grad():
                        y = activate(torch, case.activation, z)
                    (dy,) = torch.autograd.grad(y, z, dy)
                products = [dy @ self._weight().T, x.T @ dy]
                return products if bare else [*products, dy.sum(0)]
            case "gradients":
                parameters = self._parameters()
                loss = network_loss(torch, case, parameters, x, self.labels[index])
                return list(torch.autograd.grad(loss, parameters))
            case "step":
                return [self._last_loss()]
            case _:
                acts = ("identity",) * case.layers if bare else case.activations
                for weight, bias, act in zip(self.weights, self.biases, acts, strict=True):
                    x = activate(torch, act, torch.addmm(bias.double(), x, weight.double()))
                return [x]

    def _weight(self) -> Any:
        return self.weights[0].double()

    def _parameters(self) -> list[Any]:
        pairs = zip(self.weights, self.biases, strict=True)
        return [p.double().clone().requires_grad_() for pair in pairs for p in pair]

    def _last_loss(self) -> Any:
        """The loss of the last input's step in the first replay, after those of the warm-up."""
        parameters = self._parameters()
        optimizer = self.torch.optim.Adam(parameters, lr=LEARNING_RATE)
        for step in range((WARM_UPS + 1) * self.sets):
            index = step % self.sets
            optimizer.zero_grad(set_to_none=True)
            loss = network_loss(self.torch, self.case, parameters, self.x[index].double(), self.labels[index])
            loss.backward()
            optimizer.step()
        return loss.detach()

    def mistake(self, expected: Sequence[Any], given: Sequence[Any]) -> str | None:
        """What is wrong with an answer, in words; None where it is right."""
        if len(expected) != len(given):
            return f"expected {len(expected)} arrays, got {len(given)}"
        for number, (right, got) in enumerate(zip(expected, given, strict=True)):
            if tuple(right.shape) != tuple(got.shape):
                return f"array {number}: expected shape {tuple(right.shape)}, got {tuple(got.shape)}"
            if fault := self._off(right, got.double()):
                return f"array {number}: {fault}"
        return None

    def _off(self, right: Any, got: Any) -> str | None:
        if not bool(self.torch.isfinite(got).all()):
            return "not finite"
        allowed = tolerance(self.case)
        size = float(self.torch.linalg.vector_norm(right))
        norm = float(self.torch.linalg.vector_norm(got - right)) / max(size, 1e-300)
        if norm > allowed:
            return f"off by {norm:.2g} of its norm, allowed {allowed:.2g}"
        # One wrong entry among millions does not show in the norm.
        rms = size / math.sqrt(max(1, right.numel()))
        worst = float(((got - right).abs() / (right.abs() + rms + 1e-300)).max())
        if worst > 8 * allowed:
            return f"an entry off by {worst:.2g} of itself and the mean size, allowed {8 * allowed:.2g}"
        return None


def tolerance(case: Case) -> float:
    """How far an answer may be from the float64 one, as a part of its norm.

    Every layer rounds its factors and its result, each to ``ROUNDOFF``; 4 covers both and their growth. Sums in float32
    add sqrt(terms) roundings of their own. In a network that is trained an input of relu near 0 may change its sign,
    and then its whole gradient is wrong: that befalls a share of about the roundoff of them, the root of it in the
    norm. A loss of a few steps is a mean: 5 % allow for updates that 16 bits round away.
    """
    roundoff = ROUNDOFF[case.precision]
    if case.kind == "step":
        return 0.05 if roundoff > 2.0**-12 else 1e-3
    terms = max(case.widths) + (case.batch if case.kind in ("dense_backward", "gradients") else 0)
    allowed = 4 * case.layers * (roundoff + math.sqrt(terms) * ROUNDOFF["float32"])
    return allowed + math.sqrt(case.layers * roundoff) if case.kind == "gradients" else allowed


def activate(torch: Any, name: str, z: Any) -> Any:
    match name:
        case "identity":
            return z
        case "relu":
            return torch.relu(z)
        case "gelu":
            return torch.nn.functional.gelu(z)
        case "swish":
            return torch.nn.functional.silu(z)
    raise ValueError(f"no reference for the activation {name!r}")


def network_loss(torch: Any, case: Case, parameters: Sequence[Any], x: Any, labels: Any) -> Any:
    """The mean softmax cross-entropy; parameters are weight (I, O) and bias of each layer in turn."""
    for weight, bias, act in zip(parameters[::2], parameters[1::2], case.activations, strict=True):
        x = activate(torch, act, torch.addmm(bias, x, weight))
    return torch.nn.functional.cross_entropy(x, labels)
