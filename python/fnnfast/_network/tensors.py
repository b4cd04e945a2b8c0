"""The tensors that a network is stored as, in every number format."""

from __future__ import annotations

from collections.abc import Mapping

from .._checks import message
from ..layers._shape import Shape
from .structure import Shapes

# What a file calls weights in bfloat16 whose products may be of bfloat16 as well; "bfloat16" are those of float32.
BFLOAT16_PRODUCTS = "bfloat16 products"

# What a file calls a network that is trained in bfloat16, whose parameters are float32.
MIXED_BFLOAT16 = "mixed bfloat16"

# Number formats of weights that are not computed in.
NARROW = ("bfloat16", BFLOAT16_PRODUCTS, "int8")

# What holds a weight: of a bfloat16, which NumPy does not have, the bits.
_WEIGHTS = {"bfloat16": "uint16", BFLOAT16_PRODUCTS: "uint16", "int8": "int8"}


def stored(shapes: Mapping[str, Shapes], dtype: str, compute_dtype: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name to dtype and shape of all that makes up a network, in any number format."""
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer, of_layer in shapes.items():
        for key, shape in of_layer.items():
            name = f"{layer}.{key}"
            tensors[name] = (_WEIGHTS.get(compute_dtype, dtype) if is_weight(name) else dtype, shape)
        if "weight" in of_layer and compute_dtype == "int8":
            tensors[f"{layer}.input_scale"] = (dtype, ())
            tensors[f"{layer}.zero_point"] = ("uint8", ())
            shape = of_layer["weight"]
            tensors[f"{layer}.weight_scale"] = (dtype, (*shape[: pieces_axes(shape)], shape[-1]))
    return tensors


def refusal(what: str, compute_dtype: str) -> str:
    """Why a network for inference only does nothing but answer."""
    got = f"one in {compute_dtype} for inference only; train or change the network that it was made from"
    return message(what, "a network that can be trained", got)


def pieces_axes(weight: Shape) -> int:
    """How many axes of a weight of that shape are of pieces: 1 for (P, I, O) and (P, KH, KW, C, O), else 0."""
    return len(weight) % 2


def is_weight(name: str) -> bool:
    """Whether a parameter of that name is one."""
    return name.endswith(".weight")
