"""The module that is given, and a copy of it to trace and to run, so that the user's own does not change."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..._checks import FLOAT32, FLOAT64, Array, DType, message
from .._errors import ConversionError, refusal

_EXPECTED = "a torch.nn.Module"
_BUILD = "build the module in Python, call its load_state_dict(state), and pass the module"
_ONNX = "or export it to ONNX and read that with fnnfast.from_onnx"


def open_module(given: Any) -> nn.Module:
    """The module itself, without the wrapper of torch.compile or of data parallelism.

    Raises
    ------
    TypeError, ConversionError
        It is no module that can be read; the message says what to do.
    """
    if isinstance(given, (str, PathLike)):
        raise _no_module_in(fspath(given))
    if isinstance(given, Mapping):
        got = f"a state dict of {len(given)} entries, which has neither the order of layers nor activations"
        raise TypeError(message("module", _EXPECTED, got) + f"; {_BUILD}")
    if isinstance(given, torch.jit.ScriptModule):
        raise _compiled("a TorchScript module")
    if isinstance(given, torch.export.ExportedProgram):
        raise _compiled("a torch.export.ExportedProgram")
    if not isinstance(given, nn.Module):
        advice = f"; write {given.__name__}(...)" if isinstance(given, type) else ""
        raise TypeError(message("module", _EXPECTED, _kind(given)) + advice)
    inner = getattr(given, "_orig_mod", None)  # of torch.compile
    if isinstance(inner, nn.Module):
        return open_module(inner)
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return open_module(given.module) if isinstance(given, parallel) else given


def _kind(given: Any) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__


def _compiled(what: str) -> ConversionError:
    return refusal("the module", what, _EXPECTED, f"pass the module it was made of, {_ONNX}")


def _no_module_in(path: str) -> ConversionError:
    """Why a file is not read, and what to do; what it unpickles is tensors and containers of them, and no code."""
    place = f"file {path!r}"
    try:
        found = torch.load(path, map_location="meta", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever the bytes of a file make of torch's reader
        first = str(error).partition("\n")[0][:200]
        return refusal(
            place,
            f"torch.load(weights_only=True) does not read it ({type(error).__name__}: {first})",
            _EXPECTED,
            "nothing else is unpickled, since that can run code; if you trust the file, load it and pass the module",
        )
    got = f"a state dict of {len(found)} entries" if isinstance(found, Mapping) else type(found).__name__
    return refusal(
        place, f"it contains {got}, which has neither the order of layers nor activations", _EXPECTED, _BUILD
    )


# The copy ------------------------------------------------------------------------------------------------------------
class Whole(nn.Module):  # type: ignore[misc]
    """A module inside another one, so that the outermost is not special, and its forward gets one argument."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> Any:
        return self.module(x)


def private_copy(module: nn.Module) -> Whole:
    """A copy on the CPU in eval mode, in float64 if the weights are, else in float32.

    Raises
    ------
    ConversionError
        A module that cannot be copied, or that its hooks make another one.
    """
    memo: dict[int, Any] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        for tensor in _tensors(part):
            if is_lazy(tensor) or tensor.is_meta:
                advice = "call the module on some rows once, or give it values"
                raise refusal(place_of(name, part), "parameters without values", "parameters with values", advice)
            if tensor.is_complex():
                raise refusal(place_of(name, part), "complex numbers", "real numbers")
            values = tensor.detach().to("cpu", copy=True)
            parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(values, requires_grad=False) if parameter else values
    try:
        copied = copy.deepcopy(module, memo)
    except Exception as error:
        raise refusal(
            "the module",
            f"copy.deepcopy does not copy it ({type(error).__name__}: {error})",
            "modules that can be copied",
        ) from error
    for name, part in copied.named_modules(remove_duplicate=False):
        _settle_hooks(part, place_of(name, part))
    whole = Whole(copied)
    whole.eval().to(dtype_of(copied))
    return whole


def _tensors(part: nn.Module) -> Iterator[torch.Tensor]:
    """All that it has itself, also those that are no leaves of autograd, which deepcopy does not take."""
    for values in (part._parameters, part._buffers, vars(part)):
        yield from (value for value in values.values() if isinstance(value, torch.Tensor))


def _settle_hooks(part: nn.Module, place: str) -> None:
    """Let weight_norm and its like compute the weight that they stand for, and refuse all other hooks."""
    for hook in part._forward_pre_hooks.values():
        if not any(cls.__module__.startswith("torch.nn.utils") for cls in type(hook).__mro__):
            raise refusal(place, f"a forward pre-hook ({hook!r})", "modules without hooks", "remove the hook")
        with torch.no_grad():
            part.training = False  # else spectral_norm takes a step
            hook(part, ())
    part._forward_pre_hooks.clear()
    for hook in part._forward_hooks.values():
        raise refusal(place, f"a forward hook ({hook!r})", "modules without hooks", "remove the hook")


def number_format(module: nn.Module) -> DType:
    """float64 where all weights are in it, else float32."""
    kinds = {value.dtype for value in module.parameters() if value.is_floating_point()}
    return FLOAT64 if kinds == {torch.float64} else FLOAT32


def dtype_of(module: nn.Module) -> torch.dtype:
    """PyTorch's name of its number format."""
    return torch.float64 if number_format(module) == FLOAT64 else torch.float32


def numpy_of(tensor: torch.Tensor) -> Array:
    """A tensor as an array, floats in float64 or else float32; TypeError for complex numbers."""
    if tensor.is_complex():
        raise TypeError("complex numbers")
    if tensor.is_floating_point() and tensor.dtype != torch.float64:
        tensor = tensor.to(torch.float32)
    return np.asarray(tensor.detach().cpu().numpy())


def place_of(name: str, module: nn.Module) -> str:
    """Where a module is in the whole, for errors."""
    kind = type(module).__name__
    return f"module {name!r} ({kind})" if name else f"the module ({kind})"
