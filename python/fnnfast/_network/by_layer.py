"""The outputs of every layer, by running the network a layer at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .._checks import Array
from ..layers import Flatten, Input, Layer
from ..layers._shape import is_image
from .structure import Structure


def outputs(
    structure: Structure,
    tensors: Mapping[str, Array],
    restored: Callable[[Sequence[Input | Layer], Mapping[str, Array]], Callable[[Array], Array]],
    rows: Array,
) -> dict[str, Array]:
    """By name of the layers that are not inside another one.

    restored makes a network of layers and their parameters and buffers. A layer by itself has the bits of the same
    layer in a network: what passes between layers is stored in the network's dtype there, too.
    """
    values, begins = rows, True
    found = {}
    for name, layer in structure.named.items():
        if "." in name:
            continue
        shape = structure.output_shapes[name]
        if isinstance(layer, Flatten) and not (begins and structure.input.channels_first):
            values = values.reshape(len(rows), *shape)
        elif layer.can_end:  # others, such as Dropout, act in training only
            given = structure.input if begins else Input(*structure.input_shapes[name])
            end = [Flatten()] if is_image(shape) else []
            alone: list[Input | Layer] = [given, layer, *end]
            names = [f"{own}.{key}" for own, shapes in Structure(alone).state_shapes.items() for key in shapes]
            state = [array for key, array in tensors.items() if key.startswith(f"{name}.")]
            run = restored(alone, dict(zip(names, state, strict=True)))
            values = run(values).reshape(len(rows), *shape)
            begins = False
        found[name] = values
    return found
