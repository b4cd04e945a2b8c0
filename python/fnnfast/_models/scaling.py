"""The size of a network as one number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import _checks
from .._checks import message
from .._network.network import Network
from .._network.structure import Structure
from ..layers import Input, Layer

_LARGEST = math.log(10_000)  # of a factor: more layers or wider ones fit no memory


def compound_scale(
    base: Network | Sequence[Input | Layer],
    phi: float,
    *,
    depth: float = 1.2,
    width: float = 1.1,
    resolution: float = 1.15,
) -> list[Input | Layer]:
    """The layers of a network scaled in depth, width and input resolution together.

    Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019: with one coefficient
    phi, depth grows as depth^phi, width as width^phi and resolution as resolution^phi; the defaults are theirs, with
    which the work about doubles from one phi to the next.

    Parameters
    ----------
    base : Network or sequence of layers
        The network at phi = 0: an Input, hidden layers and a head.
    phi : float
        May be negative, for smaller networks.
    depth, width, resolution : float > 0
        What each is multiplied by for phi = 1.

    Returns
    -------
    list of layers
        For ``Sequential``. The hidden layers (Dense, Maxout, Residual) are repeated as evenly as their number allows,
        each with the dropout and noise that follow it, a residual block as a whole; all their widths are scaled, to at
        least 1. Of an input of two dimensions or more the first two are scaled; one of one dimension has no resolution.
        The head stays.

    Raises
    ------
    ValueError, TypeError
        Layers that make no network, or numbers that cannot be meant.
    """
    layers = list(base.layers if isinstance(base, Network) else base)
    Structure(layers)  # refuses what makes no network
    phi = _checks.finite("phi", phi)
    deeper, wider, finer = (
        _power(name, factor, phi) for name, factor in (("depth", depth), ("width", width), ("resolution", resolution))
    )
    first, head = layers[0], layers[-1]
    assert isinstance(first, Input)
    shape = first.shape
    if len(shape) > 1:
        shape = (*(max(1, round(length * finer)) for length in shape[:2]), *shape[2:])

    groups: list[list[Layer]] = [[]]  # what perturbs the input, then each hidden layer with what perturbs it
    for layer in layers[1:-1]:
        assert isinstance(layer, Layer)
        if layer.has_units:
            groups.append([])
        groups[-1].append(layer.scaled(wider))
    hidden = groups[1:]
    if not hidden:
        raise ValueError(message("base", "at least one hidden layer to scale", "none"))
    wanted = max(1, round(len(hidden) * deeper))
    chosen = [hidden[i * len(hidden) // wanted] for i in range(wanted)]
    return [Input(*shape), *groups[0], *(layer for group in chosen for layer in group), head]


def _power(name: str, factor: float, phi: float) -> float:
    exponent = phi * math.log(_checks.positive(name, factor))
    if exponent > _LARGEST:
        raise ValueError(
            message("phi", f"{name}^phi of at most {math.exp(_LARGEST):.0f}", f"{name} {factor}, phi {phi}")
        )
    return math.exp(exponent)
