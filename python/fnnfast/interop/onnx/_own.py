"""Models by to_onnx, which say which layers they were: used where these layers would write the very same graph."""

from __future__ import annotations

from ..._checks import Array
from ..._models.sequential import Sequential
from ..._network import file_format
from ..._network.structure import Structure
from ..._network.tensors import NARROW
from ._export import ARCHITECTURE, network_model
from ._files import read_tensor
from ._layers import parameter_of, places
from ._model import Needed


def recover(needed: Needed) -> Sequential | None:
    """The network that the model says it was, with its dropout, initialisation and head.

    None where it says nothing or is not, to the byte, what that network gives: then its nodes are read as any others.
    """
    model, folder, _ = needed.source
    text = next((prop.value for prop in model.metadata_props if prop.key == ARCHITECTURE), None)
    if text is None:
        return None

    def read(name: str) -> Array | None:
        tensor = needed.initializers.get(name)
        return None if tensor is None else read_tensor(tensor, folder)

    try:
        dtype, compute_dtype, layers = file_format.decode(text)
        structure = Structure(layers)
        if compute_dtype in NARROW or structure.input.shape != needed.rows.shape:
            return None
        # Looked up before anything is built: what a forged text asks for must be in the file.
        found = {name: parameter_of(name, shape, read) for name, shape in places(structure.state_shapes).items()}
        if any(values is None for values in found.values()):
            return None
        net = Sequential._restored(layers, dtype, {k: values for k, values in found.items() if values is not None})
        written = network_model(net, needed.opset)
    except (TypeError, ValueError):
        return None
    return net if written.graph.SerializeToString() == model.graph.SerializeToString() else None
