"""Modules of networks, and the networks that such modules were."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ..._checks import Array
from ..._models.sequential import Sequential
from ..._network import file_format
from ..._network.network import Network
from ..._network.structure import Structure
from ..._network.tensors import NARROW
from ._layers import Builder
from ._source import number_format, numpy_of

# The attribute of a module that says which layers it was: what a module does not tell, as the initial weights' form.
_LAYERS = "fnnfast_layers"


def module_of(net: Network) -> nn.Sequential:
    """The module of a network."""
    builder = Builder(net._structure)
    module = builder.module()
    frozen = set(getattr(net, "frozen", ()))
    with torch.inference_mode(False):  # whose tensors could not be trained
        for name, part, attribute, axes in builder.places:
            values = np.array(net._device.host(net._state[name]))
            tensor = torch.from_numpy(values if axes is None else np.ascontiguousarray(values.transpose(axes)))
            if name in net.parameters:
                tensor = nn.Parameter(tensor, requires_grad=name.rpartition(".")[0] not in frozen)
            setattr(part, attribute, tensor)
    setattr(module, _LAYERS, file_format.encode(net.layers, net.dtype.name, net.dtype.name))
    return module.eval()


def recover(module: nn.Module, shape: tuple[int, ...] | None) -> Sequential | None:
    """The network that a module says it was.

    None where it says nothing, or has other modules or parameters than that network's, or is for another input: then it
    is read as any other.
    """
    text = vars(module).get(_LAYERS)
    if not isinstance(text, str):
        return None
    try:
        dtype, precision, layers = file_format.decode(text)
        structure = Structure(layers)
        builder = Builder(structure)
        own = builder.module()
    except (TypeError, ValueError, RuntimeError):  # the last by torch, for sizes that it does not take
        return None
    if precision in NARROW or shape not in (None, structure.input.shape):
        return None
    if repr(own) != repr(module) or _shapes(own) != _shapes(module):
        return None
    if builder.places:  # else the text alone knows
        dtype = number_format(module).name
    return Sequential._restored(layers, dtype, _values(builder, own, module))


def _shapes(module: nn.Module) -> dict[str, Any]:
    return {name: values.shape for name, values in module.state_dict().items()}


def _values(builder: Builder, own: nn.Module, module: nn.Module) -> dict[str, Array]:
    """The parameters of the network, from the places in a module like its own."""
    paths = {id(part): path for path, part in own.named_modules()}
    found = {}
    for name, part, attribute, axes in builder.places:
        values = numpy_of(getattr(module.get_submodule(paths[id(part)]), attribute))
        found[name] = values if axes is None else values.transpose(np.argsort(axes))
    return found
